// product.h: the product that cublaslt.cpp runs, of one type.
//
// Operands are widened to float (double for f64) and packed, the product is blocked for the compiler to vectorise, and
// the epilogue rounds once: the accuracy is that of the device with f32 accumulation, the order of the sum its own.
#ifndef WICK_CUDAEMU_PRODUCT_H
#define WICK_CUDAEMU_PRODUCT_H

#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <omp.h>
#include <vector>

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
namespace cudaemu {

using Desc = cublasLtMatmulDescOpaque_t;
using Layout = cublasLtMatrixLayoutOpaque_t;

static inline float widen(float x) {
    return x;
}
static inline double widen(double x) {
    return x;
}
static inline float widen(__nv_bfloat16 x) {
    return __bfloat162float(x);
}
static inline float widen(__half x) {
    return __half2float(x);
}
static inline void narrow(float *to, float x) {
    *to = x;
}
static inline void narrow(double *to, double x) {
    *to = x;
}
static inline void narrow(__nv_bfloat16 *to, float x) {
    *to = __float2bfloat16_rn(x);
}
static inline void narrow(__half *to, float x) {
    *to = __float2half_rn(x);
}

static inline size_t place(const Layout &m, uint64_t row, uint64_t col) {
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

template <class R, class T, class D> struct Product {
    Desc desc;
    Layout a_layout, b_layout, c_layout, d_layout;
    const T *a, *b;
    const D *c;
    D *d;
    R alpha, beta;

    void finish(R value, uint64_t i, uint64_t j, int batch) const {
        uint64_t offset = (uint64_t)batch * (uint64_t)d_layout.batch_stride;
        unsigned flags = (unsigned)desc.epilogue;
        value *= alpha;
        if (beta != 0)
            value += beta * widen(c[(uint64_t)batch * (uint64_t)c_layout.batch_stride + place(c_layout, i, j)]);
        if (flags & CUBLASLT_EPILOGUE_BIAS) value += widen(static_cast<const D *>(desc.bias)[i]);
        if (flags & 128) narrow(static_cast<D *>(desc.aux) + i + j * (uint64_t)desc.aux_ld, value);
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

} // namespace cudaemu

#endif
