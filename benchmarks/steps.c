/* steps.c: Wick's side of the step benchmarks, alone or as ranks under mpirun.
 *
 *   bench_steps overhead                   host cost of x + y
 *   bench_steps WORKLOAD [--dtype f32|bf16] [--threads N] [--steps N] [--warmup N]
 *
 * Prints one JSON line (rank 0): median step with the 10th and 90th percentile, items a second of all ranks, the first
 * step (what a user waits for), peak memory, first and last loss; with several ranks also the step without exchange of
 * gradients, taken turn by turn with the other, and the part of the exchange that backward did not hide.  What is timed
 * is the same as on the peers' side: zero the gradients, forward, backward, optimizer, the loss read; of inference the
 * forward.
 */
#include "workloads.h"

#include "wick/dist.h"
#include "wick/optim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MOST_STEPS = 100000 };

static wk_status set_up(bench *b) {
    wk_manual_seed(0);
    b->of->set_up(b);
    if (wk_failed()) return wk_error_code();
    if (wk_group_size(b->group) > 1) b->ddp = wk_ddp_create(b->group, b->net, (wk_ddp_opts){ 0 });
    return wk_failed() ? wk_error_code() : WK_OK;
}

static void train(const bench *b, double *loss_value) {
    wk_zero_grad(b->optim);
    wk_autocast was = wk_autocast_begin(b->dtype, b->dtype != WK_F32);
    wk_tensor *loss = b->of->run(b);
    wk_autocast_end(was);
    (void)wk_backward(loss);
    (void)wk_optim_step(b->optim);
    if (!wk_failed()) *loss_value = wk_item(loss);
}

static void infer(const bench *b, double *value) {
    bool gradients = wk_no_grad_begin();
    wk_autocast was = wk_autocast_begin(b->dtype, b->dtype != WK_F32);
    const wk_tensor *y = b->of->run(b);
    wk_autocast_end(was);
    wk_no_grad_end(gradients);
    if (!wk_failed()) *value = wk_at(y, 0);
}

static double step(const bench *b, bool exchange, double *loss_value) {
    wk_ddp_no_sync(b->ddp, !exchange);
    double start = wk_now();
    wk_scope scope = wk_scope_begin();
    if (b->optim)
        train(b, loss_value);
    else
        infer(b, loss_value);
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

static void run(bench *b, int steps, int warmup) {
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
    (void)printf("{\"workload\": \"%s\", \"peer\": \"wick %s\", \"dtype\": \"%s\", \"ranks\": %d, \"threads\": %d, "
                 "\"step_s\": %.7f, "
                 "\"p10\": %.7f, \"p90\": %.7f, \"items_per_s\": %.1f, "
                 "\"first_step_s\": %.5f, \"peak_mib\": %.1f, \"loss_first\": %.4f, \"loss_last\": %.4f",
                 b->of->name, wk_version(), wk_dtype_name(b->dtype), ranks, wk_threads(), median,
                 quantile(with, steps, 0.1), quantile(with, steps, 0.9), b->of->items * ranks / median, first,
                 (double)usage.ru_maxrss / 1024, first_loss, loss);
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

static int usage(void) {
    (void)fprintf(stderr, "usage: bench_steps overhead|%s [--dtype f32|bf16] [--threads N] [--steps N] [--warmup N]\n",
                  workload_names());
    return 2;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "overhead") == 0) return overhead();
    bench b = { .of = workload_find(name), .dtype = WK_F32 };
    if (!b.of) return usage();
    int threads = 0, steps = b.of->steps, warmup = 3;
    for (int i = 2; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        int number = (int)strtol(value, NULL, 10);
        if (strcmp(argv[i], "--dtype") == 0 && (strcmp(value, "f32") == 0 || strcmp(value, "bf16") == 0))
            b.dtype = *value == 'b' ? WK_BF16 : WK_F32;
        else if (strcmp(argv[i], "--threads") == 0 && number >= 0)
            threads = number;
        else if (strcmp(argv[i], "--steps") == 0 && number > 0 && number <= MOST_STEPS)
            steps = number;
        else if (strcmp(argv[i], "--warmup") == 0 && number >= 0)
            warmup = number;
        else
            return usage();
    }
    b.group = wk_group_create(NULL);
    wk_set_threads(threads);
    if (b.group && set_up(&b) == WK_OK) run(&b, steps, warmup);
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
