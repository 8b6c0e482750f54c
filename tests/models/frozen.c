/* frozen.c: see check.h.  Each model runs in evaluation mode on a few inputs, is frozen, and runs on them again. */
#define WK_NO_CALL_SITES
#include "models/check.h"
#include "wick/step.h"

#include <math.h>

enum { RUNS = 5, INPUTS = 2 };

static wk_module *make(const model_case *c) {
    wk_manual_seed(0);
    wk_module *model = c->make();
    cr_assert_not_null(model, "%s: %s", c->name, wk_message());
    if (c->fill == MODEL_FILL) model_fill(model);
    if (c->fill == MODEL_REFILL) model_refill(model);
    return model;
}

static wk_tensor *run(const model_case *c, wk_module *model, int number) {
    wk_manual_seed(100); /* inputs draw from it */
    wk_tensor *x = c->input();
    /* Other values in other memory each time. */
    if (wk_dtype_get(x) == WK_F32)
        for (int64_t i = 0; i < wk_count(x); i++) ((float *)wk_data(x))[i] *= 1 + 0.1F * (float)(number % INPUTS);
    wk_tensor *y = c->run ? c->run(model, x) : wk_forward(model, x);
    cr_assert_not_null(y, "%s, run %d: %s", c->name, number, wk_message());
    return wk_cast(y, WK_F32);
}

/* Running statistics that are no longer 0 and 1; then what is to come. */
static void evaluate(const model_case *c, wk_module *model, wk_tensor *wanted[INPUTS]) {
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    for (int i = 0; i < 2; i++) (void)run(c, model, i);
    wk_module_train(model, false);
    for (int i = 0; i < INPUTS; i++) wanted[i] = wk_keep(wk_contiguous(run(c, model, i)));
    wk_no_grad_end(was);
    wk_scope_end(scope);
}

static double largest_difference(wk_tensor *a, wk_tensor *b) {
    double difference = 0, largest = 0;
    a = wk_contiguous(a);
    for (int64_t i = 0; i < wk_count(a); i++) {
        difference = fmax(difference, fabs(wk_at(a, i) - wk_at(b, i)));
        largest = fmax(largest, fabs(wk_at(b, i)));
    }
    return largest > 0 ? difference / largest : difference;
}

static void check(const model_case *c, wk_dtype dtype, double tolerance) {
    wk_tensor *wanted[INPUTS];
    wk_module *model = make(c);
    evaluate(c, model, wanted);
    cr_assert_eq(wk_module_freeze(model, (wk_freeze_opts){ .dtype = dtype }), WK_OK, "%s: %s", c->name, wk_message());
    for (int i = 0; i < RUNS; i++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *y = run(c, model, i);
        double difference = largest_difference(y, wanted[i % INPUTS]);
        cr_expect(difference <= tolerance, "%s %s, run %d: frozen, it differs by %g of the largest number", c->name,
                  wk_dtype_name(dtype), i, difference);
        cr_expect_not(wk_requires_grad(y), "%s", c->name);
        wk_scope_end(scope);
    }
    const wk_step_report report = wk_step_describe(wk_module_step(model));
    const int64_t steps = report.eager + report.captured + report.replayed; /* none of those that call their parts */
    cr_expect(steps == 0 || report.replayed * 2 >= steps, "%s %s: of %lld forwards %lld were replayed: %s", c->name,
              wk_dtype_name(dtype), (long long)steps, (long long)report.replayed,
              report.why ? report.why : "no reason given");
    for (int i = 0; i < INPUTS; i++) wk_release(wanted[i]);
    wk_module_destroy(model);
}

void model_check_frozen(const model_case *cases, int count) {
    wk_set_threads(1); /* tests run side by side */
    for (int i = 0; i < count; i++) {
        check(&cases[i], WK_F32, 2e-5);
        if (!cases[i].run) check(&cases[i], WK_BF16, 0.1); /* the others join results of several dtypes */
    }
    wk_set_threads(0);
}
