/* optimizer.c: one step of an optimizer over all of its parameters, as one row: one pass over memory, one fork of the
 * team.
 *
 * What changes from step to step (learning rate, step count, clip factor, found_inf) comes as a tensor, never as an
 * attribute, so that a captured step stays valid.
 */
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static wk_status list_shape(const wk_call *call, int64_t count, int lists) {
    if (call->n_in != 1 + count * lists)
        return wk_bad_call(call, WK_INVALID, "%d tensors given, expected 1 + %d × %lld", call->n_in, lists,
                           (long long)count);
    const wk_tensor *scalars = call->in[0];
    if (scalars->dtype != WK_F64 || scalars->count != 4)
        return wk_bad_call(call, WK_SHAPE, "the scalars must be f64 (4)");
    for (int64_t i = 0; i < count * lists; i++) {
        const wk_tensor *parameter = call->in[1 + i % count], *t = call->in[1 + i];
        char one[160], other[160];
        if (t->count != parameter->count || t->dtype != parameter->dtype || !(t->flags & WK_TENSOR_CONTIGUOUS)
            || !(WK_F32_F64 >> t->dtype & 1))
            return wk_bad_call(
                call, WK_SHAPE, "tensor %lld is %s for parameter %s: expected the same, row major, f32 or f64",
                (long long)i, wk_describe(t, one, sizeof one), wk_describe(parameter, other, sizeof other));
    }
    return WK_OK;
}

static wk_status sgd_shape(const wk_call *call, wk_desc out[]) {
    (void)out;
    const wk_sgd_attrs *attrs = call->attrs;
    return list_shape(call, attrs->count, attrs->momentum != 0 ? 3 : 2);
}
static wk_status adam_shape(const wk_call *call, wk_desc out[]) {
    (void)out;
    return list_shape(call, ((const wk_adam_attrs *)call->attrs)->count, 4);
}
static wk_status norm_shape(const wk_call *call, wk_desc out[]) {
    for (int i = 0; i < call->n_in; i++) {
        char text[160];
        if (!wk__is_dense(call->in[i]))
            return wk_bad_call(call, WK_SHAPE, "tensor %d, %s, has gaps in memory: expected none", i,
                               wk_describe(call->in[i], text, sizeof text));
    }
    out[0] = wk_desc_row_major(WK_F64, 0, NULL);
    return WK_OK;
}

static wk_cost per_parameter(const wk_call *call) {
    return (wk_cost){ 4 * wk__operand_bytes(call) / 4, wk__operand_bytes(call) };
}

static void sgd_samples(wk_sampler *s) {
    const wk_sgd_attrs plain = { .count = 2 },
                       full = { .momentum = 0.9, .weight_decay = 0.01, .nesterov = true, .count = 1 };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(4), .low = 0.1, .high = 0.2 }, { .dims = WK_DIMS(33) },
            { .dims = WK_DIMS(5, 7) }, { .dims = WK_DIMS(33) }, { .dims = WK_DIMS(5, 7) });
    WK_CASE(s, "momentum", &full, { .dims = WK_DIMS(4), .low = 0.1, .high = 0.2 }, { .dims = WK_DIMS(33) },
            { .dims = WK_DIMS(33) }, { .dims = WK_DIMS(33) });
}
static void adam_samples(wk_sampler *s) {
    const wk_adam_attrs attrs = {
        .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01, .decoupled = true, .count = 1
    };
    WK_CASE(s, "adamw", &attrs, { .dims = WK_DIMS(4), .low = 0.1, .high = 0.2 }, { .dims = WK_DIMS(33) },
            { .dims = WK_DIMS(33) }, { .dims = WK_DIMS(33) }, { .dims = WK_DIMS(33), .low = 0, .high = 1 });
}
static void norm_samples(wk_sampler *s) {
    WK_CASE(s, "two", NULL, { .dims = WK_DIMS(33) }, { .dims = WK_DIMS(5, 7) });
}

#define NO_GRADIENT "an optimizer's step is not part of the model"
static wk_op_def sgd_row = { .name = "sgd_step",
                             .internal = true,
                             .doc = "stochastic gradient descent, all parameters in one pass",
                             .n_in = WK_LIST,
                             .mutates = 255,
                             .key = 1,
                             .attrs_size = sizeof(wk_sgd_attrs),
                             .shape = sgd_shape,
                             .not_differentiable = NO_GRADIENT,
                             .cost = per_parameter,
                             .samples = sgd_samples };
static wk_op_def adam_row = { .name = "adam_step",
                              .internal = true,
                              .doc = "Adam and AdamW, all parameters in one pass",
                              .n_in = WK_LIST,
                              .mutates = 255,
                              .key = 1,
                              .attrs_size = sizeof(wk_adam_attrs),
                              .shape = adam_shape,
                              .not_differentiable = NO_GRADIENT,
                              .cost = per_parameter,
                              .samples = adam_samples };
static wk_op_def norm_row = { .name = "global_norm",
                              .internal = true,
                              .doc = "2-norm over all tensors",
                              .n_in = WK_LIST,
                              .n_out = 1,
                              .dtype = { .allowed = { WK_F32_F64 } },
                              .shape = norm_shape,
                              .not_differentiable = NO_GRADIENT,
                              .cost = per_parameter,
                              .samples = norm_samples };

wk_op_def *const wk__rows_optimizer[] = { &sgd_row, &adam_row, &norm_row, NULL };
