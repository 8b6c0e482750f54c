/* json.c: trees and texts as JSON. */
#include "launcher/launcher.h"

#include <jansson.h>
#include <string.h>

/* Logs hold any bytes, JSON holds UTF-8: what is none becomes U+FFFD. */
json_t *wk__json_text(const char *text) {
    json_t *whole = json_string(text);
    if (whole) return whole;
    wk_text clean = { 0 };
    wk_text_puts(&clean, "");
    for (const char *at = text; *at;) {
        size_t size = 1;
        json_t *try = NULL;
        for (; size <= 4 && !try && memchr(at, 0, size) == NULL; size++) try = json_stringn(at, size);
        if (try)
            wk_text_add(&clean, at, size - 1);
        else
            wk_text_puts(&clean, "\xEF\xBF\xBD");
        at += try ? size - 1 : 1;
        json_decref(try);
    }
    whole = json_string(wk_text_get(&clean));
    wk_text_free(&clean);
    return whole;
}

/* A plain scalar becomes what YAML takes it for. */
static json_t *scalar(const wk__yaml_node *node) {
    static const wk__yaml nameless = { .name = "json" };
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    int64_t integer = 0;
    double number = 0;
    bool flag = false;
    json_t *out = NULL;
    if (wk__yaml_is_null(node))
        out = json_null();
    else if (wk__yaml_int(&nameless, node, NULL, INT64_MIN, INT64_MAX, &integer) == WK_OK)
        out = json_integer(integer);
    else if (wk__yaml_double(&nameless, node, NULL, &number) == WK_OK)
        out = json_real(number);
    else if (wk__yaml_bool(&nameless, node, NULL, &flag) == WK_OK)
        out = json_boolean(flag);
    (void)wk__error_bind(former);
    return out ? out : wk__json_text(node->text);
}

json_t *wk__json_of(const wk__yaml_node *node) {
    if (node->kind == WK__YAML_SCALAR) return scalar(node);
    json_t *out = node->kind == WK__YAML_SEQUENCE ? json_array() : json_object();
    for (const wk__yaml_node *child = node->first; child; child = child->next)
        (void)(child->key ? json_object_set_new(out, child->key, wk__json_of(child))
                          : json_array_append_new(out, wk__json_of(child)));
    return out;
}
