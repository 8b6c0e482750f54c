/* histogram.c: histc.  A range of values that is not finite is an error on the CPU; here, where the host does not wait
 * for the values, nothing is counted then. */
#include "cuda/reduce/histogram.h"

#include "cuda/cuda.h"
#include "cuda/layout/fill.h"

#include <math.h>

static wk_status histc(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    const wk_histc_opts *opts = call->attrs;
    wk_cuda_histogram h = { .walk = wk_walk_of(x),
                            .low = opts->min,
                            .high = opts->max,
                            .of_values = opts->min == opts->max && x->count > 0,
                            .bins = out->count,
                            .x = x->data,
                            .out = out->data };
    if (out->count == 0) return WK_OK;
    if (!h.of_values && !(h.high - h.low >= 0 && h.high - h.low < (double)INFINITY))
        return wk_fail(WK_INVALID, "histc: the range [%g, %g] is not finite", h.low, h.high);
    wk_walk_simplify(&h.walk);
    const size_t bytes = (size_t)h.bins * sizeof *h.counts + 2 * WK_CUDA_RANGE_PARTS * sizeof(double);
    char *scratch = wk__cuda_scratch_take(ctx, bytes);
    if (!scratch) return wk_error_code();
    h.range = (double *)(void *)scratch;
    h.counts = (unsigned long long *)(void *)(h.range + 2 * WK_CUDA_RANGE_PARTS);
    wk_status status = wk__cuda_launched(call, wk__cuda_fill(h.counts, 0, sizeof *h.counts, h.bins, ctx->stream));
    if (status == WK_OK) status = wk__cuda_launched(call, wk__cuda_histogram(&h, x->dtype, ctx->stream));
    wk__cuda_scratch_give(ctx, scratch, bytes);
    return status;
}

const wk_cuda_entry wk__cuda_histograms[] = { { "histc", WK_FLOATS, histc }, { 0 } };
