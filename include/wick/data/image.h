/* wick/data/image.h: pictures of eight bits a channel, read from PNG and JPEG, cut, resized and coloured.
 *
 * Arithmetic is that of Pillow, which torchvision's transforms of pictures stand on: for equal parameters pixels are
 * equal, bit for bit.  A picture has two sheets of memory, which only grow: most functions write the one and turn it
 * over.
 */
#ifndef WICK_DATA_IMAGE_H
#define WICK_DATA_IMAGE_H

#include "wick/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* No picture is larger: files that claim to be are refused before memory is taken for them. */
#define WK_IMAGE_MOST_SIDE   65535
#define WK_IMAGE_MOST_PIXELS (INT64_C(1) << 27)

/* Zero-initialised it is empty. */
typedef struct wk_image {
    int64_t height, width, channels; /* 1: gray, 3: red, green, blue */
    unsigned char *pixels;           /* (height, width, channels) */
    unsigned char *other;            /* the second sheet */
    size_t room, other_room;
    const char *name; /* where it is from, for messages, as long as that is there; may be NULL */
} wk_image;
WK_API void wk_image_free(wk_image *image);
/* Room for a picture of this size, its pixels undefined; what it showed is on the other sheet. */
WK_API wk_status wk_image_turn(wk_image *image, int64_t height, int64_t width, int64_t channels);

/* A PNG (gray, palette, RGB, with alpha, of 1 to 16 bits, interlaced) or JPEG (gray, colour, CMYK, progressive) as
 * `channels` 1 or 3.  `name` stands in messages.  As Pillow's open(…).convert("RGB" or "L"): alpha is dropped, not laid
 * over a ground; of sixteen bits the upper eight count (also in gray files, whose values Pillow cuts off at 255);
 * gamma, colour profiles and the orientation in a JPEG's EXIF are ignored, as torchvision's folders ignore them.
 * Errors: WK_FORMAT: neither format, truncated, damaged, larger than the limits. */
WK_API wk_status wk_image_decode(wk_image *image, const void *bytes, size_t size, const char *name, int channels);
/* The same of a file.  Errors: WK_IO too; every message begins with the path. */
WK_API wk_status wk_image_read(wk_image *image, const char *path, int channels);

typedef enum wk_image_border {
    WK_BORDER_FILL,   /* with one value */
    WK_BORDER_EDGE,   /* the outermost pixels go on */
    WK_BORDER_REFLECT /* mirrored at the outermost pixels, which are not repeated */
} wk_image_border;
typedef struct wk_image_outside {
    wk_image_border border;
    unsigned char fill; /* of all channels */
} wk_image_outside;
/* The rectangle from (top, left), which may reach over the edges.  Errors: WK_INVALID: a size below 1 or above the
 * limits; WK_BORDER_REFLECT further than one side beyond the edge. */
WK_API wk_status wk_image_crop(wk_image *image, int64_t top, int64_t left, int64_t height, int64_t width,
                               wk_image_outside outside);
WK_API wk_status wk_image_flip_horizontal(wk_image *image);
WK_API wk_status wk_image_flip_vertical(wk_image *image);
/* Bilinear; pixels that fall together are averaged (antialiasing): Pillow's resize(…, BILINEAR).  Which
 * pass comes first is Pillow 13's choice; older ones begin with the rows always, which may round a value by one
 * otherwise. */
WK_API wk_status wk_image_resize(wk_image *image, int64_t height, int64_t width);
/* Counter-clockwise around the centre, nearest pixel, same size: Pillow's rotate(degrees). */
WK_API wk_status wk_image_rotate(wk_image *image, double degrees, unsigned char fill);
/* torchvision's adjust_…: factor 1 changes nothing, 0 gives black, one gray, or a gray picture.  The hue is turned by
 * `turn`, -0.5 to 0.5 of the circle; gray pictures stay as they are.  Errors: WK_INVALID: a factor below 0. */
WK_API wk_status wk_image_brightness(wk_image *image, double factor);
WK_API wk_status wk_image_contrast(wk_image *image, double factor);
WK_API wk_status wk_image_saturation(wk_image *image, double factor);
WK_API wk_status wk_image_hue(wk_image *image, double turn);

#ifdef __cplusplus
}
#endif
#endif
