/* scatter.c: values put at positions, positions of true elements, rows of a table.
 *
 * Equal positions meet in one element, so the work is split over the other axes only, and each line of the index is
 * gone through in order: the same result on every run and for every team.  An index is checked before anything is
 * written.
 */
#include "cpu/simd/layout/copy.h"
#include "cpu/simd/layout/positions.h"

#include <string.h>

/* ---- what happens where they meet ---- */

/* n elements: to[index[i · index_step] · jump + i · to_step] joined with from[i · from_step].  Along the axis to_step
 * is 0; along a row that shares one position index_step is. */
typedef struct line_steps {
    int64_t to, from, index, jump;
} line_steps;
typedef void (*line_join)(void *to, const void *from, const int64_t *index, const line_steps *step, int64_t n);
#define JOIN(name, type, expression)                                                                          \
    static void name(void *to_, const void *from_, const int64_t *index, const line_steps *step, int64_t n) { \
        if (step->index == 0 && step->to == 1 && step->from == 1) {                                           \
            type *restrict to = (type *)to_ + *index * step->jump;                                            \
            const type *restrict from = from_;                                                                \
            for (int64_t i = 0; i < n; i++) {                                                                 \
                type a = to[i], b = from[i];                                                                  \
                (void)a;                                                                                      \
                to[i] = (type)(expression);                                                                   \
            }                                                                                                 \
            return;                                                                                           \
        }                                                                                                     \
        type *to = to_;                                                                                       \
        const type *from = from_;                                                                             \
        for (int64_t i = 0; i < n; i++, to += step->to, from += step->from) {                                 \
            type *at = to + index[i * step->index] * step->jump, a = *at, b = *from;                          \
            (void)a;                                                                                          \
            *at = (type)(expression);                                                                         \
        }                                                                                                     \
    }
#define LARGER(a, b)  ((a) > (b) || (a) != (a) ? (a) : (b))
#define SMALLER(a, b) ((a) < (b) || (a) != (a) ? (a) : (b))
#define HALVES(name, of)                                                             \
    JOIN(name##_bf16, uint16_t, wk_store_bf16(of(wk_load_bf16(a), wk_load_bf16(b)))) \
    JOIN(name##_f16, uint16_t, wk_store_f16(of(wk_load_f16(a), wk_load_f16(b))))
#define SUM(a, b)     ((a) + (b))
#define PRODUCT(a, b) ((a) * (b))

JOIN(put_b8, uint64_t, b)
JOIN(put_b4, uint32_t, b)
JOIN(put_b2, uint16_t, b)
JOIN(put_b1, uint8_t, b)
JOIN(add_f32, float, a + b)
JOIN(add_f64, double, a + b)
HALVES(add, SUM)
JOIN(add_b8, uint64_t, a + b)
JOIN(add_b4, uint32_t, a + b)
JOIN(add_b2, uint16_t, 1u * a + b)
JOIN(add_b1, uint8_t, 1u * a + b)
JOIN(mul_f32, float, a *b)
JOIN(mul_f64, double, a *b)
HALVES(mul, PRODUCT)
JOIN(mul_b8, uint64_t, a *b)
JOIN(mul_b4, uint32_t, a *b)
JOIN(mul_b2, uint16_t, 1u * a * b)
JOIN(mul_b1, uint8_t, 1u * a * b)
#define EXTREMUM(name, of)              \
    JOIN(name##_f32, float, of(a, b))   \
    JOIN(name##_f64, double, of(a, b))  \
    HALVES(name, of)                    \
    JOIN(name##_i64, int64_t, of(a, b)) \
    JOIN(name##_i32, int32_t, of(a, b)) \
    JOIN(name##_i16, int16_t, of(a, b)) \
    JOIN(name##_i8, int8_t, of(a, b))   \
    JOIN(name##_u8, uint8_t, of(a, b))
EXTREMUM(most, LARGER)
EXTREMUM(least, SMALLER)

static const line_join assignments[9] = { [1] = put_b1, [2] = put_b2, [4] = put_b4, [8] = put_b8 };
#define BY_BITS(name)                                                                                               \
    {                                                                                                               \
        [WK_F32] = name##_f32, [WK_F64] = name##_f64, [WK_BF16] = name##_bf16, [WK_F16] = name##_f16,               \
        [WK_I64] = name##_b8, [WK_I32] = name##_b4, [WK_I16] = name##_b2, [WK_I8] = name##_b1, [WK_U8] = name##_b1, \
    }
#define BY_TYPE(name)                                                                                                  \
    {                                                                                                                  \
        [WK_F32] = name##_f32, [WK_F64] = name##_f64, [WK_BF16] = name##_bf16, [WK_F16] = name##_f16,                  \
        [WK_I64] = name##_i64, [WK_I32] = name##_i32, [WK_I16] = name##_i16, [WK_I8] = name##_i8, [WK_U8] = name##_u8, \
    }
static const line_join sums[WK_DTYPE_COUNT] = BY_BITS(add), products[WK_DTYPE_COUNT] = BY_BITS(mul),
                       maxima[WK_DTYPE_COUNT] = BY_TYPE(most), minima[WK_DTYPE_COUNT] = BY_TYPE(least);

/* ---- the walk ---- */

typedef struct scatter_plan {
    char *out;
    const char *source;
    const int64_t *index;
    int64_t size, length; /* bytes an element; of the index along the axis */
    line_steps axis, row; /* along the axis, and along the walk's rows */
    line_join join;
} scatter_plan;

/* Operands: out, source, index, without the axis.  Whichever of the two runs through memory in smaller steps is the
 * inner loop; either way each element is joined in the order of the index. */
static void scatter_visit(const void *context, const int64_t offset[], int64_t n) {
    const scatter_plan *p = context;
    char *out = p->out + offset[0] * p->size;
    const char *source = p->source + offset[1] * p->size;
    const int64_t *index = p->index + offset[2];
    if (n > 1 && p->row.from + p->row.index <= p->axis.from + p->axis.index) {
        for (int64_t k = 0; k < p->length; k++)
            p->join(out, source + k * p->axis.from * p->size, index + k * p->axis.index, &p->row, n);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        p->join(out + i * p->row.to * p->size, source + i * p->row.from * p->size, index + i * p->row.index, &p->axis,
                p->length);
}

/* Elements of source joined with those of out at the index; select: the index is a vector, for all lines. */
static void join_at(const wk_kernel_ctx *ctx, const wk_tensor *out, const wk_tensor *source, const wk_tensor *index,
                    int64_t axis, bool select, line_join join) {
    const int64_t *shape = select ? source->shape : index->shape, size = (int64_t)wk_size_of(out->dtype);
    const int64_t count = select ? source->count : index->count;
    if (!count) return;
    wk_walk walk = { .operands = 3 };
    for (int d = 0; d < out->rank; d++) {
        if (d == axis) continue;
        walk.stride[0][walk.rank] = out->stride[d];
        walk.stride[1][walk.rank] = source->stride[d];
        walk.stride[2][walk.rank] = wk_index_stride(index, select, axis, d);
        walk.shape[walk.rank++] = shape[d];
    }
    wk_walk_simplify(&walk);
    int last = walk.rank - 1;
    scatter_plan plan = {
        .out = out->data, .source = source->data, .index = index->data, .size = size, .length = 1, .join = join
    };
    if (out->rank) {
        plan.length = shape[axis];
        plan.axis =
            (line_steps){ 0, source->stride[axis], wk_index_stride(index, select, axis, (int)axis), out->stride[axis] };
    }
    plan.row = (line_steps){ walk.stride[0][last], walk.stride[1][last], walk.stride[2][last], plan.axis.jump };
    wk_walk_split(&walk, wk_moving_team(ctx, 3 * count * size), 16, scatter_visit, &plan);
}

static wk_status scatter_with(wk_kernel_ctx *ctx, const wk_call *call, int64_t axis, line_join join) {
    const wk_tensor *x = call->in[0], *index = call->in[1], *out = call->out[0];
    int64_t size = (int64_t)wk_size_of(x->dtype);
    WK_TRY(wk_check_index(call->op->name, index, x->rank ? x->shape[axis] : 1, axis, "x"));
    wk_walk all = wk_walk_of(out);
    wk_walk_add(&all, x);
    if (out->count)
        wk__copy_strided(&all, out->data, x->data, (size_t)size, wk_moving_team(ctx, 2 * out->count * size));
    join_at(ctx, out, call->in[2], index, axis, false, join);
    return WK_OK;
}

static wk_status scatter(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_index_opts *opts = call->attrs;
    return scatter_with(ctx, call, opts->axis, assignments[wk_size_of(call->in[0]->dtype)]);
}
static wk_status scatter_add(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_index_opts *opts = call->attrs;
    return scatter_with(ctx, call, opts->axis, sums[call->in[0]->dtype]);
}
static wk_status scatter_fold(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_scatter_fold_attrs *attrs = call->attrs;
    const line_join *joins = attrs->reduce == WK_SCATTER_PROD   ? products
                             : attrs->reduce == WK_SCATTER_AMAX ? maxima
                                                                : minima;
    return scatter_with(ctx, call, attrs->axis, joins[call->in[0]->dtype]);
}

/* The gradients of gather and index_select: dy added into zeros, or to what is there. */
static wk_status add_back(wk_kernel_ctx *ctx, const wk_call *call, bool select) {
    const wk_tensor *dy = call->in[0], *index = call->in[1], *dx = call->out[0];
    const wk_index_grad_attrs *attrs = call->attrs;
    const int64_t axis = attrs->axis;
    WK_TRY(wk_check_index(call->op->name, index, dx->shape[axis], axis, "x"));
    if (!attrs->add) wk__fill_dense(ctx, dx, 0);
    join_at(ctx, dx, dy, index, axis, select, sums[dy->dtype]);
    return WK_OK;
}
static wk_status index_select_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return add_back(ctx, call, true);
}
static wk_status gather_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return add_back(ctx, call, false);
}

/* ---- positions of true elements ---- */

static wk_status nonzero_positions(wk_kernel_ctx *ctx, const wk_call *call) {
    (void)ctx;
    const wk_positions_attrs *attrs = call->attrs;
    const wk_tensor *mask = call->in[0];
    int64_t *out = call->out[0]->data, found = 0, rank = mask->rank;
    const uint8_t *data = mask->data, *at = data, *end = data + mask->count;
    int64_t place[WK_MAX_RANK] = { 0 }, last = 0, width = rank ? mask->shape[rank - 1] : 1, inner = 0;
    for (; found < attrs->size && at < end; at++, found++) {
        if (!*at && !(at = memchr(at, 1, (size_t)(end - at)))) break;
        inner += at - data - last;
        last = at - data;
        if (inner >= width && rank) { /* carried on only at the end of a line */
            place[rank - 1] = inner;
            for (int64_t d = rank - 1; d > 0 && place[d] >= mask->shape[d]; d--) {
                place[d - 1] += place[d] / mask->shape[d];
                place[d] %= mask->shape[d];
            }
            inner = place[rank - 1];
        }
        for (int64_t d = 0; d < rank - 1; d++) *out++ = place[d];
        if (rank) *out++ = inner;
    }
    out = call->out[0]->data;
    for (int64_t i = found * rank; i < attrs->size * rank; i++) out[i] = attrs->fill;
    return WK_OK;
}

/* ---- embedding ---- */

typedef struct table_plan {
    char *out;
    const char *table;
    const wk_tensor *index;
    int64_t size, width, row, column; /* bytes an element; of a row; strides of the table */
} table_plan;

static void copy_rows(const table_plan *p, int64_t begin, int64_t end) {
    const int64_t *index = p->index->data;
    for (int64_t i = begin; i < end; i++) {
        char *to = p->out + i * p->width * p->size;
        const char *from = p->table + index[wk_element_at(p->index, i)] * p->row * p->size;
        if (p->column == 1)
            memcpy(to, from, (size_t)(p->width * p->size));
        else
            for (int64_t k = 0; k < p->width; k++)
                memcpy(to + k * p->size, from + k * p->column * p->size, (size_t)p->size);
    }
}

static wk_status embedding(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *weight = call->in[0], *index = call->in[1];
    table_plan plan = {
        call->out[0]->data, weight->data,     index, (int64_t)wk_size_of(weight->dtype), weight->shape[1],
        weight->stride[0],  weight->stride[1]
    };
    WK_TRY(wk_check_index("embedding", index, weight->shape[0], 0, "weight"));
    if (!call->out[0]->count) return WK_OK;
    int team = wk_moving_team(ctx, 2 * call->out[0]->count * plan.size);
    if (team == 1) {
        copy_rows(&plan, 0, index->count);
        return WK_OK;
    }
#pragma omp parallel num_threads(team)
    {
        int64_t begin, end;
        wk_share(index->count, 1, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
        copy_rows(&plan, begin, end);
    }
    return WK_OK;
}

WK_CPU_TABLE(scatter) = {
    { "index_select_backward", WK_NUMBERS, index_select_backward },
    { "gather_backward", WK_NUMBERS, gather_backward },
    { "scatter", WK_NUMBERS, scatter },
    { "scatter_add", WK_NUMBERS, scatter_add },
    { "scatter_fold", WK_NUMBERS, scatter_fold },
    { "nonzero_positions", WK_SET_OF(WK_BOOL), nonzero_positions },
    { "embedding", WK_FLOATS, embedding },
    { 0 },
};
