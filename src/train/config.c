/* config.c: typed look-ups in a mapping of a run's file. */
#include "train/config.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const wk__yaml_node *member(const wk_config *config, const char *key) {
    const wk__yaml_node *node = config && config->node && !wk_failed() ? wk__yaml_find(config->node, key) : NULL;
    return node && !wk__yaml_is_null(node) ? node : NULL;
}

int64_t wk_config_int(const wk_config *config, const char *key, int64_t least, int64_t most, int64_t otherwise) {
    const wk__yaml_node *node = member(config, key);
    int64_t value = otherwise;
    return node && wk__yaml_int(config->document, node, key, least, most, &value) != WK_OK ? otherwise : value;
}

static bool in_range(const wk_config *config, const wk__yaml_node *node, const char *key, double value, double least,
                     double most) {
    if (value >= least && value <= most) return true;
    if (!isfinite(value))
        (void)wk__yaml_fail(config->document, node, "%s is %g, expected a finite number", key, value);
    else if (least > 0 && least <= DBL_MIN)
        (void)wk__yaml_fail(config->document, node, "%s is %g, expected more than 0", key, value);
    else if (most >= DBL_MAX)
        (void)wk__yaml_fail(config->document, node, "%s is %g, expected at least %g", key, value, least);
    else
        (void)wk__yaml_fail(config->document, node, "%s is %g, expected %g to %g", key, value, least, most);
    return false;
}

double wk_config_double(const wk_config *config, const char *key, double least, double most, double otherwise) {
    const wk__yaml_node *node = member(config, key);
    double value = otherwise;
    if (!node || wk__yaml_double(config->document, node, key, &value) != WK_OK) return otherwise;
    return in_range(config, node, key, value, least, most) ? value : otherwise;
}

bool wk_config_bool(const wk_config *config, const char *key, bool otherwise) {
    const wk__yaml_node *node = member(config, key);
    bool value = otherwise;
    return node && wk__yaml_bool(config->document, node, key, &value) != WK_OK ? otherwise : value;
}

const char *wk_config_string(const wk_config *config, const char *key, const char *otherwise) {
    const wk__yaml_node *node = member(config, key);
    const char *value = otherwise;
    return node && wk__yaml_string(config->document, node, key, &value) != WK_OK ? otherwise : value;
}

bool wk_config_has(const wk_config *config, const char *key) {
    return member(config, key) != NULL;
}

int wk_config_choice(const wk_config *config, const char *key, const char *const *words, int otherwise) {
    const char *value = wk_config_string(config, key, NULL);
    if (!value) return otherwise;
    wk_text known = { 0 };
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], value) == 0) {
            wk_text_free(&known);
            return i;
        }
        wk_text_printf(&known, "%s%s", i ? ", " : "", words[i]);
    }
    (void)wk_config_fail(config, key, "%s is \"%s\", expected one of: %s", key, value, wk_text_get(&known));
    wk_text_free(&known);
    return otherwise;
}

/* The list under a key, or the single value in place of one: its first item; the number of items in *count. */
static const wk__yaml_node *items(const wk_config *config, const char *key, int most, int *count) {
    const wk__yaml_node *node = member(config, key);
    *count = 0;
    if (!node || (node->kind == WK__YAML_SCALAR && most > 0)) {
        *count = node != NULL;
        return node;
    }
    if (wk__yaml_list(config->document, node, key) != WK_OK) return NULL;
    if (node->count > (size_t)most) {
        (void)wk__yaml_fail(config->document, node, "%s has %zu items, expected at most %d", key, node->count, most);
        return NULL;
    }
    *count = (int)node->count;
    return node->first;
}

int wk_config_doubles(const wk_config *config, const char *key, double *values, int most) {
    int count;
    const wk__yaml_node *node = items(config, key, most, &count);
    for (int i = 0; i < count; i++, node = node->next)
        if (wk__yaml_double(config->document, node, key, &values[i]) != WK_OK
            || !in_range(config, node, key, values[i], -DBL_MAX, DBL_MAX))
            return 0;
    return count;
}

int wk_config_ints(const wk_config *config, const char *key, int64_t *values, int most) {
    int count;
    const wk__yaml_node *node = items(config, key, most, &count);
    for (int i = 0; i < count; i++, node = node->next)
        if (wk__yaml_int(config->document, node, key, INT64_MIN, INT64_MAX, &values[i]) != WK_OK) return 0;
    return count;
}

int wk_config_strings(const wk_config *config, const char *key, const char **values, int most) {
    int count;
    const wk__yaml_node *node = items(config, key, most, &count);
    for (int i = 0; i < count; i++, node = node->next)
        if (wk__yaml_string(config->document, node, key, &values[i]) != WK_OK) return 0;
    return count;
}

wk_status wk_config_fail(const wk_config *config, const char *key, const char *format, ...) {
    char message[900];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(message, sizeof message, format, list);
    va_end(list);
    const wk__yaml_node *node = config->node ? wk__yaml_find(config->node, key) : NULL;
    return wk__yaml_fail(config->document, node ? node : config->node, "%s", message);
}

/* ---- specs ---- */

wk_status wk__spec_of(const wk__yaml *document, const wk__yaml_node *node, const char *what, wk__spec *spec) {
    static const char *const known[] = { "name", "args" };
    *spec = (wk__spec){ .section = { document, node }, .args = { document, NULL } };
    WK_TRY(wk__yaml_map(document, node, what));
    WK_TRY(wk__yaml_known(document, node, what, known, WK_COUNT(known)));
    const wk__yaml_node *name = wk__yaml_find(node, "name"), *args = wk__yaml_find(node, "args");
    if (!name) return wk__yaml_fail(document, node, "%s has no name", what);
    WK_TRY(wk__yaml_string(document, name, "name", &spec->name));
    if (args && !wk__yaml_is_null(args)) {
        WK_TRY(wk__yaml_map(document, args, "args"));
        spec->args.node = args;
    }
    return WK_OK;
}

wk_status wk__spec_read(const wk_config *config, const char *key, bool required, wk__spec *spec) {
    const wk__yaml_node *node = config->node ? wk__yaml_find(config->node, key) : NULL;
    *spec = (wk__spec){ .section = { config->document, NULL }, .args = { config->document, NULL } };
    if (node && !wk__yaml_is_null(node)) return wk__spec_of(config->document, node, key, spec);
    if (!required) return WK_OK;
    return wk__yaml_fail(config->document, config->node,
                         "the section \"%s\" is missing: expected { name: …, args: { … } }", key);
}
