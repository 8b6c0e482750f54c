/* graph.h: a graph of operations for cuDNN, and the plan that runs it.
 *
 * A graph is described by the functions below; the first call that cuDNN refuses is kept in `status` and makes the rest
 * do nothing, so only the last answer has to be looked at.  What was made lives as long as the graph, for a plan goes
 * on using it.
 */
#ifndef WICK_KERNELS_CUDA_CUDNN_GRAPH_H
#define WICK_KERNELS_CUDA_CUDNN_GRAPH_H

#include "cuda/cudnn/api.h"

#include <stdbool.h>

enum { WK_CUDNN_AXES = 5, WK_CUDNN_MOST_MADE = 48, WK_CUDNN_MOST_OPERATIONS = 4 };

typedef struct wk_cudnn_graph {
    const wk_cudnn *api;
    int status, n_made, n_operations;
    void *made[WK_CUDNN_MOST_MADE], *operations[WK_CUDNN_MOST_OPERATIONS];
} wk_cudnn_graph;

/* Sizes and strides in elements, N C (D) H W of an image, K C (D) H W of a weight. */
typedef struct wk_cudnn_tensor {
    int64_t id; /* what the plan's operands are told apart by */
    int type;   /* WK_CUDNN_DATA_… */
    int rank;
    bool passing;      /* between two operations of the graph alone, never in memory */
    int64_t alignment; /* of its address, in bytes */
    int64_t size[WK_CUDNN_AXES], stride[WK_CUDNN_AXES];
} wk_cudnn_tensor;

typedef struct wk_cudnn_window {
    int axes; /* 2 or 3 */
    int64_t before[3], after[3], stride[3], dilation[3];
} wk_cudnn_window;

/* NULL where it is refused; operations take that. */
void *wk__cudnn_tensor_of(wk_cudnn_graph *graph, const wk_cudnn_tensor *tensor);
/* kind: WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_…; the operands of the convolution whose kind it is.  Sums in f32. */
void wk__cudnn_convolve(wk_cudnn_graph *graph, int kind, void *image, void *weight, void *result,
                        const wk_cudnn_window *window);
/* y = x mode other, in f32; other NULL: of x alone. */
void wk__cudnn_pointwise(wk_cudnn_graph *graph, int mode, void *x, void *other, void *y);

/* What a plan is made for: a handle of a device that is there, or the properties of one that need not be (a
 * BACKEND_DEVICEPROP_DESCRIPTOR). */
typedef struct wk_cudnn_device {
    void *handle, *properties;
} wk_cudnn_device;

typedef struct wk_cudnn_plan {
    void *descriptor;
    int64_t workspace; /* bytes */
} wk_cudnn_plan;

/* The first plan in the order of cuDNN's heuristics that gives the same bits each time, keeps the accuracy of f32
 * (exact: neither tensor cores' ten bits nor transforms; else those are welcome) and takes at most `workspace` bytes.
 * WK_CUDNN_STATUS_NOT_SUPPORTED: there is none. */
int wk__cudnn_choose(wk_cudnn_graph *graph, const wk_cudnn_device *device, bool exact, int64_t workspace,
                     wk_cudnn_plan *plan);

void wk__cudnn_graph_free(wk_cudnn_graph *graph);

#endif
