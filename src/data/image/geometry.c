/* geometry.c: crops, flips and turns of pictures: which pixel stands where. */
#include "data/image/image.h"

#include <math.h>
#include <string.h>

/* ---- crops ---- */

/* The place in 0 … size - 1 that `at` shows; -1: the fill. */
static int64_t place(int64_t at, int64_t size, wk_image_border border) {
    if (at >= 0 && at < size) return at;
    switch (border) {
    case WK_BORDER_EDGE: return at < 0 ? 0 : size - 1;
    case WK_BORDER_REFLECT: return at < 0 ? -at : 2 * (size - 1) - at;
    case WK_BORDER_FILL:
    default: return -1;
    }
}

static void crop_row(unsigned char *out, const unsigned char *row /* NULL: outside */, int64_t left, int64_t width,
                     int64_t from_width, int64_t channels, wk_image_outside outside) {
    const size_t pixel = (size_t)channels;
    if (!row) {
        memset(out, outside.fill, (size_t)width * pixel);
        return;
    }
    const int64_t first = left < 0 ? (-left < width ? -left : width) : 0; /* of those that lie inside */
    const int64_t end = from_width - left < width ? (from_width - left > first ? from_width - left : first) : width;
    if (end > first)
        memcpy(out + (size_t)first * pixel, row + (size_t)(left + first) * pixel, (size_t)(end - first) * pixel);
    for (int64_t x = 0; x < width; x++) {
        if (x == first && end > first) x = end;
        if (x >= width) break;
        const int64_t from = place(left + x, from_width, outside.border);
        if (from < 0)
            memset(out + (size_t)x * pixel, outside.fill, pixel);
        else
            memcpy(out + (size_t)x * pixel, row + (size_t)from * pixel, pixel);
    }
}

static bool reaches_too_far(int64_t from, int64_t count, int64_t size) {
    return -from >= size || from + count - size >= size;
}

wk_status wk_image_crop(wk_image *image, int64_t top, int64_t left, int64_t height, int64_t width,
                        wk_image_outside outside) {
    const int64_t from_height = image->height, from_width = image->width;
    const int64_t far = 4 * (int64_t)WK_IMAGE_MOST_SIDE;
    if (top < -far || left < -far || top > far || left > far)
        return wk_fail(WK_INVALID, "a crop at row %lld, column %lld: expected at most %lld either way", (long long)top,
                       (long long)left, (long long)far);
    if (top == 0 && left == 0 && height == from_height && width == from_width) return WK_OK;
    if (outside.border == WK_BORDER_REFLECT
        && (reaches_too_far(top, height, from_height) || reaches_too_far(left, width, from_width)))
        return wk_fail(WK_INVALID,
                       "an image of %lld × %lld cannot be mirrored as far as a crop of %lld × %lld at (%lld, %lld) "
                       "reaches: pad by less than its sides",
                       (long long)from_height, (long long)from_width, (long long)height, (long long)width,
                       (long long)top, (long long)left);
    WK_TRY(wk_image_turn(image, height, width, image->channels));
    for (int64_t y = 0; y < height; y++) {
        const int64_t from = place(top + y, from_height, outside.border);
        crop_row(image->pixels + y * width * image->channels,
                 from < 0 ? NULL : image->other + from * from_width * image->channels, left, width, from_width,
                 image->channels, outside);
    }
    return WK_OK;
}

/* ---- flips ---- */

wk_status wk_image_flip_horizontal(wk_image *image) {
    const size_t pixel = (size_t)image->channels;
    for (int64_t y = 0; y < image->height; y++) {
        unsigned char *left = image->pixels + y * image->width * image->channels,
                      *right = left + (image->width - 1) * image->channels;
        for (; left < right; left += pixel, right -= pixel)
            for (size_t c = 0; c < pixel; c++) {
                const unsigned char kept = left[c];
                left[c] = right[c];
                right[c] = kept;
            }
    }
    return WK_OK;
}

wk_status wk_image_flip_vertical(wk_image *image) {
    WK_TRY(wk_image_turn(image, image->height, image->width, image->channels));
    const size_t row = (size_t)(image->width * image->channels);
    for (int64_t y = 0; y < image->height; y++)
        memcpy(image->pixels + (size_t)y * row, image->other + (size_t)(image->height - 1 - y) * row, row);
    return WK_OK;
}

/* ---- turns ---- */

/* By quarters no pixel is lost. */
static wk_status turn_quarters(wk_image *image, int quarters) {
    const int64_t height = image->height, width = image->width, c = image->channels;
    if (quarters == 2) {
        WK_TRY(wk_image_flip_vertical(image));
        return wk_image_flip_horizontal(image);
    }
    WK_TRY(wk_image_turn(image, width, height, c)); /* a square: Pillow fits others into their frame by the way below */
    for (int64_t y = 0; y < width; y++)
        for (int64_t x = 0; x < height; x++) {
            const int64_t from_y = quarters == 1 ? x : height - 1 - x, from_x = quarters == 1 ? width - 1 - y : y;
            memcpy(image->pixels + (y * height + x) * c, image->other + (from_y * width + from_x) * c, (size_t)c);
        }
    return WK_OK;
}

/* Fifteen decimal places, so that a cosine of a right angle is 0. */
static double rounded(double value) {
    return rint(value * 1e15) / 1e15;
}

/* In 16 bits before the point and 16 behind it. */
static int64_t fixed(double value) {
    return (int64_t)floor(value * 65536 + 0.5);
}

/* A larger picture would overflow the 16 bits: its places are computed one by one. */
enum { MOST_FIXED_SIDE = 32768 };

typedef struct turn {
    double a, b, c, d, e, f; /* from (x, y) of the result: (a x + b y + c, d x + e y + f) */
} turn;

static void copy_pixel(wk_image *image, int64_t to, int64_t x, int64_t y, unsigned char fill) {
    const size_t pixel = (size_t)image->channels;
    unsigned char *out = image->pixels + (size_t)to * pixel;
    if (x < 0 || y < 0 || x >= image->width || y >= image->height)
        memset(out, fill, pixel);
    else
        memcpy(out, image->other + (size_t)(y * image->width + x) * pixel, pixel);
}

static void turn_fixed(wk_image *image, const turn *t, unsigned char fill) {
    const int64_t a = fixed(t->a), b = fixed(t->b), d = fixed(t->d), e = fixed(t->e);
    int64_t row_x = fixed(t->c + t->a * 0.5 + t->b * 0.5), row_y = fixed(t->f + t->d * 0.5 + t->e * 0.5);
    for (int64_t y = 0, to = 0; y < image->height; y++, row_x += b, row_y += e) {
        int64_t at_x = row_x, at_y = row_y;
        for (int64_t x = 0; x < image->width; x++, to++, at_x += a, at_y += d)
            copy_pixel(image, to, at_x >> 16, at_y >> 16, fill);
    }
}

static void turn_exact(wk_image *image, const turn *t, unsigned char fill) {
    for (int64_t y = 0, to = 0; y < image->height; y++)
        for (int64_t x = 0; x < image->width; x++, to++) {
            const double at_x = t->a * ((double)x + 0.5) + t->b * ((double)y + 0.5) + t->c,
                         at_y = t->d * ((double)x + 0.5) + t->e * ((double)y + 0.5) + t->f;
            copy_pixel(image, to, (int64_t)floor(at_x), (int64_t)floor(at_y), fill);
        }
}

wk_status wk_image_rotate(wk_image *image, double degrees, unsigned char fill) {
    static const double PI = 3.14159265358979323846;
    if (!isfinite(degrees)) return wk_fail(WK_INVALID, "an image cannot be turned by %g degrees", degrees);
    degrees = fmod(degrees, 360);
    if (degrees < 0) degrees += 360;
    const bool is_square = image->height == image->width;
    if (degrees == 0 || degrees == 360) return WK_OK;
    if (degrees == 180 || (is_square && (degrees == 90 || degrees == 270)))
        return turn_quarters(image, (int)(degrees / 90));
    const double angle = -degrees * PI / 180, x = (double)image->width / 2, y = (double)image->height / 2;
    turn t = {
        .a = rounded(cos(angle)), .b = rounded(sin(angle)), .d = rounded(-sin(angle)), .e = rounded(cos(angle))
    };
    t.c = t.a * -x + t.b * -y + x;
    t.f = t.d * -x + t.e * -y + y;
    WK_TRY(wk_image_turn(image, image->height, image->width, image->channels));
    if (image->height < MOST_FIXED_SIDE && image->width < MOST_FIXED_SIDE)
        turn_fixed(image, &t, fill);
    else
        turn_exact(image, &t, fill);
    return WK_OK;
}
