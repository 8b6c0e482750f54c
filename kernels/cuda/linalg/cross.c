/* cross.c: the vector product. */
#include "cuda/linalg/cross.h"

#include "cuda/cuda.h"

static wk_status cross(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *out = call->out[0], *const operand[3] = { out, call->in[0], call->in[1] };
    int64_t step[3];
    wk_walk vectors = { .operands = 3, .rank = out->rank - 1, .count = 1 };
    if (out->count == 0) return WK_OK;
    for (int i = 0; i < vectors.rank; i++) vectors.shape[i] = out->shape[i];
    for (int k = 0; k < 3; k++) {
        const wk_tensor *t = operand[k];
        const int missing = out->rank - t->rank;
        for (int i = 0; i < vectors.rank; i++)
            vectors.stride[k][i] = i < missing || t->shape[i - missing] == 1 ? 0 : t->stride[i - missing];
        step[k] = t->stride[t->rank - 1];
    }
    wk_walk_simplify(&vectors);
    return wk__cuda_launched(
        call, wk__cuda_cross(out->data, operand[1]->data, operand[2]->data, &vectors, step, out->dtype, ctx->stream));
}

const wk_cuda_entry wk__cuda_cross_rows[] = { { "cross", WK_FLOATS, cross }, { 0 } };
