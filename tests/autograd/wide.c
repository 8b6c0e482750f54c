/* wide.c: gradients of leaves in f32 that autocast made halves of: the product that makes them is not rounded on its
 * way, whatever stands between the leaf and its one use; where more contribute, halves are added. */
#include "wick/wick.h"

#include <criterion/criterion.h>
#include <math.h>

enum { ROWS = 24, IN = 7, OUT = 5 };
static const double EXACT = 1e-6, HALF = 1e-2; /* of the largest element */

/* Numbers of eight bits, which a bf16 holds; their products' sums need more. */
static wk_tensor *numbers(wk_dims dims, uint32_t seed) {
    wk_tensor *x = wk_empty(WK_F32, dims);
    for (int64_t i = 0; x && i < wk_count(x); i++) {
        seed = seed * 1664525 + 1013904223;
        ((float *)wk_data(x))[i] = (float)(int)(seed >> 25) / 64 - 1;
    }
    return x;
}

typedef enum use { AS_IT_IS, TURNED, TWICE, WITH_HOOK } use;

static wk_tensor *see(void *context, wk_tensor *gradient) {
    (*(int *)context)++;
    return gradient;
}

/* The weight's gradient lies within `bound` of dyᵀ x. */
static void expect_gradient(wk_tensor *w, wk_tensor *x, wk_tensor *dy, bool turned, double times, double bound) {
    wk_tensor *got = wk_contiguous(wk_cast(turned ? wk_transpose(wk_gradient(w), 0, 1) : wk_gradient(w), WK_F64));
    wk_tensor *wanted = wk_matmul(wk_transpose(wk_cast(dy, WK_F64), 0, 1), wk_cast(x, WK_F64));
    cr_assert(got && wanted, "%s", wk_message());
    const double *a = wk_data(got), *b = wk_data(wanted);
    double largest = 0, off = 0;
    for (int i = 0; i < OUT * IN; i++)
        largest = fmax(largest, fabs(times * b[i])), off = fmax(off, fabs(a[i] - times * b[i]));
    cr_expect_leq(off, bound * largest, "%g off, the largest is %g", off, largest);
    if (bound == HALF) cr_expect_gt(off, 0, "nothing was rounded: this case has no meaning");
}

static void step(wk_tensor *w, wk_tensor *x, wk_tensor *dy, wk_dtype half, use how) {
    wk_scope scope = wk_scope_begin();
    wk_autocast was = wk_autocast_begin(half, true);
    wk_tensor *weight = how == TURNED ? wk_transpose(w, 0, 1) : w;
    wk_tensor *y = wk_linear(x, weight, NULL, (wk_linear_opts){ 0 });
    if (how == TWICE) y = wk_add(y, wk_linear(x, weight, NULL, (wk_linear_opts){ 0 }));
    wk_autocast_end(was);
    cr_assert_eq(wk_backward(wk_sum(wk_mul(wk_cast(y, WK_F32), dy), (wk_reduce_opts){ 0 })), WK_OK, "%s", wk_message());
    wk_scope_end(scope);
}

static void check(wk_dtype half, use how) {
    wk_scope scope = wk_scope_begin();
    int seen = 0;
    wk_tensor *x = numbers(WK_DIMS(ROWS, IN), 1), *dy = numbers(WK_DIMS(ROWS, OUT), 2);
    wk_tensor *w = wk_keep(numbers(how == TURNED ? WK_DIMS(IN, OUT) : WK_DIMS(OUT, IN), 3));
    wk_require_grad(w, true);
    if (how == WITH_HOOK) (void)wk_on_gradient(w, see, &seen);
    step(w, x, dy, half, how);
    const bool one = how == AS_IT_IS || how == TURNED;
    expect_gradient(w, x, dy, how == TURNED, how == TWICE ? 2 : 1, one ? EXACT : HALF);
    cr_expect_eq(seen, how == WITH_HOOK);
    if (one) { /* what is there already is added to */
        step(w, x, dy, half, how);
        expect_gradient(w, x, dy, how == TURNED, 2, HALF);
    }
    wk_release(w);
    wk_scope_end(scope);
}

Test(wide_gradients, of_a_weight) {
    check(WK_BF16, AS_IT_IS);
    check(WK_F16, AS_IT_IS);
}
Test(wide_gradients, of_a_turned_weight) {
    check(WK_BF16, TURNED);
}
Test(wide_gradients, of_a_weight_that_is_used_twice) {
    check(WK_BF16, TWICE);
}
Test(wide_gradients, of_a_weight_with_a_hook) {
    check(WK_BF16, WITH_HOOK);
}

/* The same in memory whose address nobody has asked for. */
static wk_tensor *unseen(wk_tensor *x) {
    return wk_cast(wk_cast(x, WK_F64), WK_F32);
}

/* The optimizer keeps the half copy of the weight then. */
Test(wide_gradients, after_steps_of_an_optimizer) {
    static const char *const name = "weight";
    for (int turned = 0; turned < 2; turned++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *x = numbers(WK_DIMS(ROWS, IN), 1), *dy = numbers(WK_DIMS(ROWS, OUT), 2);
        wk_tensor *w = wk_keep(unseen(numbers(turned ? WK_DIMS(IN, OUT) : WK_DIMS(OUT, IN), 3)));
        wk_require_grad(w, true);
        wk_optim *optimizer = wk_adamw((wk_named_tensors){ &w, &name, 1 }, (wk_adamw_opts){ .lr = 1e-3 });
        for (int i = 0; i < 3; i++) {
            wk_zero_grad(optimizer);
            step(w, x, dy, WK_BF16, turned ? TURNED : AS_IT_IS);
            expect_gradient(w, x, dy, turned, 1, EXACT);
            cr_assert_eq(wk_optim_step(optimizer), WK_OK, "%s", wk_message());
        }
        wk_optim_destroy(optimizer);
        wk_release(w);
        wk_scope_end(scope);
    }
}
