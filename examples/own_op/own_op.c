/* own_op.c: two operations of one's own, as a plug-in.
 *
 *   gcc -std=c17 -O3 -fopenmp -fPIC -shared own_op.c $(pkg-config --cflags --libs wick) -o own_op.so
 *   wick op --plugin ./own_op.so squareplus x.safetensors -o y.safetensors --attr b=2
 *
 * squareplus has a kernel and a gradient rule; scaled_tanh is a function of operations, whose gradient follows.
 */
#include <wick/wick.h>

#include <math.h>
#include <stddef.h>

/* ---- squareplus: y = (x + √(x² + b)) / 2, a smooth relu (Barron 2021) ---- */

typedef struct squareplus_opts {
    wk_optional b; /* default 4 */
} squareplus_opts;

/* Row: shape rule. */
static wk_status squareplus_shape(const wk_call *call, wk_desc out[]) {
    const squareplus_opts *opts = call->attrs;
    double b = wk_optional_or(opts->b, 4);
    if (!(b > 0)) return wk_bad_call(call, WK_INVALID, "b is %g, expected more than 0", b);
    out[0] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, call->in[0]->rank, call->in[0]->shape);
    return WK_OK;
}

/* Row: gradient rule, made of operations, so that gradients of gradients work.  With r = √(x² + b):  y' = (1 + x / r) /
 * 2 */
static wk_status squareplus_grad(wk_grad *g) {
    const squareplus_opts *opts = g->attrs;
    wk_tensor *x = g->in[0];
    wk_tensor *r = wk_sqrt(wk_affine(wk_mul(x, x), (wk_affine_opts){ 1, wk_optional_or(opts->b, 4) }));
    g->din[0] = wk_mul(g->dout[0], wk_affine(wk_div(x, r), (wk_affine_opts){ 0.5, 0.5 }));
    return WK_OK;
}

static wk_cost squareplus_cost(const wk_call *call) {
    double n = (double)call->in[0]->count;
    return (wk_cost){ .operations = 5 * n, .bytes = 2 * n * (double)wk_dtype_size((wk_dtype)call->in[0]->dtype) };
}

static void squareplus_samples(wk_sampler *s) {
    const squareplus_opts usual = { { 0 } }, sharp = { WK_SET(0.5) };
    WK_CASE(s, "usual", &usual, { .dims = WK_DIMS(3, 5) });
    WK_CASE(s, "sharp", &sharp, { .dims = WK_DIMS(7) });
    WK_CASE(s, "empty", &usual, { .dims = WK_DIMS(0, 5) });
}

/* Kernel: row-major operands only; a call it does not take is an error that names it. */
#define KERNEL(type, root)                                                                                        \
    static wk_status squareplus_##type(wk_kernel_ctx *ctx, const wk_call *call) {                                 \
        const squareplus_opts *opts = call->attrs;                                                                \
        const type *x = call->in[0]->data, b = (type)wk_optional_or(opts->b, 4);                                  \
        type *y = call->out[0]->data;                                                                             \
        int64_t n = call->out[0]->count;                                                                          \
        if (!wk_is_contiguous(call->in[0])) return WK_UNSUPPORTED;                                                \
        _Pragma("omp parallel for simd num_threads(ctx->threads) if (n > 32768)") for (int64_t i = 0; i < n; i++) \
            y[i] = (x[i] + root(x[i] * x[i] + b)) / 2;                                                            \
        return WK_OK;                                                                                             \
    }
KERNEL(float, sqrtf)
KERNEL(double, sqrt)

static const wk_attr_def squareplus_attrs[] = { { "b", WK_ATTR_OPTIONAL, offsetof(squareplus_opts, b), 0, NULL, 4,
                                                  "how round the corner is" } };
static wk_op_def squareplus_row = { .name = "squareplus",
                                    .doc = "(x + √(x² + b)) / 2",
                                    .n_in = 1,
                                    .n_out = 1,
                                    .saves_in = 1,
                                    .attrs = squareplus_attrs,
                                    .n_attrs = 1,
                                    .attrs_size = sizeof(squareplus_opts),
                                    .dtype = { .allowed = { WK_F32_F64 } },
                                    .shape = squareplus_shape,
                                    .grad = squareplus_grad,
                                    .cost = squareplus_cost,
                                    .samples = squareplus_samples };

/* ---- scaled_tanh: 1.7159 tanh(2x/3) (LeCun 1998), composite: no shape rule, no gradient rule, no kernel ---- */

static wk_status scaled_tanh_parts(const wk_call *call, wk_tensor *out[]) {
    out[0] = wk_scale(wk_tanh(wk_scale(call->in[0], 2.0 / 3)), 1.7159);
    return WK_OK;
}
static void scaled_tanh_samples(wk_sampler *s) {
    WK_CASE(s, "matrix", NULL, { .dims = WK_DIMS(3, 5) });
}
static wk_op_def scaled_tanh_row = { .name = "scaled_tanh",
                                     .doc = "1.7159 tanh(2x/3)",
                                     .n_in = 1,
                                     .n_out = 1,
                                     .composite = true,
                                     .dtype = { .allowed = { WK_FLOATS } },
                                     .decompose = scaled_tanh_parts,
                                     .cost = squareplus_cost,
                                     .samples = scaled_tanh_samples };

static wk_status load(void) {
    WK_TRY(wk_op_register(&squareplus_row));
    WK_TRY(wk_op_register(&scaled_tanh_row));
    WK_TRY(wk_op_register_kernel("squareplus", "cpu", WK_SET_OF(WK_F32), squareplus_float));
    return wk_op_register_kernel("squareplus", "cpu", WK_SET_OF(WK_F64), squareplus_double);
}

WK_API extern const wk_plugin wick_plugin;
const wk_plugin wick_plugin = { WK_PLUGIN_API, "own_op", load };
