/* optimizer.c: SGD and Adam steps over a whole list of parameters, and the norm of all gradients.
 *
 * One parallel region for the list: a model has many small tensors, and a region each would cost more than the work.
 * The list is treated as one long array, cut evenly over the team, so one large layer does not keep a thread alone.  A
 * step reads and writes each number once (28 bytes a parameter for Adam), which is what limits it.
 *
 * Scalars (bias corrections, the step size) are computed in f64 and rounded once, and operations happen in the order of
 * torch.optim's loop over tensors, so f32 results follow it to the last bits.
 */
#include "cpu/simd/iterate.h"

#include <math.h>

/* torch.optim.SGD, see op_attrs.h */
typedef struct sgd_numbers {
    double lr, factor, weight_decay, momentum, fresh; /* fresh: what the gradient enters the momentum with */
    bool nesterov, with_momentum;
} sgd_numbers;

#define SGD_ROW(name, type)                                                                                         \
    static void name(type *restrict p, const type *restrict g, type *restrict m, int64_t n, const sgd_numbers *s) { \
        type lr = (type)s->lr, factor = (type)s->factor, decay = (type)s->weight_decay;                             \
        type momentum = (type)s->momentum, fresh = (type)s->fresh;                                                  \
        type kept = s->nesterov ? momentum : 1, direct = s->nesterov ? 1 : 0;                                       \
        if (!s->with_momentum) {                                                                                    \
            for (int64_t i = 0; i < n; i++) p[i] -= lr * (g[i] * factor + decay * p[i]);                            \
            return;                                                                                                 \
        }                                                                                                           \
        for (int64_t i = 0; i < n; i++) {                                                                           \
            type d = g[i] * factor + decay * p[i], next = momentum * m[i] + fresh * d;                              \
            m[i] = next;                                                                                            \
            p[i] -= lr * (direct * d + kept * next);                                                                \
        }                                                                                                           \
    }                                                                                                               \
    /* The first step: what the memory of `m` holds is not read, it may be anything. */                             \
    static void name##_first(type *restrict p, const type *restrict g, type *restrict m, int64_t n,                 \
                             const sgd_numbers *s) {                                                                \
        type lr = (type)s->lr, factor = (type)s->factor, decay = (type)s->weight_decay;                             \
        type both = s->nesterov ? (type)(1 + s->momentum) : 1;                                                      \
        for (int64_t i = 0; i < n; i++) {                                                                           \
            type d = g[i] * factor + decay * p[i];                                                                  \
            m[i] = d;                                                                                               \
            p[i] -= lr * (both * d);                                                                                \
        }                                                                                                           \
    }
SGD_ROW(sgd_f32, float)
SGD_ROW(sgd_f64, double)

/* torch.optim.Adam and AdamW, see op_attrs.h */
typedef struct adam_numbers {
    double factor, shrink, weight_decay; /* shrink: what a decoupled decay leaves of p */
    double beta2, one_less_beta1, one_less_beta2;
    double step_size, correction; /* lr / (1 - beta1^t), sqrt(1 - beta2^t) */
    double eps;
} adam_numbers;

#define ADAM_ROW(name, type, root)                                                                            \
    static void name(type *restrict p, const type *restrict g, type *restrict m, type *restrict v, int64_t n, \
                     const adam_numbers *s) {                                                                 \
        type factor = (type)s->factor, shrink = (type)s->shrink, decay = (type)s->weight_decay;               \
        type beta2 = (type)s->beta2, weight1 = (type)s->one_less_beta1, weight2 = (type)s->one_less_beta2;    \
        type step_size = (type)-s->step_size, correction = (type)s->correction, eps = (type)s->eps;           \
        for (int64_t i = 0; i < n; i++) {                                                                     \
            type parameter = p[i] * shrink, gradient = g[i] * factor + decay * parameter;                     \
            type first = m[i] + weight1 * (gradient - m[i]);                                                  \
            type second = v[i] * beta2 + weight2 * gradient * gradient;                                       \
            m[i] = first;                                                                                     \
            v[i] = second;                                                                                    \
            p[i] = parameter + step_size * first / (root(second) / correction + eps);                         \
        }                                                                                                     \
    }
ADAM_ROW(adam_f32, float, sqrtf)
ADAM_ROW(adam_f64, double, sqrt)

/* ---- walking the list
 * -------------------------------------------------------------------------------------------------- */

/* Elements [begin, begin + n) of tensor `which` of a list. */
typedef void (*list_visit)(void *context, int64_t which, int64_t begin, int64_t n);

static int64_t list_total(wk_tensor *const *list, int64_t count) {
    int64_t total = 0;
    for (int64_t i = 0; i < count; i++) total += list[i]->count;
    return total;
}

/* The part [begin, end) of the list seen as one array. */
static void list_range(wk_tensor *const *list, int64_t count, int64_t begin, int64_t end, list_visit visit,
                       void *context) {
    for (int64_t i = 0, first = 0; i < count && first < end; first += list[i++]->count) {
        int64_t from = begin > first ? begin - first : 0,
                to = end - first < list[i]->count ? end - first : list[i]->count;
        if (from < to) visit(context, i, from, to - from);
    }
}

static void list_team(wk_tensor *const *list, int64_t count, int team, list_visit visit, void *context) {
    int64_t total = list_total(list, count);
    if (team == 1) {
        list_range(list, count, 0, total, visit, context);
        return;
    }
#pragma omp parallel num_threads(team)
    {
        int64_t begin, end;
        wk_share(total, 64, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
        list_range(list, count, begin, end, visit, context);
    }
}

static inline void *element(const wk_tensor *t, int64_t at) {
    return (char *)t->data + at * (int64_t)wk_size_of(t->dtype);
}

/* ---- steps
 * ------------------------------------------------------------------------------------------------------------- */

typedef struct step {
    wk_tensor *const *parameter, *const *gradient, *const *first, *const *second;
    sgd_numbers sgd;
    adam_numbers adam;
    bool first_step;
} step;

static void sgd_visit(void *context, int64_t which, int64_t begin, int64_t n) {
    const step *s = context;
    bool with_momentum = s->sgd.with_momentum;
    void *p = element(s->parameter[which], begin), *g = element(s->gradient[which], begin);
    void *m = with_momentum ? element(s->first[which], begin) : NULL;
    bool fresh = with_momentum && s->first_step;
    if (s->parameter[which]->dtype == WK_F64)
        (fresh ? sgd_f64_first : sgd_f64)(p, g, m, n, &s->sgd);
    else
        (fresh ? sgd_f32_first : sgd_f32)(p, g, m, n, &s->sgd);
}

static void adam_visit(void *context, int64_t which, int64_t begin, int64_t n) {
    const step *s = context;
    void *p = element(s->parameter[which], begin), *g = element(s->gradient[which], begin);
    void *m = element(s->first[which], begin), *v = element(s->second[which], begin);
    if (s->parameter[which]->dtype == WK_F64)
        adam_f64(p, g, m, v, n, &s->adam);
    else
        adam_f32(p, g, m, v, n, &s->adam);
}

/* scalars: lr, step count, gradient factor, found_inf */
static wk_status sgd_step(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_sgd_attrs *attrs = call->attrs;
    const double *scalars = call->in[0]->data;
    if (scalars[3] != 0 || attrs->count == 0) return WK_OK;
    wk_tensor *const *parameter = call->in + 1;
    step s = { .parameter = parameter, .gradient = parameter + attrs->count, .first = parameter + 2 * attrs->count };
    s.first_step = scalars[1] == 1;
    s.sgd = (sgd_numbers){ .lr = scalars[0],
                           .factor = scalars[2],
                           .weight_decay = attrs->weight_decay,
                           .momentum = attrs->momentum,
                           .fresh = 1 - attrs->dampening,
                           .nesterov = attrs->nesterov,
                           .with_momentum = attrs->momentum != 0 };
    int64_t bytes = list_total(parameter, attrs->count) * (attrs->momentum != 0 ? 20 : 12);
    list_team(parameter, attrs->count, wk_moving_team(ctx, bytes), sgd_visit, &s);
    return WK_OK;
}

static wk_status adam_step(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_adam_attrs *attrs = call->attrs;
    const double *scalars = call->in[0]->data;
    if (scalars[3] != 0 || attrs->count == 0) return WK_OK;
    wk_tensor *const *parameter = call->in + 1;
    step s = { .parameter = parameter,
               .gradient = parameter + attrs->count,
               .first = parameter + 2 * attrs->count,
               .second = parameter + 3 * attrs->count };
    double lr = scalars[0], t = scalars[1];
    s.adam = (adam_numbers){ .factor = scalars[2],
                             .shrink = attrs->decoupled ? 1 - lr * attrs->weight_decay : 1,
                             .weight_decay = attrs->decoupled ? 0 : attrs->weight_decay,
                             .beta2 = attrs->beta2,
                             .one_less_beta1 = 1 - attrs->beta1,
                             .one_less_beta2 = 1 - attrs->beta2,
                             .step_size = lr / (1 - pow(attrs->beta1, t)),
                             .correction = sqrt(1 - pow(attrs->beta2, t)),
                             .eps = attrs->eps };
    int64_t bytes = list_total(parameter, attrs->count) * 28;
    list_team(parameter, attrs->count, wk_moving_team(ctx, bytes), adam_visit, &s);
    return WK_OK;
}

/* ---- norm
 * -------------------------------------------------------------------------------------------------------------- */

/* The list is cut into this many pieces whatever the team, and their sums are joined in order. */
enum { PIECES = 64 };

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
#define AS_IS(x) (x)
SQUARES(squares_f32, float, AS_IS)
SQUARES(squares_f64, double, AS_IS)
SQUARES(squares_bf16, uint16_t, wk_load_bf16)
SQUARES(squares_f16, uint16_t, wk_load_f16)

typedef struct norm_piece {
    wk_tensor *const *list;
    double sum;
} norm_piece;

static void norm_visit(void *context, int64_t which, int64_t begin, int64_t n) {
    norm_piece *piece = context;
    const void *x = element(piece->list[which], begin);
    switch (piece->list[which]->dtype) {
    case WK_F32: piece->sum += squares_f32(x, n); return;
    case WK_F64: piece->sum += squares_f64(x, n); return;
    case WK_BF16: piece->sum += squares_bf16(x, n); return;
    default: piece->sum += squares_f16(x, n);
    }
}

static double piece_sum(wk_tensor *const *list, int64_t count, int64_t total, int which) {
    norm_piece piece = { list, 0 };
    int64_t begin, end;
    wk_share(total, 64, which, PIECES, &begin, &end);
    list_range(list, count, begin, end, norm_visit, &piece);
    return piece.sum;
}

/* (tensor…) -> f64 */
static wk_status global_norm(wk_kernel_ctx *ctx, const wk_call *call) {
    int64_t total = list_total(call->in, call->n_in);
    int team = wk_moving_team(ctx, 4 * total);
    double sums[PIECES], all = 0;
    if (team == 1) {
        for (int i = 0; i < PIECES; i++) sums[i] = piece_sum(call->in, call->n_in, total, i);
    } else {
#pragma omp parallel for schedule(static) num_threads(team)
        for (int i = 0; i < PIECES; i++) sums[i] = piece_sum(call->in, call->n_in, total, i);
    }
    for (int i = 0; i < PIECES; i++) all += sums[i];
    *(double *)call->out[0]->data = sqrt(all);
    return WK_OK;
}

WK_CPU_TABLE(optimizer) = {
    { "sgd_step", WK_F32_F64, sgd_step },
    { "adam_step", WK_F32_F64, adam_step },
    { "global_norm", WK_FLOATS, global_norm },
    { 0 },
};
