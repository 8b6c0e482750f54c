// argmax.cu: where the largest, or least, element of a line stands: the first among equals, NaN before all.  A warp a
// line; x is read once; roof: memory bandwidth.
#include "cuda/elements.h"
#include "cuda/reduce/reduce.h"

namespace {

template <class R> struct Best {
    R value;
    int64_t index; // -1: none yet
};

// Whether a goes before b.
template <class R> __device__ __forceinline__ bool before(const Best<R> &a, const Best<R> &b, bool least) {
    if (a.index < 0 || b.index < 0) return b.index < 0 && a.index >= 0;
    bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    if (a_nan != b_nan) return a_nan;
    if (a_nan || a.value == b.value) return a.index < b.index;
    return least ? a.value < b.value : a.value > b.value;
}

template <class T> __global__ void __launch_bounds__(256) argmax(wk_cuda_reduction r, bool least) {
    using R = wk_real<T>;
    const T *x = static_cast<const T *>(r.x);
    const int64_t line = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
    const bool works = line < r.kept.count;
    int64_t at[2];
    wk_walk_offsets<2>(r.kept, works ? line : 0, at);
    Best<R> best = { 0, -1 };
    for (int64_t i = lane; works && i < r.reduced.count; i += 32) {
        Best<R> next = { wk_get(x[at[1] + i * r.reduced.stride[0][0]]), i };
        if (before(next, best, least)) best = next;
    }
    for (unsigned by = 16; by > 0; by /= 2) {
        Best<R> other = { __shfl_down_sync(0xFFFFFFFFu, best.value, by),
                          __shfl_down_sync(0xFFFFFFFFu, best.index, by) };
        if (before(other, best, least)) best = other;
    }
    if (works && lane == 0) static_cast<int64_t *>(r.out)[at[0]] = best.index;
}

template <class T> int launch(const wk_cuda_reduction &r, bool least, void *stream) {
    return WK_LAUNCH((argmax<T>), (unsigned)((r.kept.count + 7) / 8), 256, 0, stream, r, least);
}

} // namespace

extern "C" int wk__cuda_argmax(const wk_cuda_reduction *r, bool least, void *stream) {
    switch (r->dtype) {
        WK_CASES_OF_FLOATS(launch, *r, least, stream);
        WK_CASES_OF_INTEGERS(launch, *r, least, stream);
    case WK_BOOL: return launch<uint8_t>(*r, least, stream);
    default: return (int)cudaErrorInvalidValue;
    }
}
