/* picture.h: what both readers of pictures must keep: a picture that is accepted is as large as it says, and all of it
 * can be read; what is refused is refused with a message. */
#include "wick/data/image.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Files that are nothing but large are of no use here. */
enum { MOST_SIDE = 2000 };

static bool is_large(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i + 8 < size; i++) {
        const bool png = memcmp(bytes + i, "IHDR", 4) == 0,
                   jpeg = bytes[i] == 0xff && bytes[i + 1] >= 0xc0 && bytes[i + 1] <= 0xcf;
        if (png && i + 12 <= size
            && (bytes[i + 4] || bytes[i + 5] || bytes[i + 6] > 7 || bytes[i + 8] || bytes[i + 9] || bytes[i + 10] > 7))
            return true;
        if (jpeg && ((bytes[i + 5] << 8 | bytes[i + 6]) > MOST_SIDE || (bytes[i + 7] << 8 | bytes[i + 8]) > MOST_SIDE))
            return true;
    }
    return false;
}

static int fuzz_picture(const uint8_t *bytes, size_t size, const char *begin, size_t begin_size) {
    if (size < begin_size || memcmp(bytes, begin, begin_size) != 0 || is_large(bytes, size)) return -1;
    for (int channels = 1; channels <= 3; channels += 2) {
        wk_image image = { 0 };
        wk_status status = wk_image_decode(&image, bytes, size, "fuzz", channels);
        if ((status == WK_OK) == wk_failed() || strncmp(wk_message(), "fuzz: ", wk_failed() ? 6 : 0) != 0) abort();
        unsigned sum = 0;
        if (status == WK_OK && (image.channels != channels || image.height < 1 || image.width < 1)) abort();
        for (int64_t i = 0; status == WK_OK && i < image.height * image.width * image.channels; i++)
            sum += image.pixels[i];
        if (sum > 255u * 3 * MOST_SIDE * MOST_SIDE) abort();
        wk_image_free(&image);
        wk_clear_error();
    }
    return 0;
}
