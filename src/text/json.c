/* json.c: what all parts ask of the file. */
#include "text.h"

const char *wk__json_word(const json_t *value, const char *key, const char *otherwise) {
    const char *word = json_string_value(json_object_get(value, key));
    return word ? word : otherwise;
}

bool wk__json_flag(const json_t *value, const char *key, bool otherwise) {
    const json_t *flag = json_object_get(value, key);
    return json_is_boolean(flag) ? json_is_true(flag) : otherwise;
}

const char *wk__json_type(const json_t *value, const char *part) {
    const char *type = json_string_value(json_object_get(value, "type"));
    if (!type) (void)wk_fail(WK_FORMAT, "%s: expected an object with a \"type\"", part);
    return type;
}
