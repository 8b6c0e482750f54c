/* wick/nn/activations.h: activations as modules, under PyTorch's names; see wick/ops/activation.h. */
#ifndef WICK_NN_ACTIVATIONS_H
#define WICK_NN_ACTIVATIONS_H

#include "wick/nn/containers.h"
#include "wick/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

WK_API wk_module *wk_nn_relu(void);
WK_API wk_module *wk_nn_relu6(void);
WK_API wk_module *wk_nn_gelu(void);
WK_API wk_module *wk_nn_gelu_tanh(void); /* GELU(approximate="tanh") */
WK_API wk_module *wk_nn_silu(void);
WK_API wk_module *wk_nn_mish(void);
WK_API wk_module *wk_nn_sigmoid(void);
WK_API wk_module *wk_nn_logsigmoid(void);
WK_API wk_module *wk_nn_tanh(void);
WK_API wk_module *wk_nn_tanhshrink(void);
WK_API wk_module *wk_nn_softsign(void);
WK_API wk_module *wk_nn_selu(void);
WK_API wk_module *wk_nn_hardsigmoid(void);
WK_API wk_module *wk_nn_hardswish(void);
WK_API wk_module *wk_nn_leaky_relu(wk_leaky_relu_opts opts);
WK_API wk_module *wk_nn_elu(wk_elu_opts opts);
WK_API wk_module *wk_nn_celu(wk_elu_opts opts);
WK_API wk_module *wk_nn_hardtanh(wk_hardtanh_opts opts);
WK_API wk_module *wk_nn_hardshrink(wk_shrink_opts opts);
WK_API wk_module *wk_nn_softshrink(wk_shrink_opts opts);
WK_API wk_module *wk_nn_threshold(wk_threshold_opts opts);
WK_API wk_module *wk_nn_softplus(wk_softplus_opts opts);
WK_API wk_module *wk_nn_glu(wk_glu_opts opts);
WK_API wk_module *wk_nn_softmax(wk_axis_opts opts);
WK_API wk_module *wk_nn_log_softmax(wk_axis_opts opts);
typedef struct wk_nn_prelu_opts {
    int64_t parameters;  /* 0 means 1: one slope, or one for each channel */
    wk_optional initial; /* 0.25 */
} wk_nn_prelu_opts;
/* weight (parameters) */
WK_API wk_module *wk_nn_prelu(wk_nn_prelu_opts opts);

#ifdef __cplusplus
}
#endif
#endif
