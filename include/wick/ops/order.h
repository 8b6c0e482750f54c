/* wick/ops/order.h: sorting and what sorting answers; counting.  See wick/ops.h.
 *
 * NaN counts as larger than every number.  Equal elements stay in the order of their places, whichever way they are
 * sorted.  Indices are i64.  What is given through a pointer is not wanted where that is NULL.
 */
#ifndef WICK_OPS_ORDER_H
#define WICK_OPS_ORDER_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_sort_opts {
    wk_optional axis; /* default: the last */
    bool descending;
} wk_sort_opts;
/* x in order along an axis; where each element stood is given in *indices.  Any dtype. */
WK_API wk_tensor *wk_sort(wk_tensor *x, wk_tensor **indices, wk_sort_opts opts);
WK_API wk_tensor *wk_argsort(wk_tensor *x, wk_sort_opts opts);
typedef struct wk_topk_opts {
    int64_t k;
    wk_optional axis; /* default: the last */
    bool smallest;    /* the k least, from the least on, instead of the k largest */
    bool unsorted;    /* in the order of their places instead */
} wk_topk_opts;
WK_API wk_tensor *wk_topk(wk_tensor *x, wk_tensor **indices, wk_topk_opts opts);
typedef struct wk_kthvalue_opts {
    int64_t k;        /* from 1, the least */
    wk_optional axis; /* default: the last */
    bool keep_dims;
} wk_kthvalue_opts;
WK_API wk_tensor *wk_kthvalue(wk_tensor *x, wk_tensor **indices, wk_kthvalue_opts opts);
typedef struct wk_median_opts {
    wk_optional axis; /* default: the last */
    bool keep_dims;
} wk_median_opts;
/* The lower of two middle elements; NaN where there is one.  torch.median along an axis. */
WK_API wk_tensor *wk_median(wk_tensor *x, wk_tensor **indices, wk_median_opts opts);
typedef enum wk_interpolation {
    WK_INTERPOLATION_LINEAR,
    WK_INTERPOLATION_LOWER,
    WK_INTERPOLATION_HIGHER,
    WK_INTERPOLATION_MIDPOINT,
    WK_INTERPOLATION_NEAREST
} wk_interpolation;
typedef struct wk_quantile_opts {
    wk_optional axis; /* not set: over all elements */
    bool keep_dims;
    int interpolation; /* wk_interpolation, between two elements */
} wk_quantile_opts;
/* The q-th quantiles, q in [0, 1], of f32 or f64: of each line, or NaN where it holds one.  q is a number, or (K): then
 * the first axis of the result is K.  Errors: q outside of [0, 1]; no elements.  torch.quantile. */
WK_API wk_tensor *wk_quantile(wk_tensor *x, wk_tensor *q, wk_quantile_opts opts);

/* The distinct values of x in order, (N); *inverse: where each element of x is among them, in x's shape; *counts: how
 * often each came, (N).  NaN is distinct from NaN.  torch.unique. */
WK_API wk_tensor *wk_unique(wk_tensor *x, wk_tensor **inverse, wk_tensor **counts);
typedef struct wk_unique_padded_opts {
    int64_t size;
} wk_unique_padded_opts;
/* The same in a shape that does not depend on values: the first `size` of them, with zeros behind them where there are
 * fewer; *number (i64 scalar) says how many there are in all.  Elements whose value found no room have inverse -1. */
WK_API wk_tensor *wk_unique_padded(wk_tensor *x, wk_tensor **inverse, wk_tensor **counts, wk_tensor **number,
                                   int64_t size);
typedef struct wk_bincount_opts {
    int64_t minlength;
} wk_bincount_opts;
/* How often each of 0, 1, 2, … comes in x (N), integers of at least 0; the length of the result is one more than the
 * largest, at least minlength.  With weights (N), floats, or NULL: the sums of those, in their dtype (the row
 * weighted_bincount).  Errors: a negative number. */
WK_API wk_tensor *wk_bincount(wk_tensor *x, wk_tensor *weights, wk_bincount_opts opts);
typedef struct wk_histc_opts {
    int64_t bins;    /* 0 means 100 */
    double min, max; /* where they are equal: those of x */
} wk_histc_opts;
/* How many elements fall into each of `bins` equal parts of [min, max], in x's dtype.  Those outside, and NaN, count
 * nowhere.  torch.histc. */
WK_API wk_tensor *wk_histc(wk_tensor *x, wk_histc_opts opts);
typedef struct wk_searchsorted_opts {
    bool right; /* behind equal elements instead of before them */
} wk_searchsorted_opts;
/* Where values would be inserted to keep `sorted` in order.  sorted (N), or (…, N) with the leading axes of values
 * (…, M); gives values' shape.  torch.searchsorted. */
WK_API wk_tensor *wk_searchsorted(wk_tensor *sorted, wk_tensor *values, wk_searchsorted_opts opts);
/* The same with the operands the other way round, boundaries (N).  torch.bucketize. */
WK_API wk_tensor *wk_bucketize(wk_tensor *x, wk_tensor *boundaries, wk_searchsorted_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_sort(...)          (WK_HERE, wk_sort(__VA_ARGS__))
#    define wk_argsort(...)       (WK_HERE, wk_argsort(__VA_ARGS__))
#    define wk_topk(...)          (WK_HERE, wk_topk(__VA_ARGS__))
#    define wk_kthvalue(...)      (WK_HERE, wk_kthvalue(__VA_ARGS__))
#    define wk_median(...)        (WK_HERE, wk_median(__VA_ARGS__))
#    define wk_quantile(...)      (WK_HERE, wk_quantile(__VA_ARGS__))
#    define wk_unique(...)        (WK_HERE, wk_unique(__VA_ARGS__))
#    define wk_unique_padded(...) (WK_HERE, wk_unique_padded(__VA_ARGS__))
#    define wk_bincount(...)      (WK_HERE, wk_bincount(__VA_ARGS__))
#    define wk_histc(...)         (WK_HERE, wk_histc(__VA_ARGS__))
#    define wk_searchsorted(...)  (WK_HERE, wk_searchsorted(__VA_ARGS__))
#    define wk_bucketize(...)     (WK_HERE, wk_bucketize(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
