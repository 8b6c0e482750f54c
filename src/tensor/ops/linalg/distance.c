/* distance.c: distances of all pairs of rows.
 *
 * From the differences, for p = 2 too: |a|² + |b|² − 2 a·b loses half of the digits of near points.  For p = 1 and 2 a
 * kernel keeps them in registers; other norms write them down.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <math.h>
#include <string.h>

static wk_tensor *by_differences(wk_tensor *a, wk_tensor *b, const wk_cdist_opts *opts) {
    wk_tensor *d = wk_sub(wk_unsqueeze(a, -2), wk_unsqueeze(b, -3));
    return wk_norm(d, (wk_norm_opts){ .p = WK_SET(wk_optional_or(opts->p, 2)), .axes = WK_DIMS(-1) });
}

/* ---- (B, M, D), (B, N, D) -> (B, M, N), p = 1 or 2 ---- */

static wk_op_def pairs_row, pairs_backward_row;

static wk_status pairs_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *a = call->in[0], *b = call->in[1];
    out[0] = wk_desc_row_major((wk_dtype)a->dtype, 3, (int64_t[]){ a->shape[0], a->shape[1], b->shape[1] });
    return WK_OK;
}
static wk_status pairs_parts(const wk_call *call, wk_tensor *out[]) {
    out[0] = by_differences(call->in[0], call->in[1], call->attrs);
    return out[0] ? WK_OK : wk_error_code();
}
static wk_status pairs_grad(wk_grad *g) {
    wk_tensor *out[2];
    wk_tensor *const in[] = { g->dout[0], g->in[0], g->in[1], g->out[0] };
    WK_TRY(wk_op_run(&pairs_backward_row, in, 4, out, g->attrs));
    for (int i = 0; i < 2; i++)
        if (g->needs[i]) g->din[i] = out[i];
    return WK_OK;
}
static wk_cost pairs_cost(const wk_call *call) {
    return (wk_cost){ 3.0 * (double)call->out[0]->count * (double)call->in[0]->shape[2], wk__operand_bytes(call) };
}

/* (dy, a, b, y) -> da, db */
static wk_status pairs_backward_shape(const wk_call *call, wk_desc out[]) {
    for (int i = 0; i < 2; i++) out[i] = wk_desc_row_major((wk_dtype)call->in[1]->dtype, 3, call->in[1 + i]->shape);
    return WK_OK;
}
static wk_status pairs_backward_parts(const wk_call *call, wk_tensor *out[]) {
    return wk__gradient_of_parts(&pairs_row, call->in + 1, call->attrs, (wk_tensor *[]){ call->in[0] }, out);
}
static wk_cost pairs_backward_cost(const wk_call *call) {
    return (wk_cost){ 6.0 * (double)call->in[0]->count * (double)call->in[1]->shape[2], wk__operand_bytes(call) };
}

static void pairs_samples(wk_sampler *s) {
    const wk_cdist_opts one = { WK_SET(1) }, two = { WK_SET(2) };
    const wk_sample_in a = { .dims = WK_DIMS(2, 3, 5), .margin = 0.1 }, b = { .dims = WK_DIMS(2, 6, 5), .margin = 0.1 };
    s->emit(s, "one", (const wk_sample_in[]){ a, b }, 2, &one);
    s->emit(s, "two", (const wk_sample_in[]){ a, b }, 2, &two);
}
static void pairs_backward_samples(wk_sampler *s) {
    const wk_cdist_opts one = { WK_SET(1) };
    WK_CASE(s, "one", &one, { .dims = WK_DIMS(2, 3, 2) }, { .dims = WK_DIMS(2, 3, 5), .margin = 0.1 },
            { .dims = WK_DIMS(2, 2, 5), .margin = 0.1 }, { .dims = WK_DIMS(2, 3, 2), .low = 1, .high = 2 });
}
#define PAIRS_ROW(id, full_name, text, inputs, outputs, rule, keep_in, keep_out)                            \
    static wk_op_def id##_row = { .name = full_name,                                                        \
                                  .doc = text,                                                              \
                                  .internal = true,                                                         \
                                  .n_in = inputs,                                                           \
                                  .n_out = outputs,                                                         \
                                  .saves_in = keep_in,                                                      \
                                  .saves_out = keep_out,                                                    \
                                  .attrs_size = sizeof(wk_cdist_opts),                                      \
                                  .dtype = { .allowed = { WK_F32_F64, WK_F32_F64, WK_F32_F64, WK_F32_F64 }, \
                                             .same = (1 << (inputs)) - 1 },                                 \
                                  .shape = id##_shape,                                                      \
                                  .grad = rule,                                                             \
                                  .decompose = id##_parts,                                                  \
                                  .cost = id##_cost,                                                        \
                                  .samples = id##_samples }
PAIRS_ROW(pairs, "pair_distances", "distances of all pairs of rows", 2, 1, pairs_grad, 3, 1);
PAIRS_ROW(pairs_backward, "pair_distances_backward", "the gradient of distances", 4, 2, wk__grad_by_parts, 15, 0);

/* ---- cdist ---- */

static wk_cost cdist_cost(const wk_call *call) {
    const wk_tensor *a = call->in[0], *b = call->in[1];
    double pairs = b->rank > 1 ? (double)a->count * (double)b->shape[b->rank - 2] : 0;
    return (wk_cost){ 3 * pairs, wk__operand_bytes(call) };
}

static bool same_batch(const wk_tensor *a, const wk_tensor *b) {
    return a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)(a->rank - 2) * sizeof a->shape[0]) == 0;
}

static wk_tensor *as_batch(wk_tensor *x) {
    int64_t batch = 1;
    for (int i = 0; i < x->rank - 2; i++) batch *= x->shape[i];
    wk_tensor *flat = wk_reshape(x, WK_DIMS(batch, x->shape[x->rank - 2], x->shape[x->rank - 1]));
    if (flat && flat->dtype != WK_F64 && flat->dtype != WK_F32) flat = wk_cast(flat, WK_F32);
    return wk_contiguous(flat);
}

static wk_status cdist_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_cdist_opts *opts = call->attrs;
    double p = wk_optional_or(opts->p, 2);
    wk_tensor *a = call->in[0], *b = call->in[1];
    char text[2][160];
    if (!(p >= 0)) return wk_bad_call(call, WK_INVALID, "p is %g, expected at least 0", p);
    if (a->rank < 2 || b->rank < 2 || a->shape[a->rank - 1] != b->shape[b->rank - 1])
        return wk_bad_call(call, WK_SHAPE, "%s and %s: expected (…, M, D) and (…, N, D)",
                           wk_describe(a, text[0], sizeof text[0]), wk_describe(b, text[1], sizeof text[1]));
    if ((p == 1 || p == 2) && same_batch(a, b)) {
        wk_dims dims = wk__dims(a);
        dims.size[dims.rank - 1] = b->shape[b->rank - 2];
        out[0] = wk_reshape(wk_op_run2(&pairs_row, opts, as_batch(a), as_batch(b)), dims);
        if (out[0] && out[0]->dtype != a->dtype) out[0] = wk_cast(out[0], (wk_dtype)a->dtype);
    } else {
        out[0] = by_differences(a, b, opts);
    }
    return out[0] ? WK_OK : wk_error_code();
}
static void cdist_samples(wk_sampler *s) {
    const wk_cdist_opts two = { { 0 } }, one = { WK_SET(1) }, three = { WK_SET(3) },
                        most = { WK_SET((double)INFINITY) };
    const wk_sample_in a = { .dims = WK_DIMS(3, 4), .margin = 0.1 }, b = { .dims = WK_DIMS(5, 4), .margin = 0.1 };
    s->emit(s, "two", (const wk_sample_in[]){ a, b }, 2, &two);
    s->emit(s, "one", (const wk_sample_in[]){ a, b }, 2, &one);
    s->emit(s, "three", (const wk_sample_in[]){ a, b }, 2, &three);
    WK_CASE(s, "infinite", &most, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(5, 4) });
    WK_CASE(s, "batch", &two, { .dims = WK_DIMS(2, 3, 4), .strided = true }, { .dims = WK_DIMS(2, 2, 4) });
    WK_CASE(s, "broadcast", &two, { .dims = WK_DIMS(2, 1, 3, 4) }, { .dims = WK_DIMS(3, 5, 4), .strided = true });
    WK_CASE(s, "empty", &two, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(0, 4) });
    WK_CASE(s, "large", &two, { .dims = WK_DIMS(3, 70, 133) }, { .dims = WK_DIMS(3, 41, 133) });
    WK_CASE(s, "large, one", &one, { .dims = WK_DIMS(67, 75) }, { .dims = WK_DIMS(290, 75) });
    WK_HUGE_CASE(s, "huge", &two, { .dims = WK_DIMS(256, 64) }, { .dims = WK_DIMS(256, 64) });
}
static const wk_attr_def cdist_attrs[] = { { "p", WK_ATTR_OPTIONAL, offsetof(wk_cdist_opts, p), 0, NULL, 2,
                                             "of the norm" } };
static wk_op_def cdist_row = {
    .name = "cdist",
    .doc = "distances between all pairs of rows",
    .n_in = 2,
    .n_out = 1,
    .composite = true,
    .attrs = cdist_attrs,
    .n_attrs = 1,
    .attrs_size = sizeof(wk_cdist_opts),
    .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3, .promote = true, .autocast = WK_CAST_F32 },
    .decompose = cdist_parts,
    .cost = cdist_cost,
    .samples = cdist_samples
};
wk_tensor *wk_cdist(wk_tensor *a, wk_tensor *b, wk_cdist_opts opts) {
    return wk_op_run2(&cdist_row, &opts, a, b);
}

wk_op_def *const wk__rows_distance[] = { &pairs_row, &pairs_backward_row, &cdist_row, NULL };
