/* wick/ops.h: the operations.
 *
 * Each takes tensors and gives a tensor of the current scope, or NULL with an error pending; a NULL argument where a
 * tensor must be, and any call while an error is pending, gives NULL.  Shapes are written (N, C, H, W); "float" means
 * f32, f64, bf16 or f16.  Binary operations broadcast as NumPy does and convert operands to their common dtype. Options
 * are structs by value whose zero means the default.
 */
#ifndef WICK_OPS_H
#define WICK_OPS_H

#include "wick/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- pointwise ----------------------------------------------------------------------------------------------------
 */

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

/* ---- reductions ----------------------------------------------------------------------------------------------------
 */

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

/* ---- layout: views where the strides allow it
 * -------------------------------------------------------------------------- */

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

/* ---- indexing
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct wk_index_opts {
    int64_t axis;
} wk_index_opts;
/* Rows `index` (i64, (K)) of an axis.  Errors: an index out of range, named with its position. */
WK_API wk_tensor *wk_index_select(wk_tensor *x, wk_tensor *index, int axis);
/* out[i][j] = x[index[i][j]][j] for axis 0; index (i64) has x's rank. */
WK_API wk_tensor *wk_gather(wk_tensor *x, wk_tensor *index, int axis);

/* ---- products
 * -------------------------------------------------------------------------------------------------------------- */

/* (…, M, K) · (…, K, N) -> (…, M, N), leading axes broadcast; both operands have rank ≥ 2. */
WK_API wk_tensor *wk_matmul(wk_tensor *a, wk_tensor *b);

typedef enum wk_activation { WK_ACTIVATION_NONE, WK_ACTIVATION_RELU } wk_activation;
typedef struct wk_linear_opts {
    int activation; /* wk_activation, fused */
} wk_linear_opts;
/* x (…, K)   weight (N, K)   bias (N) or NULL   ->   activation(x · weightᵀ + bias) (…, N) */
WK_API wk_tensor *wk_linear(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_linear_opts opts);

/* ---- images
 * ---------------------------------------------------------------------------------------------------------------- */

typedef struct wk_conv2d_opts {
    int64_t stride[2]; /* 0 means 1 */
    int64_t padding[2];
    int64_t dilation[2]; /* 0 means 1 */
    int64_t groups;      /* 0 means 1 */
    int activation;      /* wk_activation, fused */
} wk_conv2d_opts;
/* Cross-correlation.  x (N, C, H, W)   weight (K, C/groups, R, S)   bias (K) or NULL   ->   (N, K, H', W'),
 * H' = floor((H + 2·padding − dilation·(R − 1) − 1) / stride) + 1.  The result is laid out channels last. */
WK_API wk_tensor *wk_conv2d(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_conv2d_opts opts);

typedef struct wk_pool_opts {
    int64_t kernel[2];
    int64_t stride[2];    /* 0 means the kernel's size */
    int64_t padding[2];   /* at most half the kernel */
    bool ceil_mode;       /* round the output's size up: windows may hang over the end */
    bool exclude_padding; /* average: divide by the elements that are there */
} wk_pool_opts;
WK_API wk_tensor *wk_max_pool2d(wk_tensor *x, wk_pool_opts opts); /* (N, C, H, W); NaN wins */
WK_API wk_tensor *wk_avg_pool2d(wk_tensor *x, wk_pool_opts opts);

typedef struct wk_batch_norm_opts {
    bool training;        /* use the batch's statistics and update the running ones */
    wk_optional momentum; /* of the running statistics, default 0.1 */
    wk_optional eps;      /* default 1e-5 */
} wk_batch_norm_opts;
/* x (N, C, …)   weight, bias (C) or NULL   running_mean, running_variance (C) or NULL (training only); the running
 * variance is the unbiased one.  Ioffe & Szegedy 2015; matches torch.nn.functional.batch_norm. */
WK_API wk_tensor *wk_batch_norm(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_tensor *running_mean,
                                wk_tensor *running_variance, wk_batch_norm_opts opts);

/* ---- random
 * ------------------------------------------------------------------------------------------------------------------ */

typedef struct wk_dropout_opts {
    double p; /* probability of zero, in [0, 1) */
} wk_dropout_opts;
/* Zero with probability p, else x / (1 − p).  key: i64 (2), a seed and a counter; equal keys give equal masks (Philox
 * 4x32-10, Salmon et al. 2011), and backward draws the mask again instead of storing it. */
WK_API wk_tensor *wk_dropout(wk_tensor *x, wk_tensor *key, wk_dropout_opts opts);

/* ---- losses
 * --------------------------------------------------------------------------------------------------------------------
 */

typedef enum wk_reduction { WK_REDUCTION_MEAN, WK_REDUCTION_SUM, WK_REDUCTION_NONE } wk_reduction;
typedef struct wk_cross_entropy_opts {
    wk_optional ignore_index; /* default -100 */
    double label_smoothing;   /* in [0, 1) */
    int reduction;            /* wk_reduction */
} wk_cross_entropy_opts;
/* Cross-entropy of class scores: logits (N, C) or (N, C, d1, …), float; target (N) or (N, d1, …), i64 in [0, C).
 * Entries equal to ignore_index add neither loss nor gradient; the mean is over the others, 0 if there are none
 * (PyTorch: NaN). Errors: a target outside [0, C), named with its position.  Matches torch.nn.functional.cross_entropy
 * with class indices. */
WK_API wk_tensor *wk_cross_entropy(wk_tensor *logits, wk_tensor *target, wk_cross_entropy_opts opts);
typedef struct wk_loss_opts {
    int reduction; /* wk_reduction */
} wk_loss_opts;
/* (a − b)², reduced */
WK_API wk_tensor *wk_mse_loss(wk_tensor *a, wk_tensor *b, wk_loss_opts opts);

/* ---- where a call stands
 * --------------------------------------------------------------------------------------------------------- Each name
 * above is also a macro that notes file and line first, so that an error can say where the call stands.  Taking a
 * function's address works as always, for the macros need an argument list. */
WK_API void wk_note_call(const char *where);
#define WK_HERE_TEXT(line) #line
#define WK_HERE_LINE(line) WK_HERE_TEXT(line)
#define WK_HERE            wk_note_call(__FILE__ ":" WK_HERE_LINE(__LINE__))

#ifndef WK_NO_CALL_SITES
#    define wk_add(...)           (WK_HERE, wk_add(__VA_ARGS__))
#    define wk_sub(...)           (WK_HERE, wk_sub(__VA_ARGS__))
#    define wk_mul(...)           (WK_HERE, wk_mul(__VA_ARGS__))
#    define wk_div(...)           (WK_HERE, wk_div(__VA_ARGS__))
#    define wk_maximum(...)       (WK_HERE, wk_maximum(__VA_ARGS__))
#    define wk_minimum(...)       (WK_HERE, wk_minimum(__VA_ARGS__))
#    define wk_neg(...)           (WK_HERE, wk_neg(__VA_ARGS__))
#    define wk_abs(...)           (WK_HERE, wk_abs(__VA_ARGS__))
#    define wk_sign(...)          (WK_HERE, wk_sign(__VA_ARGS__))
#    define wk_exp(...)           (WK_HERE, wk_exp(__VA_ARGS__))
#    define wk_log(...)           (WK_HERE, wk_log(__VA_ARGS__))
#    define wk_sqrt(...)          (WK_HERE, wk_sqrt(__VA_ARGS__))
#    define wk_erf(...)           (WK_HERE, wk_erf(__VA_ARGS__))
#    define wk_sin(...)           (WK_HERE, wk_sin(__VA_ARGS__))
#    define wk_cos(...)           (WK_HERE, wk_cos(__VA_ARGS__))
#    define wk_tanh(...)          (WK_HERE, wk_tanh(__VA_ARGS__))
#    define wk_sigmoid(...)       (WK_HERE, wk_sigmoid(__VA_ARGS__))
#    define wk_relu(...)          (WK_HERE, wk_relu(__VA_ARGS__))
#    define wk_gelu(...)          (WK_HERE, wk_gelu(__VA_ARGS__))
#    define wk_affine(...)        (WK_HERE, wk_affine(__VA_ARGS__))
#    define wk_scale(...)         (WK_HERE, wk_scale(__VA_ARGS__))
#    define wk_eq(...)            (WK_HERE, wk_eq(__VA_ARGS__))
#    define wk_ne(...)            (WK_HERE, wk_ne(__VA_ARGS__))
#    define wk_lt(...)            (WK_HERE, wk_lt(__VA_ARGS__))
#    define wk_le(...)            (WK_HERE, wk_le(__VA_ARGS__))
#    define wk_gt(...)            (WK_HERE, wk_gt(__VA_ARGS__))
#    define wk_ge(...)            (WK_HERE, wk_ge(__VA_ARGS__))
#    define wk_where(...)         (WK_HERE, wk_where(__VA_ARGS__))
#    define wk_cast(...)          (WK_HERE, wk_cast(__VA_ARGS__))
#    define wk_sum(...)           (WK_HERE, wk_sum(__VA_ARGS__))
#    define wk_mean(...)          (WK_HERE, wk_mean(__VA_ARGS__))
#    define wk_amax(...)          (WK_HERE, wk_amax(__VA_ARGS__))
#    define wk_amin(...)          (WK_HERE, wk_amin(__VA_ARGS__))
#    define wk_argmax(...)        (WK_HERE, wk_argmax(__VA_ARGS__))
#    define wk_softmax(...)       (WK_HERE, wk_softmax(__VA_ARGS__))
#    define wk_log_softmax(...)   (WK_HERE, wk_log_softmax(__VA_ARGS__))
#    define wk_reshape(...)       (WK_HERE, wk_reshape(__VA_ARGS__))
#    define wk_flatten(...)       (WK_HERE, wk_flatten(__VA_ARGS__))
#    define wk_permute(...)       (WK_HERE, wk_permute(__VA_ARGS__))
#    define wk_transpose(...)     (WK_HERE, wk_transpose(__VA_ARGS__))
#    define wk_expand(...)        (WK_HERE, wk_expand(__VA_ARGS__))
#    define wk_slice(...)         (WK_HERE, wk_slice(__VA_ARGS__))
#    define wk_select(...)        (WK_HERE, wk_select(__VA_ARGS__))
#    define wk_contiguous(...)    (WK_HERE, wk_contiguous(__VA_ARGS__))
#    define wk_concat(...)        (WK_HERE, wk_concat(__VA_ARGS__))
#    define wk_index_select(...)  (WK_HERE, wk_index_select(__VA_ARGS__))
#    define wk_gather(...)        (WK_HERE, wk_gather(__VA_ARGS__))
#    define wk_matmul(...)        (WK_HERE, wk_matmul(__VA_ARGS__))
#    define wk_linear(...)        (WK_HERE, wk_linear(__VA_ARGS__))
#    define wk_conv2d(...)        (WK_HERE, wk_conv2d(__VA_ARGS__))
#    define wk_max_pool2d(...)    (WK_HERE, wk_max_pool2d(__VA_ARGS__))
#    define wk_avg_pool2d(...)    (WK_HERE, wk_avg_pool2d(__VA_ARGS__))
#    define wk_batch_norm(...)    (WK_HERE, wk_batch_norm(__VA_ARGS__))
#    define wk_dropout(...)       (WK_HERE, wk_dropout(__VA_ARGS__))
#    define wk_cross_entropy(...) (WK_HERE, wk_cross_entropy(__VA_ARGS__))
#    define wk_mse_loss(...)      (WK_HERE, wk_mse_loss(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
