/* resize.c: interpolation along one axis on the kernel of resize.cu. */
#include "cuda/image/resize.h"

#include "cuda/cuda.h"
#include "walk.h"

/* As PyTorch computes places: in f32 except for f64. */
static double step_of(const wk_resize_axis_attrs *a, bool wide) {
    const bool spread = a->align_corners && (a->mode == WK_INTERPOLATE_LINEAR || a->mode == WK_INTERPOLATE_CUBIC);
    if (spread) return a->to > 1 ? (double)(a->from - 1) / (double)(a->to - 1) : 0;
    const double step = a->scale != 0 ? 1 / a->scale : (double)a->from / (double)a->to;
    return wide ? step : (double)(float)step;
}

/* The axis has one element for the walk. */
static void add_rows(wk_walk *rows, const wk_tensor *tensor, int64_t axis) {
    wk_tensor others = *tensor;
    others.shape[axis] = 1;
    wk_walk_add(rows, &others);
}

static wk_status resize_axis(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_resize_axis_attrs *a = call->attrs;
    const wk_tensor *x = call->in[0], *y = call->out[0];
    const bool wide = x->dtype == WK_F64;
    wk_cuda_resize r = { .rows = { .rank = y->rank, .count = 1 },
                         .y_stride = y->stride[a->axis],
                         .x_stride = x->stride[a->axis],
                         .from = a->from,
                         .to = a->to,
                         .step = step_of(a, wide),
                         .mode = a->mode,
                         .align_corners = a->align_corners,
                         .transposed = a->transposed,
                         .wide = wide,
                         .axis_last = y->stride[a->axis] == 1,
                         .y = y->data,
                         .x = x->data };
    if (!y->count) return WK_OK;
    for (int i = 0; i < y->rank; i++) {
        r.rows.shape[i] = i == a->axis ? 1 : y->shape[i];
        r.rows.count *= r.rows.shape[i];
    }
    add_rows(&r.rows, y, a->axis);
    add_rows(&r.rows, x, a->axis);
    wk_walk_simplify(&r.rows);
    return wk__cuda_launched(call, wk__cuda_resize_axis(&r, x->dtype, ctx->stream));
}

const wk_cuda_entry wk__cuda_resize[] = { { "resize_axis", WK_FLOATS, resize_axis }, { 0 } };
