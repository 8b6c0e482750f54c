/* vocabulary.c: libFuzzer over the tokenizers of before tokenizer.json: BERT's vocab.txt, the pairs of GPT-2 and
 * RoBERTa, and tokenizer_config.json.
 *
 * Any bytes end in a message or in a tokenizer; whatever it encodes can be decoded.
 */
#include "fuzz/folder.h"
#include "wick/text.h"

#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char *const files[][2] = { { "vocab.txt", "tokenizer_config.json" },
                                        { "vocab.json", "merges.txt" },
                                        { "encoder.json", "vocab.bpe" } };

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    fuzz_folder_make();
    return 0;
}

/* The first byte says which pair, a zero byte parts the two. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const char text[] = "Hello, w\xc3\xb6rld! don't <s> [MASK]  \xe4\xb8\xad\xe6\x96\x87 e\xcc\x81 12";
    if (size < 1) return 0;
    const char *const *pair = files[bytes[0] % 3];
    const uint8_t *first = bytes + 1, *cut = memchr(first, 0, size - 1);
    const size_t length = cut ? (size_t)(cut - first) : size - 1;
    fuzz_put(pair[0], first, length);
    if (cut) fuzz_put(pair[1], cut + 1, size - 2 - length);
    wk_tokenizer *tokenizer = wk_tokenizer_open(fuzz_path(""));
    if (!tokenizer && wk_error_code() == WK_OK) abort();
    wk_clear_error();
    for (int i = 0; i < 2; i++) (void)unlink(fuzz_path(pair[i]));
    if (!tokenizer) return 0;
    wk_encoding *e = wk_tokenizer_encode(tokenizer, text, NULL, (wk_encode_opts){ 0 });
    wk_clear_error();
    char *back = e ? wk_tokenizer_decode(tokenizer, e->ids, e->count, false, NULL) : NULL;
    wk_clear_error();
    wk_free(back);
    wk_encoding_free(e);
    wk_tokenizer_destroy(tokenizer);
    return 0;
}
