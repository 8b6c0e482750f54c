/* Options of data-parallel training: what travels, what is ignored, ranks that end early, batch normalisation over all
 * ranks, and the optimizer's state shared out. */
#include "worker.h"

#include <math.h>
#include <string.h>

static wk_status backward_of(wk_module *net, int step, int first, int stride, int n, double weight) {
    wk_tensor *x, *y;
    make_batch(step, first, stride, n, &x, &y);
    wk_tensor *loss =
        wk_cross_entropy(wk_forward(net, here(x)), here(y), (wk_cross_entropy_opts){ .reduction = WK_REDUCTION_SUM });
    return wk_backward(wk_scale(loss, weight));
}

/* ---- half types on the way ---- */

/* The gradients of two ranks, rounded, halved and added in the half type: to the bit what DDP gives. */
static int same_as_rounded(wk_group *group, wk_tensor *mine, wk_tensor *found, wk_dtype half) {
    wk_tensor *flat = wk_reshape(mine, WK_DIMS(wk_count(mine))), *all = wk_zeros(WK_F32, WK_DIMS(2, wk_count(mine)));
    CHECK(wk_all_gather(group, flat, all, NULL) == WK_OK);
    wk_tensor *halves = wk_affine(wk_cast(all, half), (wk_affine_opts){ .scale = 0.5 });
    wk_tensor *right = wk_cast(wk_add(wk_select(halves, 0, 0), wk_select(halves, 0, 1)), WK_F32);
    CHECK(right && memcmp(wk_data(right), wk_data(found), (size_t)wk_count(mine) * sizeof(float)) == 0);
    return 0;
}

int compressed(wk_group *group, int compress) {
    const int rank = wk_group_rank(group);
    const wk_dtype half = compress == WK_DDP_FP16 ? WK_F16 : WK_BF16;
    wk_manual_seed(3);
    wk_module *alone = make_net();
    wk_manual_seed(3);
    wk_module *net = make_net();
    wk_ddp *ddp = wk_ddp_create(group, net, (wk_ddp_opts){ .first_bucket_bytes = 256, .compress = compress });
    CHECK(ddp);
    wk_named_tensors mine = wk_parameters(alone), found = wk_parameters(net);
    for (int step = 0; step < 3; step++) {
        for (int i = 0; i < mine.count; i++) wk_clear_grad(mine.tensor[i]), wk_clear_grad(found.tensor[i]);
        wk_scope scope = wk_scope_begin();
        wk_ddp_no_sync(ddp, true); /* `alone` has leaves of its own, but the backward's end is everybody's */
        CHECK(backward_of(alone, step, rank, 2, BATCH, 1.0 / 7) == WK_OK);
        wk_ddp_no_sync(ddp, false);
        CHECK(backward_of(net, step, rank, 2, BATCH, 1.0 / 7) == WK_OK);
        for (int i = 0; i < mine.count; i++) {
            int code = same_as_rounded(group, wk_gradient(mine.tensor[i]), wk_gradient(found.tensor[i]), half);
            if (code) return code;
        }
        wk_scope_end(scope);
    }
    wk_ddp_destroy(ddp);
    wk_module_destroy(net);
    wk_module_destroy(alone);
    return 0;
}

/* ---- parameters of one's own ---- */

int ignored(wk_group *group) {
    const int rank = wk_group_rank(group);
    wk_manual_seed(rank == 0 ? 3 : 4);
    wk_module *net = make_net();
    CHECK(!wk_ddp_create(group, net, (wk_ddp_opts){ .ignored = "" }));
    CHECK(strstr(wk_message(), "ddp: every parameter is ignored by \"\""));
    wk_clear_error();
    CHECK(!wk_ddp_create(group, net, (wk_ddp_opts){ .ignored = "(" }) && wk_error_code() == WK_INVALID);
    wk_clear_error();
    wk_ddp *ddp = wk_ddp_create(group, net, (wk_ddp_opts){ .ignored = "^2\\." });
    CHECK(ddp);
    wk_scope scope = wk_scope_begin();
    CHECK(backward_of(net, 0, rank, 2, BATCH, 1) == WK_OK);
    wk_named_tensors all = wk_parameters(net);
    for (int i = 0; i < all.count; i++) {
        wk_tensor *both[] = { all.tensor[i], wk_gradient(all.tensor[i]) };
        for (int k = 0; k < 2; k++) {
            wk_tensor *flat = wk_reshape(wk_detach(both[k]), WK_DIMS(wk_count(both[k])));
            wk_tensor *gathered = wk_zeros(WK_F32, WK_DIMS(2, wk_count(flat)));
            CHECK(wk_all_gather(group, flat, gathered, NULL) == WK_OK);
            const float *values = wk_data(gathered);
            bool same = memcmp(values, values + wk_count(flat), (size_t)wk_count(flat) * sizeof *values) == 0;
            CHECK(same == (strncmp(all.name[i], "2.", 2) != 0));
        }
    }
    wk_scope_end(scope);
    wk_ddp_destroy(ddp);
    wk_module_destroy(net);
    return 0;
}

/* ---- ranks that end early ---- */

/* Rank r has 3 + 4 r batches; one rank alone computes what both would. */
int join_ranks(wk_group *group, const char *file) {
    const int rank = wk_group_rank(group), ranks = wk_group_size(group);
    wk_manual_seed(3);
    wk_module *net = make_net();
    wk_ddp *ddp = ranks > 1 ? wk_ddp_create(group, net, (wk_ddp_opts){ .first_bucket_bytes = 256 }) : NULL;
    wk_optim *optim = wk_adamw(wk_parameters(net), (wk_adamw_opts){ .lr = 1e-2 });
    CHECK(!wk_failed());
    int step = 0;
    for (bool goes_on = true; goes_on; step += goes_on) {
        const bool has[] = { step < 3, step < 7 };
        wk_zero_grad(optim);
        CHECK(wk_ddp_join(ddp, ranks > 1 ? has[rank] : has[1], &goes_on) == WK_OK);
        for (int r = 0; r < 2; r++) {
            if (!has[r] || (ranks > 1 && r != rank)) continue;
            wk_scope scope = wk_scope_begin();
            CHECK(backward_of(net, step, r, 2, BATCH, ranks / 2.0 / BATCH) == WK_OK);
            wk_scope_end(scope);
        }
        if (goes_on) CHECK(wk_optim_step(optim) == WK_OK);
    }
    CHECK(step == 7);
    CHECK(keep(net, file, rank) == WK_OK);
    wk_optim_destroy(optim);
    wk_ddp_destroy(ddp);
    wk_module_destroy(net);
    return 0;
}

/* ---- batch normalisation over all ranks ---- */

/* Images of 4 × 5, through both kinds of normalisation. */
static wk_module *make_normalised(void) {
    const wk_nn_batch_norm_opts norm = { .momentum = WK_SET(0.3) };
    wk_layer_opts plain = { 0 };
    return wk_nn_sequential(wk_nn_conv2d(1, 6, 3, (wk_nn_conv2d_opts){ .no_bias = false }), wk_nn_batch_norm2d(6, norm),
                            wk_nn_relu(), wk_nn_flatten(), wk_nn_linear(36, 8, plain), wk_nn_batch_norm1d(8, norm),
                            wk_nn_relu(), wk_nn_linear(8, CLASSES, plain));
}

/* Of each batch of 24 items the first rank has seven, the second the others. */
int synchronised(wk_group *group, const char *file) {
    const int rank = wk_group_rank(group), ranks = wk_group_size(group), all = 2 * BATCH, mine[] = { 7, all - 7 };
    wk_manual_seed(3);
    wk_module *net = make_normalised();
    wk_ddp *ddp = ranks > 1 ? wk_ddp_create(group, net, (wk_ddp_opts){ 0 }) : NULL;
    CHECK(wk_sync_batch_norm(net, group) == 2);
    wk_optim *optim = wk_sgd(wk_parameters(net), (wk_sgd_opts){ .lr = 0.1, .momentum = 0.9 });
    CHECK(!wk_failed());
    for (int step = 0; step < 6; step++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *x, *y;
        wk_zero_grad(optim);
        make_batch(step, 0, 1, all, &x, &y);
        const int first = ranks > 1 && rank == 1 ? mine[0] : 0, count = ranks > 1 ? mine[rank] : all;
        x = wk_slice(wk_reshape(x, WK_DIMS(all, 1, 4, 5)), 0, first, first + count, 1);
        y = wk_slice(y, 0, first, first + count, 1);
        wk_tensor *loss =
            wk_cross_entropy(wk_forward(net, x), y, (wk_cross_entropy_opts){ .reduction = WK_REDUCTION_SUM });
        CHECK(wk_backward(wk_scale(loss, (double)ranks / all)) == WK_OK);
        CHECK(wk_optim_step(optim) == WK_OK);
        wk_scope_end(scope);
    }
    CHECK(keep(net, file, rank) == WK_OK);
    if (ddp) { /* a rank without a batch would be missed in the forward of the others */
        bool goes_on = false;
        CHECK(wk_ddp_join(ddp, rank == 0, &goes_on) == WK_UNSUPPORTED);
        wk_clear_error();
        CHECK(wk_sync_batch_norm(net, NULL) == 2);
        CHECK(wk_ddp_join(ddp, false, &goes_on) == WK_OK && !goes_on);
    }
    wk_optim_destroy(optim);
    wk_ddp_destroy(ddp);
    wk_module_destroy(net);
    return 0;
}

/* ---- ZeRO ---- */

static wk_module *make_even(void) {
    wk_module *net = wk_nn_sequential_of(NULL, 0);
    for (int i = 0; i < 6; i++) {
        (void)wk_module_append(net, wk_nn_linear(FEATURES, FEATURES, (wk_layer_opts){ 0 }));
        (void)wk_module_append(net, wk_nn_relu());
    }
    return net;
}

static int steps_of(wk_group *group, wk_module *net, wk_optim *optim, int from, int to) {
    for (int step = from; step < to; step++) {
        wk_scope scope = wk_scope_begin();
        wk_zero_grad(optim);
        CHECK(backward_of(net, step, wk_group_rank(group), 2, BATCH, 1.0 / BATCH) == WK_OK);
        CHECK(wk_clip_grad_norm(optim, 0.5, NULL) == WK_OK);
        CHECK(wk_optim_step(optim) == WK_OK);
        wk_scope_end(scope);
    }
    return 0;
}

/* Once as it is and once shared out, from the state in the middle gathered on rank 0: the same bits of weights and
 * state, in 1 / ranks of the memory. */
int share_out(wk_group *group, const char *file) {
    const int rank = wk_group_rank(group), ranks = wk_group_size(group);
    for (int shares = 0; shares < 2; shares++) {
        wk_manual_seed(3);
        wk_module *net = make_even();
        wk_ddp *ddp = wk_ddp_create(group, net, (wk_ddp_opts){ 0 });
        wk_optim *optim = wk_adamw(wk_parameters(net), (wk_adamw_opts){ .lr = 1e-2 });
        const double whole = (double)wk_memory_of(NULL, optim).optimizer;
        wk_zero *zero = shares ? wk_zero_create(group, optim) : NULL;
        CHECK(!wk_failed());
        const double part = (double)wk_memory_of(NULL, optim).optimizer;
        CHECK(fabs(part * (shares ? ranks : 1) / whole - 1) < 0.05);
        int code = steps_of(group, net, optim, 0, 5);
        if (code) return code;
        char path[600];
        if (shares) CHECK(wk_zero_gather(zero, 0) == WK_OK);
        (void)snprintf(path, sizeof path, "%s.optim.%d", file, shares);
        if (rank == 0) CHECK(wk_safetensors_save(path, wk_optim_state(optim), NULL, 0) == WK_OK);
        wk_zero_gathered_release(zero);
        CHECK((double)wk_memory_of(NULL, optim).optimizer == part);
        if ((code = steps_of(group, net, optim, 5, 8)) != 0) return code;
        (void)snprintf(path, sizeof path, "%s.net.%d.%d", file, shares, rank);
        CHECK(wk_module_save(net, path) == WK_OK);
        wk_zero_destroy(zero);
        wk_optim_destroy(optim);
        wk_ddp_destroy(ddp);
        wk_module_destroy(net);
    }
    return 0;
}

int share_refused(wk_group *group) {
    wk_manual_seed(3);
    wk_module *net = make_net();
    wk_ddp *ddp = wk_ddp_create(group, net, (wk_ddp_opts){ 0 });
    wk_optim *lbfgs = wk_lbfgs(wk_parameters(net), (wk_lbfgs_opts){ 0 });
    CHECK(!wk_zero_create(group, lbfgs) && strstr(wk_message(), "LBFGS cannot be shared out"));
    wk_clear_error();
    wk_optim *optim = wk_sgd(wk_parameters(net), (wk_sgd_opts){ .lr = 0.1 });
    int code = steps_of(group, net, optim, 0, 1);
    if (code) return code;
    CHECK(!wk_zero_create(group, optim) && strstr(wk_message(), "SGD has stepped already"));
    wk_clear_error();
    wk_optim_destroy(optim);
    optim = wk_sgd(wk_parameters(net), (wk_sgd_opts){ .lr = 0.1 });
    wk_zero *zero = wk_zero_create(group, optim);
    CHECK(zero);
    CHECK(wk_optim_add_group(optim, wk_parameters(net), (wk_group_opts){ .lr = WK_SET(1) }) == WK_STATE);
    wk_clear_error();
    CHECK(wk_zero_gather(zero, wk_group_size(group)) == WK_INVALID);
    wk_clear_error();
    wk_zero_destroy(zero);
    wk_optim_destroy(optim);
    wk_optim_destroy(lbfgs);
    wk_ddp_destroy(ddp);
    wk_module_destroy(net);
    return 0;
}
