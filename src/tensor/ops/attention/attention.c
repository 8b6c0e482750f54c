/* attention.c: scaled dot-product attention.
 *
 * Forward keeps the logarithm of each query's sum of exponentials, from which backward makes any tile of the weights
 * again.  Both are one row each, in tiles; derivatives of the second order and the gradient of a float mask go through
 * the parts, which hold all scores.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <math.h>

enum { Q, K, V, MASK, KEY };

static wk_dtype statistics_dtype(const wk_tensor *x) {
    return x->dtype == WK_F64 ? WK_F64 : WK_F32;
}

/* Size of an axis counted from the end; 1 where there is none. */
static int64_t last(const wk_tensor *t, int axis) {
    return t->rank >= axis ? t->shape[t->rank - axis] : 1;
}

static wk_status check_operands(const wk_call *call, wk_tensor *const *in) {
    const wk_tensor *q = in[Q], *k = in[K], *v = in[V];
    char one[160], two[160], three[160];
    bool fits = q->rank >= 2 && k->rank == q->rank && v->rank == q->rank && last(q, 1) == last(k, 1)
                && last(k, 2) == last(v, 2) && last(k, 3) == last(v, 3);
    for (int i = 0; fits && i < q->rank - 3; i++) fits = q->shape[i] == k->shape[i] && q->shape[i] == v->shape[i];
    if (!fits)
        return wk_bad_call(call, WK_SHAPE, "q %s, k %s, v %s: expected (…, H, T, D), (…, G, S, D), (…, G, S, E)",
                           wk_describe(q, one, sizeof one), wk_describe(k, two, sizeof two),
                           wk_describe(v, three, sizeof three));
    if (last(q, 3) != last(k, 3) && (last(k, 3) < 1 || last(q, 3) % last(k, 3) != 0))
        return wk_bad_call(call, WK_SHAPE, "%lld heads of q %s are no multiple of the %lld of k %s",
                           (long long)last(q, 3), wk_describe(q, one, sizeof one), (long long)last(k, 3),
                           wk_describe(k, two, sizeof two));
    return WK_OK;
}

static wk_status check_mask(const wk_call *call, const wk_tensor *q, const wk_tensor *k, const wk_tensor *mask) {
    char one[160], two[160], three[160];
    bool fits = mask->rank <= q->rank;
    for (int axis = 1; fits && axis <= mask->rank; axis++) {
        int64_t whole = axis == 1 ? last(k, 2) : last(q, axis);
        fits = last(mask, axis) == 1 || last(mask, axis) == whole;
    }
    if (!fits)
        return wk_bad_call(call, WK_SHAPE, "mask %s does not broadcast to the scores of q %s and k %s",
                           wk_describe(mask, one, sizeof one), wk_describe(q, two, sizeof two),
                           wk_describe(k, three, sizeof three));
    if (mask->dtype != WK_BOOL && mask->dtype != q->dtype && mask->dtype != statistics_dtype(q))
        return wk_bad_call(call, WK_DTYPE, "mask %s: expected bool, or the dtype of q %s",
                           wk_describe(mask, one, sizeof one), wk_describe(q, two, sizeof two));
    return WK_OK;
}

static wk_status check(const wk_call *call, wk_tensor *const *in) {
    const wk_attention_opts *opts = call->attrs;
    WK_TRY(check_operands(call, in));
    if (in[MASK]) WK_TRY(check_mask(call, in[Q], in[K], in[MASK]));
    if (!(opts->dropout >= 0 && opts->dropout < 1))
        return wk_bad_call(call, WK_INVALID, "dropout is %g, expected 0 ≤ dropout < 1", opts->dropout);
    if (opts->dropout > 0 && !in[KEY]) return wk_bad_call(call, WK_INVALID, "dropout needs a key");
    if (in[KEY] && (in[KEY]->rank != 1 || in[KEY]->shape[0] != 2))
        return wk_bad_call(call, WK_SHAPE, "key has another shape than (2): seed, counter");
    return WK_OK;
}

/* As x with `width` columns.  Where x has a row's heads side by side, so has this: they are joined again by a view. */
static wk_desc heads_like(const wk_tensor *x, int64_t width) {
    wk_desc desc = wk_desc_row_major((wk_dtype)x->dtype, x->rank, x->shape);
    const int heads = x->rank - 3, rows = x->rank - 2, columns = x->rank - 1;
    desc.shape[columns] = width;
    if (heads < 0 || x->shape[heads] < 2 || x->shape[rows] < 2 || x->stride[heads] >= x->stride[rows]) return desc;
    uint64_t step = (uint64_t)width; /* may wrap: sizes that multiply to too much are refused when memory is taken */
    desc.strided = true;
    desc.stride[columns] = 1;
    desc.stride[heads] = (int64_t)step, step *= (uint64_t)x->shape[heads];
    desc.stride[rows] = (int64_t)step, step *= (uint64_t)x->shape[rows];
    for (int axis = heads - 1; axis >= 0; axis--) desc.stride[axis] = (int64_t)step, step *= (uint64_t)x->shape[axis];
    return desc;
}

static wk_status forward_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *q = call->in[Q];
    WK_TRY(check(call, call->in));
    out[0] = heads_like(q, last(call->in[V], 1));
    out[1] = wk_desc_row_major(statistics_dtype(q), q->rank - 1, q->shape);
    return WK_OK;
}

/* ---- parts ---- */

/* (…, G, S, D) as (B, H, S, D), each head repeated for those of q that it serves. */
static wk_tensor *heads(wk_tensor *x, int64_t batch, int64_t wanted, wk_dtype dtype) {
    int64_t own = last(x, 3), length = last(x, 2), width = last(x, 1);
    x = wk_cast(wk_reshape(x, WK_DIMS(batch, own, length, width)), dtype);
    if (own == wanted) return x;
    x = wk_expand(wk_reshape(x, WK_DIMS(batch, own, 1, length, width)),
                  WK_DIMS(batch, own, wanted / own, length, width));
    return wk_reshape(x, WK_DIMS(batch, wanted, length, width));
}

/* Broadcast over the scores' axes and joined like them. */
static wk_tensor *whole_mask(wk_tensor *mask, const wk_tensor *q, wk_dims scores) {
    wk_dims dims = wk__dims(q);
    dims.size[dims.rank - 1] = scores.size[3];
    return wk_reshape(wk_expand(mask, dims), scores);
}

static wk_tensor *causal_mask(const wk_attention_opts *opts, int64_t queries, int64_t keys) {
    wk_tensor *most = wk_affine(wk_cast(wk_arange(queries), WK_F64), (wk_affine_opts){ 1, (double)opts->offset });
    return wk_ge(wk_reshape(most, WK_DIMS(queries, 1)), wk_cast(wk_arange(keys), WK_F64));
}

/* Scores that take no part are far below all others instead of -∞, and their weights are cleared: no NaN, also where no
 * key takes part. */
static wk_tensor *weights(const wk_call *call, wk_tensor *scores) {
    const wk_attention_opts *opts = call->attrs;
    if (!scores) return NULL;
    wk_dims dims = wk__dims(scores);
    wk_dtype dtype = (wk_dtype)scores->dtype;
    wk_tensor *mask = call->in[MASK], *allowed = NULL;
    if (mask) {
        mask = whole_mask(mask, call->in[Q], dims);
        if (mask && mask->dtype == WK_BOOL)
            allowed = mask;
        else
            scores = wk_add(scores, wk_cast(mask, dtype));
    }
    if (opts->causal) {
        wk_tensor *causal = wk_expand(causal_mask(opts, dims.size[2], dims.size[3]), dims);
        allowed = allowed ? wk_where(allowed, causal, wk_zeros(WK_BOOL, WK_SCALAR)) : causal;
    }
    if (allowed) scores = wk_where(allowed, scores, wk_full(dtype, WK_SCALAR, -1e30));
    wk_tensor *p = wk_softmax(scores, (wk_axis_opts){ { 0 } });
    if (allowed) p = wk_where(allowed, p, wk_zeros(dtype, WK_SCALAR));
    if (opts->dropout > 0) p = wk_dropout(p, call->in[KEY], (wk_dropout_opts){ opts->dropout });
    return p;
}

static wk_status forward_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_attention_opts *opts = call->attrs;
    wk_tensor *q = call->in[Q];
    int64_t many = last(q, 3), batch = 1;
    for (int i = 0; i < q->rank - 3; i++) batch *= q->shape[i];
    wk_dtype dtype = statistics_dtype(q);
    wk_tensor *own_q = heads(q, batch, many, dtype), *k = heads(call->in[K], batch, many, dtype);
    double scale = wk_optional_or(opts->scale, 1 / sqrt((double)last(q, 1)));
    wk_tensor *p = weights(call, wk_scale(wk_matmul(own_q, wk_transpose(k, -1, -2)), scale));
    wk_tensor *y = wk_matmul(p, heads(call->in[V], batch, many, dtype));
    wk_dims dims = wk__dims(q);
    dims.size[dims.rank - 1] = last(call->in[V], 1);
    out[0] = wk_cast(wk_reshape(y, dims), (wk_dtype)q->dtype);
    out[1] = NULL; /* the parts need none */
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* ---- backward: (dy, q, k, v, mask, key, y, lse) -> dq, dk, dv ---- */

static wk_op_def forward_row, backward_row;

static wk_status backward_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(check(call, call->in + 1));
    for (int i = 0; i < 3; i++) out[i] = heads_like(call->in[i + 1], last(call->in[i + 1], 1));
    return WK_OK;
}

static wk_status backward_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *din[5];
    WK_TRY(wk__gradient_of_parts(&forward_row, call->in + 1, call->attrs, (wk_tensor *[]){ call->in[0], NULL }, din));
    for (int i = 0; i < 3; i++) out[i] = din[i];
    return WK_OK;
}

static wk_status forward_grad(wk_grad *g) {
    if (g->needs[MASK]) return wk__grad_by_parts(g);
    wk_tensor *out[3];
    wk_tensor *const in[] = { g->dout[0], g->in[Q], g->in[K], g->in[V], g->in[MASK], g->in[KEY], g->out[0], g->out[1] };
    WK_TRY(wk_op_run_into(&backward_row, in, 8, out, g->attrs, g->sink));
    for (int i = 0; i < 3; i++)
        if (g->needs[i]) g->din[i] = out[i];
    return WK_OK;
}

/* ---- costs and samples ---- */

static wk_cost forward_cost(const wk_call *call) {
    double scores = (double)call->out[1]->count * (double)last(call->in[K], 2);
    return (wk_cost){ scores * (2.0 * (double)(last(call->in[Q], 1) + last(call->in[V], 1)) + 8),
                      wk__operand_bytes(call) };
}
static wk_cost backward_cost(const wk_call *call) {
    double scores = (double)call->in[7]->count * (double)last(call->in[2], 2);
    return (wk_cost){ scores * (2.0 * (double)(3 * last(call->in[1], 1) + 2 * last(call->in[3], 1)) + 12),
                      wk__operand_bytes(call) };
}

#define ABSENT \
    { .kind = WK_SAMPLE_ABSENT }
#define OF(...) \
    { .dims = WK_DIMS(__VA_ARGS__) }
static void forward_samples(wk_sampler *s) {
    const wk_attention_opts plain = { 0 }, causal = { .causal = true }, behind = { .causal = true, .offset = 2 },
                            scaled = { .scale = WK_SET(0.3) }, dropped = { .dropout = 0.5 };
    WK_CASE(s, "plain", &plain, OF(2, 2, 3, 4), OF(2, 2, 5, 4), OF(2, 2, 5, 3), ABSENT, ABSENT);
    WK_CASE(s, "causal", &causal, OF(1, 2, 5, 3), OF(1, 2, 4, 3), OF(1, 2, 4, 3), ABSENT, ABSENT);
    WK_CASE(s, "behind", &behind, OF(2, 3, 3), OF(2, 5, 3), OF(2, 5, 3), ABSENT, ABSENT);
    WK_CASE(s, "groups", &scaled, OF(2, 4, 2, 3), OF(2, 2, 3, 3), OF(2, 2, 3, 3), ABSENT, ABSENT);
    WK_CASE(s, "no heads", &plain, OF(3, 4), OF(2, 4), OF(2, 2), ABSENT, ABSENT);
    WK_CASE(s, "bool mask", &plain, OF(2, 2, 3, 4), OF(2, 2, 5, 4), OF(2, 2, 5, 3),
            { .dims = WK_DIMS(2, 1, 3, 5), .kind = WK_SAMPLE_BOOL }, ABSENT);
    WK_CASE(s, "float mask", &plain, OF(2, 2, 3, 4), OF(2, 2, 5, 4), OF(2, 2, 5, 3), OF(3, 5), ABSENT);
    WK_CASE(s, "strided", &plain, { .dims = WK_DIMS(2, 3, 4), .strided = true },
            { .dims = WK_DIMS(2, 2, 4), .strided = true }, { .dims = WK_DIMS(2, 2, 4), .strided = true }, ABSENT,
            ABSENT);
    WK_CASE(s, "dropout", &dropped, OF(1, 2, 3, 4), OF(1, 2, 5, 4), OF(1, 2, 5, 3), ABSENT,
            { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 1000 });
    WK_CASE(s, "no queries", &plain, OF(2, 0, 4), OF(2, 3, 4), OF(2, 3, 4), ABSENT, ABSENT);
    WK_CASE(s, "no keys", &plain, OF(2, 3, 4), OF(2, 0, 4), OF(2, 0, 4), ABSENT, ABSENT);
    WK_CASE(s, "large", &causal, OF(2, 4, 197, 24), OF(2, 2, 301, 24), OF(2, 2, 301, 20), ABSENT, ABSENT);
    WK_CASE(s, "large mask", &plain, OF(1, 3, 150, 16), OF(1, 3, 270, 16), OF(1, 3, 270, 16),
            { .dims = WK_DIMS(150, 270), .kind = WK_SAMPLE_BOOL }, ABSENT);
    WK_HUGE_CASE(s, "huge", &plain, OF(2, 8, 256, 64), OF(2, 8, 256, 64), OF(2, 8, 256, 64), ABSENT, ABSENT);
    WK_HUGE_CASE(s, "huge causal", &causal, OF(2, 8, 256, 64), OF(2, 8, 256, 64), OF(2, 8, 256, 64), ABSENT, ABSENT);
}
/* y and lse must belong to the operands, which independent samples do not: its values are those of the gradient of
 * scaled_dot_product_attention. */
static void backward_samples(wk_sampler *s) {
    const wk_attention_opts plain = { 0 };
    WK_CASE(s, "no queries", &plain, OF(2, 0, 3), OF(2, 0, 4), OF(2, 5, 4), OF(2, 5, 3), ABSENT, ABSENT, OF(2, 0, 3),
            OF(2, 0));
}

static const wk_attr_def attrs[] = {
    { "causal", WK_ATTR_BOOL, offsetof(wk_attention_opts, causal), 0, NULL, 0, "query i sees keys 0 to i + offset" },
    { "offset", WK_ATTR_INT, offsetof(wk_attention_opts, offset), 0, NULL, 0, "keys before the first query" },
    { "scale", WK_ATTR_OPTIONAL, offsetof(wk_attention_opts, scale), 0, NULL, 0, "of the scores, default 1 / sqrt(D)" },
    { "dropout", WK_ATTR_FLOAT, offsetof(wk_attention_opts, dropout), 0, NULL, 0, "of the weights" },
};
#define MASKS (wk_dtype_set)(WK_FLOATS | WK_SET_OF(WK_BOOL))
static wk_op_def forward_row = { .name = "scaled_dot_product_attention",
                                 .doc = "softmax(q kᵀ · scale + mask) v, in tiles",
                                 .n_in = 5,
                                 .host_in = 1 << KEY,
                                 .n_out = 2,
                                 .optional_in = 24,
                                 .saves_in = 31,
                                 .saves_out = 3,
                                 .internal_out = 2,
                                 .attrs = attrs,
                                 .n_attrs = 4,
                                 .attrs_size = sizeof(wk_attention_opts),
                                 .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS, MASKS, WK_SET_OF(WK_I64) },
                                            .same = 7,
                                            .autocast = WK_CAST_LOW },
                                 .shape = forward_shape,
                                 .grad = forward_grad,
                                 .decompose = forward_parts,
                                 .cost = forward_cost,
                                 .samples = forward_samples };
static wk_op_def backward_row = { .name = "scaled_dot_product_attention_backward",
                                  .internal = true,
                                  .doc = "gradient of scaled_dot_product_attention",
                                  .n_in = 8,
                                  .host_in = 1 << (1 + KEY),
                                  .n_out = 3,
                                  .optional_in = 48,
                                  .saves_in = 255,
                                  .key = 1,
                                  .zero_sized_runs = true,
                                  .attrs = attrs,
                                  .n_attrs = 4,
                                  .attrs_size = sizeof(wk_attention_opts),
                                  .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS, MASKS,
                                                          WK_SET_OF(WK_I64), WK_FLOATS, WK_F32_F64 },
                                             .same = 15 + 64 },
                                  .shape = backward_shape,
                                  .grad = wk__grad_by_parts,
                                  .decompose = backward_parts,
                                  .cost = backward_cost,
                                  .samples = backward_samples };

wk_tensor *wk_scaled_dot_product_attention(wk_tensor *q, wk_tensor *k, wk_tensor *v, wk_tensor *mask, wk_tensor *key,
                                           wk_attention_opts opts) {
    wk_tensor *out[2];
    wk_tensor *const in[] = { q, k, v, mask, key };
    return wk_op_run(&forward_row, in, 5, out, &opts) == WK_OK ? out[0] : NULL;
}

wk_op_def *const wk__rows_attention[] = { &forward_row, &backward_row, NULL };
