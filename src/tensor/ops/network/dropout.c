/* dropout.c: the mask is drawn again in backward instead of being stored: a counter-based generator makes that free of
 * state, and a byte an element of memory traffic is saved. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static wk_status dropout_shape(const wk_call *call, wk_desc out[]) {
    const wk_dropout_opts *opts = call->attrs;
    const wk_tensor *key = call->in[1];
    if (!(opts->p >= 0 && opts->p < 1)) return wk_bad_call(call, WK_INVALID, "p is %g, expected 0 ≤ p < 1", opts->p);
    if (key->rank != 1 || key->shape[0] != 2)
        return wk_bad_call(call, WK_SHAPE, "key has another shape than (2): seed, counter");
    out[0] = wk_desc_like(call->in[0]);
    return WK_OK;
}

static wk_op_def dropout_row;
static wk_status dropout_grad(wk_grad *g) {
    if (g->needs[0]) g->din[0] = wk_op_run2(&dropout_row, g->attrs, g->dout[0], g->in[1]);
    return WK_OK;
}
static wk_cost dropout_cost(const wk_call *call) {
    return wk__cost_elements(call, 12);
}
static void dropout_samples(wk_sampler *s) {
    const wk_dropout_opts half = { 0.5 }, quarter = { 0.25 }, none = { 0 };
    WK_CASE(s, "half", &half, { .dims = WK_DIMS(33, 65) },
            { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 1000 });
    WK_CASE(s, "strided", &quarter, { .dims = WK_DIMS(3, 16, 5, 7), .strided = true },
            { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 1000 });
    WK_CASE(s, "none", &none, { .dims = WK_DIMS(5) }, { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 1000 });
    WK_HUGE_CASE(s, "huge", &half, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 1000 });
}
static const wk_attr_def attrs[] = { { "p", WK_ATTR_FLOAT, offsetof(wk_dropout_opts, p), 0, NULL, 0,
                                       "probability of zero" } };
static wk_op_def dropout_row = { .name = "dropout",
                                 .doc = "zero with probability p, else x / (1 - p)",
                                 .n_in = 2,
                                 .n_out = 1,
                                 .saves_in = 2,
                                 .host_in = 2,
                                 .random = true,
                                 .attrs = attrs,
                                 .n_attrs = 1,
                                 .attrs_size = sizeof(wk_dropout_opts),
                                 .dtype = { .allowed = { WK_FLOATS, WK_SET_OF(WK_I64) } },
                                 .shape = dropout_shape,
                                 .grad = dropout_grad,
                                 .cost = dropout_cost,
                                 .samples = dropout_samples };

wk_tensor *wk_dropout(wk_tensor *x, wk_tensor *key, wk_dropout_opts opts) {
    return wk_op_run2(&dropout_row, &opts, x, key);
}

wk_op_def *const wk__rows_dropout[] = { &dropout_row, NULL };
