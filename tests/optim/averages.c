/* averages.c: EMA, SWA, running statistics, Lookahead and loss scaling, as PyTorch does them. */
#define WK_NO_CALL_SITES
#include "optim/support.h"

#include <math.h>
#include <string.h>

static wk_module *make_model(void) {
    wk_module *linear = wk_nn_linear(3, 2, (wk_layer_opts){ 0 });
    wk_module *norm = wk_nn_batch_norm2d(2, (wk_nn_batch_norm_opts){ 0 });
    return wk_nn_sequential_of((wk_module *[]){ linear, norm }, 2);
}

/* The values that the golden script gives the model's tensors at a step. */
static void set_weights(wk_module *model, int step) {
    wk_named_tensors state = wk_state(model);
    for (int i = 0; i < state.count; i++) {
        bool is_whole = wk_dtype_get(state.tensor[i]) == WK_I64;
        void *data = wk_data(state.tensor[i]);
        for (int64_t k = 0; k < wk_count(state.tensor[i]); k++) {
            if (is_whole)
                ((int64_t *)data)[k] = 3 * step + i;
            else
                ((float *)data)[k] = (float)sin((double)k + 0.7 * i + 1.3 * step);
        }
    }
}

static void check_average(wk_safetensors *file, const char *name, wk_average_opts opts) {
    wk_scope scope = wk_scope_begin();
    wk_module *model = make_model();
    wk_average *average = wk_average_create(model, opts);
    cr_assert_not_null(average, "%s", wk_message());
    for (int step = 0; step < 5; step++) {
        set_weights(model, step);
        cr_assert_eq(wk_average_update(average), WK_OK, "%s", wk_message());
    }
    wk_named_tensors state = wk_average_state(average);
    cr_expect_eq(state.count, 8);
    for (int i = 0; i < state.count; i++) {
        wk_tensor *wanted = golden_get(file, "average/%s/%s", name, state.name[i]);
        golden_expect_close(state.tensor[i], wk_cast(wanted, wk_dtype_get(state.tensor[i])), 1e-6, state.name[i]);
    }
    double own = wk_at(wk_state(model).tensor[0], 1), averaged = wk_at(state.tensor[1], 1);
    cr_expect_eq(wk_average_swap(average), WK_OK);
    cr_expect_eq(wk_at(wk_state(model).tensor[0], 1), averaged);
    cr_expect_eq(wk_at(state.tensor[1], 1), own);
    cr_expect_eq(wk_average_swap(average), WK_OK);
    cr_expect_eq(wk_at(wk_state(model).tensor[0], 1), own);
    wk_average_destroy(average);
    wk_module_destroy(model);
    wk_scope_end(scope);
}

Test(averages, ema_and_swa_as_pytorch) {
    wk_safetensors *file = golden_open("optim.safetensors");
    check_average(file, "swa", (wk_average_opts){ 0 });
    check_average(file, "ema", (wk_average_opts){ .decay = WK_SET(0.9) });
    check_average(file, "ema_buffers", (wk_average_opts){ .decay = WK_SET(0.8), .use_buffers = true });
    wk_safetensors_close(file);
}

typedef struct batches {
    wk_safetensors *file;
    int next;
} batches;
static wk_tensor *next_batch(void *context) {
    batches *b = context;
    return b->next < 4 ? wk_cast(golden_get(b->file, "update_bn/%d", b->next++), WK_F32) : NULL;
}

Test(averages, running_statistics_as_pytorch) {
    wk_safetensors *file = golden_open("optim.safetensors");
    wk_scope scope = wk_scope_begin();
    wk_module *norm = wk_nn_batch_norm2d(3, (wk_nn_batch_norm_opts){ .momentum = WK_SET(0.3) });
    wk_module *model = wk_nn_sequential_of(&norm, 1);
    wk_module_train(model, false);
    batches b = { file, 0 };
    cr_assert_eq(wk_update_batch_norm(model, next_batch, &b), WK_OK, "%s", wk_message());
    wk_named_tensors state = wk_state(model);
    static const char *const names[] = { "running_mean", "running_var", "num_batches_tracked" };
    for (int i = 0; i < 3; i++) {
        wk_tensor *found = state.tensor[2 + i], *wanted = golden_get(file, "update_bn/%s", names[i]);
        golden_expect_close(found, wk_cast(wanted, wk_dtype_get(found)), 1e-6, names[i]);
    }
    cr_expect_not(model->training);
    char *summary = wk_module_summary(model);
    cr_expect(strstr(summary, "momentum=0.3"), "%s", summary);
    wk_free(summary);
    wk_module_destroy(model);
    wk_scope_end(scope);
    wk_safetensors_close(file);
}

Test(averages, lookahead) {
    wk_safetensors *file = golden_open("optim.safetensors");
    wk_scope outer = wk_scope_begin();
    wk_tensor *p[PARAMETERS];
    make_parameters(file, WK_F64, p);
    const char *name = "third";
    wk_optim *o = wk_sgd((wk_named_tensors){ &p[2], &name, 1 }, (wk_sgd_opts){ .lr = 0.1, .momentum = 0.9 });
    wk_lookahead *l = wk_lookahead_create(o, (wk_lookahead_opts){ .k = 4, .alpha = WK_SET(0.6) });
    cr_assert_not_null(l, "%s", wk_message());
    for (int step = 0; step < 12; step++) {
        wk_scope scope = wk_scope_begin();
        wk_zero_grad(o);
        give_gradient(file, p[2], 2, step, 1);
        cr_assert_eq(wk_lookahead_step(l), WK_OK, "%s", wk_message());
        wk_scope_end(scope);
    }
    golden_expect_close(p[2], golden_get(file, "average/lookahead"), 1e-12, "lookahead");
    wk_named_tensors state = wk_lookahead_state(l);
    cr_expect_eq(state.count, 2);
    cr_expect_str_eq(state.name[1], "slow.third");
    cr_expect_eq(wk_item(state.tensor[0]), 12);
    wk_lookahead_destroy(l);
    wk_optim_destroy(o);
    free_parameters(p);
    wk_scope_end(outer);
    wk_safetensors_close(file);
}

/* ---- loss scaling ---- */

static void scaled_step(wk_safetensors *file, wk_grad_scaler *s, wk_optim *o, wk_tensor **p, int step) {
    wk_scope scope = wk_scope_begin();
    wk_zero_grad(o);
    for (int i = 0; i < PARAMETERS; i++) {
        wk_tensor *g = wk_cast(golden_get(file, "gradient.%d.%d", step, i), WK_F32);
        wk_tensor *loss = wk_sum(wk_mul(p[i], g), (wk_reduce_opts){ 0 });
        cr_assert_eq(wk_backward(wk_grad_scaler_scale(s, loss)), WK_OK, "%s", wk_message());
    }
    if (step == 5) ((float *)wk_data(wk_gradient(p[1])))[2 * 3 + 1] = INFINITY;
    if (step % 2) {
        cr_assert_eq(wk_grad_scaler_unscale(s, o), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_clip_grad_norm(o, 2, NULL), WK_OK);
    }
    cr_assert_eq(wk_grad_scaler_step(s, o), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_grad_scaler_update(s), WK_OK, "%s", wk_message());
    wk_scope_end(scope);
}

static void check_scaler(wk_safetensors *file, const char *name, bool is_adamw) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *p[PARAMETERS];
    make_parameters(file, WK_F32, p);
    wk_optim *o = is_adamw ? wk_adamw(first_parameters(p, 3), (wk_adamw_opts){ .lr = 0.02 })
                           : wk_sgd(first_parameters(p, 3), (wk_sgd_opts){ .lr = 0.1, .momentum = 0.9 });
    wk_grad_scaler *s = wk_grad_scaler_create((wk_grad_scaler_opts){ .init_scale = 1024, .growth_interval = 3 });
    wk_tensor *scales = golden_get(file, "scaler/%s/scales", name);
    for (int step = 0; step < 14; step++) {
        scaled_step(file, s, o, p, step);
        cr_expect_eq(wk_grad_scaler_value(s), wk_at(scales, step), "%s, step %d: scale %g, expected %g", name, step,
                     wk_grad_scaler_value(s), wk_at(scales, step));
    }
    for (int i = 0; i < PARAMETERS; i++)
        golden_expect_close(p[i], golden_get(file, "scaler/%s/%d", name, i), 3e-6, name);
    wk_named_tensors state = wk_grad_scaler_state(s);
    cr_expect_eq(state.count, 5);
    cr_expect_str_eq(state.name[4], "_growth_tracker");
    cr_expect_eq(wk_item(state.tensor[4]), wk_item(golden_get(file, "scaler/%s/tracker", name)));
    cr_expect_eq(wk_optim_steps(o), 13); /* all but the one that moved nothing */
    wk_grad_scaler_destroy(s);
    wk_optim_destroy(o);
    free_parameters(p);
    wk_scope_end(scope);
}

Test(averages, an_infinity_at_step_five_leaves_what_pytorch_leaves) {
    wk_safetensors *file = golden_open("optim.safetensors");
    check_scaler(file, "adamw", true);
    check_scaler(file, "sgd", false);
    wk_safetensors_close(file);
}

Test(averages, a_disabled_scaler_passes_through) {
    wk_tensor *p = wk_require_grad(wk_kept_zeros(WK_F32, WK_DIMS(3)), true);
    const char *name = "p";
    wk_optim *o = wk_sgd((wk_named_tensors){ &p, &name, 1 }, (wk_sgd_opts){ .lr = 1 });
    wk_grad_scaler *s = wk_grad_scaler_create((wk_grad_scaler_opts){ .disabled = true });
    wk_scope scope = wk_scope_begin();
    wk_tensor *loss = wk_sum(wk_scale(p, 2), (wk_reduce_opts){ 0 });
    cr_expect_eq(wk_grad_scaler_scale(s, loss), loss);
    cr_assert_eq(wk_backward(loss), WK_OK);
    cr_expect_eq(wk_grad_scaler_unscale(s, o), WK_OK);
    cr_expect_eq(wk_grad_scaler_unscale(s, o), WK_OK);
    cr_expect_eq(wk_grad_scaler_step(s, o), WK_OK);
    cr_expect_eq(wk_grad_scaler_update(s), WK_OK);
    cr_expect_eq(wk_grad_scaler_value(s), 1);
    cr_expect_eq(wk_at(p, 0), -2);
    wk_scope_end(scope);
    wk_grad_scaler_destroy(s);
    wk_optim_destroy(o);
    wk_release(p);
}
