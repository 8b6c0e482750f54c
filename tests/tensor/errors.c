/* errors.c: what a bad call says: operation, what came, what was expected, where. */
#include "support/refused.h"
#include "wick/autograd.h"
#include "wick/op.h"
#include "wick/ops.h"

#include <stdint.h>
#include <string.h>

SCOPED_SUITE(errors);

static wk_tensor *f32(wk_dims dims) {
    return wk_zeros(WK_F32, dims);
}

Test(errors, products) {
    REFUSED(wk_matmul(f32(WK_DIMS(64, 784)), f32(WK_DIMS(512, 10))), WK_SHAPE,
            "matmul: (64, 784) f32 · (512, 10) f32: inner dimensions 784 and 512 differ");
    REFUSED(wk_matmul(f32(WK_DIMS(3)), f32(WK_DIMS(3, 2))), WK_SHAPE,
            "matmul: (3) f32 · (3, 2) f32: both operands need at least two axes");
    REFUSED(wk_matmul(f32(WK_DIMS(2, 3, 4)), f32(WK_DIMS(3, 4, 5))), WK_SHAPE,
            "matmul: (2, 3, 4) f32 · (3, 4, 5) f32: leading axes do not broadcast");
    REFUSED(wk_linear(f32(WK_DIMS(5, 7)), f32(WK_DIMS(3, 8)), NULL, (wk_linear_opts){ 0 }), WK_SHAPE,
            "linear: x (5, 7) f32 has 7 features, weight (3, 8) f32 takes 8");
    REFUSED(wk_linear(f32(WK_DIMS(5, 7)), f32(WK_DIMS(3, 7)), f32(WK_DIMS(4)), (wk_linear_opts){ 0 }), WK_SHAPE,
            "linear: bias has shape (4) f32, expected (3), the rows of weight (3, 7) f32");
    REFUSED(wk_linear(f32(WK_DIMS(5, 7)), wk_zeros(WK_F64, WK_DIMS(3, 7)), NULL, (wk_linear_opts){ 0 }), WK_DTYPE,
            "linear: input 0 is f32 and input 1 is f64; convert one with wk_cast");
}

Test(errors, images) {
    const wk_conv2d_opts plain = { .groups = 1 };
    REFUSED(wk_conv2d(f32(WK_DIMS(1, 3, 8, 8)), f32(WK_DIMS(4, 1, 3, 3)), NULL, plain), WK_SHAPE,
            "conv2d: x (1, 3, 8, 8) f32 has 3 channels, weight (4, 1, 3, 3) f32 in 1 group takes 1");
    REFUSED(wk_conv2d(f32(WK_DIMS(3, 8, 8)), f32(WK_DIMS(4, 3, 3, 3)), NULL, plain), WK_SHAPE,
            "conv2d: x (3, 8, 8) f32, weight (4, 3, 3, 3) f32: expected x (N, C, H, W) and weight (K, C/groups, R, S)");
    REFUSED(wk_conv2d(f32(WK_DIMS(1, 1, 2, 2)), f32(WK_DIMS(1, 1, 3, 3)), NULL, plain), WK_SHAPE,
            "conv2d: the kernel of weight (1, 1, 3, 3) f32 reaches over 3, x (1, 1, 2, 2) f32 offers 2 with padding");
    REFUSED(
        wk_conv2d(f32(WK_DIMS(1, 1, 4, 4)), f32(WK_DIMS(1, 1, 3, 3)), NULL, (wk_conv2d_opts){ .padding = { -1, 0 } }),
        WK_INVALID, "conv2d: stride 1, dilation 1, padding -1: expected at least 1, 1 and 0");
    REFUSED(wk_max_pool2d(f32(WK_DIMS(1, 1, 4, 4)), (wk_pool_opts){ .kernel = { 2, 2 }, .padding = { 2, 0 } }),
            WK_INVALID, "max_pool2d: kernel 2, stride 2, padding 2: expected at least 1, 1 and 0 to kernel / 2");
    REFUSED(wk_avg_pool2d(f32(WK_DIMS(1, 4, 4)), (wk_pool_opts){ .kernel = { 2, 2 } }), WK_SHAPE,
            "avg_pool2d: x (1, 4, 4) f32, expected (N, C, H, W)");
    REFUSED(
        wk_batch_norm(f32(WK_DIMS(4, 3)), f32(WK_DIMS(2)), NULL, NULL, NULL, (wk_batch_norm_opts){ .training = true }),
        WK_SHAPE, "batch_norm: weight has shape (2) f32, expected (3), the channels of x (4, 3) f32");
    REFUSED(wk_batch_norm(f32(WK_DIMS(4, 3)), NULL, NULL, NULL, NULL, (wk_batch_norm_opts){ .training = false }),
            WK_INVALID, "batch_norm: evaluation needs running_mean and running_variance");
}

Test(errors, shapes) {
    REFUSED(wk_add(f32(WK_DIMS(3, 4)), f32(WK_DIMS(3))), WK_SHAPE,
            "add: (3, 4) f32, (3) f32 do not broadcast: sizes of an axis, counted from the last, must be equal or 1");
    REFUSED(wk_reshape(f32(WK_DIMS(3, 4)), WK_DIMS(5, 2)), WK_SHAPE,
            "reshape: (3, 4) f32 has 12 elements, the sizes asked for multiply to 10");
    REFUSED(wk_reshape(f32(WK_DIMS(3, 4)), WK_DIMS(-1, -1)), WK_SHAPE, "reshape: two sizes are -1");
    REFUSED(wk_reshape(f32(WK_DIMS(3, 4)), WK_DIMS(5, -1)), WK_SHAPE,
            "reshape: (3, 4) f32 has 12 elements, which the other sizes (their product is 5) do not divide");
    REFUSED(wk_expand(f32(WK_DIMS(3, 4)), WK_DIMS(3, 5)), WK_SHAPE,
            "expand: (3, 4) f32 does not broadcast to (3, 5) f32");
    REFUSED(wk_permute(f32(WK_DIMS(3, 4)), WK_DIMS(0, 0)), WK_INVALID, "permute: axis 0 is named twice");
    REFUSED(wk_permute(f32(WK_DIMS(3, 4)), WK_DIMS(0)), WK_SHAPE, "permute: 1 axes named for a tensor of rank 2");
    wk_tensor *const parts[] = { f32(WK_DIMS(2, 3)), f32(WK_DIMS(2, 4)) };
    REFUSED(wk_concat(parts, 2, 0), WK_SHAPE,
            "concat: tensor 1 is (2, 4) f32, tensor 0 is (2, 3) f32: only axis 0 may differ");
    REFUSED(wk_concat(NULL, 0, 0), WK_INVALID, "concat: no tensors were given");
    REFUSED(wk_sum(f32(WK_DIMS(3, 4)), (wk_reduce_opts){ .axes = WK_DIMS(1, -1) }), WK_INVALID,
            "sum: axis 1 is named twice");
    REFUSED(wk_amax(f32(WK_DIMS(0, 4)), (wk_reduce_opts){ .axes = WK_DIMS(0) }), WK_SHAPE,
            "amax: an empty axis has no extremum");
    REFUSED(wk_softmax(f32(WK_DIMS(3, 4)), (wk_axis_opts){ WK_SET(2) }), WK_INVALID,
            "softmax: axis 2 of a tensor (3, 4) f32");
    REFUSED(wk_flatten(f32(WK_DIMS(3, 4)), 2), WK_INVALID, "flatten: axis 2 of a tensor (3, 4) f32");
    REFUSED(wk_slice(f32(WK_DIMS(3, 4)), 0, 0, 2, -1), WK_INVALID, "slice: step -1, expected at least 1");
    REFUSED(wk_select(f32(WK_DIMS(3, 4)), 0, 3), WK_INVALID, "select: index 3 of axis 0, which has size 3");
}

Test(errors, dtypes) {
    wk_tensor *integers = wk_zeros(WK_I32, WK_DIMS(3));
    REFUSED(wk_exp(integers), WK_DTYPE, "exp: input 0 is i32, expected f32, f64, bf16, f16");
    REFUSED(wk_where(integers, integers, integers), WK_DTYPE, "where: input 0 is i32, expected bool");
    REFUSED(wk_neg(wk_zeros(WK_U8, WK_DIMS(3))), WK_DTYPE,
            "neg: input 0 is u8, expected f32, f64, bf16, f16, i64, i32, i16, i8");
    REFUSED(wk_cast(integers, (wk_dtype)77), WK_DTYPE, "cast: 77 is no dtype");
    REFUSED(wk_dropout(f32(WK_DIMS(3)), wk_zeros(WK_I64, WK_DIMS(2)), (wk_dropout_opts){ 1 }), WK_INVALID,
            "dropout: p is 1, expected 0 ≤ p < 1");
}

Test(errors, indices) {
    wk_tensor *x = f32(WK_DIMS(5, 3));
    REFUSED(wk_index_select(x, wk_from_array(WK_I64, WK_DIMS(3), (int64_t[]){ 0, 5, 1 }), 0), WK_INVALID,
            "index_select: index[1] is 5, expected 0 ≤ index < 5 (axis 0 of x)");
    /* Also where no element is read. */
    REFUSED(wk_embedding(wk_zeros(WK_F32, WK_DIMS(5, 0)), wk_from_array(WK_I64, WK_DIMS(1), (int64_t[]){ -100 }),
                         (wk_embedding_opts){ .sparse = true }),
            WK_INVALID, "embedding: index[0] is -100, expected 0 ≤ index < 5 (axis 0 of weight)");
    REFUSED(wk_gather(x, wk_from_array(WK_I64, WK_DIMS(1, 2), (int64_t[]){ 0, -1 }), 1), WK_INVALID,
            "gather: index[1] is -1, expected 0 ≤ index < 3 (axis 1 of x)");
    REFUSED(wk_index_select(x, wk_zeros(WK_I64, WK_DIMS(1, 1)), 0), WK_SHAPE,
            "index_select: index has rank 2, expected 1");
    REFUSED(wk_cross_entropy(x, wk_from_array(WK_I64, WK_DIMS(5), (int64_t[]){ 0, 1, 2, 3, 0 }),
                             (wk_cross_entropy_opts){ .reduction = 0 }),
            WK_INVALID, "cross_entropy: target[3] is 3, expected 0 ≤ target < 3");
    REFUSED(wk_cross_entropy(x, wk_zeros(WK_I64, WK_DIMS(4)), (wk_cross_entropy_opts){ .reduction = 0 }), WK_SHAPE,
            "cross_entropy: logits (5, 3) f32, target (4) i64: expected (N, C) and (N)");
}

Test(errors, making_tensors) {
    wk_dims nine = { .rank = 9 };
    REFUSED_PLAINLY(wk_empty(WK_F32, nine), WK_SHAPE, "wk_empty: rank 9, expected 0 to 8");
    REFUSED_PLAINLY(wk_zeros(WK_F32, WK_DIMS(3, -1)), WK_SHAPE, "wk_zeros: size -1 of axis 1 is negative");
    REFUSED_PLAINLY(wk_zeros(WK_F32, WK_DIMS(INT64_MAX, 4)), WK_SHAPE,
                    "wk_zeros: the sizes multiply to more elements than memory can hold");
    REFUSED_PLAINLY(wk_zeros(WK_F32, WK_DIMS(0, INT64_MAX, INT64_MAX)), WK_SHAPE,
                    "wk_zeros: the sizes multiply to more elements than memory can hold");
    REFUSED_PLAINLY(wk_zeros((wk_dtype)55, WK_DIMS(1)), WK_DTYPE, "wk_zeros: 55 is no dtype");
    REFUSED_PLAINLY(wk_empty(WK_F64, WK_DIMS(INT64_C(1) << 45)), WK_NO_MEMORY,
                    "out of memory: a tensor of 281474976710656 bytes was asked for");
    REFUSED_PLAINLY(wk_kept_zeros(WK_F32, WK_DIMS(-1)), WK_SHAPE, "wk_kept_zeros: size -1 of axis 0 is negative");
}

Test(errors, looking_at_tensors) {
    wk_tensor *x = f32(WK_DIMS(2, 3));
    float few[5];
    cr_expect_eq(wk_at(x, 6), 0.0);
    expect_refused(WK_INVALID, "wk_at: index 6, the tensor has 6 elements", NULL);
    cr_expect_eq(wk_item(x), 0.0);
    expect_refused(WK_INVALID, "wk_item: the tensor has 6 elements, expected 1", NULL);
    cr_expect_eq(wk_copy_out(x, few, sizeof few), WK_INVALID);
    expect_refused(WK_INVALID, "wk_copy_out: a buffer of 20 bytes for 24", NULL);
    cr_expect_eq(wk_copy_into(x, f32(WK_DIMS(3, 2))), WK_SHAPE);
    expect_refused(WK_SHAPE, "wk_copy_into: source (3, 2) f32, target (2, 3) f32", NULL);
    REFUSED_PLAINLY(wk_data(wk_transpose(x, 0, 1)), WK_INVALID,
                    "wk_data: the tensor is not row major; use wk_contiguous");
    REFUSED_PLAINLY(wk_data(NULL), WK_INVALID, "wk_data: the tensor is NULL");
}

Test(errors, operands_that_are_not_there) {
    wk_tensor *x = f32(WK_DIMS(2, 3));
    REFUSED(wk_add(x, NULL), WK_INVALID, "add: input 1 is NULL");
    REFUSED(wk_linear(NULL, x, NULL, (wk_linear_opts){ 0 }), WK_INVALID, "linear: input 0 is NULL");
    REFUSED(wk_reshape(NULL, WK_DIMS(3)), WK_INVALID, "reshape: input 0 is NULL");
    REFUSED(wk_contiguous(NULL), WK_INVALID, "copy: input 0 is NULL");
    cr_expect_null(wk_keep(NULL));
    wk_release(NULL);
    wk_tensor *out[1];
    wk_note_call("errors.c:1");
    cr_expect_eq(wk_op_run(wk_op_find("add"), &x, 1, out, NULL), WK_INVALID);
    expect_refused(WK_INVALID, "add: 1 inputs given, expected 2", __FILE__);
}

Test(errors, the_dead) {
    wk_scope inner = wk_scope_begin();
    wk_tensor *dead = f32(WK_DIMS(2, 3));
    wk_scope_end(inner);
    REFUSED(wk_relu(dead), WK_DEAD_TENSOR, "relu: input 0 is used after its scope ended");
    REFUSED(wk_reshape(dead, WK_DIMS(6)), WK_DEAD_TENSOR, "reshape: input 0 is used after its scope ended");
    REFUSED_PLAINLY(wk_keep(dead), WK_DEAD_TENSOR, "wk_keep: the tensor's scope has ended");
    REFUSED_PLAINLY(wk_detach(dead), WK_DEAD_TENSOR, "wk_detach: the tensor's scope has ended");
    cr_expect_eq(wk_at(dead, 0), 0.0);
    expect_refused(WK_DEAD_TENSOR, "wk_at: the tensor's scope has ended", NULL);
    cr_expect_eq(wk_backward(dead), WK_DEAD_TENSOR);
    expect_refused(WK_DEAD_TENSOR, "backward: the output's scope has ended", NULL);
}

Test(errors_without_a_scope, is_said) {
    cr_expect_null(wk_zeros(WK_F32, WK_DIMS(3)));
    expect_refused(WK_NO_SCOPE,
                   "a tensor was made with no open scope: call wk_scope_begin() first, or use a kept tensor "
                   "(wk_kept_zeros, wk_keep)",
                   NULL);
    wk_tensor *kept = wk_kept_zeros(WK_F32, WK_DIMS(3));
    cr_expect_null(wk_relu(kept));
    cr_expect_eq(wk_error_code(), WK_NO_SCOPE);
    wk_clear_error();
    wk_release(kept);
}

Test(errors, the_first_one_stays) {
    wk_tensor *x = f32(WK_DIMS(2, 3)), *y = wk_matmul(x, x);
    cr_expect_null(y);
    cr_expect_null(wk_relu(x));
    cr_expect_null(wk_add(y, x));
    cr_expect_null(wk_zeros(WK_F32, WK_DIMS(1)));
    cr_expect_eq(wk_copy_into(x, x), WK_PENDING);
    cr_expect_eq(wk_backward(y), WK_SHAPE);
    expect_refused(WK_SHAPE, "matmul: (2, 3) f32 · (2, 3) f32: inner dimensions 3 and 2 differ", __FILE__);
    cr_expect_not_null(wk_relu(x));
}

Test(errors, written_in_place_under_a_gradient) {
    wk_tensor *mean = wk_kept_zeros(WK_F32, WK_DIMS(3)), *variance = wk_kept_zeros(WK_F32, WK_DIMS(3));
    wk_require_grad(mean, true);
    REFUSED(wk_batch_norm(f32(WK_DIMS(4, 3)), NULL, NULL, mean, variance, (wk_batch_norm_opts){ .training = true }),
            WK_INVALID,
            "batch_norm: input 3 is written in place but a gradient depends on it; use wk_no_grad_begin, or a copy");
    wk_tensor *y = wk_scale(mean, 2);
    cr_expect_eq(wk_copy_into(y, f32(WK_DIMS(3))), WK_INVALID);
    expect_refused(WK_INVALID, "wk_copy_into: the target is part of a graph", NULL);
    wk_release(mean);
    wk_release(variance);
}

Test(errors, leaves) {
    wk_tensor *integers = wk_kept_zeros(WK_I64, WK_DIMS(3)), *floats = wk_kept_zeros(WK_F32, WK_DIMS(3));
    REFUSED_PLAINLY(wk_require_grad(f32(WK_DIMS(3)), true), WK_INVALID,
                    "wk_require_grad: only a kept tensor can be a leaf; use wk_keep first");
    REFUSED_PLAINLY(wk_require_grad(integers, true), WK_DTYPE, "wk_require_grad: i64 has no gradients");
    cr_expect_eq(wk_backward(wk_relu(floats)), WK_INVALID);
    expect_refused(WK_INVALID,
                   "backward: (3) f32 depends on no tensor that wants a gradient (was it made under no_grad?)", NULL);
    wk_require_grad(floats, true);
    cr_expect_eq(wk_backward(wk_relu(floats)), WK_SHAPE);
    expect_refused(WK_SHAPE, "backward: the output is (3) f32, expected one element; reduce it, or give its gradient",
                   NULL);
    wk_release(integers);
    wk_release(floats);
}

/* ---- a row without a kernel ---- */

static wk_status same_shape(const wk_call *call, wk_desc out[]) {
    out[0] = wk_desc_like(call->in[0]);
    return WK_OK;
}
static void no_samples(wk_sampler *sampler) {
    (void)sampler;
}
static wk_cost free_of_cost(const wk_call *call) {
    (void)call;
    return (wk_cost){ 0 };
}
Test(errors, an_operation_that_no_backend_serves) {
    static wk_op_def row = { .name = "unheard_of",
                             .doc = "no kernel",
                             .n_in = 1,
                             .n_out = 1,
                             .shape = same_shape,
                             .not_differentiable = "it never runs",
                             .cost = free_of_cost,
                             .samples = no_samples };
    cr_assert_eq(wk_op_register(&row), WK_OK);
    wk_note_call("errors.c:1");
    REFUSED(wk_op_run1(&row, NULL, wk_zeros(WK_BF16, WK_DIMS(2, 3))), WK_UNSUPPORTED,
            "unheard_of: bf16 is not supported on cpu (inputs (2, 3) bf16)");
    cr_assert_eq(wk_op_register(&row), WK_EXISTS);
    expect_refused(WK_EXISTS, "wk_op_register: there is a row \"unheard_of\" already", NULL);
}
