/* goldens.c: initial weights bit for bit, and the first twenty losses of two models, as PyTorch has them for the same
 * seed. */
#define WK_NO_CALL_SITES
#include "support/golden.h"
#include "wick/op.h"
#include "wick/optim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

Test(initialisation, layers_of_a_seed) {
    static const uint64_t seeds[] = { 0, 1, 42, (UINT64_C(1) << 40) + 3 };
    static const char *const names[] = { "linear.weight", "linear.bias", "conv.weight", "conv.bias" };
    wk_safetensors *file = golden_open("generator.safetensors");
    for (int s = 0; s < 4; s++) {
        wk_scope scope = wk_scope_begin();
        wk_manual_seed(seeds[s]);
        wk_module *linear = wk_nn_linear(20, 30, (wk_layer_opts){ 0 });
        wk_module *conv = wk_nn_conv2d(6, 8, 3, (wk_nn_conv2d_opts){ .conv.groups = 2 });
        cr_assert(linear && conv, "%s", wk_message());
        for (int i = 0; i < 4; i++)
            golden_expect_equal(wk_parameters(i < 2 ? linear : conv).tensor[i % 2],
                                golden_get(file, "%llu/%s", (unsigned long long)seeds[s], names[i]), names[i]);
        wk_module_destroy(linear);
        wk_module_destroy(conv);
        wk_scope_end(scope);
    }
    wk_safetensors_close(file);
}

/* ---- training ---- */

static wk_module *sequence(wk_module *const *children, int count) {
    wk_module *net = wk_nn_sequential_of(children, count);
    cr_assert_not_null(net, "%s", wk_message());
    return net;
}
static wk_module *make_mlp(void) {
    wk_module *in = wk_nn_linear(784, 128, (wk_layer_opts){ 0 }), *out = wk_nn_linear(128, 10, (wk_layer_opts){ 0 });
    return sequence((wk_module *[]){ in, wk_nn_relu(), out }, 3);
}
static wk_module *make_cnn(void) {
    wk_module *first = wk_nn_conv2d(1, 32, 3, (wk_nn_conv2d_opts){ 0 }),
              *second = wk_nn_conv2d(32, 64, 3, (wk_nn_conv2d_opts){ 0 });
    wk_module *third = wk_nn_linear(9216, 128, (wk_layer_opts){ 0 }),
              *last = wk_nn_linear(128, 10, (wk_layer_opts){ 0 });
    return sequence((wk_module *[]){ first, wk_nn_relu(), second, wk_nn_relu(),
                                     wk_nn_max_pool2d((wk_pool_opts){ .kernel = { 2, 2 } }), wk_nn_flatten(), third,
                                     wk_nn_relu(), last },
                    9);
}

/* A number that any other bits of the weights change, as make.py computes it. */
static int64_t mark(const wk_tensor *p) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < wk_count(p); i++) {
        uint32_t word;
        memcpy(&word, (const char *)p->data + 4 * i, 4);
        sum += (uint64_t)word * (2 * (uint64_t)i + 1);
    }
    return (int64_t)sum;
}

static double one_step(wk_module *net, wk_optim *optim, wk_tensor *pictures, wk_tensor *labels, int64_t batch,
                       wk_dims dims) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_scale(wk_cast(wk_select(pictures, 0, batch), WK_F32), 1.0 / 256);
    wk_zero_grad(optim);
    wk_tensor *loss = wk_cross_entropy(wk_forward(net, wk_reshape(x, dims)), wk_select(labels, 0, batch),
                                       (wk_cross_entropy_opts){ 0 });
    (void)wk_backward(loss);
    (void)wk_optim_step(optim);
    cr_assert_not(wk_failed(), "%s", wk_message());
    double value = wk_item(loss);
    wk_scope_end(scope);
    return value;
}

static void train(const char *name, wk_module *net, wk_optim *optim, wk_dims dims, int steps, double tolerance) {
    wk_safetensors *file = golden_open("training.safetensors");
    wk_scope scope = wk_scope_begin();
    wk_tensor *pictures = golden_get(file, "pictures"), *labels = golden_get(file, "labels");
    wk_tensor *losses = golden_get(file, "%s/losses", name);
    for (int step = 0; step < steps; step++) {
        double loss = one_step(net, optim, pictures, labels, step % 4, dims), wanted = wk_at(losses, step);
        cr_expect_leq(fabs(loss - wanted), tolerance * wanted, "%s, step %d: loss %.9g, expected %.9g", name, step,
                      loss, wanted);
    }
    wk_scope_end(scope);
    wk_safetensors_close(file);
    wk_optim_destroy(optim);
    wk_module_destroy(net);
}

static void check_weights(const char *name, wk_module *net) {
    wk_safetensors *file = golden_open("training.safetensors");
    wk_scope scope = wk_scope_begin();
    wk_tensor *marks = golden_get(file, "%s/marks", name);
    wk_named_tensors all = wk_parameters(net);
    cr_assert_eq(all.count, wk_count(marks));
    for (int i = 0; i < all.count; i++)
        cr_expect_eq(mark(all.tensor[i]), ((int64_t *)wk_data(marks))[i], "%s: the initial %s has other bits", name,
                     all.name[i]);
    wk_scope_end(scope);
    wk_safetensors_close(file);
}

Test(training, mlp_as_pytorch) {
    wk_manual_seed(0);
    wk_module *net = make_mlp();
    check_weights("mlp", net);
    train("mlp", net, wk_sgd(wk_parameters(net), (wk_sgd_opts){ .lr = 0.01 }), WK_DIMS(64, 784), 20, 1e-5);
}

static void train_cnn(int steps) {
    wk_manual_seed(0);
    wk_module *net = make_cnn();
    check_weights("cnn", net);
    train("cnn", net, wk_adamw(wk_parameters(net), (wk_adamw_opts){ .lr = 1e-3 }), WK_DIMS(64, 1, 28, 28), steps, 1e-4);
}

Test(training, cnn_as_pytorch) {
    (void)setenv("WICK_WINOGRAD", "0", 1); /* PyTorch's sums are direct ones */
    train_cnn(20);
}

/* Adam divides small gradients by their own size: what Winograd rounds otherwise has grown to 1e-3 after 20 steps. */
Test(training, cnn_by_winograd_as_pytorch) {
    train_cnn(8);
}
