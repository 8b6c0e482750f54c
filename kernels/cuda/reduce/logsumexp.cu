// logsumexp.cu: log Σ e^x over any axes.  A warp takes a result: first the largest, then the sum of e^(x - largest),
// both of f64; where the results lie side by side and their elements do not, a block takes 32 of them.  x is read from
// memory once where a line fits into the caches; roof: memory bandwidth.
#include "cuda/elements.h"
#include "cuda/reduce/reduce.h"
#include "cuda/together.h"

#include <math.h>

namespace {

template <class T, bool ACROSS> __global__ void __launch_bounds__(256) logsumexp(wk_cuda_reduction r) {
    const wk_share<ACROSS> share(32);
    const bool works = share.line < r.kept.count;
    const int64_t end = works ? r.reduced.count : 0;
    int64_t at[2], offset;
    wk_walk_offsets<2>(r.kept, works ? share.line : 0, at);
    const T *x = static_cast<const T *>(r.x) + at[1];
    double largest = -INFINITY, sum = 0;
    for (int64_t i = share.lane; i < end; i += share.threads) {
        wk_walk_offsets<1>(r.reduced, i, &offset);
        const double value = (double)wk_get(x[offset]);
        largest = value > largest || value != value ? value : largest;
    }
    largest = share.template together<true>(largest);
    const double from = isinf(largest) ? 0 : largest;
    for (int64_t i = share.lane; i < end; i += share.threads) {
        wk_walk_offsets<1>(r.reduced, i, &offset);
        sum += exp((double)wk_get(x[offset]) - from);
    }
    sum = share.template together<false>(sum);
    if (works && share.lane == 0) wk_put(static_cast<T *>(r.out) + at[0], (wk_real<T>)(log(sum) + from));
}

template <class T> int launch(const wk_cuda_reduction &r, void *stream) {
    const bool across = r.kept.stride[1][r.kept.rank - 1] == 1 && r.reduced.stride[0][r.reduced.rank - 1] != 1;
    const unsigned blocks = (unsigned)wk_blocks_of_lines(r.kept.count, across, 32);
    return across ? WK_LAUNCH((logsumexp<T, true>), blocks, 256, 0, stream, r)
                  : WK_LAUNCH((logsumexp<T, false>), blocks, 256, 0, stream, r);
}

} // namespace

extern "C" int wk__cuda_logsumexp(const wk_cuda_reduction *r, void *stream) {
    switch (r->dtype) {
        WK_CASES_OF_FLOATS(launch, *r, stream);
    default: return (int)cudaErrorInvalidValue;
    }
}
