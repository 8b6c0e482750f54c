/* subject.c: one sample of one row, made ready, run and timed.
 *
 * A time is that of the fastest batch of calls: what else runs on the machine only ever adds, and a batch, which lasts
 * just long enough for the clock (50 µs), is short beside the time slice that it takes.
 */
#define WK_NO_CALL_SITES
#include "bench/bench.h"

#include "base/base.h"
#include "tensor/sample.h"
#include "wick/autograd.h"
#include "wick/ops.h"
#include "wick/profile.h"

#include <math.h>
#include <unistd.h>

/* On a device one wait a batch, of some 10 µs, is to be lost in it. */
static const double BATCH_SECONDS = 50e-6, DEVICE_BATCH_SECONDS = 2e-3;
const char *const wk__bench_mode_names[] = { "forward", "grad" };

void wk__subject_end(wk__subject *subject) {
    for (int i = 0; i < subject->n_in; i++) wk_release(subject->in[i]);
    for (int k = 0; k < subject->n_out; k++) wk_release(subject->given[k]);
    subject->n_in = subject->n_out = 0;
}

static bool is_written(const wk_op_def *row, int i) {
    return row->n_in != WK_LIST && (row->mutates >> i & 1) != 0;
}

wk_status wk__subject_begin(wk__subject *subject, wk_dtype dtype, const wk_sample_in *in, int n_in) {
    if (n_in > WK__BENCH_MOST_IN) return wk_fail(WK_INVALID, "%s: more than %d inputs", subject->row->name, n_in);
    wk_scope scope = wk_scope_begin();
    bool differentiable = subject->row->grad || (subject->row->composite && !subject->row->not_differentiable);
    for (int i = 0; i < n_in && !wk_failed(); i++, subject->n_in++) {
        wk_dtype own = wk__sample_dtype(subject->row, &in[i], i, dtype);
        wk_tensor *drawn = wk__sample_draw(&in[i], i, own, WK__SAMPLE_AS_SAID);
        bool stays = !drawn || wk__sample_stays(subject->row, subject->in, n_in, subject->attrs, i);
        subject->in[i] = wk_keep(stays ? drawn : wk_to_device(drawn, subject->device));
        subject->wanted[i] = differentiable && subject->in[i] && wk_dtype_is_float(own) && !is_written(subject->row, i);
    }
    if (!wk_failed()) subject->n_out = wk_op_outputs(subject->row, subject->in, n_in, subject->attrs);
    if (subject->n_out > WK__BENCH_MOST_OUT)
        (void)wk_fail(WK_INVALID, "%s: more than %d results", subject->row->name, WK__BENCH_MOST_OUT);
    wk_scope_end(scope);
    if (!wk_failed()) return WK_OK;
    subject->n_out = 0;
    wk__subject_end(subject);
    return wk_error_code();
}

/* Weights without symmetry, so that no wrong index cancels: those of the peer's side too. */
static wk_tensor *weights_of(wk_tensor *like) {
    wk_device was = wk_device_use(WK_CPU);
    wk_tensor *wide = wk_empty(WK_F64, wk_dims_get(like));
    (void)wk_device_use(was);
    double *value = wide ? wk_data(wide) : NULL;
    for (int64_t i = 0; value && i < wk_count(wide); i++)
        value[i] = 0.5 + fmod(0.618033988749895 * (double)(i + 1), 1.0);
    return wk_keep(wk_to_device(wk_cast(wide, wk_dtype_get(like)), wk_device_of(like)));
}

wk_status wk__subject_want_grad(wk__subject *subject, bool (*uses)(void *context, int output), void *context) {
    bool any_in = false, any_out = false;
    for (int i = 0; i < subject->n_in; i++) {
        if (subject->wanted[i]) (void)wk_require_grad(subject->in[i], true);
        any_in = any_in || subject->wanted[i];
    }
    if (!any_in) return WK_OK;
    wk_scope scope = wk_scope_begin();
    wk_tensor *out[WK__BENCH_MOST_OUT];
    wk_device was = wk_device_use(subject->device);
    wk_status status = wk_op_run(subject->row, subject->in, subject->n_in, out, subject->attrs);
    (void)wk_device_use(was);
    for (int k = 0; k < subject->n_out && status == WK_OK; k++) {
        bool internal = subject->row->n_out != WK_LIST && (subject->row->internal_out >> k & 1);
        if (internal || !out[k] || !wk_requires_grad(out[k]) || (uses && !uses(context, k))) continue;
        subject->given[k] = weights_of(out[k]);
        any_out = true;
    }
    wk_scope_end(scope);
    subject->has_grad = any_out;
    return wk_failed() ? wk_error_code() : status;
}

static wk_status run_grad(const wk__subject *s, wk_tensor **out, wk_tensor **gradients) {
    WK_TRY(wk_op_run(s->row, s->in, s->n_in, out, s->attrs));
    wk_tensor *outputs[WK__BENCH_MOST_OUT], *given[WK__BENCH_MOST_OUT], *inputs[WK__BENCH_MOST_IN],
        *found[WK__BENCH_MOST_IN];
    int n_out = 0, n_in = 0, next = 0;
    for (int k = 0; k < s->n_out; k++)
        if (s->given[k]) outputs[n_out] = out[k], given[n_out++] = s->given[k];
    for (int i = 0; i < s->n_in; i++)
        if (s->wanted[i]) inputs[n_in++] = s->in[i];
    WK_TRY(wk_gradients(outputs, n_out, given, inputs, n_in, found, (wk_grad_opts){ .allow_unused = true }));
    for (int i = 0; gradients && i < s->n_in; i++) gradients[i] = s->wanted[i] ? found[next++] : NULL;
    return WK_OK;
}

static wk_status run_here(const wk__subject *subject, wk__bench_mode mode, wk_tensor **out, wk_tensor **gradients) {
    if (mode == WK__BENCH_GRAD) return run_grad(subject, out, gradients);
    bool was = wk_no_grad_begin();
    wk_status status = wk_op_run(subject->row, subject->in, subject->n_in, out, subject->attrs);
    wk_no_grad_end(was);
    return status;
}

wk_status wk__subject_run(const wk__subject *subject, wk__bench_mode mode, wk_tensor **out, wk_tensor **gradients) {
    wk_device was = wk_device_use(subject->device);
    wk_status status = run_here(subject, mode, out, gradients);
    (void)wk_device_use(was);
    return status;
}

static double run_batch(const wk__subject *subject, wk__bench_mode mode, int64_t calls) {
    wk_tensor *out[WK__BENCH_MOST_OUT];
    double start = wk_now();
    for (int64_t i = 0; i < calls; i++) {
        wk_scope scope = wk_scope_begin();
        (void)wk__subject_run(subject, mode, out, NULL);
        wk_scope_end(scope);
    }
    (void)wk_device_synchronise(subject->device);
    return wk_now() - start;
}

/* Memory of its own, twice what the last cache holds, written: the operands are then nowhere else than in memory. */
static void fill_caches(void) {
    static volatile char *memory;
    static size_t bytes;
    if (!memory) {
        long last = sysconf(_SC_LEVEL3_CACHE_SIZE);
        bytes = 2 * (size_t)(last > 32 << 20 ? last : 32 << 20);
        memory = wk_alloc(bytes);
        if (!memory) return;
    }
    for (size_t i = 0; i < bytes; i += 64) memory[i]++;
}

static double cold_time(const wk__subject *subject, wk__bench_mode mode, double seconds) {
    enum { LEAST = 3 };
    double until = wk_now() + seconds, least = INFINITY;
    for (int i = 0; !wk_failed() && (i < LEAST || wk_now() < until); i++) {
        fill_caches();
        least = fmin(least, run_batch(subject, mode, 1));
    }
    return wk_failed() ? 0 : 1e9 * least;
}

double wk__subject_time(const wk__subject *subject, wk__bench_mode mode, double seconds, bool cold) {
    int64_t calls = 1;
    if (cold) return cold_time(subject, mode, seconds);
    (void)run_batch(subject, mode, 1); /* caches and storages */
    const double batch = subject->device ? DEVICE_BATCH_SECONDS : BATCH_SECONDS;
    while (!wk_failed() && run_batch(subject, mode, calls) < batch) calls *= 2;
    double until = wk_now() + seconds, least = INFINITY;
    do least = fmin(least, run_batch(subject, mode, calls) / (double)calls);
    while (!wk_failed() && wk_now() < until);
    return wk_failed() ? 0 : 1e9 * least;
}

double wk__subject_limit(const wk__subject *subject, wk__bench_mode mode, const wk__roofs *roofs, wk_dtype dtype,
                         bool cold) {
    enum { MOST_SITES = 400 };
    static wk_profile_row site[MOST_SITES];
    wk_tensor *out[WK__BENCH_MOST_OUT];
    double limit = 0;
    if (wk_failed()) return 0;
    wk_scope scope = wk_scope_begin();
    wk_profile *profile = wk_profile_begin();
    if (!profile) { /* somebody else profiles this program: as one kernel, then */
        wk_clear_error();
        wk_scope_end(scope);
        return wk__roofs_limit(roofs, dtype, wk__subject_cost(subject, mode), cold);
    }
    (void)wk__subject_run(subject, mode, out, NULL);
    wk_profile_end(profile);
    int count = wk_profile_rows(profile, site, MOST_SITES);
    for (int i = 0; i < count && i < MOST_SITES; i++) {
        double calls = (double)site[i].calls;
        const wk_cost one = { site[i].operations / calls, site[i].bytes / calls };
        limit += calls * wk__roofs_limit(roofs, dtype, one, cold && limit == 0);
    }
    wk_profile_destroy(profile);
    wk_scope_end(scope);
    return limit;
}

wk_cost wk__subject_cost(const wk__subject *subject, wk__bench_mode mode) {
    wk_tensor *out[WK__BENCH_MOST_OUT];
    wk_scope scope = wk_scope_begin();
    wk_cost_begin();
    (void)wk__subject_run(subject, mode, out, NULL);
    wk_cost cost = wk_cost_end();
    wk_scope_end(scope);
    return cost;
}
