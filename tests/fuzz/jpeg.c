/* jpeg.c: libFuzzer over the JPEG reader. */
#include "picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    return fuzz_picture(bytes, size, "\xff\xd8\xff", 3);
}
