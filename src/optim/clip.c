/* clip.c: limits on gradients.  A limit on the norm becomes a factor of the next step; one on elements is a pass. */
#define WK_NO_CALL_SITES
#include "optim/optim.h"

#include "wick/ops.h"

#include <math.h>
#include <string.h>

/* Whether the factor may stay where the gradients lie, so that the host need not wait for it. */
static bool stays_there(const wk_optim *o, int n) {
    if (!o->row || n == 0 || !o->list[0]->device) return false;
    for (int i = 1; i < n; i++)
        if (o->list[i]->device != o->list[0]->device) return false;
    return true;
}

static wk_status clip_there(wk_optim *o, wk_tensor *norm, double max_norm) {
    const wk_clip_attrs attrs = { max_norm, wk__optim_factor(o) };
    if (!o->clip || o->clip->device != norm->device) {
        wk_release(o->clip);
        o->clip = wk__kept_zeros_on(norm->device, WK_F64, (wk_dims){ 0 });
        if (!o->clip) return wk_error_code();
    }
    WK_TRY(wk_op_run(o->clip_row, (wk_tensor *[]){ norm, o->clip }, 2, NULL, &attrs));
    o->clipped = true;
    return WK_OK;
}

wk_status wk_clip_grad_norm_p(wk_optim *o, double max_norm, wk_clip_opts opts, double *norm) {
    if (wk_failed()) return WK_PENDING;
    if (!o) return wk_fail(WK_INVALID, "wk_clip_grad_norm: the optimizer is NULL");
    if (!(max_norm > 0))
        return wk_fail(WK_INVALID, "wk_clip_grad_norm: max_norm is %g, expected a positive number", max_norm);
    if (!(opts.p >= 0)) return wk_fail(WK_INVALID, "wk_clip_grad_norm: p is %g, expected a positive number", opts.p);
    WK_TRY(wk__optim_settle_clip(o));
    int n = wk__optim_gradients(o, 0);
    if (n < 0) return wk_error_code();
    wk_norm_attrs attrs = { opts.p };
    wk_tensor *out[1] = { NULL };
    const bool there = !norm && !opts.error_if_nonfinite && stays_there(o, n);
    wk_scope scope = wk_scope_begin();
    wk_status status = WK_OK;
    double total = 0;
    if (n > 0) status = wk_op_run(o->norm_row, o->list, n, out, &attrs);
    if (there && status == WK_OK)
        status = clip_there(o, out[0], max_norm);
    else if (n > 0 && status == WK_OK)
        total = wk_item(out[0]) * wk__optim_factor(o);
    wk_scope_end(scope);
    WK_TRY(status);
    if (there) return WK_OK;
    if (opts.error_if_nonfinite && !isfinite(total))
        return wk_fail(WK_STATE,
                       "wk_clip_grad_norm: the norm of the gradients is %g, so they cannot be clipped; find the loss "
                       "that is not finite, or allow it",
                       total);
    double factor = max_norm / (total + 1e-6);
    if (factor < 1 || isnan(factor)) wk__optim_scale_factor(o, factor);
    if (norm) *norm = total;
    return WK_OK;
}

wk_status wk_clip_grad_norm(wk_optim *o, double max_norm, double *norm) {
    return wk_clip_grad_norm_p(o, max_norm, (wk_clip_opts){ 0 }, norm);
}

/* Gradients · factor, limited, in place. */
static wk_status adjust(wk_optim *o, double factor, double limit) {
    int n = wk__optim_gradients(o, 1);
    if (n < 0) return wk_error_code();
    if (n == 0) return WK_OK;
    wk_scope scope = wk_scope_begin();
    o->list[0] = wk__empty_on(0, WK_F64, WK_DIMS(2));
    if (o->list[0]) memcpy(o->list[0]->data, (double[]){ factor, limit }, 2 * sizeof(double));
    wk_status status = o->list[0] ? wk_op_run(o->adjust_row, o->list, n + 1, NULL, NULL) : wk_error_code();
    wk_scope_end(scope);
    return status;
}

wk_status wk__optim_scale_gradients(wk_optim *o, double factor) {
    return adjust(o, factor, INFINITY);
}

wk_status wk_clip_grad_value(wk_optim *o, double limit) {
    if (wk_failed()) return WK_PENDING;
    if (!o) return wk_fail(WK_INVALID, "wk_clip_grad_value: the optimizer is NULL");
    if (!(limit >= 0)) return wk_fail(WK_INVALID, "wk_clip_grad_value: the limit is %g, expected at least 0", limit);
    WK_TRY(wk__optim_settle_clip(o));
    WK_TRY(adjust(o, wk__optim_factor(o), limit));
    wk__optim_reset_factor(o);
    return WK_OK;
}
