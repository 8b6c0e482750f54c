/* tensor_list.c: rows over a list of tensors, gradients mostly: their norm, whether all are finite, one scale and
 * limit.
 */
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <stddef.h>

static wk_status check_dense(const wk_call *call, int from) {
    for (int i = from; i < call->n_in; i++) {
        char text[160];
        if (!wk__is_dense(call->in[i]) || !(WK_FLOATS >> call->in[i]->dtype & 1))
            return wk_bad_call(call, WK_SHAPE, "tensor %d is %s, expected a float type without gaps in memory", i,
                               wk_describe(call->in[i], text, sizeof text));
    }
    return WK_OK;
}

static wk_status number_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(check_dense(call, 0));
    out[0] = wk_desc_row_major(WK_F64, 0, NULL);
    return WK_OK;
}
static wk_status adjust_shape(const wk_call *call, wk_desc out[]) {
    (void)out;
    if (call->n_in < 1 || call->in[0]->dtype != WK_F64 || call->in[0]->count != 2)
        return wk_bad_call(call, WK_SHAPE, "the limits must be f64 (2)");
    return check_dense(call, 1);
}

static wk_status clip_shape(const wk_call *call, wk_desc out[]) {
    (void)out;
    bool fits = call->n_in == 2;
    for (int i = 0; i < call->n_in && fits; i++) fits = call->in[i]->dtype == WK_F64 && call->in[i]->count == 1;
    if (fits) return WK_OK;
    return wk_bad_call(call, WK_SHAPE, "expected the norm and the factor, f64 numbers");
}

static bool is_limits(const wk_call *call, int input) {
    (void)call;
    return input == 0;
}

static wk_cost per_element(const wk_call *call) {
    return (wk_cost){ wk__operand_bytes(call) / 2, wk__operand_bytes(call) };
}

static void norm_samples(wk_sampler *s) {
    const wk_norm_attrs two = { 0 }, one = { 1 }, three = { 3 }, most = { __builtin_inf() };
    WK_CASE(s, "two", &two, { .dims = WK_DIMS(33) }, { .dims = WK_DIMS(5, 7) });
    WK_CASE(s, "one", &one, { .dims = WK_DIMS(33) }, { .dims = WK_DIMS(5, 7) });
    WK_CASE(s, "three", &three, { .dims = WK_DIMS(33) }, { .dims = WK_DIMS(5, 7) });
    WK_CASE(s, "infinity", &most, { .dims = WK_DIMS(33) }, { .dims = WK_DIMS(5, 7) });
    WK_CASE(s, "large", &two, { .dims = WK_DIMS(300, 500) }, { .dims = WK_DIMS(7) });
}
static void nonfinite_samples(wk_sampler *s) {
    WK_CASE(s, "two", NULL, { .dims = WK_DIMS(33) }, { .dims = WK_DIMS(5, 7) });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(300, 500) });
}
static void adjust_samples(wk_sampler *s) {
    WK_CASE(s, "two", NULL, { .dims = WK_DIMS(2), .low = 0.3, .high = 1 }, { .dims = WK_DIMS(33) },
            { .dims = WK_DIMS(5, 7) });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(2), .low = 0.3, .high = 1 }, { .dims = WK_DIMS(300, 500) });
}

static void clip_samples(wk_sampler *s) {
    const wk_clip_attrs less = { 0.5, 2 }, as_it_is = { 9, 1 };
    WK_CASE(s, "less", &less, { .low = 1, .high = 2 }, { .low = 0.2, .high = 0.9 });
    WK_CASE(s, "as it is", &as_it_is, { .low = 1, .high = 2 }, { .low = 0.2, .high = 0.9 });
}

static const wk_attr_def norm_attrs[] = { { "p", WK_ATTR_FLOAT, offsetof(wk_norm_attrs, p), 0, NULL, 0,
                                            "of the norm; 0 means 2" } };
static wk_op_def norm_row = { .name = "global_norm",
                              .internal = true,
                              .doc = "p-norm over all tensors",
                              .n_in = WK_LIST,
                              .n_out = 1,
                              .attrs = norm_attrs,
                              .n_attrs = 1,
                              .attrs_size = sizeof(wk_norm_attrs),
                              .dtype = { .allowed = { WK_FLOATS } },
                              .shape = number_shape,
                              .not_differentiable = "it serves the clipping of gradients, which nothing depends on",
                              .cost = per_element,
                              .samples = norm_samples };
static wk_op_def nonfinite_row = { .name = "any_nonfinite",
                                   .internal = true,
                                   .doc = "1 if an element of the tensors is infinite or NaN",
                                   .n_in = WK_LIST,
                                   .n_out = 1,
                                   .dtype = { .allowed = { WK_FLOATS } },
                                   .shape = number_shape,
                                   .not_differentiable = "constant almost everywhere",
                                   .cost = per_element,
                                   .samples = nonfinite_samples };
static wk_op_def adjust_row = { .name = "adjust_list",
                                .internal = true,
                                .doc = "scale and limit all tensors in place",
                                .n_in = WK_LIST,
                                .mutates = 255,
                                .host_in_list = is_limits,
                                .key = 1,
                                .shape = adjust_shape,
                                .not_differentiable = "it serves the clipping of gradients, which nothing depends on",
                                .cost = per_element,
                                .samples = adjust_samples };
static wk_op_def clip_row = { .name = "clip_factor",
                              .internal = true,
                              .doc = "what gradients of this norm are multiplied by",
                              .n_in = WK_LIST,
                              .mutates = 255,
                              .key = 1,
                              .attrs_size = sizeof(wk_clip_attrs),
                              .dtype = { .allowed = { WK_SET_OF(WK_F64) } },
                              .shape = clip_shape,
                              .not_differentiable = "it serves the clipping of gradients, which nothing depends on",
                              .cost = per_element,
                              .samples = clip_samples };

wk_op_def *const wk__rows_tensor_list[] = { &norm_row, &nonfinite_row, &adjust_row, &clip_row, NULL };
