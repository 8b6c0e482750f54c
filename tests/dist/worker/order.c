/* Buckets in the order of arrival. */
#include "worker.h"

/* Layers that are registered in the order in which backward reaches them: DDP takes the last for the first at first. */
typedef struct backwards {
    wk_module base;
    wk_module *third, *second, *first;
} backwards;
static const wk_module_class backwards_class = { .name = "Backwards", .size = sizeof(backwards) };

static backwards *make(void) {
    const wk_layer_opts plain = { 0 };
    backwards *net = (backwards *)wk_module_create(&backwards_class);
    net->third = wk_module_add(&net->base, "third", wk_nn_linear(24, CLASSES, plain));
    net->second = wk_module_add(&net->base, "second", wk_nn_linear(32, 24, plain));
    net->first = wk_module_add(&net->base, "first", wk_nn_linear(FEATURES, 32, plain));
    return net;
}

static wk_tensor *forward(const backwards *net, wk_tensor *x) {
    return wk_forward(net->third, wk_relu(wk_forward(net->second, wk_relu(wk_forward(net->first, x)))));
}

static int bucket_of(const wk_ddp *ddp, wk_module *layer) {
    return wk_ddp_bucket(ddp, wk_parameters(layer).tensor[0]);
}

/* Ten steps of which each sums two batches, the first one without exchange: what has gathered moves along. */
int reorder(wk_group *group, const char *file, bool keep_order) {
    const int rank = wk_group_rank(group), ranks = wk_group_size(group);
    wk_manual_seed(rank == 0 ? 3 : 4);
    backwards *net = make();
    CHECK(wk_module_to_device(&net->base, device) == WK_OK);
    const wk_ddp_opts opts = { .first_bucket_bytes = 256, .bucket_bytes = 1000, .keep_order = keep_order };
    wk_ddp *ddp = ranks > 1 ? wk_ddp_create(group, &net->base, opts) : NULL;
    wk_optim *optim = wk_adamw(wk_parameters(&net->base), (wk_adamw_opts){ .lr = 1e-2 });
    CHECK(!wk_failed());
    for (int step = 0; step < 10; step++) {
        wk_zero_grad(optim);
        for (int half = 0; half < 2; half++) {
            wk_scope scope = wk_scope_begin();
            wk_tensor *x, *y;
            make_batch(2 * step + half, rank, ranks, 2 * BATCH / ranks, &x, &y);
            wk_ddp_no_sync(ddp, half == 0);
            wk_tensor *loss = wk_cross_entropy(forward(net, here(x)), here(y), (wk_cross_entropy_opts){ 0 });
            CHECK(wk_backward(loss) == WK_OK);
            wk_scope_end(scope);
            const bool arrived = !keep_order && (step > 0 || half == 1);
            if (!ddp) continue;
            CHECK((bucket_of(ddp, net->first) > bucket_of(ddp, net->second)) == arrived);
            CHECK((bucket_of(ddp, net->second) > bucket_of(ddp, net->third)) == arrived);
            CHECK((bucket_of(ddp, net->third) == 0) == arrived);
        }
        CHECK(wk_optim_step(optim) == WK_OK);
    }
    CHECK(wk_ddp_bucket(ddp, NULL) == -1);
    CHECK(keep(&net->base, file, rank) == WK_OK);
    wk_optim_destroy(optim);
    wk_ddp_destroy(ddp);
    wk_module_destroy(&net->base);
    return 0;
}

/* What comes last is sent apart from a bucket that is twice as large as the first one may be, and with a smaller one.
 */
int last_bucket(wk_group *group) {
    for (int large = 0; large < 2; large++) {
        backwards *net = make();
        const wk_ddp_opts opts = { .first_bucket_bytes = large ? 512 : 2048, .keep_order = true };
        wk_ddp *ddp = wk_ddp_create(group, &net->base, opts);
        CHECK(ddp);
        CHECK(bucket_of(ddp, net->first) == 0);
        CHECK(bucket_of(ddp, net->second) == 1);
        CHECK(bucket_of(ddp, net->third) == 1 + large);
        wk_ddp_destroy(ddp);
        wk_module_destroy(&net->base);
    }
    return 0;
}

/* Gradients come to each rank in another order, and to rank 0 none at first: then its order is still to come, and is
 * everybody's. */
int disagree(wk_group *group) {
    const int rank = wk_group_rank(group);
    const wk_layer_opts plain = { 0 };
    wk_manual_seed(3);
    backwards *net = (backwards *)wk_module_create(&backwards_class);
    net->third = wk_module_add(&net->base, "third", wk_nn_linear(FEATURES, FEATURES, plain));
    net->second = wk_module_add(&net->base, "second", wk_nn_linear(FEATURES, FEATURES, plain));
    net->first = wk_module_add(&net->base, "first", wk_nn_linear(FEATURES, FEATURES, plain));
    wk_ddp *ddp = wk_ddp_create(group, &net->base, (wk_ddp_opts){ .first_bucket_bytes = 1, .bucket_bytes = 1 });
    CHECK(ddp);
    wk_module *order[2][3] = { { net->third, net->first, net->second }, { net->second, net->third, net->first } };
    for (int step = 0; step < 3; step++) {
        bool goes_on = false;
        for (int i = 0; i < wk_parameters(&net->base).count; i++) wk_clear_grad(wk_parameters(&net->base).tensor[i]);
        CHECK(wk_ddp_join(ddp, rank != 0 || step > 0, &goes_on) == WK_OK && goes_on);
        if (rank == 0 && step == 0) continue;
        wk_scope scope = wk_scope_begin();
        wk_tensor *x, *y;
        make_batch(step, rank, 2, BATCH, &x, &y);
        for (int i = 0; i < 3; i++) x = wk_forward(order[rank][i], x);
        CHECK(wk_backward(wk_sum(x, (wk_reduce_opts){ 0 })) == WK_OK);
        wk_scope_end(scope);
        const bool agreed = step > 0;
        CHECK((bucket_of(ddp, net->second) < bucket_of(ddp, net->first)) == agreed);
        CHECK((bucket_of(ddp, net->first) < bucket_of(ddp, net->third)));
    }
    wk_ddp_destroy(ddp);
    wk_module_destroy(&net->base);
    return 0;
}
