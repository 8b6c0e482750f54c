/* shards.c: libFuzzer over model.safetensors.index.json, beside a file that it may name.
 *
 * Any bytes end in a message, or in tensors whose every byte may be read; no file outside of the folder is opened.
 */
#define WK_NO_CALL_SITES
#include "fuzz/folder.h"
#include "wick/io.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    fuzz_folder_make();
    wk_scope scope = wk_scope_begin();
    wk_tensor *tensors[] = { wk_full(WK_F32, WK_DIMS(2, 3), 1), wk_full(WK_I64, WK_DIMS(4), 2) };
    const char *const names[] = { "a", "b" };
    if (wk_safetensors_save(fuzz_path("one.safetensors"), (wk_named_tensors){ tensors, names, 2 }, NULL, 0) != WK_OK)
        abort();
    wk_scope_end(scope);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static volatile unsigned char sink;
    fuzz_put("model.safetensors.index.json", bytes, size);
    wk_safetensors *file = wk_safetensors_open(fuzz_path("model.safetensors.index.json"));
    if (!file && wk_error_code() != WK_FORMAT && wk_error_code() != WK_IO) abort();
    wk_scope scope = wk_scope_begin();
    for (int i = 0; file && i < wk_safetensors_count(file); i++) {
        wk_tensor *tensor = wk_safetensors_get(file, wk_safetensors_name(file, i));
        if (!tensor) abort();
        const unsigned char *data = wk_data(tensor);
        for (int64_t at = 0; at < wk_count(tensor); at++) sink = (unsigned char)(sink + data[at]);
    }
    wk_scope_end(scope);
    wk_safetensors_close(file);
    wk_clear_error();
    return 0;
}
