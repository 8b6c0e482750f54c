/* wick/nn/containers.h: modules that hold others, and walks over the tree. */
#ifndef WICK_NN_CONTAINERS_H
#define WICK_NN_CONTAINERS_H

#include "wick/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_module wk_module;

/* Children "0", "1", … without a forward of their own: the module that holds the list runs them.  Takes them over. */
WK_API wk_module *wk_nn_module_list_of(wk_module *const *children, int count);
/* One more child at the end of a list or sequence of children; gives it back. */
WK_API wk_module *wk_module_append(wk_module *list, wk_module *child);
/* Children under names of your choice. */
WK_API wk_module *wk_nn_module_dict_of(const char *const *names, wk_module *const *children, int count);
/* What comes in. */
WK_API wk_module *wk_nn_identity(void);

/* Children in order of addition. */
WK_API int wk_module_count(const wk_module *module);
WK_API wk_module *wk_module_child(const wk_module *module, int i); /* NULL if there is none */
/* A module below by its path, "layer1.0.conv1"; NULL with WK_NOT_FOUND pending, and the nearest name. */
WK_API wk_module *wk_module_find(wk_module *module, const char *path);
/* A parameter or buffer by its path, "layer1.0.conv1.weight"; the same error. */
WK_API wk_tensor *wk_module_tensor(wk_module *module, const char *path);
/* The module itself and all below, parents first. */
WK_API void wk_module_apply(wk_module *module, void (*visit)(void *context, wk_module *module), void *context);
/* Whether the parameters of the tree ask for gradients; an optimizer leaves those without one as they are.  As
 * torch.nn.Module.requires_grad_. */
WK_API void wk_module_require_grad(wk_module *module, bool wants);
/* All float parameters and buffers of the tree in another float type, or none (with an error pending); integers stay.
 * Gradients are forgotten.  Before an optimizer or DDP takes the parameters, and not between a forward and its
 * backward. As torch.nn.Module.to(dtype). */
WK_API wk_status wk_module_to(wk_module *module, wk_dtype dtype);
/* All parameters and buffers of the tree on a device, or none (with an error pending); integers without axes, which the
 * host counts, stay on the CPU.  Gradients are forgotten; an optimizer's state follows at its next step.  Not between a
 * forward and its backward, and not for a frozen module. */
WK_API wk_status wk_module_to_device(wk_module *module, wk_device device);

/* Each layer's output shape, parameters, operations and memory of its output for one forward of `example` (in
 * evaluation mode, without gradients), and the totals; free with wk_free.  NULL with an error pending. */
WK_API char *wk_module_table(wk_module *module, wk_tensor *example);

#ifdef __cplusplus
}
#endif
#endif
