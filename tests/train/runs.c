/* Runs as a person starts them: the program, its directory, what it says when something is wrong. */
#include "support/program.h"
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
    return run_program(folder, argv, NULL, 60, err);
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
    cr_expect_not_null(strstr(err, "resumed at epoch"), "the run had ended before it was killed:\n%s", err);
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

/* ---- what is refused ---- */

Test(runs, unknown_names_and_keys) {
    expect_refusal("unknown model \"ccn\"; did you mean \"cnn\"? (known: mlp, cnn, cnn_bn)", "-o", "model.name=ccn",
                   NULL, NULL);
    expect_refusal("unknown optimizer \"AdamX\"", "-o", "optimizer.name=AdamX", NULL, NULL);
    expect_refusal("unknown data \"idz\"; did you mean \"idx\"?", "-o", "data.name=idz", NULL, NULL);
    expect_refusal("unknown key \"hiden\" in the args of model \"mlp\"; did you mean \"hidden\"?", "-o",
                   "model.args.hiden=3", NULL, NULL);
    expect_refusal("unknown key \"max_epoch\" in trainer; did you mean \"max_epochs\"?", "-o", "trainer.max_epoch=3",
                   NULL, NULL);
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
    int code = run_program(folder, argv, NULL, 60, &err);
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
    char *argv[] = { "mpirun", "--oversubscribe",   "--bind-to", "none", "--mca",      "pml",   "ob1", "--mca",
                     "btl",    "self,vader",        "-n",        "3",    WICK_PROGRAM, "train", "-c",  config,
                     "-o",     "data.args.limit=2", NULL };
    char *environment[] = { "ASAN_OPTIONS=detect_leaks=0", "OMPI_ALLOW_RUN_AS_ROOT=1",
                            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "OMP_NUM_THREADS=1", NULL };
    char *err = NULL;
    int code = run_program(folder, argv, environment, 60, &err);
    cr_expect_eq(code, 1, "exit code %d", code);
    cr_expect_not_null(strstr(err, "3 ranks but only 2 items"), "%s", err);
    free(err);
}

Test(runs, usage) {
    char *argv[] = { WICK_PROGRAM, "train", "--frobnicate", NULL }, *err = NULL;
    cr_expect_eq(run_program(folder, argv, NULL, 10, &err), 2);
    cr_expect_not_null(strstr(err, "cannot make sense of --frobnicate"), "%s", err);
    cr_expect_not_null(strstr(err, "example: wick train"), "%s", err);
    free(err);
}
