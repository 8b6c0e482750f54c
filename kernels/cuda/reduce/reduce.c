/* reduce.c: the rows of reductions over axes, and of positions along one. */
#include "cuda/reduce/reduce.h"

#include "cuda/cuda.h"
#include "walk.h"

#include <string.h>

/* The axes as two walks: the kept ones over (out, x), the others over (x). */
static void split(wk_cuda_reduction *r, const wk_tensor *x, const wk_tensor *out, const bool reduced[],
                  bool keeps_dims) {
    int out_axis = 0;
    r->kept = (wk_walk){ .operands = 2, .count = out->count };
    r->reduced = (wk_walk){ .operands = 1, .count = 1 };
    for (int i = 0; i < x->rank; i++) {
        wk_walk *walk = reduced[i] ? &r->reduced : &r->kept;
        walk->shape[walk->rank] = x->shape[i];
        walk->stride[reduced[i] ? 0 : 1][walk->rank] = x->stride[i];
        if (reduced[i]) walk->count *= x->shape[i];
        if (!reduced[i]) walk->stride[0][walk->rank] = out->stride[out_axis];
        walk->rank++;
        if (!reduced[i] || keeps_dims) out_axis++;
    }
    wk_walk_simplify(&r->kept);
    wk_walk_simplify(&r->reduced);
}

/* One thread a result where results lie closer to each other than what is reduced, else as many as it is worth; parts
 * where there are too few results to fill a device. */
static void choose_threads(wk_cuda_reduction *r) {
    enum { FULL = 1 << 18, EACH = 16, MOST_PARTS = 1024 };
    int64_t length = r->reduced.count, step = r->reduced.stride[0][r->reduced.rank - 1];
    bool columns = false;
    for (int i = 0; i < r->kept.rank; i++)
        columns |= r->kept.shape[i] > 1 && r->kept.stride[1][i] > 0 && r->kept.stride[1][i] < step;
    r->threads = columns || length <= 4 ? 1 : length <= 1024 ? 32 : 256;
    int64_t wanted = FULL / (r->kept.count * r->threads + 1) + 1, most = length / ((int64_t)r->threads * EACH) + 1;
    r->parts = wanted < most ? wanted : most;
    if (r->parts > MOST_PARTS) r->parts = MOST_PARTS;
    int64_t each = (length + r->parts - 1) / r->parts;
    if (each > 0) r->parts = (length + each - 1) / each;
}

static wk_status run(wk_kernel_ctx *ctx, const wk_call *call, wk_cuda_reduction *r) {
    const size_t bytes = r->parts > 1 ? (size_t)(r->parts * r->kept.count) * 8 : 0;
    if (bytes) r->totals = wk__cuda_scratch_take(ctx, bytes);
    if (bytes && !r->totals) return wk_error_code();
    wk_status status = wk__cuda_launched(call, wk__cuda_reduce(r, ctx->stream));
    if (bytes) wk__cuda_scratch_give(ctx, r->totals, bytes);
    return status;
}

/* What is common to reductions over the axes of the row's options. */
static wk_cuda_reduction over_axes(const wk_call *call) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    const wk_reduce_opts *opts = call->attrs;
    bool reduced[WK_MAX_RANK];
    for (int i = 0; i < x->rank; i++) reduced[i] = opts->axes.rank == 0;
    for (int i = 0; i < opts->axes.rank; i++)
        reduced[opts->axes.size[i] < 0 ? opts->axes.size[i] + x->rank : opts->axes.size[i]] = true;
    wk_cuda_reduction r;
    memset(&r, 0, sizeof r);
    r.dtype = x->dtype, r.out_dtype = out->dtype;
    r.x = x->data, r.out = out->data;
    split(&r, x, out, reduced, opts->keep_dims);
    return r;
}

static wk_status reduce_to(wk_kernel_ctx *ctx, const wk_call *call, wk_cuda_reduction_kind kind, bool mean, bool all) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    if (out->count == 0) return WK_OK;
    wk_cuda_reduction r = over_axes(call);
    r.kind = kind;
    r.divisor = mean ? (double)x->count / (double)out->count : 1;
    r.least = all ? x->count / out->count : 1;
    choose_threads(&r);
    return run(ctx, call, &r);
}

static wk_status logsumexp(wk_kernel_ctx *ctx, const wk_call *call) {
    if (call->out[0]->count == 0) return WK_OK;
    wk_cuda_reduction r = over_axes(call);
    if (r.kept.count > (int64_t)0x7FFFFFFF * 8) return WK_UNSUPPORTED;
    return wk__cuda_launched(call, wk__cuda_logsumexp(&r, ctx->stream));
}

#define KERNEL(name, kind, mean, all)                                \
    static wk_status name(wk_kernel_ctx *ctx, const wk_call *call) { \
        return reduce_to(ctx, call, WK_CUDA_##kind, mean, all);      \
    }
KERNEL(sum, SUM, false, false)
KERNEL(mean, SUM, true, false)
KERNEL(amax, MAX, false, false)
KERNEL(amin, MIN, false, false)
KERNEL(product, PRODUCT, false, false)
KERNEL(any, COUNT, false, false)
KERNEL(all, COUNT, false, true)
KERNEL(nansum, PRESENT, false, false)

static wk_status magnitude(wk_kernel_ctx *ctx, const wk_call *call) {
    static const wk_cuda_reduction_kind kinds[] = { WK_CUDA_SQUARES, WK_CUDA_SIZES, WK_CUDA_LARGEST_SIZE,
                                                    WK_CUDA_LEAST_SIZE };
    return reduce_to(ctx, call, kinds[((const wk_magnitude_attrs *)call->attrs)->kind], false, false);
}

static wk_status position(wk_kernel_ctx *ctx, const wk_call *call, bool least) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    int axis = (int)wk_optional_or(((const wk_axis_opts *)call->attrs)->axis, -1);
    bool reduced[WK_MAX_RANK] = { false };
    if (out->count == 0) return WK_OK;
    if (x->rank) reduced[axis < 0 ? axis + x->rank : axis] = true;
    wk_cuda_reduction r;
    memset(&r, 0, sizeof r);
    r.dtype = x->dtype, r.x = x->data, r.out = out->data;
    split(&r, x, out, reduced, false);
    if (r.kept.count > (int64_t)0x7FFFFFFF * 8) return WK_UNSUPPORTED;
    return wk__cuda_launched(call, wk__cuda_argmax(&r, least, ctx->stream));
}

static wk_status argmax(wk_kernel_ctx *ctx, const wk_call *call) {
    return position(ctx, call, false);
}

static wk_status argmin(wk_kernel_ctx *ctx, const wk_call *call) {
    return position(ctx, call, true);
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
const wk_cuda_entry wk__cuda_reductions[] = {
    { "sum", ANY, sum },
    { "sum_wide", WK_HALVES, sum },
    { "mean", WK_FLOATS, mean },
    { "amax", ANY, amax },
    { "amin", ANY, amin },
    { "prod", ANY, product },
    { "any", ANY, any },
    { "all", ANY, all },
    { "count_nonzero", ANY, any },
    { "nansum", WK_FLOATS, nansum },
    { "magnitude", WK_FLOATS, magnitude },
    { "logsumexp", WK_FLOATS, logsumexp },
    { "argmax", ANY, argmax },
    { "argmin", ANY, argmin },
    { NULL, 0, NULL },
};
