/* split.c: pre-tokenizers: where a normalised text is cut into words.
 *
 * Most of them look for something and say what becomes of it (removed, a word of its own, or joined to a neighbour).
 * Two also change the text: ByteLevel and Metaspace put a space before the first word; Metaspace shows spaces.
 */
#include "text.h"

typedef enum behaviour { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS } behaviour;
typedef enum prefix { PREFIX_NEVER, PREFIX_FIRST, PREFIX_ALWAYS } prefix;

typedef struct kind {
    const char *name;
    wk_status (*open)(wk__splitter *s, const json_t *value); /* NULL: no options */
    /* The next part that it looks for, at or behind `at`. */
    bool (*next)(const wk__splitter *s, const wk__line *line, uint32_t end, uint32_t at, wk_span *found);
    behaviour behaviour;
} kind;

struct wk__splitter {
    const kind *kind;
    wk__splitter *next;
    behaviour behaviour;
    bool invert, is_bytes, each;
    wk__pattern *pattern;
    prefix prefix;
    char shown[8]; /* Metaspace: for a space; ByteLevel: " " */
    int32_t delimiter;
    uint32_t length;
};

/* ---- what is looked for ---- */

typedef bool (*test)(const wk__splitter *s, int32_t point);

/* The next character of a kind, or the run of them. */
static bool next_of(const wk__splitter *s, const wk__line *line, uint32_t end, uint32_t at, test fits, bool run,
                    wk_span *found) {
    uint32_t size = 0;
    for (; at < end; at += size)
        if (fits(s, wk__utf8(line->bytes + at, &size))) break;
    if (at >= end) return false;
    *found = (wk_span){ at, at + size };
    while (run && found->end < end && fits(s, wk__utf8(line->bytes + found->end, &size))) found->end += size;
    return true;
}

static bool is_space(const wk__splitter *s, int32_t p) {
    (void)s;
    return wk__is_space(p);
}
static bool is_punctuation(const wk__splitter *s, int32_t p) {
    (void)s;
    return wk__is_punctuation(p);
}
static bool is_digit(const wk__splitter *s, int32_t p) {
    (void)s;
    return wk__is_number(p);
}
static bool is_delimiter(const wk__splitter *s, int32_t p) {
    return p == s->delimiter;
}

static bool next_punctuation(const wk__splitter *s, const wk__line *l, uint32_t end, uint32_t at, wk_span *found) {
    return next_of(s, l, end, at, is_punctuation, false, found);
}
static bool next_space(const wk__splitter *s, const wk__line *l, uint32_t end, uint32_t at, wk_span *found) {
    return next_of(s, l, end, at, is_space, false, found);
}
static bool next_digit(const wk__splitter *s, const wk__line *l, uint32_t end, uint32_t at, wk_span *found) {
    return next_of(s, l, end, at, is_digit, !s->each, found);
}
static bool next_delimiter(const wk__splitter *s, const wk__line *l, uint32_t end, uint32_t at, wk_span *found) {
    return next_of(s, l, end, at, is_delimiter, false, found);
}
static bool next_match(const wk__splitter *s, const wk__line *l, uint32_t end, uint32_t at, wk_span *found) {
    return wk__pattern_next(s->pattern, l->bytes, end, at, found);
}
/* Spaces and punctuation, one character each: BertPreTokenizer removes the first and isolates the second. */
static bool next_bert(const wk__splitter *s, const wk__line *l, uint32_t end, uint32_t at, wk_span *found) {
    uint32_t size = 0;
    for (; at < end; at += size) {
        int32_t point = wk__utf8(l->bytes + at, &size);
        if (!wk__is_space(point) && !is_punctuation(s, point)) continue;
        *found = (wk_span){ at, at + size };
        return true;
    }
    return false;
}
/* \w+|[^\w\s]+ */
static bool next_word(const wk__splitter *s, const wk__line *l, uint32_t end, uint32_t at, wk_span *found) {
    (void)s;
    uint32_t size = 0;
    while (at < end && wk__is_space(wk__utf8(l->bytes + at, &size))) at += size;
    if (at >= end) return false;
    bool word = wk__is_word(wk__utf8(l->bytes + at, &size));
    *found = (wk_span){ at, at + size };
    for (; found->end < end; found->end += size) {
        int32_t point = wk__utf8(l->bytes + found->end, &size);
        if (wk__is_word(point) != word || (!word && wk__is_space(point))) break;
    }
    return true;
}
static bool next_length(const wk__splitter *s, const wk__line *l, uint32_t end, uint32_t at, wk_span *found) {
    uint32_t size = 0;
    if (at >= end) return false;
    *found = (wk_span){ at, at };
    for (uint32_t i = 0; i < s->length && found->end < end; i++, found->end += size)
        (void)wk__utf8(l->bytes + found->end, &size);
    return true;
}

/* ---- options ---- */

static wk_status read_behaviour(wk__splitter *s, const json_t *value, const char *otherwise) {
    static const char *const names[] = { "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous" };
    const char *name = wk__json_word(value, "behavior", otherwise);
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        if (strcmp(names[i], name) != 0) continue;
        s->behaviour = (behaviour)i;
        return WK_OK;
    }
    return wk_fail(WK_FORMAT,
                   "pre_tokenizer %s: behavior \"%s\", expected one of Removed, Isolated, "
                   "MergedWithPrevious, MergedWithNext, Contiguous",
                   s->kind->name, name);
}

static wk_status open_byte_level(wk__splitter *s, const json_t *value) {
    s->is_bytes = true;
    s->prefix = wk__json_flag(value, "add_prefix_space", true) ? PREFIX_ALWAYS : PREFIX_NEVER;
    memcpy(s->shown, " ", 2);
    if (wk__json_flag(value, "use_regex", true)) s->pattern = wk__pattern_gpt2();
    return wk_error_code();
}

static wk_status read_prefix(wk__splitter *s, const json_t *value) {
    static const char *const names[] = { "never", "first", "always" };
    const char *older = wk__json_flag(value, "add_prefix_space", true) ? "always" : "never";
    const char *name = wk__json_word(value, "prepend_scheme", older);
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        if (strcmp(names[i], name) != 0) continue;
        s->prefix = (prefix)i;
        return WK_OK;
    }
    return wk_fail(WK_FORMAT, "pre_tokenizer Metaspace: prepend_scheme \"%s\", expected always, never or first", name);
}

static wk_status open_metaspace(wk__splitter *s, const json_t *value) {
    const char *shown = wk__json_word(value, "replacement", "\xE2\x96\x81");
    if (strlen(shown) == 0 || strlen(shown) >= sizeof s->shown)
        return wk_fail(WK_FORMAT, "pre_tokenizer Metaspace: replacement \"%s\" is not one character", shown);
    (void)snprintf(s->shown, sizeof s->shown, "%s", shown);
    s->behaviour = MERGED_WITH_NEXT;
    json_t *text = wk__json_flag(value, "split", true) ? json_string(s->shown) : NULL;
    if (text) s->pattern = wk__pattern_make(text, "pre_tokenizer Metaspace");
    json_decref(text);
    WK_TRY(wk_error_code());
    return read_prefix(s, value);
}

static wk_status open_split(wk__splitter *s, const json_t *value) {
    s->invert = wk__json_flag(value, "invert", false);
    s->pattern = wk__pattern_make(json_object_get(value, "pattern"), "pre_tokenizer Split");
    WK_TRY(wk_error_code());
    return read_behaviour(s, value, "Removed");
}

static wk_status open_punctuation(wk__splitter *s, const json_t *value) {
    return read_behaviour(s, value, "Isolated");
}

static wk_status open_digits(wk__splitter *s, const json_t *value) {
    s->each = wk__json_flag(value, "individual_digits", false);
    return WK_OK;
}

static wk_status open_delimiter(wk__splitter *s, const json_t *value) {
    uint32_t size = 0;
    const char *text = wk__json_word(value, "delimiter", "");
    if (!*text) return wk_fail(WK_FORMAT, "pre_tokenizer CharDelimiterSplit: expected a delimiter");
    s->delimiter = wk__utf8(text, &size);
    return WK_OK;
}

static wk_status open_length(wk__splitter *s, const json_t *value) {
    json_int_t length = json_integer_value(json_object_get(value, "length"));
    if (length < 1 || length > INT32_MAX)
        return wk_fail(WK_FORMAT, "pre_tokenizer FixedLength: length %lld, expected at least 1", (long long)length);
    s->length = (uint32_t)length;
    return WK_OK;
}

static const kind kinds[] = { { "BertPreTokenizer", NULL, next_bert, ISOLATED },
                              { "ByteLevel", open_byte_level, next_match, ISOLATED },
                              { "Whitespace", NULL, next_word, REMOVED },
                              { "WhitespaceSplit", NULL, next_space, REMOVED },
                              { "Punctuation", open_punctuation, next_punctuation, ISOLATED },
                              { "Split", open_split, next_match, REMOVED },
                              { "Digits", open_digits, next_digit, ISOLATED },
                              { "Metaspace", open_metaspace, next_match, MERGED_WITH_NEXT },
                              { "CharDelimiterSplit", open_delimiter, next_delimiter, REMOVED },
                              { "FixedLength", open_length, next_length, ISOLATED } };

static wk__splitter *make_sequence(const json_t *list) {
    wk__splitter *first = NULL;
    wk__splitter **end = &first;
    bool bytes = false;
    for (size_t i = 0; i < json_array_size(list) && !wk_failed(); i++) {
        if (bytes)
            (void)wk_fail(WK_UNSUPPORTED, "pre_tokenizer: ByteLevel is not the last of its sequence");
        else
            *end = wk__splitter_make(json_array_get(list, i));
        for (; *end; end = &(*end)->next) bytes = bytes || (*end)->is_bytes;
    }
    if (!wk_failed()) return first;
    wk__splitter_free(first);
    return NULL;
}

wk__splitter *wk__splitter_make(const json_t *value) {
    if (!value || json_is_null(value)) return NULL;
    const char *type = wk__json_type(value, "pre_tokenizer");
    if (!type) return NULL;
    if (strcmp(type, "Sequence") == 0) return make_sequence(json_object_get(value, "pretokenizers"));
    for (size_t i = 0; i < WK_COUNT(kinds); i++) {
        if (strcmp(kinds[i].name, type) != 0) continue;
        wk__splitter *s = wk_alloc(sizeof *s);
        if (!s) return NULL;
        s->kind = &kinds[i];
        s->behaviour = kinds[i].behaviour;
        s->invert = kinds[i].next == next_word; /* what it finds are the words */
        if (!s->kind->open || s->kind->open(s, value) == WK_OK) return s;
        wk__splitter_free(s);
        return NULL;
    }
    return wk_fail_null(WK_UNSUPPORTED, "pre_tokenizer \"%s\" is none of those that Wick has", type);
}

void wk__splitter_free(wk__splitter *s) {
    while (s) {
        wk__splitter *next = s->next;
        wk__pattern_free(s->pattern);
        wk_free(s);
        s = next;
    }
}

bool wk__splitter_is_bytes(const wk__splitter *s) {
    for (; s; s = s->next)
        if (s->is_bytes) return true;
    return false;
}

/* ---- cutting ---- */

/* What becomes of the next part of a word, a match or what lies between two. */
static bool put(const wk__splitter *s, wk__spans *out, uint32_t floor, wk_span part, bool is_match, bool *before) {
    wk_span *last = out->count > floor ? &out->at[out->count - 1] : NULL;
    bool joined = false;
    if (part.begin == part.end) return true;
    switch (s->behaviour) {
    case REMOVED: return is_match || wk__spans_add(out, part.begin, part.end);
    case ISOLATED: return wk__spans_add(out, part.begin, part.end);
    case MERGED_WITH_PREVIOUS: joined = is_match && !*before; break;
    case MERGED_WITH_NEXT: joined = !is_match && *before; break;
    case CONTIGUOUS: joined = is_match == *before; break;
    }
    *before = is_match;
    if (joined && last)
        last->end = part.end;
    else if (!wk__spans_add(out, part.begin, part.end))
        return false;
    return true;
}

static bool cut_word(const wk__splitter *s, const wk__line *line, wk_span word, wk__spans *out) {
    uint32_t floor = out->count;
    uint32_t at = word.begin;
    bool before = false;
    wk_span found;
    wk__line part = { .bytes = line->bytes + word.begin }; /* patterns see the word alone */
    while (s->kind->next(s, &part, word.end - word.begin, at - word.begin, &found)) {
        found.begin += word.begin;
        found.end += word.begin;
        bool dropped =
            s->kind->next == next_bert && wk__is_space(wk__utf8(line->bytes + found.begin, &(uint32_t){ 0 }));
        bool added = put(s, out, floor, (wk_span){ at, found.begin }, s->invert, &before)
                     && (dropped || put(s, out, floor, found, !s->invert, &before));
        if (!added) return false;
        at = found.end;
    }
    return !wk_failed() && put(s, out, floor, (wk_span){ at, word.end }, s->invert, &before);
}

/* ---- changing the text ---- */

static bool needs_prefix(const wk__splitter *s, const wk__line *line, wk_span word, bool first) {
    size_t size = strlen(s->shown);
    if (s->prefix == PREFIX_NEVER || (s->prefix == PREFIX_FIRST && !first)) return false;
    if (word.begin == word.end) return false;
    const char *at = line->bytes + word.begin;
    bool there = word.end - word.begin >= size && memcmp(at, s->shown, size) == 0;
    bool will_be = s->shown[0] != ' ' && *at == ' '; /* Metaspace shows it so */
    return !there && !will_be;
}

static bool rewrite(const wk__splitter *s, const wk__line *line, wk_span word, bool first, wk__buffer *out) {
    uint32_t shown = (uint32_t)strlen(s->shown);
    uint32_t size = 0;
    bool shows = s->shown[0] != ' ';
    if (needs_prefix(s, line, word, first)) {
        (void)wk__utf8(line->bytes + word.begin, &size);
        if (!wk__buffer_add(out, s->shown, shown, wk__line_from(line, word.begin, word.begin + size))) return false;
    }
    uint32_t at = word.begin;
    for (uint32_t i = at; shows && i < word.end; i++) {
        if (line->bytes[i] != ' ') continue;
        bool added =
            wk__buffer_copy(out, line, at, i) && wk__buffer_add(out, s->shown, shown, wk__line_from(line, i, i + 1));
        if (!added) return false;
        at = i + 1;
    }
    return wk__buffer_copy(out, line, at, word.end);
}

static wk_status change(const wk__splitter *s, wk__line *line, wk__spans *words, bool first, wk__buffer *out) {
    bool changes = false;
    for (uint32_t i = 0; i < words->count && !changes; i++) {
        wk_span word = words->at[i];
        bool shows = s->shown[0] != ' ' && memchr(line->bytes + word.begin, ' ', word.end - word.begin);
        changes = shows || needs_prefix(s, line, word, first && i == 0);
    }
    if (!changes) return WK_OK;
    out->size = 0;
    for (uint32_t i = 0; i < words->count; i++) {
        uint32_t begin = out->size;
        if (!rewrite(s, line, words->at[i], first && i == 0, out)) return wk_error_code();
        words->at[i] = (wk_span){ begin, out->size };
    }
    *line = wk__buffer_line(out);
    return WK_OK;
}

wk_status wk__split(const wk__splitter *s, wk__line *line, bool first, wk__buffer buffers[2], wk__spans words[2],
                    const wk__spans **out) {
    int turn = 0;
    int buffer = 0;
    words[0].count = 0;
    if (line->size > 0 && !wk__spans_add(&words[0], 0, line->size)) return wk_error_code();
    for (; s; s = s->next) {
        if (*s->shown) {
            WK_TRY(change(s, line, &words[turn], first, &buffers[buffer]));
            buffer ^= line->bytes == buffers[buffer].bytes;
        }
        if (s->kind->next == next_match && !s->pattern) continue;
        wk__spans *to = &words[turn ^ 1];
        to->count = 0;
        for (uint32_t i = 0; i < words[turn].count; i++)
            if (!cut_word(s, line, words[turn].at[i], to)) return wk_error_code();
        turn ^= 1;
    }
    *out = &words[turn];
    return WK_OK;
}
