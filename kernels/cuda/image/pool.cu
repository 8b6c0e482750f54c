/* pool.cu: max and average pooling, forward and backward, of images in any layout.
 *
 * Forward: a thread a window.  Backward: a thread an element of dx, which asks which windows cover it; so every element
 * is written once, nothing is cleared, nothing is added by two threads, and where windows overlap the order is fixed.
 * Neighbouring threads take neighbouring channels where these lie together, else neighbouring pixels.  Traffic: each
 * element once where windows do not overlap; roof: memory bandwidth.
 */
#include "cuda/image/pool.h"

#include "cuda/convert.h"
#include "cuda/divide.h"

namespace {

struct Element {
    int64_t n, c, at[3];
};

/* Element number i of (N, C, sizes) in the order of memory: channels innermost where their stride is 1. */
__device__ __forceinline__ Element element_of(const wk_cuda_pooling &s, const int64_t *size, const int64_t *stride,
                                              int64_t i) {
    Element e;
    const bool channels_last = stride[1] == 1 && s.c > 1;
    if (channels_last) e.c = wk_place(&i, s.c);
    for (int axis = 2; axis >= 0; axis--) e.at[axis] = wk_place(&i, size[axis]);
    if (!channels_last) e.c = wk_place(&i, s.c);
    e.n = i;
    return e;
}

__device__ __forceinline__ int64_t offset_of(const int64_t *stride, const Element &e) {
    return e.n * stride[0] + e.c * stride[1] + e.at[0] * stride[2] + e.at[1] * stride[3] + e.at[2] * stride[4];
}

/* Taps [from, to) of a window lie in the image; `length` is what a mean counts. */
struct Window {
    int64_t start, from, to, length;
};
__device__ __forceinline__ Window window_of(const wk_cuda_pooling &s, int axis, int64_t o) {
    Window w;
    const int64_t size = s.size[axis];
    if (s.stride[axis] == 0) {
        w.start = o * size / s.steps[axis];
        w.from = 0;
        w.to = w.length = ((o + 1) * size + s.steps[axis] - 1) / s.steps[axis] - w.start;
        return w;
    }
    const int64_t dilation = s.dilation[axis], kernel = s.kernel[axis];
    w.start = o * s.stride[axis] - s.padding[axis];
    const int64_t room = (size - w.start + dilation - 1) / dilation, end = w.start + kernel;
    w.from = w.start < 0 ? (-w.start + dilation - 1) / dilation : 0;
    w.to = kernel < room ? kernel : room;
    w.length = s.exclude_padding                    ? w.to - w.from
               : end < size + s.padding[axis] ? end - w.start
                                                    : size + s.padding[axis] - w.start;
    return w;
}

template <class T, class F>
__device__ __forceinline__ void for_taps(const wk_cuda_pooling &s, const T *x, const Element &e, const Window *w,
                                         F visit) {
    const T *image = x + e.n * s.x[0] + e.c * s.x[1];
    for (int64_t t = w[0].from; t < w[0].to; t++)
        for (int64_t r = w[1].from; r < w[1].to; r++)
            for (int64_t v = w[2].from; v < w[2].to; v++)
                visit((t * s.kernel[1] + r) * s.kernel[2] + v,
                      wk_get(image[(w[0].start + t * s.dilation[0]) * s.x[2] + (w[1].start + r * s.dilation[1]) * s.x[3]
                                   + (w[2].start + v * s.dilation[2]) * s.x[4]]));
}

__device__ __forceinline__ int64_t windows(const wk_cuda_pooling &s) {
    return s.n * s.c * s.steps[0] * s.steps[1] * s.steps[2];
}
__device__ __forceinline__ int64_t thread_number() {
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

template <class T> __global__ void max_forward(const wk_cuda_pooling s, const T *x, T *y, void *taps) {
    const int64_t i = thread_number();
    if (i >= windows(s)) return;
    const Element e = element_of(s, s.steps, s.y, i);
    const Window w[3] = { window_of(s, 0, e.at[0]), window_of(s, 1, e.at[1]), window_of(s, 2, e.at[2]) };
    wk_real<T> best = -wk_real<T>(INFINITY);
    int64_t taken = (w[0].from * s.kernel[1] + w[1].from) * s.kernel[2] + w[2].from;
    for_taps(s, x, e, w, [&](int64_t tap, wk_real<T> value) {
        const bool better = value > best || value != value; /* the last NaN wins, as on the CPU */
        best = better ? value : best;
        taken = better ? tap : taken;
    });
    wk_put(y + offset_of(s.y, e), best);
    const int64_t at = offset_of(s.taps, e);
    if (s.wide)
        static_cast<int32_t *>(taps)[at] = (int32_t)taken;
    else
        static_cast<uint8_t *>(taps)[at] = (uint8_t)taken;
}

__device__ __forceinline__ int64_t divisor_of(const wk_cuda_pooling &s, const Window *w) {
    return s.divisor ? s.divisor : w[0].length * w[1].length * w[2].length;
}

template <class T> __global__ void mean_forward(const wk_cuda_pooling s, const T *x, T *y) {
    const int64_t i = thread_number();
    if (i >= windows(s)) return;
    const Element e = element_of(s, s.steps, s.y, i);
    const Window w[3] = { window_of(s, 0, e.at[0]), window_of(s, 1, e.at[1]), window_of(s, 2, e.at[2]) };
    wk_real<T> sum = 0;
    for_taps(s, x, e, w, [&](int64_t, wk_real<T> value) { sum += value; });
    wk_put(y + offset_of(s.y, e), sum / (wk_real<T>)divisor_of(s, w));
}

/* The windows [first, last) of an axis that may cover element i. */
__device__ __forceinline__ void cover(const wk_cuda_pooling &s, int axis, int64_t i, int64_t *first, int64_t *last) {
    const int64_t size = s.size[axis], steps = s.steps[axis];
    if (s.stride[axis] == 0) {
        int64_t o = i * steps / size;
        while (o > 0 && (o * size + steps - 1) / steps > i) o--; /* the one before still reaches i */
        while (((o + 1) * size + steps - 1) / steps <= i) o++;
        *first = o;
        while (o < steps && o * size / steps <= i) o++;
        *last = o;
        return;
    }
    const int64_t reach = i + s.padding[axis], behind = reach - (s.kernel[axis] - 1) * s.dilation[axis];
    *first = behind <= 0 ? 0 : (behind + s.stride[axis] - 1) / s.stride[axis];
    *last = reach / s.stride[axis] + 1 < steps ? reach / s.stride[axis] + 1 : steps;
}

/* Which tap of window o element i is; -1: none. */
__device__ __forceinline__ int64_t tap_at(const wk_cuda_pooling &s, int axis, const Window &w, int64_t i) {
    const int64_t reach = i - w.start, dilation = s.stride[axis] ? s.dilation[axis] : 1;
    if (reach < 0) return -1;
    int64_t rest;
    const int64_t tap = wk_divide(reach, dilation, &rest);
    return rest == 0 && tap >= w.from && tap < w.to ? tap : -1;
}

template <class T>
__device__ __forceinline__ wk_real<T> share(const wk_cuda_pooling &s, const T *dy, const void *taps, const Element &e,
                                            const Window *w, int64_t tap) {
    const wk_real<T> slope = wk_get(dy[offset_of(s.y, e)]);
    if (!taps) return slope / (wk_real<T>)divisor_of(s, w);
    const int64_t at = offset_of(s.taps, e);
    const int64_t taken = s.wide ? static_cast<const int32_t *>(taps)[at] : static_cast<const uint8_t *>(taps)[at];
    return taken == tap ? slope : wk_real<T>(0);
}

template <class T> __global__ void backward(const wk_cuda_pooling s, const T *dy, const void *taps, T *dx) {
    const int64_t i = thread_number();
    if (i >= s.n * s.c * s.size[0] * s.size[1] * s.size[2]) return;
    const Element e = element_of(s, s.size, s.x, i);
    int64_t first[3], last[3], tap[3];
    for (int axis = 0; axis < 3; axis++) cover(s, axis, e.at[axis], &first[axis], &last[axis]);
    wk_real<T> sum = 0;
    Element o = e;
    Window w[3];
    for (o.at[0] = first[0]; o.at[0] < last[0]; o.at[0]++) {
        w[0] = window_of(s, 0, o.at[0]);
        if ((tap[0] = tap_at(s, 0, w[0], e.at[0])) < 0) continue;
        for (o.at[1] = first[1]; o.at[1] < last[1]; o.at[1]++) {
            w[1] = window_of(s, 1, o.at[1]);
            if ((tap[1] = tap_at(s, 1, w[1], e.at[1])) < 0) continue;
            for (o.at[2] = first[2]; o.at[2] < last[2]; o.at[2]++) {
                w[2] = window_of(s, 2, o.at[2]);
                if ((tap[2] = tap_at(s, 2, w[2], e.at[2])) < 0) continue;
                sum += share(s, dy, taps, o, w, (tap[0] * s.kernel[1] + tap[1]) * s.kernel[2] + tap[2]);
            }
        }
    }
    wk_put(dx + offset_of(s.x, e), sum);
}

/* Where in its image (D · H · W) each maximum stood.  A window without elements points to the nearest one. */
__global__ void positions(const wk_cuda_pooling s, const void *taps, int64_t *to) {
    const int64_t i = thread_number();
    if (i >= windows(s)) return;
    int64_t rest = i, flat = 0;
    Element e;
    for (int axis = 2; axis >= 0; axis--) e.at[axis] = wk_place(&rest, s.steps[axis]);
    e.c = wk_place(&rest, s.c), e.n = rest;
    const int64_t at = offset_of(s.taps, e);
    rest = s.wide ? static_cast<const int32_t *>(taps)[at] : static_cast<const uint8_t *>(taps)[at];
    int64_t tap[3];
    for (int axis = 2; axis >= 0; axis--) tap[axis] = wk_place(&rest, s.kernel[axis]);
    for (int axis = 0; axis < 3; axis++) {
        int64_t place = window_of(s, axis, e.at[axis]).start + tap[axis] * s.dilation[axis];
        place = place < 0 ? 0 : place < s.size[axis] ? place : s.size[axis] - 1;
        flat = flat * s.size[axis] + place;
    }
    to[i] = flat;
}

unsigned blocks_for(int64_t elements) {
    return (unsigned)((elements + 255) / 256);
}
int64_t all_windows(const wk_cuda_pooling &s) {
    return s.n * s.c * s.steps[0] * s.steps[1] * s.steps[2];
}
int64_t all_elements(const wk_cuda_pooling &s) {
    return s.n * s.c * s.size[0] * s.size[1] * s.size[2];
}

template <class T> int launch_max(const wk_cuda_pooling &s, const void *x, void *y, void *taps, void *stream) {
    if (all_windows(s) == 0) return 0;
    return WK_LAUNCH(max_forward<T>, blocks_for(all_windows(s)), 256, 0, stream, s, static_cast<const T *>(x),
                     static_cast<T *>(y), taps);
}
template <class T> int launch_mean(const wk_cuda_pooling &s, const void *x, void *y, void *stream) {
    if (all_windows(s) == 0) return 0;
    return WK_LAUNCH(mean_forward<T>, blocks_for(all_windows(s)), 256, 0, stream, s, static_cast<const T *>(x),
                     static_cast<T *>(y));
}
template <class T>
int launch_backward(const wk_cuda_pooling &s, const void *dy, const void *taps, void *dx, void *stream) {
    if (all_elements(s) == 0) return 0;
    return WK_LAUNCH(backward<T>, blocks_for(all_elements(s)), 256, 0, stream, s, static_cast<const T *>(dy), taps,
                     static_cast<T *>(dx));
}

} // namespace

extern "C" int wk__cuda_max_pool(const wk_cuda_pooling *s, int dtype, const void *x, void *y, void *taps, void *stream) {
    WK_FLOAT_CASES(dtype, launch_max, *s, x, y, taps, stream)
}
extern "C" int wk__cuda_avg_pool(const wk_cuda_pooling *s, int dtype, const void *x, void *y, void *stream) {
    WK_FLOAT_CASES(dtype, launch_mean, *s, x, y, stream)
}
extern "C" int wk__cuda_pool_backward(const wk_cuda_pooling *s, int dtype, const void *dy, const void *taps, void *dx,
                                     void *stream) {
    WK_FLOAT_CASES(dtype, launch_backward, *s, dy, taps, dx, stream)
}
extern "C" int wk__cuda_max_pool_positions(const wk_cuda_pooling *s, const void *taps, int64_t *to, void *stream) {
    if (all_windows(*s) == 0) return 0;
    return WK_LAUNCH(positions, blocks_for(all_windows(*s)), 256, 0, stream, *s, taps, to);
}
