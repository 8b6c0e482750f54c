/* spectrum.cu: eigenvalues of symmetric matrices and singular values of any, of a batch.
 *
 * Jacobi's rotations (Golub and Van Loan 2013, 8.5 and 8.6.3), in f64 whatever is stored: a block works on one matrix;
 * the pairs of a round share no column, so they turn side by side, and n - 1 rounds meet all pairs once.  Of singular
 * values only columns turn, until all are orthogonal.  Sweeps end when nothing changes any more: about 6 to 10 of
 * n³ operations.  Meant for batches of small matrices; roof: latency, some barriers a round.
 */
#include "cuda/linalg/matrices.h"

#include "cuda/elements.h"
#include "cuda/together.h"

namespace {

enum { THREADS = 256, WARPS = THREADS / 32, SWEEPS = 40 };

struct Pair {
    int p, q; /* p < q */
};

/* Pair i of a round: who sits opposite at a round table of `seats` (even), where the last one stays. */
__device__ __forceinline__ Pair pair_of(int i, int round, int seats) {
    const int turning = seats - 1;
    const int a = i == 0 ? turning : (round + i) % turning, b = (round - i + turning) % turning;
    return { a < b ? a : b, a < b ? b : a };
}

/* Cosine and sine of the turn that makes `across` zero between two numbers that differ by `apart`. */
__device__ __forceinline__ void turn_of(double across, double apart, double *cosine, double *sine) {
    const double twice = 2 * across, square = apart * apart + twice * twice; /* by reciprocal roots alone: divisions are calls */
    const double part = rsqrt(fabs(apart) + square * rsqrt(square));
    const double tangent = (apart < 0 ? -twice : twice) * part * part;
    *cosine = rsqrt(tangent * tangent + 1);
    *sine = tangent * *cosine;
}

__device__ __forceinline__ void turn(double *x, double *y, double cosine, double sine) {
    const double a = *x, b = *y;
    *x = cosine * a - sine * b, *y = sine * a + cosine * b;
}

/* NaN comes last. */
__device__ __forceinline__ bool stands_before(double a, int i, double b, int j, bool descending) {
    if (a != a || b != b) return a != a ? b != b && i < j : true;
    if (a == b) return i < j;
    return descending ? a > b : a < b;
}

/* Where column j goes when they are put in order. */
__device__ __forceinline__ int place_of(const double *values, int n, int j, bool descending) {
    int place = 0;
    WK_NO_UNROLL
    for (int i = 0; i < n; i++) place += i != j && stands_before(values[i], i, values[j], j, descending) ? 1 : 0;
    return place;
}

/* -1 where the largest element, the first among equals, is negative. */
__device__ __forceinline__ double sign_of(const double *v, int count) {
    double most = 0;
    WK_NO_UNROLL
    for (int i = 0; i < count; i++)
        if (fabs(v[i]) > fabs(most)) most = v[i];
    return most < 0 ? -1 : 1;
}

/* ---- eigenvalues ---- */

/* a and v: column j is n numbers at j n. */
__device__ __forceinline__ void round_of(double *a, double *v, double *turns, int n, int round, int seats, const double *small) {
    const int pairs = seats / 2;
    for (int i = (int)threadIdx.x; i < pairs; i += THREADS) {
        const Pair at = pair_of(i, round, seats);
        double cosine = 1, sine = 0;
        if (at.q < n) {
            const double across = a[at.q * n + at.p];
            if (across * across > *small) turn_of(across, a[at.q * n + at.q] - a[at.p * n + at.p], &cosine, &sine);
        }
        turns[2 * i] = cosine, turns[2 * i + 1] = sine;
    }
    __syncthreads();
    for (int e = (int)threadIdx.x; e < pairs * n; e += THREADS) { /* columns of both */
        const int i = e / n, k = e % n;
        const Pair at = pair_of(i, round, seats);
        if (at.q >= n || turns[2 * i + 1] == 0) continue;
        turn(a + at.p * n + k, a + at.q * n + k, turns[2 * i], turns[2 * i + 1]);
        turn(v + at.p * n + k, v + at.q * n + k, turns[2 * i], turns[2 * i + 1]);
    }
    __syncthreads();
    for (int e = (int)threadIdx.x; e < pairs * n; e += THREADS) { /* rows */
        const int i = e / n, k = e % n;
        const Pair at = pair_of(i, round, seats);
        if (at.q >= n || turns[2 * i + 1] == 0) continue;
        turn(a + k * n + at.p, a + k * n + at.q, turns[2 * i], turns[2 * i + 1]);
    }
    __syncthreads();
}

template <class T> __global__ void __launch_bounds__(THREADS) eigh(const wk_cuda_matrices p) {
    WK_SHARED(double, small, );
    const int n = (int)p.n, all = n * n, seats = n + n % 2;
    int64_t from[1];
    wk_walk_offsets<1>(p.batch, blockIdx.x, from);
    double *a = static_cast<double *>(p.work) + (int64_t)blockIdx.x * (2 * all + n + 1), *v = a + all, *turns = v + all;
    for (int e = (int)threadIdx.x; e < all; e += THREADS) {
        const int j = e / n, i = e % n;
        a[e] = (double)static_cast<const T *>(p.a)[from[0] + i * p.a_row + j * p.a_column];
        v[e] = i == j ? 1 : 0;
    }
    __syncthreads();
    WK_NO_UNROLL
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        double off = 0, whole = 0;
        for (int e = (int)threadIdx.x; e < all; e += THREADS) {
            whole += a[e] * a[e];
            if (e / n != e % n) off += a[e] * a[e];
        }
        off = wk_together<false>(off, THREADS), whole = wk_together<false>(whole, THREADS);
        if (!(off > 1e-32 * whole)) break; /* also of NaN */
        if (threadIdx.x == 0) small = 1e-36 * whole;
        __syncthreads();
        WK_NO_UNROLL
        for (int round = 0; round < seats - 1; round++) round_of(a, v, turns, n, round, seats, &small);
    }
}

/* A thread brings column j to its place. */
template <class T> __global__ void __launch_bounds__(THREADS) give_eigen(const wk_cuda_matrices p) {
    const int n = (int)p.n, all = n * n;
    double *a = static_cast<double *>(p.work) + (int64_t)blockIdx.x * (2 * all + n + 1), *v = a + all, *own = v + all;
    for (int j = (int)threadIdx.x; j < n; j += THREADS) own[j] = a[j * n + j];
    __syncthreads();
    T *values = static_cast<T *>(p.out[0]) + (int64_t)blockIdx.x * n;
    T *vectors = static_cast<T *>(p.out[1]) + (int64_t)blockIdx.x * all;
    for (int j = (int)threadIdx.x; j < n; j += THREADS) {
        const int place = place_of(own, n, j, false);
        const double sign = sign_of(v + j * n, n);
        values[place] = (T)own[j];
        WK_NO_UNROLL
        for (int i = 0; i < n; i++) vectors[i * n + place] = (T)(sign * v[j * n + i]);
    }
}

/* ---- singular values ---- */

/* Columns p and q of g (rows) made orthogonal, by a warp; v follows.  Whether they were not. */
__device__ __forceinline__ bool make_orthogonal(double *g, double *v, int rows, int k, Pair at) {
    const int lane = (int)threadIdx.x % 32;
    double *x = g + at.p * rows, *y = g + at.q * rows, xx = 0, yy = 0, xy = 0;
    for (int i = lane; i < rows; i += 32) xx += x[i] * x[i], yy += y[i] * y[i], xy += x[i] * y[i];
    xx = wk_warp_together<false>(xx), yy = wk_warp_together<false>(yy), xy = wk_warp_together<false>(xy);
    if (!(fabs(xy) > 1e-15 * sqrt(xx * yy))) return false; /* also of NaN */
    double cosine, sine;
    turn_of(xy, yy - xx, &cosine, &sine);
    for (int i = lane; i < rows; i += 32) turn(x + i, y + i, cosine, sine);
    for (int i = lane; i < k; i += 32) turn(v + at.p * k + i, v + at.q * k + i, cosine, sine);
    return true;
}

/* Columns of length zero become what is left of axes beside all columns that stand: by one thread, for it is rare. */
__device__ void complete(double *g, const double *sizes, int rows, int k, double least) {
    int axis = 0;
    WK_NO_UNROLL
    for (int j = 0; j < k; j++) {
        if (sizes[j] > least || sizes[j] != sizes[j]) continue;
        double *own = g + j * rows, size = 0;
        WK_NO_UNROLL
        for (; size < 0.1 / rows && axis < rows; axis++) {
            for (int i = 0; i < rows; i++) own[i] = i == axis ? 1 : 0;
            for (int twice = 0; twice < 2; twice++) /* once leaves rounding */
                for (int c = 0; c < k; c++) {
                    if (c == j || (c > j && !(sizes[c] > least))) continue;
                    double dot = 0;
                    for (int i = 0; i < rows; i++) dot += own[i] * g[c * rows + i];
                    for (int i = 0; i < rows; i++) own[i] -= dot * g[c * rows + i];
                }
            size = 0;
            for (int i = 0; i < rows; i++) size += own[i] * own[i];
        }
        const double scale = 1 / sqrt(size);
        for (int i = 0; i < rows; i++) own[i] *= scale;
    }
}

/* g (rows, k) is a, or its transpose where that is the taller: its columns become those of one orthonormal factor times
 * the singular values, v the other one. */
template <class T> __global__ void __launch_bounds__(THREADS) svd(const wk_cuda_matrices p) {
    WK_SHARED(int, turned, );
    const bool tall = p.m >= p.n;
    const int rows = (int)(tall ? p.m : p.n), k = (int)(tall ? p.n : p.m), seats = k + k % 2, warp = (int)threadIdx.x / 32;
    int64_t from[1];
    wk_walk_offsets<1>(p.batch, blockIdx.x, from);
    double *g = static_cast<double *>(p.work) + (int64_t)blockIdx.x * (rows * k + k * k + k), *v = g + rows * k, *sizes = v + k * k;
    const int64_t row = tall ? p.a_row : p.a_column, column = tall ? p.a_column : p.a_row;
    for (int e = (int)threadIdx.x; e < rows * k; e += THREADS)
        g[e] = (double)static_cast<const T *>(p.a)[from[0] + e % rows * row + e / rows * column];
    for (int e = (int)threadIdx.x; e < k * k; e += THREADS) v[e] = e / k == e % k ? 1 : 0;
    WK_NO_UNROLL
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        __syncthreads();
        if (threadIdx.x == 0) turned = 0;
        WK_NO_UNROLL
        for (int round = 0; round < seats - 1; round++) {
            __syncthreads();
            for (int i = warp; i < seats / 2; i += WARPS) {
                const Pair at = pair_of(i, round, seats);
                if (at.q < k && make_orthogonal(g, v, rows, k, at) && threadIdx.x % 32 == 0) atomicOr(&turned, 1);
            }
        }
        __syncthreads();
        if (turned == 0) break;
    }
    __syncthreads();
    for (int j = warp; j < k; j += WARPS) {
        double sum = 0;
        for (int i = (int)threadIdx.x % 32; i < rows; i += 32) sum += g[j * rows + i] * g[j * rows + i];
        sum = wk_warp_together<false>(sum);
        if (threadIdx.x % 32 == 0) sizes[j] = sqrt(sum);
    }
    __syncthreads();
    double most = 0;
    for (int j = (int)threadIdx.x; j < k; j += THREADS) most = sizes[j] > most ? sizes[j] : most;
    const double least = wk_together<true>(most, THREADS) * rows * 1e-17;
    for (int e = (int)threadIdx.x; e < rows * k; e += THREADS)
        if (sizes[e / rows] > least) g[e] /= sizes[e / rows];
    __syncthreads();
    if (threadIdx.x == 0) complete(g, sizes, rows, k, least);
    __syncthreads();
    const double *const left = tall ? g : v, *const right = tall ? v : g;
    const int m = (int)p.m, n = (int)p.n;
    T *u = static_cast<T *>(p.out[0]) + (int64_t)blockIdx.x * m * k, *s = static_cast<T *>(p.out[1]) + (int64_t)blockIdx.x * k;
    T *vh = static_cast<T *>(p.out[2]) + (int64_t)blockIdx.x * k * n;
    for (int j = (int)threadIdx.x; j < k; j += THREADS) {
        const int place = place_of(sizes, k, j, true);
        const double sign = sign_of(left + j * m, m);
        s[place] = (T)sizes[j];
        WK_NO_UNROLL
        for (int i = 0; i < m; i++) u[i * k + place] = (T)(sign * left[j * m + i]);
        WK_NO_UNROLL
        for (int i = 0; i < n; i++) vh[place * n + i] = (T)(sign * right[j * n + i]);
    }
}

} // namespace

extern "C" int wk__cuda_eigh(const wk_cuda_matrices *p, int dtype, void *stream) {
    const unsigned blocks = (unsigned)p->batch.count;
    const int error = dtype == WK_F64 ? WK_LAUNCH(eigh<double>, blocks, THREADS, 0, stream, *p)
                                      : WK_LAUNCH(eigh<float>, blocks, THREADS, 0, stream, *p);
    if (error) return error;
    return dtype == WK_F64 ? WK_LAUNCH(give_eigen<double>, blocks, THREADS, 0, stream, *p)
                           : WK_LAUNCH(give_eigen<float>, blocks, THREADS, 0, stream, *p);
}

extern "C" int wk__cuda_svd(const wk_cuda_matrices *p, int dtype, void *stream) {
    const unsigned blocks = (unsigned)p->batch.count;
    return dtype == WK_F64 ? WK_LAUNCH(svd<double>, blocks, THREADS, 0, stream, *p)
                           : WK_LAUNCH(svd<float>, blocks, THREADS, 0, stream, *p);
}
