/* steps.h: what the files of `wick bench steps` share: the workloads, the process that runs one, the report. */
#ifndef WICK_SRC_BENCH_STEPS_H
#define WICK_SRC_BENCH_STEPS_H

#include "bench/bench.h"
#include "wick/dist.h"
#include "wick/nn.h"
#include "wick/optim.h"

#include <jansson.h>

/* ---- workloads.c ---- */

typedef struct wk__workload wk__workload;

/* One workload made ready. */
typedef struct wk__training {
    const wk__workload *of;
    wk_dtype dtype; /* WK_BF16: autocast; weights stay f32 */
    wk_device device;
    wk_group *group;
    wk_module *net;
    wk_optim *optim; /* NULL: inference */
    wk_ddp *ddp;
    wk_zero *zero;    /* NULL: every rank has the optimizer's whole state */
    wk_tensor *x, *y; /* kept; y NULL: inference */
} wk__training;

/* Bytes a parameter: what the optimizer's step moves, and what both sides hold for all of the run. */
typedef struct wk__workload_bytes {
    int moved, held;
} wk__workload_bytes;

struct wk__workload {
    const char *name;
    int items, steps; /* images, tokens or sequences a step; steps that are timed */
    const wk__workload_bytes *bytes;
    bool convolves;                           /* the peer is tried in both layouts */
    void (*set_up)(wk__training *b);          /* net, optim, x, y; errors stay pending */
    wk_tensor *(*run)(const wk__training *b); /* the loss, or the result of inference */
};

/* NULL: there is none of this name. */
const wk__workload *wk__workload_find(const char *name);
/* "mlp, cnn, …" */
const char *wk__workload_names(void);

/* ---- limit.c ---- */

typedef struct wk__step_cost {
    wk_cost forward, backward, optimizer;
} wk__step_cost;

typedef struct wk_profile wk_profile;
/* What no implementation can do without, of a step that was profiled. */
wk__step_cost wk__step_cost_of(const wk_profile *profile, const wk__workload *of, int64_t parameters);
/* Seconds that no step of this cost can stay below. */
double wk__step_limit(const wk__step_cost *cost, const wk__roofs *roofs, wk_dtype dtype);

/* ---- worker.c ---- */

typedef struct wk__worker_opts {
    const wk__workload *of;
    wk_dtype dtype;
    wk_device device;
    int threads, steps, warmup; /* 0 threads: all; 0 steps: the workload's own */
    int zero;                   /* stage of ZeRO: 0 or 1 */
} wk__worker_opts;

/* Run one workload in this process (a rank under mpirun) and print what was measured as a line of JSON. */
wk_status wk__bench_step(const wk__worker_opts *opts);

/* ---- overhead.c ---- */

/* `wick bench overhead`: host cost of x + y and of a small network, as a line of JSON; with `peer` also PyTorch's. */
wk_status wk__bench_overhead(bool peer);

/* ---- child.c ---- */

/* Run a program (argv[0] is looked for in PATH) in a process group of its own until it has ended, for at most so many
 * seconds, and read the line of JSON that it prints; `began` receives when it was started (wk_now).  `who` ("mlp, round
 * 1, wick") begins the message where that fails; nothing of the program stays behind.  NULL with an error pending. */
json_t *wk__child_run(char *const argv[], const char *who, double patience, double *began);

/* ---- steps.c ---- */

enum { WK__STEPS_MOST = 40 };

/* What Wick is set beside: a line of the table each. */
typedef enum wk__steps_peer { WK__TORCH, WK__TORCH_COMPILED, WK__ONNX_RUNTIME, WK__STEPS_PEERS } wk__steps_peer;

typedef struct wk__steps_opts {
    const char *workload[WK__STEPS_MOST]; /* names as the user writes them */
    int workloads, rounds, threads;       /* 0 threads: all */
    wk_dtype dtype;
    wk_device device;
    bool against[WK__STEPS_PEERS];
    double patience;            /* seconds for one process */
    const char *json, *compare; /* NULL: none */
} wk__steps_opts;

/* Whether there is such a workload, before time is spent. */
wk_status wk__bench_check_workload(const char *name);
wk_status wk__bench_steps(const wk__steps_opts *opts);

/* ---- report.c ---- */

/* One side of a workload, round by round. */
typedef struct wk__steps_side {
    char name[80]; /* "wick 0.1.0", "torch 2.9.1 channels_last eager" of the last round */
    double step[WK__BENCH_MOST_ROUNDS], bare[WK__BENCH_MOST_ROUNDS]; /* seconds; bare: without exchange of gradients */
    double exposed[WK__BENCH_MOST_ROUNDS];                           /* seconds that backward waited for the exchange */
    double start[WK__BENCH_MOST_ROUNDS]; /* seconds from the process's start to the first finished step */
    double first[WK__BENCH_MOST_ROUNDS]; /* seconds of that step */
    double peak[WK__BENCH_MOST_ROUNDS];  /* bytes */
} wk__steps_side;

typedef struct wk__steps_line {
    char workload[40];
    const wk__workload *of;
    wk_dtype dtype;
    int ranks, threads, rounds; /* threads of a rank */
    wk__steps_peer against;
    int64_t parameters;
    double limit; /* seconds; 0: not known */
    wk__step_cost cost;
    wk__steps_side wick, peer; /* peer.step[0] 0: none */
} wk__steps_line;

void wk__steps_print_heading(void);
void wk__steps_print(const wk__steps_line *line);
/* `repeat`: what to type to measure it again. */
json_t *wk__steps_object(const wk__steps_line *line, const char *repeat);

#endif
