/* goldens.c: results and gradients of operations, as PyTorch computes them, in f32 and f64. */
#define WK_NO_CALL_SITES
#include "support/golden.h"
#include "wick/autograd.h"
#include "wick/ops.h"

enum { MOST_IN = 5 };

typedef struct golden_case {
    const char *name, *inputs[MOST_IN];
    wk_tensor *(*run)(wk_tensor **in);
} golden_case;

#define RUN(name, expression)                      \
    static wk_tensor *run_##name(wk_tensor **in) { \
        return expression;                         \
    }
#define CONV(...)       wk_conv2d(in[0], in[1], in[2], (wk_conv2d_opts){ __VA_ARGS__ })
#define POOL(kind, ...) wk_##kind##_pool2d(in[0], (wk_pool_opts){ __VA_ARGS__ })
#define LOSS(...)       wk_cross_entropy(in[0], in[1], (wk_cross_entropy_opts){ __VA_ARGS__ })
RUN(linear, wk_linear(in[0], in[1], in[2], (wk_linear_opts){ 0 }))
RUN(linear_relu, wk_linear(in[0], in[1], in[2], (wk_linear_opts){ WK_ACTIVATION_RELU }))
RUN(matmul, wk_matmul(in[0], in[1]))
RUN(conv2d, CONV(0))
RUN(conv2d_stride, CONV(.stride = { 2, 1 }, .padding = { 1, 2 }))
RUN(conv2d_dilation, CONV(.dilation = { 2, 3 }, .padding = { 2, 2 }))
RUN(conv2d_groups, CONV(.groups = 2, .stride = { 2, 2 }))
RUN(conv2d_depthwise, CONV(.groups = 4, .padding = { 1, 1 }))
RUN(conv2d_one, CONV(0))
RUN(batch_norm_train,
    wk_batch_norm(in[0], in[1], in[2], in[3], in[4], (wk_batch_norm_opts){ true, WK_SET(0.3), WK_SET(1e-3) }))
RUN(batch_norm_eval, wk_batch_norm(in[0], in[1], in[2], in[3], in[4], (wk_batch_norm_opts){ 0 }))
RUN(max_pool2d, POOL(max, .kernel = { 2, 2 }))
RUN(max_pool2d_ceil, POOL(max, .kernel = { 3, 2 }, .stride = { 2, 2 }, .padding = { 1, 0 }, .ceil_mode = true))
RUN(avg_pool2d, POOL(avg, .kernel = { 3, 3 }, .stride = { 2, 2 }, .padding = { 1, 1 }))
RUN(avg_pool2d_ceil, POOL(avg, .kernel = { 3, 3 }, .stride = { 2, 2 }, .padding = { 1, 1 }, .ceil_mode = true))
RUN(avg_pool2d_exclude,
    POOL(avg, .kernel = { 3, 3 }, .stride = { 2, 2 }, .padding = { 1, 1 }, .ceil_mode = true, .exclude_padding = true))
RUN(softmax, wk_softmax(in[0], (wk_axis_opts){ { 0 } }))
RUN(softmax_first, wk_softmax(in[0], (wk_axis_opts){ WK_SET(0) }))
RUN(log_softmax, wk_log_softmax(in[0], (wk_axis_opts){ { 0 } }))
RUN(cross_entropy, LOSS(0))
RUN(cross_entropy_sum, LOSS(.reduction = WK_REDUCTION_SUM))
RUN(cross_entropy_none, LOSS(.reduction = WK_REDUCTION_NONE, .ignore_index = WK_SET(7)))
RUN(cross_entropy_smooth, LOSS(.label_smoothing = 0.1, .ignore_index = WK_SET(7)))
RUN(cross_entropy_pixels, LOSS(.reduction = WK_REDUCTION_NONE))
RUN(mse_loss, wk_mse_loss(in[0], in[1], (wk_loss_opts){ 0 }))
RUN(gelu, wk_gelu(in[0]))
RUN(sum, wk_sum(in[0], (wk_reduce_opts){ .axes = WK_DIMS(0, 2), .keep_dims = true }))
RUN(mean, wk_mean(in[0], (wk_reduce_opts){ .axes = WK_DIMS(-1) }))
RUN(amax_ties, wk_amax(in[0], (wk_reduce_opts){ .axes = WK_DIMS(1) }))
RUN(maximum_ties, wk_maximum(in[0], in[1]))
RUN(gather, wk_gather(in[0], in[1], 1))
RUN(index_select, wk_index_select(in[0], in[1], 0))
RUN(div, wk_div(in[0], in[1]))
RUN(tanh, wk_tanh(in[0]))
RUN(sigmoid, wk_sigmoid(in[0]))

#define CASE(name, ...) \
    { #name, { __VA_ARGS__ }, run_##name }
static const golden_case cases[] = {
    CASE(linear, "x", "weight", "bias"),
    CASE(linear_relu, "x", "weight", "bias"),
    CASE(matmul, "a", "b"),
    CASE(conv2d, "x", "weight", "bias"),
    CASE(conv2d_stride, "x", "weight", "bias"),
    CASE(conv2d_dilation, "x", "weight", "bias"),
    CASE(conv2d_groups, "x", "weight", "bias"),
    CASE(conv2d_depthwise, "x", "weight"),
    CASE(conv2d_one, "x", "weight"),
    CASE(batch_norm_train, "x", "weight", "bias", "mean", "variance"),
    CASE(batch_norm_eval, "x", "weight", "bias", "mean", "variance"),
    CASE(max_pool2d, "x"),
    CASE(max_pool2d_ceil, "x"),
    CASE(avg_pool2d, "x"),
    CASE(avg_pool2d_ceil, "x"),
    CASE(avg_pool2d_exclude, "x"),
    CASE(softmax, "x"),
    CASE(softmax_first, "x"),
    CASE(log_softmax, "x"),
    CASE(cross_entropy, "x", "target"),
    CASE(cross_entropy_sum, "x", "target"),
    CASE(cross_entropy_none, "x", "target"),
    CASE(cross_entropy_smooth, "x", "target"),
    CASE(cross_entropy_pixels, "x", "target"),
    CASE(mse_loss, "a", "b"),
    CASE(gelu, "x"),
    CASE(sum, "x"),
    CASE(mean, "x"),
    CASE(amax_ties, "x"),
    CASE(maximum_ties, "a", "b"),
    CASE(gather, "x", "index"),
    CASE(index_select, "x", "index"),
    CASE(div, "a", "b"),
    CASE(tanh, "x"),
    CASE(sigmoid, "x"),
};

static void check(wk_safetensors *file, const golden_case *c, const char *dtype, double tolerance) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *in[MOST_IN] = { NULL };
    char what[200];
    for (int i = 0; i < MOST_IN && c->inputs[i]; i++) {
        /* A copy: running statistics are written, and the file is mapped read-only. */
        wk_tensor *stored = golden_get(file, "%s/%s/%s", dtype, c->name, c->inputs[i]);
        wk_tensor *copy = wk_empty(wk_dtype_get(stored), wk_dims_get(stored));
        cr_assert_eq(wk_copy_into(copy, stored), WK_OK);
        in[i] = wk_keep(copy);
        if (golden_find(file, "%s/%s/d.%s", dtype, c->name, c->inputs[i])) wk_require_grad(in[i], true);
    }
    wk_tensor *y = c->run(in);
    (void)snprintf(what, sizeof what, "%s %s", c->name, dtype);
    cr_expect(y != NULL, "%s: %s", what, wk_message());
    if (y) {
        golden_expect_close(y, golden_get(file, "%s/%s/y", dtype, c->name), tolerance, what);
        cr_expect_eq(wk_backward_from(y, golden_get(file, "%s/%s/dy", dtype, c->name), (wk_backward_opts){ 0 }), WK_OK,
                     "%s: %s", what, wk_message());
    }
    for (int i = 0; y && i < MOST_IN && c->inputs[i]; i++) {
        wk_tensor *gradient = golden_find(file, "%s/%s/d.%s", dtype, c->name, c->inputs[i]);
        wk_tensor *after = golden_find(file, "%s/%s/after.%s", dtype, c->name, c->inputs[i]);
        (void)snprintf(what, sizeof what, "%s %s, gradient of %s", c->name, dtype, c->inputs[i]);
        if (gradient) golden_expect_close(wk_gradient(in[i]), gradient, tolerance, what);
        if (after) golden_expect_close(in[i], after, tolerance, what);
    }
    wk_clear_error();
    for (int i = 0; i < MOST_IN; i++) wk_release(in[i]);
    wk_scope_end(scope);
}

Test(goldens, operations) {
    wk_safetensors *file = golden_open("operations.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check(file, &cases[i], "f64", 1e-12);
        check(file, &cases[i], "f32", 2e-5);
    }
    wk_safetensors_close(file);
}
