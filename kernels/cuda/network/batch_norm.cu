/* batch_norm.cu: batch normalisation over all axes but the second, in any layout.
 *
 *   forward      mean, variance of a channel;  y = (x − mean) · rstd · weight + bias
 *   backward     dx = weight · rstd · (dy − Σdy / m − x̂ · Σ(dy x̂) / m)              Ioffe & Szegedy 2015
 *
 * Three launches: sums over parts of each channel, one block a part; the parts of a channel joined by one thread, which
 * makes the numbers that all its elements share; the elements.  A thread's sums are taken around its own first value and
 * joined pair by pair (Chan et al. 1983), in f64 between threads, so that a mean far from zero costs no digits.  x is
 * read twice forward, x and dy twice backward; roof: memory bandwidth.  Where the channels lie together, a block takes
 * 32 of them side by side, else one.
 */
#include "cuda/network/batch_norm.h"

#include "cuda/elements.h"

namespace {

enum { THREADS = 256, ABREAST = 32 };

/* Of forward: how many values, their mean, Σ (x − mean)².  Of backward: unused, Σ dy, Σ dy (x − mean). */
struct Moments {
    double n, first, second;
};

__device__ __forceinline__ Moments joined(const Moments &a, const Moments &b) {
    const double n = a.n + b.n;
    if (b.n == 0) return a;
    if (a.n == 0) return b;
    const double apart = b.first - a.first, share = b.n / n;
    return Moments{ n, a.first + apart * share, a.second + b.second + apart * apart * a.n * share };
}
__device__ __forceinline__ Moments added(const Moments &a, const Moments &b) {
    return Moments{ 0, a.first + b.first, a.second + b.second };
}

__device__ __forceinline__ double get(const wk_cuda_vector &v, int64_t c, double otherwise) {
    if (!v.data) return otherwise;
    switch (v.dtype) {
    case WK_F32: return static_cast<const float *>(v.data)[c * v.stride];
    case WK_F64: return static_cast<const double *>(v.data)[c * v.stride];
    case WK_BF16: return wk_get(static_cast<const __nv_bfloat16 *>(v.data)[c * v.stride]);
    default: return wk_get(static_cast<const __half *>(v.data)[c * v.stride]);
    }
}
__device__ __forceinline__ void put(const wk_cuda_vector &v, int64_t c, double value) {
    if (!v.data) return;
    switch (v.dtype) {
    case WK_F32: wk_put(static_cast<float *>(v.data) + c * v.stride, (float)value); return;
    case WK_F64: wk_put(static_cast<double *>(v.data) + c * v.stride, value); return;
    case WK_BF16: wk_put(static_cast<__nv_bfloat16 *>(v.data) + c * v.stride, (float)value); return;
    default: wk_put(static_cast<__half *>(v.data) + c * v.stride, (float)value);
    }
}

/* The elements of channel c that one thread takes: positions from, from + step, … below `to`. */
struct Range {
    int64_t from, to, step;
};

template <class T>
__device__ Moments moments_of(const wk_cuda_batch_norm &v, const T *x, int64_t c, const Range &r) {
    using R = wk_real<T>;
    R around = 0, sum = 0, squares = 0;
    int64_t n = 0;
    for (int64_t i = r.from; i < r.to; i += r.step) {
        int64_t offset[1];
        wk_walk_offsets<1>(v.walk, i, offset);
        const R value = wk_get(x[c * v.step[0] + offset[0]]);
        if (n++ == 0) around = value;
        const R apart = value - around;
        sum += apart, squares += apart * apart;
    }
    if (n == 0) return Moments{ 0, 0, 0 };
    const double mean = (double)sum / (double)n;
    return Moments{ (double)n, (double)around + mean, (double)squares - (double)sum * mean };
}

template <class T>
__device__ Moments products_of(const wk_cuda_batch_norm &v, const T *x, const T *dy, int64_t c, const Range &r) {
    using R = wk_real<T>;
    const R mean = (R)get(v.mean, c, 0);
    R sum = 0, products = 0;
    for (int64_t i = r.from; i < r.to; i += r.step) {
        int64_t offset[3];
        wk_walk_offsets<3>(v.walk, i, offset);
        const R slope = wk_get(dy[c * v.step[2] + offset[2]]);
        sum += slope;
        products += slope * (wk_get(x[c * v.step[0] + offset[0]]) - mean);
    }
    return Moments{ 0, (double)sum, (double)products };
}

/* A block: `abreast` channels side by side, one part of each; the threads of a channel are joined by halves. */
template <class T, bool Backward>
__global__ void __launch_bounds__(THREADS)
    sums(const wk_cuda_batch_norm v, const T *x, const T *dy, Moments *parts, int abreast) {
    WK_SHARED(Moments, all, [THREADS]);
    const int lane = (int)threadIdx.x % abreast, slice = (int)threadIdx.x / abreast, slices = THREADS / abreast;
    const int64_t c = (int64_t)blockIdx.x * abreast + lane, part = blockIdx.y;
    const int64_t begin = v.count * part / v.parts, end = v.count * (part + 1) / v.parts;
    Moments own{ 0, 0, 0 };
    if (c < v.channels) {
        const Range range{ begin + slice, end, slices };
        own = Backward ? products_of(v, x, dy, c, range) : moments_of(v, x, c, range);
    }
    all[threadIdx.x] = own;
    for (int half = slices / 2; half > 0; half /= 2) {
        __syncthreads();
        if (slice < half) {
            const Moments &other = all[threadIdx.x + half * abreast];
            all[threadIdx.x] = Backward ? added(all[threadIdx.x], other) : joined(all[threadIdx.x], other);
        }
    }
    if (slice == 0 && c < v.channels) parts[part * v.channels + c] = all[lane];
}

/* What an element needs of its channel: y = (x − mean) · scale + shift;  dx = dy · scale + shift + (x − mean) · slope */
template <class R> struct Shared {
    R mean, scale, shift, slope;
};

template <class R>
__global__ void __launch_bounds__(THREADS)
    finish_forward(const wk_cuda_batch_norm v, const Moments *parts, Shared<R> *shared) {
    const int64_t c = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (c >= v.channels) return;
    double mean = get(v.running_mean, c, 0), variance = get(v.running_variance, c, 1);
    if (v.training) {
        Moments all{ 0, 0, 0 };
        for (int64_t part = 0; part < v.parts; part++) all = joined(all, parts[part * v.channels + c]);
        mean = all.first;
        variance = v.count > 0 ? all.second / (double)v.count : NAN;
        if (v.count > 1) {
            const double unbiased = all.second / (double)(v.count - 1), kept = 1 - v.momentum;
            put(v.running_mean, c, get(v.running_mean, c, 0) * kept + mean * v.momentum);
            put(v.running_variance, c, get(v.running_variance, c, 1) * kept + unbiased * v.momentum);
        }
    }
    const double rstd = 1 / sqrt(variance + v.eps);
    put(v.mean, c, mean);
    put(v.rstd, c, rstd);
    shared[c] = Shared<R>{ (R)mean, (R)(rstd * get(v.weight, c, 1)), (R)get(v.bias, c, 0), 0 };
}

template <class R>
__global__ void __launch_bounds__(THREADS)
    finish_backward(const wk_cuda_batch_norm v, const Moments *parts, Shared<R> *shared) {
    const int64_t c = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (c >= v.channels) return;
    Moments all{ 0, 0, 0 };
    for (int64_t part = 0; part < v.parts; part++) all = added(all, parts[part * v.channels + c]);
    const double rstd = get(v.rstd, c, 1), product = all.second * rstd, scale = get(v.weight, c, 1) * rstd;
    const double n = (double)v.count;
    const bool through = v.training && v.count > 0;
    put(v.dweight, c, product);
    put(v.dbias, c, all.first);
    shared[c] = Shared<R>{ (R)get(v.mean, c, 0), (R)scale, through ? (R)(-scale * all.first / n) : R(0),
                           through ? (R)(-scale * product / n * rstd) : R(0) };
}

/* Threads of a block side by side: over channels where these lie together, else over the positions of one. */
template <class T, bool Backward>
__global__ void __launch_bounds__(THREADS)
    elements(const wk_cuda_batch_norm v, const T *x, const T *dy, T *out, const Shared<wk_real<T>> *shared, int abreast) {
    using R = wk_real<T>;
    const int lane = (int)threadIdx.x % abreast, slice = (int)threadIdx.x / abreast, slices = THREADS / abreast;
    const int64_t c = (int64_t)blockIdx.x * abreast + lane;
    if (c >= v.channels) return;
    const Shared<R> k = shared[c];
    for (int64_t i = (int64_t)blockIdx.y * slices + slice; i < v.count; i += (int64_t)gridDim.y * slices) {
        int64_t offset[3];
        wk_walk_offsets<Backward ? 3 : 2>(v.walk, i, offset);
        const R apart = wk_get(x[c * v.step[0] + offset[0]]) - k.mean;
        T *to = out + c * v.step[1] + offset[1];
        if (Backward)
            wk_put(to, wk_get(dy[c * v.step[2] + offset[Backward ? 2 : 0]]) * k.scale + k.shift + apart * k.slope);
        else
            wk_put(to, apart * k.scale + k.shift);
    }
}

int abreast_of(const wk_cuda_batch_norm &v) {
    return v.step[0] == 1 && v.channels >= ABREAST ? (int)ABREAST : 1;
}

template <class T, bool Backward>
int run(const wk_cuda_batch_norm &v, const void *x_, const void *dy_, void *out_, void *scratch, void *stream) {
    using R = wk_real<T>;
    const T *x = static_cast<const T *>(x_), *dy = static_cast<const T *>(dy_);
    Moments *parts = static_cast<Moments *>(scratch);
    Shared<R> *shared = reinterpret_cast<Shared<R> *>(parts + v.channels * v.parts);
    const int abreast = abreast_of(v);
    const unsigned columns = (unsigned)((v.channels + abreast - 1) / abreast);
    const unsigned blocks = (unsigned)((v.channels + THREADS - 1) / THREADS);
    int error = 0;
    if (v.channels == 0) return 0;
    if (Backward || v.training)
        error = WK_LAUNCH((sums<T, Backward>), dim3(columns, (unsigned)v.parts), THREADS, 0, stream, v, x, dy, parts,
                          abreast);
    if (error) return error;
    if (Backward)
        error = WK_LAUNCH(finish_backward<R>, blocks, THREADS, 0, stream, v, parts, shared);
    else
        error = WK_LAUNCH(finish_forward<R>, blocks, THREADS, 0, stream, v, parts, shared);
    if (error || v.count == 0) return error;
    const int64_t rows = (v.count + 4 * THREADS / abreast - 1) / (4 * THREADS / abreast);
    return WK_LAUNCH((elements<T, Backward>), dim3(columns, (unsigned)(rows < 1024 ? rows : 1024)), THREADS, 0, stream,
                     v, x, dy, static_cast<T *>(out_), shared, abreast);
}

template <class T> int forward(const wk_cuda_batch_norm &v, const void *x, void *y, void *scratch, void *stream) {
    return run<T, false>(v, x, nullptr, y, scratch, stream);
}
template <class T>
int backward(const wk_cuda_batch_norm &v, const void *x, const void *dy, void *dx, void *scratch, void *stream) {
    return run<T, true>(v, x, dy, dx, scratch, stream);
}

} // namespace

extern "C" int64_t wk__cuda_batch_norm_scratch(const wk_cuda_batch_norm *v) {
    return v->channels * (v->parts * (int64_t)sizeof(Moments) + (int64_t)sizeof(Shared<double>)) + 64;
}
extern "C" int wk__cuda_batch_norm_forward(const wk_cuda_batch_norm *v, int dtype, const void *x, void *y,
                                          void *scratch, void *stream) {
    WK_FLOAT_CASES(dtype, forward, *v, x, y, scratch, stream)
}
extern "C" int wk__cuda_batch_norm_backward(const wk_cuda_batch_norm *v, int dtype, const void *x, const void *dy,
                                           void *dx, void *scratch, void *stream) {
    WK_FLOAT_CASES(dtype, backward, *v, x, dy, dx, scratch, stream)
}
