/* wick/ops/layout.h: where elements lie: views where the strides allow it, and indexing.  See wick/ops.h. */
#ifndef WICK_OPS_LAYOUT_H
#define WICK_OPS_LAYOUT_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_reshape_opts {
    wk_dims dims;
} wk_reshape_opts;
/* One size may be -1.  A view where possible, else a copy. */
WK_API wk_tensor *wk_reshape(wk_tensor *x, wk_dims dims);
/* Axes from `first_axis` on become one. */
WK_API wk_tensor *wk_flatten(wk_tensor *x, int first_axis);
typedef struct wk_permute_opts {
    wk_dims axes;
} wk_permute_opts;
/* Axis i of the result is axis axes[i] of x; a view. */
WK_API wk_tensor *wk_permute(wk_tensor *x, wk_dims axes);
WK_API wk_tensor *wk_transpose(wk_tensor *x, int axis_a, int axis_b);
typedef struct wk_expand_opts {
    wk_dims dims;
} wk_expand_opts;
/* Broadcast to dims, a view. */
WK_API wk_tensor *wk_expand(wk_tensor *x, wk_dims dims);
typedef struct wk_slice_opts {
    int64_t axis, start, stop,
        step; /* step 0 means 1; start and stop count from the end when negative; stop is excluded */
} wk_slice_opts;
WK_API wk_tensor *wk_slice(wk_tensor *x, int axis, int64_t start, int64_t stop, int64_t step);
/* Element `index` of an axis, which goes away; a view. */
WK_API wk_tensor *wk_select(wk_tensor *x, int axis, int64_t index);
/* x itself if row major, else a row-major copy. */
WK_API wk_tensor *wk_contiguous(wk_tensor *x);
typedef struct wk_concat_opts {
    int64_t axis;
} wk_concat_opts;
WK_API wk_tensor *wk_concat(wk_tensor *const *tensors, int count, int axis);

/* ---- indexing ---- */

typedef struct wk_index_opts {
    int64_t axis;
} wk_index_opts;
/* Rows `index` (i64, (K)) of an axis.  Errors: an index out of range, named with its position. */
WK_API wk_tensor *wk_index_select(wk_tensor *x, wk_tensor *index, int axis);
/* out[i][j] = x[index[i][j]][j] for axis 0; index (i64) has x's rank. */
WK_API wk_tensor *wk_gather(wk_tensor *x, wk_tensor *index, int axis);

#ifndef WK_NO_CALL_SITES
#    define wk_reshape(...)      (WK_HERE, wk_reshape(__VA_ARGS__))
#    define wk_flatten(...)      (WK_HERE, wk_flatten(__VA_ARGS__))
#    define wk_permute(...)      (WK_HERE, wk_permute(__VA_ARGS__))
#    define wk_transpose(...)    (WK_HERE, wk_transpose(__VA_ARGS__))
#    define wk_expand(...)       (WK_HERE, wk_expand(__VA_ARGS__))
#    define wk_slice(...)        (WK_HERE, wk_slice(__VA_ARGS__))
#    define wk_select(...)       (WK_HERE, wk_select(__VA_ARGS__))
#    define wk_contiguous(...)   (WK_HERE, wk_contiguous(__VA_ARGS__))
#    define wk_concat(...)       (WK_HERE, wk_concat(__VA_ARGS__))
#    define wk_index_select(...) (WK_HERE, wk_index_select(__VA_ARGS__))
#    define wk_gather(...)       (WK_HERE, wk_gather(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
