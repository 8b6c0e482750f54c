/* parametrise.c: weight norm and spectral norm.
 *
 * A layer's struct points to its parameters.  The pointer to the one that is parametrised is found there once; while
 * the layer's forward runs it points to the computed tensor, otherwise to the tensor as it was at first, which tells
 * only shapes (to `describe`).
 */
#define WK_NO_CALL_SITES
#include "nn/freeze.h"
#include "nn/parametrise.h"
#include "nn/support.h"
#include "wick/inplace.h"

#include <math.h>
#include <string.h>

typedef struct parametrisation {
    wk_module base;
    wk_tensor *original[2], *u, *v;
    wk_parametrise_opts opts;
} parametrisation;

struct wk__parametrised {
    wk__parametrised *next;
    const parametrisation *how;
    wk_tensor **field, *resting;
};

static const wk_module_class list_class = { .name = "ParametrizationList", .size = sizeof(parametrisation) };
static const wk_module_class spectral_class = { .name = "_SpectralNorm", .size = sizeof(wk_module) };

/* ---- what is computed ---- */

static wk_tensor *norm_but(wk_tensor *v, int64_t axis) {
    wk_reduce_opts over = { .keep_dims = true };
    for (int i = 0; i < v->rank; i++)
        if (i != axis) over.axes.size[over.axes.rank++] = i;
    wk_tensor *square = wk_mul(v, v);
    return wk_sqrt(over.axes.rank ? wk_sum(square, over) : square);
}

static wk_tensor *as_matrix(wk_tensor *w, int64_t axis) {
    return wk_flatten(axis ? wk_movedim(w, (int)axis, 0) : w, 1);
}

/* x / max(|x|, eps) as a column */
static wk_tensor *normalised(wk_tensor *x, double eps) {
    wk_tensor *norm = wk_sqrt(wk_sum(wk_mul(x, x), (wk_reduce_opts){ 0 }));
    return wk_div(x, wk_maximum(norm, wk_full(WK_F32, WK_SCALAR, eps)));
}

static void power_method(const parametrisation *p, wk_tensor *matrix, int64_t times) {
    bool was = wk_no_grad_begin();
    double eps = wk_optional_or(p->opts.eps, 1e-12);
    matrix = wk_detach(matrix);
    for (int64_t i = 0; i < times && !wk_failed(); i++) {
        (void)wk_copy_(p->u, wk_flatten(normalised(wk_matmul(matrix, wk_reshape(p->v, WK_DIMS(-1, 1))), eps), 0));
        wk_tensor *turned = wk_transpose(matrix, 0, 1);
        (void)wk_copy_(p->v, wk_flatten(normalised(wk_matmul(turned, wk_reshape(p->u, WK_DIMS(-1, 1))), eps), 0));
    }
    wk_no_grad_end(was);
}

/* A copy: the next forward changes the buffer, and this one's backward still needs it. */
static wk_tensor *copied(wk_tensor *buffer) {
    return wk_affine(buffer, (wk_affine_opts){ 1, 0 });
}

static wk_tensor *effective(const parametrisation *p) {
    if (p->opts.kind == WK_WEIGHT_NORM)
        return wk_mul(p->original[1], wk_div(p->original[0], norm_but(p->original[1], p->opts.axis)));
    wk_tensor *w = p->original[0];
    double eps = wk_optional_or(p->opts.eps, 1e-12);
    if (w->rank < 2) return normalised(w, eps);
    wk_tensor *matrix = as_matrix(w, p->opts.axis);
    if (p->base.training) power_method(p, matrix, p->opts.power_iterations ? p->opts.power_iterations : 1);
    wk_tensor *u = wk_reshape(copied(p->u), WK_DIMS(1, -1)), *v = wk_reshape(copied(p->v), WK_DIMS(-1, 1));
    return wk_div(w, wk_reshape(wk_matmul(u, wk_matmul(matrix, v)), WK_SCALAR));
}

/* ---- around each forward ---- */

wk_status wk__parametrised_begin(wk_module *module) {
    for (wk__parametrised *one = *wk__module_parametrised(module); one; one = one->next) {
        wk_tensor *computed = effective(one->how);
        if (!computed) return wk_error_code();
        *one->field = computed;
    }
    return WK_OK;
}

void wk__parametrised_end(wk_module *module) {
    for (wk__parametrised *one = *wk__module_parametrised(module); one; one = one->next) *one->field = one->resting;
}

void wk__parametrised_free(wk__parametrised *list) {
    while (list) {
        wk__parametrised *next = list->next;
        wk_release(list->resting);
        wk_free(list);
        list = next;
    }
}

/* ---- setting up ---- */

static wk_tensor **field_of(wk_module *module, const wk_tensor *tensor) {
    char *start = (char *)module + sizeof(wk_module), *end = (char *)module + module->class_->size;
    for (char *at = start; at + sizeof tensor <= end; at += sizeof tensor)
        if (memcmp(at, &tensor, sizeof tensor) == 0) return (wk_tensor **)(void *)at;
    return NULL;
}

static wk_tensor *kept_of(wk_tensor *scoped) {
    return scoped ? wk_keep(wk_contiguous(scoped)) : NULL;
}

static wk_tensor *direction(int64_t count, double eps) {
    wk_tensor *t = wk_kept_zeros(WK_F32, WK_DIMS(count));
    wk_tensor *unit = t && wk_init_normal(t, 0, 1) ? normalised(t, eps) : NULL;
    if (unit) (void)wk_copy_(t, unit);
    return t;
}

static void add_members(parametrisation *p, wk_tensor *weight) {
    if (p->opts.kind == WK_WEIGHT_NORM) {
        p->original[0] =
            wk_module_add_parameter(&p->base, "original0", kept_of(norm_but(wk_detach(weight), p->opts.axis)));
        p->original[1] = wk_module_add_parameter(&p->base, "original1", kept_of(copied(wk_detach(weight))));
        return;
    }
    p->original[0] = wk_module_add_parameter(&p->base, "original", kept_of(copied(wk_detach(weight))));
    if (!p->original[0] || weight->rank < 2) return;
    double eps = wk_optional_or(p->opts.eps, 1e-12);
    wk_module *zero = wk_module_add(&p->base, "0", wk_module_create(&spectral_class));
    wk_tensor *matrix = as_matrix(wk_detach(weight), p->opts.axis);
    if (!zero || !matrix) return;
    p->u = wk_module_add_buffer(zero, "_u", direction(matrix->shape[0], eps));
    p->v = wk_module_add_buffer(zero, "_v", direction(matrix->shape[1], eps));
    if (p->u && p->v) power_method(p, matrix, 15 + 1); /* PyTorch computes the weight once more when it registers it */
}

static wk_module *holder_of(wk_module *module) {
    for (int i = 0; i < wk_module_count(module); i++) {
        wk_module *child = wk_module_child(module, i);
        if (strcmp(child->path + (strlen(child->path) < 16 ? 0 : strlen(child->path) - 16), "parametrizations") == 0)
            return child;
    }
    return NULL;
}

static wk_status refuse(wk_module *module, const char *name, const char *why) {
    return wk_fail(WK_INVALID, "wk_module_parametrise: \"%s\" of module \"%s\" (%s): %s", name, module->path,
                   module->class_->name, why);
}

static wk_status check(wk_module *module, const char *name, const wk_parametrise_opts *opts, wk_tensor **weight) {
    if (!module || !name) return wk_fail(WK_INVALID, "wk_module_parametrise: an argument is NULL");
    if (!wk__may_train(module, "wk_module_parametrise")) return WK_STATE;
    if (wk_module_count(module) > (holder_of(module) ? 1 : 0))
        return refuse(module, name, "it has children; parametrise the one whose parameter it is");
    *weight = wk_module_tensor(module, name);
    if (!*weight) return wk_error_code();
    if (strchr(name, '.') || !field_of(module, *weight))
        return refuse(module, name, "this class does not hold it as a field of its own");
    if ((*weight)->dtype != WK_F32) return refuse(module, name, "expected f32");
    if (opts->axis < 0 || opts->axis >= (*weight)->rank || opts->power_iterations < 0)
        return refuse(module, name, "axis or power_iterations is out of range");
    return WK_OK;
}

wk_status wk_module_parametrise(wk_module *module, const char *name, wk_parametrise_opts opts) {
    wk_tensor *weight = NULL;
    if (wk_failed()) return WK_PENDING;
    WK_TRY(check(module, name, &opts, &weight));
    wk_tensor **field = field_of(module, weight);
    wk__parametrised *one = wk_alloc(sizeof *one);
    if (!one) return WK_NO_MEMORY;
    parametrisation *p = (parametrisation *)wk_module_create(&list_class);
    wk_scope scope = wk_scope_begin();
    if (p) {
        p->opts = opts;
        p->base.training = module->training;
        add_members(p, weight);
    }
    wk_scope_end(scope);
    wk_module *holder = wk_failed() ? NULL : holder_of(module);
    if (!holder && !wk_failed()) holder = wk_module_add(module, "parametrizations", wk_nn_module_list_of(NULL, 0));
    if (wk_failed()) {
        wk_module_destroy(p ? &p->base : NULL);
    } else if (wk_module_add(holder, name, &p->base)) {
        *one = (wk__parametrised){ *wk__module_parametrised(module), p, field, wk__module_take(module, name) };
        (void)wk_require_grad(one->resting, false);
        *wk__module_parametrised(module) = one;
        return WK_OK;
    }
    wk_free(one);
    return wk_error_code();
}
