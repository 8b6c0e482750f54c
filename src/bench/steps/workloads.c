/* workloads.c: what is trained and run; inputs are made up. */
#define WK_NO_CALL_SITES
#include "bench/steps/steps.h"

#include "base/base.h"
#include "wick/models.h"
#include "wick/ops.h"
#include "wick/random.h"

#include <string.h>

static wk_tensor *noise(wk_dims dims) {
    wk_tensor *x = wk_kept_zeros(WK_F32, dims);
    if (x) wk_random_normal_f32(wk_default_generator(), wk_data(x), wk_count(x), 0, 1);
    return x;
}
static wk_tensor *draws(wk_dims dims, uint32_t below) {
    wk_tensor *x = wk_kept_zeros(WK_I64, dims);
    int64_t *value = x ? wk_data(x) : NULL;
    for (int64_t i = 0; value && i < wk_count(x); i++) value[i] = wk_random_u32(wk_default_generator()) % below;
    return x;
}

static wk_tensor *loss_of(wk_tensor *logits, wk_tensor *y) {
    return wk_cross_entropy(logits, y, (wk_cross_entropy_opts){ .reduction = WK_REDUCTION_MEAN });
}
static wk_tensor *classify(const wk__training *b) {
    return loss_of(wk_forward(b->net, b->x), b->y);
}
/* Logits (N, T, V) and the next tokens (N, T). */
static wk_tensor *predict(const wk__training *b, wk_tensor *logits) {
    if (!logits) return NULL;
    wk_dims dims = wk_dims_get(logits);
    return loss_of(wk_reshape(logits, WK_DIMS(-1, dims.size[2])), wk_reshape(b->y, WK_DIMS(-1)));
}

/* ---- images ---- */

static void set_up_mlp(wk__training *b) {
    const wk_layer_opts plain = { 0 };
    b->net = wk_nn_sequential(wk_nn_linear(784, 128, plain), wk_nn_relu(), wk_nn_linear(128, 10, plain));
    b->optim = wk_sgd(wk_parameters(b->net), (wk_sgd_opts){ .lr = 0.01 });
    b->x = noise(WK_DIMS(64, 784));
    b->y = draws(WK_DIMS(64), 10);
}

static void set_up_cnn(wk__training *b) {
    const wk_layer_opts plain = { 0 };
    const wk_nn_conv2d_opts conv = { .no_bias = false };
    const wk_pool_opts two = { .kernel = { 2, 2 } };
    b->net =
        wk_nn_sequential(wk_nn_conv2d(1, 32, 3, conv), wk_nn_relu(), wk_nn_conv2d(32, 64, 3, conv), wk_nn_relu(),
                         wk_nn_max_pool2d(two), wk_nn_dropout(0.25), wk_nn_flatten(), wk_nn_linear(9216, 128, plain),
                         wk_nn_relu(), wk_nn_dropout(0.5), wk_nn_linear(128, 10, plain));
    b->optim = wk_adamw(wk_parameters(b->net), (wk_adamw_opts){ .lr = 1e-3 });
    b->x = noise(WK_DIMS(64, 1, 28, 28));
    b->y = draws(WK_DIMS(64), 10);
}

static void set_up_resnet18(wk__training *b) {
    b->net = wk_resnet((wk_resnet_opts){ .depth = 18, .classes = 10, .small_images = true });
    b->optim = wk_sgd(wk_parameters(b->net), (wk_sgd_opts){ .lr = 0.1, .momentum = 0.9, .weight_decay = 5e-4 });
    b->x = noise(WK_DIMS(128, 3, 32, 32));
    b->y = draws(WK_DIMS(128), 10);
}

/* ---- tokens ---- */

static void set_up_gpt2(wk__training *b) {
    enum { VOCABULARY = 50257, SEQUENCES = 4 };
    const int64_t length = b->of->items / SEQUENCES;
    b->net = wk_gpt2((wk_gpt2_opts){ .dropout = WK_SET(0) });
    b->optim = wk_adamw(wk_parameters(b->net), (wk_adamw_opts){ .lr = 3e-4 });
    b->x = draws(WK_DIMS(SEQUENCES, length), VOCABULARY);
    b->y = draws(WK_DIMS(SEQUENCES, length), VOCABULARY);
}
static wk_tensor *run_gpt2(const wk__training *b) {
    return wk_gpt2_loss(b->net, b->x, b->y, (wk_linear_cross_entropy_opts){ .reduction = WK_REDUCTION_MEAN });
}

static void set_up_lstm(wk__training *b) {
    b->net = wk_char_lstm((wk_char_lstm_opts){ .vocabulary = 65, .width = 128, .hidden = 256, .layers = 2 });
    b->optim = wk_adamw(wk_parameters(b->net), (wk_adamw_opts){ .lr = 2e-3 });
    b->x = draws(WK_DIMS(64, 64), 65);
    b->y = draws(WK_DIMS(64, 64), 65);
}
static wk_tensor *run_lstm(const wk__training *b) {
    return predict(b, wk_char_lstm_run(b->net, b->x, (wk_nn_states){ 0 }, NULL));
}

/* The sizes of all-MiniLM-L6-v2; weights do not matter to time. */
static void set_up_minilm(wk__training *b) {
    const wk_bert_opts opts = { .layers = 6, .heads = 12, .width = 384, .feedforward = 1536 };
    b->net = wk_bert(opts);
    if (b->device)
        wk_module_train(b->net, false); /* freezing is of the CPU */
    else
        (void)wk_module_freeze(b->net, (wk_freeze_opts){ .dtype = b->dtype });
    b->x = draws(WK_DIMS(b->of->items, 128), 30522);
}
static wk_tensor *run_minilm(const wk__training *b) {
    return wk_bert_run(b->net, b->x, (wk_bert_inputs){ 0 }, NULL);
}

/* ---- all ---- */

/* f32 parameters, gradients and state.  Moved: AdamW reads a gradient and reads and writes parameter and two moments;
 * SGD with momentum has one of those, plain SGD none. */
static const wk__workload_bytes adamw = { .moved = 28, .held = 16 }, momentum = { .moved = 20, .held = 12 },
                                sgd = { .moved = 12, .held = 8 }, inference = { .moved = 0, .held = 4 };

static const wk__workload workloads[] = {
    { "mlp", 64, 2000, &sgd, false, set_up_mlp, classify },
    { "cnn", 64, 60, &adamw, true, set_up_cnn, classify },
    { "resnet18", 128, 5, &momentum, true, set_up_resnet18, classify },
    { "gpt2-t64", 4 * 64, 4, &adamw, false, set_up_gpt2, run_gpt2 },
    { "gpt2-t256", 4 * 256, 4, &adamw, false, set_up_gpt2, run_gpt2 },
    { "lstm", 64 * 64, 15, &adamw, false, set_up_lstm, run_lstm },
    { "minilm-b1", 1, 60, &inference, false, set_up_minilm, run_minilm },
    { "minilm-b32", 32, 9, &inference, false, set_up_minilm, run_minilm },
};

const wk__workload *wk__workload_find(const char *name) {
    for (size_t i = 0; i < WK_COUNT(workloads); i++)
        if (strcmp(workloads[i].name, name) == 0) return &workloads[i];
    return NULL;
}

const char *wk__workload_names(void) {
    static char names[200];
    size_t length = 0;
    for (size_t i = 0; i < WK_COUNT(workloads); i++)
        length += (size_t)snprintf(names + length, sizeof names - length, "%s%s", i ? ", " : "", workloads[i].name);
    return names;
}
