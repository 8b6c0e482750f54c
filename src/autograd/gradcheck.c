/* gradcheck.c: analytic gradients against central differences, in f64.
 *
 * The function's result is reduced to a scalar with fixed weights that have no symmetry, so that a wrong sign or a
 * transposed index cannot cancel.
 */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"
#include "wick/ops.h"

#include <math.h>

typedef struct check {
    wk_gradcheck_function function;
    void *context;
    wk_tensor *const *in;
    int n_in;
    double step, tolerance;
    const char *row; /* that made the function's result */
} check;

static wk_tensor *weighted_sum(wk_tensor *y) {
    if (!y) return NULL;
    wk_tensor *weights = wk__empty_on(0, WK_F64, wk__dims(y));
    for (int64_t i = 0; weights && i < weights->count; i++)
        ((double *)weights->data)[i] = 0.5 + fmod(0.618033988749895 * (double)(i + 1), 1.0);
    return wk_sum(wk_mul(y, wk_to_device(weights, y->device)), (wk_reduce_opts){ 0 });
}

static wk_tensor *scalar_of(void *context, wk_tensor *const *in, int n_in) {
    check *c = context;
    wk_tensor *y = c->function(c->context, in, n_in);
    if (y && y->node) c->row = y->node->op->name;
    return weighted_sum(y);
}

/* The scalar's gradients, weighted and summed: the function whose gradient is of second order. */
static wk_tensor *gradient_sum(void *context, wk_tensor *const *in, int n_in) {
    const wk_grad_opts both = { .create_graph = true, .allow_unused = true };
    wk_tensor *scalar = scalar_of(context, in, n_in), *total = NULL;
    if (!scalar || !scalar->node) return scalar;
    for (int i = 0; i < n_in; i++) {
        if (!in[i] || !in[i]->leaf) continue;
        wk_tensor *gradient;
        if (wk_gradients(&scalar, 1, NULL, &in[i], 1, &gradient, both) != WK_OK) return NULL;
        if (!gradient) continue;
        wk_tensor *part = weighted_sum(gradient);
        total = total ? wk_add(total, part) : part;
    }
    return total ? total : wk_full(WK_F64, WK_SCALAR, 0); /* a rule may give nothing: the gradient is 0 */
}

static void set_element(const wk_tensor *in, int64_t k, double value) {
    (void)wk__copy_bytes((double *)in->data + k, in->device, &value, 0, sizeof value);
}

/* The function where element k of `in` is `value` instead of `kept`. */
static double value_at(const check *c, wk_gradcheck_function scalar, const wk_tensor *in, int64_t k, double kept,
                       double value) {
    set_element(in, k, value);
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = scalar((void *)(uintptr_t)c, c->in, c->n_in);
    double result = y ? wk_item(y) : NAN;
    wk_scope_end(scope);
    set_element(in, k, kept);
    return result;
}

static wk_status compare(const check *c, wk_gradcheck_function scalar, int i, const wk_tensor *gradient,
                         const char *order) {
    wk_tensor *in = c->in[i];
    for (int64_t k = 0; k < in->count; k++) {
        const double x = wk_at(in, k), h = c->step * fmax(1.0, fabs(x));
        double numeric = (value_at(c, scalar, in, k, x, x + h) - value_at(c, scalar, in, k, x, x - h)) / (2 * h);
        if (wk_failed()) return wk_error_code();
        double analytic = gradient ? wk_at(gradient, k) : 0;
        if (!(fabs(analytic - numeric) <= c->tolerance * (1 + fabs(numeric))))
            return wk_fail(WK_INVALID,
                           "gradcheck: %s gradient of input %d, element %lld: analytic %.9g, numeric %.9g, through "
                           "\"%s\"",
                           order, i, (long long)k, analytic, numeric, c->row ? c->row : "nothing differentiable");
    }
    return WK_OK;
}

static wk_status check_order(const check *c, wk_gradcheck_function scalar, const char *order) {
    for (int i = 0; i < c->n_in; i++) {
        if (!c->in[i] || !c->in[i]->leaf) continue;
        wk_scope scope = wk_scope_begin();
        wk_tensor *y = scalar((void *)(uintptr_t)c, c->in, c->n_in), *gradient = NULL;
        wk_status status = !y ? wk_error_code() : WK_OK;
        if (status == WK_OK && y && y->node) /* no result: a gradient that depends on nothing */
            status = wk_gradients(&y, 1, NULL, &c->in[i], 1, &gradient, (wk_grad_opts){ .allow_unused = true });
        if (status == WK_OK && y) status = compare(c, scalar, i, gradient, order);
        wk_scope_end(scope);
        WK_TRY(status);
    }
    return WK_OK;
}

wk_status wk_gradcheck(wk_gradcheck_function function, void *context, wk_tensor *const *in, int n_in,
                       wk_gradcheck_opts opts) {
    check c = { .function = function,
                .context = context,
                .in = in,
                .n_in = n_in,
                .step = opts.step > 0 ? opts.step : 1e-6,
                .tolerance = opts.tolerance > 0 ? opts.tolerance : 1e-5 };
    for (int i = 0; i < n_in; i++)
        if (in[i] && in[i]->leaf && (in[i]->dtype != WK_F64 || !wk_is_contiguous(in[i])))
            return wk_fail(WK_DTYPE, "gradcheck: input %d must be f64 and row major", i);
    WK_TRY(check_order(&c, scalar_of, "first"));
    if (!opts.second_order) return WK_OK;
    /* The second difference divides rounding of the first derivative by a small step: a wider one loses less. */
    c.step = opts.step > 0 ? opts.step : 1e-5;
    return check_order(&c, gradient_sum, "second");
}
