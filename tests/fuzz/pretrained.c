/* pretrained.c: libFuzzer over the config.json of a folder in Hugging Face's layout, beside weights of a small encoder.
 *
 * Any bytes end in a message or in a network; none asks for more memory than the weights explain.
 */
#include "fuzz/folder.h"
#include "wick/io.h"
#include "wick/models.h"
#include "wick/tasks.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    fuzz_folder_make();
    wk_module *model = wk_bert((wk_bert_opts){
        .layers = 1, .heads = 2, .width = 8, .feedforward = 16, .vocabulary = 11, .context = 6, .types = 2 });
    if (!model || wk_module_save(model, fuzz_path("model.safetensors")) != WK_OK) abort();
    wk_module_destroy(model);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    fuzz_put("config.json", bytes, size);
    wk_module *model = wk_pretrained_open(fuzz_path(""), (wk_pretrained_opts){ 0 });
    if (!model && wk_error_code() == WK_OK) abort();
    wk_clear_error();
    wk_module_destroy(model);
    return 0;
}
