/* random.c: the rows of random numbers, and dropout.  Keys lie on the host. */
#include "cuda/random/random.h"

#include "cuda/cuda.h"
#include "walk.h"

static wk_status draw(wk_kernel_ctx *ctx, const wk_call *call, int distribution, double a, double b) {
    const wk_tensor *out = call->out[0];
    wk_cuda_key key;
    WK_TRY(wk_cuda_key_of(ctx, call->in[0], &key));
    if (!wk_cuda_launches(ctx)) return WK_OK;
    return wk__cuda_launched(call,
                             wk__cuda_draw(distribution, key, a, b, out->dtype, out->data, out->count, ctx->stream));
}

static wk_status uniform(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_uniform_opts *opts = call->attrs;
    return draw(ctx, call, WK_CUDA_UNIFORM, wk_optional_or(opts->low, 0), wk_optional_or(opts->high, 1));
}
static wk_status normal(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_normal_opts *opts = call->attrs;
    return draw(ctx, call, WK_CUDA_NORMAL, opts->mean, wk_optional_or(opts->deviation, 1));
}
static wk_status exponential(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_exponential_opts *opts = call->attrs;
    return draw(ctx, call, WK_CUDA_EXPONENTIAL, wk_optional_or(opts->rate, 1), 0);
}

static wk_status randint(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_randint_opts *opts = call->attrs;
    const wk_tensor *out = call->out[0];
    wk_cuda_key key;
    WK_TRY(wk_cuda_key_of(ctx, call->in[0], &key));
    if (!wk_cuda_launches(ctx)) return WK_OK;
    return wk__cuda_launched(call, wk__cuda_randint(key, opts->low, (uint64_t)opts->high - (uint64_t)opts->low,
                                                    out->data, out->count, ctx->stream));
}

/* Over the output and one more, in logical order. */
static wk_walk logical_walk(const wk_tensor *out, const wk_tensor *x) {
    wk_walk walk = wk_walk_of(out);
    wk_walk_add(&walk, x);
    wk_walk_simplify_in_order(&walk);
    return walk;
}

static wk_status bernoulli(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *p = call->in[0], *out = call->out[0];
    const wk_walk walk = logical_walk(out, p);
    wk_cuda_key key;
    WK_TRY(wk_cuda_key_of(ctx, call->in[1], &key));
    if (!wk_cuda_launches(ctx)) return WK_OK;
    return wk__cuda_launched(call, wk__cuda_bernoulli(key, p->dtype, out->data, p->data, &walk, ctx->stream));
}

static wk_status dropout(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_dropout_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0], *out = call->out[0];
    const wk_walk walk = logical_walk(out, x);
    wk_cuda_key key;
    WK_TRY(wk_cuda_key_of(ctx, call->in[1], &key));
    if (!wk_cuda_launches(ctx)) return WK_OK;
    return wk__cuda_launched(call, wk__cuda_dropout(key, opts->p, x->dtype, out->data, x->data, &walk, ctx->stream));
}

static wk_status permutation(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *out = call->out[0];
    wk_cuda_key key;
    WK_TRY(wk_cuda_key_of(ctx, call->in[0], &key));
    if (!wk_cuda_launches(ctx)) return WK_OK;
    return wk__cuda_launched(call, wk__cuda_permutation(key, out->data, out->count, ctx->stream));
}

const wk_cuda_entry wk__cuda_random[] = {
    { "uniform", WK_FLOATS, uniform },         { "normal", WK_FLOATS, normal },
    { "exponential", WK_FLOATS, exponential }, { "randint", WK_SET_OF(WK_I64), randint },
    { "bernoulli", WK_FLOATS, bernoulli },     { "permutation", WK_SET_OF(WK_I64), permutation },
    { "dropout", WK_FLOATS, dropout },         { 0 },
};
