/* products.c: products made of matmul. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static wk_cost product_cost(const wk_call *call) {
    double most = 0;
    for (int i = 0; i < call->n_in; i++)
        if (call->in[i] && (double)call->in[i]->count > most) most = (double)call->in[i]->count;
    return (wk_cost){ 2 * most, wk__operand_bytes(call) };
}

#define ROW(id, text, inputs, optional, attr_list, attr_count, size_of_attrs, cast)                     \
    static wk_op_def id##_row = { .name = #id,                                                          \
                                  .doc = text,                                                          \
                                  .n_in = inputs,                                                       \
                                  .optional_in = optional,                                              \
                                  .n_out = 1,                                                           \
                                  .composite = true,                                                    \
                                  .attrs = attr_list,                                                   \
                                  .n_attrs = attr_count,                                                \
                                  .attrs_size = size_of_attrs,                                          \
                                  .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS }, \
                                             .same = 15,                                                \
                                             .promote = true,                                           \
                                             .autocast = cast },                                        \
                                  .decompose = id##_parts,                                              \
                                  .cost = product_cost,                                                 \
                                  .samples = id##_samples }

static bool has_rank(const wk_call *call, int input, int least, const char *shape) {
    char text[160];
    if (call->in[input]->rank >= least) return true;
    (void)wk_bad_call(call, WK_SHAPE, "input %d is %s, expected %s", input,
                      wk_describe(call->in[input], text, sizeof text), shape);
    return false;
}

/* ---- vectors ---- */

static wk_status outer_parts(const wk_call *call, wk_tensor *out[]) {
    if (!has_rank(call, 0, 1, "(…, M)") || !has_rank(call, 1, 1, "(…, N)")) return wk_error_code();
    out[0] = wk_mul(wk_unsqueeze(call->in[0], -1), wk_unsqueeze(call->in[1], -2));
    return WK_OK;
}
static wk_status dot_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *a = call->in[0], *b = call->in[1];
    if (!has_rank(call, 0, 1, "(…, K)") || !has_rank(call, 1, 1, "(…, K)")) return wk_error_code();
    if (a->shape[a->rank - 1] != b->shape[b->rank - 1])
        return wk_bad_call(call, WK_SHAPE, "last axes of %lld and %lld elements", (long long)a->shape[a->rank - 1],
                           (long long)b->shape[b->rank - 1]);
    wk_tensor *product = wk_matmul(wk_unsqueeze(a, -2), wk_unsqueeze(b, -1));
    out[0] = wk_squeeze(product, (wk_squeeze_opts){ WK_DIMS(-2, -1) });
    return WK_OK;
}
static wk_status mv_parts(const wk_call *call, wk_tensor *out[]) {
    if (!has_rank(call, 0, 2, "(…, M, K)") || !has_rank(call, 1, 1, "(…, K)")) return wk_error_code();
    wk_tensor *product = wk_matmul(call->in[0], wk_unsqueeze(call->in[1], -1));
    out[0] = wk_squeeze(product, (wk_squeeze_opts){ WK_DIMS(-1) });
    return WK_OK;
}
static void outer_samples(wk_sampler *s) {
    WK_CASE(s, "vectors", NULL, { .dims = WK_DIMS(3) }, { .dims = WK_DIMS(4) });
    WK_CASE(s, "batch", NULL, { .dims = WK_DIMS(2, 3), .strided = true }, { .dims = WK_DIMS(2, 4) });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0) }, { .dims = WK_DIMS(4) });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512) }, { .dims = WK_DIMS(1024) });
}
static void dot_samples(wk_sampler *s) {
    WK_CASE(s, "vectors", NULL, { .dims = WK_DIMS(7) }, { .dims = WK_DIMS(7) });
    WK_CASE(s, "batch", NULL, { .dims = WK_DIMS(2, 3, 5), .strided = true }, { .dims = WK_DIMS(3, 5) });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0) }, { .dims = WK_DIMS(0) });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(512, 1024) });
}
static void mv_samples(wk_sampler *s) {
    WK_CASE(s, "matrix", NULL, { .dims = WK_DIMS(3, 5) }, { .dims = WK_DIMS(5) });
    WK_CASE(s, "batch", NULL, { .dims = WK_DIMS(2, 3, 5), .strided = true }, { .dims = WK_DIMS(2, 5) });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(1024) });
}
ROW(outer, "products of all pairs", 2, 0, NULL, 0, 0, WK_CAST_AS_IS);
ROW(dot, "sums of products along the last axis", 2, 0, NULL, 0, 0, WK_CAST_WIDEST);
ROW(mv, "matrix times vector", 2, 0, NULL, 0, 0, WK_CAST_LOW);
wk_tensor *wk_outer(wk_tensor *a, wk_tensor *b) {
    return wk_op_run2(&outer_row, NULL, a, b);
}
wk_tensor *wk_dot(wk_tensor *a, wk_tensor *b) {
    return wk_op_run2(&dot_row, NULL, a, b);
}
wk_tensor *wk_mv(wk_tensor *a, wk_tensor *x) {
    return wk_op_run2(&mv_row, NULL, a, x);
}

static wk_status cross_shape(const wk_call *call, wk_desc out[]) {
    for (int i = 0; i < 2; i++) {
        const wk_tensor *x = call->in[i];
        if (x->rank < 1 || x->shape[x->rank - 1] != 3)
            return wk_bad_call(call, WK_SHAPE, "the last axis of input %d has not 3 elements", i);
    }
    return wk_desc_broadcast(call, (wk_dtype)call->in[0]->dtype, out);
}
/* d(a × b) · dy = da · (b × dy) + db · (dy × a) */
static wk_status cross_grad(wk_grad *g) {
    if (g->needs[0]) g->din[0] = wk__sum_to(wk_cross(g->in[1], g->dout[0]), g->in[0]);
    if (g->needs[1]) g->din[1] = wk__sum_to(wk_cross(g->dout[0], g->in[0]), g->in[1]);
    return WK_OK;
}
static wk_cost cross_cost(const wk_call *call) {
    return wk__cost_elements(call, 3);
}
static void cross_samples(wk_sampler *s) {
    WK_CASE(s, "vectors", NULL, { .dims = WK_DIMS(3) }, { .dims = WK_DIMS(3) });
    WK_CASE(s, "batch", NULL, { .dims = WK_DIMS(4, 3), .strided = true }, { .dims = WK_DIMS(4, 3) });
    WK_CASE(s, "broadcast", NULL, { .dims = WK_DIMS(2, 1, 3) }, { .dims = WK_DIMS(1, 5, 3), .strided = true });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0, 3) }, { .dims = WK_DIMS(0, 3) });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(1031, 3) }, { .dims = WK_DIMS(1031, 3) });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(100000, 3) }, { .dims = WK_DIMS(100000, 3) });
}
static wk_op_def cross_row = {
    .name = "cross",
    .doc = "vector product along the last axis",
    .n_in = 2,
    .n_out = 1,
    .saves_in = 3,
    .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3, .promote = true, .autocast = WK_CAST_WIDEST },
    .shape = cross_shape,
    .grad = cross_grad,
    .cost = cross_cost,
    .samples = cross_samples
};
wk_tensor *wk_cross(wk_tensor *a, wk_tensor *b) {
    return wk_op_run2(&cross_row, NULL, a, b);
}

/* ---- addmm, baddbmm ---- */

static wk_status add_product(const wk_call *call, wk_tensor *out[], int rank, const char *shapes) {
    const wk_addmm_opts *opts = call->attrs;
    double scale = wk_optional_or(opts->scale, 1), factor = wk_optional_or(opts->factor, 1);
    char text[2][160];
    if (call->in[1]->rank != rank || call->in[2]->rank != rank)
        return wk_bad_call(call, WK_SHAPE, "%s · %s: expected %s", wk_describe(call->in[1], text[0], sizeof text[0]),
                           wk_describe(call->in[2], text[1], sizeof text[1]), shapes);
    wk_tensor *product = wk_matmul(call->in[1], call->in[2]);
    if (factor != 1) product = wk_scale(product, factor);
    if (!product) return wk_error_code();
    /* scale 0: x has no part, whatever it holds */
    if (scale == 0) {
        out[0] = product;
        return WK_OK;
    }
    out[0] = wk_add(scale == 1 ? wk_expand(call->in[0], wk__dims(product)) : wk_scale(call->in[0], scale), product);
    return WK_OK;
}
static wk_status addmm_parts(const wk_call *call, wk_tensor *out[]) {
    return add_product(call, out, 2, "(M, K) · (K, N)");
}
static wk_status baddbmm_parts(const wk_call *call, wk_tensor *out[]) {
    return add_product(call, out, 3, "(B, M, K) · (B, K, N)");
}
static void addmm_samples(wk_sampler *s) {
    const wk_addmm_opts plain = { { 0 }, { 0 } }, both = { WK_SET(0.5), WK_SET(-2) }, none = { WK_SET(0), { 0 } };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(3, 5) }, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "both", &both, { .dims = WK_DIMS(5) }, { .dims = WK_DIMS(3, 4), .strided = true },
            { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "product alone", &none, { .dims = WK_DIMS(3, 5) }, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(4, 5) });
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(256, 768) }, { .dims = WK_DIMS(256, 768) },
                 { .dims = WK_DIMS(768, 768) });
}
static void baddbmm_samples(wk_sampler *s) {
    const wk_addmm_opts plain = { { 0 }, { 0 } }, both = { WK_SET(0.5), WK_SET(-2) };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(2, 3, 5) }, { .dims = WK_DIMS(2, 3, 4) },
            { .dims = WK_DIMS(2, 4, 5) });
    WK_CASE(s, "both", &both, { .dims = WK_DIMS(3, 1) }, { .dims = WK_DIMS(2, 3, 4) },
            { .dims = WK_DIMS(2, 4, 5), .strided = true });
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(32, 64, 64) }, { .dims = WK_DIMS(32, 64, 64) },
                 { .dims = WK_DIMS(32, 64, 64) });
}
static const wk_attr_def addmm_attrs[] = {
    { "scale", WK_ATTR_OPTIONAL, offsetof(wk_addmm_opts, scale), 0, NULL, 1, "of what is added to" },
    { "factor", WK_ATTR_OPTIONAL, offsetof(wk_addmm_opts, factor), 0, NULL, 1, "of the product" },
};
ROW(addmm, "scale x + factor a · b", 3, 0, addmm_attrs, 2, sizeof(wk_addmm_opts), WK_CAST_LOW);
ROW(baddbmm, "scale x + factor a · b, in batches", 3, 0, addmm_attrs, 2, sizeof(wk_addmm_opts), WK_CAST_LOW);
wk_tensor *wk_addmm(wk_tensor *x, wk_tensor *a, wk_tensor *b, wk_addmm_opts opts) {
    return wk_op_run3(&addmm_row, &opts, x, a, b);
}
wk_tensor *wk_baddbmm(wk_tensor *x, wk_tensor *a, wk_tensor *b, wk_addmm_opts opts) {
    return wk_op_run3(&baddbmm_row, &opts, x, a, b);
}

/* ---- bilinear ---- */

static wk_status bilinear_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *a = call->in[0], *b = call->in[1], *weight = call->in[2];
    char text[3][160];
    if (weight->rank != 3 || a->rank < 1 || b->rank < 1 || a->shape[a->rank - 1] != weight->shape[1]
        || b->shape[b->rank - 1] != weight->shape[2])
        return wk_bad_call(call, WK_SHAPE, "a %s, b %s, weight %s: expected (…, I), (…, J), (O, I, J)",
                           wk_describe(a, text[0], sizeof text[0]), wk_describe(b, text[1], sizeof text[1]),
                           wk_describe(weight, text[2], sizeof text[2]));
    int64_t o = weight->shape[0], i = weight->shape[1], j = weight->shape[2], n = i ? a->count / i : 0;
    /* (n, I) · (I, O J), then with b along J */
    wk_tensor *first =
        wk_matmul(wk_reshape(a, WK_DIMS(n, i)), wk_reshape(wk_permute(weight, WK_DIMS(1, 0, 2)), WK_DIMS(i, o * j)));
    wk_tensor *second = wk_matmul(wk_reshape(first, WK_DIMS(n, o, j)), wk_reshape(b, WK_DIMS(n, j, 1)));
    wk_dims dims = wk__dims(a);
    dims.size[dims.rank - 1] = o;
    out[0] = wk_reshape(second, dims);
    if (call->in[3]) out[0] = wk_add(out[0], call->in[3]);
    return WK_OK;
}
static void bilinear_samples(wk_sampler *s) {
    WK_CASE(s, "plain", NULL, { .dims = WK_DIMS(4, 3) }, { .dims = WK_DIMS(4, 2) }, { .dims = WK_DIMS(5, 3, 2) },
            { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "bias", NULL, { .dims = WK_DIMS(2, 2, 3), .strided = true }, { .dims = WK_DIMS(2, 2, 2) },
            { .dims = WK_DIMS(4, 3, 2) }, { .dims = WK_DIMS(4) });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(128, 64) }, { .dims = WK_DIMS(128, 64) },
                 { .dims = WK_DIMS(32, 64, 64) }, { .kind = WK_SAMPLE_ABSENT });
}
ROW(bilinear, "a · weight · b + bias", 4, 8, NULL, 0, 0, WK_CAST_WIDEST);
wk_tensor *wk_bilinear(wk_tensor *a, wk_tensor *b, wk_tensor *weight, wk_tensor *bias) {
    wk_tensor *const in[] = { a, b, weight, bias };
    wk_tensor *out[1];
    return wk_op_run(&bilinear_row, in, 4, out, NULL) == WK_OK ? out[0] : NULL;
}

/* ---- tensordot, kron ---- */

static wk_status tensordot_parts(const wk_call *call, wk_tensor *out[]) {
    int count = (int)((const wk_tensordot_opts *)call->attrs)->count;
    wk_tensor *a = call->in[0], *b = call->in[1];
    char text[2][160];
    bool fits = count >= 0 && count <= a->rank && count <= b->rank && a->rank + b->rank - 2 * count <= WK_MAX_RANK;
    int64_t inner = 1;
    for (int i = 0; fits && i < count; i++) {
        fits = a->shape[a->rank - count + i] == b->shape[i];
        inner *= b->shape[i];
    }
    if (!fits)
        return wk_bad_call(call, WK_SHAPE, "a %s, b %s: the last %d axes of a are not the first of b",
                           wk_describe(a, text[0], sizeof text[0]), wk_describe(b, text[1], sizeof text[1]), count);
    wk_dims dims = { 0 };
    int64_t rows = 1, columns = 1;
    for (int i = 0; i < a->rank - count; i++) rows *= dims.size[dims.rank++] = a->shape[i];
    for (int i = count; i < b->rank; i++) columns *= dims.size[dims.rank++] = b->shape[i];
    out[0] = wk_reshape(wk_matmul(wk_reshape(a, WK_DIMS(rows, inner)), wk_reshape(b, WK_DIMS(inner, columns))), dims);
    return WK_OK;
}
static void tensordot_samples(wk_sampler *s) {
    const wk_tensordot_opts two = { 2 }, none = { 0 };
    WK_CASE(s, "two", &two, { .dims = WK_DIMS(2, 3, 4) }, { .dims = WK_DIMS(3, 4, 5) });
    WK_CASE(s, "none", &none, { .dims = WK_DIMS(2, 3), .strided = true }, { .dims = WK_DIMS(4) });
    WK_HUGE_CASE(s, "huge", &two, { .dims = WK_DIMS(128, 16, 32) }, { .dims = WK_DIMS(16, 32, 128) });
}
static const wk_attr_def tensordot_attrs[] = { { "count", WK_ATTR_INT, offsetof(wk_tensordot_opts, count), 0, NULL, 0,
                                                 "axes that are summed over" } };
ROW(tensordot, "sum over the last axes of a and the first of b", 2, 0, tensordot_attrs, 1, sizeof(wk_tensordot_opts),
    WK_CAST_WIDEST);
wk_tensor *wk_tensordot(wk_tensor *a, wk_tensor *b, int count) {
    const wk_tensordot_opts opts = { count };
    return wk_op_run2(&tensordot_row, &opts, a, b);
}

/* A product's rows are as short as those of b, and each costs a little.  Where many rows repeat each of a and of b,
 * writing these out first costs less. */
enum { KRON_FEW = 4, KRON_LONG = 256 };

static wk_status kron_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *a = call->in[0], *b = call->in[1];
    if (a->rank != 2 || b->rank != 2)
        return wk_bad_call(call, WK_SHAPE, "operands of rank %d and %d, expected matrices", a->rank, b->rank);
    int64_t m = a->shape[0], n = a->shape[1], p = b->shape[0], q = b->shape[1];
    a = wk_reshape(a, WK_DIMS(m, 1, n, 1));
    b = wk_reshape(b, WK_DIMS(1, p, 1, q));
    wk_dims dims = { 0 };
    if (__builtin_mul_overflow(m, p, &dims.size[dims.rank++]) || __builtin_mul_overflow(n, q, &dims.size[dims.rank++]))
        return wk_bad_call(call, WK_SHAPE, "the product of %lld · %lld rows and %lld · %lld columns is too large",
                           (long long)m, (long long)p, (long long)n, (long long)q);
    if (m >= KRON_FEW && p >= KRON_FEW && n > 1 && q < KRON_LONG) { /* both as long as a row of the result */
        a = wk_reshape(wk_contiguous(wk_expand(a, WK_DIMS(m, 1, n, q))), WK_DIMS(m, 1, dims.size[1]));
        b = wk_reshape(wk_contiguous(wk_expand(b, WK_DIMS(1, p, n, q))), WK_DIMS(1, p, dims.size[1]));
    }
    out[0] = wk_reshape(wk_mul(a, b), dims);
    return WK_OK;
}
static void kron_samples(wk_sampler *s) {
    WK_CASE(s, "plain", NULL, { .dims = WK_DIMS(2, 3) }, { .dims = WK_DIMS(3, 2) });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(2, 2), .strided = true }, { .dims = WK_DIMS(1, 3) });
    WK_CASE(s, "square", NULL, { .dims = WK_DIMS(5, 3) }, { .dims = WK_DIMS(4, 2), .strided = true });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(24, 32) }, { .dims = WK_DIMS(24, 32) });
}
ROW(kron, "Kronecker product of matrices", 2, 0, NULL, 0, 0, WK_CAST_AS_IS);
wk_tensor *wk_kron(wk_tensor *a, wk_tensor *b) {
    return wk_op_run2(&kron_row, NULL, a, b);
}

/* ---- trace, matrix_power ---- */

static wk_status trace_parts(const wk_call *call, wk_tensor *out[]) {
    if (!has_rank(call, 0, 2, "(…, N, N)")) return wk_error_code();
    wk_tensor *diagonal = wk_diagonal(call->in[0], (wk_diagonal_opts){ .axis_a = WK_SET(-2), .axis_b = WK_SET(-1) });
    out[0] = wk_sum(diagonal, (wk_reduce_opts){ .axes = WK_DIMS(-1) });
    return WK_OK;
}
static void trace_samples(wk_sampler *s) {
    WK_CASE(s, "matrix", NULL, { .dims = WK_DIMS(4, 4) });
    WK_CASE(s, "batch", NULL, { .dims = WK_DIMS(2, 3, 5), .strided = true });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(64, 128, 128) });
}
ROW(trace, "sum of the diagonal", 1, 0, NULL, 0, 0, WK_CAST_F32);
wk_tensor *wk_trace(wk_tensor *x) {
    return wk_op_run1(&trace_row, NULL, x);
}

static wk_status matrix_power_parts(const wk_call *call, wk_tensor *out[]) {
    int64_t n = ((const wk_matrix_power_opts *)call->attrs)->n;
    wk_tensor *x = call->in[0], *result = NULL;
    if (!has_rank(call, 0, 2, "(…, N, N)")) return wk_error_code();
    if (n < 0 || x->shape[x->rank - 1] != x->shape[x->rank - 2])
        return wk_bad_call(call, WK_SHAPE, "power %lld of a matrix (%lld, %lld): expected a square one and at least 0",
                           (long long)n, (long long)x->shape[x->rank - 2], (long long)x->shape[x->rank - 1]);
    if (n == 0) {
        wk_tensor *ones = wk_full((wk_dtype)x->dtype, WK_DIMS(x->shape[x->rank - 1]), 1);
        out[0] = wk_contiguous(wk_expand(wk_diag_embed(ones, (wk_diag_embed_opts){ 0 }), wk__dims(x)));
        return WK_OK;
    }
    for (wk_tensor *square = x; n && square; n >>= 1) {
        if (n & 1) result = result ? wk_matmul(result, square) : square;
        if (n > 1) square = wk_matmul(square, square);
    }
    out[0] = result == x ? wk_reshape(x, wk__dims(x)) : result;
    return WK_OK;
}
static void matrix_power_samples(wk_sampler *s) {
    const wk_matrix_power_opts three = { 3 }, one = { 1 }, none = { 0 };
    WK_CASE(s, "three", &three, { .dims = WK_DIMS(3, 3) });
    WK_CASE(s, "one", &one, { .dims = WK_DIMS(2, 2, 2) });
    WK_CASE(s, "none", &none, { .dims = WK_DIMS(2, 3, 3) });
    WK_HUGE_CASE(s, "huge", &three, { .dims = WK_DIMS(16, 64, 64), .low = -0.2, .high = 0.2 });
}
static const wk_attr_def matrix_power_attrs[] = { { "n", WK_ATTR_INT, offsetof(wk_matrix_power_opts, n), 0, NULL, 0,
                                                    "the power" } };
ROW(matrix_power, "a square matrix times itself", 1, 0, matrix_power_attrs, 1, sizeof(wk_matrix_power_opts),
    WK_CAST_LOW);
wk_tensor *wk_matrix_power(wk_tensor *x, int64_t n) {
    const wk_matrix_power_opts opts = { n };
    return wk_op_run1(&matrix_power_row, &opts, x);
}

wk_op_def *const wk__rows_products[] = { &outer_row, &dot_row,     &mv_row,           &cross_row,
                                         &addmm_row, &baddbmm_row, &bilinear_row,     &tensordot_row,
                                         &kron_row,  &trace_row,   &matrix_power_row, NULL };
