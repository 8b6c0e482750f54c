/* resize.cu: interpolation along one axis, and its transpose.
 *
 * Which elements a result is made of, and with what weights, is a few operations on its place, so every thread works
 * them out anew and nothing is kept.  Transposed, a thread owns an element and asks the results that may contain it:
 * places rise with results, so they are an interval, found by halving; its sum is in the order of the results.
 * Traffic: x and y once each (neighbours share elements through the cache).  Roof: memory bandwidth.
 */
#include "cuda/image/resize.h"

#include "cuda/divide.h"
#include "cuda/elements.h"
#include "wick/ops/resize.h"

namespace {

enum { MOST_TAPS = 4 };

struct taps {
    int64_t index[MOST_TAPS];
    double weight[MOST_TAPS];
    int count;
};

__device__ __forceinline__ int64_t within(int64_t i, int64_t size) {
    return i < 0 ? 0 : i >= size ? size - 1 : i;
}
__device__ __forceinline__ double part_within(double part) {
    return part < 0 ? 0 : part > 1 ? 1 : part;
}

/* Keys 1981, a = -0.75 */
__device__ double cubic_near(double t) {
    const double a = -0.75;
    return ((a + 2) * t - (a + 3)) * t * t + 1;
}
__device__ double cubic_far(double t) {
    const double a = -0.75;
    return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
}

__device__ int64_t nearest(const wk_cuda_resize &r, int64_t o) {
    const double place = ((double)o + (r.mode == WK_INTERPOLATE_NEAREST ? 0 : 0.5)) * r.step;
    return within((int64_t)floor(r.wide ? place : (double)(float)place), r.from);
}

/* Of all modes but that of areas. */
__device__ taps taps_of(const wk_cuda_resize &r, int64_t o) {
    taps t = { { 0 }, { 1 }, 1 };
    if (r.mode == WK_INTERPOLATE_NEAREST || r.mode == WK_INTERPOLATE_NEAREST_EXACT) {
        t.index[0] = nearest(r, o);
        return t;
    }
    double at = r.align_corners ? r.step * (double)o : r.step * ((double)o + 0.5) - 0.5;
    if (r.mode == WK_INTERPOLATE_LINEAR) {
        if (at < 0) at = 0;
        const int64_t first = within((int64_t)at, r.from);
        const double part = part_within(at - (double)first);
        t.index[0] = first, t.index[1] = within(first + 1, r.from);
        t.weight[0] = 1 - part, t.weight[1] = part;
        t.count = 2;
        return t;
    }
    int64_t first = within((int64_t)floor(at), r.from);
    if (at < 0) first = (int64_t)floor(at);
    const double part = part_within(at - (double)first);
    t.weight[0] = cubic_far(part + 1), t.weight[1] = cubic_near(part);
    t.weight[2] = cubic_near(1 - part), t.weight[3] = cubic_far(2 - part);
    WK_UNROLL
    for (int k = 0; k < MOST_TAPS; k++) t.index[k] = within(first - 1 + k, r.from);
    t.count = MOST_TAPS;
    return t;
}

/* What result o is made of lies in [first, last] of x. */
__device__ void reach_of(const wk_cuda_resize &r, int64_t o, int64_t *first, int64_t *last) {
    if (r.mode == WK_INTERPOLATE_AREA) {
        *first = o * r.from / r.to, *last = ((o + 1) * r.from + r.to - 1) / r.to - 1;
        return;
    }
    const taps t = taps_of(r, o);
    *first = t.index[0], *last = t.count == 1 ? t.index[0] : t.count == 2 ? t.index[1] : t.index[3];
}

template <class T> __device__ wk_real<T> result(const wk_cuda_resize &r, const T *x, int64_t o) {
    using R = wk_real<T>;
    R sum = 0;
    if (r.mode == WK_INTERPOLATE_AREA) {
        int64_t first, last;
        reach_of(r, o, &first, &last);
        for (int64_t i = first; i <= last; i++) sum += wk_get(x[i * r.x_stride]);
        return sum * (R)(1 / (double)(last - first + 1));
    }
    const taps t = taps_of(r, o);
    WK_UNROLL
    for (int k = 0; k < MOST_TAPS; k++)
        if (k < t.count) sum += (R)t.weight[k] * (R)wk_get(x[t.index[k] * r.x_stride]);
    return sum;
}

/* The first result whose reach ends at element i or behind it. */
__device__ int64_t first_with(const wk_cuda_resize &r, int64_t i) {
    int64_t low = 0, high = r.to;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        int64_t first, last;
        reach_of(r, middle, &first, &last);
        if (last >= i)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

template <class T> __device__ wk_real<T> gathered(const wk_cuda_resize &r, const T *x, int64_t i) {
    using R = wk_real<T>;
    R sum = 0;
    for (int64_t o = first_with(r, i); o < r.to; o++) {
        int64_t first, last;
        reach_of(r, o, &first, &last);
        if (first > i) break;
        const R value = wk_get(x[o * r.x_stride]);
        if (r.mode == WK_INTERPOLATE_AREA) {
            sum += (R)(1 / (double)(last - first + 1)) * value;
            continue;
        }
        const taps t = taps_of(r, o);
        WK_UNROLL
        for (int k = 0; k < MOST_TAPS; k++)
            if (k < t.count && t.index[k] == i) sum += (R)t.weight[k] * value;
    }
    return sum;
}

template <class T> __global__ void resize(const wk_cuda_resize r) {
    const int64_t length = r.transposed ? r.from : r.to, all = r.rows.count * length;
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < all; at += threads) {
        int64_t start[2], rest;
        const int64_t whole = wk_divide(at, r.axis_last ? length : r.rows.count, &rest);
        const int64_t row = r.axis_last ? whole : rest, i = r.axis_last ? rest : whole;
        wk_walk_offsets<2>(r.rows, row, start);
        const T *x = static_cast<const T *>(r.x) + start[1];
        wk_put(static_cast<T *>(r.y) + start[0] + i * r.y_stride, r.transposed ? gathered(r, x, i) : result(r, x, i));
    }
}

template <class T> int launch(const wk_cuda_resize *r, void *stream) {
    const int64_t all = r->rows.count * (r->transposed ? r->from : r->to);
    return WK_LAUNCH(resize<T>, wk_blocks_for(all), 256, 0, stream, *r);
}

} // namespace

extern "C" int wk__cuda_resize_axis(const wk_cuda_resize *r, int dtype, void *stream) {
    WK_FLOAT_CASES(dtype, launch, r, stream);
}
