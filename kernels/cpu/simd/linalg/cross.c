/* cross.c: the vector product along the last axis. */
#include "cpu/simd/iterate.h"

enum { BLOCK = 64 };

/* Operands: out, a, b. */
typedef struct crossing {
    void *data[3];
    int64_t step[3], axis[3]; /* to the next vector, to its next element */
} crossing;

#define WK_BODY "cpu/simd/linalg/cross_body.h"
#include "cpu/simd/each_float.h"

static wk_status cross(wk_kernel_ctx *ctx, const wk_call *call) {
    static const wk_walk_visit visits[WK_DTYPE_COUNT] = {
        [WK_F32] = vectors_f32, [WK_F64] = vectors_f64, [WK_BF16] = vectors_bf16, [WK_F16] = vectors_f16
    };
    const wk_tensor *const operand[] = { call->out[0], call->in[0], call->in[1] };
    const wk_tensor *out = operand[0];
    crossing c;
    wk_walk walk = { .operands = 3, .rank = out->rank - 1 };
    for (int i = 0; i < walk.rank; i++) walk.shape[i] = out->shape[i];
    for (int k = 0; k < 3; k++) {
        const wk_tensor *t = operand[k];
        int missing = out->rank - t->rank;
        for (int i = 0; i < walk.rank; i++)
            walk.stride[k][i] = i < missing || t->shape[i - missing] == 1 ? 0 : t->stride[i - missing];
        c.data[k] = t->data;
        c.axis[k] = t->stride[t->rank - 1];
    }
    wk_walk_simplify(&walk);
    for (int k = 0; k < 3; k++) c.step[k] = walk.stride[k][walk.rank - 1];
    wk_walk_team(&walk, wk_moving_team(ctx, 3 * out->count * (int64_t)wk_size_of(out->dtype)), visits[out->dtype], &c);
    return WK_OK;
}

WK_CPU_TABLE(cross) = { { "cross", WK_FLOATS, cross }, { 0 } };
