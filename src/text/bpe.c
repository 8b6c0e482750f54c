/* bpe.c: byte-pair encoding: of all pairs of neighbours the one that was learnt first is merged, until none is left. */
#include "text.h"

typedef struct merge {
    uint64_t pair; /* numbers of both, + 1 in the upper half: 0 is free */
    uint32_t rank;
    int32_t merged;
} merge;

typedef struct bpe {
    wk__model model;
    merge *table;
    uint32_t slots;
    char *prefix, *suffix;
    bool fuse_unknown, byte_fallback, ignore_merges;
    int32_t fallback[256];
} bpe;

static const uint32_t NO_PAIR = UINT32_MAX;

static merge *find(const bpe *m, int32_t first, int32_t second) {
    uint64_t pair = ((uint64_t)(uint32_t)first + 1) << 32 | (uint32_t)second;
    uint64_t slot = (pair * UINT64_C(0x9E3779B97F4A7C15)) >> 32;
    for (slot &= m->slots - 1; m->table[slot].pair && m->table[slot].pair != pair;) slot = (slot + 1) & (m->slots - 1);
    return &m->table[slot];
}

/* ---- reading ---- */

/* The number of a token made of two texts. */
static int32_t number_of(const bpe *m, const char *first, const char *second) {
    char *joined = wk_format("%s%s", first, second);
    int32_t id = joined ? wk__model_find(&m->model, joined) : -1;
    wk_free(joined);
    return id;
}

static wk_status read_merge(bpe *m, const json_t *entry, uint32_t rank) {
    const char *line = json_string_value(entry);
    const char *space = line ? strchr(line, ' ') : NULL;
    const char *second = space ? space + 1 : json_string_value(json_array_get(entry, 1));
    const char *begin = space ? line : json_string_value(json_array_get(entry, 0));
    char *first = wk_strdup(begin ? begin : "");
    if (!first) return wk_error_code();
    if (space) first[space - line] = '\0';
    if (!second || (space && strchr(second, ' '))) {
        wk_free(first);
        return wk_fail(WK_FORMAT, "model BPE: merge %u is not a pair of tokens", rank);
    }
    size_t prefix = m->prefix && strncmp(second, m->prefix, strlen(m->prefix)) == 0 ? strlen(m->prefix) : 0;
    int32_t a = wk__model_find(&m->model, first);
    int32_t b = wk__model_find(&m->model, second);
    int32_t merged = number_of(m, first, second + prefix);
    if (a < 0 || b < 0 || merged < 0) {
        wk_status status = wk_failed()
                               ? wk_error_code()
                               : wk_fail(WK_FORMAT,
                                         "model BPE: merge %u: \"%s\" and \"%s\" or what they make is not in the "
                                         "vocabulary",
                                         rank, first, second);
        wk_free(first);
        return status;
    }
    wk_free(first);
    merge *slot = find(m, a, b);
    *slot = (merge){ ((uint64_t)(uint32_t)a + 1) << 32 | (uint32_t)b, rank, merged }; /* the last of equal ones */
    return WK_OK;
}

static wk_status read_fallback(bpe *m, const json_t *value) {
    m->byte_fallback = wk__json_flag(value, "byte_fallback", false);
    for (int i = 0; i < 256; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "<0x%02X>", (unsigned)i);
        m->fallback[i] = m->byte_fallback ? wk__model_find(&m->model, name) : -1;
    }
    return WK_OK;
}

static wk_status open_bpe(wk__model *model, const json_t *value) {
    bpe *m = (bpe *)model;
    const json_t *merges = json_object_get(value, "merges");
    const json_t *dropout = json_object_get(value, "dropout");
    const char *prefix = wk__json_word(value, "continuing_subword_prefix", "");
    const char *suffix = wk__json_word(value, "end_of_word_suffix", "");
    size_t count = json_array_size(merges);
    if (!json_is_array(merges)) return wk_fail(WK_FORMAT, "model BPE: expected \"merges\"");
    if (json_is_number(dropout) && json_number_value(dropout) > 0)
        return wk_fail(WK_UNSUPPORTED, "model BPE: dropout %g: words are always split in the same way",
                       json_number_value(dropout));
    if (count > (1U << 30)) return wk_fail(WK_FORMAT, "model BPE: %zu merges", count);
    for (m->slots = 16; m->slots < count * 2;) m->slots *= 2;
    m->table = wk_alloc(m->slots * sizeof *m->table);
    m->prefix = *prefix ? wk_strdup(prefix) : NULL;
    m->suffix = *suffix ? wk_strdup(suffix) : NULL;
    m->fuse_unknown = wk__json_flag(value, "fuse_unk", false);
    m->ignore_merges = wk__json_flag(value, "ignore_merges", false);
    WK_TRY(wk_error_code());
    for (size_t i = 0; i < count; i++) WK_TRY(read_merge(m, json_array_get(merges, i), (uint32_t)i));
    return read_fallback(m, value);
}

static void close_bpe(wk__model *model) {
    bpe *m = (bpe *)model;
    wk_free(m->table);
    wk_free(m->prefix);
    wk_free(m->suffix);
}

/* ---- a word's characters ---- */

static bool push(wk__work *work, uint32_t *count, int32_t id, uint32_t end) {
    if (*count == work->symbol_capacity) {
        uint32_t capacity = work->symbol_capacity * 2 + 64;
        wk__symbol *symbols = wk_realloc(work->symbols, capacity * sizeof *symbols);
        if (!symbols) return false;
        work->symbols = symbols;
        work->symbol_capacity = capacity;
    }
    work->symbols[(*count)++] = (wk__symbol){ .id = id, .end = end };
    return true;
}

static int32_t character(const bpe *m, const char *at, uint32_t size, bool first, bool last) {
    const char *prefix = first || !m->prefix ? "" : m->prefix;
    const char *suffix = last && m->suffix ? m->suffix : "";
    if (!*prefix && !*suffix) return wk__vocabulary_find(&m->model.vocabulary, at, size);
    char *joined = wk_format("%s%.*s%s", prefix, (int)size, at, suffix);
    int32_t id = joined ? wk__vocabulary_find(&m->model.vocabulary, joined, strlen(joined)) : -1;
    wk_free(joined);
    return id;
}

static bool fall_back(const bpe *m, wk__work *work, uint32_t *count, const char *at, uint32_t size, uint32_t begin,
                      bool *done) {
    *done = m->byte_fallback;
    for (uint32_t i = 0; i < size; i++) *done = *done && m->fallback[(unsigned char)at[i]] >= 0;
    for (uint32_t i = 0; *done && i < size; i++)
        if (!push(work, count, m->fallback[(unsigned char)at[i]], begin + i + 1)) return false;
    return true;
}

/* Characters without a token are the unknown one, or dropped where there is none. */
static wk_status spell(const bpe *m, wk__work *work, const char *word, uint32_t size, uint32_t *count) {
    bool unknown_before = false;
    for (uint32_t i = 0, step = 1; i < size; i += step) {
        bool done = false;
        if (!m->model.is_bytes) (void)wk__utf8(word + i, &step);
        int32_t id = character(m, word + i, step, i == 0, i + step == size);
        if (id < 0 && !fall_back(m, work, count, word + i, step, i, &done)) return wk_error_code();
        bool unknown = id < 0 && !done && m->model.unknown >= 0;
        if (unknown && unknown_before && m->fuse_unknown)
            work->symbols[*count - 1].end = i + step;
        else if ((id >= 0 || unknown) && !push(work, count, id >= 0 ? id : m->model.unknown, i + step))
            return wk_error_code();
        unknown_before = unknown;
    }
    return wk_error_code();
}

/* ---- merging ---- */

static void rank(const bpe *m, wk__symbol *s, uint32_t i, uint32_t count) {
    s[i].rank = NO_PAIR;
    if (i + 1 >= count) return;
    const merge *found = find(m, s[i].id, s[i + 1].id);
    if (!found->pair) return;
    s[i].rank = found->rank;
    s[i].merged = found->merged;
}

/* Words are short: a look through all pairs is faster than any queue. */
static uint32_t merge_short(const bpe *m, wk__symbol *s, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) rank(m, s, i, count);
    for (;;) {
        uint32_t best = 0;
        for (uint32_t i = 1; i + 1 < count; i++)
            if (s[i].rank < s[best].rank) best = i;
        if (count < 2 || s[best].rank == NO_PAIR) return count;
        s[best].id = s[best].merged;
        s[best].end = s[best + 1].end;
        memmove(&s[best + 1], &s[best + 2], (--count - best - 1) * sizeof *s);
        rank(m, s, best, count);
        if (best > 0) rank(m, s, best - 1, count);
    }
}

/* Of long ones (a line without spaces) a heap of pairs, by rank and place; stale ones are passed over. */
typedef struct entry {
    uint32_t rank, at;
    int32_t first, second;
} entry;
typedef struct heap {
    entry *at;
    uint32_t count, capacity;
} heap;

static bool is_before(entry a, entry b) {
    return a.rank < b.rank || (a.rank == b.rank && a.at < b.at);
}

static bool heap_add(heap *h, entry e) {
    if (h->count == h->capacity) {
        uint32_t capacity = h->capacity * 2 + 256;
        entry *at = wk_realloc(h->at, capacity * sizeof *at);
        if (!at) return false;
        h->at = at;
        h->capacity = capacity;
    }
    uint32_t i = h->count++;
    for (; i > 0 && is_before(e, h->at[(i - 1) / 2]); i = (i - 1) / 2) h->at[i] = h->at[(i - 1) / 2];
    h->at[i] = e;
    return true;
}

static entry heap_take(heap *h) {
    entry top = h->at[0];
    entry last = h->at[--h->count];
    uint32_t i = 0;
    for (uint32_t child = 1; child < h->count; child = 2 * i + 1) {
        if (child + 1 < h->count && is_before(h->at[child + 1], h->at[child])) child++;
        if (!is_before(h->at[child], last)) break;
        h->at[i] = h->at[child];
        i = child;
    }
    h->at[i] = last;
    return top;
}

static bool consider(const bpe *m, heap *h, const wk__symbol *s, uint32_t at, uint32_t next, uint32_t count) {
    if (next >= count) return true;
    const merge *found = find(m, s[at].id, s[next].id);
    return !found->pair || heap_add(h, (entry){ found->rank, at, s[at].id, s[next].id });
}

/* Symbols are a list: `rank` is the next one, `merged` the one before. */
static wk_status merge_long(const bpe *m, wk__symbol *s, uint32_t *count) {
    heap h = { 0 };
    bool room = true;
    for (uint32_t i = 0; i < *count; i++) {
        s[i].rank = i + 1;
        s[i].merged = (int32_t)i - 1;
    }
    for (uint32_t i = 0; room && i < *count; i++) room = consider(m, &h, s, i, i + 1, *count);
    while (room && h.count > 0) {
        entry e = heap_take(&h);
        uint32_t next = s[e.at].rank;
        if (s[e.at].id != e.first || next >= *count || s[next].id != e.second) continue;
        s[e.at].id = find(m, e.first, e.second)->merged;
        s[e.at].end = s[next].end;
        s[e.at].rank = s[next].rank;
        s[next].id = -1;
        if (s[next].rank < *count) s[s[next].rank].merged = (int32_t)e.at;
        room = consider(m, &h, s, e.at, s[e.at].rank, *count);
        if (room && s[e.at].merged >= 0) room = consider(m, &h, s, (uint32_t)s[e.at].merged, e.at, *count);
    }
    uint32_t left = 0;
    for (uint32_t i = 0; i < *count; i++)
        if (s[i].id >= 0) s[left++] = s[i];
    *count = left;
    wk_free(h.at);
    return wk_error_code();
}

static wk_status encode(const wk__model *model, wk__work *work, const char *word, uint32_t size, wk__tokens *out) {
    enum { SHORT = 48 };
    const bpe *m = (const bpe *)model;
    uint32_t count = 0;
    int32_t whole = m->ignore_merges ? wk__vocabulary_find(&model->vocabulary, word, size) : -1;
    if (whole >= 0) return wk__tokens_add(out, whole, size) ? WK_OK : wk_error_code();
    WK_TRY(spell(m, work, word, size, &count));
    if (count > SHORT)
        WK_TRY(merge_long(m, work->symbols, &count));
    else if (count > 1)
        count = merge_short(m, work->symbols, count);
    for (uint32_t i = 0; i < count; i++)
        if (!wk__tokens_add(out, work->symbols[i].id, work->symbols[i].end)) return wk_error_code();
    return WK_OK;
}

const wk__model_class wk__bpe = { "BPE", sizeof(bpe), open_bpe, close_bpe, encode };
