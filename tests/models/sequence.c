/* sequence.c: models over features and tokens against PyTorch (tests/golden/models/sequence.py). */
#define WK_NO_CALL_SITES
#include "models/check.h"
#include "support/refused.h"

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
    { "bert", bert, tokens, run_bert, true, 4e-5 },
    { "bert_plain", bert_plain, tokens, NULL, true, 4e-5 },
    { "bert_classifier", bert_classifier, tokens, run_bert, true, 4e-5 },
    { "bert_masked", bert_masked, tokens, run_bert, true, 4e-5 },
    { "char_lstm", char_lstm, char_lstm_input, in_two, false, 1e-5 },
};

Test(sequence, models_as_pytorch) {
    model_check("models/sequence.safetensors", cases, (int)(sizeof cases / sizeof cases[0]));
}

Test(sequence, threads_change_nothing) {
    model_check_threads(cases, (int)(sizeof cases / sizeof cases[0]));
}

Test(sequence, replayed_steps) {
    model_check_replay(cases, (int)(sizeof cases / sizeof cases[0]));
}

Test(sequence, frozen_for_inference) {
    model_check_frozen(cases, (int)(sizeof cases / sizeof cases[0]));
}

/* f64 and bf16, forward and backward: the same result, but for what f32 and bf16 round. */
Test(sequence, models_of_other_dtypes) {
    static const struct {
        wk_dtype dtype;
        double tolerance;
    } others[] = { { WK_F64, 1e-5 }, { WK_BF16, 0.1 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int k = 0; k < 2; k++) {
            wk_scope scope = wk_scope_begin();
            wk_manual_seed(0);
            wk_module *m = cases[i].make();
            wk_tensor *x = cases[i].input();
            wk_tensor *plain = cases[i].run ? cases[i].run(m, x) : wk_forward(m, x);
            cr_assert_eq(wk_module_to(m, others[k].dtype), WK_OK, "%s", wk_message());
            if (wk_dtype_get(x) == WK_F32) x = wk_cast(x, others[k].dtype);
            wk_tensor *y = cases[i].run ? cases[i].run(m, x) : wk_forward(m, x);
            cr_assert_not_null(y, "%s: %s", cases[i].name, wk_message());
            cr_expect_eq(wk_dtype_get(y), others[k].dtype, "%s", cases[i].name);
            golden_expect_close(wk_cast(wk_detach(y), WK_F32), wk_detach(plain), others[k].tolerance, cases[i].name);
            cr_expect_eq(wk_backward(wk_mean(y, (wk_reduce_opts){ .keep_dims = false })), WK_OK, "%s", wk_message());
            wk_scope_end(scope);
            wk_module_destroy(m);
        }
}

/* ---- initial values that are not drawn in another library's order ---- */

static double deviation_of(wk_tensor *t) {
    double sum = 0, square = 0;
    const double n = (double)wk_count(t);
    for (int64_t i = 0; i < wk_count(t); i++) sum += wk_at(t, i), square += wk_at(t, i) * wk_at(t, i);
    cr_expect(fabs(sum / n) < 4 * sqrt(square / n) / sqrt(n), "mean %g", sum / n);
    return sqrt(square / n);
}

/* Vectors are zeros (biases) or ones (weights of a norm); matrices normal. */
static void expect_start(wk_module *m, const char *residual, double residual_deviation) {
    wk_named_tensors all = wk_parameters(m);
    for (int i = 0; i < all.count; i++) {
        const char *name = all.name[i];
        wk_tensor *t = all.tensor[i];
        if (wk_rank(t) == 1) {
            const bool one = strstr(name, "ln_") || strstr(name, "LayerNorm");
            for (int64_t k = 0; k < wk_count(t); k++)
                cr_expect_eq(wk_at(t, k), one && strstr(name, "weight") ? 1 : 0, "%s", name);
            continue;
        }
        const double wanted = residual && strstr(name, residual) ? residual_deviation : 0.02;
        const double got = deviation_of(t), error = 5 / sqrt(2 * (double)wk_count(t));
        const bool padded = strstr(name, "word_embeddings") != NULL; /* one row of 50 is zero */
        cr_expect(fabs(got / wanted - 1) < error + (padded ? 0.02 : 0), "%s: deviation %g, expected %g", name, got,
                  wanted);
    }
}

Test(sequence, initial_values_of_gpt2_and_bert) {
    wk_manual_seed(5);
    wk_module *m = gpt2();
    expect_start(m, "c_proj", 0.02 / 2);
    wk_module_destroy(m);
    m = bert_masked();
    expect_start(m, NULL, 0);
    wk_tensor *words = wk_module_tensor(m, "bert.embeddings.word_embeddings.weight");
    for (int i = 0; i < 32; i++) cr_expect_eq(wk_at(words, i), 0);
    cr_expect_eq(words, wk_module_tensor(m, "cls.predictions.decoder.weight"));
    wk_module_destroy(m);
}

/* ---- sizes ---- */

static void expect_size(wk_module *m, const char *tensor, int axis, int64_t size) {
    cr_assert_not_null(m, "%s", wk_message());
    cr_expect_eq(wk_size(wk_module_tensor(m, tensor), axis), size, "%s: %lld, expected %lld", tensor,
                 (long long)wk_size(wk_module_tensor(m, tensor), axis), (long long)size);
    wk_module_destroy(m);
}

Test(sequence, sizes_by_name) {
    const wk_gpt2_opts small = { .heads = 1, .width = 2, .vocabulary = 3, .context = 4 };
    wk_gpt2_opts g = small;
    expect_size(wk_gpt2(g), "transformer.h.11.mlp.c_fc.weight", 1, 8);
    g.size = WK_GPT2_355M;
    expect_size(wk_gpt2(g), "transformer.h.23.attn.c_attn.weight", 1, 6);
    g.size = WK_GPT2_774M;
    expect_size(wk_gpt2(g), "transformer.h.35.attn.c_attn.weight", 1, 6);
    g.size = WK_GPT2_1558M;
    expect_size(wk_gpt2(g), "transformer.h.47.attn.c_attn.weight", 1, 6);
    expect_size(wk_gpt2((wk_gpt2_opts){ .layers = 1, .vocabulary = 2, .feedforward = 2 }), "transformer.wpe.weight", 0,
                1024);
    expect_size(wk_gpt2((wk_gpt2_opts){ .layers = 1, .heads = 1, .width = 1 }), "lm_head.weight", 0, 50257);
    wk_vit_opts v = { .heads = 1, .width = 2, .feedforward = 2 };
    expect_size(wk_vit(v), "encoder.pos_embedding", 1, 197);
    v.size = WK_VIT_L_32;
    expect_size(wk_vit(v), "encoder.layers.encoder_layer_23.ln_1.weight", 0, 2);
    v.size = WK_VIT_H_14;
    expect_size(wk_vit(v), "encoder.layers.encoder_layer_31.ln_1.weight", 0, 2);
    wk_bert_opts b = { .size = WK_BERT_LARGE, .heads = 1, .width = 2, .vocabulary = 3 };
    expect_size(wk_bert(b), "encoder.layer.23.intermediate.dense.weight", 0, 8);
    expect_size(wk_bert((wk_bert_opts){ .layers = 1, .heads = 1, .width = 1 }), "embeddings.word_embeddings.weight", 0,
                30522);
    expect_size(wk_char_lstm((wk_char_lstm_opts){ 0 }), "lstm.weight_ih_l1", 0, 512);
}

/* ---- dropout ---- */

static wk_tensor *tokens_of_dropping(wk_module *m, bool training, uint64_t seed) {
    wk_module_train(m, training);
    wk_manual_seed(seed);
    return wk_forward(m, tokens());
}

Test(sequence, dropout_acts_in_training) {
    wk_gpt2_opts g = gpt2_opts;
    wk_bert_opts b = bert_opts;
    g.dropout = b.dropout = WK_SET(0.3);
    wk_module *models[] = { wk_gpt2(g), wk_bert(b), wk_bert_for_sequence_classification(2, b) };
    for (int i = 0; i < 3; i++) {
        wk_scope scope = wk_scope_begin();
        cr_assert_not_null(models[i], "%s", wk_message());
        wk_tensor *a = tokens_of_dropping(models[i], true, 1), *again = tokens_of_dropping(models[i], true, 1),
                  *other = tokens_of_dropping(models[i], true, 2), *plain = tokens_of_dropping(models[i], false, 1);
        golden_expect_equal(a, again, "equal seeds");
        cr_expect_neq(wk_at(a, 0), wk_at(other, 0));
        cr_expect_neq(wk_at(a, 0), wk_at(plain, 0));
        wk_scope_end(scope);
        wk_module_destroy(models[i]);
    }
}

/* ---- mistakes ---- */

Test(sequence, options_that_are_refused) {
    REFUSED_PLAINLY(wk_vit((wk_vit_opts){ .width = 30, .heads = 4 }), WK_INVALID,
                    "wk_vit: width 30 is no multiple of 4 heads");
    REFUSED_PLAINLY(wk_vit((wk_vit_opts){ .image = 30 }), WK_INVALID,
                    "wk_vit: an image of 30 pixels is no whole number of patches of 16");
    REFUSED_PLAINLY(wk_vit((wk_vit_opts){ .channels = -3 }), WK_INVALID,
                    "wk_vit: channels is -3, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_vit((wk_vit_opts){ .representation = -1 }), WK_INVALID,
                    "wk_vit: representation is -1, expected 0 to 16777216");
    REFUSED_PLAINLY(wk_vit((wk_vit_opts){ .dropout = 1 }), WK_INVALID,
                    "wk_vit: dropout is 1, expected 0 ≤ dropout < 1");
    REFUSED_PLAINLY(wk_vit((wk_vit_opts){ .size = (wk_vit_size)9 }), WK_INVALID,
                    "wk_vit: size is 9, expected one of wk_vit_size");
    REFUSED_PLAINLY(wk_gpt2((wk_gpt2_opts){ .width = 10, .heads = 3 }), WK_INVALID,
                    "wk_gpt2: width 10 is no multiple of 3 heads");
    REFUSED_PLAINLY(wk_gpt2((wk_gpt2_opts){ .layers = -1 }), WK_INVALID,
                    "wk_gpt2: layers is -1, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_gpt2((wk_gpt2_opts){ .layers = 5000 }), WK_INVALID, "wk_gpt2: 5000 layers, at most 1000");
    REFUSED_PLAINLY(wk_gpt2((wk_gpt2_opts){ .vocabulary = -2 }), WK_INVALID,
                    "wk_gpt2: vocabulary is -2, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_gpt2((wk_gpt2_opts){ .context = INT64_MAX }), WK_INVALID,
                    "wk_gpt2: context is 9223372036854775807, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_gpt2((wk_gpt2_opts){ .dropout = WK_SET(-0.5) }), WK_INVALID,
                    "wk_gpt2: dropout is -0.5, expected 0 ≤ dropout < 1");
    REFUSED_PLAINLY(wk_gpt2((wk_gpt2_opts){ .size = (wk_gpt2_size)4 }), WK_INVALID,
                    "wk_gpt2: size is 4, expected one of wk_gpt2_size");
    REFUSED_PLAINLY(wk_bert((wk_bert_opts){ .heads = 5 }), WK_INVALID, "wk_bert: width 768 is no multiple of 5 heads");
    REFUSED_PLAINLY(wk_bert((wk_bert_opts){ .types = -1 }), WK_INVALID, "wk_bert: types is -1, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_bert((wk_bert_opts){ .size = (wk_bert_size)2 }), WK_INVALID,
                    "wk_bert: size is 2, expected one of wk_bert_size");
    REFUSED_PLAINLY(wk_bert((wk_bert_opts){ .dropout = WK_SET(1) }), WK_INVALID,
                    "wk_bert: dropout is 1, expected 0 ≤ dropout < 1");
    REFUSED_PLAINLY(wk_bert_for_sequence_classification(0, bert_opts), WK_INVALID,
                    "wk_bert_for_sequence_classification: labels is 0, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_char_lstm((wk_char_lstm_opts){ .hidden = -4 }), WK_INVALID,
                    "wk_char_lstm: hidden is -4, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_char_lstm((wk_char_lstm_opts){ .layers = 1001 }), WK_INVALID,
                    "LSTM: num_layers is 1001, expected 1 to 1000");
    REFUSED_PLAINLY(wk_char_lstm((wk_char_lstm_opts){ .dropout = 2 }), WK_INVALID,
                    "wk_char_lstm: dropout is 2, expected 0 ≤ dropout < 1");
}

Test(sequence, inputs_that_are_refused) {
    wk_scope scope = wk_scope_begin();
    wk_module *v = vit(), *b = bert(), *c = bert_classifier(), *l = char_lstm();
    wk_tensor *x = tokens(), *floats = wk_zeros(WK_F32, WK_DIMS(2, 11)), *pooled;
    wk_tensor *long_x = wk_zeros(WK_I64, WK_DIMS(1, 13)), *outside = wk_full(WK_I64, WK_DIMS(1, 3), 50);
    REFUSED_PLAINLY(wk_forward(v, model_wave(WK_DIMS(2, 3, 12, 8))), WK_SHAPE,
                    "VisionTransformer (layer \"\"): x (2, 3, 12, 8) f32, expected (N, 3, 12, 12)");
    REFUSED_PLAINLY(wk_forward(v, model_wave(WK_DIMS(3, 12, 12))), WK_SHAPE,
                    "VisionTransformer (layer \"\"): x (3, 12, 12) f32, expected (N, 3, 12, 12)");
    REFUSED_PLAINLY(wk_forward(b, floats), WK_SHAPE, "BertModel (layer \"\"): tokens (2, 11) f32, expected (N, T) i64");
    REFUSED_PLAINLY(wk_forward(b, long_x), WK_SHAPE,
                    "BertModel (layer \"\"): 13 tokens, expected 1 to the 12 of the context");
    REFUSED_PLAINLY(wk_forward(b, wk_zeros(WK_I64, WK_DIMS(2, 0))), WK_SHAPE,
                    "BertModel (layer \"\"): 0 tokens, expected 1 to the 12 of the context");
    REFUSED_PLAINLY(
        wk_forward(b, outside), WK_INVALID,
        "embedding: index[0] is 50, expected 0 ≤ index < 50 (axis 0 of weight) (layer \"embeddings.word_embeddings\")");
    REFUSED_PLAINLY(wk_bert_run(b, x, (wk_bert_inputs){ .attention_mask = long_x }, NULL), WK_SHAPE,
                    "BertModel (layer \"\"): attention_mask (1, 13) i64, expected the shape of tokens (2, 11) i64");
    REFUSED_PLAINLY(wk_bert_run(b, x, (wk_bert_inputs){ .token_type_ids = long_x }, &pooled), WK_SHAPE,
                    "BertModel (layer \"\"): token_type_ids (1, 13) i64, expected the shape of tokens (2, 11) i64");
    REFUSED_PLAINLY(wk_bert_run(b, x, (wk_bert_inputs){ .token_type_ids = wk_full(WK_I64, WK_DIMS(2, 11), 2) }, NULL),
                    WK_INVALID,
                    "embedding: index[0] is 2, expected 0 ≤ index < 2 (axis 0 of weight) (layer "
                    "\"embeddings.token_type_embeddings\")");
    REFUSED_PLAINLY(wk_forward(c, floats), WK_SHAPE,
                    "BertModel (layer \"bert\"): tokens (2, 11) f32, expected (N, T) i64");
    REFUSED_PLAINLY(wk_forward(l, floats), WK_SHAPE, "CharLSTM (layer \"\"): tokens (2, 11) f32, expected (N, T) i64");
    REFUSED_PLAINLY(wk_char_lstm_run(l, wk_zeros(WK_I64, WK_DIMS(2, 3)), (wk_nn_states){ .h = floats }, NULL), WK_SHAPE,
                    "LSTM (layer \"lstm\"): h0 (2, 11) f32, expected (2, 2, 9)");
    REFUSED_PLAINLY(wk_char_lstm_run(b, x, (wk_nn_states){ 0 }, NULL), WK_INVALID,
                    "wk_char_lstm_run: module \"\" (BertModel) is no CharLSTM");
    wk_args out, in = { .count = 2, .slot = { { NULL, x }, { "attention_mask", x } } };
    cr_expect_eq(wk_forward_args(b, &in, &out), WK_OK, "%s", wk_message());
    in.slot[1].name = "attention_masc";
    cr_expect_eq(wk_forward_args(b, &in, &out), WK_INVALID);
    expect_refused(WK_INVALID, "BertModel (layer \"\"): no input \"attention_masc\"; did you mean \"attention_mask\"?",
                   NULL);
    cr_expect_eq(wk_forward_args(l, &in, &out), WK_INVALID);
    expect_refused(WK_INVALID, "CharLSTM (layer \"\"): no input \"attention_masc\"", NULL);
    in.count = 0;
    cr_expect_eq(wk_forward_args(c, &in, &out), WK_INVALID);
    expect_refused(WK_INVALID, "BertModel (layer \"bert\"): there is no input", NULL);
    /* Without names, by their order. */
    wk_bert_inputs by_name = bert_inputs();
    wk_args by_place = { .count = 3,
                         .slot = { { NULL, x }, { NULL, by_name.token_type_ids }, { NULL, by_name.attention_mask } } };
    cr_assert_eq(wk_forward_args(c, &by_place, &out), WK_OK, "%s", wk_message());
    golden_expect_equal(wk_detach(out.slot[0].tensor), wk_detach(wk_bert_run(c, x, by_name, NULL)), "by order");
    wk_module_destroy(v), wk_module_destroy(b), wk_module_destroy(c), wk_module_destroy(l);
    wk_scope_end(scope);
}
