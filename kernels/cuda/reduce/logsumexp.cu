// logsumexp.cu: log Σ e^x over any axes.  A warp takes a result: first the largest, then the sum of e^(x - largest),
// both of f64.  x is read from memory once where a line fits into the caches; roof: memory bandwidth.
#include "cuda/elements.h"
#include "cuda/reduce/reduce.h"

#include <math.h>

namespace {

template <class T> __global__ void __launch_bounds__(256) logsumexp(wk_cuda_reduction r) {
    const int64_t line = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
    if (line >= r.kept.count) return; // a whole warp
    int64_t at[2], offset;
    wk_walk_offsets<2>(r.kept, line, at);
    const T *x = static_cast<const T *>(r.x) + at[1];
    double largest = -INFINITY, sum = 0;
    for (int64_t i = lane; i < r.reduced.count; i += 32) {
        wk_walk_offsets<1>(r.reduced, i, &offset);
        const double value = (double)wk_get(x[offset]);
        largest = value > largest || value != value ? value : largest;
    }
    for (int by = 16; by > 0; by /= 2) {
        const double other = __shfl_xor_sync(0xFFFFFFFFu, largest, by);
        largest = other > largest || other != other ? other : largest;
    }
    const double from = isinf(largest) ? 0 : largest;
    for (int64_t i = lane; i < r.reduced.count; i += 32) {
        wk_walk_offsets<1>(r.reduced, i, &offset);
        sum += exp((double)wk_get(x[offset]) - from);
    }
    for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, by);
    if (lane == 0) wk_put(static_cast<T *>(r.out) + at[0], (wk_real<T>)(log(sum) + from));
}

template <class T> int launch(const wk_cuda_reduction &r, void *stream) {
    return WK_LAUNCH((logsumexp<T>), (unsigned)((r.kept.count + 7) / 8), 256, 0, stream, r);
}

} // namespace

extern "C" int wk__cuda_logsumexp(const wk_cuda_reduction *r, void *stream) {
    switch (r->dtype) {
        WK_CASES_OF_FLOATS(launch, *r, stream);
    default: return (int)cudaErrorInvalidValue;
    }
}
