/* losses.h: what the losses that are made of operations share. */
#ifndef WICK_SRC_TENSOR_LOSSES_H
#define WICK_SRC_TENSOR_LOSSES_H

#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static inline wk_tensor *reduced(wk_tensor *loss, int reduction) {
    if (reduction == WK_REDUCTION_NONE) return loss;
    return reduction == WK_REDUCTION_SUM ? wk_sum(loss, (wk_reduce_opts){ 0 }) : wk_mean(loss, (wk_reduce_opts){ 0 });
}

/* scale · x + shift */
static inline wk_tensor *line(wk_tensor *x, double scale, double shift) {
    return wk_affine(x, (wk_affine_opts){ scale, shift });
}

static inline wk_tensor *at_least(wk_tensor *x, double least) {
    return wk_clamp(x, (wk_clamp_opts){ .min = WK_SET(least) });
}

static inline wk_cost loss_cost(const wk_call *call) {
    return (wk_cost){ 4 * (double)call->in[0]->count, wk__operand_bytes(call) };
}

#define REDUCTION(type) \
    { "reduction", WK_ATTR_ENUM, offsetof(type, reduction), 0, "mean|sum|none", 0, "over elements" }
#define NUMBER(type, name, otherwise, text) \
    { #name, WK_ATTR_OPTIONAL, offsetof(type, name), 0, NULL, otherwise, text }
#define FLAG(type, name, text) \
    { #name, WK_ATTR_BOOL, offsetof(type, name), 0, NULL, 0, text }

/* A loss of float tensors, `inputs` of them, those of the mask optional; id_attrs, id_parts and id_samples stand above.
 */
#define LOSS_ROW(id, text, inputs, optional, type)                                                      \
    static wk_op_def id##_row = { .name = #id,                                                          \
                                  .doc = text,                                                          \
                                  .n_in = inputs,                                                       \
                                  .n_out = 1,                                                           \
                                  .optional_in = optional,                                              \
                                  .composite = true,                                                    \
                                  .attrs = id##_attrs,                                                  \
                                  .n_attrs = (int)(sizeof id##_attrs / sizeof id##_attrs[0]),           \
                                  .attrs_size = sizeof(type),                                           \
                                  .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS }, \
                                             .same = 15,                                                \
                                             .promote = true,                                           \
                                             .autocast = WK_CAST_F32 },                                 \
                                  .decompose = id##_parts,                                              \
                                  .cost = loss_cost,                                                    \
                                  .samples = id##_samples }

#endif
