// scatter.cu: values put at positions, or joined with what stands there.
//
// Equal positions meet in one element, so a thread goes through a whole line of the index, in its order: the same
// result in every run and no atomics.  Neighbouring threads take neighbouring lines; lines of few elements, or many
// lines, are what it is good at.  Source and index are read once, the result is read and written once a value; roof:
// memory bandwidth where there are lines enough to fill the device.
#include "cuda/elements.h"
#include "cuda/layout/scatter.h"

namespace {

template <int KIND, class R> __device__ __forceinline__ R joined(R a, R b) {
    if (KIND == WK_CUDA_PUT) return b;
    if (KIND == WK_CUDA_MOST) return a > b || a != a ? a : b;
    if (KIND == WK_CUDA_LEAST) return a < b || a != a ? a : b;
    return KIND == WK_CUDA_ADD ? a + b : a * b;
}
template <int KIND> __device__ __forceinline__ int64_t joined(int64_t a, int64_t b) {
    if (KIND == WK_CUDA_PUT) return b;
    if (KIND == WK_CUDA_MOST) return a > b ? a : b;
    if (KIND == WK_CUDA_LEAST) return a < b ? a : b;
    return (int64_t)(KIND == WK_CUDA_ADD ? (uint64_t)a + (uint64_t)b : (uint64_t)a * (uint64_t)b);
}

template <int KIND, class T> __global__ void __launch_bounds__(256) scatter(wk_cuda_scatter s) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t line = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; line < s.lines.count; line += threads) {
        int64_t at[3];
        wk_walk_offsets<3>(s.lines, line, at);
        T *out = static_cast<T *>(s.out) + at[0];
        const T *source = static_cast<const T *>(s.source) + at[1];
        const int64_t *index = s.index + at[2];
        for (int64_t k = 0; k < s.length; k++) {
            const int64_t position = index[k * s.index_step];
            // An index outside cannot be told to anybody here; it changes nothing.
            if (position < 0 || position >= s.limit) continue;
            T *to = out + position * s.jump;
            wk_put(to, joined<KIND>(wk_get(*to), wk_get(source[k * s.source_step])));
        }
    }
}

template <int KIND> struct of_kind {
    template <class T> static int of(const wk_cuda_scatter &s, void *stream) {
        return WK_LAUNCH((scatter<KIND, T>), wk_blocks_for(s.lines.count), 256, 0, stream, s);
    }
    static int launch(const wk_cuda_scatter &s, void *stream) {
        switch (s.dtype) {
            WK_CASES_OF_FLOATS(of, s, stream);
            WK_CASES_OF_INTEGERS(of, s, stream);
        case WK_BOOL: return of<uint8_t>(s, stream);
        default: return (int)cudaErrorInvalidValue;
        }
    }
};

} // namespace

extern "C" int wk__cuda_scatter(const wk_cuda_scatter *s, void *stream) {
    switch (s->kind) {
    case WK_CUDA_PUT: return of_kind<WK_CUDA_PUT>::launch(*s, stream);
    case WK_CUDA_ADD: return of_kind<WK_CUDA_ADD>::launch(*s, stream);
    case WK_CUDA_MULTIPLY: return of_kind<WK_CUDA_MULTIPLY>::launch(*s, stream);
    case WK_CUDA_MOST: return of_kind<WK_CUDA_MOST>::launch(*s, stream);
    default: return of_kind<WK_CUDA_LEAST>::launch(*s, stream);
    }
}
