/* resize.c: bilinear with antialiasing, in Pillow's integers.
 *
 * Each pixel of the result is a weighted sum of those under a triangle, which is as wide as the step where a picture
 * shrinks.  Weights have 22 bits behind the point; rows and columns are two passes, and what lies between them is
 * rounded to 8 bits.  The pass of the columns runs over whole rows, so that it is vectorised.
 */
#include "data/image/image.h"

#include <math.h>

enum { BITS = 22, HALF = 1 << (BITS - 1), TILE = 512 };

typedef struct weights {
    int64_t taps;   /* room for each place */
    int64_t *first; /* (to): the first pixel under the triangle */
    int64_t *count; /* (to) */
    int32_t *value; /* (to, taps) */
} weights;

static void weights_free(weights *w) {
    wk_free(w->first);
    wk_free(w->value);
}

static double triangle(double x) {
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static void weigh(weights *w, double *share /* (taps) */, int64_t at, int64_t from, double scale) {
    const double step = scale < 1 ? 1 : scale, centre = ((double)at + 0.5) * scale;
    int64_t first = (int64_t)(centre - step + 0.5), end = (int64_t)(centre + step + 0.5);
    double sum = 0;
    if (first < 0) first = 0;
    if (end > from) end = from;
    for (int64_t i = 0; i < end - first; i++) {
        share[i] = triangle(((double)(i + first) - centre + 0.5) * (1 / step));
        sum += share[i];
    }
    int32_t *value = w->value + at * w->taps;
    for (int64_t i = 0; i < end - first; i++) {
        if (sum != 0) share[i] /= sum;
        value[i] = (int32_t)(share[i] * (1 << BITS) + 0.5);
    }
    w->first[at] = first;
    w->count[at] = end - first;
}

static wk_status weights_make(weights *w, int64_t from, int64_t to) {
    const double scale = (double)from / (double)to;
    w->taps = (int64_t)ceil(scale < 1 ? 1 : scale) * 2 + 1;
    w->first = wk_alloc_data(2 * (size_t)to * sizeof *w->first);
    w->value = w->first ? wk_alloc_data((size_t)(to * w->taps) * sizeof *w->value) : NULL;
    double *share = w->value ? wk_alloc_data((size_t)w->taps * sizeof *share) : NULL;
    if (!share) {
        weights_free(w);
        *w = (weights){ 0 };
        return wk_error_code();
    }
    w->count = w->first + to;
    for (int64_t i = 0; i < to; i++) weigh(w, share, i, from, scale);
    wk_free(share);
    return WK_OK;
}

/* No sum of such weights leaves 0 … 255 by more than its rounding. */
static unsigned char rounded(int32_t sum) {
    const int32_t value = sum >> BITS;
    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void row_gray(unsigned char *out, const unsigned char *in, const weights *w, int64_t to) {
    for (int64_t x = 0; x < to; x++) {
        const unsigned char *at = in + w->first[x];
        const int32_t *value = w->value + x * w->taps;
        int32_t sum = HALF;
        for (int64_t i = 0; i < w->count[x]; i++) sum += at[i] * value[i];
        out[x] = rounded(sum);
    }
}

static void row_colour(unsigned char *out, const unsigned char *in, const weights *w, int64_t to) {
    for (int64_t x = 0; x < to; x++, out += 3) {
        const unsigned char *at = in + 3 * w->first[x];
        const int32_t *value = w->value + x * w->taps;
        int32_t red = HALF, green = HALF, blue = HALF;
        for (int64_t i = 0; i < w->count[x]; i++, at += 3) {
            red += at[0] * value[i];
            green += at[1] * value[i];
            blue += at[2] * value[i];
        }
        out[0] = rounded(red);
        out[1] = rounded(green);
        out[2] = rounded(blue);
    }
}

/* One row of the result out of `count` rows, a tile of sums after the other. */
static void column(unsigned char *out, const unsigned char *in, int64_t row, const int32_t *value, int64_t count) {
    int32_t sum[TILE];
    for (int64_t begin = 0; begin < row; begin += TILE) {
        const int64_t size = row - begin < TILE ? row - begin : TILE;
        for (int64_t x = 0; x < size; x++) sum[x] = HALF;
        for (int64_t i = 0; i < count; i++) {
            const unsigned char *at = in + i * row + begin;
            const int32_t weight = value[i];
            for (int64_t x = 0; x < size; x++) sum[x] += at[x] * weight;
        }
        for (int64_t x = 0; x < size; x++) out[begin + x] = rounded(sum[x]);
    }
}

static wk_status resize_rows(wk_image *image, int64_t width) {
    const int64_t from = image->width;
    weights w = { 0 };
    WK_TRY(weights_make(&w, from, width));
    wk_status status = wk_image_turn(image, image->height, width, image->channels);
    for (int64_t y = 0; status == WK_OK && y < image->height; y++) {
        unsigned char *out = image->pixels + y * width * image->channels;
        const unsigned char *in = image->other + y * from * image->channels;
        (image->channels == 1 ? row_gray : row_colour)(out, in, &w, width);
    }
    weights_free(&w);
    return status;
}

static wk_status resize_columns(wk_image *image, int64_t height) {
    const int64_t row = image->width * image->channels;
    weights w = { 0 };
    WK_TRY(weights_make(&w, image->height, height));
    wk_status status = wk_image_turn(image, height, image->width, image->channels);
    for (int64_t y = 0; status == WK_OK && y < height; y++)
        column(image->pixels + y * row, image->other + w.first[y] * row, row, w.value + y * w.taps, w.count[y]);
    weights_free(&w);
    return status;
}

/* Pillow 13's choice: where more than twice as many rows go as columns. */
static bool columns_first(const wk_image *image, int64_t height, int64_t width) {
    return height < image->height && image->height - height > 2 * (image->width - width);
}

wk_status wk_image_resize(wk_image *image, int64_t height, int64_t width) {
    if (height < 1 || width < 1 || height > WK_IMAGE_MOST_SIDE || width > WK_IMAGE_MOST_SIDE)
        return wk_fail(WK_INVALID, "an image cannot become %lld × %lld (height × width): expected sides of 1 to %d",
                       (long long)height, (long long)width, WK_IMAGE_MOST_SIDE);
    const bool columns = columns_first(image, height, width);
    if (columns) WK_TRY(resize_columns(image, height));
    if (width != image->width) WK_TRY(resize_rows(image, width));
    return height != image->height ? resize_columns(image, height) : WK_OK;
}
