/* cross_entropy.c: the rows cross_entropy and cross_entropy_backward. */
#include "cuda/loss/cross_entropy.h"

#include "cuda/cuda.h"

static wk_cuda_cross_entropy shape_of(const wk_tensor *logits, const wk_tensor *target,
                                      const wk_cross_entropy_opts *opts) {
    return (wk_cuda_cross_entropy){ .rows = logits->shape[0],
                                    .classes = logits->shape[1],
                                    .logits_row = logits->stride[0],
                                    .logits_step = logits->stride[1],
                                    .target_step = target->stride[0],
                                    .ignored = (int64_t)wk_optional_or(opts->ignore_index, -100),
                                    .smoothing = opts->label_smoothing,
                                    .even = opts->label_smoothing / (double)logits->shape[1],
                                    .reduction = (int)opts->reduction };
}

static wk_status forward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *logits = call->in[0], *target = call->in[1], *loss = call->out[0], *lse = call->out[1];
    const wk_cuda_cross_entropy c = shape_of(logits, target, call->attrs);
    const size_t bytes = (size_t)(c.rows + 1) * sizeof(double);
    double *scratch = wk__cuda_scratch_take(ctx, bytes);
    if (!scratch) return wk_error_code();
    wk_status status =
        wk__cuda_launched(call, wk__cuda_cross_entropy_forward(&c, logits->dtype, logits->data, target->data,
                                                               loss->data, lse->data, scratch, ctx->stream));
    wk__cuda_scratch_give(ctx, scratch, bytes);
    return status;
}

static wk_status backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *dloss = call->in[0], *logits = call->in[1], *target = call->in[2], *lse = call->in[3];
    const wk_cuda_cross_entropy c = shape_of(logits, target, call->attrs);
    const wk_dtype wanted = logits->dtype == WK_F64 ? WK_F64 : WK_F32;
    if (dloss->dtype != wanted || lse->dtype != wanted) return WK_UNSUPPORTED;
    double *scratch = wk__cuda_scratch_take(ctx, sizeof(double));
    if (!scratch) return wk_error_code();
    const int64_t step = dloss->rank && dloss->count > 1 ? dloss->stride[0] : 0;
    wk_status status = wk__cuda_launched(
        call, wk__cuda_cross_entropy_backward(&c, logits->dtype, dloss->data, step, logits->data, target->data,
                                              lse->data, lse->stride[0], call->out[0]->data, scratch, ctx->stream));
    wk__cuda_scratch_give(ctx, scratch, sizeof(double));
    return status;
}

const wk_cuda_entry wk__cuda_cross_entropy[] = {
    { "cross_entropy", WK_FLOATS, forward },
    { "cross_entropy_backward", WK_FLOATS, backward },
    { 0 },
};
