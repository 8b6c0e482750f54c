/* containers.c: lists and dictionaries of modules, and finding one's way in the tree. */
#define WK_NO_CALL_SITES
#include "nn/nn.h"
#include "nn/support.h"

#include <string.h>

static const wk_module_class list_class = { .name = "ModuleList", .size = sizeof(wk_module) };
static const wk_module_class dict_class = { .name = "ModuleDict", .size = sizeof(wk_module) };

wk_module *wk__module_of(const wk_module_class *class_, const char *const *names, wk_module *const *children,
                         int count) {
    bool complete = !wk_failed();
    for (int i = 0; i < count; i++) complete = complete && children[i];
    wk_module *module = complete ? wk_module_create(class_) : NULL;
    int taken = 0;
    for (; module && taken < count; taken++) {
        char number[16];
        (void)snprintf(number, sizeof number, "%d", taken);
        if (!wk_module_add(module, names ? names[taken] : number, children[taken])) {
            wk_module_destroy(module);
            module = NULL;
        }
    }
    for (int i = taken; i < count; i++) wk_module_destroy(children[i]);
    if (!module && !wk_failed()) (void)wk_fail(WK_INVALID, "%s: a child is NULL", class_->name);
    return module;
}

wk_module *wk_nn_module_list_of(wk_module *const *children, int count) {
    return wk__module_of(&list_class, NULL, children, count);
}
wk_module *wk_nn_module_dict_of(const char *const *names, wk_module *const *children, int count) {
    return wk__module_of(&dict_class, names, children, count);
}

wk_module *wk_module_append(wk_module *list, wk_module *child) {
    char number[16];
    (void)snprintf(number, sizeof number, "%d", wk_module_count(list));
    return wk_module_add(list, number, child);
}

static wk_tensor *identity_forward(wk_module *self, wk_tensor *x) {
    (void)self;
    return x;
}
static bool identity_passes(const wk_module *self) {
    (void)self;
    return true;
}
static const wk_module_class identity_class = {
    .name = "Identity", .size = sizeof(wk_module), .forward = identity_forward, .passes = identity_passes
};
wk_module *wk_nn_identity(void) {
    return wk_failed() ? NULL : wk_module_create(&identity_class);
}

void wk_module_apply(wk_module *module, void (*visit)(void *context, wk_module *module), void *context) {
    if (module) wk__module_visit(module, visit, context);
}

void wk_module_require_grad(wk_module *module, bool wants) {
    wk_named_tensors all = wk_parameters(module);
    for (int i = 0; i < all.count; i++) (void)wk_require_grad(all.tensor[i], wants);
}

/* ---- finding ---- */

typedef struct search {
    const char *path;
    wk_module *found;
    const char **names;
    size_t count;
} search;

static void look(void *context, wk_module *module) {
    search *s = context;
    if (strcmp(module->path, s->path) == 0) s->found = module;
    if (s->names) s->names[s->count] = module->path;
    s->count++;
}

wk_module *wk_module_find(wk_module *module, const char *path) {
    if (!module || wk_failed()) return NULL;
    /* Paths are those from the root. */
    char *full =
        *module->path && *path ? wk_format("%s.%s", module->path, path) : wk_strdup(*path ? path : module->path);
    search s = { .path = full };
    if (!full) return NULL;
    wk_module_apply(module, look, &s);
    if (!s.found) {
        s.names = wk_alloc(s.count * sizeof *s.names);
        s.count = 0;
        if (s.names) wk_module_apply(module, look, &s);
        const char *nearest = s.names ? wk__nearest(full, s.names, s.count) : NULL;
        (void)wk_fail(WK_NOT_FOUND, "there is no module \"%s\"%s%s%s", full, nearest ? "; did you mean \"" : "",
                      nearest ? nearest : "", nearest ? "\"?" : "");
        wk_free(s.names);
    }
    wk_free(full);
    return s.found;
}

wk_tensor *wk_module_tensor(wk_module *module, const char *path) {
    if (!module || wk_failed()) return NULL;
    wk_named_tensors all = wk_state(module);
    for (int i = 0; i < all.count; i++)
        if (strcmp(all.name[i], path) == 0) return all.tensor[i];
    const char *nearest = wk__nearest(path, all.name, (size_t)all.count);
    return wk_fail_null(WK_NOT_FOUND, "there is no parameter or buffer \"%s\"%s%s%s", path,
                        nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}
