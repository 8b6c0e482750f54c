/* linear.h: the inside of a Linear, for the files that change one. */
#ifndef WICK_SRC_NN_LINEAR_H
#define WICK_SRC_NN_LINEAR_H

#include "wick/nn.h"

typedef struct wk__linear {
    wk_module base;
    wk_tensor *weight, *bias;
    bool folded;                /* with a normalisation whose channels were the last axis */
    wk_tensor *lora_a, *lora_b; /* (rank, in) and (out, rank), or NULL */
    double lora_scale;
} wk__linear;

/* NULL for other modules. */
wk__linear *wk__linear_of(wk_module *module);
/* A kept weight and bias as wk_nn_linear draws them. */
wk_tensor *wk__linear_draw(wk_dims dims, double fan_in, bool is_bias);

#endif
