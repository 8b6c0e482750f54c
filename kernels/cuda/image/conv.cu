/* conv.cu: convolution and its two gradients as one matrix product each, whose operands are gathered from the images.
 *
 *   forward          rows: pixels of y      columns: filters              depth: channels × taps
 *   backward input   rows: pixels of x      columns: channels             depth: filters × taps
 *   backward weight  rows: filters          columns: channels × taps      depth: pixels of y, in parts
 *
 * A block makes a tile of 64 × 64 results, 4 × 4 a thread, over steps of 16 of the depth in shared memory: each operand
 * is read from memory once a tile, so traffic is (rows · columns · depth) · (1/64 + 1/64) elements; the roof is plain
 * arithmetic.  Where a row or a column of an operand lies is worked out once a thread, where its depth lies once an
 * element.  Sums over the batch are made in parts whose number depends on the shape alone, and joined in their order: a
 * repeat gives the same bits.  Halves are added up in f32.
 */
#include "cuda/image/conv.h"

#include "cuda/convert.h"
#include "cuda/divide.h"

namespace {

enum { TILE = 64, DEPTH = 16, THREADS = 256, EACH = 4 };

struct Pixel {
    int64_t n, d, h, w;
};

/* The channel and the tap that a step of the depth stands for. */
struct Tap {
    int64_t channel, d, h, w;
};

__device__ __forceinline__ Tap tap_of(const wk_cuda_convolution &s, int64_t depth) {
    Tap tap;
    tap.w = wk_place(&depth, s.kernel[2]);
    tap.h = wk_place(&depth, s.kernel[1]);
    tap.d = wk_place(&depth, s.kernel[0]);
    tap.channel = depth;
    return tap;
}

/* Pixel number `row` of images with `size`, counted in the order N, D, H, W. */
__device__ __forceinline__ Pixel pixel_of(const int64_t *size, int64_t row) {
    Pixel p;
    p.w = wk_place(&row, size[2]);
    p.h = wk_place(&row, size[1]);
    p.d = wk_place(&row, size[0]);
    p.n = row;
    return p;
}

__device__ __forceinline__ int64_t offset_of(const int64_t *stride, int64_t n, int64_t channel, int64_t d, int64_t h,
                                             int64_t w) {
    return n * stride[0] + channel * stride[1] + d * stride[2] + h * stride[3] + w * stride[4];
}

/* x at a tap of the pixel p of y; 0 outside of the image. */
template <class T>
__device__ __forceinline__ wk_real<T> under_tap(const wk_cuda_convolution &s, const T *x, const Pixel &p, const Tap &tap,
                                                int64_t group) {
    const int64_t d = p.d * s.stride[0] - s.padding[0] + tap.d * s.dilation[0];
    const int64_t h = p.h * s.stride[1] - s.padding[1] + tap.h * s.dilation[1];
    const int64_t w = p.w * s.stride[2] - s.padding[2] + tap.w * s.dilation[2];
    if (d < 0 || d >= s.size[0] || h < 0 || h >= s.size[1] || w < 0 || w >= s.size[2]) return 0;
    return wk_get(x[offset_of(s.x, p.n, group * (s.c / s.groups) + tap.channel, d, h, w)]);
}

template <class T> struct Forward {
    using stored = T;
    using real = wk_real<T>;
    wk_cuda_convolution s;
    const T *x, *weight, *bias;
    int64_t bias_stride;
    T *y;
    bool relu;
    int64_t rows, columns, depth;

    __device__ Pixel row(int64_t row) const {
        return pixel_of(s.out, row);
    }
    __device__ real left(const Pixel &p, int64_t, int64_t at, int64_t group) const {
        return under_tap(s, x, p, tap_of(s, at), group);
    }
    __device__ real right(int64_t column, int64_t at, int64_t group) const {
        const Tap tap = tap_of(s, at);
        return wk_get(weight[offset_of(s.w, group * columns + column, tap.channel, tap.d, tap.h, tap.w)]);
    }
    __device__ void store(int64_t row, int64_t column, int64_t group, real sum) const {
        const Pixel p = pixel_of(s.out, row);
        const int64_t filter = group * columns + column;
        if (bias) sum += wk_get(bias[filter * bias_stride]);
        if (relu) sum = sum > 0 || sum != sum ? sum : 0;
        wk_put(y + offset_of(s.y, p.n, filter, p.d, p.h, p.w), sum);
    }
};

/* Which result a tap at pixel `at` of an axis belongs to; false: to none. */
__device__ __forceinline__ bool result_of(const wk_cuda_convolution &s, int axis, int64_t at, int64_t tap,
                                          int64_t *result) {
    const int64_t reach = at + s.padding[axis] - tap * s.dilation[axis];
    if (reach < 0) return false;
    int64_t rest;
    *result = wk_divide(reach, s.stride[axis], &rest);
    return rest == 0 && *result < s.out[axis];
}

template <class T> struct BackwardInput {
    using stored = T;
    using real = wk_real<T>;
    wk_cuda_convolution s;
    const T *dy, *weight;
    T *dx;
    int64_t rows, columns, depth;

    __device__ Pixel row(int64_t row) const {
        return pixel_of(s.size, row);
    }
    __device__ real left(const Pixel &p, int64_t, int64_t at, int64_t group) const {
        const Tap tap = tap_of(s, at);
        int64_t d, h, w;
        if (!result_of(s, 0, p.d, tap.d, &d) || !result_of(s, 1, p.h, tap.h, &h) || !result_of(s, 2, p.w, tap.w, &w))
            return 0;
        return wk_get(dy[offset_of(s.y, p.n, group * (s.k / s.groups) + tap.channel, d, h, w)]);
    }
    __device__ real right(int64_t column, int64_t at, int64_t group) const {
        const Tap tap = tap_of(s, at);
        const int64_t filter = group * (s.k / s.groups) + tap.channel;
        return wk_get(weight[offset_of(s.w, filter, column, tap.d, tap.h, tap.w)]);
    }
    __device__ void store(int64_t row, int64_t column, int64_t group, real sum) const {
        const Pixel p = pixel_of(s.size, row);
        wk_put(dx + offset_of(s.x, p.n, group * columns + column, p.d, p.h, p.w), sum);
    }
};

template <class T> struct BackwardWeight {
    using stored = T;
    using real = wk_real<T>;
    wk_cuda_convolution s;
    const T *x, *dy;
    real *parts; /* (part, K, C / groups · taps) */
    int64_t rows, columns, depth, part_depth;

    __device__ Pixel row(int64_t) const {
        return Pixel{ 0, 0, 0, 0 };
    }
    __device__ real left(const Pixel &, int64_t row, int64_t at, int64_t group) const {
        const Pixel p = pixel_of(s.out, at);
        return wk_get(dy[offset_of(s.y, p.n, group * rows + row, p.d, p.h, p.w)]);
    }
    __device__ real right(int64_t column, int64_t at, int64_t group) const {
        return under_tap(s, x, pixel_of(s.out, at), tap_of(s, column), group);
    }
    __device__ void store(int64_t row, int64_t column, int64_t group, real sum) const {
        const int64_t part = blockIdx.z / s.groups;
        parts[(part * s.k + group * rows + row) * columns + column] = sum;
    }
};

/* The depth that this block adds up. */
template <class P> __device__ __forceinline__ void depth_of(const P &p, int64_t *from, int64_t *to) {
    *from = 0;
    *to = p.depth;
}
template <class T>
__device__ __forceinline__ void depth_of(const BackwardWeight<T> &p, int64_t *from, int64_t *to) {
    *from = blockIdx.z / p.s.groups * p.part_depth;
    *to = *from + p.part_depth < p.depth ? *from + p.part_depth : p.depth;
}

template <class P> __global__ void __launch_bounds__(THREADS) product(const P p) {
    using real = typename P::real;
    WK_SHARED(real, left, [DEPTH][TILE + 4]);
    WK_SHARED(real, right, [DEPTH][TILE + 4]);
    const int64_t row0 = (int64_t)blockIdx.x * TILE, column0 = (int64_t)blockIdx.y * TILE;
    const int64_t group = blockIdx.z % p.s.groups;
    const int thread = (int)threadIdx.x, line = thread % TILE, slice = thread / TILE;
    const int ty = thread / 16, tx = thread % 16;
    const bool has_row = row0 + line < p.rows, has_column = column0 + line < p.columns;
    const Pixel pixel = p.row(has_row ? row0 + line : 0);
    real sum[EACH][EACH] = {};
    int64_t from, to;
    depth_of(p, &from, &to);
    for (int64_t at = from; at < to; at += DEPTH) {
        WK_UNROLL
        for (int i = slice; i < DEPTH; i += THREADS / TILE) {
            const bool inside = at + i < to;
            left[i][line] = has_row && inside ? p.left(pixel, row0 + line, at + i, group) : real(0);
            right[i][line] = has_column && inside ? p.right(column0 + line, at + i, group) : real(0);
        }
        __syncthreads();
        WK_UNROLL
        for (int i = 0; i < DEPTH; i++) {
            real a[EACH], b[EACH];
            WK_UNROLL
            for (int k = 0; k < EACH; k++) a[k] = left[i][ty * EACH + k], b[k] = right[i][tx * EACH + k];
            WK_UNROLL
            for (int r = 0; r < EACH; r++) {
                WK_UNROLL
                for (int c = 0; c < EACH; c++) sum[r][c] += a[r] * b[c];
            }
        }
        __syncthreads();
    }
    WK_UNROLL
    for (int r = 0; r < EACH; r++) {
        WK_UNROLL
        for (int c = 0; c < EACH; c++) {
            const int64_t row = row0 + ty * EACH + r, column = column0 + tx * EACH + c;
            if (row < p.rows && column < p.columns) p.store(row, column, group, sum[r][c]);
        }
    }
}

template <class P> int launch(const P &p, int64_t parts, void *stream) {
    if (p.rows == 0 || p.columns == 0) return 0;
    const int64_t across = (p.rows + TILE - 1) / TILE, down = (p.columns + TILE - 1) / TILE, deep = p.s.groups * parts;
    if (across > 0x7FFFFFFF || down > 65535 || deep > 65535) return (int)cudaErrorInvalidConfiguration;
    const dim3 grid((unsigned)across, (unsigned)down, (unsigned)deep);
    return WK_LAUNCH(product<P>, grid, dim3(THREADS), 0, stream, p);
}

int64_t area(const int64_t *size) {
    return size[0] * size[1] * size[2];
}

template <class T>
int forward(const wk_cuda_convolution &s, const void *x, const void *weight, const void *bias, int64_t bias_stride,
            int relu, void *y, void *stream) {
    const Forward<T> p{ s,
                        static_cast<const T *>(x),
                        static_cast<const T *>(weight),
                        static_cast<const T *>(bias),
                        bias_stride,
                        static_cast<T *>(y),
                        relu != 0,
                        s.n * area(s.out),
                        s.k / s.groups,
                        s.c / s.groups * area(s.kernel) };
    return launch(p, 1, stream);
}

template <class T>
int backward_input(const wk_cuda_convolution &s, const void *dy, const void *weight, void *dx, void *stream) {
    const BackwardInput<T> p{ s,
                              static_cast<const T *>(dy),
                              static_cast<const T *>(weight),
                              static_cast<T *>(dx),
                              s.n * area(s.size),
                              s.c / s.groups,
                              s.k / s.groups * area(s.kernel) };
    return launch(p, 1, stream);
}

/* ---- gradient of the weight ---- */

/* Parts of the batch: enough blocks for a card, and at least 512 pixels each. */
int64_t parts_of(const wk_cuda_convolution &s) {
    const int64_t rows = s.k / s.groups, columns = s.c / s.groups * area(s.kernel), depth = s.n * area(s.out);
    const int64_t tiles = ((rows + TILE - 1) / TILE) * ((columns + TILE - 1) / TILE) * s.groups;
    const int64_t wanted = tiles ? (264 + tiles - 1) / tiles : 1, most = (depth + 511) / 512;
    const int64_t parts = wanted < most ? wanted : most;
    return parts < 1 ? 1 : parts;
}

template <class T>
__global__ void join_parts(T *__restrict__ to, const wk_real<T> *__restrict__ parts, int64_t count, int64_t n_parts) {
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    wk_real<T> sum = 0;
    for (int64_t part = 0; part < n_parts; part++) sum += parts[part * count + i];
    wk_put(to + i, sum);
}

/* A block a filter: each thread adds up its pixels, then halves of the block are added. */
template <class T>
__global__ void __launch_bounds__(THREADS) bias_gradient(const wk_cuda_convolution s, const T *__restrict__ dy,
                                                        T *__restrict__ dbias) {
    using real = wk_real<T>;
    WK_SHARED(real, sums, [THREADS]);
    const int64_t filter = blockIdx.x, pixels = s.n * s.out[0] * s.out[1] * s.out[2];
    real sum = 0;
    for (int64_t i = threadIdx.x; i < pixels; i += THREADS) {
        const Pixel p = pixel_of(s.out, i);
        sum += wk_get(dy[offset_of(s.y, p.n, filter, p.d, p.h, p.w)]);
    }
    sums[threadIdx.x] = sum;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0) wk_put(dbias + filter, sums[0]);
}

template <class T>
int backward_bias(const wk_cuda_convolution &s, const void *dy, void *dbias, void *stream) {
    if (s.k == 0) return 0;
    return WK_LAUNCH(bias_gradient<T>, (unsigned)s.k, THREADS, 0, stream, s, static_cast<const T *>(dy),
                     static_cast<T *>(dbias));
}

template <class T>
int backward_weight(const wk_cuda_convolution &s, const void *x, const void *dy, void *dweight, void *scratch,
                    void *stream) {
    const int64_t rows = s.k / s.groups, columns = s.c / s.groups * area(s.kernel), depth = s.n * area(s.out);
    const int64_t parts = parts_of(s), count = s.k * columns;
    const BackwardWeight<T> p{ s,
                               static_cast<const T *>(x),
                               static_cast<const T *>(dy),
                               static_cast<wk_real<T> *>(scratch),
                               rows,
                               columns,
                               depth,
                               ((depth + parts - 1) / parts + DEPTH - 1) / DEPTH * DEPTH };
    int error = launch(p, parts, stream);
    if (!error && count)
        error = WK_LAUNCH(join_parts<T>, (unsigned)((count + 255) / 256), 256, 0, stream, static_cast<T *>(dweight),
                          static_cast<const wk_real<T> *>(scratch), count, parts);
    return error;
}

} // namespace

extern "C" int wk__cuda_conv_forward(const wk_cuda_convolution *shape, int dtype, const void *x, const void *weight,
                                    const void *bias, int64_t bias_stride, int relu, void *y, void *stream) {
    WK_FLOAT_CASES(dtype, forward, *shape, x, weight, bias, bias_stride, relu, y, stream)
}

extern "C" int wk__cuda_conv_backward_input(const wk_cuda_convolution *shape, int dtype, const void *dy,
                                           const void *weight, void *dx, void *stream) {
    WK_FLOAT_CASES(dtype, backward_input, *shape, dy, weight, dx, stream)
}

extern "C" int64_t wk__cuda_conv_scratch(const wk_cuda_convolution *shape, int dtype) {
    const int64_t count = shape->k * (shape->c / shape->groups) * area(shape->kernel);
    return parts_of(*shape) * count * (dtype == WK_F64 ? 8 : 4);
}

extern "C" int wk__cuda_conv_backward_weight(const wk_cuda_convolution *shape, int dtype, const void *x, const void *dy,
                                            void *dweight, void *scratch, void *stream) {
    WK_FLOAT_CASES(dtype, backward_weight, *shape, x, dy, dweight, scratch, stream)
}

extern "C" int wk__cuda_conv_backward_bias(const wk_cuda_convolution *shape, int dtype, const void *dy, void *dbias,
                                          void *stream) {
    WK_FLOAT_CASES(dtype, backward_bias, *shape, dy, dbias, stream)
}
