/* linear_cross_entropy.c: the loss of x · weightᵀ + bias against classes, with its gradients, a few rows at a time.
 *
 * Of a chunk of rows the logits are made in scratch memory, become their own gradient there (softmax less one-hot), and
 * are multiplied into dx and dweight at once: three products and no matrix (N, V), where a loss of whole logits needs
 * two of those.  dweight is summed over chunks, so a chunk has as many rows as make those sums cheap (see
 * wk__head_chunk): each passes once over weight and dweight.
 *
 * The forward row does this where its call says so, with dloss = 1, for what is still missing is a factor; without, it
 * makes logits and loss only.  The backward row does it with the dloss that came.  Logits, softmax and all sums are in
 * f32 (f64 for f64) whatever the operands are; with bf16 operands the gradient of logits is rounded to bf16 for its two
 * products, as it is between rows of that type.
 */
#include "cpu/scratch.h"
#include "cpu/simd/iterate.h"
#include "cpu/simd/linalg/gemm.h"
#include "cpu/simd/lines.h"

typedef struct head {
    const wk_tensor *x, *weight, *bias, *target; /* (N, D), (V, D), (V) or NULL, (N) */
    const wk_tensor *dloss;                      /* scalar or (N); NULL: 1 */
    void *dx, *dweight, *dbias;                  /* (N, D), (V, D), (V); NULL: not wanted */
    char *loss;                                  /* scalar or (N), or NULL */
    int64_t rows, width, classes, chunk, counted, ignored;
    double smoothing, share; /* share: of each row in a mean */
    int reduction, threads;
    wk_dtype sums;     /* f32 or f64 */
    wk_dtype products; /* bf16: what x and the gradient of logits are rounded to for the products; else `sums` */
    /* of a chunk, in scratch */
    void *logits, *narrow, *x_narrow, *wide_bias;
    double *row_loss; /* (N) */
} head;

/* ---- one row of logits becomes its gradient ---- */

/* Adds the bias and gives the largest; then x = exp(x - max), and their sum. */
#define HEAD_PASSES(suffix, type, exponential)                                                                       \
    static double shifted_max_##suffix(type *restrict x, const type *restrict bias, int64_t n) {                     \
        for (int64_t i = 0; bias && i < n; i++) x[i] += bias[i];                                                     \
        return wk_chunk_max_##suffix(x, n);                                                                          \
    }                                                                                                                \
    static double exp_in_place_##suffix(type *x, double max, int64_t n) {                                            \
        type shift = (type)max;                                                                                      \
        double total = 0;                                                                                            \
        for (int64_t at = 0; at < n; at += WK_CHUNK) {                                                               \
            int64_t part = wk_chunk_length(at, n);                                                                   \
            for (int64_t i = at; i < at + part; i++) x[i] = exponential(x[i] - shift);                               \
            total += wk_chunk_sum_##suffix(x + at, part);                                                            \
        }                                                                                                            \
        return total;                                                                                                \
    }                                                                                                                \
    static double sum_##suffix(const type *x, int64_t n) {                                                           \
        double total = 0;                                                                                            \
        for (int64_t at = 0; at < n; at += WK_CHUNK) total += wk_chunk_sum_##suffix(x + at, wk_chunk_length(at, n)); \
        return total;                                                                                                \
    }                                                                                                                \
    static void slope_##suffix(type *x, double scale_, double shift_, int64_t n) {                                   \
        type scale = (type)scale_, shift = (type)shift_;                                                             \
        for (int64_t i = 0; i < n; i++) x[i] = x[i] * scale - shift;                                                 \
    }
HEAD_PASSES(f32, float, wk_exp_of_negative)
HEAD_PASSES(f64, double, exp)

static double dloss_of(const head *h, int64_t row) {
    if (!h->dloss) return h->share;
    int64_t at = h->dloss->rank ? row * h->dloss->stride[0] : 0;
    double given =
        h->dloss->dtype == WK_F64 ? ((const double *)h->dloss->data)[at] : (double)((const float *)h->dloss->data)[at];
    return given * h->share;
}

static bool wants_gradient(const head *h) {
    return h->dx || h->dweight || h->dbias;
}

/* x (V): logits without bias; afterwards, where gradients are wanted, g (softmax - target). */
#define HEAD_ROW(suffix, type)                                                                        \
    static double row_##suffix(const head *h, type *x, int64_t row, int64_t target) {                 \
        int64_t n = h->classes;                                                                       \
        bool ignored = target == h->ignored;                                                          \
        double g = ignored ? 0 : dloss_of(h, row), even = h->smoothing / (double)n;                   \
        double max = shifted_max_##suffix(x, h->wide_bias, n), hit = ignored ? 0 : (double)x[target]; \
        double mean = h->smoothing > 0 ? sum_##suffix(x, n) / (double)n : 0;                          \
        double total = exp_in_place_##suffix(x, max, n), lse = max + log(total);                      \
        if (wants_gradient(h) && g == 0) memset(x, 0, (size_t)n * sizeof *x);                         \
        if (wants_gradient(h) && g != 0) {                                                            \
            slope_##suffix(x, g / total, g * even, n);                                                \
            x[target] -= (type)((1 - h->smoothing) * g);                                              \
        }                                                                                             \
        return ignored ? 0 : (1 - h->smoothing) * (lse - hit) + h->smoothing * (lse - mean);          \
    }
HEAD_ROW(f32, float)
HEAD_ROW(f64, double)

static int64_t target_of(const head *h, int64_t row) {
    return ((const int64_t *)h->target->data)[row * h->target->stride[0]];
}

static void to_bf16(void *to, const float *from, int64_t n) {
    wk_narrow(to, from, n, WK_BF16);
}

static void one_row(const head *h, int64_t first, int64_t row) {
    int64_t n = h->classes, at = (row - first) * n, target = target_of(h, row);
    if (h->sums == WK_F64) {
        h->row_loss[row] = row_f64(h, (double *)h->logits + at, row, target);
        return;
    }
    float *x = (float *)h->logits + at;
    h->row_loss[row] = row_f32(h, x, row, target);
    if (h->narrow && wants_gradient(h)) to_bf16((uint16_t *)h->narrow + at, x, n);
}

/* ---- products ---- */

static wk_status product(const head *h, wk_gemm *g) {
    g->threads = h->threads;
    g->c_dtype = h->sums;
    wk_status status = wk__gemm_by_library(g);
    return status == WK_UNSUPPORTED ? WK_GEMM(g) : status;
}

/* Rows [first, first + n) of x, as the products take them. */
static wk_gemm_operand rows_of_x(const head *h, int64_t first) {
    const wk_tensor *x = h->x;
    if (h->x_narrow) return (wk_gemm_operand){ h->x_narrow, h->width, 1, WK_BF16 };
    const char *from = (const char *)x->data + first * x->stride[0] * (int64_t)wk_size_of(x->dtype);
    return (wk_gemm_operand){ from, x->stride[0], x->stride[1], (wk_dtype)x->dtype };
}

static wk_gemm_operand gradient_of_logits(const head *h) {
    return h->narrow ? (wk_gemm_operand){ h->narrow, h->classes, 1, WK_BF16 }
                     : (wk_gemm_operand){ h->logits, h->classes, 1, h->sums };
}

static wk_gemm_operand turned(wk_gemm_operand a) {
    return (wk_gemm_operand){ a.data, a.col, a.row, a.dtype };
}

static void narrow_x(const head *h, int64_t first, int64_t n) {
    for (int64_t row = 0; row < n; row++) {
        const wk_tensor *x = h->x;
        wk_line line = { (const char *)x->data + (first + row) * x->stride[0] * (int64_t)wk_size_of(x->dtype),
                         x->stride[1], h->width, x->dtype };
        wk_staging buffer;
        for (int64_t at = 0; at < h->width; at += WK_CHUNK) {
            int64_t part = wk_chunk_length(at, h->width);
            to_bf16((uint16_t *)h->x_narrow + row * h->width + at, wk_line_chunk(&line, at, part, &buffer), part);
        }
    }
}

#define ADD_COLUMNS(suffix, type)                                                                                  \
    static void add_columns_##suffix(type *restrict sum, const type *x, int64_t n, int64_t columns, int64_t begin, \
                                     int64_t end) {                                                                \
        for (int64_t row = 0; row < n; row++)                                                                      \
            for (int64_t j = begin; j < end; j++) sum[j] += x[row * columns + j];                                  \
    }
ADD_COLUMNS(f32, float)
ADD_COLUMNS(f64, double)

/* dbias += the columns' sums, each column by one thread from the first row to the last. */
static void add_to_bias(const head *h, int64_t n) {
    enum { PARTS = 64 };
#pragma omp parallel for schedule(static) num_threads(h->threads) if (h->threads > 1)
    for (int part = 0; part < PARTS; part++) {
        int64_t begin, end;
        wk_share(h->classes, 16, part, PARTS, &begin, &end);
        if (h->sums == WK_F64)
            add_columns_f64(h->dbias, h->logits, n, h->classes, begin, end);
        else
            add_columns_f32(h->dbias, h->logits, n, h->classes, begin, end);
    }
}

static wk_status multiply(const head *h, int64_t first, int64_t n) {
    const wk_tensor *w = h->weight;
    const wk_gemm_operand d = gradient_of_logits(h),
                          weight = { w->data, w->stride[0], w->stride[1], (wk_dtype)w->dtype };
    if (h->dx) {
        wk_gemm g = { .m = n, .n = h->width, .k = h->classes, .a = d, .b = weight, .c_row = h->width };
        g.c = (char *)h->dx + first * h->width * (int64_t)wk_size_of(h->sums);
        WK_TRY(product(h, &g));
    }
    if (h->dweight) {
        wk_gemm g = { .m = h->classes, .n = h->width, .k = n, .a = turned(d), .c = h->dweight, .c_row = h->width };
        g.b = rows_of_x(h, first);
        g.accumulate = first > 0;
        WK_TRY(product(h, &g));
    }
    if (h->dbias) add_to_bias(h, n);
    return WK_OK;
}

static wk_status run_chunk(const head *h, int64_t first, int64_t n) {
    const wk_tensor *w = h->weight;
    if (h->x_narrow) narrow_x(h, first, n);
    wk_gemm logits = { .m = n, .n = h->classes, .k = h->width, .a = rows_of_x(h, first), .c = h->logits };
    logits.b = turned((wk_gemm_operand){ w->data, w->stride[0], w->stride[1], (wk_dtype)w->dtype });
    logits.c_row = h->classes;
    WK_TRY(product(h, &logits));
    bool small = n * h->classes * (int64_t)wk_size_of(h->sums) < WK_CPU_GRAIN;
#pragma omp parallel for schedule(static) num_threads(h->threads) if (h->threads > 1 && !small)
    for (int64_t row = first; row < first + n; row++) one_row(h, first, row);
    return multiply(h, first, n);
}

/* ---- a call ---- */

static wk_status check_target(head *h, const char *who) {
    for (int64_t row = 0; row < h->rows; row++) {
        int64_t t = target_of(h, row);
        if (t == h->ignored) continue;
        if (t < 0 || t >= h->classes)
            return wk_fail(WK_INVALID, "%s: target[%lld] is %lld, expected 0 ≤ target < %lld", who, (long long)row,
                           (long long)t, (long long)h->classes);
        h->counted++;
    }
    if (h->reduction == WK_REDUCTION_MEAN) h->share = h->counted ? 1 / (double)h->counted : 0;
    return WK_OK;
}

static char *cut(char **from, int64_t bytes) {
    char *piece = *from;
    *from += (bytes + 63) / 64 * 64;
    return piece;
}

static wk_status take_scratch(head *h) {
    const int64_t element = (int64_t)wk_size_of(h->sums), part = h->chunk * h->classes;
    const bool bf16 = h->products == WK_BF16;
    const int64_t bytes = part * element + h->rows * 8 + (h->bias ? h->classes * element : 0)
                          + (bf16 ? 2 * part + 2 * h->chunk * h->width : 0) + 5 * 64;
    char *from = wk__cpu_scratch(WK_SCRATCH_KERNEL, (size_t)bytes);
    if (!from) return WK_NO_MEMORY;
    h->logits = cut(&from, part * element);
    h->row_loss = (double *)(void *)cut(&from, h->rows * 8);
    if (h->bias) h->wide_bias = cut(&from, h->classes * element);
    if (bf16) h->narrow = cut(&from, 2 * part);
    if (bf16 && h->x->dtype != WK_BF16) h->x_narrow = cut(&from, 2 * h->chunk * h->width);
    return WK_OK;
}

static void widen_bias(const head *h) {
    const int64_t element = (int64_t)wk_size_of(h->sums);
    wk_line line = { h->bias->data, h->bias->stride[0], h->classes, h->bias->dtype };
    for (int64_t at = 0; at < h->classes; at += WK_CHUNK) {
        wk_staging buffer;
        int64_t part = wk_chunk_length(at, h->classes);
        const void *wide = wk_line_chunk(&line, at, part, &buffer);
        memcpy((char *)h->wide_bias + at * element, wide, (size_t)(part * element));
    }
}

static void put(const head *h, int64_t at, double value) {
    if (h->sums == WK_F64)
        ((double *)(void *)h->loss)[at] = value;
    else
        ((float *)(void *)h->loss)[at] = (float)value;
}

static void finish_loss(const head *h) {
    double sum = 0;
    for (int64_t row = 0; row < h->rows; row++) {
        if (h->reduction == WK_REDUCTION_NONE) put(h, row, h->row_loss[row]);
        sum += h->row_loss[row];
    }
    if (h->reduction == WK_REDUCTION_MEAN) sum *= h->share;
    if (h->reduction != WK_REDUCTION_NONE) put(h, 0, sum);
}

static wk_status run(head *h, const char *who) {
    WK_TRY(check_target(h, who));
    const int64_t element = (int64_t)wk_size_of(h->sums);
    if (h->rows == 0 && h->dweight) memset(h->dweight, 0, (size_t)(h->classes * h->width * element));
    if (h->dbias) memset(h->dbias, 0, (size_t)(h->classes * element));
    WK_TRY(take_scratch(h));
    if (h->bias) widen_bias(h);
    for (int64_t first = 0; first < h->rows; first += h->chunk)
        WK_TRY(run_chunk(h, first, h->rows - first < h->chunk ? h->rows - first : h->chunk));
    if (h->loss) finish_loss(h);
    return WK_OK;
}

/* in: x, weight, bias, target, and weight in the type of the products or NULL; out: dx, dweight, dbias */
static head head_of(const wk_kernel_ctx *ctx, wk_tensor *const *in, const wk_linear_cross_entropy_attrs *attrs,
                    wk_tensor *const *out) {
    const wk_linear_cross_entropy_opts *opts = &attrs->opts;
    head h = { .x = in[0],
               .weight = in[4] ? in[4] : in[1],
               .bias = in[2],
               .target = in[3],
               .rows = in[0]->shape[0],
               .width = in[0]->shape[1],
               .classes = in[1]->shape[0],
               .ignored = (int64_t)wk_optional_or(opts->ignore_index, -100),
               .smoothing = opts->label_smoothing,
               .reduction = opts->reduction,
               .share = 1,
               .threads = ctx->threads };
    h.sums = in[0]->dtype == WK_F64 ? WK_F64 : WK_F32;
    h.products = h.weight->dtype == WK_BF16 ? WK_BF16 : h.sums;
    h.chunk = wk__head_chunk(opts->chunk, h.rows, h.classes);
    if (attrs->gradients & 1) h.dx = out[0]->data;
    if (attrs->gradients & 2) h.dweight = out[1]->data;
    if (attrs->gradients & 4) h.dbias = out[2]->data;
    return h;
}

/* (x, weight, bias, target, low weight, room) -> loss, dx, dweight, dbias */
static wk_status linear_cross_entropy(wk_kernel_ctx *ctx, const wk_call *call) {
    head h = head_of(ctx, call->in, call->attrs, call->out + 1);
    h.loss = call->out[0]->data;
    return run(&h, "linear_cross_entropy");
}

/* (dloss, x, weight, bias, target, low weight) -> dx, dweight, dbias */
static wk_status linear_cross_entropy_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    head h = head_of(ctx, call->in + 1, call->attrs, call->out);
    h.dloss = call->in[0];
    return run(&h, "linear_cross_entropy");
}

/* ---- what a gradient that was made with the loss still lacks ---- */

typedef struct scaling {
    void *x;
    double factor;
    int64_t step; /* along the walk's rows */
} scaling;

#define SCALE(suffix, type)                                                              \
    static void scale_##suffix(const void *context, const int64_t offset[], int64_t n) { \
        const scaling *s = context;                                                      \
        type *x = (type *)s->x + offset[0], factor = (type)s->factor;                    \
        if (s->step == 1) {                                                              \
            for (int64_t i = 0; i < n; i++) x[i] *= factor;                              \
        } else {                                                                         \
            for (int64_t i = 0; i < n; i++) x[i * s->step] *= factor;                    \
        }                                                                                \
    }
SCALE(f32, float)
SCALE(f64, double)

/* (x, factor): x *= factor in place; nothing for 1, which is what a loss that backward begins at has. */
static wk_status scale_into(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_tensor *x = call->in[0], *factor = call->in[1];
    double f = factor->dtype == WK_F64 ? *(const double *)factor->data : (double)*(const float *)factor->data;
    if (f == 1 || !x->count) return WK_OK;
    wk_walk walk = wk_walk_of(x);
    wk_walk_simplify(&walk);
    const scaling s = { x->data, f, walk.stride[0][walk.rank - 1] };
    int team = wk_cpu_team(ctx, x->count * (int64_t)wk_size_of(x->dtype));
    wk_walk_split(&walk, team, 64, x->dtype == WK_F64 ? scale_f64 : scale_f32, &s);
    return WK_OK;
}

WK_CPU_TABLE(linear_cross_entropy) = {
    { "linear_cross_entropy", WK_FLOATS, linear_cross_entropy },
    { "linear_cross_entropy_backward", WK_FLOATS, linear_cross_entropy_backward },
    { "scale_into", WK_F32_F64, scale_into },
    { 0 },
};
