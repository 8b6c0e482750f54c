/* Fine-tuning by names of parameters: what stands still, what learns later, rates of its own; and what a resume does
 * not take from the checkpoint. */
#include "train/support.h"
#include "wick/io.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Six steps an epoch. */
static void set_up(void) {
    run_set_up("finetuning", 96);
}
TestSuite(finetuning, .init = set_up, .fini = run_tear_down);

static double sum_of(const char *file, const char *name) {
    wk_safetensors *f = wk_safetensors_open(run_path(file));
    cr_assert_not_null(f, "%s", wk_message());
    wk_scope scope = wk_scope_begin();
    wk_tensor *t = wk_safetensors_get(f, name);
    cr_assert_not_null(t, "%s", wk_message());
    double sum = 0;
    for (int64_t i = 0; i < wk_count(t); i++) sum += wk_at(t, i);
    wk_scope_end(scope);
    wk_safetensors_close(f);
    return sum;
}

static bool has(const char *file, const char *name) {
    wk_safetensors *f = wk_safetensors_open(run_path(file));
    cr_assert_not_null(f, "%s", wk_message());
    const bool is_there = wk_safetensors_has(f, name);
    wk_safetensors_close(f);
    return is_there;
}

static void expect_said(char *err, const char *part) {
    cr_expect_not_null(strstr(err, part), "expected \"%s\" in:\n%s", part, err);
    free(err);
}

/* A column of metrics.csv in its first rows. */
static void read_column(const char *name, double *values, int count) {
    char *csv = run_text("metrics.csv"), *line = csv;
    int column = -1, at = 0;
    for (const char *word = csv; column < 0 && word < strchr(csv, '\n'); at++) {
        const size_t size = strcspn(word, ",\n");
        if (size == strlen(name) && strncmp(word, name, size) == 0) column = at;
        word += size + 1;
    }
    cr_assert_geq(column, 0, "no column %s in:\n%s", name, csv);
    for (int i = 0; i < count; i++) {
        cr_assert_not_null(line = strchr(line, '\n'), "%s", csv);
        const char *cell = ++line;
        for (int k = 0; k < column; k++) cell = strchr(cell, ',') + 1;
        values[i] = strtod(cell, NULL);
    }
    free(csv);
}

static void expect_column(const char *name, const double *values, int count) {
    double found[20];
    read_column(name, found, count);
    for (int i = 0; i < count; i++)
        cr_expect_float_eq(found[i], values[i], 1e-7, "%s is %g in row %d, expected %g", name, found[i], i, values[i]);
}

static const char last[] = "checkpoints/last.safetensors";

/* ---- what stands still ---- */

Test(finetuning, what_is_frozen_does_not_learn_and_has_no_state) {
    run_write_with(RUN_LAYERS, "optimizer: { name: AdamW, args: { lr: 0.01 } }\n");
    free(run_succeeds(WORDS("-o", "optimizer.args.lr=1e-30")));
    const double first = sum_of(last, "model.layers.0.weight"), second = sum_of(last, "model.layers.2.weight"),
                 bias = sum_of(last, "model.layers.2.bias"), third = sum_of(last, "model.layers.4.weight");
    free(run_succeeds(WORDS("--overwrite", "-o", "freeze=[\"^layers[.]0[.]\", \"2[.]bias$\"]")));
    cr_expect_eq(sum_of(last, "model.layers.0.weight"), first);
    cr_expect_eq(sum_of(last, "model.layers.2.bias"), bias);
    cr_expect_neq(sum_of(last, "model.layers.2.weight"), second);
    cr_expect_neq(sum_of(last, "model.layers.4.weight"), third);
    cr_expect(!has(last, "optimizer.exp_avg.layers.0.weight") && !has(last, "optimizer.exp_avg.layers.2.bias"));
    cr_expect(has(last, "optimizer.exp_avg.layers.2.weight"));
    free(run_succeeds(
        WORDS("--resume", "-o", "freeze=[\"^layers[.]0[.]\", \"2[.]bias$\"]", "-o", "trainer.max_epochs=2")));
    cr_expect_eq(sum_of(last, "model.layers.0.weight"), first);
    run_refused("freeze: no parameter has a name that \"^layer[.]\" matches; there are layers.0.weight, layers.0.bias, "
                "layers.2.weight, layers.2.bias, layers.4.weight, layers.4.bias (6)",
                WORDS("--overwrite", "-o", "freeze=\"^layer[.]\""));
    run_refused("freeze: \"layers(\" is no POSIX extended regular expression",
                WORDS("--overwrite", "-o", "freeze=\"layers(\""));
    run_refused("freeze and unfreeze_at leave no parameter to learn", WORDS("--overwrite", "-o", "freeze=layers"));
}

Test(finetuning, what_is_unfrozen_learns_from_its_epoch_on) {
    run_write_with(RUN_LAYERS, "optimizer: { name: Adam, args: { lr: 0.01 } }\n"
                               "callbacks: { name: ModelCheckpoint, args: { save_top_k: -1 } }\n"
                               "freeze: \"^layers[.]0[.]\"\n"
                               "unfreeze_at: { \"0[.]weight\": 1, \"^layers[.][02][.]\": 2 }\n");
    char *err = run_succeeds(WORDS("-o", "trainer.max_epochs=3"));
    cr_expect_not_null(strstr(err, "unfreeze_at: epoch 2: 1 more parameters learn from here on"), "%s", err);
    expect_said(err, "unfreeze_at: epoch 3: 3 more parameters learn from here on");
    static const char *const file[] = { "ckpt/epoch=0-step=6.ckpt", "ckpt/epoch=1-step=12.ckpt",
                                        "ckpt/epoch=2-step=18.ckpt" };
    double weight[3], bias[3], second[3], third[3];
    for (int i = 0; i < 3; i++) {
        weight[i] = sum_of(file[i], "model.layers.0.weight");
        bias[i] = sum_of(file[i], "model.layers.0.bias");
        second[i] = sum_of(file[i], "model.layers.2.weight");
        third[i] = sum_of(file[i], "model.layers.4.weight");
    }
    cr_expect_neq(weight[0], weight[1], "the first expression that matches counts");
    cr_expect(bias[0] == bias[1] && bias[1] != bias[2], "the second is wider");
    cr_expect(second[0] == second[1] && second[1] != second[2]);
    cr_expect(third[0] != third[1] && third[1] != third[2]);
    run_set_aside("whole");
    free(run_succeeds(NULL));
    free(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=3")));
    cr_expect_eq(sum_of(last, "model.layers.0.weight"), weight[2]);
    run_refused("unfreeze_at: no parameter has a name that \"features\" matches",
                WORDS("--overwrite", "-o", "unfreeze_at={features: 1}"));
    run_refused("unfreeze_at: all that \"bias\" matches an earlier expression has: put it first",
                WORDS("--overwrite", "-o", "unfreeze_at={layers: 1, bias: 0}"));
    run_refused("unfreeze_at", WORDS("--overwrite", "-o", "unfreeze_at={layers: soon}"));
}

/* ---- rates ---- */

static const char sgd[] = "optimizer: { name: SGD, args: { lr: 0.1 } }\ncallbacks: { name: LearningRateMonitor }\n";

Test(finetuning, groups_with_rates_of_their_own) {
    char more[700];
    (void)snprintf(more, sizeof more,
                   "%slr_groups:\n  - { match: \"^layers[.]0\", lr: 1e-30 }\n  - { match: \"bias$\", scale: 0.5 }\n"
                   "schedule: { name: ExponentialLR, args: { gamma: 0.5, interval: step } }\n",
                   sgd);
    run_write_with(RUN_LAYERS, more);
    free(run_succeeds(WORDS("-o", "optimizer.args.lr=1e-30", "-o", "lr_groups=null")));
    const double first = sum_of(last, "model.layers.0.weight"), bias = sum_of(last, "model.layers.0.bias"),
                 second = sum_of(last, "model.layers.2.weight");
    free(run_succeeds(WORDS("--overwrite")));
    cr_expect_eq(sum_of(last, "model.layers.0.weight"), first);
    cr_expect_eq(sum_of(last, "model.layers.0.bias"), bias, "the first expression that matches counts");
    cr_expect_neq(sum_of(last, "model.layers.2.weight"), second);
    expect_column("lr-SGD/pg1", (double[]){ 0.1, 0.05, 0.025 }, 3);
    expect_column("lr-SGD/pg2", (double[]){ 0, 0, 0 }, 3);
    expect_column("lr-SGD/pg3", (double[]){ 0.05, 0.025, 0.0125 }, 3);
    free(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=2")));
    static const struct {
        char *const word, *const message;
    } wrong[] = {
        { "lr_groups=[{match: conv, lr: 1}]", "lr_groups: no parameter has a name that \"conv\" matches" },
        { "lr_groups=[{match: layers, lr: 1}, {match: bias, lr: 2}]",
          "lr_groups: all that \"bias\" matches belongs to an earlier group: put it first" },
        { "lr_groups=[{match: layers, lr: 1, scale: 2}]", "expected { match: REGEX, lr: X } or" },
        { "lr_groups=[{match: layers}]", "expected { match: REGEX, lr: X } or" },
        { "lr_groups=[{match: layers, rate: 1}]", "unknown key \"rate\"" },
        { "lr_groups=[{match: layers, lr: 0}]", "lr is 0, expected more than 0" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        run_refused(wrong[i].message, WORDS("--overwrite", "-o", wrong[i].word));
}

Test(finetuning, another_rate_in_one_word) {
    run_write_with(RUN_LAYERS, sgd);
    free(run_succeeds(WORDS("-o", "lr=0.02", "-o", "lr_groups=[{match: \"4[.]weight\", scale: 10}]")));
    expect_column("lr-SGD/pg1", (double[]){ 0.02, 0.02 }, 2);
    expect_column("lr-SGD/pg2", (double[]){ 0.2, 0.2 }, 2);
    run_refused("lr=-1: lr is -1, expected more than 0", WORDS("--overwrite", "-o", "lr=-1"));
    char more[300];
    (void)snprintf(more, sizeof more, "%slr: 0.03\n", sgd);
    run_write_with(RUN_LAYERS, more);
    char *argv[] = { WICK_PROGRAM, "config", "explain", "optimizer.args.lr", "-c", run_file, NULL };
    program p = start(run_folder, argv, NULL);
    cr_assert_eq(finish(&p, 20), 0);
    char *out = read_bytes(p.out, NULL);
    cr_expect_eq(strncmp(out, "optimizer.args.lr: 0.03\n  from the file: ", 41), 0, "%s", out);
    free(out);
    run_write("model: { name: mlp }\nwrapper: { name: base }\nlr: 0.1\n");
    run_refused("lr is that of the section optimizer, which is missing", NULL);
}

/* A tenth of the others' rate, twice that, …, until it is theirs; the schedule goes on below. */
Test(finetuning, what_is_unfrozen_learns_by_and_by) {
    run_write_with(RUN_LAYERS,
                   "optimizer: { name: SGD, args: { lr: 0.1 } }\n"
                   "schedule: { name: ExponentialLR, args: { gamma: 0.5 } }\n"
                   "callbacks:\n  - { name: LearningRateMonitor, args: { logging_interval: epoch } }\n"
                   "  - { name: FreezeUnfreeze, args: { modules: [layers.0, layers.2], unfreeze_at_epoch: 1,\n"
                   "      initial_denom_lr: 10 } }\n");
    static char *const six[] = { "-o", "trainer={max_epochs: 6, log_every_n_steps: 100, limit_val_batches: 1}" };
    free(run_succeeds(WORDS(six[0], six[1])));
    expect_column("lr-SGD/pg1", (double[]){ 0.1, 0.05, 0.025, 0.0125, 0.00625, 0.003125 }, 6);
    expect_column("lr-SGD/pg2", (double[]){ 0.1, 0.005, 0.005, 0.005, 0.005, 0.003125 }, 6);
    run_set_aside("whole");
    free(run_succeeds(WORDS("-o", "trainer={max_epochs: 3, log_every_n_steps: 100, limit_val_batches: 1}")));
    free(run_succeeds(WORDS("--resume", six[0], six[1])));
    run_same_checkpoint("whole", last);
    run_refused("initial_denom_lr needs unfreeze_at_epoch",
                WORDS("--overwrite", "-o", "callbacks.1.args={modules: [layers.0], initial_denom_lr: 10}"));
    run_set_aside("resumed");
    /* A schedule that looks at a metric lowers the whole rate. */
    free(run_succeeds(WORDS(six[0], six[1], "-o",
                            "schedule={name: ReduceLROnPlateau, args: {mode: max, monitor: val_loss, patience: 0}}")));
    static const double parts[] = { 0, 0.1, 0.2, 0.4, 0.8, 1 };
    double others[6], own[6];
    read_column("lr-SGD/pg1", others, 6);
    read_column("lr-SGD/pg2", own, 6);
    cr_expect_lt(others[5], 0.1, "no metric has lowered it");
    for (int i = 1; i < 6; i++)
        cr_expect_float_eq(own[i] / others[i], parts[i], 1e-6, "epoch %d: %g of %g", i, own[i], others[i]);
}

/* ---- what a resume does not take ---- */

Test(finetuning, an_optimizer_that_begins_anew) {
    run_write_with(RUN_LAYERS, "optimizer: { name: Adam, args: { lr: 0.01 } }\n");
    free(run_succeeds(NULL));
    free(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=2")));
    cr_expect_eq(sum_of(last, "optimizer.step.layers.0.weight"), 12);
    const double plain = sum_of(last, "model.layers.0.weight");
    free(run_succeeds(WORDS("--overwrite")));
    expect_said(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=2", "-o", "reset_optimizer=true")),
                "reset_optimizer: its state begins anew");
    cr_expect_eq(sum_of(last, "optimizer.step.layers.0.weight"), 6);
    cr_expect_neq(sum_of(last, "model.layers.0.weight"), plain);
    expect_said(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=3", "-o", "optimizer={name: SGD}", "-o",
                                   "reset_optimizer=true")),
                "resumed after step 12");
    /* A launcher that starts it once more goes on from what was reset. */
    free(run_succeeds(WORDS("--overwrite")));
    free(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=2", "-o", "reset_optimizer=true")));
    char *argv[] = { WICK_PROGRAM,           "train", "-c", run_file, "-o", "trainer.max_epochs=3", "-o",
                     "reset_optimizer=true", NULL };
    char *environment[] = { "TORCHELASTIC_RESTART_COUNT=1", NULL };
    cr_assert_eq(run_program(run_folder, argv, environment, 20, NULL), 0);
    cr_expect_eq(sum_of(last, "optimizer.step.layers.0.weight"), 12);
}

Test(finetuning, a_rate_that_begins_anew) {
    char more[500];
    (void)snprintf(more, sizeof more, "%sschedule: { name: ExponentialLR, args: { gamma: 0.5, interval: step } }\n",
                   sgd);
    run_write_with(RUN_LAYERS, more);
    free(run_succeeds(NULL));
    free(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=2", "-o", "lr=0.08")));
    expect_column("lr-SGD", (double[]){ 0.1, 0.05, 0.025, 0.0125, 0.00625, 0.003125 }, 6);
    run_set_aside("plain");
    free(run_succeeds(NULL));
    expect_said(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=2", "-o", "lr=0.08", "-o", "reset_lr=true")),
                "reset_lr: the learning rate is the file's, and its schedule begins anew");
    wk_safetensors *file = wk_safetensors_open(run_path(last));
    cr_expect_str_eq(wk_safetensors_metadata(file, "schedule_step"), "6");
    wk_safetensors_close(file);
    /* Behind the first epoch's six rows and that of its validation. */
    expect_column("lr", (double[]){ 0.1, 0.05, 0.025, 0.0125, 0.00625, 0.003125, 0.003125, 0.08, 0.04, 0.02 }, 10);
    free(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=3", "-o", "lr=0.08")));
    char *csv = run_text("metrics.csv");
    cr_expect_not_null(strstr(csv, "\n13,3,0.00125,"), "the sixth step since: %s", csv);
    free(csv);
    /* A rate that a metric has lowered is the file's again. */
    char *plateau[] = { "--overwrite", "-o",
                        "schedule={name: ReduceLROnPlateau, args: {monitor: val_loss, mode: max, patience: 0}}", NULL };
    free(run_succeeds(WORDS(plateau[0], plateau[1], plateau[2], "-o", "trainer.max_epochs=3")));
    csv = run_text("metrics.csv");
    cr_expect_null(strstr(csv, "\n18,3,0.1,"), "%s", csv);
    free(csv);
    free(run_succeeds(WORDS("--resume", plateau[1], plateau[2], "-o", "trainer.max_epochs=4", "-o", "reset_lr=true")));
    csv = run_text("metrics.csv");
    cr_expect_not_null(strstr(csv, "\n19,4,0.1,"), "%s", csv);
    free(csv);
}

/* Both ranks let the same parameters learn at the same time: weights stay equal, or the run would end. */
Test(finetuning, on_two_ranks) {
    run_write_with(RUN_LAYERS,
                   "optimizer: { name: Adam, args: { lr: 0.01 } }\n"
                   "callbacks: { name: ModelCheckpoint, args: { save_top_k: -1 } }\n"
                   "unfreeze_at: { \"^layers[.]0\": 1 }\nlr_groups: [ { match: \"^layers[.]2\", scale: 0.1 } ]\n");
    char *err = NULL;
    cr_assert_eq(run_ranks(&err, WORDS("-o", "trainer.max_epochs=2")), 0, "%s", err);
    expect_said(err, "unfreeze_at: epoch 2: 2 more parameters learn from here on");
    const double first = sum_of("ckpt/epoch=0-step=3.ckpt", "model.layers.0.weight"),
                 second = sum_of("ckpt/epoch=1-step=6.ckpt", "model.layers.0.weight");
    cr_expect_neq(first, second);
    run_set_aside("whole");
    cr_assert_eq(run_ranks(&err, WORDS("-o", "trainer.max_epochs=2", "-o", "trainer.strategy=ddp_sharded")), 0, "%s",
                 err);
    free(err);
    run_same_checkpoint("whole", last); /* groups are shared out too */
    free(run_succeeds(WORDS("--overwrite", "-o", "trainer.max_epochs=1", "-o", "optimizer.args.lr=1e-30")));
    cr_expect_eq(sum_of(last, "model.layers.0.weight"), first, "it has not moved in the first epoch");
}
