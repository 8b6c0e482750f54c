/* decode.c: decoders: tokens to text. */
#include "text.h"

typedef enum decode_kind {
    DECODE_WORDPIECE,
    DECODE_BYTE_LEVEL,
    DECODE_METASPACE,
    DECODE_BPE,
    DECODE_CTC,
    DECODE_REPLACE,
    DECODE_BYTE_FALLBACK,
    DECODE_FUSE,
    DECODE_STRIP
} decode_kind;

struct wk__decoder {
    decode_kind kind;
    wk__decoder *next;
    bool cleanup, keeps_first;
    char *prefix, *content; /* what is looked for, what it becomes */
    wk__pattern *pattern;
    int32_t start, stop;
};

static const char *const names[] = { "WordPiece", "ByteLevel",    "Metaspace", "BPEDecoder", "CTC",
                                     "Replace",   "ByteFallback", "Fuse",      "Strip" };

/* ---- lists of texts ---- */

typedef struct words {
    wk_text *at;
    size_t count;
} words;

static void words_free(words *w) {
    for (size_t i = 0; i < w->count; i++) wk_text_free(&w->at[i]);
    wk_free(w->at);
    *w = (words){ 0 };
}

/* ---- reading ---- */

static wk_status open_decoder(wk__decoder *d, const json_t *value) {
    const char *prefix = "";
    const char *content = "";
    switch (d->kind) {
    case DECODE_WORDPIECE:
        prefix = wk__json_word(value, "prefix", "##");
        d->cleanup = wk__json_flag(value, "cleanup", true);
        break;
    case DECODE_METASPACE: {
        prefix = wk__json_word(value, "replacement", "\xE2\x96\x81");
        const char *scheme =
            wk__json_word(value, "prepend_scheme", wk__json_flag(value, "add_prefix_space", true) ? "always" : "never");
        d->keeps_first = strcmp(scheme, "never") == 0;
        break;
    }
    case DECODE_BPE: prefix = wk__json_word(value, "suffix", "</w>"); break;
    case DECODE_CTC:
        prefix = wk__json_word(value, "pad_token", "<pad>");
        content = wk__json_word(value, "word_delimiter_token", "|");
        d->cleanup = wk__json_flag(value, "cleanup", true);
        break;
    case DECODE_REPLACE:
        d->pattern = wk__pattern_make(json_object_get(value, "pattern"), "decoder Replace");
        content = wk__json_word(value, "content", "");
        break;
    case DECODE_STRIP:
        content = wk__json_word(value, "content", " ");
        d->start = (int32_t)json_integer_value(json_object_get(value, "start"));
        d->stop = (int32_t)json_integer_value(json_object_get(value, "stop"));
        break;
    case DECODE_BYTE_LEVEL:
    case DECODE_BYTE_FALLBACK:
    case DECODE_FUSE: break;
    }
    d->prefix = wk_strdup(prefix);
    d->content = wk_strdup(content);
    return wk_error_code();
}

static wk__decoder *make_sequence(const json_t *list) {
    wk__decoder *first = NULL;
    wk__decoder **end = &first;
    for (size_t i = 0; i < json_array_size(list) && !wk_failed(); i++)
        for (*end = wk__decoder_make(json_array_get(list, i)); *end;) end = &(*end)->next;
    if (!wk_failed()) return first;
    wk__decoder_free(first);
    return NULL;
}

wk__decoder *wk__decoder_make(const json_t *value) {
    if (!value || json_is_null(value)) return NULL;
    const char *type = wk__json_type(value, "decoder");
    if (!type) return NULL;
    if (strcmp(type, "Sequence") == 0) return make_sequence(json_object_get(value, "decoders"));
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        if (strcmp(names[i], type) != 0) continue;
        wk__decoder *d = wk_alloc(sizeof *d);
        if (!d) return NULL;
        d->kind = (decode_kind)i;
        if (open_decoder(d, value) == WK_OK) return d;
        wk__decoder_free(d);
        return NULL;
    }
    return wk_fail_null(WK_UNSUPPORTED, "decoder \"%s\" is none of those that Wick has", type);
}

void wk__decoder_free(wk__decoder *d) {
    while (d) {
        wk__decoder *next = d->next;
        wk__pattern_free(d->pattern);
        wk_free(d->prefix);
        wk_free(d->content);
        wk_free(d);
        d = next;
    }
}

/* ---- one token at a time ---- */

/* Each `from` becomes `to`; most: 0 is all of them. */
static void replace(wk_text *text, const char *from, const char *to, int most) {
    wk_text out = { 0 };
    const char *at = wk_text_get(text);
    const char *end = at + text->size;
    size_t size = strlen(from);
    for (int n = 0; size > 0 && (most == 0 || n < most); n++) {
        const char *found = memmem(at, (size_t)(end - at), from, size);
        if (!found) break;
        wk_text_add(&out, at, (size_t)(found - at));
        wk_text_puts(&out, to);
        at = found + size;
    }
    wk_text_add(&out, at, (size_t)(end - at));
    wk_text_free(text);
    *text = out;
}

/* English as it is written: the same list, in the same order, as in `tokenizers`. */
static void clean(wk_text *text) {
    static const char *const rules[][2] = { { " .", "." },     { " ?", "?" },           { " !", "!" },
                                            { " ,", "," },     { " ' ", "'" },          { " n't", "n't" },
                                            { " 'm", "'m" },   { " do not", " don't" }, { " 's", "'s" },
                                            { " 've", "'ve" }, { " 're", "'re" } };
    for (size_t i = 0; i < WK_COUNT(rules); i++) replace(text, rules[i][0], rules[i][1], 0);
}

static void before(wk_text *text, const char *prefix) {
    wk_text out = { 0 };
    wk_text_puts(&out, prefix);
    wk_text_add(&out, wk_text_get(text), text->size);
    wk_text_free(text);
    *text = out;
}

static bool begins(const wk_text *text, const char *with) {
    return strncmp(wk_text_get(text), with, strlen(with)) == 0;
}

static void strip(const wk__decoder *d, wk_text *text) {
    size_t size = strlen(d->content);
    size_t begin = 0;
    size_t end = text->size;
    for (int32_t i = 0; size && i < d->start && end - begin >= size; i++) {
        if (memcmp(text->data + begin, d->content, size) != 0) break;
        begin += size;
    }
    for (int32_t i = 0; size && i < d->stop && end - begin >= size; i++) {
        if (memcmp(text->data + end - size, d->content, size) != 0) break;
        end -= size;
    }
    wk_text out = { 0 };
    wk_text_add(&out, wk_text_get(text) + begin, end - begin);
    wk_text_free(text);
    *text = out;
}

static wk_status by_pattern(const wk__decoder *d, wk_text *text) {
    wk_text out = { 0 };
    uint32_t at = 0;
    wk_span match;
    while (wk__pattern_next(d->pattern, wk_text_get(text), (uint32_t)text->size, at, &match)) {
        wk_text_add(&out, text->data + at, match.begin - at);
        wk_text_puts(&out, d->content);
        at = match.end;
    }
    wk_text_add(&out, wk_text_get(text) + at, text->size - at);
    wk_text_free(text);
    *text = out;
    return wk_error_code();
}

static wk_status each(const wk__decoder *d, words *w) {
    for (size_t i = 0; i < w->count; i++) {
        wk_text *text = &w->at[i];
        switch (d->kind) {
        case DECODE_WORDPIECE:
            if (i > 0 && begins(text, d->prefix))
                replace(text, d->prefix, "", 1);
            else if (i > 0)
                before(text, " ");
            if (d->cleanup) clean(text);
            break;
        case DECODE_METASPACE:
            if (i == 0 && !d->keeps_first) replace(text, d->prefix, "", 0);
            replace(text, d->prefix, " ", 0);
            break;
        case DECODE_BPE: replace(text, d->prefix, i + 1 == w->count ? "" : " ", 0); break;
        case DECODE_REPLACE: WK_TRY(by_pattern(d, text)); break;
        case DECODE_STRIP: strip(d, text); break;
        default: break;
        }
    }
    return wk_error_code();
}

/* ---- several at once ---- */

static bool byte_of(const wk_text *text, char *byte) {
    unsigned value = 0;
    if (text->size != 6 || sscanf(text->data, "<0x%2X>", &value) != 1 || text->data[5] != '>') return false;
    *byte = (char)value;
    return true;
}

/* U+FFFD for what is no UTF-8: one for each longest beginning of a character, as Rust and browsers do. */
static void add_lossy(wk_text *out, const char *bytes, size_t size) {
    for (size_t i = 0; i < size;) {
        unsigned char b = (unsigned char)bytes[i];
        size_t want = b < 0x80                ? 1
                      : b >= 0xC2 && b < 0xE0 ? 2
                      : b >= 0xE0 && b < 0xF0 ? 3
                      : b >= 0xF0 && b < 0xF5 ? 4
                                              : 0;
        unsigned char low = b == 0xE0 ? 0xA0 : b == 0xF0 ? 0x90 : 0x80;
        unsigned char high = b == 0xED ? 0x9F : b == 0xF4 ? 0x8F : 0xBF;
        size_t got = 1;
        for (; got < want && i + got < size; got++, low = 0x80, high = 0xBF) {
            unsigned char c = (unsigned char)bytes[i + got];
            if (c < low || c > high) break;
        }
        if (got == want)
            wk_text_add(out, bytes + i, got);
        else
            wk_text_puts(out, "\xEF\xBF\xBD");
        i += got;
    }
}

/* Runs of "<0x41>" are the text of their bytes, or U+FFFD for each where they are none. */
static void fall_back(words *w) {
    size_t out = 0;
    for (size_t i = 0; i < w->count;) {
        wk_text bytes = { 0 };
        size_t count = 0;
        char byte = 0;
        for (; i + count < w->count && byte_of(&w->at[i + count], &byte); count++) wk_text_add(&bytes, &byte, 1);
        if (count == 0) {
            wk_text kept = w->at[i];
            w->at[i++] = (wk_text){ 0 };
            w->at[out++] = kept;
            continue;
        }
        bool valid = wk__utf8_check(wk_text_get(&bytes), bytes.size) == WK_OK;
        wk_clear_error();
        for (size_t k = 0; k < count; k++) wk_text_free(&w->at[i + k]);
        for (size_t k = 0; !valid && k < count; k++) wk_text_puts(&w->at[out++], "\xEF\xBF\xBD");
        if (valid) w->at[out++] = bytes;
        if (!valid) wk_text_free(&bytes);
        i += count;
    }
    w->count = out;
}

static void fuse(words *w, bool alphabet) {
    wk_text all = { 0 };
    wk_text out = { 0 };
    for (size_t i = 0; i < w->count; i++) {
        size_t size = all.size;
        bool reads = alphabet && wk__alphabet_read(wk_text_get(&w->at[i]), w->at[i].size, &all);
        if (!reads) all.size = size;
        if (!reads) wk_text_add(&all, wk_text_get(&w->at[i]), w->at[i].size);
        wk_text_free(&w->at[i]);
    }
    if (alphabet) add_lossy(&out, wk_text_get(&all), all.size);
    w->count = w->count > 0;
    if (w->count) w->at[0] = alphabet ? out : all;
    if (alphabet || !w->count) wk_text_free(&all);
    if (!w->count) wk_text_free(&out);
}

/* Of equal tokens in a row one counts; blanks go. */
static void ctc(const wk__decoder *d, words *w) {
    size_t out = 0;
    wk_text last = { 0 };
    for (size_t i = 0; i < w->count; i++) {
        wk_text text = w->at[i];
        w->at[i] = (wk_text){ 0 };
        bool again = i > 0 && strcmp(wk_text_get(&text), wk_text_get(&last)) == 0;
        wk_text_free(&last);
        wk_text_puts(&last, wk_text_get(&text));
        if (!again) replace(&text, d->prefix, "", 0);
        if (!again && d->cleanup) {
            clean(&text);
            replace(&text, d->content, " ", 0);
        }
        if (again || text.size == 0)
            wk_text_free(&text);
        else
            w->at[out++] = text;
    }
    wk_text_free(&last);
    w->count = out;
}

wk_status wk__decode(const wk__decoder *d, const char *const *tokens, size_t count, wk_text *out) {
    words w = { wk_alloc((count + 1) * sizeof *w.at), count };
    if (!w.at) return wk_error_code();
    for (size_t i = 0; i < count; i++) wk_text_puts(&w.at[i], tokens[i]);
    const char *between = d ? "" : " ";
    wk_status status = WK_OK;
    for (; d && status == WK_OK; d = d->next) {
        switch (d->kind) {
        case DECODE_BYTE_LEVEL: fuse(&w, true); break;
        case DECODE_FUSE: fuse(&w, false); break;
        case DECODE_BYTE_FALLBACK: fall_back(&w); break;
        case DECODE_CTC: ctc(d, &w); break;
        default: status = each(d, &w);
        }
    }
    for (size_t i = 0; i < w.count; i++) {
        if (i > 0) wk_text_puts(out, between);
        wk_text_add(out, wk_text_get(&w.at[i]), w.at[i].size);
    }
    if (!out->data) wk_text_puts(out, "");
    words_free(&w);
    return status == WK_OK ? wk_error_code() : status;
}
