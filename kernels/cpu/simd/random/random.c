/* random.c: random numbers by Philox 4x32-10, each a function of key and position.
 *
 * Element i takes word i % 4 of the block with counter i / 4; what needs 64 bits takes words 2 (i % 2) and the next of
 * block i / 2.  Blocks are drawn 32 at a time, and threads get whole groups of them, so neither team nor vector width
 * shows in the numbers.  A float has 24 random bits, a double 53.
 */
#include "cpu/simd/iterate.h"
#include "cpu/simd/philox.h"
#include "cpu/simd/vector_math.h"

#include <math.h>

enum { WORDS = 128 };

typedef struct draw_plan {
    wk_philox key;
    double a, b; /* of the distribution */
    int64_t low;
    uint64_t range;
    const char *p; /* bernoulli: probabilities, row major */
    char *out;
    unsigned dtype;
} draw_plan;

/* n values, at most WORDS of f32 or WORDS / 2 of f64 and i64, from their words; `first` is their position. */
typedef void (*draw_values)(const draw_plan *plan, void *values, const uint32_t *words, int64_t first, int64_t n);

static inline double unit_f64(const uint32_t *words) {
    return (double)(((uint64_t)words[0] << 32 | words[1]) >> 11) * 0x1p-53;
}
static inline float unit_f32(uint32_t word) {
    return (float)(word >> 8) * 0x1p-24f;
}

static void uniform_f32(const draw_plan *plan, void *values, const uint32_t *words, int64_t first, int64_t n) {
    float *out = values, low = (float)plan->a, range = (float)(plan->b - plan->a);
    float below = nextafterf((float)plan->b, -INFINITY);
    (void)first;
    for (int64_t i = 0; i < n; i++) {
        float value = low + range * unit_f32(words[i]);
        out[i] = value > below && range > 0 ? below : value; /* rounding may reach high */
    }
}
static void uniform_f64(const draw_plan *plan, void *values, const uint32_t *words, int64_t first, int64_t n) {
    double *out = values, range = plan->b - plan->a, below = nextafter(plan->b, -(double)INFINITY);
    (void)first;
    for (int64_t i = 0; i < n; i++) {
        double value = plan->a + range * unit_f64(words + 2 * i);
        out[i] = value > below && range > 0 ? below : value;
    }
}

/* Box and Muller: two uniform numbers make two normal ones; the first lies in (0, 1]. */
static void normal_f32(const draw_plan *plan, void *values, const uint32_t *words, int64_t first, int64_t n) {
    float *out = values, mean = (float)plan->a, deviation = (float)plan->b, pair[WORDS];
    (void)first;
    for (int64_t i = 0; i < WORDS / 2; i++) {
        float radius = sqrtf(-2 * wk_log_f32(unit_f32(words[2 * i]) + 0x1p-24f));
        float angle = 6.2831853f * unit_f32(words[2 * i + 1]);
        pair[2 * i] = radius * wk_trigonometry_f32(angle, 1);
        pair[2 * i + 1] = radius * wk_trigonometry_f32(angle, 0);
    }
    for (int64_t i = 0; i < n; i++) out[i] = mean + deviation * pair[i];
}
static void normal_f64(const draw_plan *plan, void *values, const uint32_t *words, int64_t first, int64_t n) {
    double *out = values;
    (void)first;
    for (int64_t i = 0; i < n; i += 2) {
        double radius = sqrt(-2 * log(unit_f64(words + 2 * i) + 0x1p-53));
        double angle = 6.283185307179586 * unit_f64(words + 2 * i + 2);
        out[i] = plan->a + plan->b * radius * cos(angle);
        if (i + 1 < n) out[i + 1] = plan->a + plan->b * radius * sin(angle);
    }
}

static void exponential_f32(const draw_plan *plan, void *values, const uint32_t *words, int64_t first, int64_t n) {
    float *out = values, mean = (float)(1 / plan->a);
    (void)first;
    for (int64_t i = 0; i < n; i++) out[i] = -mean * wk_log_f32(unit_f32(words[i]) + 0x1p-24f);
}
static void exponential_f64(const draw_plan *plan, void *values, const uint32_t *words, int64_t first, int64_t n) {
    double *out = values;
    (void)first;
    for (int64_t i = 0; i < n; i++) out[i] = -log(unit_f64(words + 2 * i) + 0x1p-53) / plan->a;
}

__extension__ typedef unsigned __int128 product_of_words;
/* The upper half of a product of 64-bit numbers: off by less than 2^-64 of the range, and no division. */
static uint64_t below(const uint32_t *words, uint64_t range) {
    uint64_t word = (uint64_t)words[0] << 32 | words[1];
    return (uint64_t)((product_of_words)word * range >> 64);
}
static void randint_i64(const draw_plan *plan, void *values, const uint32_t *words, int64_t first, int64_t n) {
    int64_t *out = values;
    (void)first;
    for (int64_t i = 0; i < n; i++) out[i] = (int64_t)((uint64_t)plan->low + below(words + 2 * i, plan->range));
}

static void bernoulli_values(const draw_plan *plan, void *values, const uint32_t *words, int64_t first, int64_t n) {
    wk_staging buffer;
    const char *from = plan->p + first * (int64_t)wk_size_of(plan->dtype);
    const float *p = plan->dtype == WK_F64 ? NULL : wk_stage_in(&buffer, from, plan->dtype, 1, n);
    for (int64_t i = 0; i < n; i++) {
        if (plan->dtype == WK_F64)
            ((double *)values)[i] = unit_f64(words + 2 * i) < ((const double *)(const void *)from)[i];
        else
            ((float *)values)[i] = unit_f32(words[i]) < p[i];
    }
}

static void draw_range(const draw_plan *plan, draw_values draw, int64_t begin, int64_t end) {
    bool wide = wk_size_of(plan->dtype) == 8;
    int64_t size = (int64_t)wk_size_of(plan->dtype), group = wide ? WORDS / 2 : WORDS;
    uint32_t words[WORDS];
    wk_staging values;
    for (int64_t at = begin; at < end; at += group) {
        int64_t n = end - at < group ? end - at : group;
        wk_philox_run(&plan->key, (uint64_t)(wide ? at / 2 : at / 4), WORDS / 4, words);
        void *to = plan->out + at * size;
        draw(plan, wk_is_half(plan->dtype) ? &values : to, words, at, n);
        if (wk_is_half(plan->dtype)) wk_stage_out(to, &values, plan->dtype, 1, n);
    }
}

static wk_status fill(const wk_kernel_ctx *ctx, const wk_call *call, const wk_tensor *key, draw_plan *plan,
                      draw_values draw) {
    const wk_tensor *out = call->out[0];
    const int64_t *words = key->data;
    plan->key = (wk_philox){ { (uint32_t)words[0], (uint32_t)((uint64_t)words[0] >> 32) }, (uint64_t)words[1] };
    plan->out = out->data;
    plan->dtype = out->dtype;
    int team = wk_cpu_team(ctx, out->count * (int64_t)sizeof(double));
    if (team == 1) {
        draw_range(plan, draw, 0, out->count);
        return WK_OK;
    }
#pragma omp parallel num_threads(team)
    {
        int64_t begin, end;
        wk_share(out->count, WORDS, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
        draw_range(plan, draw, begin, end);
    }
    return WK_OK;
}

#define BY_WIDTH(name) (call->out[0]->dtype == WK_F64 ? name##_f64 : name##_f32)

static wk_status uniform(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_uniform_opts *opts = call->attrs;
    draw_plan plan = { .a = wk_optional_or(opts->low, 0), .b = wk_optional_or(opts->high, 1) };
    return fill(ctx, call, call->in[0], &plan, BY_WIDTH(uniform));
}
static wk_status normal(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_normal_opts *opts = call->attrs;
    draw_plan plan = { .a = opts->mean, .b = wk_optional_or(opts->deviation, 1) };
    return fill(ctx, call, call->in[0], &plan, BY_WIDTH(normal));
}
static wk_status exponential(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_exponential_opts *opts = call->attrs;
    draw_plan plan = { .a = wk_optional_or(opts->rate, 1) };
    return fill(ctx, call, call->in[0], &plan, BY_WIDTH(exponential));
}
static wk_status randint(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_randint_opts *opts = call->attrs;
    draw_plan plan = { .low = opts->low, .range = (uint64_t)opts->high - (uint64_t)opts->low };
    return fill(ctx, call, call->in[0], &plan, randint_i64);
}

/* Probabilities of another layout than row major are brought together first. */
static wk_status bernoulli(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *p = call->in[0];
    int64_t size = (int64_t)wk_size_of(p->dtype);
    draw_plan plan = { .p = p->data };
    for (int64_t i = 0; i < p->count && !(p->flags & WK_TENSOR_CONTIGUOUS); i++) {
        const char *from = (const char *)p->data + wk_element_at(p, i) * size;
        memcpy((char *)call->out[0]->data + i * size, from, (size_t)size);
        plan.p = call->out[0]->data; /* read just before it is written */
    }
    return fill(ctx, call, call->in[1], &plan, bernoulli_values);
}

/* Fisher and Yates; the draw for position i is that of element i. */
static wk_status permutation(wk_kernel_ctx *ctx, const wk_call *call) {
    (void)ctx;
    const int64_t *key = call->in[0]->data;
    int64_t *order = call->out[0]->data, count = call->out[0]->count;
    const wk_philox philox = { { (uint32_t)key[0], (uint32_t)((uint64_t)key[0] >> 32) }, (uint64_t)key[1] };
    uint32_t words[WORDS];
    for (int64_t i = 0; i < count; i++) order[i] = i;
    for (int64_t i = 0; i + 1 < count; i++) {
        if (i % (WORDS / 2) == 0) wk_philox_run(&philox, (uint64_t)i / 2, WORDS / 4, words);
        int64_t other = i + (int64_t)below(words + 2 * (i % (WORDS / 2)), (uint64_t)(count - i)), held = order[i];
        order[i] = order[other];
        order[other] = held;
    }
    return WK_OK;
}

WK_CPU_TABLE(random) = {
    { "uniform", WK_FLOATS, uniform },
    { "normal", WK_FLOATS, normal },
    { "exponential", WK_FLOATS, exponential },
    { "randint", WK_SET_OF(WK_I64), randint },
    { "bernoulli", WK_FLOATS, bernoulli },
    { "permutation", WK_SET_OF(WK_I64), permutation },
    { 0 },
};
