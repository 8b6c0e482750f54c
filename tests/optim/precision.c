/* precision.c: autocast, and training in half precision: masters of half weights, f32 weights under autocast. */
#define WK_NO_CALL_SITES
#include "optim/support.h"
#include "wick/profile.h"

#include <math.h>
#include <string.h>

static wk_tensor *leaf(wk_dtype dtype, wk_dims dims, double value) {
    wk_tensor *t = wk_require_grad(wk_kept_zeros(dtype, dims), true);
    wk_tensor *full = wk_full(dtype, dims, value);
    cr_assert(t && wk_copy_into(t, full) == WK_OK, "%s", wk_message());
    return t;
}

static wk_dtype of(wk_tensor *t) {
    cr_assert_not_null(t, "%s", wk_message());
    return wk_dtype_get(t);
}

Test(autocast, classes_decide_dtypes) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_full(WK_F32, WK_DIMS(4, 4), 0.5), *h = wk_cast(x, WK_BF16), *d = wk_cast(x, WK_F64);
    wk_autocast was = wk_autocast_begin(WK_BF16, true);
    cr_expect(wk_autocast_is_on());
    cr_expect_eq(of(wk_matmul(x, x)), WK_BF16);
    cr_expect_eq(of(wk_matmul(x, h)), WK_BF16);
    cr_expect_eq(of(wk_matmul(d, d)), WK_F64);
    cr_expect_eq(of(wk_linear(x, x, NULL, (wk_linear_opts){ 0 })), WK_BF16);
    cr_expect_eq(of(wk_softmax(h, (wk_axis_opts){ { 0 } })), WK_F32);
    cr_expect_eq(of(wk_exp(h)), WK_F32);
    cr_expect_eq(of(wk_sum(h, (wk_reduce_opts){ 0 })), WK_F32);
    cr_expect_eq(of(wk_mse_loss(h, h, (wk_loss_opts){ 0 })), WK_F32);
    cr_expect_eq(of(wk_relu(h)), WK_BF16);
    cr_expect_eq(of(wk_relu(x)), WK_F32);
    cr_expect_eq(of(wk_add(x, h)), WK_F32);
    cr_expect_eq(of(wk_concat((wk_tensor *[]){ h, x }, 2, 0)), WK_F32);
    cr_expect_eq(of(wk_concat((wk_tensor *[]){ h, h, h, h, h, h, h, h, h, x }, 10, 0)), WK_F32);
    cr_expect_eq(of(wk_concat((wk_tensor *[]){ h, h }, 2, 0)), WK_BF16);
    wk_autocast inner = wk_autocast_begin(WK_F32, false);
    cr_expect_not(wk_autocast_is_on());
    cr_expect_eq(of(wk_matmul(x, x)), WK_F32);
    wk_autocast innermost = wk_autocast_begin(WK_F16, true);
    cr_expect_eq(of(wk_matmul(x, x)), WK_F16);
    wk_autocast_end(innermost);
    cr_expect_eq(of(wk_matmul(x, x)), WK_F32);
    wk_autocast_end(inner);
    cr_expect_eq(of(wk_matmul(x, x)), WK_BF16);
    wk_autocast_end(was);
    cr_expect_eq(of(wk_matmul(x, x)), WK_F32);
    expect_message(wk_autocast_end(wk_autocast_begin(WK_F64, true)), "wk_autocast_begin: f64, expected bf16 or f16");
    wk_scope_end(scope);
}

Test(autocast, weights_are_cast_once_and_get_f32_gradients) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *w = leaf(WK_F32, WK_DIMS(3, 3), 0.25), *x = wk_full(WK_F32, WK_DIMS(2, 3), 1);
    wk_autocast was = wk_autocast_begin(WK_BF16, true);
    wk_tensor *first = NULL, *second = NULL;
    { /* the scope of a module ends, the cast stays */
        wk_scope inner = wk_scope_begin();
        first = wk_scope_return(inner, wk_matmul(x, w));
        wk_scope_end(inner);
    }
    second = wk_matmul(x, w);
    wk_tensor *loss = wk_sum(wk_add(first, second), (wk_reduce_opts){ 0 });
    wk_autocast_end(was);
    cr_expect_eq(of(loss), WK_F32);
    cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
    cr_expect_eq(of(wk_gradient(w)), WK_F32);
    cr_expect_eq(wk_at(wk_gradient(w), 4), 4);
    wk_release(w);
    wk_scope_end(scope);
}

Test(autocast, a_changed_weight_is_cast_again) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *w = leaf(WK_F32, WK_DIMS(1, 1), 2), *x = wk_full(WK_F32, WK_DIMS(1, 1), 1);
    wk_autocast was = wk_autocast_begin(WK_F16, true);
    cr_expect_eq(wk_item(wk_matmul(x, w)), 2);
    cr_assert_eq(wk_copy_into(w, wk_full(WK_F32, WK_DIMS(1, 1), 3)), WK_OK);
    cr_expect_eq(wk_item(wk_matmul(x, w)), 3);
    /* A cast made without gradients is not taken for one with them, and one whose node was consumed is made anew. */
    for (int round = 0; round < 2; round++) {
        bool no_grad = wk_no_grad_begin();
        cr_expect_eq(wk_item(wk_matmul(x, w)), 3);
        wk_no_grad_end(no_grad);
        wk_clear_grad(w);
        cr_assert_eq(wk_backward(wk_sum(wk_matmul(x, w), (wk_reduce_opts){ 0 })), WK_OK, "%s", wk_message());
        cr_expect_eq(wk_at(wk_gradient(w), 0), 1);
    }
    wk_autocast_end(was);
    wk_release(w);
    wk_scope_end(scope);
}

Test(autocast, scopes_may_end_inside) {
    wk_tensor *w = NULL;
    wk_scope first = wk_scope_begin();
    w = leaf(WK_F32, WK_DIMS(2, 2), 1);
    wk_autocast was = wk_autocast_begin(WK_BF16, true);
    cr_expect_eq(of(wk_matmul(w, w)), WK_BF16);
    wk_scope_end(first);
    wk_scope second = wk_scope_begin();
    cr_expect_eq(of(wk_matmul(w, w)), WK_BF16);
    cr_expect_eq(of(wk_matmul(w, w)), WK_BF16);
    wk_autocast_end(was);
    wk_scope_end(second);
    wk_release(w);
}

/* ---- training ---- */

static wk_module *make_net(void) {
    wk_manual_seed(5);
    wk_module *one = wk_nn_linear(8, 32, (wk_layer_opts){ 0 }), *two = wk_nn_linear(32, 4, (wk_layer_opts){ 0 });
    return wk_nn_sequential_of((wk_module *[]){ one, wk_nn_relu(), two }, 3);
}

enum { BATCH = 64, CLASSES = 4 };

/* Four classes by the largest of four sums of two inputs. */
static void make_data(float x[BATCH * 8], int64_t labels[BATCH]) {
    for (int i = 0; i < BATCH; i++) {
        double most = -1e9;
        for (int k = 0; k < 8; k++) x[8 * i + k] = (float)sin(1.7 * (i + 1) * (k + 1) + 0.3 * k);
        for (int c = 0; c < CLASSES; c++) {
            double sum = x[8 * i + 2 * c] + x[8 * i + 2 * c + 1];
            if (sum > most) most = sum, labels[i] = c;
        }
    }
}

typedef enum precision { F32, AUTOCAST_BF16, AUTOCAST_F16_SCALED } precision;

static wk_tensor *loss_of(wk_module *net, precision how, const float *data, const int64_t *labels) {
    wk_tensor *x = wk_from_array(WK_F32, WK_DIMS(BATCH, 8), data);
    wk_tensor *target = wk_from_array(WK_I64, WK_DIMS(BATCH), labels);
    bool casts = how == AUTOCAST_BF16 || how == AUTOCAST_F16_SCALED;
    wk_autocast was = wk_autocast_begin(how == AUTOCAST_F16_SCALED ? WK_F16 : WK_BF16, casts);
    wk_tensor *loss = wk_cross_entropy(wk_forward(net, x), target, (wk_cross_entropy_opts){ 0 });
    wk_autocast_end(was);
    return loss;
}

static double train(precision how) {
    float x[BATCH * 8];
    int64_t labels[BATCH];
    make_data(x, labels);
    wk_module *net = make_net();
    wk_optim *o = wk_adamw(wk_parameters(net), (wk_adamw_opts){ .lr = 0.01 });
    wk_grad_scaler *s = wk_grad_scaler_create((wk_grad_scaler_opts){ .disabled = how != AUTOCAST_F16_SCALED });
    double last = 0;
    for (int step = 0; step < 60; step++) {
        wk_scope scope = wk_scope_begin();
        wk_zero_grad(o);
        wk_tensor *loss = loss_of(net, how, x, labels);
        cr_assert_eq(wk_backward(wk_grad_scaler_scale(s, loss)), WK_OK, "%s", wk_message());
        cr_expect_eq(of(wk_gradient(wk_parameters(net).tensor[0])), WK_F32);
        cr_assert_eq(wk_grad_scaler_step(s, o), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_grad_scaler_update(s), WK_OK, "%s", wk_message());
        last = wk_item(loss);
        wk_scope_end(scope);
    }
    wk_grad_scaler_destroy(s);
    wk_optim_destroy(o);
    wk_module_destroy(net);
    return last;
}

Test(precision, half_types_train_as_f32_does) {
    double f32 = train(F32), bf16 = train(AUTOCAST_BF16), f16 = train(AUTOCAST_F16_SCALED);
    cr_log_info("loss after 60 steps: f32 %g, bf16 %g, f16 with scaling %g", f32, bf16, f16);
    cr_expect_lt(f32, 0.15);
    cr_expect_float_eq(bf16, f32, 0.03, "bf16: %g, f32: %g", bf16, f32);
    cr_expect_float_eq(f16, f32, 0.01, "f16: %g, f32: %g", f16, f32);
}

static int casts_in(const wk_profile *profile) {
    wk_profile_row rows[64];
    const int n = wk_profile_rows(profile, rows, 64);
    int casts = 0;
    for (int i = 0; i < n; i++)
        if (strcmp(rows[i].operation, "cast") == 0) casts += (int)rows[i].calls;
    return casts;
}

/* Who else writes to the weight: nobody, a call what it holds, or a sum; somebody who has asked for its address once
 * that sum. */
enum { NOBODY, SAME, CALL, POINTER };

/* What uses the weight. */
enum { AS_IT_IS, TURNED, IN_THE_LOSS, USES };

static wk_tensor *loss_by(wk_tensor *x, wk_tensor *w, wk_tensor *b, int use) {
    if (use == IN_THE_LOSS)
        return wk_linear_cross_entropy(x, w, b, wk_from_array(WK_I64, WK_DIMS(2), (int64_t[]){ 1, 3 }),
                                       (wk_linear_cross_entropy_opts){ 0 });
    wk_tensor *y = wk_linear(x, use == TURNED ? wk_transpose(w, 0, 1) : w, b, (wk_linear_opts){ 0 });
    return wk_sum(wk_mul(y, y), (wk_reduce_opts){ 0 });
}

/* A few steps of a layer; gives the casts of the last. */
static int casts_of_a_step(wk_dtype half, int use, int writer, float weights[static 16]) {
    enum { MANY = 5 };
    int casts = 0;
    wk_scope outer = wk_scope_begin();
    wk_tensor *w = leaf(WK_F32, WK_DIMS(4, 4), 0.3), *b = leaf(WK_F32, WK_DIMS(4), 0.1);
    wk_tensor *x = wk_cast(wk_reshape(wk_arange(8), WK_DIMS(2, 4)), half);
    float *address = writer == POINTER ? wk_data(w) : NULL;
    const char *names[] = { "w", "b" };
    wk_optim *o = wk_adamw((wk_named_tensors){ (wk_tensor *[]){ w, b }, names, 2 }, (wk_adamw_opts){ .lr = 0.01 });
    cr_assert(x && o, "%s", wk_message());
    for (int step = 0; step < MANY; step++) {
        wk_scope scope = wk_scope_begin();
        wk_profile *profile = wk_profile_begin();
        wk_zero_grad(o);
        wk_autocast was = wk_autocast_begin(half, true);
        wk_tensor *loss = loss_by(x, w, b, use);
        wk_autocast_end(was);
        cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_optim_step(o), WK_OK, "%s", wk_message());
        wk_profile_end(profile);
        casts = casts_in(profile);
        wk_profile_destroy(profile);
        if (address) address[3] += 0.125F;
        wk_tensor *more = wk_reshape(wk_from_array(WK_F32, WK_DIMS(16), (float[16]){ [3] = 0.125F }), WK_DIMS(4, 4));
        if (writer == SAME) cr_assert_eq(wk_copy_into(w, wk_affine(w, (wk_affine_opts){ 1, 0 })), WK_OK);
        if (writer == CALL) cr_assert_eq(wk_copy_into(w, wk_add(w, more)), WK_OK);
        wk_scope_end(scope);
    }
    memcpy(weights, wk_data(w), 16 * sizeof *weights);
    wk_optim_destroy(o);
    wk_release(w);
    wk_release(b);
    wk_scope_end(outer);
    return casts;
}

Test(precision, an_optimizer_keeps_the_casts_of_weights) {
    for (int i = 0; i < 2 * USES; i++) {
        const wk_dtype half = i & 1 ? WK_F16 : WK_BF16;
        float kept[16], same[16], called[16], pointed[16];
        const int fewer = casts_of_a_step(half, i / 2, NOBODY, kept);
        cr_expect_eq(casts_of_a_step(half, i / 2, SAME, same), fewer + 1);
        cr_expect_eq(casts_of_a_step(half, i / 2, CALL, called), fewer + 1);
        cr_expect_eq(casts_of_a_step(half, i / 2, POINTER, pointed), fewer + 1);
        cr_expect_arr_eq(kept, same, sizeof kept, "other weights where the same was written");
        cr_expect_arr_eq(called, pointed, sizeof called, "other weights where a pointer wrote");
    }
}

/* Another type is asked for, and the first one again: the copy that is there is not taken for it. */
Test(precision, a_kept_cast_of_another_type) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *w = leaf(WK_F32, WK_DIMS(1, 1), 1 + 0x1p-9), *x = wk_full(WK_F32, WK_DIMS(1, 1), 1);
    const char *names[] = { "w" };
    wk_optim *o = wk_sgd((wk_named_tensors){ &w, names, 1 }, (wk_sgd_opts){ .lr = 0x1p-30 });
    const wk_dtype types[] = { WK_BF16, WK_F16, WK_F16, WK_BF16, WK_BF16 };
    for (int step = 0; step < 5; step++) {
        wk_autocast was = wk_autocast_begin(types[step], true);
        wk_tensor *y = wk_matmul(x, w);
        cr_expect_eq(of(y), types[step]);
        cr_expect_eq(wk_item(y), types[step] == WK_BF16 ? 1 : 1 + 0x1p-9, "step %d: %g", step, wk_item(y));
        wk_autocast_end(was);
        wk_zero_grad(o);
        cr_assert_eq(wk_backward(wk_sum(y, (wk_reduce_opts){ 0 })), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_optim_step(o), WK_OK, "%s", wk_message());
    }
    wk_optim_destroy(o);
    wk_release(w);
    wk_scope_end(scope);
}

/* bf16 and f16 parameters against f32 ones with the same gradients: the masters are the f32 run's weights, bit for bit,
 * and the parameters their roundings. */
static void check_masters(wk_safetensors *file, wk_dtype half, int which) {
    wk_scope outer = wk_scope_begin();
    wk_tensor *p[PARAMETERS], *q[PARAMETERS];
    make_parameters(file, half, p);
    make_parameters(file, WK_F32, q);
    for (int i = 0; i < PARAMETERS; i++) cr_assert_eq(wk_copy_into(q[i], p[i]), WK_OK);
    wk_optim *o[2];
    for (int i = 0; i < 2; i++) {
        wk_named_tensors list = first_parameters(i ? q : p, which == 3 ? 2 : 3);
        o[i] = which == 0   ? wk_adam(list, (wk_adam_opts){ .lr = 0.01, .amsgrad = true })
               : which == 1 ? wk_rmsprop(list, (wk_rmsprop_opts){ .momentum = 0.5, .centered = true })
               : which == 2 ? wk_lamb(list, (wk_lamb_opts){ 0 })
                            : wk_muon(list, (wk_muon_opts){ 0 });
        cr_assert_not_null(o[i], "%s", wk_message());
    }
    for (int step = 0; step < 12; step++) {
        wk_scope scope = wk_scope_begin();
        for (int i = 0; i < PARAMETERS; i++) {
            wk_clear_grad(p[i]);
            wk_clear_grad(q[i]);
            give_gradient(file, p[i], i, step, 1);
            wk_tensor *g = wk_cast(wk_gradient(p[i]), WK_F32); /* rounded as p's is */
            cr_assert_eq(wk_backward(wk_sum(wk_mul(q[i], g), (wk_reduce_opts){ 0 })), WK_OK);
        }
        cr_assert_eq(wk_optim_step(o[0]), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_optim_step(o[1]), WK_OK, "%s", wk_message());
        wk_scope_end(scope);
    }
    wk_named_tensors state = wk_optim_state(o[0]);
    int masters = 0;
    for (int i = 0; i < state.count; i++)
        if (strncmp(state.name[i], "master.", 7) == 0) {
            golden_expect_equal(state.tensor[i], q[masters], state.name[i]);
            golden_expect_equal(p[masters], wk_cast(q[masters], half), "the parameter");
            masters++;
        }
    cr_expect_eq(masters, which == 3 ? 2 : 3);
    /* Who writes to the parameter writes to the master. */
    cr_assert_eq(wk_copy_into(p[0], wk_zeros(half, wk_dims_get(p[0]))), WK_OK);
    cr_assert_eq(wk_copy_into(q[0], wk_zeros(WK_F32, wk_dims_get(q[0]))), WK_OK);
    cr_assert_eq(wk_optim_step(o[0]), WK_OK);
    cr_assert_eq(wk_optim_step(o[1]), WK_OK);
    golden_expect_equal(p[0], wk_cast(q[0], half), "the parameter that was written to");
    for (int i = 0; i < 2; i++) wk_optim_destroy(o[i]);
    free_parameters(p);
    free_parameters(q);
    wk_scope_end(outer);
}

Test(precision, masters_are_an_f32_run) {
    wk_safetensors *file = golden_open("optim.safetensors");
    for (int which = 0; which < 4; which++) {
        check_masters(file, WK_BF16, which);
        check_masters(file, WK_F16, which);
    }
    wk_safetensors_close(file);
}
