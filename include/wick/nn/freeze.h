/* wick/nn/freeze.h: a module frozen for inference.
 *
 *     wk_module *net = wk_resnet((wk_resnet_opts){ .depth = 18 });
 *     … load its weights …
 *     if (wk_module_freeze(net, (wk_freeze_opts){ 0 }) != WK_OK) …
 *     for (;;) {
 *         wk_scope scope = wk_scope_begin();
 *         wk_tensor *y = wk_forward(net, wk_from_array(WK_F32, WK_DIMS(1, 3, 32, 32), pixels));
 *         … read y …
 *         wk_scope_end(scope);
 *     }
 *
 * Freezing changes the module where it stands, for good.  It then computes what it computed in evaluation mode, within
 * rounding, and
 *   - batch normalisation is part of the convolution or linear layer before it, dropout is gone, an activation is part
 *     of the layer before it where the class can;
 *   - nothing is noted for gradients, whatever the mode of the caller;
 *   - weights of products and convolutions are kept a second time, in the layout that the kernels like best: as much
 *     memory again as these weights take.  It is taken when a layer first runs (and where another number of rows or
 *     another image size wants another layout, once more), shared by all threads, and given back with the module.  A
 *     change of a weight in place is seen at the next forward, which packs it again;
 *   - a forward for shapes that came before is replayed on memory that was planned once (wick/step.h): nothing is asked
 *     of the system.  The first two forwards of a shape make the plan; up to eight shapes keep theirs.  Inside a step
 *     that the caller began, it is part of that step.
 *
 * Results are ordinary tensors of the caller's scope.  Several threads may run one frozen module at a time: each has a
 * plan of its own, which it holds until the module is destroyed by that thread, or the thread ends.
 *
 * Training it is refused: wk_parameters, wk_module_train(module, true), wk_module_to and wk_module_parametrise are
 * errors.  wk_state gives what is left, with biases where normalisations were; save before freezing.
 */
#ifndef WICK_NN_FREEZE_H
#define WICK_NN_FREEZE_H

#include "wick/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_module wk_module;

typedef struct wk_freeze_opts {
    /* WK_BF16 or WK_F16: weights of products and convolutions are stored so (half the memory), and these layers compute
     * as under wk_autocast_begin.  0, which is WK_F32: as they are. */
    wk_dtype dtype;
    bool no_packing; /* no second copy of weights */
    bool no_replay;  /* each forward runs anew, without a plan and its memory */
} wk_freeze_opts;

/* Freeze a whole tree (its root) for inference.  Errors: a module inside of another, one that is frozen already, a
 * dtype that is none of the above.  After WK_NO_MEMORY the module gives the same results as before, cannot be trained,
 * and may be frozen again. */
WK_API wk_status wk_module_freeze(wk_module *module, wk_freeze_opts opts);
WK_API bool wk_module_is_frozen(const wk_module *module);
/* Under which name its forwards run as steps, for wk_step_describe (how many were replayed, why one was not); NULL for
 * a module that is no frozen root. */
WK_API const char *wk_module_step(const wk_module *module);

/* ---- for classes of your own ---- */

/* For a class's `freeze`: make `norm`, a batch normalisation that sees all of `layer`'s result and nothing else, part
 * of `layer`.  From then on norm gives what it is given.  Where that cannot be (hooks, a parametrised weight, a layer
 * whose class has no `fold`, no running statistics) nothing changes.  Sequential does so by itself. */
WK_API wk_status wk_module_fold(wk_module *layer, wk_module *norm);
/* For a class's `freeze`: a parameter or buffer that is the second operand of products or convolutions.  It is stored
 * in opts->dtype, and may be packed.  Gives the tensor that stands in its place (owned by the module), NULL with an
 * error pending. */
WK_API wk_tensor *wk_module_freeze_weight(wk_module *module, const char *name, const wk_freeze_opts *opts);
/* layer, then norm (NULL: none), then an activation (wk_activation): in one pass where the classes can. */
WK_API wk_tensor *wk_forward_activated(wk_module *layer, wk_module *norm, wk_tensor *x, int activation);

#ifdef __cplusplus
}
#endif
#endif
