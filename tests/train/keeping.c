/* When ModelCheckpoint saves, beside what is best: after a time, at an epoch's end, when the run fails; and what saves
 * then alone. */
#include "train/support.h"
#include "wick/io.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Ten steps an epoch. */
static void set_up(void) {
    run_set_up("train_keeping", 160);
}
TestSuite(keeping, .init = set_up, .fini = run_tear_down);

static int count_checkpoints(void) {
    DIR *open = opendir(run_path("ckpt"));
    int count = 0;
    for (const struct dirent *e; open && (e = readdir(open));) count += strstr(e->d_name, ".ckpt") != NULL;
    if (open) (void)closedir(open);
    return count;
}

/* It holds all that a run can go on from. */
static void expect_whole(const char *name, const char *step) {
    wk_safetensors *file = wk_safetensors_open(run_path(name));
    cr_assert_not_null(file, "%s", wk_message());
    cr_expect_str_eq(wk_safetensors_metadata(file, "step"), step);
    int momentum = 0;
    for (int i = 0; i < wk_safetensors_count(file); i++)
        momentum += strncmp(wk_safetensors_name(file, i), "optimizer.momentum_buffer.", 26) == 0;
    cr_expect_gt(momentum, 0);
    wk_safetensors_close(file);
}

/* What a monitor that is not there does to a run after its first epoch. */
static const char fails[] = "{ name: EarlyStopping, args: { monitor: val_lost } }";

Test(keeping, a_run_that_fails) {
    char more[300];
    (void)snprintf(more, sizeof more,
                   "callbacks: [ %s, { name: ModelCheckpoint, args: { save_top_k: 0, save_on_exception: true } } ]\n",
                   fails);
    run_write_with(RUN_USUAL, more);
    run_refused("there is no metric \"val_lost\"", NULL);
    cr_expect_eq(count_checkpoints(), 1);
    expect_whole("ckpt/exception-epoch=0-step=10.ckpt", "10");
    run_set_aside("first");
    run_refused("there is no metric \"val_lost\"", WORDS("-o", "callbacks.1.args.save_on_exception=false"));
    cr_expect_eq(count_checkpoints(), 0);
    run_refused("the loss is ",
                WORDS("--overwrite", "-o", "callbacks.0.args.monitor=val_loss", "-o", "optimizer.args.lr=1e25"));
    cr_expect(run_has("ckpt/exception-epoch=0-step=1.ckpt"), "in the middle of an epoch");
}

/* OnExceptionCheckpoint leaves one from which the run can go on. */
Test(keeping, where_it_was_when_it_failed) {
    char more[300];
    (void)snprintf(more, sizeof more,
                   "trainer: { max_epochs: 2 }\ncallbacks: [ %s, { name: OnExceptionCheckpoint } ]\n", fails);
    run_write_with(RUN_USUAL, more);
    free(run_succeeds(WORDS("-o", "callbacks=null")));
    run_set_aside("whole");
    run_refused("there is no metric \"val_lost\"", NULL);
    cr_expect_eq(count_checkpoints(), 1);
    expect_whole("ckpt/on_exception.ckpt", "10");
    cr_assert_eq(rename(run_path("ckpt/on_exception.ckpt"), run_path("checkpoints/last.safetensors")), 0);
    free(run_succeeds(WORDS("--resume", "-o", "callbacks=null")));
    run_same_checkpoint("whole", "checkpoints/last.safetensors");
    char folder[600];
    (void)snprintf(folder, sizeof folder, "callbacks.1.args={dirpath: %s/failed, filename: \"{step:04d}\"}",
                   run_folder);
    run_refused("there is no metric \"val_lost\"", WORDS("--overwrite", "-o", folder));
    (void)snprintf(folder, sizeof folder, "%s/failed/step=0010.ckpt", run_folder);
    cr_expect_eq(access(folder, F_OK), 0);
}

Test(keeping, after_a_time) {
    run_write_with(
        RUN_USUAL,
        "trainer: { max_time: \"00:00:00:03\", limit_val_batches: 0 }\n"
        "checkpoint: { every_n_epochs: 1000000 }\n"
        "callbacks: { name: ModelCheckpoint, args: { train_time_interval: \"00:00:00:01\", save_top_k: -1 } }\n");
    free(run_succeeds(NULL));
    const int count = count_checkpoints();
    cr_expect(count >= 1 && count <= 3, "%d files in three seconds", count);
}

Test(keeping, at_the_end_of_an_epoch) {
    run_write_with(RUN_USUAL, "trainer: { max_epochs: 4, check_val_every_n_epoch: 2 }\n"
                              "callbacks: { name: ModelCheckpoint, args: { save_top_k: -1 } }\n");
    free(run_succeeds(NULL));
    cr_expect(count_checkpoints() == 2 && run_has("ckpt/epoch=1-step=20.ckpt"), "where there was a validation");
    run_set_aside("validated");
    free(run_succeeds(WORDS("-o", "callbacks.args.save_on_train_epoch_end=true")));
    cr_expect(count_checkpoints() == 4 && run_has("ckpt/epoch=0-step=10.ckpt"), "in each");
    run_set_aside("each");
    char *const twice[] = { "-o", "trainer={max_epochs: 2, val_check_interval: 0.5}" };
    free(run_succeeds(WORDS(twice[0], twice[1])));
    cr_expect(count_checkpoints() == 4 && run_has("ckpt/epoch=0-step=5.ckpt"), "after each validation");
    run_set_aside("twice");
    free(run_succeeds(WORDS(twice[0], twice[1], "-o", "callbacks.args.save_on_train_epoch_end=true")));
    cr_expect(count_checkpoints() == 2 && run_has("ckpt/epoch=0-step=10.ckpt"), "at the end alone");
}
