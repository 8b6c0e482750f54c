/* wick/ops/resize.h: images of other sizes: interpolation, sampling at given places.  See wick/ops.h.
 *
 * x is (N, C, …) of a float type with one to three axes of an image; arrays of options hold one number for each of
 * them, in their order.  As torch.nn.functional's of the same name.
 */
#ifndef WICK_OPS_RESIZE_H
#define WICK_OPS_RESIZE_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum wk_interpolate_mode {
    WK_INTERPOLATE_NEAREST,
    WK_INTERPOLATE_LINEAR,       /* linear, bilinear or trilinear, by the rank of x */
    WK_INTERPOLATE_CUBIC,        /* bicubic: Keys 1981 with a = -0.75; two axes */
    WK_INTERPOLATE_AREA,         /* the mean of what falls together: adaptive average pooling */
    WK_INTERPOLATE_NEAREST_EXACT /* by the centres of pixels */
} wk_interpolate_mode;
typedef struct wk_interpolate_opts {
    int64_t size[3];      /* of the result's image; 0: by scale */
    double scale[3];      /* of an axis; 0: scale[0] */
    int mode;             /* wk_interpolate_mode */
    bool align_corners;   /* linear, cubic: the corners' centres stay where they are, not their edges */
    bool recompute_scale; /* take places from the sizes, not from the scale that was given */
} wk_interpolate_opts;
/* One axis after the other, those that shrink first: the work is a sum of the kernels' widths, not their product. */
WK_API wk_tensor *wk_interpolate(wk_tensor *x, wk_interpolate_opts opts);

typedef enum wk_grid_mode { WK_GRID_LINEAR, WK_GRID_NEAREST, WK_GRID_CUBIC /* two axes */ } wk_grid_mode;
typedef enum wk_grid_padding { WK_GRID_ZEROS, WK_GRID_BORDER, WK_GRID_REFLECTION } wk_grid_padding;
typedef struct wk_grid_sample_opts {
    int mode;           /* wk_grid_mode */
    int padding;        /* wk_grid_padding: what stands outside */
    bool align_corners; /* -1 and 1 are the corners' centres, not their edges */
} wk_grid_sample_opts;
/* x at the places of grid (N, H', W', 2), pairs of (x, y) in [-1, 1] -> (N, C, H', W'); of volumes (N, C, D, H, W) at
 * grid (N, D', H', W', 3).  Both of one dtype.  A place that is NaN lies outside. */
WK_API wk_tensor *wk_grid_sample(wk_tensor *x, wk_tensor *grid, wk_grid_sample_opts opts);
typedef struct wk_affine_grid_opts {
    wk_dims dims; /* of the image to be sampled: (N, C, H, W) or (N, C, D, H, W) */
    bool align_corners;
} wk_affine_grid_opts;
/* The grid of an affine map: theta (N, 2, 3) or (N, 3, 4), floats. */
WK_API wk_tensor *wk_affine_grid(wk_tensor *theta, wk_affine_grid_opts opts);

typedef struct wk_channel_shuffle_opts {
    int64_t groups;
} wk_channel_shuffle_opts;
/* Channels of `groups` groups take turns, Zhang et al. 2018. */
WK_API wk_tensor *wk_channel_shuffle(wk_tensor *x, int64_t groups);

#ifndef WK_NO_CALL_SITES
#    define wk_interpolate(...)     (WK_HERE, wk_interpolate(__VA_ARGS__))
#    define wk_grid_sample(...)     (WK_HERE, wk_grid_sample(__VA_ARGS__))
#    define wk_affine_grid(...)     (WK_HERE, wk_affine_grid(__VA_ARGS__))
#    define wk_channel_shuffle(...) (WK_HERE, wk_channel_shuffle(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
