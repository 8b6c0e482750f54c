/* grid_sample.cu: images sampled at given places, and the gradients of that.
 *
 * A place becomes a few taps, which all channels share: a thread works out those of one place, in f64 as the CPU does,
 * and goes through some channels (forward) or all of them (the gradient of the grid: a sum over channels).  Several
 * places meet in one pixel, so in the gradient of the image a thread owns one channel of one image and goes through the
 * places in their order: no atomics and the same bits in every run; it needs many channels to fill a device.
 * Traffic: grid and y once, x once a tap (neighbouring places share pixels through the cache).  Roof: memory bandwidth.
 */
#include "cuda/image/grid_sample.h"

#include "cuda/convert.h"
#include "cuda/divide.h"
#include "wick/ops/resize.h"

namespace {

enum { CHANNELS = 16 }; /* that a thread of the forward goes through */

/* One axis of one place.  Outside: an index of -1. */
template <int WIDTH> struct Axis {
    int64_t index[WIDTH];
    double weight[WIDTH], slant[WIDTH]; /* and its derivative by the place */
    double slope, start;                /* the way from the tap below is slope · g + start */
};

__device__ double reflected(double u, double low, double span, double *sign) {
    if (span <= 0) return *sign = 0, 0;
    const double away = fabs(u - low), flips = floor(away / span), rest = away - flips * span;
    const bool odd = flips != 2 * floor(flips / 2);
    *sign = (u < low) != odd ? -1 : 1;
    return odd ? low + span - rest : low + rest;
}

/* What a place outside stands for; *slope is multiplied. */
__device__ double padded(const wk_cuda_grid &g, double u, int64_t size, double *slope) {
    const double last = (double)(size - 1);
    if (g.padding == WK_GRID_REFLECTION) {
        double sign;
        u = g.align_corners ? reflected(u, 0, last, &sign) : reflected(u, -0.5, (double)size, &sign);
        *slope *= sign;
    }
    if (u <= 0 || u >= last) *slope = 0;
    return u <= 0 ? 0 : u >= last ? last : u;
}

__device__ int64_t pixel(const wk_cuda_grid &g, double place, int64_t size, bool pad) {
    double ignored = 1;
    if (pad) place = padded(g, place, size, &ignored);
    return place >= 0 && place < (double)size ? (int64_t)place : -1;
}

/* Keys 1981, a = -0.75: w(t) of the four neighbours, t the way from the second to the third, and its derivative. */
__device__ void cubic(double t, double *weight, double *slant) {
    const double c[4][4] = {
        { -0.75, 1.5, -0.75, 0 }, { 1.25, -2.25, 0, 1 }, { -1.25, 1.5, 0.75, 0 }, { 0.75, -0.75, 0, 0 }
    };
    WK_UNROLL
    for (int k = 0; k < 4; k++) {
        weight[k] = ((c[k][0] * t + c[k][1]) * t + c[k][2]) * t + c[k][3];
        slant[k] = (3 * c[k][0] * t + 2 * c[k][1]) * t + c[k][2];
    }
}

template <int WIDTH> __device__ __forceinline__ Axis<WIDTH> axis_of(const wk_cuda_grid &g, double number, int64_t size) {
    Axis<WIDTH> a;
    const bool pads = g.padding != WK_GRID_ZEROS;
    double u = g.align_corners ? (number + 1) / 2 * (double)(size - 1) : ((number + 1) * (double)size - 1) / 2;
    a.slope = (double)(g.align_corners ? size - 1 : size) / 2;
    if (pads && WIDTH != 4 && u == u) u = padded(g, u, size, &a.slope);
    if (!(fabs(u) < 1073741824.0)) u = -100, a.slope = 0; /* also NaN */
    const double below = WIDTH == 1 ? rint(u) : floor(u), t = u - below;
    a.start = a.slope == 0 ? t : t - a.slope * number;
    if (WIDTH == 1) {
        a.weight[0] = 1, a.slant[0] = 0, a.slope = 0;
        a.index[0] = pixel(g, below, size, false);
    } else if (WIDTH == 2) {
        a.weight[0] = 1 - t, a.weight[WIDTH / 2] = t, a.slant[0] = -1, a.slant[WIDTH / 2] = 1;
        a.index[0] = pixel(g, below, size, false), a.index[WIDTH / 2] = pixel(g, below + 1, size, false);
    } else {
        double weight[4], slant[4];
        cubic(t, weight, slant);
        WK_UNROLL
        for (int k = 0; k < WIDTH; k++) {
            a.weight[k] = weight[k], a.slant[k] = slant[k];
            a.index[k] = pixel(g, below - 1 + k, size, pads);
        }
    }
    return a;
}

/* All axes, in the grid's order: its first number is the image's last axis. */
template <int AXES, int WIDTH> struct Place {
    Axis<WIDTH> axis[AXES];
};

template <class T, int AXES, int WIDTH>
__device__ __forceinline__ Place<AXES, WIDTH> place_of(const wk_cuda_grid &g, int64_t n, int64_t place, int64_t *y) {
    Place<AXES, WIDTH> p;
    int64_t at = n * g.grid_n, to = n * g.y_n;
    WK_UNROLL
    for (int i = AXES - 1; i >= 0; i--) {
        const int64_t along = i ? wk_place(&place, g.out[i]) : place;
        at += along * g.grid_by[i], to += along * g.y_by[i];
    }
    *y = to;
    WK_UNROLL
    for (int d = 0; d < AXES; d++)
        p.axis[d] = axis_of<WIDTH>(g, (double)wk_get(static_cast<const T *>(g.grid)[at + d * g.grid_step]),
                                   g.size[AXES - 1 - d]);
    return p;
}

/* Number of the tap along axis d; the first axis runs fastest. */
template <int AXES, int WIDTH> constexpr __device__ __forceinline__ int along(int tap, int d) {
    return d == 0 ? tap % WIDTH : d == 1 ? tap / WIDTH % WIDTH : tap / (WIDTH * WIDTH);
}
template <int AXES, int WIDTH> struct taps {
    static const int count = AXES == 2 ? WIDTH * WIDTH : WIDTH * WIDTH * WIDTH;
};

/* Where tap t stands, -1: outside; `by` are strides of the image's axes. */
template <int AXES, int WIDTH>
__device__ __forceinline__ int64_t offset_of(const Place<AXES, WIDTH> &p, const int64_t *by, int t) {
    int64_t offset = 0;
    bool inside = true;
    WK_UNROLL
    for (int d = 0; d < AXES; d++) {
        const int64_t index = p.axis[d].index[along<AXES, WIDTH>(t, d)];
        inside = inside && index >= 0;
        offset += index * by[AXES - 1 - d];
    }
    return inside ? offset : -1;
}

/* What tap t weighs; its derivative by number `by` of the grid, if that is not negative. */
template <int AXES, int WIDTH>
__device__ __forceinline__ double weight_of(const Place<AXES, WIDTH> &p, int t, int by) {
    double weight = 1;
    WK_UNROLL
    for (int d = 0; d < AXES; d++) {
        const Axis<WIDTH> &a = p.axis[d];
        const int k = along<AXES, WIDTH>(t, d);
        weight *= d == by ? a.slant[k] * a.slope : a.weight[k];
    }
    return weight;
}

template <class T, int AXES, int WIDTH> __global__ void __launch_bounds__(256) sample(const wk_cuda_grid g) {
    using R = wk_real<T>;
    enum { TAPS = taps<AXES, WIDTH>::count };
    const int64_t all = g.n * g.places, threads = (int64_t)gridDim.x * blockDim.x;
    const int64_t first = (int64_t)blockIdx.y * CHANNELS, end = first + CHANNELS < g.c ? first + CHANNELS : g.c;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += threads) {
        int64_t place, y;
        const int64_t n = wk_divide(i, g.places, &place);
        const Place<AXES, WIDTH> p = place_of<T, AXES, WIDTH>(g, n, place, &y);
        const T *x = static_cast<const T *>(g.x) + n * g.x_n;
        int64_t offset[TAPS];
        R weight[TAPS];
        WK_UNROLL
        for (int t = 0; t < TAPS; t++) {
            offset[t] = offset_of(p, g.x_by, t);
            weight[t] = offset[t] < 0 ? R(0) : (R)weight_of(p, t, -1);
            if (offset[t] < 0) offset[t] = 0;
        }
        WK_NO_UNROLL
        for (int64_t c = first; c < end; c++) {
            R sum = 0;
            WK_UNROLL
            for (int t = 0; t < TAPS; t++) sum += weight[t] * wk_get(x[offset[t] + c * g.x_c]);
            wk_put(static_cast<T *>(g.y) + y + c * g.y_c, sum);
        }
    }
}

template <class T, int AXES, int WIDTH>
__global__ void __launch_bounds__(128) backward_grid(const wk_cuda_grid g, T *dgrid) {
    using R = wk_real<T>;
    enum { TAPS = taps<AXES, WIDTH>::count };
    const int64_t all = g.n * g.places, threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += threads) {
        int64_t place, y;
        const int64_t n = wk_divide(i, g.places, &place);
        const Place<AXES, WIDTH> p = place_of<T, AXES, WIDTH>(g, n, place, &y);
        const T *x = static_cast<const T *>(g.x) + n * g.x_n, *dy = static_cast<const T *>(g.y) + y;
        R sum[AXES] = {};
        if (WIDTH > 1) {
            WK_UNROLL
            for (int t = 0; t < TAPS; t++) {
                const int64_t offset = offset_of(p, g.x_by, t);
                if (offset < 0) continue;
                R product = 0;
                WK_NO_UNROLL
                for (int64_t c = 0; c < g.c; c++) product += (R)wk_get(dy[c * g.y_c]) * (R)wk_get(x[offset + c * g.x_c]);
                WK_UNROLL
                for (int d = 0; d < AXES; d++) sum[d] += (R)weight_of(p, t, d) * product;
            }
        }
        WK_UNROLL
        for (int d = 0; d < AXES; d++) wk_put(dgrid + i * AXES + d, sum[d]);
    }
}

template <class T, int AXES, int WIDTH>
__global__ void __launch_bounds__(128) backward_image(const wk_cuda_grid g, wk_real<T> *sums, T *dx) {
    using R = wk_real<T>;
    const int64_t pixels = g.size[0] * g.size[1] * (AXES == 3 ? g.size[2] : 1);
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    const int64_t last = AXES == 3 ? g.size[2] : g.size[1];
    const int64_t by[3] = { AXES == 3 ? g.size[1] * last : last, AXES == 3 ? last : 1, 1 };
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < g.n * g.c; i += threads) {
        int64_t c;
        const int64_t n = wk_divide(i, g.c, &c);
        R *own = sums + i * pixels;
        WK_NO_UNROLL
        for (int64_t place = 0; place < g.places; place++) {
            int64_t y;
            const Place<AXES, WIDTH> p = place_of<T, AXES, WIDTH>(g, n, place, &y);
            const R value = wk_get(static_cast<const T *>(g.y)[y + c * g.y_c]);
            WK_UNROLL
            for (int t = 0; t < taps<AXES, WIDTH>::count; t++) {
                const int64_t offset = offset_of(p, by, t);
                if (offset >= 0) own[offset] += (R)weight_of(p, t, -1) * value;
            }
        }
        if constexpr (sizeof(T) != sizeof(R)) { /* else sums are dx */
            WK_NO_UNROLL
            for (int64_t k = 0; k < pixels; k++) wk_put(dx + i * pixels + k, own[k]);
        }
    }
}

template <class T, int AXES, int WIDTH>
__global__ void __launch_bounds__(256) neighbours(const wk_cuda_grid g, int64_t *index, T *inside, T *slope, T *start) {
    using R = wk_real<T>;
    enum { TAPS = taps<AXES, WIDTH>::count };
    const int64_t all = g.n * g.places, threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < all; i += threads) {
        int64_t place, y;
        const int64_t n = wk_divide(i, g.places, &place);
        const Place<AXES, WIDTH> p = place_of<T, AXES, WIDTH>(g, n, place, &y);
        WK_UNROLL
        for (int t = 0; t < TAPS; t++) {
            int64_t flat = 0, area = 1;
            bool is_inside = true;
            WK_UNROLL
            for (int d = 0; d < AXES; d++) {
                const int64_t at = p.axis[d].index[along<AXES, WIDTH>(t, d)];
                is_inside = is_inside && at >= 0;
                flat += (at < 0 ? 0 : at) * area, area *= g.size[AXES - 1 - d];
            }
            index[i * TAPS + t] = flat;
            wk_put(inside + i * TAPS + t, is_inside ? R(1) : R(0));
        }
        WK_UNROLL
        for (int d = 0; d < AXES; d++) {
            wk_put(slope + i * AXES + d, (R)p.axis[d].slope);
            wk_put(start + i * AXES + d, (R)p.axis[d].start);
        }
    }
}

unsigned blocks_for(int64_t threads, int each) {
    const int64_t blocks = (threads + each - 1) / each;
    return (unsigned)(blocks < 1 ? 1 : blocks > 4096 ? 4096 : blocks);
}

/* F::of<AXES, WIDTH>(…) for the sampling. */
template <class F, class... A> int by_shape(const wk_cuda_grid &g, A... arguments) {
    if (g.axes == 3)
        return g.mode == WK_GRID_NEAREST ? F::template of<3, 1>(g, arguments...) : F::template of<3, 2>(g, arguments...);
    return g.mode == WK_GRID_NEAREST ? F::template of<2, 1>(g, arguments...)
           : g.mode == WK_GRID_CUBIC ? F::template of<2, 4>(g, arguments...)
                                     : F::template of<2, 2>(g, arguments...);
}

template <class T> struct Sample {
    template <int AXES, int WIDTH> static int of(const wk_cuda_grid &g, void *stream) {
        const dim3 grid(blocks_for(g.n * g.places, 256), (unsigned)((g.c + CHANNELS - 1) / CHANNELS));
        return WK_LAUNCH((sample<T, AXES, WIDTH>), grid, 256, 0, stream, g);
    }
};
template <class T> struct BackwardGrid {
    template <int AXES, int WIDTH> static int of(const wk_cuda_grid &g, void *dgrid, void *stream) {
        return WK_LAUNCH((backward_grid<T, AXES, WIDTH>), blocks_for(g.n * g.places, 128), 128, 0, stream, g,
                         static_cast<T *>(dgrid));
    }
};
template <class T> struct BackwardImage {
    template <int AXES, int WIDTH> static int of(const wk_cuda_grid &g, void *sums, void *dx, void *stream) {
        return WK_LAUNCH((backward_image<T, AXES, WIDTH>), blocks_for(g.n * g.c, 128), 128, 0, stream, g,
                         static_cast<wk_real<T> *>(sums), static_cast<T *>(dx));
    }
};
template <class T> struct Neighbours {
    template <int AXES, int WIDTH>
    static int of(const wk_cuda_grid &g, int64_t *index, void *inside, void *slope, void *start, void *stream) {
        return WK_LAUNCH((neighbours<T, AXES, WIDTH>), blocks_for(g.n * g.places, 256), 256, 0, stream, g, index,
                         static_cast<T *>(inside), static_cast<T *>(slope), static_cast<T *>(start));
    }
};

template <class T> int sample_as(const wk_cuda_grid &g, void *stream) {
    return by_shape<Sample<T>>(g, stream);
}
template <class T> int backward_grid_as(const wk_cuda_grid &g, void *dgrid, void *stream) {
    return by_shape<BackwardGrid<T>>(g, dgrid, stream);
}
template <class T> int backward_image_as(const wk_cuda_grid &g, void *sums, void *dx, void *stream) {
    return by_shape<BackwardImage<T>>(g, sums, dx, stream);
}
template <class T>
int neighbours_as(const wk_cuda_grid &g, int64_t *index, void *inside, void *slope, void *start, void *stream) {
    return by_shape<Neighbours<T>>(g, index, inside, slope, start, stream);
}

} // namespace

extern "C" int wk__cuda_grid_sample(const wk_cuda_grid *g, int dtype, void *stream) {
    WK_FLOAT_CASES(dtype, sample_as, *g, stream);
}

extern "C" int wk__cuda_grid_backward_grid(const wk_cuda_grid *g, void *dgrid, int dtype, void *stream) {
    WK_FLOAT_CASES(dtype, backward_grid_as, *g, dgrid, stream);
}

extern "C" int wk__cuda_grid_backward_image(const wk_cuda_grid *g, void *sums, void *dx, int dtype, void *stream) {
    WK_FLOAT_CASES(dtype, backward_image_as, *g, sums, dx, stream);
}

extern "C" int wk__cuda_grid_taps(const wk_cuda_grid *g, int64_t *index, void *inside, void *slope, void *start,
                                  int dtype, void *stream) {
    WK_FLOAT_CASES(dtype, neighbours_as, *g, index, inside, slope, start, stream);
}
