/* lbfgs.h: between L-BFGS and its line search. */
#ifndef WICK_SRC_OPTIM_LBFGS_H
#define WICK_SRC_OPTIM_LBFGS_H

#include "optim/optim.h"

enum {
    WK__LBFGS_D,
    WK__LBFGS_PREVIOUS,
    WK__LBFGS_DIRS,
    WK__LBFGS_STEPS,
    WK__LBFGS_RO,
    WK__LBFGS_NUMBER,
    WK__LBFGS_TENSORS
};
/* The tensor "numbers". */
enum {
    WK__LBFGS_ITERATIONS,
    WK__LBFGS_EVALUATIONS,
    WK__LBFGS_COUNT, /* pairs in the memory */
    WK__LBFGS_H,     /* the scale of the initial inverse Hessian */
    WK__LBFGS_T,     /* the last step's length */
    WK__LBFGS_CALLS, /* of the optimizer */
    WK__LBFGS_NUMBERS = 8
};
enum { WK__LBFGS_VECTORS = 9 };

typedef struct wk__lbfgs {
    wk_lbfgs_opts opts;
    int64_t n;
    wk_dtype dtype;
    wk_tensor *tensor[WK__LBFGS_TENSORS];
} wk__lbfgs;

/* One step's working memory; vectors have n elements. */
typedef struct wk__lbfgs_run {
    wk_optim *o;
    wk__lbfgs *l;
    wk_closure closure;
    void *context;
    void *d, *g, *x, *moved, *y, *s; /* direction, gradient, where the search starts, scratch */
    void *spare[4];                  /* of the line search */
    double *al;
} wk__lbfgs_run;

/* A point x + t · d: the loss, its gradient, the slope along d. */
typedef struct wk__lbfgs_point {
    double t, f, slope;
    void *g;
} wk__lbfgs_point;

double wk__vector_dot(const wk__lbfgs *l, const void *a, const void *b);
/* Evaluate at x + t · d; fills the point, its gradient into point->g. */
wk_status wk__lbfgs_try(wk__lbfgs_run *r, double t, wk__lbfgs_point *point);
/* In: the start's loss and slope, its gradient in g, the first step t.  Out: what was found.  `most` evaluations. */
wk_status wk__strong_wolfe(wk__lbfgs_run *r, wk__lbfgs_point *point, int64_t most, int64_t *evaluations);

#endif
