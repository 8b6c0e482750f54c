/* wick/optim.h: optimizers, learning-rate schedules, gradient clipping.
 *
 * An optimizer holds references to the parameters it was made with and owns its state.  One step updates all of them in
 * one pass.  With an error pending nothing moves.
 */
#ifndef WICK_OPTIM_H
#define WICK_OPTIM_H

#include "wick/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_optim wk_optim;

typedef struct wk_sgd_opts {
    double lr; /* must be > 0 */
    double momentum, dampening, weight_decay;
    bool nesterov; /* needs momentum and no dampening */
} wk_sgd_opts;
/* torch.optim.SGD.  Parameters are f32 or f64. */
WK_API wk_optim *wk_sgd(wk_named_tensors parameters, wk_sgd_opts opts);

typedef struct wk_adam_opts {
    double lr;                /* 0 means 1e-3 */
    wk_optional beta1, beta2; /* 0.9, 0.999 */
    double eps;               /* 0 means 1e-8 */
    double weight_decay;      /* added to the gradient */
} wk_adam_opts;
/* torch.optim.Adam (Kingma & Ba 2015) */
WK_API wk_optim *wk_adam(wk_named_tensors parameters, wk_adam_opts opts);
typedef struct wk_adamw_opts {
    double lr; /* 0 means 1e-3 */
    wk_optional beta1, beta2;
    double eps;
    wk_optional weight_decay; /* 0.01, decoupled */
} wk_adamw_opts;
/* torch.optim.AdamW (Loshchilov & Hutter 2019) */
WK_API wk_optim *wk_adamw(wk_named_tensors parameters, wk_adamw_opts opts);
WK_API void wk_optim_destroy(wk_optim *optim);

/* Update every parameter whose gradient is not empty.  Steps are counted once for all (PyTorch counts for each
 * parameter, which differs where one had no gradient in some steps).  Errors: WK_PENDING (nothing moved). */
WK_API wk_status wk_optim_step(wk_optim *optim);
/* Mark all gradients empty: no pass over memory. */
WK_API void wk_zero_grad(wk_optim *optim);
WK_API void wk_optim_set_lr(wk_optim *optim, double lr);
WK_API double wk_optim_lr(const wk_optim *optim);
WK_API int64_t wk_optim_steps(const wk_optim *optim); /* taken so far */

/* Scale gradients so that their common 2-norm is at most max_norm (factor max_norm / (norm + 1e-6), at most 1).  The
 * factor is applied inside the next step, not in a pass of its own.  `norm` (may be NULL) receives the norm before.
 * torch.nn.utils.clip_grad_norm_ */
WK_API wk_status wk_clip_grad_norm(wk_optim *optim, double max_norm, double *norm);

/* State to store with a checkpoint: "step" and, by parameter, "exp_avg.NAME", "exp_avg_sq.NAME" or
 * "momentum_buffer.NAME". Owned by the optimizer.  After writing into them call wk_optim_state_changed. */
WK_API wk_named_tensors wk_optim_state(wk_optim *optim);
WK_API wk_status wk_optim_state_changed(wk_optim *optim);
WK_API const char *wk_optim_name(const wk_optim *optim); /* "SGD", "Adam", "AdamW" */

/* ---- schedules: the learning rate as a function of the step or epoch
 * ------------------------------------------------- */

typedef enum wk_schedule_kind { WK_SCHEDULE_CONSTANT, WK_SCHEDULE_STEP, WK_SCHEDULE_COSINE } wk_schedule_kind;
typedef struct wk_schedule {
    wk_schedule_kind kind;
    double base_lr;
    int64_t step_size;    /* STEP: lr · gamma^floor(t / step_size) */
    wk_optional gamma;    /* 0.1 */
    int64_t warmup_steps; /* COSINE: linear from 0 (at t = 0: base_lr / warmup_steps) to base_lr, then */
    int64_t total_steps;  /*   min_lr + (base_lr − min_lr) · (1 + cos π·(t − warmup)/(total − warmup)) / 2 */
    double min_lr;
} wk_schedule;
/* The rate at time t ≥ 0, in the units of step_size, warmup_steps and total_steps. */
WK_API double wk_schedule_lr(const wk_schedule *schedule, int64_t t);

#ifdef __cplusplus
}
#endif
#endif
