// dense_norm.cu: layer_norm and rms_norm of rows that lie one behind the other, as those of transformers do.
//
//   x̂ = (x - mean) · rstd,  y = x̂ · weight + bias
//   dx = rstd (g - Σ g / n - x̂ Σ g x̂ / n) with g = dy · weight                               Ba et al. 2016
//
// A row of up to 1024 elements is a warp's, a longer one a block's, and stays in registers: forward reads x and writes
// y once.  Backward reads x and dy once and writes dx: a block goes through a part of the rows, each thread adding up
// Σ dy x̂ and Σ dy of its own columns (f32, over no more than a part's rows), and what the parts come to is added by a
// second launch in f64, in their order.  Moments are made in two passes, around the mean, in f64.  No atomics.  Roof:
// memory bandwidth.
#include "cuda/convert.h"
#include "cuda/network/row_norm.h"
#include "cuda/together.h"

namespace {

// What a thread has of a row: vectors of 16 bytes, `THREADS` of them side by side, ELEMENTS numbers in all.
template <class T, int ELEMENTS, int THREADS> struct Row {
    static constexpr int elements = ELEMENTS, threads = THREADS;
    static constexpr int width = 16 / (int)sizeof(T), vectors = ELEMENTS / width;
    float at[ELEMENTS];

    static __device__ __forceinline__ int column(int vector) {
        return (vector * THREADS + (int)threadIdx.x % THREADS) * width;
    }
    // 0 where the row has ended, or is none.
    __device__ __forceinline__ void load(const T *from, int64_t n) {
        WK_UNROLL
        for (int v = 0; v < vectors; v++) {
            wk_vector<T, width> read;
            if (column(v) < n) read = wk_load_vector<width>(from + column(v));
            WK_UNROLL
            for (int e = 0; e < width; e++) at[v * width + e] = column(v) < n ? wk_get(read.at[e]) : 0;
        }
    }
    __device__ __forceinline__ void store(T *to, int64_t n) const {
        WK_UNROLL
        for (int v = 0; v < vectors; v++) {
            if (column(v) >= n) continue;
            wk_vector<T, width> written;
            WK_UNROLL
            for (int e = 0; e < width; e++) wk_put(&written.at[e], at[v * width + e]);
            wk_store_vector(to + column(v), written);
        }
    }
    // A vector of the weight, which is read anew for each row: there are no registers for it.
    static __device__ __forceinline__ wk_vector<T, width> factors(const void *weight, int vector, int64_t n) {
        wk_vector<T, width> read;
        if (weight && column(vector) < n) return wk_load_vector<width>(static_cast<const T *>(weight) + column(vector));
        WK_UNROLL
        for (int e = 0; e < width; e++) wk_put(&read.at[e], 1.0f);
        return read;
    }
    static __device__ __forceinline__ bool has(int element, int64_t n) {
        return column(element / width) < n;
    }
};

template <class ROW>
__device__ __forceinline__ void moments(const wk_cuda_row_norm &v, const ROW &x, int64_t n, float *mean, float *rstd) {
    double sum = 0, squares = 0;
    WK_UNROLL
    for (int e = 0; e < ROW::elements; e++) sum += (double)x.at[e];
    *mean = v.centred ? (float)(wk_together<false>(sum, ROW::threads) / (double)n) : 0;
    WK_UNROLL
    for (int e = 0; e < ROW::elements; e++) {
        const double apart = ROW::has(e, n) ? (double)(x.at[e] - *mean) : 0;
        squares += apart * apart;
    }
    *rstd = (float)(1 / sqrt(wk_together<false>(squares, ROW::threads) / (double)n + v.eps));
}

template <class T, int ELEMENTS, int THREADS> __global__ void __launch_bounds__(256) forward(wk_cuda_row_norm v) {
    using Mine = Row<T, ELEMENTS, THREADS>;
    const int64_t row = (int64_t)blockIdx.x * (256 / THREADS) + threadIdx.x / THREADS, n = v.channels;
    const bool works = row < v.rows.count;
    Mine x, factor;
    float mean, rstd;
    x.load(static_cast<const T *>(v.x) + row * n, works ? n : 0);
    moments(v, x, n, &mean, &rstd);
    WK_UNROLL
    for (int e = 0; e < ELEMENTS; e++) x.at[e] = (x.at[e] - mean) * rstd;
    if (v.weight) {
        factor.load(static_cast<const T *>(v.weight), n);
        WK_UNROLL
        for (int e = 0; e < ELEMENTS; e++) x.at[e] *= factor.at[e];
    }
    if (v.bias) {
        factor.load(static_cast<const T *>(v.bias), n);
        WK_UNROLL
        for (int e = 0; e < ELEMENTS; e++) x.at[e] += factor.at[e];
    }
    x.store(static_cast<T *>(v.y) + row * n, works ? n : 0);
    if (!works || threadIdx.x % THREADS != 0) return;
    if (v.mean) static_cast<float *>(v.mean)[row] = mean;
    static_cast<float *>(v.rstd)[row] = rstd;
}

// The columns of one vector, which all warps of the block have a sum of: one thread's in f64.
template <class T>
__device__ __forceinline__ void add_warps(const wk_cuda_row_norm &v, int vector, const float *by_x, const float *alone) {
    constexpr int width = 16 / (int)sizeof(T), columns = 32 * width;
    constexpr int line = 32 + 32 / width; // neither way do two lanes ask the same bank
    WK_SHARED(float, sums, [2][8][8 * (32 + 4)]);
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    __syncthreads();
    WK_UNROLL
    for (int e = 0; e < width; e++) {
        sums[0][warp][e * line + lane] = by_x[e];
        sums[1][warp][e * line + lane] = alone[e];
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < 2 * columns; i += 256) {
        const int which = i / columns, column = i % columns;
        const int64_t to = (int64_t)vector * columns + column;
        double sum = 0;
        for (int w = 0; w < 8; w++) sum += (double)sums[which][w][column % width * line + column / width];
        if (to < v.channels) v.sums[(2 * (int64_t)blockIdx.x + which) * v.channels + to] = sum;
    }
}

template <class T, int ELEMENTS, int THREADS> __global__ void __launch_bounds__(256) backward(wk_cuda_row_norm v) {
    using Mine = Row<T, ELEMENTS, THREADS>;
    constexpr int together = 256 / THREADS;
    const int64_t n = v.channels, each = (v.rows.count + v.parts - 1) / v.parts, first = blockIdx.x * each;
    const int64_t last = first + each < v.rows.count ? first + each : v.rows.count;
    float by_x[ELEMENTS], alone[ELEMENTS];
    WK_UNROLL
    for (int e = 0; e < ELEMENTS; e++) by_x[e] = alone[e] = 0;
    for (int64_t begin = first; begin < last; begin += together) {
        const int64_t row = begin + threadIdx.x / THREADS, in_row = row < last ? n : 0;
        Mine x, dy;
        float mean = 0, rstd = 0;
        x.load(static_cast<const T *>(v.x) + row * n, in_row);
        dy.load(static_cast<const T *>(v.dy) + row * n, in_row);
        if (!v.rstd)
            moments(v, x, n, &mean, &rstd);
        else if (in_row)
            rstd = static_cast<const float *>(v.rstd)[row];
        if (v.rstd && v.mean && in_row) mean = static_cast<const float *>(v.mean)[row];
        if (!in_row) rstd = 0;
        double sum = 0, product = 0;
        WK_UNROLL
        for (int k = 0; k < Mine::vectors; k++) {
            const auto weight = Mine::factors(v.weight, k, n);
            WK_UNROLL
            for (int i = 0; i < Mine::width; i++) {
                const int e = k * Mine::width + i;
                const float g = dy.at[e] * wk_get(weight.at[i]), apart = x.at[e] - mean;
                sum += (double)g;
                product += (double)(g * apart);
                by_x[e] += dy.at[e] * apart * rstd;
                alone[e] += dy.at[e];
            }
        }
        sum = wk_together<false>(sum, THREADS);
        product = wk_together<false>(product, THREADS);
        const double shift = v.centred ? sum / (double)n : 0,
                     slope = product * (double)rstd * (double)rstd / (double)n;
        WK_UNROLL
        for (int k = 0; k < Mine::vectors; k++) {
            const auto weight = Mine::factors(v.weight, k, n);
            WK_UNROLL
            for (int i = 0; i < Mine::width; i++) {
                // What is subtracted from g may leave little of it: in f64.
                const int e = k * Mine::width + i;
                const double g = (double)(dy.at[e] * wk_get(weight.at[i]));
                x.at[e] = (float)((double)rstd * (g - shift - (double)(x.at[e] - mean) * slope));
            }
        }
        x.store(static_cast<T *>(v.y) + row * n, in_row);
    }
    WK_UNROLL
    for (int k = 0; k < Mine::vectors; k++) {
        if constexpr (THREADS == 32) {
            add_warps<T>(v, k, by_x + k * Mine::width, alone + k * Mine::width);
        } else {
            const int64_t to = 2 * (int64_t)blockIdx.x * n + Mine::column(k);
            WK_UNROLL
            for (int e = 0; e < Mine::width && Mine::column(k) < n; e++) {
                v.sums[to + e] = (double)by_x[k * Mine::width + e];
                v.sums[to + n + e] = (double)alone[k * Mine::width + e];
            }
        }
    }
}

template <class T, int ELEMENTS, int THREADS>
int launch(const wk_cuda_row_norm &v, bool is_backward, void *stream) {
    const int64_t blocks = is_backward ? v.parts : (v.rows.count + 256 / THREADS - 1) / (256 / THREADS);
    if (blocks > 0x7FFFFFFF) return (int)cudaErrorInvalidConfiguration;
    return is_backward ? WK_LAUNCH((backward<T, ELEMENTS, THREADS>), (unsigned)blocks, 256, 0, stream, v)
                       : WK_LAUNCH((forward<T, ELEMENTS, THREADS>), (unsigned)blocks, 256, 0, stream, v);
}

template <class T> int by_length(const wk_cuda_row_norm &v, bool is_backward, void *stream) {
    if (v.channels <= 8 * 32) return launch<T, 8, 32>(v, is_backward, stream);
    if (v.channels <= 32 * 32) return launch<T, 32, 32>(v, is_backward, stream);
    if (v.channels <= 8 * 256) return launch<T, 8, 256>(v, is_backward, stream);
    return launch<T, 32, 256>(v, is_backward, stream);
}

int by_dtype(const wk_cuda_row_norm &v, bool is_backward, void *stream) {
    switch (v.dtype) {
    case WK_F32: return by_length<float>(v, is_backward, stream);
    case WK_BF16: return by_length<__nv_bfloat16>(v, is_backward, stream);
    case WK_F16: return by_length<__half>(v, is_backward, stream);
    default: return (int)cudaErrorInvalidValue;
    }
}

} // namespace

extern "C" int wk__cuda_dense_norm(const wk_cuda_row_norm *norm, void *stream) {
    return by_dtype(*norm, false, stream);
}

extern "C" int wk__cuda_dense_norm_backward(const wk_cuda_row_norm *norm, void *stream) {
    const int error = by_dtype(*norm, true, stream);
    return error ? error : wk__cuda_norm_join_parts(norm, stream);
}
