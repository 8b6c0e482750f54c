/* Runs as a person starts them: the program, its directory, what it says when something is wrong. */
#include "support/program.h"
#include "wick/io.h"
#include "wick/train.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[400], output[500], config[500];

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("train"));
    (void)snprintf(output, sizeof output, "%s/run", folder);
    (void)snprintf(config, sizeof config, "%s/config.yaml", folder);
    make_idx_folder(folder, 640);
    char text[1200];
    int size = snprintf(text, sizeof text,
                        "seed: 7\n"
                        "data: { name: idx, args: { root: %s, batch_size: 32 } }\n"
                        "model: { name: mlp, args: { hidden: 32 } }\n"
                        "optimizer: { name: AdamW, args: { lr: 1e-3 } }\n"
                        "schedule: { name: cosine, args: { warmup_steps: 5 } }\n"
                        "trainer: { max_epochs: 4, log_every_n_steps: 5 }\n"
                        "output: %s\n",
                        folder, output);
    write_bytes(config, text, (size_t)size);
}

static void tear_down(void) {
    remove_folder(folder);
}

TestSuite(runs, .init = set_up, .fini = tear_down);

/* `wick train -c CONFIG …` with up to four more words; stderr in *err. */
static int train(char **err, const char *a, const char *b, const char *c, const char *d) {
    char *argv[] = {
        WICK_PROGRAM,         "train", "-c", config, (char *)(uintptr_t)a, (char *)(uintptr_t)b, (char *)(uintptr_t)c,
        (char *)(uintptr_t)d, NULL
    };
    return run_program(folder, argv, NULL, 200, err);
}

/* The run fails with code 1 and says exactly what is expected, once. */
static void expect_refusal(const char *expected, const char *a, const char *b, const char *c, const char *d) {
    char *err = NULL;
    int code = train(&err, a, b, c, d);
    cr_expect(code == 1 || code == 2, "exit code %d", code);
    char *found = strstr(err, expected);
    cr_expect_not_null(found, "expected \"%s\" in:\n%s", expected, err);
    if (found) cr_expect_null(strstr(found + 1, "wick: "), "more than one message:\n%s", err);
    free(err);
}

static const char *inside(const char *name) {
    static char path[2][700];
    static int turn;
    turn = !turn;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", output, name);
    return path[turn];
}

Test(runs, leaves_a_directory_that_explains_itself) {
    char *err = NULL;
    cr_assert_eq(train(&err, NULL, NULL, NULL, NULL), 0, "%s", err);
    cr_expect_not_null(strstr(err, "epoch 4/4"));
    free(err);
    static const char *const files[] = { "config.yaml",
                                         "build.txt",
                                         "log.txt",
                                         "metrics.csv",
                                         "checkpoints/last.safetensors",
                                         "checkpoints/best.safetensors" };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        cr_expect_eq(access(inside(files[i]), R_OK), 0, "%s is missing", files[i]);
    char *csv = read_bytes(inside("metrics.csv"), NULL);
    cr_expect_eq(strncmp(csv, "step,epoch,lr,train_loss", 24), 0);
    cr_expect_not_null(strstr(csv, "\n80,4,"), "%s", csv);
    free(csv);
    char *argv[] = { WICK_PROGRAM, "eval", output, NULL };
    program p = start(folder, argv, NULL);
    cr_expect_eq(finish(&p, 30), 0);
    char *out = read_bytes(p.out, NULL), *at = strstr(out, "accuracy ");
    cr_assert_not_null(at, "%s", out);
    cr_expect_gt(strtod(at + 9, NULL), 0.9, "the made images are easy: %s", out);
    free(out);
}

Test(runs, killed_and_resumed_ends_with_the_same_bytes) {
    char *err = NULL, whole[600];
    cr_assert_eq(train(&err, NULL, NULL, NULL, NULL), 0, "%s", err);
    free(err);
    (void)snprintf(whole, sizeof whole, "%s/whole", folder);
    cr_assert_eq(rename(output, whole), 0);
    char *argv[] = { WICK_PROGRAM, "train", "-c", config, "-o", "checkpoint.every_n_train_steps=3", NULL };
    program p = start(folder, argv, NULL);
    bool reached = wait_for_text(inside("log.txt"), "epoch 2/4  train loss", 30);
    (void)kill(p.pid, SIGKILL);
    (void)finish(&p, 10);
    cr_assert(reached);
    cr_assert_eq(train(&err, "--resume", NULL, NULL, NULL), 0, "%s", err);
    cr_expect_not_null(strstr(err, "resumed after step"), "the run had ended before it was killed:\n%s", err);
    free(err);
    char first[700];
    (void)snprintf(first, sizeof first, "%s/checkpoints/last.safetensors", whole);
    cr_expect(same_bytes(first, inside("checkpoints/last.safetensors")), "checkpoints differ");
    char *a = NULL, *b = read_bytes(inside("metrics.csv"), NULL);
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
    char text[1200];
    int size = snprintf(text, sizeof text,
                        "seed: 7\n"
                        "data: { name: idx, args: { root: %s, batch_size: 16, limit: 96 } }\n"
                        "model: { name: cnn }\n"
                        "optimizer: { name: SGD, args: { lr: 0.05, momentum: 0.9, nesterov: true } }\n"
                        "trainer: { max_epochs: 2, gradient_clip_val: 1.0 }\n"
                        "checkpoint: { every_n_train_steps: 2 }\n"
                        "output: %s\n",
                        folder, output);
    write_bytes(config, text, (size_t)size);
    cr_assert_eq(train(&err, NULL, NULL, NULL, NULL), 0, "%s", err);
    free(err);
    (void)snprintf(whole, sizeof whole, "%s/whole", folder);
    cr_assert_eq(rename(output, whole), 0);
    char *argv[] = { WICK_PROGRAM, "train", "-c", config, NULL };
    program p = start(folder, argv, NULL);
    bool reached = wait_for_text(inside("log.txt"), "epoch 1/2  train loss", 60);
    (void)kill(p.pid, SIGKILL);
    (void)finish(&p, 10);
    cr_assert(reached);
    cr_assert_eq(train(&err, "--resume", NULL, NULL, NULL), 0, "%s", err);
    free(err);
    (void)snprintf(first, sizeof first, "%s/checkpoints/last.safetensors", whole);
    cr_expect(same_bytes(first, inside("checkpoints/last.safetensors")), "checkpoints differ");
}

/* Blocks that are run again in backward train to the same bits; a model that has none is refused. */
Test(runs, recompute_changes_nothing_but_memory) {
    char *err = NULL, whole[600], first[700], text[1200];
    int size = snprintf(text, sizeof text,
                        "seed: 7\n"
                        "data: { name: idx, args: { root: %s, batch_size: 16, limit: 64 } }\n"
                        "model: { name: vit, args: { patch: 7, layers: 2, heads: 2, width: 16, feedforward: 32,\n"
                        "         image_size: 28, in_channels: 1, classes: 10, dropout: 0.1 } }\n"
                        "optimizer: { name: AdamW, args: { lr: 1e-3 } }\n"
                        "trainer: { max_epochs: 1 }\n"
                        "output: %s\n",
                        folder, output);
    write_bytes(config, text, (size_t)size);
    cr_assert_eq(train(&err, NULL, NULL, NULL, NULL), 0, "%s", err);
    cr_expect_not_null(strstr(err, "memory in MiB: parameters "), "%s", err);
    cr_expect_not_null(strstr(err, "of this machine hold batches of about "), "%s", err);
    free(err);
    (void)snprintf(whole, sizeof whole, "%s/whole", folder);
    cr_assert_eq(rename(output, whole), 0);
    cr_assert_eq(train(&err, "-o", "trainer.recompute=true", NULL, NULL), 0, "%s", err);
    free(err);
    (void)snprintf(first, sizeof first, "%s/checkpoints/last.safetensors", whole);
    cr_expect(same_bytes(first, inside("checkpoints/last.safetensors")), "checkpoints differ");
}
Test(runs, recompute_needs_blocks) {
    expect_refusal("trainer.recompute: model \"mlp\" has no blocks that could be run again", "-o",
                   "trainer.recompute=true", NULL, NULL);
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
    char *err = NULL, kept[700], text[1200];
    int size = snprintf(text, sizeof text,
                        "seed: 7\n"
                        "data: { name: idx, args: { root: %s, batch_size: 32 } }\n"
                        "model: { name: mlp, args: { hidden: 32 } }\n"
                        "optimizer: { name: AdamW, args: { lr: 1e-3 } }\n"
                        "output: %s\n",
                        folder, output);
    write_bytes(config, text, (size_t)size);
    cr_assert_eq(train(&err, "-o", "trainer.max_epochs=1", NULL, NULL), 0, "%s", err);
    free(err);
    (void)snprintf(kept, sizeof kept, "%s", inside("checkpoints/last.safetensors"));
    size_t bytes, wanted_bytes, found_bytes;
    char *then = read_bytes(kept, &bytes);
    cr_assert_eq(train(&err, "--resume", "-o", "trainer.max_epochs=2", NULL), 0, "%s", err);
    free(err);
    char *wanted = read_bytes(kept, &wanted_bytes);
    write_bytes(kept, then, bytes);
    make_older(kept);
    cr_assert_eq(train(&err, "--resume", "-o", "trainer.max_epochs=2", NULL), 0, "%s", err);
    cr_expect_not_null(strstr(err, "resumed after step 20"), "%s", err);
    free(err);
    char *found = read_bytes(kept, &found_bytes);
    cr_expect(wanted_bytes == found_bytes && memcmp(wanted, found, found_bytes) == 0, "checkpoints differ");
    free(then);
    free(wanted);
    free(found);
}

/* ---- what is refused ---- */

static char *text_of(const char *name) {
    char *text = read_bytes(inside(name), NULL);
    cr_assert_not_null(text, "%s is missing", name);
    return text;
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

static void set_aside(const char *name) {
    char kept[600];
    (void)snprintf(kept, sizeof kept, "%s/%s", folder, name);
    cr_assert_eq(rename(output, kept), 0);
}

static void expect_same_checkpoint(const char *name) {
    char kept[700];
    (void)snprintf(kept, sizeof kept, "%s/%s/checkpoints/last.safetensors", folder, name);
    cr_expect(same_bytes(kept, inside("checkpoints/last.safetensors")), "the checkpoint differs from that of %s", name);
}

static void succeed(const char *a, const char *b, const char *c, const char *d) {
    char *err = NULL;
    cr_assert_eq(train(&err, a, b, c, d), 0, "%s", err);
    free(err);
}

/* Without a schedule ten steps and then twenty are thirty, in the middle of an epoch too; so are one epoch and then
 * two. */
Test(runs, longer_by_steps_or_epochs) {
    succeed("-o", "schedule=null", "-o", "trainer.max_steps=30");
    set_aside("whole");
    succeed("-o", "schedule=null", "-o", "trainer.max_steps=10");
    char *argv[] = { WICK_PROGRAM,           "train",    "-c", config, "-o", "schedule=null", "-o",
                     "trainer.max_steps=30", "--resume", NULL };
    cr_assert_eq(run_program(folder, argv, NULL, 200, NULL), 0);
    expect_same_checkpoint("whole");
    remove_folder(output);
    succeed("-o", "schedule=null", "-o", "trainer.max_epochs=3");
    set_aside("three");
    succeed("-o", "schedule=null", "-o", "trainer.max_epochs=1");
    argv[7] = "trainer.max_epochs=3";
    cr_assert_eq(run_program(folder, argv, NULL, 200, NULL), 0);
    expect_same_checkpoint("three");
    argv[7] = "trainer.max_epochs=2";
    char *err = NULL;
    cr_assert_eq(run_program(folder, argv, NULL, 200, &err), 0);
    cr_expect_not_null(strstr(err, "nothing is left to do"), "%s", err);
    cr_expect_null(strstr(err, "epoch 4/"), "%s", err);
    free(err);
    expect_same_checkpoint("three");
}

/* SIGTERM lets it save and end; what follows is the run that was never stopped, its metrics included. */
Test(runs, terminated_run_saves_and_goes_on) {
    succeed(NULL, NULL, NULL, NULL);
    set_aside("whole");
    char *argv[] = { WICK_PROGRAM, "train", "-c", config, NULL };
    program p = start(folder, argv, NULL);
    bool reached = wait_for_text(inside("metrics.csv"), "\n5,1,", 30);
    (void)kill(p.pid, SIGTERM);
    int code = finish(&p, 20);
    cr_assert(reached);
    char *err = read_bytes(p.err, NULL), *log = text_of("log.txt");
    cr_expect_eq(code, 128 + SIGTERM, "exit code %d", code);
    cr_expect_not_null(strstr(err, "wick: Terminated after step "), "%s", err);
    cr_expect_not_null(strstr(log, "Terminated after step "), "%s", log);
    free(err);
    free(log);
    succeed("--resume", NULL, NULL, NULL);
    expect_same_checkpoint("whole");
    char kept[700];
    (void)snprintf(kept, sizeof kept, "%s/whole/metrics.csv", folder);
    char *whole = rates_removed(read_bytes(kept, NULL)), *resumed = rates_removed(text_of("metrics.csv"));
    cr_expect_str_eq(resumed, whole);
    free(whole);
    free(resumed);
}

/* What an earlier run has left must not be gone on from. */
Test(runs, overwritten_run_has_no_old_checkpoints) {
    succeed("-o", "trainer.max_epochs=1", NULL, NULL);
    char *argv[] = { WICK_PROGRAM, "train", "-c", config, "--overwrite", "-o", "trainer.max_epochs=100000", NULL };
    char leftover[700];
    (void)snprintf(leftover, sizeof leftover, "%s.tmp.77", inside("checkpoints/last.safetensors"));
    write_bytes(leftover, "torn", 4);
    program p = start(folder, argv, NULL);
    bool reached = wait_for_text(p.err, "model mlp", 30);
    expect_refusal("another process is training in this directory", "--resume", NULL, NULL, NULL);
    (void)kill(p.pid, SIGKILL);
    (void)finish(&p, 10);
    cr_assert(reached);
    cr_expect_neq(access(leftover, F_OK), 0, "a temporary file is left");
    (void)unlink(inside("checkpoints/last.safetensors"));
    write_bytes(inside("checkpoints/best.safetensors"), "", 0);
    expect_refusal("holds a run already", NULL, NULL, NULL, NULL);
}

Test(runs, resume_without_a_checkpoint_says_so) {
    char *err = NULL;
    cr_assert_eq(train(&err, "--resume", "-o", "trainer.max_epochs=1", NULL), 0, "%s", err);
    cr_expect_not_null(strstr(err, "holds no checkpoint to resume from: starting anew"), "%s", err);
    free(err);
}

Test(runs, metrics_that_somebody_deleted) {
    succeed("-o", "trainer.max_epochs=1", NULL, NULL);
    cr_assert_eq(unlink(inside("metrics.csv")), 0);
    succeed("--resume", NULL, NULL, NULL);
    char *csv = text_of("metrics.csv");
    cr_expect_eq(strncmp(csv, "step,epoch,lr,train_loss", 24), 0);
    cr_expect_not_null(strstr(csv, "\n80,4,"), "%s", csv);
    free(csv);
}

/* Files that are opened without standard streams must not become them. */
Test(runs, closed_streams) {
    char script[1400];
    (void)snprintf(script, sizeof script, "exec %s train -c %s <&- >&- 2>&-", WICK_PROGRAM, config);
    char *argv[] = { "bash", "-c", script, NULL };
    cr_assert_eq(run_program(folder, argv, NULL, 200, NULL), 0);
    set_aside("closed");
    succeed(NULL, NULL, NULL, NULL);
    expect_same_checkpoint("closed");
    char *log = text_of("log.txt"), path[700];
    (void)snprintf(path, sizeof path, "%s/closed/log.txt", folder);
    char *closed = read_bytes(path, NULL);
    cr_expect_eq(strncmp(log, closed, 20), 0);
    free(log);
    free(closed);
}

/* Weights that have run away are not worth a checkpoint. */
Test(runs, loss_that_is_no_number_keeps_the_checkpoint) {
    succeed("-o", "trainer.max_epochs=1", NULL, NULL);
    char before[700];
    (void)snprintf(before, sizeof before, "%s/before.safetensors", folder);
    size_t size;
    char *bytes = read_bytes(inside("checkpoints/last.safetensors"), &size);
    write_bytes(before, bytes, size);
    free(bytes);
    char *argv[] = { WICK_PROGRAM,
                     "train",
                     "-c",
                     config,
                     "--resume",
                     "-o",
                     "optimizer.args.lr=1e38",
                     "-o",
                     "checkpoint.every_n_train_steps=1",
                     NULL };
    char *err = NULL;
    cr_expect_eq(run_program(folder, argv, NULL, 200, &err), 1);
    cr_expect(strstr(err, "is not finite after step") || strstr(err, "the loss is "), "%s", err);
    free(err);
    wk_safetensors *file = wk_safetensors_open(inside("checkpoints/last.safetensors"));
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

/* ---- ranks ---- */

static char *threads_of_ranks = (char *)"OMP_NUM_THREADS=1";

/* mpirun over `ranks` ranks of `wick train -c CONFIG` and some more words. */
static program start_ranks(const char *ranks, char *const words[]) {
    static char *const start_with[] = { "mpirun", "--oversubscribe", "--bind-to", "none",       "--mca", "pml",
                                        "ob1",    "--mca",           "btl",       "self,vader", "-n" };
    enum { FIXED = sizeof start_with / sizeof start_with[0] };
    char *argv[40] = { NULL };
    memcpy(argv, start_with, sizeof start_with);
    char *const then[] = { (char *)(uintptr_t)ranks, WICK_PROGRAM, "train", "-c", config };
    memcpy(argv + FIXED, then, sizeof then);
    for (int i = 0; words[i]; i++) argv[FIXED + 5 + i] = words[i];
    char *environment[] = { "ASAN_OPTIONS=detect_leaks=0",
                            "OMPI_ALLOW_RUN_AS_ROOT=1",
                            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                            threads_of_ranks,
                            "WICK_DIST_TIMEOUT=20",
                            NULL };
    return start(folder, argv, environment);
}

static int train_ranks(const char *ranks, char **err, char *const words[]) {
    program p = start_ranks(ranks, words);
    int code = finish(&p, 60);
    *err = read_bytes(p.err, NULL);
    return code;
}

static void expect_once(const char *text, const char *part) {
    const char *found = strstr(text, part);
    cr_expect_not_null(found, "expected \"%s\" in:\n%s", part, text);
    if (found) cr_expect_null(strstr(found + 1, part), "more than once:\n%s", text);
}

/* Nobody says how many threads: all ranks together have no more than there are processors, and at least one each. */
Test(runs, ranks_share_the_processors) {
    static const char *const ranks[] = { "2", "3" };
    threads_of_ranks = (char *)"OMP_NUM_THREADS=";
    for (int i = 0; i < 2; i++) {
        char *err = NULL;
        cr_assert_eq(train_ranks(ranks[i], &err, (char *[]){ "--overwrite", "-o", "trainer.max_steps=2", NULL }), 0,
                     "%s", err);
        int count = 0, threads = 0, mine = 0, all = 0;
        const char *said = strstr(err, "evaluation items; "), *machine = strstr(err, "each rank may use ");
        cr_assert(said && machine, "%s", err);
        cr_assert_eq(sscanf(said, "evaluation items; %d ranks × %d thread", &count, &threads), 2, "%s", said);
        cr_assert_eq(sscanf(machine, "each rank may use %d of %d processors", &mine, &all), 2, "%s", machine);
        cr_expect_eq(threads, mine / count > 0 ? mine / count : 1, "%d ranks of %d threads on %d processors", count,
                     threads, mine);
        free(err);
    }
}

/* Three epochs on one rank, or two of them on one and the last on two: the same number of epochs. */
Test(runs, other_number_of_ranks_after_resume) {
    char *err = NULL;
    succeed("-o", "trainer.max_epochs=2", "-o", "checkpoint.every_n_train_steps=7");
    cr_assert_eq(train_ranks("2", &err, (char *[]){ "--resume", "-o", "trainer.max_epochs=3", NULL }), 0, "%s", err);
    cr_expect_not_null(strstr(err, "epoch 3/3"), "%s", err);
    cr_expect_null(strstr(err, "epoch 4/"), "%s", err);
    cr_expect_not_null(strstr(err, "resumed after step 40, in epoch 3"), "%s", err);
    free(err);
    char *csv = text_of("metrics.csv");
    cr_expect_not_null(strstr(csv, "\n50,3,"), "%s", csv);
    free(csv);
}

/* Stopped after 14 of 20 batches of one rank: 7 of 10 for two. */
Test(runs, other_number_of_ranks_in_the_middle_of_an_epoch) {
    char *err = NULL;
    succeed("-o", "trainer.max_steps=14", NULL, NULL);
    cr_assert_eq(train_ranks("2", &err, (char *[]){ "--resume", "-o", "trainer.max_epochs=1", NULL }), 0, "%s", err);
    cr_expect_not_null(strstr(err, "epoch 1/1  train loss"), "%s", err);
    free(err);
    char *csv = text_of("metrics.csv");
    cr_expect_not_null(strstr(csv, "\n17,1,"), "%s", csv);
    free(csv);
}

/* Batch normalisation: what the ranks evaluate together is what the checkpoint holds. */
Test(runs, ranks_evaluate_what_is_saved) {
    char *err = NULL,
         *words[] = { "-o", "model={name: cnn_bn}", "-o", "trainer.max_epochs=1", "-o", "data.args.limit=128", NULL };
    cr_assert_eq(train_ranks("2", &err, words), 0, "%s", err);
    free(err);
    char *argv[] = { WICK_PROGRAM, "eval", output, "--checkpoint", "last", NULL };
    program p = start(folder, argv, NULL);
    cr_expect_eq(finish(&p, 30), 0);
    char *out = read_bytes(p.out, NULL), *csv = text_of("metrics.csv"), *row = strstr(csv, "\n2,1,");
    cr_assert(row && strncmp(out, "loss ", 5) == 0, "%s%s", csv, out);
    for (int commas = 0; commas < 5; row++) commas += *row == ',';
    cr_expect_float_eq(strtod(row, NULL), strtod(out + 5, NULL), 1e-5, "%s%s", csv, out);
    free(out);
    free(csv);
}

Test(runs, ranks_that_do_not_agree) {
    char *err = NULL;
    char *words[] = { "-o", "seed=1", ":", "-n", "1", WICK_PROGRAM, "train", "-c", config, "-o", "seed=2", NULL };
    cr_expect_eq(train_ranks("1", &err, words), 1);
    expect_once(err, "wick: the configuration of rank 1 differs from that of rank 0");
    free(err);
    char *missing[] = { "-o", "seed=1", ":", "-n", "1", WICK_PROGRAM, "train", "-c", "/nowhere.yaml", NULL };
    cr_expect_eq(train_ranks("1", &err, missing), 1);
    expect_once(err, "wick: ");
    expect_once(err, "wick: /nowhere.yaml: No such file or directory");
    free(err);
    char *data[] = { "-o", "data.args.root=/nowhere", NULL };
    cr_expect_eq(train_ranks("3", &err, data), 1);
    expect_once(err, "wick: data \"idx\"");
    free(err);
}

/* The other rank is not left to wait for the watchdog. */
Test(runs, rank_0_that_cannot_save_ends_the_job) {
    program p = start_ranks(
        "2", (char *[]){ "-o", "trainer.max_epochs=100000", "-o", "checkpoint.every_n_train_steps=1", NULL });
    bool reached = wait_for_text(inside("metrics.csv"), "\n5,1,", 30);
    set_aside("moved");
    int code = finish(&p, 15);
    char *err = read_bytes(p.err, NULL);
    cr_assert(reached, "%s", err);
    cr_expect_eq(code, 1, "exit code %d", code);
    expect_once(err, "wick: rank 0 of 2 ends the job: ");
    cr_expect_not_null(strstr(err, "last.safetensors"), "%s", err);
    cr_expect_not_null(strstr(err, "No such file or directory"), "%s", err);
    free(err);
}

/* ---- TensorBoard ---- */

/* TensorBoard's own reader, where a Python that has it is known: every row once, in order, over a resume and a new
 * start. */
Test(runs, tensorboard_reads_the_event_files) {
    const char *python = getenv("WICK_TEST_TENSORBOARD_PYTHON");
    if (!python) python = WICK_SOURCE_DIR "/build/peers/bin/python";
    char script[3000];
    (void)snprintf(script, sizeof script, "exec %s -c 'import tensorboard'", python);
    char *probe[] = { "bash", "-c", script, NULL };
    if (run_program(folder, probe, NULL, 200, NULL) != 0) cr_skip("no Python with tensorboard: %s", python);
    succeed("-o", "trainer.max_epochs=1", NULL, NULL);
    pause_seconds(1.1); /* the file's name holds the second */
    succeed("--overwrite", "-o", "trainer.max_steps=22", NULL);
    pause_seconds(1.1);
    char *argv[] = { WICK_PROGRAM, "train", "-c", config, "-o", "trainer.max_epochs=2", NULL };
    cr_assert_eq(truncate(inside("metrics.csv"), 0), 0);
    char *resumed[] = { argv[0], argv[1], argv[2], argv[3], argv[4], argv[5], "--resume", NULL };
    cr_assert_eq(run_program(folder, resumed, NULL, 200, NULL), 0);
    (void)snprintf(script, sizeof script,
                   "exec %s -c '\n"
                   "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
                   "e = EventAccumulator(\"%s\"); e.Reload()\n"
                   "print([x.step for x in e.Scalars(\"train/loss\")], [x.step for x in e.Scalars(\"val/loss\")])'",
                   python, output);
    program p = start(folder, (char *[]){ "bash", "-c", script, NULL }, NULL);
    cr_expect_eq(finish(&p, 60), 0);
    char *out = read_bytes(p.out, NULL);
    cr_expect_str_eq(out, "[5, 10, 15, 20, 25, 30, 35, 40] [20, 22, 40]\n");
    free(out);
}

Test(runs, unknown_names_and_keys) {
    expect_refusal("unknown model \"ccn\"; did you mean \"cnn\"? (known: mlp, cnn, cnn_bn, lenet, "
                   "vgg, resnet, resnet18, mobilenet_v2, convnext, vit, gpt2, char_lstm, bert, pretrained, unet, "
                   "edsr-baseline, liif)",
                   "-o", "model.name=ccn", NULL, NULL);
    expect_refusal("unknown optimizer \"AdamX\"", "-o", "optimizer.name=AdamX", NULL, NULL);
    expect_refusal("unknown data \"idz\"; did you mean \"idx\"?", "-o", "data.name=idz", NULL, NULL);
    expect_refusal("unknown key \"hiden\" in the args of model \"mlp\"; did you mean \"hidden\"?", "-o",
                   "model.args.hiden=3", NULL, NULL);
    expect_refusal("unknown key \"max_epoch\" in trainer; did you mean \"max_epochs\"?", "-o", "trainer.max_epoch=3",
                   NULL, NULL);
}

Test(runs, numbers_that_make_no_sense) {
    expect_refusal("lr is nan, expected a finite number", "-o", "optimizer.args.lr=.nan", NULL, NULL);
    expect_refusal("lr is inf, expected a finite number", "-o", "optimizer.args.lr=.inf", NULL, NULL);
    expect_refusal("lr is 0, expected more than 0", "-o", "optimizer.args.lr=0", NULL, NULL);
    expect_refusal("eps is 0, expected more than 0", "-o", "optimizer.args.eps=0", NULL, NULL);
    expect_refusal("std is 0, expected more than 0", "-o", "data.args.std=0", NULL, NULL);
    expect_refusal("seed must be an integer of at least 0", "-o", "seed=99999999999999999999", NULL, NULL);
    expect_refusal("output is empty, expected a directory", "-o", "output=\"\"", NULL, NULL);
}

Test(runs, output_that_cannot_be) {
    write_bytes(output, "x", 1);
    expect_refusal("run: cannot make the folder: a file is in its place", NULL, NULL, NULL, NULL);
    cr_assert_eq(unlink(output), 0);
    expect_refusal("/proc/run: cannot make the folder", "-o", "output=/proc/run", NULL, NULL);
}

Test(runs, wrong_types_and_sizes) {
    expect_refusal("hidden", "-o", "model.args.hidden=-4", NULL, NULL);
    expect_refusal("batch_size", "-o", "data.args.batch_size=many", NULL, NULL);
    expect_refusal("max_epochs", "-o", "trainer.max_epochs=0", NULL, NULL);
    expect_refusal("lr", "-o", "optimizer.args.lr=fast", NULL, NULL);
    expect_refusal("model \"mlp\" gives 7 scores for an item, the data has 10 classes", "-o", "model.args.classes=7",
                   NULL, NULL);
    expect_refusal("has 784 features, weight (32, 100) f32 takes 100", "-o", "model.args.in_features=100", NULL, NULL);
}

Test(runs, data_that_is_missing_truncated_or_foreign) {
    char path[600], path2[600];
    size_t size;
    expect_refusal("/nowhere/train-images-idx3-ubyte.gz: cannot open", "-o", "data.args.root=/nowhere", NULL, NULL);
    (void)snprintf(path, sizeof path, "%s/train-images-idx3-ubyte", folder);
    char *bytes = read_bytes(path, &size);
    write_bytes(path, bytes, size - 100);
    expect_refusal("the IDX header promises 501760 bytes of data, there are 501660 (truncated)", NULL, NULL, NULL,
                   NULL);
    bytes[2] = 0x0d;
    write_bytes(path, bytes, size);
    expect_refusal("IDX of type 0x0d, only unsigned bytes (0x08) are read", NULL, NULL, NULL, NULL);
    write_bytes(path, "not an IDX file at all", 22);
    expect_refusal("not an IDX file", NULL, NULL, NULL, NULL);
    bytes[2] = 8;
    write_bytes(path, bytes, size);
    free(bytes);
    (void)snprintf(path2, sizeof path2, "%s/train-labels-idx1-ubyte", folder);
    bytes = read_bytes(path2, &size);
    bytes[8 + 5] = 77;
    write_bytes(path2, bytes, size);
    expect_refusal("label 5 is 77, expected 0 to 9", NULL, NULL, NULL, NULL);
    free(bytes);
}

Test(runs, a_second_run_in_the_same_directory_needs_a_word) {
    char *err = NULL;
    cr_assert_eq(train(&err, "-o", "trainer.max_epochs=1", NULL, NULL), 0, "%s", err);
    free(err);
    expect_refusal("holds a run already: pass --resume to go on with it, --overwrite to start anew", NULL, NULL, NULL,
                   NULL);
    cr_assert_eq(train(&err, "--overwrite", "-o", "trainer.max_epochs=1", NULL), 0, "%s", err);
    free(err);
}

Test(runs, checkpoints_that_do_not_fit) {
    char *err = NULL, kept[700];
    size_t size;
    cr_assert_eq(train(&err, "-o", "trainer.max_epochs=1", NULL, NULL), 0, "%s", err);
    free(err);
    (void)snprintf(kept, sizeof kept, "%s", inside("checkpoints/last.safetensors"));
    char *bytes = read_bytes(kept, &size);
    expect_refusal("expects (16, 784) f32: it belongs to another model", "--resume", "-o", "model.args.hidden=16",
                   NULL);
    write_bytes(kept, bytes, size / 2);
    expect_refusal("the data is cut short", "--resume", NULL, NULL, NULL);
    write_bytes(kept, bytes, 60);
    expect_refusal("the header is cut short", "--resume", NULL, NULL, NULL);
    char *at = memmem(bytes, size, "\"F32\"", 5);
    cr_assert_not_null(at);
    for (char *each = bytes; (each = memmem(each, size - (size_t)(each - bytes), "\"F32\"", 5)); each++)
        memcpy(each, "\"I32\"", 5);
    write_bytes(kept, bytes, size);
    expect_refusal("it belongs to another model", "--resume", NULL, NULL, NULL);
    free(bytes);
}

/* A file-size limit stands for a full disk: writing the checkpoint fails the same way, in the middle. */
Test(runs, disk_full_keeps_the_last_good_checkpoint) {
    char *err = NULL, before[700];
    cr_assert_eq(train(&err, "-o", "trainer.max_epochs=1", NULL, NULL), 0, "%s", err);
    free(err);
    (void)snprintf(before, sizeof before, "%s/before.safetensors", folder);
    size_t size;
    char *bytes = read_bytes(inside("checkpoints/last.safetensors"), &size);
    write_bytes(before, bytes, size);
    free(bytes);
    char script[1400];
    (void)snprintf(script, sizeof script, "trap '' XFSZ; ulimit -f 40; exec %s train -c %s --resume", WICK_PROGRAM,
                   config);
    char *argv[] = { "bash", "-c", script, NULL };
    int code = run_program(folder, argv, NULL, 200, &err);
    cr_expect_eq(code, 1, "exit code %d:\n%s", code, err);
    cr_expect_not_null(strstr(err, "checkpoints/"), "%s", err);
    cr_expect_not_null(strstr(err, "cannot write"), "%s", err);
    free(err);
    cr_expect(same_bytes(before, inside("checkpoints/last.safetensors")), "the good checkpoint was damaged");
    char *argv_ls[] = { "bash", "-c", script, NULL };
    (void)snprintf(script, sizeof script, "ls %s | grep -c tmp", inside("checkpoints"));
    program p = start(folder, argv_ls, NULL);
    cr_expect_eq(finish(&p, 10), 1, "a temporary file is left");
}

Test(runs, more_ranks_than_data) {
    char *err = NULL;
    int code = train_ranks("3", &err, (char *[]){ "-o", "data.args.limit=2", NULL });
    cr_expect_eq(code, 1, "exit code %d", code);
    expect_once(err, "3 ranks but only 2 items");
    free(err);
}

Test(runs, usage) {
    char *argv[] = { WICK_PROGRAM, "train", "--frobnicate", NULL }, *err = NULL;
    cr_expect_eq(run_program(folder, argv, NULL, 10, &err), 2);
    cr_expect_not_null(strstr(err, "cannot make sense of --frobnicate"), "%s", err);
    cr_expect_not_null(strstr(err, "example: wick train"), "%s", err);
    free(err);
    char *lacking[] = { WICK_PROGRAM, "train", "-c", NULL };
    cr_expect_eq(run_program(folder, lacking, NULL, 10, &err), 2);
    cr_expect_not_null(strstr(err, "wick: train: -c needs a FILE after it"), "%s", err);
    free(err);
    char *eval[] = { WICK_PROGRAM, "eval", "/nowhere", NULL };
    cr_expect_eq(run_program(folder, eval, NULL, 10, &err), 1);
    cr_expect_not_null(strstr(err, "wick: /nowhere/config.yaml: No such file or directory"), "%s", err);
    free(err);
}

/* ---- another device ---- */

/* Training losses of the five steps in metrics.csv. */
static int read_losses(const char *path, double losses[5]) {
    FILE *file = fopen(path, "r");
    char line[300];
    int count = 0;
    cr_assert_not_null(file, "%s", path);
    while (fgets(line, sizeof line, file))
        if (count < 5 && sscanf(line, "%*[^,],%*[^,],%*[^,],%lf", &losses[count]) == 1) count++;
    (void)fclose(file);
    return count;
}

static void run_five_steps(const char *device, double losses[5]) {
    char *err = NULL, named[64];
    (void)snprintf(named, sizeof named, "device=%s", device);
    char *argv[] = { WICK_PROGRAM,  "train",
                     "-c",          config,
                     "-o",          named,
                     "-o",          "trainer.max_steps=5",
                     "-o",          "trainer.log_every_n_steps=1",
                     "--overwrite", NULL };
    cr_assert_eq(run_program(folder, argv, NULL, 200, &err), 0, "%s", err);
    cr_expect((strstr(err, "training on cudaemu:0: ") != NULL) == (strcmp(device, "cpu") != 0), "%s", err);
    free(err);
    cr_assert_eq(read_losses(inside("metrics.csv"), losses), 5);
}

Test(runs, the_emulated_device_gives_the_losses_of_the_cpu) {
    double here[5], there[5];
    run_five_steps("cpu", here);
    run_five_steps("cudaemu", there);
    for (int i = 0; i < 5; i++) cr_expect_float_eq(there[i], here[i], 1e-4, "step %d: %g, %g", i, there[i], here[i]);
    char *err = NULL; /* what a device has saved goes on anywhere */
    cr_assert_eq(train(&err, "--resume", "-o", "trainer.max_steps=8", NULL), 0, "%s", err);
    cr_expect_not_null(strstr(err, "resumed after step 5"), "%s", err);
    free(err);
}

/* NCCL between two ranks with a device each, which the emulator carries through shared memory. */
Test(runs, ranks_on_devices_of_their_own_give_the_losses_of_the_cpu) {
    double here[5], there[5];
    for (int emulated = 0; emulated < 2; emulated++) {
        char *err = NULL;
        (void)setenv("WICK_CUDAEMU_DEVICES", "2", 1);
        char *words[] = { "-o",          emulated ? "device=cudaemu" : "device=cpu",
                          "-o",          "trainer.max_steps=5",
                          "-o",          "trainer.log_every_n_steps=1",
                          "--overwrite", NULL };
        cr_assert_eq(train_ranks("2", &err, words), 0, "%s", err);
        if (emulated) cr_expect_not_null(strstr(err, "training on cudaemu:0: "), "%s", err);
        free(err);
        cr_assert_eq(read_losses(inside("metrics.csv"), emulated ? there : here), 5);
    }
    for (int i = 0; i < 5; i++) cr_expect_float_eq(there[i], here[i], 1e-4, "step %d: %g, %g", i, there[i], here[i]);
}

Test(runs, a_device_that_is_not_there) {
    expect_refusal("device: there is no device \"gpu\"; expected cpu, cuda, cuda:N, cudaemu or cudaemu:N", "-o",
                   "device=gpu", NULL, NULL);
    expect_refusal("device: there is no device \"cudaemu:5\": cudaemu has 1 device, numbered from 0", "-o",
                   "device=cudaemu:5", NULL, NULL);
}
