/* activation.c: activations and their gradients, one pass each.  `exp` of a large argument is avoided by the forms
 * that take exp(-|x|); what has an exponential of f32 uses vector_math.h. */
#include "cpu/simd/pointwise/rows.h"

/* An expression twice: EXP and SIGMOID are those of the type. */
#define EXP(x)     _Generic((x), float : wk_exp_f32, double : exp)(x)
#define SIGMOID(x) _Generic((x), float : wk_sigmoid_f32, double : sigmoid_f64)(x)
static inline double sigmoid_f64(double x) {
    double e = exp(-fabs(x));
    return (x < 0 ? e : 1) / (1 + e);
}

/* ---- straight pieces ---- */

WK_FLOAT_KERNEL(hardtanh, 1, wk_hardtanh_opts,
                x<(real)wk_optional_or(p->min, -1) ? (real)wk_optional_or(p->min, -1) : x>(real)
                        wk_optional_or(p->max, 1)
                    ? (real)wk_optional_or(p->max, 1)
                    : x)
WK_FLOAT_KERNEL(leaky_relu, 1, wk_leaky_relu_opts, x > 0 ? x : x * (real)wk_optional_or(p->slope, 0.01))
WK_FLOAT_KERNEL(prelu_broadcast, 2, wk_none, a > 0 ? a : a * b)
WK_FLOAT_KERNEL(hardsigmoid, 1, wk_none, x + 3 < 0 ? 0 : x + 3 > 6 ? 1 : (x + 3) / 6)
WK_FLOAT_KERNEL(hardswish, 1, wk_none, x + 3 < 0 ? 0 * x : x + 3 > 6 ? x : x * ((x + 3) / 6))
WK_FLOAT_KERNEL(hardswish_backward, 2, wk_none, b <= -3 ? 0 : b < 3 ? a * (b / 3 + (real)0.5) : a)
#define LAMBDA (real) wk_optional_or(p->lambda, 0.5)
WK_FLOAT_KERNEL(hardshrink, 1, wk_shrink_opts, x >= -LAMBDA && x <= LAMBDA ? 0 : x)
WK_FLOAT_KERNEL(softshrink, 1, wk_shrink_opts, x > LAMBDA ? x - LAMBDA : x < -LAMBDA ? x + LAMBDA : 0 * x)
WK_FLOAT_KERNEL(threshold, 1, wk_threshold_opts, x <= (real)p->threshold ? (real)p->value : x)
WK_FLOAT_KERNEL(softsign, 1, wk_none, x / (1 + fabs(x)))
/* dy times the slope of the piece that b lies in. */
WK_FLOAT_KERNEL(piecewise_backward, 2, wk_piecewise_attrs,
                a *(b<(real)p->low || (p->open && b == (real)p->low) ? (real)p->below : b>(real) p->high
                            || (p->open && b == (real)p->high)
                        ? (real)p->above
                        : (real)p->between))

/* ---- curves ---- */

WK_FLOAT_KERNEL(silu, 1, wk_none, x *SIGMOID(x))
WK_FLOAT_KERNEL(gate, 2, wk_none, a *SIGMOID(b))
WK_FLOAT_KERNEL(gate_backward, 3, wk_none, a *b *SIGMOID(c) * (1 - SIGMOID(c)))
WK_FLOAT_KERNEL(silu_backward, 2, wk_none, a *SIGMOID(b) * (1 + b * (1 - SIGMOID(b))))

/* 0.5 x (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3) */
#define TWICE_U(x) ((real)1.5957691216057308 * ((x) + (real)0.044715 * (x) * (x) * (x)))
#define SLOPE_U(x) ((real)1.5957691216057308 * (1 + (real)0.134145 * (x) * (x)))
WK_FLOAT_ROWS(WK_ROW_1, gelu_tanh, wk_none, x == -(real)INFINITY ? 0 : x * SIGMOID(TWICE_U(x)))
WK_FLOAT_ROWS(WK_ROW_2, gelu_tanh_backward, wk_none,
              a *SIGMOID(TWICE_U(b)) * (1 + b * (1 - SIGMOID(TWICE_U(b))) * SLOPE_U(b)))
/* x Φ(x), and Φ(x) + x φ(x) */
#define CDF(x) _Generic((x), float : wk_normal_cdf_f32, double : normal_cdf_f64)(x)
static inline double normal_cdf_f64(double x) {
    return 0.5 * erfc(-0.70710678118654752 * x);
}
WK_FLOAT_ROWS(WK_ROW_1, gelu_erf, wk_none, x == -(real)INFINITY ? 0 : x * CDF(x))
WK_FLOAT_ROWS(WK_ROW_2, gelu_erf_backward, wk_none,
              a *(CDF(b) + b * (real)0.39894228040143268 * EXP((real)-0.5 * b * b)))
static const wk_row gelu_rows[2][WK_DTYPE_COUNT] = { { WK_FLOAT_TABLE(gelu_erf) }, { WK_FLOAT_TABLE(gelu_tanh) } };
static const wk_row gelu_backward_rows[2][WK_DTYPE_COUNT] = { { WK_FLOAT_TABLE(gelu_erf_backward) },
                                                              { WK_FLOAT_TABLE(gelu_tanh_backward) } };
static wk_status gelu(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_gelu_opts *opts = call->attrs;
    return wk_map(ctx, call, 1, gelu_rows[opts->approximate == WK_GELU_TANH][call->in[0]->dtype], NULL);
}
static wk_status gelu_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_gelu_opts *opts = call->attrs;
    return wk_map(ctx, call, 2, gelu_backward_rows[opts->approximate == WK_GELU_TANH][call->in[0]->dtype], NULL);
}

/* tanh(softplus(x)) = n / (n + 2) with n = w (w + 2), w = e^x; beyond 20 it is 1 in f32 and f64. */
#define W(x)        EXP((x) > 20 ? (real)20 : (x))
#define TANH_OF(w)  ((w) * ((w) + 2) / ((w) * ((w) + 2) + 2))
#define SECH2_OF(w) (4 * ((w) + 1) * ((w) + 1) / (((w) * ((w) + 2) + 2) * ((w) * ((w) + 2) + 2)))
WK_FLOAT_KERNEL(mish, 1, wk_none, x == -(real)INFINITY ? 0 : x * TANH_OF(W(x)))
WK_FLOAT_KERNEL(mish_backward, 2, wk_none, a *(TANH_OF(W(b)) + (b > 20 ? 0 : b * SECH2_OF(W(b)) * (W(b) / (1 + W(b))))))

/* scale · (x > 0 ? x : alpha · (e^(input_scale · x) - 1)) */
#define ELU_SCALE (real) p->scale
WK_FLOAT_ROWS(WK_ROW_2, elu_backward, wk_elu_attrs,
              a *ELU_SCALE *(b > 0 ? 1 : (real)(p->alpha * p->input_scale) * EXP((real)p->input_scale * b)))
static const wk_row elu_backward_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(elu_backward) };
WK_MAP_KERNEL(elu_backward, 2)
WK_FLOAT_FUNCTION_BY(exponential_unit, wk_elu_attrs, expm1, x > 0 ? 0 : x * (real)p->input_scale,
                     ELU_SCALE *(x > 0 ? x : (real)p->alpha * t))

/* max(z, 0) + log1p(e^-|z|) over beta, z = beta x; x itself beyond the threshold */
#define BETA  (real) wk_optional_or(p->beta, 1)
#define FAR   (x * BETA > (real)wk_optional_or(p->threshold, 20))
#define FAR_B (b * BETA > (real)wk_optional_or(p->threshold, 20))
WK_FLOAT_KERNEL_BY(softplus, wk_softplus_opts, log1p, EXP(-fabs(x *BETA)),
                   FAR ? x : ((x * BETA > 0 ? x * BETA : 0) + t) / BETA)
WK_FLOAT_KERNEL(softplus_backward, 2, wk_softplus_opts, a *(FAR_B ? 1 : SIGMOID(b *BETA)))
WK_FLOAT_KERNEL_BY(logsigmoid, wk_none, log1p, EXP(-fabs(x)), (x < 0 ? x : 0 * x) - t)

/* The product of the clamped d and what is left: one formula on both sides of the edge. */
#define CLAMPED(x) ((x) < -(real)p->edge ? -(real)p->edge : (x) > (real)p->edge ? (real)p->edge : (x))
WK_FLOAT_KERNEL(rounded_distance, 2, wk_rounded_attrs,
                (real)p->factor *CLAMPED(a - b) * ((a - b) - (real)0.5 * CLAMPED(a - b)))

#define ELU_KERNEL(name, type, ...)                                                     \
    static wk_status name(wk_kernel_ctx *ctx, const wk_call *call) {                    \
        const type *opts = call->attrs;                                                 \
        (void)opts;                                                                     \
        const wk_elu_attrs attrs = __VA_ARGS__;                                         \
        return wk_map(ctx, call, 1, exponential_unit_rows[call->in[0]->dtype], &attrs); \
    }
ELU_KERNEL(elu, wk_elu_opts, { wk_optional_or(opts->alpha, 1), 1, 1 })
ELU_KERNEL(selu, void, { WK_SELU_ALPHA, WK_SELU_SCALE, 1 })
ELU_KERNEL(celu, wk_elu_opts, { wk_optional_or(opts->alpha, 1), 1, 1 / wk_optional_or(opts->alpha, 1) })

WK_CPU_TABLE(activation) = {
    { "hardtanh", WK_FLOATS, hardtanh },
    { "leaky_relu", WK_FLOATS, leaky_relu },
    { "prelu_broadcast", WK_FLOATS, prelu_broadcast },
    { "hardsigmoid", WK_FLOATS, hardsigmoid },
    { "hardswish", WK_FLOATS, hardswish },
    { "hardswish_backward", WK_FLOATS, hardswish_backward },
    { "hardshrink", WK_FLOATS, hardshrink },
    { "softshrink", WK_FLOATS, softshrink },
    { "threshold", WK_FLOATS, threshold },
    { "softsign", WK_FLOATS, softsign },
    { "piecewise_backward", WK_FLOATS, piecewise_backward },
    { "silu", WK_FLOATS, silu },
    { "silu_backward", WK_FLOATS, silu_backward },
    { "gate", WK_FLOATS, gate },
    { "gate_backward", WK_FLOATS, gate_backward },
    { "gelu", WK_FLOATS, gelu },
    { "gelu_backward", WK_FLOATS, gelu_backward },
    { "mish", WK_FLOATS, mish },
    { "mish_backward", WK_FLOATS, mish_backward },
    { "elu", WK_FLOATS, elu },
    { "selu", WK_FLOATS, selu },
    { "celu", WK_FLOATS, celu },
    { "elu_backward", WK_FLOATS, elu_backward },
    { "softplus", WK_FLOATS, softplus },
    { "softplus_backward", WK_FLOATS, softplus_backward },
    { "logsigmoid", WK_FLOATS, logsigmoid },
    { "rounded_distance", WK_FLOATS, rounded_distance },
    { 0 },
};
