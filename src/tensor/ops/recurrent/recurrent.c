/* recurrent.c: rnn, lstm and gru: one layer in one direction over a whole sequence.
 *
 * The rows take xg (T, N, R·H), the inputs' share of every step, which is one matrix product; the loop over time is one
 * kernel, forward and backward (from operations, each step would be ten calls on (N, H)).  The kept `reserve` is
 * described in op_attrs.h.  All rows have the same five inputs:
 *     xg, w_hh, h0, extra (c0 of lstm, b_hh of gru), lengths
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/ops/recurrent/recurrent.h"
#include "tensor/registry.h"

enum { XG, W_HH, H0, EXTRA, LENGTHS };
static const int gates_of[] = { 1, 4, 3 }, kept_of[] = { 1, 6, 5 };

static wk_dtype statistics_dtype(const wk_tensor *x) {
    return x->dtype == WK_F64 ? WK_F64 : WK_F32;
}

static bool is_matrix(const wk_tensor *t, int64_t rows, int64_t cols) {
    return t->rank == 2 && t->shape[0] == rows && t->shape[1] == cols;
}

static wk_status check(const wk_call *call, wk_recurrent_kind kind, wk_tensor *const *in) {
    const wk_tensor *xg = in[XG], *w = in[W_HH], *h0 = in[H0], *extra = in[EXTRA], *lengths = in[LENGTHS];
    char one[160], two[160];
    int64_t gates = gates_of[kind], hidden = w->rank == 2 ? w->shape[1] : 0;
    if (xg->rank != 3 || hidden < 1 || !is_matrix(w, gates * hidden, hidden) || xg->shape[2] != gates * hidden)
        return wk_bad_call(call, WK_SHAPE, "xg %s, w_hh %s: expected (T, N, %lld·H) and (%lld·H, H)",
                           wk_describe(xg, one, sizeof one), wk_describe(w, two, sizeof two), (long long)gates,
                           (long long)gates);
    int64_t batch = xg->shape[1];
    if (h0 && !is_matrix(h0, batch, hidden))
        return wk_bad_call(call, WK_SHAPE, "h0 has shape %s, expected (%lld, %lld)", wk_describe(h0, one, sizeof one),
                           (long long)batch, (long long)hidden);
    if (extra && kind == WK_RECURRENT_RNN) return wk_bad_call(call, WK_INVALID, "rnn takes no fourth operand");
    if (extra && kind == WK_RECURRENT_LSTM && !is_matrix(extra, batch, hidden))
        return wk_bad_call(call, WK_SHAPE, "c0 has shape %s, expected (%lld, %lld)",
                           wk_describe(extra, one, sizeof one), (long long)batch, (long long)hidden);
    if (extra && kind == WK_RECURRENT_GRU && (extra->rank != 1 || extra->shape[0] != 3 * hidden))
        return wk_bad_call(call, WK_SHAPE, "b_hh has shape %s, expected (%lld)", wk_describe(extra, one, sizeof one),
                           (long long)(3 * hidden));
    if (lengths && (lengths->rank != 1 || lengths->shape[0] != batch))
        return wk_bad_call(call, WK_SHAPE, "lengths has shape %s, expected (%lld)",
                           wk_describe(lengths, one, sizeof one), (long long)batch);
    return WK_OK;
}

/* y, (c_n,) reserve */
static wk_status shape_of(const wk_call *call, wk_recurrent_kind kind, wk_desc out[]) {
    const wk_tensor *xg = call->in[XG];
    WK_TRY(check(call, kind, call->in));
    int64_t steps = xg->shape[0], batch = xg->shape[1], hidden = call->in[W_HH]->shape[1];
    if (steps < 1) return wk_bad_call(call, WK_SHAPE, "a sequence needs at least one step");
    out[0] = wk_desc_row_major((wk_dtype)xg->dtype, 3, (int64_t[]){ steps, batch, hidden });
    if (kind == WK_RECURRENT_LSTM) out[1] = wk_desc_row_major((wk_dtype)xg->dtype, 2, (int64_t[]){ batch, hidden });
    out[call->n_out - 1] =
        wk_desc_row_major(statistics_dtype(xg), 3, (int64_t[]){ steps, batch, kept_of[kind] * hidden });
    return WK_OK;
}

/* ---- parts ---- */

typedef struct state {
    wk_tensor *h, *c;
} state;

static wk_tensor *gate(wk_tensor *gates, int which, int64_t hidden) {
    return wk_slice(gates, 1, which * hidden, (which + 1) * hidden, 1);
}

static state next_lstm(wk_tensor *gates, state s, int64_t hidden) {
    wk_tensor *i = wk_sigmoid(gate(gates, 0, hidden)), *f = wk_sigmoid(gate(gates, 1, hidden));
    wk_tensor *g = wk_tanh(gate(gates, 2, hidden)), *o = wk_sigmoid(gate(gates, 3, hidden));
    wk_tensor *c = wk_add(wk_mul(f, s.c), wk_mul(i, g));
    return (state){ wk_mul(o, wk_tanh(c)), c };
}

static state next_gru(wk_tensor *x, wk_tensor *own, state s, int64_t hidden) {
    wk_tensor *r = wk_sigmoid(wk_add(gate(x, 0, hidden), gate(own, 0, hidden)));
    wk_tensor *z = wk_sigmoid(wk_add(gate(x, 1, hidden), gate(own, 1, hidden)));
    wk_tensor *n = wk_tanh(wk_add(gate(x, 2, hidden), wk_mul(r, gate(own, 2, hidden))));
    return (state){ wk_add(n, wk_mul(z, wk_sub(s.h, n))), NULL };
}

static state next(const wk_recurrent_opts *opts, wk_recurrent_kind kind, wk_tensor *x, wk_tensor *w, wk_tensor *bias,
                  wk_tensor *projection, state s) {
    int64_t hidden = w->shape[0] / gates_of[kind];
    wk_tensor *own = wk_linear(s.h, w, bias, (wk_linear_opts){ 0 });
    if (kind == WK_RECURRENT_GRU) return next_gru(x, own, s, hidden);
    wk_tensor *gates = wk_add(x, own);
    if (kind == WK_RECURRENT_RNN) return (state){ opts->relu ? wk_relu(gates) : wk_tanh(gates), NULL };
    state after = next_lstm(gates, s, hidden);
    if (projection) after.h = wk_linear(after.h, projection, NULL, (wk_linear_opts){ 0 });
    return after;
}

wk_status wk__recurrent_parts(const wk_recurrent_opts *opts, wk_recurrent_kind kind, wk_tensor *const *in,
                              wk_tensor *projection, wk_tensor **y, wk_tensor **c_n) {
    wk_tensor *xg = in[XG], *w = in[W_HH], *lengths = in[LENGTHS], *extra = in[EXTRA];
    int64_t steps = xg->shape[0], batch = xg->shape[1];
    wk_dtype dtype = (wk_dtype)xg->dtype;
    bool is_lstm = kind == WK_RECURRENT_LSTM;
    wk_tensor **each = wk_alloc((size_t)steps * sizeof(wk_tensor *));
    if (!each) return WK_NO_MEMORY;
    state s = { in[H0] ? in[H0] : wk_zeros(dtype, WK_DIMS(batch, w->shape[1])), NULL };
    if (is_lstm) s.c = extra ? extra : wk_zeros(dtype, WK_DIMS(batch, w->shape[0] / 4));
    for (int64_t k = 0; k < steps && !wk_failed(); k++) {
        int64_t t = opts->reverse ? steps - 1 - k : k;
        state after = next(opts, kind, wk_select(xg, 0, t), w, is_lstm ? NULL : extra, projection, s);
        each[t] = after.h;
        if (lengths) {
            wk_tensor *runs = wk_reshape(wk_gt(lengths, wk_full(WK_I64, WK_SCALAR, (double)t)), WK_DIMS(batch, 1));
            each[t] = wk_where(runs, after.h, wk_zeros(dtype, WK_SCALAR));
            after.h = wk_where(runs, after.h, s.h);
            if (is_lstm) after.c = wk_where(runs, after.c, s.c);
        }
        s = after;
    }
    *y = wk_failed() ? NULL : wk_stack(each, (int)steps, 0);
    if (c_n) *c_n = s.c;
    wk_free(each);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status parts_of(const wk_call *call, wk_recurrent_kind kind, wk_tensor *out[]) {
    out[call->n_out - 1] = NULL; /* the parts need no reserve */
    return wk__recurrent_parts(call->attrs, kind, call->in, NULL, &out[0], kind == WK_RECURRENT_LSTM ? &out[1] : NULL);
}

/* ---- backward ---- */

static wk_op_def rnn_row, lstm_row, gru_row, backward_row;
static wk_op_def *const forward_rows[] = { &rnn_row, &lstm_row, &gru_row };

static wk_status backward_shape(const wk_call *call, wk_desc out[]) {
    const wk_recurrent_grad_attrs *attrs = call->attrs;
    wk_recurrent_kind kind = (wk_recurrent_kind)attrs->kind;
    const wk_tensor *xg = call->in[2], *w = call->in[3];
    WK_TRY(check(call, kind, call->in + 2));
    int64_t hidden = w->shape[1], state_shape[] = { xg->shape[1], hidden }, bias = 3 * hidden;
    out[0] = wk_desc_row_major((wk_dtype)xg->dtype, 3, xg->shape);
    out[1] = wk_desc_row_major((wk_dtype)w->dtype, 2, w->shape);
    out[2] = out[3] = wk_desc_row_major((wk_dtype)xg->dtype, 2, state_shape);
    if (kind == WK_RECURRENT_GRU) out[3] = wk_desc_row_major((wk_dtype)xg->dtype, 1, &bias);
    return WK_OK;
}

static wk_status backward_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_recurrent_grad_attrs *attrs = call->attrs;
    wk_tensor *const *in = call->in;
    bool is_lstm = attrs->kind == WK_RECURRENT_LSTM;
    wk_tensor *dout[3] = { in[0], is_lstm ? in[1] : NULL, NULL }, *din[5];
    WK_TRY(wk__gradient_of_parts(forward_rows[attrs->kind], in + 2, &attrs->opts, dout, din));
    for (int i = 0; i < 4; i++) out[i] = din[i];
    return WK_OK;
}

static wk_status grad_of(wk_grad *g, wk_recurrent_kind kind) {
    const wk_recurrent_grad_attrs attrs = { *(const wk_recurrent_opts *)g->attrs, (int)kind };
    bool is_lstm = kind == WK_RECURRENT_LSTM;
    wk_tensor *dy = g->dout[0], *out[4];
    if (!dy) dy = wk_zeros((wk_dtype)g->out[0]->dtype, wk__dims(g->out[0]));
    wk_tensor *const in[] = { dy,
                              is_lstm ? g->dout[1] : NULL,
                              g->in[XG],
                              g->in[W_HH],
                              g->in[H0],
                              g->in[EXTRA],
                              g->in[LENGTHS],
                              g->out[g->call->n_out - 1] };
    WK_TRY(wk_op_run(&backward_row, in, 8, out, &attrs));
    for (int i = 0; i < 4; i++)
        if (g->needs[i]) g->din[i] = out[i];
    return WK_OK;
}

/* ---- costs and samples ---- */

static wk_cost cost_of(const wk_call *call) {
    double steps = (double)call->in[XG]->count;
    return (wk_cost){ steps * (2.0 * (double)call->in[W_HH]->shape[1] + 10), wk__operand_bytes(call) };
}
static wk_cost backward_cost(const wk_call *call) {
    double steps = (double)call->in[2]->count;
    return (wk_cost){ steps * (4.0 * (double)call->in[3]->shape[1] + 20), wk__operand_bytes(call) };
}

#define ABSENT \
    { .kind = WK_SAMPLE_ABSENT }
#define OF(...) \
    { .dims = WK_DIMS(__VA_ARGS__) }
/* 0 to 3 steps */
#define LENGTHS_OF(n) \
    { .dims = WK_DIMS(n), .kind = WK_SAMPLE_INDEX, .high = 4 }
static void samples_of(wk_sampler *s, int64_t gates, bool has_extra, bool extra_is_bias) {
    const wk_recurrent_opts plain = { 0 }, back = { .reverse = true }, relu = { .relu = true };
    const wk_sample_in absent = ABSENT, cell = OF(2, 3), bias = OF(3 * 3);
    const wk_sample_in extra = !has_extra ? absent : extra_is_bias ? bias : cell;
    WK_CASE(s, "plain", &plain, OF(3, 2, gates * 3), { .dims = WK_DIMS(gates * 3, 3), .low = -1, .high = 1 }, OF(2, 3),
            extra, ABSENT);
    WK_CASE(s, "from zero", &back, OF(2, 2, gates * 3), { .dims = WK_DIMS(gates * 3, 3), .low = -1, .high = 1 }, ABSENT,
            ABSENT, ABSENT);
    WK_CASE(s, "strided", &plain, { .dims = WK_DIMS(2, 2, gates * 3), .strided = true },
            { .dims = WK_DIMS(gates * 3, 3), .low = -1, .high = 1, .strided = true }, OF(2, 3), extra, ABSENT);
    WK_CASE(s, "lengths", &plain, OF(3, 2, gates * 3), { .dims = WK_DIMS(gates * 3, 3), .low = -1, .high = 1 },
            OF(2, 3), extra, LENGTHS_OF(2));
    WK_CASE(s, "lengths in reverse", &back, OF(3, 2, gates * 3),
            { .dims = WK_DIMS(gates * 3, 3), .low = -1, .high = 1 }, OF(2, 3), extra, LENGTHS_OF(2));
    if (gates == 1)
        WK_CASE(s, "relu", &relu, { .dims = WK_DIMS(3, 2, 3), .margin = 0.1 },
                { .dims = WK_DIMS(3, 3), .low = 0.1, .high = 1 }, OF(2, 3), ABSENT, ABSENT);
}
static void rnn_samples(wk_sampler *s) {
    const wk_recurrent_opts plain = { 0 };
    samples_of(s, 1, false, false);
    WK_CASE(s, "large", &plain, OF(5, 6, 70), { .dims = WK_DIMS(70, 70), .low = -0.1, .high = 0.1 }, OF(6, 70), ABSENT,
            ABSENT);
    WK_HUGE_CASE(s, "huge", &plain, OF(32, 32, 128), { .dims = WK_DIMS(128, 128), .low = -0.1, .high = 0.1 },
                 OF(32, 128), ABSENT, ABSENT);
}
static void lstm_samples(wk_sampler *s) {
    const wk_recurrent_opts plain = { 0 };
    samples_of(s, 4, true, false);
    WK_CASE(s, "large", &plain, OF(5, 6, 280), { .dims = WK_DIMS(280, 70), .low = -0.1, .high = 0.1 }, OF(6, 70),
            OF(6, 70), ABSENT);
    WK_HUGE_CASE(s, "huge", &plain, OF(32, 32, 512), { .dims = WK_DIMS(512, 128), .low = -0.1, .high = 0.1 },
                 OF(32, 128), OF(32, 128), ABSENT);
}
static void gru_samples(wk_sampler *s) {
    const wk_recurrent_opts plain = { 0 };
    samples_of(s, 3, true, true);
    WK_CASE(s, "large", &plain, OF(5, 6, 210), { .dims = WK_DIMS(210, 70), .low = -0.1, .high = 0.1 }, OF(6, 70),
            OF(210), ABSENT);
    WK_HUGE_CASE(s, "huge", &plain, OF(32, 32, 384), { .dims = WK_DIMS(384, 128), .low = -0.1, .high = 0.1 },
                 OF(32, 128), OF(384), ABSENT);
}
/* The reserve must belong to the operands, which independent samples do not: values are those of the gradients of rnn,
 * lstm and gru. */
static void backward_samples(wk_sampler *s) {
    const wk_recurrent_grad_attrs lstm = { .kind = WK_RECURRENT_LSTM };
    WK_CASE(s, "no sequences", &lstm, OF(2, 0, 3), ABSENT, OF(2, 0, 12), OF(12, 3), ABSENT, ABSENT, ABSENT,
            OF(2, 0, 18));
}

/* ---- rows ---- */

#define FORWARD_RULES(id, kind)                                          \
    static wk_status id##_shape(const wk_call *call, wk_desc out[]) {    \
        return shape_of(call, kind, out);                                \
    }                                                                    \
    static wk_status id##_parts(const wk_call *call, wk_tensor *out[]) { \
        return parts_of(call, kind, out);                                \
    }                                                                    \
    static wk_status id##_grad(wk_grad *g) {                             \
        return grad_of(g, kind);                                         \
    }
FORWARD_RULES(rnn, WK_RECURRENT_RNN)
FORWARD_RULES(lstm, WK_RECURRENT_LSTM)
FORWARD_RULES(gru, WK_RECURRENT_GRU)

static const wk_attr_def attrs[] = {
    { "reverse", WK_ATTR_BOOL, offsetof(wk_recurrent_opts, reverse), 0, NULL, 0, "from the last step to the first" },
    { "relu", WK_ATTR_BOOL, offsetof(wk_recurrent_opts, relu), 0, NULL, 0, "of rnn, instead of tanh" },
};
static const wk_attr_def backward_attrs[] = {
    { "reverse", WK_ATTR_BOOL, offsetof(wk_recurrent_grad_attrs, opts.reverse), 0, NULL, 0, "as forward" },
    { "relu", WK_ATTR_BOOL, offsetof(wk_recurrent_grad_attrs, opts.relu), 0, NULL, 0, "as forward" },
    { "kind", WK_ATTR_ENUM, offsetof(wk_recurrent_grad_attrs, kind), 0, "rnn|lstm|gru", 0, "whose gradient" },
};
#define ROW(id, text, outs)                                                                           \
    static wk_op_def id##_row = { .name = #id,                                                        \
                                  .doc = text,                                                        \
                                  .n_in = 5,                                                          \
                                  .n_out = outs,                                                      \
                                  .optional_in = 28,                                                  \
                                  .saves_in = 31,                                                     \
                                  .saves_out = 1u << ((outs)-1),                                      \
                                  .internal_out = 1u << ((outs)-1),                                   \
                                  .attrs = attrs,                                                     \
                                  .n_attrs = 2,                                                       \
                                  .attrs_size = sizeof(wk_recurrent_opts),                            \
                                  .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS, \
                                                          WK_SET_OF(WK_I64) },                        \
                                             .same = 15,                                              \
                                             .autocast = WK_CAST_LOW },                               \
                                  .shape = id##_shape,                                                \
                                  .grad = id##_grad,                                                  \
                                  .decompose = id##_parts,                                            \
                                  .cost = cost_of,                                                    \
                                  .samples = id##_samples }
ROW(rnn, "h = tanh(xg + h w_hhᵀ), step by step", 2);
ROW(lstm, "long short-term memory, step by step", 3);
ROW(gru, "gated recurrent units, step by step", 2);
static wk_op_def backward_row = { .name = "recurrent_backward",
                                  .internal = true,
                                  .doc = "gradient of rnn, lstm and gru, through time",
                                  .n_in = 8,
                                  .n_out = 4,
                                  .optional_in = 2 + 16 + 32 + 64,
                                  .saves_in = 255,
                                  .key = 2,
                                  .zero_sized_runs = true,
                                  .attrs = backward_attrs,
                                  .n_attrs = 3,
                                  .attrs_size = sizeof(wk_recurrent_grad_attrs),
                                  .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS,
                                                          WK_FLOATS, WK_SET_OF(WK_I64), WK_F32_F64 },
                                             .same = 63 },
                                  .shape = backward_shape,
                                  .grad = wk__grad_by_parts,
                                  .decompose = backward_parts,
                                  .cost = backward_cost,
                                  .samples = backward_samples };

/* ---- lstm with projected states: step by step, from operations ---- */

/* (xg, w_hh (4H, P), h0, c0, lengths, w_hr (P, H)) -> y, c_n */
static wk_status projected_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_tensor *xg = call->in[XG], *w = call->in[W_HH], *projection = call->in[5];
    char one[160], two[160], three[160];
    int64_t hidden = projection->rank == 2 ? projection->shape[1] : 0;
    if (xg->rank != 3 || hidden < 1 || !is_matrix(w, 4 * hidden, projection->shape[0]) || xg->shape[2] != 4 * hidden)
        return wk_bad_call(call, WK_SHAPE, "xg %s, w_hh %s, w_hr %s: expected (T, N, 4·H), (4·H, P) and (P, H)",
                           wk_describe(xg, one, sizeof one), wk_describe(w, two, sizeof two),
                           wk_describe(projection, three, sizeof three));
    if (xg->shape[0] < 1) return wk_bad_call(call, WK_SHAPE, "a sequence needs at least one step");
    return wk__recurrent_parts(call->attrs, WK_RECURRENT_LSTM, call->in, call->in[5], &out[0], &out[1]);
}
static void projected_samples(wk_sampler *s) {
    const wk_recurrent_opts plain = { 0 }, back = { .reverse = true };
    WK_CASE(s, "plain", &plain, OF(3, 2, 12), { .dims = WK_DIMS(12, 2), .low = -1, .high = 1 }, OF(2, 2), OF(2, 3),
            ABSENT, OF(2, 3));
    WK_CASE(s, "reverse", &back, OF(2, 2, 12), { .dims = WK_DIMS(12, 2), .low = -1, .high = 1 }, ABSENT, ABSENT, ABSENT,
            OF(2, 3));
    WK_HUGE_CASE(s, "huge", &plain, OF(32, 32, 512), { .dims = WK_DIMS(512, 64), .low = -0.1, .high = 0.1 }, OF(32, 64),
                 OF(32, 128), ABSENT, { .dims = WK_DIMS(64, 128), .low = -0.1, .high = 0.1 });
}
static wk_op_def projected_row = {
    .name = "lstm_projected",
    .doc = "lstm whose h is w_hr o tanh(c), step by step",
    .n_in = 6,
    .n_out = 2,
    .optional_in = 28,
    .composite = true,
    .attrs = attrs,
    .n_attrs = 2,
    .attrs_size = sizeof(wk_recurrent_opts),
    .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_SET_OF(WK_I64), WK_FLOATS }, .same = 47 },
    .decompose = projected_parts,
    .cost = cost_of,
    .samples = projected_samples
};

const wk_op_def *wk__recurrent_row(wk_recurrent_kind kind, bool projected) {
    return projected ? &projected_row : forward_rows[kind];
}

wk_op_def *const wk__rows_recurrent[] = { &rnn_row, &lstm_row, &gru_row, &backward_row, &projected_row, NULL };
