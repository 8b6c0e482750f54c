/* multinomial.c: positions drawn with given weights.  The CPU refuses weights that are none; here, where the host does
 * not wait for them, negative numbers, infinities and NaN count as zero. */
#include "cuda/random/multinomial.h"

#include "cuda/cuda.h"

static int draw(wk_kernel_ctx *ctx, const wk_cuda_multinomial *m, int dtype, void *scratch) {
    return wk__cuda_multinomial_draw(m, scratch, dtype, ctx->stream);
}

static int draw_once_each(wk_kernel_ctx *ctx, const wk_cuda_multinomial *m, int dtype, void *scratch) {
    const int64_t lines = m->lines.count;
    wk_cuda_pair *pairs = scratch, *sorted = pairs;
    int error = wk__cuda_multinomial_wait(m, pairs, dtype, ctx->stream);
    if (!error)
        error = wk__cuda_order_sort(pairs, pairs + lines * m->categories, lines, m->categories, &sorted, ctx->stream);
    return error ? error : wk__cuda_multinomial_first(m, sorted, ctx->stream);
}

static wk_status multinomial(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_multinomial_opts *opts = call->attrs;
    const wk_tensor *p = call->in[0];
    wk_cuda_multinomial m = { .lines = { .operands = 1, .rank = p->rank - 1 },
                              .categories = p->shape[p->rank - 1],
                              .step = p->stride[p->rank - 1],
                              .count = opts->count,
                              .weights = p->data,
                              .out = call->out[0]->data };
    if (call->out[0]->count == 0) return WK_OK;
    for (int i = 0; i < m.lines.rank; i++) m.lines.shape[i] = p->shape[i], m.lines.stride[0][i] = p->stride[i];
    wk_walk_simplify_in_order(&m.lines);
    if (m.lines.count > INT32_MAX) return WK_UNSUPPORTED;
    WK_TRY(wk_cuda_key_of(ctx, call->in[1], &m.key));
    if (!wk_cuda_launches(ctx)) return WK_OK;
    const size_t each = opts->replacement ? sizeof(double) : 2 * sizeof(wk_cuda_pair);
    const size_t bytes = each * (size_t)(m.lines.count * m.categories);
    void *scratch = wk__cuda_scratch_take(ctx, bytes);
    if (!scratch) return wk_error_code();
    wk_status status = wk__cuda_launched(call, (opts->replacement ? draw : draw_once_each)(ctx, &m, p->dtype, scratch));
    wk__cuda_scratch_give(ctx, scratch, bytes);
    return status;
}

const wk_cuda_entry wk__cuda_multinomial[] = { { "multinomial", WK_FLOATS, multinomial }, { 0 } };
