/* fault.c: every allocation of making a model, of a forward and backward through it, and of generation, fails once.
 *
 * Each trial runs in a thread of its own, so that caches are cold and must have been given back when it has ended.
 */
#define WK_NO_CALL_SITES
#include "support/allocator.h"
#include "wick/models.h"

#include <criterion/criterion.h>
#include <pthread.h>

enum { MOST_TRIALS = 3000 };

static wk_module *vit(void) {
    return wk_vit((wk_vit_opts){ .image = 4,
                                 .patch = 2,
                                 .layers = 1,
                                 .heads = 2,
                                 .width = 4,
                                 .feedforward = 3,
                                 .classes = 2,
                                 .representation = 3 });
}
static wk_module *gpt2(void) {
    return wk_gpt2((wk_gpt2_opts){ .layers = 1, .heads = 2, .width = 4, .vocabulary = 5, .context = 6 });
}
static const wk_bert_opts bert_opts = {
    .layers = 1, .heads = 2, .width = 4, .feedforward = 3, .vocabulary = 5, .context = 6
};
static wk_module *classifier(void) {
    return wk_bert_for_sequence_classification(2, bert_opts);
}
static wk_module *masked_lm(void) {
    return wk_bert_for_masked_lm(bert_opts);
}
static wk_module *char_lstm(void) {
    return wk_char_lstm((wk_char_lstm_opts){ .vocabulary = 5, .width = 2, .hidden = 3 });
}

/* Wide enough that weights are packed.  Without replay, for a capture that finds no memory is no error. */
static wk_module *frozen_bert(void) {
    wk_module *m = wk_bert(
        (wk_bert_opts){ .layers = 1, .heads = 2, .width = 64, .feedforward = 64, .vocabulary = 5, .context = 16 });
    if (wk_module_freeze(m, (wk_freeze_opts){ .no_replay = true }) == WK_OK) return m;
    wk_module_destroy(m);
    return NULL;
}
static wk_tensor *many_tokens(wk_module *m) {
    return wk_forward(m, wk_zeros(WK_I64, WK_DIMS(2, 16)));
}

static wk_tensor *image(wk_module *m) {
    return wk_forward(m, wk_full(WK_F32, WK_DIMS(2, 3, 4, 4), 0.5));
}
static wk_tensor *tokens(wk_module *m) {
    return wk_forward(m, wk_zeros(WK_I64, WK_DIMS(2, 4)));
}
static wk_tensor *masked_tokens(wk_module *m) {
    wk_tensor *x = wk_full(WK_I64, WK_DIMS(2, 4), 1);
    return wk_bert_run(m, x, (wk_bert_inputs){ x, x }, NULL);
}
static wk_tensor *two_pieces(wk_module *m) {
    wk_nn_states middle;
    wk_tensor *x = wk_zeros(WK_I64, WK_DIMS(2, 4));
    return wk_char_lstm_run(m, x, (wk_nn_states){ 0 }, &middle) ? wk_char_lstm_run(m, x, middle, NULL) : NULL;
}
static wk_tensor *drawn(wk_module *m) {
    return wk_gpt2_generate(m, wk_zeros(WK_I64, WK_DIMS(2, 2)), 3,
                            (wk_gpt2_generate_opts){ .temperature = 1, .top_k = 2 });
}

typedef struct trial {
    wk_module *(*make)(void);
    wk_tensor *(*run)(wk_module *m);
    bool forward_only;
    long k;
    bool reached; /* the k-th allocation came */
} trial;

static wk_status pass(const trial *t, wk_module *m) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = t->run(m);
    if (y && !t->forward_only) (void)wk_backward(wk_mean(y, (wk_reduce_opts){ .keep_dims = false }));
    wk_scope_end(scope);
    return wk_error_code();
}

static void *run_trial(void *argument) {
    trial *t = argument;
    wk_set_threads(1);
    allocator_fail_at(t->k);
    wk_module *m = t->make();
    wk_status status = m ? pass(t, m) : wk_error_code();
    t->reached = allocator_has_failed();
    allocator_fail_at(0);
    cr_expect_eq(status, t->reached ? WK_NO_MEMORY : WK_OK, "allocation %ld: \"%s\"", t->k, wk_message());
    wk_clear_error();
    if (m) cr_expect_eq(pass(t, m), WK_OK, "the pass after failure %ld: %s", t->k, wk_message());
    wk_clear_error();
    wk_module_destroy(m);
    return NULL;
}

static void run_thread(trial *t) {
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, run_trial, t), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

static void run_trials(wk_module *(*make)(void), wk_tensor *(*run)(wk_module *m), bool forward_only) {
    trial t = { make, run, forward_only, 0, false };
    allocator_watch();
    run_thread(&t); /* what the process keeps for good is there now */
    const long held = allocator_held();
    for (t.k = 1; t.k < MOST_TRIALS; t.k++) {
        run_thread(&t);
        cr_assert_eq(allocator_held(), held, "after the failure of allocation %ld, %ld blocks are lost", t.k,
                     allocator_held() - held);
        if (!t.reached) break;
    }
    cr_log_info("%ld allocations failed in turn", t.k - 1);
    cr_expect_gt(t.k, 60);
    cr_assert_lt(t.k, MOST_TRIALS);
}

Test(fault, vit) {
    run_trials(vit, image, false);
}
Test(fault, gpt2) {
    run_trials(gpt2, tokens, false);
}
Test(fault, gpt2_generation) {
    run_trials(gpt2, drawn, true);
}
Test(fault, bert_classifier) {
    run_trials(classifier, masked_tokens, false);
}
Test(fault, bert_masked_lm) {
    run_trials(masked_lm, masked_tokens, false);
}
Test(fault, frozen_bert) {
    run_trials(frozen_bert, many_tokens, true);
}
Test(fault, char_lstm) {
    run_trials(char_lstm, two_pieces, false);
}
