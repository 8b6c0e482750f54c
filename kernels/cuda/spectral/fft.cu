/* fft.cu: discrete Fourier transforms along an axis.
 *
 * Stockham's passes: a pass of factor r reads a line as r parts and writes it in the order of the next pass, so that
 * nothing is put in order at the end.  A thread makes one number of a pass, from r numbers.  Lines that fit are
 * transformed in shared memory, some of them in a block: traffic x and the result, once each; roof: memory bandwidth.
 * Longer ones go through memory once a pass.  A prime factor p costs p operations a number.
 */
#include "cuda/spectral/fft.h"

#include "cuda/divide.h"
#include "cuda/elements.h"
#include "cuda/turn.h"

namespace {

enum { THREADS = 256, SHARED_BYTES = 48 << 10 };

template <class T> struct Complex {
    T re, im;
};

template <class T> __device__ __forceinline__ Complex<T> product(Complex<T> a, Complex<T> b) {
    return { a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re };
}

/* exp(∓2πi · k / n), 0 ≤ k < n: the angle in f64, whatever T is. */
template <class T> __device__ __forceinline__ Complex<T> root(int64_t k, int64_t n, bool inverse) {
    double re, im;
    wk_turn((double)k / (double)n, &re, &im);
    return { (T)re, (T)(inverse ? im : -im) };
}

template <class T> __device__ __forceinline__ Complex<T> quarter_turns(Complex<T> a, int turns, bool inverse) {
    if (inverse) turns = -turns;
    switch (turns & 3) {
    case 0: return a;
    case 1: return { a.im, -a.re };
    case 2: return { -a.re, -a.im };
    default: return { -a.im, a.re };
    }
}

/* Number `at` after a pass of factor r over a line whose first passes have factors of product s, of the n / s that are
 * left. */
template <class T>
__device__ __forceinline__ Complex<T> passed(const Complex<T> *line, int64_t at, int64_t n, int64_t s, int r, bool inverse) {
    const int64_t left = n / s, parts = left / r;
    int64_t q, c;
    const int64_t p = wk_divide(wk_divide(at, s, &q), r, &c);
    const Complex<T> *from = line + q + s * p;
    Complex<T> sum = { 0, 0 };
    WK_NO_UNROLL
    for (int k = 0; k < r; k++) {
        const Complex<T> a = from[s * parts * k];
        const int turn = (int)((int64_t)k * c % r);
        const Complex<T> b = r == 4   ? quarter_turns(a, turn, inverse)
                             : r == 2 ? quarter_turns(a, 2 * turn, inverse)
                                      : product(a, root<T>(turn, r, inverse));
        sum.re += b.re, sum.im += b.im;
    }
    return c && p ? product(sum, root<T>(p * c, left, inverse)) : sum;
}

/* Number j of a line at x. */
template <class T> __device__ __forceinline__ Complex<T> given(const wk_cuda_fft &f, const T *x, int64_t j) {
    if (f.kind == WK_CUDA_FFT_TO_HALF) return { x[j * f.x_step], 0 };
    if (f.kind == WK_CUDA_FFT_PAIRS) return { x[j * f.x_step], x[j * f.x_step + f.x_pair] };
    const bool mirrored = 2 * j > f.n, once = j == 0 || 2 * j == f.n;
    const T *at = x + (mirrored ? f.n - j : j) * f.x_step;
    const T inner = once ? T(1) : (T)f.inner;
    return { at[0] * inner, once ? T(0) : mirrored ? -at[f.x_pair] * inner : at[f.x_pair] * inner };
}

/* How many numbers of a line's result are kept. */
__host__ __device__ __forceinline__ int64_t kept(const wk_cuda_fft &f) {
    return f.kind == WK_CUDA_FFT_TO_HALF ? f.n / 2 + 1 : f.n;
}

template <class T> __device__ __forceinline__ void give(const wk_cuda_fft &f, T *out, int64_t j, Complex<T> a) {
    const bool once = j == 0 || 2 * j == f.n;
    const T factor = (T)(f.kind == WK_CUDA_FFT_TO_HALF && !once ? f.scale * f.inner : f.scale);
    out[j * f.out_step] = a.re * factor;
    if (f.kind != WK_CUDA_FFT_FROM_HALF) out[j * f.out_step + f.out_pair] = a.im * factor;
}

/* A block transforms `each` neighbouring lines in shared memory: (2, each, n). */
template <class T> __global__ void __launch_bounds__(THREADS) in_shared(const wk_cuda_fft f, int each) {
    WK_DYNAMIC_SHARED(Complex<T>, numbers);
    const int64_t first = (int64_t)blockIdx.x * each;
    const int64_t lines = f.lines.count - first < each ? f.lines.count - first : each, all = lines * f.n;
    Complex<T> *now = numbers, *next = numbers + each * f.n;
    for (int64_t i = threadIdx.x; i < all; i += THREADS) {
        int64_t at[2], j;
        const int64_t line = wk_divide(i, f.n, &j);
        wk_walk_offsets<2>(f.lines, first + line, at);
        now[i] = given(f, static_cast<const T *>(f.x) + at[1], j);
    }
    int64_t s = 1;
    WK_NO_UNROLL
    for (int pass = 0; pass < f.factors; pass++) {
        __syncthreads();
        for (int64_t i = threadIdx.x; i < all; i += THREADS) {
            int64_t j;
            const int64_t line = wk_divide(i, f.n, &j);
            next[i] = passed(now + line * f.n, j, f.n, s, f.factor[pass], f.inverse);
        }
        s *= f.factor[pass];
        Complex<T> *held = now;
        now = next, next = held;
    }
    __syncthreads();
    const int64_t width = kept(f);
    for (int64_t i = threadIdx.x; i < lines * width; i += THREADS) {
        int64_t at[2], j;
        const int64_t line = wk_divide(i, width, &j);
        wk_walk_offsets<2>(f.lines, first + line, at);
        give(f, static_cast<T *>(f.out) + at[0], j, now[line * f.n + j]);
    }
}

/* ---- lines that do not fit: one launch a step ---- */

template <class T> __global__ void __launch_bounds__(THREADS) take(const wk_cuda_fft f, Complex<T> *to) {
    const int64_t all = f.lines.count * f.n, threads = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < all; i += threads) {
        int64_t at[2], j;
        const int64_t line = wk_divide(i, f.n, &j);
        wk_walk_offsets<2>(f.lines, line, at);
        to[i] = given(f, static_cast<const T *>(f.x) + at[1], j);
    }
}

template <class T>
__global__ void __launch_bounds__(THREADS)
    pass(const Complex<T> *from, Complex<T> *to, int64_t all, int64_t n, int64_t s, int r, bool inverse) {
    const int64_t threads = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < all; i += threads) {
        int64_t j;
        const int64_t line = wk_divide(i, n, &j);
        to[i] = passed(from + line * n, j, n, s, r, inverse);
    }
}

template <class T> __global__ void __launch_bounds__(THREADS) put(const wk_cuda_fft f, const Complex<T> *from) {
    const int64_t width = kept(f), all = f.lines.count * width, threads = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < all; i += threads) {
        int64_t at[2], j;
        const int64_t line = wk_divide(i, width, &j);
        wk_walk_offsets<2>(f.lines, line, at);
        give(f, static_cast<T *>(f.out) + at[0], j, from[line * f.n + j]);
    }
}

template <class T> int run_in_memory(const wk_cuda_fft &f, void *scratch, void *stream) {
    const int64_t all = f.lines.count * f.n;
    const unsigned blocks = wk_blocks_for(all);
    Complex<T> *now = static_cast<Complex<T> *>(scratch), *next = now + all;
    int64_t s = 1;
    int error = WK_LAUNCH(take<T>, blocks, THREADS, 0, stream, f, now);
    for (int k = 0; k < f.factors && !error; k++) {
        error = WK_LAUNCH(pass<T>, blocks, THREADS, 0, stream, now, next, all, f.n, s, f.factor[k], f.inverse);
        s *= f.factor[k];
        Complex<T> *held = now;
        now = next, next = held;
    }
    return error ? error : WK_LAUNCH(put<T>, wk_blocks_for(f.lines.count * kept(f)), THREADS, 0, stream, f, now);
}

template <class T> int run_in_shared(const wk_cuda_fft &f, void *stream) {
    const int64_t line = 2 * f.n * (int64_t)sizeof(Complex<T>);
    int64_t each = 4 * THREADS / f.n; /* some numbers a thread */
    if (each * line > SHARED_BYTES) each = SHARED_BYTES / line;
    if (each < 1) each = 1;
    return WK_LAUNCH(in_shared<T>, (unsigned)((f.lines.count + each - 1) / each), THREADS, each * line, stream, f,
                     (int)each);
}

} // namespace

extern "C" size_t wk__cuda_fft_scratch(const wk_cuda_fft *f) {
    const size_t line = 4 * (size_t)f->n * (f->f64 ? sizeof(double) : sizeof(float));
    return line <= SHARED_BYTES ? 0 : line * (size_t)f->lines.count;
}

extern "C" int wk__cuda_fft_run(const wk_cuda_fft *f, void *scratch, void *stream) {
    if (scratch) return f->f64 ? run_in_memory<double>(*f, scratch, stream) : run_in_memory<float>(*f, scratch, stream);
    return f->f64 ? run_in_shared<double>(*f, stream) : run_in_shared<float>(*f, stream);
}
