/* solve.c: systems of equations, inverses, determinants. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static wk_cost solve_cost(const wk_call *call) {
    const wk_tensor *a = call->in[0];
    double n = a->rank ? (double)a->shape[a->rank - 1] : 1;
    return (wk_cost){ 2 * n * (double)a->count, wk__operand_bytes(call) };
}

static wk_status square(const wk_call *call) {
    const wk_tensor *x = call->in[0];
    char text[160];
    if (x->rank >= 2 && x->shape[x->rank - 1] == x->shape[x->rank - 2]) return WK_OK;
    return wk_bad_call(call, WK_SHAPE, "x is %s, expected (…, N, N)", wk_describe(x, text, sizeof text));
}

/* ---- solve, solve_triangular ---- */

static wk_status solve_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *a = call->in[0], *b = call->in[1];
    char text[2][160];
    bool fits = a->rank >= 2 && b->rank >= 2 && a->shape[a->rank - 1] == a->shape[a->rank - 2]
                && b->shape[b->rank - 2] == a->shape[a->rank - 1];
    wk_desc desc = { .rank = a->rank > b->rank ? a->rank : b->rank, .dtype = (wk_dtype)a->dtype };
    for (int axis = 0; fits && axis < desc.rank - 2; axis++) {
        int in_a = axis - (desc.rank - a->rank), in_b = axis - (desc.rank - b->rank);
        int64_t of_a = in_a < 0 ? 1 : a->shape[in_a], of_b = in_b < 0 ? 1 : b->shape[in_b];
        fits = of_a == of_b || of_a == 1 || of_b == 1;
        desc.shape[axis] = of_a == 1 ? of_b : of_a;
    }
    if (!fits)
        return wk_bad_call(call, WK_SHAPE, "a %s, b %s: expected (…, N, N) and (…, N, K)",
                           wk_describe(a, text[0], sizeof text[0]), wk_describe(b, text[1], sizeof text[1]));
    desc.shape[desc.rank - 2] = b->shape[b->rank - 2];
    desc.shape[desc.rank - 1] = b->shape[b->rank - 1];
    out[0] = desc;
    return WK_OK;
}

static wk_tensor *turned(wk_tensor *x) {
    return wk_transpose(x, -1, -2);
}

/* db = a⁻ᵀ dx,  da = −db xᵀ */
static wk_status solve_grad(wk_grad *g) {
    wk_tensor *db = wk_solve(turned(g->in[0]), g->dout[0]);
    if (g->needs[1]) g->din[1] = wk__sum_to(db, g->in[1]);
    if (g->needs[0]) g->din[0] = wk__sum_to(wk_neg(wk_matmul(db, turned(g->out[0]))), g->in[0]);
    return WK_OK;
}
static wk_status solve_triangular_grad(wk_grad *g) {
    const wk_solve_triangular_opts *opts = g->attrs;
    const wk_solve_triangular_opts other = { !opts->upper, opts->unit_diagonal };
    wk_tensor *db = wk_solve_triangular(turned(g->in[0]), g->dout[0], other);
    if (g->needs[1]) g->din[1] = wk__sum_to(db, g->in[1]);
    if (!g->needs[0]) return WK_OK;
    wk_tensor *da = wk_neg(wk_matmul(db, turned(g->out[0])));
    int64_t off = opts->unit_diagonal ? 1 : 0;
    da = opts->upper ? wk_triu(da, (wk_triangle_opts){ off }) : wk_tril(da, (wk_triangle_opts){ -off });
    g->din[0] = wk__sum_to(da, g->in[0]);
    return WK_OK;
}
#define SPD(...) \
    { .dims = WK_DIMS(__VA_ARGS__), .kind = WK_SAMPLE_SPD }
static void solve_samples(wk_sampler *s) {
    WK_CASE(s, "matrix", NULL, SPD(4, 4), { .dims = WK_DIMS(4, 2) });
    WK_CASE(s, "batch", NULL, SPD(2, 3, 3), { .dims = WK_DIMS(3, 1), .strided = true });
    WK_CASE(s, "none", NULL, SPD(3, 3), { .dims = WK_DIMS(3, 0) });
    WK_CASE(s, "large", NULL, SPD(2, 32, 32), { .dims = WK_DIMS(2, 32, 8) });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(8, 32, 32), .kind = WK_SAMPLE_SPD },
                 { .dims = WK_DIMS(8, 32, 32) });
}
static void solve_triangular_samples(wk_sampler *s) {
    const wk_solve_triangular_opts lower = { false, false }, upper = { true, false }, unit = { true, true };
    WK_CASE(s, "lower", &lower, { .dims = WK_DIMS(4, 4), .low = 0.5, .high = 2 }, { .dims = WK_DIMS(4, 2) });
    WK_CASE(s, "upper", &upper, { .dims = WK_DIMS(2, 3, 3), .low = 0.5, .high = 2, .strided = true },
            { .dims = WK_DIMS(3, 2) });
    WK_CASE(s, "unit", &unit, { .dims = WK_DIMS(3, 3) }, { .dims = WK_DIMS(2, 3, 2) });
    WK_HUGE_CASE(s, "huge", &unit, { .dims = WK_DIMS(16, 64, 64), .low = -0.05, .high = 0.05 },
                 { .dims = WK_DIMS(16, 64, 64) });
}
static const wk_attr_def solve_triangular_attrs[] = {
    { "upper", WK_ATTR_BOOL, offsetof(wk_solve_triangular_opts, upper), 0, NULL, 0, "a is an upper triangle" },
    { "unit_diagonal", WK_ATTR_BOOL, offsetof(wk_solve_triangular_opts, unit_diagonal), 0, NULL, 0,
      "its diagonal is 1" },
};
static wk_op_def solve_row = {
    .name = "solve",
    .doc = "x with a x = b",
    .n_in = 2,
    .n_out = 1,
    .saves_in = 1,
    .saves_out = 1,
    .dtype = { .allowed = { WK_F32_F64, WK_F32_F64 }, .same = 3, .promote = true, .autocast = WK_CAST_F32 },
    .shape = solve_shape,
    .grad = solve_grad,
    .cost = solve_cost,
    .samples = solve_samples
};
static wk_op_def solve_triangular_row = {
    .name = "solve_triangular",
    .doc = "x with a x = b and a triangular",
    .n_in = 2,
    .n_out = 1,
    .saves_in = 1,
    .saves_out = 1,
    .attrs = solve_triangular_attrs,
    .n_attrs = 2,
    .attrs_size = sizeof(wk_solve_triangular_opts),
    .dtype = { .allowed = { WK_F32_F64, WK_F32_F64 }, .same = 3, .promote = true, .autocast = WK_CAST_F32 },
    .shape = solve_shape,
    .grad = solve_triangular_grad,
    .cost = solve_cost,
    .samples = solve_triangular_samples
};
wk_tensor *wk_solve(wk_tensor *a, wk_tensor *b) {
    return wk_op_run2(&solve_row, NULL, a, b);
}
wk_tensor *wk_solve_triangular(wk_tensor *a, wk_tensor *b, wk_solve_triangular_opts opts) {
    return wk_op_run2(&solve_triangular_row, &opts, a, b);
}

/* ---- inverse ---- */

static wk_tensor *identity(const wk_tensor *like) {
    wk_tensor *ones = wk_full((wk_dtype)like->dtype, WK_DIMS(like->shape[like->rank - 1]), 1);
    return wk_diag_embed(ones, (wk_diag_embed_opts){ 0 });
}
static wk_status inverse_parts(const wk_call *call, wk_tensor *out[]) {
    WK_TRY(square(call));
    out[0] = wk_solve(call->in[0], identity(call->in[0]));
    return WK_OK;
}
static void definite_samples(wk_sampler *s) {
    WK_CASE(s, "matrix", NULL, SPD(4, 4));
    WK_CASE(s, "batch", NULL, SPD(2, 3, 3));
    WK_CASE(s, "any", NULL, { .dims = WK_DIMS(3, 3), .strided = true });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0, 2, 2) });
    WK_CASE(s, "large", NULL, SPD(2, 16, 16));
    WK_HUGE_CASE(s, "huge", NULL, SPD(32, 32, 32));
}
#define COMPOSITE(id, text)                                                                        \
    static wk_op_def id##_row = { .name = #id,                                                     \
                                  .doc = text,                                                     \
                                  .n_in = 1,                                                       \
                                  .n_out = 1,                                                      \
                                  .composite = true,                                               \
                                  .dtype = { .allowed = { WK_F32_F64 }, .autocast = WK_CAST_F32 }, \
                                  .decompose = id##_parts,                                         \
                                  .cost = solve_cost,                                              \
                                  .samples = definite_samples };                                   \
    wk_tensor *wk_##id(wk_tensor *x) {                                                             \
        return wk_op_run1(&id##_row, NULL, x);                                                     \
    }
COMPOSITE(inverse, "x⁻¹")

/* ---- determinants ---- */

static wk_status slogdet_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(square(call));
    out[0] = out[1] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, call->in[0]->rank - 2, call->in[0]->shape);
    return WK_OK;
}
/* d log |det x| = tr(x⁻¹ dx); the sign is a step */
static wk_status slogdet_grad(wk_grad *g) {
    if (!g->dout[1]) return WK_OK;
    wk_tensor *d = wk_unsqueeze(wk_unsqueeze(g->dout[1], -1), -1);
    g->din[0] = wk_mul(turned(wk_inverse(g->in[0])), d);
    return WK_OK;
}
static wk_op_def slogdet_row = { .name = "slogdet",
                                 .doc = "sign and logarithm of the determinant",
                                 .n_in = 1,
                                 .n_out = 2,
                                 .saves_in = 1,
                                 .dtype = { .allowed = { WK_F32_F64 }, .autocast = WK_CAST_F32 },
                                 .shape = slogdet_shape,
                                 .grad = slogdet_grad,
                                 .cost = solve_cost,
                                 .samples = definite_samples };
wk_status wk_slogdet(wk_tensor *x, wk_tensor **sign, wk_tensor **logarithm) {
    wk_tensor *out[2] = { NULL };
    wk_status status = wk_op_run(&slogdet_row, &x, 1, out, NULL);
    *sign = out[0], *logarithm = out[1];
    return status;
}

static wk_status det_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *sign, *logarithm;
    WK_TRY(square(call));
    WK_TRY(wk_slogdet(call->in[0], &sign, &logarithm));
    out[0] = wk_mul(sign, wk_exp(logarithm));
    return WK_OK;
}
COMPOSITE(det, "determinant")

wk_op_def *const wk__rows_solve[] = { &solve_row, &solve_triangular_row, &inverse_row, &slogdet_row, &det_row, NULL };
