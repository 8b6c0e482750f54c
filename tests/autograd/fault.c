/* fault.c: in every row, forward and backward, every allocation fails once.
 *
 * Each trial runs in a thread of its own: caches are cold, so that their allocations fail too, and all that they hold
 * must have been given back when the thread has ended.  After the failure the same thread runs the row again.
 */
#define WK_NO_CALL_SITES
#include "support/allocator.h"
#include "support/sample.h"
#include "wick/autograd.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

enum { MOST_IN = 16, MOST_OUT = 32, MOST_TRIALS = 600 };

typedef struct trial {
    const wk_op_def *row;
    const char *label;
    const wk_sample_in *in;
    const void *attrs;
    int n_in;
    long k;       /* the allocation that fails; 0: none */
    bool reached; /* it came */
} trial;

/* The row, and the gradient of the sum of its results. */
static wk_status run(const trial *t, wk_tensor **in) {
    wk_tensor *out[MOST_OUT] = { NULL }, *total = NULL;
    const int n_out = wk_op_outputs(t->row, in, t->n_in, t->attrs);
    if (n_out < 0) return wk_error_code();
    cr_assert_leq(n_out, MOST_OUT, "%s", t->row->name);
    wk_status status = wk_op_run(t->row, in, t->n_in, out, t->attrs);
    for (int i = 0; status == WK_OK && i < n_out; i++) {
        if (!out[i] || !wk_requires_grad(out[i])) continue;
        wk_tensor *part = wk_sum(wk_cast(out[i], WK_F32), (wk_reduce_opts){ 0 });
        total = total ? wk_add(total, part) : part;
    }
    if (status == WK_OK && wk_failed()) status = wk_error_code();
    return status == WK_OK && total ? wk_backward(total) : status;
}

static void *run_trial(void *argument) {
    trial *t = argument;
    wk_tensor *in[MOST_IN] = { NULL };
    wk_set_threads(1);
    wk_scope outer = wk_scope_begin();
    for (int i = 0; i < t->n_in; i++) {
        const wk_dtype dtype =
            wk__sample_dtype(t->row, &t->in[i], i, wk__sample_serves(t->row, WK_F32) ? WK_F32 : WK_I64);
        in[i] = wk_keep(wk__sample_draw(&t->in[i], i, dtype, WK__SAMPLE_AS_SAID));
        const bool written = t->row->n_in == WK_LIST ? t->row->mutates && i > 0 : (t->row->mutates >> i & 1) != 0;
        if (in[i] && wk_dtype_is_float(dtype) && !written && !t->row->not_differentiable)
            (void)wk_require_grad(in[i], true);
    }
    for (int again = 0; again < 2; again++) {
        wk_scope scope = wk_scope_begin();
        allocator_fail_at(again ? 0 : t->k);
        const wk_status status = run(t, in);
        const bool failed = !again && t->k && allocator_has_failed();
        allocator_fail_at(0);
        t->reached = t->reached || failed;
        cr_expect_eq(status, failed ? WK_NO_MEMORY : WK_OK, "%s \"%s\", allocation %ld, %s: %s, \"%s\"", t->row->name,
                     t->label, t->k, again ? "afterwards" : "failing", wk_status_name(status), wk_message());
        wk_clear_error();
        wk_scope_end(scope);
    }
    wk_scope_end(outer);
    for (int i = 0; i < t->n_in; i++) wk_release(in[i]);
    return NULL;
}

static void run_alone(trial *t) {
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, run_trial, t), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

static long allocations;

/* The first sample of a row that is not large. */
static void one_case(wk_sampler *sampler, const char *label, const wk_sample_in *in, int n_in, const void *attrs) {
    const wk_op_def **row = sampler->context;
    if (!*row || strstr(label, "large") || strstr(label, "wide")) return;
    trial t = { .row = *row, .label = label, .in = in, .attrs = attrs, .n_in = n_in };
    *row = NULL;
    run_alone(&t); /* what the process keeps for good is there now */
    const long held = allocator_held();
    for (t.k = 1; t.k < MOST_TRIALS; t.k++) {
        t.reached = false;
        run_alone(&t);
        cr_expect_eq(allocator_held(), held, "%s \"%s\": after the failure of allocation %ld, %ld blocks are lost",
                     t.row->name, label, t.k, allocator_held() - held);
        if (!t.reached || allocator_held() != held) break;
    }
    cr_expect_lt(t.k, MOST_TRIALS, "%s", t.row->name);
    allocations += t.k - 1;
}

static void walk(int part, int parts) {
    allocator_watch();
    for (int id = part; id < wk_op_count(); id += parts) {
        const wk_op_def *row = wk_op_get(id);
        wk_sampler sampler = { .emit = one_case, .context = &row };
        if (wk__sample_is_step(row)) continue; /* tests/optim/fault.c has the optimizers' steps */
        row->samples(&sampler);
        cr_expect_null(row, "%s: no sample that is not large", row ? row->name : "");
    }
    cr_expect_gt(allocations, 500);
}
Test(fault, every_allocation_of_every_row_a) {
    walk(0, 2);
}
Test(fault, every_allocation_of_every_row_b) {
    walk(1, 2);
}
