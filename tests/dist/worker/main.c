/* A rank of the tests in tests/dist: one scenario a name.  Started by mpirun, side by side, or alone. */
#include "tensor/tensor.h"
#include "worker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

wk_device device;
wk_tensor *here(wk_tensor *t) {
    return wk_to_device(t, device);
}

static int collectives(wk_group *group) {
    int rank = wk_group_rank(group), ranks = wk_group_size(group);
    wk_scope scope = wk_scope_begin();
    float mine[4] = { 1.0F + (float)rank, 2, -3.0F * (float)rank, 0.5F };
    float total = (float)(ranks * (ranks + 1)) / 2;
    wk_tensor *sum = here(wk_from_array(WK_F32, WK_DIMS(4), mine)),
              *mean = here(wk_from_array(WK_F32, WK_DIMS(4), mine));
    wk_tensor *most = here(wk_from_array(WK_F32, WK_DIMS(4), mine)),
              *big = here(wk_full(WK_F64, WK_DIMS(300000), rank + 1));
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
    wk_tensor *one = here(wk_from_array(WK_I64, WK_DIMS(1), &number)), *all = here(wk_zeros(WK_I64, WK_DIMS(ranks)));
    CHECK(wk_all_gather(group, one, all, NULL) == WK_OK);
    for (int i = 0; i < ranks; i++) CHECK(wk_at(all, i) == 100 + i);
    CHECK(wk_broadcast(group, one, ranks - 1, NULL) == WK_OK);
    CHECK(wk_item(one) == 100 + ranks - 1);
    wk_tensor *whole = here(wk_full(WK_F32, WK_DIMS(ranks, 3), rank + 1)), *part = here(wk_zeros(WK_F32, WK_DIMS(3)));
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

/* ---- sums of every kind ---- */

static const wk_dtype summed[] = { WK_F32, WK_F64, WK_I64, WK_I32, WK_I16, WK_I8, WK_U8 };

/* What rank `rank` gives; the sum over four ranks fits every dtype, and rounds in the floating-point ones. */
static double given(wk_dtype dtype, int rank, int64_t i) {
    int64_t whole = (rank * 31 + i * 17) % 29;
    if (dtype == WK_F32 || dtype == WK_F64) return (double)(whole - 11) / 7;
    return (double)(dtype == WK_U8 ? whole : whole - 11);
}

/* The same, in order of rank and in the dtype's own arithmetic. */
static double expected(wk_dtype dtype, wk_reduce op, int ranks, int64_t i) {
    double all = given(dtype, 0, i);
    if (dtype == WK_F32) all = (double)(float)all;
    for (int rank = 1; rank < ranks; rank++) {
        double next = given(dtype, rank, i);
        if (dtype == WK_F32) next = (double)(float)next;
        if (op == WK_REDUCE_MAX)
            all = all > next ? all : next;
        else if (op == WK_REDUCE_MIN)
            all = all < next ? all : next;
        else
            all = dtype == WK_F32 ? (double)(float)(all + next) : all + next;
    }
    return op != WK_REDUCE_MEAN ? all
           : dtype == WK_F32    ? (double)((float)all * (float)(1.0 / ranks))
                                : all * (1.0 / ranks);
}

static wk_tensor *make_given(wk_dtype dtype, int rank, int64_t count) {
    wk_tensor *all = wk_empty(WK_F64, WK_DIMS(count));
    for (int64_t i = 0; i < count; i++) ((double *)wk_data(all))[i] = given(dtype, rank, i);
    return wk_cast(all, dtype);
}

/* Bit for bit where the order is that of the ranks; else within rounding. */
static bool is_expected(const wk_tensor *t, wk_reduce op, int ranks, bool exact) {
    wk_dtype dtype = (wk_dtype)t->dtype;
    bool rounds = !exact && (dtype == WK_F32 || dtype == WK_F64);
    const double *values = wk_data(wk_cast((wk_tensor *)(uintptr_t)t, WK_F64));
    for (int64_t i = 0; i < wk_count(t); i++) {
        double found = values[i], right = expected(dtype, op, ranks, i);
        if (rounds ? fabs(found - right) > 1e-6 : found != right) return false;
    }
    return true;
}

/* A number of the bytes, which all ranks must have alike. */
static int64_t bits_of(const wk_tensor *t) {
    const unsigned char *bytes = t->data;
    uint64_t hash = 1469598103934665603U;
    for (size_t i = 0; i < (size_t)wk_count(t) * wk_dtype_size((wk_dtype)t->dtype); i++)
        hash = (hash ^ bytes[i]) * 1099511628211U;
    return (int64_t)hash;
}

static bool all_have(wk_group *group, int64_t number) {
    wk_tensor *one = wk_from_array(WK_I64, WK_DIMS(1), &number), *all = wk_zeros(WK_I64, WK_DIMS(wk_group_size(group)));
    bool alike = wk_all_gather(group, one, all, NULL) == WK_OK;
    for (int i = 0; alike && i < wk_group_size(group); i++) alike = ((const int64_t *)wk_data(all))[i] == number;
    return alike;
}

/* Several under way at once, waited for from the last to the first; a broadcast in between. */
static int sums_in_flight(wk_group *group, bool exact) {
    enum { COUNT = 24 };
    wk_work *works[COUNT];
    wk_tensor *t[COUNT];
    int rank = wk_group_rank(group), ranks = wk_group_size(group);
    for (int i = 0; i < COUNT; i++) {
        t[i] = make_given(WK_F32, rank, 1 + 3001 * i);
        if (i == 7)
            CHECK(wk_broadcast(group, t[i], ranks - 1, &works[i]) == WK_OK);
        else
            CHECK(wk_all_reduce(group, t[i], WK_REDUCE_SUM, &works[i]) == WK_OK);
    }
    for (int i = COUNT - 1; i >= 0; i--) CHECK(wk_work_wait(works[i]) == WK_OK);
    for (int i = 0; i < COUNT; i++)
        if (i != 7) CHECK(is_expected(t[i], WK_REDUCE_SUM, ranks, exact));
    CHECK(wk_at(t[7], 5) == (double)(float)given(WK_F32, ranks - 1, 5));
    return 0;
}

/* Nobody comes back to drive: the group's thread must end it. */
static int sum_without_caller(wk_group *group) {
    wk_tensor *t = make_given(WK_F32, wk_group_rank(group), 500000);
    wk_work *work;
    CHECK(wk_all_reduce(group, t, WK_REDUCE_SUM, &work) == WK_OK);
    for (int i = 0; i < 20000 && !wk_work_done(work); i++) (void)usleep(1000);
    CHECK(wk_work_done(work));
    CHECK(wk_work_wait(work) == WK_OK);
    return 0;
}

/* Sizes around those of a line, of what is small, of a slot and of several. */
static int sums(wk_group *group, const char *algorithm) {
    static const int64_t counts[] = { 0, 1, 3, 17, 1000, 2048, 2049, 9999, 65536, 131072 + 5, 300001 };
    int rank = wk_group_rank(group), ranks = wk_group_size(group);
    bool exact = strcmp(algorithm, "shared") == 0 || ranks == 1;
    CHECK(strcmp(wk_group_algorithm(group), algorithm) == 0);
    for (size_t d = 0; d < WK_COUNT(summed); d++) {
        for (size_t c = 0; c < WK_COUNT(counts); c++) {
            for (wk_reduce op = WK_REDUCE_SUM; op <= WK_REDUCE_MIN; op++) {
                if (op == WK_REDUCE_MEAN && summed[d] != WK_F32 && summed[d] != WK_F64) continue;
                wk_scope scope = wk_scope_begin();
                wk_tensor *t = make_given(summed[d], rank, counts[c]);
                CHECK(wk_all_reduce(group, t, op, NULL) == WK_OK);
                CHECK(is_expected(t, op, ranks, exact));
                CHECK(all_have(group, bits_of(t)));
                wk_scope_end(scope);
            }
        }
    }
    for (int threads = 1; threads <= 2; threads++) { /* driven by the caller, and by the group's thread */
        wk_scope scope = wk_scope_begin();
        wk_set_threads(threads);
        int code = sums_in_flight(group, exact);
        if (code == 0) code = sum_without_caller(group);
        wk_scope_end(scope);
        if (code) return code;
    }
    return 0;
}

/* ---- the other collectives, of every dtype ---- */

static int move(wk_group *group, wk_dtype dtype, int64_t count) {
    int rank = wk_group_rank(group), ranks = wk_group_size(group);
    wk_tensor *mine = make_given(dtype, rank, count), *all = wk_zeros(dtype, WK_DIMS(ranks * count));
    CHECK(wk_all_gather(group, mine, all, NULL) == WK_OK);
    for (int64_t i = 0; i < ranks * count; i++) {
        double right = given(dtype, (int)(i / count), i % count);
        CHECK(wk_at(all, i) == (dtype == WK_F32 ? (double)(float)right : right));
    }
    for (int root = 0; root < ranks; root++) {
        wk_tensor *t = make_given(dtype, rank, count), *right = make_given(dtype, root, count);
        CHECK(wk_broadcast(group, t, root, NULL) == WK_OK);
        CHECK(count == 0 || memcmp(wk_data(t), wk_data(right), (size_t)count * wk_dtype_size(dtype)) == 0);
    }
    for (wk_reduce op = WK_REDUCE_SUM; op <= WK_REDUCE_MIN; op++) {
        bool rounds = dtype == WK_F32 || dtype == WK_F64;
        if (op == WK_REDUCE_MEAN && !rounds) continue;
        wk_tensor *whole = make_given(dtype, rank, ranks * count), *part = wk_zeros(dtype, WK_DIMS(count));
        CHECK(wk_reduce_scatter(group, whole, part, op, NULL) == WK_OK);
        for (int64_t i = 0; i < count; i++) {
            double error = fabs(wk_at(part, i) - expected(dtype, op, ranks, rank * count + i));
            CHECK(rounds ? error < 1e-6 : error == 0);
        }
        for (int64_t i = 0; i < ranks * count; i++) { /* what was given stays */
            double right = given(dtype, rank, i);
            CHECK(wk_at(whole, i) == (dtype == WK_F32 ? (double)(float)right : right));
        }
    }
    return 0;
}

static int moves(wk_group *group) {
    static const int64_t counts[] = { 0, 1, 17, 1000, 30011 };
    for (size_t d = 0; d < WK_COUNT(summed); d++)
        for (size_t c = 0; c < WK_COUNT(counts); c++) {
            wk_scope scope = wk_scope_begin();
            int code = move(group, summed[d], counts[c]);
            wk_scope_end(scope);
            if (code) return code;
        }
    wk_scope scope = wk_scope_begin(); /* bytes that nobody can sum can be carried */
    wk_tensor *half = wk_full(WK_F16, WK_DIMS(5), wk_group_rank(group) + 1);
    CHECK(wk_broadcast(group, half, wk_group_size(group) - 1, NULL) == WK_OK);
    CHECK(wk_at(half, 4) == wk_group_size(group));
    wk_scope_end(scope);
    return 0;
}

/* Every number that the half types have, and sums that round: what wk_add gives for two of them. */
static int halves(wk_group *group) {
    static const wk_dtype dtypes[] = { WK_F16, WK_BF16 };
    int rank = wk_group_rank(group), ranks = wk_group_size(group);
    for (int d = 0; d < 2; d++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *given[4], *right = NULL;
        for (int r = 0; r < ranks; r++) {
            given[r] = wk_empty(dtypes[d], WK_DIMS(65536));
            for (int i = 0; i < 65536; i++)
                ((uint16_t *)wk_data(given[r]))[i] =
                    (uint16_t)(r == 0 ? (unsigned)i : (unsigned)i * 40503U + (unsigned)r * 977U);
            right = right ? wk_add(right, given[r]) : given[r];
        }
        CHECK(right);
        wk_tensor *sum = given[rank];
        CHECK(wk_all_reduce(group, sum, WK_REDUCE_SUM, NULL) == WK_OK);
        for (int i = 0; i < 65536; i++) {
            uint16_t a = ((uint16_t *)wk_data(sum))[i], b = ((uint16_t *)wk_data(right))[i];
            CHECK(a == b || (isnan(wk_at(sum, i)) && isnan(wk_at(right, i))));
        }
        CHECK(wk_all_reduce(group, sum, WK_REDUCE_MEAN, NULL) == WK_DTYPE);
        wk_clear_error();
        wk_scope_end(scope);
    }
    return 0;
}

/* Rank 1 sums other shapes than rank 0, which must not end in wrong sums. */
static int disorder(wk_group *group) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *t = wk_zeros(WK_F32, WK_DIMS(wk_group_rank(group) == 1 ? 20 : 10));
    CHECK(wk_all_reduce(group, t, WK_REDUCE_SUM, NULL) == WK_OK);
    wk_scope_end(scope);
    return 0;
}

/* Several groups one after the other and at the same time: each has its own connections. */
static int groups(wk_group *group) {
    wk_group *more[2];
    for (int i = 0; i < 2; i++) more[i] = wk_group_create(NULL);
    for (int i = 0; i < 2; i++) {
        if (!more[i]) return 5;
        int code = collectives(more[i]);
        if (code) return code;
    }
    for (int i = 0; i < 2; i++) wk_group_destroy(more[i]);
    return collectives(group);
}

void make_batch(int step, int first, int stride, int n, wk_tensor **x, wk_tensor **y) {
    *x = wk_empty(WK_F32, WK_DIMS(n, FEATURES));
    *y = wk_empty(WK_I64, WK_DIMS(n));
    for (int i = 0; i < n; i++) {
        int item = step * 2 * BATCH + first + i * stride;
        for (int f = 0; f < FEATURES; f++)
            ((float *)wk_data(*x))[i * FEATURES + f] = (float)((item * 37 + f * 101) % 29) / 14.5F - 1;
        ((int64_t *)wk_data(*y))[i] = item % CLASSES;
    }
}

wk_status keep(wk_module *net, const char *file, int rank) {
    char path[600];
    (void)snprintf(path, sizeof path, "%s.%d", file, rank);
    return wk_module_save(net, path);
}

wk_module *make_net(void) {
    wk_layer_opts plain = { 0 };
    return wk_nn_sequential(wk_nn_linear(FEATURES, 64, plain), wk_nn_relu(), wk_nn_linear(64, 32, plain), wk_nn_relu(),
                            wk_nn_linear(32, CLASSES, plain));
}

/* Train ten steps, split over the ranks; parameters go to FILE.RANK.  `micro` batches are accumulated a step. */
static int train(wk_group *group, const char *file, int micro) {
    int rank = wk_group_rank(group), ranks = wk_group_size(group), n = 2 * BATCH / ranks / micro;
    wk_manual_seed(rank == 0 ? 3 : 4); /* DDP must make them equal */
    wk_module *net = make_net();
    CHECK(wk_module_to_device(net, device) == WK_OK);
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
            x = here(x), y = here(y);
            wk_ddp_no_sync(ddp, m + 1 < micro);
            CHECK(wk_backward(
                      wk_scale(wk_cross_entropy(wk_forward(net, x), y, (wk_cross_entropy_opts){ .label_smoothing = 0 }),
                               1.0 / micro))
                  == WK_OK);
            wk_scope_end(scope);
        }
        CHECK(wk_optim_step(optim) == WK_OK);
    }
    CHECK(keep(net, file, rank) == WK_OK);
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
    x = here(x);
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
    CHECK(wk_module_to_device(&net->base, device) == WK_OK);
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
    CHECK(wk_module_to_device(net, device) == WK_OK);
    wk_ddp *ddp = wk_ddp_create(group, net, (wk_ddp_opts){ 0 });
    wk_scope scope = wk_scope_begin();
    CHECK(wk_forward(net, here(wk_full(WK_F32, WK_DIMS(2, 3, 4, 4), rank + 1))) != NULL);
    wk_tensor *mean = wk_state(net).tensor[2], *all = here(wk_zeros(WK_F32, WK_DIMS(wk_group_size(group), 3)));
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

static void tell_process(const wk_group *group, const char *file) {
    char path[600];
    (void)snprintf(path, sizeof path, "%s.pid.%d", file, wk_group_rank(group));
    FILE *mark = fopen(path, "w");
    (void)fprintf(mark, "%ld\n", (long)getpid());
    (void)fclose(mark);
}

/* `count` elements again and again, with `pause` microseconds in between, until somebody ends it: who that may be
 * learns of this process when the ranks have met, over whatever carries the elements. */
static int loop(wk_group *group, const char *file, int64_t count, unsigned pause) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *t = here(wk_zeros(WK_F32, WK_DIMS(count)));
    CHECK(wk_all_reduce(group, t, WK_REDUCE_SUM, NULL) == WK_OK);
    tell_process(group, file);
    for (int i = 0; i < 200000; i++) {
        CHECK(wk_all_reduce(group, t, WK_REDUCE_SUM, NULL) == WK_OK);
        if (pause) (void)usleep(pause);
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

/* A rank has one device: collectives on another are refused, and those on the first go on. */
static int two_devices(wk_group *group) {
    wk_device other;
    wk_scope scope = wk_scope_begin();
    wk_tensor *t = here(wk_full(WK_F32, WK_DIMS(3), 1));
    CHECK(wk_all_reduce(group, t, WK_REDUCE_SUM, NULL) == WK_OK);
    CHECK(wk_device_parse("cudaemu:1", &other) == WK_OK);
    wk_tensor *there = wk_to_device(t, other);
    CHECK(wk_all_gather(group, t, wk_to_device(wk_zeros(WK_F32, WK_DIMS(6)), other), NULL) == WK_DEVICE);
    wk_clear_error();
    CHECK(wk_all_reduce(group, there, WK_REDUCE_SUM, NULL) == WK_DEVICE);
    CHECK(strstr(wk_message(), "all_reduce: the group exchanges memory of cudaemu:0, not of cudaemu:1"));
    wk_clear_error();
    CHECK(wk_all_reduce(group, t, WK_REDUCE_SUM, NULL) == WK_OK);
    CHECK(wk_at(t, 2) == 4);
    wk_scope_end(scope);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    const char *scenario = argv[1], *file = argc > 2 ? argv[2] : "";
    const char *name = getenv("WICK_TEST_DEVICE");
    wk_set_threads(1);
    if (name && wk_device_parse(name, &device) != WK_OK) return (void)wk_report(stderr), 7;
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
    if (strcmp(scenario, "loop") == 0) code = loop(group, file, 1000, 1000);
    if (strcmp(scenario, "large_loop") == 0) code = loop(group, file, 4000000, 0);
    if (strcmp(scenario, "sums") == 0 && argc > 3) code = sums(group, argv[3]);
    if (strcmp(scenario, "moves") == 0) code = moves(group);
    if (strcmp(scenario, "disorder") == 0) code = disorder(group);
    if (strcmp(scenario, "groups") == 0) code = groups(group);
    if (strcmp(scenario, "two_devices") == 0) code = two_devices(group);
    if (strcmp(scenario, "halves") == 0) code = halves(group);
    if (strcmp(scenario, "fp16") == 0) code = compressed(group, WK_DDP_FP16);
    if (strcmp(scenario, "bf16") == 0) code = compressed(group, WK_DDP_BF16);
    if (strcmp(scenario, "ignored") == 0) code = ignored(group);
    if (strcmp(scenario, "join") == 0) code = join_ranks(group, file);
    if (strcmp(scenario, "sync") == 0) code = synchronised(group, file);
    if (strcmp(scenario, "zero") == 0) code = share_out(group, file);
    if (strcmp(scenario, "zero_refused") == 0) code = share_refused(group);
    if (strcmp(scenario, "reorder") == 0) code = reorder(group, file, false);
    if (strcmp(scenario, "keep_order") == 0) code = reorder(group, file, true);
    if (strcmp(scenario, "last_bucket") == 0) code = last_bucket(group);
    if (strcmp(scenario, "disagree") == 0) code = disagree(group);
    if (strcmp(scenario, "hooks") == 0) code = compare_hooks(group, file);
    if (strcmp(scenario, "hooks_of_nothing") == 0) code = hooks_of_nothing(group);
    if (strcmp(scenario, "different") == 0) code = different(group);
    wk_group_destroy(group);
    return code;
}
