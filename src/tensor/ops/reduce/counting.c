/* counting.c: distinct values, how often each comes, histograms, places in an ordered row.  Two results have a shape
 * that depends on values: bincount's is counted by its shape rule; unique's is a view of the padded form's. */
#define WK_NO_CALL_SITES
#include "tensor/ops/reduce/rows.h"

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))

/* ---- shapes ---- */

static wk_status unique_padded_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0];
    int64_t size = ((const wk_unique_padded_opts *)call->attrs)->size;
    if (size < 0) return wk_bad_call(call, WK_INVALID, "size is %lld, expected at least 0", (long long)size);
    out[0] = wk_desc_row_major((wk_dtype)x->dtype, 1, &size);
    out[1] = wk_desc_row_major(WK_I64, x->rank, x->shape);
    out[2] = wk_desc_row_major(WK_I64, 1, &size);
    out[3] = wk_desc_row_major(WK_I64, 0, NULL);
    return WK_OK;
}

/* Element i of a vector. */
static inline int64_t integer_at(const wk_tensor *x, int64_t i) {
    int64_t at = i * x->stride[0];
    switch (x->dtype) {
    case WK_I64: return ((const int64_t *)x->data)[at];
    case WK_I32: return ((const int32_t *)x->data)[at];
    case WK_I16: return ((const int16_t *)x->data)[at];
    case WK_I8: return ((const int8_t *)x->data)[at];
    default: return ((const uint8_t *)x->data)[at];
    }
}

/* One more than the largest element, at least minlength; -1 with an error pending. */
static int64_t count_length(const wk_call *call) {
    const wk_tensor *x = wk__on_host(call->in[0]);
    if (!x) return -1;
    int64_t length = ((const wk_bincount_opts *)call->attrs)->minlength;
    if (x->rank != 1) return (void)wk_bad_call(call, WK_SHAPE, "x has rank %d, expected 1", x->rank), -1;
    if (length < 0)
        return (void)wk_bad_call(call, WK_INVALID, "minlength is %lld, expected at least 0", (long long)length), -1;
    for (int64_t i = 0; i < x->count; i++) {
        int64_t value = integer_at(x, i);
        if (value < 0)
            return (void)wk_bad_call(call, WK_INVALID, "x[%lld] is %lld, expected at least 0", (long long)i,
                                     (long long)value),
                   -1;
        if (value >= INT64_C(1) << 40)
            return (void)wk_bad_call(call, WK_SHAPE, "x[%lld] is %lld: too many counts", (long long)i,
                                     (long long)value),
                   -1;
        if (value >= length) length = value + 1;
    }
    return length;
}
static wk_status bincount_shape(const wk_call *call, wk_desc out[]) {
    int64_t length = count_length(call);
    if (length < 0) return wk_error_code();
    out[0] = wk_desc_row_major(WK_I64, 1, &length);
    return WK_OK;
}
/* Weights are added where x says. */
static wk_status weighted_bincount_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0], *weights = call->in[1];
    if (weights->rank != 1 || weights->count != x->count)
        return wk_bad_call(call, WK_SHAPE, "x has %lld elements, weights %lld", (long long)x->count,
                           (long long)weights->count);
    int64_t length = count_length(call);
    return length < 0 ? wk_error_code() : give(out, wk__add_at(weights, wk_cast(x, WK_I64), 0, WK_DIMS(length)));
}

static wk_status histc_shape(const wk_call *call, wk_desc out[]) {
    const wk_histc_opts *opts = call->attrs;
    int64_t bins = opts->bins ? opts->bins : 100;
    if (bins < 0) return wk_bad_call(call, WK_INVALID, "bins is %lld, expected at least 1", (long long)bins);
    if (!(opts->min <= opts->max))
        return wk_bad_call(call, WK_INVALID, "min is %g and max %g, expected min ≤ max", opts->min, opts->max);
    out[0] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, 1, &bins);
    return WK_OK;
}

static wk_status searchsorted_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *sorted = call->in[0], *values = call->in[1];
    bool fits = sorted->rank == 1 || (sorted->rank > 1 && sorted->rank == values->rank);
    for (int i = 0; fits && i < sorted->rank - 1; i++) fits = sorted->shape[i] == values->shape[i];
    char one[160], other[160];
    if (!fits)
        return wk_bad_call(call, WK_SHAPE,
                           "sorted %s, values %s: expected sorted (N), or the same axes but for the last",
                           wk_describe(sorted, one, sizeof one), wk_describe(values, other, sizeof other));
    out[0] = wk_desc_row_major(WK_I64, values->rank, values->shape);
    return WK_OK;
}

/* ---- gradients, samples ---- */

static void unique_samples(wk_sampler *s) {
    WK_CASE(s, "few", NULL, { .dims = WK_DIMS(40), .low = 0, .high = 0.02 });
    WK_CASE(s, "shape", NULL, { .dims = WK_DIMS(3, 4, 5), .strided = true });
    WK_CASE(s, "one", NULL, { .dims = WK_SCALAR });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0, 3) });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(33, 65) });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024), .low = 0, .high = 1 });
}
static void unique_padded_samples(wk_sampler *s) {
    const wk_unique_padded_opts few = { 5 }, many = { 70 };
    WK_CASE(s, "few", &few, { .dims = WK_DIMS(40) });
    WK_CASE(s, "many", &many, { .dims = WK_DIMS(3, 4, 5), .strided = true });
    WK_CASE(s, "empty", &few, { .dims = WK_DIMS(0, 3) });
    const wk_unique_padded_opts room = { 1000 };
    WK_HUGE_CASE(s, "huge", &room, { .dims = WK_DIMS(512, 1024), .low = 0, .high = 1 });
}
static void bincount_samples(wk_sampler *s) {
    const wk_bincount_opts none = { 0 }, long_ = { 50 };
    WK_CASE(s, "plain", &none, { .dims = WK_DIMS(40), .low = 0, .high = 3 });
    WK_CASE(s, "long", &long_, { .dims = WK_DIMS(40), .low = 0, .high = 3, .strided = true });
    WK_CASE(s, "empty", &none, { .dims = WK_DIMS(0) });
    WK_CASE(s, "large", &none, { .dims = WK_DIMS(33000), .low = 0, .high = 3 });
}
static void weighted_bincount_samples(wk_sampler *s) {
    const wk_bincount_opts none = { 0 }, long_ = { 50 };
    WK_CASE(s, "plain", &none, { .dims = WK_DIMS(40), .kind = WK_SAMPLE_INDEX, .high = 9 }, { .dims = WK_DIMS(40) });
    WK_CASE(s, "long", &long_, { .dims = WK_DIMS(40), .kind = WK_SAMPLE_INDEX, .high = 9 }, { .dims = WK_DIMS(40) });
    WK_CASE(s, "large", &none, { .dims = WK_DIMS(33000), .kind = WK_SAMPLE_INDEX, .high = 99 },
            { .dims = WK_DIMS(33000) });
}
static void histc_samples(wk_sampler *s) {
    const wk_histc_opts of_data = { .bins = 7 }, given = { 10, -1, 1.5 }, plain = { 0 };
    WK_CASE(s, "of data", &of_data, { .dims = WK_DIMS(7, 13), .strided = true });
    WK_CASE(s, "given", &given, { .dims = WK_DIMS(7, 13) });
    WK_CASE(s, "one", &of_data, { .dims = WK_SCALAR });
    WK_CASE(s, "empty", &given, { .dims = WK_DIMS(0) });
    WK_CASE(s, "large", &plain, { .dims = WK_DIMS(129, 257) });
}
#define SEARCH_SAMPLES(name, in_order, values)                         \
    static void name(wk_sampler *s) {                                  \
        const wk_searchsorted_opts left = { false }, right = { true }; \
        WK_CASE(s, "left", &left, in_order(6), values(4, 5));          \
        WK_CASE(s, "right", &right, in_order(6), values(4, 5));        \
        WK_CASE(s, "none", &left, in_order(0), values(4, 5));          \
        WK_CASE(s, "large", &right, in_order(6), values(129, 257));    \
    }
/* Samples are not in order, but for rows of equal elements: a bisection of any row has one result. */
#define ROW_OF(n) \
    { .dims = WK_DIMS(n), .low = 0.2, .high = 0.2 + 1e-6 }
#define VALUES(n, m) \
    { .dims = WK_DIMS(n, m), .low = -1, .high = 1 }
SEARCH_SAMPLES(searchsorted_samples, ROW_OF, VALUES)
static void bucketize_samples(wk_sampler *s) {
    const wk_searchsorted_opts left = { false }, right = { true };
    WK_CASE(s, "left", &left, VALUES(4, 5), ROW_OF(6));
    WK_CASE(s, "right", &right, VALUES(4, 5), ROW_OF(6));
    WK_HUGE_CASE(s, "huge", &right, VALUES(512, 1024), ROW_OF(256));
}

/* ---- rows ---- */

static wk_cost counting(const wk_call *call) {
    return (wk_cost){ 10 * (double)call->in[0]->count, wk__operand_bytes(call) };
}
#define PLACE "its result is a place or a count"

static const wk_attr_def unique_padded_attrs[] = { { "size", WK_ATTR_INT, offsetof(wk_unique_padded_opts, size), 0,
                                                     NULL, 0, "room for distinct values" } };
static wk_op_def unique_padded_row = { .name = "unique_padded",
                                       .doc = "distinct values in order, padded; inverse, counts, how many",
                                       .n_in = 1,
                                       .n_out = 4,
                                       .zero_sized_runs = true,
                                       .attrs = unique_padded_attrs,
                                       .n_attrs = 1,
                                       .attrs_size = sizeof(wk_unique_padded_opts),
                                       .dtype = { .allowed = { ANY } },
                                       .shape = unique_padded_shape,
                                       .not_differentiable = "distinct values have no gradient in PyTorch either",
                                       .cost = counting,
                                       .samples = unique_padded_samples };
wk_tensor *wk_unique_padded(wk_tensor *x, wk_tensor **inverse, wk_tensor **counts, wk_tensor **number, int64_t size) {
    const wk_unique_padded_opts opts = { size };
    wk_tensor *out[4] = { NULL };
    bool done = wk_op_run(&unique_padded_row, (wk_tensor *const[]){ x }, 1, out, &opts) == WK_OK;
    if (inverse) *inverse = done ? out[1] : NULL;
    if (counts) *counts = done ? out[2] : NULL;
    if (number) *number = done ? out[3] : NULL;
    return done ? out[0] : NULL;
}

static wk_status unique_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *counts, *number, *values = wk_unique_padded(call->in[0], &out[1], &counts, &number, call->in[0]->count);
    if (!values) return wk_error_code();
    int64_t many = (int64_t)wk_item(number);
    out[0] = wk_slice(values, 0, 0, many, 1);
    out[2] = wk_slice(counts, 0, 0, many, 1);
    return out[2] ? WK_OK : wk_error_code();
}
static wk_op_def unique_row = { .name = "unique",
                                .doc = "distinct values in order, inverse, counts",
                                .n_in = 1,
                                .n_out = 3,
                                .composite = true,
                                .data_dependent = true,
                                .dtype = { .allowed = { ANY } },
                                .not_differentiable = "distinct values have no gradient in PyTorch either",
                                .decompose = unique_parts,
                                .cost = counting,
                                .samples = unique_samples };
wk_tensor *wk_unique(wk_tensor *x, wk_tensor **inverse, wk_tensor **counts) {
    wk_tensor *out[3] = { NULL };
    bool done = wk_op_run(&unique_row, (wk_tensor *const[]){ x }, 1, out, NULL) == WK_OK;
    if (inverse) *inverse = done ? out[1] : NULL;
    if (counts) *counts = done ? out[2] : NULL;
    return done ? out[0] : NULL;
}

static const wk_attr_def bincount_attrs[] = { { "minlength", WK_ATTR_INT, offsetof(wk_bincount_opts, minlength), 0,
                                                NULL, 0, "least length of the result" } };
static wk_op_def bincount_row = { .name = "bincount",
                                  .doc = "how often each of 0, 1, 2, … comes",
                                  .n_in = 1,
                                  .n_out = 1,
                                  .data_dependent = true,
                                  .attrs = bincount_attrs,
                                  .n_attrs = 1,
                                  .attrs_size = sizeof(wk_bincount_opts),
                                  .dtype = { .allowed = { WK_INTEGERS } },
                                  .shape = bincount_shape,
                                  .not_differentiable = PLACE,
                                  .cost = counting,
                                  .samples = bincount_samples };
static wk_op_def weighted_bincount_row = { .name = "weighted_bincount",
                                           .doc = "the sums of the weights of 0, 1, 2, …",
                                           .n_in = 2,
                                           .n_out = 1,
                                           .key = 1,
                                           .composite = true,
                                           .data_dependent = true,
                                           .attrs = bincount_attrs,
                                           .n_attrs = 1,
                                           .attrs_size = sizeof(wk_bincount_opts),
                                           .dtype = { .allowed = { WK_INTEGERS, WK_FLOATS } },
                                           .decompose = weighted_bincount_parts,
                                           .cost = counting,
                                           .samples = weighted_bincount_samples };
wk_tensor *wk_bincount(wk_tensor *x, wk_tensor *weights, wk_bincount_opts opts) {
    return weights ? wk_op_run2(&weighted_bincount_row, &opts, x, weights) : wk_op_run1(&bincount_row, &opts, x);
}

static const wk_attr_def histc_attrs[] = {
    { "bins", WK_ATTR_INT, offsetof(wk_histc_opts, bins), 0, NULL, 0, "equal parts; 0: 100" },
    { "min", WK_ATTR_FLOAT, offsetof(wk_histc_opts, min), 0, NULL, 0, "where the first begins" },
    { "max", WK_ATTR_FLOAT, offsetof(wk_histc_opts, max), 0, NULL, 0, "where the last ends; equal to min: of x" },
};
static wk_op_def histc_row = { .name = "histc",
                               .doc = "how many elements fall into each of equal parts of a range",
                               .n_in = 1,
                               .n_out = 1,
                               .attrs = histc_attrs,
                               .n_attrs = 3,
                               .attrs_size = sizeof(wk_histc_opts),
                               .dtype = { .allowed = { WK_FLOATS } },
                               .shape = histc_shape,
                               .not_differentiable = PLACE,
                               .cost = counting,
                               .samples = histc_samples };
wk_tensor *wk_histc(wk_tensor *x, wk_histc_opts opts) {
    return wk_op_run1(&histc_row, &opts, x);
}

static const wk_attr_def search_attrs[] = { { "right", WK_ATTR_BOOL, offsetof(wk_searchsorted_opts, right), 0, NULL, 0,
                                              "behind equal elements" } };
static wk_op_def searchsorted_row = { .name = "searchsorted",
                                      .doc = "where values would stand in rows that are in order",
                                      .n_in = 2,
                                      .n_out = 1,
                                      .attrs = search_attrs,
                                      .n_attrs = 1,
                                      .attrs_size = sizeof(wk_searchsorted_opts),
                                      .dtype = { .allowed = { WK_NUMBERS, WK_NUMBERS }, .same = 3, .promote = true },
                                      .shape = searchsorted_shape,
                                      .not_differentiable = PLACE,
                                      .cost = counting,
                                      .samples = searchsorted_samples };
wk_tensor *wk_searchsorted(wk_tensor *sorted, wk_tensor *values, wk_searchsorted_opts opts) {
    return wk_op_run2(&searchsorted_row, &opts, sorted, values);
}

static wk_status bucketize_parts(const wk_call *call, wk_tensor *out[]) {
    if (call->in[1]->rank != 1)
        return wk_bad_call(call, WK_SHAPE, "boundaries have rank %d, expected 1", call->in[1]->rank);
    return give(out, wk_searchsorted(call->in[1], call->in[0], *(const wk_searchsorted_opts *)call->attrs));
}
static wk_op_def bucketize_row = { .name = "bucketize",
                                   .doc = "between which boundaries elements stand",
                                   .n_in = 2,
                                   .n_out = 1,
                                   .composite = true,
                                   .attrs = search_attrs,
                                   .n_attrs = 1,
                                   .attrs_size = sizeof(wk_searchsorted_opts),
                                   .dtype = { .allowed = { WK_NUMBERS, WK_NUMBERS }, .same = 3, .promote = true },
                                   .not_differentiable = PLACE,
                                   .decompose = bucketize_parts,
                                   .cost = counting,
                                   .samples = bucketize_samples };
wk_tensor *wk_bucketize(wk_tensor *x, wk_tensor *boundaries, wk_searchsorted_opts opts) {
    return wk_op_run2(&bucketize_row, &opts, x, boundaries);
}

wk_op_def *const wk__rows_counting[] = { &unique_row, &unique_padded_row, &bincount_row,  &weighted_bincount_row,
                                         &histc_row,  &searchsorted_row,  &bucketize_row, NULL };
