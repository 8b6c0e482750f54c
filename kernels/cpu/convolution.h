/* convolution.h: the shape of a convolution call, read from any of its three rows. */
#ifndef WICK_KERNELS_CPU_CONVOLUTION_H
#define WICK_KERNELS_CPU_CONVOLUTION_H

#include "cpu/choice.h"

static inline wk_convolution_shape wk__convolution_shape(const wk_conv2d_opts *opts,
                                                         const int64_t *x /* (N, C, H, W) */,
                                                         const int64_t *weight /* (K, C/groups, R, S) */,
                                                         const int64_t *y /* (N, K, P, Q) */) {
    wk_convolution_shape s = { .n = x[0], .c = x[1], .h = x[2], .w = x[3], .k = y[1], .p = y[2], .q = y[3] };
    s.groups = opts->groups ? opts->groups : 1;
    for (int i = 0; i < 2; i++) {
        s.kernel[i] = weight[2 + i];
        s.stride[i] = opts->stride[i] ? opts->stride[i] : 1;
        s.padding[i] = opts->padding[i];
        s.dilation[i] = opts->dilation[i] ? opts->dilation[i] : 1;
    }
    return s;
}

static inline bool wk__is_channels_last(const wk_tensor *x) {
    const int order[4] = { 1, 3, 2, 0 };
    int64_t expected = 1;
    for (int i = 0; i < 4; i++) {
        int axis = order[i];
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
