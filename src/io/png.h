/* png.h: images as PNG, and bytes as text of a page. */
#ifndef WICK_SRC_IO_PNG_H
#define WICK_SRC_IO_PNG_H

#include "base/base.h"

/* (height, width, channels) bytes, 1, 3 or 4 channels; the file is added to the text. */
WK_API wk_status wk__png_encode(wk_text *png, const unsigned char *pixels, int height, int width, int channels);
/* The same as a file, whose folder is made. */
WK_API wk_status wk__png_write(const char *path, const unsigned char *pixels, int height, int width, int channels);
WK_API void wk__base64(wk_text *out, const void *bytes, size_t size);

#endif
