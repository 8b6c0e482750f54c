/* factor.c: Cholesky, QR, eigenvalues and singular values, and their gradients (Giles 2008; Walter & Lehmann 2010;
 * Seeger et al. 2017, as PyTorch uses them).
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static wk_tensor *turned(wk_tensor *x) {
    return wk_transpose(x, -1, -2);
}
static wk_tensor *columns_times(wk_tensor *x, wk_tensor *d) { /* x diag(d) */
    return wk_mul(x, wk_unsqueeze(d, -2));
}
static wk_tensor *rows_times(wk_tensor *d, wk_tensor *x) { /* diag(d) x */
    return wk_mul(wk_unsqueeze(d, -1), x);
}
static wk_tensor *skew(wk_tensor *x) {
    return wk_sub(x, turned(x));
}
static wk_tensor *identity(const wk_tensor *like, int64_t n) {
    return wk_diag_embed(wk_full((wk_dtype)like->dtype, WK_DIMS(n), 1), (wk_diag_embed_opts){ 0 });
}
static wk_tensor *plus(wk_tensor *a, wk_tensor *b) {
    return a ? wk_add(a, b) : b;
}

/* 1 / (d_j − d_i), 0 on the diagonal */
static wk_tensor *inverse_differences(wk_tensor *d) {
    if (!d) return NULL;
    int64_t n = d->shape[d->rank - 1];
    wk_tensor *e = wk_sub(wk_unsqueeze(d, -2), wk_unsqueeze(d, -1)), *one = identity(d, n);
    return wk_sub(wk_reciprocal(wk_add(e, one)), one);
}

static wk_cost factor_cost(const wk_call *call) {
    const wk_tensor *x = call->in[0];
    double n = x->rank ? (double)x->shape[x->rank - 1] : 1;
    return (wk_cost){ 4 * n * (double)x->count, wk__operand_bytes(call) };
}

static wk_status matrices(const wk_call *call, bool square) {
    const wk_tensor *x = call->in[0];
    char text[160];
    if (x->rank >= 2 && (!square || x->shape[x->rank - 1] == x->shape[x->rank - 2])) return WK_OK;
    return wk_bad_call(call, WK_SHAPE, "x is %s, expected (…, %s)", wk_describe(x, text, sizeof text),
                       square ? "N, N" : "M, N");
}

/* ---- Cholesky ---- */

static wk_status cholesky_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(matrices(call, true));
    out[0] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, call->in[0]->rank, call->in[0]->shape);
    return WK_OK;
}
/* The lower triangle, its diagonal halved. */
static wk_tensor *half_lower(wk_tensor *x) {
    wk_tensor *low = wk_tril(x, (wk_triangle_opts){ 0 });
    return low ? wk_mul(low, wk_affine(identity(x, x->shape[x->rank - 1]), (wk_affine_opts){ -0.5, 1 })) : NULL;
}
static wk_status cholesky_grad(wk_grad *g) {
    wk_tensor *l = g->out[0], *lt = turned(l);
    wk_tensor *phi = half_lower(wk_matmul(lt, g->dout[0]));
    const wk_solve_triangular_opts upper = { .upper = true };
    wk_tensor *x = wk_solve_triangular(lt, phi, upper);
    wk_tensor *y = turned(wk_solve_triangular(lt, turned(x), upper));
    g->din[0] = wk_scale(wk_add(y, turned(y)), 0.5);
    return WK_OK;
}
#define SPD(...) \
    { .dims = WK_DIMS(__VA_ARGS__), .kind = WK_SAMPLE_SPD }
/* Of symmetric matrices only: differences in one element do not belong to it (see cholesky). */
static void symmetric_samples(wk_sampler *s) {
    WK_CASE(s, "large", NULL, SPD(2, 9, 9));
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0, 3, 3) });
}
static void definite_samples(wk_sampler *s) {
    WK_CASE(s, "matrix", NULL, SPD(4, 4));
    WK_CASE(s, "batch", NULL, SPD(2, 3, 3));
    WK_CASE(s, "one", NULL, SPD(1, 1));
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0, 3, 3) });
    WK_CASE(s, "none", NULL, { .dims = WK_DIMS(2, 0, 0) });
    WK_CASE(s, "large", NULL, SPD(2, 16, 16));
}
static wk_op_def cholesky_symmetric_row = { .name = "cholesky_symmetric",
                                            .internal = true,
                                            .doc = "L with L Lᵀ = x of a symmetric x",
                                            .n_in = 1,
                                            .n_out = 1,
                                            .saves_out = 1,
                                            .dtype = { .allowed = { WK_F32_F64 } },
                                            .shape = cholesky_shape,
                                            .grad = cholesky_grad,
                                            .cost = factor_cost,
                                            .samples = symmetric_samples };

static wk_tensor *symmetric(wk_tensor *x) {
    return wk_scale(wk_add(x, turned(x)), 0.5);
}
static wk_status cholesky_parts(const wk_call *call, wk_tensor *out[]) {
    WK_TRY(matrices(call, true));
    out[0] = wk_op_run1(&cholesky_symmetric_row, NULL, symmetric(call->in[0]));
    return WK_OK;
}
#define COMPOSITE(id, text, outputs)                                                               \
    static wk_op_def id##_row = { .name = #id,                                                     \
                                  .doc = text,                                                     \
                                  .n_in = 1,                                                       \
                                  .n_out = outputs,                                                \
                                  .composite = true,                                               \
                                  .dtype = { .allowed = { WK_F32_F64 }, .autocast = WK_CAST_F32 }, \
                                  .decompose = id##_parts,                                         \
                                  .cost = factor_cost,                                             \
                                  .samples = definite_samples }
COMPOSITE(cholesky, "lower triangular L with L Lᵀ = x", 1);
wk_tensor *wk_cholesky(wk_tensor *x) {
    return wk_op_run1(&cholesky_row, NULL, x);
}

/* ---- eigenvalues ---- */

static wk_status eigh_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(matrices(call, true));
    const wk_tensor *x = call->in[0];
    out[0] = wk_desc_row_major((wk_dtype)x->dtype, x->rank - 1, x->shape);
    out[1] = wk_desc_row_major((wk_dtype)x->dtype, x->rank, x->shape);
    return WK_OK;
}
/* V (diag(dw) + Vᵀ dV ∘ 1 / (w_j − w_i)) Vᵀ */
static wk_status eigh_grad(wk_grad *g) {
    wk_tensor *w = g->out[0], *v = g->out[1], *inner = NULL;
    if (g->dout[1]) inner = wk_mul(wk_matmul(turned(v), g->dout[1]), inverse_differences(w));
    if (g->dout[0]) inner = plus(inner, wk_diag_embed(g->dout[0], (wk_diag_embed_opts){ 0 }));
    if (inner) g->din[0] = wk_matmul(wk_matmul(v, inner), turned(v));
    return WK_OK;
}
static wk_op_def eigh_symmetric_row = { .name = "eigh_symmetric",
                                        .internal = true,
                                        .doc = "eigenvalues and eigenvectors of a symmetric x",
                                        .n_in = 1,
                                        .n_out = 2,
                                        .saves_out = 3,
                                        .dtype = { .allowed = { WK_F32_F64 } },
                                        .shape = eigh_shape,
                                        .grad = eigh_grad,
                                        .cost = factor_cost,
                                        .samples = symmetric_samples };
static wk_status eigh_parts(const wk_call *call, wk_tensor *out[]) {
    WK_TRY(matrices(call, true));
    wk_tensor *x = symmetric(call->in[0]);
    return x ? wk_op_run(&eigh_symmetric_row, &x, 1, out, NULL) : wk_error_code();
}
COMPOSITE(eigh, "eigenvalues, ascending, and eigenvectors of a symmetric matrix", 2);
static wk_status several(const wk_op_def *row, wk_tensor *x, wk_tensor **a, wk_tensor **b, wk_tensor **c) {
    wk_tensor *out[3] = { NULL };
    wk_status status = wk_op_run(row, &x, 1, out, NULL);
    *a = out[0], *b = out[1];
    if (c) *c = out[2];
    return status;
}
wk_status wk_eigh(wk_tensor *x, wk_tensor **values, wk_tensor **vectors) {
    return several(&eigh_row, x, values, vectors, NULL);
}

/* ---- QR ---- */

static wk_status qr_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(matrices(call, false));
    const wk_tensor *x = call->in[0];
    int64_t m = x->shape[x->rank - 2], n = x->shape[x->rank - 1], k = m < n ? m : n;
    out[0] = out[1] = wk_desc_row_major((wk_dtype)x->dtype, x->rank, x->shape);
    out[0].shape[x->rank - 1] = k;
    out[1].shape[x->rank - 2] = k;
    return WK_OK;
}

/* For M ≥ N:  (dQ + Q sym(triu(dR Rᵀ − Qᵀ dQ))) R⁻ᵀ, sym(X) = X + Xᵀ with the diagonal once */
static wk_tensor *tall_grad(wk_tensor *q, wk_tensor *r, wk_tensor *dq, wk_tensor *dr) {
    wk_tensor *m = NULL;
    if (dr) m = wk_matmul(dr, turned(r));
    if (dq) m = plus(m, wk_neg(wk_matmul(turned(q), dq)));
    wk_tensor *up = wk_triu(m, (wk_triangle_opts){ 0 }), *strict = wk_triu(m, (wk_triangle_opts){ 1 });
    wk_tensor *inner = wk_matmul(q, wk_add(up, turned(strict)));
    if (dq) inner = wk_add(inner, dq);
    return turned(wk_solve_triangular(r, turned(inner), (wk_solve_triangular_opts){ .upper = true }));
}
/* A = (X | Y) with square X = Q U:  R = (U | Qᵀ Y) */
static wk_status wide_grad(wk_grad *g, int64_t m, int64_t n) {
    wk_tensor *q = g->out[0], *r = g->out[1], *dq = g->dout[0], *dr = g->dout[1], *dy = NULL, *du = NULL;
    wk_tensor *y = wk_slice(g->in[0], -1, m, n, 1), *u = wk_slice(r, -1, 0, m, 1);
    if (dr) {
        wk_tensor *dv = wk_slice(dr, -1, m, n, 1);
        du = wk_slice(dr, -1, 0, m, 1);
        dq = plus(dq, wk_matmul(y, turned(dv)));
        dy = wk_matmul(q, dv);
    } else {
        dy = wk_zeros((wk_dtype)y->dtype, wk__dims(y));
    }
    wk_tensor *const parts[] = { tall_grad(q, u, dq, du), dy };
    if (parts[0] && dy) g->din[0] = wk_concat(parts, 2, -1);
    return WK_OK;
}
static wk_status qr_grad(wk_grad *g) {
    const wk_tensor *x = g->in[0];
    int64_t m = x->shape[x->rank - 2], n = x->shape[x->rank - 1];
    if (m < n) return wide_grad(g, m, n);
    g->din[0] = tall_grad(g->out[0], g->out[1], g->dout[0], g->dout[1]);
    return WK_OK;
}
static void general_samples(wk_sampler *s) {
    WK_CASE(s, "tall", NULL, { .dims = WK_DIMS(4, 3) });
    WK_CASE(s, "wide", NULL, { .dims = WK_DIMS(2, 4) });
    WK_CASE(s, "square", NULL, { .dims = WK_DIMS(2, 3, 3), .strided = true });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0, 3, 2) });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(2, 9, 12) });
}
static wk_op_def qr_row = { .name = "qr",
                            .doc = "orthonormal columns times an upper triangle",
                            .n_in = 1,
                            .n_out = 2,
                            .saves_in = 1,
                            .saves_out = 3,
                            .dtype = { .allowed = { WK_F32_F64 }, .autocast = WK_CAST_F32 },
                            .shape = qr_shape,
                            .grad = qr_grad,
                            .cost = factor_cost,
                            .samples = general_samples };
wk_status wk_qr(wk_tensor *x, wk_tensor **q, wk_tensor **r) {
    return several(&qr_row, x, q, r, NULL);
}

/* ---- singular values ---- */

static wk_status svd_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(matrices(call, false));
    const wk_tensor *x = call->in[0];
    int64_t m = x->shape[x->rank - 2], n = x->shape[x->rank - 1], k = m < n ? m : n;
    out[0] = out[2] = wk_desc_row_major((wk_dtype)x->dtype, x->rank, x->shape);
    out[1] = wk_desc_row_major((wk_dtype)x->dtype, x->rank - 1, x->shape);
    out[0].shape[x->rank - 1] = k;
    out[1].shape[x->rank - 2] = k;
    out[2].shape[x->rank - 2] = k;
    return WK_OK;
}
/* U (skew(Uᵀ dU) / E S + S skew(Vᵀ dV) / E + diag(dS)) Vᵀ with E = s_j² − s_i², and what lies outside of U and V */
static wk_status svd_grad(wk_grad *g) {
    wk_tensor *u = g->out[0], *s = g->out[1], *vh = g->out[2], *inner = NULL;
    wk_tensor *du = g->dout[0], *dvh = g->dout[2], *differences = inverse_differences(wk_square(s));
    const wk_tensor *x = g->in[0];
    int64_t m = x->shape[x->rank - 2], n = x->shape[x->rank - 1], k = m < n ? m : n;
    if (du) inner = columns_times(wk_mul(skew(wk_matmul(turned(u), du)), differences), s);
    if (dvh) inner = plus(inner, rows_times(s, wk_mul(skew(wk_matmul(vh, turned(dvh))), differences)));
    if (g->dout[1]) inner = plus(inner, wk_diag_embed(g->dout[1], (wk_diag_embed_opts){ 0 }));
    wk_tensor *d = wk_matmul(wk_matmul(u, inner), vh), *over = wk_reciprocal(s);
    if (du && m > k) {
        wk_tensor *outside = wk_sub(du, wk_matmul(u, wk_matmul(turned(u), du)));
        d = wk_add(d, wk_matmul(columns_times(outside, over), vh));
    }
    if (dvh && n > k) {
        wk_tensor *outside = wk_sub(dvh, wk_matmul(wk_matmul(dvh, turned(vh)), vh));
        d = wk_add(d, wk_matmul(u, rows_times(over, outside)));
    }
    g->din[0] = d;
    return WK_OK;
}
static wk_op_def svd_row = { .name = "svd",
                             .doc = "u diag(s) vh with orthonormal u and v",
                             .n_in = 1,
                             .n_out = 3,
                             .saves_out = 7,
                             .dtype = { .allowed = { WK_F32_F64 }, .autocast = WK_CAST_F32 },
                             .shape = svd_shape,
                             .grad = svd_grad,
                             .cost = factor_cost,
                             .samples = general_samples };
wk_status wk_svd(wk_tensor *x, wk_tensor **u, wk_tensor **s, wk_tensor **vh) {
    return several(&svd_row, x, u, s, vh);
}

wk_op_def *const wk__rows_factor[] = {
    &cholesky_symmetric_row, &cholesky_row, &eigh_symmetric_row, &eigh_row, &qr_row, &svd_row, NULL
};
