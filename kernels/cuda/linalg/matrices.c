/* matrices.c: systems of equations and decompositions, on the kernels of factor.cu and spectrum.cu.  Each matrix is one
 * block's; what the CPU refuses by its numbers gives infinities and NaN. */
#include "cuda/linalg/matrices.h"

#include "cuda/cuda.h"

#include <limits.h>

typedef int (*launcher)(const wk_cuda_matrices *p, int dtype, void *stream);

/* Strides of the batch axes of `t`, aligned with those of `batch`. */
static void add_batch(wk_walk *walk, const wk_tensor *t) {
    int64_t *stride = walk->stride[walk->operands++];
    const int missing = walk->rank - (t->rank - 2);
    for (int i = 0; i < walk->rank; i++)
        stride[i] = i < missing || t->shape[i - missing] == 1 ? 0 : t->stride[i - missing];
}

/* `batch`: whose axes before the last two are the matrices. */
static wk_cuda_matrices matrices_of(const wk_call *call, const wk_tensor *batch) {
    const wk_tensor *a = call->in[0], *b = call->n_in > 1 ? call->in[1] : a;
    wk_cuda_matrices p = { .batch = { .rank = batch->rank - 2 },
                           .m = a->shape[a->rank - 2],
                           .n = a->shape[a->rank - 1],
                           .columns = call->n_in > 1 ? b->shape[b->rank - 1] : 0,
                           .a_row = a->stride[a->rank - 2],
                           .a_column = a->stride[a->rank - 1],
                           .b_row = b->stride[b->rank - 2],
                           .b_column = b->stride[b->rank - 1],
                           .a = a->data,
                           .b = b->data };
    for (int i = 0; i < p.batch.rank; i++) p.batch.shape[i] = batch->shape[i];
    add_batch(&p.batch, a);
    add_batch(&p.batch, b);
    wk_walk_simplify_in_order(&p.batch);
    for (int k = 0; k < call->n_out; k++) p.out[k] = call->out[k]->data;
    return p;
}

/* `elements` of work for each matrix. */
static wk_status run(wk_kernel_ctx *ctx, const wk_call *call, wk_cuda_matrices *p, launcher launch, int64_t elements,
                     size_t size) {
    const int dtype = call->in[0]->dtype;
    const int64_t largest = p->m * p->n > p->n * (p->n + p->columns) ? p->m * p->n : p->n * (p->n + p->columns);
    if (p->batch.count == 0) return WK_OK;
    if (largest > INT_MAX / 4 || p->batch.count > INT_MAX) return WK_UNSUPPORTED;
    const size_t bytes = (size_t)(elements * p->batch.count) * size;
    if (bytes && !(p->work = wk__cuda_scratch_take(ctx, bytes))) return wk_error_code();
    wk_status status = wk__cuda_launched(call, launch(p, dtype, ctx->stream));
    if (bytes) wk__cuda_scratch_give(ctx, p->work, bytes);
    return status;
}

static size_t element(const wk_call *call) {
    return wk_dtype_size((wk_dtype)call->in[0]->dtype);
}

static wk_status solve(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_cuda_matrices p = matrices_of(call, call->out[0]);
    return call->out[0]->count ? run(ctx, call, &p, wk__cuda_solve, p.n * p.n, element(call)) : WK_OK;
}

static wk_status solve_triangular(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_solve_triangular_opts *opts = call->attrs;
    wk_cuda_matrices p = matrices_of(call, call->out[0]);
    p.upper = opts->upper, p.unit_diagonal = opts->unit_diagonal;
    return call->out[0]->count ? run(ctx, call, &p, wk__cuda_solve_triangular, 0, element(call)) : WK_OK;
}

static wk_status slogdet(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_cuda_matrices p = matrices_of(call, call->in[0]);
    return run(ctx, call, &p, wk__cuda_slogdet, p.n * p.n, element(call));
}

static wk_status cholesky(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_cuda_matrices p = matrices_of(call, call->in[0]);
    return p.n ? run(ctx, call, &p, wk__cuda_cholesky, 0, element(call)) : WK_OK;
}

static wk_status qr(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_cuda_matrices p = matrices_of(call, call->in[0]);
    const int64_t k = p.m < p.n ? p.m : p.n;
    return k ? run(ctx, call, &p, wk__cuda_qr, p.m * p.n + k, element(call)) : WK_OK;
}

static wk_status eigh(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_cuda_matrices p = matrices_of(call, call->in[0]);
    return p.n ? run(ctx, call, &p, wk__cuda_eigh, 2 * p.n * p.n + p.n + 1, sizeof(double)) : WK_OK;
}

static wk_status svd(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_cuda_matrices p = matrices_of(call, call->in[0]);
    const int64_t k = p.m < p.n ? p.m : p.n;
    return k ? run(ctx, call, &p, wk__cuda_svd, p.m * p.n + k * k + k, sizeof(double)) : WK_OK;
}

#define BOTH (WK_SET_OF(WK_F32) | WK_SET_OF(WK_F64))
const wk_cuda_entry wk__cuda_matrices[] = {
    { "solve", BOTH, solve },     { "solve_triangular", BOTH, solve_triangular },
    { "slogdet", BOTH, slogdet }, { "cholesky_symmetric", BOTH, cholesky },
    { "qr", BOTH, qr },           { "eigh_symmetric", BOTH, eigh },
    { "svd", BOTH, svd },         { NULL, 0, NULL },
};
