/* PowerSGD and post-local SGD, as tests/golden/power_sgd.py has PyTorch compute them. */
#include "worker.h"

enum { INPUTS = 6, HIDDEN = 10, OUTPUTS = 4, ITEMS = 5 };

typedef struct setting {
    const char *name;
    int steps;
    wk_ddp_opts opts;
} setting;

static const setting settings[] = {
    { "rank1", 7, { .compress = WK_DDP_POWER_SGD, .power_sgd = { .rank = 1, .start_iter = 2 } } },
    { "rank2", 7, { .compress = WK_DDP_POWER_SGD, .power_sgd = { .rank = 2, .start_iter = 2, .random_seed = 5 } } },
    { "rank3", 7, { .compress = WK_DDP_POWER_SGD, .power_sgd = { .rank = 3, .start_iter = 2 } } },
    { "no_feedback",
      6,
      { .compress = WK_DDP_POWER_SGD,
        .power_sgd = { .rank = 1, .start_iter = 2, .random_seed = 1, .no_error_feedback = true } } },
    { "no_warm_start",
      6,
      { .compress = WK_DDP_POWER_SGD,
        .power_sgd = { .rank = 2, .start_iter = 2, .random_seed = 2, .no_warm_start = true } } },
    { "local", 6, { .local_after = 2, .local_period = 3 } },
};

static wk_module *make(void) {
    const wk_layer_opts plain = { 0 };
    wk_module *net =
        wk_nn_sequential(wk_nn_linear(INPUTS, HIDDEN, plain), wk_nn_relu(), wk_nn_linear(HIDDEN, OUTPUTS, plain));
    const wk_named_tensors all = wk_parameters(net);
    for (int k = 0; k < all.count; k++)
        for (int64_t i = 0; i < wk_count(all.tensor[k]); i++)
            ((float *)wk_data(all.tensor[k]))[i] = (float)((i * 37 + k * 11) % 17) / 17 - 0.5F;
    return net;
}

static wk_tensor *loss_of(wk_module *net, int step, int rank) {
    float x[ITEMS * INPUTS];
    int64_t y[ITEMS];
    for (int i = 0; i < ITEMS; i++) {
        const int item = step * 2 * ITEMS + 2 * i + rank;
        for (int f = 0; f < INPUTS; f++) x[i * INPUTS + f] = (float)((item * 37 + f * 101) % 29) / 14.5F - 1;
        y[i] = item % OUTPUTS;
    }
    wk_tensor *in = wk_from_array(WK_F32, WK_DIMS(ITEMS, INPUTS), x),
              *target = wk_from_array(WK_I64, WK_DIMS(ITEMS), y);
    return wk_cross_entropy(wk_forward(net, here(in)), here(target), (wk_cross_entropy_opts){ 0 });
}

int compare_hooks(wk_group *group, const char *file) {
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        wk_ddp_opts opts = settings[s].opts;
        opts.power_sgd.min_compression_rate = 1;
        wk_module *net = make();
        CHECK(wk_module_to_device(net, device) == WK_OK);
        wk_ddp *ddp = wk_ddp_create(group, net, opts);
        wk_optim *optim = wk_sgd(wk_parameters(net), (wk_sgd_opts){ .lr = 0.2 });
        CHECK(!wk_failed());
        for (int step = 0; step < settings[s].steps; step++) {
            wk_scope scope = wk_scope_begin();
            wk_zero_grad(optim);
            CHECK(wk_backward(loss_of(net, step, wk_group_rank(group))) == WK_OK);
            CHECK(wk_optim_step(optim) == WK_OK);
            CHECK(wk_ddp_stepped(ddp) == WK_OK);
            wk_scope_end(scope);
        }
        char name[600];
        (void)snprintf(name, sizeof name, "%s.%s", file, settings[s].name);
        CHECK(keep(net, name, wk_group_rank(group)) == WK_OK);
        wk_optim_destroy(optim);
        wk_ddp_destroy(ddp);
        wk_module_destroy(net);
    }
    return 0;
}

/* Gradients that are zero on every rank have no direction: they stay zero, and what no rank used stays empty. */
int hooks_of_nothing(wk_group *group) {
    const wk_layer_opts plain = { 0 };
    wk_manual_seed(3);
    wk_module *net = wk_nn_sequential(wk_nn_linear(FEATURES, FEATURES, plain), wk_nn_linear(FEATURES, FEATURES, plain));
    const wk_ddp_opts opts = { .compress = WK_DDP_POWER_SGD, .power_sgd = { .rank = 2, .start_iter = 1 } };
    wk_ddp *ddp = wk_ddp_create(group, net, opts);
    CHECK(ddp);
    wk_module *first = wk_module_child(net, 0);
    for (int step = 0; step < 3; step++) {
        const wk_named_tensors all = wk_parameters(net);
        for (int i = 0; i < all.count; i++) wk_clear_grad(all.tensor[i]);
        wk_scope scope = wk_scope_begin();
        wk_tensor *x = wk_zeros(WK_F32, WK_DIMS(BATCH, FEATURES));
        wk_tensor *loss = wk_scale(wk_sum(wk_forward(first, x), (wk_reduce_opts){ 0 }), 0);
        CHECK(wk_backward(loss) == WK_OK);
        wk_tensor *gradient = wk_gradient(all.tensor[0]);
        CHECK(gradient && wk_item(wk_sum(wk_abs(gradient), (wk_reduce_opts){ 0 })) == 0);
        CHECK(!wk_gradient(all.tensor[2]));
        wk_scope_end(scope);
    }
    wk_ddp_destroy(ddp);
    const wk_ddp_opts bad[] = { { .compress = 9 }, { .power_sgd = { .rank = -1 } }, { .local_after = -1 } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(!wk_ddp_create(group, net, bad[i]) && wk_error_code() == WK_INVALID);
        wk_clear_error();
    }
    wk_module_destroy(net);
    return 0;
}
