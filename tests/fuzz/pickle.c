/* pickle.c: libFuzzer over the pickles of PyTorch's files, and over the files.
 *
 * Any bytes end in a message or in values; a tensor that is described lies within its storage.
 */
#define WK_NO_CALL_SITES
#include "io/pickle.h"
#include "io/torch_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void look_at_file(const uint8_t *bytes, size_t size) {
    wk_scope scope = wk_scope_begin();
    wk_torch_file *file = wk__torch_parse(bytes, size, "fuzz");
    if (!file && wk_error_code() != WK_FORMAT) abort();
    wk_clear_error();
    for (int i = 0; file && i < wk_torch_count(file); i++) {
        wk_tensor *t = wk_torch_get(file, wk_torch_name(file, i));
        const wk_status code = wk_error_code();
        if (!t && code != WK_FORMAT && code != WK_SHAPE && code != WK_NO_MEMORY) abort();
        wk_clear_error();
    }
    wk_torch_close(file);
    wk_scope_end(scope);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    wk__arena arena = { 0 };
    wk__pickle_rest rest;
    const wk__pickled *value = wk__pickle_read(bytes, size, "fuzz", &arena, &rest);
    if (rest.used > size) abort();
    if (!value && wk_error_code() != WK_FORMAT) abort();
    wk_clear_error();
    wk__arena_destroy(&arena);
    look_at_file(bytes, size);
    return 0;
}
