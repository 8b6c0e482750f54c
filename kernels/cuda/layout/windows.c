/* windows.c: the gradient of windows along an axis. */
#include "cuda/layout/windows.h"

#include "cuda/cuda.h"

static wk_status windows_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_windows_opts *opts = &((const wk_windows_grad_attrs *)call->attrs)->windows;
    const wk_tensor *dy = call->in[0], *dx = call->out[0];
    const int axis = (int)opts->axis;
    if (dx->count == 0) return WK_OK;
    wk_cuda_windows w = { .lines = { .operands = 2, .rank = dx->rank, .count = 1 },
                          .length = dx->shape[axis],
                          .windows = dy->shape[axis],
                          .size = opts->size,
                          .step = opts->step,
                          .dilation = opts->dilation,
                          .x_by = dx->stride[axis],
                          .window_by = dy->stride[axis],
                          .element_by = dy->stride[dx->rank],
                          .x = dx->data,
                          .y = dy->data };
    for (int i = 0; i < dx->rank; i++) {
        w.lines.shape[i] = i == axis ? 1 : dx->shape[i];
        w.lines.count *= w.lines.shape[i];
        w.lines.stride[0][i] = dx->stride[i], w.lines.stride[1][i] = dy->stride[i];
    }
    wk_walk_simplify(&w.lines);
    return wk__cuda_launched(call, wk__cuda_add_windows(&w, dx->dtype, ctx->stream));
}

const wk_cuda_entry wk__cuda_windows_rows[] = { { "windows_backward", WK_NUMBERS, windows_backward }, { 0 } };
