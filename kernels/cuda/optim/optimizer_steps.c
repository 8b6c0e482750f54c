/* optimizer_steps.c: the rows of optimizers.  Scalars, step counts and numbers stay with the host, which works out what
 * all elements of a parameter share; the launch carries it.  Of a graph's launch it lies on the device, and behind it
 * on the host which of these numbers each parameter takes: that, a launch keeps. */
#include "cpu/simd/optim/optimizer_numbers.h"

#include "cuda/cuda.h"
#include "cuda/optim/lists.h"

#include <string.h>

typedef struct step_rule {
    void (*prepare)(step_numbers *k, const double *h, double t, const double *number);
    void (*finish)(const double *h, double lr, double t, double *const number[]);
} step_rule;

/* In the order of WK_STEP_ROWS. */
static const step_rule rules[] = {
    { sgd_prepare, NULL },   { adam_prepare, NULL },        { adamax_prepare, NULL },   { nadam_prepare, nadam_finish },
    { radam_prepare, NULL }, { adagrad_prepare, NULL },     { adadelta_prepare, NULL }, { rmsprop_prepare, NULL },
    { rprop_prepare, NULL }, { asgd_prepare, asgd_finish }, { lion_prepare, NULL },
};

/* The call's operands, each list of `count` tensors. */
typedef struct operands {
    const double *scalars;
    const double *clip; /* on the device, or NULL */
    int64_t count;
    wk_tensor *const *parameter, *const *gradient, *const *steps, *const *number[WK_STEP_NUMBERS];
    wk_tensor *const *state[WK_STEP_STATES], *const *stored;
} operands;

static operands operands_of(const wk_call *call) {
    const wk_step_attrs *attrs = call->attrs;
    const int64_t count = attrs->count;
    wk_tensor *const *list = call->in + 1;
    operands o = { .scalars = call->in[0]->data, .count = count, .parameter = list };
    o.gradient = list += count;
    o.steps = list += count;
    for (int i = 0; i < attrs->numbers; i++) o.number[i] = list += count;
    for (int i = 0; i < WK_STEP_STATES; i++)
        if (attrs->states >> i & 1) o.state[i] = list += count;
    if (attrs->masters) o.stored = list + count;
    if (attrs->clipped) o.clip = call->in[call->n_in - 1]->data;
    return o;
}

static double step_number(const operands *o, int64_t which) {
    return (double)(*(const int64_t *)o->steps[which]->data + 1);
}

static step_numbers numbers_of(const operands *o, const step_rule *rule, int64_t which) {
    double number[WK_STEP_NUMBERS] = { 0 };
    for (int i = 0; i < WK_STEP_NUMBERS; i++)
        if (o->number[i]) number[i] = *(const double *)o->number[i][which]->data;
    step_numbers k;
    memset(&k, 0, sizeof k); /* compared byte by byte */
    k.factor = o->scalars[WK_STEP_FACTOR];
    k.lr = o->scalars[WK_STEP_LR];
    k.decay = o->scalars[WK_STEP_DECAY];
    k.shrink = 1;
    rule->prepare(&k, o->scalars + WK_STEP_OPTION, step_number(o, which), number);
    return k;
}

/* The place of these numbers among the launch's, which has `used`; WK_CUDA_DISTINCT: there is no room. */
static int place_numbers(wk_cuda_step *step, int *used, const step_numbers *k) {
    for (int i = 0; i < *used; i++)
        if (memcmp(&step->numbers[i], k, sizeof *k) == 0) return i;
    if (*used == WK_CUDA_DISTINCT) return WK_CUDA_DISTINCT;
    step->numbers[*used] = *k;
    return (*used)++;
}

static void add(wk_cuda_step *step, const operands *o, int64_t i, int numbers) {
    const wk_tensor *p = o->parameter[i], *g = o->gradient[i], *stored = o->stored ? o->stored[i] : p;
    wk_cuda_step_entry *e = &step->entry[step->n++];
    *e = (wk_cuda_step_entry){ .parameter = p->data,
                               .gradient = g->data,
                               .stored = stored != p ? stored->data : NULL,
                               .count = p->count,
                               .first_block = step->blocks,
                               .gradient_dtype = g->dtype,
                               .stored_dtype = stored->dtype,
                               .numbers = (uint8_t)numbers };
    for (int k = 0; k < WK_STEP_STATES; k++) e->state[k] = o->state[k] ? o->state[k][i]->data : NULL;
    step->wide = p->dtype == WK_F64;
    step->blocks += (int32_t)((p->count + WK_CUDA_SPAN - 1) / WK_CUDA_SPAN);
}

/* Numbers that were equal may differ now (a state was loaded), or the other way round: another launch is needed. */
static wk_status note_places(wk_kernel_ctx *ctx, const wk_cuda_step *step) {
    uint8_t places[WK_CUDA_MANY];
    const void *at;
    for (int i = 0; i < step->n; i++) places[i] = step->entry[i].numbers;
    const char *noted = ctx->noted->host + (ctx->noted->used + 15) / 16 * 16;
    const bool again = ctx->noted->phase == WK_NOTED_NUMBERS;
    if (again && ctx->noted->used + 15 + (size_t)step->n <= ctx->noted->room
        && memcmp(noted, places, (size_t)step->n) != 0)
        return wk_fail(WK_STATE, "parameters take their numbers of the step in another arrangement");
    return wk__cuda_note(ctx, places, (size_t)step->n, &at);
}

static wk_status flush(wk_kernel_ctx *ctx, const wk_call *call, int rule, wk_cuda_step *step, int *used) {
    const void *at;
    WK_TRY(wk__cuda_note(ctx, step->numbers, sizeof step->numbers, &at));
    step->at = at;
    if (ctx->noted) WK_TRY(note_places(ctx, step));
    wk_status status = WK_OK;
    if (wk_cuda_launches(ctx)) status = wk__cuda_launched(call, wk__cuda_optimizer_step(rule, step, ctx->stream));
    step->n = step->blocks = *used = 0;
    return status;
}

static wk_status launch_all(wk_kernel_ctx *ctx, const wk_call *call, const operands *o, int rule, wk_cuda_step *step) {
    int used = 0;
    for (int64_t i = 0; i < o->count; i++) {
        const step_numbers k = numbers_of(o, &rules[rule], i);
        const bool other_type = step->n > 0 && step->wide != (o->parameter[i]->dtype == WK_F64);
        int place = place_numbers(step, &used, &k);
        if (place == WK_CUDA_DISTINCT || step->n == WK_CUDA_MANY || other_type) {
            WK_TRY(flush(ctx, call, rule, step, &used));
            place = place_numbers(step, &used, &k);
        }
        add(step, o, i, place);
    }
    return step->n ? flush(ctx, call, rule, step, &used) : WK_OK;
}

static void count_up(const operands *o, const step_rule *rule) {
    for (int64_t i = 0; i < o->count; i++) {
        double *number[WK_STEP_NUMBERS] = { NULL };
        for (int k = 0; k < WK_STEP_NUMBERS; k++)
            if (o->number[k]) number[k] = o->number[k][i]->data;
        if (rule->finish) rule->finish(o->scalars + WK_STEP_OPTION, o->scalars[WK_STEP_LR], step_number(o, i), number);
        ++*(int64_t *)o->steps[i]->data;
    }
}

static wk_status run_rule(wk_kernel_ctx *ctx, const wk_call *call, int rule) {
    const operands o = operands_of(call);
    if (o.count == 0) return WK_OK;
    if (o.scalars[WK_STEP_FOUND_INF] != 0) /* nothing is launched, which no graph could repeat */
        return ctx->noted ? wk_fail(WK_STATE, "a gradient is not finite: the step is left out") : WK_OK;
    wk_status status = WK_OK;
    if (!ctx->noted || ctx->noted->phase != WK_NOTED_COUNTS) {
        wk_cuda_step *step = wk_alloc(sizeof *step);
        if (!step) return WK_NO_MEMORY;
        step->clip = o.clip;
        status = launch_all(ctx, call, &o, rule, step);
        wk_free(step);
    }
    const bool counts = !ctx->noted || ctx->noted->phase == WK_NOTED_COUNTS;
    if (status == WK_OK && counts) count_up(&o, &rules[rule]);
    return status;
}

enum {
#define PLACE(name, states, least, numbers) rule_##name,
    WK_STEP_ROWS(PLACE)
};
#define RULE(name, states, least, numbers)                                  \
    static wk_status name##_step(wk_kernel_ctx *ctx, const wk_call *call) { \
        return run_rule(ctx, call, rule_##name);                            \
    }
WK_STEP_ROWS(RULE)

const wk_cuda_entry wk__cuda_optimizer_steps[] = {
#define ENTRY(name, states, least, numbers) { #name "_step", WK_F32_F64, name##_step },
    WK_STEP_ROWS(ENTRY){ 0 },
};
