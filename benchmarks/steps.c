/* steps.c: Wick's side of the step benchmarks: the workloads `mlp` and `cnn`, alone or as ranks under mpirun.
 *
 *   bench_steps overhead                   host cost of x + y
 *   bench_steps mlp|cnn [--threads N] [--steps N] [--warmup N]
 *
 * Prints one JSON line (rank 0): median step with the 10th and 90th percentile, images a second of all ranks, the first
 * step (what a user waits for), peak memory, first and last loss; with several ranks also the step without exchange of
 * gradients, taken turn by turn with the other, and the part of the exchange that backward did not hide. The workloads
 * are those of benchmarks/README.md; inputs are made up, and what is timed is the same as on the peers' side: zero the
 * gradients, forward, backward, optimizer.
 */
#include "wick/dist.h"
#include "wick/optim.h"
#include "wick/wick.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { BATCH = 64, MOST_STEPS = 100000 };

typedef struct bench {
    wk_group *group;
    wk_module *net;
    wk_optim *optim;
    wk_ddp *ddp;
    wk_tensor *x, *y;
} bench;

static wk_module *make_mlp(void) {
    wk_layer_opts plain = { 0 };
    return wk_nn_sequential(wk_nn_linear(784, 128, plain), wk_nn_relu(), wk_nn_linear(128, 10, plain));
}

static wk_module *make_cnn(void) {
    wk_layer_opts plain = { 0 };
    wk_nn_conv2d_opts conv = { .no_bias = false };
    wk_pool_opts two = { .kernel = { 2, 2 } };
    return wk_nn_sequential(wk_nn_conv2d(1, 32, 3, conv), wk_nn_relu(), wk_nn_conv2d(32, 64, 3, conv), wk_nn_relu(),
                            wk_nn_max_pool2d(two), wk_nn_dropout(0.25), wk_nn_flatten(), wk_nn_linear(9216, 128, plain),
                            wk_nn_relu(), wk_nn_dropout(0.5), wk_nn_linear(128, 10, plain));
}

static wk_status set_up(bench *b, const char *workload) {
    wk_manual_seed(0);
    bool is_cnn = strcmp(workload, "cnn") == 0;
    b->net = is_cnn ? make_cnn() : make_mlp();
    if (!b->net) return wk_error_code();
    b->optim = is_cnn ? wk_adamw(wk_parameters(b->net), (wk_adamw_opts){ .lr = 1e-3 })
                      : wk_sgd(wk_parameters(b->net), (wk_sgd_opts){ .lr = 0.01 });
    if (wk_group_size(b->group) > 1) b->ddp = wk_ddp_create(b->group, b->net, (wk_ddp_opts){ 0 });
    b->x = wk_kept_zeros(WK_F32, is_cnn ? WK_DIMS(BATCH, 1, 28, 28) : WK_DIMS(BATCH, 784));
    b->y = wk_kept_zeros(WK_I64, WK_DIMS(BATCH));
    if (wk_failed()) return wk_error_code();
    wk_random_normal_f32(wk_default_generator(), wk_data(b->x), wk_count(b->x), 0, 1);
    int64_t *y = wk_data(b->y);
    for (int i = 0; i < BATCH; i++) y[i] = wk_random_u32(wk_default_generator()) % 10;
    return WK_OK;
}

static double step(const bench *b, bool exchange, double *loss_value) {
    wk_ddp_no_sync(b->ddp, !exchange);
    double start = wk_now();
    wk_scope scope = wk_scope_begin();
    wk_zero_grad(b->optim);
    wk_tensor *loss =
        wk_cross_entropy(wk_forward(b->net, b->x), b->y, (wk_cross_entropy_opts){ .reduction = WK_REDUCTION_MEAN });
    (void)wk_backward(loss);
    (void)wk_optim_step(b->optim);
    if (!wk_failed()) *loss_value = wk_item(loss);
    wk_scope_end(scope);
    return wk_now() - start;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *times, int count, double q) {
    qsort(times, (size_t)count, sizeof *times, by_value);
    return times[(int)(q * (count - 1) + 0.5)];
}

static void run(bench *b, const char *workload, int steps, int warmup) {
    static double with[MOST_STEPS], without[MOST_STEPS], exposed[MOST_STEPS];
    double first_loss = 0, loss = 0, first = step(b, true, &first_loss);
    for (int i = 0; i < warmup; i++) (void)step(b, true, &loss);
    int ranks = wk_group_size(b->group);
    for (int i = 0; i < steps && !wk_failed(); i++) {
        if (ranks > 1) (void)wk_barrier(b->group);
        with[i] = step(b, true, &loss);
        exposed[i] = wk_ddp_exposed_seconds(b->ddp);
        if (ranks < 2) continue;
        (void)wk_barrier(b->group);
        without[i] = step(b, false, &loss);
    }
    if (wk_failed() || wk_group_rank(b->group) != 0) return;
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    double median = quantile(with, steps, 0.5);
    (void)printf("{\"workload\": \"%s\", \"peer\": \"wick %s\", \"ranks\": %d, \"threads\": %d, \"step_s\": %.7f, "
                 "\"p10\": %.7f, \"p90\": %.7f, \"items_per_s\": %.1f, "
                 "\"first_step_s\": %.5f, \"peak_mib\": %.1f, \"loss_first\": %.4f, \"loss_last\": %.4f",
                 workload, wk_version(), ranks, wk_threads(), median, quantile(with, steps, 0.1),
                 quantile(with, steps, 0.9), BATCH * ranks / median, first, (double)usage.ru_maxrss / 1024, first_loss,
                 loss);
    if (ranks > 1)
        (void)printf(", \"step_no_exchange_s\": %.7f, \"exposed_s\": %.7f", quantile(without, steps, 0.5),
                     quantile(exposed, steps, 0.5));
    (void)printf("}\n");
}

/* Host nanoseconds of x + y on one element: the least of fifty rounds, so that what else runs does not count. */
static double add_nanoseconds(bool wants_grad) {
    wk_tensor *x = wk_kept_zeros(WK_F32, WK_DIMS(1)), *y = wk_kept_zeros(WK_F32, WK_DIMS(1));
    (void)wk_require_grad(x, wants_grad);
    double least = 1;
    for (int round = 0; round < 50; round++) {
        double start = wk_now();
        for (int step_number = 0; step_number < 100; step_number++) {
            wk_scope scope = wk_scope_begin();
            for (int i = 0; i < 100; i++) (void)wk_add(x, y);
            wk_scope_end(scope);
        }
        double each = (wk_now() - start) / 1e4;
        if (each < least) least = each;
    }
    wk_release(x);
    wk_release(y);
    return 1e9 * least;
}

static int overhead(void) {
    double plain = add_nanoseconds(false), noted = add_nanoseconds(true);
    (void)printf(
        "{\"workload\": \"overhead\", \"peer\": \"wick %s\", \"add_nograd_ns\": %.1f, \"add_grad_ns\": %.1f}\n",
        wk_version(), plain, noted);
    return wk_failed() ? (int)wk_report(stderr) : 0;
}

int main(int argc, char **argv) {
    const char *workload = argc > 1 ? argv[1] : "";
    if (strcmp(workload, "overhead") == 0) return overhead();
    bool is_mlp = strcmp(workload, "mlp") == 0;
    int threads = 0, steps = is_mlp ? 2000 : 60, warmup = 5;
    bool fits = is_mlp || strcmp(workload, "cnn") == 0;
    for (int i = 2; fits && i < argc; i += 2) {
        int value = i + 1 < argc ? (int)strtol(argv[i + 1], NULL, 10) : -1;
        if (strcmp(argv[i], "--threads") == 0)
            threads = value;
        else if (strcmp(argv[i], "--steps") == 0)
            steps = value;
        else if (strcmp(argv[i], "--warmup") == 0)
            warmup = value;
        else
            fits = false;
    }
    if (!fits || threads < 0 || warmup < 0 || steps < 1 || steps > MOST_STEPS) {
        (void)fprintf(stderr, "usage: bench_steps mlp|cnn [--threads N] [--steps N] [--warmup N]\n");
        return 2;
    }
    bench b = { .group = wk_group_create(NULL) };
    wk_set_threads(threads);
    if (b.group && set_up(&b, workload) == WK_OK) run(&b, workload, steps, warmup);
    int code = wk_failed();
    (void)wk_report(stderr);
    wk_ddp_destroy(b.ddp);
    wk_optim_destroy(b.optim);
    wk_release(b.x);
    wk_release(b.y);
    wk_module_destroy(b.net);
    wk_group_destroy(b.group);
    return code;
}
