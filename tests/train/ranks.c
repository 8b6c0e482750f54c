/* Ranks of a run: what the file may say of how they train together. */
#include "train/support.h"
#include "wick/io.h"

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_up(void) {
    run_set_up("train_ranks", 96);
}
TestSuite(train_ranks, .init = set_up, .fini = run_tear_down);

static void two_ranks(char *const words[]) {
    char *err = NULL;
    int code = run_ranks(&err, words);
    cr_assert_eq(code, 0, "exit code %d:\n%s", code, err);
    free(err);
}

static void write_mlp(const char *strategy) {
    char text[900];
    (void)snprintf(text, sizeof text,
                   "seed: 5\nmodel: { name: mlp, args: { in_dim: 784, hidden_list: [20, 30], out_dim: 10 } }\n"
                   "optimizer: { name: AdamW, args: { lr: 1e-3 } }\n"
                   "callbacks: [{ name: ModelCheckpoint, args: { every_n_train_steps: 2, save_top_k: 1 } }]\n"
                   "trainer: { max_epochs: 1, log_every_n_steps: 1, gradient_clip_val: 1.0, strategy: %s }\n",
                   strategy);
    run_write(text);
}

/* Two epochs with the optimizer's state shared out, stopped between them, end with the bytes of a run without; and one
 * rank alone can go on from what two have left. */
Test(train_ranks, checkpoints_of_a_shared_out_optimizer_are_whole) {
    write_mlp("ddp");
    two_ranks(WORDS("-o", "trainer.max_epochs=2"));
    run_set_aside("plain");
    write_mlp("{ name: ddp, args: { shard_optimizer: true } }");
    two_ranks(NULL);
    char *log = run_text("log.txt");
    cr_expect_not_null(strstr(log, "optimizer state of each rank in MiB: 0.1"), "%s", log);
    free(log);
    two_ranks(WORDS("--resume", "-o", "trainer.max_epochs=2"));
    run_same_checkpoint("plain", "checkpoints/last.safetensors");
    run_same_checkpoint("plain", "ckpt/epoch=1-step=6.ckpt");
    char *err = run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=3"));
    cr_expect_not_null(strstr(err, "resumed after step 6"), "%s", err);
    free(err);
}

/* Its casts of weights, too: those of what this rank steps are written with it, the others' are made anew. */
Test(train_ranks, a_shared_out_optimizer_in_mixed_precision) {
    write_mlp("ddp");
    two_ranks(WORDS("-o", "trainer.precision=bf16-mixed"));
    run_set_aside("plain");
    write_mlp("ddp_sharded");
    two_ranks(WORDS("-o", "trainer.precision=bf16-mixed"));
    run_same_checkpoint("plain", "checkpoints/last.safetensors");
}

/* A signal reaches rank 0, which needs the others for its last checkpoint. */
Test(train_ranks, stopped_run_with_a_shared_out_optimizer_saves) {
    write_mlp("ddp_sharded");
    char *argv[] = { "mpirun",     "--oversubscribe", "--bind-to", "none",       "--mca", "pml",
                     "ob1",        "--mca",           "btl",       "self,vader", "-n",    "2",
                     WICK_PROGRAM, "train",           "-c",        run_file,     "-o",    "trainer.max_epochs=100000",
                     NULL };
    char *environment[] = {
        "ASAN_OPTIONS=detect_leaks=0", "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
        "OMP_NUM_THREADS=1",           "WICK_DIST_TIMEOUT=20",     NULL
    };
    program p = start(run_folder, argv, environment);
    bool reached = wait_for_text(run_path("log.txt"), "epoch 2/100000  train loss", 30);
    (void)kill(p.pid, SIGTERM);
    (void)finish(&p, 30);
    cr_assert(reached);
    char *log = run_text("log.txt");
    cr_expect_not_null(strstr(log, "the checkpoint is saved, --resume goes on from it"), "%s", log);
    free(log);
    wk_safetensors *file = wk_safetensors_open(run_path("checkpoints/last.safetensors"));
    cr_assert_not_null(file, "%s", wk_message());
    for (int i = 0; i < 6; i += 2) {
        char name[60];
        (void)snprintf(name, sizeof name, "optimizer.exp_avg.layers.%d.weight", i);
        cr_expect(wk_safetensors_has(file, name), "%s is missing", name);
    }
    wk_safetensors_close(file);
}

static double largest_difference(const char *a, const char *b) {
    wk_scope scope = wk_scope_begin();
    wk_safetensors *x = wk_safetensors_open(a), *y = wk_safetensors_open(b);
    cr_assert(x && y, "%s", wk_message());
    double largest = 0;
    for (int i = 0; i < wk_safetensors_count(x); i++) {
        const char *name = wk_safetensors_name(x, i);
        if (strncmp(name, "model.", 6) != 0) continue;
        wk_tensor *p = wk_safetensors_get(x, name), *q = wk_safetensors_get(y, name);
        for (int64_t k = 0; k < wk_count(p); k++) largest = fmax(largest, fabs(wk_at(p, k) - wk_at(q, k)));
    }
    wk_safetensors_close(x);
    wk_safetensors_close(y);
    wk_scope_end(scope);
    return largest;
}

/* Batch normalisation over both ranks' items, running statistics too, is that of one rank with both. */
Test(train_ranks, sync_batchnorm_equals_one_rank_with_the_whole_batch) {
    static const char *const text = "seed: 5\nmodel: { name: cnn_bn }\n"
                                    "optimizer: { name: SGD, args: { lr: 0.01, momentum: 0.9 } }\n"
                                    "trainer: { max_epochs: 1, limit_train_batches: 3, limit_val_batches: 1 }\n";
    char kept[600];
    run_write(text);
    free(run_succeeds(NULL));
    run_set_aside("one");
    two_ranks(WORDS("-o", "trainer.sync_batchnorm=true", "-o", "data.args.batch_size=8"));
    (void)snprintf(kept, sizeof kept, "%s/one/checkpoints/last.safetensors", run_folder);
    double together = largest_difference(kept, run_path("checkpoints/last.safetensors"));
    cr_expect_lt(together, 2e-4, "two ranks differ from one by %g", together);
    two_ranks(WORDS("--overwrite", "-o", "data.args.batch_size=8"));
    double apart = largest_difference(kept, run_path("checkpoints/last.safetensors"));
    cr_expect_gt(apart, 10 * together, "without it they differ by %g, with it by %g", apart, together);
}

/* Replayed steps send what those before them sent: two runs with half types have the same bits, and not those of f32.
 */
Test(train_ranks, gradients_travel_as_the_file_says) {
    write_mlp("{ name: ddp, args: { comm_hook: fp16_compress, bucket_cap_mb: 1, static_graph: true } }");
    two_ranks(NULL);
    run_set_aside("half");
    two_ranks(NULL);
    run_same_checkpoint("half", "checkpoints/last.safetensors");
    write_mlp("{ name: ddp, args: { ignored_parameters: \"^layers\\\\.4\\\\.\", broadcast_buffers: false } }");
    two_ranks(WORDS("--overwrite"));
    char kept[600];
    (void)snprintf(kept, sizeof kept, "%s/half/checkpoints/last.safetensors", run_folder);
    cr_expect(!same_bytes(kept, run_path("checkpoints/last.safetensors")));
}

/* PowerSGD under steps that are replayed: the same bits each time; and weights that are averaged now and then. */
Test(train_ranks, communication_hooks_as_the_file_says) {
    char kept[600];
    write_mlp("{ name: ddp, args: { ddp_comm_hook: powersgd, matrix_approximation_rank: 2, start_powerSGD_iter: 2 } }");
    two_ranks(WORDS("-o", "trainer.max_epochs=3"));
    run_set_aside("power");
    two_ranks(WORDS("-o", "trainer.max_epochs=3"));
    run_same_checkpoint("power", "checkpoints/last.safetensors");
    (void)snprintf(kept, sizeof kept, "%s/power/checkpoints/last.safetensors", run_folder);
    write_mlp("{ name: ddp, args: { comm_hook: post_local_sgd, start_localSGD_iter: 2, model_averaging_period: 3 } }");
    two_ranks(WORDS("--overwrite", "-o", "trainer.max_epochs=3"));
    double apart = largest_difference(kept, run_path("checkpoints/last.safetensors"));
    cr_expect(apart > 0 && apart < 1, "they differ by %g", apart);
}

Test(train_ranks, what_strategy_cannot_mean_is_refused) {
    write_mlp("{ name: ddp, args: { comm_hook: none, ddp_comm_hook: none } }");
    run_refused("comm_hook and ddp_comm_hook are one thing: say it once", NULL);
    write_mlp("dpp");
    run_refused("strategy is \"dpp\", expected one of: auto, ddp", NULL);
    write_mlp("{ name: ddp, args: { com_hook: none } }");
    run_refused("unknown key \"com_hook\" in strategy's args; did you mean \"comm_hook\"?", NULL);
    write_mlp("{ name: ddp, args: { comm_hook: fp8 } }");
    run_refused("comm_hook is \"fp8\", expected one of: none, fp16_compress", NULL);
    write_mlp("{ name: ddp, args: { ignored_parameters: \"(\" } }");
    char *err = NULL;
    cr_expect_neq(run_ranks(&err, NULL), 0);
    cr_expect_not_null(strstr(err, "\"(\": Unmatched ("), "%s", err);
    free(err);
}
