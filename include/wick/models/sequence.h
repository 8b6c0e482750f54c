/* wick/models/sequence.h: networks over features and tokens.
 *
 * Tokens are i64, (N, T).  One outside of the vocabulary is an error that names it and its place.  Slots beside the
 * first may be given without names, in the order named here; a name that is not among them is an error.
 */
#ifndef WICK_MODELS_SEQUENCE_H
#define WICK_MODELS_SEQUENCE_H

#include "wick/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_mlp_opts {
    int64_t in_features, hidden, classes; /* 784, 128, 10 */
    int64_t layers;                       /* hidden ones; 1 */
} wk_mlp_opts;
/* A Sequential: Flatten, then Linear and ReLU for each hidden layer, then Linear: (N, …) → (N, classes). */
WK_API wk_module *wk_mlp(wk_mlp_opts opts);
/* Linear layers from widths[0] features to widths[count - 1], ReLU between them: (N, …) → (N, widths[count - 1]).
 * Parameters as in the LIIF-style trainers' `mlp`: layers.0, layers.2, … */
WK_API wk_module *wk_mlp_of(const int64_t *widths /* (count) */, int count);

/* ---- ViT --------------------------------------------------------------------------------------------------------- */

typedef enum wk_vit_size { WK_VIT_B_16, WK_VIT_B_32, WK_VIT_L_16, WK_VIT_L_32, WK_VIT_H_14 } wk_vit_size;
typedef struct wk_vit_opts {
    wk_vit_size size;                                 /* what the sizes that are 0 come from; B/16: */
    int64_t patch, layers, heads, width, feedforward; /* 16, 12, 12, 768, 3072 */
    int64_t image, channels, classes;                 /* 224, 3, 1000 */
    int64_t representation;                           /* > 0: a layer of this width and tanh before the head */
    double dropout, attention_dropout;                /* 0, 0 */
} wk_vit_opts;
/* Vision Transformer (Dosovitskiy et al. 2020): (N, channels, image, image) → (N, classes).
 *
 * Names, order and initial values are those of torchvision's vit_b_16 and its kin: class_token, conv_proj,
 * encoder.pos_embedding, encoder.layers.encoder_layer_0.ln_1, ….self_attention.in_proj_weight, ….mlp.0, ….mlp.3,
 * encoder.ln, heads.head.  As there, the head begins with zeros. */
WK_API wk_module *wk_vit(wk_vit_opts opts);

/* ---- GPT-2 ------------------------------------------------------------------------------------------------------- */

typedef enum wk_gpt2_size { WK_GPT2_124M, WK_GPT2_355M, WK_GPT2_774M, WK_GPT2_1558M } wk_gpt2_size;
typedef struct wk_gpt2_opts {
    wk_gpt2_size size;                        /* what the sizes that are 0 come from; 124M: */
    int64_t layers, heads, width;             /* 12, 12, 768 */
    int64_t vocabulary, context, feedforward; /* 50257, 1024, 4 · width */
    wk_optional dropout;                      /* 0.1: of embeddings, attention weights, and what each block adds */
    wk_optional eps;                          /* 1e-5 */
} wk_gpt2_opts;
/* GPT-2 (Radford et al. 2019): tokens (N, T), T ≤ context → logits (N, T, vocabulary) of each next token.
 *
 * Names and layouts are those of Hugging Face's GPT2LMHeadModel: transformer.wte.weight, transformer.wpe.weight,
 * transformer.h.0.attn.c_attn.weight (in, out), …, transformer.ln_f.weight, lm_head.weight (which is
 * transformer.wte.weight).  A file that holds shared weights once, as save_pretrained writes it, loads by
 * wk_load_named(file, "", wk_parameters(gpt2), …); one of the bare transformer (wte.weight, h.0.attn.bias, …) by
 * wk_load_matching(file, "", wk_parameters(wk_module_find(gpt2, "transformer")), …).
 *
 * Weights begin normal with deviation 0.02, those that end on the residual path 0.02 / sqrt(2 layers); biases 0. */
WK_API wk_module *wk_gpt2(wk_gpt2_opts opts);
/* The loss that it is trained by: wk_cross_entropy of its logits and the next tokens (N, T), for tokens (N, T), without
 * logits that exist whole (wk_linear_cross_entropy, whose options these are).  Hooks of lm_head are not called. Errors:
 * as the module's forward and wk_linear_cross_entropy; WK_INVALID for another module. */
WK_API wk_tensor *wk_gpt2_loss(wk_module *gpt2, wk_tensor *tokens, wk_tensor *next, wk_linear_cross_entropy_opts opts);

/* The sizes that it was made with, defaults filled in.  Errors: WK_INVALID for another module. */
WK_API wk_gpt2_opts wk_gpt2_options(const wk_module *gpt2);

/* Keys and values of all layers for the tokens so far. */
typedef struct wk_gpt2_cache wk_gpt2_cache;
/* Room for `capacity` tokens (0: the context) of `batch` sequences of a wk_gpt2, which must outlive it. */
WK_API wk_gpt2_cache *wk_gpt2_cache_create(wk_module *gpt2, int64_t batch, int64_t capacity);
WK_API void wk_gpt2_cache_destroy(wk_gpt2_cache *cache); /* NULL is fine */
/* Logits (N, vocabulary) of what follows the last of `tokens` (N, T), which come behind those that the cache has seen;
 * the cache has seen them afterwards, or (with an error) is as before.  Computes T tokens, not all.  Not part of a
 * graph. */
WK_API wk_tensor *wk_gpt2_next(wk_module *gpt2, wk_tensor *tokens, wk_gpt2_cache *cache);

typedef struct wk_gpt2_generate_opts {
    double temperature; /* 0: always the likeliest token; else (1e-6 or more) one drawn from softmax(logits /
                           temperature) */
    int64_t top_k;      /* from so many likeliest ones; 0: from all */
    wk_tensor *key;     /* i64 (2), of the draws: equal keys, equal tokens; NULL: wk_random_key() */
    bool recompute;     /* the whole sequence for each token instead of keeping keys and values: for comparison */
} wk_gpt2_generate_opts;
/* The prompt (N, T) and `count` more tokens: (N, T + count), i64, at most the context.  As in training mode dropout
 * would act, call wk_module_train(gpt2, false) before. */
WK_API wk_tensor *wk_gpt2_generate(wk_module *gpt2, wk_tensor *prompt, int64_t count, wk_gpt2_generate_opts opts);

/* ---- BERT -------------------------------------------------------------------------------------------------------- */

typedef enum wk_bert_size { WK_BERT_BASE, WK_BERT_LARGE } wk_bert_size;
typedef struct wk_bert_opts {
    wk_bert_size size;                         /* what the sizes that are 0 come from; base: */
    int64_t layers, heads, width, feedforward; /* 12, 12, 768, 4 · width */
    int64_t vocabulary, context, types;        /* 30522, 512, 2 */
    wk_optional dropout;                       /* 0.1: of embeddings, attention weights, and what each block adds */
    wk_optional eps;                           /* 1e-12 */
    bool no_pooler;                            /* of wk_bert: the sequence alone */
} wk_bert_opts;
/* BERT (Devlin et al. 2018), the encoder.  Slots: tokens (N, T), T ≤ context; "token_type_ids" (N, T), i64, the segment
 * of each (none: 0); "attention_mask" (N, T), any dtype, 0 where a token is padding (none: all take part).  Gives
 * "sequence" (N, T, width) and, with the pooler, "pooled" (N, width), tanh of a layer on each first token.
 *
 * Names and layouts are those of Hugging Face's BertModel: embeddings.word_embeddings.weight,
 * encoder.layer.0.attention.self.query.weight, …, pooler.dense.weight.  The row of token 0, padding, gets no gradient
 * from the embedding.  Weights begin normal with deviation 0.02, biases 0. */
WK_API wk_module *wk_bert(wk_bert_opts opts);
/* With dropout and a layer on the pooled tokens, BertForSequenceClassification (bert.…, classifier): the same slots
 * → logits (N, labels). */
WK_API wk_module *wk_bert_for_sequence_classification(int64_t labels, wk_bert_opts opts);
/* RoBERTa (Liu et al. 2019): the same encoder with padding 1, one segment, places counted from 2 (so the table has
 * context + 2 rows), and defaults vocabulary 50265, types 1, eps 1e-5.  Padding must stand behind the text.  Names are
 * those of RobertaModel, and of RobertaForSequenceClassification (roberta.…, classifier.dense, classifier.out_proj). */
WK_API wk_module *wk_roberta(wk_bert_opts opts);
WK_API wk_module *wk_roberta_for_sequence_classification(int64_t labels, wk_bert_opts opts);
/* The sizes that any of these was made with, defaults filled in.  Errors: WK_INVALID for another module. */
WK_API wk_bert_opts wk_bert_options(const wk_module *module);
/* BertForMaskedLM (bert.…, without the pooler; cls.predictions.…, whose decoder is the embedding's table): the same
 * slots → logits (N, T, vocabulary). */
WK_API wk_module *wk_bert_for_masked_lm(wk_bert_opts opts);

typedef struct wk_bert_inputs {
    wk_tensor *token_type_ids, *attention_mask; /* NULL: none */
} wk_bert_inputs;
/* Any of the three, typed: the sequence, or the logits.  pooled, if not NULL, receives a wk_bert's second result. */
WK_API wk_tensor *wk_bert_run(wk_module *module, wk_tensor *tokens, wk_bert_inputs inputs, wk_tensor **pooled);

/* ---- character LSTM ---------------------------------------------------------------------------------------------- */

typedef struct wk_char_lstm_opts {
    int64_t vocabulary, width, hidden, layers; /* 256 (bytes), 128 (of the embedding), 128, 2 */
    double dropout;                            /* between layers */
} wk_char_lstm_opts;
/* Characters by an LSTM (Graves 2013; Karpathy 2015).  Slots: tokens (N, T), and the states "h0" and "c0" (layers, N,
 * hidden) to begin with (none: zeros).  Gives "logits" (N, T, vocabulary) of each next token, "h_n" and "c_n".
 *
 * embedding.weight, lstm.weight_ih_l0, …, linear.weight, linear.bias, with the initial values of PyTorch's modules. */
WK_API wk_module *wk_char_lstm(wk_char_lstm_opts opts);
/* The same, typed: logits; *last, if not NULL, receives the states to go on with.  To train on a text piece by piece,
 * keep them with wk_keep, which cuts them off the graph. */
WK_API wk_tensor *wk_char_lstm_run(wk_module *module, wk_tensor *tokens, wk_nn_states first, wk_nn_states *last);

#ifdef __cplusplus
}
#endif
#endif
