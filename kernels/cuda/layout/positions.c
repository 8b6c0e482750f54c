/* positions.c: positions of true elements. */
#include "cuda/layout/positions.h"

#include "cuda/cuda.h"

static wk_status nonzero_positions(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_positions_attrs *attrs = call->attrs;
    const wk_tensor *mask = call->in[0];
    wk_cuda_positions p = { .mask = mask->data,
                            .count = mask->count,
                            .size = attrs->size,
                            .fill = attrs->fill,
                            .rank = mask->rank,
                            .out = call->out[0]->data };
    if (call->out[0]->count == 0) return WK_OK;
    for (int d = 0; d < mask->rank; d++) p.shape[d] = mask->shape[d];
    const int64_t chunks = (mask->count + WK_CUDA_POSITIONS_CHUNK - 1) / WK_CUDA_POSITIONS_CHUNK;
    const size_t bytes = (size_t)(chunks + 1) * sizeof *p.found;
    p.found = wk__cuda_scratch_take(ctx, bytes);
    if (!p.found) return wk_error_code();
    wk_status status = wk__cuda_launched(call, wk__cuda_positions(&p, ctx->stream));
    wk__cuda_scratch_give(ctx, p.found, bytes);
    return status;
}

const wk_cuda_entry wk__cuda_true_positions[] = { { "nonzero_positions", WK_SET_OF(WK_BOOL), nonzero_positions },
                                                  { 0 } };
