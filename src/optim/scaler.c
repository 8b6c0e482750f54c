/* scaler.c: loss scaling for f16: torch.amp.GradScaler.
 *
 * The scale never touches gradients unless asked to (unscale): it goes into the factor that the optimizer's step
 * multiplies gradients by, and whether one of them is infinite goes into found_inf, on which the step depends.
 */
#define WK_NO_CALL_SITES
#include "optim/optim.h"

#include "wick/ops.h"

#include <math.h>

typedef enum stage { READY, UNSCALED, STEPPED } stage;
typedef struct of_optimizer {
    wk_optim *o;
    stage stage;
    bool found_inf;
} of_optimizer;

enum { SCALE, GROWTH, BACKOFF, INTERVAL, TRACKER, TENSORS };
static const char *const names[TENSORS] = { "scale", "growth_factor", "backoff_factor", "growth_interval",
                                            "_growth_tracker" };

struct wk_grad_scaler {
    bool disabled;
    wk_tensor *tensor[TENSORS];
    of_optimizer *seen; /* since the last update */
    int count;
};

static double number(const wk_grad_scaler *s, int which) {
    return wk__element_get(s->tensor[which]->data, (wk_dtype)s->tensor[which]->dtype, 0);
}
static void set_number(wk_grad_scaler *s, int which, double value) {
    wk__element_set(s->tensor[which]->data, (wk_dtype)s->tensor[which]->dtype, 0, value);
    s->tensor[which]->storage->version++;
}

void wk_grad_scaler_destroy(wk_grad_scaler *s) {
    if (!s) return;
    for (int i = 0; i < TENSORS; i++) wk_release(s->tensor[i]);
    wk_free(s->seen);
    wk_free(s);
}

static wk_status check_numbers(const double n[TENSORS]) {
    bool fits = n[SCALE] > 0 && n[GROWTH] > 1 && n[BACKOFF] > 0 && n[BACKOFF] < 1 && n[INTERVAL] >= 1 && n[TRACKER] >= 0
                && isfinite(n[SCALE]) && isfinite(n[GROWTH]);
    if (fits) return WK_OK;
    return wk_fail(
        WK_INVALID,
        "GradScaler: scale %g, growth_factor %g, backoff_factor %g, growth_interval %g, tracker %g: expected a "
        "positive number, one above 1, one in (0, 1), at least 1, at least 0",
        n[SCALE], n[GROWTH], n[BACKOFF], n[INTERVAL], n[TRACKER]);
}

wk_grad_scaler *wk_grad_scaler_create(wk_grad_scaler_opts opts) {
    if (wk_failed()) return NULL;
    double numbers[TENSORS] = { opts.init_scale != 0 ? opts.init_scale : 65536,
                                opts.growth_factor != 0 ? opts.growth_factor : 2,
                                opts.backoff_factor != 0 ? opts.backoff_factor : 0.5,
                                (double)(opts.growth_interval != 0 ? opts.growth_interval : 2000), 0 };
    if (check_numbers(numbers) != WK_OK) return NULL;
    wk_grad_scaler *s = wk_alloc(sizeof *s);
    if (!s) return NULL;
    s->disabled = opts.disabled;
    static const wk_dtype dtypes[TENSORS] = { WK_F32, WK_F64, WK_F64, WK_I64, WK_I64 };
    for (int i = 0; i < TENSORS; i++) {
        s->tensor[i] = wk_kept_zeros(dtypes[i], WK_SCALAR);
        if (!s->tensor[i]) {
            wk_grad_scaler_destroy(s);
            return NULL;
        }
        set_number(s, i, numbers[i]);
    }
    return s;
}

wk_tensor *wk_grad_scaler_scale(wk_grad_scaler *s, wk_tensor *loss) {
    if (!s || !loss || s->disabled) return loss;
    return wk_mul(loss, s->tensor[SCALE]);
}

static of_optimizer *entry_of(wk_grad_scaler *s, wk_optim *o) {
    for (int i = 0; i < s->count; i++)
        if (s->seen[i].o == o) return &s->seen[i];
    of_optimizer *grown = wk_realloc(s->seen, ((size_t)s->count + 1) * sizeof *grown);
    if (!grown) return NULL;
    s->seen = grown;
    s->seen[s->count] = (of_optimizer){ o, READY, false };
    return &s->seen[s->count++];
}

static wk_status look_for_inf(wk_optim *o, bool *found) {
    int n = wk__optim_gradients(o, 0);
    *found = false;
    if (n <= 0) return n ? wk_error_code() : WK_OK;
    wk_scope scope = wk_scope_begin();
    wk_tensor *out[1];
    wk_status status = wk_op_run(o->finite_row, o->list, n, out, NULL);
    if (status == WK_OK) *found = wk_item(out[0]) != 0;
    wk_scope_end(scope);
    return status;
}

static wk_status check_arguments(const wk_grad_scaler *s, const wk_optim *o, const char *who) {
    if (wk_failed()) return WK_PENDING;
    if (!s || !o) return wk_fail(WK_INVALID, "%s: the scaler or the optimizer is NULL", who);
    return WK_OK;
}

/* What PyTorch multiplies by: the reciprocal in f64, rounded to f32. */
static double inverse(const wk_grad_scaler *s) {
    return (double)(float)(1 / number(s, SCALE));
}

wk_status wk_grad_scaler_unscale(wk_grad_scaler *s, wk_optim *o) {
    WK_TRY(check_arguments(s, o, "wk_grad_scaler_unscale"));
    if (s->disabled) return WK_OK;
    of_optimizer *e = entry_of(s, o);
    if (!e) return wk_error_code();
    if (e->stage == UNSCALED)
        return wk_fail(WK_STATE, "wk_grad_scaler_unscale: %s's gradients were unscaled already since the last update",
                       wk_optim_name(o));
    if (e->stage == STEPPED)
        return wk_fail(WK_STATE, "wk_grad_scaler_unscale: %s has stepped already since the last update",
                       wk_optim_name(o));
    int n = wk__optim_gradients(o, 0);
    if (n < 0) return wk_error_code();
    for (int i = 0; i < n; i++)
        if (o->list[i]->dtype == WK_F16)
            return wk_fail(WK_DTYPE,
                           "wk_grad_scaler_unscale: an f16 gradient would lose what the scale saved; step without it, "
                           "or keep the weights in f32");
    WK_TRY(look_for_inf(o, &e->found_inf));
    WK_TRY(wk__optim_scale_gradients(o, inverse(s)));
    e->stage = UNSCALED;
    return WK_OK;
}

wk_status wk_grad_scaler_step(wk_grad_scaler *s, wk_optim *o) {
    WK_TRY(check_arguments(s, o, "wk_grad_scaler_step"));
    if (s->disabled) return wk_optim_step(o);
    of_optimizer *e = entry_of(s, o);
    if (!e) return wk_error_code();
    if (e->stage == STEPPED)
        return wk_fail(WK_STATE, "wk_grad_scaler_step: %s has stepped already since the last update", wk_optim_name(o));
    if (e->stage == READY) {
        WK_TRY(look_for_inf(o, &e->found_inf));
        wk__optim_scale_factor(o, inverse(s));
    }
    wk__optim_set_found_inf(o, e->found_inf);
    WK_TRY(wk_optim_step(o));
    e->stage = STEPPED;
    return WK_OK;
}

wk_status wk_grad_scaler_update(wk_grad_scaler *s) {
    if (wk_failed()) return WK_PENDING;
    if (!s) return wk_fail(WK_INVALID, "wk_grad_scaler_update: the scaler is NULL");
    if (s->disabled) return WK_OK;
    if (s->count == 0) return wk_fail(WK_STATE, "wk_grad_scaler_update: no optimizer has stepped since the last one");
    bool found = false;
    for (int i = 0; i < s->count; i++) found = found || s->seen[i].found_inf;
    float scale = (float)number(s, SCALE), grown = scale * (float)number(s, GROWTH);
    bool is_due = number(s, TRACKER) + 1 >= number(s, INTERVAL);
    if (found)
        set_number(s, SCALE, (double)(scale * (float)number(s, BACKOFF)));
    else if (is_due && isfinite(grown))
        set_number(s, SCALE, (double)grown);
    set_number(s, TRACKER, found || is_due ? 0 : number(s, TRACKER) + 1);
    s->count = 0;
    return WK_OK;
}

double wk_grad_scaler_value(const wk_grad_scaler *s) {
    return s && !s->disabled ? number(s, SCALE) : 1;
}

wk_named_tensors wk_grad_scaler_state(wk_grad_scaler *s) {
    if (!s) return (wk_named_tensors){ 0 };
    return (wk_named_tensors){ s->tensor, names, TENSORS };
}

wk_status wk_grad_scaler_state_changed(wk_grad_scaler *s) {
    if (wk_failed()) return WK_PENDING;
    if (!s) return wk_fail(WK_INVALID, "wk_grad_scaler_state_changed: the scaler is NULL");
    double numbers[TENSORS];
    for (int i = 0; i < TENSORS; i++) numbers[i] = number(s, i);
    return check_numbers(numbers);
}
