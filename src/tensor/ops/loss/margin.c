/* margin.c: losses that ask for a distance: to a threshold, between two scores, between embeddings, between classes. */
#define WK_NO_CALL_SITES
#include "tensor/ops/loss/losses.h"

#include <math.h>

#define SIGNS(...) \
    { .dims = WK_DIMS(__VA_ARGS__), .kind = WK_SAMPLE_SIGN }

/* ---- with y = ±1 ---- */

static wk_status hinge_embedding_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_margin_opts *opts = call->attrs;
    wk_tensor *x = call->in[0], *y = call->in[1], *none = wk__number(x, 0);
    wk_tensor *apart = at_least(line(x, -1, wk_optional_or(opts->margin, 1)), 0);
    /* PyTorch's for any y: both terms count where it is neither 1 nor −1. */
    wk_tensor *loss =
        wk_add(wk_where(wk_ne(y, wk__number(y, 1)), apart, none), wk_where(wk_ne(y, wk__number(y, -1)), x, none));
    out[0] = reduced(loss, opts->reduction);
    return WK_OK;
}
static void hinge_embedding_loss_samples(wk_sampler *s) {
    const wk_margin_opts usual = { 0 }, far = { WK_SET(2.3), WK_REDUCTION_NONE };
    WK_CASE(s, "usual", &usual, { .dims = WK_DIMS(4, 5), .low = 0, .high = 0.9 }, SIGNS(4, 5));
    WK_CASE(s, "far", &far, { .dims = WK_DIMS(4, 5) }, SIGNS(4, 5));
    WK_HUGE_CASE(s, "huge", &usual, { .dims = WK_DIMS(512, 1024) }, SIGNS(512, 1024));
}
static const wk_attr_def margin_of_one[] = { NUMBER(wk_margin_opts, margin, 1, "beyond which nothing is lost"),
                                             REDUCTION(wk_margin_opts) };
static const wk_attr_def margin_of_zero[] = { NUMBER(wk_margin_opts, margin, 0, "beyond which nothing is lost"),
                                              REDUCTION(wk_margin_opts) };
#define hinge_embedding_loss_attrs margin_of_one
LOSS_ROW(hinge_embedding_loss, "y = 1: x; y = -1: max(0, margin - x); reduced", 2, 0, wk_margin_opts);
wk_tensor *wk_hinge_embedding_loss(wk_tensor *x, wk_tensor *y, wk_margin_opts opts) {
    return wk_op_run2(&hinge_embedding_loss_row, &opts, x, y);
}

static wk_status margin_ranking_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_margin_opts *opts = call->attrs;
    wk_tensor *ahead = wk_mul(call->in[2], wk_sub(call->in[0], call->in[1]));
    out[0] = reduced(at_least(line(ahead, -1, wk_optional_or(opts->margin, 0)), 0), opts->reduction);
    return WK_OK;
}
static void margin_ranking_loss_samples(wk_sampler *s) {
    const wk_margin_opts usual = { 0 }, far = { WK_SET(0.37), WK_REDUCTION_NONE };
    WK_CASE(s, "usual", &usual, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5) }, SIGNS(4, 5));
    WK_CASE(s, "far", &far, { .dims = WK_DIMS(7) }, { .dims = WK_DIMS(7) }, SIGNS(7));
    WK_HUGE_CASE(s, "huge", &usual, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(512, 1024) }, SIGNS(512, 1024));
}
#define margin_ranking_loss_attrs margin_of_zero
LOSS_ROW(margin_ranking_loss, "max(0, -y (a - b) + margin), reduced", 3, 0, wk_margin_opts);
wk_tensor *wk_margin_ranking_loss(wk_tensor *a, wk_tensor *b, wk_tensor *y, wk_margin_opts opts) {
    return wk_op_run3(&margin_ranking_loss_row, &opts, a, b, y);
}

static wk_status soft_margin_loss_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *loss = wk_neg(wk_logsigmoid(wk_mul(call->in[0], call->in[1])));
    out[0] = reduced(loss, ((const wk_loss_opts *)call->attrs)->reduction);
    return WK_OK;
}
static void soft_margin_loss_samples(wk_sampler *s) {
    const wk_loss_opts mean = { 0 }, none = { WK_REDUCTION_NONE };
    WK_CASE(s, "mean", &mean, { .dims = WK_DIMS(4, 5) }, SIGNS(4, 5));
    WK_CASE(s, "none", &none, { .dims = WK_DIMS(4, 5), .strided = true }, SIGNS(4, 5));
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(512, 1024) }, SIGNS(512, 1024));
}
static const wk_attr_def soft_margin_loss_attrs[] = { REDUCTION(wk_loss_opts) };
LOSS_ROW(soft_margin_loss, "log(1 + e^(-y x)), reduced", 2, 0, wk_loss_opts);
wk_tensor *wk_soft_margin_loss(wk_tensor *x, wk_tensor *y, wk_loss_opts opts) {
    return wk_op_run2(&soft_margin_loss_row, &opts, x, y);
}

/* ---- embeddings ---- */

static wk_tensor *row_sum(wk_tensor *x) {
    return wk_sum(x, (wk_reduce_opts){ .axes = WK_DIMS(-1) });
}

static wk_status cosine_embedding_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_margin_opts *opts = call->attrs;
    wk_tensor *a = call->in[0], *b = call->in[1], *y = call->in[2];
    char text[2][160];
    if (a->rank < 1 || b->rank != a->rank)
        return wk_bad_call(call, WK_SHAPE, "a %s, b %s: expected (N, D) both", wk_describe(a, text[0], sizeof text[0]),
                           wk_describe(b, text[1], sizeof text[1]));
    wk_tensor *lengths = wk_mul(line(row_sum(wk_square(a)), 1, 1e-12), line(row_sum(wk_square(b)), 1, 1e-12));
    wk_tensor *cosine = wk_div(row_sum(wk_mul(a, b)), wk_sqrt(lengths)), *none = wk__number(a, 0);
    wk_tensor *apart = at_least(line(cosine, 1, -wk_optional_or(opts->margin, 0)), 0);
    wk_tensor *loss = wk_add(wk_where(wk_eq(y, wk__number(y, 1)), line(cosine, -1, 1), none),
                             wk_where(wk_eq(y, wk__number(y, -1)), apart, none));
    out[0] = reduced(loss, opts->reduction);
    return WK_OK;
}
static void cosine_embedding_loss_samples(wk_sampler *s) {
    const wk_margin_opts usual = { 0 }, far = { WK_SET(-0.5), WK_REDUCTION_NONE };
    WK_CASE(s, "usual", &usual, { .dims = WK_DIMS(6, 5) }, { .dims = WK_DIMS(6, 5) }, SIGNS(6));
    WK_CASE(s, "far", &far, { .dims = WK_DIMS(6, 5), .strided = true }, { .dims = WK_DIMS(6, 5) }, SIGNS(6));
    WK_HUGE_CASE(s, "huge", &usual, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(512, 1024) }, SIGNS(512));
}
#define cosine_embedding_loss_attrs margin_of_zero
LOSS_ROW(cosine_embedding_loss, "y = 1: 1 - cos(a, b); y = -1: max(0, cos(a, b) - margin); reduced", 3, 0,
         wk_margin_opts);
wk_tensor *wk_cosine_embedding_loss(wk_tensor *a, wk_tensor *b, wk_tensor *y, wk_margin_opts opts) {
    return wk_op_run3(&cosine_embedding_loss_row, &opts, a, b, y);
}

/* |a − b + eps|_p along the last axis */
static wk_tensor *distance(wk_tensor *a, wk_tensor *b, double p, double eps) {
    return wk_norm(line(wk_sub(a, b), 1, eps), (wk_norm_opts){ .axes = WK_DIMS(-1), .p = WK_SET(p) });
}

static wk_status triplet_margin_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_triplet_opts *opts = call->attrs;
    double p = wk_optional_or(opts->p, 2), eps = wk_optional_or(opts->eps, 1e-6);
    if (!(p > 0) || isinf(p)) return wk_bad_call(call, WK_INVALID, "p is %g, expected more than 0 and finite", p);
    for (int i = 0; i < 3; i++)
        if (call->in[i]->rank < 1) return wk_bad_call(call, WK_SHAPE, "input %d has rank 0, expected (N, D)", i);
    wk_tensor *near = distance(call->in[0], call->in[1], p, eps), *far = distance(call->in[0], call->in[2], p, eps);
    if (opts->swap) far = wk_minimum(far, distance(call->in[1], call->in[2], p, eps));
    out[0] = reduced(at_least(line(wk_sub(near, far), 1, wk_optional_or(opts->margin, 1)), 0), opts->reduction);
    return WK_OK;
}
static void triplet_margin_loss_samples(wk_sampler *s) {
    const wk_triplet_opts usual = { 0 }, swap = { .swap = true, .margin = WK_SET(3), .reduction = WK_REDUCTION_NONE },
                          cube = { .p = WK_SET(3), .margin = WK_SET(2) };
    const wk_sample_in x = { .dims = WK_DIMS(5, 4) };
    s->emit(s, "usual", (const wk_sample_in[]){ x, x, x }, 3, &usual);
    s->emit(s, "swap", (const wk_sample_in[]){ x, x, x }, 3, &swap);
    s->emit(s, "cube", (const wk_sample_in[]){ x, x, x }, 3, &cube);
    WK_HUGE_CASE(s, "huge", &usual, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def triplet_margin_loss_attrs[] = {
    NUMBER(wk_triplet_opts, margin, 1, "by which the negative must be farther"),
    NUMBER(wk_triplet_opts, p, 2, "of the norm"),
    NUMBER(wk_triplet_opts, eps, 1e-6, "added to differences"),
    FLAG(wk_triplet_opts, swap, "the negative's distance to the positive counts where smaller"),
    REDUCTION(wk_triplet_opts),
};
LOSS_ROW(triplet_margin_loss, "max(0, margin + |a - p| - |a - n|), reduced", 3, 0, wk_triplet_opts);
wk_tensor *wk_triplet_margin_loss(wk_tensor *anchor, wk_tensor *positive, wk_tensor *negative, wk_triplet_opts opts) {
    return wk_op_run3(&triplet_margin_loss_row, &opts, anchor, positive, negative);
}

/* ---- classes ---- */

#define I64 WK_SET_OF(WK_I64)
#define CLASS_ROW(id, text, inputs, optional, type)                                                                 \
    static wk_op_def id##_row = {                                                                                   \
        .name = #id,                                                                                                \
        .doc = text,                                                                                                \
        .n_in = inputs,                                                                                             \
        .n_out = 1,                                                                                                 \
        .optional_in = optional,                                                                                    \
        .composite = true,                                                                                          \
        .attrs = id##_attrs,                                                                                        \
        .n_attrs = (int)(sizeof id##_attrs / sizeof id##_attrs[0]),                                                 \
        .attrs_size = sizeof(type),                                                                                 \
        .dtype = { .allowed = { WK_FLOATS, I64, WK_FLOATS }, .same = 5, .promote = true, .autocast = WK_CAST_F32 }, \
        .decompose = id##_parts,                                                                                    \
        .cost = loss_cost,                                                                                          \
        .samples = id##_samples                                                                                     \
    }

static wk_status multi_margin_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_multi_margin_opts *opts = call->attrs;
    wk_tensor *x = call->in[0], *target = call->in[1], *weight = call->in[2];
    double p = wk_optional_or(opts->p, 1);
    char text[2][160];
    if (p != 1 && p != 2) return wk_bad_call(call, WK_INVALID, "p is %g, expected 1 or 2", p);
    if (x->rank != 2 || target->rank != 1 || target->shape[0] != x->shape[0])
        return wk_bad_call(call, WK_SHAPE, "x %s, target %s: expected (N, C) and (N)",
                           wk_describe(x, text[0], sizeof text[0]), wk_describe(target, text[1], sizeof text[1]));
    wk_tensor *column = wk_unsqueeze(target, -1);
    wk_tensor *loss = at_least(line(wk_sub(x, wk_gather(x, column, 1)), 1, wk_optional_or(opts->margin, 1)), 0);
    if (p == 2) loss = wk_square(loss);
    if (weight) loss = wk_mul(loss, wk_unsqueeze(wk_index_select(weight, target, 0), -1));
    wk_tensor *own = wk_eq(column, wk_arange(x->shape[1]));
    loss = wk_mean(wk_where(own, wk__number(x, 0), loss), (wk_reduce_opts){ .axes = WK_DIMS(1) });
    out[0] = reduced(loss, opts->reduction);
    return WK_OK;
}
static void multi_margin_loss_samples(wk_sampler *s) {
    const wk_multi_margin_opts usual = { 0 }, square = { WK_SET(0.53), WK_SET(2), WK_REDUCTION_NONE };
    WK_CASE(s, "usual", &usual, { .dims = WK_DIMS(4, 5), .margin = 0.01 },
            { .dims = WK_DIMS(4), .kind = WK_SAMPLE_INDEX, .high = 5 }, { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "square", &square, { .dims = WK_DIMS(4, 5), .strided = true },
            { .dims = WK_DIMS(4), .kind = WK_SAMPLE_INDEX, .high = 5 }, { .dims = WK_DIMS(5), .low = 0.5, .high = 2 });
    WK_HUGE_CASE(s, "huge", &usual, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512), .kind = WK_SAMPLE_INDEX, .high = 1024 }, { .kind = WK_SAMPLE_ABSENT });
}
static const wk_attr_def multi_margin_loss_attrs[] = { NUMBER(wk_multi_margin_opts, margin, 1, "between classes"),
                                                       NUMBER(wk_multi_margin_opts, p, 1, "1 or 2"),
                                                       REDUCTION(wk_multi_margin_opts) };
CLASS_ROW(multi_margin_loss, "hinge loss over classes, reduced", 3, 4, wk_multi_margin_opts);
wk_tensor *wk_multi_margin_loss(wk_tensor *x, wk_tensor *target, wk_tensor *weight, wk_multi_margin_opts opts) {
    return wk_op_run3(&multi_margin_loss_row, &opts, x, target, weight);
}

/* Each label against each class that is none: (N, labels, classes). */
static wk_status multilabel_margin_loss_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0], *target = call->in[1];
    char text[2][160];
    if (x->rank != 2 || target->rank != 2 || target->shape[0] != x->shape[0] || target->shape[1] != x->shape[1])
        return wk_bad_call(call, WK_SHAPE, "x %s, target %s: expected (N, C) both",
                           wk_describe(x, text[0], sizeof text[0]), wk_describe(target, text[1], sizeof text[1]));
    int64_t n = x->shape[0], classes = x->shape[1];
    wk_tensor *none = wk_zeros(WK_I64, WK_SCALAR);
    /* Labels before the first −1: no −1 among those up to here. */
    wk_tensor *missing = wk_cast(wk_lt(target, none), WK_F64);
    wk_tensor *before = wk_triu(wk_full(WK_F64, WK_DIMS(classes, classes), 1), (wk_triangle_opts){ 0 });
    wk_tensor *valid = wk_eq(wk_matmul(missing, before), wk_zeros(WK_F64, WK_SCALAR));
    wk_tensor *label = wk_where(valid, target, none);
    wk_tensor *is_label = wk_scatter_add(wk_zeros(WK_F64, WK_DIMS(n, classes)), label, wk_cast(valid, WK_F64), 1);
    wk_tensor *is_none = wk_eq(is_label, wk_zeros(WK_F64, WK_SCALAR));
    wk_tensor *from_label = wk_unsqueeze(line(wk_gather(x, label, 1), -1, 1), -1);
    wk_tensor *loss = at_least(wk_add(from_label, wk_unsqueeze(x, 1)), 0);
    wk_tensor *counts = wk_logical_and(wk_unsqueeze(valid, -1), wk_unsqueeze(is_none, 1));
    loss = wk_sum(wk_where(counts, loss, wk__number(x, 0)), (wk_reduce_opts){ .axes = WK_DIMS(1, 2) });
    out[0] = reduced(wk_scale(loss, classes ? 1 / (double)classes : 0), ((const wk_loss_opts *)call->attrs)->reduction);
    return WK_OK;
}
static void multilabel_margin_loss_samples(wk_sampler *s) {
    const wk_loss_opts mean = { 0 }, none = { WK_REDUCTION_NONE };
    WK_CASE(s, "mean", &mean, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5), .kind = WK_SAMPLE_INDEX, .high = 5 });
    WK_CASE(s, "none", &none, { .dims = WK_DIMS(3, 4), .strided = true },
            { .dims = WK_DIMS(3, 4), .kind = WK_SAMPLE_INDEX, .high = 2 });
    WK_CASE(s, "few", &none, { .dims = WK_DIMS(6, 4) },
            { .dims = WK_DIMS(6, 4), .kind = WK_SAMPLE_INDEX, .low = -1, .high = 4 });
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(128, 100) },
                 { .dims = WK_DIMS(128, 100), .kind = WK_SAMPLE_INDEX, .low = -1, .high = 100 });
}
static const wk_attr_def multilabel_margin_loss_attrs[] = { REDUCTION(wk_loss_opts) };
CLASS_ROW(multilabel_margin_loss, "hinge loss of labels against the other classes, reduced", 2, 0, wk_loss_opts);
wk_tensor *wk_multilabel_margin_loss(wk_tensor *x, wk_tensor *target, wk_loss_opts opts) {
    return wk_op_run2(&multilabel_margin_loss_row, &opts, x, target);
}

wk_op_def *const wk__rows_margin[] = { &hinge_embedding_loss_row,   &margin_ranking_loss_row,
                                       &soft_margin_loss_row,       &cosine_embedding_loss_row,
                                       &triplet_margin_loss_row,    &multi_margin_loss_row,
                                       &multilabel_margin_loss_row, NULL };
