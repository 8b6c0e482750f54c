/* average.c: averages of weights: EMA and SWA, running statistics for them, Lookahead.
 *
 * On the CPU averaging is done in plain loops without memory of its own, so an update happens whole or not at all.  On
 * a device it is operations, which take room for a few of the largest tensor.
 */
#define WK_NO_CALL_SITES
#include "optim/optim.h"

#include "nn/nn.h"
#include "wick/ops.h"

#include <math.h>
#include <string.h>

/* ---- lists of tensors and kept copies of them ---- */

typedef struct copies {
    wk_tensor **of, **copy; /* held */
    char **name;
    int count;
} copies;

static void copies_free(copies *c) {
    for (int i = 0; i < c->count; i++) {
        if (c->of) wk_release(c->of[i]);
        if (c->copy) wk_release(c->copy[i]);
        if (c->name) wk_free(c->name[i]);
    }
    wk_free(c->of);
    wk_free(c->copy);
    wk_free(c->name);
}

/* Copies of all tensors, named PREFIX.NAME; extra names are left free at the end. */
static bool copies_make(copies *c, wk_named_tensors list, const char *prefix) {
    size_t count = (size_t)list.count + 1;
    c->of = wk_alloc(count * sizeof *c->of);
    c->copy = wk_alloc(count * sizeof *c->copy);
    c->name = wk_alloc(count * sizeof *c->name);
    c->count = c->of && c->copy && c->name ? list.count : 0;
    for (int i = 0; i < c->count; i++) {
        const wk_tensor *t = list.tensor[i];
        c->copy[i] = wk__kept_zeros_on(t->device, (wk_dtype)t->dtype, wk__dims(t));
        c->name[i] = wk_format("%s.%s", prefix, list.name[i]);
        if (!c->copy[i] || !c->name[i] || wk_copy_into(c->copy[i], t) != WK_OK) return false;
        c->of[i] = wk_keep(list.tensor[i]);
    }
    return !wk_failed();
}

static void changed(wk_tensor *t, const char *by) {
    t->storage->version++;
    t->storage->changed_at = by;
}

/* a += weight · (b − a); integers are rounded towards zero, as PyTorch's copy of the mean does. */
static void average_here(wk_tensor *a, const wk_tensor *b, double weight) {
    if (a->dtype == WK_F32) {
        float *x = a->data, w = (float)weight;
        const float *y = b->data;
        for (int64_t i = 0; i < a->count; i++) x[i] += w * (y[i] - x[i]);
    } else {
        for (int64_t i = 0; i < a->count; i++) {
            double x = wk__element_get(a->data, (wk_dtype)a->dtype, i);
            x += weight * (wk__element_get(b->data, (wk_dtype)b->dtype, i) - x);
            wk__element_set(a->data, (wk_dtype)a->dtype, i, wk_dtype_is_float((wk_dtype)a->dtype) ? x : trunc(x));
        }
    }
    changed(a, "wk_average_update");
}

/* The same where the host cannot reach.  Whole numbers, which count batches, take the way over the host. */
static wk_status average_there(wk_tensor *a, wk_tensor *b, double weight) {
    const wk_dtype dtype = (wk_dtype)a->dtype, wide = dtype == WK_F64 ? WK_F64 : WK_F32;
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_tensor *mean;
    if (wk_dtype_is_float(dtype)) {
        wk_tensor *wide_a = wk_cast(a, wide);
        mean = wk_cast(wk_add(wide_a, wk_scale(wk_sub(wk_cast(b, wide), wide_a), weight)), dtype);
    } else {
        wk_tensor *here = wk_contiguous(wk_to_device(a, WK_CPU)), *other = wk_contiguous(wk_to_device(b, WK_CPU));
        if (here && other) average_here(here, other, weight);
        mean = wk_to_device(here, a->device);
    }
    wk_status status = mean ? wk_copy_into(a, mean) : wk_error_code();
    wk_no_grad_end(was);
    wk_scope_end(scope);
    return status;
}

static wk_status average_into(wk_tensor *a, wk_tensor *b, double weight) {
    if (a->device) return average_there(a, b, weight);
    average_here(a, b, weight);
    return WK_OK;
}

static wk_status check_tensors(const copies *c, const char *who) {
    for (int i = 0; i < c->count; i++) {
        if (!wk_is_contiguous(c->of[i])) return wk_fail(WK_INVALID, "%s: \"%s\" is not row major", who, c->name[i]);
        if (c->of[i]->device != c->copy[i]->device)
            return wk_fail(WK_INVALID, "%s: \"%s\" is on %s now, its average on %s: make another one there", who,
                           c->name[i], wk_device_name(c->of[i]->device), wk_device_name(c->copy[i]->device));
    }
    return WK_OK;
}

/* ---- EMA and SWA ---- */

struct wk_average {
    wk_average_opts opts;
    copies all;
    bool *is_buffer;
    wk_tensor *updates;
    wk_tensor **state_tensor;
    const char **state_name;
};

void wk_average_destroy(wk_average *a) {
    if (!a) return;
    copies_free(&a->all);
    wk_release(a->updates);
    wk_free(a->is_buffer);
    wk_free(a->state_tensor);
    wk_free(a->state_name);
    wk_free(a);
}

static bool average_fill(wk_average *a, wk_module *model) {
    wk_named_tensors state = wk_state(model), parameters = wk_parameters(model);
    size_t count = (size_t)state.count + 1;
    a->updates = wk_kept_zeros(WK_I64, WK_SCALAR);
    a->is_buffer = wk_alloc(count * sizeof *a->is_buffer);
    a->state_tensor = wk_alloc(count * sizeof *a->state_tensor);
    a->state_name = wk_alloc(count * sizeof *a->state_name);
    if (wk_failed() || !copies_make(&a->all, state, "module")) return false;
    if (check_tensors(&a->all, "wk_average_create") != WK_OK) return false;
    a->state_tensor[0] = a->updates;
    a->state_name[0] = "n_averaged";
    for (int i = 0; i < state.count; i++) {
        a->is_buffer[i] = true;
        for (int k = 0; k < parameters.count; k++)
            if (parameters.tensor[k] == state.tensor[i]) a->is_buffer[i] = false;
        a->state_tensor[1 + i] = a->all.copy[i];
        a->state_name[1 + i] = a->all.name[i];
    }
    return true;
}

wk_average *wk_average_create(wk_module *model, wk_average_opts opts) {
    if (wk_failed()) return NULL;
    if (!model) return wk_fail_null(WK_INVALID, "wk_average_create: the model is NULL");
    if (opts.decay.is_set && !(opts.decay.value >= 0 && opts.decay.value <= 1))
        return wk_fail_null(WK_INVALID, "wk_average_create: decay is %g, expected in [0, 1]", opts.decay.value);
    wk_average *a = wk_alloc(sizeof *a);
    if (!a) return NULL;
    a->opts = opts;
    if (average_fill(a, model)) return a;
    wk_average_destroy(a);
    return NULL;
}

wk_status wk_average_update(wk_average *a) {
    if (wk_failed()) return WK_PENDING;
    if (!a) return wk_fail(WK_INVALID, "wk_average_update: the average is NULL");
    WK_TRY(check_tensors(&a->all, "wk_average_update"));
    int64_t *updates = a->updates->data;
    double weight = a->opts.decay.is_set ? 1 - a->opts.decay.value : 1 / ((double)*updates + 1);
    for (int i = 0; i < a->all.count; i++) {
        if (*updates > 0 && (!a->is_buffer[i] || a->opts.use_buffers))
            WK_TRY(average_into(a->all.copy[i], a->all.of[i], weight));
        else
            WK_TRY(wk_copy_into(a->all.copy[i], a->all.of[i]));
    }
    ++*updates;
    return WK_OK;
}

static wk_status swap_there(wk_tensor *a, wk_tensor *b) {
    wk_tensor *held = wk__kept_zeros_on(a->device, (wk_dtype)a->dtype, wk__dims(a));
    wk_status status = held ? wk_copy_into(held, a) : wk_error_code();
    if (status == WK_OK) status = wk_copy_into(a, b);
    if (status == WK_OK) status = wk_copy_into(b, held);
    wk_release(held);
    return status;
}

static void swap_here(wk_tensor *a, wk_tensor *b) {
    unsigned char held[4096], *x = a->data, *y = b->data;
    size_t bytes = (size_t)a->count * wk_dtype_size((wk_dtype)a->dtype);
    for (size_t done = 0; done < bytes; done += sizeof held) {
        size_t part = bytes - done < sizeof held ? bytes - done : sizeof held;
        memcpy(held, x + done, part);
        memcpy(x + done, y + done, part);
        memcpy(y + done, held, part);
    }
    changed(a, "wk_average_swap");
    changed(b, "wk_average_swap");
}

wk_status wk_average_swap(wk_average *a) {
    if (wk_failed()) return WK_PENDING;
    if (!a || *(const int64_t *)a->updates->data == 0)
        return wk_fail(WK_STATE, "wk_average_swap: nothing has been averaged yet");
    WK_TRY(check_tensors(&a->all, "wk_average_swap"));
    for (int i = 0; i < a->all.count; i++) {
        if (a->all.of[i]->device)
            WK_TRY(swap_there(a->all.of[i], a->all.copy[i]));
        else
            swap_here(a->all.of[i], a->all.copy[i]);
    }
    return WK_OK;
}

wk_named_tensors wk_average_state(wk_average *a) {
    if (!a) return (wk_named_tensors){ 0 };
    return (wk_named_tensors){ a->state_tensor, a->state_name, 1 + a->all.count };
}

/* ---- running statistics of averaged weights ---- */

typedef struct momenta {
    wk_optional **of, *was; /* NULL while they are only counted */
    int count;
} momenta;

static void find_momentum(void *context, wk_module *module) {
    momenta *m = context;
    wk_optional *momentum = wk__batch_norm_momentum(module);
    if (!momentum) return;
    if (m->of) m->was[m->count] = *momentum;
    if (m->of) m->of[m->count] = momentum;
    m->count++;
}

/* Those of all batch normalisations. */
static wk_status find_momenta(wk_module *model, momenta *m) {
    *m = (momenta){ 0 };
    wk__module_visit(model, find_momentum, m);
    m->of = wk_alloc((size_t)(m->count + 1) * sizeof *m->of);
    m->was = m->of ? wk_alloc((size_t)(m->count + 1) * sizeof *m->was) : NULL;
    if (!m->was) {
        wk_free(m->of);
        return wk_error_code();
    }
    m->count = 0;
    wk__module_visit(model, find_momentum, m);
    return WK_OK;
}

static bool ends_with(const char *text, const char *end) {
    size_t size = strlen(text), less = strlen(end);
    return size >= less && strcmp(text + size - less, end) == 0;
}

static wk_status reset_statistics(wk_module *model) {
    wk_named_tensors state = wk_state(model);
    for (int i = 0; i < state.count; i++) {
        wk_tensor *t = state.tensor[i];
        bool is_variance = ends_with(state.name[i], "running_var");
        if (!is_variance && !ends_with(state.name[i], "running_mean")
            && !ends_with(state.name[i], "num_batches_tracked"))
            continue;
        WK_TRY(wk__fill_dense(t, is_variance));
        changed(t, "wk_update_batch_norm");
    }
    return WK_OK;
}

/* The means over all batches, by a momentum of 1, 1/2, 1/3, … */
static void run_batches(wk_module *model, const momenta *m, wk_tensor *(*next)(void *context), void *context) {
    bool more = true;
    for (int64_t batches = 1; more && !wk_failed(); batches++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *x = next(context);
        more = x != NULL;
        for (int i = 0; i < m->count; i++) *m->of[i] = WK_SET(1.0 / (double)batches);
        if (more) (void)wk_forward(model, x);
        wk_scope_end(scope);
    }
}

wk_status wk_update_batch_norm(wk_module *model, wk_tensor *(*next)(void *context), void *context) {
    if (wk_failed()) return WK_PENDING;
    if (!model || !next) return wk_fail(WK_INVALID, "wk_update_batch_norm: the model or the source of data is NULL");
    momenta m;
    WK_TRY(find_momenta(model, &m));
    if (m.count > 0) {
        bool was_training = model->training, was = wk_no_grad_begin();
        wk_module_train(model, true);
        if (reset_statistics(model) == WK_OK) run_batches(model, &m, next, context);
        for (int i = 0; i < m.count; i++) *m.of[i] = m.was[i];
        wk_module_train(model, was_training);
        wk_no_grad_end(was);
    }
    wk_free(m.of);
    wk_free(m.was);
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* ---- Lookahead ---- */

struct wk_lookahead {
    wk_optim *o;
    copies slow;
    int64_t k;
    double alpha;
    wk_tensor *steps;
    wk_tensor **state_tensor;
    const char **state_name;
};

void wk_lookahead_destroy(wk_lookahead *l) {
    if (!l) return;
    copies_free(&l->slow);
    wk_release(l->steps);
    wk_free(l->state_tensor);
    wk_free(l->state_name);
    wk_free(l);
}

static bool lookahead_fill(wk_lookahead *l) {
    size_t count = (size_t)l->o->count + 1;
    wk_tensor **tensor = wk_alloc(count * sizeof *tensor);
    const char **name = wk_alloc(count * sizeof *name);
    for (int i = 0; tensor && name && i < l->o->count; i++) {
        tensor[i] = l->o->entry[i].parameter;
        name[i] = l->o->entry[i].name;
    }
    l->steps = wk_kept_zeros(WK_I64, WK_SCALAR);
    l->state_tensor = wk_alloc(count * sizeof *l->state_tensor);
    l->state_name = wk_alloc(count * sizeof *l->state_name);
    bool made = !wk_failed() && copies_make(&l->slow, (wk_named_tensors){ tensor, name, l->o->count }, "slow");
    wk_free(tensor);
    wk_free(name);
    if (!made) return false;
    l->state_tensor[0] = l->steps;
    l->state_name[0] = "steps";
    for (int i = 0; i < l->slow.count; i++) {
        l->state_tensor[1 + i] = l->slow.copy[i];
        l->state_name[1 + i] = l->slow.name[i];
    }
    return true;
}

wk_lookahead *wk_lookahead_create(wk_optim *o, wk_lookahead_opts opts) {
    if (wk_failed()) return NULL;
    double alpha = wk_optional_or(opts.alpha, 0.5);
    if (!o) return wk_fail_null(WK_INVALID, "Lookahead: the optimizer is NULL");
    if (opts.k < 0 || !(alpha >= 0 && alpha <= 1))
        return wk_fail_null(WK_INVALID, "Lookahead: k %lld, alpha %g: expected at least 1, and in [0, 1]",
                            (long long)opts.k, alpha);
    wk_lookahead *l = wk_alloc(sizeof *l);
    if (!l) return NULL;
    l->o = o;
    l->k = opts.k ? opts.k : 5;
    l->alpha = alpha;
    if (lookahead_fill(l)) return l;
    wk_lookahead_destroy(l);
    return NULL;
}

wk_status wk_lookahead_step(wk_lookahead *l) {
    if (!l) return wk_fail(WK_INVALID, "wk_lookahead_step: the lookahead is NULL");
    WK_TRY(check_tensors(&l->slow, "wk_lookahead_step"));
    WK_TRY(wk_optim_step(l->o));
    int64_t *steps = l->steps->data;
    if (++*steps % l->k != 0) return WK_OK;
    for (int i = 0; i < l->slow.count; i++) {
        WK_TRY(average_into(l->slow.copy[i], l->slow.of[i], l->alpha));
        WK_TRY(wk_copy_into(l->slow.of[i], l->slow.copy[i]));
    }
    return WK_OK;
}

wk_named_tensors wk_lookahead_state(wk_lookahead *l) {
    if (!l) return (wk_named_tensors){ 0 };
    return (wk_named_tensors){ l->state_tensor, l->state_name, 1 + l->slow.count };
}
