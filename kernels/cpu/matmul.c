/* matmul.c: the rows `matmul` and `linear` by oneDNN and OpenBLAS.
 *
 * choice.c names the library for each shape.  Both take operands with one unit stride of the last two; other layouts,
 * and shapes that Wick's own product does best, are answered with WK_UNSUPPORTED.  oneDNN adds the bias itself; ReLU is
 * a pass of its own over the result (see wk__relu_in_place), which is in the cache for every shape where that could
 * count.
 */
#include "cpu/gemm.h"

#if WICK_LIBRARIES

#    include "cpu/choice.h"
#    include "cpu/onednn.h"
#    include "cpu/product.h"

#    include <cblas.h>
#    include <limits.h>

/* Strides of a matrix, with those that no step ever uses made harmless. */
static bool plain_matrix(int64_t rows, int64_t cols, int64_t *row, int64_t *col) {
    if (cols == 1) *col = 1;
    if (rows == 1) *row = *col == 1 ? cols : 1;
    if (cols == 1 && *row < 1) return false;
    return (*col == 1 && *row >= cols) || (*row == 1 && *col >= rows);
}

static void add_bias(float *c /* (M, N) */, const float *bias /* (N) */, bool relu, int64_t m, int64_t n) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            float value = c[i * n + j] + (bias ? bias[j] : 0);
            c[i * n + j] = relu && value < 0 ? 0 : value;
        }
}

/* On this thread: small products stay there by themselves (OpenBLAS's limit is 2^18 multiplications), of larger ones
 * choice.c tells why. */
static wk_status by_openblas(wk_kernel_ctx *ctx, const wk_product *p, const wk_call *call, const wk_tensor *bias,
                             bool relu) {
    if (call->in[0]->dtype != WK_F32) return WK_UNSUPPORTED;
    if (p->a_row > INT_MAX || p->a_col > INT_MAX || p->b_row > INT_MAX || p->b_col > INT_MAX) return WK_UNSUPPORTED;
    if (p->m > INT_MAX || p->n > INT_MAX || p->k > INT_MAX) return WK_UNSUPPORTED;
    bool a_turned = p->a_col != 1, b_turned = p->b_col != 1;
    int threads = wk__openblas_threads(p->m * p->n * p->k, ctx->threads), former = 0;
    if (threads) former = wk__team_enter(threads);
    float *c = call->out[0]->data;
    for (int64_t i = 0; i < p->count; i++, c += p->m * p->n) {
        int64_t a_offset, b_offset;
        wk__product_at(p, i, &a_offset, &b_offset);
        cblas_sgemm(CblasRowMajor, a_turned ? CblasTrans : CblasNoTrans, b_turned ? CblasTrans : CblasNoTrans,
                    (int)p->m, (int)p->n, (int)p->k, 1, (const float *)call->in[0]->data + a_offset,
                    (int)(a_turned ? p->a_col : p->a_row), (const float *)call->in[1]->data + b_offset,
                    (int)(b_turned ? p->b_col : p->b_row), 0, c, (int)p->n);
        if (bias || relu) add_bias(c, bias ? bias->data : NULL, relu, p->m, p->n);
    }
    if (threads) wk__team_leave(former, threads);
    return WK_OK;
}

static bool matrices(dnnl_memory_desc_t *desc, const wk_product *p, int64_t rows, int64_t cols, const int64_t *batch,
                     int64_t row, int64_t col, dnnl_data_type_t type) {
    dnnl_dims_t dims, strides;
    for (int axis = 0; axis < p->rank; axis++) {
        dims[axis] = batch[axis] == 0 ? 1 : p->size[axis];
        strides[axis] = batch[axis] == 0 ? rows * cols : batch[axis];
    }
    dims[p->rank] = rows, dims[p->rank + 1] = cols;
    strides[p->rank] = row, strides[p->rank + 1] = col;
    return dnnl_memory_desc_init_by_strides(desc, p->rank + 2, dims, type, strides) == dnnl_success;
}

/* B as it lies, or in the layout that the library likes best. */
static bool add_weights(wk_dnnl_plan *plan, const_dnnl_primitive_desc_t made, const dnnl_memory_desc_t *b,
                        bool packed) {
    if (!packed) return wk__dnnl_add_operand(plan, DNNL_ARG_WEIGHTS, false, b, b);
    return wk__dnnl_add_constant(plan, DNNL_ARG_WEIGHTS, b,
                                 dnnl_primitive_desc_query_md(made, dnnl_query_weights_md, 0));
}

static dnnl_data_type_t type_of(wk_dtype dtype) {
    return dtype == WK_BF16 ? dnnl_bf16 : dnnl_f32;
}

static void build(wk_dnnl_plan *plan, const wk_product *p, wk_dtype dtype, wk_dtype result, bool bias, bool packed) {
    dnnl_data_type_t type = type_of(dtype);
    dnnl_memory_desc_t a, b, c, d, any;
    dnnl_dims_t b_dims = { p->k, p->n };
    int64_t c_batch[WK_MAX_RANK], size = p->m * p->n;
    for (int axis = p->rank - 1; axis >= 0; axis--) c_batch[axis] = size, size *= p->size[axis];
    dnnl_dims_t bias_dims;
    for (int axis = 0; axis <= p->rank; axis++) bias_dims[axis] = 1;
    bias_dims[p->rank + 1] = p->n;
    static const dnnl_format_tag_t row_major[] = { dnnl_ab, dnnl_abc, dnnl_abcd, dnnl_abcde };
    if (p->rank > 3 || !matrices(&a, p, p->m, p->k, p->a_batch, p->a_row, p->a_col, type)
        || !matrices(&b, p, p->k, p->n, p->b_batch, p->b_row, p->b_col, type)
        || !matrices(&c, p, p->m, p->n, c_batch, p->n, 1, type_of(result))
        || dnnl_memory_desc_init_by_tag(&any, 2, b_dims, type, dnnl_format_tag_any) != dnnl_success
        || dnnl_memory_desc_init_by_tag(&d, p->rank + 2, bias_dims, type, row_major[p->rank]) != dnnl_success)
        return;
    dnnl_matmul_desc_t desc;
    dnnl_primitive_desc_t made = NULL;
    dnnl_primitive_attr_t attributes = wk__dnnl_attributes();
    bool usable = attributes
                  && dnnl_matmul_desc_init(&desc, &a, packed ? &any : &b, bias ? &d : NULL, &c) == dnnl_success
                  && dnnl_primitive_desc_create(&made, &desc, attributes, wk__dnnl_engine(), NULL) == dnnl_success
                  && wk__dnnl_add_operand(plan, DNNL_ARG_SRC, false, &a, &a) && add_weights(plan, made, &b, packed)
                  && wk__dnnl_add_operand(plan, DNNL_ARG_DST, true, &c, &c)
                  && (!bias || wk__dnnl_add_operand(plan, DNNL_ARG_BIAS, false, &d, &d));
    if (usable)
        (void)wk__dnnl_set_primitive(plan, made);
    else if (made)
        (void)dnnl_primitive_desc_destroy(made);
    if (attributes) (void)dnnl_primitive_attr_destroy(attributes);
}

static wk_status by_onednn(wk_kernel_ctx *ctx, const wk_product *p, const wk_call *call, const wk_tensor *bias,
                           bool relu, bool packed) {
    wk_dtype dtype = (wk_dtype)call->in[0]->dtype, result = (wk_dtype)call->out[0]->dtype;
    int threads = p->count * p->m * p->n * p->k < WK_TEAM_PRODUCT ? 1 : ctx->threads;
    wk_dnnl_key key = { .length = 0 };
    const int64_t words[] = { packed ? 7 : 1, dtype, result,   threads,  bias != NULL, p->m,
                              p->n,           p->k,  p->a_row, p->a_col, p->b_row,     p->b_col };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) wk__dnnl_key_add(&key, words[i]);
    for (int axis = 0; axis < p->rank; axis++) {
        wk__dnnl_key_add(&key, p->size[axis]);
        wk__dnnl_key_add(&key, p->a_batch[axis]);
        wk__dnnl_key_add(&key, p->b_batch[axis]);
    }
    wk_dnnl_plan *plan = wk__dnnl_find(&key);
    if (!plan) {
        int former = wk__team_enter(threads);
        plan = wk__dnnl_add(&key);
        if (plan) build(plan, p, dtype, result, bias != NULL, packed);
        wk__team_leave(former, threads);
        if (!plan) return wk_error_code();
    }
    if (!plan->primitive) return WK_UNSUPPORTED;
    void *data[] = { call->in[0]->data, call->in[1]->data, call->out[0]->data, bias ? bias->data : NULL };
    WK_TRY(wk__dnnl_run(plan, data, packed ? call->in[1] : NULL, threads));
    if (relu) wk__relu_in_place(call->out[0]->data, result, call->out[0]->count, threads);
    return WK_OK;
}

/* Products that OpenBLAS does best on weights as they lie (choice.c) and oneDNN on packed ones: a few rows, and no
 * fewer columns than its blocks have.  One thread, µs, as they lie / packed, of layers with bias:
 *
 *   M × N × K        1 × 128 × 128   0.9 / 1.5      4 × 128 × 128   2.1 / 2.0     16 × 64 × 64   2.9 / 1.9
 *                    1 × 384 × 384   6.1 / 6.6      4 × 192 × 192   3.9 / 3.4     64 × 64 × 64  10.6 / 5.4
 *                    1 × 512 × 512  11.9 / 12.9     16 × 10 × 512   1.9 / 3.0     64 × 10 × 64   1.8 / 1.9
 *
 * and beyond OpenBLAS's range 1 × 768 × 768 74 / 29, 4 × 768 × 768 94 / 44, 64 × 768 × 768 711 / 651. */
static bool pays_packed(const wk_product *p) {
    return p->m >= 4 && p->n >= 64 && p->m * p->n * p->k >= 1 << 16;
}

static wk_status by_library(wk_by by, wk_kernel_ctx *ctx, const wk_call *call, wk_product *p, const wk_tensor *bias,
                            bool relu, bool packed) {
    if (p->m * p->n * p->k == 0 || p->count == 0) return WK_UNSUPPORTED;
    if (bias && bias->stride[0] != 1 && p->n > 1) return WK_UNSUPPORTED;
    if (!plain_matrix(p->m, p->k, &p->a_row, &p->a_col) || !plain_matrix(p->k, p->n, &p->b_row, &p->b_col))
        return WK_UNSUPPORTED;
    return by == WK_BY_OPENBLAS ? by_openblas(ctx, p, call, bias, relu) : by_onednn(ctx, p, call, bias, relu, packed);
}

static wk_status product(wk_kernel_ctx *ctx, const wk_call *call, wk_product *p, const wk_tensor *bias, bool relu) {
    const wk_product_shape shape = { p->count, p->m, p->n, p->k, p->a_col != 1, p->b_col != 1 };
    wk_by by = wk__choose_product((wk_dtype)call->in[0]->dtype, &shape);
    bool packed = p->rank == 0 && wk__is_constant(call->in[1]) && (by == WK_BY_ONEDNN || pays_packed(p));
    if (packed) by = WK_BY_ONEDNN;
    if (by == WK_BY_OWN) return WK_UNSUPPORTED;
    wk_status status = by_library(by, ctx, call, p, bias, relu, packed);
    if (status == WK_UNSUPPORTED) wk__choice_declined();
    return status;
}

/* ---- a product that another kernel asks for ---- */

static bool is_taken(const wk_gemm *g) {
    bool f32 = g->a.dtype == WK_F32 && g->b.dtype == WK_F32, bf16 = g->a.dtype == WK_BF16 && g->b.dtype == WK_BF16;
    if (!(f32 || bf16) || g->c_dtype != WK_F32 || g->bias || g->relu || g->packed) return false;
    const wk_product_shape shape = { 1, g->m, g->n, g->k, g->a.col != 1, g->b.col != 1 };
    return wk__choose_product(g->a.dtype, &shape) == WK_BY_ONEDNN;
}

static bool matrix(dnnl_memory_desc_t *desc, int64_t rows, int64_t cols, int64_t row, int64_t col, wk_dtype dtype) {
    const dnnl_dims_t dims = { rows, cols }, strides = { row, col };
    return dnnl_memory_desc_init_by_strides(desc, 2, dims, type_of(dtype), strides) == dnnl_success;
}

static dnnl_primitive_attr_t attributes_of(bool accumulate) {
    dnnl_primitive_attr_t attributes = wk__dnnl_attributes();
    dnnl_post_ops_t sum = NULL;
    if (!attributes || !accumulate) return attributes;
    bool made = dnnl_post_ops_create(&sum) == dnnl_success && dnnl_post_ops_append_sum(sum, 1) == dnnl_success
                && dnnl_primitive_attr_set_post_ops(attributes, sum) == dnnl_success;
    if (sum) (void)dnnl_post_ops_destroy(sum);
    if (made) return attributes;
    (void)dnnl_primitive_attr_destroy(attributes);
    return NULL;
}

static void build_gemm(wk_dnnl_plan *plan, const wk_gemm *g) {
    dnnl_memory_desc_t a, b, c;
    dnnl_matmul_desc_t desc;
    dnnl_primitive_desc_t made = NULL;
    dnnl_primitive_attr_t attributes = attributes_of(g->accumulate);
    bool usable = attributes && matrix(&a, g->m, g->k, g->a.row, g->a.col, g->a.dtype)
                  && matrix(&b, g->k, g->n, g->b.row, g->b.col, g->b.dtype)
                  && matrix(&c, g->m, g->n, g->c_row, 1, g->c_dtype)
                  && dnnl_matmul_desc_init(&desc, &a, &b, NULL, &c) == dnnl_success
                  && dnnl_primitive_desc_create(&made, &desc, attributes, wk__dnnl_engine(), NULL) == dnnl_success
                  && wk__dnnl_add_operand(plan, DNNL_ARG_SRC, false, &a, &a)
                  && wk__dnnl_add_operand(plan, DNNL_ARG_WEIGHTS, false, &b, &b)
                  && wk__dnnl_add_operand(plan, DNNL_ARG_DST, true, &c, &c);
    if (usable)
        (void)wk__dnnl_set_primitive(plan, made);
    else if (made)
        (void)dnnl_primitive_desc_destroy(made);
    if (attributes) (void)dnnl_primitive_attr_destroy(attributes);
}

wk_status wk__gemm_by_library(const wk_gemm *given) {
    wk_gemm g = *given;
    if (!is_taken(&g) || !plain_matrix(g.m, g.k, &g.a.row, &g.a.col) || !plain_matrix(g.k, g.n, &g.b.row, &g.b.col))
        return WK_UNSUPPORTED;
    wk_dnnl_key key = { .length = 0 };
    const int64_t words[] = { 0,   g.a.dtype, g.threads, g.accumulate, g.m,     g.n,
                              g.k, g.a.row,   g.a.col,   g.b.row,      g.b.col, g.c_row };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) wk__dnnl_key_add(&key, words[i]);
    wk_dnnl_plan *plan = wk__dnnl_find(&key);
    if (!plan) {
        int former = wk__team_enter(g.threads);
        plan = wk__dnnl_add(&key);
        if (plan) build_gemm(plan, &g);
        wk__team_leave(former, g.threads);
        if (!plan) return wk_error_code();
    }
    if (!plan->primitive) return WK_UNSUPPORTED;
    void *data[] = { (void *)(uintptr_t)g.a.data, (void *)(uintptr_t)g.b.data, g.c };
    return wk__dnnl_run(plan, data, NULL, g.threads);
}

static wk_status matmul(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_product p = wk__product_of_matmul(call);
    return product(ctx, call, &p, NULL, false);
}

static wk_status linear(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_linear_opts *opts = call->attrs;
    wk_product p = wk__product_of_linear(call);
    return product(ctx, call, &p, call->in[2], opts->activation == WK_ACTIVATION_RELU);
}

#else

wk_status wk__gemm_by_library(const wk_gemm *g) {
    (void)g;
    return WK_UNSUPPORTED;
}

#endif

const wk_cpu_entry wk__cpu_library_matmul[] = {
#if WICK_LIBRARIES
    { "matmul", WK_SET_OF(WK_F32) | WK_SET_OF(WK_BF16), matmul },
    { "matmul_wide", WK_SET_OF(WK_BF16), matmul },
    { "linear", WK_SET_OF(WK_F32) | WK_SET_OF(WK_BF16), linear },
#endif
    { 0 },
};
