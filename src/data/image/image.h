/* image.h: the decoders, and what picture functions share. */
#ifndef WICK_SRC_DATA_IMAGE_H
#define WICK_SRC_DATA_IMAGE_H

#include "base/base.h"
#include "wick/data/image.h"

/* The file's own channels, 8 bits each: 1 or 3.  Messages begin with `name`. */
wk_status wk__png_decode(wk_image *image, const void *bytes, size_t size, const char *name);
wk_status wk__jpeg_decode(wk_image *image, const void *bytes, size_t size, const char *name);
/* WK_FORMAT if a file claims more than the limits, or nothing. */
wk_status wk__image_check(const char *name, uint64_t height, uint64_t width);

/* ITU-R 601-2 luma as Pillow rounds it. */
static inline unsigned char wk__luma(const unsigned char *rgb) {
    return (unsigned char)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

#endif
