/* png.c: libFuzzer over the PNG reader. */
#include "picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    return fuzz_picture(bytes, size, "\x89PNG\r\n\x1a\n", 8);
}
