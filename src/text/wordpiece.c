/* wordpiece.c: BERT's model, the longest piece first; and WordLevel, whole words. */
#include "text.h"

typedef struct wordpiece {
    wk__model model;
    char prefix[32];
    uint32_t prefix_size, longest; /* characters of a word */
    uint32_t longest_token;        /* bytes */
} wordpiece;

static wk_status open_wordpiece(wk__model *model, const json_t *value) {
    wordpiece *m = (wordpiece *)model;
    const char *prefix = wk__json_word(value, "continuing_subword_prefix", "##");
    const json_t *longest = json_object_get(value, "max_input_chars_per_word");
    if (strlen(prefix) >= sizeof m->prefix)
        return wk_fail(WK_FORMAT, "model WordPiece: continuing_subword_prefix \"%s\" is longer than %zu bytes", prefix,
                       sizeof m->prefix - 1);
    (void)snprintf(m->prefix, sizeof m->prefix, "%s", prefix);
    m->prefix_size = (uint32_t)strlen(prefix);
    json_int_t chars = json_is_integer(longest) ? json_integer_value(longest) : 100;
    m->longest = chars < 0 ? 0 : chars > INT32_MAX ? INT32_MAX : (uint32_t)chars;
    for (uint32_t i = 0; i < model->vocabulary.size; i++) {
        uint32_t size = wk__vocabulary_length(&model->vocabulary, (int32_t)i);
        if (size > m->longest_token) m->longest_token = size;
    }
    if (model->unknown < 0)
        return wk_fail(WK_FORMAT, "model WordPiece: its unk_token \"%s\" is not in the vocabulary",
                       wk__json_word(value, "unk_token", "[UNK]"));
    return WK_OK;
}

static uint32_t characters(const char *word, uint32_t size) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < size; i++) count += ((unsigned char)word[i] & 0xC0) != 0x80;
    return count;
}

/* The longest piece that begins at `at`: its number and where it ends; -1. */
static int32_t piece_at(const wordpiece *m, const char *word, uint32_t size, uint32_t at, uint32_t *end) {
    char joined[32 + 512];
    uint32_t prefix = at ? m->prefix_size : 0;
    uint32_t most = m->longest_token > prefix ? m->longest_token - prefix : 0;
    if (most > 512) most = 512; /* no word of at most `longest` characters needs more by default */
    *end = size - at > most ? at + most : size;
    memcpy(joined, m->prefix, prefix);
    memcpy(joined + prefix, word + at, *end - at);
    while (*end<size && * end> at && ((unsigned char)word[*end] & 0xC0) == 0x80) --*end;
    for (; *end > at; *end = wk__utf8_before(word, *end)) {
        int32_t id = wk__vocabulary_find(&m->model.vocabulary, joined, prefix + *end - at);
        if (id >= 0) return id;
    }
    return -1;
}

static wk_status encode_wordpiece(const wk__model *model, wk__work *work, const char *word, uint32_t size,
                                  wk__tokens *out) {
    const wordpiece *m = (const wordpiece *)model;
    uint32_t end = 0;
    (void)work;
    bool known = characters(word, size) <= m->longest;
    for (uint32_t at = 0; known && at < size; at = end) {
        int32_t id = piece_at(m, word, size, at, &end);
        known = id >= 0;
        if (known && !wk__tokens_add(out, id, end)) return wk_error_code();
    }
    if (known) return WK_OK;
    out->count = 0; /* all or nothing */
    return wk__tokens_add(out, model->unknown, size) ? WK_OK : wk_error_code();
}

const wk__model_class wk__wordpiece = { "WordPiece", sizeof(wordpiece), open_wordpiece, NULL, encode_wordpiece };

/* ---- WordLevel ---- */

static wk_status encode_wordlevel(const wk__model *model, wk__work *work, const char *word, uint32_t size,
                                  wk__tokens *out) {
    (void)work;
    int32_t id = wk__vocabulary_find(&model->vocabulary, word, size);
    if (id < 0) id = model->unknown;
    if (id < 0)
        return wk_fail(WK_NOT_FOUND, "model WordLevel: \"%.*s\" is not in the vocabulary, which has no unk_token",
                       (int)(size < 60 ? size : 60), word);
    return wk__tokens_add(out, id, size) ? WK_OK : wk_error_code();
}

const wk__model_class wk__wordlevel = { "WordLevel", sizeof(wk__model), NULL, NULL, encode_wordlevel };
