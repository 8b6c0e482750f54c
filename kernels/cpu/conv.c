/* conv.c: convolution of images of two and three axes by oneDNN.
 *
 * Outside, activations are channels last and weights (K, C/groups, R, S).  Inside, the choice is between
 *   direct     activations as they are, weights reordered each call (3 to 6 µs for 64 × 32 × 3 × 3), but for those
 *              that do not change, whose reordered copies are kept;
 *   Winograd   F(4×4, 3×3), a quarter of the multiplications, for 3 × 3 with stride 1: the library wants blocks of 16
 *              channels for it, and copying to and from them costs a twentieth of what it saves.
 * Measured on a Zen 4 server, 2 threads, (64, 32, 26, 26) to 64 channels, reorders included:
 *
 *                        direct, blocked   direct, channels last   Winograd
 *   forward                  6.0 ms               6.0 ms             2.5 ms
 *   backward input           5.9                  6.0                3.6
 *   backward weight          6.4                  6.3                2.8
 *
 * Winograd's largest rounding error is about twice that of a direct f32 sum (3.6e-5 against 1.6e-5 here, at results of
 * standard deviation 5.6), and a NaN in x spreads over its whole 4 × 4 tile of results.
 * oneDNN has it for AVX-512 only; without, the choice falls on Wick's own, which is called after this one declines.
 * What oneDNN does not have (f16, f64, layouts with overlaps) goes on to Wick's own kernel.
 */
#include "cpu/cpu.h"

#if WICK_LIBRARIES

#    include "cpu/convolution.h"
#    include "cpu/onednn.h"

#    include <string.h>

typedef struct wk_convolution {
    wk_convolution_pass pass;
    wk_convolution_shape shape;
    wk_dtype dtype;
    int threads;
    bool relu;
    bool constant;                          /* the weight is, and is kept as the library likes it */
    const wk_tensor *x, *weight, *bias, *y; /* the gradients stand for what they are gradients of */
} wk_convolution;

/* A tensor's layout in oneDNN's words; false where elements overlap. */
static bool describe(dnnl_memory_desc_t *desc, const int64_t *shape, int rank, const int64_t *stride,
                     dnnl_data_type_t type) {
    dnnl_dims_t dims, strides;
    for (int axis = 0; axis < rank; axis++) {
        dims[axis] = shape[axis], strides[axis] = stride[axis];
        if (shape[axis] == 1) strides[axis] = 1;
        if (shape[axis] > 1 && stride[axis] < 1) return false;
    }
    return dnnl_memory_desc_init_by_strides(desc, rank, dims, type, strides) == dnnl_success;
}

/* Sizes of one make several tags fit; the plain one lets the library pick its best kernel. */
static bool describe_image(dnnl_memory_desc_t *desc, const wk_tensor *x, dnnl_data_type_t type) {
    dnnl_dims_t dims = { x->shape[0], x->shape[1], x->shape[2], x->shape[3], x->rank > 4 ? x->shape[4] : 0 };
    bool flat = x->rank == 4;
    if (wk__is_channels_last(x))
        return dnnl_memory_desc_init_by_tag(desc, x->rank, dims, type, flat ? dnnl_nhwc : dnnl_ndhwc) == dnnl_success;
    if (wk__is_row_major(x))
        return dnnl_memory_desc_init_by_tag(desc, x->rank, dims, type, flat ? dnnl_nchw : dnnl_ncdhw) == dnnl_success;
    return describe(desc, x->shape, x->rank, x->stride, type);
}

static bool describe_weight(dnnl_memory_desc_t *desc, const wk_convolution *c, dnnl_data_type_t type, bool any) {
    const wk_tensor *weight = c->weight;
    int64_t groups = c->shape.groups, out = groups > 1 ? weight->shape[0] / groups : weight->shape[0];
    dnnl_dims_t shape = { 0 }, stride = { 0 };
    int rank = 0;
    if (groups > 1) shape[rank] = groups, stride[rank++] = weight->stride[0] * out;
    shape[rank] = out, stride[rank++] = weight->stride[0];
    for (int axis = 1; axis < weight->rank; axis++)
        shape[rank] = weight->shape[axis], stride[rank++] = weight->stride[axis];
    if (any) return dnnl_memory_desc_init_by_tag(desc, rank, shape, type, dnnl_format_tag_any) == dnnl_success;
    static const dnnl_format_tag_t row_major[2][2] = { { dnnl_oihw, dnnl_goihw }, { dnnl_oidhw, dnnl_goidhw } };
    if (wk__is_row_major(weight))
        return dnnl_memory_desc_init_by_tag(desc, rank, shape, type, row_major[weight->rank > 4][groups > 1])
               == dnnl_success;
    return describe(desc, shape, rank, stride, type);
}

static bool make_desc(dnnl_primitive_desc_t *made, const wk_convolution *c, bool winograd, dnnl_data_type_t type) {
    const wk_convolution_shape *s = &c->shape;
    dnnl_memory_desc_t x, y, weight, bias;
    dnnl_dims_t x_dims = { s->n, s->c }, y_dims = { s->n, s->k }, bias_dims = { s->k };
    dnnl_dims_t stride, before, dilation, after;
    int rank = 2 + s->axes;
    for (int i = 0; i < s->axes; i++) {
        int axis = i + 3 - s->axes;
        x_dims[2 + i] = s->size[axis], y_dims[2 + i] = s->out[axis];
        stride[i] = s->stride[axis], before[i] = s->padding[axis], dilation[i] = s->dilation[axis] - 1;
        after[i] = (s->out[axis] - 1) * s->stride[axis] + s->dilation[axis] * (s->kernel[axis] - 1) + 1 - s->size[axis]
                   - s->padding[axis];
    }
    dnnl_format_tag_t tag = winograd ? dnnl_nChw16c : s->axes == 2 ? dnnl_nhwc : dnnl_ndhwc;
    dnnl_alg_kind_t algorithm = winograd ? dnnl_convolution_winograd : dnnl_convolution_direct;
    if (dnnl_memory_desc_init_by_tag(&x, rank, x_dims, type, tag) != dnnl_success
        || dnnl_memory_desc_init_by_tag(&y, rank, y_dims, type, tag) != dnnl_success
        || !describe_weight(&weight, c, type, true)
        || dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, type, dnnl_x) != dnnl_success)
        return false;
    dnnl_convolution_desc_t forward, backward;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_primitive_attr_t attributes = wk__dnnl_attributes();
    if (!attributes) return false;
    const dnnl_memory_desc_t *b = c->bias ? &bias : NULL;
    bool done = dnnl_dilated_convolution_forward_desc_init(&forward, dnnl_forward_training, algorithm, &x, &weight,
                                                           c->pass == WK_FORWARD ? b : NULL, &y, stride, dilation,
                                                           before, after)
                    == dnnl_success
                && dnnl_primitive_desc_create(&hint, &forward, attributes, wk__dnnl_engine(), NULL) == dnnl_success;
    if (done && c->pass == WK_FORWARD) {
        *made = hint, hint = NULL;
    } else if (done) {
        dnnl_status_t described = c->pass == WK_BACKWARD_INPUT
                                      ? dnnl_dilated_convolution_backward_data_desc_init(
                                          &backward, algorithm, &x, &weight, &y, stride, dilation, before, after)
                                      : dnnl_dilated_convolution_backward_weights_desc_init(
                                          &backward, algorithm, &x, &weight, b, &y, stride, dilation, before, after);
        done = described == dnnl_success
               && dnnl_primitive_desc_create(made, &backward, attributes, wk__dnnl_engine(), hint) == dnnl_success;
    }
    if (hint) (void)dnnl_primitive_desc_destroy(hint);
    (void)dnnl_primitive_attr_destroy(attributes);
    return done;
}

/* Operands in the order x, weight, y, bias, which is also that of the data in run(). */
static bool add_operands(wk_dnnl_plan *plan, const wk_convolution *c, dnnl_primitive_desc_t made,
                         dnnl_data_type_t type) {
    static const int arguments[3][4] = {
        [WK_FORWARD] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS },
        [WK_BACKWARD_INPUT] = { DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, 0 },
        [WK_BACKWARD_WEIGHT] = { DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_BIAS },
    };
    const int *argument = arguments[c->pass];
    dnnl_memory_desc_t x, weight, y, bias;
    dnnl_dims_t bias_dims = { c->shape.k };
    if (!describe_image(&x, c->x, type) || !describe_image(&y, c->y, type) || !describe_weight(&weight, c, type, false)
        || dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, type, dnnl_x) != dnnl_success)
        return false;
    const dnnl_memory_desc_t *inner_x = dnnl_primitive_desc_query_md(made, dnnl_query_exec_arg_md, argument[0]);
    const dnnl_memory_desc_t *inner_weight = dnnl_primitive_desc_query_md(made, dnnl_query_exec_arg_md, argument[1]);
    const dnnl_memory_desc_t *inner_y = dnnl_primitive_desc_query_md(made, dnnl_query_exec_arg_md, argument[2]);
    return wk__dnnl_add_operand(plan, argument[0], c->pass == WK_BACKWARD_INPUT, &x, inner_x)
           && (c->constant
                   ? wk__dnnl_add_constant(plan, argument[1], &weight, inner_weight)
                   : wk__dnnl_add_operand(plan, argument[1], c->pass == WK_BACKWARD_WEIGHT, &weight, inner_weight))
           && wk__dnnl_add_operand(plan, argument[2], c->pass == WK_FORWARD, &y, inner_y)
           && (!c->bias || wk__dnnl_add_operand(plan, argument[3], c->pass == WK_BACKWARD_WEIGHT, &bias, &bias));
}

static void build(wk_dnnl_plan *plan, const wk_convolution *c, wk_by by) {
    dnnl_data_type_t type = c->dtype == WK_BF16 ? dnnl_bf16 : dnnl_f32;
    dnnl_primitive_desc_t made = NULL;
    bool winograd = by == WK_BY_WINOGRAD && make_desc(&made, c, true, type);
    if (!winograd && !make_desc(&made, c, false, type)) return;
    if (!add_operands(plan, c, made, type)) {
        (void)dnnl_primitive_desc_destroy(made);
        return;
    }
    plan->relu = c->relu && plan->operand[2].blocked[0];
    (void)wk__dnnl_set_primitive(plan, made);
}

static void add_layout(wk_dnnl_key *key, const wk_tensor *x) {
    for (int axis = 0; axis < x->rank; axis++) {
        wk__dnnl_key_add(key, x->shape[axis]);
        wk__dnnl_key_add(key, x->stride[axis]);
    }
}

static wk_status by_onednn(const wk_convolution *c, wk_by by) {
    const wk_convolution_shape *s = &c->shape;
    if (c->x->count == 0 || c->y->count == 0 || c->weight->count == 0) return WK_UNSUPPORTED;
    if (c->bias && c->bias->stride[0] != 1 && s->k > 1) return WK_UNSUPPORTED;
    wk_dnnl_key key = { .length = 0 };
    wk__dnnl_key_add(&key, 2 + (int64_t)c->pass);
    wk__dnnl_key_add(&key, (int64_t)c->dtype << 3 | (int64_t)(c->bias != NULL) << 2 | (int64_t)c->relu << 1
                               | (int64_t)c->constant);
    wk__dnnl_key_add(&key, c->threads << 8 | (int64_t)by);
    add_layout(&key, c->x), add_layout(&key, c->weight), add_layout(&key, c->y);
    for (int i = 0; i < 3; i++) wk__dnnl_key_add(&key, s->stride[i] << 40 | s->padding[i] << 20 | s->dilation[i]);
    wk__dnnl_key_add(&key, s->groups);
    wk_dnnl_plan *plan = wk__dnnl_find(&key);
    if (!plan) {
        int former = wk__team_enter(c->threads);
        plan = wk__dnnl_add(&key);
        if (plan) build(plan, c, by);
        wk__team_leave(former, c->threads);
        if (!plan) return wk_error_code();
    }
    if (!plan->primitive) return WK_UNSUPPORTED;
    void *data[] = { c->x->data, c->weight->data, c->y->data, c->bias ? c->bias->data : NULL };
    WK_TRY(wk__dnnl_run(plan, data, c->constant ? c->weight : NULL, c->threads));
    if (c->relu && !plan->relu) wk__relu_in_place(c->y->data, c->dtype, c->y->count, c->threads);
    return WK_OK;
}

static wk_status run(const wk_convolution *c) {
    wk_by by = wk__choose_convolution(c->dtype, &c->shape, c->pass, c->threads);
    if (by == WK_BY_OWN || by == WK_BY_OWN_WINOGRAD) return WK_UNSUPPORTED; /* kernels/cpu/simd/image */
    wk_status status = by_onednn(c, by);
    if (status == WK_UNSUPPORTED) wk__choice_declined();
    return status;
}

static wk_status conv(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_conv_opts *opts = call->attrs;
    wk_convolution c = { .pass = WK_FORWARD, .dtype = (wk_dtype)call->out[0]->dtype, .threads = ctx->threads };
    c.x = call->in[0], c.weight = call->in[1], c.bias = call->in[2], c.y = call->out[0];
    c.relu = opts->activation == WK_ACTIVATION_RELU;
    c.constant = wk__is_constant(c.weight);
    c.shape = wk__convolution_shape(opts, c.x, c.weight, c.y);
    return run(&c);
}

static wk_status conv_backward_input(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_conv_grad_attrs *attrs = call->attrs;
    wk_convolution c = { .pass = WK_BACKWARD_INPUT, .dtype = (wk_dtype)call->out[0]->dtype, .threads = ctx->threads };
    c.y = call->in[0], c.weight = call->in[1], c.x = call->out[0];
    c.shape = wk__convolution_shape(&attrs->conv, c.x, c.weight, c.y);
    return run(&c);
}

static wk_status conv_backward_weight(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_conv_grad_attrs *attrs = call->attrs;
    wk_convolution c = { .pass = WK_BACKWARD_WEIGHT, .dtype = (wk_dtype)call->out[0]->dtype, .threads = ctx->threads };
    c.x = call->in[0], c.y = call->in[1], c.weight = call->out[0], c.bias = call->out[1];
    c.shape = wk__convolution_shape(&attrs->conv, c.x, c.weight, c.y);
    return run(&c);
}

#endif

const wk_cpu_entry wk__cpu_library_conv[] = {
#if WICK_LIBRARIES
    { "conv2d", WK_SET_OF(WK_F32) | WK_SET_OF(WK_BF16), conv },
    { "conv2d_backward_input", WK_SET_OF(WK_F32) | WK_SET_OF(WK_BF16), conv_backward_input },
    { "conv2d_backward_weight", WK_SET_OF(WK_F32) | WK_SET_OF(WK_BF16), conv_backward_weight },
    { "conv3d", WK_SET_OF(WK_F32) | WK_SET_OF(WK_BF16), conv },
    { "conv3d_backward_input", WK_SET_OF(WK_F32) | WK_SET_OF(WK_BF16), conv_backward_input },
    { "conv3d_backward_weight", WK_SET_OF(WK_F32) | WK_SET_OF(WK_BF16), conv_backward_weight },
#endif
    { 0 },
};
