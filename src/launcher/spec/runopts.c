/* runopts.c: options of a scheduler as typed values, from the text after -cfg.
 *
 * The grammar is TorchX's: `k=v,k2=a;b,k3=x`.  Since lists use the same separators as options, the last separator
 * before the next `key=` is the one that parts two options; quotes protect the characters , ; = within.  An unknown
 * key is an error, as TorchX's users came to wish.
 */
#include "launcher/launcher.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct value {
    bool is_set, is_none /* said to have no value */;
    const char *text;
    int64_t integer;
    double number;
    bool flag;
    const char **items;
    wk_pair *pairs;
    size_t count;
} value;

struct wk_cfg {
    wk__arena arena;
    const char *scheduler;
    const wk_runopt *options;
    size_t count;
    value *values; /* (count) */
};

static const char *const type_names[] = { "text",          "an integer",   "a number",
                                          "true or false", "a list (a;b)", "pairs (k:v;k2:v2)" };

/* `job_dir`, `jobDir` and `job-dir` are one name. */
static bool is_same_name(const char *a, const char *b) {
    for (;; a++, b++) {
        while (*a == '_' || *a == '-') a++;
        while (*b == '_' || *b == '-') b++;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
        if (!*a) return true;
    }
}

static size_t index_of(const wk_cfg *cfg, const char *name) {
    size_t i = 0;
    while (i < cfg->count && !is_same_name(cfg->options[i].name, name)) i++;
    return i;
}

/* The next unquoted character of `set`, or the end. */
static const char *scan(const char *at, const char *set) {
    for (char quote = 0; *at; at++) {
        if (quote)
            quote = *at == quote ? '\0' : quote;
        else if (*at == '"' || *at == '\'')
            quote = *at;
        else if (strchr(set, *at))
            break;
    }
    return at;
}

/* The text without its quotes. */
static char *unquote(wk_cfg *cfg, const char *text, size_t size) {
    char *out = wk__arena_take(&cfg->arena, size + 1);
    if (!out) return NULL;
    size_t used = 0;
    char quote = 0;
    for (size_t i = 0; i < size; i++) {
        if (quote && text[i] == quote)
            quote = 0;
        else if (!quote && (text[i] == '"' || text[i] == '\''))
            quote = text[i];
        else
            out[used++] = text[i];
    }
    out[used] = '\0';
    return out;
}

/* Quotes around the whole value protect it from the option grammar only: what they hold is still a list of items. */
static void strip_outer(const char **text, size_t *size) {
    char quote = *size >= 2 ? **text : '\0';
    if ((quote == '"' || quote == '\'') && memchr(*text + 1, quote, *size - 1) == *text + *size - 1) {
        (*text)++;
        *size -= 2;
    }
}

/* Items part at ; if there is one outside quotes, else at comma: `a:1,2;b:3` is two pairs, `a,b` two items. */
static wk_status split_items(wk_cfg *cfg, const char *name, bool pairs, const char *text, size_t size, value *out) {
    char *copy = wk__arena_take(&cfg->arena, size + 1);
    if (!copy) return wk_error_code();
    memcpy(copy, text, size);
    copy[size] = '\0';
    const char *separator = *scan(copy, ";") ? ";" : ",";
    out->items = wk__arena_take(&cfg->arena, (size / 2 + 2) * sizeof *out->items);
    out->pairs = wk__arena_take(&cfg->arena, (size / 2 + 2) * sizeof *out->pairs);
    if (!out->items || !out->pairs) return wk_error_code();
    for (const char *at = copy; *at;) {
        const char *end = scan(at, separator);
        const char *colon = scan(at, ":");
        if (pairs && (colon >= end || colon == at))
            return wk_fail(WK_CONFIG, "%s: %s must be pairs (k:v;k2:v2), but \"%.*s\" has no colon", cfg->scheduler,
                           name, (int)(end - at), at);
        if (end > at) {
            out->items[out->count] = unquote(cfg, at, (size_t)(end - at));
            if (pairs) {
                out->pairs[out->count].key = unquote(cfg, at, (size_t)(colon - at));
                out->pairs[out->count].value = unquote(cfg, colon + 1, (size_t)(end - colon - 1));
            }
            out->count++;
        }
        at = *end ? end + 1 : end;
    }
    return wk_error_code();
}

static bool parse_flag(const char *text, bool *out) {
    static const char *const words[2][4] = { { "false", "0", "no", "off" }, { "true", "1", "yes", "on" } };
    for (size_t truth = 0; truth < 2; truth++)
        for (size_t i = 0; i < 4; i++)
            if (strcasecmp(text, words[truth][i]) == 0) {
                *out = truth == 1;
                return true;
            }
    return false;
}

static wk_status set_value(wk_cfg *cfg, size_t index, const char *text, size_t size) {
    const wk_runopt *option = &cfg->options[index];
    value *out = &cfg->values[index];
    out->is_set = true;
    if (option->type == WK_RUNOPT_LIST || option->type == WK_RUNOPT_DICT) {
        strip_outer(&text, &size);
        return split_items(cfg, option->name, option->type == WK_RUNOPT_DICT, text, size, out);
    }
    if (!(out->text = unquote(cfg, text, size))) return wk_error_code();
    char *end = NULL;
    bool good = true;
    errno = 0;
    if (option->type == WK_RUNOPT_INT)
        out->integer = strtoll(out->text, &end, 10);
    else if (option->type == WK_RUNOPT_FLOAT)
        out->number = strtod(out->text, &end);
    else if (option->type == WK_RUNOPT_BOOL)
        good = parse_flag(out->text, &out->flag);
    if (!good || (end && (end == out->text || *end || errno)))
        return wk_fail(WK_CONFIG, "%s: %s must be %s, not \"%.80s\"", cfg->scheduler, option->name,
                       type_names[option->type], out->text);
    return WK_OK;
}

static wk_status unknown(const wk_cfg *cfg, const char *key) {
    const char *names[64];
    size_t count = 0;
    wk_text known = { 0 };
    for (; count < cfg->count && count < WK_COUNT(names); count++) {
        names[count] = cfg->options[count].name;
        wk_text_printf(&known, "%s%s", count ? ", " : "", names[count]);
    }
    const char *nearest = wk__nearest(key, names, count);
    wk_status status =
        nearest ? wk_fail(WK_CONFIG, "%s: unknown option \"%.80s\"; did you mean \"%s\"?", cfg->scheduler, key, nearest)
                : wk_fail(WK_CONFIG, "%s: unknown option \"%.80s\"; known are %s", cfg->scheduler, key,
                          wk_text_get(&known));
    wk_text_free(&known);
    return status;
}

static wk_status parse(wk_cfg *cfg, const char *text) {
    for (const char *at = text; *at;) {
        const char *equals = scan(at, "=");
        if (!*equals || equals == at)
            return wk_fail(WK_CONFIG, "-cfg: \"%.80s\" is not of the form key=value,key2=a;b", at);
        const char *following = scan(equals + 1, "="); /* of the next option, or the end */
        const char *end = following;
        if (*following) {
            const char *last = NULL;
            for (const char *s = scan(equals + 1, ",;"); s < following; s = scan(s + 1, ",;")) last = s;
            if (!last) return wk_fail(WK_CONFIG, "-cfg: \"%.80s\": a value that holds = needs quotes: key=\"a=b\"", at);
            end = last;
        } else if (end > equals + 1 && (end[-1] == ',' || end[-1] == ';'))
            end--;
        char *key = unquote(cfg, at, (size_t)(equals - at));
        if (!key) return wk_error_code();
        size_t index = index_of(cfg, key);
        if (index == cfg->count) return unknown(cfg, key);
        if (cfg->values[index].is_set)
            return wk_fail(WK_CONFIG, "%s: option \"%s\" is given twice", cfg->scheduler, key);
        WK_TRY(set_value(cfg, index, equals + 1, (size_t)(end - equals - 1)));
        at = *end ? end + 1 : end;
    }
    return WK_OK;
}

wk_cfg *wk__cfg_begin(const char *scheduler, const wk_runopt *options, size_t count, const char *text) {
    wk_cfg *cfg = wk_alloc(sizeof *cfg);
    if (!cfg) return NULL;
    cfg->scheduler = scheduler;
    cfg->options = options;
    cfg->count = count;
    cfg->values = wk__arena_take(&cfg->arena, (count + 1) * sizeof *cfg->values);
    if (!cfg->values) goto failed;
    memset(cfg->values, 0, (count + 1) * sizeof *cfg->values);
    if (!text || parse(cfg, text) == WK_OK) return cfg;
failed:
    wk_cfg_free(cfg);
    return NULL;
}

wk_status wk__cfg_add(wk_cfg *cfg, const char *key, const char *text, const char *where) {
    size_t index = index_of(cfg, key);
    if (index == cfg->count) {
        wk_log_write(WK_LOG_WARNING, "%s: %s has no option \"%s\"; left out", where, cfg->scheduler, key);
        return WK_OK;
    }
    if (cfg->values[index].is_set || cfg->values[index].is_none) return WK_OK;
    cfg->values[index].is_none = text == NULL;
    wk_status status = text ? set_value(cfg, index, text, strlen(text)) : WK_OK;
    if (status != WK_OK) wk_error_prefix("%s", where);
    return status;
}

wk_cfg *wk__cfg_finish(wk_cfg *cfg) {
    for (size_t i = 0; i < cfg->count; i++) {
        const wk_runopt *option = &cfg->options[i];
        if (cfg->values[i].is_set) continue;
        if (option->required) {
            (void)wk_fail(WK_CONFIG, "%s: option \"%s\" is required (%s); give -cfg %s=…", cfg->scheduler, option->name,
                          option->help, option->name);
            goto failed;
        }
        if (!option->initial || cfg->values[i].is_none) continue;
        if (set_value(cfg, i, option->initial, strlen(option->initial)) != WK_OK) goto failed;
        cfg->values[i].is_set = false;
    }
    return cfg;
failed:
    wk_cfg_free(cfg);
    return NULL;
}

wk_cfg *wk_cfg_parse(const char *scheduler, const wk_runopt *options, size_t count, const char *text) {
    wk_cfg *cfg = wk__cfg_begin(scheduler, options, count, text);
    return cfg ? wk__cfg_finish(cfg) : NULL;
}

void wk_cfg_free(wk_cfg *cfg) {
    if (!cfg) return;
    wk__arena_destroy(&cfg->arena);
    wk_free(cfg);
}

/* values has one zeroed element past the end: what an unknown name gives. */
const char *wk_cfg_string(const wk_cfg *cfg, const char *name) {
    return cfg->values[index_of(cfg, name)].text;
}

int64_t wk_cfg_int(const wk_cfg *cfg, const char *name) {
    return cfg->values[index_of(cfg, name)].integer;
}

double wk_cfg_float(const wk_cfg *cfg, const char *name) {
    return cfg->values[index_of(cfg, name)].number;
}

bool wk_cfg_bool(const wk_cfg *cfg, const char *name) {
    return cfg->values[index_of(cfg, name)].flag;
}

bool wk_cfg_is_set(const wk_cfg *cfg, const char *name) {
    return cfg->values[index_of(cfg, name)].is_set;
}

const char *const *wk_cfg_list(const wk_cfg *cfg, const char *name, size_t *count) {
    const value *v = &cfg->values[index_of(cfg, name)];
    *count = v->count;
    return v->items;
}

const wk_pair *wk_cfg_dict(const wk_cfg *cfg, const char *name, size_t *count) {
    const value *v = &cfg->values[index_of(cfg, name)];
    *count = v->count;
    return v->pairs;
}
