/* errors_image.c: what bad calls of convolution, pooling and resizing say. */
#include "support/refused.h"
#include "wick/ops.h"

#include <string.h>

SCOPED_SUITE(errors_image);

static wk_tensor *f32(wk_dims dims) {
    return wk_zeros(WK_F32, dims);
}

Test(errors_image, convolution) {
    const wk_conv_opts plain = { 0 }, same = { .stride = { 1, 2 }, .pad = WK_CONV_SAME };
    REFUSED(wk_conv2d(f32(WK_DIMS(1, 1, 4, 4)), f32(WK_DIMS(1, 1, 3, 3)), NULL, same), WK_INVALID,
            "conv2d: stride 2, but padding \"same\" needs stride 1");
    REFUSED(wk_conv1d(f32(WK_DIMS(2, 4)), f32(WK_DIMS(1, 2, 3)), NULL, plain), WK_SHAPE,
            "conv1d: x (2, 4) f32, weight (1, 2, 3) f32: expected x (N, C, L) and weight (K, C/groups, R)");
    REFUSED(wk_conv3d(f32(WK_DIMS(1, 2, 4, 4)), f32(WK_DIMS(1, 2, 3, 3, 3)), NULL, plain), WK_SHAPE,
            "conv3d: x (1, 2, 4, 4) f32, weight (1, 2, 3, 3, 3) f32: expected x (N, C, D, H, W) and weight (K, "
            "C/groups, T, R, S)");
    const wk_conv_transpose_opts more = { .stride = { 2, 2 }, .output_padding = { 2, 0 } };
    REFUSED(wk_conv_transpose2d(f32(WK_DIMS(1, 2, 4, 4)), f32(WK_DIMS(2, 1, 3, 3)), NULL, more), WK_INVALID,
            "conv_transpose2d: stride 2, dilation 1, padding 0, output_padding 2: expected at least 1, 1, 0, and 0 to "
            "less than stride or dilation");
    REFUSED(
        wk_conv_transpose2d(f32(WK_DIMS(1, 3, 4, 4)), f32(WK_DIMS(2, 1, 3, 3)), NULL, (wk_conv_transpose_opts){ 0 }),
        WK_SHAPE,
        "conv_transpose2d: x (1, 3, 4, 4) f32, weight (2, 1, 3, 3) f32: expected x (N, C, …) and weight (C, "
        "K/groups, …) of rank 4");
}

Test(errors_image, pooling) {
    REFUSED(wk_max_pool3d(f32(WK_DIMS(1, 1, 4, 4)), (wk_pool_opts){ .kernel = { 2, 2, 2 } }), WK_SHAPE,
            "max_pool3d: x (1, 1, 4, 4) f32, expected (N, C, D, H, W)");
    REFUSED(wk_max_pool2d(f32(WK_DIMS(1, 1, 4, 4)), (wk_pool_opts){ .kernel = { 3, 3 }, .dilation = { 2, 2 } }),
            WK_SHAPE, "max_pool2d: a kernel of 3 does not fit x (1, 1, 4, 4) f32");
    REFUSED(wk_adaptive_avg_pool2d(f32(WK_DIMS(1, 1, 0, 4)), (wk_adaptive_pool_opts){ { 1, 1 } }), WK_SHAPE,
            "adaptive_avg_pool2d: x (1, 1, 0, 4) f32 has no pixels");
    wk_tensor *indices = wk_full(WK_I64, WK_DIMS(1, 1, 1), 7);
    cr_expect_null(wk_max_unpool1d(f32(WK_DIMS(1, 1, 1)), indices, (wk_unpool_opts){ { 5 } }));
    cr_expect(strstr(wk_message(), "is 7, expected 0 ≤ index < 5") != NULL, "%s", wk_message());
    wk_clear_error();
}

Test(errors_image, resizing) {
    const wk_interpolate_opts nothing = { .mode = WK_INTERPOLATE_LINEAR },
                              corners = { .size = { 2, 2 }, .align_corners = true },
                              cubic = { .size = { 2 }, .mode = WK_INTERPOLATE_CUBIC };
    REFUSED(wk_interpolate(f32(WK_DIMS(1, 1, 4, 4)), nothing), WK_INVALID,
            "interpolate: size 0, scale 0 of 4 pixels: expected at least one pixel");
    REFUSED(wk_interpolate(f32(WK_DIMS(1, 1, 4, 4)), corners), WK_INVALID,
            "interpolate: align_corners is for linear and cubic interpolation only");
    REFUSED(wk_interpolate(f32(WK_DIMS(1, 1, 4)), cubic), WK_SHAPE,
            "interpolate: x (1, 1, 4) f32, but cubic interpolation expects (N, C, H, W)");
    REFUSED(wk_grid_sample(f32(WK_DIMS(1, 1, 4, 4)), f32(WK_DIMS(2, 3, 3, 2)), (wk_grid_sample_opts){ 0 }), WK_SHAPE,
            "grid_sample: x (1, 1, 4, 4) f32 and grid (2, 3, 3, 2) f32: expected (N, C, H, W) and (N, H', W', 2), or "
            "(N, C, D, H, W) and (N, D', H', W', 3)");
    REFUSED(wk_channel_shuffle(f32(WK_DIMS(1, 5, 4)), 2), WK_SHAPE,
            "channel_shuffle: x (1, 5, 4) f32 in 2 groups: expected (N, groups · C, …)");
}
