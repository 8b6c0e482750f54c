/* reference.c: pointwise operations, reductions, layout and indexing, as their definitions say. */
#include "tensor/reference.h"

#include "tensor/op_attrs.h"

#include <math.h>
#include <string.h>

/* ---- indices ---- */

void ref_index(const ref_tensor *t, int64_t flat, int64_t index[WK_MAX_RANK]) {
    for (int axis = t->rank - 1; axis >= 0; axis--) {
        index[axis] = flat % t->shape[axis];
        flat /= t->shape[axis];
    }
}

int64_t ref_flat(const ref_tensor *t, const int64_t index[WK_MAX_RANK]) {
    int64_t flat = 0;
    for (int axis = 0; axis < t->rank; axis++) flat = flat * t->shape[axis] + index[axis];
    return flat;
}

int64_t ref_broadcast(const ref_tensor *operand, const ref_tensor *out, int64_t o) {
    int64_t index[WK_MAX_RANK], own[WK_MAX_RANK];
    ref_index(out, o, index);
    for (int axis = 0; axis < operand->rank; axis++)
        own[axis] = operand->shape[axis] == 1 ? 0 : index[out->rank - operand->rank + axis];
    return ref_flat(operand, own);
}

/* ---- pointwise ---- */

#define UNARY(name, expression)                  \
    static void name##_ref(ref_call *c) {        \
        ref_tensor *y = &c->out[0];              \
        for (int64_t i = 0; i < y->count; i++) { \
            double x = c->in[0]->v[i];           \
            y->v[i] = (expression);              \
        }                                        \
        y->known = true;                         \
    }
#define BINARY(name, expression)                                                                                   \
    static void name##_ref(ref_call *c) {                                                                          \
        ref_tensor *y = &c->out[0];                                                                                \
        for (int64_t i = 0; i < y->count; i++) {                                                                   \
            double a = c->in[0]->v[ref_broadcast(c->in[0], y, i)], b = c->in[1]->v[ref_broadcast(c->in[1], y, i)]; \
            y->v[i] = (expression);                                                                                \
        }                                                                                                          \
        y->known = true;                                                                                           \
    }

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(div, a / b)
BINARY(maximum, isnan(a) || isnan(b) ? NAN : a > b ? a : b)
BINARY(minimum, isnan(a) || isnan(b) ? NAN : a < b ? a : b)
BINARY(eq, a == b)
BINARY(ne, a != b)
BINARY(lt, a < b)
BINARY(le, a <= b)
BINARY(gt, a > b)
BINARY(ge, a >= b)
BINARY(relu_backward, b > 0 ? a : 0)
UNARY(neg, -x)
UNARY(abs, fabs(x))
UNARY(sign, isnan(x) ? NAN : (double)((x > 0) - (x < 0)))
UNARY(exp, exp(x))
UNARY(log, log(x))
UNARY(sqrt, sqrt(x))
UNARY(sin, sin(x))
UNARY(cos, cos(x))
UNARY(erf, erf(x))
UNARY(tanh, tanh(x))
UNARY(sigmoid, 1 / (1 + exp(-x)))
UNARY(relu, isnan(x) ? NAN : x > 0 ? x : 0)
UNARY(copy, x)

static void affine_ref(ref_call *c) {
    const wk_affine_opts *opts = c->attrs;
    ref_tensor *y = &c->out[0];
    for (int64_t i = 0; i < y->count; i++) {
        double x = c->in[0]->v[i];
        y->v[i] = opts->scale * x + opts->shift;
        y->size[i] = fabs(opts->scale * x) + fabs(opts->shift);
    }
    y->known = true;
}

/* To integers: towards zero, saturating; the driver narrows floats by its tolerance. */
static void cast_ref(ref_call *c) {
    static const double least[WK_DTYPE_COUNT] = {
        [WK_I64] = -0x1p63, [WK_I32] = -0x1p31, [WK_I16] = -32768, [WK_I8] = -128
    };
    static const double most[WK_DTYPE_COUNT] = {
        [WK_I64] = 0x1p63, [WK_I32] = 0x1p31 - 1, [WK_I16] = 32767, [WK_I8] = 127, [WK_U8] = 255
    };
    wk_dtype dtype = ((const wk_cast_opts *)c->attrs)->dtype;
    ref_tensor *y = &c->out[0];
    for (int64_t i = 0; i < y->count; i++) {
        double x = c->in[0]->v[i];
        if (wk_dtype_is_float(dtype))
            y->v[i] = x;
        else if (dtype == WK_BOOL)
            y->v[i] = x != 0;
        else
            y->v[i] = isnan(x) ? 0 : fmin(fmax(trunc(x), least[dtype]), most[dtype]);
    }
    y->known = true;
}

static void add_into_ref(ref_call *c) {
    for (int64_t i = 0; i < c->in[0]->count; i++) c->in[0]->v[i] += c->in[1]->v[i];
}

static void where_ref(ref_call *c) {
    ref_tensor *y = &c->out[0];
    for (int64_t i = 0; i < y->count; i++) {
        const ref_tensor *chosen = c->in[c->in[0]->v[ref_broadcast(c->in[0], y, i)] != 0 ? 1 : 2];
        y->v[i] = chosen->v[ref_broadcast(chosen, y, i)];
    }
    y->known = true;
}

/* ---- reductions ---- */

typedef enum reduction { SUM, MEAN, AMAX, AMIN } reduction;

/* Fold every element of x into the output element it belongs to. */
static void reduce(ref_call *c, reduction what) {
    const wk_reduce_opts *opts = c->attrs;
    const ref_tensor *x = c->in[0];
    ref_tensor *y = &c->out[0];
    bool gone[WK_MAX_RANK] = { false };
    for (int i = 0; i < opts->axes.rank; i++) gone[(opts->axes.size[i] + x->rank) % x->rank] = true;
    for (int axis = 0; opts->axes.rank == 0 && axis < x->rank; axis++) gone[axis] = true;
    c->terms = y->count ? x->count / y->count : 1;
    for (int64_t i = 0; i < y->count; i++) {
        y->v[i] = what == AMAX ? -INFINITY : what == AMIN ? INFINITY : 0;
        y->size[i] = 0;
    }
    for (int64_t i = 0; i < x->count; i++) {
        int64_t index[WK_MAX_RANK], o = 0;
        ref_index(x, i, index);
        for (int axis = 0; axis < x->rank; axis++)
            if (!gone[axis]) o = o * x->shape[axis] + index[axis];
        double value = x->v[i], *into = &y->v[o];
        y->size[o] += fabs(value);
        if (what == SUM || what == MEAN)
            *into += value;
        else if (isnan(value))
            *into = NAN;
        else if (what == AMAX ? value > *into : value < *into)
            *into = value;
    }
    for (int64_t i = 0; what == MEAN && i < y->count; i++) {
        y->v[i] /= (double)c->terms;
        y->size[i] /= (double)c->terms;
    }
    for (int64_t i = 0; (what == AMAX || what == AMIN) && i < y->count; i++) y->size[i] = 0; /* no arithmetic */
    y->known = true;
}
static void sum_ref(ref_call *c) {
    reduce(c, SUM);
}
static void mean_ref(ref_call *c) {
    reduce(c, MEAN);
}
static void amax_ref(ref_call *c) {
    reduce(c, AMAX);
}
static void amin_ref(ref_call *c) {
    reduce(c, AMIN);
}

/* ---- along one axis ---- */

typedef struct line {
    int64_t start, step, length;
} line;

static int axis_of(const ref_call *c, const ref_tensor *x) {
    int axis = (int)wk_optional_or(((const wk_axis_opts *)c->attrs)->axis, -1);
    return axis < 0 ? axis + x->rank : axis;
}

/* The line of x through element `i` along an axis. */
static line line_through(const ref_tensor *x, int axis, int64_t i) {
    int64_t step = 1, index[WK_MAX_RANK];
    for (int a = axis + 1; a < x->rank; a++) step *= x->shape[a];
    ref_index(x, i, index);
    return (line){ i - index[axis] * step, step, x->shape[axis] };
}

static void argmax_ref(ref_call *c) {
    const ref_tensor *x = c->in[0];
    ref_tensor *y = &c->out[0];
    int axis = axis_of(c, x);
    for (int64_t o = 0; o < y->count; o++) {
        int64_t index[WK_MAX_RANK], full[WK_MAX_RANK] = { 0 };
        ref_index(y, o, index);
        for (int a = 0, from = 0; a < x->rank; a++) full[a] = a == axis ? 0 : index[from++];
        line l = line_through(x, axis, ref_flat(x, full));
        int64_t best = 0;
        for (int64_t k = 1; k < l.length; k++) {
            double value = x->v[l.start + k * l.step], held = x->v[l.start + best * l.step];
            if (value > held || (isnan(value) && !isnan(held))) best = k;
        }
        y->v[o] = (double)best;
    }
    y->known = true;
}

/* Log of the sum of exponentials, less the largest: subtracting that first rounds least. */
static double log_sum(const ref_tensor *x, line l, double *largest) {
    double sum = 0;
    *largest = -INFINITY;
    for (int64_t k = 0; k < l.length; k++) *largest = fmax(*largest, x->v[l.start + k * l.step]);
    for (int64_t k = 0; k < l.length; k++) sum += exp(x->v[l.start + k * l.step] - *largest);
    return log(sum);
}

static void softmax_like(ref_call *c, bool logarithm) {
    const ref_tensor *x = c->in[0];
    ref_tensor *y = &c->out[0];
    int axis = axis_of(c, x);
    c->terms = x->shape[axis];
    for (int64_t i = 0; i < y->count; i++) {
        double largest, lse = log_sum(x, line_through(x, axis, i), &largest), away = largest - x->v[i];
        y->v[i] = logarithm ? -away - lse : exp(-away - lse);
        y->size[i] = logarithm ? 1 + away + lse : y->v[i] * (1 + away); /* the exponent's own rounding */
    }
    y->known = true;
}
static void softmax_ref(ref_call *c) {
    softmax_like(c, false);
}
static void log_softmax_ref(ref_call *c) {
    softmax_like(c, true);
}

static void softmax_backward_like(ref_call *c, bool logarithm) {
    const ref_tensor *dy = c->in[0], *y = c->in[1];
    ref_tensor *dx = &c->out[0];
    int axis = axis_of(c, dy);
    c->terms = dy->shape[axis];
    for (int64_t i = 0; i < dx->count; i++) {
        line l = line_through(dy, axis, i);
        double sum = 0, size = 0;
        for (int64_t k = 0; k < l.length; k++) {
            double term = dy->v[l.start + k * l.step] * (logarithm ? 1 : y->v[l.start + k * l.step]);
            sum += term;
            size += fabs(term);
        }
        double p = logarithm ? exp(y->v[i]) : y->v[i];
        dx->v[i] = logarithm ? dy->v[i] - p * sum : p * (dy->v[i] - sum);
        dx->size[i] = logarithm ? fabs(dy->v[i]) + p * size : p * (fabs(dy->v[i]) + size);
    }
    dx->known = true;
}
static void softmax_backward_ref(ref_call *c) {
    softmax_backward_like(c, false);
}
static void log_softmax_backward_ref(ref_call *c) {
    softmax_backward_like(c, true);
}

/* ---- layout ---- */

static void permute_ref(ref_call *c) {
    const wk_dims *axes = &((const wk_permute_opts *)c->attrs)->axes;
    const ref_tensor *x = c->in[0];
    ref_tensor *y = &c->out[0];
    for (int64_t o = 0; o < y->count; o++) {
        int64_t index[WK_MAX_RANK], from[WK_MAX_RANK];
        ref_index(y, o, index);
        for (int i = 0; i < y->rank; i++) from[(axes->size[i] + x->rank) % x->rank] = index[i];
        y->v[o] = x->v[ref_flat(x, from)];
    }
    y->known = true;
}

static void expand_ref(ref_call *c) {
    ref_tensor *y = &c->out[0];
    for (int64_t o = 0; o < y->count; o++) y->v[o] = c->in[0]->v[ref_broadcast(c->in[0], y, o)];
    y->known = true;
}

static int64_t from_end(int64_t at, int64_t size) {
    at = at < 0 ? at + size : at;
    return at < 0 ? 0 : at > size ? size : at;
}
static void slice_ref(ref_call *c) {
    const wk_slice_opts *opts = c->attrs;
    const ref_tensor *x = c->in[0];
    ref_tensor *y = &c->out[0];
    int axis = (int)(opts->axis < 0 ? opts->axis + x->rank : opts->axis);
    for (int64_t o = 0; o < y->count; o++) {
        int64_t index[WK_MAX_RANK];
        ref_index(y, o, index);
        index[axis] = from_end(opts->start, x->shape[axis]) + index[axis] * (opts->step ? opts->step : 1);
        y->v[o] = x->v[ref_flat(x, index)];
    }
    y->known = true;
}

/* An output of zeros into which elements of in[0] are added at places that `place` finds. */
static void scatter(ref_call *c, void (*place)(const ref_call *c, int64_t index[])) {
    ref_tensor *dx = &c->out[0];
    for (int64_t i = 0; i < dx->count; i++) dx->v[i] = dx->size[i] = 0;
    for (int64_t i = 0; i < c->in[0]->count; i++) {
        int64_t index[WK_MAX_RANK];
        ref_index(c->in[0], i, index);
        place(c, index);
        int64_t at = ref_flat(dx, index);
        dx->v[at] += c->in[0]->v[i];
        dx->size[at] += fabs(c->in[0]->v[i]);
    }
    c->terms = 4;
    dx->known = true;
}
static void place_slice(const ref_call *c, int64_t index[]) {
    const wk_slice_opts *slice = &((const wk_slice_grad_attrs *)c->attrs)->slice;
    index[slice->axis] = slice->start + index[slice->axis] * slice->step;
}
static void place_row(const ref_call *c, int64_t index[]) {
    int64_t axis = ((const wk_index_grad_attrs *)c->attrs)->axis;
    index[axis] = (int64_t)c->in[1]->v[index[axis]];
}
static void place_element(const ref_call *c, int64_t index[]) {
    int64_t axis = ((const wk_index_grad_attrs *)c->attrs)->axis;
    index[axis] = (int64_t)c->in[1]->v[ref_flat(c->in[1], index)];
}
static void slice_backward_ref(ref_call *c) {
    scatter(c, place_slice);
}
static void index_select_backward_ref(ref_call *c) {
    scatter(c, place_row);
}
static void gather_backward_ref(ref_call *c) {
    scatter(c, place_element);
}

static void pick(ref_call *c, bool whole_rows) {
    int64_t axis = ((const wk_index_opts *)c->attrs)->axis;
    ref_tensor *y = &c->out[0];
    for (int64_t o = 0; o < y->count; o++) {
        int64_t index[WK_MAX_RANK];
        ref_index(y, o, index);
        index[axis] = (int64_t)c->in[1]->v[whole_rows ? index[axis] : o];
        y->v[o] = c->in[0]->v[ref_flat(c->in[0], index)];
    }
    y->known = true;
}
static void index_select_ref(ref_call *c) {
    pick(c, true);
}
static void gather_ref(ref_call *c) {
    pick(c, false);
}

static void concat_ref(ref_call *c) {
    int64_t axis = ((const wk_concat_opts *)c->attrs)->axis, start = 0;
    ref_tensor *y = &c->out[0];
    for (int t = 0; t < c->n_in; t++) {
        for (int64_t i = 0; i < c->in[t]->count; i++) {
            int64_t index[WK_MAX_RANK];
            ref_index(c->in[t], i, index);
            index[axis] += start;
            y->v[ref_flat(y, index)] = c->in[t]->v[i];
        }
        start += c->in[t]->shape[axis];
    }
    y->known = true;
}

/* ---- the table ---- */

static const ref_row rows[] = {
    { "add", add_ref, 0 },
    { "add_into", add_into_ref, 0 },
    { "sub", sub_ref, 0 },
    { "mul", mul_ref, 0 },
    { "div", div_ref, 0 },
    { "maximum", maximum_ref, 0 },
    { "minimum", minimum_ref, 0 },
    { "eq", eq_ref, 0 },
    { "ne", ne_ref, 0 },
    { "lt", lt_ref, 0 },
    { "le", le_ref, 0 },
    { "gt", gt_ref, 0 },
    { "ge", ge_ref, 0 },
    { "neg", neg_ref, 0 },
    { "abs", abs_ref, 0 },
    { "sign", sign_ref, 0 },
    { "exp", exp_ref, 3 },
    { "log", log_ref, 3 },
    { "sqrt", sqrt_ref, 1 },
    { "sin", sin_ref, 3 },
    { "cos", cos_ref, 3 },
    { "erf", erf_ref, 3 },
    { "tanh", tanh_ref, 3 },
    { "sigmoid", sigmoid_ref, 3 },
    { "relu", relu_ref, 0 },
    { "relu_backward", relu_backward_ref, 0 },
    { "affine", affine_ref, 1 },
    { "cast", cast_ref, 0 },
    { "where", where_ref, 0 },
    { "sum", sum_ref, 2 },
    { "mean", mean_ref, 2 },
    { "amax", amax_ref, 0 },
    { "amin", amin_ref, 0 },
    { "argmax", argmax_ref, 0 },
    { "softmax", softmax_ref, 3 },
    { "log_softmax", log_softmax_ref, 3 },
    { "softmax_backward", softmax_backward_ref, 3 },
    { "log_softmax_backward", log_softmax_backward_ref, 3 },
    { "copy", copy_ref, 0 },
    { "to_device", copy_ref, 0 },
    { "reshape", copy_ref, 0 },
    { "permute", permute_ref, 0 },
    { "expand", expand_ref, 0 },
    { "slice", slice_ref, 0 },
    { "slice_backward", slice_backward_ref, 0 },
    { "concat", concat_ref, 0 },
    { "index_select", index_select_ref, 0 },
    { "index_select_backward", index_select_backward_ref, 1 },
    { "gather", gather_ref, 0 },
    { "gather_backward", gather_backward_ref, 1 },
    { NULL, NULL, 0 },
};

static const ref_row *find(const ref_row *table, const char *name) {
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0) return table;
    return NULL;
}

const ref_row *reference_of(const char *name) {
    const ref_row *row = find(rows, name);
    if (!row) row = find(reference_networks, name);
    return row ? row : find(reference_optimizers, name);
}
