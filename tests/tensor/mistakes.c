/* mistakes.c: the table of what a user can do wrong with tensors, graphs and gradients, each with its code and its
 * whole message.  Shapes and dtypes of single operations are in errors.c. */
#include "support/sample.h"
#include "wick/autograd.h"
#include "wick/inplace.h"
#include "wick/ops.h"
#include "wick/optim.h"

#include <criterion/criterion.h>
#include <string.h>

/* What each mistake may use. */
static wk_tensor *x, *leaf, *result, *loss;

#define IS_NULL(call) cr_expect_null(call)
#define STATUS(call)  (void)(call)
#define MISTAKE(name) static void name(void)

MISTAKE(size_overflow) {
    IS_NULL(wk_empty(WK_F32, WK_DIMS(INT64_C(1) << 40, INT64_C(1) << 40)));
}
MISTAKE(product_overflow) {
    wk_tensor *column = wk_expand(wk_zeros(WK_F32, WK_SCALAR), WK_DIMS(INT64_C(1) << 30, 1));
    IS_NULL(wk_matmul(column, wk_expand(wk_zeros(WK_F32, WK_SCALAR), WK_DIMS(1, INT64_C(1) << 30))));
}
MISTAKE(broadcast_overflow) {
    wk_tensor *wide = wk_expand(wk_zeros(WK_F32, WK_SCALAR), WK_DIMS(1, INT64_C(1) << 40));
    IS_NULL(wk_add(wide, wk_expand(wk_zeros(WK_F32, WK_SCALAR), WK_DIMS(INT64_C(1) << 40, 1))));
}
MISTAKE(rank_of_nine) {
    IS_NULL(wk_zeros(WK_F32, (wk_dims){ .rank = 9, .size = { 1 } }));
}
MISTAKE(index_out_of_range) {
    IS_NULL(wk_index_select(x, wk_from_array(WK_I64, WK_DIMS(1), &(int64_t){ 7 }), 0));
}
MISTAKE(axis_out_of_range) {
    IS_NULL(wk_sum(x, (wk_reduce_opts){ .axes = WK_DIMS(2) }));
}
MISTAKE(in_place_on_a_leaf) {
    IS_NULL(wk_add_(leaf, x));
}
MISTAKE(in_place_on_a_result) {
    IS_NULL(wk_mul_(result, x));
}
MISTAKE(in_place_on_an_expanded_view) {
    IS_NULL(wk_fill_(wk_expand(wk_zeros(WK_F32, WK_DIMS(1, 3)), WK_DIMS(2, 3)), 1));
}
MISTAKE(copy_into_a_result) {
    STATUS(wk_copy_into(result, x));
}
MISTAKE(backward_twice) {
    STATUS(wk_backward(loss));
    STATUS(wk_backward(loss));
}
MISTAKE(backward_of_more_than_one_element) {
    STATUS(wk_backward(result));
}
MISTAKE(backward_with_nothing_behind) {
    STATUS(wk_backward(wk_sum(x, (wk_reduce_opts){ .keep_dims = false })));
}
MISTAKE(backward_of_a_leaf) {
    STATUS(wk_backward_from(leaf, x, (wk_backward_opts){ .retain_graph = false }));
}
MISTAKE(backward_of_nothing) {
    STATUS(wk_backward(NULL));
}
MISTAKE(backward_with_a_gradient_of_another_shape) {
    STATUS(wk_backward_from(result, wk_zeros(WK_F32, WK_DIMS(3, 2)), (wk_backward_opts){ .retain_graph = false }));
}
MISTAKE(backward_with_a_gradient_of_another_dtype) {
    STATUS(wk_backward_from(result, wk_zeros(WK_F64, WK_DIMS(2, 3)), (wk_backward_opts){ .retain_graph = false }));
}
MISTAKE(gradient_of_an_unused_input) {
    wk_tensor *d;
    wk_tensor *other = wk_require_grad(wk_keep(x), true);
    STATUS(wk_grad(&loss, 1, NULL, &other, 1, &d, (wk_grad_opts){ .retain_graph = false }));
    wk_release(other);
}
MISTAKE(a_saved_tensor_that_changed) {
    bool was = wk_no_grad_begin();
    (void)wk_zero_(leaf);
    wk_no_grad_end(was);
    STATUS(wk_backward(loss));
}
MISTAKE(leaf_of_integers) {
    wk_tensor *whole = wk_keep(wk_arange(3));
    IS_NULL(wk_require_grad(whole, true));
    wk_release(whole);
}
MISTAKE(leaf_that_is_not_kept) {
    IS_NULL(wk_require_grad(x, true));
}
MISTAKE(use_after_the_scope) {
    wk_scope inner = wk_scope_begin();
    wk_tensor *dead = wk_neg(x);
    wk_scope_end(inner);
    IS_NULL(wk_add(x, dead));
}
MISTAKE(a_gradient_through_what_has_none) {
    static wk_op_def opaque;
    wk_tensor *out[1], *d;
    opaque = *wk_op_find("neg");
    opaque.grad = NULL;
    opaque.not_differentiable = "it was taken away";
    STATUS(wk_op_run(&opaque, &leaf, 1, out, NULL));
    wk_tensor *sum = wk_sum(out[0], (wk_reduce_opts){ .keep_dims = false });
    STATUS(wk_grad(&sum, 1, NULL, &leaf, 1, &d, (wk_grad_opts){ .retain_graph = false }));
}
MISTAKE(a_running_statistic_that_is_expanded) {
    wk_tensor *one = wk_expand(wk_zeros(WK_F32, WK_SCALAR), WK_DIMS(3));
    IS_NULL(wk_batch_norm(x, NULL, NULL, one, wk_zeros(WK_F32, WK_DIMS(3)), (wk_batch_norm_opts){ .training = true }));
}

/* '#' in a message stands for a line of this file. */
static const struct {
    void (*make)(void);
    wk_status code;
    const char *message;
} table[] = {
    { size_overflow, WK_SHAPE, "wk_empty: the sizes multiply to more elements than memory can hold" },
    { product_overflow, WK_SHAPE, "matmul: the sizes multiply to more elements than memory can hold" },
    { broadcast_overflow, WK_SHAPE, "add: the sizes multiply to more elements than memory can hold" },
    { rank_of_nine, WK_SHAPE, "wk_zeros: rank 9, expected 0 to 8" },
    { index_out_of_range, WK_INVALID,
      "index_select: index[0] is 7, expected 0 ≤ index < 2 (axis 0 of x)  [mistakes.c:#]" },
    { axis_out_of_range, WK_INVALID, "sum: axis 2 of a tensor (2, 3) f32  [mistakes.c:#]" },
    { in_place_on_a_leaf, WK_INVALID,
      "add_: the tensor is a leaf that wants a gradient; change it between wk_no_grad_begin and wk_no_grad_end  "
      "[mistakes.c:#]" },
    { in_place_on_a_result, WK_INVALID,
      "mul_: the tensor is part of a graph; use the operation that gives a new one  [mistakes.c:#]" },
    { in_place_on_an_expanded_view, WK_INVALID,
      "fill_: (2, 3) f32 is an expanded view, several elements share one place; write to a copy (wk_contiguous)  "
      "[mistakes.c:#]" },
    { copy_into_a_result, WK_INVALID, "wk_copy_into: the target is part of a graph" },
    { backward_twice, WK_STATE,
      "backward: the part of the tape behind \"sum\" [mistakes.c:#] was consumed by an earlier backward; pass "
      "retain_graph to that one" },
    { backward_of_more_than_one_element, WK_SHAPE,
      "backward: the output is (2, 3) f32, expected one element; reduce it, or give its gradient" },
    { backward_with_nothing_behind, WK_INVALID,
      "backward: () f32 depends on no tensor that wants a gradient (was it made under no_grad?)" },
    { backward_of_a_leaf, WK_INVALID, "backward: (2, 3) f32 is a leaf, not the result of an operation" },
    { backward_of_nothing, WK_INVALID, "backward: the output is NULL" },
    { backward_with_a_gradient_of_another_shape, WK_SHAPE,
      "backward: the gradient given is (3, 2) f32, the output (2, 3) f32" },
    { backward_with_a_gradient_of_another_dtype, WK_SHAPE,
      "backward: the gradient given is (2, 3) f64, the output (2, 3) f32" },
    { gradient_of_an_unused_input, WK_INVALID,
      "wk_gradients: no output depends on input 0, (2, 3) f32; set allow_unused if that may be" },
    { a_saved_tensor_that_changed, WK_VERSION,
      "backward of \"mul\" [mistakes.c:#]: a tensor it needs was changed in place since, by the call at "
      "[mistakes.c:#]; "
      "change a copy instead" },
    { leaf_of_integers, WK_DTYPE, "wk_require_grad: i64 has no gradients" },
    { leaf_that_is_not_kept, WK_INVALID, "wk_require_grad: only a kept tensor can be a leaf; use wk_keep first" },
    { use_after_the_scope, WK_DEAD_TENSOR, "add: input 1 is used after its scope ended  [mistakes.c:#]" },
    { a_gradient_through_what_has_none, WK_UNSUPPORTED,
      "backward: \"neg\" [mistakes.c:#] has no gradient: it was taken away" },
    { a_running_statistic_that_is_expanded, WK_INVALID,
      "batch_norm: input 3 is written in place but (3) f32 is an expanded view, several elements share one place; "
      "write "
      "to a copy (wk_contiguous)  [mistakes.c:#]" },
};

static bool matches(const char *message, const char *wanted) {
    for (; *wanted; wanted++) {
        if (*wanted == '#') {
            if (*message < '0' || *message > '9') return false;
            while (*message >= '0' && *message <= '9') message++;
        } else if (*message++ != *wanted) {
            return false;
        }
    }
    return *message == '\0';
}

Test(mistakes, each_has_its_message) {
    for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
        wk_scope scope = wk_scope_begin();
        x = wk_full(WK_F32, WK_DIMS(2, 3), 1);
        leaf = wk_require_grad(wk_keep(wk_full(WK_F32, WK_DIMS(2, 3), 1)), true);
        result = wk_mul(leaf, leaf);
        loss = wk_sum(result, (wk_reduce_opts){ .keep_dims = false });
        cr_assert_not(wk_failed(), "%s", wk_message());
        table[k].make();
        cr_expect_eq(wk_error_code(), table[k].code, "case %zu: %s", k, wk_status_name(wk_error_code()));
        cr_expect(matches(wk_message(), table[k].message), "case %zu\n message  \"%s\"\n expected \"%s\"", k,
                  wk_message(), table[k].message);
        wk_clear_error();
        cr_expect_not_null(wk_exp(x), "the next step works: %s", wk_message());
        wk_scope_end(scope);
        wk_release(leaf);
    }
}
