/* colour.c: brightness, contrast, saturation and hue, each rounded as Pillow rounds it. */
#include "data/image/image.h"

#include <math.h>

/* from + factor (to - from), cut to 0 … 255; toward 0 as a cast rounds. */
static unsigned char blend(int from, int to, float factor) {
    const float value = (float)from + factor * (float)(to - from);
    return value <= 0 ? 0 : value >= 255 ? 255 : (unsigned char)value;
}

static wk_status check(const char *what, double factor) {
    if (factor >= 0 && isfinite(factor)) return WK_OK;
    return wk_fail(WK_INVALID, "%s factor %g, expected at least 0", what, factor);
}

static void away_from(wk_image *image, int gray, double factor) {
    unsigned char table[256];
    for (int i = 0; i < 256; i++) table[i] = blend(gray, i, (float)factor);
    for (int64_t i = 0; i < image->height * image->width * image->channels; i++)
        image->pixels[i] = table[image->pixels[i]];
}

wk_status wk_image_brightness(wk_image *image, double factor) {
    WK_TRY(check("brightness", factor));
    away_from(image, 0, factor);
    return WK_OK;
}

wk_status wk_image_contrast(wk_image *image, double factor) {
    WK_TRY(check("contrast", factor));
    const int64_t count = image->height * image->width;
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += image->channels == 1 ? image->pixels[i] : wk__luma(image->pixels + 3 * i);
    away_from(image, (int)((double)sum / (double)count + 0.5), factor);
    return WK_OK;
}

wk_status wk_image_saturation(wk_image *image, double factor) {
    WK_TRY(check("saturation", factor));
    if (image->channels == 1) return WK_OK;
    unsigned char *p = image->pixels;
    for (int64_t i = 0; i < image->height * image->width; i++, p += 3) {
        const unsigned char gray = wk__luma(p);
        for (int c = 0; c < 3; c++) p[c] = blend(gray, p[c], (float)factor);
    }
    return WK_OK;
}

/* ---- hue ---- */

typedef struct hsv {
    unsigned char h, s, v;
} hsv;

static hsv to_hsv(const unsigned char *rgb) {
    const int r = rgb[0], g = rgb[1], b = rgb[2];
    const int most = r > g ? (r > b ? r : b) : (g > b ? g : b), least = r < g ? (r < b ? r : b) : (g < b ? g : b);
    if (most == least) return (hsv){ 0, 0, (unsigned char)most };
    const float range = (float)(most - least);
    const float red = (float)(most - r) / range, green = (float)(most - g) / range, blue = (float)(most - b) / range;
    float hue;
    if (r == most)
        hue = blue - green;
    else if (g == most)
        hue = (float)(2.0 + red - blue);
    else
        hue = (float)(4.0 + green - red);
    hue = (float)fmod(hue / 6.0 + 1.0, 1.0);
    return (hsv){ (unsigned char)(int)(hue * 255.0), (unsigned char)(int)(range / (float)most * 255.0),
                  (unsigned char)most };
}

static void to_rgb(unsigned char *rgb, hsv colour) {
    const int v = colour.v;
    if (colour.s == 0) {
        rgb[0] = rgb[1] = rgb[2] = colour.v;
        return;
    }
    const int sixth = (int)floor((float)colour.h * 6.0 / 255.0);
    const float part = (float)((float)colour.h * 6.0 / 255.0 - (float)sixth), s = (float)((float)colour.s / 255.0);
    const unsigned char p = (unsigned char)round((float)v * (1.0 - s)),
                        q = (unsigned char)round((float)v * (1.0 - s * part)),
                        t = (unsigned char)round((float)v * (1.0 - s * (1.0 - part)));
    const unsigned char w = colour.v;
    const unsigned char sixths[6][3] = { { w, t, p }, { q, w, p }, { p, w, t }, { p, q, w }, { t, p, w }, { w, p, q } };
    for (int c = 0; c < 3; c++) rgb[c] = sixths[sixth % 6][c];
}

wk_status wk_image_hue(wk_image *image, double turn) {
    if (!(turn >= -0.5 && turn <= 0.5))
        return wk_fail(WK_INVALID, "a turn of the hue by %g, expected -0.5 to 0.5", turn);
    if (image->channels == 1) return WK_OK;
    const unsigned char step = (unsigned char)(int)(turn * 255);
    unsigned char *p = image->pixels;
    for (int64_t i = 0; i < image->height * image->width; i++, p += 3) {
        hsv colour = to_hsv(p);
        colour.h = (unsigned char)(colour.h + step);
        to_rgb(p, colour);
    }
    return WK_OK;
}
