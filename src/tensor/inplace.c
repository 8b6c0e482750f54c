/* inplace.c: users' changes in place.
 *
 * A row writes straight into the tensor where its elements lie in row-major order and the operand is either the very
 * same elements or none of them; else the result is made beside it and copied.
 */
#define WK_NO_CALL_SITES
#include "wick/inplace.h"
#include "tensor/registry.h"

#include <math.h>
#include <string.h>

#define REFUSE(who, code, ...) ((void)wk__bad_argument((who), (code), __VA_ARGS__), false)

/* Nothing is noted while `on`; gives what was. */
static bool no_grad(bool on) {
    wk_context *context = wk__context();
    bool was = (context->mode & WK__MODE_NO_GRAD) != 0;
    context->mode = (context->mode & ~(uint32_t)WK__MODE_NO_GRAD) | (on ? WK__MODE_NO_GRAD : 0);
    return was;
}

static bool check_target(const char *who, const wk_tensor *x) {
    const wk_context *context = wk__context();
    char why[300];
    if (!context || context->pending->code != WK_OK) return false;
    if (!x) return REFUSE(who, WK_INVALID, "the tensor is NULL");
    if (x->life != WK__ALIVE) return REFUSE(who, WK_DEAD_TENSOR, "the tensor is used after its scope ended");
    if (x->node)
        return REFUSE(who, WK_INVALID, "the tensor is part of a graph; use the operation that gives a new one");
    if (wk__wants_grad(x) && !(context->mode & WK__MODE_NO_GRAD))
        return REFUSE(who, WK_INVALID,
                      "the tensor is a leaf that wants a gradient; change it between wk_no_grad_begin and "
                      "wk_no_grad_end");
    if (wk__not_writable(x, why, sizeof why)) return REFUSE(who, WK_INVALID, "%s", why);
    return true;
}

static bool check_operand(const char *who, const wk_tensor *y) {
    const wk_context *context = wk__context();
    if (!y) return REFUSE(who, WK_INVALID, "the operand is NULL");
    if (y->life != WK__ALIVE) return REFUSE(who, WK_DEAD_TENSOR, "the operand is used after its scope ended");
    if (wk__wants_grad(y) && !(context->mode & WK__MODE_NO_GRAD))
        return REFUSE(who, WK_INVALID,
                      "the operand wants a gradient, which a change in place would lose; use the operation that gives "
                      "a new tensor, or wk_detach");
    return true;
}

/* The bytes between a tensor's first and last element. */
static void extent(const wk_tensor *t, uintptr_t *first, uintptr_t *end) {
    int64_t last = 0;
    for (int axis = 0; axis < t->rank; axis++) last += (t->shape[axis] - 1) * t->stride[axis];
    *first = (uintptr_t)t->data;
    *end = t->count ? *first + ((uintptr_t)last + 1) * wk_dtype_size((wk_dtype)t->dtype) : *first;
}

static bool is_same_memory(const wk_tensor *a, const wk_tensor *b) {
    if (a->data != b->data || a->rank != b->rank || a->dtype != b->dtype) return false;
    for (int axis = 0; axis < a->rank; axis++)
        if (a->shape[axis] != b->shape[axis] || a->stride[axis] != b->stride[axis]) return false;
    return true;
}

static bool overlaps(const wk_tensor *a, const wk_tensor *b) {
    uintptr_t a_first, a_end, b_first, b_end;
    extent(a, &a_first, &a_end);
    extent(b, &b_first, &b_end);
    return a_first < b_end && b_first < a_end;
}

/* x = result, which has x's shape and whatever dtype converts to x's. */
static wk_tensor *write_back(const char *who, wk_tensor *x, wk_tensor *result) {
    char one[160], other[160];
    const wk_context *context = wk__context();
    if (!result) return NULL;
    if (!wk__same_shape(x, result))
        return (void)REFUSE(who, WK_SHAPE, "the result is %s, the tensor %s", wk_describe(result, one, sizeof one),
                            wk_describe(x, other, sizeof other)),
               NULL;
    bool loses = (wk_dtype_is_float((wk_dtype)result->dtype) && !wk_dtype_is_float((wk_dtype)x->dtype))
                 || (x->dtype == WK_BOOL && result->dtype != WK_BOOL);
    if (loses)
        return (void)REFUSE(who, WK_DTYPE, "the result is %s, which %s does not hold; convert with wk_cast first",
                            wk_dtype_name((wk_dtype)result->dtype), wk_describe(x, other, sizeof other)),
               NULL;
    if (result->data == x->data && is_same_memory(result, x)) {
        x->storage->changed_at = context->call_site; /* the row wrote it and counted the change */
        return x;
    }
    if (result->dtype != x->dtype) result = (wk_cast)(result, (wk_dtype)x->dtype);
    if (result && overlaps(x, result)) { /* a view of x in another order */
        wk_tensor *copy = wk__empty_on(x->device, (wk_dtype)x->dtype, wk__dims(x));
        result = copy && wk_copy_into(copy, result) == WK_OK ? copy : NULL;
    }
    if (!result || wk_copy_into(x, result) != WK_OK) return NULL;
    x->storage->changed_at = context->call_site;
    return x;
}

/* Run a row of one or two operands, the first of them x, into x where that can be done. */
static wk_tensor *run(const char *who, const char *row, wk_tensor *x, wk_tensor *y, const void *attrs) {
    wk_tensor *in[] = { x, y }, *out[1];
    bool direct = (x->flags & WK_TENSOR_CONTIGUOUS) && (!y || y->dtype == x->dtype)
                  && (!y || is_same_memory(x, y) || !overlaps(x, y));
    if (y) {
        /* A result of another shape must not be begun in x's memory: the row looks at shapes first. */
        direct = direct && y->rank <= x->rank;
        for (int axis = 1; direct && axis <= y->rank; axis++)
            direct = y->shape[y->rank - axis] == 1 || y->shape[y->rank - axis] == x->shape[x->rank - axis];
    }
    bool was = no_grad(true);
    wk_status status = wk_op_run_into(wk_op_find(row), in, y ? 2 : 1, out, attrs, direct ? &x : NULL);
    (void)no_grad(was);
    return status == WK_OK ? write_back(who, x, out[0]) : NULL;
}

static wk_tensor *binary(const char *who, const char *row, wk_tensor *x, wk_tensor *y) {
    return check_target(who, x) && check_operand(who, y) ? run(who, row, x, y, NULL) : NULL;
}

wk_tensor *wk_add_(wk_tensor *x, wk_tensor *y) {
    return binary("add_", "add", x, y);
}
wk_tensor *wk_sub_(wk_tensor *x, wk_tensor *y) {
    return binary("sub_", "sub", x, y);
}
wk_tensor *wk_mul_(wk_tensor *x, wk_tensor *y) {
    return binary("mul_", "mul", x, y);
}
wk_tensor *wk_div_(wk_tensor *x, wk_tensor *y) {
    return binary("div_", "div", x, y);
}
wk_tensor *wk_maximum_(wk_tensor *x, wk_tensor *y) {
    return binary("maximum_", "maximum", x, y);
}
wk_tensor *wk_minimum_(wk_tensor *x, wk_tensor *y) {
    return binary("minimum_", "minimum", x, y);
}

wk_tensor *wk_affine_(wk_tensor *x, wk_affine_opts opts) {
    return check_target("affine_", x) ? run("affine_", "affine", x, NULL, &opts) : NULL;
}

/* ---- numbers ---- */

/* Whether an element can be this number, or the nearest one to it. */
static bool holds(wk_dtype dtype, double value) {
    static const struct {
        double low, high;
    } range[WK_DTYPE_COUNT] = { [WK_I64] = { -0x1p63, 0x1p63 - 1024 },
                                [WK_I32] = { -0x1p31, 0x1p31 - 1 },
                                [WK_I16] = { -32768, 32767 },
                                [WK_I8] = { -128, 127 },
                                [WK_U8] = { 0, 255 },
                                [WK_BOOL] = { 0, 1 } };
    if (wk_dtype_is_float(dtype)) return true;
    return value >= range[dtype].low && value <= range[dtype].high && value == trunc(value);
}

/* Elements that lie with gaps on a device are written by a copy. */
static wk_status fill_anywhere(wk_tensor *x, double value) {
    if (x->flags & WK_TENSOR_CONTIGUOUS) return wk__fill_dense(x, value);
    wk_scope scope = wk_scope_begin();
    wk_tensor *full = wk__empty_on(x->device, (wk_dtype)x->dtype, wk__dims(x));
    wk_status status = full ? wk__fill_dense(full, value) : wk_error_code();
    if (status == WK_OK) status = wk_copy_into(x, full);
    wk_scope_end(scope);
    return status;
}

static wk_status fill(wk_tensor *x, double value) {
    size_t size = wk_dtype_size((wk_dtype)x->dtype);
    int64_t at[WK_MAX_RANK] = { 0 }, offset = 0;
    if (x->count == 0) return WK_OK;
    if (x->flags & WK_TENSOR_CONTIGUOUS || x->device) return fill_anywhere(x, value);
    wk__element_set(x->data, (wk_dtype)x->dtype, 0, value);
    const char *first = x->data;
    for (int64_t i = 0; i < x->count; i++) {
        if (i) memcpy((char *)x->data + offset * (int64_t)size, first, size);
        for (int axis = x->rank - 1; axis >= 0; axis--) {
            offset += x->stride[axis];
            if (++at[axis] < x->shape[axis]) break;
            offset -= at[axis] * x->stride[axis];
            at[axis] = 0;
        }
    }
    return WK_OK;
}

wk_tensor *wk_fill_(wk_tensor *x, double value) {
    if (!check_target("fill_", x)) return NULL;
    if (!holds((wk_dtype)x->dtype, value))
        return (void)REFUSE("fill_", WK_INVALID, "%s cannot hold %g", wk_dtype_name((wk_dtype)x->dtype), value), NULL;
    if (fill(x, value) != WK_OK) return NULL;
    wk__storage_changed(x->storage, wk__context()->call_site);
    return x;
}

wk_tensor *wk_zero_(wk_tensor *x) {
    if (!check_target("zero_", x)) return NULL;
    if (fill(x, 0) != WK_OK) return NULL;
    wk__storage_changed(x->storage, wk__context()->call_site);
    return x;
}

wk_tensor *wk_clamp_(wk_tensor *x, double low, double high) {
    if (!check_target("clamp_", x)) return NULL;
    wk_dtype dtype = (wk_dtype)x->dtype;
    bool has_low = low != -INFINITY, has_high = high != INFINITY;
    if (isnan(low) || isnan(high) || dtype == WK_BOOL || (has_low && !holds(dtype, low))
        || (has_high && !holds(dtype, high)))
        return (void)REFUSE("clamp_", WK_INVALID, "limits %g and %g for a tensor of %s", low, high,
                            wk_dtype_name(dtype)),
               NULL;
    wk_tensor *result = x;
    bool was = no_grad(true);
    if (has_low) result = wk_maximum(result, wk_full(dtype, WK_SCALAR, low));
    if (has_high) result = wk_minimum(result, wk_full(dtype, WK_SCALAR, high));
    (void)no_grad(was);
    return write_back("clamp_", x, result);
}

wk_tensor *wk_copy_(wk_tensor *x, wk_tensor *y) {
    if (!check_target("copy_", x) || !check_operand("copy_", y)) return NULL;
    char one[160], other[160];
    bool fits = y->rank <= x->rank;
    for (int axis = 1; fits && axis <= y->rank; axis++)
        fits = y->shape[y->rank - axis] == 1 || y->shape[y->rank - axis] == x->shape[x->rank - axis];
    if (!fits)
        return (void)REFUSE("copy_", WK_SHAPE, "%s does not broadcast to %s", wk_describe(y, one, sizeof one),
                            wk_describe(x, other, sizeof other)),
               NULL;
    bool was = no_grad(true);
    wk_tensor *source = wk_cast(y, (wk_dtype)x->dtype);
    if (source && !wk__same_shape(source, x)) source = wk_expand(source, wk__dims(x));
    (void)no_grad(was);
    return write_back("copy_", x, source);
}
