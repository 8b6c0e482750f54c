/* goldens.c: twenty steps of each optimizer, and the schedules, as PyTorch computes them. */
#define WK_NO_CALL_SITES
#include "support/golden.h"
#include "wick/optim.h"

typedef wk_optim *make(wk_named_tensors p);
#define MAKE(name, call)                        \
    static wk_optim *name(wk_named_tensors p) { \
        return call;                            \
    }
#define SGD(...)   wk_sgd(p, (wk_sgd_opts){ __VA_ARGS__ })
#define ADAM(...)  wk_adam(p, (wk_adam_opts){ __VA_ARGS__ })
#define ADAMW(...) wk_adamw(p, (wk_adamw_opts){ __VA_ARGS__ })
MAKE(sgd, SGD(.lr = 0.1))
MAKE(sgd_momentum, SGD(.lr = 0.1, .momentum = 0.9))
MAKE(sgd_nesterov, SGD(.lr = 0.05, .momentum = 0.8, .nesterov = true, .weight_decay = 0.01))
MAKE(sgd_decay, SGD(.lr = 0.1, .weight_decay = 0.1))
MAKE(sgd_dampening, SGD(.lr = 0.1, .momentum = 0.9, .dampening = 0.3))
MAKE(adam, ADAM(.lr = 0.01))
MAKE(adam_decay, ADAM(.lr = 0.02, .beta1 = WK_SET(0.8), .beta2 = WK_SET(0.95), .eps = 1e-6, .weight_decay = 0.1))
MAKE(adamw, ADAMW(.lr = 0.01))
MAKE(adamw_decay, ADAMW(.lr = 0.02, .beta1 = WK_SET(0.7), .beta2 = WK_SET(0.9), .weight_decay = WK_SET(0.2)))
MAKE(adamw_clip, ADAMW(.lr = 0.01))

#define NAMED(name) \
    { #name, name }
static const struct {
    const char *name;
    make *make;
} optimizers[] = { NAMED(sgd),  NAMED(sgd_momentum), NAMED(sgd_nesterov), NAMED(sgd_decay),   NAMED(sgd_dampening),
                   NAMED(adam), NAMED(adam_decay),   NAMED(adamw),        NAMED(adamw_decay), NAMED(adamw_clip) };

/* Σ p · g has the gradient g. */
static void give_gradient(wk_safetensors *file, const char *dtype, wk_tensor *const *p, int step) {
    wk_tensor *total = NULL;
    for (int i = 0; i < 2; i++) {
        wk_tensor *g = golden_get(file, "%s/gradient.%d.%d", dtype, step, i);
        wk_tensor *part = wk_sum(wk_mul(p[i], g), (wk_reduce_opts){ 0 });
        total = total ? wk_add(total, part) : part;
    }
    cr_assert_eq(wk_backward(total), WK_OK, "%s", wk_message());
}

static void check(wk_safetensors *file, int which, const char *dtype, double tolerance) {
    static const char *const names[] = { "first", "second" };
    wk_scope outer = wk_scope_begin();
    wk_tensor *p[2];
    for (int i = 0; i < 2; i++) {
        wk_tensor *start = golden_get(file, "%s/start.%d", dtype, i);
        p[i] = wk_require_grad(wk_kept_zeros(wk_dtype_get(start), wk_dims_get(start)), true);
        cr_assert_eq(wk_copy_into(p[i], start), WK_OK);
    }
    wk_optim *optim = optimizers[which].make((wk_named_tensors){ p, names, 2 });
    cr_assert_not_null(optim, "%s", wk_message());
    for (int step = 0; step < 20; step++) {
        wk_scope scope = wk_scope_begin();
        double norm = 0;
        wk_zero_grad(optim);
        give_gradient(file, dtype, p, step);
        if (optimizers[which].make == adamw_clip) cr_assert_eq(wk_clip_grad_norm(optim, 2.5, &norm), WK_OK);
        cr_assert_eq(wk_optim_step(optim), WK_OK, "%s", wk_message());
        for (int i = 0; i < 2; i++) {
            char what[80];
            wk_tensor *wanted = golden_find(file, "%s/%s/%d.%d", dtype, optimizers[which].name, step, i);
            (void)snprintf(what, sizeof what, "%s %s, step %d", optimizers[which].name, dtype, step);
            if (wanted)
                golden_expect_close(p[i], wanted, tolerance, what);
            else
                cr_assert(step != 0 && step != 1 && step != 19, "%s is not in the file", what);
        }
        wk_scope_end(scope);
    }
    cr_expect_eq(wk_optim_steps(optim), 20);
    wk_optim_destroy(optim);
    for (int i = 0; i < 2; i++) wk_release(p[i]);
    wk_scope_end(outer);
}

Test(optimizers, twenty_steps) {
    wk_safetensors *file = golden_open("optimizers.safetensors");
    for (int which = 0; which < (int)(sizeof optimizers / sizeof optimizers[0]); which++) {
        check(file, which, "f64", 1e-13);
        check(file, which, "f32", 2e-6);
    }
    wk_safetensors_close(file);
}

Test(schedules, as_pytorch) {
    wk_safetensors *file = golden_open("optimizers.safetensors");
    wk_scope scope = wk_scope_begin();
    const wk_schedule step = { .kind = WK_SCHEDULE_STEP, .base_lr = 0.4, .step_size = 3, .gamma = WK_SET(0.5) };
    const wk_schedule cosine = {
        .kind = WK_SCHEDULE_COSINE, .base_lr = 0.3, .warmup_steps = 5, .total_steps = 25, .min_lr = 0.01
    };
    const struct {
        const char *name;
        const wk_schedule *schedule;
    } all[] = { { "schedule/step", &step }, { "schedule/cosine", &cosine } };
    for (int k = 0; k < 2; k++) {
        wk_tensor *wanted = golden_get(file, "%s", all[k].name);
        for (int64_t t = 0; t < wk_count(wanted); t++)
            cr_expect_float_eq(wk_schedule_lr(all[k].schedule, t), wk_at(wanted, t), 1e-15, "%s at %lld", all[k].name,
                               (long long)t);
    }
    wk_scope_end(scope);
    wk_safetensors_close(file);
}

/* ---- what is refused ---- */

Test(optimizers, bad_options_are_named) {
    const wk_named_tensors none = { 0 };
    cr_assert_null(wk_sgd(none, (wk_sgd_opts){ .lr = 0 }));
    cr_expect_str_eq(wk_message(), "SGD: lr is 0, expected a positive number");
    wk_clear_error();
    cr_assert_null(wk_sgd(none, (wk_sgd_opts){ .lr = 1, .nesterov = true }));
    cr_expect_str_eq(wk_message(), "SGD: nesterov needs momentum > 0 and dampening 0");
    wk_clear_error();
    cr_assert_null(wk_adamw(none, (wk_adamw_opts){ .beta1 = WK_SET(1) }));
    cr_expect_str_eq(wk_message(), "AdamW: beta1 is 1, expected in [0, 1)");
    wk_clear_error();
}

Test(optimizers, a_pending_error_moves_nothing) {
    wk_tensor *p = wk_require_grad(wk_kept_zeros(WK_F32, WK_DIMS(3)), true);
    const char *name = "p";
    wk_optim *optim = wk_sgd((wk_named_tensors){ &p, &name, 1 }, (wk_sgd_opts){ .lr = 1 });
    wk_scope scope = wk_scope_begin();
    cr_assert_eq(wk_backward(wk_sum(wk_scale(p, 2), (wk_reduce_opts){ 0 })), WK_OK);
    (void)wk_fail(WK_INVALID, "something else");
    cr_expect_eq(wk_optim_step(optim), WK_PENDING);
    cr_expect_str_eq(wk_message(), "something else");
    wk_clear_error();
    cr_expect_eq(wk_at(p, 0), 0.0);
    cr_expect_eq(wk_optim_steps(optim), 0);
    cr_expect_eq(wk_optim_step(optim), WK_OK);
    cr_expect_eq(wk_at(p, 2), -2.0);
    wk_scope_end(scope);
    wk_optim_destroy(optim);
    wk_release(p);
}
