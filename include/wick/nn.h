/* wick/nn.h: modules.
 *
 * A module owns parameters, buffers and children, and maps tensors to tensors.  Parameter names, their order and their
 * initial values are PyTorch's: the same seed gives the same weights.  A model of your own is a struct whose first
 * member is a wk_module, and a class that says how large it is and what its forward does; see docs/architecture.md and
 * README.md.
 */
#ifndef WICK_NN_H
#define WICK_NN_H

#include "wick/autograd.h"
#include "wick/nn/activations.h"
#include "wick/nn/containers.h"
#include "wick/nn/freeze.h"
#include "wick/nn/image.h"
#include "wick/nn/init.h"
#include "wick/nn/norms.h"
#include "wick/nn/attention.h"
#include "wick/nn/recurrent.h"
#include "wick/nn/parametrise.h"
#include "wick/nn/tune.h"
#include "wick/ops.h"
#include "wick/random.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Named tensors in and out of a module: an LSTM's (h, c), a transformer's masks. */
enum { WK_MAX_SLOTS = 8 };
typedef struct wk_args {
    int count;
    struct {
        const char *name; /* NULL: by position */
        wk_tensor *tensor;
    } slot[WK_MAX_SLOTS];
} wk_args;

typedef struct wk_module_class {
    const char *name; /* "Conv2d" */
    size_t size;      /* of the struct that starts with a wk_module */
    /* One of the two: one tensor in and out, or named slots. */
    wk_tensor *(*forward)(wk_module *self, wk_tensor *x);
    wk_status (*forward_args)(wk_module *self, const wk_args *in, wk_args *out);
    /* Optional: forward followed by an activation (wk_activation) in one pass; Sequential uses it. */
    wk_tensor *(*forward_activated)(wk_module *self, wk_tensor *x, int activation);
    /* Optional: give back what the struct holds besides parameters, buffers and children. */
    void (*destroy)(wk_module *self);
    /* Optional: "in_features=784, out_features=10" into the buffer, for summaries. */
    void (*describe)(const wk_module *self, char *buffer, size_t size);
    int activation; /* the wk_activation that this module is, for fusing; 0: none */
    /* Optional, all for wk_module_freeze: what else there is to do, before the children's turn; to take scale and shift
     * (of the result's channels) into the parameters; whether forward gives what it is given (now: not in training). */
    wk_status (*freeze)(wk_module *self, const wk_freeze_opts *opts);
    wk_status (*fold)(wk_module *self, wk_tensor *scale, wk_tensor *shift);
    bool (*passes)(const wk_module *self);
    bool is_block; /* a part that a network repeats, which wk_module_recompute is for */
} wk_module_class;

struct wk_module {
    const wk_module_class *class_;
    char *path; /* "0.conv1" from the root; "" for the root */
    wk_module *parent;
    struct wk_module_members *members;
    bool training; /* true at first */
    bool frozen;   /* for inference (wk_module_freeze) */
    bool recompute;
};

/* A module of a class, zeroed but for its base; NULL with an error pending. */
WK_API wk_module *wk_module_create(const wk_module_class *class_);
/* The root of a tree only; NULL is fine. */
WK_API void wk_module_destroy(wk_module *module);

/* Add a child under a name; takes it over and gives it back.  NULL (an error is pending) stays NULL. */
WK_API wk_module *wk_module_add(wk_module *parent, const char *name, wk_module *child);
/* Add a parameter (becomes a leaf) or a buffer (kept, no gradient); takes over one reference and gives the tensor back.
 */
WK_API wk_tensor *wk_module_add_parameter(wk_module *module, const char *name, wk_tensor *kept);
WK_API wk_tensor *wk_module_add_buffer(wk_module *module, const char *name, wk_tensor *kept);

/* One tensor in, one out.  Runs in a scope of its own: what it makes besides its result dies when it returns. */
WK_API wk_tensor *wk_forward(wk_module *module, wk_tensor *x);
WK_API wk_status wk_forward_args(wk_module *module, const wk_args *in, wk_args *out);

/* Hooks of a module, run in order of their addition whenever it runs; an error that one returns (or leaves pending) is
 * that of the call.
 *   before    may put other tensors into *in
 *   after     may put others into *out
 *   backward  when a backward has made the gradients of this run's inputs: may put others into *grad_in; NULL where an
 *             input wants none or a result was not used.  As torch.nn.Module.register_full_backward_hook.
 * 0 with an error pending: no memory. */
typedef wk_status (*wk_forward_pre_hook)(void *context, wk_module *module, wk_args *in);
typedef wk_status (*wk_forward_hook)(void *context, wk_module *module, const wk_args *in, wk_args *out);
typedef wk_status (*wk_backward_hook)(void *context, wk_module *module, wk_args *grad_in, const wk_args *grad_out);
WK_API wk_hook wk_on_forward_pre(wk_module *module, wk_forward_pre_hook hook, void *context);
WK_API wk_hook wk_on_forward(wk_module *module, wk_forward_hook hook, void *context);
WK_API wk_hook wk_on_backward(wk_module *module, wk_backward_hook hook, void *context);
/* Take one away; one that is not there is left so.  Not while the module runs on another thread. */
WK_API void wk_module_unhook(wk_module *module, wk_hook hook);

/* Training or evaluation mode, for the whole tree.  A frozen one has no training mode: WK_STATE is left pending. */
WK_API void wk_module_train(wk_module *module, bool training);

/* While they train, the blocks of the tree (a ResNet's, a transformer's layers, …) keep nothing for backward but their
 * inputs, and backward runs them again (wk_checkpoint): about a third more time, for memory that no longer grows with
 * what lies inside of them.  Gradients have the same bits; running statistics are updated once; hooks inside run twice.
 * Steps of such a model are not replayed.  Blocks inside of blocks are left as they are.  Gives how many there are. */
WK_API int wk_module_recompute(wk_module *module, bool on);

/* All parameters of the tree in PyTorch's order, with their paths ("0.weight").  Owned by the module; valid until the
 * tree changes or is destroyed.  Of a frozen module none, with WK_STATE pending: it cannot be trained. */
typedef struct wk_named_tensors {
    wk_tensor *const *tensor;
    const char *const *name;
    int count;
} wk_named_tensors;
WK_API wk_named_tensors wk_parameters(wk_module *module);
/* Parameters and buffers: what a checkpoint holds (PyTorch's state_dict, in its order). */
WK_API wk_named_tensors wk_state(wk_module *module);
WK_API int64_t wk_parameter_count(wk_module *module); /* elements */
/* Classes, paths and options, one line a module, indented; free with wk_free. */
WK_API char *wk_module_summary(const wk_module *module);

/* ---- layers
 * ---------------------------------------------------------------------------------------------------------- */

typedef struct wk_layer_opts {
    bool no_bias;
} wk_layer_opts;
/* weight (out, in) and bias (out), uniform in ± 1 / sqrt(in) */
WK_API wk_module *wk_nn_linear(int64_t in_features, int64_t out_features, wk_layer_opts opts);
/* A Linear whose weight (out, in) and bias (out, or NULL) are parameters of another module (Press & Wolf 2017: scores
 * from the embedding's own table); takes a reference to each of its own. */
WK_API wk_module *wk_nn_linear_tied(wk_tensor *weight, wk_tensor *bias);
typedef struct wk_nn_batch_norm_opts {
    wk_optional eps, momentum; /* 1e-5, 0.1 */
    bool no_affine, no_running_statistics;
    bool cumulative; /* running statistics are the mean over all batches (PyTorch's momentum=None) */
} wk_nn_batch_norm_opts;
/* weight (ones), bias; buffers running_mean, running_var, num_batches_tracked.  1d takes (N, C) and (N, C, L). */
WK_API wk_module *wk_nn_batch_norm1d(int64_t channels, wk_nn_batch_norm_opts opts);
WK_API wk_module *wk_nn_batch_norm3d(int64_t channels, wk_nn_batch_norm_opts opts);
WK_API wk_module *wk_nn_batch_norm2d(int64_t channels, wk_nn_batch_norm_opts opts);
/* In training, a mask of the context's counter-based stream; in evaluation, nothing. */
WK_API wk_module *wk_nn_dropout(double p);
WK_API wk_module *wk_nn_flatten(void); /* axes from 1 on */

/* Children "0", "1", … in a row; takes them over.  A Linear or Conv2d followed by a ReLU runs as one operation. */
WK_API wk_module *wk_nn_sequential_of(wk_module *const *children, int count);
#ifdef __cplusplus
}
static inline wk_module *wk_nn_sequential_list(std::initializer_list<wk_module *> children) {
    return wk_nn_sequential_of(children.begin(), (int)children.size());
}
#    define wk_nn_sequential(...) wk_nn_sequential_list({ __VA_ARGS__ })
static inline wk_module *wk_nn_module_list_from(std::initializer_list<wk_module *> children) {
    return wk_nn_module_list_of(children.begin(), (int)children.size());
}
#    define wk_nn_module_list(...) wk_nn_module_list_from({ __VA_ARGS__ })
extern "C" {
#else
#    define wk_nn_module_list(...)                                \
        wk_nn_module_list_of((wk_module *const[]){ __VA_ARGS__ }, \
                             (int)(sizeof((wk_module *const[]){ __VA_ARGS__ }) / sizeof(wk_module *)))
#    define wk_nn_sequential(...)                                \
        wk_nn_sequential_of((wk_module *const[]){ __VA_ARGS__ }, \
                            (int)(sizeof((wk_module *const[]){ __VA_ARGS__ }) / sizeof(wk_module *)))
#endif

#ifdef __cplusplus
}
#endif
#endif
