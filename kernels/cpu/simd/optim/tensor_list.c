/* tensor_list.c: what is asked of all gradients at once: their norm, whether all are finite, one scale and limit.
 *
 * The list is treated as one long array (lists.h) that is cut into the same pieces whatever the team, and what pieces
 * give is joined in order: the same bits for every number of threads.
 */
#include "cpu/simd/optim/lists.h"

#include <math.h>

enum { PIECES = 64 };

#define AS_IS(x) (x)

/* Σ x², in f64 */
#define SQUARES(name, type, load)                                                      \
    static double name(const void *x_, int64_t n) {                                    \
        const type *x = x_;                                                            \
        double s0 = 0, s1 = 0;                                                         \
        int64_t half = n / 2;                                                          \
        _Pragma("omp simd reduction(+ : s0, s1)") for (int64_t i = 0; i < half; i++) { \
            double a = (double)load(x[i]), b = (double)load(x[i + half]);              \
            s0 += a * a;                                                               \
            s1 += b * b;                                                               \
        }                                                                              \
        if (n & 1) s0 += (double)load(x[n - 1]) * (double)load(x[n - 1]);              \
        return s0 + s1;                                                                \
    }
SQUARES(squares_f32, float, AS_IS)
SQUARES(squares_f64, double, AS_IS)
SQUARES(squares_bf16, uint16_t, wk_load_bf16)
SQUARES(squares_f16, uint16_t, wk_load_f16)

/* Σ |x|^p for other p, and the largest |x| (NaN wins) for p = ∞ */
#define POWERS(name, type, load)                                                                                     \
    static double name(const void *x_, int64_t n, double p) {                                                        \
        const type *x = x_;                                                                                          \
        double sum = 0;                                                                                              \
        if (isinf(p)) {                                                                                              \
            for (int64_t i = 0; i < n; i++) {                                                                        \
                double a = fabs((double)load(x[i]));                                                                 \
                sum = sum > a || isnan(sum) ? sum : a;                                                               \
            }                                                                                                        \
            return sum;                                                                                              \
        }                                                                                                            \
        for (int64_t i = 0; i < n; i++) sum += p == 1 ? fabs((double)load(x[i])) : pow(fabs((double)load(x[i])), p); \
        return sum;                                                                                                  \
    }
POWERS(powers_f32, float, AS_IS)
POWERS(powers_f64, double, AS_IS)
POWERS(powers_bf16, uint16_t, wk_load_bf16)
POWERS(powers_f16, uint16_t, wk_load_f16)

/* x − x is 0 for finite numbers only, and a sum of zeros stays 0: a loop that vectorises. */
#define NONFINITE(name, type, load)                                                \
    static double name(const void *x_, int64_t n) {                                \
        const type *x = x_;                                                        \
        double found = 0;                                                          \
        _Pragma("omp simd reduction(+ : found)") for (int64_t i = 0; i < n; i++) { \
            double a = (double)load(x[i]);                                         \
            found += a - a != 0 ? 1 : 0;                                           \
        }                                                                          \
        return found;                                                              \
    }
NONFINITE(nonfinite_f32, float, AS_IS)
NONFINITE(nonfinite_f64, double, AS_IS)
NONFINITE(nonfinite_bf16, uint16_t, wk_load_bf16)
NONFINITE(nonfinite_f16, uint16_t, wk_load_f16)

enum { NORM, COUNT_NONFINITE };
typedef struct list_piece {
    wk_tensor *const *list;
    int what;
    double p, sum;
} list_piece;

static double of_part(const list_piece *piece, unsigned dtype, const void *x, int64_t n) {
#define CHOOSE(suffix)                                         \
    (piece->what == COUNT_NONFINITE ? nonfinite_##suffix(x, n) \
     : piece->p == 2                ? squares_##suffix(x, n)   \
                                    : powers_##suffix(x, n, piece->p))
    switch (dtype) {
    case WK_F32: return CHOOSE(f32);
    case WK_F64: return CHOOSE(f64);
    case WK_BF16: return CHOOSE(bf16);
    default: return CHOOSE(f16);
    }
}

static double joined(const list_piece *piece, double a, double b) {
    if (piece->what == NORM && isinf(piece->p)) return a > b || isnan(a) ? a : b;
    return a + b;
}

static void piece_visit(void *context, int64_t which, int64_t begin, int64_t n) {
    list_piece *piece = context;
    const wk_tensor *t = piece->list[which];
    piece->sum = joined(piece, piece->sum, of_part(piece, t->dtype, wk_list_element(t, begin), n));
}

static double piece_sum(const list_piece *all, int64_t count, int64_t total, int which) {
    list_piece piece = *all;
    int64_t begin, end;
    wk_share(total, 64, which, PIECES, &begin, &end);
    wk_list_range(piece.list, count, begin, end, piece_visit, &piece);
    return piece.sum;
}

static double over_list(wk_kernel_ctx *ctx, const wk_call *call, const list_piece *all) {
    int64_t total = wk_list_total(call->in, call->n_in);
    int team = wk_moving_team(ctx, 4 * total);
    double sums[PIECES], result = 0;
    if (team == 1) {
        for (int i = 0; i < PIECES; i++) sums[i] = piece_sum(all, call->n_in, total, i);
    } else {
#pragma omp parallel for schedule(static) num_threads(team)
        for (int i = 0; i < PIECES; i++) sums[i] = piece_sum(all, call->n_in, total, i);
    }
    for (int i = 0; i < PIECES; i++) result = joined(all, result, sums[i]);
    return result;
}

/* (tensor…) -> f64 */
static wk_status global_norm(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_norm_attrs *attrs = call->attrs;
    double p = attrs->p != 0 ? attrs->p : 2;
    double sum = over_list(ctx, call, &(list_piece){ call->in, NORM, p, 0 });
    *(double *)call->out[0]->data = isinf(p) || p == 1 ? sum : p == 2 ? sqrt(sum) : pow(sum, 1 / p);
    return WK_OK;
}

/* (tensor…) -> f64 */
static wk_status any_nonfinite(wk_kernel_ctx *ctx, const wk_call *call) {
    double found = over_list(ctx, call, &(list_piece){ call->in, COUNT_NONFINITE, 0, 0 });
    *(double *)call->out[0]->data = found != 0;
    return WK_OK;
}

/* ---- change in place ---- */

/* x = clamp(x · factor, −limit, limit); NaN stays NaN */
#define ADJUST(name, type, wide, load, store)                              \
    static void name(void *x_, int64_t n, double factor_, double limit_) { \
        type *x = x_;                                                      \
        const wide factor = (wide)factor_, limit = (wide)limit_;           \
        for (int64_t i = 0; i < n; i++) {                                  \
            wide a = load(x[i]) * factor;                                  \
            x[i] = store(a > limit ? limit : a < -limit ? -limit : a);     \
        }                                                                  \
    }
ADJUST(adjust_f32, float, float, AS_IS, AS_IS)
ADJUST(adjust_f64, double, double, AS_IS, AS_IS)
ADJUST(adjust_bf16, uint16_t, float, wk_load_bf16, wk_store_bf16)
ADJUST(adjust_f16, uint16_t, float, wk_load_f16, wk_store_f16)

static void adjust_visit(void *context, int64_t which, int64_t begin, int64_t n) {
    const wk_call *call = context;
    const wk_tensor *t = call->in[1 + which];
    const double *limits = call->in[0]->data;
    void *x = wk_list_element(t, begin);
    switch (t->dtype) {
    case WK_F32: adjust_f32(x, n, limits[0], limits[1]); return;
    case WK_F64: adjust_f64(x, n, limits[0], limits[1]); return;
    case WK_BF16: adjust_bf16(x, n, limits[0], limits[1]); return;
    default: adjust_f16(x, n, limits[0], limits[1]);
    }
}

/* (limits, tensor…) */
static wk_status adjust_list(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_call copy = *call;
    int64_t count = call->n_in - 1, total = wk_list_total(call->in + 1, count);
    int team = wk_moving_team(ctx, 8 * total);
    if (team == 1) {
        wk_list_range(call->in + 1, count, 0, total, adjust_visit, &copy);
        return WK_OK;
    }
#pragma omp parallel num_threads(team)
    {
        int64_t begin, end;
        wk_share(total, 64, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
        wk_list_range(call->in + 1, count, begin, end, adjust_visit, &copy);
    }
    return WK_OK;
}

/* (norm, factor) */
static wk_status clip_factor(wk_kernel_ctx *ctx, const wk_call *call) {
    (void)ctx;
    const wk_clip_attrs *attrs = call->attrs;
    const double factor = attrs->most / (*(const double *)call->in[0]->data * attrs->scale + 1e-6);
    *(double *)call->in[1]->data = factor >= 1 ? 1 : factor; /* NaN is not */
    return WK_OK;
}

WK_CPU_TABLE(tensor_list) = {
    { "global_norm", WK_FLOATS, global_norm },
    { "any_nonfinite", WK_FLOATS, any_nonfinite },
    { "adjust_list", WK_FLOATS, adjust_list },
    { "clip_factor", WK_SET_OF(WK_F64), clip_factor },
    { 0 },
};
