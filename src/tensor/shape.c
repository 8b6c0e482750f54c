/* shape.c: what shape rules, cost rules and gradient rules share. */
#define WK_NO_CALL_SITES
#include "tensor/registry.h"
#include "wick/ops.h"

#include <string.h>

wk_desc wk_desc_row_major(wk_dtype dtype, int rank, const int64_t *shape) {
    wk_desc desc = { .rank = rank, .dtype = dtype };
    if (rank) memcpy(desc.shape, shape, (size_t)rank * sizeof *shape);
    return desc;
}

wk_desc wk_desc_like(const wk_tensor *tensor) {
    wk_desc desc = wk_desc_row_major((wk_dtype)tensor->dtype, tensor->rank, tensor->shape);
    if (!(tensor->flags & WK_TENSOR_CONTIGUOUS) && wk__is_dense(tensor)) {
        desc.strided = true;
        memcpy(desc.stride, tensor->stride, sizeof desc.stride);
    }
    return desc;
}

bool wk__same_shape(const wk_tensor *a, const wk_tensor *b) {
    if (a->rank != b->rank) return false;
    for (int axis = 0; axis < a->rank; axis++)
        if (a->shape[axis] != b->shape[axis]) return false;
    return true;
}

static wk_status cannot_broadcast(const wk_call *call) {
    char a[160] = "", b[160] = "", c[160] = "";
    const wk_tensor *const *in = (const wk_tensor *const *)call->in;
    (void)wk_describe(in[0], a, sizeof a);
    if (call->n_in > 1) (void)wk_describe(in[1], b, sizeof b);
    if (call->n_in > 2) (void)wk_describe(in[2], c, sizeof c);
    return wk_bad_call(call, WK_SHAPE,
                       "%s, %s%s%s do not broadcast: sizes of an axis, counted from the last, must be equal or 1", a, b,
                       c[0] ? ", " : "", c);
}

wk_status wk_desc_broadcast(const wk_call *call, wk_dtype dtype, wk_desc *out) {
    /* The layout is that of the first input that has the whole shape and is dense but not row major. */
    int rank = 0;
    for (int i = 0; i < call->n_in; i++)
        if (call->in[i] && call->in[i]->rank > rank) rank = call->in[i]->rank;
    out->rank = rank;
    out->dtype = dtype;
    for (int axis = 0; axis < rank; axis++) out->shape[axis] = 1;
    for (int i = 0; i < call->n_in; i++) {
        const wk_tensor *in = call->in[i];
        if (!in) continue;
        for (int axis = 0; axis < in->rank; axis++) {
            int64_t *size = &out->shape[rank - in->rank + axis];
            if (*size == 1)
                *size = in->shape[axis];
            else if (in->shape[axis] != 1 && in->shape[axis] != *size)
                return cannot_broadcast(call);
        }
    }
    out->strided = false;
    for (int i = 0; i < call->n_in; i++) {
        const wk_tensor *in = call->in[i];
        if (!in || in->rank != rank || memcmp(in->shape, out->shape, (size_t)rank * sizeof out->shape[0]) != 0)
            continue;
        if (in->flags & WK_TENSOR_CONTIGUOUS) return WK_OK;
        if (!wk__is_dense(in)) continue;
        out->strided = true;
        memcpy(out->stride, in->stride, sizeof out->stride);
        return WK_OK;
    }
    return WK_OK;
}

int wk__axis(const char *who, const wk_tensor *x, int64_t axis) {
    int64_t resolved = axis < 0 ? axis + x->rank : axis;
    if (resolved >= 0 && resolved < x->rank) return (int)resolved;
    char text[160];
    (void)wk__bad_argument(who, WK_INVALID, "axis %lld of a tensor %s", (long long)axis,
                           wk_describe(x, text, sizeof text));
    return -1;
}

bool wk__axes_mask(const wk_call *call, wk_dims axes, uint32_t *mask) {
    const wk_tensor *x = call->in[0];
    *mask = axes.rank == 0 ? (1u << x->rank) - 1 : 0;
    for (int i = 0; i < axes.rank; i++) {
        int axis = wk__axis(call->op->name, x, axes.size[i]);
        if (axis < 0) return false;
        if (*mask >> axis & 1) {
            (void)wk_bad_call(call, WK_INVALID, "axis %d is named twice", axis);
            return false;
        }
        *mask |= 1u << axis;
    }
    return true;
}

wk_tensor *wk__sum_to(wk_tensor *x, const wk_tensor *like) {
    if (!x || wk__same_shape(x, like)) return x;
    wk_dims axes = { 0 };
    int missing = x->rank - like->rank;
    for (int axis = 0; axis < x->rank; axis++)
        if (axis < missing || (like->shape[axis - missing] == 1 && x->shape[axis] != 1)) axes.size[axes.rank++] = axis;
    wk_tensor *sum = axes.rank ? wk_sum(x, (wk_reduce_opts){ .axes = axes, .keep_dims = true }) : x;
    return sum && sum->rank != like->rank ? wk_reshape(sum, wk__dims(like)) : sum;
}

double wk__operand_bytes(const wk_call *call) {
    double bytes = 0;
    for (int i = 0; i < call->n_in; i++)
        if (call->in[i]) bytes += (double)call->in[i]->count * (double)wk_dtype_size((wk_dtype)call->in[i]->dtype);
    for (int i = 0; i < call->n_out; i++)
        if (call->out[i]) bytes += (double)call->out[i]->count * (double)wk_dtype_size((wk_dtype)call->out[i]->dtype);
    return bytes;
}

wk_cost wk__cost_elements(const wk_call *call, double per_element) {
    double elements = call->n_out && call->out[0] ? (double)call->out[0]->count : 0;
    return (wk_cost){ .operations = per_element * elements, .bytes = wk__operand_bytes(call) };
}

wk_cost wk__cost_move(const wk_call *call) {
    return wk__cost_elements(call, 0);
}

wk_cost wk__cost_nothing(const wk_call *call) {
    (void)call;
    return (wk_cost){ 0 };
}

wk_tensor *wk__run_sink(const wk_op_def *op, const void *attrs, wk_tensor *a, wk_tensor *b, wk_tensor *sink) {
    wk_tensor *out[WK_MAX_OUT];
    wk_tensor *const in[] = { a, b };
    return wk_op_run_into(op, in, b ? 2 : 1, out, attrs, &sink) == WK_OK ? out[0] : NULL;
}
