/* declare.c: what a component file says, checked. */
#include "launcher/component/component.h"

#include <ctype.h>
#include <string.h>

const char *const wk__parameter_type_names[WK__PARAMETER_TYPES] = { "str",  "int",     "float", "bool",    "list",
                                                                    "dict", "varargs", "job",   "run_name" };

static const char *const file_keys[] = { "version", "components", "shared" };
static const char *const component_keys[] = { "doc", "example", "scheduler", "parameters", "exactly_one", "app" };
static const char *const parameter_keys[] = { "type", "items", "default", "optional", "letter", "help", "host", "of" };

wk_status wk__components_of(const wk__yaml *doc, const wk__yaml_node **components) {
    int64_t version = 0;
    if (!doc->root) return wk_fail(WK_CONFIG, "%s: empty; a component file has version and components", doc->name);
    WK_TRY(wk__yaml_map(doc, doc->root, "a component file"));
    WK_TRY(wk__yaml_known(doc, doc->root, "the component file", file_keys, WK_COUNT(file_keys)));
    const wk__yaml_node *node = wk__yaml_find(doc->root, "version");
    if (!node) return wk__yaml_fail(doc, doc->root, "no version; begin the file with \"version: 1\"");
    WK_TRY(wk__yaml_int(doc, node, NULL, 1, INT32_MAX, &version));
    if (version != 1) return wk__yaml_fail(doc, node, "version %lld; this wick reads version 1", (long long)version);
    *components = wk__yaml_find(doc->root, "components");
    if (!*components) return wk__yaml_fail(doc, doc->root, "a component file needs \"components\"");
    return wk__yaml_map(doc, *components, NULL);
}

const wk__parameter *wk__parameter_find(const wk__component *c, const char *name, size_t size) {
    for (size_t i = 0; i < c->count; i++)
        if (strlen(c->parameters[i].name) == size && memcmp(c->parameters[i].name, name, size) == 0)
            return &c->parameters[i];
    return NULL;
}

/* A word that can be an option and stand in ${…}, where the four macros have their names already. */
static bool is_parameter_name(const char *name) {
    static const char *const taken[] = { "app_id", "replica_id", "img_root", "rank0_env", "help" };
    for (size_t i = 0; i < WK_COUNT(taken); i++)
        if (strcmp(name, taken[i]) == 0) return false;
    if (!isalpha((unsigned char)name[0])) return false;
    for (const char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && *at != '_') return false;
    return true;
}

static wk_status read_type(wk__yaml *doc, const wk__yaml_node *node, wk__parameter *out) {
    static const char *const plain[] = { "str", "int", "float", "bool" };
    size_t index = 0;
    const wk__yaml_node *type = wk__yaml_find(node, "type");
    const wk__yaml_node *items = wk__yaml_find(node, "items");
    if (!type) return wk__yaml_fail_key(doc, node, "parameter \"%s\" has no type", out->name);
    WK_TRY(wk__yaml_choice(doc, type, wk__parameter_type_names, WK__PARAMETER_TYPES, &index));
    out->type = (wk__parameter_type)index;
    if (!items) return WK_OK;
    if (out->type != WK__LIST && out->type != WK__DICT)
        return wk__yaml_fail(doc, items, "items: only a list or a dict has items");
    WK_TRY(wk__yaml_choice(doc, items, plain, WK_COUNT(plain), &index));
    out->item = (wk__parameter_type)index;
    return WK_OK;
}

static wk_status read_of(wk__yaml *doc, const wk__yaml_node *node, wk__parameter *out) {
    static const char *const usual[] = { "script", "m" };
    out->of = usual;
    if (!node) return WK_OK;
    WK_TRY(wk__yaml_list(doc, node, NULL));
    if (node->count != 2) return wk__yaml_fail(doc, node, "of: two parameters, one for a script and one for a module");
    const char **names = wk__arena_take(&doc->arena, 2 * sizeof *names);
    if (!names) return wk_error_code();
    WK_TRY(wk__yaml_string(doc, node->first, "of", &names[0]));
    WK_TRY(wk__yaml_string(doc, node->last, "of", &names[1]));
    out->of = names;
    return WK_OK;
}

static wk_status read_parameter(wk__yaml *doc, const wk__yaml_node *node, wk__parameter *out) {
    char within[160];
    *out = (wk__parameter){ .name = node->key, .help = "", .node = node };
    (void)snprintf(within, sizeof within, "parameter \"%.80s\"", node->key);
    if (!is_parameter_name(node->key))
        return wk__yaml_fail_key(doc, node, "\"%.80s\" is no name for a parameter: letters, digits, _, and no macro's",
                                 node->key);
    WK_TRY(wk__yaml_map(doc, node, within));
    WK_TRY(wk__yaml_known(doc, node, within, parameter_keys, WK_COUNT(parameter_keys)));
    WK_TRY(read_type(doc, node, out));
    const wk__yaml_node *member = wk__yaml_find(node, "optional");
    if (member) WK_TRY(wk__yaml_bool(doc, member, NULL, &out->optional));
    if ((member = wk__yaml_find(node, "help"))) WK_TRY(wk__yaml_string(doc, member, NULL, &out->help));
    if ((member = wk__yaml_find(node, "host"))) WK_TRY(wk__yaml_string(doc, member, NULL, &out->host));
    const char *letter = "";
    if ((member = wk__yaml_find(node, "letter"))) {
        WK_TRY(wk__yaml_string(doc, member, NULL, &letter));
        if (!isalnum((unsigned char)letter[0]) || letter[1])
            return wk__yaml_fail(doc, member, "letter must be one letter, not \"%.40s\"", letter);
    }
    out->letter = letter[0] ? letter[0] : (char)(out->name[1] ? '\0' : out->name[0]);
    WK_TRY(read_of(doc, wk__yaml_find(node, "of"), out));
    out->initial = wk__yaml_find(node, "default");
    if (out->initial && wk__yaml_is_null(out->initial)) {
        out->optional = true;
        out->initial = NULL;
    }
    bool may_be_empty =
        out->type == WK__VARARGS || out->type == WK__LIST || out->type == WK__DICT || out->type == WK__BOOL;
    if (may_be_empty && !wk__yaml_find(node, "optional")) out->optional = true;
    return WK_OK;
}

static wk_status read_parameters(wk__yaml *doc, const wk__yaml_node *map, wk__component *out) {
    if (!map || wk__yaml_is_null(map)) return WK_OK;
    WK_TRY(wk__yaml_map(doc, map, NULL));
    out->parameters = wk__arena_take(&doc->arena, (map->count + 1) * sizeof *out->parameters);
    if (!out->parameters) return wk_error_code();
    bool varargs = false;
    for (const wk__yaml_node *node = map->first; node; node = node->next) {
        wk__parameter *p = &out->parameters[out->count];
        WK_TRY(read_parameter(doc, node, p));
        if (p->type == WK__VARARGS && varargs)
            return wk__yaml_fail_key(doc, node, "a second varargs; what follows -- can go to one parameter only");
        varargs = varargs || p->type == WK__VARARGS;
        for (size_t i = 0; i < out->count; i++)
            if (p->letter && out->parameters[i].letter == p->letter)
                return wk__yaml_fail_key(doc, node, "-%c is --%s already", p->letter, out->parameters[i].name);
        out->count++;
    }
    return WK_OK;
}

/* Names of parameters that other declarations mention. */
static wk_status check_names(const wk__component *c) {
    for (const wk__yaml_node *item = c->exactly_one ? c->exactly_one->first : NULL; item; item = item->next) {
        const char *name = NULL;
        WK_TRY(wk__yaml_string(c->doc, item, "an item of exactly_one", &name));
        if (!wk__parameter_find(c, name, strlen(name)))
            return wk__yaml_fail(c->doc, item, "exactly_one: there is no parameter \"%.80s\"", name);
    }
    for (size_t i = 0; i < c->count; i++) {
        const char *host = c->parameters[i].host;
        if (host && !wk__parameter_find(c, host, strlen(host)))
            return wk__yaml_fail(c->doc, wk__yaml_find(c->parameters[i].node, "host"),
                                 "host: there is no parameter \"%.80s\"", host);
    }
    return WK_OK;
}

wk_status wk__component_read(wk__yaml *doc, const wk__yaml_node *node, wk__component *out) {
    char within[160];
    *out = (wk__component){ .doc = doc, .name = node->key, .text = "", .example = "", .node = node };
    (void)snprintf(within, sizeof within, "component \"%.80s\"", node->key);
    WK_TRY(wk__yaml_map(doc, node, within));
    WK_TRY(wk__yaml_known(doc, node, within, component_keys, WK_COUNT(component_keys)));
    const wk__yaml_node *member = wk__yaml_find(node, "doc");
    if (member) WK_TRY(wk__yaml_string(doc, member, NULL, &out->text));
    if ((member = wk__yaml_find(node, "example"))) WK_TRY(wk__yaml_string(doc, member, NULL, &out->example));
    if ((member = wk__yaml_find(node, "scheduler"))) WK_TRY(wk__yaml_string(doc, member, NULL, &out->scheduler));
    WK_TRY(read_parameters(doc, wk__yaml_find(node, "parameters"), out));
    out->exactly_one = wk__yaml_find(node, "exactly_one");
    if (out->exactly_one) WK_TRY(wk__yaml_list(doc, out->exactly_one, NULL));
    WK_TRY(check_names(out));
    out->app = wk__yaml_find(node, "app");
    if (!out->app) return wk__yaml_fail_key(doc, node, "%s has no app (the AppDef it makes)", within);
    return wk__yaml_map(doc, out->app, NULL);
}
