/* wick/lr.h: learning-rate schedules that drive an optimizer's groups, as torch.optim.lr_scheduler does.
 *
 * A schedule sets the rates when it is made (time 0) and at each wk_lr_step: after each epoch, or after each optimizer
 * step, whatever its units are.  Rates follow PyTorch's recursions, so somebody else may change a group's rate between
 * two steps and schedules may be chained.  The optimizer must outlive its schedules and get no group after the first.
 * Constructors give NULL with an error pending: WK_INVALID, with the option and its range.
 */
#ifndef WICK_LR_H
#define WICK_LR_H

#include "wick/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_lr wk_lr;

/* The next time.  Errors: WK_INVALID (a schedule that wants a metric, one that is past its end). */
WK_API wk_status wk_lr_step(wk_lr *schedule);
/* The same for wk_reduce_lr_on_plateau: the loss or score of the epoch. */
WK_API wk_status wk_lr_step_metric(wk_lr *schedule, double metric);
WK_API void wk_lr_destroy(wk_lr *schedule);
/* The next schedule of this optimizer begins at the rates that its groups have now, and not at those that the first
 * one began at (PyTorch: without "initial_lr" in the groups). */
WK_API void wk_optim_begin_rates(wk_optim *optim);
/* What to store: one f64 tensor "numbers" (PyTorch's last_epoch and counters; base rate, rate and momentum of each
 * group), and those of parts under "0.", "1.", …  After writing into them call wk_lr_state_changed, which also sets
 * the optimizer's rates. */
WK_API wk_named_tensors wk_lr_state(wk_lr *schedule);
WK_API wk_status wk_lr_state_changed(wk_lr *schedule);

/* lr = base_lr · f(t);  lr *= f(t) */
typedef double (*wk_lr_function)(void *context, int64_t t);
WK_API wk_lr *wk_lambda_lr(wk_optim *optim, wk_lr_function f, void *context);
WK_API wk_lr *wk_multiplicative_lr(wk_optim *optim, wk_lr_function f, void *context);
/* lr = wk_schedule_lr(schedule, t): warm-up with cosine, above all.  Rates of groups keep their ratio to group 0's. */
WK_API wk_lr *wk_schedule_as_lr(wk_optim *optim, wk_schedule schedule);

typedef struct wk_step_lr_opts {
    int64_t step_size;
    wk_optional gamma; /* 0.1 */
} wk_step_lr_opts;
WK_API wk_lr *wk_step_lr(wk_optim *optim, wk_step_lr_opts opts);
typedef struct wk_multi_step_lr_opts {
    const int64_t *milestones; /* copied; a time may stand in it more than once */
    int count;
    wk_optional gamma; /* 0.1 */
} wk_multi_step_lr_opts;
WK_API wk_lr *wk_multi_step_lr(wk_optim *optim, wk_multi_step_lr_opts opts);
typedef struct wk_constant_lr_opts {
    wk_optional factor;  /* 1/3, in [0, 1] */
    int64_t total_iters; /* 0 means 5 */
} wk_constant_lr_opts;
WK_API wk_lr *wk_constant_lr(wk_optim *optim, wk_constant_lr_opts opts);
typedef struct wk_linear_lr_opts {
    wk_optional start_factor, end_factor; /* 1/3, 1 */
    int64_t total_iters;                  /* 0 means 5 */
} wk_linear_lr_opts;
WK_API wk_lr *wk_linear_lr(wk_optim *optim, wk_linear_lr_opts opts);
WK_API wk_lr *wk_exponential_lr(wk_optim *optim, double gamma);
typedef struct wk_polynomial_lr_opts {
    int64_t total_iters; /* 0 means 5 */
    wk_optional power;   /* 1 */
} wk_polynomial_lr_opts;
WK_API wk_lr *wk_polynomial_lr(wk_optim *optim, wk_polynomial_lr_opts opts);

/* Loshchilov & Hutter 2017 */
typedef struct wk_cosine_lr_opts {
    int64_t t_max;
    double eta_min;
} wk_cosine_lr_opts;
WK_API wk_lr *wk_cosine_annealing_lr(wk_optim *optim, wk_cosine_lr_opts opts);
typedef struct wk_warm_restarts_opts {
    int64_t t_0, t_mult; /* t_mult 0 means 1 */
    double eta_min;
} wk_warm_restarts_opts;
WK_API wk_lr *wk_cosine_annealing_warm_restarts(wk_optim *optim, wk_warm_restarts_opts opts);

/* One part after the other: part i from milestones[i − 1] on.  Takes the parts over, also when it fails.  Parts must
 * not be sequential, chained or of plateaus. */
WK_API wk_lr *wk_sequential_lr(wk_optim *optim, wk_lr *const *parts, int count, const int64_t *milestones);
/* All parts at each step.  Takes them over, also when it fails. */
WK_API wk_lr *wk_chained_lr(wk_optim *optim, wk_lr *const *parts, int count);

typedef enum wk_cyclic_mode { WK_CYCLIC_TRIANGULAR, WK_CYCLIC_TRIANGULAR2, WK_CYCLIC_EXP_RANGE } wk_cyclic_mode;
typedef struct wk_cyclic_lr_opts {
    double base_lr, max_lr;
    int64_t step_size_up, step_size_down; /* 0 means 2000, step_size_up */
    int mode;                             /* wk_cyclic_mode */
    wk_optional gamma;                    /* 1, of EXP_RANGE */
    bool no_cycle_momentum;
    wk_optional base_momentum, max_momentum; /* 0.8, 0.9 */
} wk_cyclic_lr_opts;
/* Smith 2017.  Momentum (or beta1) moves against the rate. */
WK_API wk_lr *wk_cyclic_lr(wk_optim *optim, wk_cyclic_lr_opts opts);
typedef struct wk_one_cycle_lr_opts {
    double max_lr;
    int64_t total_steps;
    wk_optional pct_start; /* 0.3 */
    bool linear;           /* instead of cosine */
    bool no_cycle_momentum;
    wk_optional base_momentum, max_momentum;  /* 0.85, 0.95 */
    wk_optional div_factor, final_div_factor; /* 25, 1e4 */
    bool three_phase;
} wk_one_cycle_lr_opts;
/* Smith & Topin 2018.  Errors of wk_lr_step: past total_steps. */
WK_API wk_lr *wk_one_cycle_lr(wk_optim *optim, wk_one_cycle_lr_opts opts);

typedef struct wk_plateau_opts {
    bool max;              /* the metric is to grow */
    wk_optional factor;    /* 0.1, below 1 */
    wk_optional patience;  /* 10 */
    wk_optional threshold; /* 1e-4 */
    bool absolute;         /* the threshold is no fraction of the best */
    int64_t cooldown;
    double min_lr;
    wk_optional eps; /* 1e-8: smaller changes are left out */
} wk_plateau_opts;
WK_API wk_lr *wk_reduce_lr_on_plateau(wk_optim *optim, wk_plateau_opts opts);

typedef struct wk_swa_lr_opts {
    double swa_lr;
    wk_optional anneal_epochs; /* 10 */
    bool linear;               /* instead of cosine */
} wk_swa_lr_opts;
/* torch.optim.swa_utils.SWALR */
WK_API wk_lr *wk_swa_lr(wk_optim *optim, wk_swa_lr_opts opts);

#ifdef __cplusplus
}
#endif
#endif
