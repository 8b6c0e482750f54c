/* lenet.c: LeNet-5.  LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition".
 *
 * The paper's shape with today's parts: its C3 sees all maps of S2 instead of a table of them, subsampling is a plain
 * mean without coefficients of its own, tanh is not stretched, and scores come from a linear layer (and go to
 * cross-entropy) where the paper measures distances to drawn digits.
 */
#include "models/models.h"

typedef struct lenet {
    wk_module base;
    wk_module *conv1, *conv2, *fc1, *fc2, *fc3;
} lenet;

static const wk_pool_opts two = { .kernel = { 2, 2 } };

static wk_tensor *lenet_forward(wk_module *self, wk_tensor *x) {
    const lenet *m = (const lenet *)self;
    x = wk_avg_pool2d(wk_tanh(wk_forward(m->conv1, x)), two);
    x = wk_avg_pool2d(wk_tanh(wk_forward(m->conv2, x)), two);
    x = wk_tanh(wk_forward(m->fc1, wk_flatten(x, 1)));
    x = wk_tanh(wk_forward(m->fc2, x));
    return wk_forward(m->fc3, x);
}
static const wk_module_class lenet_class = { .name = "LeNet", .size = sizeof(lenet), .forward = lenet_forward };

wk_module *wk_lenet(wk_lenet_opts opts) {
    const char *who = "wk_lenet";
    const int64_t channels = wk__or(opts.in_channels, 1), size = wk__or(opts.image_size, 28),
                  classes = wk__or(opts.classes, 10);
    if (wk_failed() || !wk__size_fits(who, "in_channels", channels, 1) || !wk__size_fits(who, "image_size", size, 12)
        || !wk__size_fits(who, "classes", classes, 1))
        return NULL;
    lenet *m = (lenet *)wk_module_create(&lenet_class);
    if (!m) return NULL;
    const int64_t side = (size / 2 - 4) / 2; /* of the maps behind the second pooling */
    const wk_layer_opts plain = { 0 };
    const wk_nn_conv2d_opts padded = { .conv = { .padding = { 2, 2 } } }, valid = { .no_bias = false };
    m->conv1 = wk_module_add(&m->base, "conv1", wk_nn_conv2d(channels, 6, 5, padded));
    m->conv2 = wk_module_add(&m->base, "conv2", wk_nn_conv2d(6, 16, 5, valid));
    m->fc1 = wk_module_add(&m->base, "fc1", wk_nn_linear(16 * side * side, 120, plain));
    m->fc2 = wk_module_add(&m->base, "fc2", wk_nn_linear(120, 84, plain));
    m->fc3 = wk_module_add(&m->base, "fc3", wk_nn_linear(84, classes, plain));
    return wk__finished(&m->base);
}
