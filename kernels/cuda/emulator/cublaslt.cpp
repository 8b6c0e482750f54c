// cublaslt.cpp: a product on the host where Wick calls cuBLASLt.
//
// Operands are widened to float (double for f64) and packed, the product is blocked for the compiler to vectorise, and
// the epilogue rounds once: the accuracy is that of the device with f32 accumulation, the order of the sum its own.
// Parameters are checked as cuBLASLt does: what it refuses is refused here with its code.
#include "state.h"

#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstring>
#include <new>
#include <omp.h>

struct cublasLtContext {
    int device;
};
struct cublasLtMatmulDescOpaque_t {
    cublasComputeType_t compute;
    cudaDataType scale;
    cublasOperation_t turn_a = CUBLAS_OP_N, turn_b = CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const void *bias = nullptr;
    void *aux = nullptr;
    int64_t aux_ld = 0;
};
struct cublasLtMatrixLayoutOpaque_t {
    cudaDataType type;
    uint64_t rows, cols;
    int64_t ld;
    cublasLtOrder_t order = CUBLASLT_ORDER_COL;
    int32_t batch = 1;
    int64_t batch_stride = 0;
};
struct cublasLtMatmulPreferenceOpaque_t {
    uint64_t workspace;
};

namespace cudaemu {

using Desc = cublasLtMatmulDescOpaque_t;
using Layout = cublasLtMatrixLayoutOpaque_t;

static float widen(float x) {
    return x;
}
static double widen(double x) {
    return x;
}
static float widen(__nv_bfloat16 x) {
    return __bfloat162float(x);
}
static float widen(__half x) {
    return __half2float(x);
}
static void narrow(float *to, float x) {
    *to = x;
}
static void narrow(double *to, double x) {
    *to = x;
}
static void narrow(__nv_bfloat16 *to, float x) {
    *to = __float2bfloat16_rn(x);
}
static void narrow(__half *to, float x) {
    *to = __float2half_rn(x);
}

static size_t place(const Layout &m, uint64_t row, uint64_t col) {
    return m.order == CUBLASLT_ORDER_COL ? row + col * (uint64_t)m.ld : row * (uint64_t)m.ld + col;
}

// op(m) as rows of the type that is computed in.
template <class R, class T>
static void pack(std::vector<R> &to, const T *from, const Layout &m, bool turned, uint64_t rows, uint64_t cols) {
    to.resize(rows * cols);
    for (uint64_t i = 0; i < rows; i++)
        for (uint64_t j = 0; j < cols; j++) to[i * cols + j] = widen(from[turned ? place(m, j, i) : place(m, i, j)]);
}

// c (cols) += a (k) · b (k, n), columns [0, n).  The compiler vectorises over columns.
template <class R>
static inline __attribute__((always_inline)) void row_product(R *__restrict c, const R *a, const R *__restrict b,
                                                              uint64_t k, uint64_t n) {
    constexpr uint64_t block = 64;
    for (uint64_t j = 0; j < n; j += block) {
        uint64_t width = n - j < block ? n - j : block;
        R sum[block] = {};
        if (width == block)
            for (uint64_t p = 0; p < k; p++)
                for (uint64_t i = 0; i < block; i++) sum[i] += a[p] * b[p * n + j + i];
        else
            for (uint64_t p = 0; p < k; p++)
                for (uint64_t i = 0; i < width; i++) sum[i] += a[p] * b[p * n + j + i];
        for (uint64_t i = 0; i < width; i++) c[j + i] = sum[i];
    }
}

#ifdef __x86_64__
template <class R>
__attribute__((target("avx2,fma"))) static void wide_row_product(R *c, const R *a, const R *b, uint64_t k, uint64_t n) {
    row_product(c, a, b, k, n);
}
#endif

template <class R> static void product(R *c, const R *a, const R *b, uint64_t m, uint64_t n, uint64_t k) {
#ifdef __x86_64__
    static const bool wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    int team = m * n * k < 1 << 18 ? 1 : omp_get_max_threads();
#pragma omp parallel for num_threads(team) schedule(static)
    for (uint64_t i = 0; i < m; i++) {
#ifdef __x86_64__
        if (wide) {
            wide_row_product(c + i * n, a + i * k, b, k, n);
            continue;
        }
#endif
        row_product(c + i * n, a + i * k, b, k, n);
    }
}

// The tanh form, which is cuBLASLt's.
template <class R> static R gelu(R x) {
    return (R)0.5 * x * (1 + std::tanh((R)0.7978845608028654 * (x + (R)0.044715 * x * x * x)));
}

template <class R, class T> struct Product {
    Desc desc;
    Layout a_layout, b_layout, c_layout, d_layout;
    const T *a, *b, *c;
    T *d;
    R alpha, beta;

    void finish(R value, uint64_t i, uint64_t j, int batch) const {
        uint64_t offset = (uint64_t)batch * (uint64_t)d_layout.batch_stride;
        unsigned flags = (unsigned)desc.epilogue;
        value *= alpha;
        if (beta != 0)
            value += beta * widen(c[(uint64_t)batch * (uint64_t)c_layout.batch_stride + place(c_layout, i, j)]);
        if (flags & CUBLASLT_EPILOGUE_BIAS) value += widen(static_cast<const T *>(desc.bias)[i]);
        if (flags & 128) narrow(static_cast<T *>(desc.aux) + i + j * (uint64_t)desc.aux_ld, value);
        if (flags & CUBLASLT_EPILOGUE_RELU) value = value < 0 ? 0 : value;
        if (flags & CUBLASLT_EPILOGUE_GELU) value = gelu(value);
        narrow(d + offset + place(d_layout, i, j), value);
    }

    cudaError_t operator()() const {
        bool turn_a = desc.turn_a != CUBLAS_OP_N, turn_b = desc.turn_b != CUBLAS_OP_N;
        uint64_t m = d_layout.rows, n = d_layout.cols, k = turn_a ? a_layout.rows : a_layout.cols;
        // The wider side of the result is the one that is vectorised over.
        bool by_rows = n >= m;
        std::vector<R> left, right, result(m * n);
        for (int batch = 0; batch < d_layout.batch; batch++) {
            const T *one = a + batch * a_layout.batch_stride, *other = b + batch * b_layout.batch_stride;
            if (by_rows) {
                pack(left, one, a_layout, turn_a, m, k);
                pack(right, other, b_layout, turn_b, k, n);
                product(result.data(), left.data(), right.data(), m, n, k);
            } else {
                pack(left, other, b_layout, !turn_b, n, k);
                pack(right, one, a_layout, !turn_a, k, m);
                product(result.data(), left.data(), right.data(), n, m, k);
            }
            for (uint64_t j = 0; j < n; j++)
                for (uint64_t i = 0; i < m; i++) finish(result[by_rows ? i * n + j : j * m + i], i, j, batch);
        }
        return cudaSuccess;
    }
};

static bool layout_fits(const Layout &m) {
    int64_t least = (int64_t)(m.order == CUBLASLT_ORDER_COL ? m.rows : m.cols);
    return m.rows > 0 && m.cols > 0 && m.ld >= least && m.batch >= 1;
}

static cublasStatus_t check(const Desc &desc, const Layout &a, const Layout &b, const Layout &c, const Layout &d) {
    if (!layout_fits(a) || !layout_fits(b) || !layout_fits(c) || !layout_fits(d)) return CUBLAS_STATUS_INVALID_VALUE;
    bool turn_a = desc.turn_a != CUBLAS_OP_N, turn_b = desc.turn_b != CUBLAS_OP_N;
    uint64_t m = turn_a ? a.cols : a.rows, k = turn_a ? a.rows : a.cols, other = turn_b ? b.cols : b.rows;
    uint64_t n = turn_b ? b.rows : b.cols;
    if (k != other || d.rows != m || d.cols != n || c.rows != m || c.cols != n) return CUBLAS_STATUS_INVALID_VALUE;
    if (a.batch != d.batch || b.batch != d.batch || c.batch != d.batch) return CUBLAS_STATUS_INVALID_VALUE;
    if (a.type != b.type || a.type != d.type || c.type != d.type) return CUBLAS_STATUS_NOT_SUPPORTED;
    bool wide = a.type == CUDA_R_64F;
    if (wide != (desc.compute == CUBLAS_COMPUTE_64F) || wide != (desc.scale == CUDA_R_64F))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (wide && desc.epilogue != CUBLASLT_EPILOGUE_DEFAULT) return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t status_of(cudaError_t error) {
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

// Reads a value of the size that the attribute has.
template <class T> static cublasStatus_t read(T *to, const void *value, size_t bytes) {
    if (!value || bytes != sizeof *to) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(to, value, sizeof *to);
    return CUBLAS_STATUS_SUCCESS;
}

} // namespace cudaemu

using namespace cudaemu;

extern "C" {

const char *cublasLtGetStatusString(cublasStatus_t status) {
    switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH: return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR: return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    }
    return "unknown cuBLAS status";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
    *handle = device_count() ? new (std::nothrow) cublasLtContext{ current_device() } : nullptr;
    return *handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    delete handle;
    return handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType scale) {
    *desc = new (std::nothrow) Desc{ compute, scale };
    return *desc ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes) {
    if (!desc) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return read(&desc->turn_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB: return read(&desc->turn_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return read(&desc->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return read(&desc->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: return read(&desc->aux, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: return read(&desc->aux_ld, value, bytes);
    default: return CUBLAS_STATUS_INVALID_VALUE;
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
    *layout = new (std::nothrow) Layout{ type, rows, cols, ld };
    return *layout ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void *value,
                                                size_t bytes) {
    if (!layout) return CUBLAS_STATUS_INVALID_VALUE;
    switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_ORDER: return read(&layout->order, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT: return read(&layout->batch, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET: return read(&layout->batch_stride, value, bytes);
    default: return CUBLAS_STATUS_INVALID_VALUE;
    }
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
    *preference = new (std::nothrow) cublasLtMatmulPreferenceOpaque_t{ 0 };
    return *preference ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t bytes) {
    uint32_t alignment;
    if (!preference) return CUBLAS_STATUS_INVALID_VALUE;
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return read(&preference->workspace, value, bytes);
    return read(&alignment, value, bytes);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *found) {
    *found = 0;
    if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!desc || !a || !b || !c || !d || !preference || wanted < 1) return CUBLAS_STATUS_INVALID_VALUE;
    if (cublasStatus_t status = check(*desc, *a, *b, *c, *d)) return status;
    results[0] = cublasLtMatmulHeuristicResult_t{};
    results[0].algo.data[0] = 1;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
    (void)workspace, (void)workspace_bytes;
    if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!desc || !alpha || !beta || !a_layout || !b_layout || !c_layout || !d_layout)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (cublasStatus_t status = check(*desc, *a_layout, *b_layout, *c_layout, *d_layout)) return status;
    if (!a || !b || !d || (algo && algo->data[0] != 1)) return CUBLAS_STATUS_INVALID_VALUE;
    bool needs_bias = (unsigned)desc->epilogue & CUBLASLT_EPILOGUE_BIAS;
    if (needs_bias && !desc->bias) return CUBLAS_STATUS_INVALID_VALUE;
#define RUN(R, T)                                                                                                   \
    status_of(                                                                                                      \
        submit(stream, Product<R, T>{ *desc, *a_layout, *b_layout, *c_layout, *d_layout, static_cast<const T *>(a), \
                                      static_cast<const T *>(b), static_cast<const T *>(c), static_cast<T *>(d),    \
                                      *static_cast<const R *>(alpha), *static_cast<const R *>(beta) }))
    switch (d_layout->type) {
    case CUDA_R_64F: return RUN(double, double);
    case CUDA_R_16F: return RUN(float, __half);
    case CUDA_R_16BF: return RUN(float, __nv_bfloat16);
    default: return RUN(float, float);
    }
#undef RUN
}
}
