/* random.c: tensors of random numbers, each a function of a key and its position. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <math.h>

static wk_cost draw_cost(const wk_call *call) {
    return wk__cost_elements(call, 20);
}

static wk_status check_key(const wk_call *call, const wk_tensor *key) {
    char text[160];
    if (key->rank == 1 && key->shape[0] == 2 && (key->flags & WK_TENSOR_CONTIGUOUS)) return WK_OK;
    return wk_bad_call(call, WK_SHAPE, "key is %s, expected (2) i64, row major: a seed and a draw number",
                       wk_describe(key, text, sizeof text));
}

static wk_status of_dims(const wk_call *call, const wk_dims *dims, wk_dtype dtype, wk_dtype_set allowed, wk_desc *out) {
    WK_TRY(check_key(call, call->in[0]));
    if (dims->rank < 0 || dims->rank > WK_MAX_RANK) return wk_bad_call(call, WK_SHAPE, "rank %d", dims->rank);
    if ((unsigned)dtype >= WK_DTYPE_COUNT || !(allowed >> dtype & 1))
        return wk_bad_call(call, WK_DTYPE, "dtype is %s, expected a float type", wk_dtype_name(dtype));
    *out = wk_desc_row_major(dtype, dims->rank, dims->size);
    return WK_OK;
}

/* ---- shapes ---- */

static wk_status uniform_shape(const wk_call *call, wk_desc out[]) {
    const wk_uniform_opts *opts = call->attrs;
    double low = wk_optional_or(opts->low, 0), high = wk_optional_or(opts->high, 1);
    if (!(low <= high) || !isfinite(high - low))
        return wk_bad_call(call, WK_INVALID, "low is %g, high is %g: expected low ≤ high, both finite", low, high);
    return of_dims(call, &opts->dims, opts->dtype, WK_FLOATS, out);
}
static wk_status normal_shape(const wk_call *call, wk_desc out[]) {
    const wk_normal_opts *opts = call->attrs;
    double deviation = wk_optional_or(opts->deviation, 1);
    if (!(deviation >= 0)) return wk_bad_call(call, WK_INVALID, "deviation is %g, expected at least 0", deviation);
    return of_dims(call, &opts->dims, opts->dtype, WK_FLOATS, out);
}
static wk_status exponential_shape(const wk_call *call, wk_desc out[]) {
    const wk_exponential_opts *opts = call->attrs;
    double rate = wk_optional_or(opts->rate, 1);
    if (!(rate > 0)) return wk_bad_call(call, WK_INVALID, "rate is %g, expected more than 0", rate);
    return of_dims(call, &opts->dims, opts->dtype, WK_FLOATS, out);
}
static wk_status randint_shape(const wk_call *call, wk_desc out[]) {
    const wk_randint_opts *opts = call->attrs;
    if (opts->low >= opts->high)
        return wk_bad_call(call, WK_INVALID, "low is %lld, high is %lld: expected low < high", (long long)opts->low,
                           (long long)opts->high);
    return of_dims(call, &opts->dims, WK_I64, WK_SET_OF(WK_I64), out);
}
static wk_status bernoulli_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(check_key(call, call->in[1]));
    out[0] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, call->in[0]->rank, call->in[0]->shape);
    return WK_OK;
}
static wk_status permutation_shape(const wk_call *call, wk_desc out[]) {
    int64_t count = ((const wk_permutation_opts *)call->attrs)->count;
    if (count < 0) return wk_bad_call(call, WK_INVALID, "count is %lld, expected at least 0", (long long)count);
    WK_TRY(check_key(call, call->in[0]));
    out[0] = wk_desc_row_major(WK_I64, 1, &count);
    return WK_OK;
}

static wk_status multinomial_shape(const wk_call *call, wk_desc out[]) {
    const int64_t count = ((const wk_multinomial_opts *)call->attrs)->count;
    const wk_tensor *p = call->in[0];
    char text[160];
    WK_TRY(check_key(call, call->in[1]));
    if (p->rank < 1 || p->shape[p->rank - 1] < 1)
        return wk_bad_call(call, WK_SHAPE, "p is %s, expected (…, K) with K from 1", wk_describe(p, text, sizeof text));
    if (count < 1 || count > INT64_MAX / 16)
        return wk_bad_call(call, WK_INVALID, "count is %lld, expected at least 1", (long long)count);
    wk_dims dims = wk__dims(p);
    dims.size[dims.rank - 1] = count;
    out[0] = wk_desc_row_major(WK_I64, dims.rank, dims.size);
    return WK_OK;
}

/* Uniform between the distribution function's values at the bounds, and back through its inverse. */
static wk_status truncated_normal_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_truncated_normal_opts *opts = call->attrs;
    const double deviation = wk_optional_or(opts->deviation, 1), low = wk_optional_or(opts->low, -2),
                 high = wk_optional_or(opts->high, 2);
    if (!(deviation > 0) || !(low < high) || !isfinite(opts->mean + deviation + low + high))
        return wk_bad_call(call, WK_INVALID,
                           "mean %g, deviation %g, low %g, high %g: expected deviation > 0, low < high", opts->mean,
                           deviation, low, high);
    const double from = erf((low - opts->mean) / deviation / M_SQRT2),
                 to = erf((high - opts->mean) / deviation / M_SQRT2);
    const wk_dtype working = opts->dtype == WK_F64 ? WK_F64 : WK_F32;
    const wk_uniform_opts between = { opts->dims, working, WK_SET(from), WK_SET(to) };
    wk_tensor *z = wk_erfinv(wk_uniform(call->in[0], between));
    wk_tensor *x = wk_affine(z, (wk_affine_opts){ deviation * M_SQRT2, opts->mean });
    out[0] = wk_cast(wk_clamp(x, (wk_clamp_opts){ .min = WK_SET(low), .max = WK_SET(high) }), opts->dtype);
    return WK_OK;
}

/* ---- samples: what comes out is compared by statistics (tests/tensor/random_rows.c) ---- */

#define KEY \
    { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 1000 }
#define DRAWS(id, type, ...)                                           \
    static void id##_samples(wk_sampler *s) {                          \
        const type matrix = { .dims = WK_DIMS(33, 65), __VA_ARGS__ };  \
        const type none = { .dims = WK_DIMS(3, 0), __VA_ARGS__ };      \
        WK_CASE(s, "matrix", &matrix, KEY);                            \
        const type huge = { .dims = WK_DIMS(512, 1024), __VA_ARGS__ }; \
        WK_CASE(s, "empty", &none, KEY);                               \
        WK_HUGE_CASE(s, "huge", &huge, KEY);                           \
        id##_more(s);                                                  \
    }
static void no_more(wk_sampler *s) {
    (void)s;
}
#define MORE(id, type)                                                         \
    static void id##_more(wk_sampler *s) {                                     \
        static const wk_dtype dtypes[] = { WK_F64, WK_BF16, WK_F16 };          \
        for (int i = 0; i < 3; i++) {                                          \
            const type opts = { .dims = WK_DIMS(37, 11), .dtype = dtypes[i] }; \
            WK_CASE(s, wk_dtype_name(dtypes[i]), &opts, KEY);                  \
        }                                                                      \
    }
MORE(uniform, wk_uniform_opts)
MORE(normal, wk_normal_opts)
MORE(exponential, wk_exponential_opts)
MORE(truncated_normal, wk_truncated_normal_opts)
#define randint_more no_more
DRAWS(uniform, wk_uniform_opts, .low = WK_SET(-1))
DRAWS(normal, wk_normal_opts, .mean = 2)
DRAWS(exponential, wk_exponential_opts, .rate = WK_SET(3))
DRAWS(randint, wk_randint_opts, .low = -3, .high = 9)
DRAWS(truncated_normal, wk_truncated_normal_opts, .mean = 1, .high = WK_SET(1.5))
static void multinomial_samples(wk_sampler *s) {
    const wk_multinomial_opts again = { 65, true }, once = { 5, false };
    WK_CASE(s, "again", &again, { .dims = WK_DIMS(33, 7), .low = 0.1, .high = 2 }, KEY);
    WK_CASE(s, "once", &once, { .dims = WK_DIMS(4, 3, 9), .low = 0.1, .high = 2, .strided = true }, KEY);
    WK_CASE(s, "one line", &once, { .dims = WK_DIMS(5), .low = 0.1, .high = 2 }, KEY);
    WK_CASE(s, "empty", &once, { .dims = WK_DIMS(0, 6), .low = 0.1, .high = 2 }, KEY);
    WK_HUGE_CASE(s, "huge", &again, { .dims = WK_DIMS(512, 1000), .low = 0.1, .high = 2 }, KEY);
}
static void bernoulli_samples(wk_sampler *s) {
    WK_CASE(s, "matrix", NULL, { .dims = WK_DIMS(33, 65), .low = 0.01, .high = 0.99 }, KEY);
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(7, 9), .low = 0.01, .high = 0.99, .strided = true }, KEY);
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024), .low = 0.01, .high = 0.99 }, KEY);
}
static void permutation_samples(wk_sampler *s) {
    const wk_permutation_opts none = { 0 }, many = { 1000 }, huge = { 100000 };
    WK_CASE(s, "none", &none, KEY);
    WK_CASE(s, "many", &many, KEY);
    WK_HUGE_CASE(s, "huge", &huge, KEY);
}

/* ---- rows ---- */

#define DIMS(type) \
    { "dims", WK_ATTR_DIMS, offsetof(type, dims), 0, NULL, 0, "shape of the result" }
#define DTYPE(type) \
    { "dtype", WK_ATTR_DTYPE, offsetof(type, dtype), 0, NULL, 0, "of the result" }
static const wk_attr_def uniform_attrs[] = {
    DIMS(wk_uniform_opts),
    DTYPE(wk_uniform_opts),
    { "low", WK_ATTR_OPTIONAL, offsetof(wk_uniform_opts, low), 0, NULL, 0, "smallest number" },
    { "high", WK_ATTR_OPTIONAL, offsetof(wk_uniform_opts, high), 0, NULL, 1, "all are below" },
};
static const wk_attr_def normal_attrs[] = {
    DIMS(wk_normal_opts),
    DTYPE(wk_normal_opts),
    { "mean", WK_ATTR_FLOAT, offsetof(wk_normal_opts, mean), 0, NULL, 0, "of the distribution" },
    { "deviation", WK_ATTR_OPTIONAL, offsetof(wk_normal_opts, deviation), 0, NULL, 1, "standard deviation" },
};
static const wk_attr_def exponential_attrs[] = {
    DIMS(wk_exponential_opts),
    DTYPE(wk_exponential_opts),
    { "rate", WK_ATTR_OPTIONAL, offsetof(wk_exponential_opts, rate), 0, NULL, 1, "one over the mean" },
};
static const wk_attr_def truncated_normal_attrs[] = {
    DIMS(wk_truncated_normal_opts),
    DTYPE(wk_truncated_normal_opts),
    { "mean", WK_ATTR_FLOAT, offsetof(wk_truncated_normal_opts, mean), 0, NULL, 0, "of the whole distribution" },
    { "deviation", WK_ATTR_OPTIONAL, offsetof(wk_truncated_normal_opts, deviation), 0, NULL, 1, "standard deviation" },
    { "low", WK_ATTR_OPTIONAL, offsetof(wk_truncated_normal_opts, low), 0, NULL, -2, "smallest number" },
    { "high", WK_ATTR_OPTIONAL, offsetof(wk_truncated_normal_opts, high), 0, NULL, 2, "largest number" },
};
static const wk_attr_def multinomial_attrs[] = {
    { "count", WK_ATTR_INT, offsetof(wk_multinomial_opts, count), 0, NULL, 0, "draws of a line" },
    { "replacement", WK_ATTR_BOOL, offsetof(wk_multinomial_opts, replacement), 0, NULL, 0,
      "what was drawn may come again" },
};
static const wk_attr_def randint_attrs[] = {
    DIMS(wk_randint_opts),
    { "low", WK_ATTR_INT, offsetof(wk_randint_opts, low), 0, NULL, 0, "smallest number" },
    { "high", WK_ATTR_INT, offsetof(wk_randint_opts, high), 0, NULL, 0, "all are below" },
};
static const wk_attr_def permutation_attrs[] = { { "count", WK_ATTR_INT, offsetof(wk_permutation_opts, count), 0, NULL,
                                                   0, "how many numbers" } };

#define RANDOM "its result does not depend on an input smoothly"
#define ROW(id, text, type)                                                                   \
    static wk_op_def id##_row = { .name = #id,                                                \
                                  .doc = text,                                                \
                                  .n_in = 1,                                                  \
                                  .host_in = 1,                                               \
                                  .n_out = 1,                                                 \
                                  .random = true,                                             \
                                  .keyed_by_output = true,                                    \
                                  .not_differentiable = RANDOM,                               \
                                  .attrs = id##_attrs,                                        \
                                  .n_attrs = (int)(sizeof id##_attrs / sizeof id##_attrs[0]), \
                                  .attrs_size = sizeof(type),                                 \
                                  .dtype = { .allowed = { WK_SET_OF(WK_I64) } },              \
                                  .shape = id##_shape,                                        \
                                  .cost = draw_cost,                                          \
                                  .samples = id##_samples }
ROW(uniform, "uniform in [low, high)", wk_uniform_opts);
ROW(normal, "normal", wk_normal_opts);
ROW(exponential, "exponential", wk_exponential_opts);
ROW(randint, "whole numbers in [low, high)", wk_randint_opts);
ROW(permutation, "the numbers below count in random order", wk_permutation_opts);
static wk_op_def bernoulli_row = { .name = "bernoulli",
                                   .doc = "1 with the probability given, else 0",
                                   .n_in = 2,
                                   .host_in = 2,
                                   .n_out = 1,
                                   .random = true,
                                   .not_differentiable = RANDOM,
                                   .dtype = { .allowed = { WK_FLOATS, WK_SET_OF(WK_I64) } },
                                   .shape = bernoulli_shape,
                                   .cost = draw_cost,
                                   .samples = bernoulli_samples };
static wk_op_def truncated_normal_row = { .name = "truncated_normal",
                                          .doc = "normal, of the numbers in [low, high] alone",
                                          .n_in = 1,
                                          .host_in = 1,
                                          .n_out = 1,
                                          .random = true,
                                          .not_differentiable = RANDOM,
                                          .composite = true,
                                          .attrs = truncated_normal_attrs,
                                          .n_attrs = 6,
                                          .attrs_size = sizeof(wk_truncated_normal_opts),
                                          .dtype = { .allowed = { WK_SET_OF(WK_I64) } },
                                          .decompose = truncated_normal_parts,
                                          .cost = draw_cost,
                                          .samples = truncated_normal_samples };
static wk_op_def multinomial_row = { .name = "multinomial",
                                     .doc = "positions drawn in proportion to weights",
                                     .n_in = 2,
                                     .host_in = 2,
                                     .n_out = 1,
                                     .random = true,
                                     .not_differentiable = RANDOM,
                                     .attrs = multinomial_attrs,
                                     .n_attrs = 2,
                                     .attrs_size = sizeof(wk_multinomial_opts),
                                     .dtype = { .allowed = { WK_FLOATS, WK_SET_OF(WK_I64) } },
                                     .shape = multinomial_shape,
                                     .cost = draw_cost,
                                     .samples = multinomial_samples };

wk_tensor *wk_uniform(wk_tensor *key, wk_uniform_opts opts) {
    return wk_op_run1(&uniform_row, &opts, key);
}
wk_tensor *wk_normal(wk_tensor *key, wk_normal_opts opts) {
    return wk_op_run1(&normal_row, &opts, key);
}
wk_tensor *wk_exponential(wk_tensor *key, wk_exponential_opts opts) {
    return wk_op_run1(&exponential_row, &opts, key);
}
wk_tensor *wk_randint(wk_tensor *key, wk_randint_opts opts) {
    return wk_op_run1(&randint_row, &opts, key);
}
wk_tensor *wk_bernoulli(wk_tensor *p, wk_tensor *key) {
    return wk_op_run2(&bernoulli_row, NULL, p, key);
}
wk_tensor *wk_permutation(wk_tensor *key, int64_t count) {
    const wk_permutation_opts opts = { count };
    return wk_op_run1(&permutation_row, &opts, key);
}
wk_tensor *wk_truncated_normal(wk_tensor *key, wk_truncated_normal_opts opts) {
    return wk_op_run1(&truncated_normal_row, &opts, key);
}
wk_tensor *wk_multinomial(wk_tensor *p, wk_tensor *key, wk_multinomial_opts opts) {
    return wk_op_run2(&multinomial_row, &opts, p, key);
}

wk_tensor *wk_random_key(void) {
    wk_generator *generator = wk_default_generator();
    wk_tensor *key = generator ? wk__empty_on(0, WK_I64, WK_DIMS(2)) : NULL;
    if (!key) return NULL;
    wk_context *context = wk__context();
    if (context->mode & WK__MODE_CAPTURE) wk__capture_look(context, "wk_random_key");
    int64_t *words = key->data;
    words[0] = (int64_t)generator->seed;
    words[1] = (int64_t)generator->counter++;
    return key;
}

wk_op_def *const wk__rows_random[] = { &uniform_row,          &normal_row,      &exponential_row,
                                       &randint_row,          &bernoulli_row,   &permutation_row,
                                       &truncated_normal_row, &multinomial_row, NULL };
