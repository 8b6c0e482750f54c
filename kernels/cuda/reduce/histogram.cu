/* histogram.cu: how many elements lie in each bin.
 *
 * Counts are whole numbers, so atomics give the same result in any order.  A block counts in shared memory, where its
 * bins fit, and adds to the whole once.  Where the range is that of the values, a launch before finds it by parts.
 * Traffic: x once (twice with its range).  Roof: memory bandwidth; atomics where most values share a bin.
 */
#include "cuda/reduce/histogram.h"

#include "cuda/elements.h"

namespace {

enum { THREADS = 256, PARTS = WK_CUDA_RANGE_PARTS, SHARED_BINS = 8192 };

template <class T> __device__ __forceinline__ double element(const wk_cuda_histogram &h, int64_t i) {
    int64_t at[1];
    wk_walk_offsets<1>(h.walk, i, at);
    return (double)wk_get(static_cast<const T *>(h.x)[at[0]]);
}

/* NaN stays. */
__device__ __forceinline__ double less(double a, double b) {
    return a != a || a < b ? a : b;
}
__device__ __forceinline__ double more(double a, double b) {
    return a != a || a > b ? a : b;
}

template <class T> __global__ void __launch_bounds__(THREADS) range_of(const wk_cuda_histogram h) {
    WK_SHARED(double, low, [THREADS]);
    WK_SHARED(double, high, [THREADS]);
    double least = (double)INFINITY, most = -(double)INFINITY;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < h.walk.count; i += (int64_t)PARTS * THREADS) {
        const double value = element<T>(h, i);
        least = less(value, least), most = more(value, most);
    }
    low[threadIdx.x] = least, high[threadIdx.x] = most;
    for (int step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if ((int)threadIdx.x >= step) continue;
        low[threadIdx.x] = less(low[threadIdx.x], low[threadIdx.x + step]);
        high[threadIdx.x] = more(high[threadIdx.x], high[threadIdx.x + step]);
    }
    if (threadIdx.x == 0) h.range[blockIdx.x] = low[0], h.range[PARTS + blockIdx.x] = high[0];
}

/* Where bins begin and end: one thread a block puts the parts together. */
__device__ __forceinline__ void find_range(const wk_cuda_histogram &h, double *low, double *high) {
    double least = h.low, most = h.high;
    if (h.of_values) {
        least = (double)INFINITY, most = -(double)INFINITY;
        WK_NO_UNROLL
        for (int k = 0; k < PARTS; k++) least = less(h.range[k], least), most = more(h.range[PARTS + k], most);
        if (least == most) least -= 1, most += 1;
    }
    *low = least, *high = most;
}

/* No values are counted where the range is none: of NaN, or infinite. */
__device__ __forceinline__ int64_t bin_of(double value, double low, double high, int64_t bins) {
    if (!(value >= low && value <= high && high - low < (double)INFINITY)) return -1;
    const int64_t bin = (int64_t)((value - low) / (high - low) * (double)bins);
    return bin < bins ? bin : bins - 1;
}

template <class T> __global__ void __launch_bounds__(THREADS) count(const wk_cuda_histogram h) {
    WK_DYNAMIC_SHARED(unsigned, own);
    WK_SHARED(double, range, [2]);
    const bool shared = h.bins <= SHARED_BINS;
    if (threadIdx.x == 0) find_range(h, &range[0], &range[1]);
    for (int64_t bin = threadIdx.x; shared && bin < h.bins; bin += THREADS) own[bin] = 0;
    __syncthreads();
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < h.walk.count; i += (int64_t)gridDim.x * THREADS) {
        const int64_t bin = bin_of(element<T>(h, i), range[0], range[1], h.bins);
        if (bin < 0) continue;
        if (shared)
            atomicAdd(own + bin, 1u);
        else
            atomicAdd(h.counts + bin, 1ull);
    }
    __syncthreads();
    for (int64_t bin = threadIdx.x; shared && bin < h.bins; bin += THREADS)
        if (own[bin]) atomicAdd(h.counts + bin, (unsigned long long)own[bin]);
}

template <class T> __global__ void __launch_bounds__(THREADS) give(const wk_cuda_histogram h) {
    for (int64_t bin = (int64_t)blockIdx.x * THREADS + threadIdx.x; bin < h.bins; bin += (int64_t)gridDim.x * THREADS)
        wk_put(static_cast<T *>(h.out) + bin, (wk_real<T>)h.counts[bin]);
}

template <class T> int launch(const wk_cuda_histogram &h, void *stream) {
    int64_t blocks = (h.walk.count + 16 * THREADS - 1) / (16 * THREADS); /* several elements a thread: few merges */
    blocks = blocks > 1024 ? 1024 : blocks;
    int error = h.of_values ? WK_LAUNCH(range_of<T>, PARTS, THREADS, 0, stream, h) : 0;
    const int64_t bytes = h.bins <= SHARED_BINS ? h.bins * (int64_t)sizeof(unsigned) : 0;
    if (!error && blocks) error = WK_LAUNCH(count<T>, (unsigned)blocks, THREADS, bytes, stream, h);
    return error ? error : WK_LAUNCH(give<T>, wk_blocks_for(h.bins), THREADS, 0, stream, h);
}

} // namespace

extern "C" int wk__cuda_histogram(const wk_cuda_histogram *h, int dtype, void *stream) {
    WK_FLOAT_CASES(dtype, launch, *h, stream);
}
