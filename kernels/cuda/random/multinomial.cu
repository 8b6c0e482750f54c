/* multinomial.cu: positions drawn with given weights, as the CPU draws them: a draw hangs on key, line and number.
 *
 * With replacement a block makes the running sums of a line, and a thread a draw looks for its place among them.
 * Without, position k waits an exponential time of rate weight[k] (Efraimidis and Spirakis 2006); times are sorted by
 * order.cu.  Weights are read once, sums or times written once and read by halving or sorting; roof: memory bandwidth.
 */
#include "cuda/random/multinomial.h"

#include "cuda/divide.h"
#include "cuda/elements.h"
#include "cuda/random/philox.h"

namespace {

enum { THREADS = 256, WARPS = THREADS / 32 };

/* What is no weight counts as none. */
template <class T>
__device__ __forceinline__ double weight(const wk_cuda_multinomial &m, int64_t line, int64_t k) {
    int64_t at[1];
    wk_walk_offsets<1>(m.lines, line, at);
    const double value = (double)wk_get(static_cast<const T *>(m.weights)[at[0] + k * m.step]);
    return value > 0 && value < (double)INFINITY ? value : 0;
}

/* The number of draw `at`, in (0, 1). */
__device__ __forceinline__ double number(const wk_cuda_multinomial &m, int64_t at) {
    uint32_t word[4];
    wk_philox_block(m.key, (uint64_t)at / 2, word);
    const uint64_t high = at % 2 ? word[2] : word[0], low = at % 2 ? word[3] : word[1];
    return ((double)((high << 32 | low) >> 12) + 0.5) * 0x1p-52;
}

template <class T> __global__ void __launch_bounds__(THREADS) sum_up(const wk_cuda_multinomial m, double *sums) {
    WK_SHARED(double, warps, [WARPS]);
    const int64_t line = blockIdx.x;
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    double carried = 0;
    for (int64_t first = 0; first < m.categories; first += THREADS) {
        const int64_t k = first + threadIdx.x;
        double sum = k < m.categories ? weight<T>(m, line, k) : 0;
        for (int step = 1; step < 32; step *= 2) {
            const double left = __shfl_up_sync(0xFFFFFFFFu, sum, step);
            if (lane >= step) sum += left;
        }
        if (lane == 31) warps[warp] = sum;
        __syncthreads();
        double before = carried;
        for (int w = 0; w < WARPS; w++) {
            if (w < warp) before += warps[w];
            carried += warps[w];
        }
        if (k < m.categories) sums[line * m.categories + k] = before + sum;
        __syncthreads();
    }
}

/* The first running sum above the number; of a line without weights the first position. */
__global__ void __launch_bounds__(THREADS) look_up(const wk_cuda_multinomial m, const double *sums) {
    const int64_t all = m.lines.count * m.count, threads = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < all; i += threads) {
        int64_t draw;
        const double *own = sums + wk_divide(i, m.count, &draw) * m.categories;
        const double total = own[m.categories - 1], wanted = number(m, i) * total;
        int64_t low = 0, high = m.categories;
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            if (own[middle] > wanted)
                high = middle;
            else
                low = middle + 1;
        }
        m.out[i] = low < m.categories ? low : 0;
    }
}

template <class T> __global__ void __launch_bounds__(THREADS) wait(const wk_cuda_multinomial m, wk_cuda_pair *times) {
    const int64_t all = m.lines.count * m.categories, threads = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < all; i += threads) {
        int64_t k;
        const int64_t line = wk_divide(i, m.categories, &k);
        const double p = weight<T>(m, line, k);
        const double time = p > 0 ? -log(number(m, i)) / p : (double)INFINITY;
        times[i].key = (uint64_t)__double_as_longlong(time); /* of positive numbers the bits order as they do */
        times[i].place = (uint64_t)k;
    }
}

__global__ void __launch_bounds__(THREADS) take(const wk_cuda_multinomial m, const wk_cuda_pair *sorted) {
    const int64_t all = m.lines.count * m.count, threads = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < all; i += threads) {
        int64_t draw;
        const int64_t line = wk_divide(i, m.count, &draw);
        m.out[i] = (int64_t)sorted[line * m.categories + draw].place;
    }
}

template <class T> int draw_of(const wk_cuda_multinomial &m, double *sums, void *stream) {
    const int error = WK_LAUNCH(sum_up<T>, (unsigned)m.lines.count, THREADS, 0, stream, m, sums);
    return error ? error : WK_LAUNCH(look_up, wk_blocks_for(m.lines.count * m.count), THREADS, 0, stream, m, sums);
}
template <class T> int wait_of(const wk_cuda_multinomial &m, wk_cuda_pair *times, void *stream) {
    return WK_LAUNCH(wait<T>, wk_blocks_for(m.lines.count * m.categories), THREADS, 0, stream, m, times);
}

} // namespace

extern "C" int wk__cuda_multinomial_draw(const wk_cuda_multinomial *m, double *sums, int dtype, void *stream) {
    WK_FLOAT_CASES(dtype, draw_of, *m, sums, stream);
}

extern "C" int wk__cuda_multinomial_wait(const wk_cuda_multinomial *m, wk_cuda_pair *times, int dtype, void *stream) {
    WK_FLOAT_CASES(dtype, wait_of, *m, times, stream);
}

extern "C" int wk__cuda_multinomial_first(const wk_cuda_multinomial *m, const wk_cuda_pair *sorted, void *stream) {
    return WK_LAUNCH(take, wk_blocks_for(m->lines.count * m->count), THREADS, 0, stream, *m, sorted);
}
