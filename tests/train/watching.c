/* Callbacks that look at a run, write what it predicts, or say how many batches a step takes and how large they are. */
#include "support/brief.h"
#include "train/support.h"
#include "wick/io.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Ten batches an epoch; 41 items to evaluate on, or as many as there are. */
static void set_up(void) {
    run_set_up("train_watching", 160);
}
TestSuite(watching, .init = set_up, .fini = run_tear_down);

static void expect_said(char *err, const char *part) {
    cr_expect_not_null(strstr(err, part), "expected \"%s\" in:\n%s", part, err);
    free(err);
}

/* The last number of a column of metrics.csv. */
static double last_of(const char *name) {
    char *csv = run_text("metrics.csv");
    double value = NAN;
    int column = -1, at = 0;
    for (const char *word = csv; column < 0 && word < strchr(csv, '\n'); at++) {
        const size_t size = strcspn(word, ",\n");
        if (size == strlen(name) && strncmp(word, name, size) == 0) column = at;
        word += size + 1;
    }
    cr_assert_geq(column, 0, "no column %s in:\n%s", name, csv);
    for (const char *line = strchr(csv, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
        const char *cell = line;
        for (int k = 0; k < column; k++) cell = strchr(cell, ',') + 1;
        if (*cell != ',' && *cell != '\n') value = strtod(cell, NULL);
    }
    free(csv);
    return value;
}

/* ---- how many batches a step takes ---- */

Test(watching, steps_of_more_batches_in_early_epochs) {
    run_write_with(RUN_USUAL, "trainer: { max_epochs: 1, log_every_n_steps: 2 }\n");
    free(run_succeeds(WORDS("-o", "trainer.accumulate_grad_batches=4")));
    run_set_aside("four");
    run_write_with(RUN_USUAL,
                   "trainer: { max_epochs: 1, log_every_n_steps: 2 }\n"
                   "callbacks: { name: GradientAccumulationScheduler, args: { scheduling: { 2: 1, 0: 4, 1: 2 } } }\n");
    free(run_succeeds(NULL));
    run_same_checkpoint("four", "checkpoints/last.safetensors");
    free(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=3")));
    run_set_aside("resumed");
    expect_said(run_succeeds(WORDS("-o", "trainer.max_epochs=3")), "step 18/18");
    run_same_checkpoint("resumed", "checkpoints/last.safetensors");
    expect_said(run_succeeds(WORDS("--overwrite", "-o", "trainer={max_steps: 5, log_every_n_steps: 1}")),
                "epoch 2/2  step 5/5");
    run_refused("GradientAccumulationScheduler stands alone: leave trainer.accumulate_grad_batches out",
                WORDS("--overwrite", "-o", "trainer.accumulate_grad_batches=2"));
    run_refused("scheduling: \"soon\" is no epoch", WORDS("--overwrite", "-o", "callbacks.args.scheduling={soon: 2}"));
    run_refused("scheduling must be an integer from 1 to 1048576, not \"0\"",
                WORDS("--overwrite", "-o", "callbacks.args.scheduling={0: 0}"));
    run_refused("needs the arg \"scheduling\"", WORDS("--overwrite", "-o", "callbacks.args={}"));
}

/* ---- how large they are ---- */

Test(watching, the_largest_batch_is_taken) {
    run_write_with(RUN_USUAL, "trainer: { max_epochs: 2 }\ncallbacks: { name: BatchSizeFinder }\n");
    expect_said(run_succeeds(NULL), "BatchSizeFinder: batches of 160");
    cr_expect_eq(last_of("step"), 2, "one batch an epoch");
    run_set_aside("found");
    free(run_succeeds(WORDS("-o", "callbacks=null", "-o", "data.args.batch_size=160")));
    run_same_checkpoint("found", "checkpoints/last.safetensors");
    free(run_succeeds(WORDS("--overwrite", "-o", "trainer.max_epochs=1")));
    char *err = run_succeeds(WORDS("--resume", "-o", "callbacks.args.max_trials=1"));
    cr_expect_null(strstr(err, "batch size 2: fits"), "a run that goes on keeps its size: %s", err);
    expect_said(err, "BatchSizeFinder: batches of 160");
    run_same_checkpoint("found", "checkpoints/last.safetensors");
    expect_said(run_succeeds(WORDS("--overwrite", "-o", "callbacks.args={init_val: 3, max_trials: 2}")),
                "BatchSizeFinder: batches of 6");
    run_refused("not even batches of 2 fit into 1.0 MiB",
                WORDS("--overwrite", "-o", "callbacks.args={memory_mib: 1}", "-o", "model={name: cnn}"));
    run_refused("mode is \"guess\"", WORDS("--overwrite", "-o", "callbacks.args={mode: guess}"));
    cr_assert_neq(run_ranks(&err, WORDS("--overwrite")), 0);
    expect_said(err, "BatchSizeFinder looks on one rank");
}

/* ---- what is seen ---- */

Test(watching, how_fast_it_goes) {
    run_write_with(RUN_USUAL,
                   "trainer: { max_epochs: 3, log_every_n_steps: 1 }\ncallbacks: { name: ThroughputMonitor, args: { "
                   "window_size: 4 } }\n");
    free(run_succeeds(NULL));
    const double batches = last_of("batches_per_second"), items = last_of("items_per_second"),
                 operations = last_of("flops_per_second"), weights = 784 * 16 + 16 * 10;
    cr_expect_gt(batches, 0);
    cr_expect_float_eq(items / batches, 16, 1e-6);
    cr_expect(operations / items > 4 * weights && operations / items < 8 * weights,
              "%g operations an item of %g weights", operations / items, weights);
}

Test(watching, how_often_the_bar_is_drawn) {
    run_write_with(RUN_USUAL,
                   "trainer: { max_epochs: 1, log_every_n_steps: 2 }\ncallbacks: { name: ProgressBar, args: { "
                   "refresh_rate: 5 } }\n");
    char command[1500], path[700];
    (void)snprintf(path, sizeof path, "%s/typescript", run_folder);
    (void)snprintf(command, sizeof command, "TERM=xterm exec %s train -c %s", WICK_PROGRAM, run_file);
    char *argv[] = { "script", "-qec", command, path, NULL };
    cr_assert_eq(run_program(run_folder, argv, NULL, 100, NULL), 0);
    char *seen = read_bytes(path, NULL);
    cr_expect(strstr(seen, "| 10/10 [") && !strstr(seen, "| 1/10 ["), "%s", seen);
    free(seen);
    expect_said(run_succeeds(WORDS("--overwrite")), " img/s  loss ");
    char *err = run_succeeds(WORDS("--overwrite", "-o", "callbacks.args.refresh_rate=0"));
    cr_expect_null(strstr(err, " img/s  loss "), "%s", err);
    free(err);
    run_refused("trainer.enable_progress_bar is false: leave one of the two out",
                WORDS("--overwrite", "-o", "trainer.enable_progress_bar=false"));
}

Test(watching, the_parts_of_the_model) {
    run_write_with(RUN_USUAL, "callbacks: { name: ModelSummary }\nfreeze: \"^layers[.]0\"\n");
    static char *const model[] = { "-o", "model={name: mlp, args: {in_dim: 784, hidden_list: [16], out_dim: 10}}" };
    char *err = run_succeeds(WORDS(model[0], model[1]));
    cr_expect(strstr(err, "\n  layers ") && !strstr(err, "\n  layers.0 "), "%s", err);
    expect_said(err, "170 parameters learn, 12560 stand still; 12730 in all, 0.0 MiB");
    err = run_succeeds(WORDS("--overwrite", model[0], model[1], "-o", "callbacks.args.max_depth=2"));
    const char *row = strstr(err, "\n  layers.0 ");
    cr_assert_not_null(row, "%s", err);
    cr_expect(strncmp(row + 36, "Linear ", 7) == 0 && strtol(row + 60, NULL, 10) == 12560, "%s", row);
    free(err);
    err = run_succeeds(WORDS("--overwrite", model[0], model[1], "-o", "callbacks.args.max_depth=0"));
    cr_expect(!strstr(err, "\n  layers ") && strstr(err, "170 parameters learn"), "%s", err);
    free(err);
}

/* ---- what is predicted ---- */

static int64_t best_of(wk_tensor *scores, int64_t row) {
    int64_t best = 0;
    for (int64_t k = 1; k < 10; k++)
        if (wk_at(scores, row * 10 + k) > wk_at(scores, row * 10 + best)) best = k;
    return best;
}

/* Labels of the items to evaluate on, behind the eight bytes of IDX's header. */
static unsigned char *labels(void) {
    char path[600];
    size_t size;
    (void)snprintf(path, sizeof path, "%s/t10k-labels-idx1-ubyte", run_folder);
    char *bytes = read_bytes(path, &size);
    cr_assert_not_null(bytes);
    return (unsigned char *)bytes;
}

Test(watching, predictions_are_those_that_were_validated) {
    run_write_with(RUN_USUAL,
                   "trainer: { max_epochs: 2, log_every_n_steps: 1 }\ncallbacks: { name: PredictionWriter }\n");
    free(run_succeeds(WORDS("-o", "optimizer.args.lr=0.002")));
    cr_expect(run_has("predictions/step-10.npy") && !run_has("predictions/step-0.npy"));
    wk_scope scope = wk_scope_begin();
    wk_tensor *scores = wk_npy_load(run_path("predictions/step-20.npy"));
    cr_assert_not_null(scores, "%s", wk_message());
    const int64_t items = wk_size(scores, 0);
    cr_expect(wk_rank(scores) == 2 && wk_size(scores, 1) == 10);
    unsigned char *label = labels();
    double hits = 0;
    for (int64_t i = 0; i < items; i++) hits += best_of(scores, i) == label[8 + i];
    cr_expect_float_eq(hits / (double)items, last_of("val_accuracy"), 1e-6);
    cr_expect(hits > 0 && hits < (double)items, "%g of %g", hits, (double)items);
    run_set_aside("whole");
    free(run_succeeds(
        WORDS("-o", "optimizer.args.lr=0.002", "-o", "callbacks.args={write_interval: batch, format: csv}")));
    char *csv = run_text("predictions/step-20/batch-1.csv"), expected[60];
    cr_expect_eq(strncmp(csv, "item,prediction_0,prediction_1,", 31), 0, "%s", csv);
    (void)snprintf(expected, sizeof expected, "\n16,%.9g,%.9g,", wk_at(scores, 160), wk_at(scores, 161));
    cr_expect_not_null(strstr(csv, expected), "expected %s in %s", expected, csv);
    cr_expect(run_has("predictions/step-10/batch-0.csv"));
    free(csv);
    free(label);
    wk_scope_end(scope);
    run_refused("write_interval is \"step\"", WORDS("--overwrite", "-o", "callbacks.args={write_interval: step}"));
}

/* Each item is in one of the files, once. */
Test(watching, predictions_of_two_ranks) {
    run_write_with(RUN_USUAL,
                   "trainer: { max_epochs: 1 }\ncallbacks: { name: PredictionWriter, args: { format: csv } }\n");
    char *err = NULL;
    cr_assert_eq(run_ranks(&err, NULL), 0, "%s", err);
    free(err);
    int count[2] = { 0 }, sum = 0;
    for (int rank = 0; rank < 2; rank++) {
        char name[60];
        (void)snprintf(name, sizeof name, "predictions/step-5-rank-%d.csv", rank);
        char *csv = run_text(name);
        for (const char *line = strchr(csv, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
            const int item = (int)strtol(line, NULL, 10);
            cr_expect_eq(item, 2 * count[rank] + rank, "%s", csv);
            count[rank]++;
            sum += item;
        }
        free(csv);
    }
    const int items = count[0] + count[1];
    cr_expect(items > 30 && sum == items * (items - 1) / 2, "%d and %d items", count[0], count[1]);
}
