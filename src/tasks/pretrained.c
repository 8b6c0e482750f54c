/* pretrained.c: networks from a folder in Hugging Face's layout: config.json says which, model.safetensors holds it.
 *
 * A published file may be of the bare network ("encoder.layer.0.…") or of one with a head ("bert.encoder.layer.0.…"):
 * names are looked for both ways.  What a head needs and the file has not begins as drawn, and is told.
 */
#include "tasks/pretrained.h"

#include "wick/models.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- config.json ---- */

/* A whole number of [1, 2^24]; `otherwise` where it is missing or null. */
static int64_t size_in(const json_t *config, const char *key, int64_t otherwise) {
    const json_t *value = json_object_get(config, key);
    if (!value || json_is_null(value)) return otherwise;
    const json_int_t number = json_is_integer(value) ? json_integer_value(value) : 0;
    if (number >= 1 && number <= 1 << 24) return number;
    (void)wk_fail(WK_FORMAT, "\"%s\" is no whole number from 1 to %d", key, 1 << 24);
    return otherwise;
}
static wk_optional number_in(const json_t *config, const char *key) {
    const json_t *value = json_object_get(config, key);
    return (wk_optional){ json_is_number(value), json_number_value(value) };
}
static const char *word_in(const json_t *config, const char *key, const char *otherwise) {
    const char *word = json_string_value(json_object_get(config, key));
    return word ? word : otherwise;
}

static void check_word(const json_t *config, const char *key, const char *expected, const char *also) {
    const char *word = word_in(config, key, expected);
    if (!wk_failed() && strcmp(word, expected) != 0 && strcmp(word, also) != 0)
        (void)wk_fail(WK_UNSUPPORTED, "\"%s\" is \"%s\", expected \"%s\"", key, word, expected);
}

json_t *wk__pretrained_config(const char *folder) {
    json_error_t error;
    char *path = wk_format("%s/config.json", folder);
    json_t *config = NULL;
    if (path && access(path, R_OK) != 0)
        (void)wk_fail(WK_NOT_FOUND, "%s: %s; expected a folder with config.json and model.safetensors", path,
                      strerror(errno));
    else if (path && !(config = json_load_file(path, 0, &error)))
        (void)wk_fail(WK_FORMAT, "%s:%d:%d: %s", path, error.line, error.column, error.text);
    wk_free(path);
    return config;
}

/* Refuses a network that the file of its weights cannot hold, at a byte a parameter, before memory is asked for it. */
static void check_room(const char *folder, double layers, double width, double feedforward, double rows) {
    const double least = rows * width + layers * (4 * width * width + 2 * width * feedforward);
    struct stat info;
    char *path = wk_failed() ? NULL : wk_format("%s/model.safetensors", folder);
    if (path && stat(path, &info) != 0)
        (void)wk_fail(WK_NOT_FOUND, "%s: %s; `wick ckpt convert` makes one of pytorch_model.bin", path,
                      strerror(errno));
    else if (path && least > (double)info.st_size)
        (void)wk_fail(WK_FORMAT, "a network of %.3g parameters or more, model.safetensors has %lld bytes", least,
                      (long long)info.st_size);
    wk_free(path);
}

static wk_module *make_gpt2(const json_t *c, const char *folder) {
    const wk_gpt2_opts opts = { .layers = size_in(c, "n_layer", 12),
                                .heads = size_in(c, "n_head", 12),
                                .width = size_in(c, "n_embd", 768),
                                .vocabulary = size_in(c, "vocab_size", 50257),
                                .context = size_in(c, "n_positions", 1024),
                                .feedforward = size_in(c, "n_inner", 0),
                                .dropout = number_in(c, "resid_pdrop"),
                                .eps = number_in(c, "layer_norm_epsilon") };
    check_word(c, "activation_function", "gelu_new", "gelu_pytorch_tanh");
    check_room(folder, (double)opts.layers, (double)opts.width,
               (double)(opts.feedforward ? opts.feedforward : 4 * opts.width),
               (double)(opts.vocabulary + opts.context));
    return wk_failed() ? NULL : wk_gpt2(opts);
}

/* labels 0: the encoder alone. */
static wk_module *make_bert(const json_t *c, const char *folder, bool is_roberta, int64_t labels) {
    wk_bert_opts opts = { .layers = size_in(c, "num_hidden_layers", 12),
                          .heads = size_in(c, "num_attention_heads", 12),
                          .width = size_in(c, "hidden_size", 768),
                          .feedforward = size_in(c, "intermediate_size", 3072),
                          .vocabulary = size_in(c, "vocab_size", is_roberta ? 50265 : 30522),
                          .context = size_in(c, "max_position_embeddings", is_roberta ? 514 : 512),
                          .types = size_in(c, "type_vocab_size", is_roberta ? 1 : 2),
                          .dropout = number_in(c, "hidden_dropout_prob"),
                          .eps = number_in(c, "layer_norm_eps") };
    check_word(c, "hidden_act", "gelu", "gelu");
    check_word(c, "position_embedding_type", "absolute", "absolute");
    const int64_t padding = json_integer_value(json_object_get(c, "pad_token_id"));
    if (is_roberta && padding != 1)
        (void)wk_fail(WK_UNSUPPORTED, "\"pad_token_id\" is %lld, expected RoBERTa's 1", (long long)padding);
    if (is_roberta && (opts.context -= 2) < 1) (void)wk_fail(WK_FORMAT, "\"max_position_embeddings\" is less than 3");
    check_room(folder, (double)opts.layers, (double)opts.width, (double)opts.feedforward,
               (double)(opts.vocabulary + opts.context + opts.types));
    if (wk_failed()) return NULL;
    if (labels == 0) return is_roberta ? wk_roberta(opts) : wk_bert(opts);
    return is_roberta ? wk_roberta_for_sequence_classification(labels, opts)
                      : wk_bert_for_sequence_classification(labels, opts);
}

/* ---- model.safetensors ---- */

static const char *const bases[] = { "bert.", "roberta.", "transformer." };
static const char *const heads[] = { "classifier.", "pooler." };

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* Without the name of the network inside a head. */
static const char *bare(const char *name) {
    for (size_t i = 0; i < WK_COUNT(bases); i++)
        if (begins(name, bases[i])) return name + strlen(bases[i]);
    return name;
}

/* The name of a tensor in the file, in `found`; false where it has none. */
static bool find(wk_safetensors *file, const char *name, char *found, size_t size) {
    const char *plain = bare(name);
    (void)snprintf(found, size, "%s", name);
    if (wk_safetensors_has(file, found)) return true;
    (void)snprintf(found, size, "%s", plain);
    if (wk_safetensors_has(file, found)) return true;
    for (size_t i = 0; i < WK_COUNT(bases); i++) {
        (void)snprintf(found, size, "%s%s", bases[i], plain);
        if (wk_safetensors_has(file, found)) return true;
    }
    return false;
}

static wk_status take(wk_safetensors *file, const char *name, wk_tensor *target) {
    char one[160], other[160];
    wk_scope scope = wk_scope_begin();
    wk_tensor *stored = wk_safetensors_get(file, name);
    wk_status status = stored ? WK_OK : wk_error_code();
    if (stored) {
        const wk_dims a = wk_dims_get(stored), b = wk_dims_get(target);
        bool same = a.rank == b.rank;
        for (int i = 0; same && i < a.rank; i++) same = a.size[i] == b.size[i];
        if (!same)
            status = wk_fail(WK_SHAPE, "\"%s\" is %s, config.json wants %s", name, wk_describe(stored, one, sizeof one),
                             wk_describe(target, other, sizeof other));
        else if ((stored = wk_cast(stored, wk_dtype_get(target)))) /* published halves, too */
            status = wk_copy_into(target, stored);
        if (!stored) status = wk_error_code();
    }
    wk_scope_end(scope);
    return status;
}

static wk_status load(wk_safetensors *file, wk_module *model, const char *folder) {
    const wk_named_tensors all = wk_parameters(model);
    wk_text fresh = { 0 };
    wk_status status = WK_OK;
    for (int i = 0; i < all.count && status == WK_OK; i++) {
        char name[256];
        const char *plain = bare(all.name[i]);
        if (find(file, all.name[i], name, sizeof name))
            status = take(file, name, all.tensor[i]);
        else if (begins(plain, heads[0]) || begins(plain, heads[1]))
            wk_text_printf(&fresh, "%s%s", fresh.size ? ", " : "", all.name[i]);
        else
            status = wk_fail(WK_NOT_FOUND, "there is no \"%s\"", all.name[i]);
    }
    if (status == WK_OK && fresh.size)
        wk_log_write(WK_LOG_WARNING, "%s: not in the file, and begun as drawn: %s", folder, wk_text_get(&fresh));
    wk_text_free(&fresh);
    return status;
}

static wk_status load_folder(const char *folder, wk_module *model) {
    char *path = wk_format("%s/model.safetensors", folder);
    wk_safetensors *file = path ? wk_safetensors_open(path) : NULL;
    wk_status status = file ? load(file, model, folder) : wk_error_code();
    if (file && status != WK_OK) wk_error_prefix("%s", path);
    wk_safetensors_close(file);
    wk_free(path);
    return status;
}

wk_module *wk_pretrained_open(const char *folder, wk_pretrained_opts opts) {
    json_t *config = wk_failed() ? NULL : wk__pretrained_config(folder);
    if (!config) return NULL;
    const char *type = word_in(config, "model_type", "");
    const bool is_gpt2 = strcmp(type, "gpt2") == 0, is_roberta = strcmp(type, "roberta") == 0;
    wk_module *model = NULL;
    if (is_gpt2 && opts.labels > 0)
        (void)wk_fail(WK_UNSUPPORTED, "gpt2 with %lld labels: classifiers are made of bert and roberta",
                      (long long)opts.labels);
    else if (is_gpt2)
        model = make_gpt2(config, folder);
    else if (is_roberta || strcmp(type, "bert") == 0)
        model = make_bert(config, folder, is_roberta, opts.labels);
    else
        (void)wk_fail(WK_UNSUPPORTED, "\"model_type\" is \"%s\", expected bert, roberta or gpt2", type);
    if (!model && wk_error_code() != WK_NOT_FOUND) wk_error_prefix("%s/config.json", folder);
    json_decref(config);
    if (model && load_folder(folder, model) == WK_OK) return model;
    wk_module_destroy(model);
    return NULL;
}
