/* charsmap.c: the rules that SentencePiece compiles into its models: a trie (darts-clone's double array) from texts to
 * their replacements.  Format: sentencepiece's normalizer.cc and darts-clone's darts.h. */
#include "normal.h"

#include <utf8proc.h>

struct wk__charsmap {
    unsigned char *bytes; /* u32 trie size, trie, replacements with a NUL each */
    const char *texts;
    size_t text_size;
    uint32_t units;
};

static int digit_of(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static size_t from_base64(const char *text, unsigned char *out) {
    size_t size = 0;
    uint32_t word = 0;
    int bits = 0;
    for (; digit_of(*text) >= 0; text++) {
        word = word << 6 | (uint32_t)digit_of(*text);
        bits += 6;
        if (bits >= 8) out[size++] = (unsigned char)(word >> (bits -= 8));
    }
    return size;
}

static uint32_t unit_at(const wk__charsmap *map, uint32_t i) {
    const unsigned char *b = map->bytes + 4 + 4 * (size_t)i;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

wk__charsmap *wk__charsmap_make(const char *text) {
    wk__charsmap *map = wk_alloc(sizeof *map);
    if (!map || !(map->bytes = wk_alloc(strlen(text) + 8))) {
        wk__charsmap_free(map);
        return NULL;
    }
    size_t size = from_base64(text, map->bytes);
    if (size == 0) return map; /* no rules */
    const unsigned char *b = map->bytes;
    uint64_t trie = b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24;
    if (size < 4 || trie % 4 != 0 || trie + 4 > size) {
        wk__charsmap_free(map);
        return wk_fail_null(WK_FORMAT, "normalizer Precompiled: a trie of %llu bytes in a map of %zu",
                            (unsigned long long)trie, size);
    }
    map->units = (uint32_t)(trie / 4);
    map->texts = (const char *)map->bytes + 4 + trie;
    map->text_size = size - 4 - (size_t)trie;
    return map;
}

void wk__charsmap_free(wk__charsmap *map) {
    if (map) wk_free(map->bytes);
    wk_free(map);
}

/* A unit holds a label, the place of its children, and whether there is a value among them. */
static uint32_t children(uint32_t unit) {
    return (unit >> 10) << ((unit & (1U << 9)) >> 6);
}

/* The replacement of the shortest key that begins here, as `tokenizers` takes it; -1. */
static int64_t lookup(const wk__charsmap *map, const char *key, uint32_t size) {
    uint32_t at = 0;
    if (map->units == 0) return -1;
    uint32_t unit = unit_at(map, 0);
    at = children(unit);
    for (uint32_t i = 0; i < size; i++) {
        uint32_t byte = (unsigned char)key[i];
        at ^= byte;
        if (byte == 0 || at >= map->units) return -1;
        unit = unit_at(map, at);
        if ((unit & ((1U << 31) | 0xFF)) != byte) return -1;
        at ^= children(unit);
        if (((unit >> 8) & 1) == 0) continue;
        if (at >= map->units) return -1;
        return unit_at(map, at) & ((1U << 31) - 1);
    }
    return -1;
}

static const char *replacement(const wk__charsmap *map, const char *key, uint32_t size) {
    int64_t at = lookup(map, key, size);
    if (at < 0 || (uint64_t)at >= map->text_size) return NULL;
    return memchr(map->texts + at, 0, map->text_size - (size_t)at) ? map->texts + at : NULL;
}

/* What a reader takes for one character: whole it is looked up, if it is short, else its parts one by one. */
static uint32_t grapheme_end(const wk__line *in, uint32_t at) {
    uint32_t size = 0;
    utf8proc_int32_t state = 0;
    int32_t before = wk__utf8(in->bytes + at, &size);
    for (at += size; at < in->size; at += size) {
        int32_t point = wk__utf8(in->bytes + at, &size);
        if (utf8proc_grapheme_break_stateful(before, point, &state)) break;
        before = point;
    }
    return at;
}

static bool put(wk__buffer *out, const wk__line *in, uint32_t begin, uint32_t end, const char *text) {
    if (!text) return wk__buffer_copy(out, in, begin, end);
    return wk__buffer_add(out, text, (uint32_t)strlen(text), wk__line_from(in, begin, end));
}

wk_status wk__charsmap_run(const wk__charsmap *map, const wk__line *in, wk__buffer *out) {
    enum { SHORT = 6 }; /* bytes */
    for (uint32_t at = 0; at < in->size;) {
        uint32_t end = grapheme_end(in, at);
        const char *whole = end - at < SHORT ? replacement(map, in->bytes + at, end - at) : NULL;
        if (whole) {
            if (!put(out, in, at, end, whole)) return wk_error_code();
            at = end;
            continue;
        }
        for (uint32_t size = 0; at < end; at += size) {
            (void)wk__utf8(in->bytes + at, &size);
            if (!put(out, in, at, at + size, replacement(map, in->bytes + at, size))) return wk_error_code();
        }
    }
    return WK_OK;
}
