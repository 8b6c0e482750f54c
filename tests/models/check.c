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

wk_tensor *model_noise(wk_dims dims) {
    wk_tensor *t = wk_empty(WK_F32, dims);
    wk_manual_seed(5);
    wk_random_uniform_f32(wk_default_generator(), wk_data(t), wk_count(t), -1, 1);
    return t;
}

wk_tensor *model_tokens(int64_t vocabulary, wk_dims dims) {
    wk_tensor *t = wk_empty(WK_I64, dims);
    for (int64_t i = 0; i < wk_count(t); i++) ((int64_t *)wk_data(t))[i] = (7 * i + 3 + i * i / 5) % vocabulary;
    return t;
}

/* The two numbers of common.py. */
typedef struct numbers {
    double sum, norm;
} numbers;
static numbers numbers_of(wk_tensor *t) {
    numbers n = { 0 };
    wk_tensor *flat = t ? wk_contiguous(wk_detach(t)) : NULL;
    const float *f32 = flat && wk_dtype_get(flat) == WK_F32 ? wk_data(flat) : NULL;
    for (int64_t i = 0; flat && i < wk_count(flat); i++) {
        double value = f32 ? (double)f32[i] : wk_at(flat, i);
        n.sum += value * sin((double)i * 1.3);
        n.norm += value * value;
    }
    n.norm = sqrt(n.norm);
    return n;
}

/* Within a part of the norm.  A gradient that is zero but for rounding (of a key's bias, which moves all scores of a
 * query alike; of what batch normalisation subtracts again) has none to speak of: `floor` is what counts as one. */
static void expect_numbers(wk_safetensors *file, wk_tensor *t, double tolerance, double floor, const char *what) {
    wk_tensor *wanted = golden_get(file, "%s", what);
    numbers got = numbers_of(t);
    double norm = wk_at(wanted, 1), within = tolerance * (norm + floor);
    cr_expect(fabs(got.sum - wk_at(wanted, 0)) <= within && fabs(got.norm - norm) <= within,
              "%s: %.9g with norm %.9g, expected %.9g with norm %.9g", what, got.sum, got.norm, wk_at(wanted, 0), norm);
}

void model_fill(wk_module *model) {
    wk_named_tensors all = wk_parameters(model);
    wk_manual_seed(1);
    for (int i = 0; i < all.count; i++) (void)wk_init_normal(all.tensor[i], wk_rank(all.tensor[i]) == 1 ? 1 : 0, 0.1);
}

void model_refill(wk_module *model) {
    wk_named_tensors all = wk_parameters(model);
    wk_manual_seed(2);
    for (int i = 0; i < all.count; i++) {
        wk_tensor *p = all.tensor[i];
        const double bound = sqrt(6.0 * (double)wk_size(p, 0) / (double)wk_count(p));
        (void)wk_init_uniform(p, wk_rank(p) > 1 ? -bound : -0.5, wk_rank(p) > 1 ? bound : 0.5);
        const char *last = strrchr(all.name[i], '.');
        if (wk_rank(p) > 1 || strcmp(last ? last : all.name[i], ".bias") == 0) continue;
        for (int64_t k = 0; k < wk_count(p); k++) ((float *)wk_data(p))[k] += 1;
    }
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

/* One run from the seed on: the state that a file holds, if one is given; forward, and backward from a wave. */
typedef struct trial {
    wk_module *model;
    wk_tensor *x, *y;
} trial;

static trial run(const model_case *c, wk_safetensors *file, bool f64) {
    wk_manual_seed(0);
    trial t = { .model = c->make() };
    cr_assert_not_null(t.model, "%s: %s", c->name, wk_message());
    if (c->fill == MODEL_FILL) model_fill(t.model);
    if (file) check_tensors(file, c->name, "state", wk_state(t.model), 1e-5);
    if (c->fill == MODEL_REFILL) model_refill(t.model);
    wk_tensor *x = c->input();
    const bool continuous = wk_dtype_get(x) == WK_F32;
    if (f64) {
        cr_assert_eq(wk_module_to(t.model, WK_F64), WK_OK, "%s: %s", c->name, wk_message());
        x = continuous ? wk_cast(x, WK_F64) : x;
    }
    t.x = wk_keep(x);
    if (continuous) t.x = wk_require_grad(t.x, true);
    t.y = c->run ? c->run(t.model, t.x) : wk_forward(t.model, t.x);
    cr_assert_not_null(t.y, "%s: %s", c->name, wk_message());
    wk_tensor *seed = wk_cast(model_wave(wk_dims_get(t.y)), wk_dtype_get(t.y));
    cr_assert_eq(wk_backward_from(t.y, seed, (wk_backward_opts){ 0 }), WK_OK, "%s", wk_message());
    return t;
}
static void end(trial t) {
    wk_module_destroy(t.model);
    wk_release(t.x);
}

static void expect_bits(wk_tensor *a, wk_tensor *b, const char *model, const char *what) {
    if (!a && !b) return;
    const size_t size = b ? wk_dtype_size(wk_dtype_get(b)) : 0;
    a = a ? wk_contiguous(wk_detach(a)) : NULL, b = b ? wk_contiguous(wk_detach(b)) : NULL;
    cr_expect(a && b && memcmp(wk_data(a), wk_data(b), (size_t)wk_count(a) * size) == 0,
              "%s: two runs give other bits of %s", model, what);
}

/* oneDNN splits a convolution's sum over the batch between the threads. */
static bool is_of_convolution(wk_module *model, const char *parameter) {
    char path[200];
    (void)snprintf(path, sizeof path, "%s", parameter);
    char *last = strrchr(path, '.');
    if (!last) return false;
    *last = 0;
    return strncmp(wk_module_find(model, path)->class_->name, "Conv", 4) == 0;
}

static bool has_convolution(wk_named_tensors parameters, wk_module *model) {
    for (int i = 0; i < parameters.count; i++)
        if (is_of_convolution(model, parameters.name[i])) return true;
    return false;
}

static void check_repeats(const model_case *c, trial first, bool same_threads) {
    trial second = run(c, NULL, false);
    wk_named_tensors one = wk_parameters(first.model), two = wk_parameters(second.model);
    /* Without AVX-512 the input's gradient of a convolution, too, is summed in parts, and so is all behind it. */
    bool bits = same_threads || __builtin_cpu_supports("avx512f") || !has_convolution(one, first.model);
    if (bits) expect_bits(first.y, second.y, c->name, "the result");
    if (bits) expect_bits(wk_gradient(first.x), wk_gradient(second.x), c->name, "the input's gradient");
    for (int i = 0; i < one.count && bits; i++)
        if (same_threads || !is_of_convolution(first.model, one.name[i]))
            expect_bits(wk_gradient(one.tensor[i]), wk_gradient(two.tensor[i]), c->name, one.name[i]);
    if (!bits) golden_expect_close(wk_detach(first.y), wk_detach(second.y), 1e-4, c->name);
    end(second);
}

/* The elements that a file holds of a result, which are the first. */
static void expect_first(wk_safetensors *file, wk_tensor *y, double tolerance, const char *what) {
    cr_assert_not_null(y, "%s: %s", what, wk_message());
    wk_tensor *wanted = golden_get(file, "%s", what), *flat = wk_reshape(wk_detach(y), WK_DIMS(-1));
    flat = wk_slice(flat, 0, 0, wk_count(wanted), 1);
    golden_expect_close(wk_cast(flat, WK_F32), wanted, tolerance > 2e-7 ? tolerance : 2e-7, what); /* kept as f32 */
}

static void check_result(wk_safetensors *file, const char *name, trial t, double tolerance) {
    char what[100];
    (void)snprintf(what, sizeof what, "%s/norm", name);
    expect_numbers(file, t.y, tolerance, 0, what);
    (void)snprintf(what, sizeof what, "%s/y", name);
    expect_first(file, t.y, tolerance, what);
}
static void check_gradients(wk_safetensors *file, const char *name, trial t, double tolerance) {
    char what[100];
    check_tensors(file, name, "grad", wk_parameters(t.model), tolerance);
    (void)snprintf(what, sizeof what, "%s/grad_x", name);
    if (wk_requires_grad(t.x)) expect_numbers(file, wk_gradient(t.x), tolerance, 0.1, what);
}
/* In evaluation mode, where the file says what comes then. */
static void check_evaluated(wk_safetensors *file, const char *name, trial t, double tolerance) {
    char what[100];
    (void)snprintf(what, sizeof what, "%s/evaluated", name);
    wk_module_train(t.model, false);
    if (wk_safetensors_has(file, what)) expect_first(file, wk_forward(t.model, t.x), tolerance, what);
}

static void check(wk_safetensors *file, const model_case *c, bool exact) {
    const double tolerance = c->tolerance > 0 ? c->tolerance : 1e-4;
    wk_scope scope = wk_scope_begin();
    trial t = run(c, file, false);
    check_result(file, c->name, t, tolerance);
    if (!exact) check_gradients(file, c->name, t, tolerance);
    check_repeats(c, t, true);
    check_evaluated(file, c->name, t, tolerance);
    end(t);
    wk_scope_end(scope);
}

static void check_f64(wk_safetensors *file, const model_case *c) {
    wk_scope scope = wk_scope_begin();
    trial t = run(c, NULL, true);
    check_result(file, c->name, t, 1e-9);
    check_gradients(file, c->name, t, 1e-9);
    check_evaluated(file, c->name, t, 1e-9);
    end(t);
    wk_scope_end(scope);
}

static void check_all(const char *file, const model_case *cases, int count, bool exact) {
    wk_safetensors *opened = golden_open(file);
    wk_set_threads(1); /* tests run side by side */
    for (int i = 0; i < count; i++) {
        check(opened, &cases[i], exact);
        if (exact) check_f64(opened, &cases[i]);
    }
    wk_set_threads(0);
    wk_safetensors_close(opened);
}
void model_check(const char *file, const model_case *cases, int count) {
    check_all(file, cases, count, false);
}
void model_check_exact(const char *file, const model_case *cases, int count) {
    check_all(file, cases, count, true);
}

void model_check_threads(const model_case *cases, int count) {
    for (int i = 0; i < count; i++) {
        wk_scope scope = wk_scope_begin();
        wk_set_threads(1);
        trial first = run(&cases[i], NULL, false);
        wk_set_threads(3);
        check_repeats(&cases[i], first, false);
        wk_set_threads(0);
        end(first);
        wk_scope_end(scope);
    }
}

void model_check_digest(const char *file, const char *name, wk_module *(*make)(void)) {
    wk_safetensors *opened = golden_open(file);
    wk_scope scope = wk_scope_begin();
    wk_manual_seed(0);
    wk_module *model = make();
    cr_assert_not_null(model, "%s: %s", name, wk_message());
    wk_tensor *wanted = golden_get(opened, "%s/digest", name);
    wk_named_tensors all = wk_state(model);
    uint32_t names = 0;
    numbers sum = { 0 };
    for (int i = 0; i < all.count; i++) {
        for (const char *p = all.name[i]; *p; p++) names = names * 31 + (unsigned char)*p;
        names = names * 31 + '\n';
        numbers n = numbers_of(all.tensor[i]);
        sum.sum += (i + 1) * n.sum, sum.norm += (i + 1) * n.norm;
    }
    cr_expect_eq(all.count, (int)wk_at(wanted, 0), "%s: %d tensors, expected %g", name, all.count, wk_at(wanted, 0));
    cr_expect_eq(names, (uint32_t)wk_at(wanted, 1), "%s: other names or another order of them", name);
    double within = 1e-6 * wk_at(wanted, 3);
    cr_expect(fabs(sum.sum - wk_at(wanted, 2)) <= within && fabs(sum.norm - wk_at(wanted, 3)) <= within,
              "%s: %.9g with norms %.9g, expected %.9g with %.9g", name, sum.sum, sum.norm, wk_at(wanted, 2),
              wk_at(wanted, 3));
    wk_module_destroy(model);
    wk_scope_end(scope);
    wk_safetensors_close(opened);
}
