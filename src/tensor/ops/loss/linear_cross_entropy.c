/* linear_cross_entropy.c: a linear layer and the cross-entropy of its scores as one row, which never holds all scores.
 *
 * The logits of 1024 tokens over 50257 words are 196 MiB of f32 and their gradient as much, alive when everything that
 * forward keeps is alive too.  Here a few rows of logits exist at a time; forward turns them into their gradient in
 * place and multiplies it into dx and dweight at once, so that no product is made twice (three for forward and
 * backward; logits made again in backward would be four, a third more of the largest layer).  What forward does not
 * know is dloss, a number: the gradients are kept, and backward multiplies them by it in place.
 *
 * dweight is as large as the weight.  Of a leaf whose gradient has memory and holds nothing (the usual one: a step
 * begins by clearing) that memory is used (`room`), so nothing more is kept from forward to backward than dx.  Whoever
 * writes to the leaf's gradient in between takes the room away: then, as for a second backward through a retained graph
 * and while a graph is made of backward, the backward row makes logits again.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

enum { DX = 1, DWEIGHT = 2, DBIAS = 4 };
enum { X, WEIGHT, BIAS, TARGET, LOW, ROOM };

static wk_dtype sums_of(const wk_tensor *x) {
    return x->dtype == WK_F64 ? WK_F64 : WK_F32;
}

/* ---- shapes ---- */

static bool is_vector(const wk_tensor *x, int64_t count) {
    return x->rank == 1 && x->shape[0] == count;
}
static bool is_matrix(const wk_tensor *x, int64_t rows, int64_t columns) {
    return x->rank == 2 && x->shape[0] == rows && x->shape[1] == columns;
}

/* `in`: the operands from x on. */
static wk_status check(const wk_call *call, wk_tensor *const *in) {
    const wk_linear_cross_entropy_attrs *attrs = call->attrs;
    const wk_tensor *x = in[X], *weight = in[WEIGHT];
    char one[160], two[160];
    if (x->rank != 2 || weight->rank != 2 || x->shape[1] != weight->shape[1])
        return wk_bad_call(call, WK_SHAPE, "x %s, weight %s: expected (…, D) and (V, D)",
                           wk_describe(x, one, sizeof one), wk_describe(weight, two, sizeof two));
    if (in[BIAS] && !is_vector(in[BIAS], weight->shape[0]))
        return wk_bad_call(call, WK_SHAPE, "bias %s: expected (%lld), the rows of weight %s",
                           wk_describe(in[BIAS], one, sizeof one), (long long)weight->shape[0],
                           wk_describe(weight, two, sizeof two));
    if (!is_vector(in[TARGET], x->shape[0]))
        return wk_bad_call(call, WK_SHAPE, "target %s: expected (%lld), one for each row of x",
                           wk_describe(in[TARGET], one, sizeof one), (long long)x->shape[0]);
    if (in[LOW] && (!is_matrix(in[LOW], weight->shape[0], weight->shape[1]) || weight->dtype != WK_F32))
        return wk_bad_call(call, WK_SHAPE, "low %s: expected the shape of weight %s, which is f32",
                           wk_describe(in[LOW], one, sizeof one), wk_describe(weight, two, sizeof two));
    if (!(attrs->opts.label_smoothing >= 0 && attrs->opts.label_smoothing < 1))
        return wk_bad_call(call, WK_INVALID, "label_smoothing is %g, expected 0 ≤ label_smoothing < 1",
                           attrs->opts.label_smoothing);
    if (attrs->opts.chunk < 0)
        return wk_bad_call(call, WK_INVALID, "chunk is %lld, expected 0 or more rows", (long long)attrs->opts.chunk);
    if (attrs->gradients < 0 || attrs->gradients > (DX | DWEIGHT | DBIAS))
        return wk_bad_call(call, WK_INVALID, "gradients is %lld, expected a sum of 1, 2 and 4",
                           (long long)attrs->gradients);
    return WK_OK;
}

static void describe_gradients(wk_tensor *const *in, int64_t wanted, wk_desc out[]) {
    static const int64_t nothing[] = { 0 };
    const wk_dtype dtype = sums_of(in[X]);
    for (int i = 0; i < 3; i++) out[i] = wk_desc_row_major(dtype, 1, nothing);
    if (wanted & DX) out[0] = wk_desc_row_major(dtype, 2, in[X]->shape);
    if (wanted & DWEIGHT) out[1] = wk_desc_row_major(dtype, 2, in[WEIGHT]->shape);
    if (wanted & DBIAS) out[2] = wk_desc_row_major(dtype, 1, in[WEIGHT]->shape);
}

static wk_status forward_shape(const wk_call *call, wk_desc out[]) {
    const wk_linear_cross_entropy_attrs *attrs = call->attrs;
    const wk_tensor *room = call->in[ROOM], *weight = call->in[WEIGHT];
    char text[160];
    WK_TRY(check(call, call->in));
    if (attrs->gradients && attrs->opts.reduction == WK_REDUCTION_NONE)
        return wk_bad_call(call, WK_INVALID, "gradients are made with the loss only where that is one number");
    out[0] =
        wk_desc_row_major(sums_of(call->in[X]), attrs->opts.reduction == WK_REDUCTION_NONE ? 1 : 0, call->in[X]->shape);
    describe_gradients(call->in, attrs->gradients, out + 1);
    if (!room) return WK_OK;
    if (!is_matrix(room, weight->shape[0], weight->shape[1]) || room->dtype != sums_of(call->in[X])
        || !(room->flags & WK_TENSOR_CONTIGUOUS) || !(attrs->gradients & DWEIGHT))
        return wk_bad_call(call, WK_SHAPE, "room %s: expected what the weight's gradient is",
                           wk_describe(room, text, sizeof text));
    out[2].view_of = 1 + ROOM;
    out[2].stride[0] = weight->shape[1];
    out[2].stride[1] = 1;
    out[2].offset = 0;
    return WK_OK;
}

static wk_status backward_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(check(call, call->in + 1));
    describe_gradients(call->in + 1, ((const wk_linear_cross_entropy_attrs *)call->attrs)->gradients, out);
    return WK_OK;
}

static bool writes_room(const wk_call *call) {
    return call->in[ROOM] != NULL;
}

/* ---- gradients ---- */

static wk_op_def forward_row, backward_row, scale_row;

static int64_t wanted_of(const wk_grad *g) {
    return (g->needs[X] ? DX : 0) | (g->needs[WEIGHT] ? DWEIGHT : 0) | (g->needs[BIAS] ? DBIAS : 0);
}

/* Whether forward has made what is asked for, and nobody has written over it. */
static bool is_there(const wk_grad *g, int64_t wanted) {
    const int64_t made = ((const wk_linear_cross_entropy_attrs *)g->attrs)->gradients;
    if (wanted & ~made) return false;
    for (int i = 0; i < 3; i++)
        if ((wanted >> i & 1) && g->out[1 + i]->count && !g->out[1 + i]->data) return false;
    return true;
}

/* To the dtype of its operand, and times dloss where that is still to be done. */
static wk_tensor *finished(const wk_grad *g, int i, wk_tensor *gradient, bool scale) {
    if (scale && gradient && wk_op_run(&scale_row, (wk_tensor *[]){ gradient, g->dout[0] }, 2, NULL, NULL) != WK_OK)
        return NULL;
    return wk_cast(gradient, (wk_dtype)g->in[i]->dtype);
}

/* The weight in a half type; nobody's gradient goes through the copy. */
static wk_tensor *lowered(wk_tensor *weight, wk_dtype dtype) {
    wk_context *context = wk__context();
    const uint32_t mode = context->mode;
    const bool is_trained = weight->leaf && wk__wants_grad(weight) && !(mode & WK__MODE_NO_GRAD);
    context->mode |= WK__MODE_NO_GRAD;
    wk_tensor *low = is_trained ? wk__autocast_leaf(context, weight, dtype) : wk_cast(weight, dtype);
    context->mode = mode;
    return low;
}

static wk_status forward_grad(wk_grad *g) {
    wk_linear_cross_entropy_attrs attrs = *(const wk_linear_cross_entropy_attrs *)g->attrs;
    const int64_t wanted = wanted_of(g);
    const bool ready = (wk__context()->mode & WK__MODE_NO_GRAD) && is_there(g, wanted);
    wk_tensor *made[3] = { g->out[1], g->out[2], g->out[3] };
    attrs.gradients = wanted;
    if (!ready) {
        wk_tensor *const in[] = {
            g->dout[0],  g->in[X],      g->in[WEIGHT],
            g->in[BIAS], g->in[TARGET], g->in[LOW] ? lowered(g->in[WEIGHT], (wk_dtype)g->in[LOW]->dtype) : NULL
        };
        WK_TRY(wk_op_run(&backward_row, in, 6, made, &attrs));
    }
    for (int i = 0; i < 3; i++)
        if (wanted >> i & 1) g->din[i] = finished(g, i, made[i], ready);
    return WK_OK;
}

static wk_status forward_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_linear_cross_entropy_attrs *attrs = call->attrs;
    const wk_cross_entropy_opts how = { attrs->opts.ignore_index, attrs->opts.label_smoothing, attrs->opts.reduction };
    wk_tensor *logits = wk_linear(call->in[X], call->in[WEIGHT], call->in[BIAS], (wk_linear_opts){ 0 });
    out[0] = wk_cross_entropy(logits, call->in[TARGET], how);
    return out[0] ? WK_OK : wk_error_code();
}

static wk_status backward_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_dtype dtype = sums_of(call->in[1 + X]);
    wk_tensor *const in[] = {
        call->in[1 + X], call->in[1 + WEIGHT], call->in[1 + BIAS], call->in[1 + TARGET], NULL, NULL
    };
    wk_tensor *din[6] = { NULL };
    WK_TRY(wk__gradient_of_parts(&forward_row, in, call->attrs, (wk_tensor *[]){ call->in[0], NULL, NULL, NULL }, din));
    for (int i = 0; i < 3; i++) out[i] = din[i] ? wk_cast(din[i], dtype) : wk_zeros(dtype, WK_DIMS(0));
    return WK_OK;
}

/* ---- x *= factor ---- */

static wk_status scale_shape(const wk_call *call, wk_desc out[]) {
    (void)out;
    return call->in[1]->count == 1 ? WK_OK : wk_bad_call(call, WK_SHAPE, "the factor is no number");
}
static wk_cost scale_cost(const wk_call *call) {
    return (wk_cost){ (double)call->in[0]->count, 2 * wk__operand_bytes(call) };
}
static void scale_samples(wk_sampler *s) {
    WK_CASE(s, "matrix", NULL, { .dims = WK_DIMS(4, 5) }, { .dims = WK_SCALAR });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(129, 257) }, { .dims = WK_SCALAR });
}

/* ---- cost, samples ---- */

static wk_cost cost_of(const wk_call *call, wk_tensor *const *in, int products) {
    const double logits = (double)in[X]->shape[0] * (double)in[WEIGHT]->shape[0];
    return (wk_cost){ (2 * products * (double)in[WEIGHT]->shape[1] + 12) * logits, wk__operand_bytes(call) };
}
static int products_of(const wk_call *call) {
    const int64_t made = ((const wk_linear_cross_entropy_attrs *)call->attrs)->gradients;
    return 1 + (made & DX ? 1 : 0) + (made & DWEIGHT ? 1 : 0);
}
static wk_cost forward_cost(const wk_call *call) {
    return cost_of(call, call->in, products_of(call));
}
static wk_cost backward_cost(const wk_call *call) {
    return cost_of(call, call->in + 1, products_of(call));
}

#define ABSENT \
    { .kind = WK_SAMPLE_ABSENT }
#define CLASSES(n, v) \
    { .dims = WK_DIMS(n), .kind = WK_SAMPLE_INDEX, .high = (v) }
static void forward_samples(wk_sampler *s) {
    typedef wk_linear_cross_entropy_attrs attrs;
    const attrs mean = { .gradients = 0 }, made = { .gradients = DX | DWEIGHT | DBIAS, .opts = { .chunk = 4 } },
                smooth = { .opts = { .label_smoothing = 0.1, .reduction = WK_REDUCTION_SUM, .chunk = 2 } },
                total = { .gradients = DX | DWEIGHT | DBIAS, .opts = { .reduction = WK_REDUCTION_SUM } },
                skip = { .opts = { .ignore_index = WK_SET(1), .chunk = 5 }, .gradients = DX | DWEIGHT },
                none = { .opts = { .reduction = WK_REDUCTION_NONE, .chunk = 3 } };
    WK_CASE(s, "mean", &mean, { .dims = WK_DIMS(6, 4) }, { .dims = WK_DIMS(10, 4) }, ABSENT, CLASSES(6, 10), ABSENT,
            ABSENT);
    WK_CASE(s, "gradients", &made, { .dims = WK_DIMS(6, 4) }, { .dims = WK_DIMS(7, 4) }, { .dims = WK_DIMS(7) },
            CLASSES(6, 7), ABSENT, ABSENT);
    WK_CASE(s, "smooth", &smooth, { .dims = WK_DIMS(5, 3), .strided = true },
            { .dims = WK_DIMS(7, 3), .strided = true }, { .dims = WK_DIMS(7) }, CLASSES(5, 7), ABSENT, ABSENT);
    WK_CASE(s, "ignore", &skip, { .dims = WK_DIMS(9, 3) }, { .dims = WK_DIMS(3, 3) }, ABSENT, CLASSES(9, 3), ABSENT,
            ABSENT);
    WK_CASE(s, "none", &none, { .dims = WK_DIMS(5, 3) }, { .dims = WK_DIMS(4, 3) }, { .dims = WK_DIMS(4) },
            CLASSES(5, 4), ABSENT, ABSENT);
    WK_CASE(s, "empty", &total, { .dims = WK_DIMS(0, 3) }, { .dims = WK_DIMS(4, 3) }, { .dims = WK_DIMS(4) },
            CLASSES(0, 4), ABSENT, ABSENT);
    WK_CASE(s, "large", &made, { .dims = WK_DIMS(70, 96) }, { .dims = WK_DIMS(515, 96) }, { .dims = WK_DIMS(515) },
            CLASSES(70, 515), ABSENT, ABSENT);
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(256, 768) }, { .dims = WK_DIMS(8192, 768) }, ABSENT,
                 CLASSES(256, 8192), ABSENT, ABSENT);
}
static void backward_samples(wk_sampler *s) {
    typedef wk_linear_cross_entropy_attrs attrs;
    const attrs all = { .gradients = DX | DWEIGHT | DBIAS, .opts = { .chunk = 4 } },
                none = { .opts = { .reduction = WK_REDUCTION_NONE }, .gradients = DX | DWEIGHT };
    WK_CASE(s, "mean", &all, { .dims = WK_SCALAR }, { .dims = WK_DIMS(6, 4) }, { .dims = WK_DIMS(7, 4) },
            { .dims = WK_DIMS(7) }, CLASSES(6, 7), ABSENT);
    WK_CASE(s, "none", &none, { .dims = WK_DIMS(5) }, { .dims = WK_DIMS(5, 3) }, { .dims = WK_DIMS(4, 3) }, ABSENT,
            CLASSES(5, 4), ABSENT);
}

/* ---- rows ---- */

#define AT(field) offsetof(wk_linear_cross_entropy_attrs, field)
static const wk_attr_def attrs[] = {
    { "ignore_index", WK_ATTR_OPTIONAL, AT(opts.ignore_index), 0, NULL, -100, "target that is left out" },
    { "label_smoothing", WK_ATTR_FLOAT, AT(opts.label_smoothing), 0, NULL, 0, "in [0, 1)" },
    { "reduction", WK_ATTR_ENUM, AT(opts.reduction), 0, "mean|sum|none", 0, "over rows" },
    { "chunk", WK_ATTR_INT, AT(opts.chunk), 0, NULL, 0, "rows whose logits exist at a time; 0: about 64 MiB of them" },
    { "gradients", WK_ATTR_INT, AT(gradients), 0, NULL, 0, "made with the loss: 1 of x, 2 of weight, 4 of bias" },
};
#define COMMON      .attrs = attrs, .n_attrs = 5, .attrs_size = sizeof(wk_linear_cross_entropy_attrs)
#define I64         WK_SET_OF(WK_I64)
#define HALF        ((wk_dtype_set)(WK_SET_OF(WK_BF16) | WK_SET_OF(WK_F16)))
#define BIT(number) (1u << (number))

static wk_op_def forward_row = { .name = "linear_cross_entropy",
                                 .doc = "cross_entropy(linear(x, weight, bias), target), whose logits are never whole",
                                 .n_in = 6,
                                 .n_out = 4,
                                 .optional_in = BIT(BIAS) | BIT(LOW) | BIT(ROOM),
                                 .saves_in = BIT(X) | BIT(WEIGHT) | BIT(BIAS) | BIT(TARGET),
                                 .saves_out = 14,
                                 .spares_out = 14,
                                 .internal_out = 14,
                                 .mutates = BIT(ROOM),
                                 .mutates_now = writes_room,
                                 .zero_sized_runs = true,
                                 COMMON,
                                 .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS, I64, HALF, WK_F32_F64 },
                                            .same = 7 },
                                 .shape = forward_shape,
                                 .grad = forward_grad,
                                 .decompose = forward_parts,
                                 .cost = forward_cost,
                                 .samples = forward_samples };
static wk_op_def backward_row = { .name = "linear_cross_entropy_backward",
                                  .internal = true,
                                  .doc = "gradient of linear_cross_entropy, from x and weight",
                                  .n_in = 6,
                                  .n_out = 3,
                                  .optional_in = BIT(1 + BIAS) | BIT(1 + LOW),
                                  .saves_in = 31,
                                  .key = 1 + X,
                                  .zero_sized_runs = true,
                                  COMMON,
                                  .dtype = { .allowed = { WK_F32_F64, WK_FLOATS, WK_FLOATS, WK_FLOATS, I64, HALF },
                                             .same = 14 },
                                  .shape = backward_shape,
                                  .grad = wk__grad_by_parts,
                                  .decompose = backward_parts,
                                  .cost = backward_cost,
                                  .samples = backward_samples };
static wk_op_def scale_row = { .name = "scale_into",
                               .internal = true,
                               .doc = "x = x · factor",
                               .n_in = 2,
                               .mutates = 1,
                               .dtype = { .allowed = { WK_F32_F64, WK_F32_F64 } },
                               .shape = scale_shape,
                               .not_differentiable = "it finishes a gradient, which nothing depends on",
                               .cost = scale_cost,
                               .samples = scale_samples };

/* ---- the call ---- */

/* x (…, D) and target (…) as rows. */
static bool flatten(wk_tensor **x, wk_tensor **target) {
    const wk_tensor *a = *x, *t = *target;
    if (!a || !t || a->rank == 2 || a->rank < 1) return true;
    bool fits = t->rank == a->rank - 1;
    for (int axis = 0; fits && axis < t->rank; axis++) fits = t->shape[axis] == a->shape[axis];
    char one[160], two[160];
    if (!fits) {
        (void)wk__bad_argument("linear_cross_entropy", WK_SHAPE, "x %s, target %s: expected (…, D) and (…)",
                               wk_describe(a, one, sizeof one), wk_describe(t, two, sizeof two));
        return false;
    }
    *x = wk_reshape(*x, WK_DIMS(t->count, a->shape[a->rank - 1]));
    *target = wk_reshape(*target, WK_DIMS(t->count));
    return true;
}

static int64_t gradients_wanted(const wk_context *context, wk_tensor *const *in, int reduction) {
    int64_t wanted = 0;
    if ((context->mode & WK__MODE_NO_GRAD) || reduction == WK_REDUCTION_NONE) return 0;
    for (int i = X; i <= BIAS; i++)
        if (in[i] && wk__wants_grad(in[i])) wanted |= 1 << i;
    return wanted;
}

static wk_tensor *run(wk_context *context, wk_tensor *in[6], const wk_linear_cross_entropy_opts *opts) {
    const int64_t gradients = gradients_wanted(context, in, opts->reduction);
    const wk_linear_cross_entropy_attrs how = { *opts, gradients };
    wk_tensor *out[4];
    if ((context->mode & WK__MODE_AUTOCAST) && in[WEIGHT] && in[WEIGHT]->dtype == WK_F32) {
        in[X] = wk__autocast_f32(in[X]);
        in[LOW] = lowered(in[WEIGHT], context->autocast.dtype);
    }
    if ((gradients & DWEIGHT) && (WK_F32_F64 >> in[WEIGHT]->dtype & 1)) in[ROOM] = wk__leaf_room(in[WEIGHT]);
    wk_status status = wk_op_run(&forward_row, in, 6, out, &how);
    if (in[ROOM]) wk__storage_drop(in[ROOM]->storage);
    return status == WK_OK ? out[0] : NULL;
}

wk_tensor *wk_linear_cross_entropy(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_tensor *target,
                                   wk_linear_cross_entropy_opts opts) {
    wk_context *context = wk__context();
    if (!context || context->pending->code != WK_OK) return NULL;
    wk_tensor *in[6] = { x, weight, bias, target };
    const wk_dims shape = target ? wk__dims(target) : (wk_dims){ 0 };
    if (!flatten(&in[X], &in[TARGET])) return NULL;
    if (!context->scope) return run(context, in, &opts); /* which says what is missing */
    wk_scope scope = wk_scope_begin();                   /* the low weight dies with it */
    wk_tensor *loss = scope.record ? run(context, in, &opts) : NULL;
    if (loss && opts.reduction == WK_REDUCTION_NONE) loss = wk_reshape(loss, shape);
    loss = wk_scope_return(scope, loss);
    wk_scope_end(scope);
    return loss;
}

wk_op_def *const wk__rows_linear_cross_entropy[] = { &forward_row, &backward_row, &scale_row, NULL };
