/* wick/nn/tune.h: fine-tuning: another head, low-rank adapters. */
#ifndef WICK_NN_TUNE_H
#define WICK_NN_TUNE_H

#include "wick/nn/containers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Give a Linear another number of results: weight (out, in) and bias are drawn anew, as wk_nn_linear draws them, on the
 * CPU.  Make optimizers afterwards.  Errors: no Linear; frozen, parametrised, or with an adapter. */
WK_API wk_status wk_linear_resize(wk_module *linear, int64_t out_features);

typedef struct wk_lora_opts {
    int64_t rank;        /* at least 1 */
    double alpha;        /* 0 means rank: a factor of 1 */
    const char *modules; /* a POSIX extended regular expression of paths of Linear layers; NULL: all */
} wk_lora_opts;
/* Low-rank adapters (Hu et al. 2021): y = W x + b + alpha / rank · B A x, with parameters PATH.lora_A.weight (rank,
 * in), drawn as a Linear's, and PATH.lora_B.weight (out, rank), zeros, on the CPU; W and b of these layers stop
 * learning. What is learned is little: an optimizer of wk_requires_grad's parameters alone has little state.  Gives how
 * many layers; 0 with an error pending (WK_NOT_FOUND: none matches; some may have been changed then). */
WK_API int wk_lora_add(wk_module *root, wk_lora_opts opts);
/* W += alpha / rank · B A in every layer that has an adapter, which goes; W and b learn again.  Optimizers of the
 * adapters' parameters are to be destroyed first.  Gives how many; with an error pending 0. */
WK_API int wk_lora_merge(wk_module *root);

#ifdef __cplusplus
}
#endif
#endif
