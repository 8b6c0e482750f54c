/* windows.cu: windows along an axis added back to what they were taken from.
 *
 * A thread owns an element and adds what the windows hold of it, in their order: no atomics.  Neighbouring threads take
 * neighbouring elements of whichever of axis and lines is dense.  Traffic: x and y once each.  Roof: memory bandwidth.
 */
#include "cuda/layout/windows.h"

#include "cuda/divide.h"
#include "cuda/elements.h"

namespace {

/* Integers wrap around. */
__device__ __forceinline__ float sum_of(float a, float b) {
    return a + b;
}
__device__ __forceinline__ double sum_of(double a, double b) {
    return a + b;
}
__device__ __forceinline__ int64_t sum_of(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

template <class T> __global__ void __launch_bounds__(256) add_windows(const wk_cuda_windows w) {
    const int64_t all = w.lines.count * w.length, threads = (int64_t)gridDim.x * blockDim.x;
    const bool axis_last = w.x_by == 1;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += threads) {
        int64_t start[2], rest;
        const int64_t whole = wk_divide(i, axis_last ? w.length : w.lines.count, &rest);
        const int64_t line = axis_last ? whole : rest, at = axis_last ? rest : whole;
        wk_walk_offsets<2>(w.lines, line, start);
        const T *y = static_cast<const T *>(w.y) + start[1];
        wk_real<T> sum = 0;
        WK_NO_UNROLL
        for (int64_t k = w.size - 1; k >= 0; k--) { /* windows rise as elements fall */
            const int64_t way = at - k * w.dilation;
            if (way < 0) continue;
            int64_t off;
            const int64_t window = wk_divide(way, w.step, &off);
            if (off == 0 && window < w.windows) sum = sum_of(sum, wk_get(y[window * w.window_by + k * w.element_by]));
        }
        wk_put(static_cast<T *>(w.x) + start[0] + at * w.x_by, sum);
    }
}

template <class T> int launch(const wk_cuda_windows &w, void *stream) {
    return WK_LAUNCH(add_windows<T>, wk_blocks_for(w.lines.count * w.length), 256, 0, stream, w);
}

} // namespace

extern "C" int wk__cuda_add_windows(const wk_cuda_windows *w, int dtype, void *stream) {
    switch (dtype) {
        WK_CASES_OF_FLOATS(launch, *w, stream);
        WK_CASES_OF_INTEGERS(launch, *w, stream);
    default: return (int)cudaErrorInvalidValue;
    }
}
