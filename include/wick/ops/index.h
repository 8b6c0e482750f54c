/* wick/ops/index.h: picking elements by tensors of positions, and putting them back.  See wick/ops.h.
 *
 * Positions are i64 and at least 0; one out of range is an error that names it.  Where several values go to one place,
 * they are taken in the order of the index, so that results do not depend on threads.
 */
#ifndef WICK_OPS_INDEX_H
#define WICK_OPS_INDEX_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_index_opts {
    int64_t axis;
} wk_index_opts;
/* Rows `index` (i64, (K)) of an axis.  Errors: an index out of range, named with its position. */
WK_API wk_tensor *wk_index_select(wk_tensor *x, wk_tensor *index, int axis);
/* out[i][j] = x[index[i][j]][j] for axis 0; index (i64) has x's rank. */
WK_API wk_tensor *wk_gather(wk_tensor *x, wk_tensor *index, int axis);
/* The same, other axes broadcast against each other.  numpy.take_along_axis */
WK_API wk_tensor *wk_take_along_axis(wk_tensor *x, wk_tensor *index, int axis);
/* Elements of the flattened tensor, in the index's shape. */
WK_API wk_tensor *wk_take(wk_tensor *x, wk_tensor *index);
/* x[index[0], index[1], …]: positions along the first `count` axes, broadcast against each other, whose shape comes
 * first in the result. */
WK_API wk_tensor *wk_index(wk_tensor *x, wk_tensor *const *index, int count);

typedef enum wk_scatter_reduce {
    WK_SCATTER_SUM,
    WK_SCATTER_PROD,
    WK_SCATTER_MEAN,
    WK_SCATTER_AMAX,
    WK_SCATTER_AMIN
} wk_scatter_reduce_kind;
/* x with x[index[i][j]][j] = source[i][j] for axis 0.  index has x's rank and is nowhere larger than source, nor than x
 * along other axes. */
WK_API wk_tensor *wk_scatter(wk_tensor *x, wk_tensor *index, wk_tensor *source, int axis);
WK_API wk_tensor *wk_scatter_add(wk_tensor *x, wk_tensor *index, wk_tensor *source, int axis);
typedef struct wk_scatter_reduce_opts {
    int64_t axis;
    int reduce;        /* wk_scatter_reduce_kind */
    bool exclude_self; /* leave out what stood there, where something comes */
} wk_scatter_reduce_opts;
WK_API wk_tensor *wk_scatter_reduce(wk_tensor *x, wk_tensor *index, wk_tensor *source, wk_scatter_reduce_opts opts);
/* The same by rows: index (K), source of x's shape but K along the axis.  index_add adds scale (0 means 1) · source. */
typedef struct wk_index_add_opts {
    int64_t axis;
    double scale;
} wk_index_add_opts;
WK_API wk_tensor *wk_index_add(wk_tensor *x, wk_tensor *index, wk_tensor *source, wk_index_add_opts opts);
WK_API wk_tensor *wk_index_copy(wk_tensor *x, wk_tensor *index, wk_tensor *source, int axis);
WK_API wk_tensor *wk_index_fill(wk_tensor *x, wk_tensor *index, int axis, double value);
typedef struct wk_index_fill_opts {
    int64_t axis;
    double value;
} wk_index_fill_opts;
typedef struct wk_index_put_opts {
    bool accumulate; /* add instead of replacing */
} wk_index_put_opts;
/* x with x[index[0], index[1], …] = values (broadcast). */
WK_API wk_tensor *wk_index_put(wk_tensor *x, wk_tensor *const *index, int count, wk_tensor *values,
                               wk_index_put_opts opts);

/* ---- by condition ---- */

typedef struct wk_masked_fill_opts {
    double value;
} wk_masked_fill_opts;
/* value where mask (bool, broadcasts) */
WK_API wk_tensor *wk_masked_fill(wk_tensor *x, wk_tensor *mask, double value);
typedef struct wk_nonzero_opts {
    wk_optional size; /* how many rows the result has, whatever is found: the shape then depends on no value */
    double fill;      /* of rows beyond those found */
} wk_nonzero_opts;
/* Positions of elements other than 0: (found, rank), i64, in row-major order. */
WK_API wk_tensor *wk_nonzero(wk_tensor *x, wk_nonzero_opts opts);
/* Elements where mask (broadcasts) is true, as a vector in row-major order; with a size, the rest is `fill`. */
WK_API wk_tensor *wk_masked_select(wk_tensor *x, wk_tensor *mask, wk_nonzero_opts opts);
/* x with the elements where mask is true replaced by those of source, in order. */
WK_API wk_tensor *wk_masked_scatter(wk_tensor *x, wk_tensor *mask, wk_tensor *source);

/* ---- classes and tables ---- */

typedef struct wk_one_hot_opts {
    int64_t classes;
} wk_one_hot_opts;
/* (…) -> (…, classes), i64, 1 at the index. */
WK_API wk_tensor *wk_one_hot(wk_tensor *index, int64_t classes);
typedef struct wk_embedding_opts {
    wk_optional padding_idx; /* the row that gets no gradient; negative counts from the end */
    bool sparse;             /* wk_backward leaves the rows that were used in a leaf, not a whole table */
} wk_embedding_opts;
/* Rows of weight (V, D) by index (…) -> (…, D).  Gradients as rows: see wk_gradient_rows and wk_sparse_adam. */
WK_API wk_tensor *wk_embedding(wk_tensor *weight, wk_tensor *index, wk_embedding_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_index_select(...)    (WK_HERE, wk_index_select(__VA_ARGS__))
#    define wk_gather(...)          (WK_HERE, wk_gather(__VA_ARGS__))
#    define wk_take_along_axis(...) (WK_HERE, wk_take_along_axis(__VA_ARGS__))
#    define wk_take(...)            (WK_HERE, wk_take(__VA_ARGS__))
#    define wk_index(...)           (WK_HERE, wk_index(__VA_ARGS__))
#    define wk_scatter(...)         (WK_HERE, wk_scatter(__VA_ARGS__))
#    define wk_scatter_add(...)     (WK_HERE, wk_scatter_add(__VA_ARGS__))
#    define wk_scatter_reduce(...)  (WK_HERE, wk_scatter_reduce(__VA_ARGS__))
#    define wk_index_add(...)       (WK_HERE, wk_index_add(__VA_ARGS__))
#    define wk_index_copy(...)      (WK_HERE, wk_index_copy(__VA_ARGS__))
#    define wk_index_fill(...)      (WK_HERE, wk_index_fill(__VA_ARGS__))
#    define wk_index_put(...)       (WK_HERE, wk_index_put(__VA_ARGS__))
#    define wk_masked_fill(...)     (WK_HERE, wk_masked_fill(__VA_ARGS__))
#    define wk_nonzero(...)         (WK_HERE, wk_nonzero(__VA_ARGS__))
#    define wk_masked_select(...)   (WK_HERE, wk_masked_select(__VA_ARGS__))
#    define wk_masked_scatter(...)  (WK_HERE, wk_masked_scatter(__VA_ARGS__))
#    define wk_one_hot(...)         (WK_HERE, wk_one_hot(__VA_ARGS__))
#    define wk_embedding(...)       (WK_HERE, wk_embedding(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
