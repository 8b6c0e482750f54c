/* fault.c: every allocation of making optimizers, schedules, averages and scalers, and of a step of each kind, fails
 * once: an error, nothing moved, nothing lost, and the next step works. */
#define WK_NO_CALL_SITES
#include "optim/support.h"
#include "support/allocator.h"
#include "wick/lr.h"

#include <pthread.h>
#include <string.h>

enum { MOST_TRIALS = 2000, KINDS = 7 };

typedef struct world {
    wk_tensor *p[2];
    wk_optim *o;
    wk_lr *lr;
    wk_grad_scaler *scaler;
    wk_lookahead *lookahead;
} world;

static wk_optim *make_optim(int kind, wk_named_tensors list) {
    switch (kind) {
    case 0: return wk_adam(list, (wk_adam_opts){ .amsgrad = true });
    case 1: return wk_nadam(list, (wk_nadam_opts){ 0 });
    case 2: return wk_lamb(list, (wk_lamb_opts){ 0 });
    case 3: return wk_adafactor(list, (wk_adafactor_opts){ 0 });
    case 4: return wk_muon(list, (wk_muon_opts){ 0 });
    case 5: return wk_lbfgs(list, (wk_lbfgs_opts){ .history_size = 3, .max_iter = 3, .strong_wolfe = true });
    default: return wk_sgd(list, (wk_sgd_opts){ .lr = 0.1 });
    }
}

static bool make_world(world *t, int kind) {
    static const char *const names[] = { "a", "b" };
    wk_dtype dtype = kind == 5 ? WK_F32 : WK_BF16;
    *t = (world){ 0 };
    for (int i = 0; i < 2; i++) {
        wk_tensor *p = wk_kept_zeros(dtype, WK_DIMS(4, 3));
        if (!p) return false;
        t->p[i] = p;
        if (!wk_require_grad(p, true)) return false;
    }
    t->o = make_optim(kind, (wk_named_tensors){ t->p, names, kind == 5 ? 2 : 1 });
    if (!t->o) return false;
    if (kind != 5
        && wk_optim_add_group(t->o, (wk_named_tensors){ t->p + 1, names + 1, 1 }, (wk_group_opts){ 0 }) != WK_OK)
        return false;
    wk_lr *parts[] = { wk_step_lr(t->o, (wk_step_lr_opts){ .step_size = 2 }), wk_exponential_lr(t->o, 0.5) };
    t->lr = wk_sequential_lr(t->o, parts, 2, (int64_t[]){ 3 });
    t->scaler = wk_grad_scaler_create((wk_grad_scaler_opts){ .init_scale = 4 });
    t->lookahead = wk_lookahead_create(t->o, (wk_lookahead_opts){ .k = 1 });
    return t->lr && wk_lr_state(t->lr).count == 3 && t->scaler && t->lookahead;
}

static void free_world(world *t) {
    wk_lookahead_destroy(t->lookahead);
    wk_grad_scaler_destroy(t->scaler);
    wk_lr_destroy(t->lr);
    wk_optim_destroy(t->o);
    for (int i = 0; i < 2; i++) wk_release(t->p[i]);
}

/* Σ (p − 1)² */
static wk_status loss_of(void *context, double *value) {
    world *t = context;
    wk_zero_grad(t->o);
    wk_scope scope = wk_scope_begin();
    wk_status status = WK_OK;
    wk_autocast was = wk_autocast_begin(WK_BF16, true);
    wk_tensor *total = NULL;
    for (int i = 0; i < 2; i++) {
        wk_tensor *shifted = wk_affine(t->p[i], (wk_affine_opts){ 1, -1 });
        wk_tensor *part = wk_sum(wk_matmul(wk_transpose(shifted, 0, 1), shifted), (wk_reduce_opts){ 0 });
        total = total ? wk_add(total, part) : part;
    }
    wk_autocast_end(was);
    if (total) *value = wk_item(total);
    status = wk_backward(t->o && wk_optim_has(t->o, "beta1") ? wk_grad_scaler_scale(t->scaler, total) : total);
    wk_scope_end(scope);
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}

static wk_status step(world *t, int kind) {
    double value = 0;
    if (kind == 5) return wk_optim_step_closure(t->o, loss_of, t, &value);
    wk_status status = loss_of(t, &value);
    if (status == WK_OK) status = wk_clip_grad_norm(t->o, 1, NULL);
    if (status == WK_OK && wk_optim_has(t->o, "beta1")) {
        status = wk_grad_scaler_step(t->scaler, t->o);
        if (status == WK_OK) status = wk_grad_scaler_update(t->scaler);
    } else if (status == WK_OK) {
        status = wk_optim_step(t->o);
    }
    if (status == WK_OK) status = wk_lr_step(t->lr);
    return status;
}

typedef struct trial {
    long k;
    int kind;
    bool reached;
} trial;

static void expect_no_memory(wk_status status, const trial *t) {
    cr_expect_eq(status, WK_NO_MEMORY, "kind %d, allocation %ld: status %s", t->kind, t->k, wk_status_name(status));
    cr_expect(strstr(wk_message(), "out of memory: "), "kind %d, allocation %ld: \"%s\"", t->kind, t->k, wk_message());
    wk_clear_error();
}

static void *make_trial(void *argument) {
    trial *t = argument;
    world made;
    wk_scope scope = wk_scope_begin();
    allocator_fail_at(t->k);
    bool all = make_world(&made, t->kind);
    t->reached = allocator_has_failed();
    allocator_fail_at(0);
    if (t->reached) {
        cr_expect_not(all, "kind %d: allocation %ld failed unnoticed", t->kind, t->k);
        expect_no_memory(wk_error_code(), t);
    } else {
        cr_expect(all, "kind %d: %s", t->kind, wk_message());
    }
    free_world(&made);
    wk_scope_end(scope);
    return NULL;
}

static void *step_trial(void *argument) {
    trial *t = argument;
    world made;
    wk_set_threads(1);
    cr_assert(make_world(&made, t->kind), "%s", wk_message());
    unsigned char before[2][48], after[2][48];
    size_t bytes = 12 * wk_dtype_size(wk_dtype_get(made.p[0]));
    for (int i = 0; i < 2; i++) memcpy(before[i], wk_data(made.p[i]), bytes);
    allocator_fail_at(t->k);
    wk_status status = step(&made, t->kind);
    t->reached = allocator_has_failed();
    allocator_fail_at(0);
    for (int i = 0; i < 2; i++) memcpy(after[i], wk_data(made.p[i]), bytes);
    bool moved = memcmp(before[0], after[0], bytes) != 0 || memcmp(before[1], after[1], bytes) != 0;
    if (t->reached && status != WK_OK) {
        expect_no_memory(status, t);
        cr_expect(!moved || t->kind == 5, "kind %d: allocation %ld failed and weights moved", t->kind, t->k);
    } else {
        cr_expect_eq(status, WK_OK, "kind %d: %s", t->kind, wk_message());
        cr_expect(moved, "kind %d: nothing moved", t->kind);
    }
    cr_expect_eq(step(&made, t->kind), WK_OK, "kind %d, the step after failure %ld: %s", t->kind, t->k, wk_message());
    wk_clear_error();
    free_world(&made);
    return NULL;
}

static void run_thread(void *(*run)(void *), trial *t) {
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, run, t), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

static void run_trials(void *(*run)(void *), int kind) {
    trial warm = { .kind = kind };
    run_thread(run, &warm);
    long held = allocator_held(), k = 1;
    for (; k < MOST_TRIALS; k++) {
        trial t = { .k = k, .kind = kind };
        run_thread(run, &t);
        cr_assert_eq(allocator_held(), held, "kind %d: after the failure of allocation %ld, %ld blocks are lost", kind,
                     k, allocator_held() - held);
        if (!t.reached) break;
    }
    cr_expect_gt(k, 10);
    cr_assert_lt(k, MOST_TRIALS);
}

Test(optim_fault, every_allocation_of_making) {
    allocator_watch();
    for (int kind = 0; kind < KINDS; kind++) run_trials(make_trial, kind);
}
Test(optim_fault, every_allocation_of_a_step) {
    allocator_watch();
    for (int kind = 0; kind < KINDS; kind++) run_trials(step_trial, kind);
}
