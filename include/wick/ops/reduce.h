/* wick/ops/reduce.h: sums, means, extrema over axes; positions; softmax.  See wick/ops.h. */
#ifndef WICK_OPS_REDUCE_H
#define WICK_OPS_REDUCE_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

/* axes: which (negative from the end); none means all. */
typedef struct wk_reduce_opts {
    wk_dims axes;
    bool keep_dims;
} wk_reduce_opts;
WK_API wk_tensor *wk_sum(wk_tensor *x, wk_reduce_opts opts);  /* floats; integers and bool give i64 */
WK_API wk_tensor *wk_mean(wk_tensor *x, wk_reduce_opts opts); /* floats */
WK_API wk_tensor *wk_amax(wk_tensor *x, wk_reduce_opts opts); /* NaN wins; ties share the gradient equally */
WK_API wk_tensor *wk_amin(wk_tensor *x, wk_reduce_opts opts);
typedef struct wk_axis_opts {
    wk_optional axis; /* default: the last */
} wk_axis_opts;
/* Index (i64) of the largest along an axis, the first among equals; the axis goes away. */
WK_API wk_tensor *wk_argmax(wk_tensor *x, wk_axis_opts opts);
WK_API wk_tensor *wk_softmax(wk_tensor *x, wk_axis_opts opts);
WK_API wk_tensor *wk_log_softmax(wk_tensor *x, wk_axis_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_sum(...)         (WK_HERE, wk_sum(__VA_ARGS__))
#    define wk_mean(...)        (WK_HERE, wk_mean(__VA_ARGS__))
#    define wk_amax(...)        (WK_HERE, wk_amax(__VA_ARGS__))
#    define wk_amin(...)        (WK_HERE, wk_amin(__VA_ARGS__))
#    define wk_argmax(...)      (WK_HERE, wk_argmax(__VA_ARGS__))
#    define wk_softmax(...)     (WK_HERE, wk_softmax(__VA_ARGS__))
#    define wk_log_softmax(...) (WK_HERE, wk_log_softmax(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
