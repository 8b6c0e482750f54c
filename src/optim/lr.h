/* lr.h: a schedule's common part, and what makes one kind different from another. */
#ifndef WICK_SRC_OPTIM_LR_H
#define WICK_SRC_OPTIM_LR_H

#include "optim/optim.h"
#include "wick/lr.h"

/* The tensor "numbers": these, then GROUP_NUMBERS for each group. */
enum {
    WK__LR_TIME, /* last_epoch */
    WK__LR_STEPS,
    WK__LR_BEST,
    WK__LR_BAD,
    WK__LR_COOLDOWN,
    WK__LR_T_CUR,
    WK__LR_T_I,
    WK__LR_NUMBERS = 8
};
enum { WK__LR_BASE, WK__LR_NOW, WK__LR_MOMENTUM, WK__LR_GROUP_NUMBERS };

typedef struct wk__lr_kind {
    const char *name;
    /* The group's rate at the schedule's time, from its rate now. */
    double (*rate)(const wk_lr *s, int group, double lr);
    /* Optional: the rate as a function of time alone. */
    double (*closed)(const wk_lr *s, int group);
    /* Optional: the momentum that belongs to it. */
    double (*momentum)(const wk_lr *s, int group);
    /* Optional: another way to step. */
    wk_status (*step)(wk_lr *s);
} wk__lr_kind;

struct wk_lr {
    const wk__lr_kind *kind;
    wk_optim *o;
    wk_tensor *numbers;
    wk_lr **part;
    int64_t *milestones;
    int parts, milestone_count;
    bool is_initial;
    wk_tensor **state_tensor;
    char **state_name;
    int state_count;
    wk_lr_function function;
    void *context;
    wk_schedule schedule;
    union {
        wk_step_lr_opts step;
        double gamma;
        wk_constant_lr_opts constant;
        wk_linear_lr_opts linear;
        wk_polynomial_lr_opts polynomial;
        wk_cosine_lr_opts cosine;
        wk_warm_restarts_opts restarts;
        wk_cyclic_lr_opts cyclic;
        wk_one_cycle_lr_opts one_cycle;
        wk_plateau_opts plateau;
        wk_swa_lr_opts swa;
    } opts;
};

static inline double *wk__lr_numbers(const wk_lr *s) {
    return s->numbers->data;
}
static inline double wk__lr_time(const wk_lr *s) {
    return wk__lr_numbers(s)[WK__LR_TIME];
}
static inline double *wk__lr_group(const wk_lr *s, int group) {
    return wk__lr_numbers(s) + WK__LR_NUMBERS + group * WK__LR_GROUP_NUMBERS;
}
static inline double wk__lr_base(const wk_lr *s, int group) {
    return wk__lr_group(s, group)[WK__LR_BASE];
}

/* A schedule without parts, at time −1; NULL with an error pending. */
wk_lr *wk__lr_create(const wk__lr_kind *kind, wk_optim *o);
/* To time 0, as all constructors end; gives the schedule. */
wk_lr *wk__lr_begin(wk_lr *s);
/* Rates (and momenta) of the schedule's time. */
void wk__lr_apply(wk_lr *s);
/* To time 0 again, by the closed form where there is one. */
void wk__lr_restart(wk_lr *s);
void wk__lr_set_momentum(wk_lr *s, int group, double value);
extern const wk__lr_kind wk__lr_plateau, wk__lr_sequential, wk__lr_chained;

#endif
