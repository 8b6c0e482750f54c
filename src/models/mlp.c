/* mlp.c: the multi-layer perceptron, under two conventions of names. */
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

typedef struct mlp {
    wk_module base;
    wk_module *layers;
} mlp;

static wk_tensor *mlp_forward(wk_module *self, wk_tensor *x) {
    return wk_forward(((const mlp *)self)->layers, wk_rank(x) > 2 ? wk_flatten(x, 1) : x);
}
static const wk_module_class mlp_class = { .name = "MLP", .size = sizeof(mlp), .forward = mlp_forward };

wk_module *wk_mlp_of(const int64_t *widths /* (count) */, int count) {
    const char *who = "wk_mlp_of";
    if (wk_failed()) return NULL;
    if (count < 2) return wk_fail_null(WK_INVALID, "%s: %d widths, expected at least 2", who, count);
    for (int i = 0; i < count; i++)
        if (!wk__size_fits(who, "a width", widths[i], 1)) return NULL;
    mlp *m = (mlp *)wk_module_create(&mlp_class);
    if (!m) return NULL;
    m->layers = wk_module_add(&m->base, "layers", wk_nn_sequential_of(NULL, 0));
    for (int i = 0; i + 1 < count && !wk_failed(); i++) {
        if (i > 0) (void)wk_module_append(m->layers, wk_nn_relu());
        (void)wk_module_append(m->layers, wk_nn_linear(widths[i], widths[i + 1], (wk_layer_opts){ 0 }));
    }
    return wk__finished(&m->base);
}
