/* wick/ops/pointwise.h: element by element: arithmetic, functions, comparisons, choices, conversion.  See wick/ops.h.
 */
#ifndef WICK_OPS_POINTWISE_H
#define WICK_OPS_POINTWISE_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

WK_API wk_tensor *wk_add(wk_tensor *a, wk_tensor *b); /* numbers */
WK_API wk_tensor *wk_sub(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_mul(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_div(wk_tensor *a, wk_tensor *b);     /* floats */
WK_API wk_tensor *wk_maximum(wk_tensor *a, wk_tensor *b); /* NaN wins; equal operands share the gradient */
WK_API wk_tensor *wk_minimum(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_neg(wk_tensor *x);
WK_API wk_tensor *wk_abs(wk_tensor *x);
WK_API wk_tensor *wk_sign(wk_tensor *x);
WK_API wk_tensor *wk_exp(wk_tensor *x);
WK_API wk_tensor *wk_log(wk_tensor *x);
WK_API wk_tensor *wk_sqrt(wk_tensor *x);
WK_API wk_tensor *wk_erf(wk_tensor *x);
WK_API wk_tensor *wk_sin(wk_tensor *x);
WK_API wk_tensor *wk_cos(wk_tensor *x);
WK_API wk_tensor *wk_tanh(wk_tensor *x);
WK_API wk_tensor *wk_sigmoid(wk_tensor *x);
WK_API wk_tensor *wk_relu(wk_tensor *x); /* NaN stays NaN */
WK_API wk_tensor *wk_gelu(wk_tensor *x); /* x Φ(x), by erf */

/* y = scale · x + shift */
typedef struct wk_affine_opts {
    double scale, shift;
} wk_affine_opts;
WK_API wk_tensor *wk_affine(wk_tensor *x, wk_affine_opts opts);
static inline wk_tensor *wk_scale(wk_tensor *x, double scale) {
    wk_affine_opts opts = { scale, 0 };
    return wk_affine(x, opts);
}

/* Comparisons give bool. */
WK_API wk_tensor *wk_eq(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_ne(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_lt(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_le(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_gt(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_ge(wk_tensor *a, wk_tensor *b);
/* condition (bool) ? a : b, all broadcast */
WK_API wk_tensor *wk_where(wk_tensor *condition, wk_tensor *a, wk_tensor *b);

typedef struct wk_cast_opts {
    wk_dtype dtype;
} wk_cast_opts;
/* Round to nearest even between floats, truncate towards zero to integers, non-zero is true.  Out-of-range values to
 * integers saturate; NaN becomes 0.  The same dtype gives the tensor itself. */
WK_API wk_tensor *wk_cast(wk_tensor *x, wk_dtype dtype);

#ifndef WK_NO_CALL_SITES
#    define wk_add(...)     (WK_HERE, wk_add(__VA_ARGS__))
#    define wk_sub(...)     (WK_HERE, wk_sub(__VA_ARGS__))
#    define wk_mul(...)     (WK_HERE, wk_mul(__VA_ARGS__))
#    define wk_div(...)     (WK_HERE, wk_div(__VA_ARGS__))
#    define wk_maximum(...) (WK_HERE, wk_maximum(__VA_ARGS__))
#    define wk_minimum(...) (WK_HERE, wk_minimum(__VA_ARGS__))
#    define wk_neg(...)     (WK_HERE, wk_neg(__VA_ARGS__))
#    define wk_abs(...)     (WK_HERE, wk_abs(__VA_ARGS__))
#    define wk_sign(...)    (WK_HERE, wk_sign(__VA_ARGS__))
#    define wk_exp(...)     (WK_HERE, wk_exp(__VA_ARGS__))
#    define wk_log(...)     (WK_HERE, wk_log(__VA_ARGS__))
#    define wk_sqrt(...)    (WK_HERE, wk_sqrt(__VA_ARGS__))
#    define wk_erf(...)     (WK_HERE, wk_erf(__VA_ARGS__))
#    define wk_sin(...)     (WK_HERE, wk_sin(__VA_ARGS__))
#    define wk_cos(...)     (WK_HERE, wk_cos(__VA_ARGS__))
#    define wk_tanh(...)    (WK_HERE, wk_tanh(__VA_ARGS__))
#    define wk_sigmoid(...) (WK_HERE, wk_sigmoid(__VA_ARGS__))
#    define wk_relu(...)    (WK_HERE, wk_relu(__VA_ARGS__))
#    define wk_gelu(...)    (WK_HERE, wk_gelu(__VA_ARGS__))
#    define wk_affine(...)  (WK_HERE, wk_affine(__VA_ARGS__))
#    define wk_scale(...)   (WK_HERE, wk_scale(__VA_ARGS__))
#    define wk_eq(...)      (WK_HERE, wk_eq(__VA_ARGS__))
#    define wk_ne(...)      (WK_HERE, wk_ne(__VA_ARGS__))
#    define wk_lt(...)      (WK_HERE, wk_lt(__VA_ARGS__))
#    define wk_le(...)      (WK_HERE, wk_le(__VA_ARGS__))
#    define wk_gt(...)      (WK_HERE, wk_gt(__VA_ARGS__))
#    define wk_ge(...)      (WK_HERE, wk_ge(__VA_ARGS__))
#    define wk_where(...)   (WK_HERE, wk_where(__VA_ARGS__))
#    define wk_cast(...)    (WK_HERE, wk_cast(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
