/* conversions.c: cast and where. */
#include "cuda/cuda.h"
#include "cuda/pointwise/cast.h"
#include "walk.h"

static wk_status cast(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    if (out->count == 0) return WK_OK;
    wk_walk walk = wk_walk_of(out);
    wk_walk_add(&walk, x);
    wk_walk_simplify(&walk);
    return wk__cuda_launched(call, wk__cuda_cast(out->data, out->dtype, x->data, x->dtype, &walk, ctx->stream));
}

static wk_status where(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *out = call->out[0];
    if (out->count == 0) return WK_OK;
    wk_walk walk = wk_walk_of(out);
    for (int i = 0; i < 3; i++) wk_walk_add(&walk, call->in[i]);
    wk_walk_simplify(&walk);
    return wk__cuda_launched(call, wk__cuda_where(out->data, call->in[0]->data, call->in[1]->data, call->in[2]->data,
                                                  (int)wk_dtype_size((wk_dtype)out->dtype), &walk, ctx->stream));
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
const wk_cuda_entry wk__cuda_conversions[] = {
    { "cast", ANY, cast },
    { "where", ANY, where },
    { NULL, 0, NULL },
};
