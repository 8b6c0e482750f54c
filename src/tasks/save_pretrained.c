/* save_pretrained.c: a network as a folder that transformers opens, and the callback that leaves one behind a run. */
#include "tasks/pretrained.h"

#include "io/file.h"
#include "wick/models.h"

#include <stdlib.h>
#include <string.h>

static const char *class_of(const wk_module *model) {
    return model->class_->name;
}
static bool is_class(const wk_module *model, const char *name) {
    return strcmp(class_of(model), name) == 0;
}

/* The first of some tokens that the vocabulary has; null without one. */
static json_t *token_of(const wk_tokenizer *t, const char *const *names, bool as_id) {
    for (; t && *names; names++) {
        const int32_t id = wk_tokenizer_id(t, *names);
        if (id >= 0) return as_id ? json_integer(id) : json_string(*names);
    }
    return json_null();
}
static const char *const pad[] = { "[PAD]", "<pad>", NULL }, *const unknown[] = { "[UNK]", "<unk>", NULL },
                         *const cls[] = { "[CLS]", "<s>", NULL }, *const sep[] = { "[SEP]", "</s>", NULL },
                         *const mask[] = { "[MASK]", "<mask>", NULL }, *const end[] = { "<|endoftext|>", NULL };

static json_t *gpt2_config(const wk_module *model, const wk_tokenizer *t) {
    const wk_gpt2_opts o = wk_gpt2_options(model);
    return json_pack("{s:[s], s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:b, s:o, s:o}",
                     "architectures", "GPT2LMHeadModel", "model_type", "gpt2", "vocab_size", (json_int_t)o.vocabulary,
                     "n_positions", (json_int_t)o.context, "n_embd", (json_int_t)o.width, "n_layer",
                     (json_int_t)o.layers, "n_head", (json_int_t)o.heads, "n_inner", (json_int_t)o.feedforward,
                     "activation_function", "gelu_new", "resid_pdrop", o.dropout.value, "embd_pdrop", o.dropout.value,
                     "attn_pdrop", o.dropout.value, "layer_norm_epsilon", wk_optional_or(o.eps, 1e-5),
                     "initializer_range", 0.02, "tie_word_embeddings", 1, "bos_token_id", token_of(t, end, true),
                     "eos_token_id", token_of(t, end, true));
}

static json_t *bert_config(const wk_module *model, bool is_roberta, const wk_tokenizer *t) {
    const wk_bert_opts o = wk_bert_options(model);
    json_t *c = json_pack(
        "{s:[s], s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:I, s:I, s:f, s:f, s:i}", "architectures",
        class_of(model), "model_type", is_roberta ? "roberta" : "bert", "vocab_size", (json_int_t)o.vocabulary,
        "hidden_size", (json_int_t)o.width, "num_hidden_layers", (json_int_t)o.layers, "num_attention_heads",
        (json_int_t)o.heads, "intermediate_size", (json_int_t)o.feedforward, "hidden_act", "gelu",
        "hidden_dropout_prob", o.dropout.value, "attention_probs_dropout_prob", o.dropout.value,
        "max_position_embeddings", (json_int_t)o.context + (is_roberta ? 2 : 0), "type_vocab_size", (json_int_t)o.types,
        "initializer_range", 0.02, "layer_norm_eps", wk_optional_or(o.eps, 1e-12), "pad_token_id", is_roberta ? 1 : 0);
    if (c && is_roberta) {
        (void)json_object_set_new(c, "bos_token_id", token_of(t, cls, true));
        (void)json_object_set_new(c, "eos_token_id", token_of(t, sep, true));
    }
    return c;
}

/* As transformers names classes: id2label, label2id. */
static void add_labels(json_t *config, const char *const *labels) {
    json_t *names = json_object(), *ids = json_object();
    for (int i = 0; labels && labels[i]; i++) {
        char number[16];
        (void)snprintf(number, sizeof number, "%d", i);
        (void)json_object_set_new(names, number, json_string(labels[i]));
        (void)json_object_set_new(ids, labels[i], json_integer(i));
    }
    (void)json_object_set_new(config, "id2label", names);
    (void)json_object_set_new(config, "label2id", ids);
    (void)json_object_set_new(config, "problem_type", json_string("single_label_classification"));
}

static json_t *config_of(const wk_module *model, const wk_tokenizer *t) {
    if (is_class(model, "GPT2LMHeadModel")) return gpt2_config(model, t);
    if (is_class(model, "BertModel") || is_class(model, "BertForSequenceClassification"))
        return bert_config(model, false, t);
    if (is_class(model, "RobertaModel") || is_class(model, "RobertaForSequenceClassification"))
        return bert_config(model, true, t);
    return wk_fail_null(WK_UNSUPPORTED,
                        "model %s has no counterpart in transformers here, expected gpt2, bert or roberta",
                        class_of(model));
}

/* Any vocabulary opens as transformers' fast tokenizer; what its special tokens are stands here. */
static json_t *tokenizer_config(const wk_tokenizer *t, int64_t most) {
    const struct {
        const char *key, *const *names;
    } special[] = { { "pad_token", pad }, { "unk_token", unknown }, { "cls_token", cls },
                    { "sep_token", sep }, { "mask_token", mask },   { "eos_token", end } };
    json_t *c =
        json_pack("{s:s, s:I}", "tokenizer_class", "PreTrainedTokenizerFast", "model_max_length", (json_int_t)most);
    for (size_t i = 0; c && i < WK_COUNT(special); i++) {
        json_t *token = token_of(t, special[i].names, false);
        if (json_is_string(token)) (void)json_object_set(c, special[i].key, token);
        json_decref(token);
    }
    return c;
}

/* Takes the value. */
static wk_status write_json(const char *folder, const char *name, json_t *value) {
    char *path = wk_format("%s/%s", folder, name), *text = value ? json_dumps(value, JSON_INDENT(2)) : NULL;
    if (!text && !wk_failed()) (void)wk_fail(WK_NO_MEMORY, "%s: no memory for its text", name);
    wk_status status = path && text ? wk__write_file(path, text, strlen(text)) : wk_error_code();
    free(text);
    wk_free(path);
    json_decref(value);
    return status;
}

static wk_status write_tokenizer(const wk_tokenizer *t, int64_t most, const char *folder) {
    char *path = wk_format("%s/tokenizer.json", folder);
    wk_status status = path ? wk_tokenizer_save(t, path) : wk_error_code();
    wk_free(path);
    return status == WK_OK ? write_json(folder, "tokenizer_config.json", tokenizer_config(t, most)) : status;
}

wk_status wk_pretrained_save(wk_module *model, const wk_tokenizer *tokenizer, const char *const *labels,
                             const char *folder) {
    static const wk_metadata format = { "format", "pt" };
    if (wk_failed()) return wk_error_code();
    json_t *config = config_of(model, tokenizer);
    if (!config) return wk_failed() ? wk_error_code() : wk_fail(WK_NO_MEMORY, "%s: no memory for config.json", folder);
    if (labels) add_labels(config, labels);
    const int64_t most =
        is_class(model, "GPT2LMHeadModel") ? wk_gpt2_options(model).context : wk_bert_options(model).context;
    wk_status status = wk__make_folder(folder);
    if (status != WK_OK) return json_decref(config), status;
    WK_TRY(write_json(folder, "config.json", config));
    char *path = wk_format("%s/model.safetensors", folder);
    status = path ? wk_safetensors_save(path, wk_parameters(model), &format, 1) : wk_error_code();
    wk_free(path);
    return status == WK_OK && tokenizer ? write_tokenizer(tokenizer, most, folder) : status;
}

/* ---- callback Pretrained ---- */

typedef struct leaver {
    wk_callback base;
    const char *folder; /* NULL: in the run's */
} leaver;

static wk_status train_end(wk_callback *self, wk_trainer *t) {
    const leaver *me = (const leaver *)self;
    if (wk_trainer_rank(t) != 0) return WK_OK;
    const wk_dataset *data = wk_trainer_data(t);
    char *folder = me->folder ? wk_strdup(me->folder) : wk_format("%s/pretrained", wk_trainer_folder(t));
    const wk_tokenizer *tokenizer = wk__text_data_tokenizer(data);
    if (!tokenizer) tokenizer = wk__labelled_texts_tokenizer(data);
    wk_status status = folder
                           ? wk_pretrained_save(wk_trainer_model(t), tokenizer, wk__labelled_texts_labels(data), folder)
                           : wk_error_code();
    wk_free(folder);
    return status;
}
static const wk_callback_class leaver_class = {
    .name = "Pretrained", .size = sizeof(leaver), .train_end = train_end, .never_stops = true
};
static wk_callback *build(const wk_config *args) {
    wk_callback *self = wk_callback_create(&leaver_class);
    if (self) ((leaver *)self)->folder = wk_config_string(args, "dirpath", NULL);
    return self;
}
static const wk_arg args[] = { { "dirpath", WK_ARG_TEXT, "", "the folder; RUN/pretrained" },
                               { NULL, WK_ARG_INT, NULL, NULL } };
const wk_callback_entry wk__pretrained_callback = {
    { "Pretrained", "at the end, the model as a folder that transformers opens", args }, build
};
