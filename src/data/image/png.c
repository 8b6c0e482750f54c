/* png.c: PNG by libpng, whose errors are long jumps: they end in one place here, where what was taken is given back.
 *
 * Whatever the file holds becomes 8 bits of gray or RGB.  The library's own limits stand beside ours: chunks that it
 * would keep (texts, profiles) are small and few.
 */
#include "data/image/image.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

enum { MOST_CHUNK_BYTES = 1 << 22, MOST_CHUNKS = 64 };

typedef struct source {
    const unsigned char *bytes;
    size_t size, at;
    const char *name;
    png_structp png;
    png_infop info;
    png_bytep *rows;
    wk_image *image;
} source;

static void read_bytes(png_structp png, png_bytep out, size_t size) {
    source *s = png_get_io_ptr(png);
    if (s->size - s->at < size) png_error(png, "truncated");
    memcpy(out, s->bytes + s->at, size);
    s->at += size;
}

static void failed(png_structp png, png_const_charp message) {
    const source *s = png_get_error_ptr(png);
    if (!wk_failed()) (void)wk_fail(WK_FORMAT, "%s: this PNG cannot be read: %s", s->name, message);
    png_longjmp(png, 1);
}

static void warned(png_structp png, png_const_charp message) {
    (void)png, (void)message; /* ancillary chunks: the pixels are whole */
}

static void *take(png_structp png, png_alloc_size_t size) {
    (void)png;
    return wk_alloc(size);
}

static void give(png_structp png, void *memory) {
    (void)png;
    wk_free(memory);
}

/* Behind a failure of Wick's own: libpng is left as it leaves for its own. */
static void check(source *s, wk_status status) {
    if (status != WK_OK) png_error(s->png, "refused");
}

static void read_picture(source *s) {
    png_structp png = s->png;
    png_read_info(png, s->info);
    const png_uint_32 height = png_get_image_height(png, s->info), width = png_get_image_width(png, s->info);
    check(s, wk__image_check(s->name, height, width));
    const int colour = png_get_color_type(png, s->info);
    if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
    if (!(colour & PNG_COLOR_MASK_COLOR)) png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    (void)png_set_interlace_handling(png);
    png_read_update_info(png, s->info);
    const int channels = png_get_channels(png, s->info);
    check(s, wk_image_turn(s->image, height, width, channels));
    s->rows = png_malloc(png, height * sizeof *s->rows);
    for (png_uint_32 y = 0; y < height; y++) s->rows[y] = s->image->pixels + (size_t)y * width * (size_t)channels;
    png_read_image(png, s->rows);
    png_read_end(png, NULL);
}

wk_status wk__png_decode(wk_image *image, const void *bytes, size_t size, const char *name) {
    source s = { .bytes = bytes, .size = size, .name = name, .image = image };
    s.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &s, failed, warned, NULL, take, give);
    s.info = s.png ? png_create_info_struct(s.png) : NULL;
    if (s.info && !setjmp(png_jmpbuf(s.png))) {
        png_set_read_fn(s.png, &s, read_bytes);
        png_set_user_limits(s.png, WK_IMAGE_MOST_SIDE, WK_IMAGE_MOST_SIDE);
        png_set_chunk_malloc_max(s.png, MOST_CHUNK_BYTES);
        png_set_chunk_cache_max(s.png, MOST_CHUNKS);
        read_picture(&s);
    } else if (!wk_failed()) {
        (void)wk_fail(WK_NO_MEMORY, "%s: no memory for the PNG reader", name);
    }
    if (s.png && s.rows) png_free(s.png, s.rows);
    if (s.png) png_destroy_read_struct(&s.png, &s.info, NULL);
    return wk_failed() ? wk_error_code() : WK_OK;
}
