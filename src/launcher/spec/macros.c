/* macros.c: ${img_root}, ${app_id}, ${replica_id}, ${rank0_env}.
 *
 * The rules are those of Python's string.Template.safe_substitute, which TorchX uses: `$$` is `$`, what is not one of
 * the four stays as it is, so that `${HOME}` reaches the shell.  Only args, values of env and metadata are replaced,
 * and always on a copy: a dry run must not change what it was given.
 */
#include "launcher/launcher.h"

#include <string.h>

static const char *value_of(const wk_macros *macros, const char *name, size_t size) {
    const struct {
        const char *name, *value;
    } table[] = { { "img_root", macros->img_root },
                  { "app_id", macros->app_id },
                  { "replica_id", macros->replica_id },
                  { "rank0_env", macros->rank0_env } };
    for (size_t i = 0; i < WK_COUNT(table); i++)
        if (strlen(table[i].name) == size && memcmp(table[i].name, name, size) == 0) return table[i].value;
    return NULL;
}

char *wk_macros_substitute(const wk_macros *macros, const char *text) {
    wk_text out = { 0 };
    wk_text_puts(&out, "");
    for (const char *at = text; *at;) {
        size_t plain = strcspn(at, "$");
        wk_text_add(&out, at, plain);
        at += plain;
        if (*at == '\0') break;
        if (at[1] == '$') {
            wk_text_puts(&out, "$");
            at += 2;
            continue;
        }
        const char *close = at[1] == '{' ? strchr(at, '}') : NULL;
        const char *value = close ? value_of(macros, at + 2, (size_t)(close - at - 2)) : NULL;
        if (value) {
            wk_text_puts(&out, value);
            at = close + 1;
        } else
            wk_text_add(&out, at++, 1);
    }
    if (out.failed) {
        wk_text_free(&out);
        return NULL;
    }
    return out.data;
}

static wk_status substitute_tree(const wk_macros *macros, wk__yaml *document, wk__yaml_node *node) {
    if (!node) return WK_OK;
    if (node->kind == WK__YAML_SCALAR) {
        if (!strchr(node->text, '$')) return WK_OK;
        char *text = wk_macros_substitute(macros, node->text);
        if (!text) return wk_error_code();
        size_t size = strlen(text) + 1;
        char *kept = wk__arena_take(&document->arena, size);
        if (kept) memcpy(kept, text, size);
        wk_free(text);
        node->text = kept;
        node->quoted = true; /* what came of a macro is text, even if it is empty now */
        return kept ? WK_OK : wk_error_code();
    }
    for (wk__yaml_node *child = node->first; child; child = child->next)
        WK_TRY(substitute_tree(macros, document, child));
    return WK_OK;
}

wk_appdef *wk_macros_apply(const wk_macros *macros, const wk_appdef *app) {
    wk__yaml *document = wk_alloc(sizeof *document);
    if (!document) return NULL;
    document->name = "appdef";
    document->root = wk__yaml_copy(document, app->document->root);
    wk__yaml_node *roles = document->root ? wk__yaml_find(document->root, "roles") : NULL;
    if (!roles) goto failed;
    for (wk__yaml_node *role = roles->first; role; role = role->next)
        if (substitute_tree(macros, document, wk__yaml_find(role, "args")) != WK_OK
            || substitute_tree(macros, document, wk__yaml_find(role, "env")) != WK_OK
            || substitute_tree(macros, document, wk__yaml_find(role, "metadata")) != WK_OK)
            goto failed;
    return wk__appdef_from(document);
failed:
    wk__yaml_free(document);
    return NULL;
}
