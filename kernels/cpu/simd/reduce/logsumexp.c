/* logsumexp.c: log Σ e^x over axes, by the line arithmetic of softmax: the largest first, then the sum of what remains
 * of the exponents.  One thread does one output, or a tile of outputs where memory runs along them. */
#include "cpu/simd/lines.h"

typedef struct plan {
    wk_walk reduced; /* (x) */
    char *out;
    const char *x;
    unsigned dtype;
    int64_t out_step, x_step; /* along the walk's rows, in bytes */
    bool by_columns;
} plan;

/* Passes over what is behind one output. */
typedef struct pass {
    const plan *of;
    const char *x;
    double *largest, *sum;
} pass;

static wk_line line_of(const pass *p, int64_t offset, int64_t n) {
    const plan *of = p->of;
    return (wk_line){ p->x + offset * (int64_t)wk_size_of(of->dtype), of->reduced.stride[0][of->reduced.rank - 1], n,
                      of->dtype };
}
static void find_largest(const void *context, const int64_t offset[], int64_t n) {
    const pass *p = context;
    wk_line line = line_of(p, offset[0], n);
    double here = wk_line_max(&line);
    if (here > *p->largest) *p->largest = here;
}
/* Of numbers whose largest is infinite: 0 or infinity, or NaN if there is one. */
static double infinite_sum(const wk_line *line) {
    wk_staging buffer;
    double total = 0;
    for (int64_t at = 0; at < line->n; at += WK_CHUNK) {
        int64_t n = wk_chunk_length(at, line->n);
        const void *x = wk_line_chunk(line, at, n, &buffer);
        for (int64_t i = 0; i < n; i++) {
            double value = line->dtype == WK_F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
            total += value == -(double)INFINITY ? 0 : value;
        }
    }
    return total;
}
static void add_up(const void *context, const int64_t offset[], int64_t n) {
    const pass *p = context;
    wk_line line = line_of(p, offset[0], n);
    *p->sum += isinf(*p->largest) ? infinite_sum(&line) : wk_line_exp_sum(&line, *p->largest);
}

/* A short f32 line without gaps, the last axis of attention's scores: 73 ns for 32 numbers by way of the walk. */
static double short_line(const float *x, int64_t n) {
    float e[WK_CHUNK];
    const double largest = wk_chunk_max_f32(x, n);
    if (!isinf(largest)) return largest + log(wk_chunk_exp_f32(e, x, largest, n));
    const wk_line line = { (const char *)x, 1, n, WK_F32 };
    return log(infinite_sum(&line));
}

/* ---- a tile of columns side by side ---- */

enum { TILE = WK_CHUNK };

typedef struct columns {
    const plan *of;
    const char *x;
    int64_t count;
    wk_staging *largest; /* (count), f32 but for f64 */
    wk_staging *sum;     /* (count), f64 */
} columns;

#define COLUMN_PASSES(suffix, type, exponential)                                                                     \
    static void larger_##suffix(type *restrict best, const type *restrict x, int64_t n) {                            \
        for (int64_t c = 0; c < n; c++) best[c] = x[c] > best[c] ? x[c] : best[c];                                   \
    }                                                                                                                \
    static void sums_##suffix(double *restrict sum, const type *restrict x, const type *restrict shift, int64_t n) { \
        for (int64_t c = 0; c < n; c++) sum[c] += (double)exponential(x[c] - shift[c]);                              \
    }
COLUMN_PASSES(f32, float, wk_exp_f32)
COLUMN_PASSES(f64, double, exp)

static void columns_visit(const columns *p, int64_t offset, int64_t n, bool second) {
    int64_t step = p->of->reduced.stride[0][p->of->reduced.rank - 1], size = (int64_t)wk_size_of(p->of->dtype);
    wk_staging held;
    for (int64_t i = 0; i < n; i++) {
        const void *x = wk_stage_in(&held, p->x + (offset + i * step) * size, p->of->dtype, 1, p->count);
        if (p->of->dtype == WK_F64 && second)
            sums_f64(p->sum->f64, x, p->largest->f64, p->count);
        else if (p->of->dtype == WK_F64)
            larger_f64(p->largest->f64, x, p->count);
        else if (second)
            sums_f32(p->sum->f64, x, p->largest->f32, p->count);
        else
            larger_f32(p->largest->f32, x, p->count);
    }
}
static void columns_largest(const void *context, const int64_t offset[], int64_t n) {
    columns_visit(context, offset[0], n, false);
}
static void columns_sum(const void *context, const int64_t offset[], int64_t n) {
    columns_visit(context, offset[0], n, true);
}

/* x and out run along the columns. */
static void visit_tile(const plan *of, const char *x, char *out, int64_t count) {
    wk_staging largest, sum;
    const columns p = { of, x, count, &largest, &sum };
    bool wide = of->dtype == WK_F64;
    for (int64_t c = 0; c < count; c++) {
        if (wide)
            largest.f64[c] = -(double)INFINITY;
        else
            largest.f32[c] = -INFINITY;
        sum.f64[c] = 0;
    }
    int64_t all = wk_walk_count(&of->reduced);
    wk_walk_range(&of->reduced, 0, all, columns_largest, &p);
    for (int64_t c = 0; c < count; c++) {
        if (wide)
            largest.f64[c] = isinf(largest.f64[c]) ? 0 : largest.f64[c];
        else
            largest.f32[c] = isinf(largest.f32[c]) ? 0 : largest.f32[c];
    }
    wk_walk_range(&of->reduced, 0, all, columns_sum, &p);
    for (int64_t c = 0; c < count; c++) {
        if (wide)
            largest.f64[c] += log(sum.f64[c]);
        else
            largest.f32[c] = (float)(log(sum.f64[c]) + (double)largest.f32[c]);
    }
    wk_stage_out(out, &largest, of->dtype, 1, count);
}

static void visit(const void *context, const int64_t offset[], int64_t n) {
    const plan *of = context;
    int64_t size = (int64_t)wk_size_of(of->dtype), count = wk_walk_count(&of->reduced);
    for (int64_t i = 0; of->by_columns && i < n; i += TILE)
        visit_tile(of, of->x + (offset[1] + i) * size, of->out + (offset[0] + i) * size, n - i < TILE ? n - i : TILE);
    const bool is_short = of->dtype == WK_F32 && of->reduced.rank == 1 && of->reduced.stride[0][0] == 1
                          && count <= WK_CHUNK && of->out_step == size;
    for (int64_t i = 0; is_short && i < n; i++) {
        const char *x = of->x + offset[1] * size + i * of->x_step;
        ((float *)(void *)of->out)[offset[0] + i] = (float)short_line((const float *)(const void *)x, count);
    }
    for (int64_t i = 0; !of->by_columns && !is_short && i < n; i++) {
        double largest = -(double)INFINITY, sum = 0;
        const pass p = { of, of->x + offset[1] * size + i * of->x_step, &largest, &sum };
        wk_walk_range(&of->reduced, 0, count, find_largest, &p);
        wk_walk_range(&of->reduced, 0, count, add_up, &p);
        double result = log(sum) + (isinf(largest) ? 0 : largest);
        wk_staging held;
        if (of->dtype == WK_F64)
            held.f64[0] = result;
        else
            held.f32[0] = (float)result;
        wk_stage_out(of->out + offset[0] * size + i * of->out_step, &held, of->dtype, 1, 1);
    }
}

static wk_status logsumexp(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    const wk_reduce_opts *opts = call->attrs;
    if (!out->count) return WK_OK;
    plan p = { .out = out->data, .x = x->data, .dtype = x->dtype };
    wk_walk kept;
    wk_split_axes(&kept, &p.reduced, x, out, opts);
    int64_t size = (int64_t)wk_size_of(x->dtype);
    p.out_step = kept.stride[0][kept.rank - 1] * size;
    p.x_step = kept.stride[1][kept.rank - 1] * size;
    p.by_columns = p.out_step == size && p.x_step == size && p.reduced.stride[0][p.reduced.rank - 1] != 1
                   && wk_walk_count(&p.reduced) > 1;
    wk_walk_lines(&kept, wk_cpu_team(ctx, 4 * x->count * size), visit, &p);
    return WK_OK;
}

WK_CPU_TABLE(logsumexp) = { { "logsumexp", WK_FLOATS, logsumexp }, { 0 } };
