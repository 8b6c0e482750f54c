/* wick/nn/parametrise.h: parameters that are functions of others, computed anew whenever the module runs. */
#ifndef WICK_NN_PARAMETRISE_H
#define WICK_NN_PARAMETRISE_H

#include "wick/nn/containers.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum wk_parametrisation {
    WK_WEIGHT_NORM,  /* g v / |v|, |v| over all axes but `axis`.  Salimans & Kingma 2016 */
    WK_SPECTRAL_NORM /* w / σ, σ its largest singular value as a matrix (axis, rest).  Miyato et al. 2018 */
} wk_parametrisation;
typedef struct wk_parametrise_opts {
    int kind;                 /* wk_parametrisation */
    int64_t axis;             /* default 0 */
    int64_t power_iterations; /* of spectral norm in each forward in training; 0 means 1 */
    wk_optional eps;          /* spectral norm: 1e-12 */
} wk_parametrise_opts;
/* The parameter `name` of a layer (a module without children) leaves the layer's parameters; in its place stand
 *   weight norm     parametrizations.NAME.original0 (g), .original1 (v)
 *   spectral norm   parametrizations.NAME.original, and buffers parametrizations.NAME.0._u, ._v
 * and gradients reach these.  Names, values and random draws are those of torch.nn.utils.parametrizations.  Make
 * optimizers afterwards.  Errors: no such parameter, or parametrised already; a module with children; a layer that
 * holds its parameters in a list (RNN, LSTM, GRU). */
WK_API wk_status wk_module_parametrise(wk_module *module, const char *name, wk_parametrise_opts opts);

#ifdef __cplusplus
}
#endif
#endif
