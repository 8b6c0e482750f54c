/* row_norm.c: the rows of layer_norm, rms_norm and group_norm. */
#include "cuda/network/row_norm.h"

#include "cuda/cuda.h"
#include "walk.h"

#include <string.h>

typedef struct form {
    int axes;       /* the last ones make a row; 0: */
    int64_t groups; /* of axis 1, which with those behind it makes a row */
    bool centred;
    double eps;
} form;

static void append(wk_walk *walk, int64_t size, const wk_tensor *const operands[], int count, int axis,
                   int64_t factor) {
    walk->shape[walk->rank] = size;
    walk->count *= size;
    for (int k = 0; k < count; k++) walk->stride[k][walk->rank] = operands[k] ? operands[k]->stride[axis] * factor : 0;
    walk->rank++;
}

/* The axes of x, y or dx, and dy as rows and what is in them. */
static wk_status split(wk_cuda_row_norm *v, const wk_tensor *x, const wk_tensor *y, const wk_tensor *dy,
                       const form *f) {
    const wk_tensor *const outer[] = { x, y, dy }, *const within[] = { x, y, NULL, dy };
    const int first = f->groups ? 2 : x->rank - f->axes;
    if (x->rank + (f->groups ? 1 : 0) > WK_MAX_RANK) return WK_UNSUPPORTED;
    v->rows = (wk_walk){ .operands = 3, .count = 1 };
    v->inner = (wk_walk){ .operands = 4, .count = 1 };
    v->groups = f->groups ? f->groups : 1;
    if (f->groups) {
        int64_t channels = x->shape[1] / f->groups;
        append(&v->rows, x->shape[0], outer, 3, 0, 1);
        append(&v->rows, f->groups, outer, 3, 1, channels);
        append(&v->inner, channels, within, 4, 1, 1);
    }
    for (int i = 0; i < first && !f->groups; i++) append(&v->rows, x->shape[i], outer, 3, i, 1);
    for (int i = first; i < x->rank; i++) append(&v->inner, x->shape[i], within, 4, i, 1);
    v->channels = f->groups ? x->shape[1] / f->groups : v->inner.count;
    v->area = v->channels ? v->inner.count / v->channels : 0;
    return WK_OK;
}

/* Strides of weight or bias as operand `k` of the walk within a row. */
static void place_weight(wk_cuda_row_norm *v, const wk_tensor *weight, int k, const form *f, int64_t *group) {
    if (!weight) return;
    *group = f->groups ? weight->stride[0] * v->channels : 0;
    if (f->groups) v->inner.stride[k][0] = weight->stride[0];
    for (int i = 0; i < weight->rank && !f->groups; i++)
        v->inner.stride[k][v->inner.rank - weight->rank + i] = weight->stride[i];
}

static wk_cuda_row_norm begin(const wk_tensor *x, const form *f) {
    wk_cuda_row_norm v;
    memset(&v, 0, sizeof v);
    v.dtype = x->dtype, v.centred = f->centred, v.eps = f->eps, v.x = x->data, v.parts = 1;
    return v;
}

/* What dense_norm.cu takes: operand k of the walk within a row, operand `row_k` of that over rows (−1: the same row for
 * all), at an address. */
static bool lies_densely(const wk_cuda_row_norm *v, int k, int row_k, const void *data) {
    if (!data) return true;
    const bool within = v->inner.rank == 1 && v->inner.stride[k][0] == 1;
    const bool over = row_k < 0 || v->rows.rank == 0 || (v->rows.rank == 1 && v->rows.stride[row_k][0] == v->channels);
    return within && over && (uintptr_t)data % 16 == 0;
}

static bool is_dense(const wk_cuda_row_norm *v, const form *f) {
    const int64_t vector = v->dtype == WK_F32 ? 4 : 8;
    return !f->groups && v->dtype != WK_F64 && v->channels <= WK_CUDA_DENSE_ROW && v->channels % vector == 0
           && lies_densely(v, 0, 0, v->x) && lies_densely(v, 1, 1, v->y) && lies_densely(v, 3, 2, v->dy)
           && lies_densely(v, 2, -1, v->weight) && lies_densely(v, 3, -1, v->bias);
}

static wk_status forward(wk_kernel_ctx *ctx, const wk_call *call, form f, const wk_tensor *bias, const wk_tensor *mean,
                         const wk_tensor *rstd) {
    const wk_tensor *x = call->in[0], *weight = call->in[1];
    wk_cuda_row_norm v = begin(x, &f);
    if (x->count == 0) return WK_UNSUPPORTED;
    WK_TRY(split(&v, x, call->out[0], NULL, &f));
    place_weight(&v, weight, 2, &f, &v.weight_group);
    place_weight(&v, bias, 3, &f, &v.bias_group);
    v.y = call->out[0]->data, v.mean = mean ? mean->data : NULL, v.rstd = rstd->data;
    v.weight = weight ? weight->data : NULL, v.bias = bias ? bias->data : NULL;
    wk_walk_simplify_in_order(&v.rows);
    wk_walk_simplify_in_order(&v.inner);
    const bool dense = is_dense(&v, &f);
    return wk__cuda_launched(call, dense ? wk__cuda_dense_norm(&v, ctx->stream) : wk__cuda_row_norm(&v, ctx->stream));
}

/* Enough threads for the device, at least 16 rows a part. */
static int64_t parts_for(const wk_cuda_row_norm *v) {
    enum { FULL = 1 << 18, LEAST_ROWS = 16, MOST = 256 };
    int64_t rows = v->rows.count / v->groups, wanted = FULL / (v->groups * v->channels + 1) + 1;
    int64_t most = rows / LEAST_ROWS + 1;
    int64_t parts = wanted < most ? wanted : most;
    return parts < MOST ? parts : MOST;
}

/* Of dense rows a block goes through eight at once, or through long ones one by one. */
static int64_t dense_parts_for(const wk_cuda_row_norm *v) {
    enum { MOST = 256 };
    const int64_t rows = v->rows.count, at_once = v->channels <= 1024 ? 8 : 1;
    const int64_t turns = (rows + MOST * at_once - 1) / (MOST * at_once);
    return (rows + turns * at_once - 1) / (turns * at_once);
}

static bool is_known(const wk_tensor *statistic) {
    return statistic && (statistic->flags & WK_TENSOR_CONTIGUOUS);
}

/* (dy, x, weight, …) */
static wk_status backward(wk_kernel_ctx *ctx, const wk_call *call, form f, const wk_tensor *mean, const wk_tensor *rstd,
                          const wk_tensor *dbias) {
    const wk_tensor *dy = call->in[0], *x = call->in[1], *weight = call->in[2], *dweight = call->out[1];
    wk_cuda_row_norm v = begin(x, &f);
    if (x->count == 0) return WK_UNSUPPORTED;
    WK_TRY(split(&v, x, call->out[0], dy, &f));
    place_weight(&v, weight, 2, &f, &v.weight_group);
    bool known = is_known(rstd) && (!f.centred || is_known(mean));
    v.mean = known && f.centred ? mean->data : NULL, v.rstd = known ? rstd->data : NULL;
    v.dy = dy->data, v.weight = weight ? weight->data : NULL, v.y = call->out[0]->data;
    v.dweight = dweight->data, v.gradient_dtype = dweight->dtype;
    v.dbias = dbias ? dbias->data : NULL;
    if (dbias && dbias->dtype != dweight->dtype) return WK_UNSUPPORTED;
    wk_walk_simplify_in_order(&v.rows);
    wk_walk_simplify_in_order(&v.inner);
    const bool dense = is_dense(&v, &f);
    v.parts = dense ? dense_parts_for(&v) : parts_for(&v);
    const size_t moments = dense ? 0 : (size_t)(2 * v.rows.count);
    const size_t bytes = (moments + (size_t)(2 * v.parts * v.groups * v.channels)) * sizeof(double);
    v.moments = wk__cuda_scratch_take(ctx, bytes);
    if (!v.moments) return wk_error_code();
    v.sums = v.moments + moments;
    wk_status status = wk__cuda_launched(call, dense ? wk__cuda_dense_norm_backward(&v, ctx->stream)
                                                     : wk__cuda_row_norm_backward(&v, ctx->stream));
    wk__cuda_scratch_give(ctx, v.moments, bytes);
    return status;
}

/* ---- rows of the op table ---- */

static wk_status layer_norm(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_layer_norm_opts *opts = call->attrs;
    const wk_tensor *given = call->in[1] ? call->in[1] : call->in[2];
    int axes = given ? given->rank : opts->axes ? (int)opts->axes : 1;
    return forward(ctx, call, (form){ axes, 0, true, wk_optional_or(opts->eps, 1e-5) }, call->in[2], call->out[1],
                   call->out[2]);
}

static wk_status layer_norm_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_layer_norm_opts *opts = call->attrs;
    int axes = opts->axes ? (int)opts->axes : 1;
    return backward(ctx, call, (form){ axes, 0, true, wk_optional_or(opts->eps, 1e-5) }, call->in[3], call->in[4],
                    call->out[2]);
}

static form rms_form(const wk_layer_norm_opts *opts, const wk_tensor *x, const wk_tensor *weight) {
    static const double smallest[] = { [WK_F32] = 0x1p-23, [WK_F64] = 0x1p-52, [WK_BF16] = 0x1p-7, [WK_F16] = 0x1p-10 };
    int axes = weight ? weight->rank : opts->axes ? (int)opts->axes : 1;
    return (form){ axes, 0, false, wk_optional_or(opts->eps, smallest[x->dtype]) };
}

static wk_status rms_norm(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward(ctx, call, rms_form(call->attrs, call->in[0], call->in[1]), NULL, NULL, call->out[1]);
}

static wk_status rms_norm_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return backward(ctx, call, rms_form(call->attrs, call->in[1], call->in[2]), NULL, call->in[3], NULL);
}

static form group_form(const wk_call *call) {
    const wk_group_norm_opts *opts = call->attrs;
    return (form){ 0, opts->groups, true, wk_optional_or(opts->eps, 1e-5) };
}

static wk_status group_norm(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward(ctx, call, group_form(call), call->in[2], call->out[1], call->out[2]);
}

static wk_status group_norm_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return backward(ctx, call, group_form(call), call->in[3], call->in[4], call->out[2]);
}

const wk_cuda_entry wk__cuda_row_norm_rows[] = {
    { "layer_norm", WK_FLOATS, layer_norm },
    { "layer_norm_backward", WK_FLOATS, layer_norm_backward },
    { "rms_norm", WK_FLOATS, rms_norm },
    { "rms_norm_backward", WK_FLOATS, rms_norm_backward },
    { "group_norm", WK_FLOATS, group_norm },
    { "group_norm_backward", WK_FLOATS, group_norm_backward },
    { NULL, 0, NULL },
};
