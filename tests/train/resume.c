/* resume.c: a run that was killed within an epoch, behind a checkpoint of a step: its files are those of an unbroken
 * one, with what callbacks know of metrics and what the epoch had summed up. */
#include "train/support.h"
#include "wick/io.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_up(void) {
    run_set_up("train_resume", 0);
}
TestSuite(resume, .init = set_up, .fini = run_tear_down);

/* A metric of validations within the epoch decides which checkpoints of steps are kept, and is in their names. */
static void write_rings(void) {
    char text[2000];
    (void)snprintf(text, sizeof text,
                   "plugins: [ %s ]\nseed: 3\n"
                   "data: { name: rings, args: { points: 2048, batch_size: 4 } }\n"
                   "wrapper: { name: confident, args: { loss_spec: { name: margin } } }\n"
                   "model: { name: rings-net, args: { width: 16 } }\n"
                   "optimizer: { name: Adam, args: { lr: 0.002 } }\n"
                   "trainer: { max_epochs: 3, log_every_n_steps: 50, val_check_interval: 130 }\n"
                   "callbacks: [ { name: DeviceStatsMonitor } ]\n"
                   "checkpoint: { monitor: val_confidence, mode: max, every_n_train_steps: 70, save_top_k: 3, "
                   "save_last: true, filename: \"{epoch}-{step}-{val_confidence:.4f}\" }\n"
                   "output: %s\n",
                   WICK_OWN_TRAINER, run_output);
    run_write_all(text);
}

static void kill_behind(const char *line) {
    char *argv[] = { WICK_PROGRAM, "train", "-c", run_file, NULL };
    program p = start(run_folder, argv, NULL);
    const bool reached = wait_for_text(run_path("log.txt"), line, 60);
    (void)kill(p.pid, SIGKILL);
    (void)finish(&p, 10);
    cr_assert(reached, "the run did not come to \"%s\"", line);
}

/* Every file of a folder of the whole run is there with the same bytes, and no other. */
static int same_files(const char *aside, const char *folder) {
    char path[900];
    int files[2] = { 0, 0 };
    for (int k = 0; k < 2; k++) {
        (void)snprintf(path, sizeof path, "%s/%s/%s", run_folder, aside, folder);
        DIR *d = opendir(k == 0 ? path : run_path(folder));
        cr_assert_not_null(d, "%s", k == 0 ? path : run_path(folder));
        for (const struct dirent *e; (e = readdir(d));) {
            if (e->d_name[0] == '.') continue;
            files[k]++;
            (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            if (k == 0) run_same_checkpoint(aside, path);
        }
        (void)closedir(d);
    }
    cr_expect_eq(files[0], files[1], "%s: %d files, resumed %d", folder, files[0], files[1]);
    return files[0];
}

Test(resume, killed_behind_a_checkpoint_of_a_step) {
    write_rings();
    free(run_succeeds(NULL));
    run_set_aside("whole");
    kill_behind("step 700/");
    write_bytes(run_path("ckpt/half.ckpt.tmp.1"), "half", 4); /* as one that is killed while it writes leaves */
    char *err = run_succeeds(WORDS("--resume"));
    cr_expect_not_null(strstr(err, "resumed after step "), "%s", err);
    cr_expect_not_null(strstr(err, ", in epoch 2"), "the second epoch was to be cut: %s", err);
    free(err);
    cr_expect_eq(same_files("whole", "ckpt"), 5, "three, the last, and their list");
    cr_expect_eq(same_files("whole", "checkpoints"), 1);
}

/* Steps behind were fewer than the epochs ahead have: the run is as many epochs long as before. */
Test(resume, epochs_are_counted_where_batches_are_smaller_than_before) {
    write_rings();
    kill_behind("step 700/");
    char *err = run_succeeds(WORDS("--resume", "-o", "data.args.batch_size=1"));
    cr_expect_not_null(strstr(err, ", in epoch 2"), "the second epoch was to be cut: %s", err);
    cr_expect_not_null(strstr(err, "epoch 2/3  train loss"), "%s", err);
    cr_expect_not_null(strstr(err, "epoch 3/3  train loss"), "%s", err);
    free(err);
}

/* What a checkpoint holds of it: every name once, rates without their values; and the epoch's sums. */
Test(resume, metrics_are_in_the_checkpoint) {
    write_rings();
    free(run_succeeds(WORDS("-o", "trainer.max_steps=600")));
    wk_safetensors *file = wk_safetensors_open(run_path("checkpoints/last.safetensors"));
    cr_assert_not_null(file, "%s", wk_message());
    const char *metrics = wk_safetensors_metadata(file, "metrics");
    cr_assert_not_null(metrics);
    cr_expect_lt(strlen(metrics), 4000, "bounded: %zu", strlen(metrics));
    cr_expect(strstr(metrics, " val_confidence\n") && strstr(metrics, " train_loss\n"), "%s", metrics);
    cr_expect_not_null(strstr(metrics, "p- nan images_per_second\n"), "%s", metrics);
    cr_expect_not_null(strstr(metrics, "p- nan cpu_seconds\n"), "%s", metrics);
    wk_safetensors_close(file);
    file = wk_safetensors_open(run_path("ckpt/last.ckpt"));
    cr_assert_not_null(file, "%s", wk_message());
    const char *sums = strstr(wk_safetensors_metadata(file, "metrics"), "sum ");
    cr_assert_not_null(sums, "%s", wk_safetensors_metadata(file, "metrics"));
    cr_expect_gt(strtod(sums + 4, NULL), 0, "%s", sums);
    wk_safetensors_close(file);
}

/* Damage to those lines is told. */
Test(resume, lines_that_are_no_metrics) {
    write_rings();
    free(run_succeeds(WORDS("-o", "trainer.max_steps=600")));
    size_t size = 0;
    char *bytes = read_bytes(run_path("checkpoints/last.safetensors"), &size), *at = NULL;
    for (size_t i = 0; i + 6 < size && !at; i++)
        if (memcmp(bytes + i, "value ", 6) == 0) at = bytes + i;
    cr_assert_not_null(at);
    memcpy(at, "valeu ", 6);
    FILE *f = fopen(run_path("checkpoints/last.safetensors"), "wb");
    cr_assert(f && fwrite(bytes, 1, size, f) == size);
    (void)fclose(f);
    free(bytes);
    run_refused("the checkpoint's metrics: \"valeu ", WORDS("--resume"));
}
