/* unicode.c: UTF-8, the properties that tokenizers ask for, and lines.
 *
 * utf8proc holds the tables.  `tokenizers` takes some properties from libraries of older versions of Unicode, and its
 * vocabularies were made so: where its answer differs, it counts (differences.h).
 */
#include "text.h"

#include "text/differences.h"

#include <utf8proc.h>

uint32_t wk__utf8_put(int32_t point, char *out) {
    return (uint32_t)utf8proc_encode_char(point, (utf8proc_uint8_t *)out);
}

wk_status wk__utf8_check(const char *text, size_t size) {
    for (size_t i = 0; i < size;) {
        if ((signed char)text[i] >= 0) {
            i++;
            continue;
        }
        utf8proc_int32_t point = 0;
        size_t rest = size - i;
        utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, rest < 4 ? (utf8proc_ssize_t)rest : 4, &point);
        if (used <= 0)
            return wk_fail(WK_FORMAT, "text: byte 0x%02x at position %zu is not UTF-8", (unsigned char)text[i], i);
        i += (size_t)used;
    }
    return WK_OK;
}

/* ---- properties ---- */

static bool is_in(int32_t point, utf8proc_category_t least, utf8proc_category_t most) {
    utf8proc_category_t c = utf8proc_category(point);
    return c >= least && c <= most;
}

bool wk__is_space(int32_t p) {
    if (p < 0x80) return p == ' ' || (p >= '\t' && p <= '\r');
    return p == 0x85 || p == 0xA0 || p == 0x1680 || (p >= 0x2000 && p <= 0x200A) || p == 0x2028 || p == 0x2029
           || p == 0x202F || p == 0x205F || p == 0x3000;
}

bool wk__is_letter(int32_t p) {
    if (p < 0x80) return (p | 32) >= 'a' && (p | 32) <= 'z';
    return is_in(p, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO);
}

bool wk__is_number(int32_t p) {
    if (p < 0x80) return p >= '0' && p <= '9';
    return is_in(p, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
}

/* Letters that are no letters by category: the circled ones, and U+200C, U+200D, which join. */
bool wk__is_word(int32_t p) {
    if (p < 0x80) return wk__is_letter(p) || wk__is_number(p) || p == '_';
    utf8proc_category_t c = utf8proc_category(p);
    return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NL) || c == UTF8PROC_CATEGORY_PC || p == 0x200C
           || p == 0x200D || (p >= 0x24B6 && p <= 0x24E9) || (p >= 0x1F130 && p <= 0x1F149)
           || (p >= 0x1F150 && p <= 0x1F169) || (p >= 0x1F170 && p <= 0x1F189);
}

#define IS_IN(p, table) is_in_ranges((p), (table), WK_COUNT(table))
static bool is_in_ranges(int32_t p, const int32_t (*ranges)[2], size_t count) {
    size_t low = 0;
    for (size_t high = count; low < high;) {
        size_t middle = (low + high) / 2;
        if (ranges[middle][1] < p)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ranges[low][0] <= p;
}

bool wk__is_punctuation(int32_t p) {
    if (p < 0x80)
        return (p >= '!' && p <= '/') || (p >= ':' && p <= '@') || (p >= '[' && p <= '`') || (p >= '{' && p <= '~');
    return is_in(p, UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO) != IS_IN(p, punctuation_differs);
}

bool wk__is_accent(int32_t p) {
    return p >= 0x300 && (utf8proc_category(p) == UTF8PROC_CATEGORY_MN) != IS_IN(p, accent_differs);
}

bool wk__is_mark(int32_t p) {
    return p >= 0x300 && is_in(p, UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME) != IS_IN(p, mark_differs);
}

bool wk__is_other(int32_t p) {
    if (p < 0x80) return p < 0x20 || p == 0x7F;
    return is_in(p, UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CO) != IS_IN(p, other_differs);
}

bool wk__is_chinese(int32_t p) {
    static const int32_t blocks[][2] = { { 0x4E00, 0x9FFF },   { 0x3400, 0x4DBF },   { 0x20000, 0x2A6DF },
                                         { 0x2A700, 0x2B73F }, { 0x2B740, 0x2B81F }, { 0x2B920, 0x2CEAF },
                                         { 0xF900, 0xFAFF },   { 0x2F800, 0x2FA1F } };
    for (size_t i = 0; i < WK_COUNT(blocks); i++)
        if (p >= blocks[i][0] && p <= blocks[i][1]) return true;
    return false;
}

int wk__small(int32_t p, int32_t out[2]) {
    out[0] = p < 0x80 ? (p >= 'A' && p <= 'Z' ? p + 32 : p) : p == 0x130 ? 'i' : utf8proc_tolower(p);
    out[1] = 0x307;
    return p == 0x130 ? 2 : 1; /* the one letter whose small form is two */
}

/* ---- lines ---- */

wk_span wk__line_from(const wk__line *line, uint32_t begin, uint32_t end) {
    if (line->from) return (wk_span){ line->from[begin].begin, line->from[end - 1].end };
    while (begin > 0 && ((unsigned char)line->bytes[begin] & 0xC0) == 0x80) begin--;
    while (end < line->size && ((unsigned char)line->bytes[end] & 0xC0) == 0x80) end++;
    return (wk_span){ line->shift + begin, line->shift + end };
}

static bool reserve(wk__buffer *b, uint32_t more) {
    if (b->capacity - b->size >= more) return true;
    uint64_t capacity = (uint64_t)b->size + more + b->capacity / 2 + 64;
    if (capacity > UINT32_MAX) return wk_fail(WK_INVALID, "text: more than 4 GiB at once"), false;
    char *bytes = wk_realloc(b->bytes, capacity);
    if (!bytes) return false;
    b->bytes = bytes;
    wk_span *from = wk_realloc(b->from, capacity * sizeof *from);
    if (!from) return false;
    b->from = from;
    b->capacity = (uint32_t)capacity;
    return true;
}

bool wk__buffer_add(wk__buffer *b, const char *bytes, uint32_t size, wk_span from) {
    if (!reserve(b, size)) return false;
    for (uint32_t i = 0; i < size; i++) {
        b->bytes[b->size + i] = bytes[i];
        b->from[b->size + i] = from;
    }
    b->size += size;
    return true;
}

bool wk__buffer_copy(wk__buffer *b, const wk__line *line, uint32_t begin, uint32_t end) {
    if (begin >= end) return true;
    if (!reserve(b, end - begin)) return false;
    memcpy(b->bytes + b->size, line->bytes + begin, end - begin);
    if (line->from) {
        memcpy(b->from + b->size, line->from + begin, (end - begin) * sizeof *b->from);
    } else {
        for (uint32_t i = begin, size = 0; i < end; i += size) {
            (void)wk__utf8(line->bytes + i, &size);
            for (uint32_t k = 0; k < size; k++)
                b->from[b->size + i - begin + k] = (wk_span){ line->shift + i, line->shift + i + size };
        }
    }
    b->size += end - begin;
    return true;
}

bool wk__buffer_point(wk__buffer *b, int32_t point, wk_span from) {
    char bytes[4];
    return wk__buffer_add(b, bytes, wk__utf8_put(point, bytes), from);
}

wk__line wk__buffer_line(const wk__buffer *b) {
    return (wk__line){ .bytes = b->bytes ? b->bytes : "", .from = b->from, .size = b->size };
}

void wk__buffer_free(wk__buffer *b) {
    wk_free(b->bytes);
    wk_free(b->from);
    *b = (wk__buffer){ 0 };
}

bool wk__spans_add(wk__spans *s, uint32_t begin, uint32_t end) {
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity * 2 + 64;
        wk_span *at = wk_realloc(s->at, capacity * sizeof *at);
        if (!at) return false;
        s->at = at;
        s->capacity = capacity;
    }
    s->at[s->count++] = (wk_span){ begin, end };
    return true;
}
