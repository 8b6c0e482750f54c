/* workloads.h: the networks, operands and optimizers of the step benchmarks (benchmarks/README.md). */
#ifndef WICK_BENCHMARKS_WORKLOADS_H
#define WICK_BENCHMARKS_WORKLOADS_H

#include "wick/wick.h"

typedef struct workload workload;

/* One workload made ready. */
typedef struct bench {
    const workload *of;
    wk_dtype dtype; /* WK_BF16: autocast; weights stay f32 */
    wk_group *group;
    wk_module *net;
    wk_optim *optim; /* NULL: inference */
    wk_ddp *ddp;
    wk_tensor *x, *y; /* kept; y NULL: inference */
} bench;

struct workload {
    const char *name;
    int items, steps;                  /* images, tokens or sequences a step; steps that are timed */
    void (*set_up)(bench *b);          /* net, optim, x, y; errors stay pending */
    wk_tensor *(*run)(const bench *b); /* the loss, or the result of inference */
};

/* NULL: there is none of this name. */
const workload *workload_find(const char *name);
/* "mlp|cnn|…" */
const char *workload_names(void);

#endif
