/* pictures.c: data "pictures": made colour pictures, each a function of continuous coordinates, so that it can be drawn
 * in any resolution: the target is the same picture, `scale` times as fine.
 *
 * A picture is a function of the seed and its number, drawn when it is asked for; threads of the loader change nothing.
 */
#include "tasks/tasks.h"
#include "wick/data/transform.h"

#include <math.h>

enum { CHANNELS = 3, SHAPES = 6, SAMPLES = 3 };

typedef struct pictures {
    wk_dataset base;
    int64_t size, scale, first; /* side in pixels; the number of the first picture */
    uint64_t seed;
} pictures;

typedef struct shape {
    double x, y, radius, cosine, sine, stripes;
    float colour[CHANNELS];
    bool is_disc;
} shape;
typedef struct picture {
    float corner[2][CHANNELS]; /* the background goes from one to the other */
    shape shape[SHAPES];       /* the last one lies on top */
} picture;

static picture sketch(const pictures *p, uint64_t number) {
    wk_draws d = wk_draws_of(p->seed, 0, (int64_t)number);
    picture all;
    for (int i = 0; i < 2 * CHANNELS; i++) all.corner[i / CHANNELS][i % CHANNELS] = (float)wk_draw_uniform(&d, 0, 1);
    for (int i = 0; i < SHAPES; i++) {
        shape *s = &all.shape[i];
        const double angle = 6.283185307179586 * wk_draw_uniform(&d, 0, 1);
        s->cosine = cos(angle), s->sine = sin(angle);
        s->x = wk_draw_uniform(&d, 0, 1), s->y = wk_draw_uniform(&d, 0, 1),
        s->radius = 0.08 + 0.22 * wk_draw_uniform(&d, 0, 1);
        s->is_disc = wk_draw_uniform(&d, 0, 1) < 0.5;
        s->stripes = wk_draw_uniform(&d, 0, 1) < 0.4 ? 2 + 6 * wk_draw_uniform(&d, 0, 1) : 0;
        for (int c = 0; c < CHANNELS; c++) s->colour[c] = (float)wk_draw_uniform(&d, 0, 1);
    }
    return all;
}

static bool covers(const shape *s, double y, double x) {
    const double u = (s->cosine * (x - s->x) + s->sine * (y - s->y)) / s->radius,
                 v = (s->cosine * (y - s->y) - s->sine * (x - s->x)) / s->radius;
    const bool inside = s->is_disc ? u * u + v * v <= 1 : fabs(u) <= 1 && fabs(v) <= 0.6;
    return inside && (s->stripes == 0 || fmod((u + 1) * s->stripes, 2) < 1);
}

/* Adds the colours at a place of [0, 1]². */
static void colour_at(const picture *p, double y, double x, double colour[CHANNELS]) {
    const double along = (x + y) / 2;
    for (int i = SHAPES; i-- > 0;)
        if (covers(&p->shape[i], y, x)) {
            for (int c = 0; c < CHANNELS; c++) colour[c] += (double)p->shape[i].colour[c];
            return;
        }
    for (int c = 0; c < CHANNELS; c++)
        colour[c] += (1 - along) * (double)p->corner[0][c] + along * (double)p->corner[1][c];
}

/* Each pixel is the mean over its area. */
static void draw(const picture *p, int64_t side, float *out /* (CHANNELS, side, side) */) {
    for (int64_t i = 0; i < side * side; i++) {
        double sum[CHANNELS] = { 0 };
        for (int k = 0; k < SAMPLES * SAMPLES; k++) {
            const double down = (double)(i / side) + (k / SAMPLES + 0.5) / SAMPLES,
                         right = (double)(i % side) + (k % SAMPLES + 0.5) / SAMPLES;
            colour_at(p, down / (double)side, right / (double)side, sum);
        }
        for (int c = 0; c < CHANNELS; c++) out[c * side * side + i] = (float)(sum[c] / (SAMPLES * SAMPLES));
    }
}

static wk_status fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    const pictures *p = (const pictures *)self;
    const int64_t side = p->size, fine = p->size * p->scale;
    for (int64_t i = 0; i < n; i++) {
        const picture one = sketch(p, (uint64_t)(p->first + indices[i]));
        draw(&one, side, (float *)input + i * CHANNELS * side * side);
        draw(&one, fine, (float *)target + i * CHANNELS * fine * fine);
    }
    return WK_OK;
}
static const wk_dataset_class pictures_class = { .name = "pictures", .size = sizeof(pictures), .fetch = fetch };

static wk_dataset *pictures_of(const wk_config *args, int64_t first, int64_t count) {
    pictures *p = (pictures *)wk_dataset_create(&pictures_class);
    if (!p) return NULL;
    p->size = wk_config_int(args, "image_size", 4, 1024, 96);
    p->scale = wk_config_int(args, "scale", 1, 8, 1);
    p->seed = (uint64_t)wk_config_int(args, "data_seed", 0, INT64_MAX, 0);
    p->first = first;
    p->base.count = count;
    p->base.input_dims = WK_DIMS(CHANNELS, p->size, p->size);
    p->base.target_dims = WK_DIMS(CHANNELS, p->size * p->scale, p->size * p->scale);
    p->base.input_dtype = p->base.target_dtype = WK_F32;
    return &p->base;
}

static wk_status build(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    const int64_t first = wk_config_int(args, "first", 0, 1 << 30, 0),
                  count = wk_config_int(args, "count", 1, 1 << 30, 64),
                  val = wk_config_int(args, "val_count", 1, 1 << 30, 8);
    *train = wk_failed() ? NULL : pictures_of(args, first, count);
    *evaluation = *train ? pictures_of(args, first + count, val) : NULL;
    return wk_failed() ? wk_error_code() : WK_OK;
}

static const wk_arg args[] = {
    { "count", WK_ARG_INT, "64", "pictures to train on" },
    { "val_count", WK_ARG_INT, "8", "to evaluate on: the ones after those" },
    { "first", WK_ARG_INT, "0", "the number of the first picture" },
    { "image_size", WK_ARG_INT, "96", "side in pixels" },
    { "scale", WK_ARG_INT, "1", "the target is the picture so many times as fine" },
    { "data_seed", WK_ARG_INT, "0", "draws the pictures" },
    { "batch_size", WK_ARG_INT, "64", "items a rank takes at a time" },
    { "workers", WK_ARG_INT, "1", "threads that fetch batches" },
    { "shuffle", WK_ARG_BOOL, "true", "train in another order in each epoch" },
    { NULL, WK_ARG_INT, NULL, NULL },
};
const wk_data_entry wk__pictures_data = {
    { "pictures", "made pictures of coloured shapes, and the same ones finer", args }, build
};
