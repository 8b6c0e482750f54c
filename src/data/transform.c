/* transform.c: draws, lists, and what all transforms share. */
#include "data/transform.h"

#include "wick/random.h"

#include <math.h>

/* ---- draws ---- */

wk_draws wk_draws_of(uint64_t seed, int64_t epoch, int64_t item) {
    return (wk_draws){ .key = { (uint32_t)seed, (uint32_t)(seed >> 32) },
                       .counter = { 0, (uint32_t)epoch, (uint32_t)item, (uint32_t)((uint64_t)item >> 32) } };
}

static uint32_t word(wk_draws *d) {
    if (d->left == 0) {
        wk_philox(d->counter, d->key, d->word);
        d->counter[0]++;
        d->left = 4;
    }
    return d->word[--d->left];
}

double wk_draw_uniform(wk_draws *d, double from, double to) {
    const uint64_t high = word(d) >> 5, low = word(d) >> 6;
    return from + (to - from) * ((double)(high << 26 | low) * 0x1p-53);
}

int64_t wk_draw_below(wk_draws *d, int64_t count) {
    return (int64_t)(((uint64_t)word(d) * (uint64_t)count) >> 32);
}

void wk__rectangle_draw(const wk__rectangle *r, double area, wk_draws *draws, double *part, double *aspect) {
    *part = area * wk_draw_uniform(draws, r->scale[0], r->scale[1]);
    *aspect = exp(wk_draw_uniform(draws, log(r->ratio[0]), log(r->ratio[1])));
}

/* ---- life and checks ---- */

wk_transform *wk_transform_create(const wk_transform_class *class_) {
    wk_transform *transform = wk_alloc(class_->size < sizeof *transform ? sizeof *transform : class_->size);
    if (transform) transform->class_ = class_;
    return transform;
}

void wk_transform_destroy(wk_transform *transform) {
    if (transform && transform->class_->destroy) transform->class_->destroy(transform);
    wk_free(transform);
}

wk_status wk__transform_size(const char *name, int64_t height, int64_t width) {
    if (height >= 1 && width >= 1 && height <= WK_IMAGE_MOST_SIDE && width <= WK_IMAGE_MOST_SIDE) return WK_OK;
    return wk_fail(WK_INVALID, "%s: a size of %lld × %lld (height × width), expected sides of 1 to %d", name,
                   (long long)height, (long long)width, WK_IMAGE_MOST_SIDE);
}

wk_status wk__transform_range(const char *name, const char *what, const double range[2], double least, double most) {
    if (range[0] >= least && range[0] <= range[1] && range[1] <= most) return WK_OK;
    return wk_fail(WK_INVALID, "%s: %s from %g to %g, expected a range within %g to %g", name, what, range[0], range[1],
                   least, most);
}

wk_status wk__transform_chance(const char *name, double p) {
    if (p >= 0 && p <= 1) return WK_OK;
    return wk_fail(WK_INVALID, "%s: p is %g, expected 0 to 1", name, p);
}

/* ---- lists ---- */

wk_status wk_transforms_check(wk_transforms list, wk_image_size *size) {
    const wk_transform *values = NULL;
    for (int i = 0; i < list.count; i++) {
        const wk_transform *t = list.of[i];
        if (t->class_->values && !values) values = t;
        if (t->class_->pixels && values)
            return wk_fail(WK_INVALID,
                           "transform \"%s\" works on pixels: it must stand before \"%s\", which works on values",
                           t->class_->name, values->class_->name);
        if (t->class_->result) *size = t->class_->result(t, *size);
    }
    return WK_OK;
}

/* Channels first, in 0 … 1, or what a normalisation makes of that. */
static void to_values(const wk_image *image, const wk_transform *normalise, float *values) {
    const int64_t area = image->height * image->width, channels = image->channels;
    float plain[256];
    for (int i = 0; i < 256; i++) plain[i] = (float)i / 255.0F;
    for (int64_t c = 0; c < channels; c++) {
        const float *table = normalise ? wk__normalise_table(normalise, c) : plain;
        const unsigned char *in = image->pixels + c;
        float *out = values + c * area;
        for (int64_t i = 0; i < area; i++) out[i] = table[in[i * channels]];
    }
}

wk_status wk_transforms_apply(wk_transforms list, wk_image *image, wk_draws *draws, wk_image_size size, float *values) {
    int next = 0;
    for (; next < list.count && list.of[next]->class_->pixels; next++)
        WK_TRY(list.of[next]->class_->pixels(list.of[next], image, draws));
    if (image->height != size.height || image->width != size.width)
        return wk_fail(
            WK_SHAPE,
            "an image of %lld × %lld (height × width), others are of %lld × %lld: end the transforms with one "
            "that gives all the same size, as resize: [H, W], centre_crop or random_resized_crop",
            (long long)image->height, (long long)image->width, (long long)size.height, (long long)size.width);
    const bool normalises = next < list.count && wk__normalise_table(list.of[next], 0);
    to_values(image, normalises ? list.of[next] : NULL, values);
    for (next += normalises; next < list.count; next++)
        WK_TRY(
            list.of[next]->class_->values(list.of[next], values, image->channels, image->height, image->width, draws));
    return WK_OK;
}
