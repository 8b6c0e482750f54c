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

/* ---- more views ---- */

/* Axes of size 1 that are named (none: all of them) go away; others stay. */
typedef struct wk_squeeze_opts {
    wk_dims axes;
} wk_squeeze_opts;
WK_API wk_tensor *wk_squeeze(wk_tensor *x, wk_squeeze_opts opts);
/* A new axis of size 1 at `axis` of the result. */
WK_API wk_tensor *wk_unsqueeze(wk_tensor *x, int axis);
/* One axis becomes several; one size may be -1. */
typedef struct wk_unflatten_opts {
    int64_t axis;
    wk_dims sizes;
} wk_unflatten_opts;
WK_API wk_tensor *wk_unflatten(wk_tensor *x, int axis, wk_dims sizes);
/* Axis `from` comes to stand at `to`; the others keep their order. */
typedef struct wk_movedim_opts {
    int64_t from, to;
} wk_movedim_opts;
WK_API wk_tensor *wk_movedim(wk_tensor *x, int from, int to);
/* The diagonal of two axes (default 0 and 1), which go away, as the last axis; offset > 0 lies above it.  A view. */
typedef struct wk_diagonal_opts {
    int64_t offset;
    wk_optional axis_a, axis_b;
} wk_diagonal_opts;
WK_API wk_tensor *wk_diagonal(wk_tensor *x, wk_diagonal_opts opts);
/* The reverse: a tensor of zeros with x's last axis on the diagonal of its two last axes. */
typedef struct wk_diag_embed_opts {
    int64_t offset;
} wk_diag_embed_opts;
WK_API wk_tensor *wk_diag_embed(wk_tensor *x, wk_diag_embed_opts opts);
/* Windows of `size` elements, `dilation` apart, every `step` along an axis, as a new last axis.  A view; its elements
 * overlap, so it cannot be written.  torch.Tensor.unfold */
typedef struct wk_windows_opts {
    int64_t axis, size, step, dilation; /* step and dilation: 0 means 1 */
} wk_windows_opts;
WK_API wk_tensor *wk_windows(wk_tensor *x, wk_windows_opts opts);

/* ---- cutting and joining ---- */

typedef struct wk_split_opts {
    int64_t axis, size;
} wk_split_opts;
/* Views of `size` along an axis, the last one of what is left.  Gives their number, 0 with an error pending (also when
 * there are more than `most`). */
WK_API int wk_split(wk_tensor *x, int axis, int64_t size, wk_tensor **parts, int most);
typedef struct wk_split_sizes_opts {
    int64_t axis;
    wk_dims sizes;
} wk_split_sizes_opts;
/* Views of the sizes given, which must add up to the axis's. */
WK_API int wk_split_sizes(wk_tensor *x, int axis, wk_dims sizes, wk_tensor **parts);
typedef struct wk_chunk_opts {
    int64_t axis, chunks;
} wk_chunk_opts;
/* At most `chunks` views of equal size but for the last; parts has room for as many. */
WK_API int wk_chunk(wk_tensor *x, int axis, int chunks, wk_tensor **parts);
typedef struct wk_unbind_opts {
    int64_t axis;
} wk_unbind_opts;
/* A view for each element of an axis, which goes away. */
WK_API int wk_unbind(wk_tensor *x, int axis, wk_tensor **parts, int most);
/* Tensors of one shape joined along a new axis. */
WK_API wk_tensor *wk_stack(wk_tensor *const *tensors, int count, int axis);
typedef struct wk_meshgrid_opts {
    int indexing; /* "ij" or "xy", which exchanges the first two axes */
} wk_meshgrid_opts;
/* The coordinates of a grid: `count` tensors (one each to `grids`) of rank `count`, views of the vectors. */
WK_API wk_status wk_meshgrid(wk_tensor *const *vectors, int count, wk_meshgrid_opts opts, wk_tensor **grids);

/* ---- rearranging: copies ---- */

typedef struct wk_flip_opts {
    wk_dims axes; /* none: all */
} wk_flip_opts;
WK_API wk_tensor *wk_flip(wk_tensor *x, wk_flip_opts opts);
/* Elements move by shifts[i] along axes[i] and come in again at the other end.  No axes: the flattened tensor rolls. */
typedef struct wk_roll_opts {
    wk_dims shifts, axes;
} wk_roll_opts;
WK_API wk_tensor *wk_roll(wk_tensor *x, wk_roll_opts opts);
typedef struct wk_repeat_opts {
    wk_dims times;
} wk_repeat_opts;
/* The tensor side by side, times[i] along axis i counted as in broadcasting (NumPy's tile). */
WK_API wk_tensor *wk_repeat(wk_tensor *x, wk_dims times);
typedef struct wk_repeat_interleave_opts {
    int64_t repeats;  /* of each element, where no tensor of repeats is given */
    wk_optional axis; /* default: the flattened tensor */
} wk_repeat_interleave_opts;
/* repeats: i64 (K) for K elements along the axis, or NULL. */
WK_API wk_tensor *wk_repeat_interleave(wk_tensor *x, wk_tensor *repeats, wk_repeat_interleave_opts opts);

typedef enum wk_pad_mode { WK_PAD_CONSTANT, WK_PAD_REFLECT, WK_PAD_REPLICATE, WK_PAD_CIRCULAR } wk_pad_mode;
typedef struct wk_pad_opts {
    wk_dims before, after; /* of the last axes, in their order: WK_DIMS(1, 2) pads the last two; negative: cut off */
    int mode;              /* wk_pad_mode; reflect and circular take from within the axis */
    double value;          /* of the constant */
} wk_pad_opts;
WK_API wk_tensor *wk_pad(wk_tensor *x, wk_pad_opts opts);

typedef struct wk_shuffle_opts {
    int64_t factor;
} wk_shuffle_opts;
/* (…, C·f², H, W) -> (…, C, H·f, W·f), Shi et al. 2016; and back. */
WK_API wk_tensor *wk_pixel_shuffle(wk_tensor *x, int factor);
WK_API wk_tensor *wk_pixel_unshuffle(wk_tensor *x, int factor);

typedef struct wk_unfold_opts {
    int64_t kernel[2];
    int64_t stride[2], dilation[2]; /* 0 means 1 */
    int64_t padding[2];
} wk_unfold_opts;
/* Columns of windows: (N, C, H, W) -> (N, C · kernel, windows).  torch.nn.functional.unfold */
WK_API wk_tensor *wk_unfold(wk_tensor *x, wk_unfold_opts opts);
typedef struct wk_fold_opts {
    int64_t size[2]; /* H and W of the result */
    wk_unfold_opts windows;
} wk_fold_opts;
/* The reverse: overlapping elements are added.  torch.nn.functional.fold */
WK_API wk_tensor *wk_fold(wk_tensor *x, wk_fold_opts opts);

typedef struct wk_triangle_opts {
    int64_t diagonal; /* > 0 lies above the main one */
} wk_triangle_opts;
/* Elements above (below) a diagonal of the last two axes become 0. */
WK_API wk_tensor *wk_tril(wk_tensor *x, wk_triangle_opts opts);
WK_API wk_tensor *wk_triu(wk_tensor *x, wk_triangle_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_reshape(...)           (WK_HERE, wk_reshape(__VA_ARGS__))
#    define wk_flatten(...)           (WK_HERE, wk_flatten(__VA_ARGS__))
#    define wk_permute(...)           (WK_HERE, wk_permute(__VA_ARGS__))
#    define wk_transpose(...)         (WK_HERE, wk_transpose(__VA_ARGS__))
#    define wk_expand(...)            (WK_HERE, wk_expand(__VA_ARGS__))
#    define wk_slice(...)             (WK_HERE, wk_slice(__VA_ARGS__))
#    define wk_select(...)            (WK_HERE, wk_select(__VA_ARGS__))
#    define wk_contiguous(...)        (WK_HERE, wk_contiguous(__VA_ARGS__))
#    define wk_concat(...)            (WK_HERE, wk_concat(__VA_ARGS__))
#    define wk_squeeze(...)           (WK_HERE, wk_squeeze(__VA_ARGS__))
#    define wk_unsqueeze(...)         (WK_HERE, wk_unsqueeze(__VA_ARGS__))
#    define wk_unflatten(...)         (WK_HERE, wk_unflatten(__VA_ARGS__))
#    define wk_movedim(...)           (WK_HERE, wk_movedim(__VA_ARGS__))
#    define wk_diagonal(...)          (WK_HERE, wk_diagonal(__VA_ARGS__))
#    define wk_diag_embed(...)        (WK_HERE, wk_diag_embed(__VA_ARGS__))
#    define wk_windows(...)           (WK_HERE, wk_windows(__VA_ARGS__))
#    define wk_split(...)             (WK_HERE, wk_split(__VA_ARGS__))
#    define wk_split_sizes(...)       (WK_HERE, wk_split_sizes(__VA_ARGS__))
#    define wk_chunk(...)             (WK_HERE, wk_chunk(__VA_ARGS__))
#    define wk_unbind(...)            (WK_HERE, wk_unbind(__VA_ARGS__))
#    define wk_stack(...)             (WK_HERE, wk_stack(__VA_ARGS__))
#    define wk_meshgrid(...)          (WK_HERE, wk_meshgrid(__VA_ARGS__))
#    define wk_flip(...)              (WK_HERE, wk_flip(__VA_ARGS__))
#    define wk_roll(...)              (WK_HERE, wk_roll(__VA_ARGS__))
#    define wk_repeat(...)            (WK_HERE, wk_repeat(__VA_ARGS__))
#    define wk_repeat_interleave(...) (WK_HERE, wk_repeat_interleave(__VA_ARGS__))
#    define wk_pad(...)               (WK_HERE, wk_pad(__VA_ARGS__))
#    define wk_pixel_shuffle(...)     (WK_HERE, wk_pixel_shuffle(__VA_ARGS__))
#    define wk_pixel_unshuffle(...)   (WK_HERE, wk_pixel_unshuffle(__VA_ARGS__))
#    define wk_unfold(...)            (WK_HERE, wk_unfold(__VA_ARGS__))
#    define wk_fold(...)              (WK_HERE, wk_fold(__VA_ARGS__))
#    define wk_tril(...)              (WK_HERE, wk_tril(__VA_ARGS__))
#    define wk_triu(...)              (WK_HERE, wk_triu(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
