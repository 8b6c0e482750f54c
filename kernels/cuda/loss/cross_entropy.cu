/* cross_entropy.cu: the loss of class scores and its gradient, without writing probabilities.
 *
 *   lse = log Σ exp(x)      loss = (1 − ε)(lse − x_t) + ε / C Σ (lse − x)
 *   dx  = g (exp(x − lse) − (1 − ε)[j = t] − ε / C)                       g: dloss, over the number of rows for a mean
 *
 * A block a row.  Forward reads the row once: each thread keeps the largest score and the sum of exponentials relative
 * to it, and pairs of those are joined.  Backward reads and writes it once.  The rows' losses are added up in f64, by
 * one block, in an order that the number of rows gives.  A target that is no class makes the loss NaN: to name it, the
 * host would have to wait.  Roof: memory bandwidth.
 */
#include "cuda/loss/cross_entropy.h"

#include "cuda/convert.h"

namespace {

enum { THREADS = 128, SUMMING = 256, NONE = 2, MEAN = 0 };

template <class R> __device__ __forceinline__ R exponential(R x);
template <> __device__ __forceinline__ float exponential(float x) {
    return expf(x);
}
template <> __device__ __forceinline__ double exponential(double x) {
    return exp(x);
}

/* The largest score so far and Σ exp(x − most): two of these are one. */
template <class R> struct Sum {
    R most, sum, plain; /* plain: Σ x, for smoothing */
};
template <class R> __device__ __forceinline__ Sum<R> joined(const Sum<R> &a, const Sum<R> &b) {
    const R most = a.most > b.most || a.most != a.most ? a.most : b.most;
    if (most == -R(INFINITY)) return Sum<R>{ most, 0, a.plain + b.plain };
    return Sum<R>{ most, a.sum * exponential(a.most - most) + b.sum * exponential(b.most - most), a.plain + b.plain };
}

template <class T, class L>
__global__ void __launch_bounds__(THREADS)
    row_losses(const wk_cuda_cross_entropy c, const T *logits, const int64_t *target, L *loss, L *lse, double *each) {
    using R = wk_real<T>;
    WK_SHARED(Sum<R>, all, [THREADS]);
    const int64_t row = blockIdx.x;
    const T *x = logits + row * c.logits_row;
    Sum<R> own{ -R(INFINITY), 0, 0 };
    for (int64_t j = threadIdx.x; j < c.classes; j += THREADS) {
        const R value = wk_get(x[j * c.logits_step]);
        if (value > own.most) {
            own.sum = own.sum * exponential(own.most - value) + 1;
            own.most = value;
        } else if (value != -R(INFINITY)) {
            own.sum += exponential(value - own.most); /* NaN stays */
        }
        own.plain += value;
    }
    all[threadIdx.x] = own;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) all[threadIdx.x] = joined(all[threadIdx.x], all[threadIdx.x + half]);
    }
    if (threadIdx.x != 0) return;
    const int64_t t = target[row * c.target_step];
    const double norm = (double)all[0].most + log((double)all[0].sum);
    double result = NAN;
    if (t == c.ignored) {
        result = 0;
    } else if (t >= 0 && t < c.classes) {
        result = norm - (double)wk_get(x[t * c.logits_step]);
        if (c.smoothing > 0)
            result = (1 - c.smoothing) * result + c.smoothing * (norm - (double)all[0].plain / (double)c.classes);
    }
    lse[row] = (L)norm;
    if (c.reduction == NONE)
        loss[row] = (L)result;
    else
        each[row] = result;
}

/* Σ of `terms` (NULL: none) and how many rows count, by one block: the result in thread 0. */
__device__ __forceinline__ void over_rows(const wk_cuda_cross_entropy &c, const int64_t *target, const double *terms,
                                          double *sum, double *counted) {
    WK_SHARED(double, sums, [SUMMING]);
    WK_SHARED(double, counts, [SUMMING]);
    double own = 0, rows = 0;
    for (int64_t row = threadIdx.x; row < c.rows; row += SUMMING) {
        if (terms) own += terms[row];
        rows += target[row * c.target_step] != c.ignored;
    }
    sums[threadIdx.x] = own;
    counts[threadIdx.x] = rows;
    for (int half = SUMMING / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) {
            sums[threadIdx.x] += sums[threadIdx.x + half];
            counts[threadIdx.x] += counts[threadIdx.x + half];
        }
    }
    *sum = sums[0];
    *counted = counts[0];
}

template <class L>
__global__ void __launch_bounds__(SUMMING)
    total_loss(const wk_cuda_cross_entropy c, const int64_t *target, const double *each, L *loss) {
    double sum, counted;
    over_rows(c, target, each, &sum, &counted);
    if (threadIdx.x == 0) *loss = (L)(c.reduction == MEAN ? counted > 0 ? sum / counted : 0 : sum);
}

__global__ void __launch_bounds__(SUMMING)
    share_of_row(const wk_cuda_cross_entropy c, const int64_t *target, double *share) {
    double sum, counted;
    over_rows(c, target, nullptr, &sum, &counted);
    if (threadIdx.x == 0) *share = c.reduction == MEAN && counted > 0 ? 1 / counted : 1;
}

template <class T, class L>
__global__ void gradients(const wk_cuda_cross_entropy c, const L *dloss, int64_t dloss_step, const T *logits, const int64_t *target,
              const L *lse, int64_t lse_step, const double *share, T *dlogits) {
    using R = wk_real<T>;
    const int64_t row = blockIdx.x, t = target[row * c.target_step];
    const T *x = logits + row * c.logits_row;
    T *dx = dlogits + row * c.classes;
    const double slope = t == c.ignored ? 0 : (double)dloss[row * dloss_step] * *share;
    const R norm = (R)lse[row * lse_step], g = (R)slope, even = (R)c.even, hit = (R)((1 - c.smoothing) * slope);
    for (int64_t j = threadIdx.x; j < c.classes; j += THREADS) {
        R value = (exponential(wk_get(x[j * c.logits_step]) - norm) - even) * g;
        if (j == t) value -= hit;
        wk_put(dx + j, g == 0 ? R(0) : value);
    }
}

/* Losses of f64 are f64, of others f32. */
template <class T> struct Loss {
    using type = float;
};
template <> struct Loss<double> {
    using type = double;
};

template <class T>
int forward(const wk_cuda_cross_entropy &c, const void *logits, const int64_t *target, void *loss, void *lse,
            double *scratch, void *stream) {
    using L = typename Loss<T>::type;
    int error = 0;
    if (c.rows)
        error = WK_LAUNCH((row_losses<T, L>), (unsigned)c.rows, THREADS, 0, stream, c, static_cast<const T *>(logits),
                          target, static_cast<L *>(loss), static_cast<L *>(lse), scratch);
    if (error || c.reduction == NONE) return error;
    return WK_LAUNCH(total_loss<L>, 1, SUMMING, 0, stream, c, target, static_cast<const double *>(scratch),
                     static_cast<L *>(loss));
}

template <class T>
int backward(const wk_cuda_cross_entropy &c, const void *dloss, int64_t dloss_step, const void *logits,
             const int64_t *target, const void *lse, int64_t lse_step, void *dlogits, double *scratch, void *stream) {
    using L = typename Loss<T>::type;
    if (c.rows == 0 || c.classes == 0) return 0;
    int error = WK_LAUNCH(share_of_row, 1, SUMMING, 0, stream, c, target, scratch);
    if (error) return error;
    return WK_LAUNCH((gradients<T, L>), (unsigned)c.rows, THREADS, 0, stream, c, static_cast<const L *>(dloss),
                     dloss_step, static_cast<const T *>(logits), target, static_cast<const L *>(lse), lse_step,
                     static_cast<const double *>(scratch), static_cast<T *>(dlogits));
}

} // namespace

extern "C" int wk__cuda_cross_entropy_forward(const wk_cuda_cross_entropy *c, int dtype, const void *logits,
                                             const int64_t *target, void *loss, void *lse, double *scratch,
                                             void *stream) {
    WK_FLOAT_CASES(dtype, forward, *c, logits, target, loss, lse, scratch, stream)
}

extern "C" int wk__cuda_cross_entropy_backward(const wk_cuda_cross_entropy *c, int dtype, const void *dloss,
                                              int64_t dloss_step, const void *logits, const int64_t *target,
                                              const void *lse, int64_t lse_step, void *dlogits, double *scratch,
                                              void *stream) {
    WK_FLOAT_CASES(dtype, backward, *c, dloss, dloss_step, logits, target, lse, lse_step, dlogits, scratch, stream)
}
