/* softmax.c: softmax and log-softmax along an axis, and their gradients.
 *
 *   softmax       y = exp(x - max) / sum exp(x - max)      dx = y (dy - sum(dy y))
 *   log-softmax   y = x - max - log sum exp(x - max)       dx = dy - exp(y) sum(dy)
 *
 * Every line is handled by one thread, in passes over chunks that stay in the first-level cache (lines.h).  Lines along
 * another axis than the innermost are done many at once, side by side, row by row of memory; where rows are short or
 * have gaps they are gathered chunk by chunk.
 * An f32 line keeps its exponentials in its results between the passes; for half types, which have nowhere to keep
 * them, they are computed again.
 */
#include "cpu/simd/lines.h"

/* out (n) = map of a and b (n), by the line's numbers p and q. */
#define MAP(name, expression_f32, expression_f64)                                                                     \
    static void name##_f32(float *restrict out, const float *restrict first, const float *restrict second, double p_, \
                           double q_, int64_t n) {                                                                    \
        float p = (float)p_, q = (float)q_;                                                                           \
        for (int64_t i = 0; i < n; i++) {                                                                             \
            float a = first[i], b = second[i];                                                                        \
            (void)b, (void)p, (void)q;                                                                                \
            out[i] = expression_f32;                                                                                  \
        }                                                                                                             \
    }                                                                                                                 \
    static void name##_f64(double *restrict out, const double *restrict first, const double *restrict second,         \
                           double p, double q, int64_t n) {                                                           \
        for (int64_t i = 0; i < n; i++) {                                                                             \
            double a = first[i], b = second[i];                                                                       \
            (void)b, (void)p, (void)q;                                                                                \
            out[i] = expression_f64;                                                                                  \
        }                                                                                                             \
    }                                                                                                                 \
    static void name##_columns_f32(float *restrict out, const float *restrict first, const float *restrict second,    \
                                   const double *restrict p_, const double *restrict q_, int64_t n) {                 \
        for (int64_t i = 0; i < n; i++) {                                                                             \
            float a = first[i], b = second[i], p = (float)p_[i], q = (float)q_[i];                                    \
            (void)b, (void)p, (void)q;                                                                                \
            out[i] = expression_f32;                                                                                  \
        }                                                                                                             \
    }                                                                                                                 \
    static void name##_columns_f64(double *restrict out, const double *restrict first, const double *restrict second, \
                                   const double *restrict p_, const double *restrict q_, int64_t n) {                 \
        for (int64_t i = 0; i < n; i++) {                                                                             \
            double a = first[i], b = second[i], p = p_[i], q = q_[i];                                                 \
            (void)b, (void)p, (void)q;                                                                                \
            out[i] = expression_f64;                                                                                  \
        }                                                                                                             \
    }
MAP(softmax, wk_exp_of_negative(a - p) * q, exp(a - p) * q)  /* p: max, q: 1 / sum */
MAP(log_softmax, a - p - q, a - p - q)                       /* p: max, q: log sum */
MAP(softmax_grad, b *(a - p), b *(a - p))                    /* a: dy, b: y, p: sum(dy y) */
MAP(log_softmax_grad, a - wk_exp_f32(b) * p, a - exp(b) * p) /* p: sum(dy) */

typedef void (*map_f32)(float *restrict out, const float *restrict a, const float *restrict b, double p, double q,
                        int64_t n);
typedef void (*map_f64)(double *restrict out, const double *restrict a, const double *restrict b, double p, double q,
                        int64_t n);
enum { SOFTMAX, LOG_SOFTMAX, SOFTMAX_GRAD, LOG_SOFTMAX_GRAD };
static const map_f32 maps_f32[] = { softmax_f32, log_softmax_f32, softmax_grad_f32, log_softmax_grad_f32 };
static const map_f64 maps_f64[] = { softmax_f64, log_softmax_f64, softmax_grad_f64, log_softmax_grad_f64 };

typedef void (*columns_f32)(float *restrict out, const float *restrict a, const float *restrict b,
                            const double *restrict p, const double *restrict q, int64_t n);
typedef void (*columns_f64)(double *restrict out, const double *restrict a, const double *restrict b,
                            const double *restrict p, const double *restrict q, int64_t n);
static const columns_f32 column_maps_f32[] = { softmax_columns_f32, log_softmax_columns_f32, softmax_grad_columns_f32,
                                               log_softmax_grad_columns_f32 };
static const columns_f64 column_maps_f64[] = { softmax_columns_f64, log_softmax_columns_f64, softmax_grad_columns_f64,
                                               log_softmax_grad_columns_f64 };

typedef struct softmax_plan {
    int what;
    unsigned dtype;
    int64_t length, step[3]; /* along the axis: out, first input, second input */
    int64_t row_step[3];     /* along the walk's rows */
    char *data[3];
} softmax_plan;

static double line_dot(const wk_line *a, const wk_line *b) {
    wk_staging first, second;
    double total = 0;
    for (int64_t at = 0; at < a->n; at += WK_CHUNK) {
        int64_t n = wk_chunk_length(at, a->n);
        const void *x = wk_line_chunk(a, at, n, &first), *y = wk_line_chunk(b, at, n, &second);
        total += a->dtype == WK_F64 ? wk_chunk_dot_f64(x, y, n) : wk_chunk_dot_f32(x, y, n);
    }
    return total;
}

/* The numbers that a line's elements are mapped with. */
static void measure(const softmax_plan *plan, const wk_line *a, const wk_line *b, double *p, double *q) {
    *q = 0;
    switch (plan->what) {
    case SOFTMAX:
        *p = wk_line_max(a);
        *q = 1 / wk_line_exp_sum(a, *p);
        return;
    case LOG_SOFTMAX:
        *p = wk_line_max(a);
        *q = log(wk_line_exp_sum(a, *p));
        return;
    case SOFTMAX_GRAD: *p = line_dot(a, b); return;
    default: *p = wk_line_sum(a);
    }
}

static void map_line(const softmax_plan *plan, char *out, const wk_line *a, const wk_line *b) {
    double p, q;
    measure(plan, a, b, &p, &q);
    wk_staging first, second, result;
    bool direct = plan->step[0] == 1 && !wk_is_half(plan->dtype), two = plan->what >= SOFTMAX_GRAD;
    for (int64_t at = 0; at < plan->length; at += WK_CHUNK) {
        int64_t n = wk_chunk_length(at, plan->length);
        const void *x = wk_line_chunk(a, at, n, &first), *y = two ? wk_line_chunk(b, at, n, &second) : x;
        char *to = out + at * plan->step[0] * (int64_t)wk_size_of(plan->dtype);
        void *target = direct ? (void *)to : &result;
        if (plan->dtype == WK_F64)
            maps_f64[plan->what](target, x, y, p, q, n);
        else
            maps_f32[plan->what](target, x, y, p, q, n);
        if (!direct) wk_stage_out(to, &result, plan->dtype, plan->step[0], n);
    }
}

/* The usual line, f32 and contiguous. */
static void softmax_f32_line(float *y, const float *x, int64_t n) {
    double largest = -(double)INFINITY, sum = 0;
    for (int64_t at = 0; at < n; at += WK_CHUNK) {
        double part = wk_chunk_max_f32(x + at, wk_chunk_length(at, n));
        largest = part > largest ? part : largest;
    }
    for (int64_t at = 0; at < n; at += WK_CHUNK)
        sum += wk_chunk_exp_f32(y + at, x + at, largest, wk_chunk_length(at, n));
    float scale = (float)(1 / sum);
    for (int64_t i = 0; i < n; i++) y[i] *= scale;
}

/* ---- lines side by side, where memory runs across them ---- */

/* What the lines' numbers are made of, one row of them at a time: the largest; the sum of exponentials; the sum of
 * products; the sum. */
typedef enum gathered { LARGEST, EXPONENTIALS, PRODUCTS, SUMS } gathered;
#define GATHER(suffix, type, exponential)                                                                              \
    static void gather_##suffix(gathered what, type *restrict into, const type *restrict shift,                        \
                                const type *restrict a, const type *restrict b, int64_t n) {                           \
        switch (what) {                                                                                                \
        case LARGEST:                                                                                                  \
            for (int64_t i = 0; i < n; i++) into[i] = a[i] > into[i] ? a[i] : into[i];                                 \
            return;                                                                                                    \
        case EXPONENTIALS:                                                                                             \
            for (int64_t i = 0; i < n; i++) into[i] += exponential(a[i] - shift[i]);                                   \
            return;                                                                                                    \
        case PRODUCTS:                                                                                                 \
            for (int64_t i = 0; i < n; i++) into[i] += a[i] * b[i];                                                    \
            return;                                                                                                    \
        default:                                                                                                       \
            for (int64_t i = 0; i < n; i++) into[i] += a[i];                                                           \
        }                                                                                                              \
    }                                                                                                                  \
    /* Rows [from, to) into `part`, which is joined to what the rows before gave. */                                   \
    static void gather_some_##suffix(const softmax_plan *plan, char *const at[], gathered what, double *restrict into, \
                                     const type *shift, int64_t n, int64_t from, int64_t to) {                         \
        wk_staging first, second;                                                                                      \
        type part[WK_CHUNK];                                                                                           \
        int64_t size = (int64_t)wk_size_of(plan->dtype);                                                               \
        for (int64_t i = 0; i < n; i++) part[i] = what == LARGEST ? -(type)INFINITY : 0;                               \
        for (int64_t j = from; j < to; j++) {                                                                          \
            const void *a = wk_stage_in(&first, at[1] + j * plan->step[1] * size, plan->dtype, 1, n);                  \
            const void *b = a;                                                                                         \
            if (what == PRODUCTS) b = wk_stage_in(&second, at[2] + j * plan->step[2] * size, plan->dtype, 1, n);       \
            gather_##suffix(what, part, shift, a, b, n);                                                               \
        }                                                                                                              \
        if (what == LARGEST)                                                                                           \
            for (int64_t i = 0; i < n; i++) into[i] = (double)part[i] > into[i] ? (double)part[i] : into[i];           \
        else                                                                                                           \
            for (int64_t i = 0; i < n; i++) into[i] += (double)part[i];                                                \
    }
GATHER(f32, float, wk_exp_of_negative)
GATHER(f64, double, exp)

enum { ROWS_AT_ONCE = 16 }; /* are added up in f32 */
static void gather_rows(const softmax_plan *plan, char *const at[], gathered what, double *into, const double *p,
                        int64_t n) {
    float shift[WK_CHUNK];
    for (int64_t i = 0; p && i < n; i++) shift[i] = (float)p[i];
    for (int64_t i = 0; i < n; i++) into[i] = what == LARGEST ? -(double)INFINITY : 0;
    for (int64_t j = 0; j < plan->length; j += ROWS_AT_ONCE) {
        int64_t end = j + ROWS_AT_ONCE < plan->length ? j + ROWS_AT_ONCE : plan->length;
        if (plan->dtype == WK_F64)
            gather_some_f64(plan, at, what, into, p, n, j, end);
        else
            gather_some_f32(plan, at, what, into, shift, n, j, end);
    }
}

static void map_columns(const softmax_plan *plan, char *const at[], int64_t n) {
    double p[WK_CHUNK], q[WK_CHUNK] = { 0 };
    wk_staging first, second, result;
    int64_t size = (int64_t)wk_size_of(plan->dtype);
    bool forward = plan->what < SOFTMAX_GRAD;
    gather_rows(plan, at, forward ? LARGEST : plan->what == SOFTMAX_GRAD ? PRODUCTS : SUMS, p, NULL, n);
    if (forward) gather_rows(plan, at, EXPONENTIALS, q, p, n);
    for (int64_t i = 0; forward && i < n; i++) q[i] = plan->what == SOFTMAX ? 1 / q[i] : log(q[i]);
    for (int64_t j = 0; j < plan->length; j++) {
        const void *a = wk_stage_in(&first, at[1] + j * plan->step[1] * size, plan->dtype, 1, n);
        const void *b = forward ? a : wk_stage_in(&second, at[2] + j * plan->step[2] * size, plan->dtype, 1, n);
        if (plan->dtype == WK_F64)
            column_maps_f64[plan->what](result.f64, a, b, p, q, n);
        else
            column_maps_f32[plan->what](result.f32, a, b, p, q, n);
        wk_stage_out(at[0] + j * plan->step[0] * size, &result, plan->dtype, 1, n);
    }
}

static void columns_visit(const void *context, const int64_t offset[], int64_t n) {
    const softmax_plan *plan = context;
    for (int64_t i = 0; i < n; i += WK_CHUNK) {
        char *at[3];
        for (int k = 0; k < 3; k++) at[k] = plan->data[k] + (offset[k] + i) * (int64_t)wk_size_of(plan->dtype);
        map_columns(plan, at, wk_chunk_length(i, n));
    }
}

/* ---- one line after the other ---- */

static void softmax_visit(const void *context, const int64_t offset[], int64_t n) {
    const softmax_plan *plan = context;
    int64_t size = (int64_t)wk_size_of(plan->dtype);
    bool usual = plan->what == SOFTMAX && plan->dtype == WK_F32 && plan->step[0] == 1 && plan->step[1] == 1;
    for (int64_t i = 0; i < n; i++) {
        char *at[3];
        for (int k = 0; k < 3; k++) at[k] = plan->data[k] + (offset[k] + i * plan->row_step[k]) * size;
        wk_line a = { at[1], plan->step[1], plan->length, plan->dtype };
        wk_line b = { at[2], plan->step[2], plan->length, plan->dtype };
        if (usual)
            softmax_f32_line((float *)(void *)at[0], (const float *)(const void *)at[1], plan->length);
        else
            map_line(plan, at[0], &a, &b);
    }
}

static wk_status run(const wk_kernel_ctx *ctx, const wk_call *call, int what) {
    const wk_tensor *out = call->out[0];
    const wk_axis_opts *opts = call->attrs;
    if (!out->count) return WK_OK;
    const wk_tensor *operand[3] = { out, call->in[0], what >= SOFTMAX_GRAD ? call->in[1] : call->in[0] };
    int axis = (int)wk_optional_or(opts->axis, -1);
    if (axis < 0) axis += out->rank;
    softmax_plan plan = {
        .what = what, .dtype = out->dtype, .length = out->rank ? out->shape[axis] : 1, .step = { 1, 1, 1 }
    };
    wk_walk walk = { .operands = 3 };
    for (int i = 0; i < out->rank; i++) {
        if (i == axis) continue;
        for (int k = 0; k < 3; k++) walk.stride[k][walk.rank] = operand[k]->stride[i];
        walk.shape[walk.rank++] = out->shape[i];
    }
    wk_walk_simplify(&walk);
    for (int k = 0; k < 3; k++) {
        if (plan.length > 1) plan.step[k] = operand[k]->stride[axis];
        plan.row_step[k] = walk.stride[k][walk.rank - 1];
        plan.data[k] = operand[k]->data;
    }
    bool across = plan.length > 1 && walk.shape[walk.rank - 1] >= 8;
    for (int k = 0; k < 3; k++) across = across && plan.step[k] != 1 && plan.row_step[k] == 1;
    int team = wk_cpu_team(ctx, 2 * out->count * (int64_t)wk_size_of(out->dtype));
    wk_walk_lines(&walk, team, across ? columns_visit : softmax_visit, &plan);
    return WK_OK;
}

static wk_status softmax(wk_kernel_ctx *ctx, const wk_call *call) {
    return run(ctx, call, SOFTMAX);
}
static wk_status log_softmax(wk_kernel_ctx *ctx, const wk_call *call) {
    return run(ctx, call, LOG_SOFTMAX);
}
static wk_status softmax_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return run(ctx, call, SOFTMAX_GRAD);
}
static wk_status log_softmax_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return run(ctx, call, LOG_SOFTMAX_GRAD);
}

WK_CPU_TABLE(softmax) = {
    { "softmax", WK_FLOATS, softmax },
    { "log_softmax", WK_FLOATS, log_softmax },
    { "softmax_backward", WK_FLOATS, softmax_backward },
    { "log_softmax_backward", WK_FLOATS, log_softmax_backward },
    { 0 },
};
