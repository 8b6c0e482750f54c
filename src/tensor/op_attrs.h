/* op_attrs.h: attributes of rows that users do not call themselves: gradients and optimizer steps.  Kernels read them.
 */
#ifndef WICK_SRC_TENSOR_OP_ATTRS_H
#define WICK_SRC_TENSOR_OP_ATTRS_H

#include "wick/ops.h"

/* Where position i of an axis of `size` elements comes from that is padded with its own ones; i may be negative, or
 * behind the axis. */
static inline int64_t wk__pad_source(int64_t i, int64_t size, int mode) {
    if (mode == WK_PAD_REPLICATE) return i < 0 ? 0 : i >= size ? size - 1 : i;
    if (mode == WK_PAD_CIRCULAR) return i < 0 ? i + size : i >= size ? i - size : i;
    return i < 0 ? -i : i >= size ? 2 * size - 2 - i : i;
}

/* to_device (x) -> the same on a device */
typedef struct wk_to_device_attrs {
    int64_t device;
} wk_to_device_attrs;

/* conv2d_backward_input (dy, weight) -> dx;  conv2d_backward_weight (x, dy) -> dweight, dbias (K); also of conv3d.
 * `dims` is the shape of dx or of dweight. */
typedef struct wk_conv_grad_attrs {
    wk_conv_opts conv; /* activation is always none here */
    wk_dims dims;
} wk_conv_grad_attrs;

/* Zeros before the image along each of its axes.  What stands behind it follows from the result's size. */
static inline void wk__conv_padding(const wk_conv_opts *opts, int axes, const int64_t *kernel, int64_t *before) {
    for (int i = 0; i < axes; i++) {
        int64_t dilation = opts->dilation[i] ? opts->dilation[i] : 1;
        before[i] = opts->pad == WK_CONV_SAME    ? dilation * (kernel[i] - 1) / 2
                    : opts->pad == WK_CONV_VALID ? 0
                                                 : opts->padding[i];
    }
}

/* max_pool_backward (dy, taps) -> dx;  avg_pool_backward (dy) -> dx;  max_pool_positions (taps) -> i64 */
typedef struct wk_pool_grad_attrs {
    wk_pool_opts pool;
    wk_dims dims;       /* of dx */
    bool channels_last; /* layout of dx */
    bool adaptive;      /* the windows follow from the sizes, not from `pool` */
} wk_pool_grad_attrs;

/* resize_axis (x) -> y: an axis of `from` elements becomes one of `to`, or, transposed, the gradient the other way. */
typedef struct wk_resize_axis_attrs {
    int64_t axis, from, to;
    double scale; /* to / from as given; 0: of the sizes */
    int mode;     /* wk_interpolate_mode */
    bool align_corners, transposed;
} wk_resize_axis_attrs;
/* grid_sample_backward (dy, x, grid) -> dx, dgrid;  grid_taps (grid) -> …: see src/tensor/ops/image/grid_sample.c */
typedef struct wk_grid_attrs {
    wk_grid_sample_opts sample;
    wk_dims image; /* shape of x */
} wk_grid_attrs;

/* slice_backward (dy) -> dx;  index_select_backward, gather_backward (dy, index) -> dx: dy added into zeros of `dims`
 */
typedef struct wk_slice_grad_attrs {
    wk_slice_opts slice; /* resolved: axis, start ≥ 0, step ≥ 1 */
    wk_dims dims;
} wk_slice_grad_attrs;
/* diagonal_backward (dy) -> dx;  windows_backward (dy) -> dx, overlapping elements added */
typedef struct wk_diagonal_grad_attrs {
    wk_diagonal_opts diagonal;
    wk_dims dims; /* of dx */
} wk_diagonal_grad_attrs;
typedef struct wk_windows_grad_attrs {
    wk_windows_opts windows; /* axis ≥ 0; nothing is 0 */
    wk_dims dims;            /* of dx */
} wk_windows_grad_attrs;
/* scatter_fold (x, index, source): product, amax or amin */
typedef struct wk_scatter_fold_attrs {
    int64_t axis; /* ≥ 0 */
    int reduce;   /* wk_scatter_reduce_kind */
} wk_scatter_fold_attrs;
/* recurrent_backward (dy, dc_n, xg, w_hh, h0, extra, lengths, reserve) -> dxg, dw_hh, dh0, dextra
 * extra: c0 of lstm, b_hh of gru.  reserve (T, N, …): what forward kept of each step, f32 (f64 for f64):
 *   rnn h;   lstm i f g o c h;   gru r z m n h with m = h w_hnᵀ + b_hn, each H wide */
typedef enum wk_recurrent_kind { WK_RECURRENT_RNN, WK_RECURRENT_LSTM, WK_RECURRENT_GRU } wk_recurrent_kind;
typedef struct wk_recurrent_grad_attrs {
    wk_recurrent_opts opts;
    int kind; /* wk_recurrent_kind */
} wk_recurrent_grad_attrs;
/* fft_axis (…, N, …, 2), rfft_axis and irfft_axis: what results are divided by */
typedef enum wk_fft_scale { WK_FFT_BY_ONE, WK_FFT_BY_ROOT, WK_FFT_BY_LENGTH } wk_fft_scale;
typedef struct wk_fft_axis_attrs {
    int64_t axis;      /* ≥ 0 */
    int64_t n;         /* irfft_axis: length of the result */
    bool inverse;      /* fft_axis */
    int scale;         /* wk_fft_scale */
    wk_optional inner; /* rfft_axis, irfft_axis: factor of all but the first and, of an even line, the last number */
} wk_fft_axis_attrs;
/* nonzero_positions (mask, bool) -> (size, rank) i64, rows beyond those found filled */
typedef struct wk_positions_attrs {
    int64_t size, fill;
} wk_positions_attrs;
typedef struct wk_index_grad_attrs {
    int64_t axis; /* ≥ 0 */
    wk_dims dims;
    bool add; /* to what the result holds already; else to zeros */
} wk_index_grad_attrs;

/* NAME_step (scalars, parameter…, gradient…, step…, number…, state…, stored…, clip): one step of the optimizer NAME
 * over `count` parameters. scalars    f64 (16), see below; nothing is written if scalars[FOUND_INF] ≠ 0 parameter  f32
 * or f64, row major; updated gradient   like the parameter, or like `stored` step       i64 scalar for each parameter:
 * steps taken; counted up number     `numbers` lists of f64 scalars: what the rule keeps for a whole parameter state a
 * list like the parameters for each bit of `states` stored     only with `masters`: the bf16 or f16 tensor whose f32
 * master the parameter is (written, rounded), or the parameter itself clip       only with `clipped`: f64 scalar where
 * the parameters lie; gradients are multiplied by it, too Every gradient is multiplied by scalars[FACTOR] first, which
 * is where clipping, unscaling and maximising (a negative factor) happen.  Formulas stand at the rules in
 * kernels/cpu/simd/optim/optimizer_body.h. */
typedef struct wk_step_attrs {
    int64_t count;
    int64_t numbers;
    int64_t states;
    bool masters, clipped;
} wk_step_attrs;
/* The scalars; from OPTION on stand the rule's own, in the order of its options in src/optim/kinds.c. */
enum {
    WK_STEP_LR,
    WK_STEP_FACTOR,
    WK_STEP_FOUND_INF,
    WK_STEP_DECAY, /* weight_decay */
    WK_STEP_OPTION,
    WK_STEP_SCALARS = 16
};
enum { WK_STEP_STATES = 4, WK_STEP_NUMBERS = 2 }; /* at most */
/* Every optimizer that is a function of one element: NAME, states (masks: of its largest and of its smallest form),
 * numbers. */
#define WK_STEP_ROWS(X)  \
    X(sgd, 1, 0, 0)      \
    X(adam, 7, 3, 0)     \
    X(adamax, 3, 3, 0)   \
    X(nadam, 3, 3, 1)    \
    X(radam, 3, 3, 0)    \
    X(adagrad, 1, 1, 0)  \
    X(adadelta, 3, 3, 0) \
    X(rmsprop, 7, 1, 0)  \
    X(rprop, 3, 3, 0)    \
    X(asgd, 1, 1, 2)     \
    X(lion, 1, 1, 0)
/* global_norm (tensor…) -> f64 scalar: (Σ |x|^p)^(1/p), accumulated in f64, in a fixed order; p = ∞: the largest |x| */
typedef struct wk_norm_attrs {
    double p; /* 0 means 2 */
} wk_norm_attrs;
/* any_nonfinite (tensor…) -> f64 scalar: 1 if an element is infinite or NaN, else 0
 * adjust_list (limits, tensor…): x = clamp(x · limits[0], −limits[1], limits[1]);  limits: f64 (2)
 * clip_factor (norm, factor), f64 scalars: factor = min(1, most / (norm · scale + 1e-6)), NaN where the norm is */
typedef struct wk_clip_attrs {
    double most, scale;
} wk_clip_attrs;

/* elu_backward (dy, x) -> dx of scale · (x > 0 ? x : alpha · (e^(input_scale · x) − 1)), which elu, selu and celu are
 */
typedef struct wk_elu_attrs {
    double alpha, scale, input_scale;
} wk_elu_attrs;
#define WK_SELU_ALPHA 1.6732632423543772848170429916717
#define WK_SELU_SCALE 1.0507009873554804934193349852946

/* piecewise_backward (dy, x) -> dy times one of three slopes: x below `low`, between, above `high`; with `open` the two
 * ends belong to what is outside of them */
typedef struct wk_piecewise_attrs {
    double low, high, below, between, above;
    bool open;
} wk_piecewise_attrs;

/* linear_cross_entropy (x, weight, bias, target, low, room) -> loss, dx, dweight, dbias, and
 * linear_cross_entropy_backward (dloss, x, weight, bias, target, low) -> dx, dweight, dbias
 *   low       the weight in the half type that products are made in, or NULL: made in the operands' own
 *   room      where dweight is written, or NULL: it has memory of its own
 *   dx, …     f32 (f64 for f64); those that are not asked for have the shape (0) */
typedef struct wk_linear_cross_entropy_attrs {
    wk_linear_cross_entropy_opts opts;
    int64_t gradients; /* which are made: 1 dx, 2 dweight, 4 dbias */
} wk_linear_cross_entropy_attrs;
/* Rows of a chunk: what was asked for, or as many as make their logits about 64 MiB of f32, in chunks of one size.
 * Each chunk passes over weight and dweight, so small ones cost time: N = 1024, V = 50257, D = 768, f32, two threads of
 * a Zen 4 server, forward and backward: whole logits 1.22 s, chunks of 512 rows 1.21, 256 rows 1.25, 128 rows 1.34. */
static inline int64_t wk__head_chunk(int64_t asked, int64_t rows, int64_t classes) {
    enum { LOGITS = 16 << 20, LEAST = 16 };
    int64_t most = asked ? asked : LOGITS / (classes > 0 ? classes : 1);
    if (!asked && most < LEAST) most = LEAST;
    if (rows <= most) return rows > 0 ? rows : 1;
    if (asked) return asked;
    int64_t chunks = (rows + most - 1) / most, even = (rows + chunks - 1) / chunks;
    return (even + LEAST - 1) / LEAST * LEAST;
}

/* rounded_distance (a, b) -> factor (d² / 2 within ± edge, else edge (|d| − edge / 2)), d = a − b */
typedef struct wk_rounded_attrs {
    double edge, factor;
} wk_rounded_attrs;

/* magnitude (x) -> squares, absolute values, the largest or the least of these, over axes: what norms are made of */
typedef enum wk_magnitude { WK_SUM_OF_SQUARES, WK_SUM_OF_SIZES, WK_LARGEST_SIZE, WK_LEAST_SIZE } wk_magnitude;
typedef struct wk_magnitude_attrs {
    wk_reduce_opts over; /* first: the kernel of reductions reads it */
    int kind;            /* wk_magnitude */
} wk_magnitude_attrs;

#endif
