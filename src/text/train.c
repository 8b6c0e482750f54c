/* train.c: learning a vocabulary: byte-pair encoding on the counts of words, as `tokenizers` does it.
 *
 * The most frequent pair of neighbours becomes a token, and of equally frequent ones that of the smaller numbers; then
 * the counts of the pairs around it change, and so on until the vocabulary is full.  A heap holds the pairs; a count in
 * it may be stale, which shows when it comes out.  WordPiece is the same with "##" before all characters but the first.
 * Unigram is learned of the same counts, in files of its own.
 */
#include "train.h"

#include <stdlib.h>

typedef struct word {
    uint32_t begin, size; /* its symbols */
    int64_t count;
} word;

typedef struct pair {
    int32_t first, second;
    int64_t count;
    uint32_t *words; /* that may hold it */
    uint32_t word_count, word_room;
    bool used;
} pair;

typedef struct entry {
    int64_t count;
    uint32_t pair;
} entry;

typedef struct learner {
    wk_tokenizer_train_opts opts;
    wk__normaliser *normaliser;
    wk__splitter *splitter;
    wk__work *work;
    wk__met met;
    word *words;
    int32_t *symbols;
    pair *pairs; /* by hash */
    uint32_t pair_count, pair_slots;
    entry *heap;
    uint32_t heap_count, heap_room;
    json_t *normal, *split; /* as the file has them; NULL: none */
    json_t *vocab, *merges;
    const char **tokens; /* by number: keys of vocab */
    int32_t size, room;
} learner;

/* ---- words ---- */

static bool grow_table(learner *l) {
    uint32_t slots = l->met.slots ? l->met.slots * 2 : 1 << 16;
    uint32_t *table = wk_alloc(slots * sizeof *table);
    if (!table) return false;
    for (uint32_t i = 0; i < l->met.count; i++) {
        uint32_t size = l->met.begin[i + 1] - l->met.begin[i];
        uint32_t slot = (uint32_t)wk__hash_bytes(l->met.bytes.data + l->met.begin[i], size) & (slots - 1);
        while (table[slot]) slot = (slot + 1) & (slots - 1);
        table[slot] = i + 1;
    }
    wk_free(l->met.table);
    l->met.table = table;
    l->met.slots = slots;
    return true;
}

static bool grow_words(learner *l) {
    uint32_t room = l->met.room * 2 + 1024;
    uint32_t *begin = wk_realloc(l->met.begin, ((size_t)room + 1) * sizeof *begin);
    if (begin) l->met.begin = begin;
    int64_t *counts = begin ? wk_realloc(l->met.counts, room * sizeof *counts) : NULL;
    if (!counts) return false;
    l->met.counts = counts;
    if (l->met.count == 0) begin[0] = 0;
    l->met.room = room;
    return true;
}

static wk_status count_word(learner *l, const char *bytes, uint32_t size) {
    if (l->met.count * 2 >= l->met.slots && !grow_table(l)) return wk_error_code();
    uint32_t slot = (uint32_t)wk__hash_bytes(bytes, size) & (l->met.slots - 1);
    for (; l->met.table[slot]; slot = (slot + 1) & (l->met.slots - 1)) {
        uint32_t i = l->met.table[slot] - 1;
        uint32_t begin = l->met.begin[i];
        if (l->met.begin[i + 1] - begin != size || memcmp(l->met.bytes.data + begin, bytes, size) != 0) continue;
        l->met.counts[i]++;
        return WK_OK;
    }
    if (l->met.count == l->met.room && !grow_words(l)) return wk_error_code();
    if (l->met.bytes.size + size > UINT32_MAX) return wk_fail(WK_INVALID, "more than 4 GiB of different words");
    wk_text_add(&l->met.bytes, bytes, size);
    l->met.counts[l->met.count] = 1;
    l->met.begin[++l->met.count] = (uint32_t)l->met.bytes.size;
    l->met.table[slot] = l->met.count;
    return wk_error_code();
}

static wk_status count_text(learner *l, const char *text, size_t size) {
    const wk__spans *words = NULL;
    if (size > UINT32_MAX / 2) return wk_fail(WK_INVALID, "a text of %zu bytes, at most 2 GiB at once", size);
    WK_TRY(wk__utf8_check(text, size));
    wk__line line = { .bytes = text, .size = (uint32_t)size };
    WK_TRY(wk__normalise(l->normaliser, line, l->work->buffers, &line));
    WK_TRY(wk__split(l->splitter, &line, true, &l->work->buffers[2], l->work->spans, &words));
    for (uint32_t i = 0; i < words->count; i++)
        WK_TRY(count_word(l, line.bytes + words->at[i].begin, words->at[i].end - words->at[i].begin));
    return WK_OK;
}

/* ---- vocabulary ---- */

/* The number of a token, which is new if it is not there; -1 with an error pending. */
static int32_t token(learner *l, const char *text) {
    json_t *known = json_object_get(l->vocab, text);
    if (known) return (int32_t)json_integer_value(known);
    if (l->size == l->room) {
        const char **tokens = wk_realloc(l->tokens, ((size_t)l->room * 2 + 1024) * sizeof *tokens);
        if (!tokens) return -1;
        l->tokens = tokens;
        l->room = l->room * 2 + 1024;
    }
    if (json_object_set_new(l->vocab, text, json_integer(l->size)) != 0)
        return wk_fail(WK_NO_MEMORY, "no memory for a vocabulary of %d tokens", l->size), -1;
    l->tokens[l->size] = json_object_iter_key(json_object_iter_at(l->vocab, text));
    return l->size++;
}

static int compare_points(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a;
    int32_t y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* All bytes, in the order of their spelling. */
static wk_status byte_alphabet(learner *l) {
    int32_t points[256];
    for (uint32_t i = 0; i < 256; i++) {
        char byte = (char)i;
        uint32_t used = 0;
        wk_text spelled = { 0 };
        wk__alphabet_spell(&byte, 1, &spelled);
        points[i] = wk__utf8(wk_text_get(&spelled), &used);
        wk_text_free(&spelled);
    }
    qsort(points, WK_COUNT(points), sizeof *points, compare_points);
    for (size_t i = 0; i < WK_COUNT(points); i++) {
        char text[5] = "";
        (void)wk__utf8_put(points[i], text);
        if (token(l, text) < 0) return wk_error_code();
    }
    return WK_OK;
}

/* The characters of the words, then those among them that continue one. */
static wk_status word_alphabet(learner *l) {
    uint32_t count = 0;
    int32_t *met = wk_alloc((l->met.bytes.size + 1) * sizeof *met); /* twice the point, + 1 where it continues */
    if (!met) return wk_error_code();
    for (uint32_t i = 0; i < l->met.count; i++)
        for (uint32_t at = l->met.begin[i], size = 0; at < l->met.begin[i + 1]; at += size)
            met[count++] = wk__utf8(l->met.bytes.data + at, &size) * 2 + (at > l->met.begin[i]);
    qsort(met, count, sizeof *met, compare_points);
    for (int turn = 0; turn < 2; turn++)
        for (uint32_t i = 0; i < count && !wk_failed(); i++) {
            char text[8] = "##";
            bool wanted = turn ? met[i] & 1 : i == 0 || met[i] / 2 != met[i - 1] / 2;
            if (!wanted || met[i] < 2) continue;
            text[turn * 2 + (int)wk__utf8_put(met[i] / 2, text + turn * 2)] = '\0';
            (void)token(l, text);
        }
    wk_free(met);
    return wk_error_code();
}

static int32_t symbol_of(const learner *l, const char *at, uint32_t size, bool first) {
    char text[12] = "##";
    if (l->opts.kind == WK_TOKENIZER_BPE) {
        wk_text spelled = { 0 };
        wk__alphabet_spell(at, 1, &spelled);
        int32_t id = (int32_t)json_integer_value(json_object_get(l->vocab, wk_text_get(&spelled)));
        wk_text_free(&spelled);
        return id;
    }
    memcpy(text + (first ? 0 : 2), at, size);
    text[(first ? 0 : 2) + size] = '\0';
    return (int32_t)json_integer_value(json_object_get(l->vocab, text));
}

static wk_status spell(learner *l) {
    bool bytes = l->opts.kind == WK_TOKENIZER_BPE;
    uint32_t at = 0;
    l->words = wk_alloc((l->met.count + 1) * sizeof *l->words);
    l->symbols = wk_alloc((l->met.bytes.size + 1) * sizeof *l->symbols);
    if (!l->words || !l->symbols) return wk_error_code();
    for (uint32_t i = 0; i < l->met.count; i++) {
        l->words[i] = (word){ at, 0, l->met.counts[i] };
        for (uint32_t k = l->met.begin[i], size = 1; k < l->met.begin[i + 1]; k += size) {
            if (!bytes) (void)wk__utf8(l->met.bytes.data + k, &size);
            l->symbols[at++] = symbol_of(l, l->met.bytes.data + k, size, k == l->met.begin[i]);
        }
        l->words[i].size = at - l->words[i].begin;
    }
    return WK_OK;
}

/* ---- pairs ---- */

static uint32_t pair_slot(const learner *l, int32_t first, int32_t second) {
    uint64_t key = ((uint64_t)(uint32_t)first << 32 | (uint32_t)second) * UINT64_C(0x9E3779B97F4A7C15);
    uint32_t slot = (uint32_t)(key >> 32) & (l->pair_slots - 1);
    while (l->pairs[slot].used && (l->pairs[slot].first != first || l->pairs[slot].second != second))
        slot = (slot + 1) & (l->pair_slots - 1);
    return slot;
}

static bool is_before(const learner *l, entry a, entry b) {
    const pair *x = &l->pairs[a.pair];
    const pair *y = &l->pairs[b.pair];
    if (a.count != b.count) return a.count > b.count;
    return x->first != y->first ? x->first < y->first : x->second < y->second;
}

static bool heap_add(learner *l, entry e) {
    if (l->heap_count == l->heap_room) {
        uint32_t room = l->heap_room * 2 + 1024;
        entry *heap = wk_realloc(l->heap, room * sizeof *heap);
        if (!heap) return false;
        l->heap = heap;
        l->heap_room = room;
    }
    uint32_t i = l->heap_count++;
    for (; i > 0 && is_before(l, e, l->heap[(i - 1) / 2]); i = (i - 1) / 2) l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = e;
    return true;
}

static entry heap_take(learner *l) {
    entry top = l->heap[0];
    entry last = l->heap[--l->heap_count];
    uint32_t i = 0;
    for (uint32_t child = 1; child < l->heap_count; child = 2 * i + 1) {
        if (child + 1 < l->heap_count && is_before(l, l->heap[child + 1], l->heap[child])) child++;
        if (!is_before(l, l->heap[child], last)) break;
        l->heap[i] = l->heap[child];
        i = child;
    }
    l->heap[i] = last;
    return top;
}

/* Twice as many slots: entries of the heap name slots, so they move too. */
static bool grow_pairs(learner *l) {
    pair *old = l->pairs;
    uint32_t slots = l->pair_slots;
    l->pair_slots = slots ? slots * 2 : 1 << 14;
    l->pairs = wk_alloc(l->pair_slots * sizeof *l->pairs);
    if (!l->pairs) {
        l->pairs = old;
        l->pair_slots = slots;
        return false;
    }
    for (uint32_t i = 0; i < slots; i++)
        if (old[i].used) l->pairs[pair_slot(l, old[i].first, old[i].second)] = old[i];
    for (uint32_t i = 0; i < l->heap_count; i++) {
        const pair *p = &old[l->heap[i].pair];
        l->heap[i].pair = pair_slot(l, p->first, p->second);
    }
    wk_free(old);
    return true;
}

/* A pair is met `count` times more (or fewer) in a word. */
static wk_status change(learner *l, int32_t first, int32_t second, int64_t count, uint32_t in) {
    if (l->pair_count * 2 >= l->pair_slots && !grow_pairs(l)) return wk_error_code();
    pair *p = &l->pairs[pair_slot(l, first, second)];
    if (!p->used) {
        *p = (pair){ .first = first, .second = second, .used = true };
        l->pair_count++;
    }
    p->count += count;
    if (count < 0 || (p->word_count && p->words[p->word_count - 1] == in)) return WK_OK;
    if (p->word_count == p->word_room) {
        uint32_t room = p->word_room * 2 + 4;
        uint32_t *words = wk_realloc(p->words, room * sizeof *words);
        if (!words) return wk_error_code();
        p->words = words;
        p->word_room = room;
    }
    p->words[p->word_count++] = in;
    return WK_OK;
}

static wk_status count_pairs(learner *l) {
    for (uint32_t i = 0; i < l->met.count; i++)
        for (uint32_t k = 0; k + 1 < l->words[i].size; k++) {
            const int32_t *s = l->symbols + l->words[i].begin + k;
            WK_TRY(change(l, s[0], s[1], l->words[i].count, i));
        }
    for (uint32_t i = 0; i < l->pair_slots; i++)
        if (l->pairs[i].used && l->pairs[i].count > 0 && !heap_add(l, (entry){ l->pairs[i].count, i }))
            return wk_error_code();
    return WK_OK;
}

/* ---- merging ---- */

typedef struct changed { /* pairs whose counts grew by a merge */
    int32_t (*at)[2];
    uint32_t count, room;
} changed;

static wk_status note(learner *l, changed *c, int32_t first, int32_t second, int64_t count, uint32_t in) {
    WK_TRY(change(l, first, second, count, in));
    if (count < 0) return WK_OK;
    if (c->count == c->room) {
        uint32_t room = c->room * 2 + 64;
        void *at = wk_realloc(c->at, room * sizeof *c->at);
        if (!at) return wk_error_code();
        c->at = at;
        c->room = room;
    }
    c->at[c->count][0] = first;
    c->at[c->count++][1] = second;
    return WK_OK;
}

static wk_status merge_word(learner *l, changed *c, uint32_t in, int32_t first, int32_t second, int32_t merged) {
    word *w = &l->words[in];
    int32_t *s = l->symbols + w->begin;
    uint32_t out = 0;
    for (uint32_t i = 0; i < w->size; i++) {
        if (i + 1 >= w->size || s[i] != first || s[i + 1] != second) {
            s[out++] = s[i];
            continue;
        }
        if (out > 0) {
            WK_TRY(note(l, c, s[out - 1], first, -w->count, in));
            WK_TRY(note(l, c, s[out - 1], merged, w->count, in));
        }
        if (i + 2 < w->size) {
            WK_TRY(note(l, c, second, s[i + 2], -w->count, in));
            WK_TRY(note(l, c, merged, s[i + 2], w->count, in));
        }
        s[out++] = merged;
        i++;
    }
    w->size = out;
    return WK_OK;
}

static wk_status merge(learner *l, changed *c, uint32_t slot) {
    int32_t first = l->pairs[slot].first;
    int32_t second = l->pairs[slot].second;
    uint32_t *words = l->pairs[slot].words;
    uint32_t count = l->pairs[slot].word_count;
    const char *a = l->tokens[first];
    const char *b = l->tokens[second];
    bool continues = l->opts.kind == WK_TOKENIZER_WORDPIECE && strncmp(b, "##", 2) == 0;
    char *joined = wk_format("%s%s", a, b + (continues ? 2 : 0));
    int32_t merged = joined ? token(l, joined) : -1;
    wk_free(joined);
    if (merged < 0) return wk_error_code();
    if (json_array_append_new(l->merges, json_pack("[s, s]", l->tokens[first], l->tokens[second])) != 0)
        return wk_fail(WK_NO_MEMORY, "no memory for merges");
    l->pairs[slot].words = NULL; /* they will not hold it any more; the table may move below */
    l->pairs[slot].word_count = l->pairs[slot].word_room = 0;
    l->pairs[slot].count = 0;
    c->count = 0;
    wk_status status = WK_OK;
    for (uint32_t i = 0; i < count && status == WK_OK; i++) status = merge_word(l, c, words[i], first, second, merged);
    wk_free(words);
    for (uint32_t i = 0; i < c->count && status == WK_OK; i++) {
        uint32_t at = pair_slot(l, c->at[i][0], c->at[i][1]);
        if (l->pairs[at].count > 0 && !heap_add(l, (entry){ l->pairs[at].count, at })) status = wk_error_code();
    }
    return status;
}

static wk_status learn(learner *l) {
    int32_t size = l->opts.size ? l->opts.size : 30000;
    int64_t least = l->opts.least;
    changed c = { 0 };
    wk_status status = count_pairs(l);
    while (status == WK_OK && l->size < size && l->heap_count > 0) {
        entry e = heap_take(l);
        int64_t count = l->pairs[e.pair].count;
        if (count != e.count) { /* stale */
            if (count > 0 && count < e.count && !heap_add(l, (entry){ count, e.pair })) status = wk_error_code();
            continue;
        }
        if (count < 1 || count < least) break;
        status = merge(l, &c, e.pair);
    }
    wk_free(c.at);
    return status;
}

/* ---- the whole ---- */

/* How a text becomes words. */
static wk_status choose_parts(learner *l) {
    switch (l->opts.kind) {
    case WK_TOKENIZER_BPE: l->split = json_pack("{s:s, s:b}", "type", "ByteLevel", "add_prefix_space", 0); break;
    case WK_TOKENIZER_WORDPIECE:
        l->normal = json_pack("{s:s, s:b}", "type", "BertNormalizer", "lowercase", (int)!l->opts.keep_case);
        l->split = json_pack("{s:s}", "type", "BertPreTokenizer");
        break;
    case WK_TOKENIZER_UNIGRAM: /* as `tokenizers` makes a SentencePieceUnigramTokenizer */
        l->normal = json_pack("{s:s, s:[{s:s}, {s:s}, {s:s, s:{s:s}, s:s}]}", "type", "Sequence", "normalizers", "type",
                              "Nmt", "type", "NFKC", "type", "Replace", "pattern", "Regex", " {2,}", "content", " ");
        l->split = json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", "\xe2\x96\x81",
                             "prepend_scheme", "always", "split", 1);
        break;
    }
    if (!l->split || (l->opts.kind != WK_TOKENIZER_BPE && !l->normal))
        return wk_fail(WK_NO_MEMORY, "no memory to train a tokenizer");
    l->normaliser = wk__normaliser_make(l->normal);
    l->splitter = wk__splitter_make(l->split);
    return wk_error_code();
}

static wk_status prepare(learner *l) {
    static const char *const bert[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", NULL };
    static const char *const none[] = { NULL };
    if (!l->opts.special) l->opts.special = l->opts.kind == WK_TOKENIZER_WORDPIECE ? bert : none;
    l->vocab = json_object();
    l->merges = json_array();
    l->work = wk_alloc(sizeof *l->work);
    if (!l->vocab || !l->merges || !l->work) return wk_fail(WK_NO_MEMORY, "no memory to train a tokenizer");
    WK_TRY(choose_parts(l));
    if (l->opts.kind == WK_TOKENIZER_UNIGRAM) return WK_OK;
    for (const char *const *special = l->opts.special; *special && !wk_failed(); special++) (void)token(l, *special);
    return wk_error_code();
}

/* Special tokens are the first of the vocabulary, and added ones. */
static json_t *unigram_result(learner *l) {
    json_t *model = wk__unigram_learn(&l->met, l->opts);
    if (!model) return NULL;
    json_t *added = json_array(), *ids = json_object(), *vocab = json_object_get(model, "vocab");
    const char *unknown = json_string_value(
        json_array_get(json_array_get(vocab, (size_t)json_integer_value(json_object_get(model, "unk_id"))), 0));
    bool fits = added && ids;
    for (size_t i = 0;
         fits && json_number_value(json_array_get(json_array_get(vocab, i), 1)) == 0 && i < json_array_size(vocab); i++)
        fits = json_object_set_new(ids, json_string_value(json_array_get(json_array_get(vocab, i), 0)),
                                   json_integer((json_int_t)i))
               == 0;
    if (fits) wk__add_special(added, ids, unknown, false);
    for (const char *const *s = l->opts.special; fits && *s; s++)
        if (strcmp(*s, unknown) != 0) wk__add_special(added, ids, *s, false);
    json_t *root = fits ? json_pack("{s:s, s:n, s:n, s:O, s:O, s:O, s:n, s:O, s:O}", "version", "1.0", "truncation",
                                    "padding", "added_tokens", added, "normalizer", l->normal, "pre_tokenizer",
                                    l->split, "post_processor", "decoder", l->split, "model", model)
                        : NULL;
    json_decref(ids);
    json_decref(added);
    json_decref(model);
    if (!root) (void)wk_fail(WK_NO_MEMORY, "no memory for a tokenizer");
    return root;
}

/* As a file: special tokens are added ones. */
static json_t *result(learner *l) {
    json_t *config = json_pack("{s:b}", "do_lower_case", (int)!l->opts.keep_case);
    json_t *vocab = l->vocab;
    json_t *root = NULL;
    l->vocab = NULL;
    if (l->opts.kind == WK_TOKENIZER_BPE) {
        json_t *merges = l->merges;
        l->merges = NULL;
        root = wk__bytes_json(vocab, merges, config);
    } else {
        root = wk__bert_json(vocab, config);
    }
    for (const char *const *s = l->opts.special; root && *s; s++)
        wk__add_special(json_object_get(root, "added_tokens"), vocab, *s, false);
    json_decref(config);
    return root;
}

/* The words are counted. */
static json_t *learn_file(learner *l) {
    if (l->opts.kind == WK_TOKENIZER_UNIGRAM) return unigram_result(l);
    wk_status status = l->opts.kind == WK_TOKENIZER_BPE ? byte_alphabet(l) : word_alphabet(l);
    if (status == WK_OK) status = spell(l);
    if (status == WK_OK) status = learn(l);
    return status == WK_OK ? result(l) : NULL;
}

static wk_status check(const wk_tokenizer_train_opts *o) {
    if (o->size < 0 || o->least < 0)
        return wk_fail(WK_INVALID, "wk_tokenizer_train: size %d, least %d, expected 0 or more", o->size, o->least);
    if (o->kind < WK_TOKENIZER_BPE || o->kind > WK_TOKENIZER_UNIGRAM)
        return wk_fail(WK_INVALID, "wk_tokenizer_train: kind is %d, expected one of wk_tokenizer_kind", (int)o->kind);
    if (!(o->shrinking_factor >= 0 && o->shrinking_factor < 1))
        return wk_fail(WK_INVALID, "wk_tokenizer_train: shrinking_factor is %g, expected more than 0 and less than 1",
                       o->shrinking_factor);
    if (o->max_piece_length < 0 || o->max_piece_length > WK__LONGEST_PIECE || o->n_sub_iterations < 0
        || o->seed_size < 0)
        return wk_fail(
            WK_INVALID,
            "wk_tokenizer_train: max_piece_length %d, n_sub_iterations %d, seed_size %d, expected 0 or more, "
            "and pieces of at most %d characters",
            o->max_piece_length, o->n_sub_iterations, o->seed_size, WK__LONGEST_PIECE);
    return WK_OK;
}

static void learner_free(learner *l) {
    for (uint32_t i = 0; i < l->pair_slots; i++) wk_free(l->pairs[i].words);
    wk_free(l->pairs);
    wk_free(l->heap);
    wk_free(l->words);
    wk_free(l->symbols);
    wk_text_free(&l->met.bytes);
    wk_free(l->met.begin);
    wk_free(l->met.table);
    wk_free(l->met.counts);
    wk_free(l->tokens);
    json_decref(l->normal);
    json_decref(l->split);
    json_decref(l->vocab);
    json_decref(l->merges);
    if (l->work) wk__work_free(l->work);
    wk__splitter_free(l->splitter);
    wk__normaliser_free(l->normaliser);
}

wk_tokenizer *wk_tokenizer_train(bool (*next)(void *context, const char **text, size_t *size), void *context,
                                 wk_tokenizer_train_opts opts) {
    learner l = { .opts = opts };
    const char *text = NULL;
    size_t size = 0;
    json_t *root = NULL;
    if (wk_failed()) return NULL;
    if (check(&opts) != WK_OK) return NULL;
    wk_status status = prepare(&l);
    for (int64_t n = 0; status == WK_OK && next(context, &text, &size); n++)
        if ((status = count_text(&l, text, size)) != WK_OK) wk_error_prefix("text %lld", (long long)n);
    if (status == WK_OK && wk_failed()) status = wk_error_code(); /* next met one */
    if (status == WK_OK) root = learn_file(&l);
    learner_free(&l);
    return root ? wk__tokenizer_make(root) : NULL;
}
