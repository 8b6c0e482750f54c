/* matmul.c: the rows `matmul` and `linear` on Wick's own product.
 *
 * They answer for what the library's entries leave: tiny shapes, where a primitive's call costs more than the work (one
 * row of 64 × 64: 0.2 µs against 0.7), layouts that oneDNN does not take, and builds without libraries.
 */
#include "cpu/product.h"
#include "cpu/scratch.h"
#include "cpu/simd/linalg/gemm.h"
#include "cpu/simd/linalg/gemv.h"

static size_t size_of(wk_dtype dtype) {
    return dtype == WK_F64 ? 8 : dtype == WK_F32 ? 4 : 2;
}

static void one_product(wk_gemm *g, const wk_product *p, const wk_call *call, int64_t index) {
    const wk_tensor *a = call->in[0], *b = call->in[1], *c = call->out[0];
    size_t element = size_of(a->dtype);
    int64_t a_offset, b_offset;
    wk__product_at(p, index, &a_offset, &b_offset);
    g->a.data = (const char *)a->data + (size_t)a_offset * element;
    g->b.data = (const char *)b->data + (size_t)b_offset * element;
    g->c = (char *)c->data + (size_t)(index * p->m * p->c_row) * size_of(c->dtype);
}

/* Many small products are split over the team whole; few large ones share each. */
static wk_status many(wk_gemm *g, const wk_product *p, const wk_call *call, int threads) {
    g->threads = 1;
    size_t each = (WK_GEMM_BUFFER(g) + 63) / 64 * 64;
    char *buffers = wk__cpu_scratch(WK_SCRATCH_PACK, each * (size_t)threads);
    if (!buffers) return WK_NO_MEMORY;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t share = 0; share < threads; share++) {
        wk_gemm mine = *g;
        mine.buffer = buffers + (size_t)share * each;
        for (int64_t i = p->count * share / threads; i < p->count * (share + 1) / threads; i++) {
            one_product(&mine, p, call, i);
            (void)WK_GEMM(&mine);
        }
    }
    return WK_OK;
}

/* ---- products that read a matrix once: there is nothing to pack ---- */

/* c[i, j] = a[i] b[j] */
#define OUTER(suffix, type)                                                                              \
    static void outer_##suffix(const wk_gemm *g, int64_t begin, int64_t end) {                           \
        const type *restrict b = g->b.data;                                                              \
        for (int64_t i = begin; i < end; i++) {                                                          \
            type *restrict c = (type *)g->c + i * g->c_row, a = ((const type *)g->a.data)[i * g->a.row]; \
            if (g->b.col == 1)                                                                           \
                for (int64_t j = 0; j < g->n; j++) c[j] = a * b[j];                                      \
            else                                                                                         \
                for (int64_t j = 0; j < g->n; j++) c[j] = a * b[j * g->b.col];                           \
        }                                                                                                \
    }
OUTER(f32, float)
OUTER(f64, double)

static bool is_outer(const wk_gemm *g) {
    return g->k == 1 && g->n > 1 && !g->bias && !g->relu;
}

/* Rows [begin, end) of the result. */
static void rows_at_once(const wk_gemm *g, int64_t begin, int64_t end) {
    bool wide = g->c_dtype == WK_F64;
    if (is_outer(g) && wide)
        outer_f64(g, begin, end);
    else if (is_outer(g))
        outer_f32(g, begin, end);
    else if (wide)
        wk_gemv_f64(g->c, g->a.data, g->a.row, g->a.col, g->b.data, g->k, g->bias, g->relu, begin, end);
    else
        wk_gemv_f32(g->c, g->a.data, g->a.row, g->a.col, g->b.data, g->k, g->bias, g->relu, begin, end);
}

static bool is_at_once(const wk_gemm *g) {
    if (g->a.dtype != WK_F32 && g->a.dtype != WK_F64) return false;
    bool by_vector = g->n == 1 && (g->a.col == 1 || g->a.row == 1) && (g->b.row == 1 || g->k == 1);
    return by_vector || is_outer(g);
}

static void products_at_once(wk_gemm *g, const wk_product *p, const wk_call *call) {
    bool large = p->count * p->m * p->n * p->k >= 1 << 15;
    int team = large ? g->threads : 1;
    for (int64_t i = 0; i < p->count && team == 1; i++) {
        one_product(g, p, call, i);
        rows_at_once(g, 0, p->m);
    }
    if (team == 1) return;
    bool whole = p->count >= 2 * team; /* products are shared, else the rows of each */
#pragma omp parallel num_threads(team)
    {
        wk_gemm mine = *g;
        int64_t first, last, begin = 0, end = p->m;
        wk_share(whole ? p->count : p->m, whole ? 1 : 64, omp_get_thread_num(), omp_get_num_threads(), &first, &last);
        if (!whole) begin = first, end = last, first = 0, last = p->count;
        for (int64_t i = first; i < last; i++) {
            one_product(&mine, p, call, i);
            rows_at_once(&mine, begin, end);
        }
    }
}

static wk_status products(wk_kernel_ctx *ctx, const wk_call *call, const wk_product *p, const wk_tensor *bias,
                          bool relu) {
    wk_dtype dtype = call->in[0]->dtype;
    wk_gemm g = { .m = p->m, .n = p->n, .k = p->k, .c_row = p->c_row, .c_dtype = call->out[0]->dtype, .relu = relu };
    g.a = (wk_gemm_operand){ NULL, p->a_row, p->a_col, dtype };
    g.b = (wk_gemm_operand){ NULL, p->b_row, p->b_col, dtype };
    g.threads = ctx->threads;
    size_t element = size_of(dtype);
    if (bias) {
        g.bias = bias->data;
        if (bias->stride[0] != 1 && p->n > 1) {
            char *dense = wk__cpu_scratch(WK_SCRATCH_KERNEL, (size_t)p->n * element);
            if (!dense) return WK_NO_MEMORY;
            for (int64_t j = 0; j < p->n; j++)
                __builtin_memcpy(dense + (size_t)j * element,
                                 (const char *)bias->data + (size_t)(j * bias->stride[0]) * element, element);
            g.bias = dense;
        }
    }
    if (is_at_once(&g)) {
        products_at_once(&g, p, call);
        return WK_OK;
    }
    bool large = p->count * p->m * p->n * p->k >= 1 << 19;
    if (p->count > 1 && ctx->threads > 1 && large && (p->count >= 2 * ctx->threads || p->m * p->n * p->k < 1 << 20))
        return many(&g, p, call, ctx->threads);
    for (int64_t i = 0; i < p->count; i++) {
        one_product(&g, p, call, i);
        WK_TRY(WK_GEMM(&g));
    }
    return WK_OK;
}

static wk_status matmul(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_product p = wk__product_of_matmul(call);
    return products(ctx, call, &p, NULL, false);
}

static wk_status linear(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_linear_opts *opts = call->attrs;
    wk_product p = wk__product_of_linear(call);
    return products(ctx, call, &p, call->in[2], opts->activation == WK_ACTIVATION_RELU);
}

WK_CPU_TABLE(matmul) = {
    { "matmul", WK_FLOATS, matmul },
    { "matmul_wide", WK_HALVES, matmul },
    { "linear", WK_FLOATS, linear },
    { 0 },
};
