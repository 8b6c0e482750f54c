/* callbacks.c: the callbacks that come with Wick, from YAML, alone, resumed and on two ranks. */
#include "support/brief.h"
#include "train/support.h"
#include "wick/io.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USUAL                                                                                                         \
    "seed: 7\nmodel: { name: mlp, args: { hidden: 16 } }\noptimizer: { name: SGD, args: { lr: 0.05, momentum: 0.9 } " \
    "}\n"

static void set_up(void) {
    run_set_up("train_callbacks", 160);
}
TestSuite(callbacks, .init = set_up, .fini = run_tear_down);

static void write_run(const char *callbacks) {
    char text[2000];
    (void)snprintf(text, sizeof text, USUAL "%s", callbacks);
    run_write(text);
}

static void expect_said(char *err, const char *part) {
    cr_expect_not_null(strstr(err, part), "expected \"%s\" in:\n%s", part, err);
    free(err);
}

static bool is_there(const char *name) {
    return access(run_path(name), F_OK) == 0;
}

Test(callbacks, early_stopping_waits_for_its_patience) {
    write_run("trainer: { max_epochs: 30 }\n"
              "callbacks: [ { name: EarlyStopping, args: { monitor: val_loss, min_delta: 100, patience: 2 } } ]\n");
    expect_said(run_succeeds(NULL), "stopped after step 30: val_loss did not get better than ");
    expect_said(run_succeeds(WORDS("--overwrite", "-o", "callbacks.0.args.stopping_threshold=1.9")),
                ", as good as asked for (1.9)");
    expect_said(run_succeeds(WORDS("--overwrite", "-o", "callbacks.0.args.divergence_threshold=0.01")),
                "worse than 0.01");
    expect_said(run_succeeds(WORDS("--overwrite", "-o", "trainer.min_epochs=5")), "stopped after step 50: ");
    run_refused("callback EarlyStopping: there is no metric \"val_lost\" to monitor; strict: false goes on without",
                WORDS("--overwrite", "-o", "callbacks.0.args.monitor=val_lost"));
    run_refused("callback \"EarlyStopping\" needs the arg \"monitor\"",
                WORDS("--overwrite", "-o", "callbacks=[{name: EarlyStopping}]"));
}

/* Two epochs, killed, and two more count as four. */
Test(callbacks, patience_goes_on_after_a_resume) {
    write_run("trainer: { max_epochs: 30 }\n"
              "callbacks: [ { name: EarlyStopping, args: { monitor: val_loss, min_delta: 100, patience: 4 } } ]\n");
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=3")));
    expect_said(run_succeeds(WORDS("--resume")), "stopped after step 50: ");
}

static int count_files(const char *folder, const char *part) {
    DIR *open = opendir(run_path(folder));
    int count = 0;
    for (const struct dirent *e; open && (e = readdir(open));) count += strstr(e->d_name, part) != NULL;
    if (open) (void)closedir(open);
    return count;
}

Test(callbacks, model_checkpoint_keeps_the_best) {
    write_run("trainer: { max_epochs: 5 }\n"
              "checkpoint: { monitor: val_loss, save_top_k: 2, save_last: true, filename: "
              "\"{epoch:02d}-{val_loss:.3f}\" }\n");
    free(run_succeeds(NULL));
    cr_expect_eq(count_files("ckpt", "epoch="), 2);
    cr_expect_eq(count_files("ckpt", "epoch=04-val_loss="), 1, "the loss falls: the last epochs are the best");
    cr_expect_eq(count_files("ckpt", "epoch=03-val_loss="), 1);
    cr_expect(is_there("ckpt/last.ckpt"));
    char *list = run_text("ckpt/best_k_models.yaml");
    cr_expect(strstr(list, "epoch=04-val_loss="), "%s", list);
    free(list);
    wk_safetensors *file = wk_safetensors_open(run_path("ckpt/last.ckpt"));
    cr_assert_not_null(file);
    cr_expect_str_eq(wk_safetensors_metadata(file, "epoch"), "5");
    cr_expect_not_null(wk_safetensors_metadata(file, "callback.ModelCheckpoint.0"));
    wk_safetensors_close(file);
}

Test(callbacks, model_checkpoint_of_the_worst_and_the_newest) {
    write_run("trainer: { max_epochs: 4 }\n"
              "callbacks: [ { name: ModelCheckpoint, args: { monitor: val_loss, mode: max } } ]\n");
    free(run_succeeds(NULL));
    cr_expect(is_there("ckpt/epoch=0-step=10.ckpt"), "the largest loss is the first");
    cr_expect_eq(count_files("ckpt", ".ckpt"), 1);
    run_set_aside("first");
    write_run("trainer: { max_epochs: 3 }\ncallbacks: [ { name: ModelCheckpoint, args: { every_n_train_steps: 4, "
              "save_last: link } } ]\n");
    free(run_succeeds(NULL));
    cr_expect(is_there("ckpt/epoch=2-step=28.ckpt"), "without a metric the newest stays");
    cr_expect_eq(count_files("ckpt", "epoch="), 1);
    char target[100] = "";
    cr_expect_gt(readlink(run_path("ckpt/last.ckpt"), target, sizeof target - 1), 0);
    cr_expect_str_eq(target, "epoch=2-step=28.ckpt");
    free(run_succeeds(WORDS("--overwrite", "-o", "trainer.max_epochs=3")));
    cr_expect(is_there("ckpt/epoch=2-step=28-v1.ckpt"), "what an earlier run has left is not replaced");
    run_set_aside("second");
    free(run_succeeds(WORDS("-o", "callbacks.0.args={save_top_k: -1, auto_insert_metric_name: false, "
                                  "filename: \"{epoch}_{step:05d}\", save_weights_only: true}")));
    cr_expect(is_there("ckpt/0_00010.ckpt") && is_there("ckpt/1_00020.ckpt") && is_there("ckpt/2_00030.ckpt"));
}

Test(callbacks, model_checkpoint_that_makes_no_sense) {
    write_run("");
    run_refused("only one of every_n_epochs, every_n_train_steps and train_time_interval can be set",
                WORDS("-o", "callbacks={name: ModelCheckpoint, args: {every_n_epochs: 1, every_n_train_steps: 2}}"));
    run_refused("save_top_k is 3 and there is no monitor",
                WORDS("-o", "callbacks={name: ModelCheckpoint, args: {save_top_k: 3}}"));
    run_refused("there is no metric \"val_lost\" to monitor",
                WORDS("-o", "callbacks={name: ModelCheckpoint, args: {monitor: val_lost}}"));
    run_refused("expected text with {metric} or {metric:.2f} in it",
                WORDS("-o", "callbacks={name: ModelCheckpoint, args: {filename: \"{epoch:x}\"}}", "--overwrite"));
}

/* A run that was killed leaves the checkpoints that one in a piece leaves: names, states and bytes. */
Test(callbacks, checkpoints_after_a_resume) {
    write_run(
        "trainer: { max_epochs: 4 }\n"
        "callbacks: [ { name: EMA, args: { decay: 0.9 } }, { name: EarlyStopping, args: { monitor: val_loss } } ]\n"
        "checkpoint: { monitor: val_loss, save_top_k: 2, dirpath: here }\n");
    char where[700];
    (void)snprintf(where, sizeof where, "checkpoint.dirpath=%s/kept", run_folder);
    free(run_succeeds(WORDS("-o", where)));
    run_set_aside("whole");
    (void)snprintf(where, sizeof where, "%s/kept", run_folder);
    remove_folder(where);
    (void)snprintf(where, sizeof where, "checkpoint.dirpath=%s/kept", run_folder);
    free(run_succeeds(WORDS("-o", where, "-o", "trainer.max_epochs=2")));
    free(run_succeeds(WORDS("-o", where, "--resume")));
    run_same_checkpoint("whole", "checkpoints/last.safetensors");
    run_same_checkpoint("whole", "checkpoints/ema.safetensors");
}

/* EMA's averages are what is validated: with a decay of 0 they are the weights, with 1 those of the first step. */
Test(callbacks, ema_is_what_is_validated) {
    write_run("trainer: { max_epochs: 3 }\n");
    free(run_succeeds(NULL));
    char *plain = run_text("metrics.csv");
    run_set_aside("plain");
    free(run_succeeds(WORDS("-o", "callbacks={name: EMA, args: {decay: 0}}")));
    char *same = run_text("metrics.csv");
    cr_expect_str_eq(strstr(same, "\n30,"), strstr(plain, "\n30,"));
    cr_expect(is_there("checkpoints/ema.safetensors"));
    run_set_aside("same");
    free(run_succeeds(WORDS("-o", "callbacks={name: EMA, args: {decay: 1}}")));
    char *first = run_text("metrics.csv"), *row = strstr(first, "\n10,1,0.05,,,"),
         *last = strstr(first, "\n30,3,0.05,,,");
    cr_assert(row && last, "%s", first);
    cr_expect_eq(strtod(row + 13, NULL), strtod(last + 13, NULL), "the averages stand still: %s", first);
    free(plain);
    free(same);
    free(first);
}

Test(callbacks, swa_averages_the_last_epochs) {
    write_run("trainer: { max_epochs: 4 }\n"
              "callbacks: [ { name: StochasticWeightAveraging, args: { swa_lrs: 0.01, swa_epoch_start: 3, "
              "annealing_epochs: 1 } } ]\n");
    free(run_succeeds(WORDS("-o", "model={name: cnn_bn}")));
    cr_expect(is_there("checkpoints/swa.safetensors"));
    char *csv = run_text("metrics.csv");
    cr_expect_not_null(strstr(csv, "\n20,2,0.05,"), "%s", csv);
    cr_expect_not_null(strstr(csv, "\n30,3,0.01,"), "%s", csv);
    free(csv);
    run_refused("leave the section schedule out", WORDS("--overwrite", "-o", "schedule={name: StepLR}"));
}

static double sum_of(const char *checkpoint, const char *name) {
    wk_scope scope = wk_scope_begin();
    wk_safetensors *file = wk_safetensors_open(run_path(checkpoint));
    wk_tensor *t = file ? wk_safetensors_get(file, name) : NULL;
    cr_assert_not_null(t, "%s", wk_message());
    double sum = 0;
    for (int64_t i = 0; i < wk_count(t); i++) sum += wk_at(t, i);
    wk_safetensors_close(file);
    wk_scope_end(scope);
    return sum;
}

/* Averages are where the model is, and nearly those of the CPU; what was saved there goes on there with the same bytes.
 */
Test(callbacks, averages_on_another_device) {
    static const char *const lists[] = { "[ { name: EMA, args: { decay: 0.8, use_buffers: true } } ]",
                                         "[ { name: StochasticWeightAveraging, args: { swa_lrs: 0.01, "
                                         "swa_epoch_start: 2, annealing_epochs: 1 } } ]" };
    static const char *const files[] = { "checkpoints/ema.safetensors", "checkpoints/swa.safetensors" };
    for (int i = 0; i < 2; i++) {
        char more[400], aside[3][20];
        double sum[2];
        (void)snprintf(more, sizeof more, "trainer: { max_epochs: 3, limit_train_batches: 4 }\ncallbacks: %s\n",
                       lists[i]);
        write_run(more);
        for (int emulated = 0; emulated < 2; emulated++) {
            free(run_succeeds(WORDS("-o", emulated ? "device=cudaemu" : "device=cpu")));
            sum[emulated] = sum_of(files[i], "1.weight");
            (void)snprintf(aside[emulated], sizeof aside[0], "%d-%d", i, emulated);
            run_set_aside(aside[emulated]);
        }
        cr_expect_float_eq(sum[1], sum[0], 1e-3, "%g there, %g here", sum[1], sum[0]);
        free(run_succeeds(WORDS("-o", "device=cudaemu", "-o", "trainer.max_epochs=2")));
        free(run_succeeds(WORDS("-o", "device=cudaemu", "--resume")));
        run_same_checkpoint(aside[1], files[i]);
        (void)snprintf(aside[2], sizeof aside[2], "%d-resumed", i);
        run_set_aside(aside[2]);
    }
}

Test(callbacks, rates_and_memory_are_logged) {
    write_run(
        "trainer: { log_every_n_steps: 5 }\n"
        "callbacks: [ { name: LearningRateMonitor, args: { log_momentum: true } }, { name: DeviceStatsMonitor } ]\n");
    free(run_succeeds(NULL));
    char *csv = run_text("metrics.csv");
    static const char *const names[] = { ",lr-SGD", ",momentum-SGD", ",cpu_seconds", ",memory_peak_mib" };
    for (int i = 0; i < 4; i++) cr_expect_not_null(strstr(csv, names[i]), "%s in %s", names[i], csv);
    cr_expect_not_null(strstr(csv, ",0.05,0.9,"), "%s", csv);
    free(csv);
}

Test(callbacks, frozen_parts_stand_still_until_they_may_learn) {
    write_run("trainer: { max_epochs: 2 }\n"
              "callbacks: [ { name: FreezeUnfreeze, args: { modules: [ \"0\" ], unfreeze_at_epoch: 1 } },\n"
              "             { name: ModelCheckpoint, args: { save_top_k: -1 } } ]\n");
    char *err = run_succeeds(WORDS("-o", "model={name: cnn}"));
    expect_said(err, "FreezeUnfreeze: epoch 2: 1 modules learn from here on");
    double first = sum_of("ckpt/epoch=0-step=10.ckpt", "model.0.weight"),
           second = sum_of("ckpt/epoch=1-step=20.ckpt", "model.0.weight");
    double head = sum_of("ckpt/epoch=0-step=10.ckpt", "model.10.weight");
    cr_expect_neq(first, second, "the second epoch moves it");
    run_set_aside("freed");
    free(run_succeeds(WORDS("-o", "model={name: cnn}", "-o", "callbacks.0.args.unfreeze_at_epoch=-1")));
    cr_expect_eq(sum_of("ckpt/epoch=1-step=20.ckpt", "model.0.weight"), first, "never freed, never moved");
    cr_expect_neq(sum_of("ckpt/epoch=1-step=20.ckpt", "model.10.weight"), head);
    run_refused("callback FreezeUnfreeze: ", WORDS("--overwrite", "-o", "callbacks.0.args.modules=[nothing]"));
}

/* After the search the run is the one that a file with the found rate is. */
Test(callbacks, the_rate_finder_leaves_no_trace_but_the_rate) {
    if (tests_are_brief()) cr_skip_test("trains a convolutional network");
    write_run("trainer: { max_epochs: 2 }\ncallbacks: [ { name: LearningRateFinder, args: { num_training_steps: 40, "
              "min_lr: 1e-5 } } ]\n");
    char *err = run_succeeds(WORDS("-o", "model={name: cnn}"));
    const char *said = strstr(err, "LearningRateFinder: ");
    cr_assert_not_null(said, "%s", err);
    cr_expect_gt(strtod(said + 20, NULL), 1e-5, "%s", said);
    free(err);
    cr_expect(!is_there("checkpoints/lr_finder.safetensors"));
    char *csv = run_text("metrics.csv"), rate[60], *at = strstr(csv, "\n10,1,");
    cr_assert_not_null(at);
    (void)snprintf(rate, sizeof rate, "optimizer.args.lr=%.*s", (int)strcspn(at + 6, ","), at + 6);
    double with = strtod(strstr(csv, "\n20,2,") + 6 + strcspn(strstr(csv, "\n20,2,") + 6, ",") + 3, NULL);
    free(csv);
    run_set_aside("found");
    free(run_succeeds(WORDS("-o", "model={name: cnn}", "-o", "callbacks=null", "-o", rate)));
    csv = run_text("metrics.csv");
    double without = strtod(strstr(csv, "\n20,2,") + 6 + strcspn(strstr(csv, "\n20,2,") + 6, ",") + 3, NULL);
    cr_expect_float_eq(with, without, 1e-5);
    free(csv);
}

/* Also of one that reckons from where it began, here at a fifth of what was found. */
Test(callbacks, the_found_rate_is_that_of_the_schedule) {
    if (tests_are_brief()) cr_skip_test("trains a convolutional network");
    write_run("trainer: { max_epochs: 1 }\n"
              "schedule: { name: LambdaLR, args: { lr_lambda: { name: warmup_lr, args: { start: 0.2, end: 0.2 } } } }\n"
              "callbacks: [ { name: LearningRateFinder, args: { num_training_steps: 40, min_lr: 1e-5 } } ]\n");
    char *err = run_succeeds(WORDS("-o", "model={name: cnn}")), *csv = run_text("metrics.csv");
    const char *said = strstr(err, "LearningRateFinder: "), *row = strstr(csv, "\n10,1,");
    cr_assert(said && row, "%s%s", err, csv);
    cr_expect_float_eq(strtod(row + 6, NULL) / strtod(said + 20, NULL), 0.2, 1e-4, "%s%s", said, row);
    free(csv), free(err);
}

Test(callbacks, schedules_that_look_at_a_metric_resume) {
    write_run("trainer: { max_epochs: 6 }\n"
              "schedule: { name: ReduceLROnPlateau, args: { monitor: val_accuracy, mode: max, patience: 0, factor: 0.5 "
              "} }\n");
    free(run_succeeds(NULL));
    char *csv = run_text("metrics.csv");
    cr_expect_not_null(strstr(csv, "\n10,1,0.05,"), "%s", csv);
    cr_expect_null(strstr(csv, "\n60,6,0.05,"), "an accuracy of 1 cannot grow: %s", csv);
    free(csv);
    run_set_aside("whole");
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=3")));
    free(run_succeeds(WORDS("--resume")));
    run_same_checkpoint("whole", "checkpoints/last.safetensors");
    run_set_aside("resumed");
    static char *const others[] = { "schedule={name: MultiStepLR, args: {milestones: [1, 2]}}",
                                    "schedule={name: OneCycleLR, args: {max_lr: 0.1, total_steps: 60}}",
                                    "schedule={name: CosineAnnealingLR, args: {T_max: 6}}",
                                    "schedule={name: ExponentialLR, args: {gamma: 0.9, interval: step}}" };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char aside[20], resumed[20];
        (void)snprintf(aside, sizeof aside, "whole%zu", i);
        (void)snprintf(resumed, sizeof resumed, "resumed%zu", i);
        free(run_succeeds(WORDS("-o", others[i], "-o", "trainer.max_epochs=3")));
        run_set_aside(aside);
        free(run_succeeds(WORDS("-o", others[i], "-o", "trainer.max_epochs=1")));
        free(run_succeeds(WORDS("--resume", "-o", others[i], "-o", "trainer.max_epochs=3")));
        run_same_checkpoint(aside, "checkpoints/last.safetensors");
        run_set_aside(resumed);
    }
}

/* Two ranks: one log, reduced metrics, one set of files; what one rank decides all do. */
Test(callbacks, on_two_ranks) {
    write_run(
        "trainer: { max_epochs: 3 }\n"
        "callbacks: [ { name: EarlyStopping, args: { monitor: val_loss, min_delta: 100, patience: 1 } },\n"
        "             { name: EMA, args: { decay: 0.5 } }, { name: Timer, args: { duration: \"00:01:00:00\" } } ]\n"
        "checkpoint: { monitor: val_accuracy, mode: max, save_last: true }\n"
        "logger: [ { name: csv }, { name: jsonl } ]\n");
    char *err = NULL;
    cr_assert_eq(run_ranks(&err, NULL), 0, "%s", err);
    const char *said = strstr(err, "stopped after step 10: val_loss did not get better");
    cr_expect_not_null(said, "%s", err);
    if (said) cr_expect_null(strstr(said + 1, "stopped after step"), "%s", err);
    free(err);
    cr_expect(is_there("ckpt/last.ckpt") && is_there("checkpoints/ema.safetensors"));
    cr_expect(is_there("default/version_0/metrics.csv") && !is_there("default/version_1"));
    char *jsonl = run_text("metrics.jsonl"), *first = strstr(jsonl, "\"val_loss\": ");
    cr_assert_not_null(first, "%s", jsonl);
    free(jsonl);
    cr_assert_eq(run_ranks(&err, WORDS("--resume", "-o", "callbacks.0.args.patience=50")), 0, "%s", err);
    cr_expect_not_null(strstr(err, "resumed after step 10"), "%s", err);
    free(err);
}
