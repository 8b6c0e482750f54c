/* png.c: see png.h.  zlib packs; the rest of the format is a page. */
#include "io/png.h"

#include "io/file.h"

#include <string.h>
#include <zlib.h>

static void big(wk_text *out, uint32_t value) {
    for (int i = 3; i >= 0; i--) wk_text_add(out, (char[]){ (char)(value >> (8 * i) & 255) }, 1);
}

static void chunk(wk_text *png, const char *kind, const unsigned char *data, size_t size) {
    uLong crc = crc32(crc32(0, (const Bytef *)kind, 4), data, (uInt)size);
    big(png, (uint32_t)size);
    wk_text_add(png, kind, 4);
    wk_text_add(png, (const char *)data, size);
    big(png, (uint32_t)crc);
}

/* A header, the rows deflated as they are (filter 0), an end. */
wk_status wk__png_encode(wk_text *png, const unsigned char *pixels, int height, int width, int channels) {
    static const char signature[] = "\x89PNG\r\n\x1a\n";
    const unsigned char color = channels == 1 ? 0 : channels == 3 ? 2 : 6;
    const unsigned char header[13] = { (unsigned char)(width >> 24),
                                       (unsigned char)(width >> 16),
                                       (unsigned char)(width >> 8),
                                       (unsigned char)width,
                                       (unsigned char)(height >> 24),
                                       (unsigned char)(height >> 16),
                                       (unsigned char)(height >> 8),
                                       (unsigned char)height,
                                       8,
                                       color };
    size_t row = (size_t)width * (size_t)channels, size = (row + 1) * (size_t)height;
    uLongf packed_size = compressBound((uLong)size);
    unsigned char *rows = wk_alloc(size), *deflated = wk_alloc(packed_size);
    for (int y = 0; rows && y < height; y++) memcpy(rows + (size_t)y * (row + 1) + 1, pixels + (size_t)y * row, row);
    wk_status status = rows && deflated ? WK_OK : WK_NO_MEMORY;
    if (status == WK_OK && compress2(deflated, &packed_size, rows, (uLong)size, 6) != Z_OK)
        status = wk_fail(WK_INTERNAL, "an image of %d × %d could not be deflated", width, height);
    if (status == WK_OK) {
        wk_text_add(png, signature, 8);
        chunk(png, "IHDR", header, sizeof header);
        chunk(png, "IDAT", deflated, packed_size);
        chunk(png, "IEND", header, 0);
    }
    wk_free(deflated);
    wk_free(rows);
    return status;
}

wk_status wk__png_write(const char *path, const unsigned char *pixels, int height, int width, int channels) {
    const char *name = strrchr(path, '/');
    char *folder = name ? wk_format("%.*s", (int)(name - path), path) : wk_strdup(".");
    wk_text png = { 0 };
    wk_status status = folder ? wk__make_folder(folder) : WK_NO_MEMORY;
    if (status == WK_OK) status = wk__png_encode(&png, pixels, height, width, channels);
    if (status == WK_OK) status = png.failed ? WK_NO_MEMORY : wk__write_file(path, wk_text_get(&png), png.size);
    wk_text_free(&png);
    wk_free(folder);
    return status;
}

void wk__base64(wk_text *out, const void *bytes, size_t size) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *b = bytes;
    for (size_t i = 0; i < size; i += 3) {
        unsigned three =
            (unsigned)b[i] << 16 | (i + 1 < size ? (unsigned)b[i + 1] << 8 : 0) | (i + 2 < size ? b[i + 2] : 0u);
        char four[4] = { letters[three >> 18], letters[three >> 12 & 63], letters[three >> 6 & 63],
                         letters[three & 63] };
        if (i + 1 >= size) four[2] = '=';
        if (i + 2 >= size) four[3] = '=';
        wk_text_add(out, four, 4);
    }
}
