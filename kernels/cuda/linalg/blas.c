/* blas.c: the rows matmul, matmul_wide and linear: by cuBLASLt where both operands have one unit stride of the last
 * two, else by product.cu.
 *
 * Leading axes that lie behind each other in memory become one, and where b is the same for all of them (linear, or a
 * broadcast operand) they become rows of a, as on the CPU: (64, 128, 768) · (768, 768) is one product of 8192 rows.
 * One axis of products that is left is a strided batch; more are batches one by one.
 */
#include "cuda/linalg/blas.h"

#include "cuda/linalg/product.h"

#include <string.h>

/* ---- what is asked for ---- */

static void drop_batch(wk_cuda_product *p, int axis) {
    p->rank--;
    for (int i = axis; i < p->rank; i++)
        p->size[i] = p->size[i + 1], p->a_batch[i] = p->a_batch[i + 1], p->b_batch[i] = p->b_batch[i + 1];
}

/* Removes axes of one element, joins neighbours, and makes rows of the last axis where b does not change along it. */
static void join(wk_cuda_product *p) {
    for (int axis = p->rank - 1; axis >= 0; axis--)
        if (p->size[axis] == 1) drop_batch(p, axis);
    for (int axis = p->rank - 1; axis > 0; axis--) {
        if (p->a_batch[axis - 1] != p->a_batch[axis] * p->size[axis]) continue;
        if (p->b_batch[axis - 1] != p->b_batch[axis] * p->size[axis]) continue;
        p->size[axis] *= p->size[axis - 1];
        drop_batch(p, axis - 1);
    }
    int last = p->rank - 1;
    if (last >= 0 && p->b_batch[last] == 0 && (p->m == 1 || p->a_batch[last] == p->m * p->a_row)) {
        if (p->m == 1) p->a_row = p->a_batch[last];
        p->m *= p->size[last];
        p->rank--;
    }
    p->count = 1;
    for (int axis = 0; axis < p->rank; axis++) p->count *= p->size[axis];
}

static wk_cuda_product of_matmul(const wk_call *call) {
    const wk_tensor *a = call->in[0], *b = call->in[1], *c = call->out[0];
    int rank = c->rank;
    wk_cuda_product p = { .m = c->shape[rank - 2], .n = c->shape[rank - 1], .k = a->shape[a->rank - 1] };
    p.rank = rank - 2;
    p.a_row = a->stride[a->rank - 2], p.a_col = a->stride[a->rank - 1];
    p.b_row = b->stride[b->rank - 2], p.b_col = b->stride[b->rank - 1];
    for (int axis = 0; axis < p.rank; axis++) {
        int in_a = axis - (rank - a->rank), in_b = axis - (rank - b->rank);
        p.size[axis] = c->shape[axis];
        p.a_batch[axis] = in_a < 0 || a->shape[in_a] == 1 ? 0 : a->stride[in_a];
        p.b_batch[axis] = in_b < 0 || b->shape[in_b] == 1 ? 0 : b->stride[in_b];
    }
    join(&p);
    return p;
}

static wk_cuda_product of_linear(const wk_call *call) {
    const wk_tensor *x = call->in[0], *weight = call->in[1];
    wk_cuda_product p = { .m = 1, .n = weight->shape[0], .k = weight->shape[1], .rank = x->rank - 1 };
    p.a_col = x->stride[x->rank - 1];
    p.b_row = weight->stride[1], p.b_col = weight->stride[0];
    for (int axis = 0; axis < p.rank; axis++) p.size[axis] = x->shape[axis], p.a_batch[axis] = x->stride[axis];
    join(&p);
    return p;
}

/* ---- by cuBLASLt ---- */

/* The leading dimension of a matrix with one unit stride; 0: it has none. */
static int64_t leading(int64_t rows, int64_t cols, int64_t row, int64_t col, int32_t *turned) {
    if ((col == 1 || cols == 1) && (row >= cols || rows == 1)) {
        *turned = 0;
        return rows == 1 ? cols : row;
    }
    *turned = 1;
    return (row == 1 || rows == 1) && (col >= rows || cols == 1) ? (cols == 1 ? rows : col) : 0;
}

static int32_t alignment_of(const void *memory, int64_t ld, int64_t batch, size_t element) {
    uint64_t bits = (uint64_t)(uintptr_t)memory | (uint64_t)ld * element | (uint64_t)batch * element | 16;
    return (int32_t)(bits & -bits);
}

static int32_t least(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* One batch: operands from these addresses on, `count` products a stride apart. */
typedef struct batch {
    const char *a, *b;
    char *c;
    int64_t count, a_step, b_step;
} batch;

static bool make_key(wk_cublas_key *key, const wk_cuda_product *p, const wk_call *call, const batch *o, bool bias) {
    const size_t element = wk_dtype_size((wk_dtype)call->in[0]->dtype);
    memset(key, 0, sizeof *key);
    key->m = p->m, key->n = p->n, key->k = p->k;
    key->a_ld = leading(p->m, p->k, p->a_row, p->a_col, &key->a_turned);
    key->b_ld = leading(p->k, p->n, p->b_row, p->b_col, &key->b_turned);
    key->count = o->count, key->a_batch = o->a_step, key->b_batch = o->b_step;
    key->dtype = call->in[0]->dtype, key->result = call->out[0]->dtype, key->device = wk__cuda_entered();
    key->bias = bias, key->relu = p->relu;
    key->alignment =
        least(alignment_of(o->a, key->a_ld, o->a_step, element),
              least(alignment_of(o->b, key->b_ld, o->b_step, element), alignment_of(o->c, p->n, p->m * p->n, element)));
    return key->a_ld && key->b_ld && o->count <= INT32_MAX;
}

static wk_status run_batch(wk_kernel_ctx *ctx, const wk_call *call, const wk_cuda_product *p, const batch *o,
                           const wk_tensor *bias) {
    wk_cublas_key key;
    if (!make_key(&key, p, call, o, bias != NULL)) return WK_UNSUPPORTED;
    const wk_cublas_plan *plan = wk__cublas_plan(&key);
    if (!plan) return wk_error_code() == WK_OK ? WK_UNSUPPORTED : wk_error_code();
    if (!plan->usable) return WK_UNSUPPORTED;
    size_t bytes = plan->choice.workspaceSize;
    void *workspace = bytes ? wk__cuda_scratch_take(ctx, bytes) : NULL;
    if (bytes && !workspace) return wk_error_code();
    cublasStatus_t status =
        wk__cublas_run(plan, o->a, o->b, bias ? bias->data : NULL, o->c, workspace, (cudaStream_t)ctx->stream);
    if (workspace) wk__cuda_scratch_give(ctx, workspace, bytes);
    return wk__cublas_status(call, status);
}

/* The last axis of products is the library's; those before it are called one by one. */
static wk_status by_library(wk_kernel_ctx *ctx, const wk_call *call, const wk_cuda_product *p, const wk_tensor *bias) {
    const int64_t element = (int64_t)wk_dtype_size((wk_dtype)call->in[0]->dtype);
    const int64_t result = (int64_t)wk_dtype_size((wk_dtype)call->out[0]->dtype);
    const int last = p->rank - 1;
    batch o = { .count = last < 0 ? 1 : p->size[last] };
    if (last >= 0) o.a_step = p->a_batch[last], o.b_step = p->b_batch[last];
    for (int64_t i = 0; i < p->count / o.count; i++) {
        int64_t a = 0, b = 0, rest = i;
        for (int axis = last - 1; axis >= 0; axis--) {
            a += rest % p->size[axis] * p->a_batch[axis], b += rest % p->size[axis] * p->b_batch[axis];
            rest /= p->size[axis];
        }
        o.a = (const char *)call->in[0]->data + a * element, o.b = (const char *)call->in[1]->data + b * element;
        o.c = (char *)call->out[0]->data + i * o.count * p->m * p->n * result;
        WK_TRY(run_batch(ctx, call, p, &o, bias));
    }
    return WK_OK;
}

static wk_status product(wk_kernel_ctx *ctx, const wk_call *call, wk_cuda_product *p, const wk_tensor *bias) {
    const int dtype = call->in[0]->dtype, result = call->out[0]->dtype;
    if (call->out[0]->count == 0) return WK_OK;
    bool plain_bias = !bias || bias->stride[0] == 1 || p->n == 1;
    bool epilogue = bias || p->relu; /* cuBLASLt has none in f64 */
    wk_status status = WK_UNSUPPORTED;
    if (p->k > 0 && plain_bias && !(dtype == WK_F64 && epilogue)) status = by_library(ctx, call, p, bias);
    if (status != WK_UNSUPPORTED) return status;
    p->bias_step = bias ? bias->stride[0] : 0;
    return wk__cuda_launched(call, wk__cuda_product(p, dtype, result, call->in[0]->data, call->in[1]->data,
                                                    bias ? bias->data : NULL, call->out[0]->data, ctx->stream));
}

static wk_status matmul(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_cuda_product p = of_matmul(call);
    return product(ctx, call, &p, NULL);
}

static wk_status linear(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_cuda_product p = of_linear(call);
    p.relu = ((const wk_linear_opts *)call->attrs)->activation == WK_ACTIVATION_RELU;
    return product(ctx, call, &p, call->in[2]);
}

const wk_cuda_entry wk__cuda_blas[] = {
    { "matmul", WK_FLOATS, matmul },
    { "matmul_wide", WK_HALVES, matmul },
    { "linear", WK_FLOATS, linear },
    { NULL, 0, NULL },
};
