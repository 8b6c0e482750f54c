/* replay.c: see check.h.  A few steps of training, each held to the same step without capture and replay. */
#define WK_NO_CALL_SITES
#include "models/check.h"
#include "wick/optim.h"
#include "wick/step.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS = 6, BATCHES = 2 };

typedef struct run {
    wk_module *model;
    wk_optim *optimizer;
    double loss[STEPS], norm[STEPS];
} run;

/* WICK_TEST_DEVICE, or the CPU: on a device, steps are held to those that run kernel by kernel. */
static wk_device place(void) {
    const char *name = getenv("WICK_TEST_DEVICE");
    wk_device device = WK_CPU;
    if (name && *name) cr_assert_eq(wk_device_parse(name, &device), WK_OK, "%s", wk_message());
    return device;
}

static wk_tensor *loss_of(const model_case *c, run *r, int step, wk_dtype half) {
    wk_tensor *x = c->input();
    /* Other values in other memory each time. */
    if (wk_dtype_get(x) == WK_F32)
        for (int64_t i = 0; i < wk_count(x); i++) ((float *)wk_data(x))[i] *= 1 + 0.1F * (float)(step % BATCHES);
    x = wk_to_device(x, place());
    wk_autocast was = wk_autocast_begin(half, half != WK_F32);
    wk_tensor *y = c->run ? c->run(r->model, x) : wk_forward(r->model, x);
    wk_autocast_end(was);
    y = wk_cast(y, WK_F32);
    return wk_mean(wk_mul(y, y), (wk_reduce_opts){ 0 });
}

static void train(const model_case *c, run *r, wk_dtype half, const char *name) {
    wk_manual_seed(0);
    r->model = c->make();
    cr_assert_not_null(r->model, "%s: %s", c->name, wk_message());
    if (c->fill == MODEL_FILL) model_fill(r->model);
    cr_assert_eq(wk_module_to_device(r->model, place()), WK_OK, "%s: %s", c->name, wk_message());
    r->optimizer = wk_adamw(wk_parameters(r->model), (wk_adamw_opts){ .lr = 1e-3 });
    for (int step = 0; step < STEPS; step++) {
        wk_scope scope = wk_scope_begin();
        wk_manual_seed(100 + (uint64_t)step); /* inputs draw from it too */
        if (name) cr_assert_eq(wk_step_begin(name), WK_OK, "%s: %s", c->name, wk_message());
        wk_tensor *loss = loss_of(c, r, step, half);
        wk_zero_grad(r->optimizer);
        (void)wk_backward(loss);
        (void)wk_clip_grad_norm(r->optimizer, 1, &r->norm[step]);
        (void)wk_optim_step(r->optimizer);
        r->loss[step] = wk_item(loss);
        if (name) (void)wk_step_end();
        wk_scope_end(scope);
        cr_assert(!wk_failed(), "%s, step %d: %s", c->name, step, wk_message());
    }
}

/* To where elements can be looked at. */
static void take_back(const model_case *c, run *r) {
    cr_assert_eq(wk_module_to_device(r->model, WK_CPU), WK_OK, "%s: %s", c->name, wk_message());
}

static void end(run *r) {
    wk_optim_destroy(r->optimizer);
    wk_module_destroy(r->model);
}

static void expect_same(const model_case *c, const run *plain, const run *stepped, const char *half) {
    for (int i = 0; i < STEPS; i++) {
        cr_expect_eq(plain->loss[i], stepped->loss[i], "%s %s, step %d: loss %.17g, replayed %.17g", c->name, half, i,
                     plain->loss[i], stepped->loss[i]);
        cr_expect_eq(plain->norm[i], stepped->norm[i], "%s %s, step %d: norm %.17g, replayed %.17g", c->name, half, i,
                     plain->norm[i], stepped->norm[i]);
    }
    wk_named_tensors one = wk_state(plain->model), two = wk_state(stepped->model);
    for (int i = 0; i < one.count; i++)
        cr_expect(memcmp(wk_data(one.tensor[i]), wk_data(two.tensor[i]),
                         (size_t)wk_count(one.tensor[i]) * wk_dtype_size(wk_dtype_get(one.tensor[i])))
                      == 0,
                  "%s %s: replayed steps leave another \"%s\"", c->name, half, one.name[i]);
}

static void check(const model_case *c, wk_dtype half) {
    run plain = { 0 }, stepped = { 0 };
    wk_scope scope = wk_scope_begin();
    train(c, &plain, half, NULL);
    wk_scope_end(scope);
    train(c, &stepped, half, c->name);
    take_back(c, &plain);
    take_back(c, &stepped);
    scope = wk_scope_begin();
    expect_same(c, &plain, &stepped, wk_dtype_name(half));
    wk_scope_end(scope);
    const wk_step_report report = wk_step_describe(c->name);
    cr_expect(place() == WK_CPU || report.graphs > 0, "%s %s: no graph", c->name, wk_dtype_name(half));
    cr_expect(report.captured == 1 && report.replayed == STEPS - 2,
              "%s %s: of %d steps %lld were captured and %lld replayed: %s", c->name, wk_dtype_name(half), STEPS,
              (long long)report.captured, (long long)report.replayed, report.why ? report.why : "no reason given");
    end(&plain);
    end(&stepped);
    wk_step_forget(NULL);
}

void model_check_replay(const model_case *cases, int count) {
    wk_set_threads(1); /* tests run side by side */
    for (int i = 0; i < count; i++) {
        if (cases[i].run && place() != WK_CPU) continue; /* it makes operands on the host */
        check(&cases[i], WK_F32);
        check(&cases[i], WK_BF16);
    }
    wk_set_threads(0);
}
