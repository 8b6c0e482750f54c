/* normal.c: normalisers: what happens to a text before it is split. */
#include "normal.h"

#include <utf8proc.h>

typedef struct kind {
    const char *name;
    wk_status (*open)(wk__normaliser *n, const json_t *value); /* NULL: no options */
    wk_status (*run)(const wk__normaliser *n, const wk__line *in, wk__buffer *out);
    bool spares_ascii; /* leaves texts of ASCII alone */
} kind;

struct wk__normaliser {
    const kind *kind;
    wk__normaliser *next;                /* in a sequence */
    bool clean, chinese, accents, lower; /* BertNormalizer */
    bool left, right;                    /* Strip */
    wk__pattern *pattern;                /* Replace */
    char *content;                       /* Replace, Prepend */
    wk__charsmap *map;                   /* Precompiled */
};

/* ---- the forms of Unicode ---- */

static wk_status normal_form(const wk__line *in, wk__buffer *out, bool compatible, bool compose) {
    wk__points points = { 0 };
    wk_status status = wk__points_decompose(&points, in, compatible);
    if (status == WK_OK && compose) status = wk__points_compose(&points);
    for (uint32_t i = 0; i < points.count && status == WK_OK; i++)
        if (!wk__buffer_point(out, points.at[i].point, points.at[i].from)) status = wk_error_code();
    wk_free(points.at);
    return status;
}

static wk_status run_nfd(const wk__normaliser *n, const wk__line *in, wk__buffer *out) {
    (void)n;
    return normal_form(in, out, false, false);
}
static wk_status run_nfc(const wk__normaliser *n, const wk__line *in, wk__buffer *out) {
    (void)n;
    return normal_form(in, out, false, true);
}
static wk_status run_nfkd(const wk__normaliser *n, const wk__line *in, wk__buffer *out) {
    (void)n;
    return normal_form(in, out, true, false);
}
static wk_status run_nfkc(const wk__normaliser *n, const wk__line *in, wk__buffer *out) {
    (void)n;
    return normal_form(in, out, true, true);
}

/* ---- letters ---- */

static bool put_small(wk__buffer *out, int32_t point, wk_span from) {
    int32_t small[2];
    int count = wk__small(point, small);
    for (int i = 0; i < count; i++)
        if (!wk__buffer_point(out, small[i], from)) return false;
    return true;
}

static wk_status run_lowercase(const wk__normaliser *n, const wk__line *in, wk__buffer *out) {
    (void)n;
    for (uint32_t i = 0, size = 0; i < in->size; i += size) {
        int32_t point = wk__utf8(in->bytes + i, &size);
        if (!put_small(out, point, wk__line_from(in, i, i + size))) return wk_error_code();
    }
    return WK_OK;
}

static wk_status run_strip_accents(const wk__normaliser *n, const wk__line *in, wk__buffer *out) {
    (void)n;
    for (uint32_t i = 0, size = 0; i < in->size; i += size)
        if (!wk__is_mark(wk__utf8(in->bytes + i, &size)) && !wk__buffer_copy(out, in, i, i + size))
            return wk_error_code();
    return WK_OK;
}

static wk_status open_strip(wk__normaliser *n, const json_t *value) {
    n->left = wk__json_flag(value, "strip_left", true);
    n->right = wk__json_flag(value, "strip_right", true);
    return WK_OK;
}

static wk_status run_strip(const wk__normaliser *n, const wk__line *in, wk__buffer *out) {
    uint32_t begin = 0;
    uint32_t end = in->size;
    uint32_t size = 0;
    while (n->left && begin < end && wk__is_space(wk__utf8(in->bytes + begin, &size))) begin += size;
    while (n->right && end > begin) {
        uint32_t last = wk__utf8_before(in->bytes, end);
        if (!wk__is_space(wk__utf8(in->bytes + last, &size))) break;
        end = last;
    }
    return wk__buffer_copy(out, in, begin, end) ? WK_OK : wk_error_code();
}

/* ---- BERT ---- */

static wk_status open_bert(wk__normaliser *n, const json_t *value) {
    const json_t *accents = json_object_get(value, "strip_accents");
    n->clean = wk__json_flag(value, "clean_text", true);
    n->chinese = wk__json_flag(value, "handle_chinese_chars", true);
    n->lower = wk__json_flag(value, "lowercase", true);
    n->accents = json_is_boolean(accents) ? json_is_true(accents) : n->lower;
    return WK_OK;
}

/* Control characters go, spaces become U+0020: -1 for what goes. */
static int32_t clean(int32_t point) {
    if (point == '\t' || point == '\n' || point == '\r') return ' ';
    if (point == 0 || point == 0xFFFD || wk__is_other(point)) return -1;
    return wk__is_space(point) ? ' ' : point;
}

static bool put_bert(const wk__normaliser *n, wk__buffer *out, int32_t point, wk_span from) {
    if (n->accents && wk__is_accent(point)) return true;
    return n->lower ? put_small(out, point, from) : wk__buffer_point(out, point, from);
}

/* Decomposed one by one: the order of the marks does not matter, for they go. */
static bool put_decomposed(const wk__normaliser *n, wk__buffer *out, int32_t point, wk_span from) {
    int32_t parts[16];
    int boundary = 0;
    utf8proc_ssize_t count = n->accents && point >= 0xC0
                                 ? utf8proc_decompose_char(point, parts, WK_COUNT(parts), UTF8PROC_DECOMPOSE, &boundary)
                                 : 0;
    if (count <= 0 || count > (utf8proc_ssize_t)WK_COUNT(parts)) return put_bert(n, out, point, from);
    for (utf8proc_ssize_t i = 0; i < count; i++)
        if (!put_bert(n, out, parts[i], from)) return false;
    return true;
}

static wk_status run_bert(const wk__normaliser *n, const wk__line *in, wk__buffer *out) {
    for (uint32_t i = 0, size = 0; i < in->size; i += size) {
        int32_t point = wk__utf8(in->bytes + i, &size);
        wk_span from = wk__line_from(in, i, i + size);
        bool apart = n->chinese && point >= 0x3400 && wk__is_chinese(point);
        if (n->clean && (point = clean(point)) < 0) continue;
        if (apart && !wk__buffer_add(out, " ", 1, from)) return wk_error_code();
        if (!put_decomposed(n, out, point, from)) return wk_error_code();
        if (apart && !wk__buffer_add(out, " ", 1, from)) return wk_error_code();
    }
    return WK_OK;
}

/* ---- texts for texts ---- */

static wk_status open_replace(wk__normaliser *n, const json_t *value) {
    n->pattern = wk__pattern_make(json_object_get(value, "pattern"), "normalizer Replace");
    n->content = wk_strdup(wk__json_word(value, "content", ""));
    return wk_error_code();
}

static wk_status run_replace(const wk__normaliser *n, const wk__line *in, wk__buffer *out) {
    uint32_t at = 0;
    wk_span match;
    while (wk__pattern_next(n->pattern, in->bytes, in->size, at, &match)) {
        bool added =
            wk__buffer_copy(out, in, at, match.begin)
            && wk__buffer_add(out, n->content, (uint32_t)strlen(n->content), wk__line_from(in, match.begin, match.end));
        if (!added) return wk_error_code();
        at = match.end;
    }
    if (wk_failed()) return wk_error_code();
    return wk__buffer_copy(out, in, at, in->size) ? WK_OK : wk_error_code();
}

static wk_status open_prepend(wk__normaliser *n, const json_t *value) {
    n->content = wk_strdup(wk__json_word(value, "prepend", ""));
    return wk_error_code();
}

static wk_status run_prepend(const wk__normaliser *n, const wk__line *in, wk__buffer *out) {
    uint32_t size = 0;
    if (in->size == 0) return WK_OK;
    (void)wk__utf8(in->bytes, &size);
    bool added = wk__buffer_add(out, n->content, (uint32_t)strlen(n->content), wk__line_from(in, 0, size))
                 && wk__buffer_copy(out, in, 0, in->size);
    return added ? WK_OK : wk_error_code();
}

/* ---- SentencePiece ---- */

static wk_status open_precompiled(wk__normaliser *n, const json_t *value) {
    n->map = wk__charsmap_make(wk__json_word(value, "precompiled_charsmap", ""));
    return wk_error_code();
}

static wk_status run_precompiled(const wk__normaliser *n, const wk__line *in, wk__buffer *out) {
    return wk__charsmap_run(n->map, in, out);
}

/* What SentencePiece's "nmt" rules drop and what they take for a space. */
static wk_status run_nmt(const wk__normaliser *n, const wk__line *in, wk__buffer *out) {
    (void)n;
    for (uint32_t i = 0, size = 0; i < in->size; i += size) {
        int32_t p = wk__utf8(in->bytes + i, &size);
        bool goes = (p >= 1 && p <= 8) || p == 0x0B || (p >= 0x0E && p <= 0x1F) || p == 0x7F || p == 0x8F || p == 0x9F;
        bool blank = p == 9 || p == 10 || p == 12 || p == 13 || p == 0x1680 || (p >= 0x200B && p <= 0x200F)
                     || p == 0x2028 || p == 0x2029 || p == 0x2581 || p == 0xFEFF || p == 0xFFFD;
        if (goes) continue;
        if (!wk__buffer_point(out, blank ? ' ' : p, wk__line_from(in, i, i + size))) return wk_error_code();
    }
    return WK_OK;
}

/* ---- all ---- */

static const kind kinds[] = { { "BertNormalizer", open_bert, run_bert, false },
                              { "NFD", NULL, run_nfd, true },
                              { "NFC", NULL, run_nfc, true },
                              { "NFKD", NULL, run_nfkd, true },
                              { "NFKC", NULL, run_nfkc, true },
                              { "Lowercase", NULL, run_lowercase, false },
                              { "StripAccents", NULL, run_strip_accents, true },
                              { "Strip", open_strip, run_strip, false },
                              { "Replace", open_replace, run_replace, false },
                              { "Prepend", open_prepend, run_prepend, false },
                              { "Precompiled", open_precompiled, run_precompiled, false },
                              { "Nmt", NULL, run_nmt, false } };

static wk__normaliser *make_sequence(const json_t *list) {
    wk__normaliser *first = NULL;
    wk__normaliser **end = &first;
    for (size_t i = 0; i < json_array_size(list); i++) {
        *end = wk__normaliser_make(json_array_get(list, i));
        if (wk_failed()) {
            wk__normaliser_free(first);
            return NULL;
        }
        while (*end) end = &(*end)->next;
    }
    return first;
}

wk__normaliser *wk__normaliser_make(const json_t *value) {
    if (!value || json_is_null(value)) return NULL;
    const char *type = wk__json_type(value, "normalizer");
    if (!type) return NULL;
    if (strcmp(type, "Sequence") == 0) return make_sequence(json_object_get(value, "normalizers"));
    for (size_t i = 0; i < WK_COUNT(kinds); i++) {
        if (strcmp(kinds[i].name, type) != 0) continue;
        wk__normaliser *n = wk_alloc(sizeof *n);
        if (!n) return NULL;
        n->kind = &kinds[i];
        if (!n->kind->open || n->kind->open(n, value) == WK_OK) return n;
        wk__normaliser_free(n);
        return NULL;
    }
    return wk_fail_null(WK_UNSUPPORTED, "normalizer \"%s\" is none of those that Wick has", type);
}

void wk__normaliser_free(wk__normaliser *n) {
    while (n) {
        wk__normaliser *next = n->next;
        wk__pattern_free(n->pattern);
        wk__charsmap_free(n->map);
        wk_free(n->content);
        wk_free(n);
        n = next;
    }
}

static bool is_ascii(const wk__line *line) {
    for (uint32_t i = 0; i < line->size; i++)
        if ((signed char)line->bytes[i] < 0) return false;
    return true;
}

wk_status wk__normalise(const wk__normaliser *n, wk__line in, wk__buffer buffers[2], wk__line *out) {
    *out = in;
    for (int turn = 0; n; n = n->next) {
        if (n->kind->spares_ascii && is_ascii(out)) continue;
        wk__buffer *to = &buffers[turn];
        to->size = 0;
        WK_TRY(n->kind->run(n, out, to));
        *out = wk__buffer_line(to);
        turn ^= 1;
    }
    return WK_OK;
}
