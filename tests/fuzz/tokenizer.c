/* tokenizer.c: libFuzzer over tokenizer.json, and over texts with a tokenizer that has every kind of part.
 *
 * Any bytes end in a message or in a tokenizer; whatever it encodes can be decoded.
 */
#include "wick/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void use(const wk_tokenizer *tokenizer, const char *text, size_t size) {
    wk_encoding *e = wk_tokenizer_encode_bytes(tokenizer, text, size, text, size / 2, (wk_encode_opts){ 0 });
    wk_clear_error();
    for (int32_t i = 0; e && i < e->count; i++)
        if (e->offsets[i].begin > e->offsets[i].end || e->offsets[i].end > size) abort();
    char *back = e ? wk_tokenizer_decode(tokenizer, e->ids, e->count, false, NULL) : NULL;
    wk_clear_error();
    wk_free(back);
    wk_encoding_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const char texts[] = "Hello, w\xc3\xb6rld! don't <s> a<mask>  \xe4\xb8\xad\xe6\x96\x87 e\xcc\x81 12";
    char path[64];
    int file = memfd_create("tokenizer", MFD_CLOEXEC);
    if (file < 0 || write(file, bytes, size) != (ssize_t)size) abort();
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    wk_tokenizer *tokenizer = wk_tokenizer_open(path);
    (void)close(file);
    if (!tokenizer && wk_error_code() == WK_OK) abort();
    wk_clear_error();
    if (!tokenizer) return 0;
    use(tokenizer, texts, sizeof texts - 1);
    use(tokenizer, (const char *)bytes, size);
    wk_tokenizer_destroy(tokenizer);
    return 0;
}
