/* positions.cu: where a mask is true, in order.
 *
 * Three launches: each block counts its chunk of the mask, one block turns the counts into sums of all before, and each
 * block writes the places of its chunk behind those.  Nobody waits for the host.  Traffic: the mask twice, the result
 * once.  Roof: memory bandwidth.
 */
#include "cuda/layout/positions.h"

#include "cuda/divide.h"

namespace {

enum { THREADS = 256, CHUNK = WK_CUDA_POSITIONS_CHUNK, WARPS = THREADS / 32 };

/* Sum of `own` over the threads before this one, and over all. */
__device__ __forceinline__ int64_t sum_before(int64_t own, int64_t *all) {
    WK_SHARED(int64_t, warps, [WARPS]);
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    int64_t sum = own;
    for (int step = 1; step < 32; step *= 2) {
        const int64_t left = __shfl_up_sync(0xFFFFFFFFu, (long long)sum, step);
        if (lane >= step) sum += left;
    }
    __syncthreads(); /* whoever reads what the last call left is done */
    if (lane == 31) warps[warp] = sum;
    __syncthreads();
    int64_t before = 0, total = 0;
    for (int w = 0; w < WARPS; w++) {
        if (w < warp) before += warps[w];
        total += warps[w];
    }
    *all = total;
    return before + sum - own;
}

__global__ void __launch_bounds__(THREADS) count(const wk_cuda_positions p) {
    const int64_t begin = (int64_t)blockIdx.x * CHUNK, end = begin + CHUNK < p.count ? begin + CHUNK : p.count;
    int64_t own = 0, all;
    for (int64_t i = begin + threadIdx.x; i < end; i += THREADS) own += p.mask[i] != 0;
    (void)sum_before(own, &all);
    if (threadIdx.x == 0) p.found[blockIdx.x] = all;
}

__global__ void __launch_bounds__(THREADS) sum_up(int64_t *found, int64_t chunks) {
    int64_t carried = 0;
    for (int64_t first = 0; first < chunks; first += THREADS) {
        const int64_t i = first + threadIdx.x;
        int64_t all;
        const int64_t before = sum_before(i < chunks ? found[i] : 0, &all);
        if (i < chunks) found[i] = carried + before;
        carried += all;
    }
    if (threadIdx.x == 0) found[chunks] = carried;
}

__global__ void __launch_bounds__(THREADS) place(const wk_cuda_positions p) {
    const int64_t begin = (int64_t)blockIdx.x * CHUNK;
    int64_t carried = p.found[blockIdx.x];
    for (int64_t first = begin; first < begin + CHUNK && first < p.count; first += THREADS) {
        const int64_t i = first + threadIdx.x;
        const bool is_true = i < p.count && p.mask[i] != 0;
        int64_t all;
        const int64_t row = carried + sum_before(is_true ? 1 : 0, &all);
        carried += all;
        if (!is_true || row >= p.size) continue;
        int64_t rest = i;
        WK_UNROLL
        for (int d = WK_MAX_RANK - 1; d >= 0; d--)
            if (d < p.rank) p.out[row * p.rank + d] = wk_place(&rest, p.shape[d]);
    }
}

__global__ void __launch_bounds__(THREADS) fill_rest(const wk_cuda_positions p, int64_t chunks) {
    const int64_t from = p.found[chunks] * p.rank, to = p.size * p.rank;
    for (int64_t i = from + (int64_t)blockIdx.x * THREADS + threadIdx.x; i < to; i += (int64_t)gridDim.x * THREADS)
        p.out[i] = p.fill;
}

} // namespace

extern "C" int wk__cuda_positions(const wk_cuda_positions *p, void *stream) {
    const int64_t chunks = (p->count + CHUNK - 1) / CHUNK;
    int error = 0;
    if (chunks) error = WK_LAUNCH(count, (unsigned)chunks, THREADS, 0, stream, *p);
    if (!error) error = WK_LAUNCH(sum_up, 1, THREADS, 0, stream, p->found, chunks);
    if (!error && chunks) error = WK_LAUNCH(place, (unsigned)chunks, THREADS, 0, stream, *p);
    const int64_t blocks = (p->size * p->rank + THREADS - 1) / THREADS;
    if (!error && blocks)
        error = WK_LAUNCH(fill_rest, (unsigned)(blocks > 1024 ? 1024 : blocks), THREADS, 0, stream, *p, chunks);
    return error;
}
