// row_norm.cu: layer_norm, rms_norm and group_norm, which all normalise rows: the last axes, or a group of channels.
//
//   x̂ = (x - mean) · rstd,  y = x̂ · weight + bias
//   dx = rstd (g - Σ g / n - x̂ Σ g x̂ / n) with g = dy · weight                               Ba et al. 2016
//
// A warp takes a row of up to 1024 elements, a block a longer one; moments are made in two passes, around the mean, in
// f64.  Gradients of weight and bias are sums over rows in two stages: parts of the rows, whose number depends on the
// shape only, each a thread's own sum, then the parts in their order.  No atomics.  Forward reads x from memory once
// where a row fits into the caches and writes y once; backward reads x and dy once more for the weights.  Roof: memory
// bandwidth.
#include "cuda/elements.h"
#include "cuda/network/row_norm.h"
#include "cuda/together.h"

namespace {

// Mean and 1 / deviation of a row, by all threads that share it.
template <class T>
__device__ __forceinline__ void moments(const wk_cuda_row_norm &v, const T *x, int64_t n, int64_t lane, int threads,
                                        wk_real<T> *mean, wk_real<T> *rstd) {
    using R = wk_real<T>;
    int64_t at;
    double sum = 0, squares = 0;
    for (int64_t i = lane; v.centred && i < n; i += threads) {
        wk_walk_offsets<1>(v.inner, i, &at);
        sum += (double)wk_get(x[at]);
    }
    *mean = v.centred ? (R)(wk_together<false>(sum, threads) / (double)v.inner.count) : 0;
    for (int64_t i = lane; i < n; i += threads) {
        wk_walk_offsets<1>(v.inner, i, &at);
        const double apart = (double)(wk_get(x[at]) - *mean);
        squares += apart * apart;
    }
    *rstd = (R)(1 / sqrt(wk_together<false>(squares, threads) / (double)v.inner.count + v.eps));
}

template <class T> __global__ void __launch_bounds__(256) forward(wk_cuda_row_norm v, int threads) {
    using R = wk_real<T>;
    const int64_t row = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / threads,
                  lane = threadIdx.x % (unsigned)threads;
    const bool works = row < v.rows.count;
    const int64_t n = works ? v.inner.count : 0, group = row % v.groups;
    int64_t to[2], at[4];
    wk_walk_offsets<2>(v.rows, works ? row : 0, to);
    const T *x = static_cast<const T *>(v.x) + to[0];
    T *y = static_cast<T *>(v.y) + to[1];
    const T *weight = static_cast<const T *>(v.weight), *bias = static_cast<const T *>(v.bias);
    R mean, rstd;
    moments(v, x, n, lane, threads, &mean, &rstd);
    for (int64_t i = lane; i < n; i += threads) {
        wk_walk_offsets<4>(v.inner, i, at);
        R value = (wk_get(x[at[0]]) - mean) * rstd;
        if (weight) value *= wk_get(weight[group * v.weight_group + at[2]]);
        if (bias) value += wk_get(bias[group * v.bias_group + at[3]]);
        wk_put(y + at[1], value);
    }
    if (!works || lane != 0) return;
    if (v.mean) static_cast<R *>(v.mean)[row] = mean;
    static_cast<R *>(v.rstd)[row] = rstd;
}

template <class T> __global__ void __launch_bounds__(256) backward(wk_cuda_row_norm v, int threads) {
    using R = wk_real<T>;
    const int64_t row = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / threads,
                  lane = threadIdx.x % (unsigned)threads;
    const bool works = row < v.rows.count;
    const int64_t n = works ? v.inner.count : 0, group = row % v.groups;
    int64_t to[3], at[4];
    wk_walk_offsets<3>(v.rows, works ? row : 0, to);
    const T *x = static_cast<const T *>(v.x) + to[0], *dy = static_cast<const T *>(v.dy) + to[2];
    const T *weight = static_cast<const T *>(v.weight);
    T *dx = static_cast<T *>(v.y) + to[1];
    R mean = 0, rstd = 0;
    if (!v.rstd)
        moments(v, x, n, lane, threads, &mean, &rstd);
    else if (works)
        rstd = static_cast<const R *>(v.rstd)[row];
    if (v.rstd && v.mean && works) mean = static_cast<const R *>(v.mean)[row];
    double sum = 0, product = 0;
    for (int64_t i = lane; i < n; i += threads) {
        wk_walk_offsets<4>(v.inner, i, at);
        const R g = wk_get(dy[at[3]]) * (weight ? wk_get(weight[group * v.weight_group + at[2]]) : (R)1);
        sum += (double)g;
        product += (double)(g * (wk_get(x[at[0]]) - mean));
    }
    sum = wk_together<false>(sum, threads);
    product = wk_together<false>(product, threads);
    const double count = (double)v.inner.count;
    const double shift = v.centred ? sum / count : 0, slope = product * (double)rstd * (double)rstd / count;
    for (int64_t i = lane; i < n; i += threads) {
        wk_walk_offsets<4>(v.inner, i, at);
        const R g = wk_get(dy[at[3]]) * (weight ? wk_get(weight[group * v.weight_group + at[2]]) : (R)1);
        // What is subtracted from g may leave little of it: in f64.
        const double rest = (double)g - shift - (double)(wk_get(x[at[0]]) - mean) * slope;
        wk_put(dx + at[1], (R)((double)rstd * rest));
    }
    if (works && lane == 0) v.moments[row] = (double)mean, v.moments[v.rows.count + row] = (double)rstd;
}

// Σ dy x̂ and Σ dy of one weight over a part of the rows of its group.
template <class T> __global__ void __launch_bounds__(256) add_rows(wk_cuda_row_norm v) {
    using R = wk_real<T>;
    const int64_t all = v.groups * v.channels, i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= all * v.parts) return;
    const int64_t weight = i % all, part = i / all, group = weight / v.channels, channel = weight % v.channels;
    const int64_t rows = v.rows.count / v.groups, each = (rows + v.parts - 1) / v.parts;
    const int64_t last = (part + 1) * each < rows ? (part + 1) * each : rows;
    double by_x = 0, alone = 0;
    for (int64_t r = part * each; r < last; r++) {
        const int64_t row = r * v.groups + group;
        const R mean = (R)v.moments[row], rstd = (R)v.moments[v.rows.count + row];
        int64_t to[3], at[4];
        wk_walk_offsets<3>(v.rows, row, to);
        for (int64_t k = 0; k < v.area; k++) {
            wk_walk_offsets<4>(v.inner, channel * v.area + k, at);
            const R d = wk_get(static_cast<const T *>(v.dy)[to[2] + at[3]]);
            by_x += (double)(d * (wk_get(static_cast<const T *>(v.x)[to[0] + at[0]]) - mean) * rstd);
            alone += (double)d;
        }
    }
    v.sums[2 * part * all + weight] = by_x;
    v.sums[(2 * part + 1) * all + weight] = alone;
}

__device__ __forceinline__ void put(void *to, int dtype, int64_t i, double value) {
    switch (dtype) {
    case WK_F32: static_cast<float *>(to)[i] = (float)value; return;
    case WK_F64: static_cast<double *>(to)[i] = value; return;
    case WK_BF16: wk_put(static_cast<__nv_bfloat16 *>(to) + i, (float)value); return;
    default: wk_put(static_cast<__half *>(to) + i, (float)value); return;
    }
}

// A block for 32 weights: each of its warps adds every eighth part.
__global__ void __launch_bounds__(256) join_parts(wk_cuda_row_norm v) {
    const int64_t all = v.groups * v.channels, weight = (int64_t)blockIdx.x * 32 + threadIdx.x % 32;
    double by_x = 0, alone = 0;
    for (int64_t part = threadIdx.x / 32; weight < all && part < v.parts; part += 8) {
        by_x += v.sums[2 * part * all + weight];
        alone += v.sums[(2 * part + 1) * all + weight];
    }
    by_x = wk_across_together<false>(by_x);
    alone = wk_across_together<false>(alone);
    if (weight >= all || threadIdx.x >= 32) return;
    if (v.dweight) put(v.dweight, v.gradient_dtype, weight, by_x);
    if (v.dbias) put(v.dbias, v.gradient_dtype, weight, alone);
}

int threads_of(const wk_cuda_row_norm &v) {
    return v.inner.count <= 1024 ? 32 : 256;
}

template <class T> int launch_forward(const wk_cuda_row_norm &v, void *stream) {
    const int64_t blocks = (v.rows.count * threads_of(v) + 255) / 256;
    if (blocks > 0x7FFFFFFF) return (int)cudaErrorInvalidConfiguration;
    return WK_LAUNCH((forward<T>), (unsigned)blocks, 256, 0, stream, v, threads_of(v));
}

template <class T> int launch_backward(const wk_cuda_row_norm &v, void *stream) {
    const int64_t blocks = (v.rows.count * threads_of(v) + 255) / 256, all = v.groups * v.channels;
    if (blocks > 0x7FFFFFFF) return (int)cudaErrorInvalidConfiguration;
    int error = blocks ? WK_LAUNCH((backward<T>), (unsigned)blocks, 256, 0, stream, v, threads_of(v)) : 0;
    if (error || all == 0) return error;
    error = WK_LAUNCH((add_rows<T>), (unsigned)((all * v.parts + 255) / 256), 256, 0, stream, v);
    return error ? error : wk__cuda_norm_join_parts(&v, stream);
}

} // namespace

extern "C" int wk__cuda_row_norm(const wk_cuda_row_norm *norm, void *stream) {
    switch (norm->dtype) {
        WK_CASES_OF_FLOATS(launch_forward, *norm, stream);
    default: return (int)cudaErrorInvalidValue;
    }
}

extern "C" int wk__cuda_row_norm_backward(const wk_cuda_row_norm *norm, void *stream) {
    switch (norm->dtype) {
        WK_CASES_OF_FLOATS(launch_backward, *norm, stream);
    default: return (int)cudaErrorInvalidValue;
    }
}

extern "C" int wk__cuda_norm_join_parts(const wk_cuda_row_norm *norm, void *stream) {
    return WK_LAUNCH(join_parts, (unsigned)((norm->groups * norm->channels + 31) / 32), 256, 0, stream, *norm);
}
