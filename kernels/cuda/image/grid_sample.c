/* grid_sample.c: images sampled at given places, and the gradients of that, on the kernels of grid_sample.cu. */
#include "cuda/image/grid_sample.h"

#include "cuda/cuda.h"
#include "cuda/layout/fill.h"

/* x NULL: of a shape alone; y NULL: without a result. */
static wk_cuda_grid grid_of(const wk_grid_sample_opts *opts, const wk_tensor *x, const wk_tensor *grid,
                            const wk_tensor *y) {
    wk_cuda_grid g = { .mode = opts->mode,
                       .padding = opts->padding,
                       .align_corners = opts->align_corners,
                       .axes = grid->rank - 2,
                       .n = grid->shape[0],
                       .places = 1,
                       .grid_n = grid->stride[0],
                       .grid_step = grid->stride[grid->rank - 1],
                       .grid = grid->data };
    for (int i = 0; i < g.axes; i++) {
        g.places *= grid->shape[1 + i];
        g.out[i] = grid->shape[1 + i], g.grid_by[i] = grid->stride[1 + i];
        if (x) g.size[i] = x->shape[2 + i], g.x_by[i] = x->stride[2 + i];
        if (y) g.y_by[i] = y->stride[2 + i];
    }
    if (x) g.c = x->shape[1], g.x_n = x->stride[0], g.x_c = x->stride[1], g.x = x->data;
    if (y) g.y_n = y->stride[0], g.y_c = y->stride[1], g.y = y->data;
    return g;
}

static wk_status grid_sample(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *y = call->out[0];
    if (y->count == 0) return WK_OK;
    const wk_cuda_grid g = grid_of(call->attrs, x, call->in[1], y);
    return wk__cuda_launched(call, wk__cuda_grid_sample(&g, x->dtype, ctx->stream));
}

/* dx added up from zeros; halves in f32 beside it. */
static wk_status image_gradient(wk_kernel_ctx *ctx, const wk_call *call, const wk_cuda_grid *g) {
    const wk_tensor *dx = call->out[0];
    const bool narrow = dx->dtype == WK_BF16 || dx->dtype == WK_F16;
    const int size = dx->dtype == WK_F64 ? 8 : 4;
    if (dx->count == 0) return WK_OK;
    const size_t bytes = (size_t)dx->count * (size_t)size;
    void *sums = narrow ? wk__cuda_scratch_take(ctx, bytes) : dx->data;
    if (!sums) return wk_error_code();
    wk_status status = wk__cuda_launched(call, wk__cuda_fill(sums, 0, size, dx->count, ctx->stream));
    if (status == WK_OK)
        status = wk__cuda_launched(call, wk__cuda_grid_backward_image(g, sums, dx->data, dx->dtype, ctx->stream));
    if (narrow) wk__cuda_scratch_give(ctx, sums, bytes);
    return status;
}

static wk_status grid_sample_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *dy = call->in[0], *x = call->in[1], *dgrid = call->out[1];
    const wk_cuda_grid g = grid_of(call->attrs, x, call->in[2], dy);
    if (dgrid->count)
        WK_TRY(wk__cuda_launched(call, wk__cuda_grid_backward_grid(&g, dgrid->data, x->dtype, ctx->stream)));
    return image_gradient(ctx, call, &g);
}

static wk_status grid_taps(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_grid_attrs *attrs = call->attrs;
    const wk_tensor *grid = call->in[0];
    if (call->out[0]->count == 0) return WK_OK;
    wk_cuda_grid g = grid_of(&attrs->sample, NULL, grid, NULL);
    for (int i = 0; i < g.axes; i++) g.size[i] = attrs->image.size[2 + i];
    return wk__cuda_launched(call, wk__cuda_grid_taps(&g, call->out[0]->data, call->out[1]->data, call->out[2]->data,
                                                      call->out[3]->data, grid->dtype, ctx->stream));
}

const wk_cuda_entry wk__cuda_grid_sampling[] = {
    { "grid_sample", WK_FLOATS, grid_sample },
    { "grid_sample_backward", WK_FLOATS, grid_sample_backward },
    { "grid_taps", WK_FLOATS, grid_taps },
    { NULL, 0, NULL },
};
