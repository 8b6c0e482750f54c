/* rotary.cu: pairs of a row's elements rotated by position.
 *
 * A thread writes one element; its partner is read by the neighbour too, out of the first-level cache.  Traffic: x and
 * y once, the tables once for all rows that share them.  Roof: memory bandwidth.
 */
#include "cuda/attention/rotary.h"

#include "cuda/divide.h"
#include "cuda/elements.h"

namespace {

template <class T> __global__ void rotate(const wk_cuda_rotary r) {
    using R = wk_real<T>;
    const int64_t threads = (int64_t)gridDim.x * blockDim.x, all = r.rows.count * r.width;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < all; at += threads) {
        int64_t i, start[4];
        const int64_t row = wk_divide(at, r.width, &i);
        wk_walk_offsets<4>(r.rows, row, start);
        const T *x = static_cast<const T *>(r.x) + start[1];
        T *y = static_cast<T *>(r.y) + start[0] + i * r.stride[0];
        if (i >= 2 * r.pairs) {
            *y = x[i * r.stride[1]];
            continue;
        }
        const int64_t pair = r.interleaved ? i / 2 : i < r.pairs ? i : i - r.pairs;
        const bool second = r.interleaved ? i % 2 : i >= r.pairs;
        const int64_t step = r.interleaved ? 1 : r.pairs, other = second ? i - step : i + step;
        const R cosine = wk_get(static_cast<const T *>(r.cosines)[start[2] + pair * r.stride[2]]);
        const R sine = wk_get(static_cast<const T *>(r.sines)[start[3] + pair * r.stride[3]]);
        const R own = wk_get(x[i * r.stride[1]]), turned = wk_get(x[other * r.stride[1]]) * (second == r.back ? -sine : sine);
        wk_put(y, own * cosine + turned);
    }
}

template <class T> int launch(const wk_cuda_rotary *r, void *stream) {
    return WK_LAUNCH(rotate<T>, wk_blocks_for(r->rows.count * r->width), 256, 0, stream, *r);
}

} // namespace

extern "C" int wk__cuda_rotate(const wk_cuda_rotary *r, int dtype, void *stream) {
    WK_FLOAT_CASES(dtype, launch, r, stream);
}
