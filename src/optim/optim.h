/* optim.h: what the optimizers' files share: groups, entries, and what makes one optimizer different from another. */
#ifndef WICK_SRC_OPTIM_H
#define WICK_SRC_OPTIM_H

#include "tensor/op_attrs.h"
#include "tensor/tensor.h"
#include "wick/optim.h"

enum { WK__OPTIONS = WK_STEP_SCALARS - WK_STEP_OPTION };

typedef struct wk__entry wk__entry;
typedef struct wk__group wk__group;

/* The ranges of options; NaN is in none of them. */
typedef enum wk__range {
    WK__AT_LEAST_0,
    WK__BELOW_1,
    WK__UP_TO_1,
    WK__ABOVE_0,
    WK__ABOVE_1,
    WK__AT_LEAST_1,
    WK__AT_MOST_0,
    WK__FINITE,
    WK__FIXED
} wk__range;
typedef struct wk__option {
    const char *name;
    wk__range range;
} wk__option;

/* An optimizer.  Either `row` names the row that does the step, or `update` computes one parameter's. */
typedef struct wk__optim_kind {
    const char *row;
    /* Put the new values of the entry's tensors into o->staged (wk__stage); called under no_grad in a scope.  p and g:
     * the parameter (or its master) and the scaled gradient of that type. */
    wk_status (*update)(wk_optim *o, const wk__group *group, wk__entry *entry, wk_tensor *p, wk_tensor *g);
    /* The same from a gradient that is rows, values (K, …) at rows (K): wk__stage_rows. */
    wk_status (*update_rows)(wk_optim *o, const wk__group *group, wk__entry *entry, wk_tensor *p, wk_tensor *rows,
                             wk_tensor *values);
    const char *state[WK_STEP_STATES], *number[WK_STEP_NUMBERS];
    /* Optional: the shape of a state, if it is not the parameter's; rank -1: this parameter has none. */
    wk_dims (*state_dims)(const wk_tensor *parameter, int state);
    /* Optional: why a parameter is refused, or NULL. */
    const char *(*refuses)(const wk_tensor *parameter);
    wk__option option[WK__OPTIONS]; /* scalars[WK_STEP_OPTION + i] */
} wk__optim_kind;

/* One parameter. */
struct wk__entry {
    wk_tensor *parameter;
    wk_tensor *master; /* f32, of bf16 and f16 parameters; NULL: the parameter itself is updated */
    wk_tensor *step;   /* i64 scalar */
    wk_tensor *number[WK_STEP_NUMBERS], *state[WK_STEP_STATES];
    char *name;
    uint32_t version; /* of the parameter when the master was last in step with it */
    bool elsewhere;   /* another rank steps it and has its state (shard.c): master, step, number and state are NULL */
};

struct wk__group {
    wk_tensor *scalars; /* f64 (WK_STEP_SCALARS) */
    int first, count;   /* entries */
    double initial_lr;  /* the rate when the first schedule was made for it; 0: none was */
};

/* What a constructor has worked out. */
typedef struct wk__optim_plan {
    const wk__optim_kind *kind;
    const char *name;
    double scalars[WK_STEP_SCALARS];
    int64_t states; /* mask */
    double initial[WK_STEP_STATES], initial_number[WK_STEP_NUMBERS];
    bool maximize;
} wk__optim_plan;

typedef struct wk__staged {
    wk_tensor *target, *source;
    wk_tensor *rows; /* i64 (K): where the rows of source belong; NULL: source is the whole */
} wk__staged;

typedef wk_status (*wk__optim_stepped)(void *context, wk_optim *optim);

struct wk_optim {
    wk__optim_plan plan;
    const wk_op_def *row, *norm_row, *finite_row, *adjust_row, *clip_row;
    wk__group *group;
    wk__entry *entry;
    int groups, count;
    wk_tensor **list; /* of one call */
    wk_tensor *clip;  /* f64, on the parameters' device, or NULL */
    bool clipped;     /* the next step multiplies gradients by it, too */
    wk_tensor **state_tensor;
    char **state_name;
    int state_count;
    wk__staged *staged;
    int staged_count;
    struct wk__lbfgs *lbfgs;
    wk__optim_stepped stepped; /* of an optimizer that is shared out (shard.h), or NULL */
    void *stepped_context;
};

/* Make the optimizer with its group 0; the plan's scalars are checked against the kind's ranges. */
wk_optim *wk__optim_create(const wk__optim_plan *plan, wk_named_tensors parameters);
/* Make an entry's state, as at the beginning, for the parameter that it has. */
wk_status wk__entry_state(const wk_optim *o, wk__entry *entry);
/* Rebuild the list that wk_optim_state gives. */
wk_status wk__optim_name_state(wk_optim *o);
/* Replace target's values by source's (of its count and dtype) when the whole step has been computed. */
wk_status wk__stage(wk_optim *o, wk_tensor *target, wk_tensor *source);
/* The same for rows of target, (K) of them, distinct. */
wk_status wk__stage_rows(wk_optim *o, wk_tensor *target, wk_tensor *rows, wk_tensor *source);
static inline double *wk__scalars(const wk__group *group) {
    return group->scalars->data;
}
static inline double wk__option_of(const wk__group *group, int option) {
    return wk__scalars(group)[WK_STEP_OPTION + option];
}
/* The gradients that are not empty, into o->list from `at` on; gives their number, -1 with an error pending. */
int wk__optim_gradients(wk_optim *o, int at);
/* Multiply what the next step multiplies gradients by. */
void wk__optim_scale_factor(wk_optim *o, double factor);
double wk__optim_factor(const wk_optim *o); /* its size, but for `clip` */
/* Take `clip` into it. */
wk_status wk__optim_settle_clip(wk_optim *o);
void wk__optim_reset_factor(wk_optim *o);
void wk__optim_set_found_inf(wk_optim *o, bool found);
/* Gradients · factor, in place. */
wk_status wk__optim_scale_gradients(wk_optim *o, double factor);

struct wk__lbfgs;
void wk__lbfgs_destroy(struct wk__lbfgs *lbfgs);
wk_named_tensors wk__lbfgs_state(struct wk__lbfgs *lbfgs);
/* Checks what was loaded, and takes the steps counted there over. */
wk_status wk__lbfgs_state_changed(wk_optim *o);
wk_status wk__lbfgs_step(wk_optim *o, wk_closure closure, void *context, double *loss);
/* Small tensor helpers of the composed optimizers; NULL with an error pending. */
wk_tensor *wk__sum_all(wk_tensor *x);
/* a + weight · (b − a) */
wk_tensor *wk__lerp(wk_tensor *a, wk_tensor *b, double weight);

#endif
