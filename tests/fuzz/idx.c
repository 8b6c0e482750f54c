/* idx.c: libFuzzer over the IDX parser: what it accepts lies wholly within the bytes. */
#include "data/idx.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    wk__idx idx = { 0 };
    wk_status status = wk__idx_parse(bytes, size, "fuzz", &idx);
    if (status != WK_OK && wk_error_code() != WK_FORMAT) abort();
    if (status == WK_OK) {
        int64_t count = 1;
        for (int i = 0; i < idx.rank; i++) count *= idx.dims[i];
        if (count < 0 || (uint64_t)count > size || idx.data < bytes || idx.data + count != bytes + size) abort();
    }
    wk_clear_error();
    return 0;
}
