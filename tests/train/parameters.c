/* parameters.c: the section trainer: what each key does to a run. */
#include "train/support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USUAL                                                                                                         \
    "seed: 7\nmodel: { name: mlp, args: { hidden: 16 } }\noptimizer: { name: SGD, args: { lr: 0.05, momentum: 0.9 } " \
    "}\n"

static void set_up(void) {
    run_set_up("train_parameters", 160); /* ten batches of 16; 40 items to validate */
    run_write(USUAL);
}
TestSuite(parameters, .init = set_up, .fini = run_tear_down);

/* How many rows of metrics.csv begin so that column `column` (from 0) is not empty. */
static int filled(int column) {
    char *csv = run_text("metrics.csv"), *save = NULL;
    int count = 0;
    (void)strtok_r(csv, "\n", &save);
    for (char *line; (line = strtok_r(NULL, "\n", &save));) {
        for (int i = 0; i < column && line; i++) line = strchr(line, ',') ? strchr(line, ',') + 1 : NULL;
        count += line && *line && *line != ',';
    }
    free(csv);
    return count;
}
enum { TRAIN_LOSS = 3, VAL_LOSS = 5 };

static void expect_log(const char *part) {
    char *log = run_text("log.txt");
    cr_expect_not_null(strstr(log, part), "expected \"%s\" in:\n%s", part, log);
    free(log);
}

Test(parameters, limits_of_batches) {
    free(run_succeeds(WORDS("-o", "trainer.limit_train_batches=3", "-o", "trainer.max_epochs=2", "-o",
                            "trainer.log_every_n_steps=1")));
    cr_expect_eq(filled(TRAIN_LOSS), 6);
    expect_log("step 6/6");
    free(run_succeeds(
        WORDS("--overwrite", "-o", "trainer.limit_train_batches=0.5", "-o", "trainer.log_every_n_steps=1")));
    cr_expect_eq(filled(TRAIN_LOSS), 5);
    free(run_succeeds(WORDS("--overwrite", "-o", "trainer.limit_val_batches=0")));
    cr_expect_eq(filled(VAL_LOSS), 0);
    run_refused("limit_train_batches is 1.5, expected 0 to 1",
                WORDS("--overwrite", "-o", "trainer.limit_train_batches=1.5"));
}

Test(parameters, when_to_validate) {
    free(run_succeeds(WORDS("-o", "trainer.val_check_interval=0.3", "-o", "trainer.max_epochs=2")));
    cr_expect_eq(filled(VAL_LOSS), 6, "batches 3, 6 and 9 of each epoch");
    free(run_succeeds(WORDS("--overwrite", "-o", "trainer.val_check_interval=5")));
    cr_expect_eq(filled(VAL_LOSS), 2);
    free(run_succeeds(WORDS("--overwrite", "-o", "trainer.check_val_every_n_epoch=2", "-o", "trainer.max_epochs=5")));
    cr_expect_eq(filled(VAL_LOSS), 2);
    run_refused("trainer.val_check_interval is 11 batches, an epoch has 10",
                WORDS("--overwrite", "-o", "trainer.val_check_interval=11"));
}

static double column_of_last_row(int column) {
    char *csv = run_text("metrics.csv"), *at = csv + strlen(csv) - 1;
    while (at > csv && at[-1] != '\n') at--;
    for (int i = 0; i < column; i++) at = strchr(at, ',') + 1;
    double value = strtod(at, NULL);
    free(csv);
    return value;
}

/* Two batches of 8, accumulated, are one of 16: the same losses to rounding; fewer optimizer steps. */
Test(parameters, accumulated_batches_are_a_larger_one) {
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=2")));
    double whole = column_of_last_row(VAL_LOSS);
    run_set_aside("whole");
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=2", "-o", "data.args.batch_size=8", "-o",
                            "trainer.accumulate_grad_batches=2")));
    cr_expect_float_eq(column_of_last_row(VAL_LOSS), whole, 1e-4);
    cr_expect_eq((int)column_of_last_row(0), 20, "optimizer steps");
    run_set_aside("two");
    /* 20 batches in windows of three: six and a shorter one. */
    free(run_succeeds(WORDS("-o", "data.args.batch_size=8", "-o", "trainer.accumulate_grad_batches=3")));
    cr_expect_eq((int)column_of_last_row(0), 7, "optimizer steps");
}

Test(parameters, accumulation_resumes_with_the_same_bytes) {
    char *const words[] = {
        "-o", "trainer.accumulate_grad_batches=3", "-o", "trainer.max_steps=6", "-o", "model={name: cnn}", NULL
    };
    char *const first[] = {
        "-o", "trainer.accumulate_grad_batches=3", "-o", "trainer.max_steps=2", "-o", "model={name: cnn}", NULL
    };
    char *const second[] = {
        "--resume",          "-o", "trainer.accumulate_grad_batches=3", "-o", "trainer.max_steps=6", "-o",
        "model={name: cnn}", NULL
    };
    free(run_succeeds(words));
    run_set_aside("whole");
    free(run_succeeds(first));
    free(run_succeeds(second));
    run_same_checkpoint("whole", "checkpoints/last.safetensors");
}

Test(parameters, clipping_by_norm_and_by_value) {
    free(run_succeeds(WORDS("-o", "trainer.gradient_clip_val=1e-9")));
    double start = column_of_last_row(VAL_LOSS);
    free(run_succeeds(
        WORDS("--overwrite", "-o", "trainer.gradient_clip_val=1e-9", "-o", "trainer.gradient_clip_algorithm=value")));
    cr_expect_float_eq(column_of_last_row(VAL_LOSS), start, 1e-3, "neither moves the weights");
    free(run_succeeds(WORDS("--overwrite")));
    cr_expect_lt(column_of_last_row(VAL_LOSS), start - 0.02);
    run_refused("gradient_clip_algorithm is \"both\", expected one of: norm, value",
                WORDS("--overwrite", "-o", "trainer.gradient_clip_algorithm=both"));
}

Test(parameters, mixed_precision_trains_and_resumes) {
    static char *const kinds[] = { "trainer.precision=bf16-mixed", "trainer.precision=16-mixed" };
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=3")));
    double full = column_of_last_row(VAL_LOSS);
    run_set_aside("full");
    for (int i = 0; i < 2; i++) {
        free(run_succeeds(WORDS("-o", kinds[i], "-o", "trainer.max_epochs=3")));
        double mixed = column_of_last_row(VAL_LOSS);
        cr_expect(mixed != full, "%s changes nothing", kinds[i]);
        cr_expect_float_eq(mixed, full, 0.05, "%s", kinds[i]);
        run_set_aside(i ? "f16" : "bf16");
        free(run_succeeds(WORDS("-o", kinds[i], "-o", "trainer.max_epochs=2")));
        free(run_succeeds(WORDS("--resume", "-o", kinds[i], "-o", "trainer.max_epochs=3")));
        run_same_checkpoint(i ? "f16" : "bf16", "checkpoints/last.safetensors");
        run_set_aside(i ? "f16_resumed" : "bf16_resumed");
    }
}

Test(parameters, overfit_and_fast_dev_run) {
    free(run_succeeds(WORDS("-o", "trainer.overfit_batches=1", "-o", "trainer.max_epochs=60")));
    cr_expect_lt(column_of_last_row(VAL_LOSS), 0.05, "one batch is learned by heart, and validated");
    run_set_aside("overfit");
    char *err = run_succeeds(WORDS("-o", "trainer.fast_dev_run=true", "-o", "trainer.max_epochs=60"));
    cr_expect_not_null(strstr(err, "fast_dev_run: a few batches, and nothing is saved"), "%s", err);
    cr_expect_not_null(strstr(err, "epoch 1/1"), "%s", err);
    free(err);
    cr_expect_neq(access(run_path("checkpoints/last.safetensors"), F_OK), 0);
}

Test(parameters, max_time_stops) {
    char *err = run_succeeds(WORDS("-o", "trainer.max_time=00:00:00:01"));
    cr_expect_not_null(strstr(err, ": its time of 1 s is over"), "%s", err);
    free(err);
    run_refused("max_time is \"soon\", expected DD:HH:MM:SS", WORDS("--overwrite", "-o", "trainer.max_time=soon"));
}

/* Weights that explode: the layer is named; or the batch is left out. */
Test(parameters, a_loss_that_is_no_number) {
    char *err = NULL;
    cr_expect_eq(run_train(&err, WORDS("-o", "optimizer.args.lr=1e30")), 1);
    cr_expect(
        strstr(err, "the loss is ")
            && (strstr(err, "the first layer whose result is not finite is \"fc") || strstr(err, "is not finite")),
        "%s", err);
    free(err);
    err = run_succeeds(WORDS("--overwrite", "-o", "optimizer.args.lr=1e30", "-o", "trainer.nan=skip", "-o",
                             "trainer.max_epochs=1", "-o", "checkpoint.every_n_epochs=1", "-o",
                             "trainer.limit_train_batches=1"));
    free(err);
    (void)run_train(&err, WORDS("--overwrite", "-o", "optimizer.args.lr=1e30", "-o", "trainer.nan=skip"));
    cr_expect_not_null(strstr(err, " is skipped: the loss is "), "%s", err);
    free(err);
}

/* Weights alone, from a run or a file of weights; what does not fit is told. */
Test(parameters, weights_of_another_run) {
    char from[800], word[900];
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=3")));
    double trained = column_of_last_row(VAL_LOSS);
    run_set_aside("first");
    (void)snprintf(from, sizeof from, "%s/first/checkpoints/last.safetensors", run_folder);
    (void)snprintf(word, sizeof word, "load_path=%s", from);
    free(run_succeeds(WORDS("-o", word, "-o", "optimizer.args.lr=1e-30")));
    cr_expect_float_eq(column_of_last_row(VAL_LOSS), trained, 1e-6);
    run_refused("it belongs to another model", WORDS("--overwrite", "-o", word, "-o", "model.args.hidden=8"));
    (void)snprintf(from, sizeof from, "final_path=%s/final.safetensors", run_folder);
    free(run_succeeds(WORDS("--overwrite", "-o", from)));
    (void)snprintf(word, sizeof word, "load_path=%s/final.safetensors", run_folder);
    free(run_succeeds(WORDS("--overwrite", "-o", word)));
}

static void start_two(char *path) {
    char *argv[] = {
        WICK_PROGRAM, "train", "-c", run_file, "-o", "trainer.devices=2", "-o", "trainer.strategy=dp", NULL
    };
    char *environment[] = { "ASAN_OPTIONS=detect_leaks=0",
                            "OMPI_ALLOW_RUN_AS_ROOT=1",
                            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                            "OMP_NUM_THREADS=1",
                            "WICK_DIST_TIMEOUT=20",
                            path,
                            NULL };
    program p = start(run_folder, argv, environment);
    cr_expect_eq(finish(&p, 60), 0);
    char *err = read_bytes(p.err, NULL);
    cr_expect_not_null(strstr(err, "2 ranks"), "%s", err);
    cr_expect_not_null(strstr(err, "strategy dp: the batch of 16 is split, 8 items a rank"), "%s", err);
    free(err);
}

Test(parameters, ranks_that_the_run_starts_itself) {
    start_two(NULL);
}

/* The agent starts them; they meet over TCP. */
Test(parameters, ranks_that_the_run_starts_without_open_mpi) {
    start_two("PATH=/nowhere");
}

/* The number alone goes to standard output; nothing else remains, and the run that follows is that of a fresh start. */
Test(parameters, the_largest_batch_is_found_and_nothing_remains) {
    free(run_succeeds(NULL));
    run_set_aside("plain");
    long found[3] = { 0 };
    static char *const ways[][5] = { { "--find-batch-size", "power", "--memory", "40" },
                                     { "--find-batch-size", "binsearch", "--memory", "40" },
                                     { "--find-batch-size", "--memory", "4000" } };
    for (int i = 0; i < 3; i++) {
        char *argv[12] = { WICK_PROGRAM, "train", "-c", run_file, "-o", "model={name: cnn}" };
        for (int k = 0; k < 4 && ways[i][k]; k++) argv[6 + k] = ways[i][k];
        program p = start(run_folder, argv, NULL);
        const int code = finish(&p, 100);
        char *out = read_bytes(p.out, NULL), *err = read_bytes(p.err, NULL), *end = NULL;
        cr_assert_eq(code, 0, "%s", err);
        found[i] = strtol(out, &end, 10);
        cr_expect_str_eq(end, "\n", "%s", out);
        cr_expect_not_null(strstr(err, "batch size 2: fits\n"), "%s", err);
        if (i < 2) cr_expect_not_null(strstr(err, "fit, by what the one before it holds\n"), "%s", err);
        free(out);
        free(err);
    }
    cr_expect(found[0] >= 2 && (found[0] & (found[0] - 1)) == 0, "a power of two: %ld", found[0]);
    cr_expect(found[1] >= found[0] && found[1] < 2 * found[0], "%ld, by doubling %ld", found[1], found[0]);
    cr_expect_gt(found[2], found[1], "%ld with more memory", found[2]);
    cr_expect_neq(access(run_output, F_OK), 0, "the search has made the run's directory");
    free(run_succeeds(NULL));
    run_same_checkpoint("plain", "checkpoints/last.safetensors");
    run_refused("not even batches of 2 fit into 1.0 MiB",
                WORDS("--find-batch-size", "--memory", "1", "-o", "model={name: cnn}"));
}

/* A terminal (made by script(1)) gets tqdm's bar; anything else a line an epoch, without a carriage return. */
Test(parameters, a_bar_on_terminals_and_lines_elsewhere) {
    char command[1500], path[700];
    (void)snprintf(path, sizeof path, "%s/typescript", run_folder);
    (void)snprintf(command, sizeof command, "TERM=xterm exec %s train -c %s -o trainer.max_epochs=2", WICK_PROGRAM,
                   run_file);
    char *argv[] = { "script", "-qec", command, path, NULL };
    cr_assert_eq(run_program(run_folder, argv, NULL, 100, NULL), 0);
    char *seen = read_bytes(path, NULL), *bar = strstr(seen, "epoch 2/2: 100%|████████████████| 10/10 [00:0");
    cr_assert_not_null(bar, "%s", seen);
    const size_t size = strcspn(bar, "\r\n");
    cr_expect(memmem(bar, size, "<00:00, ", 8) && memmem(bar, size, "it/s, loss=", 11) && memchr(bar, ']', size),
              "%.*s", (int)size, bar);
    free(seen);
    char *err = run_succeeds(WORDS("--overwrite", "-o", "trainer.max_epochs=2"));
    cr_expect(!strchr(err, '\r') && !strstr(err, "it/s"), "%s", err);
    cr_expect(strstr(err, "epoch 1/2  train loss ") && strstr(err, "epoch 2/2  train loss "), "%s", err);
    free(err);
}

/* What Lightning's files say and what changes nothing here: the same bytes. */
Test(parameters, words_that_change_nothing) {
    free(run_succeeds(WORDS("-o", "trainer.max_steps=12", "-o", "trainer.max_epochs=-1")));
    run_set_aside("plain");
    free(run_succeeds(WORDS("-o", "trainer.max_steps=12", "-o", "trainer.benchmark=false", "-o",
                            "trainer.limit_predict_batches=0.5", "-o", "trainer.num_nodes=1", "-o",
                            "trainer.use_distributed_sampler=false", "-o", "trainer.profiler=null", "-o",
                            "trainer.reload_dataloaders_every_n_epochs=1", "-o", "trainer.detect_anomaly=true")));
    expect_log("the data is built anew: 160 training and 41 evaluation items");
    run_same_checkpoint("plain", "checkpoints/last.safetensors");
    run_refused("trainer.num_nodes is 2, and the 1 rank of this run is on 1 host: start it with mpirun",
                WORDS("--overwrite", "-o", "trainer.num_nodes=2", "-o", "trainer.devices=2"));
}

/* `wick eval`: standard output. */
static char *evaluated(char *setting) {
    char *argv[] = { WICK_PROGRAM, "eval", run_output, "--checkpoint", "last", "-o", setting, NULL };
    program p = start(run_folder, argv, NULL);
    cr_expect_eq(finish(&p, 30), 0, "%s", setting);
    return read_bytes(p.out, NULL);
}

Test(parameters, limits_of_an_evaluation) {
    free(run_succeeds(WORDS("-o", "trainer.limit_val_batches=1")));
    char *whole = evaluated("trainer.limit_test_batches=1.0"), *again = evaluated("trainer.limit_val_batches=1"),
         *part = evaluated("trainer.limit_test_batches=1"), row[100];
    cr_expect_str_eq(whole, again, "validation's limit is its own");
    cr_expect_str_neq(whole, part);
    (void)snprintf(row, sizeof row, "loss %.6f\n", column_of_last_row(VAL_LOSS));
    cr_expect_not_null(strstr(part, row), "%s of training in: %s", row, part);
    free(part);
    free(again);
    free(whole);
}

Test(parameters, nothing_is_saved) {
    free(run_succeeds(WORDS("-o", "trainer.enable_checkpointing=false")));
    cr_expect_eq(filled(VAL_LOSS), 1);
    cr_expect_neq(access(run_path("checkpoints/last.safetensors"), F_OK), 0);
    cr_expect_neq(access(run_path("checkpoints/best.safetensors"), F_OK), 0);
    run_refused("trainer.enable_checkpointing: false saves nothing, and there is a section checkpoint",
                WORDS("-o", "trainer.enable_checkpointing=false", "-o", "checkpoint.every_n_epochs=1"));
    run_refused("trainer.enable_checkpointing: false saves nothing, and there is a ModelCheckpoint",
                WORDS("-o", "trainer.enable_checkpointing=false", "-o", "callbacks={name: ModelCheckpoint}"));
    free(run_succeeds(WORDS("-o", "trainer.barebones=true", "-o", "trainer.max_epochs=2")));
    cr_expect_eq(filled(TRAIN_LOSS), 0, "no rows within epochs");
    cr_expect_eq(filled(VAL_LOSS), 2, "one at the end of each");
    cr_expect_neq(access(run_path("checkpoints/last.safetensors"), F_OK), 0);
    static char *const extras[][2] = { { "trainer.enable_model_summary=true", "leaves enable_model_summary out" },
                                       { "trainer.num_sanity_val_steps=2", "leaves num_sanity_val_steps out" },
                                       { "trainer.profiler=simple", "leaves profiler out" },
                                       { "trainer.fast_dev_run=true", "leaves fast_dev_run out" },
                                       { "logger={name: csv}", "leaves logger out" },
                                       { "checkpoint.every_n_epochs=1", "trainer.barebones saves nothing" } };
    for (size_t i = 0; i < sizeof extras / sizeof extras[0]; i++)
        run_refused(extras[i][1], WORDS("-o", "trainer.barebones=true", "-o", extras[i][0]));
}

/* The table at the end, and files beside it. */
Test(parameters, a_profile_of_the_run) {
    free(run_succeeds(WORDS("-o", "trainer.profiler=simple")));
    expect_log("where the time went:\noperation ");
    char *table = run_text("profile.txt");
    cr_expect(strstr(table, "backward") && strstr(table, "optimizer") && strstr(table, "\n1  "), "%s", table);
    free(table);
    cr_expect_neq(access(run_path("profile.trace.json"), F_OK), 0);
    free(run_succeeds(WORDS("--overwrite", "-o", "trainer.profiler=advanced")));
    char *trace = run_text("profile.trace.json"), *flames = run_text("profile.flames.svg");
    cr_expect(strstr(trace, "\"traceEvents\"") && strstr(flames, "<svg"));
    free(flames);
    free(trace);
    run_refused("profiler is \"pytorch\", expected one of: none, simple, advanced",
                WORDS("--overwrite", "-o", "trainer.profiler=pytorch"));
}

/* Where there are none that is said; a rank for each is started as trainer.devices does. */
Test(parameters, gpus_by_their_numbers) {
    char *err = NULL;
    static char *const ways[][2] = { { "--gpu", "0" },
                                     { "-o", "trainer.accelerator=gpu" },
                                     { "-o", "trainer.devices=[0]" } };
    for (int i = 0; i < 3; i++) {
        const int code = run_train(&err, WORDS("--overwrite", ways[i][0], ways[i][1]));
        cr_expect_not_null(strstr(err, code == 0 ? "training on cuda" : "wick: device: cuda"), "%s", err);
        free(err);
    }
    run_refused("accelerator is gpu, and device is cpu: keep one of them",
                WORDS("--overwrite", "-o", "trainer.accelerator=gpu", "-o", "device=cpu"));
    free(run_succeeds(WORDS("--overwrite", "-o", "trainer.accelerator=cpu", "-o", "trainer.deterministic=warn", "-o",
                            "trainer.devices=[0]")));
    run_refused("devices holds -1, expected numbers of GPUs", WORDS("--overwrite", "-o", "trainer.devices=[-1]"));
    cr_expect_eq(run_train(&err, WORDS("--gpu", "0,,1")), 2);
    cr_expect_not_null(strstr(err, "--gpu takes numbers as 0,1, not 0,,1"), "%s", err);
    free(err);
}

/* Another loss and other data than a run would have. */
static void write_odd(const char *rest) {
    char text[2000];
    (void)snprintf(text, sizeof text,
                   "plugins: [ %s, %s ]\nmodel: { name: rings-net }\noptimizer: { name: SGD, args: { lr: 0.1 } }\n"
                   "output: %s\n%s",
                   WICK_OWN_TRAINER, WICK_SHOWN, run_output, rest);
    run_write_all(text);
}

Test(parameters, a_nan_among_gradients_is_traced) {
    write_odd("data: { name: rings, args: { points: 64, batch_size: 16 } }\nloss: { name: steep }\n"
              "trainer: { max_steps: 1, detect_anomaly: true }\n");
    run_refused("backward of \"linear\" in module \"2\" [", NULL);
    run_refused("has a NaN", NULL);
    char *err = NULL;
    (void)run_train(&err, WORDS("-o", "trainer.detect_anomaly=false"));
    cr_expect_null(strstr(err, "backward of"), "%s", err);
    free(err);
}

Test(parameters, data_is_built_anew) {
    write_odd("data: { name: growing, args: { batch_size: 32 } }\nloss: { name: mse }\n"
              "trainer: { max_epochs: 5, reload_dataloaders_every_n_epochs: 2 }\n");
    free(run_succeeds(NULL));
    expect_log("the data is built anew: 64 training and 0 evaluation items\nepoch 3/5");
    expect_log("the data is built anew: 96 training and 0 evaluation items\nepoch 5/5");
    cr_expect_eq((int)column_of_last_row(0), 1 + 1 + 2 + 2 + 3, "steps");
}

/* Model and data are of the type; the losses are those of f32 but for rounding, and a run goes on with its bytes. */
Test(parameters, true_precision_trains_and_resumes) {
    static char *const kinds[] = { "trainer.precision=64-true", "trainer.precision=bf16-true",
                                   "trainer.precision=16-true" };
    static const char *const names[] = { "64", "bf16", "16", "64_resumed", "bf16_resumed", "16_resumed" };
    static const char *const types[] = { "\"F64\"", "\"BF16\"", "\"F16\"" };
    static const double close[] = { 1e-5, 0.05, 0.05 };
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=3")));
    double full = column_of_last_row(VAL_LOSS);
    run_set_aside("full");
    for (int i = 0; i < 3; i++) {
        free(run_succeeds(WORDS("-o", kinds[i], "-o", "trainer.max_epochs=3")));
        double other = column_of_last_row(VAL_LOSS);
        cr_expect(other != full, "%s changes nothing", kinds[i]);
        cr_expect_float_eq(other, full, close[i], "%s: %g, not %g", kinds[i], other, full);
        size_t size;
        char *bytes = read_bytes(run_path("checkpoints/last.safetensors"), &size);
        const char *weight = memmem(bytes, size, "model.1.weight", 14);
        cr_assert_not_null(weight);
        cr_expect_not_null(memmem(weight, 60, types[i], strlen(types[i])), "%s: %.60s", kinds[i], weight);
        free(bytes);
        run_set_aside(names[i]);
        free(run_succeeds(WORDS("-o", kinds[i], "-o", "trainer.max_epochs=2")));
        free(run_succeeds(WORDS("--resume", "-o", kinds[i], "-o", "trainer.max_epochs=3")));
        run_same_checkpoint(names[i], "checkpoints/last.safetensors");
        run_set_aside(names[3 + i]);
    }
}

/* What evaluates and what goes on with the weights meets that type too. */
Test(parameters, true_precision_elsewhere) {
    char *err = NULL, word[800];
    free(run_succeeds(WORDS("-o", "trainer.precision=64-true", "-o", "callbacks={name: EMA}")));
    free(run_succeeds(WORDS("--overwrite", "-o", "trainer.precision=64-true")));
    char *eval = evaluated("trainer.limit_test_batches=1.0"), row[100];
    (void)snprintf(row, sizeof row, "loss %.6f\n", column_of_last_row(VAL_LOSS));
    cr_expect_not_null(strstr(eval, row), "%s of training in: %s", row, eval);
    free(eval);
    run_set_aside("wide");
    (void)snprintf(word, sizeof word, "load_path=%s/wide/checkpoints/last.safetensors", run_folder);
    free(run_succeeds(WORDS("-o", word)));
    cr_assert_eq(run_ranks(&err, WORDS("--overwrite", "-o", "trainer.precision=64-true")), 0, "%s", err);
    free(err);
    cr_expect_eq(run_ranks(&err, WORDS("--overwrite", "-o", "trainer.precision=bf16-true")), 1);
    cr_expect_not_null(strstr(err, "16-true and bf16-true train on one rank; 2 ranks exchange"), "%s", err);
    free(err);
}

/* Two ranks have five batches each of ten; or all ten, each in an order of its own. */
Test(parameters, ranks_that_each_train_on_all_items) {
    char *err = NULL;
    cr_assert_eq(run_ranks(&err, WORDS("-o", "trainer.use_distributed_sampler=false")), 0, "%s", err);
    free(err);
    cr_expect_eq((int)column_of_last_row(0), 10, "steps");
    double own = column_of_last_row(VAL_LOSS);
    cr_assert_eq(run_ranks(&err, WORDS("--overwrite", "-o", "trainer.num_nodes=1")), 0, "%s", err);
    free(err);
    cr_expect_eq((int)column_of_last_row(0), 5, "steps");
    free(run_succeeds(WORDS("--overwrite")));
    cr_expect_neq(column_of_last_row(VAL_LOSS), own, "the ranks have had the same batches");
}
