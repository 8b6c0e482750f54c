// softmax.cu: softmax and log-softmax along an axis, and their gradients.
//
//   softmax       y = exp(x - max) / sum exp(x - max)      dx = y (dy - sum(dy y))
//   log-softmax   y = x - max - log sum exp(x - max)       dx = dy - exp(y) sum(dy)
//
// A warp takes a line of up to 1024 elements, a block a longer one.  Where not elements but lines lie side by side, a
// block takes 32 lines, and its warps share their elements out.  Sums are of f64.  The operands are read from
// memory once (again from the caches, where a line fits) and the result is written once; roof: memory bandwidth.
#include "cuda/elements.h"
#include "cuda/reduce/softmax.h"
#include "cuda/together.h"

#include <math.h>

namespace {

template <class T, bool ACROSS> __global__ void __launch_bounds__(256) softmax(wk_cuda_softmax s, int threads_of_line) {
    using R = wk_real<T>;
    [[maybe_unused]] constexpr int AHEAD = sizeof(R) == 8 ? 1 : 4; // several doubles around an exponential do not stay in registers
    const wk_share<ACROSS> share(threads_of_line);
    const int threads = share.threads;
    const int64_t line = share.line, lane = share.lane;
    const bool works = line < s.lines.count, logarithm = s.kind == WK_CUDA_LOG_SOFTMAX;
    const int64_t end = works ? s.length : 0;
    int64_t at[2];
    wk_walk_offsets<2>(s.lines, works ? line : 0, at);
    const T *x = static_cast<const T *>(s.in[0]) + at[1];
    T *y = static_cast<T *>(s.out) + at[0];
    double largest = -INFINITY, sum = 0;
    for (int64_t i = lane; i < end; i += threads) {
        double value = (double)wk_get(x[i * s.step[1]]);
        largest = value > largest || value != value ? value : largest;
    }
    const R most = (R)share.template together<true>(largest);
    WK_UNROLL_BY(AHEAD)
    for (int64_t i = lane; i < end; i += threads) sum += (double)exp(wk_get(x[i * s.step[1]]) - most);
    sum = share.template together<false>(sum);
    const R number = (R)(logarithm ? log(sum) : 1 / sum);
    WK_UNROLL_BY(AHEAD)
    for (int64_t i = lane; i < end; i += threads) {
        R value = wk_get(x[i * s.step[1]]) - most;
        wk_put(y + i * s.step[0], logarithm ? value - number : exp(value) * number);
    }
}

template <class T, bool ACROSS> __global__ void __launch_bounds__(256) gradient(wk_cuda_softmax s, int threads_of_line) {
    using R = wk_real<T>;
    const wk_share<ACROSS> share(threads_of_line);
    const int threads = share.threads;
    const int64_t line = share.line, lane = share.lane;
    const bool works = line < s.lines.count, logarithm = s.kind == WK_CUDA_LOG_SOFTMAX_GRAD;
    const int64_t end = works ? s.length : 0;
    int64_t at[3];
    wk_walk_offsets<3>(s.lines, works ? line : 0, at);
    const T *dy = static_cast<const T *>(s.in[0]) + at[1], *y = static_cast<const T *>(s.in[1]) + at[2];
    T *dx = static_cast<T *>(s.out) + at[0];
    double sum = 0;
    for (int64_t i = lane; i < end; i += threads) {
        double d = (double)wk_get(dy[i * s.step[1]]);
        sum += logarithm ? d : d * (double)wk_get(y[i * s.step[2]]);
    }
    const R number = (R)share.template together<false>(sum);
    for (int64_t i = lane; i < end; i += threads) {
        R d = wk_get(dy[i * s.step[1]]), value = wk_get(y[i * s.step[2]]);
        wk_put(dx + i * s.step[0], logarithm ? d - exp(value) * number : value * (d - number));
    }
}

template <class T, bool ACROSS> int launch_shared(const wk_cuda_softmax &s, int64_t blocks, int threads, void *stream) {
    if (blocks > 0x7FFFFFFF) return (int)cudaErrorInvalidConfiguration;
    bool forward = s.kind == WK_CUDA_SOFTMAX || s.kind == WK_CUDA_LOG_SOFTMAX;
    if (forward) return WK_LAUNCH((softmax<T, ACROSS>), (unsigned)blocks, 256, 0, stream, s, threads);
    return WK_LAUNCH((gradient<T, ACROSS>), (unsigned)blocks, 256, 0, stream, s, threads);
}

template <class T> int launch(const wk_cuda_softmax &s, void *stream) {
    const bool across = s.step[1] != 1 && s.lines.stride[1][s.lines.rank - 1] == 1;
    const int threads = s.length <= 1024 ? 32 : 256;
    const int64_t blocks = wk_blocks_of_lines(s.lines.count, across, threads);
    return across ? launch_shared<T, true>(s, blocks, threads, stream) : launch_shared<T, false>(s, blocks, threads, stream);
}

} // namespace

extern "C" int wk__cuda_softmax(const wk_cuda_softmax *s, void *stream) {
    switch (s->dtype) {
        WK_CASES_OF_FLOATS(launch, *s, stream);
    default: return (int)cudaErrorInvalidValue;
    }
}
