/* A rank of the tests in tests/dist: one scenario a name.  Started by mpirun, or alone. */
#include "tensor/tensor.h"
#include "wick/dist.h"
#include "wick/io.h"
#include "wick/optim.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FEATURES = 20, CLASSES = 5, BATCH = 12 /* of one rank of two */ };

#define CHECK(condition)                                                                                             \
    do {                                                                                                             \
        if (!(condition)) {                                                                                          \
            (void)fprintf(stderr, "rank %d: %s:%d: %s (%s)\n", wk_group_rank(group), __FILE__, __LINE__, #condition, \
                          wk_message());                                                                             \
            return 3;                                                                                                \
        }                                                                                                            \
    } while (0)

static int collectives(wk_group *group) {
    int rank = wk_group_rank(group), ranks = wk_group_size(group);
    wk_scope scope = wk_scope_begin();
    float mine[4] = { 1.0F + (float)rank, 2, -3.0F * (float)rank, 0.5F };
    float total = (float)(ranks * (ranks + 1)) / 2;
    wk_tensor *sum = wk_from_array(WK_F32, WK_DIMS(4), mine), *mean = wk_from_array(WK_F32, WK_DIMS(4), mine);
    wk_tensor *most = wk_from_array(WK_F32, WK_DIMS(4), mine), *big = wk_full(WK_F64, WK_DIMS(300000), rank + 1);
    wk_work *works[4];
    CHECK(wk_all_reduce(group, sum, WK_REDUCE_SUM, &works[0]) == WK_OK);
    CHECK(wk_all_reduce(group, mean, WK_REDUCE_MEAN, &works[1]) == WK_OK);
    CHECK(wk_all_reduce(group, most, WK_REDUCE_MAX, &works[2]) == WK_OK);
    CHECK(wk_all_reduce(group, big, WK_REDUCE_SUM, &works[3]) == WK_OK);
    for (int i = 3; i >= 0; i--) CHECK(wk_work_wait(works[i]) == WK_OK);
    CHECK(wk_at(sum, 0) == total);
    CHECK(wk_at(mean, 0) == total / (float)ranks);
    CHECK(wk_at(most, 2) == 0);
    CHECK(wk_at(big, 299999) == total);
    int64_t number = 100 + rank;
    wk_tensor *one = wk_from_array(WK_I64, WK_DIMS(1), &number), *all = wk_zeros(WK_I64, WK_DIMS(ranks));
    CHECK(wk_all_gather(group, one, all, NULL) == WK_OK);
    for (int i = 0; i < ranks; i++) CHECK(wk_at(all, i) == 100 + i);
    CHECK(wk_broadcast(group, one, ranks - 1, NULL) == WK_OK);
    CHECK(wk_item(one) == 100 + ranks - 1);
    wk_tensor *whole = wk_full(WK_F32, WK_DIMS(ranks, 3), rank + 1), *part = wk_zeros(WK_F32, WK_DIMS(3));
    CHECK(wk_reduce_scatter(group, whole, part, WK_REDUCE_SUM, NULL) == WK_OK);
    CHECK(wk_at(part, 2) == total);
    CHECK(wk_barrier(group) == WK_OK);
    CHECK(wk_all_reduce(group, all, WK_REDUCE_MEAN, NULL) == WK_DTYPE);
    wk_clear_error();
    CHECK(wk_broadcast(group, one, ranks, NULL) == WK_INVALID);
    wk_clear_error();
    wk_scope_end(scope);
    return 0;
}

/* Items first, first + stride, … of a made-up problem. */
static void make_batch(int step, int first, int stride, int n, wk_tensor **x, wk_tensor **y) {
    *x = wk_empty(WK_F32, WK_DIMS(n, FEATURES));
    *y = wk_empty(WK_I64, WK_DIMS(n));
    for (int i = 0; i < n; i++) {
        int item = step * 2 * BATCH + first + i * stride;
        for (int f = 0; f < FEATURES; f++)
            ((float *)wk_data(*x))[i * FEATURES + f] = (float)((item * 37 + f * 101) % 29) / 14.5F - 1;
        ((int64_t *)wk_data(*y))[i] = item % CLASSES;
    }
}

static wk_module *make_net(void) {
    wk_layer_opts plain = { 0 };
    return wk_nn_sequential(wk_nn_linear(FEATURES, 64, plain), wk_nn_relu(), wk_nn_linear(64, 32, plain), wk_nn_relu(),
                            wk_nn_linear(32, CLASSES, plain));
}

/* Train ten steps, split over the ranks; parameters go to FILE.RANK.  `micro` batches are accumulated a step. */
static int train(wk_group *group, const char *file, int micro) {
    int rank = wk_group_rank(group), ranks = wk_group_size(group), n = 2 * BATCH / ranks / micro;
    wk_manual_seed(rank == 0 ? 3 : 4); /* DDP must make them equal */
    wk_module *net = make_net();
    wk_ddp *ddp =
        ranks > 1 ? wk_ddp_create(group, net, (wk_ddp_opts){ .first_bucket_bytes = 256, .bucket_bytes = 6000 }) : NULL;
    wk_optim *optim = wk_adamw(wk_parameters(net), (wk_adamw_opts){ .lr = 1e-2 });
    CHECK(!wk_failed());
    for (int step = 0; step < 10; step++) {
        wk_zero_grad(optim);
        for (int m = 0; m < micro; m++) {
            wk_scope scope = wk_scope_begin();
            wk_tensor *x, *y;
            make_batch(step, rank + m * n * ranks, ranks, n, &x, &y);
            wk_ddp_no_sync(ddp, m + 1 < micro);
            CHECK(wk_backward(
                      wk_scale(wk_cross_entropy(wk_forward(net, x), y, (wk_cross_entropy_opts){ .label_smoothing = 0 }),
                               1.0 / micro))
                  == WK_OK);
            wk_scope_end(scope);
        }
        CHECK(wk_optim_step(optim) == WK_OK);
    }
    char path[600];
    (void)snprintf(path, sizeof path, "%s.%d", file, rank);
    CHECK(wk_module_save(net, path) == WK_OK);
    wk_optim_destroy(optim);
    wk_ddp_destroy(ddp);
    wk_module_destroy(net);
    return 0;
}

/* A layer that both ranks use twice, one that rank 0's half alone uses, and one that nobody uses. */
typedef struct branching {
    wk_module base;
    wk_module *both, *first, *nobody;
} branching;
static const wk_module_class branching_class = { .name = "Branching", .size = sizeof(branching) };

static wk_tensor *branch_loss(const branching *net, int step, int half, int ranks) {
    wk_tensor *x, *y;
    make_batch(step, half, 2, BATCH, &x, &y);
    wk_tensor *z = wk_forward(net->both, wk_relu(wk_forward(net->both, x)));
    if (half == 0) z = wk_forward(net->first, z);
    return wk_scale(wk_sum(wk_mul(z, z), (wk_reduce_opts){ 0 }), 1e-2 * ranks / 2);
}

/* With one rank both halves are computed in turn; the result must be the same. */
static int branch(wk_group *group, const char *file) {
    int rank = wk_group_rank(group), ranks = wk_group_size(group);
    wk_manual_seed(5);
    wk_layer_opts plain = { 0 };
    branching *net = (branching *)wk_module_create(&branching_class);
    net->both = wk_module_add(&net->base, "both", wk_nn_linear(FEATURES, FEATURES, plain));
    net->first = wk_module_add(&net->base, "first", wk_nn_linear(FEATURES, FEATURES, plain));
    net->nobody = wk_module_add(&net->base, "nobody", wk_nn_linear(FEATURES, FEATURES, plain));
    wk_ddp *ddp = ranks > 1 ? wk_ddp_create(group, &net->base, (wk_ddp_opts){ .first_bucket_bytes = 256 }) : NULL;
    wk_optim *optim = wk_adamw(wk_parameters(&net->base), (wk_adamw_opts){ .lr = 1e-3, .weight_decay = WK_SET(0.5) });
    CHECK(!wk_failed());
    for (int step = 0; step < 5; step++) {
        wk_scope scope = wk_scope_begin();
        wk_zero_grad(optim);
        wk_tensor *loss = branch_loss(net, step, rank, ranks);
        if (ranks == 1) loss = wk_add(loss, branch_loss(net, step, 1, ranks));
        CHECK(wk_backward(loss) == WK_OK);
        CHECK(wk_gradient(wk_parameters(net->first).tensor[0]) != NULL);
        CHECK(wk_gradient(wk_parameters(net->nobody).tensor[0]) == NULL);
        CHECK(wk_clip_grad_norm(optim, 1, NULL) == WK_OK);
        CHECK(wk_optim_step(optim) == WK_OK);
        wk_scope_end(scope);
    }
    char path[600];
    (void)snprintf(path, sizeof path, "%s.%d", file, rank);
    CHECK(wk_module_save(&net->base, path) == WK_OK);
    wk_optim_destroy(optim);
    wk_ddp_destroy(ddp);
    wk_module_destroy(&net->base);
    return 0;
}

/* Running statistics differ while training and are rank 0's after the broadcast. */
static int buffers(wk_group *group) {
    int rank = wk_group_rank(group);
    wk_module *net = wk_nn_sequential(wk_nn_batch_norm2d(3, (wk_nn_batch_norm_opts){ .eps = { 0 } }));
    wk_ddp *ddp = wk_ddp_create(group, net, (wk_ddp_opts){ 0 });
    wk_scope scope = wk_scope_begin();
    CHECK(wk_forward(net, wk_full(WK_F32, WK_DIMS(2, 3, 4, 4), rank + 1)) != NULL);
    wk_tensor *mean = wk_state(net).tensor[2], *all = wk_zeros(WK_F32, WK_DIMS(wk_group_size(group), 3));
    CHECK(wk_all_gather(group, mean, all, NULL) == WK_OK);
    CHECK(wk_at(all, 0) != wk_at(all, 3));
    CHECK(wk_ddp_broadcast_buffers(ddp) == WK_OK);
    CHECK(wk_at(mean, 0) == wk_at(all, 0));
    wk_scope_end(scope);
    wk_ddp_destroy(ddp);
    wk_module_destroy(net);
    return 0;
}

/* One step in which call number `call` fails on rank 1.  Whoever finishes the optimizer's step leaves a file. */
static int fail(wk_group *group, const char *file, int64_t call) {
    int rank = wk_group_rank(group);
    wk_manual_seed(1);
    wk_module *net = make_net();
    wk_ddp *ddp = wk_ddp_create(group, net, (wk_ddp_opts){ 0 });
    wk_optim *optim = wk_sgd(wk_parameters(net), (wk_sgd_opts){ .lr = 0.1 });
    CHECK(!wk_failed());
    wk_scope scope = wk_scope_begin();
    wk_tensor *x, *y;
    make_batch(0, rank, 2, BATCH, &x, &y);
    if (rank == 1) wk__fail_after_ops(call);
    wk_tensor *loss = wk_cross_entropy(wk_forward(net, x), y, (wk_cross_entropy_opts){ .label_smoothing = 0 });
    wk_zero_grad(optim);
    (void)wk_backward(loss);
    wk_status status = wk_optim_step(optim);
    if (status == WK_OK) {
        char path[600];
        (void)snprintf(path, sizeof path, "%s.stepped.%d", file, rank);
        FILE *mark = fopen(path, "w");
        if (mark) (void)fclose(mark);
    }
    wk_scope_end(scope);
    wk_optim_destroy(optim);
    wk_ddp_destroy(ddp);
    wk_module_destroy(net);
    return status == WK_OK ? 0 : 4;
}

static int loop(wk_group *group, const char *file) {
    char path[600];
    (void)snprintf(path, sizeof path, "%s.pid.%d", file, wk_group_rank(group));
    FILE *mark = fopen(path, "w");
    (void)fprintf(mark, "%ld\n", (long)getpid());
    (void)fclose(mark);
    wk_scope scope = wk_scope_begin();
    wk_tensor *t = wk_zeros(WK_F32, WK_DIMS(1000));
    for (int i = 0; i < 200000; i++) {
        CHECK(wk_all_reduce(group, t, WK_REDUCE_SUM, NULL) == WK_OK);
        (void)usleep(1000);
    }
    wk_scope_end(scope);
    return 0;
}

/* Models that differ: every rank must be told, none may hang. */
static int different(wk_group *group) {
    wk_layer_opts plain = { 0 };
    wk_module *net = wk_nn_sequential(wk_nn_linear(FEATURES, wk_group_rank(group) ? 8 : 9, plain));
    wk_ddp *ddp = wk_ddp_create(group, net, (wk_ddp_opts){ 0 });
    bool told = !ddp && strstr(wk_message(), "the model of rank 1 has other parameters than that of rank 0");
    wk_clear_error();
    wk_module_destroy(net);
    return told ? 0 : 5;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    const char *scenario = argv[1], *file = argc > 2 ? argv[2] : "";
    wk_set_threads(1);
    wk_group *group = wk_group_create(NULL);
    if (!group) {
        (void)wk_report(stderr);
        return 6;
    }
    int code = 2;
    if (strcmp(scenario, "collectives") == 0) code = collectives(group);
    if (strcmp(scenario, "train") == 0) code = train(group, file, 1);
    if (strcmp(scenario, "accumulate") == 0) code = train(group, file, 2);
    if (strcmp(scenario, "branch") == 0) code = branch(group, file);
    if (strcmp(scenario, "buffers") == 0) code = buffers(group);
    if (strcmp(scenario, "fail") == 0 && argc > 3) code = fail(group, file, strtol(argv[3], NULL, 10));
    if (strcmp(scenario, "loop") == 0) code = loop(group, file);
    if (strcmp(scenario, "different") == 0) code = different(group);
    wk_group_destroy(group);
    return code;
}
