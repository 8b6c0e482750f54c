/* mount.c: mounts and workspaces of a role.
 *
 * A mount is a mapping, or words in TorchX's grammar: `type=bind`, `src=/a`, `dst=/b`, `readonly`, `type=volume`, ….
 * `type` begins a mount; the words may be items of the list or stand in one item, parted by commas.
 */
#include "launcher/launcher.h"

#include <stdlib.h>
#include <string.h>

static const char *const types[] = { "bind", "volume", "device" };
static const char *const map_keys[] = { "type", "src", "dst", "read_only", "permissions" };

typedef struct reader {
    wk__yaml *doc;
    const char *where; /* "a mount of role …" */
    wk_role *role;
    size_t room;
} reader;

static wk_mount *add(reader *r) {
    if (r->role->mount_count == r->room) {
        size_t room = r->room ? 2 * r->room : 4;
        wk_mount *mounts = wk__arena_take(&r->doc->arena, room * sizeof *mounts);
        if (!mounts) return NULL;
        if (r->room) memcpy(mounts, r->role->mounts, r->room * sizeof *mounts);
        r->role->mounts = mounts;
        r->room = room;
    }
    wk_mount *mount = &r->role->mounts[r->role->mount_count++];
    *mount = (wk_mount){ .permissions = "rwm" };
    return mount;
}

/* A device keeps its path unless it gets another; `~` of a bind is the home of whoever reads it. */
static wk_status complete(reader *r, const wk__yaml_node *node, wk_mount *mount) {
    if (!mount->src) return wk__yaml_fail(r->doc, node, "%s has no src", r->where);
    if (!mount->dst && mount->type == WK_MOUNT_DEVICE) mount->dst = mount->src;
    if (!mount->dst) return wk__yaml_fail(r->doc, node, "%s has no dst", r->where);
    if (!*mount->permissions || strspn(mount->permissions, "rwm") != strlen(mount->permissions))
        return wk__yaml_fail(r->doc, node, "%s: permissions are letters of \"rwm\", not \"%.40s\"", r->where,
                             mount->permissions);
    const char *home = getenv("HOME");
    if (mount->type == WK_MOUNT_BIND && home && mount->src[0] == '~' && (!mount->src[1] || mount->src[1] == '/'))
        mount->src = wk__arena_text(&r->doc->arena, "%s%s", home, mount->src + 1);
    return wk_error_code();
}

static wk_status read_map(reader *r, const wk__yaml_node *node) {
    size_t type = 0;
    wk_mount *mount = add(r);
    if (!mount) return wk_error_code();
    WK_TRY(wk__yaml_map(r->doc, node, r->where));
    WK_TRY(wk__yaml_known(r->doc, node, r->where, map_keys, WK_COUNT(map_keys)));
    const wk__yaml_node *item = wk__yaml_find(node, "type");
    if (!item) return wk__yaml_fail(r->doc, node, "%s has no type (bind, volume or device)", r->where);
    WK_TRY(wk__yaml_choice(r->doc, item, types, WK_COUNT(types), &type));
    mount->type = (wk_mount_type)type;
    if ((item = wk__yaml_find(node, "src"))) WK_TRY(wk__yaml_string(r->doc, item, NULL, &mount->src));
    if ((item = wk__yaml_find(node, "dst"))) WK_TRY(wk__yaml_string(r->doc, item, NULL, &mount->dst));
    if ((item = wk__yaml_find(node, "permissions"))) WK_TRY(wk__yaml_string(r->doc, item, NULL, &mount->permissions));
    if ((item = wk__yaml_find(node, "read_only"))) WK_TRY(wk__yaml_bool(r->doc, item, NULL, &mount->read_only));
    return complete(r, node, mount);
}

static bool is_one_of(const char *word, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0) return true;
    return false;
}

static wk_status begin(reader *r, const wk__yaml_node *node, const char *value, wk_mount **mount) {
    if (*mount) WK_TRY(complete(r, node, *mount));
    if (!(*mount = add(r))) return wk_error_code();
    for (size_t i = 0; value && i < WK_COUNT(types); i++)
        if (strcmp(value, types[i]) == 0) {
            (*mount)->type = (wk_mount_type)i;
            return WK_OK;
        }
    const char *near = value ? wk__nearest(value, types, WK_COUNT(types)) : NULL;
    return wk__yaml_fail(r->doc, node, "type must be bind, volume or device, not \"%.80s\"%s%s%s", value ? value : "",
                         near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* `key`, or `key` and `value`, of the mount that the last `type=` began. */
static wk_status read_word(reader *r, const wk__yaml_node *node, const char *key, const char *value, wk_mount **mount) {
    static const char *const known[] = { "type",   "src",      "source",    "dst",  "destination",
                                         "target", "readonly", "read_only", "perm", "permissions" };
    if (strcmp(key, "type") == 0) return begin(r, node, value, mount);
    if (!is_one_of(key, known, WK_COUNT(known))) {
        const char *near = wk__nearest(key, known, WK_COUNT(known));
        return wk__yaml_fail(r->doc, node, "unknown word \"%.80s\" in %s%s%s%s", key, r->where,
                             near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    if (!*mount) return wk__yaml_fail(r->doc, node, "%s must begin with type=bind, volume or device", r->where);
    if (strncmp(key, "read", 4) == 0) {
        if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return wk__yaml_fail(r->doc, node, "%s must be true or false, not \"%.80s\"", key, value);
        (*mount)->read_only = !value || strcmp(value, "true") == 0;
        return WK_OK;
    }
    if (!value || !*value) return wk__yaml_fail(r->doc, node, "%s needs a value: %s=…", key, key);
    const char **field = key[0] == 's' ? &(*mount)->src : key[0] == 'p' ? &(*mount)->permissions : &(*mount)->dst;
    *field = value;
    return WK_OK;
}

static wk_status read_words(reader *r, const wk__yaml_node *node, wk_mount **mount) {
    const char *text = NULL;
    WK_TRY(wk__yaml_string(r->doc, node, "an item of mounts", &text));
    char *copy = wk__arena_text(&r->doc->arena, "%s", text);
    if (!copy) return wk_error_code();
    for (char *word = copy, *next; word; word = next) {
        next = strchr(word, ',');
        if (next) *next++ = '\0';
        char *equals = strchr(word, '=');
        if (equals) *equals++ = '\0';
        WK_TRY(read_word(r, node, word, equals, mount));
    }
    return WK_OK;
}

wk_status wk__mounts_read(wk__yaml *doc, const wk__yaml_node *node, const char *where, wk_role *role) {
    char within[160];
    (void)snprintf(within, sizeof within, "a mount of %s", where);
    reader r = { .doc = doc, .where = within, .role = role };
    role->mounts = NULL;
    role->mount_count = 0;
    if (!node) return WK_OK;
    wk_mount *open = NULL;
    const wk__yaml_node *last = node;
    if (node->kind == WK__YAML_SCALAR && !wk__yaml_is_null(node))
        WK_TRY(read_words(&r, node, &open));
    else {
        WK_TRY(wk__yaml_list(doc, node, NULL));
        for (const wk__yaml_node *item = node->first; item; item = item->next) {
            if (item->kind == WK__YAML_SCALAR)
                WK_TRY(read_words(&r, item, &open));
            else {
                if (open) WK_TRY(complete(&r, last, open));
                open = NULL;
                WK_TRY(read_map(&r, item));
            }
            last = item;
        }
    }
    return open ? complete(&r, last, open) : WK_OK;
}

/* A folder, or folders with the places they have in the copy. */
wk_status wk__workspace_read(wk__yaml *doc, const wk__yaml_node *node, wk_role *role) {
    role->workspace = NULL;
    role->workspace_count = 0;
    if (!node || wk__yaml_is_null(node)) return WK_OK;
    bool one = node->kind == WK__YAML_SCALAR;
    if (!one) WK_TRY(wk__yaml_map(doc, node, NULL));
    wk_pair *pairs = wk__arena_take(&doc->arena, (node->count + 1) * sizeof *pairs);
    if (!pairs) return wk_error_code();
    role->workspace = pairs;
    if (one) {
        pairs[0] = (wk_pair){ node->text, "" };
        role->workspace_count = *node->text ? 1 : 0;
        return WK_OK;
    }
    for (const wk__yaml_node *item = node->first; item; item = item->next) {
        const char *folder = "";
        if (!wk__yaml_is_null(item)) WK_TRY(wk__yaml_string(doc, item, NULL, &folder));
        if (folder[0] == '/' || strstr(folder, ".."))
            return wk__yaml_fail(doc, item, "\"%.80s\" must be a folder below the copy: relative, without ..", folder);
        pairs[role->workspace_count++] = (wk_pair){ item->key, folder };
    }
    return WK_OK;
}
