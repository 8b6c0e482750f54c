// softmax.cu: softmax and log-softmax along an axis, and their gradients.
//
//   softmax       y = exp(x - max) / sum exp(x - max)      dx = y (dy - sum(dy y))
//   log-softmax   y = x - max - log sum exp(x - max)       dx = dy - exp(y) sum(dy)
//
// A warp takes a line of up to 1024 elements, a block a longer one.  Sums are of f64.  The operands are read from
// memory once (again from the caches, where a line fits) and the result is written once; roof: memory bandwidth.
#include "cuda/elements.h"
#include "cuda/reduce/softmax.h"
#include "cuda/together.h"

#include <math.h>

namespace {

template <class T> __global__ void __launch_bounds__(256) softmax(wk_cuda_softmax s, int threads) {
    using R = wk_real<T>;
    [[maybe_unused]] constexpr int AHEAD = sizeof(R) == 8 ? 1 : 4; // several doubles around an exponential do not stay in registers
    const int64_t line = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / threads,
                  lane = threadIdx.x % (unsigned)threads;
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
    const R most = (R)wk_together<true>(largest, threads);
    WK_UNROLL_BY(AHEAD)
    for (int64_t i = lane; i < end; i += threads) sum += (double)exp(wk_get(x[i * s.step[1]]) - most);
    sum = wk_together<false>(sum, threads);
    const R number = (R)(logarithm ? log(sum) : 1 / sum);
    WK_UNROLL_BY(AHEAD)
    for (int64_t i = lane; i < end; i += threads) {
        R value = wk_get(x[i * s.step[1]]) - most;
        wk_put(y + i * s.step[0], logarithm ? value - number : exp(value) * number);
    }
}

template <class T> __global__ void __launch_bounds__(256) gradient(wk_cuda_softmax s, int threads) {
    using R = wk_real<T>;
    const int64_t line = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / threads,
                  lane = threadIdx.x % (unsigned)threads;
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
    const R number = (R)wk_together<false>(sum, threads);
    for (int64_t i = lane; i < end; i += threads) {
        R d = wk_get(dy[i * s.step[1]]), value = wk_get(y[i * s.step[2]]);
        wk_put(dx + i * s.step[0], logarithm ? d - exp(value) * number : value * (d - number));
    }
}

template <class T> int launch(const wk_cuda_softmax &s, void *stream) {
    const int threads = s.length <= 1024 ? 32 : 256;
    const int64_t blocks = (s.lines.count * threads + 255) / 256;
    if (blocks > 0x7FFFFFFF) return (int)cudaErrorInvalidConfiguration;
    bool forward = s.kind == WK_CUDA_SOFTMAX || s.kind == WK_CUDA_LOG_SOFTMAX;
    if (forward) return WK_LAUNCH((softmax<T>), (unsigned)blocks, 256, 0, stream, s, threads);
    return WK_LAUNCH((gradient<T>), (unsigned)blocks, 256, 0, stream, s, threads);
}

} // namespace

extern "C" int wk__cuda_softmax(const wk_cuda_softmax *s, void *stream) {
    switch (s->dtype) {
        WK_CASES_OF_FLOATS(launch, *s, stream);
    default: return (int)cudaErrorInvalidValue;
    }
}
