/* recurrent.c: RNN, LSTM and GRU over sequences, layer after layer, and their cells. */
#define WK_NO_CALL_SITES
#include "nn/support.h"

#include <math.h>
#include <string.h>

typedef enum kind { RNN, LSTM, GRU } kind;
static const int gates_of[] = { 1, 4, 3 };

typedef struct recurrent {
    wk_module base;
    kind kind;
    int64_t inputs, hidden;
    wk_nn_recurrent_opts opts;
    int layers, directions;
    wk_recurrent_weights *weights; /* (layers · directions) */
} recurrent;

/* ---- one layer, one direction ---- */

static wk_tensor *run_one(kind k, wk_tensor *x, const wk_recurrent_weights *w, wk_nn_states first, wk_tensor *lengths,
                          wk_recurrent_opts opts, wk_nn_states *last) {
    wk_tensor *y = NULL;
    *last = (wk_nn_states){ 0 };
    if (k == LSTM)
        (void)wk_lstm(x, *w, first.h, first.c, lengths, opts, &y, &last->h, &last->c);
    else if (k == GRU)
        (void)wk_gru(x, *w, first.h, lengths, opts, &y, &last->h);
    else
        (void)wk_rnn(x, *w, first.h, lengths, opts, &y, &last->h);
    return y;
}

/* ---- all layers ---- */

static wk_nn_states state_at(wk_nn_states all, int i) {
    return (wk_nn_states){ all.h ? wk_select(all.h, 0, i) : NULL, all.c ? wk_select(all.c, 0, i) : NULL };
}

static wk_tensor *run_layer(const recurrent *m, int layer, wk_tensor *x, wk_nn_states first, wk_tensor *lengths,
                            wk_nn_states *last) {
    wk_tensor *y[2] = { NULL };
    for (int d = 0; d < m->directions; d++) {
        int i = layer * m->directions + d;
        wk_recurrent_opts opts = { .reverse = d == 1, .relu = m->opts.relu };
        y[d] = run_one(m->kind, x, &m->weights[i], state_at(first, i), lengths, opts, &last[i]);
    }
    wk_tensor *joined = m->directions == 2 && !wk_failed() ? wk_concat(y, 2, 2) : y[0];
    if (joined && m->base.training && m->opts.dropout > 0 && layer + 1 < m->layers)
        joined = wk_dropout(joined, wk_random_key(), (wk_dropout_opts){ m->opts.dropout });
    return joined;
}

static wk_tensor *stacked(const recurrent *m, const wk_nn_states *last, bool cell) {
    int count = m->layers * m->directions;
    wk_tensor **all = wk_alloc((size_t)count * sizeof(wk_tensor *));
    if (!all) return NULL;
    for (int i = 0; i < count; i++) all[i] = cell ? last[i].c : last[i].h;
    wk_tensor *joined = wk_failed() ? NULL : wk_stack(all, count, 0);
    wk_free(all);
    return joined;
}

/* x (T, N, I) */
static wk_tensor *run_layers(const recurrent *m, wk_tensor *x, wk_nn_states first, wk_tensor *lengths,
                             wk_nn_states *last) {
    wk_nn_states *each = wk_alloc((size_t)(m->layers * m->directions) * sizeof *each);
    if (!each) return NULL;
    for (int layer = 0; layer < m->layers && x; layer++) x = run_layer(m, layer, x, first, lengths, each);
    if (last && x) {
        last->h = stacked(m, each, false);
        last->c = m->kind == LSTM ? stacked(m, each, true) : NULL;
    }
    wk_free(each);
    return wk_failed() ? NULL : x;
}

static bool check_state(const recurrent *m, const wk_tensor *state, const char *name, int64_t batch, int64_t width) {
    int64_t count = (int64_t)m->layers * m->directions;
    if (!state
        || (state->rank == 3 && state->shape[0] == count && state->shape[1] == batch && state->shape[2] == width))
        return true;
    char text[160];
    (void)wk_fail(WK_SHAPE, "%s (layer \"%s\"): %s %s, expected (%lld, %lld, %lld)", m->base.class_->name, m->base.path,
                  name, wk_describe(state, text, sizeof text), (long long)count, (long long)batch, (long long)width);
    return false;
}

static wk_tensor *sequence(const recurrent *m, wk_tensor *x, wk_nn_states first, wk_tensor *lengths,
                           wk_nn_states *last) {
    bool alone = x->rank == 2, turn = m->opts.batch_first && !alone;
    if ((x->rank != 3 && !alone) || x->shape[x->rank - 1] != m->inputs)
        return wk__bad_input(&m->base, x, m->opts.batch_first ? "(N, T, input_size)" : "(T, N, input_size)");
    if (alone) {
        x = wk_unsqueeze(x, 1);
        if (first.h) first.h = wk_unsqueeze(first.h, 1);
        if (first.c) first.c = wk_unsqueeze(first.c, 1);
    } else if (turn) {
        x = wk_transpose(x, 0, 1);
    }
    int64_t features = m->opts.projection ? m->opts.projection : m->hidden;
    if (wk_failed() || !check_state(m, first.h, "h0", x->shape[1], features)
        || !check_state(m, first.c, "c0", x->shape[1], m->hidden))
        return NULL;
    wk_tensor *y = run_layers(m, x, first, lengths, last);
    if (!alone) return turn && y ? wk_transpose(y, 0, 1) : y;
    if (y && last) last->h = wk_select(last->h, 1, 0), last->c = last->c ? wk_select(last->c, 1, 0) : NULL;
    return y ? wk_select(y, 1, 0) : NULL;
}

/* ---- forward ---- */

static wk_tensor *named(const wk_args *in, const char *name, int position) {
    for (int i = 1; i < in->count; i++)
        if (in->slot[i].name ? strcmp(in->slot[i].name, name) == 0 : i == position) return in->slot[i].tensor;
    return NULL;
}

static wk_status forward_args(wk_module *self, const wk_args *in, wk_args *out) {
    const recurrent *m = (recurrent *)self;
    wk_nn_states first = { named(in, "h0", 1), named(in, "c0", 2) }, last = { 0 };
    wk_tensor *y = sequence(m, in->slot[0].tensor, first, named(in, "lengths", 3), &last);
    if (!y) return wk_error_code();
    *out = (wk_args){ .count = last.c ? 3 : 2, .slot = { { "output", y }, { "h_n", last.h }, { "c_n", last.c } } };
    return wk_failed() ? wk_error_code() : WK_OK;
}

static void describe(const wk_module *self, char *buffer, size_t size) {
    const recurrent *m = (const recurrent *)self;
    size_t used = (size_t)snprintf(buffer, size, "%lld, %lld", (long long)m->inputs, (long long)m->hidden);
    if (m->layers > 1 && used < size)
        used += (size_t)snprintf(buffer + used, size - used, ", num_layers=%d", m->layers);
    if (m->opts.projection && used < size)
        used += (size_t)snprintf(buffer + used, size - used, ", proj_size=%lld", (long long)m->opts.projection);
    if (m->opts.batch_first && used < size) used += (size_t)snprintf(buffer + used, size - used, ", batch_first=true");
    if (m->opts.dropout > 0 && used < size)
        used += (size_t)snprintf(buffer + used, size - used, ", dropout=%g", m->opts.dropout);
    if (m->directions == 2 && used < size) (void)snprintf(buffer + used, size - used, ", bidirectional=true");
}
static void destroy(wk_module *self) {
    wk_free(((recurrent *)self)->weights);
}

static const wk_module_class classes[] = {
    { .name = "RNN",
      .size = sizeof(recurrent),
      .forward_args = forward_args,
      .destroy = destroy,
      .describe = describe },
    { .name = "LSTM",
      .size = sizeof(recurrent),
      .forward_args = forward_args,
      .destroy = destroy,
      .describe = describe },
    { .name = "GRU",
      .size = sizeof(recurrent),
      .forward_args = forward_args,
      .destroy = destroy,
      .describe = describe },
};

static bool is_sequence(const wk_module *module) {
    for (int k = 0; module && k < 3; k++)
        if (module->class_ == &classes[k]) return true;
    if (!wk_failed()) (void)wk_fail(WK_INVALID, "module \"%s\" is no RNN, LSTM or GRU", module ? module->path : "");
    return false;
}

static void add(wk_args *args, const char *name, wk_tensor *tensor) {
    if (tensor) args->slot[args->count].name = name, args->slot[args->count++].tensor = tensor;
}

wk_tensor *wk_nn_run_sequence(wk_module *module, wk_tensor *x, wk_nn_states first, wk_tensor *lengths,
                              wk_nn_states *last) {
    if (last) *last = (wk_nn_states){ 0 };
    if (!x || !is_sequence(module)) return NULL;
    wk_args in = { .count = 1, .slot = { { NULL, x } } }, out;
    add(&in, "h0", first.h), add(&in, "c0", first.c), add(&in, "lengths", lengths);
    if (wk_forward_args(module, &in, &out) != WK_OK) return NULL;
    if (last) *last = (wk_nn_states){ out.slot[1].tensor, out.count > 2 ? out.slot[2].tensor : NULL };
    return out.slot[0].tensor;
}

static wk_tensor *reordered(wk_tensor *states, wk_tensor *order) {
    return states && order ? wk_index_select(states, order, 1) : states;
}

/* Padded, in sorted order, and packed again. */
wk_status wk_nn_run_packed(wk_module *module, wk_packed x, wk_nn_states first, wk_packed *y, wk_nn_states *last) {
    *y = (wk_packed){ 0 };
    if (last) *last = (wk_nn_states){ 0 };
    if (!is_sequence(module)) return wk_error_code();
    bool batch_first = ((const recurrent *)module)->opts.batch_first;
    wk_packed in_order = { x.data, x.batch_sizes, NULL, NULL }, result;
    wk_tensor *padded, *lengths;
    wk_nn_states sorted = { reordered(first.h, x.sorted), reordered(first.c, x.sorted) }, end;
    WK_TRY(wk_pad_packed_sequence(in_order, batch_first, 0, &padded, &lengths));
    wk_tensor *states = wk_nn_run_sequence(module, padded, sorted, lengths, &end);
    if (!states) return wk_error_code();
    WK_TRY(wk_pack_padded_sequence(states, lengths, (wk_pack_opts){ batch_first, .sorted = true }, &result));
    *y = (wk_packed){ result.data, x.batch_sizes, x.sorted, x.unsorted };
    if (last) *last = (wk_nn_states){ reordered(end.h, x.unsorted), reordered(end.c, x.unsorted) };
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* ---- construction ---- */

static wk_tensor *parameter(wk_module *m, const char *what, const char *suffix, wk_dims dims, double bound) {
    char name[60];
    (void)snprintf(name, sizeof name, "%s%s", what, suffix);
    return wk_module_add_parameter(m, name, wk__uniform(dims, bound));
}

static void add_weights(wk_module *m, wk_recurrent_weights *w, const char *suffix, int64_t gates, int64_t inputs,
                        int64_t hidden, const wk_nn_recurrent_opts *opts) {
    int64_t features = opts->projection ? opts->projection : hidden;
    double bound = 1 / sqrt((double)hidden);
    w->w_ih = parameter(m, "weight_ih", suffix, WK_DIMS(gates * hidden, inputs), bound);
    w->w_hh = parameter(m, "weight_hh", suffix, WK_DIMS(gates * hidden, features), bound);
    if (!opts->no_bias) {
        w->b_ih = parameter(m, "bias_ih", suffix, WK_DIMS(gates * hidden), bound);
        w->b_hh = parameter(m, "bias_hh", suffix, WK_DIMS(gates * hidden), bound);
    }
    if (opts->projection) w->w_hr = parameter(m, "weight_hr", suffix, WK_DIMS(opts->projection, hidden), bound);
}

static bool check_sizes(const char *who, kind k, int64_t inputs, int64_t hidden, const wk_nn_recurrent_opts *o) {
    if (wk_failed() || !wk__positive(who, "input_size", inputs) || !wk__positive(who, "hidden_size", hidden))
        return false;
    if (o->layers < 0 || o->layers > 1000)
        (void)wk_fail(WK_INVALID, "%s: num_layers is %lld, expected 1 to 1000", who, (long long)o->layers);
    else if (!(o->dropout >= 0 && o->dropout < 1))
        (void)wk_fail(WK_INVALID, "%s: dropout is %g, expected 0 ≤ dropout < 1", who, o->dropout);
    else if (o->projection && (k != LSTM || o->projection < 0 || o->projection >= hidden))
        (void)wk_fail(WK_INVALID, "%s: proj_size is %lld, expected 0%s", who, (long long)o->projection,
                      k == LSTM ? " to hidden_size - 1" : " (LSTM alone projects)");
    return !wk_failed();
}

static wk_module *make(kind k, int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts) {
    if (!check_sizes(classes[k].name, k, inputs, hidden, &opts)) return NULL;
    recurrent *m = (recurrent *)wk_module_create(&classes[k]);
    if (!m) return NULL;
    m->kind = k, m->inputs = inputs, m->hidden = hidden, m->opts = opts;
    m->layers = opts.layers ? (int)opts.layers : 1, m->directions = opts.bidirectional ? 2 : 1;
    m->weights = wk_alloc((size_t)(m->layers * m->directions) * sizeof *m->weights);
    int64_t features = (opts.projection ? opts.projection : hidden) * m->directions;
    for (int i = 0; m->weights && i < m->layers * m->directions; i++) {
        char suffix[40];
        int layer = i / m->directions;
        (void)snprintf(suffix, sizeof suffix, "_l%d%s", layer, i % m->directions ? "_reverse" : "");
        add_weights(&m->base, &m->weights[i], suffix, gates_of[k], layer ? features : inputs, hidden, &opts);
    }
    return wk__finished(&m->base);
}
wk_module *wk_nn_rnn(int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts) {
    return make(RNN, inputs, hidden, opts);
}
wk_module *wk_nn_lstm(int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts) {
    return make(LSTM, inputs, hidden, opts);
}
wk_module *wk_nn_gru(int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts) {
    return make(GRU, inputs, hidden, opts);
}

/* ---- cells: sequences of one step ---- */

typedef struct cell {
    wk_module base;
    kind kind;
    wk_nn_recurrent_opts opts;
    int64_t inputs, hidden;
    wk_recurrent_weights weights;
} cell;

static wk_status cell_args(wk_module *self, const wk_args *in, wk_args *out) {
    const cell *m = (cell *)self;
    wk_tensor *x = in->slot[0].tensor, *h = named(in, "h", 1), *c = named(in, "c", 2);
    bool alone = x->rank == 1;
    if ((x->rank != 2 && !alone) || x->shape[x->rank - 1] != m->inputs)
        return wk__bad_input(self, x, "(N, input_size)"), wk_error_code();
    wk_nn_states before = { h && alone ? wk_unsqueeze(h, 0) : h, c && alone ? wk_unsqueeze(c, 0) : c }, after;
    x = wk_reshape(x, WK_DIMS(1, alone ? 1 : x->shape[0], m->inputs));
    if (!run_one(m->kind, x, &m->weights, before, NULL, (wk_recurrent_opts){ .relu = m->opts.relu }, &after))
        return wk_error_code();
    if (alone) after.h = wk_select(after.h, 0, 0), after.c = after.c ? wk_select(after.c, 0, 0) : NULL;
    *out = (wk_args){ .count = after.c ? 2 : 1, .slot = { { "h", after.h }, { "c", after.c } } };
    return wk_failed() ? wk_error_code() : WK_OK;
}
static void cell_describe(const wk_module *self, char *buffer, size_t size) {
    (void)snprintf(buffer, size, "%lld, %lld", (long long)((const cell *)self)->inputs,
                   (long long)((const cell *)self)->hidden);
}
static const wk_module_class cell_classes[] = {
    { .name = "RNNCell", .size = sizeof(cell), .forward_args = cell_args, .describe = cell_describe },
    { .name = "LSTMCell", .size = sizeof(cell), .forward_args = cell_args, .describe = cell_describe },
    { .name = "GRUCell", .size = sizeof(cell), .forward_args = cell_args, .describe = cell_describe },
};

static wk_module *make_cell(kind k, int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts) {
    opts.projection = 0;
    if (!check_sizes(cell_classes[k].name, k, inputs, hidden, &opts)) return NULL;
    cell *m = (cell *)wk_module_create(&cell_classes[k]);
    if (!m) return NULL;
    m->kind = k, m->opts = opts, m->inputs = inputs, m->hidden = hidden;
    add_weights(&m->base, &m->weights, "", gates_of[k], inputs, hidden, &opts);
    return wk__finished(&m->base);
}
wk_module *wk_nn_rnn_cell(int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts) {
    return make_cell(RNN, inputs, hidden, opts);
}
wk_module *wk_nn_lstm_cell(int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts) {
    return make_cell(LSTM, inputs, hidden, opts);
}
wk_module *wk_nn_gru_cell(int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts) {
    return make_cell(GRU, inputs, hidden, opts);
}

wk_nn_states wk_nn_run_cell(wk_module *module, wk_tensor *x, wk_nn_states before) {
    wk_args in = { .count = 1, .slot = { { NULL, x } } }, out;
    add(&in, "h", before.h), add(&in, "c", before.c);
    if (!x || wk_forward_args(module, &in, &out) != WK_OK) return (wk_nn_states){ 0 };
    return (wk_nn_states){ out.slot[0].tensor, out.count > 1 ? out.slot[1].tensor : NULL };
}
