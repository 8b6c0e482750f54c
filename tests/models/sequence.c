/* sequence.c: models over features and tokens against PyTorch (tests/golden/models/sequence.py). */
#define WK_NO_CALL_SITES
#include "models/check.h"

#include <math.h>
#include <string.h>

static wk_module *mlp(void) {
    return wk_mlp((wk_mlp_opts){ .in_features = 12, .hidden = 8, .classes = 4, .layers = 2 });
}
static wk_tensor *mlp_input(void) {
    return model_wave(WK_DIMS(5, 3, 4));
}

/* ---- ViT ---- */

static const wk_vit_opts vit_opts = {
    .image = 12, .patch = 4, .layers = 2, .heads = 4, .width = 32, .feedforward = 48, .classes = 7
};
static wk_module *vit(void) {
    return wk_vit(vit_opts);
}
static wk_module *vit_filled(void) {
    wk_vit_opts opts = vit_opts;
    opts.representation = 20;
    return wk_vit(opts);
}
static wk_tensor *vit_input(void) {
    return model_wave(WK_DIMS(2, 3, 12, 12));
}

/* ---- GPT-2 ---- */

static const wk_gpt2_opts gpt2_opts = {
    .layers = 2, .heads = 4, .width = 32, .vocabulary = 50, .context = 16, .dropout = { true, 0 }
};
static wk_module *gpt2(void) {
    return wk_gpt2(gpt2_opts);
}
static wk_tensor *tokens(void) {
    return model_tokens(50, WK_DIMS(2, 11));
}

/* ---- BERT ---- */

static const wk_bert_opts bert_opts = {
    .layers = 2, .heads = 4, .width = 32, .feedforward = 48, .vocabulary = 50, .context = 12, .dropout = { true, 0 }
};
static wk_module *bert(void) {
    return wk_bert(bert_opts);
}
static wk_module *bert_plain(void) {
    wk_bert_opts opts = bert_opts;
    opts.no_pooler = true;
    return wk_bert(opts);
}
static wk_module *bert_classifier(void) {
    return wk_bert_for_sequence_classification(3, bert_opts);
}
static wk_module *bert_masked(void) {
    return wk_bert_for_masked_lm(bert_opts);
}

/* Every third token is of type 1; the first sequence has four tokens of padding. */
static wk_bert_inputs bert_inputs(void) {
    wk_tensor *types = wk_zeros(WK_I64, WK_DIMS(2, 11)), *mask = wk_full(WK_I64, WK_DIMS(2, 11), 1);
    for (int i = 0; i < 22; i += 3) ((int64_t *)wk_data(types))[i] = 1;
    for (int i = 7; i < 11; i++) ((int64_t *)wk_data(mask))[i] = 0;
    return (wk_bert_inputs){ types, mask };
}
static wk_tensor *flat(wk_tensor *t) {
    return wk_reshape(t, WK_DIMS(-1));
}
static wk_tensor *run_bert(wk_module *m, wk_tensor *x) {
    wk_tensor *pooled, *sequence = wk_bert_run(m, x, bert_inputs(), &pooled);
    return pooled ? wk_concat((wk_tensor *[]){ flat(sequence), flat(pooled) }, 2, 0) : sequence;
}

/* ---- character LSTM ---- */

static wk_module *char_lstm(void) {
    return wk_char_lstm((wk_char_lstm_opts){ .vocabulary = 20, .width = 6, .hidden = 9 });
}
static wk_tensor *char_lstm_input(void) {
    return model_tokens(20, WK_DIMS(3, 12));
}
/* Seven steps, and from their states on the others. */
static wk_tensor *in_two(wk_module *m, wk_tensor *x) {
    wk_nn_states middle, last;
    wk_tensor *first = wk_char_lstm_run(m, wk_slice(x, 1, 0, 7, 1), (wk_nn_states){ 0 }, &middle);
    wk_tensor *second = wk_char_lstm_run(m, wk_slice(x, 1, 7, 12, 1), middle, &last);
    return wk_concat((wk_tensor *[]){ flat(first), flat(second), flat(last.h), flat(last.c) }, 4, 0);
}

static const model_case cases[] = {
    { "mlp", mlp, mlp_input, NULL, false, 1e-5 },
    { "vit", vit, vit_input, NULL, false, 1e-5 },
    { "vit_filled", vit_filled, vit_input, NULL, true, 1e-5 },
    { "gpt2", gpt2, tokens, NULL, true, 1e-5 },
    { "bert", bert, tokens, run_bert, true, 1e-5 },
    { "bert_plain", bert_plain, tokens, NULL, true, 1e-5 },
    { "bert_classifier", bert_classifier, tokens, run_bert, true, 1e-5 },
    { "bert_masked", bert_masked, tokens, run_bert, true, 1e-5 },
    { "char_lstm", char_lstm, char_lstm_input, in_two, false, 1e-5 },
};

Test(sequence, models_as_pytorch) {
    model_check("models/sequence.safetensors", cases, (int)(sizeof cases / sizeof cases[0]));
}
