/* image.c: the sheets of a picture, and which decoder a file is for. */
#include "data/image/image.h"

#include "io/file.h"

#include <string.h>

enum { MOST_FILE_BYTES = 1 << 29 };

void wk_image_free(wk_image *image) {
    wk_free(image->pixels);
    wk_free(image->other);
    *image = (wk_image){ 0 };
}

wk_status wk_image_turn(wk_image *image, int64_t height, int64_t width, int64_t channels) {
    if (height < 1 || width < 1 || height > WK_IMAGE_MOST_SIDE || width > WK_IMAGE_MOST_SIDE
        || height * width > WK_IMAGE_MOST_PIXELS || (channels != 1 && channels != 3))
        return wk_fail(
            WK_INVALID,
            "an image of %lld × %lld (height × width) with %lld channels: expected sides of 1 to %d, at most "
            "%lld pixels, 1 or 3 channels",
            (long long)height, (long long)width, (long long)channels, WK_IMAGE_MOST_SIDE,
            (long long)WK_IMAGE_MOST_PIXELS);
    const size_t needed = (size_t)(height * width * channels);
    if (image->other_room < needed) {
        unsigned char *sheet = wk_alloc_data(needed);
        if (!sheet) return wk_error_code();
        wk_free(image->other);
        image->other = sheet;
        image->other_room = needed;
    }
    unsigned char *pixels = image->other;
    const size_t room = image->other_room;
    image->other = image->pixels;
    image->other_room = image->room;
    image->pixels = pixels;
    image->room = room;
    image->height = height;
    image->width = width;
    image->channels = channels;
    return WK_OK;
}

wk_status wk__image_check(const char *name, uint64_t height, uint64_t width) {
    if (height > 0 && width > 0 && height <= WK_IMAGE_MOST_SIDE && width <= WK_IMAGE_MOST_SIDE
        && height * width <= (uint64_t)WK_IMAGE_MOST_PIXELS)
        return WK_OK;
    return wk_fail(WK_FORMAT,
                   "%s: an image of %llu × %llu (height × width), expected sides of 1 to %d and at most %lld pixels",
                   name, (unsigned long long)height, (unsigned long long)width, WK_IMAGE_MOST_SIDE,
                   (long long)WK_IMAGE_MOST_PIXELS);
}

static wk_status to_gray(wk_image *image) {
    WK_TRY(wk_image_turn(image, image->height, image->width, 1));
    for (int64_t i = 0; i < image->height * image->width; i++) image->pixels[i] = wk__luma(image->other + 3 * i);
    return WK_OK;
}

static wk_status to_colour(wk_image *image) {
    WK_TRY(wk_image_turn(image, image->height, image->width, 3));
    for (int64_t i = 0; i < image->height * image->width; i++)
        image->pixels[3 * i] = image->pixels[3 * i + 1] = image->pixels[3 * i + 2] = image->other[i];
    return WK_OK;
}

wk_status wk_image_decode(wk_image *image, const void *bytes, size_t size, const char *name, int channels) {
    static const unsigned char png[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' }, jpeg[3] = { 0xff, 0xd8, 0xff };
    if (channels != 1 && channels != 3)
        return wk_fail(WK_INVALID, "%s: %d channels are asked for, expected 1 or 3", name, channels);
    if (size >= sizeof png && memcmp(bytes, png, sizeof png) == 0)
        WK_TRY(wk__png_decode(image, bytes, size, name));
    else if (size >= sizeof jpeg && memcmp(bytes, jpeg, sizeof jpeg) == 0)
        WK_TRY(wk__jpeg_decode(image, bytes, size, name));
    else
        return wk_fail(WK_FORMAT, "%s: neither a PNG nor a JPEG file (%zu bytes)", name, size);
    if (image->channels == channels) return WK_OK;
    return channels == 1 ? to_gray(image) : to_colour(image);
}

wk_status wk_image_read(wk_image *image, const char *path, int channels) {
    size_t size = 0;
    char *bytes = wk__read_file(path, MOST_FILE_BYTES, &size);
    if (!bytes) return wk_error_code();
    wk_status status = wk_image_decode(image, bytes, size, path, channels);
    wk_free(bytes);
    return status;
}
