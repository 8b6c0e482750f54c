/* index.c: picking elements by index tensors, and adding them back. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static wk_status index_select_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0], *index = call->in[1];
    int64_t axis = ((const wk_index_opts *)call->attrs)->axis;
    if (axis < 0 || axis >= x->rank)
        return wk_bad_call(call, WK_INVALID, "axis %lld of a tensor of rank %d", (long long)axis, x->rank);
    if (index->rank != 1) return wk_bad_call(call, WK_SHAPE, "index has rank %d, expected 1", index->rank);
    out[0] = wk_desc_row_major((wk_dtype)x->dtype, x->rank, x->shape);
    out[0].shape[axis] = index->shape[0];
    return WK_OK;
}

static wk_status gather_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0], *index = call->in[1];
    int64_t axis = ((const wk_index_opts *)call->attrs)->axis;
    bool fits = index->rank == x->rank && axis >= 0 && axis < x->rank;
    for (int a = 0; fits && a < x->rank; a++) fits = a == axis || index->shape[a] <= x->shape[a];
    char one[160], other[160];
    if (!fits)
        return wk_bad_call(call, WK_SHAPE,
                           "index %s for x %s along axis %lld: ranks must agree, other axes be no larger",
                           wk_describe(index, one, sizeof one), wk_describe(x, other, sizeof other), (long long)axis);
    out[0] = wk_desc_row_major((wk_dtype)x->dtype, index->rank, index->shape);
    return WK_OK;
}

static wk_status backward_shape(const wk_call *call, wk_desc out[]) {
    const wk_index_grad_attrs *attrs = call->attrs;
    out[0] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, attrs->dims.rank, attrs->dims.size);
    return WK_OK;
}

static wk_op_def index_select_row, index_select_backward_row, gather_row, gather_backward_row;

static wk_status forward_grad(wk_grad *g, const wk_op_def *backward) {
    const wk_index_grad_attrs attrs = { ((const wk_index_opts *)g->attrs)->axis, wk__dims(g->in[0]), false };
    if (g->needs[0]) g->din[0] = wk_op_run2(backward, &attrs, g->dout[0], g->in[1]);
    return WK_OK;
}
static wk_status index_select_grad(wk_grad *g) {
    return forward_grad(g, &index_select_backward_row);
}
static wk_status gather_grad(wk_grad *g) {
    return forward_grad(g, &gather_backward_row);
}
static wk_status index_select_backward_grad(wk_grad *g) {
    const wk_index_opts attrs = { ((const wk_index_grad_attrs *)g->attrs)->axis };
    if (g->needs[0]) g->din[0] = wk_op_run2(&index_select_row, &attrs, g->dout[0], g->in[1]);
    return WK_OK;
}
static wk_status gather_backward_grad(wk_grad *g) {
    const wk_index_opts attrs = { ((const wk_index_grad_attrs *)g->attrs)->axis };
    if (g->needs[0]) g->din[0] = wk_op_run2(&gather_row, &attrs, g->dout[0], g->in[1]);
    return WK_OK;
}

static void index_select_samples(wk_sampler *s) {
    const wk_index_opts rows = { 0 }, columns = { 1 };
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(5, 3) }, { .dims = WK_DIMS(7), .kind = WK_SAMPLE_INDEX, .high = 5 });
    WK_CASE(s, "columns", &columns, { .dims = WK_DIMS(2, 6, 3), .strided = true },
            { .dims = WK_DIMS(4), .kind = WK_SAMPLE_INDEX, .high = 6 });
    WK_CASE(s, "none", &rows, { .dims = WK_DIMS(5, 3) }, { .dims = WK_DIMS(0), .kind = WK_SAMPLE_INDEX, .high = 5 });
    WK_HUGE_CASE(s, "huge rows", &rows, { .dims = WK_DIMS(2048, 256) },
                 { .dims = WK_DIMS(2048), .kind = WK_SAMPLE_INDEX, .high = 2048 });
    WK_HUGE_CASE(s, "huge columns", &columns, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512), .kind = WK_SAMPLE_INDEX, .high = 1024 });
}
static void index_select_backward_samples(wk_sampler *s) {
    const wk_index_grad_attrs rows = { .dims = WK_DIMS(5, 3) }, columns = { .axis = 1, .dims = WK_DIMS(2, 6, 3) };
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(7, 3) }, { .dims = WK_DIMS(7), .kind = WK_SAMPLE_INDEX, .high = 5 });
    WK_CASE(s, "columns", &columns, { .dims = WK_DIMS(2, 4, 3), .strided = true },
            { .dims = WK_DIMS(4), .kind = WK_SAMPLE_INDEX, .high = 6 });
}
static void gather_samples(wk_sampler *s) {
    const wk_index_opts rows = { 0 }, columns = { 1 };
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(5, 3) }, { .dims = WK_DIMS(4, 3), .kind = WK_SAMPLE_INDEX, .high = 5 });
    WK_CASE(s, "columns", &columns, { .dims = WK_DIMS(5, 6), .strided = true },
            { .dims = WK_DIMS(4, 9), .kind = WK_SAMPLE_INDEX, .high = 6 });
    WK_HUGE_CASE(s, "huge", &columns, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .kind = WK_SAMPLE_INDEX, .high = 1024 });
    WK_HUGE_CASE(s, "huge rows", &rows, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .kind = WK_SAMPLE_INDEX, .high = 512 });
}
static void gather_backward_samples(wk_sampler *s) {
    const wk_index_grad_attrs columns = { .axis = 1, .dims = WK_DIMS(5, 6) };
    WK_CASE(s, "columns", &columns, { .dims = WK_DIMS(4, 9) },
            { .dims = WK_DIMS(4, 9), .kind = WK_SAMPLE_INDEX, .high = 6 });
}

static const wk_attr_def index_attrs[] = { { "axis", WK_ATTR_INT, offsetof(wk_index_opts, axis), 0, NULL, 0,
                                             "indexed" } };
#define FORWARD(id, text, shape_rule, rule)                                         \
    static wk_op_def id##_row = { .name = #id,                                      \
                                  .doc = text,                                      \
                                  .n_in = 2,                                        \
                                  .n_out = 1,                                       \
                                  .saves_in = 2,                                    \
                                  .attrs = index_attrs,                             \
                                  .n_attrs = 1,                                     \
                                  .attrs_size = sizeof(wk_index_opts),              \
                                  .dtype = { .allowed = { 0, WK_SET_OF(WK_I64) } }, \
                                  .shape = shape_rule,                              \
                                  .grad = rule,                                     \
                                  .cost = wk__cost_move,                            \
                                  .samples = id##_samples }
#define BACKWARD(id, text, rule)                                                             \
    static wk_op_def id##_row = { .name = #id,                                               \
                                  .doc = text,                                               \
                                  .n_in = 2,                                                 \
                                  .n_out = 1,                                                \
                                  .saves_in = 2,                                             \
                                  .zero_sized_runs = true,                                   \
                                  .attrs_size = sizeof(wk_index_grad_attrs),                 \
                                  .dtype = { .allowed = { WK_NUMBERS, WK_SET_OF(WK_I64) } }, \
                                  .shape = backward_shape,                                   \
                                  .internal = true,                                          \
                                  .grad = rule,                                              \
                                  .cost = wk__cost_move,                                     \
                                  .samples = id##_samples }
FORWARD(index_select, "rows of an axis by index", index_select_shape, index_select_grad);
BACKWARD(index_select_backward, "rows added into zeros by index", index_select_backward_grad);
FORWARD(gather, "elements along an axis by index", gather_shape, gather_grad);
BACKWARD(gather_backward, "elements added into zeros by index", gather_backward_grad);

static wk_tensor *by_index(const wk_op_def *op, wk_tensor *x, wk_tensor *index, int axis) {
    if (!x) return wk_op_run2(op, &(wk_index_opts){ 0 }, x, index);
    int resolved = wk__axis(op->name, x, axis);
    if (resolved < 0) return NULL;
    const wk_index_opts opts = { resolved };
    return wk_op_run2(op, &opts, x, index);
}
wk_tensor *wk_index_select(wk_tensor *x, wk_tensor *index, int axis) {
    return by_index(&index_select_row, x, index, axis);
}
wk_tensor *wk_gather(wk_tensor *x, wk_tensor *index, int axis) {
    return by_index(&gather_row, x, index, axis);
}

wk_tensor *wk__rows_added(wk_tensor *rows, wk_tensor *index, int axis, wk_dims dims) {
    const wk_index_grad_attrs attrs = { .axis = axis, .dims = dims };
    return wk_op_run2(&index_select_backward_row, &attrs, rows, index);
}

wk_status wk__rows_add_to(wk_tensor *sum, wk_tensor *rows, wk_tensor *index) {
    const wk_index_grad_attrs attrs = { .dims = wk__dims(sum), .add = true };
    wk_tensor *out;
    return wk_op_run_into(&index_select_backward_row, (wk_tensor *[]){ rows, index }, 2, &out, &attrs, &sum);
}

wk_tensor *wk__add_at(wk_tensor *dy, wk_tensor *index, int axis, wk_dims dims) {
    const wk_index_grad_attrs attrs = { .axis = axis, .dims = dims };
    return wk_op_run2(&gather_backward_row, &attrs, dy, index);
}

wk_op_def *const wk__rows_index[] = { &index_select_row, &index_select_backward_row, &gather_row, &gather_backward_row,
                                      NULL };
