/* transforms_values.c: transforms of values: behind pixels, which are 8 bits. */
#include "data/transform.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- normalise ---- */

typedef struct normalise {
    wk_transform base;
    float mean[WK_TRANSFORM_CHANNELS], deviation[WK_TRANSFORM_CHANNELS];
    float table[WK_TRANSFORM_CHANNELS][256];
} normalise;

static wk_status normalise_values(const wk_transform *self, float *values, int64_t channels, int64_t height,
                                  int64_t width, wk_draws *draws) {
    const normalise *t = (const normalise *)self;
    (void)draws;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < height * width; i++, values++) *values = (*values - t->mean[c]) / t->deviation[c];
    return WK_OK;
}

static const wk_transform_class normalise_class = { .name = "normalise",
                                                    .size = sizeof(normalise),
                                                    .values = normalise_values };

const float *wk__normalise_table(const wk_transform *transform, int64_t channel) {
    return transform->class_ == &normalise_class ? ((const normalise *)transform)->table[channel] : NULL;
}

wk_transform *wk_transform_normalise(wk_normalise_opts opts) {
    if (wk_failed()) return NULL;
    if (opts.channels != 1 && opts.channels != WK_TRANSFORM_CHANNELS)
        return wk_fail_null(WK_INVALID, "normalise: means and deviations of %d channels, expected 1 or %d",
                            opts.channels, WK_TRANSFORM_CHANNELS);
    normalise *t = (normalise *)wk_transform_create(&normalise_class);
    for (int c = 0; t && c < WK_TRANSFORM_CHANNELS; c++) {
        const int from = opts.channels == 1 ? 0 : c;
        t->mean[c] = (float)opts.mean[from];
        t->deviation[c] = (float)opts.deviation[from];
        if (!isfinite(t->mean[c]) || !(t->deviation[c] > 0 && t->deviation[c] <= FLT_MAX)) {
            (void)wk_fail(WK_INVALID,
                          "normalise: mean %g and deviation %g, expected finite ones, the latter more than 0",
                          opts.mean[from], opts.deviation[from]);
            wk_transform_destroy(&t->base);
            return NULL;
        }
        /* torchvision's ToTensor and Normalize round twice in f32; so does this. */
        for (int i = 0; i < 256; i++) t->table[c][i] = ((float)i / 255.0F - t->mean[c]) / t->deviation[c];
    }
    return (wk_transform *)t;
}

/* ---- random erasing ---- */

typedef struct erasing {
    wk_transform base;
    double p;
    wk__rectangle rectangle;
    float value;
} erasing;

static void erase(float *values, int64_t channels, int64_t height, int64_t width, const int64_t box[4], float value) {
    for (int64_t c = 0; c < channels; c++)
        for (int64_t y = box[0]; y < box[0] + box[2]; y++)
            for (int64_t x = box[1]; x < box[1] + box[3]; x++) values[(c * height + y) * width + x] = value;
}

static wk_status erasing_values(const wk_transform *self, float *values, int64_t channels, int64_t height,
                                int64_t width, wk_draws *draws) {
    const erasing *t = (const erasing *)self;
    if (wk_draw_uniform(draws, 0, 1) >= t->p) return WK_OK;
    for (int tries = 0; tries < 10; tries++) { /* a rectangle that does not fit is drawn anew */
        double part, aspect;
        wk__rectangle_draw(&t->rectangle, (double)(height * width), draws, &part, &aspect);
        const int64_t h = (int64_t)rint(sqrt(part * aspect)), w = (int64_t)rint(sqrt(part / aspect));
        if (h >= height || w >= width) continue;
        const int64_t box[4] = { wk_draw_below(draws, height - h + 1), wk_draw_below(draws, width - w + 1), h, w };
        erase(values, channels, height, width, box, t->value);
        break;
    }
    return WK_OK;
}

static const wk_transform_class erasing_class = { .name = "random_erasing",
                                                  .size = sizeof(erasing),
                                                  .values = erasing_values };

wk_transform *wk_transform_random_erasing(wk_random_erasing_opts opts) {
    static const char name[] = "random_erasing";
    const double p = wk_optional_or(opts.p, 0.5);
    if (wk_failed()) return NULL;
    if (opts.scale[0] == 0 && opts.scale[1] == 0) opts.scale[0] = 0.02, opts.scale[1] = 0.33;
    if (opts.ratio[0] == 0 && opts.ratio[1] == 0) opts.ratio[0] = 0.3, opts.ratio[1] = 3.3;
    if (wk__transform_chance(name, p) != WK_OK || wk__transform_range(name, "scale", opts.scale, 0, 1) != WK_OK
        || wk__transform_range(name, "ratio", opts.ratio, 1e-3, 1e3) != WK_OK)
        return NULL;
    erasing *t = (erasing *)wk_transform_create(&erasing_class);
    if (!t) return NULL;
    t->p = p;
    t->value = (float)opts.value;
    memcpy(t->rectangle.scale, opts.scale, sizeof opts.scale);
    memcpy(t->rectangle.ratio, opts.ratio, sizeof opts.ratio);
    return &t->base;
}
