/* composed.c: optimizers that look at a whole matrix or at rows: LAMB, SparseAdam, Adafactor, Muon, made of operations.
 *
 * Each computes one parameter's new values; they are put in place when all parameters have theirs, so that a step that
 * fails (memory) has changed nothing.
 */
#define WK_NO_CALL_SITES
#include "optim/optim.h"

#include "wick/ops.h"

#include <float.h>
#include <math.h>

static double or_default(double value, double otherwise) {
    return value != 0 ? value : otherwise;
}

static double step_of(const wk__entry *e) {
    return (double)(*(const int64_t *)e->step->data + 1);
}

/* The value of a scalar tensor, 0 with an error pending. */
static double norm_of(wk_tensor *x) {
    wk_tensor *squares = wk__sum_all(wk_mul(x, x));
    return squares ? sqrt(wk_item(squares)) : 0;
}

/* ---- LAMB ---- */

enum { BETA1, BETA2, EPS };

static wk_status lamb_update(wk_optim *o, const wk__group *group, wk__entry *e, wk_tensor *p, wk_tensor *g) {
    double beta1 = wk__option_of(group, BETA1), beta2 = wk__option_of(group, BETA2), t = step_of(e);
    wk_tensor *m = wk__lerp(e->state[0], g, 1 - beta1);
    wk_tensor *v = wk_add(wk_scale(e->state[1], beta2), wk_scale(wk_mul(g, g), 1 - beta2));
    wk_tensor *root = wk_sqrt(wk_scale(v, 1 / (1 - pow(beta2, t))));
    wk_tensor *r =
        wk_div(wk_scale(m, 1 / (1 - pow(beta1, t))), wk_affine(root, (wk_affine_opts){ 1, wk__option_of(group, EPS) }));
    r = wk_add(r, wk_scale(p, wk__scalars(group)[WK_STEP_DECAY]));
    double size = norm_of(p), length = norm_of(r), ratio = size > 0 && length > 0 ? size / length : 1;
    WK_TRY(wk__stage(o, e->state[0], m));
    WK_TRY(wk__stage(o, e->state[1], v));
    return wk__stage(o, p, wk_add(p, wk_scale(r, -wk__scalars(group)[WK_STEP_LR] * ratio)));
}

static const wk__optim_kind lamb_kind = {
    .update = lamb_update,
    .state = { "exp_avg", "exp_avg_sq" },
    .option = { { "beta1", WK__BELOW_1 }, { "beta2", WK__BELOW_1 }, { "eps", WK__AT_LEAST_0 } },
};
wk_optim *wk_lamb(wk_named_tensors parameters, wk_lamb_opts opts) {
    wk__optim_plan plan = { .kind = &lamb_kind, .name = "LAMB", .states = 3, .maximize = opts.maximize };
    double *option = plan.scalars + WK_STEP_OPTION;
    plan.scalars[WK_STEP_LR] = or_default(opts.lr, 1e-3);
    plan.scalars[WK_STEP_DECAY] = opts.weight_decay;
    option[BETA1] = wk_optional_or(opts.beta1, 0.9);
    option[BETA2] = wk_optional_or(opts.beta2, 0.999);
    option[EPS] = or_default(opts.eps, 1e-6);
    return wk__optim_create(&plan, parameters);
}

/* ---- SparseAdam: rows without a gradient stand still, and so do their states ---- */

static wk_status sparse_adam_update(wk_optim *o, const wk__group *group, wk__entry *e, wk_tensor *p, wk_tensor *rows,
                                    wk_tensor *g) {
    const double beta1 = wk__option_of(group, BETA1), beta2 = wk__option_of(group, BETA2), t = step_of(e);
    wk_tensor *m = wk__lerp(wk_index_select(e->state[0], rows, 0), g, 1 - beta1);
    wk_tensor *v = wk__lerp(wk_index_select(e->state[1], rows, 0), wk_mul(g, g), 1 - beta2);
    const double rate = wk__scalars(group)[WK_STEP_LR] * sqrt(1 - pow(beta2, t)) / (1 - pow(beta1, t));
    wk_tensor *step = wk_div(m, wk_affine(wk_sqrt(v), (wk_affine_opts){ 1, wk__option_of(group, EPS) }));
    WK_TRY(wk__stage_rows(o, e->state[0], rows, m));
    WK_TRY(wk__stage_rows(o, e->state[1], rows, v));
    return wk__stage_rows(o, p, rows, wk_sub(wk_index_select(p, rows, 0), wk_scale(step, rate)));
}
static const char *sparse_adam_refuses(const wk_tensor *p) {
    return p->rank > 0 ? NULL : "rows";
}

static const wk__optim_kind sparse_adam_kind = {
    .update_rows = sparse_adam_update,
    .state = { "exp_avg", "exp_avg_sq" },
    .refuses = sparse_adam_refuses,
    .option = { { "beta1", WK__BELOW_1 }, { "beta2", WK__BELOW_1 }, { "eps", WK__ABOVE_0 } },
};
wk_optim *wk_sparse_adam(wk_named_tensors parameters, wk_sparse_adam_opts opts) {
    wk__optim_plan plan = { .kind = &sparse_adam_kind, .name = "SparseAdam", .states = 3, .maximize = opts.maximize };
    double *option = plan.scalars + WK_STEP_OPTION;
    plan.scalars[WK_STEP_LR] = or_default(opts.lr, 1e-3);
    option[BETA1] = wk_optional_or(opts.beta1, 0.9);
    option[BETA2] = wk_optional_or(opts.beta2, 0.999);
    option[EPS] = or_default(opts.eps, 1e-8);
    return wk__optim_create(&plan, parameters);
}

/* ---- Adafactor ---- */

enum { BETA2_DECAY, EPS1, EPS2, THRESHOLD };
enum { ROW_VAR, COL_VAR, VARIANCE };

static wk_dims adafactor_dims(const wk_tensor *p, int state) {
    wk_dims dims = wk__dims(p);
    bool factored = dims.rank > 1;
    if ((state == VARIANCE) == factored) return (wk_dims){ .rank = -1 };
    if (state != VARIANCE) dims.size[dims.rank - (state == ROW_VAR ? 1 : 2)] = 1;
    return dims;
}

/* The running mean of g² along an axis, or of each element. */
static wk_tensor *mean_square(wk_tensor *state, wk_tensor *squares, int axis, double weight) {
    if (axis != 0) squares = wk_mean(squares, (wk_reduce_opts){ .axes = WK_DIMS(axis), .keep_dims = true });
    return wk__lerp(state, squares, weight);
}

/* The estimate of the mean square of each element; new states are staged. */
static wk_tensor *adafactor_variance(wk_optim *o, wk__entry *e, wk_tensor *g, double weight, double eps) {
    wk_tensor *squares = wk_mul(g, g);
    if (g->rank < 2) {
        wk_tensor *variance = mean_square(e->state[VARIANCE], squares, 0, weight);
        return wk__stage(o, e->state[VARIANCE], variance) == WK_OK ? variance : NULL;
    }
    wk_tensor *row = mean_square(e->state[ROW_VAR], squares, -1, weight);
    wk_tensor *col = mean_square(e->state[COL_VAR], squares, -2, weight);
    wk_tensor *mean = wk_mean(row, (wk_reduce_opts){ .axes = WK_DIMS(-2), .keep_dims = true });
    if (!mean || wk__stage(o, e->state[ROW_VAR], row) != WK_OK || wk__stage(o, e->state[COL_VAR], col) != WK_OK)
        return NULL;
    return wk_div(wk_mul(row, col), wk_maximum(mean, wk_full((wk_dtype)mean->dtype, WK_SCALAR, eps)));
}

static wk_status adafactor_update(wk_optim *o, const wk__group *group, wk__entry *e, wk_tensor *p, wk_tensor *g) {
    const double *scalars = wk__scalars(group), lr = scalars[WK_STEP_LR];
    double t = step_of(e), weight = pow(t, wk__option_of(group, BETA2_DECAY)), count = (double)p->count;
    double eps1 = or_default(wk__option_of(group, EPS1), p->dtype == WK_F64 ? DBL_EPSILON : FLT_EPSILON);
    double rate = fmin(lr, 1 / sqrt(t)) * fmax(wk__option_of(group, EPS2), norm_of(p) / sqrt(count));
    wk_tensor *shrunk = wk_scale(p, 1 - lr * scalars[WK_STEP_DECAY]);
    wk_tensor *variance = adafactor_variance(o, e, g, weight, eps1);
    if (!variance) return wk_error_code();
    wk_tensor *least = wk_full((wk_dtype)p->dtype, WK_SCALAR, eps1 * eps1);
    wk_tensor *update = wk_div(g, wk_sqrt(wk_maximum(variance, least)));
    double clip = fmax(1, norm_of(update) / (sqrt(count) * wk__option_of(group, THRESHOLD)));
    return wk__stage(o, p, wk_add(shrunk, wk_scale(update, -rate / clip)));
}

static const wk__optim_kind adafactor_kind = {
    .update = adafactor_update,
    .state = { "row_var", "col_var", "variance" },
    .state_dims = adafactor_dims,
    .option = { { "beta2_decay", WK__AT_MOST_0 },
                { "eps1", WK__AT_LEAST_0 },
                { "eps2", WK__AT_LEAST_0 },
                { "d", WK__AT_LEAST_1 } },
};
wk_optim *wk_adafactor(wk_named_tensors parameters, wk_adafactor_opts opts) {
    wk__optim_plan plan = { .kind = &adafactor_kind, .name = "Adafactor", .states = 7, .maximize = opts.maximize };
    double *option = plan.scalars + WK_STEP_OPTION;
    plan.scalars[WK_STEP_LR] = or_default(opts.lr, 1e-2);
    plan.scalars[WK_STEP_DECAY] = opts.weight_decay;
    option[BETA2_DECAY] = wk_optional_or(opts.beta2_decay, -0.8);
    option[EPS1] = opts.eps1;
    option[EPS2] = wk_optional_or(opts.eps2, 1e-3);
    option[THRESHOLD] = wk_optional_or(opts.d, 1);
    return wk__optim_create(&plan, parameters);
}

/* ---- Muon ---- */

enum { MOMENTUM, NESTEROV, NS_A, NS_B, NS_C, NS_EPS, NS_STEPS, SCALE };

/* To bf16's precision, kept as f32: products of such numbers are then added up in f32, as PyTorch's are. */
static wk_tensor *rounded(wk_tensor *x) {
    return wk_cast(wk_cast(x, WK_BF16), WK_F32);
}

/* Towards the nearest orthogonal matrix by a quintic Newton–Schulz iteration. */
static wk_tensor *orthogonalised(const wk__group *group, wk_tensor *matrix) {
    bool is_tall = matrix->shape[0] > matrix->shape[1];
    double a = wk__option_of(group, NS_A), b = wk__option_of(group, NS_B), c = wk__option_of(group, NS_C);
    wk_tensor *x = rounded(matrix);
    if (is_tall) x = wk_transpose(x, 0, 1);
    wk_tensor *size = rounded(wk_sqrt(wk__sum_all(wk_mul(x, x))));
    x = rounded(wk_div(x, wk_maximum(size, wk_full(WK_F32, WK_SCALAR, wk__option_of(group, NS_EPS)))));
    for (int i = 0; i < (int)wk__option_of(group, NS_STEPS) && x; i++) {
        wk_tensor *gram = rounded(wk_matmul(x, wk_transpose(x, 0, 1)));
        wk_tensor *update = rounded(wk_add(wk_scale(gram, b), wk_scale(wk_matmul(gram, gram), c)));
        x = rounded(wk_add(wk_scale(x, a), wk_matmul(update, x)));
    }
    return is_tall ? wk_transpose(x, 0, 1) : x;
}

static double muon_rate(const wk__group *group, const wk_tensor *p) {
    double lr = wk__scalars(group)[WK_STEP_LR], rows = (double)p->shape[0], columns = (double)p->shape[1];
    switch ((int)wk__option_of(group, SCALE)) {
    case WK_MUON_MATCH_RMS_ADAMW: return lr * 0.2 * sqrt(fmax(rows, columns));
    case WK_MUON_SPECTRAL_UNCLAMPED: return lr * sqrt(rows / columns);
    default: return lr * sqrt(fmax(1, rows / columns));
    }
}

static wk_status muon_update(wk_optim *o, const wk__group *group, wk__entry *e, wk_tensor *p, wk_tensor *g) {
    const double *scalars = wk__scalars(group);
    double momentum = wk__option_of(group, MOMENTUM);
    wk_tensor *buffer = wk__lerp(e->state[0], g, 1 - momentum);
    wk_tensor *update = wk__option_of(group, NESTEROV) != 0 ? wk__lerp(g, buffer, momentum) : buffer;
    if (!update) return wk_error_code();
    update = wk_cast(orthogonalised(group, update), (wk_dtype)p->dtype);
    WK_TRY(wk__stage(o, e->state[0], buffer));
    wk_tensor *shrunk = wk_scale(p, 1 - scalars[WK_STEP_LR] * scalars[WK_STEP_DECAY]);
    return wk__stage(o, p, wk_add(shrunk, wk_scale(update, -muon_rate(group, p))));
}

static const char *muon_refuses(const wk_tensor *p) {
    return p->rank == 2 && p->count > 0 ? NULL : "a matrix; give the others to another optimizer";
}

static const wk__optim_kind muon_kind = {
    .update = muon_update,
    .refuses = muon_refuses,
    .state = { "momentum_buffer" },
    .option = { { "momentum", WK__AT_LEAST_0 },
                { "nesterov", WK__FIXED },
                { "a", WK__FINITE },
                { "b", WK__FINITE },
                { "c", WK__FINITE },
                { "eps", WK__AT_LEAST_0 },
                { "ns_steps", WK__FIXED },
                { "adjust_lr_fn", WK__FIXED } },
};
wk_optim *wk_muon(wk_named_tensors parameters, wk_muon_opts opts) {
    if (wk_failed()) return NULL;
    if (opts.ns_steps < 0 || opts.ns_steps > 99)
        return wk_fail_null(WK_INVALID, "Muon: ns_steps is %lld, expected 1 to 99", (long long)opts.ns_steps);
    if (opts.scale < WK_MUON_ORIGINAL || opts.scale > WK_MUON_SPECTRAL_UNCLAMPED)
        return wk_fail_null(WK_INVALID, "Muon: scale is %d, expected a wk_muon_scale", opts.scale);
    wk__optim_plan plan = { .kind = &muon_kind, .name = "Muon", .states = 1 };
    double *option = plan.scalars + WK_STEP_OPTION;
    plan.scalars[WK_STEP_LR] = or_default(opts.lr, 1e-3);
    plan.scalars[WK_STEP_DECAY] = wk_optional_or(opts.weight_decay, 0.1);
    option[MOMENTUM] = wk_optional_or(opts.momentum, 0.95);
    option[NESTEROV] = !opts.no_nesterov;
    option[NS_A] = wk_optional_or(opts.a, 3.4445);
    option[NS_B] = wk_optional_or(opts.b, -4.775);
    option[NS_C] = wk_optional_or(opts.c, 2.0315);
    option[NS_EPS] = or_default(opts.eps, 1e-7);
    option[NS_STEPS] = opts.ns_steps ? (double)opts.ns_steps : 5;
    option[SCALE] = opts.scale;
    return wk__optim_create(&plan, parameters);
}
