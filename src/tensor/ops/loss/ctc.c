/* ctc.c: connectionist temporal classification (Graves et al. 2006).
 *
 * The forward recursion over the extended labels (a blank before, between and behind the targets) in logarithms, one
 * step of operations for each time; the gradient, of any order, is that of the parts.  Minus infinity is a large
 * negative number here, so that differences stay numbers.
 */
#define WK_NO_CALL_SITES
#include "tensor/ops/loss/losses.h"

#include <math.h>

static const double NEVER = -1e30;

typedef struct problem {
    int64_t steps, batch, classes, targets, labels; /* T, N, C, S, 2 S + 1 */
    wk_tensor *emissions;                           /* (T, N, L): log-probability of each label at each time */
    wk_tensor *may_skip;                            /* (N, L): the label two before may be followed by this one */
} problem;

static wk_status check(const wk_call *call, const wk_ctc_opts *opts, problem *p) {
    const wk_tensor *x = call->in[0], *targets = call->in[1];
    char text[4][160];
    bool fits = x->rank == 3 && targets->rank == 2 && targets->shape[0] == x->shape[1];
    for (int i = 2; i < 4; i++) fits = fits && call->in[i]->rank == 1 && call->in[i]->shape[0] == x->shape[1];
    if (!fits || x->shape[0] < 1)
        return wk_bad_call(call, WK_SHAPE, "%s, %s, %s, %s: expected (T, N, C), (N, S), (N), (N)",
                           wk_describe(x, text[0], sizeof text[0]), wk_describe(targets, text[1], sizeof text[1]),
                           wk_describe(call->in[2], text[2], sizeof text[2]),
                           wk_describe(call->in[3], text[3], sizeof text[3]));
    *p = (problem){ x->shape[0], x->shape[1], x->shape[2], targets->shape[1], 2 * targets->shape[1] + 1, NULL, NULL };
    if (opts->blank < 0 || opts->blank >= p->classes)
        return wk_bad_call(call, WK_INVALID, "blank is %lld, expected 0 ≤ blank < %lld", (long long)opts->blank,
                           (long long)p->classes);
    return WK_OK;
}

/* Lengths must lie in [least, most]: they are looked up in a table of what may be, which names one that may not. */
static wk_tensor *checked_lengths(wk_tensor *lengths, int64_t least, int64_t most) {
    wk_tensor *first = wk_full(WK_I64, WK_SCALAR, (double)least);
    return wk_add(wk_index_select(wk_arange(most + 1 - least), wk_sub(lengths, first), 0), first);
}

static wk_tensor *whole(int64_t value) {
    return wk_full(WK_I64, WK_SCALAR, (double)value);
}

static bool prepare(const wk_ctc_opts *opts, wk_tensor *x, wk_tensor *targets, problem *p) {
    wk_tensor *blanks = wk_expand(whole(opts->blank), WK_DIMS(p->batch, p->targets, 1));
    wk_tensor *const pair[] = { blanks, wk_unsqueeze(targets, -1) };
    if (!pair[1]) return false;
    wk_tensor *labels = wk_reshape(wk_concat(pair, 2, 2), WK_DIMS(p->batch, 2 * p->targets));
    wk_tensor *const ended[] = { labels, wk_expand(whole(opts->blank), WK_DIMS(p->batch, 1)) };
    if (!labels || !ended[1]) return false;
    labels = wk_concat(ended, 2, 1);
    wk_tensor *each = wk_expand(wk_unsqueeze(labels, 0), WK_DIMS(p->steps, p->batch, p->labels));
    p->emissions = wk_gather(x, each, 2);
    wk_tensor *before =
        wk_pad(labels, (wk_pad_opts){ .before = WK_DIMS(2), .after = WK_DIMS(-2), .value = (double)opts->blank });
    p->may_skip = wk_logical_and(wk_ne(labels, whole(opts->blank)), wk_ne(labels, before));
    return p->emissions && p->may_skip;
}

/* alpha (N, L), moved `by` labels on */
static wk_tensor *moved(wk_tensor *alpha, int64_t by) {
    return wk_pad(alpha, (wk_pad_opts){ .before = WK_DIMS(by), .after = WK_DIMS(-by), .value = NEVER });
}

/* Logarithms of the probabilities of all ways to each label at the last time of each sequence. */
static wk_tensor *forward(const problem *p, wk_tensor *lengths) {
    wk_tensor *never = wk__number(p->emissions, NEVER);
    wk_tensor *early = wk_lt(wk_arange(p->labels), whole(2));
    wk_tensor *alpha = wk_where(early, wk_select(p->emissions, 0, 0), never);
    for (int64_t t = 1; t < p->steps && alpha; t++) {
        wk_tensor *ways = alpha;
        if (p->labels > 1) ways = wk_logaddexp(ways, moved(alpha, 1));
        if (p->labels > 2) ways = wk_logaddexp(ways, wk_where(p->may_skip, moved(alpha, 2), never));
        wk_tensor *going_on = wk_unsqueeze(wk_gt(lengths, whole(t)), -1);
        alpha = wk_where(going_on, wk_add(ways, wk_select(p->emissions, 0, t)), alpha);
    }
    return alpha;
}

static wk_status ctc_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_ctc_opts *opts = call->attrs;
    problem p = { 0 };
    WK_TRY(check(call, opts, &p));
    wk_tensor *x = call->in[0], *input_lengths = checked_lengths(call->in[2], 1, p.steps);
    wk_tensor *target_lengths = checked_lengths(call->in[3], 0, p.targets);
    if (x->dtype != WK_F64) x = wk_cast(x, WK_F32);
    if (!x || !input_lengths || !target_lengths || !prepare(opts, x, call->in[1], &p)) return wk_error_code();
    wk_tensor *alpha = forward(&p, input_lengths);
    /* The last blank, or the last label before it where there is one. */
    wk_tensor *blank_at = wk_unsqueeze(wk_mul(target_lengths, whole(2)), -1);
    wk_tensor *label_at = wk_maximum(wk_sub(blank_at, whole(1)), whole(0));
    wk_tensor *at_blank = wk_gather(alpha, blank_at, 1), *at_label = wk_gather(alpha, label_at, 1);
    at_label = wk_where(wk_gt(blank_at, whole(0)), at_label, wk__number(x, NEVER));
    wk_tensor *loss = wk_squeeze(wk_neg(wk_logaddexp(at_blank, at_label)), (wk_squeeze_opts){ WK_DIMS(-1) });
    wk_tensor *impossible = loss ? wk_gt(loss, wk__number(x, -NEVER / 10)) : NULL;
    loss = wk_where(impossible, wk__number(x, opts->zero_infinity ? 0 : (double)INFINITY), loss);
    if (opts->reduction == WK_REDUCTION_MEAN)
        loss = wk_div(loss, wk_cast(wk_maximum(target_lengths, whole(1)), (wk_dtype)x->dtype));
    out[0] = reduced(loss, opts->reduction);
    return WK_OK;
}

static wk_cost ctc_cost(const wk_call *call) {
    return (wk_cost){ 12 * (double)call->in[0]->shape[0] * (double)(2 * call->in[1]->count + 1),
                      wk__operand_bytes(call) };
}
static void ctc_loss_samples(wk_sampler *s) {
    const wk_ctc_opts mean = { 0 }, none = { .blank = 2, .reduction = WK_REDUCTION_NONE, .zero_infinity = true };
    const wk_sample_in x = { .dims = WK_DIMS(7, 2, 4), .low = -3, .high = -0.2 },
                       labels = { .dims = WK_DIMS(2, 3), .kind = WK_SAMPLE_INDEX, .low = 1, .high = 4 },
                       some = { .dims = WK_DIMS(2, 3), .kind = WK_SAMPLE_INDEX, .high = 2 },
                       times = { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .low = 5, .high = 8 },
                       few = { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .low = 1, .high = 4 },
                       lengths = { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .low = 1, .high = 4 };
    s->emit(s, "mean", (const wk_sample_in[]){ x, labels, times, lengths }, 4, &mean);
    s->emit(s, "impossible", (const wk_sample_in[]){ x, some, few, lengths }, 4, &none);
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(50, 16, 32), .low = -4, .high = -3 },
                 { .dims = WK_DIMS(16, 10), .kind = WK_SAMPLE_INDEX, .low = 1, .high = 32 },
                 { .dims = WK_DIMS(16), .kind = WK_SAMPLE_INDEX, .low = 40, .high = 51 },
                 { .dims = WK_DIMS(16), .kind = WK_SAMPLE_INDEX, .low = 5, .high = 11 });
}
static const wk_attr_def ctc_loss_attrs[] = {
    { "blank", WK_ATTR_INT, offsetof(wk_ctc_opts, blank), 0, NULL, 0, "the class that stands for nothing" },
    REDUCTION(wk_ctc_opts),
    FLAG(wk_ctc_opts, zero_infinity, "what cannot be counts 0"),
};
#define I64 WK_SET_OF(WK_I64)
static wk_op_def ctc_loss_row = { .name = "ctc_loss",
                                  .doc = "connectionist temporal classification",
                                  .n_in = 4,
                                  .n_out = 1,
                                  .composite = true,
                                  .attrs = ctc_loss_attrs,
                                  .n_attrs = 3,
                                  .attrs_size = sizeof(wk_ctc_opts),
                                  .dtype = { .allowed = { WK_FLOATS, I64, I64, I64 }, .autocast = WK_CAST_F32 },
                                  .decompose = ctc_loss_parts,
                                  .cost = ctc_cost,
                                  .samples = ctc_loss_samples };
wk_tensor *wk_ctc_loss(wk_tensor *log_probabilities, wk_tensor *targets, wk_tensor *input_lengths,
                       wk_tensor *target_lengths, wk_ctc_opts opts) {
    wk_tensor *const in[] = { log_probabilities, targets, input_lengths, target_lengths };
    wk_tensor *out[1];
    return wk_op_run(&ctc_loss_row, in, 4, out, &opts) == WK_OK ? out[0] : NULL;
}

wk_op_def *const wk__rows_ctc[] = { &ctc_loss_row, NULL };
