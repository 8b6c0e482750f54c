/* npy.c: libFuzzer over the npy and npz parsers.
 *
 * Any bytes end in a message, or in tensors whose every byte may be read; an npz gives no more than it can hold.
 */
#define WK_NO_CALL_SITES
#include "io/npy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void look_at(wk_tensor *tensor) {
    static volatile unsigned char sink;
    const unsigned char *data = tensor ? wk_data(tensor) : NULL;
    size_t held = tensor ? (size_t)wk_count(tensor) * wk_dtype_size(wk_dtype_get(tensor)) : 0;
    for (size_t at = 0; at < held; at++) sink = (unsigned char)(sink + data[at]);
    wk_status code = wk_error_code();
    if (!tensor && code != WK_FORMAT && code != WK_SHAPE && code != WK_DTYPE && code != WK_NO_MEMORY) abort();
    wk_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    wk_scope scope = wk_scope_begin();
    look_at(wk__npy_read(bytes, size, "fuzz"));
    wk_npz *file = wk__npz_parse(bytes, size, "fuzz");
    if (!file && wk_error_code() != WK_FORMAT) abort();
    wk_clear_error();
    for (int i = 0; file && i < wk_npz_count(file); i++) look_at(wk_npz_get(file, wk_npz_name(file, i)));
    wk_npz_close(file);
    wk_scope_end(scope);
    return 0;
}
