/* wick/optim.h: optimizers, parameter groups, gradient clipping, averages of weights, learning-rate schedules, loss
 * scaling.
 *
 * An optimizer holds references to the parameters it was made with and owns its state.  One step updates all of them in
 * one pass.  With an error pending nothing moves.
 *
 * Parameters are f32 or f64, or bf16 or f16, row major.  For the half types the optimizer keeps an f32 master of each
 * parameter, which the updates go to; the parameter is its rounding.  A parameter that somebody else writes to becomes
 * the new master at the next step.
 */
#ifndef WICK_OPTIM_H
#define WICK_OPTIM_H

#include "wick/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_optim wk_optim;

/* ---- the optimizers
 * ----------------------------------------------------------------------------------------------------------
 *
 * Each takes the parameters of group 0 (wk_parameters of a module, or a selection of them) and options whose zero means
 * PyTorch's default.  Errors: WK_INVALID (an option outside its range, named), WK_DTYPE (a parameter of another type),
 * WK_NO_MEMORY.  In formulas g is the gradient, t the step's number from 1, counted for each parameter. */

typedef struct wk_sgd_opts {
    double lr; /* must be > 0 */
    double momentum, dampening, weight_decay;
    bool nesterov; /* needs momentum and no dampening */
    bool maximize;
} wk_sgd_opts;
/* torch.optim.SGD.  State: momentum_buffer, with momentum. */
WK_API wk_optim *wk_sgd(wk_named_tensors parameters, wk_sgd_opts opts);

typedef struct wk_adam_opts {
    double lr;                /* 0 means 1e-3 */
    wk_optional beta1, beta2; /* 0.9, 0.999 */
    double eps;               /* 0 means 1e-8 */
    double weight_decay;      /* added to the gradient */
    bool amsgrad, maximize;
} wk_adam_opts;
/* torch.optim.Adam (Kingma & Ba 2015).  State: exp_avg, exp_avg_sq; with amsgrad (Reddi et al. 2018) max_exp_avg_sq. */
WK_API wk_optim *wk_adam(wk_named_tensors parameters, wk_adam_opts opts);
typedef struct wk_adamw_opts {
    double lr; /* 0 means 1e-3 */
    wk_optional beta1, beta2;
    double eps;
    wk_optional weight_decay; /* 0.01, decoupled */
    bool amsgrad, maximize;
} wk_adamw_opts;
/* torch.optim.AdamW (Loshchilov & Hutter 2019) */
WK_API wk_optim *wk_adamw(wk_named_tensors parameters, wk_adamw_opts opts);

typedef struct wk_adamax_opts {
    double lr; /* 0 means 2e-3 */
    wk_optional beta1, beta2;
    double eps, weight_decay;
    bool maximize;
} wk_adamax_opts;
/* torch.optim.Adamax.  State: exp_avg, exp_inf. */
WK_API wk_optim *wk_adamax(wk_named_tensors parameters, wk_adamax_opts opts);

typedef struct wk_nadam_opts {
    double lr; /* 0 means 2e-3 */
    wk_optional beta1, beta2;
    double eps, weight_decay;
    wk_optional momentum_decay; /* 0.004 */
    bool decoupled_weight_decay, maximize;
} wk_nadam_opts;
/* torch.optim.NAdam (Dozat 2016).  State: mu_product (f64), exp_avg, exp_avg_sq. */
WK_API wk_optim *wk_nadam(wk_named_tensors parameters, wk_nadam_opts opts);

typedef struct wk_radam_opts {
    double lr; /* 0 means 1e-3 */
    wk_optional beta1, beta2;
    double eps, weight_decay;
    bool decoupled_weight_decay, maximize;
} wk_radam_opts;
/* torch.optim.RAdam (Liu et al. 2020).  State: exp_avg, exp_avg_sq. */
WK_API wk_optim *wk_radam(wk_named_tensors parameters, wk_radam_opts opts);

typedef struct wk_adagrad_opts {
    double lr; /* 0 means 1e-2 */
    double lr_decay, weight_decay, initial_accumulator_value;
    double eps; /* 0 means 1e-10 */
    bool maximize;
} wk_adagrad_opts;
/* torch.optim.Adagrad (Duchi et al. 2011).  State: sum. */
WK_API wk_optim *wk_adagrad(wk_named_tensors parameters, wk_adagrad_opts opts);

typedef struct wk_adadelta_opts {
    double lr;       /* 0 means 1 */
    wk_optional rho; /* 0.9 */
    double eps;      /* 0 means 1e-6 */
    double weight_decay;
    bool maximize;
} wk_adadelta_opts;
/* torch.optim.Adadelta (Zeiler 2012).  State: square_avg, acc_delta. */
WK_API wk_optim *wk_adadelta(wk_named_tensors parameters, wk_adadelta_opts opts);

typedef struct wk_rmsprop_opts {
    double lr;         /* 0 means 1e-2 */
    wk_optional alpha; /* 0.99 */
    double eps;        /* 0 means 1e-8 */
    double weight_decay, momentum;
    bool centered, maximize;
} wk_rmsprop_opts;
/* torch.optim.RMSprop (Hinton 2012; centered: Graves 2013).  State: square_avg, with momentum momentum_buffer, centered
 * grad_avg. */
WK_API wk_optim *wk_rmsprop(wk_named_tensors parameters, wk_rmsprop_opts opts);

typedef struct wk_rprop_opts {
    double lr;                      /* of the first steps; 0 means 1e-2 */
    wk_optional etaminus, etaplus;  /* 0.5, 1.2 */
    wk_optional step_min, step_max; /* 1e-6, 50 */
    bool maximize;
} wk_rprop_opts;
/* torch.optim.Rprop (Riedmiller & Braun 1993): for gradients of the whole data set.  State: prev, step_size. */
WK_API wk_optim *wk_rprop(wk_named_tensors parameters, wk_rprop_opts opts);

typedef struct wk_asgd_opts {
    double lr;                    /* 0 means 1e-2 */
    wk_optional lambd, alpha, t0; /* 1e-4, 0.75, 1e6 */
    double weight_decay;
    bool maximize;
} wk_asgd_opts;
/* torch.optim.ASGD (Polyak & Juditsky 1992).  State: eta, mu (f64), ax: the average. */
WK_API wk_optim *wk_asgd(wk_named_tensors parameters, wk_asgd_opts opts);

typedef struct wk_lion_opts {
    double lr;                /* 0 means 1e-4 */
    wk_optional beta1, beta2; /* 0.9, 0.99 */
    double weight_decay;      /* decoupled */
    bool maximize;
} wk_lion_opts;
/* Lion (Chen et al. 2023, algorithm 2).  State: exp_avg. */
WK_API wk_optim *wk_lion(wk_named_tensors parameters, wk_lion_opts opts);

typedef struct wk_sparse_adam_opts {
    double lr;                /* 0 means 1e-3 */
    wk_optional beta1, beta2; /* 0.9, 0.999 */
    double eps;               /* 0 means 1e-8 */
    bool maximize;
} wk_sparse_adam_opts;
/* torch.optim.SparseAdam: Adam for tables whose gradients are rows (wk_embedding with `sparse`).  Rows that a step did
 * not use keep value and state, and the step costs what its rows cost.  State: exp_avg, exp_avg_sq.  Errors: a gradient
 * that is a whole tensor; gradients of this optimizer are neither clipped nor unscaled. */
WK_API wk_optim *wk_sparse_adam(wk_named_tensors parameters, wk_sparse_adam_opts opts);

typedef struct wk_lamb_opts {
    double lr; /* 0 means 1e-3 */
    wk_optional beta1, beta2;
    double eps; /* 0 means 1e-6 */
    double weight_decay;
    bool maximize;
} wk_lamb_opts;
/* LAMB (You et al. 2020, algorithm 2, φ the identity):  r = m̂ / (sqrt(v̂) + eps) + weight_decay · p;
 * p −= lr · ‖p‖ / ‖r‖ · r, the ratio 1 where a norm is 0.  State: exp_avg, exp_avg_sq. */
WK_API wk_optim *wk_lamb(wk_named_tensors parameters, wk_lamb_opts opts);

typedef struct wk_adafactor_opts {
    double lr;               /* 0 means 1e-2 */
    wk_optional beta2_decay; /* -0.8 */
    double eps1;             /* 0 means the working type's machine epsilon */
    wk_optional eps2, d;     /* 1e-3, 1 */
    double weight_decay;
    bool maximize;
} wk_adafactor_opts;
/* torch.optim.Adafactor (Shazeer & Stern 2018).  State: row_var (…, R, 1) and col_var (…, 1, C) of parameters with two
 * or more axes, variance of the others. */
WK_API wk_optim *wk_adafactor(wk_named_tensors parameters, wk_adafactor_opts opts);

typedef enum wk_muon_scale { WK_MUON_ORIGINAL, WK_MUON_MATCH_RMS_ADAMW, WK_MUON_SPECTRAL_UNCLAMPED } wk_muon_scale;
typedef struct wk_muon_opts {
    double lr;                          /* 0 means 1e-3 */
    wk_optional weight_decay, momentum; /* 0.1 (decoupled), 0.95 */
    bool no_nesterov;
    wk_optional a, b, c; /* of the Newton–Schulz iteration: 3.4445, -4.775, 2.0315 */
    double eps;          /* 0 means 1e-7 */
    int64_t ns_steps;    /* 0 means 5; at most 99 */
    int scale;           /* wk_muon_scale: how the rate depends on the matrix' shape */
} wk_muon_opts;
/* torch.optim.Muon (Jordan et al. 2024): parameters are matrices.  The iteration rounds to bf16 where PyTorch does.
 * State: momentum_buffer. */
WK_API wk_optim *wk_muon(wk_named_tensors parameters, wk_muon_opts opts);

typedef struct wk_lbfgs_opts {
    double lr;                                    /* 0 means 1 */
    int64_t max_iter, max_eval;                   /* of one step; 0 means 20, max_iter · 5 / 4 */
    wk_optional tolerance_grad, tolerance_change; /* 1e-7, 1e-9 */
    int64_t history_size;                         /* 0 means 100 */
    bool strong_wolfe;                            /* line search (Nocedal & Wright, algorithm 3.5) */
    bool maximize;
} wk_lbfgs_opts;
/* torch.optim.LBFGS: one group of parameters of one dtype, f32 or f64; steps by wk_optim_step_closure.  State over all
 * n elements: d, prev_flat_grad (n), old_dirs, old_stps (history_size, n), ro (history_size), numbers. */
WK_API wk_optim *wk_lbfgs(wk_named_tensors parameters, wk_lbfgs_opts opts);

WK_API void wk_optim_destroy(wk_optim *optim);

/* ---- steps
 * -------------------------------------------------------------------------------------------------------------------
 */

/* Update every parameter whose gradient is not empty.  Errors: WK_PENDING (nothing moved). */
WK_API wk_status wk_optim_step(wk_optim *optim);
/* Clears gradients, runs forward and backward, and gives the loss. */
typedef wk_status (*wk_closure)(void *context, double *loss);
/* The same by a closure: called once before the step, by L-BFGS as often as it needs.  `loss` (may be NULL) receives
 * the first call's. */
WK_API wk_status wk_optim_step_closure(wk_optim *optim, wk_closure closure, void *context, double *loss);
/* Mark all gradients empty: no pass over memory.  A clipping that no step used is forgotten. */
WK_API void wk_zero_grad(wk_optim *optim);
WK_API int64_t wk_optim_steps(const wk_optim *optim);    /* taken so far: the largest count of a parameter */
WK_API const char *wk_optim_name(const wk_optim *optim); /* "SGD", "Adam", "AdamW", … */

/* ---- groups and options
 * ------------------------------------------------------------------------------------------------------ */

/* What differs from group 0; what is not set is as there. */
typedef struct wk_group_opts {
    wk_optional lr, weight_decay, momentum, beta1, beta2, eps;
} wk_group_opts;
/* Add parameters with options of their own.  Errors: WK_EXISTS (a parameter that the optimizer has already),
 * WK_INVALID (an option that the optimizer does not have, or outside its range); the optimizer is unchanged then. */
WK_API wk_status wk_optim_add_group(wk_optim *optim, wk_named_tensors parameters, wk_group_opts opts);
WK_API int wk_optim_groups(const wk_optim *optim);
/* An option of a group by PyTorch's name ("lr", "weight_decay", "momentum", "eps", …; "beta1" and "beta2" for betas;
 * switches are 0 and 1).  `group` -1 sets all.  What decides which states there are cannot be set.  Errors:
 * WK_NOT_FOUND (no such option or group, with those there are), WK_INVALID (outside its range). */
WK_API wk_status wk_optim_set(wk_optim *optim, int group, const char *option, double value);
WK_API double wk_optim_get(wk_optim *optim, int group, const char *option); /* 0 with an error pending */
WK_API bool wk_optim_has(const wk_optim *optim, const char *option);
/* All groups' rate; that of group 0. */
WK_API void wk_optim_set_lr(wk_optim *optim, double lr);
WK_API double wk_optim_lr(const wk_optim *optim);

/* Those whose name matches the POSIX extended regular expression (`others`: those whose name does not).  Free with
 * wk_named_free; tensors and names belong to `all`.  Errors: WK_INVALID (the expression, with regcomp's message). */
WK_API wk_named_tensors wk_named_matching(wk_named_tensors all, const char *pattern, bool others);
WK_API void wk_named_free(wk_named_tensors list);

/* ---- state
 * -------------------------------------------------------------------------------------------------------------------
 */

/* State to store with a checkpoint, owned by the optimizer and valid until a group is added: for each parameter
 * "step.NAME" (i64 scalar), the states named with each optimizer above ("exp_avg.NAME", …), and "master.NAME" (f32) of
 * a bf16 or f16 parameter.  After writing into them call wk_optim_state_changed.
 *
 * PyTorch's state_dict is { state: { i: { step, exp_avg, … } }, param_groups: [ { lr, …, params: [ i, … ] } ] } where i
 * counts the parameters of all groups in order, from 0: state[i][KEY] is "KEY.NAME" here, with NAME the i-th name, and
 * an option of param_groups[k] is wk_optim_get(optim, k, OPTION).  SGD and Muon count steps here too. */
WK_API wk_named_tensors wk_optim_state(wk_optim *optim);
WK_API wk_status wk_optim_state_changed(wk_optim *optim);

/* ---- memory
 * ------------------------------------------------------------------------------------------------------------------ */

/* What this context's memory holds, in bytes. */
typedef struct wk_memory {
    int64_t parameters, gradients, optimizer; /* of the model; its leaves' gradients, full or not; the state,
                                                 and the casts of weights that it keeps for autocast */
    int64_t steps; /* of captured steps (wick/step.h): activations and everything else that a step makes; 0 before the
                      first replay, and where steps are not replayed */
    int64_t cache; /* given back and waiting for the next request; that of large blocks is the process's */
} wk_memory;
/* Of a model and its optimizer; either may be NULL, and counts nothing then. */
WK_API wk_memory wk_memory_of(wk_module *model, wk_optim *optim);
/* About how many items a batch may have before `limit` bytes are full, where replayed steps of `batch` items left
 * `memory`: what steps hold is taken to grow with the batch, all else to stay.  So it errs on the side of less.  0
 * where nothing can be said. */
WK_API int64_t wk_memory_largest_batch(wk_memory memory, int64_t batch, int64_t limit);

/* ---- gradients
 * --------------------------------------------------------------------------------------------------------------- */

/* Scale gradients so that their common 2-norm is at most max_norm (factor max_norm / (norm + 1e-6), at most 1).  The
 * factor is applied inside the next step, not in a pass of its own.  `norm` receives the norm before; where it is NULL
 * and the gradients lie on a device, the host does not wait for it.
 * torch.nn.utils.clip_grad_norm_ */
WK_API wk_status wk_clip_grad_norm(wk_optim *optim, double max_norm, double *norm);
typedef struct wk_clip_opts {
    double p;                /* 0 means 2; INFINITY: the largest element */
    bool error_if_nonfinite; /* WK_STATE if the norm is infinite or NaN; nothing is scaled then */
} wk_clip_opts;
/* The same for the p-norm. */
WK_API wk_status wk_clip_grad_norm_p(wk_optim *optim, double max_norm, wk_clip_opts opts, double *norm);
/* Limit each element of the gradients to [−limit, limit], in place.  torch.nn.utils.clip_grad_value_ */
WK_API wk_status wk_clip_grad_value(wk_optim *optim, double limit);

/* ---- averages of weights
 * ----------------------------------------------------------------------------------------------------- */

typedef struct wk_average wk_average;
typedef struct wk_average_opts {
    wk_optional decay; /* EMA: average += (1 − decay)(p − average), in [0, 1]; not set: the equal average of SWA */
    bool use_buffers;  /* average buffers of float types too; otherwise they are copied */
} wk_average_opts;
/* Running averages of a module's parameters, which start as copies at the first update
 * (torch.optim.swa_utils.AveragedModel; Izmailov et al. 2018), on the device where they are now.  The module must
 * outlive it, and stay there. */
WK_API wk_average *wk_average_create(wk_module *model, wk_average_opts opts);
WK_API void wk_average_destroy(wk_average *average);
/* Take the module's current weights in. */
WK_API wk_status wk_average_update(wk_average *average);
/* Exchange the module's weights and the averages: to evaluate with them, and again to go on. */
WK_API wk_status wk_average_swap(wk_average *average);
/* "n_averaged" (i64) and "module.NAME": what PyTorch's AveragedModel has as its state_dict. */
WK_API wk_named_tensors wk_average_state(wk_average *average);
/* Running statistics of all BatchNorm modules anew, as plain means over the batches that `next` gives (NULL: the end)
 * (torch.optim.swa_utils.update_bn).  Each call of `next` is followed by the end of its scope. */
WK_API wk_status wk_update_batch_norm(wk_module *model, wk_tensor *(*next)(void *context), void *context);

typedef struct wk_lookahead wk_lookahead;
typedef struct wk_lookahead_opts {
    int64_t k;         /* 0 means 5 */
    wk_optional alpha; /* 0.5 */
} wk_lookahead_opts;
/* Lookahead (Zhang et al. 2019): after every k steps of `optim`, slow += alpha · (p − slow) and p = slow.  `optim` must
 * outlive it. */
WK_API wk_lookahead *wk_lookahead_create(wk_optim *optim, wk_lookahead_opts opts);
WK_API void wk_lookahead_destroy(wk_lookahead *lookahead);
/* A step of the optimizer, and the slow weights' when it is due. */
WK_API wk_status wk_lookahead_step(wk_lookahead *lookahead);
/* "steps" (i64) and "slow.NAME". */
WK_API wk_named_tensors wk_lookahead_state(wk_lookahead *lookahead);

/* ---- loss scaling
 * ------------------------------------------------------------------------------------------------------------ */

typedef struct wk_grad_scaler wk_grad_scaler;
typedef struct wk_grad_scaler_opts {
    double init_scale, growth_factor, backoff_factor; /* 0 means 65536, 2, 0.5 */
    int64_t growth_interval;                          /* 0 means 2000 */
    bool disabled;                                    /* every call passes through */
} wk_grad_scaler_opts;
/* torch.amp.GradScaler: keeps small f16 gradients from vanishing.  A step: backward of wk_grad_scaler_scale(s, loss),
 * wk_grad_scaler_step(s, optim) instead of wk_optim_step, wk_grad_scaler_update(s).  Clipping needs
 * wk_grad_scaler_unscale before it. */
WK_API wk_grad_scaler *wk_grad_scaler_create(wk_grad_scaler_opts opts);
WK_API void wk_grad_scaler_destroy(wk_grad_scaler *scaler);
WK_API wk_tensor *wk_grad_scaler_scale(wk_grad_scaler *scaler, wk_tensor *loss);
/* Divide the gradients by the scale, in place.  Errors: WK_STATE (a second time before wk_grad_scaler_update, or after
 * the step), WK_DTYPE (f16 gradients would lose what the scale saved). */
WK_API wk_status wk_grad_scaler_unscale(wk_grad_scaler *scaler, wk_optim *optim);
/* A step of the optimizer with unscaled gradients; nothing moves if one of them is infinite or NaN.  Errors: WK_STATE
 * (a second time before wk_grad_scaler_update). */
WK_API wk_status wk_grad_scaler_step(wk_grad_scaler *scaler, wk_optim *optim);
/* The next step's scale: less after a step that moved nothing, more after growth_interval others.  Errors: WK_STATE (no
 * step before). */
WK_API wk_status wk_grad_scaler_update(wk_grad_scaler *scaler);
WK_API double wk_grad_scaler_value(const wk_grad_scaler *scaler); /* 1 when disabled */
/* scale (f32), growth_factor, backoff_factor (f64), growth_interval, _growth_tracker (i64).  After writing into them
 * call wk_grad_scaler_state_changed. */
WK_API wk_named_tensors wk_grad_scaler_state(wk_grad_scaler *scaler);
WK_API wk_status wk_grad_scaler_state_changed(wk_grad_scaler *scaler);

/* ---- schedules that drive an optimizer: see wick/lr.h; here, the learning rate as a plain function of time
 * -------------------- */

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
