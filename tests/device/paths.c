/* paths.c: each sample takes a kernel along a way that the op table's small ones do not reach.  (tools/mutate found
 * them.) */
#include "device/paths.h"

#include "tensor/op_attrs.h"
#include "wick/ops.h"

#include <string.h>

/* In the permuted layout source and target run along different axes: tiles through shared memory, and edges of them. */
static void copy(wk_sampler *s) {
    WK_CASE(s, "crosswise", NULL, { .dims = WK_DIMS(41, 70) });
    WK_CASE(s, "crosswise pictures", NULL, { .dims = WK_DIMS(33, 3, 40) });
}

/* Rows of more than 1024 elements are a block's work and not a warp's.  Those in whole vectors that lie one behind the
 * other have kernels of their own, for few and many elements a thread. */
static const struct {
    const char *label;
    int64_t rows, length;
} shapes[] = { { "long rows", 3, 1501 },
               { "dense", 19, 192 },
               { "dense, many", 13, 768 },
               { "dense, long", 5, 1536 },
               { "dense, longest", 3, 4104 } };
enum { SHAPES = sizeof shapes / sizeof shapes[0] };
static const wk_layer_norm_opts one_axis = { .axes = 1 };

static void layer_norm(wk_sampler *s) {
    for (int i = 0; i < SHAPES; i++) {
        const wk_dims x = WK_DIMS(shapes[i].rows, shapes[i].length), weight = WK_DIMS(shapes[i].length);
        WK_CASE(s, shapes[i].label, &one_axis, { .dims = x }, { .dims = weight }, { .dims = weight });
    }
}
static void layer_norm_backward(wk_sampler *s) {
    for (int i = 0; i < SHAPES; i++) {
        const wk_dims x = WK_DIMS(shapes[i].rows, shapes[i].length), weight = WK_DIMS(shapes[i].length);
        WK_CASE(s, shapes[i].label, &one_axis, { .dims = x }, { .dims = x }, { .dims = weight },
                { .kind = WK_SAMPLE_ABSENT }, { .kind = WK_SAMPLE_ABSENT });
    }
}
static void rms_norm(wk_sampler *s) {
    for (int i = 0; i < SHAPES; i++) {
        const wk_dims x = WK_DIMS(shapes[i].rows, shapes[i].length), weight = WK_DIMS(shapes[i].length);
        WK_CASE(s, shapes[i].label, &one_axis, { .dims = x }, { .dims = weight });
    }
}
static void rms_norm_backward(wk_sampler *s) {
    for (int i = 0; i < SHAPES; i++) {
        const wk_dims x = WK_DIMS(shapes[i].rows, shapes[i].length), weight = WK_DIMS(shapes[i].length);
        WK_CASE(s, shapes[i].label, &one_axis, { .dims = x }, { .dims = x }, { .dims = weight },
                { .kind = WK_SAMPLE_ABSENT });
    }
}

/* Channels that lie together are taken 32 side by side. */
static void batch_norm(wk_sampler *s) {
    const wk_batch_norm_opts train = { .training = true };
    WK_CASE(s, "channels together", &train, { .dims = WK_DIMS(37, 40) }, { .dims = WK_DIMS(40) },
            { .dims = WK_DIMS(40) }, { .dims = WK_DIMS(40) }, { .dims = WK_DIMS(40), .low = 0.5, .high = 2 });
}

/* More bins than shared memory holds, and more values than a block counts. */
static void histc(wk_sampler *s) {
    const wk_histc_opts many = { .bins = 9000, .min = -2, .max = 2 }, few = { .bins = 7 };
    WK_CASE(s, "many bins", &many, { .dims = WK_DIMS(5000) });
    WK_CASE(s, "many values", &few, { .dims = WK_DIMS(90, 60), .strided = true });
}

/* Running sums over more weights than a block has threads. */
static void multinomial(wk_sampler *s) {
    const wk_multinomial_opts again = { 65, true }, once = { 65, false };
    WK_CASE(s, "many weights", &again, { .dims = WK_DIMS(3, 700), .low = 0.1, .high = 2 },
            { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 1000 });
    WK_CASE(s, "many waiting", &once, { .dims = WK_DIMS(3, 700), .low = 0.1, .high = 2 },
            { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 1000 });
}

static const struct {
    const char *row;
    void (*emit)(wk_sampler *sampler);
} paths[] = {
    { "copy", copy },
    { "layer_norm", layer_norm },
    { "layer_norm_backward", layer_norm_backward },
    { "rms_norm", rms_norm },
    { "rms_norm_backward", rms_norm_backward },
    { "batch_norm", batch_norm },
    { "histc", histc },
    { "multinomial", multinomial },
};

void device_paths(const wk_op_def *row, wk_sampler *sampler) {
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (strcmp(paths[i].row, row->name) == 0) paths[i].emit(sampler);
}
