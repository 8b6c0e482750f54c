/* module.c: the tree of modules: members, paths, modes, lists of parameters.
 *
 * Lists are made once and kept until the tree changes, for optimizers ask for them once but examples do so in loops.
 */
#define WK_NO_CALL_SITES
#include "nn/freeze.h"
#include "nn/hooks.h"
#include "nn/nn.h"
#include "nn/parametrise.h"
#include "tensor/tensor.h"

#include <string.h>

typedef struct member {
    char *name;
    wk_tensor *tensor; /* a parameter or a buffer, */
    wk_module *child;  /* or a child */
    bool is_buffer;
} member;

typedef struct named_list {
    wk_tensor **tensor;
    char **name;
    int count, capacity;
    bool made;
} named_list;

typedef struct wk_module_members {
    member *items; /* in order of addition */
    int count, capacity;
    named_list parameters, state;
    wk__module_hook *hooks;
    wk__parametrised *parametrised;
    wk__frozen *frozen; /* of a root that is */
} wk_module_members;

wk__module_hook **wk__module_hooks(wk_module *module) {
    return &module->members->hooks;
}

wk__parametrised **wk__module_parametrised(wk_module *module) {
    return &module->members->parametrised;
}

wk__frozen **wk__module_frozen(wk_module *module) {
    return &module->members->frozen;
}

static void list_clear(named_list *list) {
    for (int i = 0; i < list->count; i++) wk_free(list->name[i]);
    wk_free(list->tensor);
    wk_free(list->name);
    *list = (named_list){ 0 };
}

static bool list_add(named_list *list, const char *path, const char *name, wk_tensor *tensor) {
    if (list->count == list->capacity) {
        int capacity = list->capacity ? 2 * list->capacity : 16;
        wk_tensor **tensors = wk_realloc(list->tensor, (size_t)capacity * sizeof *tensors);
        if (!tensors) return false;
        list->tensor = tensors;
        char **names = wk_realloc(list->name, (size_t)capacity * sizeof *names);
        if (!names) return false;
        list->name = names;
        list->capacity = capacity;
    }
    char *full = *path ? wk_format("%s.%s", path, name) : wk_strdup(name);
    if (!full) return false;
    list->tensor[list->count] = tensor;
    list->name[list->count++] = full;
    return true;
}

wk_module *wk_module_create(const wk_module_class *class_) {
    wk_module *module = wk_alloc(class_->size < sizeof *module ? sizeof *module : class_->size);
    if (!module) return NULL;
    module->class_ = class_;
    module->training = true;
    module->path = wk_strdup("");
    module->members = wk_alloc(sizeof *module->members);
    if (!module->path || !module->members) {
        wk_free(module->path);
        wk_free(module->members);
        wk_free(module);
        return NULL;
    }
    return module;
}

void wk_module_destroy(wk_module *module) {
    if (!module) return;
    if (module->class_->destroy) module->class_->destroy(module);
    wk_module_members *members = module->members;
    for (int i = 0; i < members->count; i++) {
        wk_release(members->items[i].tensor);
        wk_module_destroy(members->items[i].child);
        wk_free(members->items[i].name);
    }
    list_clear(&members->parameters);
    list_clear(&members->state);
    wk__module_hooks_free(members->hooks);
    wk__parametrised_free(members->parametrised);
    wk__frozen_free(members->frozen);
    wk_free(members->items);
    wk_free(members);
    wk_free(module->path);
    wk_free(module);
}

/* ---- members ---- */

static bool set_paths(wk_module *module) {
    for (int i = 0; i < module->members->count; i++) {
        const member *m = &module->members->items[i];
        if (!m->child) continue;
        char *path = *module->path ? wk_format("%s.%s", module->path, m->name) : wk_strdup(m->name);
        if (!path) return false;
        wk_free(m->child->path);
        m->child->path = path;
        if (!set_paths(m->child)) return false;
    }
    return true;
}

static void forget_lists(wk_module *module) {
    for (wk_module *up = module; up; up = up->parent) {
        list_clear(&up->members->parameters);
        list_clear(&up->members->state);
    }
}

static member *add_member(wk_module *module, const char *name) {
    wk_module_members *members = module->members;
    for (int i = 0; i < members->count; i++)
        if (strcmp(members->items[i].name, name) == 0)
            return wk_fail_null(WK_EXISTS, "module \"%s\" (%s) has a member \"%s\" already", module->path,
                                module->class_->name, name);
    if (members->count == members->capacity) {
        int capacity = members->capacity ? 2 * members->capacity : 4;
        member *items = wk_realloc(members->items, (size_t)capacity * sizeof *items);
        if (!items) return NULL;
        members->items = items;
        members->capacity = capacity;
    }
    member *m = &members->items[members->count];
    *m = (member){ .name = wk_strdup(name) };
    if (!m->name) return NULL;
    members->count++;
    forget_lists(module);
    return m;
}

wk_module *wk_module_add(wk_module *parent, const char *name, wk_module *child) {
    if (!parent || !child) {
        wk_module_destroy(child);
        return NULL;
    }
    member *m = add_member(parent, name);
    if (!m) {
        wk_module_destroy(child);
        return NULL;
    }
    m->child = child;
    child->parent = parent;
    return set_paths(parent) ? child : NULL;
}

wk_tensor *wk__module_take(wk_module *module, const char *name) {
    wk_module_members *members = module->members;
    for (int i = 0; i < members->count; i++) {
        member *m = &members->items[i];
        if (!m->tensor || m->is_buffer || strcmp(m->name, name) != 0) continue;
        wk_tensor *taken = m->tensor;
        wk_free(m->name);
        memmove(m, m + 1, (size_t)(members->count - i - 1) * sizeof *m);
        members->count--;
        forget_lists(module);
        return taken;
    }
    return wk_fail_null(WK_NOT_FOUND, "module \"%s\" (%s) has no parameter \"%s\"", module->path, module->class_->name,
                        name);
}

static member *find_tensor(wk_module *module, const char *name) {
    for (int i = 0; i < module->members->count; i++) {
        member *m = &module->members->items[i];
        if (m->tensor && strcmp(m->name, name) == 0) return m;
    }
    return NULL;
}

wk_tensor *wk__module_member(wk_module *module, const char *name) {
    const member *m = find_tensor(module, name);
    return m ? m->tensor : NULL;
}

wk_status wk__module_put(wk_module *module, const char *name, wk_tensor *kept) {
    member *m = find_tensor(module, name);
    if (!m) m = add_member(module, name);
    if (!m) return wk_error_code();
    wk_release(m->tensor);
    m->tensor = kept;
    forget_lists(module);
    return WK_OK;
}

void wk__module_strip(wk_module *module) {
    wk_module_members *members = module->members;
    int kept = 0;
    for (int i = 0; i < members->count; i++) {
        member *m = &members->items[i];
        if (m->tensor) {
            wk_release(m->tensor);
            wk_free(m->name);
        } else {
            members->items[kept++] = *m;
        }
    }
    members->count = kept;
    forget_lists(module);
}

static wk_tensor *add_tensor(wk_module *module, const char *name, wk_tensor *kept, bool is_buffer) {
    member *m = module && kept ? add_member(module, name) : NULL;
    if (!m) {
        wk_release(kept);
        return NULL;
    }
    m->tensor = kept;
    m->is_buffer = is_buffer;
    return is_buffer ? kept : wk_require_grad(kept, true);
}

wk_tensor *wk_module_add_parameter(wk_module *module, const char *name, wk_tensor *kept) {
    return add_tensor(module, name, kept, false);
}

wk_tensor *wk_module_add_buffer(wk_module *module, const char *name, wk_tensor *kept) {
    return add_tensor(module, name, kept, true);
}

int wk_module_count(const wk_module *module) {
    int count = 0;
    for (int i = 0; module && i < module->members->count; i++) count += module->members->items[i].child != NULL;
    return count;
}

wk_module *wk_module_child(const wk_module *module, int i) {
    for (int k = 0; module && k < module->members->count; k++)
        if (module->members->items[k].child && i-- == 0) return module->members->items[k].child;
    return NULL;
}

/* ---- forward ---- */

static wk_status forward_of_class(wk_module *module, bool by_slots, const wk_args *in, wk_args *out) {
    const wk_module_class *class_ = module->class_;
    if (class_->forward_args && (by_slots || !class_->forward)) return class_->forward_args(module, in, out);
    if (in->count != 1)
        return wk_fail(WK_INVALID, "module \"%s\" (%s) takes one tensor, %d were given", module->path, class_->name,
                       in->count);
    if (!class_->forward)
        return wk_fail(WK_INVALID, "module \"%s\" (%s) has no forward; run its children", module->path, class_->name);
    out->slot[0].tensor = class_->forward(module, in->slot[0].tensor);
    out->count = 1;
    return out->slot[0].tensor ? WK_OK : wk_failed() ? wk_error_code() : WK_INVALID;
}

wk_status wk__forward_plain(wk_module *module, bool by_slots, const wk_args *in, wk_args *out) {
    if (WK_LIKELY(!module->members->parametrised)) return forward_of_class(module, by_slots, in, out);
    wk_status status = wk__parametrised_begin(module);
    if (status == WK_OK) status = forward_of_class(module, by_slots, in, out);
    wk__parametrised_end(module);
    return status;
}

wk_status wk__forward_any(wk_module *module, bool by_slots, const wk_args *in, wk_args *out) {
    return WK_UNLIKELY(module->members->hooks != NULL) ? wk__forward_hooked(module, by_slots, in, out)
                                                       : wk__forward_plain(module, by_slots, in, out);
}

/* In a scope of its own, with the module's path for messages; what it makes of nothing is made beside its operand. */
wk_status wk__forward_scoped(wk_context *context, wk_module *module, bool by_slots, const wk_args *in, wk_args *out) {
    const char *outer = context->layer;
    context->layer = *module->path ? module->path : NULL;
    const wk_tensor *first = in->count > 0 ? in->slot[0].tensor : NULL;
    const int device = wk__device_enter(context, first ? first->device : context->device);
    wk_scope scope = wk_scope_begin();
    const bool again = module->recompute && module->training && !(context->mode & WK__MODE_NO_GRAD);
    wk_status status = WK_UNLIKELY(again) ? wk__forward_recomputed(context, module, by_slots, in, out)
                                          : wk__forward_any(module, by_slots, in, out);
    for (int i = 0; i < out->count; i++) (void)wk_scope_return(scope, out->slot[i].tensor);
    wk_scope_end(scope);
    context->layer = outer;
    (void)wk__device_enter(context, device);
    return status;
}

static wk_status run_forward(wk_context *context, wk_module *module, bool by_slots, const wk_args *in, wk_args *out) {
    if (WK_UNLIKELY(module->members->frozen != NULL)) return wk__forward_frozen(context, module, by_slots, in, out);
    return wk__forward_scoped(context, module, by_slots, in, out);
}

wk_tensor *wk_forward(wk_module *module, wk_tensor *x) {
    wk_context *context = wk__context();
    if (!module || !x || !context || context->pending->code != WK_OK) return NULL;
    wk_args in = { .count = 1, .slot = { { NULL, x } } }, out = { 0 };
    return run_forward(context, module, false, &in, &out) == WK_OK ? out.slot[0].tensor : NULL;
}

wk_status wk_forward_args(wk_module *module, const wk_args *in, wk_args *out) {
    wk_context *context = wk__context();
    *out = (wk_args){ 0 };
    if (!context) return WK_NO_MEMORY;
    if (context->pending->code != WK_OK) return WK_PENDING;
    if (!module) return wk_fail(WK_INVALID, "wk_forward_args: the module is NULL");
    return run_forward(context, module, true, in, out);
}

/* ---- the whole tree ---- */

void wk_module_train(wk_module *module, bool training) {
    if (!module || (training && !wk__may_train(module, "wk_module_train"))) return;
    module->training = training;
    for (int i = 0; i < module->members->count; i++) wk_module_train(module->members->items[i].child, training);
}

void wk__module_visit(wk_module *module, void (*visit)(void *context, wk_module *module), void *context) {
    if (!module) return;
    visit(context, module);
    for (int i = 0; i < module->members->count; i++) wk__module_visit(module->members->items[i].child, visit, context);
}

static bool is_listed(const named_list *list, const wk_tensor *tensor) {
    for (int i = 0; i < list->count; i++)
        if (list->tensor[i] == tensor) return true;
    return false;
}

/* A parameter that stands in several places (shared weights) is listed under its first name among the parameters, under
 * each in the state, as PyTorch does.
 *
 * PyTorch's order: a module's own parameters (and buffers), then its children. */
static bool collect(const wk_module *module, named_list *list, const char *path, bool with_buffers) {
    const wk_module_members *members = module->members;
    for (int pass = 0; pass < (with_buffers ? 2 : 1); pass++)
        for (int i = 0; i < members->count; i++) {
            const member *m = &members->items[i];
            if (!m->tensor || m->is_buffer != (pass == 1)) continue;
            if (!with_buffers && is_listed(list, m->tensor)) continue;
            if (!list_add(list, path, m->name, m->tensor)) return false;
        }
    for (int i = 0; i < members->count; i++) {
        const member *m = &members->items[i];
        if (!m->child) continue;
        char *below = *path ? wk_format("%s.%s", path, m->name) : wk_strdup(m->name);
        bool done = below && collect(m->child, list, below, with_buffers);
        wk_free(below);
        if (!done) return false;
    }
    return true;
}

static wk_named_tensors list_of(wk_module *module, named_list *list, bool with_buffers) {
    if (!list->made) {
        list_clear(list);
        if (!collect(module, list, "", with_buffers)) {
            list_clear(list);
            return (wk_named_tensors){ 0 };
        }
        list->made = true;
    }
    return (wk_named_tensors){ list->tensor, (const char *const *)list->name, list->count };
}

wk_named_tensors wk_parameters(wk_module *module) {
    if (!module || !wk__may_train(module, "wk_parameters")) return (wk_named_tensors){ 0 };
    return list_of(module, &module->members->parameters, false);
}

wk_named_tensors wk_state(wk_module *module) {
    return module ? list_of(module, &module->members->state, true) : (wk_named_tensors){ 0 };
}

int64_t wk_parameter_count(wk_module *module) {
    wk_named_tensors all = { 0 };
    if (module) all = list_of(module, &module->members->parameters, false);
    int64_t count = 0;
    for (int i = 0; i < all.count; i++) count += wk_count(all.tensor[i]);
    return count;
}

static void summarise(const wk_module *module, const char *name, int depth, wk_text *text) {
    char options[200] = "";
    if (module->class_->describe) module->class_->describe(module, options, sizeof options);
    wk_text_printf(text, "%*s%s%s%s%s%s%s\n", 2 * depth, "", name, *name ? ": " : "", module->class_->name,
                   *options ? "(" : "", options, *options ? ")" : "");
    for (int i = 0; i < module->members->count; i++)
        if (module->members->items[i].child)
            summarise(module->members->items[i].child, module->members->items[i].name, depth + 1, text);
}

char *wk_module_summary(const wk_module *module) {
    wk_text text = { 0 };
    if (module) summarise(module, "", 0, &text);
    if (text.failed) wk_text_free(&text);
    return text.data;
}
