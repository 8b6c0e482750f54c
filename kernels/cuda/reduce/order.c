/* order.c: the rows that put lines in order, or count and look up, on the kernels of order.cu. */
#include "cuda/reduce/order.h"

#include "cuda/cuda.h"
#include "cuda/layout/fill.h"
#include "walk.h"

enum { BUFFERS = 2 };

/* ---- lines ---- */

/* A result lacks the axis, or has it. */
static void add(wk_cuda_lines *l, const wk_tensor *tensor, const wk_tensor *x, int axis) {
    const int k = l->lines.operands++;
    for (int i = 0; i < x->rank; i++) {
        const int own = tensor->rank == x->rank || i < axis ? i : i - 1;
        const bool is_axis = i == axis;
        if (is_axis && tensor->rank == x->rank) l->step[k] = tensor->stride[own];
        l->lines.stride[k][i] = is_axis || tensor->shape[own] == 1 ? 0 : tensor->stride[own];
    }
}

/* Of results (values, places; may be NULL) and x along an axis. */
static wk_cuda_lines lines_of(const wk_tensor *values, const wk_tensor *places, const wk_tensor *x, wk_optional axis) {
    wk_cuda_lines l = { .lines = { .rank = x->rank, .count = 1 }, .length = 1, .dtype = x->dtype, .x = x->data };
    const int resolved = (int)wk_optional_or(axis, -1), at = resolved < 0 ? resolved + x->rank : resolved;
    for (int i = 0; i < x->rank; i++) {
        l.lines.shape[i] = i == at ? 1 : x->shape[i];
        l.lines.count *= l.lines.shape[i];
        if (i == at) l.length = x->shape[i];
    }
    add(&l, values, x, at);
    add(&l, places, x, at);
    add(&l, x, x, at);
    wk_walk_simplify_in_order(&l.lines);
    return l;
}

/* ---- in order ---- */

typedef struct ordering {
    bool reversed, unsorted, nan;
    int64_t first, k; /* which of the sorted elements are asked for */
} ordering;

static int order(const wk_cuda_lines *l, const ordering *o, wk_cuda_pair *pairs, wk_cuda_pair *other, void *values,
                 int64_t *places, void *stream) {
    const int64_t lines = l->lines.count;
    int64_t length = l->length;
    wk_cuda_pair *sorted = NULL;
    int error = wk__cuda_order_fill(l, o->reversed, pairs, stream);
    if (!error) error = wk__cuda_order_sort(pairs, other, lines, length, &sorted, stream);
    if (!error && o->unsorted) {
        wk_cuda_pair *free_one = sorted == pairs ? other : pairs;
        error = wk__cuda_order_by_place(free_one, sorted, lines, length, o->k, stream);
        length = o->k;
        if (!error) error = wk__cuda_order_sort(free_one, sorted, lines, length, &sorted, stream);
    }
    return error ? error : wk__cuda_order_give(l, sorted, length, o->first, o->k, o->nan, values, places, stream);
}

static wk_status run(wk_kernel_ctx *ctx, const wk_call *call, wk_optional axis, ordering o) {
    const wk_tensor *values = call->out[0], *places = call->out[1], *x = call->in[0];
    if (!values->count) return WK_OK;
    const wk_cuda_lines l = lines_of(values, places, x, axis);
    const size_t each = (size_t)(l.lines.count * l.length) * sizeof(wk_cuda_pair);
    wk_cuda_pair *pairs = wk__cuda_scratch_take(ctx, BUFFERS * each);
    if (!pairs) return wk_error_code();
    if (!o.k) o.k = values->count / l.lines.count;
    wk_status status = wk__cuda_launched(
        call, order(&l, &o, pairs, pairs + l.lines.count * l.length, values->data, places->data, ctx->stream));
    wk__cuda_scratch_give(ctx, pairs, BUFFERS * each);
    return status;
}

static wk_status sort(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_sort_opts *opts = call->attrs;
    return run(ctx, call, opts->axis, (ordering){ .reversed = opts->descending });
}
static wk_status topk(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_topk_opts *opts = call->attrs;
    return run(ctx, call, opts->axis, (ordering){ .reversed = !opts->smallest, .unsorted = opts->unsorted });
}
static wk_status kthvalue(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_kthvalue_opts *opts = call->attrs;
    return run(ctx, call, opts->axis, (ordering){ .first = opts->k - 1, .k = 1 });
}
static wk_status median(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_median_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    const int resolved = (int)wk_optional_or(opts->axis, -1), axis = resolved < 0 ? resolved + x->rank : resolved;
    const int64_t n = x->rank ? x->shape[axis] : 1;
    const bool floats = WK_FLOATS >> x->dtype & 1;
    return run(ctx, call, opts->axis, (ordering){ .first = (n - 1) / 2, .k = 1, .nan = floats });
}

/* ---- distinct elements ---- */

/* Outputs: values (size), inverse (as x), counts (size), number. */
static wk_status unique_padded(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *values = call->out[0];
    const int64_t n = x->count, most = values->count;
    wk_cuda_lines l = { .lines = wk_walk_of(x), .length = 1, .dtype = x->dtype, .flat = true, .x = x->data };
    const size_t bytes = (size_t)(n ? n : 1) * (BUFFERS * sizeof(wk_cuda_pair) + sizeof(int64_t));
    wk_walk_simplify_in_order(&l.lines);
    wk_cuda_pair *pairs = wk__cuda_scratch_take(ctx, bytes), *sorted = pairs;
    if (!pairs) return wk_error_code();
    int error = n ? wk__cuda_order_fill(&l, false, pairs, ctx->stream) : 0;
    if (!error && n) error = wk__cuda_order_sort(pairs, pairs + n, 1, n, &sorted, ctx->stream);
    if (!error)
        error = wk__cuda_order_unique(&l, sorted, n, most, (int64_t *)(void *)(pairs + BUFFERS * n), values->data,
                                      call->out[1]->data, call->out[2]->data, call->out[3]->data, ctx->stream);
    wk__cuda_scratch_give(ctx, pairs, bytes);
    return wk__cuda_launched(call, error);
}

/* ---- counts and searches ---- */

static wk_status bincount(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    int error = wk__cuda_fill(out->data, 0, sizeof(int64_t), out->count, ctx->stream);
    if (!error && x->count)
        error = wk__cuda_bincount(x->data, x->dtype, x->count, x->rank ? x->stride[0] : 0, out->data, ctx->stream);
    return wk__cuda_launched(call, error);
}

static wk_status searchsorted(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *rows = call->in[0], *values = call->in[1], *out = call->out[0];
    const wk_searchsorted_opts *opts = call->attrs;
    if (!out->count) return WK_OK;
    wk_walk walk = wk_walk_of(out);
    wk_walk_add(&walk, values);
    walk.operands = 3;
    for (int i = 0; i < out->rank; i++) walk.stride[2][i] = rows->rank > 1 && i < out->rank - 1 ? rows->stride[i] : 0;
    wk_walk_simplify(&walk);
    return wk__cuda_launched(call, wk__cuda_searchsorted(&walk, rows->dtype, rows->shape[rows->rank - 1],
                                                         rows->stride[rows->rank - 1], opts->right, out->data,
                                                         values->data, rows->data, ctx->stream));
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
const wk_cuda_entry wk__cuda_order[] = {
    { "sort", ANY, sort },
    { "topk", ANY, topk },
    { "kthvalue", ANY, kthvalue },
    { "median", ANY, median },
    { "unique_padded", ANY, unique_padded },
    { "bincount", WK_INTEGERS, bincount },
    { "searchsorted", WK_NUMBERS, searchsorted },
    { 0 },
};
