/* optim.c: the optimizers: their state, and the one fused row each of them calls. */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"
#include "tensor/op_attrs.h"
#include "wick/optim.h"

#include <math.h>
#include <string.h>

enum { MOST_MOMENTS = 2 };
enum { LR, STEP, FACTOR, FOUND_INF }; /* of the scalars */

struct wk_optim {
    const char *name;
    const wk_op_def *row, *norm_row;
    wk_sgd_attrs sgd;
    wk_adam_attrs adam;
    int count, moments; /* parameters; state tensors a parameter */
    wk_tensor **parameter;
    wk_tensor **moment[MOST_MOMENTS];
    wk_tensor *scalars; /* f64 (4) */
    wk_tensor *step;    /* i64 scalar, stored with checkpoints */
    wk_tensor **list;   /* of one call: scalars, parameters, gradients, moments */
    wk_tensor **state_tensor;
    char **state_name;
};

void wk_optim_destroy(wk_optim *o) {
    if (!o) return;
    for (int i = 0; i < o->count; i++) {
        if (o->parameter) wk_release(o->parameter[i]);
        for (int m = 0; m < o->moments; m++)
            if (o->moment[m]) wk_release(o->moment[m][i]);
    }
    for (int i = 0; o->state_name && i < 1 + o->count * o->moments; i++) wk_free(o->state_name[i]);
    for (int m = 0; m < o->moments; m++) wk_free(o->moment[m]);
    wk_release(o->scalars);
    wk_release(o->step);
    wk_free(o->parameter);
    wk_free(o->list);
    wk_free(o->state_tensor);
    wk_free(o->state_name);
    wk_free(o);
}

static bool hold_parameters(wk_optim *o, wk_named_tensors parameters) {
    size_t count = (size_t)(o->count ? o->count : 1);
    o->parameter = wk_alloc(count * sizeof *o->parameter);
    o->list = wk_alloc((1 + (size_t)(2 + o->moments) * count) * sizeof *o->list);
    for (int m = 0; m < o->moments; m++) o->moment[m] = wk_alloc(count * sizeof *o->moment[m]);
    if (wk_failed()) return false;
    for (int i = 0; i < o->count; i++) {
        wk_tensor *p = parameters.tensor[i];
        if (!(WK_F32_F64 >> p->dtype & 1) || !wk_is_contiguous(p)) {
            char text[160];
            (void)wk_fail(WK_DTYPE, "%s: parameter \"%s\" is %s, expected f32 or f64, row major", o->name,
                          parameters.name[i], wk_describe(p, text, sizeof text));
            return false;
        }
        o->parameter[i] = wk_keep(p);
        for (int m = 0; m < o->moments; m++) {
            o->moment[m][i] = wk_kept_zeros((wk_dtype)p->dtype, wk__dims(p));
            if (!o->moment[m][i]) return false;
        }
    }
    return true;
}

static bool name_state(wk_optim *o, wk_named_tensors parameters, const char *const *moment_names) {
    size_t count = 1 + (size_t)(o->count * o->moments);
    o->state_tensor = wk_alloc(count * sizeof *o->state_tensor);
    o->state_name = wk_alloc(count * sizeof *o->state_name);
    if (!o->state_tensor || !o->state_name) return false;
    o->state_tensor[0] = o->step;
    o->state_name[0] = wk_strdup("step");
    for (int m = 0; m < o->moments; m++)
        for (int i = 0; i < o->count; i++) {
            int at = 1 + m * o->count + i;
            o->state_tensor[at] = o->moment[m][i];
            o->state_name[at] = wk_format("%s.%s", moment_names[m], parameters.name[i]);
        }
    return !wk_failed();
}

static wk_optim *create(const char *name, const char *row, wk_named_tensors parameters, int moments,
                        const char *const *moment_names, double lr) {
    if (wk_failed()) return NULL;
    if (!(lr > 0) || !isfinite(lr))
        return wk_fail_null(WK_INVALID, "%s: lr is %g, expected a positive number", name, lr);
    wk_optim *o = wk_alloc(sizeof *o);
    if (!o) return NULL;
    o->name = name;
    o->row = wk_op_find(row);
    o->norm_row = wk_op_find("global_norm");
    o->count = parameters.count;
    o->moments = moments;
    o->scalars = wk_kept_zeros(WK_F64, WK_DIMS(4));
    o->step = wk_kept_zeros(WK_I64, WK_SCALAR);
    if (!o->scalars || !o->step || !hold_parameters(o, parameters) || !name_state(o, parameters, moment_names)) {
        wk_optim_destroy(o);
        return NULL;
    }
    double *scalars = o->scalars->data;
    scalars[LR] = lr;
    scalars[FACTOR] = 1;
    return o;
}

wk_optim *wk_sgd(wk_named_tensors parameters, wk_sgd_opts opts) {
    static const char *const names[MOST_MOMENTS] = { "momentum_buffer", NULL };
    if (!(opts.momentum >= 0) || !(opts.weight_decay >= 0))
        return wk_fail_null(WK_INVALID, "SGD: momentum %g, weight_decay %g: expected at least 0", opts.momentum,
                            opts.weight_decay);
    if (opts.nesterov && (opts.momentum <= 0 || opts.dampening != 0))
        return wk_fail_null(WK_INVALID, "SGD: nesterov needs momentum > 0 and dampening 0");
    wk_optim *o = create("SGD", "sgd_step", parameters, opts.momentum != 0 ? 1 : 0, names, opts.lr);
    if (o) o->sgd = (wk_sgd_attrs){ opts.momentum, opts.dampening, opts.weight_decay, opts.nesterov, parameters.count };
    return o;
}

static wk_optim *adam(const char *name, wk_named_tensors parameters, double lr, wk_adam_attrs attrs) {
    static const char *const names[MOST_MOMENTS] = { "exp_avg", "exp_avg_sq" };
    bool betas_fit = attrs.beta1 >= 0 && attrs.beta1 < 1 && attrs.beta2 >= 0 && attrs.beta2 < 1;
    if (!betas_fit || !(attrs.eps >= 0) || !(attrs.weight_decay >= 0)) /* written so that NaN is refused */
        return wk_fail_null(
            WK_INVALID,
            "%s: beta1 %g, beta2 %g, eps %g, weight_decay %g: betas must lie in [0, 1), the others be at least 0", name,
            attrs.beta1, attrs.beta2, attrs.eps, attrs.weight_decay);
    wk_optim *o = create(name, "adam_step", parameters, 2, names, lr != 0 ? lr : 1e-3);
    if (o) o->adam = attrs;
    return o;
}

wk_optim *wk_adam(wk_named_tensors parameters, wk_adam_opts opts) {
    wk_adam_attrs attrs = { wk_optional_or(opts.beta1, 0.9),
                            wk_optional_or(opts.beta2, 0.999),
                            opts.eps != 0 ? opts.eps : 1e-8,
                            opts.weight_decay,
                            false,
                            parameters.count };
    return adam("Adam", parameters, opts.lr, attrs);
}

wk_optim *wk_adamw(wk_named_tensors parameters, wk_adamw_opts opts) {
    wk_adam_attrs attrs = { wk_optional_or(opts.beta1, 0.9),
                            wk_optional_or(opts.beta2, 0.999),
                            opts.eps != 0 ? opts.eps : 1e-8,
                            wk_optional_or(opts.weight_decay, 0.01),
                            true,
                            parameters.count };
    return adam("AdamW", parameters, opts.lr, attrs);
}

/* ---- the step ---- */

/* Fill the call's list with the parameters that have a gradient; gives their number. */
static int64_t fill_list(wk_optim *o) {
    int64_t n = 0;
    for (int i = 0; i < o->count; i++) n += wk_gradient(o->parameter[i]) != NULL;
    o->list[0] = o->scalars;
    int64_t k = 1;
    for (int i = 0; i < o->count; i++) {
        wk_tensor *gradient = wk_gradient(o->parameter[i]);
        if (!gradient) continue;
        o->list[k] = o->parameter[i];
        o->list[k + n] = gradient;
        for (int m = 0; m < o->moments; m++) o->list[k + (2 + m) * n] = o->moment[m][i];
        k++;
    }
    return n;
}

wk_status wk_optim_step(wk_optim *o) {
    if (wk_failed()) {
        wk__backward_ended(WK_PENDING);
        return WK_PENDING;
    }
    if (!o) return wk_fail(WK_INVALID, "wk_optim_step: the optimizer is NULL");
    int64_t n = fill_list(o);
    if (n == 0) return WK_OK;
    double *scalars = o->scalars->data;
    int64_t *step = o->step->data;
    scalars[STEP] = (double)(*step + 1);
    const void *attrs;
    if (o->moments == 2) {
        o->adam.count = n;
        attrs = &o->adam;
    } else {
        o->sgd.count = n;
        attrs = &o->sgd;
    }
    bool was = wk_no_grad_begin();
    wk_note_call("wk_optim_step"); /* what a backward says that comes too late */
    wk_status status = wk_op_run(o->row, o->list, (int)(1 + (2 + o->moments) * n), NULL, attrs);
    wk_no_grad_end(was);
    if (status != WK_OK) wk__backward_ended(status);
    if (status == WK_OK && scalars[FOUND_INF] == 0) ++*step;
    scalars[FACTOR] = 1;
    return status;
}

void wk_zero_grad(wk_optim *o) {
    for (int i = 0; o && i < o->count; i++) wk_clear_grad(o->parameter[i]);
}

void wk_optim_set_lr(wk_optim *o, double lr) {
    if (o) ((double *)o->scalars->data)[LR] = lr;
}

double wk_optim_lr(const wk_optim *o) {
    return o ? ((const double *)o->scalars->data)[LR] : 0;
}

int64_t wk_optim_steps(const wk_optim *o) {
    return o ? *(const int64_t *)o->step->data : 0;
}

const char *wk_optim_name(const wk_optim *o) {
    return o ? o->name : "";
}

wk_named_tensors wk_optim_state(wk_optim *o) {
    if (!o) return (wk_named_tensors){ 0 };
    return (wk_named_tensors){ o->state_tensor, (const char *const *)o->state_name, 1 + o->count * o->moments };
}

wk_status wk_optim_state_changed(wk_optim *o) {
    int64_t step = *(const int64_t *)o->step->data;
    if (step < 0) return wk_fail(WK_FORMAT, "%s: the stored step count is %lld", o->name, (long long)step);
    return WK_OK;
}

wk_status wk_clip_grad_norm(wk_optim *o, double max_norm, double *norm) {
    if (wk_failed()) return WK_PENDING;
    if (!(max_norm > 0))
        return wk_fail(WK_INVALID, "wk_clip_grad_norm: max_norm is %g, expected a positive number", max_norm);
    int64_t n = fill_list(o);
    wk_tensor *out[1];
    wk_scope scope = wk_scope_begin();
    wk_status status = WK_OK;
    double total = 0;
    if (n > 0) {
        status = wk_op_run(o->norm_row, o->list + 1 + n, (int)n, out, NULL);
        if (status == WK_OK) total = wk_item(out[0]);
    }
    wk_scope_end(scope);
    WK_TRY(status);
    double factor = max_norm / (total + 1e-6);
    ((double *)o->scalars->data)[FACTOR] = factor < 1 || isnan(factor) ? factor : 1;
    if (norm) *norm = total;
    return WK_OK;
}
