/* recurrent.c: so many sequences that each thread walks through some of them alone. */
#define WK_NO_CALL_SITES
#include "wick/autograd.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 6, SEQUENCES = 26, FEATURES = 8, HIDDEN = 40, LEAVES = 6, RESULTS = LEAVES + 3 };
typedef enum kind { RNN, LSTM, GRU, KINDS } kind;
static const int64_t gates[KINDS] = { 1, 4, 3 };

/* The results and every gradient, one behind the other. */
typedef struct outcome {
    float *values;
    size_t count;
} outcome;

static void append(outcome *o, wk_tensor *t) {
    cr_assert_not_null(t, "%s", wk_message());
    wk_tensor *dense = wk_contiguous(t);
    o->values = realloc(o->values, (o->count + (size_t)wk_count(t)) * sizeof *o->values);
    memcpy(o->values + o->count, wk_data(dense), (size_t)wk_count(t) * sizeof *o->values);
    o->count += (size_t)wk_count(t);
}

static const wk_reduce_opts all = { .keep_dims = false };

/* Numbers without a pattern, in [-scale, scale]. */
static wk_tensor *numbers(double seed, double scale, wk_dims dims) {
    int64_t count = 1;
    for (int i = 0; i < dims.rank; i++) count *= dims.size[i];
    wk_tensor *line = wk_scale(wk_cast(wk_arange(count), WK_F32), 1.7 + seed);
    return wk_reshape(wk_scale(wk_sin(line), scale), dims);
}

static outcome run(kind k, int threads, bool reverse, bool uneven) {
    wk_set_threads(threads);
    wk_scope scope = wk_scope_begin();
    const int64_t wide = gates[k] * HIDDEN;
    wk_tensor *leaves[LEAVES] = {
        numbers(0.1, 1, WK_DIMS(STEPS, SEQUENCES, FEATURES)),
        numbers(0.2, 0.5, WK_DIMS(wide, FEATURES)),
        numbers(0.3, 0.2, WK_DIMS(wide, HIDDEN)),
        numbers(0.4, 1, WK_DIMS(wide)),
        numbers(0.5, 1, WK_DIMS(SEQUENCES, HIDDEN)),
        numbers(0.6, 1, WK_DIMS(SEQUENCES, HIDDEN)),
    };
    for (int i = 0; i < LEAVES; i++) leaves[i] = wk_require_grad(wk_keep(leaves[i]), true);
    int64_t ends[SEQUENCES];
    for (int n = 0; n < SEQUENCES; n++) ends[n] = 1 + n % STEPS;
    wk_tensor *lengths = uneven ? wk_from_array(WK_I64, WK_DIMS(SEQUENCES), ends) : NULL;
    wk_recurrent_weights weights = { leaves[1], leaves[2], leaves[3], leaves[3], NULL };
    wk_recurrent_opts opts = { .reverse = reverse };
    wk_tensor *y = NULL, *h_n = NULL, *c_n = NULL;
    wk_status status = k == RNN    ? wk_rnn(leaves[0], weights, leaves[4], lengths, opts, &y, &h_n)
                       : k == LSTM ? wk_lstm(leaves[0], weights, leaves[4], leaves[5], lengths, opts, &y, &h_n, &c_n)
                                   : wk_gru(leaves[0], weights, leaves[4], lengths, opts, &y, &h_n);
    cr_assert_eq(status, WK_OK, "%s", wk_message());
    wk_tensor *loss = wk_add(wk_sum(wk_square(y), all), wk_sum(wk_sin(h_n), all));
    if (c_n) loss = wk_add(loss, wk_sum(wk_square(c_n), all));
    cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
    outcome o = { 0 };
    append(&o, y), append(&o, h_n);
    if (c_n) append(&o, c_n);
    for (int i = 0; i < LEAVES; i++)
        if (k == LSTM || i < LEAVES - 1) append(&o, wk_gradient(leaves[i]));
    wk_scope_end(scope);
    for (int i = 0; i < LEAVES; i++) wk_release(leaves[i]);
    return o;
}

Test(recurrent, threads_with_sequences_of_their_own_give_the_same_bits) {
    for (int at = 0; at < 4 * KINDS; at++) {
        const kind k = (kind)(at / 4);
        outcome one = run(k, 1, at & 1, at & 2);
        for (int threads = 2; threads <= 3; threads++) {
            outcome many = run(k, threads, at & 1, at & 2);
            cr_assert_eq(many.count, one.count);
            for (size_t i = 0; i < one.count; i++)
                cr_assert_eq(many.values[i], one.values[i],
                             "kind %d, case %d, %d threads: value %zu of %zu is %.9g, not %.9g", (int)k, at % 4,
                             threads, i, one.count, (double)many.values[i], (double)one.values[i]);
            free(many.values);
        }
        free(one.values);
    }
}
