/* models.c: the networks of this floor's tasks, by the names that a run's file gives them. */
#include "tasks/tasks.h"

#include "wick/models.h"
#include "wick/tasks.h"

/* Options of wk_gpt2 and the others: 0, and nothing, are the published network's. */
static int64_t size_of(const wk_config *args, const char *key) {
    return wk_config_int(args, key, 1, 1 << 24, 0);
}
static wk_optional number_of(const wk_config *args, const char *key, double most) {
    return (wk_optional){ wk_config_has(args, key), wk_config_double(args, key, 0, most, 0) };
}

static wk_module *build_gpt2(const wk_config *args) {
    static const char *const sizes[] = { "124M", "355M", "774M", "1558M", NULL };
    const wk_gpt2_opts opts = { .size = (wk_gpt2_size)wk_config_choice(args, "size", sizes, WK_GPT2_124M),
                                .layers = size_of(args, "layers"),
                                .heads = size_of(args, "heads"),
                                .width = size_of(args, "width"),
                                .vocabulary = size_of(args, "vocabulary"),
                                .context = size_of(args, "context"),
                                .feedforward = size_of(args, "feedforward"),
                                .dropout = number_of(args, "dropout", 1) };
    return wk_failed() ? NULL : wk_gpt2(opts);
}

static wk_module *build_char_lstm(const wk_config *args) {
    const wk_char_lstm_opts opts = { .vocabulary = size_of(args, "vocabulary"),
                                     .width = size_of(args, "width"),
                                     .hidden = size_of(args, "hidden"),
                                     .layers = size_of(args, "layers"),
                                     .dropout = number_of(args, "dropout", 1).value };
    return wk_failed() ? NULL : wk_char_lstm(opts);
}

static wk_module *build_bert(const wk_config *args) {
    static const char *const sizes[] = { "base", "large", NULL };
    const wk_bert_opts opts = { .size = (wk_bert_size)wk_config_choice(args, "size", sizes, WK_BERT_BASE),
                                .layers = size_of(args, "layers"),
                                .heads = size_of(args, "heads"),
                                .width = size_of(args, "width"),
                                .vocabulary = size_of(args, "vocabulary"),
                                .context = size_of(args, "context"),
                                .feedforward = size_of(args, "feedforward"),
                                .dropout = number_of(args, "dropout", 1) };
    const int64_t labels = size_of(args, "labels");
    return wk_failed() ? NULL : wk_bert_for_sequence_classification(labels, opts);
}

static wk_module *build_pretrained(const wk_config *args) {
    const char *path = wk_config_string(args, "path", "");
    const wk_pretrained_opts opts = { .labels = wk_config_int(args, "labels", 0, 1 << 20, 0) };
    return wk_failed() ? NULL : wk_pretrained_open(path, opts);
}

static wk_module *build_unet(const wk_config *args) {
    const wk_unet_opts opts = { .in_channels = size_of(args, "in_channels"),
                                .classes = size_of(args, "classes"),
                                .width = size_of(args, "width"),
                                .levels = size_of(args, "levels") };
    return wk_failed() ? NULL : wk_unet(opts);
}

static wk_module *build_edsr(const wk_config *args) {
    const wk_edsr_opts opts = { .blocks = size_of(args, "n_resblocks"),
                                .width = size_of(args, "n_feats"),
                                .channels = size_of(args, "n_colors"),
                                .res_scale = number_of(args, "res_scale", 1),
                                .scale = size_of(args, "scale"),
                                .no_upsampling = wk_config_bool(args, "no_upsampling", false) };
    return wk_failed() ? NULL : wk_edsr(opts);
}

/* Features of a picture: what the encoder says itself, so that it may be any model. */
static int64_t features_of(wk_module *encoder, int64_t colours) {
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_module_train(encoder, false);
    const wk_tensor *y = wk_forward(encoder, wk_zeros(WK_F32, WK_DIMS(1, colours, 8, 8)));
    char text[160];
    int64_t features = y && wk_rank(y) == 4 ? wk_size(y, 1) : 0;
    if (y && !features)
        (void)wk_fail(WK_CONFIG, "encoder_spec: it gives %s for a picture, expected (N, features, H, W)",
                      wk_describe(y, text, sizeof text));
    wk_module_train(encoder, true);
    wk_no_grad_end(was);
    wk_scope_end(scope);
    return features;
}

static wk_module *build_liif(const wk_config *args) {
    const wk_liif_opts opts = { .no_feat_unfold = !wk_config_bool(args, "feat_unfold", true),
                                .no_local_ensemble = !wk_config_bool(args, "local_ensemble", true),
                                .no_cell_decode = !wk_config_bool(args, "cell_decode", true) };
    const int64_t colours = wk_config_int(args, "n_colors", 1, 1 << 10, 3);
    wk_module *encoder = wk_make_model(args, "encoder_spec");
    const int64_t features = encoder ? features_of(encoder, colours) : 0;
    wk_module *imnet =
        features ? wk_make_model_with(args, "imnet_spec", "in_dim", wk_liif_width(features, opts)) : NULL;
    return wk_liif(encoder, imnet, opts);
}

#define END \
    { NULL, WK_ARG_INT, NULL, NULL }
static const wk_arg gpt2_args[] = { { "size", WK_ARG_TEXT, "124M", "124M, 355M, 774M, 1558M" },
                                    { "layers", WK_ARG_INT, "", NULL },
                                    { "heads", WK_ARG_INT, "", NULL },
                                    { "width", WK_ARG_INT, "", NULL },
                                    { "vocabulary", WK_ARG_INT, "50257", "tokens; at least those of the data" },
                                    { "context", WK_ARG_INT, "1024", "tokens that it sees at most" },
                                    { "feedforward", WK_ARG_INT, "", "4 width" },
                                    { "dropout", WK_ARG_NUMBER, "0.1", NULL },
                                    END };
static const wk_arg char_lstm_args[] = { { "vocabulary", WK_ARG_INT, "256", "tokens; at least those of the data" },
                                         { "width", WK_ARG_INT, "128", "of the embedding" },
                                         { "hidden", WK_ARG_INT, "128", NULL },
                                         { "layers", WK_ARG_INT, "2", NULL },
                                         { "dropout", WK_ARG_NUMBER, "0", "between layers" },
                                         END };
static const wk_arg bert_args[] = { { "labels", WK_ARG_INT, NULL, "classes of texts" },
                                    { "size", WK_ARG_TEXT, "base", "base, large" },
                                    { "layers", WK_ARG_INT, "", NULL },
                                    { "heads", WK_ARG_INT, "", NULL },
                                    { "width", WK_ARG_INT, "", NULL },
                                    { "vocabulary", WK_ARG_INT, "30522", "tokens; at least those of the tokenizer" },
                                    { "context", WK_ARG_INT, "512", "tokens that it sees at most" },
                                    { "feedforward", WK_ARG_INT, "", "4 width" },
                                    { "dropout", WK_ARG_NUMBER, "0.1", NULL },
                                    END };
static const wk_arg pretrained_args[] = { { "path", WK_ARG_TEXT, NULL,
                                            "folder with config.json and model.safetensors" },
                                          { "labels", WK_ARG_INT, "0", "with a classifier of so many classes on top" },
                                          END };
static const wk_arg unet_args[] = { { "in_channels", WK_ARG_INT, "1", NULL },
                                    { "classes", WK_ARG_INT, "2", NULL },
                                    { "width", WK_ARG_INT, "64", "channels of the first level; twice as many below" },
                                    { "levels", WK_ARG_INT, "4", "below the first" },
                                    END };
static const wk_arg edsr_args[] = { { "n_resblocks", WK_ARG_INT, "16", NULL },
                                    { "n_feats", WK_ARG_INT, "64", "channels between" },
                                    { "n_colors", WK_ARG_INT, "3", "channels of pictures" },
                                    { "res_scale", WK_ARG_NUMBER, "1", "of what a block adds" },
                                    { "scale", WK_ARG_INT, "2", "2, 3 or 4" },
                                    { "no_upsampling", WK_ARG_BOOL, "false", "features alone, as LIIF's encoder" },
                                    END };
static const wk_arg liif_args[] = { { "encoder_spec", WK_ARG_SPEC, NULL, "a model from pictures to features" },
                                    { "imnet_spec", WK_ARG_SPEC, NULL, "a model of in_dim features, which it is told" },
                                    { "feat_unfold", WK_ARG_BOOL, "true", "3 x 3 features in one" },
                                    { "local_ensemble", WK_ARG_BOOL, "true", "four neighbours answer" },
                                    { "cell_decode", WK_ARG_BOOL, "true", "colours depend on the pixel's size" },
                                    { "n_colors", WK_ARG_INT, "3", "channels of pictures" },
                                    END };
const wk_model_entry wk__task_models[] = {
    { { "gpt2", "GPT-2", gpt2_args }, build_gpt2 },
    { { "char_lstm", "an embedding, an LSTM, a linear layer", char_lstm_args }, build_char_lstm },
    { { "bert", "BERT with a classifier of texts", bert_args }, build_bert },
    { { "pretrained", "a network in Hugging Face's layout: bert, roberta, gpt2", pretrained_args }, build_pretrained },
    { { "unet", "U-Net", unet_args }, build_unet },
    { { "edsr-baseline", "EDSR", edsr_args }, build_edsr },
    { { "liif", "LIIF: a picture as a function of coordinates", liif_args }, build_liif },
    { { NULL, NULL, NULL }, NULL },
};
