/* safetensors.c: libFuzzer over the safetensors parser.
 *
 * Any bytes end in a message, or in tensors whose every byte may be read.
 */
#define WK_NO_CALL_SITES
#include "io/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static volatile unsigned char sink;
    wk_safetensors *file = wk__safetensors_parse(bytes, size, "fuzz");
    if (!file && wk_error_code() != WK_FORMAT) abort();
    wk_scope scope = wk_scope_begin();
    for (int i = 0; file && i < wk_safetensors_count(file); i++) {
        wk_tensor *tensor = wk_safetensors_get(file, wk_safetensors_name(file, i));
        if (!tensor && wk_error_code() != WK_SHAPE) abort(); /* an empty axis beside ones too large for any machine */
        wk_clear_error();
        const unsigned char *data = tensor ? wk_data(tensor) : NULL;
        size_t held = tensor ? (size_t)wk_count(tensor) * wk_dtype_size(wk_dtype_get(tensor)) : 0;
        for (size_t at = 0; at < held; at++) sink = (unsigned char)(sink + data[at]);
    }
    if (file) (void)wk_safetensors_metadata(file, "format");
    wk_scope_end(scope);
    wk_safetensors_close(file);
    wk_clear_error();
    return 0;
}
