/* lm.c: what a language model says comes next, with what it has seen kept from token to token.
 *
 * GPT-2 keeps keys and values, an LSTM its states.  Only GPT-2 has a last place: where its context is full, it begins
 * anew with the last half of it, which costs one pass every context / 2 tokens.
 */
#include "tasks/tasks.h"

#include "wick/models.h"

#include <string.h>

struct wk__lm {
    wk_module *model;
    bool is_gpt2, recompute;
    int64_t vocabulary, context; /* context 0: no end */
    int32_t *seen;
    int64_t count, capacity, start; /* of those seen, the first that the model still knows */
    int64_t taken;                  /* up to which cache or states are */
    wk_gpt2_cache *cache;
    wk_nn_states states;
    float *scores; /* (vocabulary) */
};

static void forget(wk__lm *lm) {
    wk_gpt2_cache_destroy(lm->cache);
    wk_release(lm->states.h);
    wk_release(lm->states.c);
    lm->cache = NULL;
    lm->states = (wk_nn_states){ 0 };
    lm->taken = lm->start;
}

wk__lm *wk__lm_create(wk_module *model, bool recompute) {
    const char *kind = model->class_->name;
    const bool is_gpt2 = strcmp(kind, "GPT2LMHeadModel") == 0;
    if (!is_gpt2 && strcmp(kind, "CharLSTM") != 0)
        return wk_fail_null(WK_UNSUPPORTED, "model %s does not write texts, expected gpt2 or char_lstm", kind);
    wk_tensor *table = wk_module_tensor(model, is_gpt2 ? "transformer.wte.weight" : "embedding.weight");
    wk__lm *lm = table ? wk_alloc(sizeof *lm) : NULL;
    if (!lm) return NULL;
    lm->model = model, lm->is_gpt2 = is_gpt2, lm->recompute = recompute;
    lm->vocabulary = wk_size(table, 0);
    lm->context = is_gpt2 ? wk_gpt2_options(model).context : 0;
    lm->scores = wk_alloc((size_t)lm->vocabulary * sizeof(float));
    if (!wk_failed()) return lm;
    wk__lm_destroy(lm);
    return NULL;
}

void wk__lm_destroy(wk__lm *lm) {
    if (!lm) return;
    forget(lm);
    wk_free(lm->seen);
    wk_free(lm->scores);
    wk_free(lm);
}

int64_t wk__lm_vocabulary(const wk__lm *lm) {
    return lm->vocabulary;
}

static wk_status note(wk__lm *lm, const int32_t *tokens, int64_t count) {
    if (lm->count + count > lm->capacity) {
        const int64_t capacity = (lm->count + count) * 2;
        int32_t *seen = wk_realloc(lm->seen, (size_t)capacity * sizeof *seen);
        if (!seen) return wk_error_code();
        lm->seen = seen;
        lm->capacity = capacity;
    }
    memcpy(lm->seen + lm->count, tokens, (size_t)count * sizeof *tokens);
    lm->count += count;
    if (!lm->context || lm->count - lm->start <= lm->context) return WK_OK;
    lm->start = lm->count - (lm->context > 1 ? lm->context / 2 : 1);
    forget(lm);
    return WK_OK;
}

/* (1, T): those from `first` on. */
static wk_tensor *tokens_from(const wk__lm *lm, int64_t first) {
    wk_tensor *all = wk_empty(WK_I64, WK_DIMS(1, lm->count - first));
    int64_t *data = all ? wk_data(all) : NULL;
    for (int64_t i = first; data && i < lm->count; i++) data[i - first] = lm->seen[i];
    return all;
}

static wk_tensor *last_of(wk_tensor *scores /* (1, T, V) */) {
    return scores ? wk_select(scores, 1, wk_size(scores, 1) - 1) : NULL;
}

static wk_tensor *ask_gpt2(wk__lm *lm) {
    if (lm->recompute) return last_of(wk_forward(lm->model, tokens_from(lm, lm->start)));
    if (!lm->cache) lm->cache = wk_gpt2_cache_create(lm->model, 1, 0);
    return lm->cache ? wk_gpt2_next(lm->model, tokens_from(lm, lm->taken), lm->cache) : NULL;
}

static wk_tensor *ask_lstm(wk__lm *lm) {
    wk_nn_states last = { 0 };
    if (lm->recompute) return last_of(wk_char_lstm_run(lm->model, tokens_from(lm, 0), (wk_nn_states){ 0 }, NULL));
    wk_tensor *scores = wk_char_lstm_run(lm->model, tokens_from(lm, lm->taken), lm->states, &last);
    if (!scores) return NULL;
    wk_release(lm->states.h);
    wk_release(lm->states.c);
    lm->states = (wk_nn_states){ wk_keep(last.h), wk_keep(last.c) };
    return last_of(scores);
}

const float *wk__lm_take(wk__lm *lm, const int32_t *tokens, int64_t count) {
    if (wk_failed() || note(lm, tokens, count) != WK_OK) return NULL;
    bool was = wk_no_grad_begin();
    wk_scope scope = wk_scope_begin();
    wk_tensor *scores = wk_cast(lm->is_gpt2 ? ask_gpt2(lm) : ask_lstm(lm), WK_F32);
    if (scores) (void)wk_copy_out(scores, lm->scores, (size_t)lm->vocabulary * sizeof(float));
    lm->taken = lm->count;
    wk_scope_end(scope);
    wk_no_grad_end(was);
    return wk_failed() ? NULL : lm->scores;
}
