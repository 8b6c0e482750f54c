/* char_lstm.c: a language model of characters: an embedding, an LSTM, a linear layer. */
#include "models/models.h"

typedef struct char_lstm {
    wk_module base;
    wk_module *embedding, *lstm, *linear;
} char_lstm;

static wk_status char_lstm_forward(wk_module *self, const wk_args *in, wk_args *out) {
    const char_lstm *m = (char_lstm *)self;
    static const char *const names[] = { "h0", "c0" };
    char text[160];
    wk_tensor *tokens = in->slot[0].tensor, *states[2];
    if (!wk__slots(self, in, names, 2, states)) return wk_error_code();
    if (wk_rank(tokens) != 2 || wk_dtype_get(tokens) != WK_I64)
        return wk_fail(WK_SHAPE, "CharLSTM (layer \"%s\"): tokens %s, expected (N, T) i64", self->path,
                       wk_describe(tokens, text, sizeof text));
    wk_nn_states first = { states[0], states[1] }, last = { 0 };
    wk_tensor *y = wk_nn_run_sequence(m->lstm, wk_forward(m->embedding, tokens), first, NULL, &last);
    wk_tensor *logits = wk_forward(m->linear, y);
    *out = (wk_args){ .count = 3, .slot = { { "logits", logits }, { "h_n", last.h }, { "c_n", last.c } } };
    return wk_failed() ? wk_error_code() : WK_OK;
}
static const wk_module_class char_lstm_class = { .name = "CharLSTM",
                                                 .size = sizeof(char_lstm),
                                                 .forward_args = char_lstm_forward };

wk_tensor *wk_char_lstm_run(wk_module *module, wk_tensor *tokens, wk_nn_states first, wk_nn_states *last) {
    if (last) *last = (wk_nn_states){ 0 };
    if (wk_failed() || !module || !tokens) return NULL;
    if (module->class_ != &char_lstm_class)
        return wk_fail_null(WK_INVALID, "wk_char_lstm_run: module \"%s\" (%s) is no CharLSTM", module->path,
                            module->class_->name);
    wk_args in = { .count = 1, .slot = { { NULL, tokens } } }, out;
    if (first.h) in.slot[in.count].name = "h0", in.slot[in.count++].tensor = first.h;
    if (first.c) in.slot[in.count].name = "c0", in.slot[in.count++].tensor = first.c;
    if (wk_forward_args(module, &in, &out) != WK_OK) return NULL;
    if (last) *last = (wk_nn_states){ out.slot[1].tensor, out.slot[2].tensor };
    return out.slot[0].tensor;
}

wk_module *wk_char_lstm(wk_char_lstm_opts opts) {
    opts.vocabulary = wk__or(opts.vocabulary, 256);
    opts.width = wk__or(opts.width, 128);
    opts.hidden = wk__or(opts.hidden, 128);
    opts.layers = wk__or(opts.layers, 2);
    if (wk_failed() || !wk__size_fits("wk_char_lstm", "vocabulary", opts.vocabulary, 1)
        || !wk__size_fits("wk_char_lstm", "width", opts.width, 1)
        || !wk__size_fits("wk_char_lstm", "hidden", opts.hidden, 1)
        || !wk__size_fits("wk_char_lstm", "layers", opts.layers, 1)
        || !wk__probability_fits("wk_char_lstm", "dropout", opts.dropout))
        return NULL;
    char_lstm *m = (char_lstm *)wk_module_create(&char_lstm_class);
    if (!m) return NULL;
    const wk_nn_recurrent_opts layers = { .layers = opts.layers, .batch_first = true, .dropout = opts.dropout };
    const wk_nn_embedding_opts plain = { .padding_idx = { 0 } };
    m->embedding = wk_module_add(&m->base, "embedding", wk_nn_embedding(opts.vocabulary, opts.width, plain));
    m->lstm = wk_module_add(&m->base, "lstm", wk_nn_lstm(opts.width, opts.hidden, layers));
    m->linear = wk_module_add(&m->base, "linear", wk_nn_linear(opts.hidden, opts.vocabulary, (wk_layer_opts){ 0 }));
    return wk__finished(&m->base);
}
