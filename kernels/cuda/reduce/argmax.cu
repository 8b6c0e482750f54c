// argmax.cu: where the largest, or least, element of a line stands: the first among equals, NaN before all.  A warp a
// line, or a block 32 lines that lie side by side; x is read once; roof: memory bandwidth.
#include "cuda/elements.h"
#include "cuda/reduce/reduce.h"
#include "cuda/together.h"

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

// The best of all threads that share a line, for the first of them.
template <bool ACROSS, class R> __device__ __forceinline__ Best<R> first_of(Best<R> best, bool least) {
    if constexpr (ACROSS) {
        WK_SHARED(R, values, [8][32]);
        WK_SHARED(int64_t, places, [8][32]);
        const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        values[warp][lane] = best.value, places[warp][lane] = best.index;
        __syncthreads();
        for (int w = 1; w < 8 && warp == 0; w++) {
            Best<R> other = { values[w][lane], places[w][lane] };
            if (before(other, best, least)) best = other;
        }
    } else {
        for (unsigned by = 16; by > 0; by /= 2) {
            Best<R> other = { __shfl_down_sync(0xFFFFFFFFu, best.value, by),
                              __shfl_down_sync(0xFFFFFFFFu, best.index, by) };
            if (before(other, best, least)) best = other;
        }
    }
    return best;
}

template <class T, bool ACROSS> __global__ void __launch_bounds__(256) argmax(wk_cuda_reduction r, bool least) {
    using R = wk_real<T>;
    const T *x = static_cast<const T *>(r.x);
    const wk_share<ACROSS> share(32);
    const bool works = share.line < r.kept.count;
    int64_t at[2];
    wk_walk_offsets<2>(r.kept, works ? share.line : 0, at);
    Best<R> best = { 0, -1 };
    for (int64_t i = share.lane; works && i < r.reduced.count; i += share.threads) {
        Best<R> next = { wk_get(x[at[1] + i * r.reduced.stride[0][0]]), i };
        if (before(next, best, least)) best = next;
    }
    best = first_of<ACROSS>(best, least);
    if (works && share.lane == 0) static_cast<int64_t *>(r.out)[at[0]] = best.index;
}

template <class T> int launch(const wk_cuda_reduction &r, bool least, void *stream) {
    const bool across = r.kept.stride[1][r.kept.rank - 1] == 1 && r.reduced.stride[0][0] != 1;
    const unsigned blocks = (unsigned)wk_blocks_of_lines(r.kept.count, across, 32);
    return across ? WK_LAUNCH((argmax<T, true>), blocks, 256, 0, stream, r, least)
                  : WK_LAUNCH((argmax<T, false>), blocks, 256, 0, stream, r, least);
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
