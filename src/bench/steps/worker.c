/* worker.c: one workload in this process, alone or as a rank under mpirun: what `wick bench steps` starts, and what a
 * profiler is given (`wick bench step`).
 *
 * Prints one JSON line (rank 0): median step with the 10th and 90th percentile, items a second of all ranks, the first
 * step and when it was finished, peak memory, first and last loss, operations and bytes by phase (limit.c); with
 * several ranks also the step without exchange of gradients, taken turn by turn with the other, and the part of the
 * exchange that backward did not hide.  (With ZeRO both steps hand parameters round.)  What is timed is the same as on
 * the peers' side: zero the gradients, forward, backward, optimizer, the loss read; of inference the forward.
 */
#define WK_NO_CALL_SITES
#include "bench/steps/steps.h"

#include "wick/autograd.h"
#include "wick/ops.h"
#include "wick/profile.h"
#include "wick/random.h"
#include "wick/step.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

static wk_status move_operand(wk_tensor **operand, wk_device device) {
    if (!*operand) return WK_OK;
    wk_scope scope = wk_scope_begin();
    wk_tensor *moved = wk_keep(wk_to_device(*operand, device));
    wk_scope_end(scope);
    if (!moved) return wk_error_code();
    wk_release(*operand);
    *operand = moved;
    return WK_OK;
}

/* Network and batch to the device; everything is drawn on the CPU, so that both begin alike. */
static wk_status move(wk__training *b) {
    WK_TRY(wk_module_to_device(b->net, b->device));
    WK_TRY(move_operand(&b->x, b->device));
    return move_operand(&b->y, b->device);
}

static wk_status set_up(wk__training *b, const wk__worker_opts *opts) {
    wk_manual_seed(0);
    b->of->set_up(b);
    if (wk_failed()) return wk_error_code();
    if (b->device) WK_TRY(move(b));
    if (wk_group_size(b->group) > 1) b->ddp = wk_ddp_create(b->group, b->net, (wk_ddp_opts){ 0 });
    if (opts->zero && (!b->ddp || !b->optim))
        return wk_fail(WK_CONFIG, "--zero %d shares out what ranks train: start a workload that trains under mpirun",
                       opts->zero);
    if (opts->zero) b->zero = wk_zero_create(b->group, b->optim);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static void tear_down(wk__training *b) {
    wk_step_forget(NULL);
    wk_zero_destroy(b->zero);
    wk_ddp_destroy(b->ddp);
    wk_optim_destroy(b->optim);
    wk_release(b->x);
    wk_release(b->y);
    wk_module_destroy(b->net);
    wk_group_destroy(b->group);
}

/* ---- one step ---- */

static void train(const wk__training *b, double *loss_value) {
    wk_zero_grad(b->optim);
    wk_autocast was = wk_autocast_begin(b->dtype, b->dtype != WK_F32);
    wk_tensor *loss = b->of->run(b);
    wk_autocast_end(was);
    (void)wk_backward(loss);
    (void)wk_optim_step(b->optim);
    if (!wk_failed()) *loss_value = wk_item(loss);
}

/* The network is frozen: its forward is a step of its own, without gradients, in the dtype that it was frozen in. */
static void infer(const wk__training *b, double *value) {
    bool was = wk_no_grad_begin();
    const wk_tensor *y = b->of->run(b);
    wk_no_grad_end(was);
    if (!wk_failed()) *value = wk_at(y, 0);
}

static double step(const wk__training *b, bool exchange, double *loss_value) {
    wk_ddp_no_sync(b->ddp, !exchange);
    double start = wk_now();
    wk_scope scope = wk_scope_begin();
    if (b->optim) {
        (void)wk_step_begin(exchange ? "step" : "step without exchange");
        train(b, loss_value);
        if (!wk_failed()) (void)wk_step_end();
    } else {
        infer(b, loss_value);
    }
    (void)wk_device_synchronise(b->device);
    wk_scope_end(scope);
    return wk_now() - start;
}

/* ---- what is measured ---- */

typedef struct figures {
    double *with, *without, *exposed; /* one a step */
    int steps;
    double first, first_at, peak_mib;
    double loss_first, loss_last;
    wk__step_cost cost;
} figures;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *times, int count, double q) {
    qsort(times, (size_t)count, sizeof *times, by_value);
    return times[(int)(q * (count - 1) + 0.5)];
}

/* The largest resident size of this program: getrusage's begins with that of the program that started it. */
static double peak_mib(void) {
    FILE *from = fopen("/proc/self/status", "re");
    char line[200];
    long kib = 0;
    while (from && fgets(line, sizeof line, from))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1) break;
    if (from) (void)fclose(from);
    return (double)kib / 1024;
}

/* Of one more step, which is not timed.  None where somebody else profiles this process. */
static wk__step_cost count_cost(const wk__training *b) {
    wk_profile *profile = wk_failed() ? NULL : wk_profile_begin();
    double loss;
    if (!profile && wk_error_code() == WK_STATE) wk_clear_error();
    (void)step(b, false, &loss);
    wk_profile_end(profile);
    wk__step_cost cost = { 0 };
    if (profile) cost = wk__step_cost_of(profile, b->of, wk_parameter_count(b->net));
    wk_profile_destroy(profile);
    return cost;
}

static void measure(const wk__training *b, int warmup, figures *f) {
    f->first = step(b, true, &f->loss_first);
    f->first_at = wk_now();
    for (int i = 0; i < warmup; i++) (void)step(b, true, &f->loss_last);
    bool ranks = wk_group_size(b->group) > 1;
    for (int i = 0; i < f->steps && !wk_failed(); i++) {
        if (ranks) (void)wk_barrier(b->group);
        f->with[i] = step(b, true, &f->loss_last);
        f->exposed[i] = wk_ddp_exposed_seconds(b->ddp);
        if (!ranks) continue;
        (void)wk_barrier(b->group);
        f->without[i] = step(b, false, &f->loss_last);
    }
    f->peak_mib = peak_mib();
    f->cost = count_cost(b);
}

static json_t *cost_object(const wk_cost *cost) {
    return json_pack("{s:f, s:f}", "operations", cost->operations, "bytes", cost->bytes);
}

static wk_status print(const wk__training *b, const figures *f) {
    char name[40];
    int ranks = wk_group_size(b->group);
    double median = quantile(f->with, f->steps, 0.5);
    (void)snprintf(name, sizeof name, "wick %s", wk_version());
    json_t *all = json_pack(
        "{s:s, s:s, s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:f, s:f}", "workload", b->of->name, "peer",
        name, "dtype", wk_dtype_name(b->dtype), "ranks", ranks, "threads", wk_threads(), "step_s", median, "p10",
        quantile(f->with, f->steps, 0.1), "p90", quantile(f->with, f->steps, 0.9), "items_per_s",
        b->of->items * ranks / median, "first_step_s", f->first, "first_step_at", f->first_at, "peak_mib", f->peak_mib,
        "parameters", (json_int_t)wk_parameter_count(b->net), "loss_first", f->loss_first, "loss_last", f->loss_last);
    (void)json_object_set_new(all, "forward", cost_object(&f->cost.forward));
    (void)json_object_set_new(all, "backward", cost_object(&f->cost.backward));
    (void)json_object_set_new(all, "optimizer", cost_object(&f->cost.optimizer));
    if (ranks > 1) {
        (void)json_object_set_new(all, "step_no_exchange_s", json_real(quantile(f->without, f->steps, 0.5)));
        (void)json_object_set_new(all, "zero", json_integer(b->zero ? 1 : 0));
        (void)json_object_set_new(all, "exposed_s", json_real(quantile(f->exposed, f->steps, 0.5)));
    }
    bool printed = all && json_dumpf(all, stdout, 0) == 0 && putchar('\n') != EOF && fflush(stdout) == 0;
    json_decref(all);
    return printed ? WK_OK : wk_fail(WK_IO, "standard output: cannot be written");
}

wk_status wk__bench_step(const wk__worker_opts *opts) {
    wk__training b = { .of = opts->of, .dtype = opts->dtype, .device = opts->device };
    figures f = { .steps = opts->steps ? opts->steps : opts->of->steps };
    /* mpirun that is killed may not get to end its ranks. */
    if (getenv("OMPI_COMM_WORLD_RANK")) (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    double *times = wk_alloc(3 * (size_t)f.steps * sizeof *times);
    if (!times) return WK_NO_MEMORY;
    f.with = times;
    f.without = times + f.steps;
    f.exposed = times + 2 * (ptrdiff_t)f.steps;
    b.group = wk_group_create(NULL);
    wk_set_threads(opts->threads);
    wk_status status = b.group ? set_up(&b, opts) : wk_error_code();
    wk_device was = wk_device_use(b.device);
    if (status == WK_OK) measure(&b, opts->warmup, &f);
    (void)wk_device_use(was);
    if (status == WK_OK) status = wk_error_code();
    if (status == WK_OK && wk_group_rank(b.group) == 0) status = print(&b, &f);
    tear_down(&b);
    wk_free(times);
    return status;
}
