/* dropouts.c: dropout of whole channels, and alpha dropout: combinations of the row `dropout`.
 *
 * A channel is dropped by a mask (N, C, 1, …) that broadcasts.  Alpha dropout of a mask m of 0 and 1 with keep
 * probability q is
 *     a (x m + α' (1 - m)) + b,   α' = -λα,   a = (q + α'² q (1 - q))^(-1/2),   b = -a α' (1 - q)
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <math.h>

static wk_status check_channels(const wk_call *call) {
    const wk_tensor *x = call->in[0];
    char text[160];
    return x->rank >= 2 ? WK_OK
                        : wk_bad_call(call, WK_SHAPE, "x %s, expected (N, C, …)", wk_describe(x, text, sizeof text));
}

/* Ones of x's shape, or one a channel, after dropout: 0, or 1 / (1 - p). */
static wk_tensor *mask_of(const wk_call *call, bool by_channel) {
    wk_dims dims = wk__dims(call->in[0]);
    for (int axis = 2; by_channel && axis < dims.rank; axis++) dims.size[axis] = 1;
    wk_tensor *ones = wk_full((wk_dtype)call->in[0]->dtype, dims, 1);
    return wk_dropout(ones, call->in[1], *(const wk_dropout_opts *)call->attrs);
}

static wk_status feature_parts(const wk_call *call, wk_tensor *out[]) {
    WK_TRY(check_channels(call));
    out[0] = wk_mul(call->in[0], mask_of(call, true));
    return out[0] ? WK_OK : wk_error_code();
}

static wk_status alpha_of(const wk_call *call, wk_tensor *out[], bool by_channel) {
    double p = ((const wk_dropout_opts *)call->attrs)->p, keep = 1 - p, low = -1.7580993408473766;
    double a = 1 / sqrt(keep * (1 + p * low * low)), b = -a * low * p;
    wk_tensor *mask = mask_of(call, by_channel);
    /* mask · keep is m;  a x m + a low (1 - m) + b */
    wk_tensor *shift = wk_affine(mask, (wk_affine_opts){ -a * low * keep, a * low + b });
    out[0] = wk_addcmul(shift, call->in[0], wk_scale(mask, a * keep), (wk_addcmul_opts){ 0 });
    return out[0] ? WK_OK : wk_error_code();
}
static wk_status alpha_parts(const wk_call *call, wk_tensor *out[]) {
    return alpha_of(call, out, false);
}
static wk_status feature_alpha_parts(const wk_call *call, wk_tensor *out[]) {
    WK_TRY(check_channels(call));
    return alpha_of(call, out, true);
}

static wk_cost cost(const wk_call *call) {
    return (wk_cost){ 15 * (double)call->in[0]->count, wk__operand_bytes(call) };
}
static void samples(wk_sampler *s) {
    const wk_dropout_opts half = { 0.5 }, none = { 0 };
    WK_CASE(s, "half", &half, { .dims = WK_DIMS(9, 11, 3) },
            { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 1000 });
    WK_CASE(s, "strided", &half, { .dims = WK_DIMS(3, 5), .strided = true },
            { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 1000 });
    WK_CASE(s, "none", &none, { .dims = WK_DIMS(2, 3, 4, 5) },
            { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 1000 });
    WK_HUGE_CASE(s, "huge", &half, { .dims = WK_DIMS(8, 64, 28, 28) },
                 { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 1000 });
}
static const wk_attr_def attrs[] = { { "p", WK_ATTR_FLOAT, offsetof(wk_dropout_opts, p), 0, NULL, 0,
                                       "probability of being dropped" } };
#define ROW(id, text, parts)                                                                \
    static wk_op_def id##_row = { .name = #id,                                              \
                                  .doc = text,                                              \
                                  .n_in = 2,                                                \
                                  .n_out = 1,                                               \
                                  .random = true,                                           \
                                  .host_in = 2,                                             \
                                  .composite = true,                                        \
                                  .attrs = attrs,                                           \
                                  .n_attrs = 1,                                             \
                                  .attrs_size = sizeof(wk_dropout_opts),                    \
                                  .dtype = { .allowed = { WK_FLOATS, WK_SET_OF(WK_I64) } }, \
                                  .decompose = parts,                                       \
                                  .cost = cost,                                             \
                                  .samples = samples };                                     \
    wk_tensor *wk_##id(wk_tensor *x, wk_tensor *key, wk_dropout_opts opts) {                \
        return wk_op_run2(&id##_row, &opts, x, key);                                        \
    }
ROW(feature_dropout, "dropout of whole channels", feature_parts)
ROW(alpha_dropout, "dropout that keeps mean and variance behind SELU", alpha_parts)
ROW(feature_alpha_dropout, "alpha_dropout of whole channels", feature_alpha_parts)

wk_op_def *const wk__rows_dropouts[] = { &feature_dropout_row, &alpha_dropout_row, &feature_alpha_dropout_row, NULL };
