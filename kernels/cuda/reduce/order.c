/* order.c: the rows sort, topk, kthvalue and median. */
#include "cuda/reduce/order.h"

#include "cuda/cuda.h"
#include "cuda/walk_make.h"

/* The lines of x, and of results that keep the axis with another size, or have lost it. */
static void lines_of(wk_cuda_order *o, const wk_call *call, int axis) {
    const wk_tensor *x = call->in[0];
    const bool lost = call->out[0]->rank < x->rank;
    wk_cuda_walk *walk = &o->lines;
    *walk = (wk_cuda_walk){ .operands = 3, .count = 1 };
    for (int i = 0; i < x->rank; i++) {
        if (i == axis) continue;
        int in_out = lost && i > axis ? i - 1 : i;
        walk->shape[walk->rank] = x->shape[i];
        walk->count *= x->shape[i];
        for (int k = 0; k < 2; k++) walk->stride[k][walk->rank] = call->out[k]->stride[in_out];
        walk->stride[2][walk->rank++] = x->stride[i];
    }
    wk_cuda_walk_simplify(walk, true);
    o->length = x->rank ? x->shape[axis] : 1;
    o->step[2] = x->rank ? x->stride[axis] : 0;
    for (int k = 0; k < 2 && !lost && x->rank; k++) o->step[k] = call->out[k]->stride[axis];
    for (o->room = 2; o->room < o->length; o->room *= 2) continue;
}

static wk_status run(wk_kernel_ctx *ctx, const wk_call *call, wk_optional axis, wk_cuda_order o) {
    const wk_tensor *x = call->in[0];
    int at = (int)wk_optional_or(axis, -1);
    if (call->out[0]->count == 0) return WK_OK;
    o.dtype = x->dtype, o.x = x->data, o.values = call->out[0]->data, o.places = call->out[1]->data;
    lines_of(&o, call, at < 0 ? at + x->rank : at);
    const size_t count = (size_t)(o.lines.count * o.room), bytes = count * (sizeof *o.keys + sizeof *o.from);
    if (!o.given) o.given = o.length;
    o.keys = wk__cuda_scratch_take(ctx, bytes);
    if (!o.keys) return wk_error_code();
    o.from = (int64_t *)(void *)(o.keys + count);
    wk_status status = wk__cuda_launched(call, wk__cuda_order(&o, ctx->stream));
    wk__cuda_scratch_give(ctx, o.keys, bytes);
    return status;
}

static wk_status sort(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_sort_opts *opts = call->attrs;
    return run(ctx, call, opts->axis, (wk_cuda_order){ .reversed = opts->descending });
}

static wk_status topk(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_topk_opts *opts = call->attrs;
    return run(ctx, call, opts->axis,
               (wk_cuda_order){ .reversed = !opts->smallest, .by_place = opts->unsorted, .given = opts->k });
}

static wk_status kthvalue(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_kthvalue_opts *opts = call->attrs;
    return run(ctx, call, opts->axis, (wk_cuda_order){ .first = opts->k - 1, .given = 1 });
}

static wk_status median(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_median_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    int axis = (int)wk_optional_or(opts->axis, -1);
    int64_t n = x->rank ? x->shape[axis < 0 ? axis + x->rank : axis] : 1;
    return run(ctx, call, opts->axis, (wk_cuda_order){ .first = (n - 1) / 2, .given = 1, .median = true });
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
const wk_cuda_entry wk__cuda_order_rows[] = {
    { "sort", ANY, sort },     { "topk", ANY, topk }, { "kthvalue", ANY, kthvalue },
    { "median", ANY, median }, { NULL, 0, NULL },
};
