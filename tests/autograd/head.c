/* head.c: linear_cross_entropy beyond what is told of every row: gradients that are made in forward, where they are
 * kept, and who may take them away. */
#define WK_NO_CALL_SITES
#include "support/golden.h"
#include "support/refused.h"
#include "wick/autograd.h"
#include "wick/op.h"
#include "wick/ops.h"
#include "wick/random.h"

#include <math.h>

SCOPED_SUITE(head);

enum { ROWS = 21, WIDTH = 6, CLASSES = 33 };
static const wk_linear_cross_entropy_opts small = { .chunk = 8, .ignore_index = { true, 3 } };
static const wk_cross_entropy_opts whole = { .ignore_index = { true, 3 } };

typedef struct operands {
    wk_tensor *x, *weight, *bias, *target;
} operands;

static wk_tensor *leaf(wk_dtype dtype, wk_dims dims, double phase) {
    wk_tensor *t = wk_kept_zeros(WK_F64, dims);
    for (int64_t i = 0; i < wk_count(t); i++) ((double *)wk_data(t))[i] = sin((double)i * 0.7 + phase);
    wk_tensor *cast = wk_keep(wk_cast(t, dtype));
    wk_release(t);
    return wk_require_grad(cast, true);
}
static operands make(wk_dtype dtype) {
    operands o = { leaf(dtype, WK_DIMS(ROWS, WIDTH), 1), leaf(dtype, WK_DIMS(CLASSES, WIDTH), 2),
                   leaf(dtype, WK_DIMS(CLASSES), 3), wk_kept_zeros(WK_I64, WK_DIMS(ROWS)) };
    for (int i = 0; i < ROWS; i++) ((int64_t *)wk_data(o.target))[i] = 5 * i % CLASSES;
    return o;
}
static void end(operands *o) {
    wk_release(o->x), wk_release(o->weight), wk_release(o->bias), wk_release(o->target);
}
static void clear(const operands *o) {
    wk_clear_grad(o->x), wk_clear_grad(o->weight), wk_clear_grad(o->bias);
}

static wk_tensor *by_parts(const operands *o) {
    return wk_cross_entropy(wk_linear(o->x, o->weight, o->bias, (wk_linear_opts){ 0 }), o->target, whole);
}
static wk_tensor *by_chunks(const operands *o) {
    return wk_linear_cross_entropy(o->x, o->weight, o->bias, o->target, small);
}

/* What the parts give, `times` over. */
typedef struct wanted {
    wk_tensor *gradient[3];
} wanted;
static wanted wanted_of(const operands *o, double times) {
    wanted w = { { NULL } };
    wk_tensor *leaves[] = { o->x, o->weight, o->bias }, *loss = wk_scale(by_parts(o), times);
    cr_assert_eq(wk_gradients(&loss, 1, NULL, leaves, 3, w.gradient, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    return w;
}
static void expect_gradients(const operands *o, wanted w, double tolerance, const char *what) {
    cr_assert(!wk_failed(), "%s: %s", what, wk_message());
    golden_expect_close(wk_gradient(o->x), w.gradient[0], tolerance, what);
    golden_expect_close(wk_gradient(o->weight), w.gradient[1], tolerance, what);
    golden_expect_close(wk_gradient(o->bias), w.gradient[2], tolerance, what);
}
static const double exact = 1e-13;

Test(head, value_and_gradients_are_those_of_its_parts) {
    operands o = make(WK_F64);
    golden_expect_close(by_chunks(&o), by_parts(&o), exact, "loss");
    for (int step = 0; step < 3; step++) {
        clear(&o);
        cr_assert_eq(wk_backward(wk_scale(by_chunks(&o), 1 + step)), WK_OK, "%s", wk_message());
        expect_gradients(&o, wanted_of(&o, 1 + step), exact, "step");
    }
    wk_cost_begin();
    (void)by_chunks(&o);
    double once = wk_cost_end().operations;
    clear(&o);
    wk_tensor *loss = by_chunks(&o);
    wk_cost_begin();
    (void)wk_backward(loss);
    cr_expect_lt(wk_cost_end().operations, once / 8, "backward multiplies again");
    end(&o);
}

Test(head, the_weights_gradient_is_written_where_it_stays) {
    operands o = make(WK_F64);
    wk_tensor *loss = by_chunks(&o);
    cr_expect_null(wk_gradient(o.weight), "a gradient before backward");
    cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
    const void *place = wk_data(wk_gradient(o.weight));
    expect_gradients(&o, wanted_of(&o, 1), exact, "the first");
    /* Beside what is there already, and after clearing. */
    cr_assert_eq(wk_backward(by_chunks(&o)), WK_OK, "%s", wk_message());
    expect_gradients(&o, wanted_of(&o, 2), exact, "added");
    clear(&o);
    cr_assert_eq(wk_backward(by_chunks(&o)), WK_OK, "%s", wk_message());
    expect_gradients(&o, wanted_of(&o, 1), exact, "cleared");
    cr_expect_eq(wk_data(wk_gradient(o.weight)), place);
    end(&o);
}

/* Somebody else's gradient comes into the same leaf before the head's. */
Test(head, memory_that_others_write_is_given_up) {
    operands o = make(WK_F64);
    for (int again = 0; again < 2; again++) {
        clear(&o);
        wk_tensor *one = by_chunks(&o), *two = by_chunks(&o);
        cr_assert_eq(wk_backward(wk_add(one, two)), WK_OK, "%s", wk_message());
        expect_gradients(&o, wanted_of(&o, 2), exact, "two heads");
        clear(&o);
        wk_tensor *loss = by_chunks(&o);
        cr_assert_eq(wk_backward(by_parts(&o)), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
        expect_gradients(&o, wanted_of(&o, 2), exact, "another backward in between");
        clear(&o);
        loss = by_chunks(&o);
        cr_assert_eq(wk_backward(by_parts(&o)), WK_OK, "%s", wk_message());
        clear(&o);
        cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
        expect_gradients(&o, wanted_of(&o, 1), exact, "another backward, forgotten");
    }
    end(&o);
}

Test(head, a_graph_that_is_retained_gives_the_same_twice) {
    operands o = make(WK_F64);
    wk_tensor *loss = wk_scale(by_chunks(&o), 3);
    cr_assert_eq(wk_backward_from(loss, NULL, (wk_backward_opts){ .retain_graph = true }), WK_OK, "%s", wk_message());
    expect_gradients(&o, wanted_of(&o, 3), exact, "once");
    cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
    expect_gradients(&o, wanted_of(&o, 6), exact, "twice");
    end(&o);
}

Test(head, a_table_that_is_looked_up_too_gets_both) {
    operands o = make(WK_F64);
    wk_tensor *index = wk_from_array(WK_I64, WK_DIMS(3, 7), (int64_t[21]){ 4, 4, 32, 0, 7, 9, 4 });
    wk_tensor *y = wk_embedding(o.weight, index, (wk_embedding_opts){ .sparse = false });
    wk_tensor *target = wk_reshape(o.target, WK_DIMS(3, 7));
    wk_tensor *loss = wk_linear_cross_entropy(y, o.weight, NULL, target, small), *d;
    wk_tensor *logits = wk_linear(wk_reshape(y, WK_DIMS(ROWS, WIDTH)), o.weight, NULL, (wk_linear_opts){ 0 });
    wk_tensor *parts = wk_cross_entropy(logits, o.target, whole);
    cr_assert_eq(wk_gradients(&parts, 1, NULL, &o.weight, 1, &d, (wk_grad_opts){ .retain_graph = true }), WK_OK, "%s",
                 wk_message());
    cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
    golden_expect_close(wk_gradient(o.weight), d, exact, "table");
    end(&o);
}

Test(head, gradients_that_are_asked_for_leave_leaves_alone) {
    operands o = make(WK_F64);
    wanted w = wanted_of(&o, 1);
    wk_tensor *loss = by_chunks(&o), *leaves[] = { o.x, o.weight, o.bias }, *d[3];
    cr_assert_eq(wk_gradients(&loss, 1, NULL, leaves, 3, d, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    for (int i = 0; i < 3; i++) golden_expect_close(d[i], w.gradient[i], exact, "asked for");
    cr_expect_null(wk_gradient(o.weight));
    loss = by_chunks(&o);
    cr_assert_eq(wk_gradients(&loss, 1, NULL, leaves, 3, d, (wk_grad_opts){ .create_graph = true }), WK_OK, "%s",
                 wk_message());
    cr_expect(wk_requires_grad(d[1]), "a gradient without a graph");
    for (int i = 0; i < 3; i++) golden_expect_close(d[i], w.gradient[i], exact, "with a graph");
    end(&o);
}

Test(head, without_reduction_each_row_has_its_loss) {
    operands o = make(WK_F64);
    wk_linear_cross_entropy_opts opts = small;
    wk_cross_entropy_opts parts = whole;
    opts.reduction = parts.reduction = WK_REDUCTION_NONE;
    wk_tensor *x = wk_reshape(o.x, WK_DIMS(3, 7, WIDTH)), *target = wk_reshape(o.target, WK_DIMS(3, 7));
    wk_tensor *loss = wk_linear_cross_entropy(x, o.weight, o.bias, target, opts);
    wk_tensor *logits = wk_linear(o.x, o.weight, o.bias, (wk_linear_opts){ 0 });
    wk_tensor *rows = wk_reshape(wk_cross_entropy(logits, o.target, parts), WK_DIMS(3, 7));
    golden_expect_close(loss, rows, exact, "losses");
    wk_tensor *leaves[] = { o.x, o.weight, o.bias }, *d[3], *by[3], *seed = wk_cast(target, WK_F64);
    cr_assert_eq(wk_gradients(&rows, 1, &seed, leaves, 3, by, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_gradients(&loss, 1, &seed, leaves, 3, d, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    for (int i = 0; i < 3; i++) golden_expect_close(d[i], by[i], exact, "weighted");
    end(&o);
}

/* Products in bf16 or f16, everything else in f32: what the parts do, with fewer roundings. */
static void check_autocast(wk_dtype half, double tolerance) {
    operands o = make(WK_F32);
    wanted w = wanted_of(&o, 1);
    wk_autocast was = wk_autocast_begin(half, true);
    wk_tensor *loss = by_chunks(&o);
    wk_tensor *of_half = wk_linear_cross_entropy(wk_cast(o.x, half), o.weight, o.bias, o.target, small);
    wk_autocast_end(was);
    wk_tensor *twice = wk_scale(of_half, 0.5);
    cr_assert(loss && twice, "%s", wk_message());
    cr_expect_float_eq(wk_item(loss), wk_item(of_half), tolerance);
    cr_expect_float_eq(wk_item(loss), wk_item(by_parts(&o)), tolerance);
    cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
    expect_gradients(&o, w, tolerance, wk_dtype_name(half));
    clear(&o);
    cr_assert_eq(wk_backward(twice), WK_OK, "%s", wk_message());
    wanted again = wanted_of(&o, 0.5);
    expect_gradients(&o, again, tolerance, "x in half precision");
    end(&o);
}
Test(head, under_autocast_products_are_made_in_half_precision) {
    check_autocast(WK_BF16, 0.02);
    check_autocast(WK_F16, 0.003);
}

Test(head, half_weights_get_gradients_of_their_type) {
    operands o = make(WK_F64), h = make(WK_BF16);
    cr_assert_eq(wk_backward(by_chunks(&h)), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_dtype_get(wk_gradient(h.weight)), WK_BF16);
    golden_expect_close(wk_cast(wk_gradient(h.weight), WK_F64), wanted_of(&o, 1).gradient[1], 0.02, "weight");
    end(&o);
    end(&h);
}

/* Large enough for the library's products, with a last chunk of another size. */
Test(head, chunks_of_any_size_give_the_same) {
    wk_tensor *x = wk_keep(wk_normal(wk_random_key(), (wk_normal_opts){ .dims = WK_DIMS(150, 64) }));
    wk_tensor *weight =
        wk_require_grad(wk_keep(wk_normal(wk_random_key(), (wk_normal_opts){ .dims = WK_DIMS(700, 64) })), true);
    wk_tensor *target = wk_kept_zeros(WK_I64, WK_DIMS(150)), *first = NULL;
    for (int i = 0; i < 150; i++) ((int64_t *)wk_data(target))[i] = 37 * i % 700;
    const wk_norm_opts all = { .p = WK_SET(2) };
    static const int64_t sizes[] = { 150, 64, 7, 1, 0 };
    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < 5; i++) {
            wk_autocast was = wk_autocast_begin(WK_BF16, half);
            wk_tensor *loss =
                wk_linear_cross_entropy(x, weight, NULL, target, (wk_linear_cross_entropy_opts){ .chunk = sizes[i] });
            wk_autocast_end(was);
            wk_clear_grad(weight);
            cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
            if (!first) first = wk_mul(wk_gradient(weight), wk_full(WK_F32, WK_SCALAR, 1));
            wk_tensor *far = wk_norm(wk_sub(wk_gradient(weight), first), all), *size = wk_norm(first, all);
            cr_expect_lt(wk_item(far), (half ? 1e-2 : 1e-6) * wk_item(size), "chunks of %d, %s: %g of %g",
                         (int)sizes[i], half ? "bf16" : "f32", wk_item(far), wk_item(size));
        }
    }
    wk_release(x), wk_release(weight), wk_release(target);
}

Test(head, refuses_what_does_not_fit) {
    wk_tensor *x = wk_zeros(WK_F32, WK_DIMS(2, 3, 4)), *weight = wk_zeros(WK_F32, WK_DIMS(7, 4));
    wk_tensor *target = wk_zeros(WK_I64, WK_DIMS(2, 3)), *bias = wk_zeros(WK_F32, WK_DIMS(4));
    const wk_linear_cross_entropy_opts opts = { .chunk = 0 }, negative = { .chunk = -1 };
    REFUSED_PLAINLY(wk_linear_cross_entropy(x, weight, NULL, wk_zeros(WK_I64, WK_DIMS(6)), opts), WK_SHAPE,
                    "linear_cross_entropy: x (2, 3, 4) f32, target (6) i64: expected (…, D) and (…)");
    REFUSED_PLAINLY(wk_linear_cross_entropy(x, wk_transpose(weight, 0, 1), NULL, target, opts), WK_SHAPE,
                    "linear_cross_entropy: x (6, 4) f32, weight (4, 7) f32: expected (…, D) and (V, D)");
    REFUSED_PLAINLY(wk_linear_cross_entropy(x, weight, bias, target, opts), WK_SHAPE,
                    "linear_cross_entropy: bias (4) f32: expected (7), the rows of weight (7, 4) f32");
    REFUSED_PLAINLY(wk_linear_cross_entropy(x, weight, NULL, target, negative), WK_INVALID,
                    "linear_cross_entropy: chunk is -1, expected 0 or more rows");
    REFUSED_PLAINLY(wk_linear_cross_entropy(x, weight, NULL, wk_full(WK_I64, WK_DIMS(2, 3), 7), opts), WK_INVALID,
                    "linear_cross_entropy: target[0] is 7, expected 0 ≤ target < 7");
    REFUSED_PLAINLY(wk_linear_cross_entropy(x, wk_cast(weight, WK_F64), NULL, target, opts), WK_DTYPE,
                    "linear_cross_entropy: input 0 is f32 and input 1 is f64; convert one with wk_cast");
}
