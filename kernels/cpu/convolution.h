/* convolution.h: the shape of a convolution call, read from any of its rows. */
#ifndef WICK_KERNELS_CPU_CONVOLUTION_H
#define WICK_KERNELS_CPU_CONVOLUTION_H

#include "cpu/choice.h"

static inline wk_convolution_shape wk__convolution_shape(const wk_conv_opts *opts, const wk_tensor *x /* (N, C, …) */,
                                                         const wk_tensor *weight /* (K, C/groups, …) */,
                                                         const wk_tensor *y /* (N, K, …) */) {
    wk_convolution_shape s = { .n = x->shape[0], .c = x->shape[1], .k = y->shape[1], .axes = x->rank - 2 };
    int64_t before[3];
    s.groups = opts->groups ? opts->groups : 1;
    wk__conv_padding(opts, s.axes, &weight->shape[2], before);
    for (int axis = 0; axis < 3; axis++) {
        int i = axis - (3 - s.axes);
        s.size[axis] = i < 0 ? 1 : x->shape[2 + i];
        s.out[axis] = i < 0 ? 1 : y->shape[2 + i];
        s.kernel[axis] = i < 0 ? 1 : weight->shape[2 + i];
        s.stride[axis] = i >= 0 && opts->stride[i] ? opts->stride[i] : 1;
        s.padding[axis] = i < 0 ? 0 : before[i];
        s.dilation[axis] = i >= 0 && opts->dilation[i] ? opts->dilation[i] : 1;
    }
    return s;
}

/* Images of two or three axes whose channels lie together. */
static inline bool wk__is_channels_last(const wk_tensor *x) {
    int64_t expected = 1;
    for (int i = 0; i < x->rank; i++) {
        int axis = i == 0 ? 1 : i == x->rank - 1 ? 0 : x->rank - i;
        if (x->shape[axis] != 1 && x->stride[axis] != expected) return false;
        expected *= x->shape[axis];
    }
    return true;
}

static inline bool wk__is_row_major(const wk_tensor *x) {
    int64_t expected = 1;
    for (int axis = x->rank - 1; axis >= 0; axis--) {
        if (x->shape[axis] != 1 && x->stride[axis] != expected) return false;
        expected *= x->shape[axis];
    }
    return true;
}

#endif
