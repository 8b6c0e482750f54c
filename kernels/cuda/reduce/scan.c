/* scan.c: the rows of scans along an axis.  Backwards is the same from the last element on, with the steps negated. */
#include "cuda/reduce/scan.h"

#include "cuda/cuda.h"
#include "walk.h"

#include <string.h>

static int axis_of(const wk_tensor *x, wk_optional axis) {
    int at = (int)wk_optional_or(axis, -1);
    return at < 0 ? at + x->rank : at;
}

/* `third`: b of a recurrence, or the places. */
static wk_status run(wk_kernel_ctx *ctx, const wk_call *call, wk_cuda_scan_kind kind, int axis, bool reverse,
                     const wk_tensor *third) {
    const wk_tensor *out = call->out[0], *x = call->in[0];
    wk_cuda_scan s;
    memset(&s, 0, sizeof s);
    if (out->count == 0) return WK_OK;
    s.kind = kind, s.dtype = x->dtype, s.length = 1;
    s.lines = wk_walk_of(out);
    wk_walk_add(&s.lines, x);
    if (third) wk_walk_add(&s.lines, third);
    char *data[3] = { out->data, x->data, third ? third->data : NULL };
    if (out->rank) {
        s.length = s.lines.shape[axis];
        const wk_tensor *all[3] = { out, x, third };
        for (int k = 0; k < s.lines.operands; k++) {
            int64_t step = s.lines.stride[k][axis], size = (int64_t)wk_dtype_size((wk_dtype)all[k]->dtype);
            s.step[k] = reverse ? -step : step;
            if (reverse) data[k] += (s.length - 1) * step * size;
        }
        s.lines.shape[axis] = 1;
        s.lines.count /= s.length;
    }
    wk_walk_simplify(&s.lines);
    s.out = data[0], s.in[0] = data[1];
    if (kind == WK_CUDA_RECURRENCE)
        s.in[1] = data[2];
    else
        s.places = data[2];
    return wk__cuda_launched(call, wk__cuda_scan(&s, ctx->stream));
}

static wk_status scan(wk_kernel_ctx *ctx, const wk_call *call, wk_cuda_scan_kind kind, const wk_tensor *third) {
    const wk_scan_opts *opts = call->attrs;
    return run(ctx, call, kind, axis_of(call->in[0], opts->axis), opts->reverse, third);
}

static wk_status cumsum(wk_kernel_ctx *ctx, const wk_call *call) {
    return scan(ctx, call, WK_CUDA_SUMS, NULL);
}

static wk_status cumprod(wk_kernel_ctx *ctx, const wk_call *call) {
    return scan(ctx, call, WK_CUDA_PRODUCTS, NULL);
}

static wk_status logcumsumexp(wk_kernel_ctx *ctx, const wk_call *call) {
    return scan(ctx, call, WK_CUDA_LOG_SUMS, NULL);
}

static wk_status linear_scan(wk_kernel_ctx *ctx, const wk_call *call) {
    return scan(ctx, call, WK_CUDA_RECURRENCE, call->in[1]);
}

static wk_status running(wk_kernel_ctx *ctx, const wk_call *call, wk_cuda_scan_kind kind) {
    return run(ctx, call, kind, axis_of(call->in[0], ((const wk_axis_opts *)call->attrs)->axis), false, call->out[1]);
}

static wk_status cummax(wk_kernel_ctx *ctx, const wk_call *call) {
    return running(ctx, call, WK_CUDA_RUNNING_MOST);
}

static wk_status cummin(wk_kernel_ctx *ctx, const wk_call *call) {
    return running(ctx, call, WK_CUDA_RUNNING_LEAST);
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
const wk_cuda_entry wk__cuda_scans[] = {
    { "cumsum", ANY, cumsum }, { "cumprod", ANY, cumprod }, { "logcumsumexp", WK_FLOATS, logcumsumexp },
    { "cummax", ANY, cummax }, { "cummin", ANY, cummin },   { "linear_scan", WK_FLOATS, linear_scan },
    { NULL, 0, NULL },
};
