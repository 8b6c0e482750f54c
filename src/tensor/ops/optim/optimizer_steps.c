/* optimizer_steps.c: the rows of optimizers that are a function of one element: one step over all parameters, one pass
 * over memory, one fork of the team.
 *
 * What changes from step to step (learning rate, options, clip factor, found_inf) comes as a tensor, never as an
 * attribute, and step counts are tensors that the row counts up, so that a captured step stays valid.
 */
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static int states_in(int64_t mask) {
    int states = 0;
    for (int i = 0; i < WK_STEP_STATES; i++) states += (int)(mask >> i & 1);
    return states;
}

static wk_status bad_tensor(const wk_call *call, int64_t i, const wk_tensor *parameter, const char *expected) {
    char one[160], other[160];
    return wk_bad_call(call, WK_SHAPE, "tensor %lld is %s for parameter %s: expected %s", (long long)i,
                       wk_describe(call->in[i], one, sizeof one), wk_describe(parameter, other, sizeof other),
                       expected);
}

static bool is_number(const wk_tensor *t, wk_dtype dtype) {
    return t->count == 1 && t->dtype == dtype;
}

/* The operands of parameter i. */
static wk_status check_parameter(const wk_call *call, const wk_step_attrs *a, int64_t i) {
    const wk_tensor *p = call->in[1 + i];
    int64_t at = 1 + a->count + i, lists = 2 + a->numbers;
    const wk_tensor *stored = a->masters ? call->in[call->n_in - a->clipped - a->count + i] : p;
    if (!(WK_F32_F64 >> p->dtype & 1) || !(p->flags & WK_TENSOR_CONTIGUOUS))
        return bad_tensor(call, 1 + i, p, "f32 or f64, row major");
    const wk_tensor *g = call->in[at];
    if (g->count != p->count || (g->dtype != stored->dtype && g->dtype != p->dtype)
        || !(g->flags & WK_TENSOR_CONTIGUOUS))
        return bad_tensor(call, at, p, "a gradient of its count and dtype, row major");
    for (int64_t list = 1; list < lists; list++)
        if (!is_number(call->in[at + list * a->count], list == 1 ? WK_I64 : WK_F64))
            return bad_tensor(call, at + list * a->count, p, list == 1 ? "an i64 step count" : "an f64 number");
    for (int64_t list = lists; list < lists + states_in(a->states); list++) {
        const wk_tensor *t = call->in[at + list * a->count];
        if (t->count != p->count || t->dtype != p->dtype || !(t->flags & WK_TENSOR_CONTIGUOUS))
            return bad_tensor(call, at + list * a->count, p, "the same, row major");
    }
    if (stored == p) return WK_OK;
    bool is_half = stored->dtype == WK_BF16 || stored->dtype == WK_F16;
    if (!is_half || stored->count != p->count || p->dtype != WK_F32 || !(stored->flags & WK_TENSOR_CONTIGUOUS))
        return bad_tensor(call, call->n_in - a->clipped - a->count + i, p,
                          "the bf16 or f16 tensor that it is the f32 master of");
    return WK_OK;
}

static wk_status step_shape(const wk_call *call, wk_desc out[]) {
    (void)out;
    const wk_step_attrs *a = call->attrs;
    int64_t lists = 3 + a->numbers + states_in(a->states) + a->masters;
    if (a->count < 0 || call->n_in != 1 + a->count * lists + a->clipped)
        return wk_bad_call(call, WK_INVALID, "%d tensors given, expected %d + %lld × %lld", call->n_in, 1 + a->clipped,
                           (long long)lists, (long long)a->count);
    if (a->clipped && !is_number(call->in[call->n_in - 1], WK_F64))
        return wk_bad_call(call, WK_SHAPE, "the clipping's factor must be an f64 number");
    if (!call->in[0] || call->in[0]->dtype != WK_F64 || call->in[0]->count != WK_STEP_SCALARS)
        return wk_bad_call(call, WK_SHAPE, "the scalars must be f64 (%d)", WK_STEP_SCALARS);
    for (int64_t i = 0; i < a->count; i++) WK_TRY(check_parameter(call, a, i));
    return WK_OK;
}

/* Scalars, step counts and numbers: the host counts and sets them, and a launch carries them. */
static bool is_host_operand(const wk_call *call, int input) {
    const wk_step_attrs *a = call->attrs;
    const int64_t list = a->count > 0 ? (input - 1) / a->count : 0;
    return input == 0 || (list >= 2 && list < 3 + a->numbers);
}

static wk_cost per_parameter(const wk_call *call) {
    return (wk_cost){ wk__operand_bytes(call), wk__operand_bytes(call) };
}

/* Two parameters, or one that is large enough for a team, its gradient clipped. */
static void emit_step(wk_sampler *s, const char *label, int64_t count, int64_t numbers, int64_t states, wk_dims dims) {
    wk_sample_in in[16] = { { .dims = WK_DIMS(WK_STEP_SCALARS) } };
    int n = 1;
    for (int64_t list = 0; list < 3 + numbers + states_in(states); list++)
        for (int64_t i = 0; i < count; i++) {
            wk_sample_in *one = &in[n++];
            one->dims = i == 0 ? dims : WK_DIMS(5, 7);
            if (list == 2) *one = (wk_sample_in){ .kind = WK_SAMPLE_INDEX, .high = 9 };
            if (list > 2 && list < 3 + numbers) *one = (wk_sample_in){ .low = 0.2, .high = 0.9 };
            /* The first state is a mean square with most rules, and must hold more than the square of a mean. */
            if (list >= 3 + numbers) one->low = list == 3 + numbers ? 4 : 0.1, one->high = one->low + 1;
        }
    const bool clipped = count == 1;
    if (clipped) in[n++] = (wk_sample_in){ .low = 0.2, .high = 0.9 };
    const wk_step_attrs attrs = { count, numbers, states, false, clipped };
    s->emit(s, label, in, n, &attrs);
}

#define ROW(name_, states, least, numbers)                                                                 \
    static void name_##_samples(wk_sampler *s) {                                                           \
        emit_step(s, "two", 2, numbers, states, WK_DIMS(33));                                              \
        if ((states) != (least)) emit_step(s, "fewer states", 2, numbers, least, WK_DIMS(33));             \
        emit_step(s, "large", 1, numbers, states, WK_DIMS(200, 300));                                      \
    }                                                                                                      \
    static wk_op_def name_##_row = { .name = #name_ "_step",                                               \
                                     .internal = true,                                                     \
                                     .doc = "one step of " #name_ ", all parameters in one pass",          \
                                     .n_in = WK_LIST,                                                      \
                                     .mutates = 255,                                                       \
                                     .host_in_list = is_host_operand,                                      \
                                     .key = 1,                                                             \
                                     .attrs_size = sizeof(wk_step_attrs),                                  \
                                     .shape = step_shape,                                                  \
                                     .not_differentiable = "an optimizer's step is not part of the model", \
                                     .cost = per_parameter,                                                \
                                     .samples = name_##_samples };
WK_STEP_ROWS(ROW)

#define LIST(name, states, least, numbers) &name##_row,
wk_op_def *const wk__rows_optimizer_steps[] = { WK_STEP_ROWS(LIST) NULL };
