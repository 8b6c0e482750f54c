/* pointwise.c: the kernels of the rows in pointwise.h: a walk over the operands, the attributes as numbers, a launch.
 */
#include "cuda/pointwise/pointwise.h"

#include "cuda/cuda.h"
#include "walk.h"

#include <math.h>
#include <stdint.h>

/* Whether the launcher may take the walk as one row of 128-bit accesses. */
static bool is_dense(const wk_cuda_map *map, int inputs) {
    if (map->walk.rank != 1 || map->walk.stride[0][0] != 1 || (uintptr_t)map->out % 16) return false;
    for (int i = 0; i < inputs; i++) {
        int64_t stride = map->walk.stride[1 + i][0];
        if (stride != 0 && (stride != 1 || (uintptr_t)map->in[i] % 16)) return false;
    }
    return true;
}

static void prepare(const wk_kernel_ctx *ctx, const wk_call *call, int inputs, wk_cuda_map *map) {
    *map = (wk_cuda_map){ .dtype = call->in[0]->dtype, .out = call->out[0]->data, .stream = ctx->stream };
    map->walk = wk_walk_of(call->out[0]);
    for (int i = 0; i < inputs; i++) {
        map->in[i] = call->in[i]->data;
        wk_walk_add(&map->walk, call->in[i]);
    }
    wk_walk_simplify(&map->walk);
    map->dense = is_dense(map, inputs);
}

/* ---- attributes ---- */

static void plain(const wk_call *call, wk_cuda_map *map) {
    (void)call, (void)map;
}

static void exponent(const wk_call *call, wk_cuda_map *map) {
    map->number[0] = ((const wk_pow_scalar_opts *)call->attrs)->exponent;
    map->whole[0] = (int64_t)map->number[0];
}

static void factor(const wk_call *call, wk_cuda_map *map) {
    map->number[0] = wk_optional_or(((const wk_addcmul_opts *)call->attrs)->value, 1);
}

static void scale_and_shift(const wk_call *call, wk_cuda_map *map) {
    const wk_affine_opts *opts = call->attrs;
    map->number[0] = opts->scale, map->number[1] = opts->shift;
}

static void margin(const wk_call *call, wk_cuda_map *map) {
    const wk_logit_opts *opts = call->attrs;
    map->number[0] = opts->eps.value, map->whole[0] = opts->eps.is_set;
}

static int64_t whole(double value) {
    return value >= 0x1p63 ? INT64_MAX : value <= -0x1p63 ? INT64_MIN : (int64_t)value;
}

static int64_t between(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : value > most ? most : value;
}

/* A bound outside of an integer dtype's range must not be cut off to a number inside. */
static void bounds(const wk_call *call, wk_cuda_map *map) {
    const wk_clamp_opts *opts = call->attrs;
    double low = wk_optional_or(opts->min, -(double)INFINITY), high = wk_optional_or(opts->max, (double)INFINITY);
    map->number[0] = low, map->number[1] = high;
    if (wk_dtype_is_float((wk_dtype)map->dtype)) return;
    int bits = 8 * (int)wk_dtype_size((wk_dtype)map->dtype);
    int64_t most = map->dtype == WK_U8 ? 255 : INT64_MAX >> (64 - bits), least = map->dtype == WK_U8 ? 0 : -most - 1;
    map->whole[0] = between(whole(ceil(low)), least, most);
    map->whole[1] = between(whole(floor(high)), least, most);
}

static void replacements(const wk_call *call, wk_cuda_map *map) {
    static const double largest[WK_DTYPE_COUNT] = {
        [WK_F32] = 0x1.fffffep127, [WK_F64] = 0x1.fffffffffffffp1023, [WK_BF16] = 0x1.fep127, [WK_F16] = 65504
    };
    const wk_nan_to_num_opts *opts = call->attrs;
    double most = largest[map->dtype];
    map->number[0] = opts->nan;
    map->number[1] = wk_optional_or(opts->posinf, most), map->number[2] = wk_optional_or(opts->neginf, -most);
}

static void edges(const wk_call *call, wk_cuda_map *map) {
    const wk_hardtanh_opts *opts = call->attrs;
    map->number[0] = wk_optional_or(opts->min, -1), map->number[1] = wk_optional_or(opts->max, 1);
}

static void slope(const wk_call *call, wk_cuda_map *map) {
    map->number[0] = wk_optional_or(((const wk_leaky_relu_opts *)call->attrs)->slope, 0.01);
}

static void shrink(const wk_call *call, wk_cuda_map *map) {
    map->number[0] = wk_optional_or(((const wk_shrink_opts *)call->attrs)->lambda, 0.5);
}

static void step(const wk_call *call, wk_cuda_map *map) {
    const wk_threshold_opts *opts = call->attrs;
    map->number[0] = opts->threshold, map->number[1] = opts->value;
}

static void pieces(const wk_call *call, wk_cuda_map *map) {
    const wk_piecewise_attrs *a = call->attrs;
    const double numbers[] = { a->low, a->high, a->below, a->between, a->above };
    for (int i = 0; i < 5; i++) map->number[i] = numbers[i];
    map->whole[0] = a->open;
}

static void unit(const wk_call *call, wk_cuda_map *map) {
    const wk_elu_attrs *attrs = call->attrs;
    map->number[0] = attrs->alpha, map->number[1] = attrs->scale, map->number[2] = attrs->input_scale;
}

static void soft(const wk_call *call, wk_cuda_map *map) {
    const wk_softplus_opts *opts = call->attrs;
    map->number[0] = wk_optional_or(opts->beta, 1), map->number[1] = wk_optional_or(opts->threshold, 20);
}

static void edge_and_factor(const wk_call *call, wk_cuda_map *map) {
    const wk_rounded_attrs *attrs = call->attrs;
    map->number[0] = attrs->edge, map->number[1] = attrs->factor;
}

static void tolerances(const wk_call *call, wk_cuda_map *map) {
    const wk_isclose_opts *opts = call->attrs;
    map->number[0] = wk_optional_or(opts->rtol, 1e-5), map->number[1] = wk_optional_or(opts->atol, 1e-8);
    map->whole[0] = opts->equal_nan;
}

static void width(const wk_call *call, wk_cuda_map *map) {
    (void)call;
    map->whole[0] = 8 * (int64_t)wk_dtype_size((wk_dtype)map->dtype);
}

static void derivative(const wk_call *call, wk_cuda_map *map) {
    map->whole[0] = ((const wk_polygamma_opts *)call->attrs)->order;
    map->number[0] = (map->whole[0] & 1 ? 1 : -1) * tgamma((double)map->whole[0] + 1);
}

/* ---- kernels ---- */

typedef int (*launcher)(const wk_cuda_map *map);

static wk_status run(wk_kernel_ctx *ctx, const wk_call *call, int inputs, launcher launch,
                     void (*fill)(const wk_call *call, wk_cuda_map *map)) {
    wk_cuda_map map;
    if (call->out[0]->count == 0) return WK_OK;
    prepare(ctx, call, inputs, &map);
    fill(call, &map);
    return wk__cuda_launched(call, launch(&map));
}

#define KERNEL(name, row, inputs, set, fill)                                  \
    static wk_status name##_kernel(wk_kernel_ctx *ctx, const wk_call *call) { \
        return run(ctx, call, inputs, wk__cuda_map_##name, fill);             \
    }
WK_CUDA_ARITHMETIC(KERNEL)
WK_CUDA_FUNCTIONS(KERNEL)
WK_CUDA_TRIGONOMETRY(KERNEL)
WK_CUDA_SPECIAL(KERNEL)
WK_CUDA_ACTIVATIONS(KERNEL)
WK_CUDA_LOGIC(KERNEL)

static wk_status add_into_kernel(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_call sum = *call;
    sum.out = (wk_tensor *[]){ call->in[0] };
    sum.n_out = 1;
    return add_kernel(ctx, &sum);
}

static wk_status scale_into_kernel(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_call product = *call;
    if (call->in[0]->dtype != call->in[1]->dtype) return WK_UNSUPPORTED;
    product.out = (wk_tensor *[]){ call->in[0] };
    product.n_out = 1;
    return mul_kernel(ctx, &product);
}

static wk_status either_gelu(wk_kernel_ctx *ctx, const wk_call *call) {
    bool tanh_form = ((const wk_gelu_opts *)call->attrs)->approximate == WK_GELU_TANH;
    return tanh_form ? gelu_tanh_kernel(ctx, call) : gelu_kernel(ctx, call);
}

static wk_status either_gelu_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    bool tanh_form = ((const wk_gelu_opts *)call->attrs)->approximate == WK_GELU_TANH;
    return tanh_form ? gelu_tanh_backward_kernel(ctx, call) : gelu_backward_kernel(ctx, call);
}

/* elu, selu and celu are one formula. */
static wk_status exponential_unit(wk_kernel_ctx *ctx, const wk_call *call, wk_elu_attrs attrs) {
    wk_call general = *call;
    general.attrs = &attrs;
    return elu_kernel(ctx, &general);
}

static wk_status elu(wk_kernel_ctx *ctx, const wk_call *call) {
    double alpha = wk_optional_or(((const wk_elu_opts *)call->attrs)->alpha, 1);
    return exponential_unit(ctx, call, (wk_elu_attrs){ alpha, 1, 1 });
}

static wk_status selu(wk_kernel_ctx *ctx, const wk_call *call) {
    return exponential_unit(ctx, call, (wk_elu_attrs){ WK_SELU_ALPHA, WK_SELU_SCALE, 1 });
}

static wk_status celu(wk_kernel_ctx *ctx, const wk_call *call) {
    double alpha = wk_optional_or(((const wk_elu_opts *)call->attrs)->alpha, 1);
    return exponential_unit(ctx, call, (wk_elu_attrs){ alpha, 1, 1 / alpha });
}

/* The bits of a truth value are one. */
static wk_status bitwise_not(wk_kernel_ctx *ctx, const wk_call *call) {
    bool truth = call->in[0]->dtype == WK_BOOL;
    return truth ? logical_not_kernel(ctx, call) : bitwise_not_kernel(ctx, call);
}

#define floats                              WK_FLOATS
#define integers                            WK_INTEGERS
#define numbers                             WK_NUMBERS
#define truths                              ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
#define bits                                ((wk_dtype_set)(WK_INTEGERS | WK_SET_OF(WK_BOOL)))
#define ENTRY(name, row, inputs, set, fill) { row, set, name##_kernel },
/* The first entry of a name counts. */
const wk_cuda_entry wk__cuda_pointwise[] = {
    { "add_into", WK_NUMBERS, add_into_kernel },
    { "scale_into", WK_F32_F64, scale_into_kernel },
    { "gelu", WK_FLOATS, either_gelu },
    { "gelu_backward", WK_FLOATS, either_gelu_backward },
    { "elu", WK_FLOATS, elu },
    { "selu", WK_FLOATS, selu },
    { "celu", WK_FLOATS, celu },
    { "bitwise_not", bits, bitwise_not },
    WK_CUDA_ARITHMETIC(ENTRY) WK_CUDA_FUNCTIONS(ENTRY) WK_CUDA_TRIGONOMETRY(ENTRY) WK_CUDA_SPECIAL(ENTRY)
        WK_CUDA_ACTIVATIONS(ENTRY) WK_CUDA_LOGIC(ENTRY){ NULL, 0, NULL },
};
