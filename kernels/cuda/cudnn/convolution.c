/* convolution.c: a convolution as a graph of cuDNN. */
#include "cuda/cudnn/convolution.h"

#include <string.h>

enum { NO_DTYPE = -1 };

static int type_of(int dtype) {
    switch (dtype) {
    case WK_F32: return WK_CUDNN_DATA_FLOAT;
    case WK_BF16: return WK_CUDNN_DATA_BFLOAT16;
    case WK_F16: return WK_CUDNN_DATA_HALF;
    default: return NO_DTYPE; /* f64 stays with Wick's kernels */
    }
}

/* An operand of `axes` axes of the three that a wk_cuda_convolution counts; false: elements share their place.  The
 * stride of an axis of one element means nothing to Wick; cuDNN tells layouts by it, so it is that of the axes around
 * it. */
static bool tensor_of(wk_cudnn_tensor *t, int id, const wk_cudnn_key *key, int64_t first, int64_t channels,
                      const int64_t *size, const int64_t *stride) {
    const int skip = 3 - key->axes;
    *t = (wk_cudnn_tensor){ .id = id, .type = type_of(key->dtype), .rank = 2 + key->axes, .alignment = key->alignment };
    t->size[0] = first, t->size[1] = channels, t->stride[0] = stride[0], t->stride[1] = stride[1];
    for (int i = 0; i < key->axes; i++) t->size[2 + i] = size[skip + i], t->stride[2 + i] = stride[2 + skip + i];
    const bool channels_last = channels > 1 && stride[1] == 1;
    int64_t inner = channels_last ? channels : 1;
    for (int axis = t->rank - 1; axis >= 0; axis--) {
        if (axis == 1 && channels_last) continue;
        if (t->size[axis] == 1) t->stride[axis] = inner;
        if (t->size[axis] < 1 || t->stride[axis] < 1) return false;
        inner = t->stride[axis] * t->size[axis];
    }
    return true;
}

/* cuDNN takes images with gaps, weights without. */
static bool has_gaps(const wk_cudnn_tensor *t) {
    int64_t count = 1, reach = 1;
    for (int axis = 0; axis < t->rank; axis++) count *= t->size[axis], reach += (t->size[axis] - 1) * t->stride[axis];
    return count != reach;
}

/* The padding behind an axis: as before where that gives the result's size, else what is needed for it. */
static int64_t padding_behind(const wk_cuda_convolution *s, int axis) {
    const int64_t reach = s->dilation[axis] * (s->kernel[axis] - 1) + 1;
    if ((s->size[axis] + 2 * s->padding[axis] - reach) / s->stride[axis] + 1 == s->out[axis]) return s->padding[axis];
    const int64_t needed = (s->out[axis] - 1) * s->stride[axis] + reach - s->size[axis] - s->padding[axis];
    return needed > 0 ? needed : 0;
}

static wk_cudnn_window window_of(const wk_cudnn_key *key) {
    wk_cudnn_window window = { .axes = key->axes };
    for (int i = 0; i < key->axes; i++) {
        const int axis = 3 - key->axes + i;
        window.before[i] = key->shape.padding[axis], window.after[i] = padding_behind(&key->shape, axis);
        window.stride[i] = key->shape.stride[axis], window.dilation[i] = key->shape.dilation[axis];
    }
    return window;
}

/* What passes from one operation of the graph to the next: as the result lies, in f32. */
static void *passing(wk_cudnn_graph *graph, const wk_cudnn_tensor *result, int id) {
    wk_cudnn_tensor between = *result;
    between.id = id, between.type = WK_CUDNN_DATA_FLOAT, between.passing = true;
    return wk__cudnn_tensor_of(graph, &between);
}

bool wk__cudnn_describe(wk_cudnn_graph *graph, const wk_cudnn_key *key) {
    const wk_cuda_convolution *s = &key->shape;
    const wk_cudnn_window window = window_of(key);
    const int64_t ones[3] = { 1, 1, 1 }, side_by_side[5] = { s->k, 1, s->k, s->k, s->k };
    wk_cudnn_tensor image, weight, result, bias;
    if (type_of(key->dtype) == NO_DTYPE) return false;
    if (!tensor_of(&image, WK_CUDNN_IMAGE, key, s->n, s->c, s->size, s->x)
        || !tensor_of(&weight, WK_CUDNN_WEIGHT, key, s->k, s->c / s->groups, s->kernel, s->w)
        || !tensor_of(&result, WK_CUDNN_RESULT, key, s->n, s->k, s->out, s->y)
        || !tensor_of(&bias, WK_CUDNN_BIAS, key, 1, s->k, ones, side_by_side) || has_gaps(&weight))
        return false;
    void *x = wk__cudnn_tensor_of(graph, &image), *w = wk__cudnn_tensor_of(graph, &weight);
    void *y = wk__cudnn_tensor_of(graph, &result), *sum = y;
    int id = WK_CUDNN_BIAS;
    if (key->bias || key->relu) sum = passing(graph, &result, ++id);
    wk__cudnn_convolve(graph, key->kind, x, w, sum, &window);
    if (key->bias) {
        void *to = key->relu ? passing(graph, &result, ++id) : y;
        wk__cudnn_pointwise(graph, WK_CUDNN_POINTWISE_ADD, sum, wk__cudnn_tensor_of(graph, &bias), to);
        sum = to;
    }
    if (key->relu) wk__cudnn_pointwise(graph, WK_CUDNN_POINTWISE_RELU_FWD, sum, NULL, y);
    return true;
}
