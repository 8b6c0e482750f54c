/* model.c: what all models share: reading the vocabulary, the alphabet of bytes, words met before. */
#include "text.h"

static const wk__model_class *const classes[] = { &wk__wordpiece, &wk__bpe, &wk__unigram, &wk__wordlevel };

enum { MOST_TOKENS = 1 << 24 };

/* ---- GPT-2's alphabet: bytes that print stand for themselves, the others for U+0100 and on ---- */

static bool prints(unsigned char b) {
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
}

void wk__alphabet_spell(const char *bytes, size_t size, wk_text *out) {
    for (size_t i = 0; i < size; i++) {
        unsigned char b = (unsigned char)bytes[i];
        int32_t point = b;
        char spelled[4];
        if (!prints(b)) point = 0x100 + (b <= 0x20 ? b : b < 0xA1 ? b - 0x7F + 0x21 : 0x43);
        wk_text_add(out, spelled, wk__utf8_put(point, spelled));
    }
}

bool wk__alphabet_read(const char *text, size_t size, wk_text *out) {
    for (size_t i = 0; i < size;) {
        uint32_t used = 0;
        int32_t point = wk__utf8(text + i, &used);
        int32_t k = point - 0x100;
        if (k > 0x43 || (k < 0 && !prints((unsigned char)point))) return false;
        char byte = (char)(k < 0 ? point : k <= 0x20 ? k : k < 0x43 ? k - 0x21 + 0x7F : 0xAD);
        wk_text_add(out, &byte, 1);
        i += used;
    }
    return true;
}

/* ---- reading ---- */

typedef struct table { /* tokens by number, on their way into a vocabulary */
    const char **tokens;
    uint32_t *sizes;
    uint32_t count;
} table;

static wk_status room(table *t, json_int_t count) {
    if (count > MOST_TOKENS)
        return wk_fail(WK_FORMAT, "model: token number %lld, at most %d", (long long)count - 1, MOST_TOKENS - 1);
    t->count = (uint32_t)count;
    t->tokens = wk_alloc(t->count * sizeof *t->tokens);
    t->sizes = wk_alloc(t->count * sizeof *t->sizes);
    return wk_error_code();
}

static wk_status read_map(const json_t *map, table *t) {
    const char *token = NULL;
    json_t *id = NULL;
    json_int_t most = -1;
    json_object_foreach((json_t *)(uintptr_t)map, token, id) {
        json_int_t number = json_integer_value(id);
        if (!json_is_integer(id) || number < 0)
            return wk_fail(WK_FORMAT, "model: vocab: the number of \"%s\" is not a whole number from 0 on", token);
        if (number > most) most = number;
    }
    WK_TRY(room(t, most + 1));
    json_object_foreach((json_t *)(uintptr_t)map, token, id) {
        json_int_t number = json_integer_value(id);
        if (t->tokens[number])
            return wk_fail(WK_FORMAT, "model: vocab: \"%s\" and \"%s\" are both number %lld", t->tokens[number], token,
                           (long long)number);
        t->tokens[number] = token;
        t->sizes[number] = (uint32_t)strlen(token);
    }
    return WK_OK;
}

/* Unigram's: [["<unk>", 0.0], …]. */
static wk_status read_list(const json_t *list, table *t) {
    WK_TRY(room(t, (json_int_t)json_array_size(list)));
    for (uint32_t i = 0; i < t->count; i++) {
        const json_t *token = json_array_get(json_array_get(list, i), 0);
        if (!json_is_string(token)) return wk_fail(WK_FORMAT, "model: vocab: entry %u is not [token, score]", i);
        t->tokens[i] = json_string_value(token);
        t->sizes[i] = (uint32_t)json_string_length(token);
    }
    return WK_OK;
}

/* Each token as its bytes; those that are not of the alphabet can stand in no word and are reached by number alone. */
static wk_status to_bytes(table *t, char **memory) {
    wk_text all = { 0 };
    size_t *begin = wk_alloc(((size_t)t->count + 1) * sizeof *begin);
    for (uint32_t i = 0; begin && i < t->count; i++) {
        begin[i] = all.size;
        bool reads = t->tokens[i] && wk__alphabet_read(t->tokens[i], t->sizes[i], &all);
        if (!reads) all.size = begin[i];
        t->sizes[i] = (uint32_t)(all.size - begin[i]);
        if (!reads) t->tokens[i] = NULL;
    }
    for (uint32_t i = 0; begin && !all.failed && i < t->count; i++)
        if (t->tokens[i]) t->tokens[i] = wk_text_get(&all) + begin[i];
    wk_free(begin);
    *memory = all.data;
    return wk_error_code();
}

static wk_status keep_shown(wk__model *m, const table *t) {
    wk_text all = { 0 };
    m->shown_begin = wk_alloc(((size_t)t->count + 1) * sizeof *m->shown_begin);
    for (uint32_t i = 0; m->shown_begin && i < t->count; i++) {
        m->shown_begin[i] = (uint32_t)all.size;
        if (t->tokens[i]) wk_text_add(&all, t->tokens[i], t->sizes[i] + 1);
        m->shown_begin[i + 1] = (uint32_t)all.size;
    }
    m->shown = all.data;
    return wk_error_code();
}

static wk_status read_vocabulary(wk__model *m, const json_t *value) {
    table t = { 0 };
    char *memory = NULL;
    const json_t *vocab = json_object_get(value, "vocab");
    wk_status status = WK_OK;
    if (json_is_object(vocab))
        status = read_map(vocab, &t);
    else if (json_is_array(vocab))
        status = read_list(vocab, &t);
    else
        status = wk_fail(WK_FORMAT, "model: expected a \"vocab\"");
    if (status == WK_OK && m->is_bytes) status = keep_shown(m, &t);
    if (status == WK_OK && m->is_bytes) status = to_bytes(&t, &memory);
    if (status == WK_OK) status = wk__vocabulary_make(&m->vocabulary, t.tokens, t.sizes, t.count);
    wk_free(memory);
    wk_free(t.tokens);
    wk_free(t.sizes);
    return status;
}

static wk_status read_unknown(wk__model *m, const json_t *value) {
    const char *token = wk__json_word(value, "unk_token", NULL);
    const json_t *number = json_object_get(value, "unk_id");
    m->unknown = -1;
    if (token) m->unknown = wk__model_find(m, token);
    if (json_is_integer(number)) {
        json_int_t id = json_integer_value(number);
        if (id < 0 || id >= m->vocabulary.size)
            return wk_fail(WK_FORMAT, "model: unk_id %lld of %u tokens", (long long)id, m->vocabulary.size);
        m->unknown = (int32_t)id;
    }
    return WK_OK;
}

/* Files of before the models said their name: BPE has merges, Unigram a list, WordPiece the prefix. */
static const char *kind_of(const json_t *value) {
    const char *type = wk__json_word(value, "type", NULL);
    if (type) return type;
    if (json_object_get(value, "merges")) return "BPE";
    if (json_is_array(json_object_get(value, "vocab"))) return "Unigram";
    return json_object_get(value, "continuing_subword_prefix") ? "WordPiece" : "WordLevel";
}

wk__model *wk__model_make(const json_t *value, bool is_bytes) {
    const char *type = kind_of(value);
    for (size_t i = 0; i < WK_COUNT(classes); i++) {
        if (strcmp(classes[i]->name, type) != 0) continue;
        wk__model *m = wk_alloc(classes[i]->size);
        if (!m) return NULL;
        m->class_ = classes[i];
        m->is_bytes = is_bytes;
        wk_status status = read_vocabulary(m, value);
        if (status == WK_OK) status = read_unknown(m, value);
        if (status == WK_OK && m->class_->open) status = m->class_->open(m, value);
        if (status == WK_OK) return m;
        wk__model_free(m);
        return NULL;
    }
    return wk_fail_null(WK_UNSUPPORTED, "model \"%s\", expected WordPiece, BPE, Unigram or WordLevel", type);
}

void wk__model_free(wk__model *m) {
    if (!m) return;
    if (m->class_->close) m->class_->close(m);
    wk__vocabulary_free(&m->vocabulary);
    wk_free(m->shown);
    wk_free(m->shown_begin);
    wk_free(m);
}

const char *wk__model_token(const wk__model *m, int32_t id) {
    const uint32_t *begin = m->shown ? m->shown_begin : m->vocabulary.begin;
    if (id < 0 || (uint32_t)id >= m->vocabulary.size || begin[id] == begin[id + 1]) return NULL;
    return (m->shown ? m->shown : m->vocabulary.bytes) + begin[id];
}

int32_t wk__model_find(const wk__model *m, const char *token) {
    wk_text bytes = { 0 };
    if (!m->is_bytes) return wk__vocabulary_find(&m->vocabulary, token, strlen(token));
    int32_t id = wk__alphabet_read(token, strlen(token), &bytes)
                     ? wk__vocabulary_find(&m->vocabulary, wk_text_get(&bytes), bytes.size)
                     : -1;
    wk_text_free(&bytes);
    for (uint32_t i = 0; id < 0 && i < m->vocabulary.size; i++) { /* "<|endoftext|>" reads; "▁" does not */
        const char *shown = wk__model_token(m, (int32_t)i);
        if (shown && strcmp(shown, token) == 0) id = (int32_t)i;
    }
    return id;
}

bool wk__tokens_add(wk__tokens *t, int32_t id, uint32_t end) {
    if (t->count == t->capacity) {
        uint32_t capacity = t->capacity * 2 + 64;
        wk__token *at = wk_realloc(t->at, capacity * sizeof *at);
        if (!at) return false;
        t->at = at;
        t->capacity = capacity;
    }
    t->at[t->count++] = (wk__token){ id, end };
    return true;
}

/* ---- words met before ---- */

enum { SLOTS = 1 << 14, LONGEST_WORD = 48, MOST_PARTS = 12 };

typedef struct met {
    uint64_t hash;
    unsigned char size, count; /* size 0: free */
    char word[LONGEST_WORD];
    wk__token tokens[MOST_PARTS];
} met;
struct wk__cache {
    met slots[SLOTS];
};

static met *slot_of(wk__work *work, const char *word, uint32_t size, uint64_t *hash) {
    if (size > LONGEST_WORD) return NULL;
    if (!work->cache && !(work->cache = wk_alloc(sizeof *work->cache))) return NULL;
    *hash = wk__hash_bytes(word, size);
    return &work->cache->slots[*hash & (SLOTS - 1)];
}

wk_status wk__model_encode(const wk__model *m, wk__work *work, const char *word, uint32_t size,
                           const wk__token **tokens, uint32_t *count) {
    uint64_t hash = 0;
    met *slot = slot_of(work, word, size, &hash);
    if (wk_failed()) return wk_error_code();
    if (slot && slot->size == size && slot->hash == hash && memcmp(slot->word, word, size) == 0) {
        *tokens = slot->tokens;
        *count = slot->count;
        return WK_OK;
    }
    work->tokens.count = 0;
    WK_TRY(m->class_->encode(m, work, word, size, &work->tokens));
    *tokens = work->tokens.at;
    *count = work->tokens.count;
    if (slot && *count <= MOST_PARTS) {
        slot->hash = hash;
        slot->size = (unsigned char)size;
        slot->count = (unsigned char)*count;
        memcpy(slot->word, word, size);
        if (*count) memcpy(slot->tokens, work->tokens.at, *count * sizeof *work->tokens.at);
    }
    return WK_OK;
}

void wk__work_free(wk__work *work) {
    for (size_t i = 0; i < WK_COUNT(work->buffers); i++) wk__buffer_free(&work->buffers[i]);
    for (size_t i = 0; i < WK_COUNT(work->spans); i++) wk_free(work->spans[i].at);
    wk_free(work->tokens.at);
    wk_free(work->symbols);
    wk_free(work->best);
    wk_free(work->cache);
    wk_free(work);
}
