/* shapes.c: data "shapes": made images of discs and squares in noise, and what each pixel belongs to.
 *
 * An image is a function of the seed and its number, drawn when it is asked for: nothing is stored, and threads of the
 * loader change nothing.
 */
#include "tasks/tasks.h"
#include "wick/data/transform.h"

#include <math.h>

enum { BACKGROUND, DISC, SQUARE, CLASSES, MOST_SHAPES = 3 };

typedef struct shapes {
    wk_dataset base;
    int64_t size, first; /* side in pixels; the number of the first image */
    uint64_t seed;
    float noise;
} shapes;

static void paint(const shapes *s, wk_draws *d, float *image, int64_t *label) {
    const double side = (double)s->size, radius = side * (0.15 + 0.15 * wk_draw_uniform(d, 0, 1));
    const double x = side * wk_draw_uniform(d, 0, 1), y = side * wk_draw_uniform(d, 0, 1),
                 bright = 0.4 + 0.6 * wk_draw_uniform(d, 0, 1);
    const int kind = wk_draw_uniform(d, 0, 1) < 0.5 ? DISC : SQUARE;
    for (int64_t i = 0; i < s->size; i++)
        for (int64_t k = 0; k < s->size; k++) {
            const double down = fabs((double)i + 0.5 - y), right = fabs((double)k + 0.5 - x);
            const bool inside = kind == DISC ? down * down + right * right <= radius * radius
                                             : down <= 0.9 * radius && right <= 0.9 * radius;
            if (!inside) continue;
            image[i * s->size + k] = (float)bright;
            label[i * s->size + k] = kind;
        }
}

static wk_status shapes_fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    const shapes *s = (const shapes *)self;
    const int64_t pixels = s->size * s->size;
    for (int64_t i = 0; i < n; i++) {
        const uint64_t number = (uint64_t)(s->first + indices[i]);
        wk_draws d = wk_draws_of(s->seed, 0, (int64_t)number);
        float *image = (float *)input + i * pixels;
        int64_t *label = (int64_t *)target + i * pixels;
        for (int64_t k = 0; k < pixels; k++) image[k] = 0, label[k] = BACKGROUND;
        for (int count = 1 + (int)(wk_draw_uniform(&d, 0, 1) * MOST_SHAPES); count > 0; count--)
            paint(s, &d, image, label);
        for (int64_t k = 0; k < pixels; k++) image[k] += s->noise * (float)(2 * wk_draw_uniform(&d, 0, 1) - 1);
    }
    return WK_OK;
}
static const wk_dataset_class shapes_class = { .name = "shapes", .size = sizeof(shapes), .fetch = shapes_fetch };

static wk_dataset *shapes_of(const wk_config *args, int64_t first, int64_t count) {
    shapes *s = (shapes *)wk_dataset_create(&shapes_class);
    if (!s) return NULL;
    s->size = wk_config_int(args, "image_size", 8, 1024, 64);
    s->seed = (uint64_t)wk_config_int(args, "data_seed", 0, INT64_MAX, 0);
    s->noise = (float)wk_config_double(args, "noise", 0, 10, 0.2);
    s->first = first;
    s->base.count = count;
    s->base.input_dims = WK_DIMS(1, s->size, s->size);
    s->base.target_dims = WK_DIMS(s->size, s->size);
    s->base.input_dtype = WK_F32;
    s->base.target_dtype = WK_I64;
    s->base.classes = CLASSES;
    return &s->base;
}

static wk_status build(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    const int64_t count = wk_config_int(args, "count", 1, 1 << 30, 1024),
                  val = wk_config_int(args, "val_count", 1, 1 << 30, 128);
    *train = wk_failed() ? NULL : shapes_of(args, 0, count);
    *evaluation = *train ? shapes_of(args, count, val) : NULL;
    return wk_failed() ? wk_error_code() : WK_OK;
}

static const wk_arg args[] = {
    { "count", WK_ARG_INT, "1024", "images to train on" },
    { "val_count", WK_ARG_INT, "128", "to evaluate on: other ones" },
    { "image_size", WK_ARG_INT, "64", "side in pixels" },
    { "noise", WK_ARG_NUMBER, "0.2", "added to each pixel: uniform in ± noise" },
    { "data_seed", WK_ARG_INT, "0", "draws the images" },
    { "batch_size", WK_ARG_INT, "64", "items a rank takes at a time" },
    { "workers", WK_ARG_INT, "1", "threads that fetch batches" },
    { "shuffle", WK_ARG_BOOL, "true", "train in another order in each epoch" },
    { NULL, WK_ARG_INT, NULL, NULL },
};
const wk_data_entry wk__shapes_data = { { "shapes", "made images of discs and squares, and each pixel's class", args },
                                        build };
