/* wick/train/callback.h: hooks of a run.
 *
 * A callback is a struct that starts with a wk_callback; its class has a function for each hook it wants.  They run on
 * every rank, in the order of the file (those with `runs_last` behind the others), and get the trainer, which shows
 * everything (wick/train/trainer.h).  An error that one returns ends the run.
 */
#ifndef WICK_TRAIN_CALLBACK_H
#define WICK_TRAIN_CALLBACK_H

#include "wick/train/wrapper.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Every hook once, in the order in which a run meets them; those from train_epoch_start on repeat. */
#define WK_HOOK_MAP(X)                                                                        \
    X(setup)           /* model, data and optimizers are there */                             \
    X(load_checkpoint) /* the run goes on from a checkpoint: all state is in place */         \
    X(fit_start)                                                                              \
    X(sanity_check_start)                                                                     \
    X(sanity_check_end)                                                                       \
    X(train_start)                                                                            \
    X(train_epoch_start)                                                                      \
    X(train_batch_start)                                                                      \
    X(before_zero_grad)                                                                       \
    X(before_backward) /* the loss is known */                                                \
    X(after_backward)                                                                         \
    X(before_optimizer_step) /* gradients are whole, unscaled, not yet clipped */             \
    X(train_batch_end)                                                                        \
    X(validation_start)                                                                       \
    X(validation_epoch_start)                                                                 \
    X(validation_batch_start)                                                                 \
    X(validation_batch_end)                                                                   \
    X(validation_epoch_end) /* metrics are reduced over all ranks */                          \
    X(validation_end)                                                                         \
    X(train_epoch_end)                                                                        \
    X(save_checkpoint) /* rank 0 is about to write one */                                     \
    X(train_end)                                                                              \
    X(fit_end)                                                                                \
    X(exception) /* the run fails: the message is pending; errors of this hook are dropped */ \
    X(teardown)

typedef wk_status (*wk_hook_function)(wk_callback *self, wk_trainer *trainer);
typedef struct wk_callback_class {
    const char *name;
    size_t size; /* of the struct that starts with a wk_callback */
#define WK_HOOK_MEMBER(name) wk_hook_function name;
    WK_HOOK_MAP(WK_HOOK_MEMBER)
#undef WK_HOOK_MEMBER
    /* Optional: what a checkpoint keeps.  Text (wk_alloc'ed, YAML as one likes) and kept tensors of the callback's own,
     * which must exist, with their shapes, from setup on. */
    char *(*state)(wk_callback *self);
    wk_status (*load_state)(wk_callback *self, const char *text);
    wk_named_tensors (*tensors)(wk_callback *self);
    wk_status (*tensors_loaded)(wk_callback *self); /* after they were read */
    void (*destroy)(wk_callback *self);
    bool runs_last;
    bool never_stops; /* it does not call wk_trainer_stop after batches, or does so on all ranks: spares an exchange a
                         batch */
} wk_callback_class;
struct wk_callback {
    const wk_callback_class *class_;
};
WK_API wk_callback *wk_callback_create(const wk_callback_class *class_);
WK_API void wk_callback_destroy(wk_callback *callback);

#ifdef __cplusplus
}
#endif
#endif
