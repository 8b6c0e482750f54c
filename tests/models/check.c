/* check.c: see check.h. */
#define WK_NO_CALL_SITES
#include "models/check.h"

#include <math.h>
#include <string.h>

wk_tensor *model_wave(wk_dims dims) {
    wk_tensor *t = wk_empty(WK_F32, dims);
    for (int64_t i = 0; i < wk_count(t); i++) ((float *)wk_data(t))[i] = (float)sin((double)i * 0.7 + 0.2);
    return t;
}

wk_tensor *model_tokens(int64_t vocabulary, wk_dims dims) {
    wk_tensor *t = wk_empty(WK_I64, dims);
    for (int64_t i = 0; i < wk_count(t); i++) ((int64_t *)wk_data(t))[i] = (7 * i + 3 + i * i / 5) % vocabulary;
    return t;
}

/* The two numbers of common.py, within a part of the norm.  A gradient that is zero but for rounding (of a key's bias,
 * which moves all scores of a query alike) has none to speak of: `floor` is what counts as one. */
static void expect_numbers(wk_safetensors *file, wk_tensor *t, double tolerance, double floor, const char *what) {
    wk_tensor *wanted = golden_get(file, "%s", what);
    double sum = 0, square = 0;
    wk_tensor *flat = t ? wk_contiguous(wk_detach(t)) : NULL;
    for (int64_t i = 0; flat && i < wk_count(flat); i++) {
        double value = wk_at(flat, i);
        sum += value * sin((double)i * 1.3);
        square += value * value;
    }
    double norm = wk_at(wanted, 1), within = tolerance * (norm + floor);
    cr_expect(fabs(sum - wk_at(wanted, 0)) <= within && fabs(sqrt(square) - norm) <= within,
              "%s: %.9g with norm %.9g, expected %.9g with norm %.9g", what, sum, sqrt(square), wk_at(wanted, 0), norm);
}

void model_fill(wk_module *model) {
    wk_named_tensors all = wk_parameters(model);
    wk_manual_seed(1);
    for (int i = 0; i < all.count; i++) (void)wk_init_normal(all.tensor[i], wk_rank(all.tensor[i]) == 1 ? 1 : 0, 0.1);
}

static void check_tensors(wk_safetensors *file, const char *name, const char *kind, wk_named_tensors all,
                          double tolerance) {
    char what[200];
    int wanted = 0, start = snprintf(what, sizeof what, "%s/%s/", name, kind);
    for (int i = 0; i < wk_safetensors_count(file); i++)
        wanted += strncmp(wk_safetensors_name(file, i), what, (size_t)start) == 0;
    cr_expect_eq(all.count, wanted, "%s: %d tensors of %s, expected %d", name, all.count, kind, wanted);
    for (int i = 0; i < all.count; i++) {
        (void)snprintf(what, sizeof what, "%s/%s/%s", name, kind, all.name[i]);
        if (strcmp(kind, "grad") == 0)
            expect_numbers(file, wk_gradient(all.tensor[i]), tolerance, 0.1, what);
        else
            expect_numbers(file, all.tensor[i], tolerance, 1e-6, what);
    }
}

/* One run from the seed on: forward, and backward from a wave. */
typedef struct trial {
    wk_module *model;
    wk_tensor *x, *y;
} trial;

static trial run(const model_case *c) {
    wk_manual_seed(0);
    trial t = { .model = c->make() };
    cr_assert_not_null(t.model, "%s: %s", c->name, wk_message());
    if (c->fill) model_fill(t.model);
    t.x = wk_keep(c->input());
    if (wk_dtype_get(t.x) == WK_F32) t.x = wk_require_grad(t.x, true);
    t.y = c->run ? c->run(t.model, t.x) : wk_forward(t.model, t.x);
    cr_assert_not_null(t.y, "%s: %s", c->name, wk_message());
    cr_assert_eq(wk_backward_from(t.y, model_wave(wk_dims_get(t.y)), (wk_backward_opts){ 0 }), WK_OK, "%s",
                 wk_message());
    return t;
}
static void end(trial t) {
    wk_module_destroy(t.model);
    wk_release(t.x);
}

static void expect_bits(wk_tensor *a, wk_tensor *b, const char *model, const char *what) {
    if (!a && !b) return;
    a = a ? wk_contiguous(wk_detach(a)) : NULL, b = b ? wk_contiguous(wk_detach(b)) : NULL;
    cr_expect(a && b && memcmp(wk_data(a), wk_data(b), (size_t)wk_count(a) * sizeof(float)) == 0,
              "%s: two runs give other bits of %s", model, what);
}

static void check_repeats(const model_case *c, trial first) {
    trial second = run(c);
    wk_named_tensors one = wk_parameters(first.model), two = wk_parameters(second.model);
    expect_bits(first.y, second.y, c->name, "the result");
    expect_bits(wk_gradient(first.x), wk_gradient(second.x), c->name, "the input's gradient");
    for (int i = 0; i < one.count; i++)
        expect_bits(wk_gradient(one.tensor[i]), wk_gradient(two.tensor[i]), c->name, one.name[i]);
    end(second);
}

static void check(wk_safetensors *file, const model_case *c) {
    char what[100];
    const double tolerance = c->tolerance > 0 ? c->tolerance : 1e-4;
    wk_scope scope = wk_scope_begin();
    trial t = run(c);
    check_tensors(file, c->name, "state", wk_state(t.model), 1e-5);
    (void)snprintf(what, sizeof what, "%s/norm", c->name);
    expect_numbers(file, t.y, tolerance, 0, what);
    (void)snprintf(what, sizeof what, "%s/y", c->name);
    wk_tensor *wanted = golden_get(file, "%s", what), *flat = wk_reshape(wk_detach(t.y), WK_DIMS(-1));
    golden_expect_close(wk_slice(flat, 0, 0, wk_count(wanted), 1), wanted, tolerance, what);
    check_tensors(file, c->name, "grad", wk_parameters(t.model), tolerance);
    (void)snprintf(what, sizeof what, "%s/grad_x", c->name);
    if (wk_requires_grad(t.x)) expect_numbers(file, wk_gradient(t.x), tolerance, 0.1, what);
    check_repeats(c, t);
    end(t);
    wk_scope_end(scope);
}

void model_check(const char *file, const model_case *cases, int count) {
    wk_safetensors *opened = golden_open(file);
    for (int i = 0; i < count; i++) check(opened, &cases[i]);
    wk_safetensors_close(opened);
}
