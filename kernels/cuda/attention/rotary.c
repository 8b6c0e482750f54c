/* rotary.c: rotary embedding on the kernel of rotary.cu. */
#include "cuda/attention/rotary.h"

#include "cuda/cuda.h"
#include "walk.h"

/* All axes but the last; those that a table lacks are broadcast. */
static void add_rows(wk_cuda_rotary *r, const wk_tensor *tensor) {
    wk_tensor rows = *tensor;
    r->stride[r->rows.operands] = tensor->stride[tensor->rank - 1];
    rows.rank--;
    wk_walk_add(&r->rows, &rows);
}

static wk_status rotary(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_rotary_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0], *cosines = call->in[1], *sines = call->in[2];
    if (!x->count) return WK_OK;
    wk_cuda_rotary r = { .rows = { .rank = x->rank - 1, .count = 1 },
                         .width = x->shape[x->rank - 1],
                         .pairs = cosines->shape[cosines->rank - 1],
                         .interleaved = opts->interleaved,
                         .back = opts->back,
                         .y = call->out[0]->data,
                         .x = x->data,
                         .cosines = cosines->data,
                         .sines = sines->data };
    for (int i = 0; i < r.rows.rank; i++) {
        r.rows.shape[i] = x->shape[i];
        r.rows.count *= x->shape[i];
    }
    add_rows(&r, call->out[0]);
    add_rows(&r, x);
    add_rows(&r, cosines);
    add_rows(&r, sines);
    wk_walk_simplify_in_order(&r.rows);
    return wk__cuda_launched(call, wk__cuda_rotate(&r, x->dtype, ctx->stream));
}

const wk_cuda_entry wk__cuda_rotary[] = { { "rotary", WK_FLOATS, rotary }, { 0 } };
