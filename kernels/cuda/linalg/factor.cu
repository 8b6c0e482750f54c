/* factor.cu: systems of equations, determinants, Cholesky's and the QR factors of many matrices.
 *
 * A block works on one matrix, column after column, as the textbook does (Golub and Van Loan 2013, 3.4, 4.2, 5.2): pivots
 * and norms by all threads together, then the rest of the matrix an element (or, in QR, a column a warp) at a time.
 * Meant for batches of small matrices, which the cache holds: roof latency, a few barriers a column.
 */
#include "cuda/linalg/matrices.h"

#include "cuda/divide.h"
#include "cuda/elements.h"
#include "cuda/together.h"

namespace {

enum { THREADS = 256, WARPS = THREADS / 32 };

template <class T> struct Matrices {
    wk_cuda_matrices p;
    int64_t index, from_a, from_b;

    __device__ __forceinline__ explicit Matrices(const wk_cuda_matrices &of) : p(of), index(blockIdx.x) {
        int64_t at[2];
        wk_walk_offsets<2>(of.batch, index, at);
        from_a = at[0], from_b = at[1];
    }
    __device__ __forceinline__ T a(int64_t i, int64_t j) const {
        return static_cast<const T *>(p.a)[from_a + i * p.a_row + j * p.a_column];
    }
    __device__ __forceinline__ T b(int64_t i, int64_t j) const {
        return static_cast<const T *>(p.b)[from_b + i * p.b_row + j * p.b_column];
    }
    __device__ __forceinline__ T *out(int k, int64_t each) const {
        return static_cast<T *>(p.out[k]) + index * each;
    }
    __device__ __forceinline__ T *work(int64_t each) const {
        return static_cast<T *>(p.work) + index * each;
    }
};

/* FOR_EACH (i, j, rows, columns): the block's threads share out the elements, row by row. */
#define FOR_EACH(i, j, rows, columns)                                                                             \
    for (int at_ = (int)threadIdx.x, all_ = (rows) * (columns), width_ = all_ ? (columns) : 1, i = at_ / width_, \
             j = at_ % width_;                                                                                    \
         at_ < all_; at_ += THREADS, i = at_ / width_, j = at_ % width_)

/* The row from k on whose element of column k is the largest; the first among equals. */
template <class T> __device__ __forceinline__ int pivot_of(const T *a, int n, int k) {
    WK_SHARED(T, most, [THREADS]);
    WK_SHARED(int, place, [THREADS]);
    const int t = (int)threadIdx.x;
    T own = -1;
    int at = k;
    for (int i = k + t; i < n; i += THREADS) {
        const T size = a[i * n + k] < 0 ? -a[i * n + k] : a[i * n + k];
        if (size > own) own = size, at = i;
    }
    most[t] = own, place[t] = at;
    for (int step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (t >= step) continue;
        const bool other = most[t + step] > most[t] || (most[t + step] == most[t] && place[t + step] < place[t]);
        if (other) most[t] = most[t + step], place[t] = place[t + step];
    }
    __syncthreads();
    return place[0];
}

template <class T> __device__ __forceinline__ void exchange(T *a, T *b) {
    const T held = *a;
    *a = *b, *b = held;
}

/* a becomes its upper factor, x (n, columns) what it makes of that; how many rows changed places. */
template <class T> __device__ int eliminate(T *a, T *x, int n, int columns) {
    int exchanges = 0;
    WK_NO_UNROLL
    for (int k = 0; k < n; k++) {
        __syncthreads();
        const int pivot = pivot_of(a, n, k), below = n - k - 1;
        if (pivot != k) {
            for (int j = (int)threadIdx.x; j < n; j += THREADS) exchange(a + k * n + j, a + pivot * n + j);
            for (int j = (int)threadIdx.x; j < columns; j += THREADS)
                exchange(x + k * columns + j, x + pivot * columns + j);
            exchanges++;
        }
        __syncthreads();
        const T diagonal = a[k * n + k];
        if (diagonal == 0) continue; /* and so is all below it */
        const T scale = 1 / diagonal;
        for (int i = (int)threadIdx.x; i < below; i += THREADS) a[(k + 1 + i) * n + k] *= scale;
        __syncthreads();
        FOR_EACH(i, j, below, below + columns) {
            const int row = k + 1 + i;
            const T factor = a[row * n + k];
            if (j < below)
                a[row * n + k + 1 + j] -= factor * a[k * n + k + 1 + j];
            else
                x[row * columns + j - below] -= factor * x[k * columns + j - below];
        }
    }
    __syncthreads();
    return exchanges;
}

/* x (n, columns) becomes the solution for a triangle, whose element (i, j) is a(i, j). */
template <class T, class A>
__device__ __forceinline__ void substitute(const A &a, T *x, int n, int columns, bool upper, bool unit) {
    WK_NO_UNROLL
    for (int step = 0; step < n; step++) {
        const int k = upper ? n - 1 - step : step, first = upper ? 0 : k + 1, rows = upper ? k : n - k - 1;
        __syncthreads();
        if (!unit)
            for (int j = (int)threadIdx.x; j < columns; j += THREADS) x[k * columns + j] /= a(k, k);
        __syncthreads();
        FOR_EACH(i, j, rows, columns) x[(first + i) * columns + j] -= a(first + i, k) * x[k * columns + j];
    }
}

template <class T> __global__ void __launch_bounds__(THREADS) solve(const wk_cuda_matrices p) {
    const Matrices<T> m(p);
    const int n = (int)p.n, columns = (int)p.columns;
    T *a = m.work(n * n), *x = m.out(0, n * columns);
    FOR_EACH(i, j, n, n) a[i * n + j] = m.a(i, j);
    FOR_EACH(i, j, n, columns) x[i * columns + j] = m.b(i, j);
    (void)eliminate(a, x, n, columns);
    substitute([a, n](int i, int j) { return a[i * n + j]; }, x, n, columns, true, false);
}

template <class T> __global__ void __launch_bounds__(THREADS) solve_triangular(const wk_cuda_matrices p) {
    const Matrices<T> m(p);
    const int n = (int)p.n, columns = (int)p.columns;
    T *x = m.out(0, n * columns);
    FOR_EACH(i, j, n, columns) x[i * columns + j] = m.b(i, j);
    substitute([&m](int i, int j) { return m.a(i, j); }, x, n, columns, p.upper, p.unit_diagonal);
}

/* The sign is that of the exchanges alone until a second launch looks at the diagonal. */
template <class T> __global__ void __launch_bounds__(THREADS) triangulate(const wk_cuda_matrices p) {
    const Matrices<T> m(p);
    const int n = (int)p.n;
    T *a = m.work(n * n);
    FOR_EACH(i, j, n, n) a[i * n + j] = m.a(i, j);
    const int exchanges = eliminate(a, static_cast<T *>(nullptr), n, 0);
    if (threadIdx.x == 0) *m.out(0, 1) = exchanges % 2 ? T(-1) : T(1);
}

template <class T> __global__ void __launch_bounds__(THREADS) determinants(const wk_cuda_matrices p) {
    const int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x, n = p.n;
    if (index >= p.batch.count) return;
    const T *a = static_cast<const T *>(p.work) + index * n * n;
    T *to = static_cast<T *>(p.out[0]) + index, sign = *to, size = 0;
    WK_NO_UNROLL
    for (int64_t k = 0; k < n; k++) {
        const T d = a[k * n + k];
        if (d < 0) sign = -sign;
        if (d == 0) sign = 0;
        size += log(d < 0 ? -d : d);
    }
    *to = sign;
    static_cast<T *>(p.out[1])[index] = size;
}

template <class T> int slogdet(const wk_cuda_matrices *p, void *stream) {
    const int64_t count = p->batch.count;
    const int error = WK_LAUNCH(triangulate<T>, (unsigned)count, THREADS, 0, stream, *p);
    return error ? error : WK_LAUNCH(determinants<T>, (unsigned)((count + THREADS - 1) / THREADS), THREADS, 0, stream, *p);
}

template <class T> __global__ void __launch_bounds__(THREADS) cholesky(const wk_cuda_matrices p) {
    const Matrices<T> m(p);
    const int n = (int)p.n;
    T *l = m.out(0, n * n);
    FOR_EACH(i, j, n, n) l[i * n + j] = j <= i ? m.a(i, j) : T(0);
    WK_NO_UNROLL
    for (int k = 0; k < n; k++) {
        const int below = n - k - 1;
        __syncthreads();
        if (threadIdx.x == 0) l[k * n + k] = sqrt(l[k * n + k]);
        __syncthreads();
        for (int i = (int)threadIdx.x; i < below; i += THREADS) l[(k + 1 + i) * n + k] /= l[k * n + k];
        __syncthreads();
        FOR_EACH(i, j, below, below) {
            if (j <= i) l[(k + 1 + i) * n + k + 1 + j] -= l[(k + 1 + i) * n + k] * l[(k + 1 + j) * n + k];
        }
    }
}

/* Column c of y (rows, width) times I − tau v vᵀ, by a warp; v is 1 at row j and column j of w below it. */
template <class T>
__device__ __forceinline__ void reflect(T *y, int width, int c, const T *w, int n, int j, int rows, T tau) {
    const int lane = (int)threadIdx.x % 32;
    T dot = lane == 0 ? y[j * width + c] : T(0);
    for (int i = j + 1 + lane; i < rows; i += 32) dot += w[i * n + j] * y[i * width + c];
    dot = wk_warp_together<false>(dot) * tau;
    if (lane == 0) y[j * width + c] -= dot;
    for (int i = j + 1 + lane; i < rows; i += 32) y[i * width + c] -= dot * w[i * n + j];
}

template <class T> __global__ void __launch_bounds__(THREADS) qr(const wk_cuda_matrices p) {
    const Matrices<T> m(p);
    const int rows = (int)p.m, n = (int)p.n, k = rows < n ? rows : n;
    const int warp = (int)threadIdx.x / 32;
    T *w = m.work(rows * n + k), *tau = w + rows * n, *q = m.out(0, rows * k), *r = m.out(1, k * n);
    FOR_EACH(i, j, rows, n) w[i * n + j] = m.a(i, j);
    WK_NO_UNROLL
    for (int j = 0; j < k; j++) {
        __syncthreads();
        T sum = 0;
        for (int i = j + 1 + (int)threadIdx.x; i < rows; i += THREADS) sum += w[i * n + j] * w[i * n + j];
        sum = wk_together<false>(sum, THREADS);
        const T first = w[j * n + j];
        const T norm = sqrt(first * first + sum), turned = first > 0 ? -norm : norm;
        const T factor = sum == 0 ? T(0) : (turned - first) / turned; /* nothing below: nothing to do */
        __syncthreads();
        if (sum != 0) {
            const T scale = 1 / (first - turned);
            for (int i = j + 1 + (int)threadIdx.x; i < rows; i += THREADS) w[i * n + j] *= scale;
            if (threadIdx.x == 0) w[j * n + j] = turned;
        }
        if (threadIdx.x == 0) tau[j] = factor;
        __syncthreads();
        for (int c = j + 1 + warp; c < n; c += WARPS) reflect(w, n, c, w, n, j, rows, factor);
    }
    __syncthreads();
    FOR_EACH(i, j, rows, k) q[i * k + j] = i == j ? T(1) : T(0);
    WK_NO_UNROLL
    for (int j = k - 1; j >= 0; j--) {
        __syncthreads();
        for (int c = j + warp; c < k; c += WARPS) reflect(q, k, c, w, n, j, rows, tau[j]);
    }
    __syncthreads();
    FOR_EACH(i, j, k, n) {
        const T value = j < i ? T(0) : w[i * n + j];
        r[i * n + j] = w[i * n + i] < 0 && j >= i ? -value : value;
    }
    FOR_EACH(i, j, rows, k) {
        if (w[j * n + j] < 0) q[i * k + j] = -q[i * k + j];
    }
}

#define LAUNCHER(name, kernel)                                                                                   \
    extern "C" int name(const wk_cuda_matrices *p, int dtype, void *stream) {                                    \
        const unsigned blocks = (unsigned)p->batch.count;                                                        \
        return dtype == WK_F64 ? WK_LAUNCH(kernel<double>, blocks, THREADS, 0, stream, *p)                       \
                               : WK_LAUNCH(kernel<float>, blocks, THREADS, 0, stream, *p);                       \
    }

} // namespace

LAUNCHER(wk__cuda_solve, solve)
LAUNCHER(wk__cuda_solve_triangular, solve_triangular)
LAUNCHER(wk__cuda_cholesky, cholesky)
LAUNCHER(wk__cuda_qr, qr)

extern "C" int wk__cuda_slogdet(const wk_cuda_matrices *p, int dtype, void *stream) {
    return dtype == WK_F64 ? slogdet<double>(p, stream) : slogdet<float>(p, stream);
}
