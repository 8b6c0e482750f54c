/* tensor_list.c: global_norm, any_nonfinite, adjust_list, clip_factor.  A list longer than a launch carries goes in
 * several. */
#include "cuda/cuda.h"
#include "cuda/optim/lists.h"

#include <math.h>

static int64_t blocks_of(const wk_tensor *t) {
    return (t->count + WK_CUDA_SPAN - 1) / WK_CUDA_SPAN;
}

/* Entries from tensor *at on, as many as there is room for; *at moves on. */
static void fill(wk_cuda_list *list, wk_tensor *const *tensors, int count, int *at) {
    list->n = list->blocks = 0;
    for (; *at < count && list->n < WK_CUDA_MANY; ++*at) {
        const wk_tensor *t = tensors[*at];
        if (t->count == 0) continue;
        list->entry[list->n++] =
            (wk_cuda_list_entry){ .data = t->data, .count = t->count, .first_block = list->blocks, .dtype = t->dtype };
        list->blocks += (int32_t)blocks_of(t);
    }
}

static wk_status parts_of_list(wk_kernel_ctx *ctx, const wk_call *call, int what, double p, double *parts) {
    wk_cuda_list *list = wk_alloc(sizeof *list);
    wk_status status = list ? WK_OK : WK_NO_MEMORY;
    for (int at = 0; at < call->n_in && status == WK_OK;) {
        fill(list, call->in, call->n_in, &at);
        status = wk__cuda_launched(call, wk__cuda_list_parts(list, what, p, parts, ctx->stream));
        parts += list->blocks;
    }
    wk_free(list);
    return status;
}

static wk_status join(wk_kernel_ctx *ctx, const wk_call *call, int what, double p) {
    int64_t blocks = 0;
    for (int i = 0; i < call->n_in; i++) blocks += blocks_of(call->in[i]);
    const size_t bytes = (size_t)(blocks + 1) * sizeof(double);
    double *parts = wk__cuda_scratch_take(ctx, bytes);
    if (!parts) return wk_error_code();
    wk_status status = parts_of_list(ctx, call, what, p, parts);
    if (status == WK_OK)
        status = wk__cuda_launched(call, wk__cuda_list_join(parts, blocks, what, p, call->out[0]->data, ctx->stream));
    wk__cuda_scratch_give(ctx, parts, bytes);
    return status;
}

/* (tensor…) -> f64 */
static wk_status global_norm(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_norm_attrs *attrs = call->attrs;
    const double p = attrs->p != 0 ? attrs->p : 2;
    const int what = isinf(p) ? WK_CUDA_MOST
                     : p == 1 ? WK_CUDA_SUM_ABS
                     : p == 2 ? WK_CUDA_SUM_SQUARES
                              : WK_CUDA_SUM_POWERS;
    return join(ctx, call, what, p);
}

/* (tensor…) -> f64 */
static wk_status any_nonfinite(wk_kernel_ctx *ctx, const wk_call *call) {
    return join(ctx, call, WK_CUDA_NONFINITE, 0);
}

/* (norm, factor) */
static wk_status clip_factor(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_clip_attrs *attrs = call->attrs;
    return wk__cuda_launched(
        call, wk__cuda_clip_factor(call->in[0]->data, attrs->most, attrs->scale, call->in[1]->data, ctx->stream));
}

/* (limits, tensor…); the limits lie on the host */
static wk_status adjust_list(wk_kernel_ctx *ctx, const wk_call *call) {
    const double *limits = call->in[0]->data;
    const void *noted;
    WK_TRY(wk__cuda_note(ctx, limits, 2 * sizeof *limits, &noted));
    if (!wk_cuda_launches(ctx)) return WK_OK;
    wk_cuda_list *list = wk_alloc(sizeof *list);
    wk_status status = list ? WK_OK : WK_NO_MEMORY;
    for (int at = 0; at < call->n_in - 1 && status == WK_OK;) {
        fill(list, call->in + 1, call->n_in - 1, &at);
        status = wk__cuda_launched(call, wk__cuda_list_adjust(list, limits[0], limits[1], noted, ctx->stream));
    }
    wk_free(list);
    return status;
}

const wk_cuda_entry wk__cuda_tensor_list[] = {
    { "global_norm", WK_FLOATS, global_norm },
    { "any_nonfinite", WK_FLOATS, any_nonfinite },
    { "adjust_list", WK_FLOATS, adjust_list },
    { "clip_factor", WK_SET_OF(WK_F64), clip_factor },
    { 0 },
};
