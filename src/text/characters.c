/* characters.c: the vocabulary of a text's own characters, for models that are to spell.  It is a tokenizer.json like
 * any other: a word level of words of one character each. */
#include "text.h"

enum { POINTS = 0x110000 };

/* One flag a code point; NULL with an error pending. */
static unsigned char *points_of(const char *text, size_t size) {
    unsigned char *seen = wk_alloc(POINTS);
    for (size_t at = 0; seen && at < size && !wk_failed();) {
        uint32_t bytes = 0;
        const int32_t point = wk__utf8(text + at, &bytes);
        if (point == 0) (void)wk_fail(WK_FORMAT, "byte %zu is a NUL, which no token can hold", at);
        seen[point] = 1;
        at += bytes;
    }
    if (!wk_failed()) return seen;
    wk_free(seen);
    return NULL;
}

/* In the order of their code points. */
static json_t *vocabulary_of(const unsigned char *seen) {
    json_t *vocab = json_object();
    json_int_t count = 0;
    for (int32_t point = 1; vocab && point < POINTS; point++) {
        char token[5] = "";
        if (!seen[point]) continue;
        token[wk__utf8_put(point, token)] = '\0';
        if (json_object_set_new(vocab, token, json_integer(count++)) == 0) continue;
        json_decref(vocab);
        vocab = NULL;
    }
    return vocab;
}

wk_tokenizer *wk_tokenizer_characters(const char *text, size_t size) {
    if (wk_failed()) return NULL;
    if (size == 0) return wk_fail_null(WK_INVALID, "wk_tokenizer_characters: the text is empty");
    if (wk__utf8_check(text, size) != WK_OK) return NULL;
    unsigned char *seen = points_of(text, size);
    json_t *vocab = seen ? vocabulary_of(seen) : NULL;
    wk_free(seen);
    if (wk_failed()) return NULL;
    /* No unk_token: a character that the text has not is an error when it is met. */
    json_t *root =
        vocab
            ? json_pack("{s:s, s:n, s:n, s:[], s:n, s:{s:s,s:{s:s},s:s,s:b}, s:n, s:{s:s}, s:{s:s,s:o,s:s}}", "version",
                        "1.0", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "type", "Split",
                        "pattern", "Regex", "[\\s\\S]", "behavior", "Isolated", "invert", 0, "post_processor",
                        "decoder", "type", "Fuse", "model", "type", "WordLevel", "vocab", vocab, "unk_token", "")
            : NULL;
    return root ? wk__tokenizer_make(root) : wk_fail_null(WK_NO_MEMORY, "no memory for a tokenizer");
}
