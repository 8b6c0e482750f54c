/* convolution.h: conv2d, conv3d and their gradients by cuDNN. */
#ifndef WICK_KERNELS_CUDA_CUDNN_CONVOLUTION_H
#define WICK_KERNELS_CUDA_CUDNN_CONVOLUTION_H

#include "cuda/cuda.h"
#include "cuda/cudnn/graph.h"
#include "cuda/image/conv.h"

/* Everything that a plan depends on.  Compared as bytes: all of it is written. */
typedef struct wk_cudnn_key {
    wk_cuda_convolution shape;
    int32_t kind; /* WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_…_DESCRIPTOR */
    int32_t axes, dtype, device, alignment, bias, relu, unused;
} wk_cudnn_key;

/* What a graph's operands are called. */
enum { WK_CUDNN_IMAGE = 1, WK_CUDNN_WEIGHT, WK_CUDNN_RESULT, WK_CUDNN_BIAS };

/* Their addresses; bias: (k) without gaps, of a forward convolution, or NULL. */
typedef struct wk_cudnn_operands {
    void *image, *weight, *result, *bias;
} wk_cudnn_operands;

/* Describes it to an empty graph, whose api is set: convolution, then bias and ReLU in f32 before the result is rounded
 * once.  False: cuDNN has no such thing (elements of f64, nothing to do, an operand that lies in itself, a weight with
 * gaps). */
bool wk__cudnn_describe(wk_cudnn_graph *graph, const wk_cudnn_key *key);

/* Runs it on the context's stream.  WK_UNSUPPORTED, before anything is written: cuDNN is not there or has no plan. */
wk_status wk__cudnn_convolution(wk_kernel_ctx *ctx, const wk_call *call, wk_cudnn_key *key,
                                const wk_cudnn_operands *operands);

#endif
