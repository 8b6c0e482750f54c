/* rows.h: what the files of this folder share: shape rules, samples, and the rows that differ in nothing but name,
 * dtypes and gradient. */
#ifndef WICK_SRC_TENSOR_POINTWISE_ROWS_H
#define WICK_SRC_TENSOR_POINTWISE_ROWS_H

#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static inline wk_status like_operands(const wk_call *call, wk_desc out[]) {
    return wk_desc_broadcast(call, (wk_dtype)call->in[0]->dtype, out);
}

static inline wk_status like_operands_bool(const wk_call *call, wk_desc out[]) {
    return wk_desc_broadcast(call, WK_BOOL, out);
}

/* dy times the slope of the piece that x lies in. */
wk_tensor *wk__piecewise_backward(wk_tensor *dy, wk_tensor *x, const wk_piecewise_attrs *attrs);

static inline wk_cost cheap(const wk_call *call) {
    return wk__cost_elements(call, 1);
}
static inline wk_cost dear(const wk_call *call) {
    return wk__cost_elements(call, 10);
}

static inline void unary_samples(wk_sampler *s) {
    WK_CASE(s, "small", NULL, { .dims = WK_DIMS(2, 3), .margin = 0.05 });
    WK_CASE(s, "odd", NULL, { .dims = WK_DIMS(7, 13, 3), .margin = 0.05 });
    WK_CASE(s, "scalar", NULL, { .dims = WK_SCALAR, .margin = 0.05 });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(3, 0, 2) });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(5, 6, 7), .margin = 0.05, .strided = true });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(129, 257), .margin = 0.05 });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024), .margin = 0.05 });
}

static inline void positive_samples(wk_sampler *s) {
    WK_CASE(s, "small", NULL, { .dims = WK_DIMS(2, 3), .low = 0.1, .high = 4 });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(5, 6, 7), .low = 0.1, .high = 4, .strided = true });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0) });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(129, 257), .low = 0.1, .high = 4 });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024), .low = 0.1, .high = 4 });
}

static inline void binary_samples(wk_sampler *s) {
    WK_CASE(s, "same", NULL, { .dims = WK_DIMS(4, 5), .margin = 0.1 }, { .dims = WK_DIMS(4, 5), .margin = 0.1 });
    WK_CASE(s, "row", NULL, { .dims = WK_DIMS(3, 4, 5), .margin = 0.1 }, { .dims = WK_DIMS(5), .margin = 0.1 });
    WK_CASE(s, "column", NULL, { .dims = WK_DIMS(3, 1), .margin = 0.1 }, { .dims = WK_DIMS(3, 7), .margin = 0.1 });
    WK_CASE(s, "both", NULL, { .dims = WK_DIMS(3, 1, 5), .margin = 0.1 }, { .dims = WK_DIMS(4, 1), .margin = 0.1 });
    WK_CASE(s, "scalar", NULL, { .dims = WK_SCALAR, .margin = 0.1 }, { .dims = WK_DIMS(2, 3), .margin = 0.1 });
    WK_CASE(s, "one", NULL, { .dims = WK_DIMS(1), .margin = 0.1 }, { .dims = WK_DIMS(1), .margin = 0.1 });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(5, 6, 7), .margin = 0.1, .strided = true },
            { .dims = WK_DIMS(5, 6, 7), .margin = 0.1 });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0, 3) }, { .dims = WK_DIMS(1, 3) });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(129, 257), .margin = 0.1 },
            { .dims = WK_DIMS(129, 257), .margin = 0.1 });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024), .margin = 0.1 },
                 { .dims = WK_DIMS(512, 1024), .margin = 0.1 });
    WK_HUGE_CASE(s, "huge row", NULL, { .dims = WK_DIMS(512, 1024), .margin = 0.1 },
                 { .dims = WK_DIMS(1024), .margin = 0.1 });
}

static inline wk_tensor *zero(const wk_tensor *like) {
    return wk_full((wk_dtype)like->dtype, WK_SCALAR, 0);
}

/* A function of steps. */
static inline wk_status flat_grad(wk_grad *g) {
    for (int i = 0; i < g->call->n_in; i++)
        if (g->needs[i]) g->din[i] = wk_zeros((wk_dtype)g->in[i]->dtype, wk__dims(g->in[i]));
    return WK_OK;
}

enum { IN0 = 1, IN1 = 2, IN2 = 4, OUT0 = 1 };
#define WK__SIGNED ((wk_dtype_set)(WK_NUMBERS & ~WK_SET_OF(WK_U8)))

#define UNARY_CAST(id, text, dtypes, cast, keep_in, keep_out, rule, price, cases)       \
    static wk_op_def id##_row = { .name = #id,                                          \
                                  .doc = text,                                          \
                                  .n_in = 1,                                            \
                                  .n_out = 1,                                           \
                                  .elementwise = true,                                  \
                                  .saves_in = keep_in,                                  \
                                  .saves_out = keep_out,                                \
                                  .dtype = { .allowed = { dtypes }, .autocast = cast }, \
                                  .shape = like_operands,                               \
                                  .grad = rule,                                         \
                                  .cost = price,                                        \
                                  .samples = cases };                                   \
    wk_tensor *wk_##id(wk_tensor *x) {                                                  \
        return wk_op_run1(&id##_row, NULL, x);                                          \
    }
#define UNARY(id, text, dtypes, keep_in, keep_out, rule, price, cases) \
    UNARY_CAST(id, text, dtypes, WK_CAST_AS_IS, keep_in, keep_out, rule, price, cases)
/* One operand and options `opts` with a table id_attrs. */
#define UNARY_WITH(id, text, dtypes, opts_type, cast, keep_in, keep_out, rule, price, cases) \
    static wk_op_def id##_row = { .name = #id,                                               \
                                  .doc = text,                                               \
                                  .n_in = 1,                                                 \
                                  .n_out = 1,                                                \
                                  .elementwise = true,                                       \
                                  .saves_in = keep_in,                                       \
                                  .saves_out = keep_out,                                     \
                                  .attrs = id##_attrs,                                       \
                                  .n_attrs = sizeof id##_attrs / sizeof id##_attrs[0],       \
                                  .attrs_size = sizeof(opts_type),                           \
                                  .dtype = { .allowed = { dtypes }, .autocast = cast },      \
                                  .shape = like_operands,                                    \
                                  .grad = rule,                                              \
                                  .cost = price,                                             \
                                  .samples = cases };                                        \
    wk_tensor *wk_##id(wk_tensor *x, opts_type opts) {                                       \
        return wk_op_run1(&id##_row, &opts, x);                                              \
    }
#define BINARY_CAST(id, text, dtypes, cast, keep_in, keep_out, rule, price, cases)                \
    static wk_op_def id##_row = {                                                                 \
        .name = #id,                                                                              \
        .doc = text,                                                                              \
        .n_in = 2,                                                                                \
        .n_out = 1,                                                                               \
        .elementwise = true,                                                                      \
        .saves_in = keep_in,                                                                      \
        .saves_out = keep_out,                                                                    \
        .dtype = { .allowed = { dtypes, dtypes }, .same = 3, .promote = true, .autocast = cast }, \
        .shape = like_operands,                                                                   \
        .grad = rule,                                                                             \
        .cost = price,                                                                            \
        .samples = cases                                                                          \
    };                                                                                            \
    wk_tensor *wk_##id(wk_tensor *a, wk_tensor *b) {                                              \
        return wk_op_run2(&id##_row, NULL, a, b);                                                 \
    }
#define BINARY(id, text, dtypes, keep_in, keep_out, rule) \
    BINARY_CAST(id, text, dtypes, WK_CAST_AS_IS, keep_in, keep_out, rule, cheap, binary_samples)
#define COMPARISON(id, text)                                                           \
    static wk_op_def id##_row = { .name = #id,                                         \
                                  .doc = text,                                         \
                                  .n_in = 2,                                           \
                                  .n_out = 1,                                          \
                                  .elementwise = true,                                 \
                                  .dtype = { .same = 3, .promote = true },             \
                                  .shape = like_operands_bool,                         \
                                  .not_differentiable = "its result is a truth value", \
                                  .cost = cheap,                                       \
                                  .samples = binary_samples };                         \
    wk_tensor *wk_##id(wk_tensor *a, wk_tensor *b) {                                   \
        return wk_op_run2(&id##_row, NULL, a, b);                                      \
    }

#endif
