/* inplace.c: changes in place: results against the operations that give new tensors, over layouts and overlaps; what is
 * refused, word for word; versions that every way of writing moves. */
#include "support/refused.h"
#include "wick/inplace.h"
#include "support/sample.h"
#include "tensor/tensor.h"
#include "wick/autograd.h"
#include "wick/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

SCOPED_SUITE(inplace);

static wk_tensor *drawn(wk_dims dims, wk_dtype dtype, int slot, wk__sample_layout layout) {
    const wk_sample_in in = { .dims = dims, .low = 0.5, .high = 3 };
    return wk__sample_draw(&in, slot, dtype, layout);
}
static void expect_same(const wk_tensor *got, const wk_tensor *wanted, const char *what) {
    cr_assert(got && wanted, "%s: %s", what, wk_message());
    cr_assert_eq(got->dtype, wanted->dtype);
    cr_assert_eq(got->count, wanted->count);
    double *a = tensor_values(got), *b = tensor_values(wanted);
    for (int64_t i = 0; i < wk_count(got); i++)
        cr_expect(a[i] == b[i] || (isnan(a[i]) && isnan(b[i])), "%s: element %d is %g, not %g", what, (int)i, a[i],
                  b[i]);
    free(a);
    free(b);
}

static wk_tensor *add_plain(wk_tensor *x, wk_tensor *y) {
    return wk_add(x, y);
}
static wk_tensor *sub_plain(wk_tensor *x, wk_tensor *y) {
    return wk_sub(x, y);
}
static wk_tensor *mul_plain(wk_tensor *x, wk_tensor *y) {
    return wk_mul(x, y);
}
static wk_tensor *div_plain(wk_tensor *x, wk_tensor *y) {
    return wk_div(x, y);
}
static wk_tensor *maximum_plain(wk_tensor *x, wk_tensor *y) {
    return wk_maximum(x, y);
}
static wk_tensor *minimum_plain(wk_tensor *x, wk_tensor *y) {
    return wk_minimum(x, y);
}
typedef wk_tensor *(*binary)(wk_tensor *, wk_tensor *);
static const struct {
    const char *name;
    binary plain, in_place;
} operations[] = { { "add_", add_plain, wk_add_ },
                   { "sub_", sub_plain, wk_sub_ },
                   { "mul_", mul_plain, wk_mul_ },
                   { "div_", div_plain, wk_div_ },
                   { "maximum_", maximum_plain, wk_maximum_ },
                   { "minimum_", minimum_plain, wk_minimum_ } };

Test(inplace, equals_the_operation_that_gives_a_new_tensor) {
    static const wk_dtype dtypes[] = { WK_F32, WK_F64, WK_BF16, WK_F16, WK_I64, WK_U8 };
    const wk_dims operands[] = { WK_DIMS(3, 4, 5), WK_DIMS(4, 1), WK_SCALAR };
    for (size_t op = 0; op < 6; op++)
        for (size_t d = 0; d < 6; d++)
            for (int layout = 0; layout < WK__SAMPLE_LAYOUTS; layout++)
                for (int k = 0; k < 3; k++) {
                    if (!wk_dtype_is_float(dtypes[d]) && strcmp(operations[op].name, "div_") == 0) continue;
                    wk_tensor *x = drawn(WK_DIMS(3, 4, 5), dtypes[d], 0, (wk__sample_layout)layout);
                    wk_tensor *y =
                        drawn(operands[k], dtypes[d], 1, (wk__sample_layout)((layout + 1) % WK__SAMPLE_LAYOUTS));
                    wk_tensor *wanted = operations[op].plain(x, y);
                    cr_expect_eq(operations[op].in_place(x, y), x, "%s: %s", operations[op].name, wk_message());
                    expect_same(x, wanted, operations[op].name);
                }
}

Test(inplace, operands_that_share_memory) {
    for (int shape = 0; shape < 4; shape++) {
        wk_tensor *base = wk_cast(wk_arange(9), WK_F32), *again = wk_cast(wk_arange(9), WK_F32);
        wk_tensor *square = wk_reshape(base, WK_DIMS(3, 3)), *other = wk_reshape(again, WK_DIMS(3, 3));
        wk_tensor *x = NULL, *y = NULL, *wanted = NULL;
        if (shape == 0) { /* itself */
            x = y = base;
            wanted = wk_add(again, again);
        } else if (shape == 1) { /* one step on */
            x = wk_slice(base, 0, 1, 9, 1);
            y = wk_slice(base, 0, 0, 8, 1);
            wanted = wk_add(wk_slice(again, 0, 1, 9, 1), wk_slice(again, 0, 0, 8, 1));
        } else if (shape == 2) { /* the same in another order */
            x = square;
            y = wk_transpose(square, 0, 1);
            wanted = wk_add(other, wk_transpose(other, 0, 1));
        } else { /* a row of itself */
            x = square;
            y = wk_slice(square, 0, 1, 2, 1);
            wanted = wk_add(other, wk_slice(other, 0, 1, 2, 1));
        }
        cr_expect_eq(wk_add_(x, y), x, "%s", wk_message());
        expect_same(x, wanted, "add_ with shared memory");
    }
    wk_tensor *square = wk_reshape(wk_cast(wk_arange(9), WK_F32), WK_DIMS(3, 3));
    wk_tensor *wanted = wk_contiguous(wk_transpose(square, 0, 1));
    cr_expect_eq(wk_copy_(square, wk_transpose(square, 0, 1)), square);
    expect_same(square, wanted, "copy_ of the transpose");
}

Test(inplace, the_rest) {
    for (int layout = 0; layout < WK__SAMPLE_LAYOUTS; layout++) {
        wk_tensor *x = drawn(WK_DIMS(3, 4), WK_F32, 0, (wk__sample_layout)layout);
        wk_tensor *wanted = wk_affine(x, (wk_affine_opts){ 2, -1 });
        cr_expect_eq(wk_affine_(x, (wk_affine_opts){ 2, -1 }), x);
        expect_same(x, wanted, "affine_");
        wanted = wk_minimum(wk_maximum(x, wk_full(WK_F32, WK_SCALAR, 1)), wk_full(WK_F32, WK_SCALAR, 2));
        cr_expect_eq(wk_clamp_(x, 1, 2), x, "%s", wk_message());
        expect_same(x, wanted, "clamp_");
        cr_expect_eq(wk_clamp_(x, -INFINITY, INFINITY), x);
        expect_same(x, wanted, "clamp_ of nothing");
        cr_expect_eq(wk_copy_(x, wk_arange(4)), x);
        expect_same(x, wk_contiguous(wk_expand(wk_cast(wk_arange(4), WK_F32), WK_DIMS(3, 4))), "copy_");
        cr_expect_eq(wk_fill_(x, 0.25), x);
        expect_same(x, wk_full(WK_F32, WK_DIMS(3, 4), 0.25), "fill_");
        cr_expect_eq(wk_zero_(x), x);
        expect_same(x, wk_zeros(WK_F32, WK_DIMS(3, 4)), "zero_");
    }
    wk_tensor *bytes = wk_zeros(WK_U8, WK_DIMS(2, 0)), *flags = wk_zeros(WK_BOOL, WK_DIMS(2));
    cr_expect_eq(wk_fill_(bytes, 255), bytes);
    cr_expect_eq(wk_fill_(flags, 1), flags);
    wk_tensor *whole = wk_arange(5);
    cr_expect_eq(wk_clamp_(whole, 1, 3), whole, "%s", wk_message());
    expect_same(whole, wk_from_array(WK_I64, WK_DIMS(5), (int64_t[]){ 1, 1, 2, 3, 3 }), "clamp_");
    wk_tensor *half = wk_full(WK_BF16, WK_DIMS(2), 1), *wide = wk_full(WK_F64, WK_DIMS(2), 0.5);
    cr_expect_eq(wk_add_(half, wide), half, "of a wider float: %s", wk_message());
    cr_expect_eq(wk_at(half, 0), 1.5);
}

/* ---- what is refused ---- */

Test(inplace, what_is_refused) {
    wk_tensor *x = wk_full(WK_F32, WK_DIMS(2, 3), 1), *y = wk_full(WK_F32, WK_DIMS(2, 3), 2);
    wk_tensor *leaf = wk_require_grad(wk_keep(wk_full(WK_F32, WK_DIMS(2, 3), 1)), true), *result = wk_exp(leaf);
    REFUSED(wk_add_(NULL, y), WK_INVALID, "add_: the tensor is NULL");
    REFUSED(wk_add_(x, NULL), WK_INVALID, "add_: the operand is NULL");
    REFUSED(wk_add_(leaf, y), WK_INVALID,
            "add_: the tensor is a leaf that wants a gradient; change it between wk_no_grad_begin and wk_no_grad_end");
    REFUSED(wk_fill_(result, 1), WK_INVALID,
            "fill_: the tensor is part of a graph; use the operation that gives a new one");
    REFUSED(
        wk_mul_(x, leaf), WK_INVALID,
        "mul_: the operand wants a gradient, which a change in place would lose; use the operation that gives a new "
        "tensor, or wk_detach");
    REFUSED(wk_zero_(wk_expand(wk_full(WK_F32, WK_DIMS(3), 1), WK_DIMS(2, 3))), WK_INVALID,
            "zero_: (2, 3) f32 is an expanded view, several elements share one place; write to a copy (wk_contiguous)");
    REFUSED(wk_sub_(wk_slice(x, 1, 0, 1, 1), y), WK_SHAPE, "sub_: the result is (2, 3) f32, the tensor (2, 1) f32");
    REFUSED(wk_copy_(x, wk_full(WK_F32, WK_DIMS(2), 1)), WK_SHAPE, "copy_: (2) f32 does not broadcast to (2, 3) f32");
    REFUSED(wk_add_(x, wk_full(WK_F32, WK_DIMS(2), 1)), WK_SHAPE,
            "add: (2, 3) f32, (2) f32 do not broadcast: sizes of an axis, counted from the last, must be equal or 1");
    REFUSED(wk_add_(wk_arange(3), wk_full(WK_F32, WK_DIMS(3), 1)), WK_DTYPE,
            "add_: the result is f32, which (3) i64 does not hold; convert with wk_cast first");
    REFUSED(wk_div_(wk_arange(3), wk_arange(3)), WK_DTYPE, "div: input 0 is i64, expected f32, f64, bf16, f16");
    REFUSED(wk_fill_(wk_zeros(WK_I8, WK_DIMS(1)), 128), WK_INVALID, "fill_: i8 cannot hold 128");
    REFUSED(wk_fill_(wk_zeros(WK_I64, WK_DIMS(1)), NAN), WK_INVALID, "fill_: i64 cannot hold nan");
    REFUSED(wk_clamp_(wk_arange(3), 0.5, 2), WK_INVALID, "clamp_: limits 0.5 and 2 for a tensor of i64");
    REFUSED(wk_clamp_(x, NAN, 2), WK_INVALID, "clamp_: limits nan and 2 for a tensor of f32");
    wk_scope inner = wk_scope_begin();
    wk_tensor *dead = wk_zeros(WK_F32, WK_DIMS(2, 3));
    wk_scope_end(inner);
    REFUSED(wk_zero_(dead), WK_DEAD_TENSOR, "zero_: the tensor is used after its scope ended");
    REFUSED(wk_add_(x, dead), WK_DEAD_TENSOR, "add_: the operand is used after its scope ended");
    cr_expect_eq(wk_copy_into(wk_expand(y, WK_DIMS(4, 2, 3)), wk_zeros(WK_F32, WK_DIMS(4, 2, 3))), WK_INVALID);
    cr_expect_str_eq(wk_message(), "wk_copy_into: (4, 2, 3) f32 is an expanded view, several elements share one place; "
                                   "write to a copy (wk_contiguous)");
    wk_clear_error();
    for (int64_t i = 0; i < 6; i++) cr_expect(wk_at(x, i) == 1 && wk_at(leaf, i) == 1);
    bool was = wk_no_grad_begin();
    cr_expect_eq(wk_add_(leaf, leaf), leaf);
    cr_expect_eq(wk_at(leaf, 0), 2.0);
    wk_no_grad_end(was);
    wk_release(leaf);
}

/* ---- versions: whatever writes is found by backward, and named ---- */

static wk_tensor *x_, *view;
static void by_add(void) {
    (void)wk_add_(x_, wk_full(WK_F32, WK_DIMS(4), 1));
}
static void by_strided(void) {
    (void)wk_mul_(wk_slice(x_, 0, 0, 4, 2), wk_full(WK_F32, WK_SCALAR, 2));
}
static void by_fill(void) {
    (void)wk_fill_(x_, 3);
}
static void by_zero(void) {
    (void)wk_zero_(view);
}
static void by_copy(void) {
    (void)wk_copy_(x_, wk_arange(4));
}
static void by_clamp(void) {
    (void)wk_clamp_(x_, 0, 1);
}
static void by_copy_into(void) {
    (void)wk_copy_into(view, wk_full(WK_F32, WK_DIMS(2), 1));
}
static void by_batch_norm(void) {
    wk_tensor *image = wk_full(WK_F32, WK_DIMS(3, 4), 1), *variance = wk_full(WK_F32, WK_DIMS(4), 1);
    (void)wk_batch_norm(image, NULL, NULL, x_, variance, (wk_batch_norm_opts){ .training = true });
}

Test(inplace, every_way_of_writing_is_found_by_backward) {
    static const struct {
        void (*write)(void);
        const char *place;
    } ways[] = { { by_add, "inplace.c:" },         { by_strided, "inplace.c:" },   { by_fill, "inplace.c:" },
                 { by_zero, "inplace.c:" },        { by_copy, "inplace.c:" },      { by_clamp, "inplace.c:" },
                 { by_copy_into, "wk_copy_into" }, { by_batch_norm, "inplace.c:" } };
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
        wk_tensor *leaf = wk_require_grad(wk_keep(wk_full(WK_F32, WK_DIMS(4), 1)), true);
        x_ = wk_keep(wk_full(WK_F32, WK_DIMS(4), 2));
        view = wk_slice(x_, 0, 1, 3, 1);
        wk_tensor *y = wk_sum(wk_mul(leaf, x_), (wk_reduce_opts){ .keep_dims = false });
        ways[k].write();
        cr_expect_not(wk_failed(), "%s", wk_message());
        cr_expect_eq(wk_backward(y), WK_VERSION, "way %zu", k);
        char wanted[80];
        (void)snprintf(wanted, sizeof wanted, "changed in place since, by the call at [%s", ways[k].place);
        cr_expect(strstr(wk_message(), "backward of \"mul\" [inplace.c:") && strstr(wk_message(), wanted),
                  "way %zu: %s", k, wk_message());
        wk_clear_error();
        wk_release(leaf);
        wk_release(x_);
    }
}
