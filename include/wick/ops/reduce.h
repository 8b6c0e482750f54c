/* wick/ops/reduce.h: sums, products, means, extrema over axes; positions; moments; norms; scans; softmax.  See
 * wick/ops.h.
 */
#ifndef WICK_OPS_REDUCE_H
#define WICK_OPS_REDUCE_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- over axes ---- */

/* axes: which (negative from the end); none means all. */
typedef struct wk_reduce_opts {
    wk_dims axes;
    bool keep_dims;
} wk_reduce_opts;
WK_API wk_tensor *wk_sum(wk_tensor *x, wk_reduce_opts opts);     /* floats; integers and bool give i64 */
WK_API wk_tensor *wk_prod(wk_tensor *x, wk_reduce_opts opts);    /* likewise; its gradient divides by nothing */
WK_API wk_tensor *wk_mean(wk_tensor *x, wk_reduce_opts opts);    /* floats */
WK_API wk_tensor *wk_nansum(wk_tensor *x, wk_reduce_opts opts);  /* floats; NaN counts as 0 */
WK_API wk_tensor *wk_nanmean(wk_tensor *x, wk_reduce_opts opts); /* floats; of what is not NaN */
WK_API wk_tensor *wk_amax(wk_tensor *x, wk_reduce_opts opts);    /* NaN wins; ties share the gradient equally */
WK_API wk_tensor *wk_amin(wk_tensor *x, wk_reduce_opts opts);
/* Both; amax is given in *most (may be NULL). */
WK_API wk_tensor *wk_aminmax(wk_tensor *x, wk_tensor **most, wk_reduce_opts opts);
/* Any dtype; NaN is not 0. */
WK_API wk_tensor *wk_any(wk_tensor *x, wk_reduce_opts opts);           /* bool: one is not 0 */
WK_API wk_tensor *wk_all(wk_tensor *x, wk_reduce_opts opts);           /* bool: none is 0 */
WK_API wk_tensor *wk_count_nonzero(wk_tensor *x, wk_reduce_opts opts); /* i64 */
/* log Σ e^x */
WK_API wk_tensor *wk_logsumexp(wk_tensor *x, wk_reduce_opts opts);

typedef struct wk_var_opts {
    wk_dims axes;
    bool keep_dims;
    wk_optional correction; /* the sum of squares is divided by the count less this; default 1 */
} wk_var_opts;
/* Variance and standard deviation, floats; by two passes, the half types in f32.  The gradient of a deviation of 0 is
 * 0. torch.var, torch.std, torch.var_mean. */
WK_API wk_tensor *wk_var(wk_tensor *x, wk_var_opts opts);
WK_API wk_tensor *wk_std(wk_tensor *x, wk_var_opts opts);
/* The variance; the mean is given in *mean (may be NULL). */
WK_API wk_tensor *wk_var_mean(wk_tensor *x, wk_tensor **mean, wk_var_opts opts);

typedef struct wk_norm_opts {
    wk_dims axes;
    bool keep_dims;
    wk_optional
        p; /* default 2, of a matrix the Frobenius norm; 0 counts what is not 0; ±INFINITY: largest or least |x| */
} wk_norm_opts;
/* (Σ |x|^p)^(1/p).  The gradient at norm 0 is 0.  torch.linalg.vector_norm. */
WK_API wk_tensor *wk_norm(wk_tensor *x, wk_norm_opts opts);
typedef struct wk_normalize_opts {
    wk_optional axis; /* default 1 */
    wk_optional p;    /* of the norm; default 2 */
    wk_optional eps;  /* least divisor; default 1e-12 */
} wk_normalize_opts;
/* x / max(norm, eps) along an axis.  torch.nn.functional.normalize. */
WK_API wk_tensor *wk_normalize(wk_tensor *x, wk_normalize_opts opts);
typedef struct wk_cosine_similarity_opts {
    wk_optional axis; /* default 1 */
    wk_optional eps;  /* least norm; default 1e-8 */
} wk_cosine_similarity_opts;
/* Σ a b / (max(‖a‖, eps) max(‖b‖, eps)) along an axis of the broadcast operands; it goes away. */
WK_API wk_tensor *wk_cosine_similarity(wk_tensor *a, wk_tensor *b, wk_cosine_similarity_opts opts);

/* ---- along an axis ---- */

typedef struct wk_axis_opts {
    wk_optional axis; /* default: the last */
} wk_axis_opts;
/* Index (i64) of the largest, or least, along an axis, the first among equals, NaN before all; the axis goes away. */
WK_API wk_tensor *wk_argmax(wk_tensor *x, wk_axis_opts opts);
WK_API wk_tensor *wk_argmin(wk_tensor *x, wk_axis_opts opts);
WK_API wk_tensor *wk_softmax(wk_tensor *x, wk_axis_opts opts);
WK_API wk_tensor *wk_softmin(wk_tensor *x, wk_axis_opts opts); /* softmax of -x */
WK_API wk_tensor *wk_log_softmax(wk_tensor *x, wk_axis_opts opts);

typedef struct wk_scan_opts {
    wk_optional axis; /* default: the last */
    bool reverse;     /* from the end on */
} wk_scan_opts;
/* Running sums and products: floats; integers and bool give i64.  Gradients divide by nothing. */
WK_API wk_tensor *wk_cumsum(wk_tensor *x, wk_scan_opts opts);
WK_API wk_tensor *wk_cumprod(wk_tensor *x, wk_scan_opts opts);
WK_API wk_tensor *wk_logcumsumexp(wk_tensor *x, wk_scan_opts opts);
/* Running extrema; their indices (i64), the last among equals, are given in *indices (may be NULL).  NaN stays. */
WK_API wk_tensor *wk_cummax(wk_tensor *x, wk_tensor **indices, wk_axis_opts opts);
WK_API wk_tensor *wk_cummin(wk_tensor *x, wk_tensor **indices, wk_axis_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_sum(...)               (WK_HERE, wk_sum(__VA_ARGS__))
#    define wk_prod(...)              (WK_HERE, wk_prod(__VA_ARGS__))
#    define wk_mean(...)              (WK_HERE, wk_mean(__VA_ARGS__))
#    define wk_nansum(...)            (WK_HERE, wk_nansum(__VA_ARGS__))
#    define wk_nanmean(...)           (WK_HERE, wk_nanmean(__VA_ARGS__))
#    define wk_amax(...)              (WK_HERE, wk_amax(__VA_ARGS__))
#    define wk_amin(...)              (WK_HERE, wk_amin(__VA_ARGS__))
#    define wk_aminmax(...)           (WK_HERE, wk_aminmax(__VA_ARGS__))
#    define wk_any(...)               (WK_HERE, wk_any(__VA_ARGS__))
#    define wk_all(...)               (WK_HERE, wk_all(__VA_ARGS__))
#    define wk_count_nonzero(...)     (WK_HERE, wk_count_nonzero(__VA_ARGS__))
#    define wk_logsumexp(...)         (WK_HERE, wk_logsumexp(__VA_ARGS__))
#    define wk_var(...)               (WK_HERE, wk_var(__VA_ARGS__))
#    define wk_std(...)               (WK_HERE, wk_std(__VA_ARGS__))
#    define wk_var_mean(...)          (WK_HERE, wk_var_mean(__VA_ARGS__))
#    define wk_norm(...)              (WK_HERE, wk_norm(__VA_ARGS__))
#    define wk_normalize(...)         (WK_HERE, wk_normalize(__VA_ARGS__))
#    define wk_cosine_similarity(...) (WK_HERE, wk_cosine_similarity(__VA_ARGS__))
#    define wk_argmax(...)            (WK_HERE, wk_argmax(__VA_ARGS__))
#    define wk_argmin(...)            (WK_HERE, wk_argmin(__VA_ARGS__))
#    define wk_softmax(...)           (WK_HERE, wk_softmax(__VA_ARGS__))
#    define wk_softmin(...)           (WK_HERE, wk_softmin(__VA_ARGS__))
#    define wk_log_softmax(...)       (WK_HERE, wk_log_softmax(__VA_ARGS__))
#    define wk_cumsum(...)            (WK_HERE, wk_cumsum(__VA_ARGS__))
#    define wk_cumprod(...)           (WK_HERE, wk_cumprod(__VA_ARGS__))
#    define wk_logcumsumexp(...)      (WK_HERE, wk_logcumsumexp(__VA_ARGS__))
#    define wk_cummax(...)            (WK_HERE, wk_cummax(__VA_ARGS__))
#    define wk_cummin(...)            (WK_HERE, wk_cummin(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
