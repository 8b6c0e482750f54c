/* fft.c: discrete Fourier transforms along an axis, on the kernels of fft.cu. */
#include "cuda/spectral/fft.h"

#include "cuda/cuda.h"

#include <math.h>

/* 4 before 2, then what is prime. */
static void factorise(wk_cuda_fft *f) {
    int64_t rest = f->n;
    while (rest % 4 == 0) f->factor[f->factors++] = 4, rest /= 4;
    for (int64_t p = 2; rest > 1; p++) {
        if (p * p > rest) p = rest;
        while (rest % p == 0) f->factor[f->factors++] = (int)p, rest /= p;
    }
}

static wk_status transform(wk_kernel_ctx *ctx, const wk_call *call, wk_cuda_fft_kind kind) {
    const wk_fft_axis_attrs *attrs = call->attrs;
    const wk_tensor *x = call->in[0], *out = call->out[0], *whole = kind == WK_CUDA_FFT_FROM_HALF ? out : x;
    const int axis = (int)attrs->axis;
    const int64_t n = out->count ? whole->shape[axis] : 1;
    if (out->count == 0) return WK_OK;
    if (n > INT32_MAX) return WK_UNSUPPORTED;
    wk_cuda_fft f = { .kind = kind,
                      .inverse = kind == WK_CUDA_FFT_FROM_HALF || (kind == WK_CUDA_FFT_PAIRS && attrs->inverse),
                      .f64 = x->dtype == WK_F64,
                      .n = n,
                      .scale = attrs->scale == WK_FFT_BY_ROOT     ? 1 / sqrt((double)n)
                               : attrs->scale == WK_FFT_BY_LENGTH ? 1 / (double)n
                                                                  : 1,
                      .inner = wk_optional_or(attrs->inner, 1),
                      .lines = wk_walk_besides(out, x, axis, kind == WK_CUDA_FFT_TO_HALF ? x->rank : x->rank - 1),
                      .x_step = x->stride[axis],
                      .x_pair = kind == WK_CUDA_FFT_TO_HALF ? 0 : x->stride[x->rank - 1],
                      .out_step = out->stride[axis],
                      .out_pair = kind == WK_CUDA_FFT_FROM_HALF ? 0 : out->stride[out->rank - 1],
                      .x = x->data,
                      .out = out->data };
    factorise(&f);
    const size_t bytes = wk__cuda_fft_scratch(&f);
    void *scratch = bytes ? wk__cuda_scratch_take(ctx, bytes) : NULL;
    if (bytes && !scratch) return wk_error_code();
    wk_status status = wk__cuda_launched(call, wk__cuda_fft_run(&f, scratch, ctx->stream));
    if (bytes) wk__cuda_scratch_give(ctx, scratch, bytes);
    return status;
}

static wk_status fft_axis(wk_kernel_ctx *ctx, const wk_call *call) {
    return transform(ctx, call, WK_CUDA_FFT_PAIRS);
}
static wk_status rfft_axis(wk_kernel_ctx *ctx, const wk_call *call) {
    return transform(ctx, call, WK_CUDA_FFT_TO_HALF);
}
static wk_status irfft_axis(wk_kernel_ctx *ctx, const wk_call *call) {
    return transform(ctx, call, WK_CUDA_FFT_FROM_HALF);
}

#define BOTH (WK_SET_OF(WK_F32) | WK_SET_OF(WK_F64))
const wk_cuda_entry wk__cuda_fft_rows[] = {
    { "fft_axis", BOTH, fft_axis },
    { "rfft_axis", BOTH, rfft_axis },
    { "irfft_axis", BOTH, irfft_axis },
    { NULL, 0, NULL },
};
