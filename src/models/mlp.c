/* mlp.c: the multi-layer perceptron. */
#include "models/models.h"

wk_module *wk_mlp(wk_mlp_opts opts) {
    const int64_t hidden = wk__or(opts.hidden, 128), layers = wk__or(opts.layers, 1);
    int64_t width = wk__or(opts.in_features, 784);
    const wk_layer_opts plain = { 0 };
    wk_module *net = wk_nn_sequential(wk_nn_flatten());
    for (int64_t i = 0; i < layers; i++, width = hidden) {
        (void)wk_module_append(net, wk_nn_linear(width, hidden, plain));
        (void)wk_module_append(net, wk_nn_relu());
    }
    (void)wk_module_append(net, wk_nn_linear(width, wk__or(opts.classes, 10), plain));
    return wk__finished(net);
}
