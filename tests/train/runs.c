/* runs.c: runs as a person starts them: the program, its directory, and how it goes on. */
#include "train/support.h"
#include "wick/io.h"
#include "wick/train.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void set_up(void) {
    char text[1600];
    run_set_up("train", 640);
    (void)snprintf(text, sizeof text,
                   "seed: 7\n"
                   "data: { name: idx, args: { root: %s, batch_size: 32 } }\n"
                   "model: { name: mlp, args: { hidden: 32 } }\n"
                   "optimizer: { name: AdamW, args: { lr: 1e-3 } }\n"
                   "schedule: { name: cosine, args: { warmup_steps: 5 } }\n"
                   "trainer: { max_epochs: 4, log_every_n_steps: 5 }\n"
                   "output: %s\n",
                   run_folder, run_output);
    run_write_all(text);
}
/* Of all files that hold tests of runs. */
TestSuite(runs, .init = set_up, .fini = run_tear_down);

Test(runs, leaves_a_directory_that_explains_itself) {
    char *err = NULL;
    cr_assert_eq(run_train(&err, NULL), 0, "%s", err);
    cr_expect_not_null(strstr(err, "epoch 4/4"));
    free(err);
    static const char *const files[] = { "config.yaml",
                                         "build.txt",
                                         "log.txt",
                                         "metrics.csv",
                                         "checkpoints/last.safetensors",
                                         "checkpoints/best.safetensors" };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        cr_expect_eq(access(run_path(files[i]), R_OK), 0, "%s is missing", files[i]);
    char *csv = read_bytes(run_path("metrics.csv"), NULL);
    cr_expect_eq(strncmp(csv, "step,epoch,lr,train_loss", 24), 0);
    cr_expect_not_null(strstr(csv, "\n80,4,"), "%s", csv);
    free(csv);
    char *argv[] = { WICK_PROGRAM, "eval", run_output, NULL };
    program p = start(run_folder, argv, NULL);
    cr_expect_eq(finish(&p, 30), 0);
    char *out = read_bytes(p.out, NULL), *at = strstr(out, "accuracy ");
    cr_assert_not_null(at, "%s", out);
    cr_expect_gt(strtod(at + 9, NULL), 0.9, "the made images are easy: %s", out);
    free(out);
}

Test(runs, killed_and_resumed_ends_with_the_same_bytes) {
    char *err = NULL, whole[600];
    cr_assert_eq(run_train(&err, NULL), 0, "%s", err);
    free(err);
    (void)snprintf(whole, sizeof whole, "%s/whole", run_folder);
    cr_assert_eq(rename(run_output, whole), 0);
    char *argv[] = { WICK_PROGRAM, "train", "-c", run_file, "-o", "checkpoint.every_n_train_steps=3", NULL };
    program p = start(run_folder, argv, NULL);
    bool reached = wait_for_text(run_path("log.txt"), "epoch 2/4  train loss", 30);
    (void)kill(p.pid, SIGKILL);
    (void)finish(&p, 10);
    cr_assert(reached);
    cr_assert_eq(run_train(&err, WORDS("--resume")), 0, "%s", err);
    cr_expect_not_null(strstr(err, "resumed after step"), "the run had ended before it was killed:\n%s", err);
    free(err);
    char first[700];
    (void)snprintf(first, sizeof first, "%s/checkpoints/last.safetensors", whole);
    cr_expect(same_bytes(first, run_path("checkpoints/last.safetensors")), "checkpoints differ");
    char *a = NULL, *b = read_bytes(run_path("metrics.csv"), NULL);
    (void)snprintf(first, sizeof first, "%s/metrics.csv", whole);
    a = read_bytes(first, NULL);
    size_t rows_a = 0, rows_b = 0;
    for (char *at = a; *at; at++) rows_a += *at == '\n';
    for (char *at = b; *at; at++) rows_b += *at == '\n';
    cr_expect_eq(rows_a, rows_b, "rows of metrics: %zu, resumed %zu", rows_a, rows_b);
    free(a);
    free(b);
}

Test(runs, cnn_with_dropout_resumes_in_the_middle_of_an_epoch) {
    char *err = NULL, whole[600], first[700];
    char text[1600];
    (void)snprintf(text, sizeof text,
                   "seed: 7\n"
                   "data: { name: idx, args: { root: %s, batch_size: 16, limit: 96 } }\n"
                   "model: { name: cnn }\n"
                   "optimizer: { name: SGD, args: { lr: 0.05, momentum: 0.9, nesterov: true } }\n"
                   "trainer: { max_epochs: 2, gradient_clip_val: 1.0 }\n"
                   "checkpoint: { every_n_train_steps: 2 }\n"
                   "output: %s\n",
                   run_folder, run_output);
    run_write_all(text);
    cr_assert_eq(run_train(&err, NULL), 0, "%s", err);
    free(err);
    (void)snprintf(whole, sizeof whole, "%s/whole", run_folder);
    cr_assert_eq(rename(run_output, whole), 0);
    char *argv[] = { WICK_PROGRAM, "train", "-c", run_file, NULL };
    program p = start(run_folder, argv, NULL);
    bool reached = wait_for_text(run_path("log.txt"), "epoch 1/2  train loss", 60);
    (void)kill(p.pid, SIGKILL);
    (void)finish(&p, 10);
    cr_assert(reached);
    cr_assert_eq(run_train(&err, WORDS("--resume")), 0, "%s", err);
    free(err);
    (void)snprintf(first, sizeof first, "%s/checkpoints/last.safetensors", whole);
    cr_expect(same_bytes(first, run_path("checkpoints/last.safetensors")), "checkpoints differ");
}

/* Blocks that are run again in backward train to the same bits; a model that has none is refused. */
Test(runs, recompute_changes_nothing_but_memory) {
    char *err = NULL, whole[600], first[700], text[1600];
    (void)snprintf(text, sizeof text,
                   "seed: 7\n"
                   "data: { name: idx, args: { root: %s, batch_size: 16, limit: 64 } }\n"
                   "model: { name: vit, args: { patch: 7, layers: 2, heads: 2, width: 16, feedforward: 32,\n"
                   "         image_size: 28, in_channels: 1, classes: 10, dropout: 0.1 } }\n"
                   "optimizer: { name: AdamW, args: { lr: 1e-3 } }\n"
                   "trainer: { max_epochs: 1 }\n"
                   "output: %s\n",
                   run_folder, run_output);
    run_write_all(text);
    cr_assert_eq(run_train(&err, NULL), 0, "%s", err);
    cr_expect_not_null(strstr(err, "memory in MiB: parameters "), "%s", err);
    cr_expect_not_null(strstr(err, "of this machine hold batches of about "), "%s", err);
    free(err);
    (void)snprintf(whole, sizeof whole, "%s/whole", run_folder);
    cr_assert_eq(rename(run_output, whole), 0);
    cr_assert_eq(run_train(&err, WORDS("-o", "trainer.recompute=true")), 0, "%s", err);
    free(err);
    (void)snprintf(first, sizeof first, "%s/checkpoints/last.safetensors", whole);
    cr_expect(same_bytes(first, run_path("checkpoints/last.safetensors")), "checkpoints differ");
}
Test(runs, recompute_needs_blocks) {
    run_refused("trainer.recompute: model \"mlp\" has no blocks that could be run again",
                WORDS("-o", "trainer.recompute=true"));
}

/* The checkpoint at `path` as older versions wrote it: one "optimizer.step" for all parameters. */
static void make_older(const char *path) {
    static const char *const keys[] = { "format",  "wick_version", "model",       "optimizer",     "epoch",
                                        "batch",   "step",         "loss_sum",    "best_accuracy", "ranks",
                                        "threads", "batch_size",   "window_loss", "window_steps",  "instruction_set",
                                        "metrics" };
    enum { KEYS = sizeof keys / sizeof keys[0], MOST = 64 };
    wk_metadata metadata[KEYS];
    wk_tensor *tensors[MOST];
    const char *names[MOST];
    int count = 0, steps = 0;
    wk_scope scope = wk_scope_begin();
    wk_safetensors *file = wk_safetensors_open(path);
    cr_assert_not_null(file, "%s", wk_message());
    for (int i = 0; i < KEYS; i++) metadata[i] = (wk_metadata){ keys[i], wk_safetensors_metadata(file, keys[i]) };
    for (int i = 0; i < wk_safetensors_count(file); i++) {
        const char *name = wk_safetensors_name(file, i);
        bool is_step = strncmp(name, "optimizer.step.", 15) == 0;
        if (is_step && steps++) continue;
        names[count] = is_step ? "optimizer.step" : name;
        tensors[count++] = wk_safetensors_get(file, name);
    }
    cr_assert_eq(steps, 4);
    char other[800];
    (void)snprintf(other, sizeof other, "%s.older", path);
    cr_assert_eq(wk_safetensors_save(other, (wk_named_tensors){ tensors, names, count }, metadata, KEYS), WK_OK, "%s",
                 wk_message());
    wk_safetensors_close(file);
    wk_scope_end(scope);
    cr_assert_eq(rename(other, path), 0);
}

Test(runs, an_older_checkpoint_goes_on_with_the_same_bytes) {
    char *err = NULL, kept[700], text[1600];
    (void)snprintf(text, sizeof text,
                   "seed: 7\n"
                   "data: { name: idx, args: { root: %s, batch_size: 32 } }\n"
                   "model: { name: mlp, args: { hidden: 32 } }\n"
                   "optimizer: { name: AdamW, args: { lr: 1e-3 } }\n"
                   "output: %s\n",
                   run_folder, run_output);
    run_write_all(text);
    cr_assert_eq(run_train(&err, WORDS("-o", "trainer.max_epochs=1")), 0, "%s", err);
    free(err);
    (void)snprintf(kept, sizeof kept, "%s", run_path("checkpoints/last.safetensors"));
    size_t bytes, wanted_bytes, found_bytes;
    char *then = read_bytes(kept, &bytes);
    cr_assert_eq(run_train(&err, WORDS("--resume", "-o", "trainer.max_epochs=2")), 0, "%s", err);
    free(err);
    char *wanted = read_bytes(kept, &wanted_bytes);
    write_bytes(kept, then, bytes);
    make_older(kept);
    cr_assert_eq(run_train(&err, WORDS("--resume", "-o", "trainer.max_epochs=2")), 0, "%s", err);
    cr_expect_not_null(strstr(err, "resumed after step 20"), "%s", err);
    free(err);
    char *found = read_bytes(kept, &found_bytes);
    cr_expect(wanted_bytes == found_bytes && memcmp(wanted, found, found_bytes) == 0, "checkpoints differ");
    free(then);
    free(wanted);
    free(found);
}

/* metrics.csv without the column of images a second, which no two runs share. */
static char *rates_removed(char *csv) {
    char *out = csv;
    int column = 0;
    for (const char *in = csv; *in; in++) {
        column = *in == '\n' ? 0 : column + (*in == ',');
        if (column != 4 || *in == ',') *out++ = *in;
    }
    *out = '\0';
    return csv;
}

/* Without a schedule ten steps and then twenty are thirty, in the middle of an epoch too; so are one epoch and then
 * two. */
Test(runs, longer_by_steps_or_epochs) {
    free(run_succeeds(WORDS("-o", "schedule=null", "-o", "trainer.max_steps=30")));
    run_set_aside("whole");
    free(run_succeeds(WORDS("-o", "schedule=null", "-o", "trainer.max_steps=10")));
    char *argv[] = { WICK_PROGRAM,           "train",    "-c", run_file, "-o", "schedule=null", "-o",
                     "trainer.max_steps=30", "--resume", NULL };
    cr_assert_eq(run_program(run_folder, argv, NULL, 200, NULL), 0);
    run_same_checkpoint("whole", "checkpoints/last.safetensors");
    remove_folder(run_output);
    free(run_succeeds(WORDS("-o", "schedule=null", "-o", "trainer.max_epochs=3")));
    run_set_aside("three");
    free(run_succeeds(WORDS("-o", "schedule=null", "-o", "trainer.max_epochs=1")));
    argv[7] = "trainer.max_epochs=3";
    cr_assert_eq(run_program(run_folder, argv, NULL, 200, NULL), 0);
    run_same_checkpoint("three", "checkpoints/last.safetensors");
    argv[7] = "trainer.max_epochs=2";
    char *err = NULL;
    cr_assert_eq(run_program(run_folder, argv, NULL, 200, &err), 0);
    cr_expect_not_null(strstr(err, "nothing is left to do"), "%s", err);
    cr_expect_null(strstr(err, "epoch 4/"), "%s", err);
    free(err);
    run_same_checkpoint("three", "checkpoints/last.safetensors");
}

/* The signal lets it save and end; what follows is the run that was never stopped, its metrics included. */
static void stop_and_go_on(int number) {
    char stopped[80];
    (void)snprintf(stopped, sizeof stopped, "%s after step ", strsignal(number));
    free(run_succeeds(NULL));
    run_set_aside("whole");
    char *argv[] = { WICK_PROGRAM, "train", "-c", run_file, NULL };
    program p = start(run_folder, argv, NULL);
    bool reached = wait_for_text(run_path("metrics.csv"), "\n5,1,", 30);
    (void)kill(p.pid, number);
    int code = finish(&p, 20);
    cr_assert(reached);
    char *err = read_bytes(p.err, NULL), *log = run_text("log.txt");
    cr_expect_eq(code, 128 + number, "exit code %d", code);
    cr_expect_not_null(strstr(err, stopped), "%s", err);
    cr_expect_not_null(strstr(log, stopped), "%s", log);
    free(err);
    free(log);
    free(run_succeeds(WORDS("--resume")));
    run_same_checkpoint("whole", "checkpoints/last.safetensors");
    char kept[700];
    (void)snprintf(kept, sizeof kept, "%s/whole/metrics.csv", run_folder);
    char *whole = rates_removed(read_bytes(kept, NULL)), *resumed = rates_removed(run_text("metrics.csv"));
    cr_expect_str_eq(resumed, whole);
    free(whole);
    free(resumed);
}

Test(runs, terminated_run_saves_and_goes_on) {
    stop_and_go_on(SIGTERM);
}

/* As Slurm warns of a time limit or a preemption. */
Test(runs, warned_run_saves_and_goes_on) {
    stop_and_go_on(SIGUSR1);
}

/* What an earlier run has left must not be gone on from. */
Test(runs, overwritten_run_has_no_old_checkpoints) {
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=1")));
    char *argv[] = { WICK_PROGRAM, "train", "-c", run_file, "--overwrite", "-o", "trainer.max_epochs=100000", NULL };
    char leftover[700];
    (void)snprintf(leftover, sizeof leftover, "%s.tmp.77", run_path("checkpoints/last.safetensors"));
    write_bytes(leftover, "torn", 4);
    program p = start(run_folder, argv, NULL);
    bool reached = wait_for_text(p.err, "model mlp", 30);
    run_refused("another process is training in this directory", WORDS("--resume"));
    (void)kill(p.pid, SIGKILL);
    (void)finish(&p, 10);
    cr_assert(reached);
    cr_expect_neq(access(leftover, F_OK), 0, "a temporary file is left");
    (void)unlink(run_path("checkpoints/last.safetensors"));
    write_bytes(run_path("checkpoints/best.safetensors"), "", 0);
    run_refused("holds a run already", NULL);
}

static void leave(const char *name) {
    char path[700];
    (void)snprintf(path, sizeof path, "%s", run_path(name));
    char *slash = strrchr(path, '/');
    *slash = '\0';
    (void)mkdir(path, 0777);
    *slash = '/';
    write_bytes(path, "left", 4);
}

/* Nobody may take what an earlier run has left for the new run's; what is not a run's stays. */
Test(runs, overwritten_run_is_alone_in_its_directory) {
    static const char *const old[] = { "img/drawn-7.png", "predictions/step-9.npy", "events.out.tfevents.1.host.2.0" };
    static const char *const own[] = { "notes.txt", "img/notes.txt", "events.txt", "ckpt/epoch=7-step=9.ckpt" };
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=1")));
    for (int i = 0; i < 3; i++) leave(old[i]);
    for (int i = 0; i < 4; i++) leave(own[i]);
    cr_assert_eq(mkdir(run_path("predictions/step-3"), 0777), 0);
    leave("predictions/step-3/batch-0.csv");
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=1", "--overwrite")));
    for (int i = 0; i < 3; i++) cr_expect(!run_has(old[i]), "%s is still there", old[i]);
    for (int i = 0; i < 4; i++) cr_expect(run_has(own[i]), "%s is gone", own[i]);
    cr_expect(!run_has("predictions/step-3") && run_has("checkpoints/last.safetensors"));
    /* A link leads out of the directory: nothing behind it is the run's. */
    char elsewhere[600], kept[700];
    (void)snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", run_folder);
    (void)snprintf(kept, sizeof kept, "%s/step-9.npy", elsewhere);
    (void)rmdir(run_path("predictions"));
    cr_assert(mkdir(elsewhere, 0777) == 0 && symlink(elsewhere, run_path("predictions")) == 0);
    write_bytes(kept, "kept", 4);
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=1", "--overwrite")));
    cr_expect_eq(access(kept, F_OK), 0, "what a link leads to was removed");
}

Test(runs, resume_without_a_checkpoint_says_so) {
    char *err = NULL;
    cr_assert_eq(run_train(&err, WORDS("--resume", "-o", "trainer.max_epochs=1")), 0, "%s", err);
    cr_expect_not_null(strstr(err, "holds no checkpoint to resume from: starting anew"), "%s", err);
    free(err);
}

Test(runs, metrics_that_somebody_deleted) {
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=1")));
    cr_assert_eq(unlink(run_path("metrics.csv")), 0);
    free(run_succeeds(WORDS("--resume")));
    char *csv = run_text("metrics.csv");
    cr_expect_eq(strncmp(csv, "step,epoch,lr,train_loss", 24), 0);
    cr_expect_not_null(strstr(csv, "\n80,4,"), "%s", csv);
    free(csv);
}

/* Files that are opened without standard streams must not become them. */
Test(runs, closed_streams) {
    char script[1400];
    (void)snprintf(script, sizeof script, "exec %s train -c %s <&- >&- 2>&-", WICK_PROGRAM, run_file);
    char *argv[] = { "bash", "-c", script, NULL };
    cr_assert_eq(run_program(run_folder, argv, NULL, 200, NULL), 0);
    run_set_aside("closed");
    free(run_succeeds(NULL));
    run_same_checkpoint("closed", "checkpoints/last.safetensors");
    char *log = run_text("log.txt"), path[700];
    (void)snprintf(path, sizeof path, "%s/closed/log.txt", run_folder);
    char *closed = read_bytes(path, NULL);
    cr_expect_eq(strncmp(log, closed, 20), 0);
    free(log);
    free(closed);
}

/* Weights that have run away are not worth a checkpoint. */
Test(runs, loss_that_is_no_number_keeps_the_checkpoint) {
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=1")));
    char before[700];
    (void)snprintf(before, sizeof before, "%s/before.safetensors", run_folder);
    size_t size;
    char *bytes = read_bytes(run_path("checkpoints/last.safetensors"), &size);
    write_bytes(before, bytes, size);
    free(bytes);
    char *argv[] = { WICK_PROGRAM,
                     "train",
                     "-c",
                     run_file,
                     "--resume",
                     "-o",
                     "optimizer.args.lr=1e38",
                     "-o",
                     "checkpoint.every_n_train_steps=1",
                     NULL };
    char *err = NULL;
    cr_expect_eq(run_program(run_folder, argv, NULL, 200, &err), 1);
    cr_expect(strstr(err, "is not finite after step") || strstr(err, "the loss is "), "%s", err);
    free(err);
    wk_safetensors *file = wk_safetensors_open(run_path("checkpoints/last.safetensors"));
    cr_assert_not_null(file);
    wk_scope scope = wk_scope_begin();
    for (int i = 0; i < wk_safetensors_count(file); i++) {
        const char *name = wk_safetensors_name(file, i);
        if (strncmp(name, "model.", 6) != 0) continue;
        wk_tensor *t = wk_safetensors_get(file, name);
        for (int64_t k = 0; k < wk_count(t); k++) cr_assert(wk_at(t, k) * 0 == 0, "%s is not finite", name);
    }
    wk_scope_end(scope);
    wk_safetensors_close(file);
}

/* A file-size limit stands for a full disk: writing the checkpoint fails the same way, in the middle. */
Test(runs, disk_full_keeps_the_last_good_checkpoint) {
    char *err = NULL, before[700];
    cr_assert_eq(run_train(&err, WORDS("-o", "trainer.max_epochs=1")), 0, "%s", err);
    free(err);
    (void)snprintf(before, sizeof before, "%s/before.safetensors", run_folder);
    size_t size;
    char *bytes = read_bytes(run_path("checkpoints/last.safetensors"), &size);
    write_bytes(before, bytes, size);
    free(bytes);
    char script[1400];
    (void)snprintf(script, sizeof script, "trap '' XFSZ; ulimit -f 40; exec %s train -c %s --resume", WICK_PROGRAM,
                   run_file);
    char *argv[] = { "bash", "-c", script, NULL };
    int code = run_program(run_folder, argv, NULL, 200, &err);
    cr_expect_eq(code, 1, "exit code %d:\n%s", code, err);
    cr_expect_not_null(strstr(err, "checkpoints/"), "%s", err);
    cr_expect_not_null(strstr(err, "cannot write"), "%s", err);
    free(err);
    cr_expect(same_bytes(before, run_path("checkpoints/last.safetensors")), "the good checkpoint was damaged");
    char *argv_ls[] = { "bash", "-c", script, NULL };
    (void)snprintf(script, sizeof script, "ls %s | grep -c tmp", run_path("checkpoints"));
    program p = start(run_folder, argv_ls, NULL);
    cr_expect_eq(finish(&p, 10), 1, "a temporary file is left");
}
