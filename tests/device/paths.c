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

/* Rows of more than 1024 elements are a block's work and not a warp's. */
static void layer_norm(wk_sampler *s) {
    const wk_layer_norm_opts plain = { .axes = 1 };
    WK_CASE(s, "long rows", &plain, { .dims = WK_DIMS(3, 1500) }, { .dims = WK_DIMS(1500) }, { .dims = WK_DIMS(1500) });
}
static void rms_norm(wk_sampler *s) {
    const wk_layer_norm_opts plain = { .axes = 1 };
    WK_CASE(s, "long rows", &plain, { .dims = WK_DIMS(3, 1500) }, { .dims = WK_DIMS(1500) });
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
    { "copy", copy },   { "layer_norm", layer_norm },   { "rms_norm", rms_norm }, { "batch_norm", batch_norm },
    { "histc", histc }, { "multinomial", multinomial },
};

void device_paths(const wk_op_def *row, wk_sampler *sampler) {
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (strcmp(paths[i].row, row->name) == 0) paths[i].emit(sampler);
}
