/* wick/models/sequence.h: networks over features and tokens. */
#ifndef WICK_MODELS_SEQUENCE_H
#define WICK_MODELS_SEQUENCE_H

#include "wick/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_mlp_opts {
    int64_t in_features, hidden, classes; /* 784, 128, 10 */
    int64_t layers;                       /* hidden ones; 1 */
} wk_mlp_opts;
/* A Sequential: Flatten, then Linear and ReLU for each hidden layer, then Linear: (N, …) → (N, classes). */
WK_API wk_module *wk_mlp(wk_mlp_opts opts);

#ifdef __cplusplus
}
#endif
#endif
