/* freeze.c: a module frozen for inference, where it stands.
 *
 * The tree is walked once, parents first: a container folds its normalisations into the layers before them, then a
 * layer's weights are stored in the dtype asked for and marked as constant, which lets kernels keep packed copies
 * (tensor/packed.c).  Each of these leaves the function as it was, so one that fails leaves a module that still works.
 *
 * The root's forward runs as a step of a name of its own (tensor/step): captured at the second call, replayed from the
 * third.  A replayed step's results lie in memory that the next one overwrites, which nobody expects of a forward, so
 * they are copied out: a hundredth of a percent of what an encoder's forward takes, 0.2 µs for ten scores.
 */
#define WK_NO_CALL_SITES
#include "nn/freeze.h"

#include "nn/hooks.h"
#include "nn/nn.h"
#include "nn/parametrise.h"
#include "nn/support.h"
#include "wick/step.h"

#include <stdatomic.h>
#include <string.h>

struct wk__frozen {
    wk_freeze_opts opts;
    char step[64]; /* the name of its steps: no two modules have the same */
};

bool wk__may_train(const wk_module *module, const char *who) {
    if (!module->frozen) return true;
    if (!wk_failed())
        (void)wk_fail(WK_STATE,
                      "%s: module \"%s\" (%s) is frozen for inference and cannot be trained any more; make the model "
                      "anew and load its weights",
                      who, module->path, module->class_->name);
    return false;
}

bool wk_module_is_frozen(const wk_module *module) {
    return module && module->frozen;
}

/* ---- weights ---- */

/* Shares memory where the dtype is right already. */
static wk_tensor *stored_in(wk_tensor *tensor, wk_dtype dtype) {
    return wk_keep(tensor->dtype == dtype ? tensor : wk_contiguous(wk_cast(tensor, dtype)));
}

wk_tensor *wk_module_freeze_weight(wk_module *module, const char *name, const wk_freeze_opts *opts) {
    wk_tensor *tensor = wk_failed() || !module ? NULL : wk__module_member(module, name);
    if (!tensor)
        return wk_failed() ? NULL
                           : wk_fail_null(WK_NOT_FOUND, "wk_module_freeze_weight: there is no parameter \"%s\"", name);
    bool is_half = opts->dtype != WK_F32;
    wk_tensor *stored = stored_in(tensor, is_half ? opts->dtype : (wk_dtype)tensor->dtype);
    if (!stored) return NULL;
    if (wk__module_put(module, name, stored) != WK_OK) {
        wk_release(stored);
        return NULL;
    }
    if (!opts->no_packing) wk__storage_freeze(stored->storage);
    return stored;
}

wk_status wk__freeze_weights(wk_module *module, wk_tensor **weight, wk_tensor **bias, const wk_freeze_opts *opts) {
    wk_tensor *stored = wk_module_freeze_weight(module, "weight", opts);
    if (!stored) return wk_error_code();
    *weight = stored;
    if (!*bias) return WK_OK;
    stored = wk_module_freeze_weight(module, "bias", opts);
    if (!stored) return wk_error_code();
    *bias = stored;
    return WK_OK;
}

/* ---- folding ---- */

static bool is_plain(wk_module *module) {
    return !*wk__module_hooks(module) && !*wk__module_parametrised(module);
}

wk_status wk__fold(wk_module *module, wk_tensor **weight, wk_tensor **bias, int channels, wk_tensor *scale,
                   wk_tensor *shift) {
    if (scale->count != (*weight)->shape[channels] || scale->dtype != (*weight)->dtype) return WK_UNSUPPORTED;
    wk_dims along = { .rank = (*weight)->rank };
    for (int axis = 0; axis < along.rank; axis++) along.size[axis] = axis == channels ? scale->count : 1;
    wk_tensor *w = wk_contiguous(wk_mul(*weight, wk_reshape(scale, along)));
    wk_tensor *b = *bias ? wk_add(wk_mul(*bias, scale), shift) : shift;
    w = wk_keep(w);
    b = wk_keep(b);
    /* What is there is exchanged without asking for memory, so what may be missing comes first. */
    if (!w || !b || wk__module_put(module, "bias", b) != WK_OK) {
        wk_release(w);
        wk_release(b);
        return wk_error_code();
    }
    *bias = b;
    *weight = w;
    return wk__module_put(module, "weight", w);
}

wk_status wk_module_fold(wk_module *layer, wk_module *norm) {
    if (wk_failed()) return WK_PENDING;
    if (!layer || !norm) return wk_fail(WK_INVALID, "wk_module_fold: the layer or the normalisation is NULL");
    if (!layer->class_->fold || !is_plain(layer) || !is_plain(norm)) return WK_OK;
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_tensor *scale, *shift;
    wk_status status = WK_OK;
    if (wk__batch_norm_affine(norm, &scale, &shift)) {
        status = layer->class_->fold(layer, scale, shift);
        if (status == WK_OK) wk__batch_norm_folded(norm);
        if (status == WK_UNSUPPORTED) status = WK_OK;
    }
    wk_no_grad_end(was);
    wk_scope_end(scope);
    return wk_failed() ? wk_error_code() : status;
}

/* ---- the tree ---- */

static void close_training(void *context, wk_module *module) {
    (void)context;
    module->frozen = true;
    module->training = false;
}

/* A parametrised weight is computed in each forward, as before. */
static void freeze_one(void *opts, wk_module *module) {
    if (wk_failed() || !module->class_->freeze || *wk__module_parametrised(module)) return;
    (void)module->class_->freeze(module, opts);
}

static wk_status freeze_tree(wk_module *module, wk_freeze_opts *opts) {
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk__module_visit(module, freeze_one, opts);
    wk_no_grad_end(was);
    wk_scope_end(scope);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status check(const wk_module *module, const wk_freeze_opts *opts) {
    if (!module) return wk_fail(WK_INVALID, "wk_module_freeze: the module is NULL");
    if (module->parent)
        return wk_fail(WK_INVALID, "wk_module_freeze: module \"%s\" (%s) is part of another; freeze the root",
                       module->path, module->class_->name);
    if (*wk__module_frozen((wk_module *)(uintptr_t)module))
        return wk_fail(WK_STATE, "wk_module_freeze: the module (%s) is frozen already", module->class_->name);
    const wk_named_tensors all = wk_state((wk_module *)(uintptr_t)module);
    for (int i = 0; i < all.count; i++)
        if (all.tensor[i]->device)
            return wk_fail(WK_DEVICE, "wk_module_freeze: \"%s\" is on %s; freezing is for inference on the CPU",
                           all.name[i], wk_device_name(all.tensor[i]->device));
    if (opts->dtype != WK_F32 && opts->dtype != WK_BF16 && opts->dtype != WK_F16)
        return wk_fail(WK_DTYPE, "wk_module_freeze: dtype is %s, expected f32, bf16 or f16",
                       (unsigned)opts->dtype < WK_DTYPE_COUNT ? wk_dtype_name(opts->dtype) : "none");
    return WK_OK;
}

wk_status wk_module_freeze(wk_module *module, wk_freeze_opts opts) {
    static atomic_uint count;
    if (wk_failed()) return WK_PENDING;
    WK_TRY(check(module, &opts));
    wk__frozen *frozen = wk_alloc(sizeof *frozen);
    if (!frozen) return WK_NO_MEMORY;
    if (!module->frozen) wk_module_require_grad(module, false);
    wk_module_apply(module, close_training, NULL);
    wk_status status = wk_failed() ? wk_error_code() : freeze_tree(module, &opts);
    if (status != WK_OK) {
        wk_free(frozen);
        return status;
    }
    frozen->opts = opts;
    (void)snprintf(frozen->step, sizeof frozen->step, "frozen %.40s %u", module->class_->name,
                   atomic_fetch_add(&count, 1) + 1);
    *wk__module_frozen(module) = frozen;
    return WK_OK;
}

const char *wk_module_step(const wk_module *module) {
    const wk__frozen *f = module ? *wk__module_frozen((wk_module *)(uintptr_t)module) : NULL;
    return f ? f->step : NULL;
}

void wk__frozen_free(wk__frozen *frozen) {
    if (!frozen) return;
    wk__step_remove(frozen->step);
    wk_free(frozen);
}

/* ---- forward ---- */

/* Of the caller's graph nothing is seen. */
static wk_args cut_off(const wk_args *in) {
    wk_args given = *in;
    for (int i = 0; i < given.count; i++)
        if (given.slot[i].tensor && wk__wants_grad(given.slot[i].tensor))
            given.slot[i].tensor = wk_detach(given.slot[i].tensor);
    return given;
}

/* A tensor of the caller's, with the same layout where that has no gaps. */
static wk_tensor *copied_out(wk_tensor *planned) {
    if (!wk__is_dense(planned)) return wk_contiguous(planned);
    wk_tensor *copy = wk_empty((wk_dtype)planned->dtype, wk__dims(planned));
    if (!copy) return NULL;
    memcpy(copy->stride, planned->stride, sizeof copy->stride);
    wk__header_flags(copy);
    if (copy->count) memcpy(copy->data, planned->data, (size_t)copy->count * wk_dtype_size((wk_dtype)copy->dtype));
    return copy;
}

static wk_status end_step(wk_args *out, wk_status status) {
    (void)wk_step_end();
    for (int i = 0; i < out->count && status == WK_OK; i++) {
        wk_tensor *result = out->slot[i].tensor;
        if (result && result->flags & WK__TENSOR_PLANNED) out->slot[i].tensor = copied_out(result);
        if (wk_failed()) status = wk_error_code();
    }
    return status;
}

wk_autocast wk__frozen_autocast_begin(const wk_module *root) {
    const wk__frozen *f = *wk__module_frozen((wk_module *)(uintptr_t)root);
    const wk_context *context = wk__context();
    bool on = f && f->opts.dtype != WK_F32;
    return wk_autocast_begin(on ? f->opts.dtype : context->autocast.dtype, on || wk_autocast_is_on());
}

wk_status wk__forward_frozen(wk_context *context, wk_module *module, bool by_slots, const wk_args *in, wk_args *out) {
    const wk__frozen *f = *wk__module_frozen(module);
    const bool in_half = f->opts.dtype != WK_F32;
    wk_args given = cut_off(in);
    bool was = wk_no_grad_begin();
    bool replays = !f->opts.no_replay && context->scope && !context->walk && !wk__step_is_open(context)
                   && wk_step_begin(f->step) == WK_OK;
    wk_autocast outer = { 0 };
    if (in_half) outer = wk_autocast_begin(f->opts.dtype, true);
    wk_status status = wk__forward_scoped(context, module, by_slots, &given, out);
    if (in_half) wk_autocast_end(outer);
    if (replays) status = end_step(out, status);
    wk_no_grad_end(was);
    return status;
}
