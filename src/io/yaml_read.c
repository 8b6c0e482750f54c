/* yaml_read.c: typed values out of the tree, and the sentences for what does not fit. */
#include "io/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static wk_status fail_list(const wk__yaml *document, const wk__yaml_node *node, bool at_key, const char *format,
                           va_list list) {
    wk_text message = { 0 };
    char body[900];
    (void)vsnprintf(body, sizeof body, format, list);
    int line = at_key && node->key_line ? node->key_line : node ? node->line : 0;
    int column = at_key && node->key_line ? node->key_column : node ? node->column : 0;
    if (node && node->origin)
        wk_text_printf(&message, "%s: %s", node->origin, body);
    else if (line)
        wk_text_printf(&message, "%s:%d:%d: %s", document->name, line, column, body);
    else
        wk_text_printf(&message, "%s: %s", document->name, body);
    wk_status status = wk_fail(WK_CONFIG, "%s", wk_text_get(&message));
    wk_text_free(&message);
    return status;
}

wk_status wk__yaml_fail(const wk__yaml *document, const wk__yaml_node *node, const char *format, ...) {
    va_list list;
    va_start(list, format);
    wk_status status = fail_list(document, node, false, format, list);
    va_end(list);
    return status;
}

wk_status wk__yaml_fail_key(const wk__yaml *document, const wk__yaml_node *node, const char *format, ...) {
    va_list list;
    va_start(list, format);
    wk_status status = fail_list(document, node, node != NULL, format, list);
    va_end(list);
    return status;
}

wk__yaml_node *wk__yaml_find(const wk__yaml_node *mapping, const char *key) {
    if (!mapping || mapping->kind != WK__YAML_MAPPING) return NULL;
    for (wk__yaml_node *child = mapping->first; child; child = child->next)
        if (child->key && strcmp(child->key, key) == 0) return child;
    return NULL;
}

bool wk__yaml_is_null(const wk__yaml_node *node) {
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
    if (node->kind != WK__YAML_SCALAR || node->quoted) return false;
    for (size_t i = 0; i < WK_COUNT(nulls); i++)
        if (strcmp(node->text, nulls[i]) == 0) return true;
    return false;
}

/* `num_replicas must be an integer from 1 to 10, not "two"`, with what stands there in place of "two". */
static wk_status fail_type(const wk__yaml *document, const wk__yaml_node *node, const char *what,
                           const char *expected) {
    const char *name = what ? what : node->key ? node->key : "the value";
    if (node->kind == WK__YAML_SEQUENCE)
        return wk__yaml_fail(document, node, "%s must be %s, not a list", name, expected);
    if (node->kind == WK__YAML_MAPPING)
        return wk__yaml_fail(document, node, "%s must be %s, not a mapping", name, expected);
    if (wk__yaml_is_null(node)) return wk__yaml_fail(document, node, "%s must be %s, not empty", name, expected);
    return wk__yaml_fail(document, node, "%s must be %s, not %s\"%.100s\"", name, expected,
                         node->quoted ? "the text " : "", node->text);
}

wk_status wk__yaml_string(const wk__yaml *document, const wk__yaml_node *node, const char *what, const char **value) {
    if (node->kind != WK__YAML_SCALAR || wk__yaml_is_null(node)) return fail_type(document, node, what, "text");
    *value = node->text;
    return WK_OK;
}

wk_status wk__yaml_int(const wk__yaml *document, const wk__yaml_node *node, const char *what, int64_t least,
                       int64_t most, int64_t *value) {
    char expected[96] = "an integer";
    if (most != INT64_MAX)
        (void)snprintf(expected, sizeof expected, "an integer from %lld to %lld", (long long)least, (long long)most);
    else if (least != INT64_MIN)
        (void)snprintf(expected, sizeof expected, "an integer of at least %lld", (long long)least);
    if (node->kind != WK__YAML_SCALAR || node->quoted || node->text[0] == '\0')
        return fail_type(document, node, what, expected);
    const char *digits = node->text + (node->text[0] == '-' || node->text[0] == '+');
    char *end = NULL;
    errno = 0;
    long long number = strtoll(node->text, &end, 10);
    if (*digits < '0' || *digits > '9' || *end != '\0' || errno != 0 || number < least || number > most)
        return fail_type(document, node, what, expected);
    *value = number;
    return WK_OK;
}

/* strtod also reads hexadecimal, "infinity" and "nan(…)"; here only what YAML and Python agree on. */
static bool parse_double(const char *text, double *value) {
    const char *body = text + (*text == '-' || *text == '+');
    if (strcasecmp(body, ".inf") == 0) {
        *value = *text == '-' ? -HUGE_VAL : HUGE_VAL;
        return true;
    }
    if (strcasecmp(body, ".nan") == 0) {
        *value = (double)NAN;
        return true;
    }
    if (*body == '\0' || strspn(body, "0123456789.eE+-") != strlen(body) || *body == '+' || *body == '-') return false;
    char *end = NULL;
    *value = strtod(text, &end);
    return *end == '\0' && end != text;
}

wk_status wk__yaml_double(const wk__yaml *document, const wk__yaml_node *node, const char *what, double *value) {
    if (node->kind != WK__YAML_SCALAR || node->quoted || !parse_double(node->text, value))
        return fail_type(document, node, what, "a number");
    return WK_OK;
}

static bool parse_bool(const char *text, bool *value) {
    static const struct {
        const char *spelling[3];
        bool value;
    } words[] = {
        { { "true", "True", "TRUE" }, true }, { { "false", "False", "FALSE" }, false },
        { { "yes", "Yes", "YES" }, true },    { { "no", "No", "NO" }, false },
        { { "on", "On", "ON" }, true },       { { "off", "Off", "OFF" }, false },
    };
    for (size_t i = 0; i < WK_COUNT(words); i++)
        for (size_t j = 0; j < 3; j++)
            if (strcmp(text, words[i].spelling[j]) == 0) {
                *value = words[i].value;
                return true;
            }
    return false;
}

wk_status wk__yaml_bool(const wk__yaml *document, const wk__yaml_node *node, const char *what, bool *value) {
    if (node->kind == WK__YAML_SCALAR && !node->quoted && parse_bool(node->text, value)) return WK_OK;
    return fail_type(document, node, what, "true or false");
}

/* Without quotes it would be a number, a truth value or nothing. */
static bool needs_quotes(const char *text) {
    const wk__yaml_node plain = { .kind = WK__YAML_SCALAR, .text = text };
    double number;
    bool truth;
    return wk__yaml_is_null(&plain) || parse_double(text, &number) || parse_bool(text, &truth);
}

bool wk__yaml_equal(const wk__yaml_node *a, const wk__yaml_node *b) {
    if (!a || !b) return a == b;
    if (a->kind != b->kind || a->count != b->count) return false;
    if (wk__yaml_is_null(a) || wk__yaml_is_null(b)) return wk__yaml_is_null(a) && wk__yaml_is_null(b);
    if (a->kind == WK__YAML_SCALAR)
        return strcmp(a->text, b->text) == 0 && (a->quoted == b->quoted || !needs_quotes(a->text));
    const wk__yaml_node *y = b->first;
    for (const wk__yaml_node *x = a->first; x; x = x->next, y = y->next)
        if ((x->key && strcmp(x->key, y->key) != 0) || !wk__yaml_equal(x, y)) return false;
    return true;
}

wk_status wk__yaml_list(const wk__yaml *document, const wk__yaml_node *node, const char *what) {
    return node->kind == WK__YAML_SEQUENCE ? WK_OK : fail_type(document, node, what, "a list");
}

wk_status wk__yaml_map(const wk__yaml *document, const wk__yaml_node *node, const char *what) {
    return node->kind == WK__YAML_MAPPING ? WK_OK : fail_type(document, node, what, "a mapping");
}

wk_status wk__yaml_known(const wk__yaml *document, const wk__yaml_node *mapping, const char *where,
                         const char *const *names, size_t count) {
    for (const wk__yaml_node *child = mapping->first; child; child = child->next) {
        bool known = false;
        for (size_t i = 0; i < count && !known; i++) known = strcmp(child->key, names[i]) == 0;
        if (known) continue;
        const char *nearest = wk__nearest(child->key, names, count);
        if (nearest)
            return wk__yaml_fail_key(document, child, "unknown key \"%.100s\" in %s; did you mean \"%s\"?", child->key,
                                     where, nearest);
        wk_text list = { 0 };
        for (size_t i = 0; i < count; i++) wk_text_printf(&list, "%s%s", i ? ", " : "", names[i]);
        (void)wk__yaml_fail_key(document, child, "unknown key \"%.100s\" in %s; known are %s", child->key, where,
                                wk_text_get(&list));
        wk_text_free(&list);
        return WK_CONFIG;
    }
    return WK_OK;
}
