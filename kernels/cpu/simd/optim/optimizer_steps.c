/* optimizer_steps.c: one step of an optimizer over a whole list of parameters.
 *
 * A rule is three small functions: `prepare` turns options and step count into the numbers that all elements share
 * (computed in f64, rounded once), the loops of optimizer_body.h apply them, `finish` moves what is kept for a whole
 * parameter.  The rest (walking the list, masters of half precision, the predicate) is common.  A step reads and writes
 * each number once (28 bytes a parameter for Adam), which is what limits it.
 */
#include "cpu/simd/optim/lists.h"
#include "cpu/simd/optim/optimizer_numbers.h"

#define PART          static
#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define T       float
#define NAME(x) x##_f32
#define ROOT    sqrtf
#define ABS     fabsf
#include "cpu/simd/optim/optimizer_body.h"
#undef T
#undef NAME
#undef ROOT
#undef ABS
#define T       double
#define NAME(x) x##_f64
#define ROOT    sqrt
#define ABS     fabs
#include "cpu/simd/optim/optimizer_body.h"
#undef T
#undef NAME
#undef ROOT
#undef ABS

/* ---- the walk ---- */

typedef struct step_rule {
    void (*prepare)(step_numbers *k, const double *h, double t, const double *number);
    void (*finish)(const double *h, double lr, double t, double *const number[]);
    void (*f32)(float *restrict p, const float *restrict g, float *const s[], int64_t n, const step_numbers *k);
    void (*f64)(double *restrict p, const double *restrict g, double *const s[], int64_t n, const step_numbers *k);
} step_rule;

typedef struct step {
    const step_rule *rule;
    const double *scalars;
    double factor; /* of gradients */
    wk_tensor *const *parameter, *const *gradient, *const *count, *const *number[WK_STEP_NUMBERS];
    wk_tensor *const *state[WK_STEP_STATES], *const *stored; /* NULL: none */
    step_numbers numbers;                                    /* of a thread's last visit, which was … */
    int64_t prepared;                                        /* … of a parameter at this step; 0: none yet */
} step;

static int64_t step_number(const step *s, int64_t which) {
    return *(const int64_t *)s->count[which]->data + 1;
}

static void prepare(step *s, int64_t which) {
    int64_t t = step_number(s, which);
    if (s->prepared == t && !s->number[0]) return; /* most parameters have seen as many steps as the one before */
    double number[WK_STEP_NUMBERS] = { 0 };
    for (int i = 0; i < WK_STEP_NUMBERS; i++)
        if (s->number[i]) number[i] = *(const double *)s->number[i][which]->data;
    s->numbers = (step_numbers){
        .factor = s->factor, .lr = s->scalars[WK_STEP_LR], .decay = s->scalars[WK_STEP_DECAY], .shrink = 1
    };
    s->rule->prepare(&s->numbers, s->scalars + WK_STEP_OPTION, (double)t, number);
    s->prepared = t;
}

/* bf16 and f16: the gradient is widened and the result rounded in pieces that stay in the first-level cache. */
static void half_visit(const step *s, int64_t which, int64_t begin, int64_t n) {
    float gradient[WK_CHUNK];
    const wk_tensor *stored = s->stored[which], *given = s->gradient[which];
    for (int64_t done = 0; done < n; done += WK_CHUNK) {
        int64_t part = n - done < WK_CHUNK ? n - done : WK_CHUNK, at = begin + done;
        float *p = wk_list_element(s->parameter[which], at), *state[WK_STEP_STATES];
        for (int i = 0; i < WK_STEP_STATES; i++)
            state[i] = s->state[i] ? wk_list_element(s->state[i][which], at) : NULL;
        const float *g = wk_list_element(given, at);
        if (wk_is_half(given->dtype)) {
            wk_widen(gradient, (const uint16_t *)(const void *)g, part, given->dtype);
            g = gradient;
        }
        s->rule->f32(p, g, state, part, &s->numbers);
        wk_narrow(wk_list_element(stored, at), p, part, stored->dtype);
    }
}

static void step_visit(void *context, int64_t which, int64_t begin, int64_t n) {
    step *s = context;
    prepare(s, which);
    if (s->stored && s->stored[which] != s->parameter[which]) {
        half_visit(s, which, begin, n);
        return;
    }
    void *p = wk_list_element(s->parameter[which], begin), *g = wk_list_element(s->gradient[which], begin);
    if (s->parameter[which]->dtype == WK_F64) {
        double *state[WK_STEP_STATES];
        for (int i = 0; i < WK_STEP_STATES; i++)
            state[i] = s->state[i] ? wk_list_element(s->state[i][which], begin) : NULL;
        s->rule->f64(p, g, state, n, &s->numbers);
    } else {
        float *state[WK_STEP_STATES];
        for (int i = 0; i < WK_STEP_STATES; i++)
            state[i] = s->state[i] ? wk_list_element(s->state[i][which], begin) : NULL;
        s->rule->f32(p, g, state, n, &s->numbers);
    }
}

static void count_up(const step *s, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        double *number[WK_STEP_NUMBERS] = { NULL };
        for (int k = 0; k < WK_STEP_NUMBERS; k++)
            if (s->number[k]) number[k] = s->number[k][i]->data;
        if (s->rule->finish)
            s->rule->finish(s->scalars + WK_STEP_OPTION, s->scalars[WK_STEP_LR], (double)step_number(s, i), number);
        ++*(int64_t *)s->count[i]->data;
    }
}

static wk_status run_rule(wk_kernel_ctx *ctx, const wk_call *call, const step_rule *rule) {
    const wk_step_attrs *attrs = call->attrs;
    int64_t count = attrs->count;
    step s = { .rule = rule, .scalars = call->in[0]->data };
    s.factor = s.scalars[WK_STEP_FACTOR];
    if (attrs->clipped) s.factor *= *(const double *)call->in[call->n_in - 1]->data;
    if (s.scalars[WK_STEP_FOUND_INF] != 0 || count == 0) return WK_OK;
    wk_tensor *const *list = call->in + 1;
    s.parameter = list;
    s.gradient = list += count;
    s.count = list += count;
    for (int i = 0; i < attrs->numbers; i++) s.number[i] = list += count;
    int64_t moved = 12;
    for (int i = 0; i < WK_STEP_STATES; i++)
        if (attrs->states >> i & 1) s.state[i] = list += count, moved += 8;
    if (attrs->masters) s.stored = list + count;
    int64_t total = wk_list_total(s.parameter, count);
    int team = wk_moving_team(ctx, total * moved);
    if (team == 1) {
        wk_list_range(s.parameter, count, 0, total, step_visit, &s);
    } else {
#pragma omp parallel num_threads(team)
        {
            step mine = s;
            int64_t begin, end;
            wk_share(total, 64, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
            wk_list_range(s.parameter, count, begin, end, step_visit, &mine);
        }
    }
    count_up(&s, count);
    return WK_OK;
}

#define RULE(name, finish_)                                                                \
    static wk_status name##_step(wk_kernel_ctx *ctx, const wk_call *call) {                \
        static const step_rule rule = { name##_prepare, finish_, name##_f32, name##_f64 }; \
        return run_rule(ctx, call, &rule);                                                 \
    }
RULE(sgd, NULL)
RULE(adam, NULL)
RULE(adamax, NULL)
RULE(nadam, nadam_finish)
RULE(radam, NULL)
RULE(adagrad, NULL)
RULE(adadelta, NULL)
RULE(rmsprop, NULL)
RULE(rprop, NULL)
RULE(asgd, asgd_finish)
RULE(lion, NULL)

WK_CPU_TABLE(optimizer_steps) = {
#define ENTRY(name, states, least, numbers) { #name "_step", WK_F32_F64, name##_step },
    WK_STEP_ROWS(ENTRY){ 0 },
};
