/* logsumexp.c: log Σ e^x over axes, by the line arithmetic of softmax: the largest first, then the sum of what remains
 * of the exponents.  One thread does one output. */
#include "cpu/simd/lines.h"

typedef struct plan {
    wk_walk reduced; /* (x) */
    char *out;
    const char *x;
    unsigned dtype;
    int64_t out_step, x_step; /* along the walk's rows, in bytes */
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
static void add_up(const void *context, const int64_t offset[], int64_t n) {
    const pass *p = context;
    wk_line line = line_of(p, offset[0], n);
    *p->sum += wk_line_exp_sum(&line, isinf(*p->largest) ? 0 : *p->largest);
}

static void visit(const void *context, const int64_t offset[], int64_t n) {
    const plan *of = context;
    int64_t size = (int64_t)wk_size_of(of->dtype), count = wk_walk_count(&of->reduced);
    for (int64_t i = 0; i < n; i++) {
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
    wk_walk_lines(&kept, wk_cpu_team(ctx, 4 * x->count * size), visit, &p);
    return WK_OK;
}

WK_CPU_TABLE(logsumexp) = { { "logsumexp", WK_FLOATS, logsumexp }, { 0 } };
