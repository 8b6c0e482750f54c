/* overlay.c: changes to what is handed to a scheduler, in TorchX's grammar.
 *
 * Mappings join, lists grow, anything else is replaced.  Three operators before a key say otherwise: `__put__:k`
 * replaces whole, `__del__:k` takes away, `__join__:k:on` joins the items of two lists whose member `on` is equal.  A
 * text in place of a mapping is a file (a path or a URL) that holds it, as YAML or JSON.
 */
#include "launcher/launcher.h"

#include <string.h>

static wk__yaml_node *append_copy(wk__yaml *doc, wk__yaml_node *to, const char *key, const wk__yaml_node *from) {
    wk__yaml_node *copy = wk__yaml_copy(doc, from);
    return copy && wk__yaml_append(doc, to, key, copy) == WK_OK ? copy : NULL;
}

static void remove_member(wk__yaml_node *map, const char *key) {
    wk__yaml_node *before = NULL;
    for (wk__yaml_node *child = map->first; child; before = child, child = child->next) {
        if (strcmp(child->key, key) != 0) continue;
        *(before ? &before->next : &map->first) = child->next;
        if (map->last == child) map->last = before;
        map->count--;
        return;
    }
}

/* At the place of the former, or at the end. */
static wk_status put(wk__yaml *doc, wk__yaml_node *map, const char *key, const wk__yaml_node *value) {
    wk__yaml_node *there = wk__yaml_find(map, key);
    if (!there) return append_copy(doc, map, key, value) ? WK_OK : wk_error_code();
    wk__yaml_node *copy = wk__yaml_copy(doc, value);
    if (!copy) return wk_error_code();
    copy->key = there->key;
    copy->next = there->next;
    *there = *copy;
    return WK_OK;
}

static wk__yaml_node *item_with(wk__yaml_node *list, const char *on, const wk__yaml_node *value) {
    for (wk__yaml_node *item = list->first; item; item = item->next) {
        const wk__yaml_node *other = wk__yaml_find(item, on);
        if (other && value && wk__yaml_equal(other, value)) return item;
    }
    return NULL;
}

/* "k:on" */
static wk_status join(wk__yaml *doc, wk__yaml_node *map, const char *words, const wk__yaml_node *list) {
    const char *colon = strchr(words, ':');
    if (!colon || list->kind != WK__YAML_SEQUENCE)
        return wk_fail(WK_CONFIG, "overlay: __join__:%s takes a key and a member to join on, and a list", words);
    char *key = wk__arena_text(&doc->arena, "%.*s", (int)(colon - words), words);
    if (!key) return wk_error_code();
    wk__yaml_node *there = wk__yaml_find(map, key);
    if (!there || there->kind != WK__YAML_SEQUENCE) return put(doc, map, key, list);
    for (const wk__yaml_node *item = list->first; item; item = item->next) {
        wk__yaml_node *same = item_with(there, colon + 1, wk__yaml_find(item, colon + 1));
        if (same)
            WK_TRY(wk__overlay(doc, same, item));
        else if (!append_copy(doc, there, NULL, item))
            return wk_error_code();
    }
    return WK_OK;
}

static wk_status apply(wk__yaml *doc, wk__yaml_node *map, const wk__yaml_node *change) {
    static const char put_word[] = "__put__:";
    static const char del_word[] = "__del__:";
    static const char join_word[] = "__join__:";
    const char *key = change->key;
    if (strncmp(key, put_word, sizeof put_word - 1) == 0) return put(doc, map, key + sizeof put_word - 1, change);
    if (strncmp(key, join_word, sizeof join_word - 1) == 0) return join(doc, map, key + sizeof join_word - 1, change);
    if (strncmp(key, del_word, sizeof del_word - 1) == 0) {
        remove_member(map, key + sizeof del_word - 1);
        return WK_OK;
    }
    wk__yaml_node *there = wk__yaml_find(map, key);
    if (!there || there->kind != change->kind || there->kind == WK__YAML_SCALAR) return put(doc, map, key, change);
    return wk__overlay(doc, there, change);
}

wk_status wk__overlay(wk__yaml *doc, wk__yaml_node *base, const wk__yaml_node *overlay) {
    if (base->kind != overlay->kind || base->kind == WK__YAML_SCALAR)
        return wk_fail(WK_CONFIG, "overlay: a mapping joins a mapping and a list a list");
    for (const wk__yaml_node *change = overlay->first; change; change = change->next)
        if (base->kind == WK__YAML_MAPPING)
            WK_TRY(apply(doc, base, change));
        else if (!append_copy(doc, base, NULL, change))
            return wk_error_code();
    return WK_OK;
}

wk_status wk__overlay_of(wk__yaml *doc, const wk_role *role, const char *scheduler, const wk__yaml_node **out) {
    *out = role->metadata ? wk__yaml_find(role->metadata, scheduler) : NULL;
    if (!*out || (*out)->kind != WK__YAML_SCALAR) return WK_OK;
    const char *path = (*out)->text;
    wk__yaml *file = wk__yaml_load(path);
    if (!file) return wk_error_code();
    *out = file->root ? wk__yaml_copy(doc, file->root) : NULL;
    wk__yaml_free(file);
    return wk_error_code();
}
