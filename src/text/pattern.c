/* pattern.c: what texts are split and replaced by: a fixed text, a regular expression (PCRE2), or the expression of
 * GPT-2, which is common enough to be matched by hand.
 *
 * The files mean Oniguruma's syntax. Of what tokenizers use of it PCRE2 differs in \w, which is written out.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text.h"

#include <pcre2.h>

typedef enum wk__matcher { MATCH_TEXT, MATCH_EXPRESSION, MATCH_GPT2 } wk__matcher;

struct wk__pattern {
    wk__matcher matcher;
    char *text;
    uint32_t size;
    pcre2_code *code;
    pcre2_match_context *limits;
};

static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

enum { MOST_STEPS = 10000000 }; /* of a match: an expression that runs away is an error, not a hang */

/* Oniguruma's \w has marks, connectors and letters in circles too. */
static void write_out(const char *text, wk_text *out) {
    static const char word[] =
        "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}\\x{24B6}-\\x{24E9}"
        "\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}";
    int depth = 0; /* of [ ] */
    for (; *text; text++) {
        if (*text == '\\' && (text[1] == 'w' || (text[1] == 'W' && !depth))) {
            wk_text_printf(out, depth ? "%s" : text[1] == 'w' ? "[%s]" : "[^%s]", word);
            text++;
            continue;
        }
        depth += *text == '[' ? 1 : *text == ']' && depth ? -1 : 0;
        wk_text_add(out, text, *text == '\\' && text[1] ? 2 : 1);
        if (*text == '\\' && text[1]) text++;
    }
}

static wk_status compile(wk__pattern *p, const char *where) {
    int code = 0;
    PCRE2_SIZE at = 0;
    wk_text text = { 0 };
    write_out(p->text, &text);
    if (text.failed) return wk_error_code();
    p->code = pcre2_compile((PCRE2_SPTR)wk_text_get(&text), text.size, PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK,
                            &code, &at, NULL);
    wk_text_free(&text);
    if (!p->code) {
        char message[200];
        (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message);
        return wk_fail(WK_FORMAT, "%s: regular expression \"%s\": %s, at %zu", where, p->text, message, at);
    }
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without: slower */
    p->limits = pcre2_match_context_create(NULL);
    if (!p->limits) return wk_fail(WK_NO_MEMORY, "%s: no memory for an expression", where);
    (void)pcre2_set_match_limit(p->limits, MOST_STEPS);
    return WK_OK;
}

wk__pattern *wk__pattern_make(const json_t *value, const char *where) {
    const json_t *expression = json_object_get(value, "Regex");
    const json_t *text = expression ? expression : json_is_string(value) ? value : json_object_get(value, "String");
    if (!json_is_string(text))
        return wk_fail_null(WK_FORMAT, "%s: expected a pattern, {\"String\": …} or {\"Regex\": …}", where);
    wk__pattern *p = wk_alloc(sizeof *p);
    if (!p || !(p->text = wk_strdup(json_string_value(text)))) {
        wk__pattern_free(p);
        return NULL;
    }
    p->size = (uint32_t)strlen(p->text);
    p->matcher = !expression ? MATCH_TEXT : strcmp(p->text, gpt2) == 0 ? MATCH_GPT2 : MATCH_EXPRESSION;
    if (p->matcher == MATCH_EXPRESSION && compile(p, where) != WK_OK) {
        wk__pattern_free(p);
        return NULL;
    }
    return p;
}

wk__pattern *wk__pattern_gpt2(void) {
    wk__pattern *p = wk_alloc(sizeof *p);
    if (p) p->matcher = MATCH_GPT2;
    return p;
}

void wk__pattern_free(wk__pattern *p) {
    if (!p) return;
    if (p->code) pcre2_code_free(p->code);
    if (p->limits) pcre2_match_context_free(p->limits);
    wk_free(p->text);
    wk_free(p);
}

/* ---- GPT-2's expression ---- */

typedef enum wk__class { IS_REST, IS_SPACE, IS_LETTER, IS_NUMBER } wk__class;

static const unsigned char ascii[129] = { "\0\0\0\0\0\0\0\0\0\1\1\1\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                                          "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\3\3\3\3\3\3\3\3\3\3\0\0\0\0\0\0"
                                          "\0\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\0\0\0\0\0"
                                          "\0\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\0\0\0\0\0" };

static wk__class class_of(const char *at, uint32_t *size) {
    if ((signed char)*at >= 0) {
        *size = 1;
        return (wk__class)ascii[(unsigned char)*at];
    }
    int32_t point = wk__utf8(at, size);
    return wk__is_letter(point)   ? IS_LETTER
           : wk__is_number(point) ? IS_NUMBER
           : wk__is_space(point)  ? IS_SPACE
                                  : IS_REST;
}

static uint32_t contraction(const char *at, uint32_t left) {
    if (left < 2 || at[0] != '\'') return 0;
    if (strchr("stmd", at[1]) && at[1]) return 2;
    bool two = left >= 3
               && ((at[1] == 'r' && at[2] == 'e') || (at[1] == 'v' && at[2] == 'e') || (at[1] == 'l' && at[2] == 'l'));
    return two ? 3 : 0;
}

/* The end of the run of one class that begins at `at`; the start of its last character. */
static uint32_t run_end(const char *bytes, uint32_t size, uint32_t at, wk__class class_, uint32_t *last) {
    uint32_t step = 0;
    for (; at < size && class_of(bytes + at, &step) == class_; at += step) *last = at;
    return at;
}

/* Everything is part of a match: the end of the one that begins at `at`. */
static uint32_t gpt2_end(const char *bytes, uint32_t size, uint32_t at) {
    uint32_t step = 0;
    uint32_t last = at;
    uint32_t short_form = contraction(bytes + at, size - at);
    if (short_form) return at + short_form;
    uint32_t word = at + (bytes[at] == ' ' && at + 1 < size);
    wk__class class_ = class_of(bytes + word, &step);
    if (class_ != IS_SPACE) return run_end(bytes, size, word, class_, &last);
    uint32_t end = run_end(bytes, size, at, IS_SPACE, &last);
    return end < size && last > at ? last : end; /* the last space of several goes with the word behind it */
}

/* ---- all ---- */

static bool find_text(const wk__pattern *p, const char *bytes, uint32_t size, uint32_t at, wk_span *match) {
    if (p->size == 0 || size - at < p->size) return false;
    const char *found = memmem(bytes + at, size - at, p->text, p->size);
    if (!found) return false;
    *match = (wk_span){ (uint32_t)(found - bytes), (uint32_t)(found - bytes) + p->size };
    return true;
}

static bool find_expression(const wk__pattern *p, const char *bytes, uint32_t size, uint32_t at, wk_span *match) {
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (!data) return wk_fail(WK_NO_MEMORY, "no memory for a match"), false;
    int result =
        pcre2_match(p->code, (PCRE2_SPTR)bytes, size, at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, data, p->limits);
    if (result >= 0) {
        const PCRE2_SIZE *place = pcre2_get_ovector_pointer(data);
        *match = (wk_span){ (uint32_t)place[0], (uint32_t)place[1] };
    }
    pcre2_match_data_free(data);
    if (result < 0 && result != PCRE2_ERROR_NOMATCH)
        (void)wk_fail(WK_INVALID, "regular expression \"%s\" gives up on a text of %u bytes", p->text, size);
    return result >= 0;
}

bool wk__pattern_next(const wk__pattern *p, const char *bytes, uint32_t size, uint32_t at, wk_span *match) {
    if (at >= size) return false;
    switch (p->matcher) {
    case MATCH_TEXT: return find_text(p, bytes, size, at, match);
    case MATCH_EXPRESSION: return find_expression(p, bytes, size, at, match);
    case MATCH_GPT2: *match = (wk_span){ at, gpt2_end(bytes, size, at) }; return true;
    }
    return false;
}
