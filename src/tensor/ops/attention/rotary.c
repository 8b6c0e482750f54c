/* rotary.c: pairs of elements rotated by position.  The gradient is the rotation back. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static wk_status rotary_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0];
    char one[160], two[160];
    for (int k = 1; k < 3; k++) {
        const wk_tensor *table = call->in[k];
        bool fits = x->rank >= 2 && table->rank >= 1 && table->rank <= x->rank
                    && 2 * table->shape[table->rank - 1] <= x->shape[x->rank - 1]
                    && table->shape[table->rank - 1] == call->in[1]->shape[call->in[1]->rank - 1];
        for (int axis = 2; fits && axis <= table->rank; axis++) {
            int64_t size = table->shape[table->rank - axis];
            fits = size == 1 || size == x->shape[x->rank - axis];
        }
        if (!fits)
            return wk_bad_call(call, WK_SHAPE, "%s %s does not fit x %s: expected (T, R) for (…, T, D), 2 R ≤ D",
                               k == 1 ? "cosines" : "sines", wk_describe(table, one, sizeof one),
                               wk_describe(x, two, sizeof two));
    }
    out[0] = wk_desc_like(x);
    return WK_OK;
}

/* The first (0) or second (1) elements of all pairs. */
static wk_tensor *members(wk_tensor *x, const wk_rotary_opts *opts, int64_t pairs, int which) {
    if (opts->interleaved) return wk_slice(x, -1, which, 2 * pairs, 2);
    return wk_slice(x, -1, which * pairs, (which + 1) * pairs, 1);
}

static wk_op_def rotary_row;
static wk_status rotary_grad(wk_grad *g) {
    const wk_rotary_opts *opts = g->attrs;
    wk_tensor *dy = g->dout[0], *x = g->in[0], *cosines = g->in[1];
    int64_t pairs = cosines->shape[cosines->rank - 1];
    if (g->needs[0]) {
        wk_rotary_opts other = { opts->interleaved, !opts->back };
        g->din[0] = wk_op_run3(&rotary_row, &other, dy, cosines, g->in[2]);
    }
    if (!g->needs[1] && !g->needs[2]) return WK_OK;
    wk_tensor *x0 = members(x, opts, pairs, 0), *x1 = members(x, opts, pairs, 1);
    wk_tensor *d0 = members(dy, opts, pairs, 0), *d1 = members(dy, opts, pairs, 1);
    if (g->needs[1]) g->din[1] = wk__sum_to(wk_add(wk_mul(d0, x0), wk_mul(d1, x1)), cosines);
    if (g->needs[2]) {
        wk_tensor *turned = wk_sub(wk_mul(d1, x0), wk_mul(d0, x1));
        g->din[2] = wk__sum_to(opts->back ? wk_neg(turned) : turned, g->in[2]);
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_cost rotary_cost(const wk_call *call) {
    return wk__cost_elements(call, 3);
}
static void rotary_samples(wk_sampler *s) {
    const wk_rotary_opts halves = { 0 }, pairs = { .interleaved = true }, back = { .back = true };
    WK_CASE(s, "halves", &halves, { .dims = WK_DIMS(2, 3, 6) }, { .dims = WK_DIMS(3, 3) }, { .dims = WK_DIMS(3, 3) });
    WK_CASE(s, "pairs", &pairs, { .dims = WK_DIMS(2, 3, 6) }, { .dims = WK_DIMS(3, 3) }, { .dims = WK_DIMS(3, 3) });
    WK_CASE(s, "back", &back, { .dims = WK_DIMS(3, 4), .strided = true }, { .dims = WK_DIMS(3, 2) },
            { .dims = WK_DIMS(3, 2) });
    WK_CASE(s, "in part", &pairs, { .dims = WK_DIMS(2, 2, 3, 5) }, { .dims = WK_DIMS(2, 1, 3, 2) },
            { .dims = WK_DIMS(2, 1, 3, 2) });
    WK_CASE(s, "empty", &halves, { .dims = WK_DIMS(0, 3, 4) }, { .dims = WK_DIMS(3, 2) }, { .dims = WK_DIMS(3, 2) });
    WK_CASE(s, "large", &halves, { .dims = WK_DIMS(3, 4, 77, 66) }, { .dims = WK_DIMS(77, 33) },
            { .dims = WK_DIMS(77, 33) });
    WK_HUGE_CASE(s, "huge", &halves, { .dims = WK_DIMS(2, 8, 256, 64) }, { .dims = WK_DIMS(256, 32) },
                 { .dims = WK_DIMS(256, 32) });
}
static const wk_attr_def attrs[] = {
    { "interleaved", WK_ATTR_BOOL, offsetof(wk_rotary_opts, interleaved), 0, NULL, 0, "pairs are neighbours" },
    { "back", WK_ATTR_BOOL, offsetof(wk_rotary_opts, back), 0, NULL, 0, "rotate the other way" },
};
static wk_op_def rotary_row = { .name = "rotary",
                                .doc = "pairs of the last axis rotated by position",
                                .n_in = 3,
                                .n_out = 1,
                                .saves_in = 7,
                                .attrs = attrs,
                                .n_attrs = 2,
                                .attrs_size = sizeof(wk_rotary_opts),
                                .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS }, .same = 7, .promote = true },
                                .shape = rotary_shape,
                                .grad = rotary_grad,
                                .cost = rotary_cost,
                                .samples = rotary_samples };
wk_tensor *wk_rotary(wk_tensor *x, wk_tensor *cosines, wk_tensor *sines, wk_rotary_opts opts) {
    return wk_op_run3(&rotary_row, &opts, x, cosines, sines);
}

wk_op_def *const wk__rows_rotary[] = { &rotary_row, NULL };
