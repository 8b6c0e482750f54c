/* wick/inplace.h: changing tensors where they lie: buffers, caches, parameters under no_grad.
 *
 * Each writes into its first tensor and gives it back, NULL with an error pending otherwise.  Nothing is noted on the
 * tape: a tensor that a graph depends on is refused (a result of an operation that wants a gradient; a leaf that wants
 * one, outside of wk_no_grad_begin/end), and so is an operand that wants a gradient.  What backward needs of memory
 * changed here is found by backward, which names both places.  Refused too: expanded views (several elements share one
 * place), memory that may only be read, results of another shape or kind (float into integers).
 */
#ifndef WICK_INPLACE_H
#define WICK_INPLACE_H

#include "wick/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x = x ∘ y; y is broadcast to x's shape, and the result, computed as wk_add does, converted to x's dtype. */
WK_API wk_tensor *wk_add_(wk_tensor *x, wk_tensor *y);
WK_API wk_tensor *wk_sub_(wk_tensor *x, wk_tensor *y);
WK_API wk_tensor *wk_mul_(wk_tensor *x, wk_tensor *y);
WK_API wk_tensor *wk_div_(wk_tensor *x, wk_tensor *y);
WK_API wk_tensor *wk_maximum_(wk_tensor *x, wk_tensor *y);
WK_API wk_tensor *wk_minimum_(wk_tensor *x, wk_tensor *y);
/* x = scale · x + shift, floats */
WK_API wk_tensor *wk_affine_(wk_tensor *x, wk_affine_opts opts);
/* x = min(max(x, low), high); infinities leave a side open; NaN stays.  Integers take whole numbers. */
WK_API wk_tensor *wk_clamp_(wk_tensor *x, double low, double high);
/* x = y, broadcast to x's shape and converted as wk_cast does. */
WK_API wk_tensor *wk_copy_(wk_tensor *x, wk_tensor *y);
/* Every element.  A number that the dtype cannot hold is an error. */
WK_API wk_tensor *wk_fill_(wk_tensor *x, double value);
WK_API wk_tensor *wk_zero_(wk_tensor *x);

#ifndef WK_NO_CALL_SITES
#    define wk_add_(...)     (WK_HERE, wk_add_(__VA_ARGS__))
#    define wk_sub_(...)     (WK_HERE, wk_sub_(__VA_ARGS__))
#    define wk_mul_(...)     (WK_HERE, wk_mul_(__VA_ARGS__))
#    define wk_div_(...)     (WK_HERE, wk_div_(__VA_ARGS__))
#    define wk_maximum_(...) (WK_HERE, wk_maximum_(__VA_ARGS__))
#    define wk_minimum_(...) (WK_HERE, wk_minimum_(__VA_ARGS__))
#    define wk_affine_(...)  (WK_HERE, wk_affine_(__VA_ARGS__))
#    define wk_clamp_(...)   (WK_HERE, wk_clamp_(__VA_ARGS__))
#    define wk_copy_(...)    (WK_HERE, wk_copy_(__VA_ARGS__))
#    define wk_fill_(...)    (WK_HERE, wk_fill_(__VA_ARGS__))
#    define wk_zero_(...)    (WK_HERE, wk_zero_(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
