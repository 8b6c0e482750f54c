/* wick/models/image.h: networks that see images, (N, C, H, W).
 *
 * Common to all: in_channels and classes; 0 means the published network's.  Errors: a size below 1, a shape that is not
 * published, a probability outside [0, 1).  An image too small for the network is refused by the layer that meets it.
 */
#ifndef WICK_MODELS_IMAGE_H
#define WICK_MODELS_IMAGE_H

#include "wick/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_lenet_opts {
    int64_t in_channels, classes; /* 1, 10 */
    int64_t image_size;           /* height and width; 28, at least 12.  The first convolution pads by 2. */
} wk_lenet_opts;
/* LeNet-5, LeCun et al. 1998: two 5×5 convolutions with tanh and averages of 2×2, three linear layers with tanh
 * between; (N, in_channels, image_size, image_size) → (N, classes).  What is of today: every map sees all maps before
 * it, averages have no coefficients, and scores are linear.  Parameters as in PyTorch's tutorials: conv1, conv2, fc1,
 * fc2, fc3. */
WK_API wk_module *wk_lenet(wk_lenet_opts opts);

typedef struct wk_vgg_opts {
    int64_t depth; /* 11, 13, 16 (the default) or 19 layers with weights */
    bool batch_norm;
    int64_t in_channels, classes; /* 3, 1000 */
    int64_t hidden;               /* width of the classifier's two hidden layers, 4096 */
    wk_optional dropout;          /* behind each of them, 0.5 */
} wk_vgg_opts;
/* Simonyan & Zisserman 2014; (N, in_channels, H, W) → (N, classes), H and W at least 32.  Parameters as in
 * torchvision.models.vgg11 to vgg19 and their _bn: features.N, classifier.N. */
WK_API wk_module *wk_vgg(wk_vgg_opts opts);

typedef struct wk_resnet_opts {
    int64_t depth;                /* 18, 34, 50 (the default), 101 or 152 */
    int64_t in_channels, classes; /* 3, 1000 */
    bool zero_init_residual;      /* blocks begin as the identity: their last batch normalisation's weight is 0 */
    bool small_images;            /* about 32 × 32: conv1 is 3×3 with stride 1, no pooling behind it */
} wk_resnet_opts;
/* He et al. 2015; (N, in_channels, H, W) → (N, classes).  Parameters as in torchvision.models.resnet18 to resnet152
 * ("v1.5": a bottleneck's 3×3 convolution takes the stride): conv1, bn1, layer1.0.conv1, …, fc. */
WK_API wk_module *wk_resnet(wk_resnet_opts opts);

typedef struct wk_mobilenet_v2_opts {
    int64_t in_channels, classes; /* 3, 1000 */
    double width_mult;            /* of all channels, which are then rounded to multiples of 8; 0 means 1 */
    wk_optional dropout;          /* before the classifier, 0.2 */
} wk_mobilenet_v2_opts;
/* Sandler et al. 2018; (N, in_channels, H, W) → (N, classes).  Parameters as in torchvision.models.mobilenet_v2:
 * features.N.conv.M, classifier.1. */
WK_API wk_module *wk_mobilenet_v2(wk_mobilenet_v2_opts opts);

typedef enum wk_convnext_size {
    WK_CONVNEXT_TINY,
    WK_CONVNEXT_SMALL,
    WK_CONVNEXT_BASE,
    WK_CONVNEXT_LARGE
} wk_convnext_size;
typedef struct wk_convnext_opts {
    int size;                     /* wk_convnext_size */
    int64_t depths[4], dims[4];   /* blocks and channels of each stage; 0: those of the size */
    int64_t in_channels, classes; /* 3, 1000 */
    wk_optional stochastic_depth; /* in training, of the last block, growing from 0 at the first: 0.1, 0.4, 0.5, 0.5 */
    wk_optional layer_scale;      /* with which a block's result begins, 1e-6 */
} wk_convnext_opts;
/* Liu et al. 2022; (N, in_channels, H, W) → (N, classes), H and W at least 32.  Parameters as in
 * torchvision.models.convnext_tiny to convnext_large: features.N.M.layer_scale, features.N.M.block.K, classifier.K. */
WK_API wk_module *wk_convnext(wk_convnext_opts opts);

typedef struct wk_unet_opts {
    int64_t in_channels, classes; /* 1, 2 */
    int64_t width;                /* channels of the first level, 64; each level below has twice as many */
    int64_t levels;               /* below the first, 4; at most 8 */
} wk_unet_opts;
/* Ronneberger et al. 2015, with padded convolutions and batch normalisation: (N, in_channels, H, W) → (N, classes, H,
 * W); H and W multiples of 2^levels.  Parameters: down.I (levels + 1 of them) and join.I, each conv, norm, relu, conv,
 * norm, relu; up.I, transposed convolutions; head.  Initial values are those of the layers. */
WK_API wk_module *wk_unet(wk_unet_opts opts);

/* ---- pictures in any resolution ---- */

typedef struct wk_edsr_opts {
    int64_t blocks, width, channels; /* 16, 64, 3 */
    wk_optional res_scale;           /* of what a block adds, 1 */
    bool no_upsampling;              /* the result is the features, (N, width, H, W) */
    int64_t scale;                   /* 2 (the default), 3 or 4 */
} wk_edsr_opts;
/* Lim et al. 2017, "edsr-baseline" where opts are 0: (N, channels, H, W) → (N, channels, scale · H, scale · W).  No
 * mean is taken from the picture.  Parameters: head.0, body.I.body.0, body.I.body.2, body.BLOCKS, tail.0.I, tail.1. */
WK_API wk_module *wk_edsr(wk_edsr_opts opts);

typedef struct wk_liif_opts {
    bool no_feat_unfold;    /* a feature is itself alone; else 3×3 of them */
    bool no_local_ensemble; /* the nearest feature answers alone; else the mean of four, by areas */
    bool no_cell_decode;    /* the colour does not depend on a pixel's size */
} wk_liif_opts;
/* Chen, Liu & Wang 2021: a picture as a function of coordinates.  `encoder`: pictures (N, C, H, W) → features (N, F, h,
 * w); `imnet`: (…, wk_liif_width(F, opts)) → (…, colours).  Both are taken over, also when it fails.  Parameters:
 * encoder.…, imnet.….
 *
 * Slots: x, "coord" (N, Q, 2), "cell" (N, Q, 2) → (N, Q, colours).  A coordinate is (y, x) in [-1, 1], edges of the
 * picture; a cell the height and width of the pixel that is asked for, in the same units (2 / H', 2 / W'). */
WK_API wk_module *wk_liif(wk_module *encoder, wk_module *imnet, wk_liif_opts opts);
WK_API int64_t wk_liif_width(int64_t features, wk_liif_opts opts);
/* cell: NULL where it is not decoded. */
WK_API wk_tensor *wk_liif_forward(wk_module *model, wk_tensor *x, wk_tensor *coord, wk_tensor *cell);
/* The two halves, for many queries of one picture: features, then as many queries at a time as memory holds. */
WK_API wk_tensor *wk_liif_encode(wk_module *model, wk_tensor *x);
WK_API wk_tensor *wk_liif_query(wk_module *model, wk_tensor *feature, wk_tensor *coord, wk_tensor *cell);
/* The centres of all pixels, row by row: (batch, height · width, 2) f32. */
WK_API wk_tensor *wk_liif_coordinates(int64_t batch, int64_t height, int64_t width);

#ifdef __cplusplus
}
#endif
#endif
