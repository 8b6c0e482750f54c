/* softmax.c: the rows of softmax and log-softmax. */
#include "cuda/reduce/softmax.h"

#include "cuda/cuda.h"
#include "walk.h"

/* The walk without the axis, whose strides become the lines' steps. */
static void split(wk_cuda_softmax *s, int axis) {
    wk_walk *walk = &s->lines;
    s->length = 1;
    if (walk->rank) {
        s->length = walk->shape[axis];
        for (int k = 0; k < walk->operands; k++) s->step[k] = walk->stride[k][axis];
        walk->shape[axis] = 1;
        walk->count /= s->length;
    }
    wk_walk_simplify(walk);
}

static wk_status run(wk_kernel_ctx *ctx, const wk_call *call, wk_cuda_softmax_kind kind) {
    const wk_tensor *out = call->out[0];
    if (out->count == 0) return WK_OK;
    int inputs = kind == WK_CUDA_SOFTMAX || kind == WK_CUDA_LOG_SOFTMAX ? 1 : 2;
    int axis = (int)wk_optional_or(((const wk_axis_opts *)call->attrs)->axis, -1);
    wk_cuda_softmax s = { .kind = kind, .dtype = out->dtype, .lines = wk_walk_of(out), .out = out->data };
    for (int i = 0; i < inputs; i++) {
        wk_walk_add(&s.lines, call->in[i]);
        s.in[i] = call->in[i]->data;
    }
    split(&s, axis < 0 ? axis + out->rank : axis);
    return wk__cuda_launched(call, wk__cuda_softmax(&s, ctx->stream));
}

#define KERNEL(name, kind)                                           \
    static wk_status name(wk_kernel_ctx *ctx, const wk_call *call) { \
        return run(ctx, call, kind);                                 \
    }
KERNEL(softmax, WK_CUDA_SOFTMAX)
KERNEL(log_softmax, WK_CUDA_LOG_SOFTMAX)
KERNEL(softmax_backward, WK_CUDA_SOFTMAX_GRAD)
KERNEL(log_softmax_backward, WK_CUDA_LOG_SOFTMAX_GRAD)

const wk_cuda_entry wk__cuda_softmax_rows[] = {
    { "softmax", WK_FLOATS, softmax },
    { "log_softmax", WK_FLOATS, log_softmax },
    { "softmax_backward", WK_FLOATS, softmax_backward },
    { "log_softmax_backward", WK_FLOATS, log_softmax_backward },
    { NULL, 0, NULL },
};
