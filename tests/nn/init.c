/* init.c: initial values against torch.nn.init (tests/golden/init.py). */
#define WK_NO_CALL_SITES
#include "support/golden.h"
#include "wick/nn.h"

#include <math.h>
#include <string.h>

static wk_tensor *uniform(wk_tensor *t) {
    return wk_init_uniform(t, -0.5, 2);
}
static wk_tensor *normal(wk_tensor *t) {
    return wk_init_normal(t, 1, 3);
}
static wk_tensor *truncated(wk_tensor *t) {
    return wk_init_truncated_normal(t, 0.5, 2, -1, 3);
}
static wk_tensor *tail(wk_tensor *t) {
    return wk_init_truncated_normal(t, 0, 1, 2, 3);
}
static wk_tensor *xavier_uniform(wk_tensor *t) {
    return wk_init_xavier_uniform(t, 2);
}
static wk_tensor *xavier_normal(wk_tensor *t) {
    return wk_init_xavier_normal(t, 0);
}
static wk_tensor *kaiming_uniform(wk_tensor *t) {
    return wk_init_kaiming_uniform(t, (wk_kaiming_opts){ .slope = sqrt(5) });
}
static wk_tensor *kaiming_normal(wk_tensor *t) {
    return wk_init_kaiming_normal(t, (wk_kaiming_opts){ .fan_out = true, .nonlinearity = WK_NONLINEARITY_RELU });
}
static wk_tensor *orthogonal(wk_tensor *t) {
    return wk_init_orthogonal(t, 2);
}
static wk_tensor *sparse(wk_tensor *t) {
    return wk_init_sparse(t, 0.3, 0.5);
}
static wk_tensor *dirac(wk_tensor *t) {
    return wk_init_dirac(t, 2);
}

/* tolerance 0: bit for bit */
static const struct {
    const char *name;
    wk_tensor *(*make)(wk_tensor *t);
    double f32, f64;
} cases[] = {
    { "uniform", uniform, 0, 0 },
    { "normal", normal, 1e-6, 1e-14 },
    { "truncated_normal", truncated, 1e-6, 1e-13 },
    { "truncated_tail", tail, 1e-6, 1e-14 },
    { "xavier_uniform", xavier_uniform, 0, 0 },
    { "xavier_normal", xavier_normal, 1e-6, 1e-14 },
    { "kaiming_uniform", kaiming_uniform, 0, 0 },
    { "kaiming_normal", kaiming_normal, 1e-6, 1e-14 },
    { "orthogonal", orthogonal, 5e-6, 1e-13 },
    { "sparse", sparse, 1e-6, 1e-14 },
    { "eye", wk_init_eye, 0, 0 },
    { "dirac", dirac, 0, 0 },
};
static const struct {
    const char *name;
    wk_dims dims;
} shapes[] = {
    { "matrix", { 2, { 12, 5 } } },
    { "wide", { 2, { 4, 9 } } },
    { "tiny", { 2, { 3, 4 } } },
    { "conv", { 4, { 6, 3, 3, 2 } } },
};

Test(init, equals_pytorch) {
    wk_safetensors *file = golden_open("init.safetensors");
    int compared = 0;
    for (int wide = 0; wide < 2; wide++)
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
            for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                wk_scope scope = wk_scope_begin();
                char what[100];
                (void)snprintf(what, sizeof what, "%s/%s/%s", wide ? "f64" : "f32", cases[i].name, shapes[s].name);
                wk_tensor *golden = golden_find(file, "%s", what);
                if (golden) {
                    wk_tensor *t = wk_kept_zeros(wide ? WK_F64 : WK_F32, shapes[s].dims);
                    wk_manual_seed(0);
                    cr_expect_eq(cases[i].make(t), t, "%s: %s", what, wk_message());
                    double tolerance = wide ? cases[i].f64 : cases[i].f32;
                    if (tolerance > 0)
                        golden_expect_close(t, golden, tolerance, what);
                    else
                        golden_expect_equal(t, golden, what);
                    wk_release(t);
                    compared++;
                }
                wk_scope_end(scope);
            }
    cr_expect_eq(compared, 2 * (4 * 9 + 3 * 2 + 1));
    wk_safetensors_close(file);
}

Test(init, gains) {
    cr_expect_eq(wk_init_gain(WK_NONLINEARITY_RELU, 0), sqrt(2.0));
    cr_expect_float_eq(wk_init_gain(WK_NONLINEARITY_LEAKY_RELU, 0.2), 1.3867504905630728, 1e-15);
    cr_expect_eq(wk_init_gain(WK_NONLINEARITY_TANH, 0), 5.0 / 3);
    cr_expect_eq(wk_init_gain(WK_NONLINEARITY_SELU, 0), 0.75);
    cr_expect_eq(wk_init_gain(WK_NONLINEARITY_LINEAR, 0), 1);
}

Test(init, refuses_what_it_cannot_fill) {
    wk_tensor *whole = wk_kept_zeros(WK_I64, WK_DIMS(3)), *vector = wk_kept_zeros(WK_F32, WK_DIMS(3));
    cr_expect_null(wk_init_normal(whole, 0, 1));
    cr_expect_str_eq(wk_message(),
                     "wk_init_normal: (3) i64, expected a kept tensor, f32 or f64, row major, of rank 0 to 8");
    wk_clear_error();
    cr_expect_null(wk_init_xavier_uniform(vector, 1));
    cr_expect_str_eq(wk_message(),
                     "wk_init_xavier_uniform: (3) f32, expected a kept tensor, f32 or f64, row major, of rank 2 to 8");
    wk_clear_error();
    wk_release(whole);
    wk_release(vector);
}
