/* metrics.c: metrics against scikit-learn's and torchmetrics' numbers (tests/golden/metrics.py), however the items are
 * cut into batches, and over ranks. */
#include "support/csv.h"
#include "train/support.h"
#include "wick/train.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *golden;

static void set_up(void) {
    json_error_t error;
    golden = json_load_file(WICK_SOURCE_DIR "/tests/golden/metrics.json", 0, &error);
    cr_assert_not_null(golden, "%s", error.text);
}
static void tear_down(void) {
    json_decref(golden);
}
TestSuite(metrics, .init = set_up, .fini = tear_down);

static wk_tensor *part(const char *key, wk_dtype dtype, int64_t columns, int64_t first, int64_t count) {
    const json_t *list = json_object_get(golden, key);
    wk_tensor *all = wk_zeros(WK_F64, columns ? WK_DIMS(count, columns) : WK_DIMS(count));
    int64_t width = columns ? columns : 1;
    double *data = wk_data(all);
    for (int64_t i = 0; i < count * width; i++)
        data[i] = json_number_value(json_array_get(list, (size_t)(first * width + i)));
    return wk_cast(all, dtype);
}

/* All 60 items in batches of `size`. */
static void feed(wk_metric *m, const char *prediction, int64_t columns, const char *target, wk_dtype dtype,
                 int64_t size) {
    for (int64_t first = 0; first < 60; first += size) {
        int64_t count = first + size < 60 ? size : 60 - first;
        wk_scope scope = wk_scope_begin();
        cr_assert_eq(
            wk_metric_update(m, part(prediction, WK_F64, columns, first, count), part(target, dtype, 0, first, count)),
            WK_OK, "%s", wk_message());
        wk_scope_end(scope);
    }
}

static void expect_within(const char *key, wk_metric *m, double tolerance) {
    double values[16];
    cr_assert_eq(wk_metric_compute(m, NULL, values, 16), WK_OK, "%s", wk_message());
    const json_t *expected = json_object_get(json_object_get(golden, "expected"), key);
    cr_assert_not_null(expected, "%s", key);
    for (int64_t i = 0; i < wk_metric_count(m); i++) {
        const double wanted =
            json_number_value(json_is_array(expected) ? json_array_get(expected, (size_t)i) : expected);
        cr_expect_float_eq(values[i], wanted, tolerance, "%s[%lld]: %.15g, expected %.15g", key, (long long)i,
                           values[i], wanted);
    }
}

static void expect(const char *key, wk_metric *m) {
    expect_within(key, m, 1e-12);
}

Test(metrics, of_classes_are_those_of_scikit_learn) {
    static const struct {
        const char *key, *name;
        wk_metric_opts opts;
    } cases[] = {
        { "accuracy", "accuracy", { .classes = 4 } },
        { "accuracy_top2", "accuracy", { .classes = 4, .top_k = 2 } },
        { "precision_macro", "precision", { .classes = 4 } },
        { "precision_micro", "precision", { .classes = 4, .average = WK_AVERAGE_MICRO } },
        { "precision_weighted", "precision", { .classes = 4, .average = WK_AVERAGE_WEIGHTED } },
        { "precision_none", "precision", { .classes = 4, .average = WK_AVERAGE_NONE } },
        { "recall_macro", "recall", { .classes = 4 } },
        { "recall_micro", "recall", { .classes = 4, .average = WK_AVERAGE_MICRO } },
        { "recall_weighted", "recall", { .classes = 4, .average = WK_AVERAGE_WEIGHTED } },
        { "recall_none", "recall", { .classes = 4, .average = WK_AVERAGE_NONE } },
        { "f1_macro", "f1", { .classes = 4 } },
        { "f1_micro", "f1", { .classes = 4, .average = WK_AVERAGE_MICRO } },
        { "f1_weighted", "f1", { .classes = 4, .average = WK_AVERAGE_WEIGHTED } },
        { "f1_none", "f1", { .classes = 4, .average = WK_AVERAGE_NONE } },
        { "confusion_matrix", "confusion_matrix", { .classes = 4 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int64_t size = 7; size <= 60; size += 53) {
            wk_metric *m = wk_metric_create(cases[i].name, cases[i].opts);
            cr_assert_not_null(m, "%s", wk_message());
            feed(m, "scores", 4, "target", WK_I64, size);
            expect(cases[i].key, m);
            wk_metric_reset(m);
            double values[16];
            cr_expect_eq(wk_metric_compute(m, NULL, values, 16), WK_OK);
            if (m && wk_metric_count(m) < 16)
                cr_expect(isnan(values[0]), "%s: of nothing nothing is known", cases[i].key);
            wk_metric_destroy(m);
        }
}

Test(metrics, of_numbers_are_those_of_scikit_learn_and_torchmetrics) {
    static const char *const names[] = { "mse", "mae", "r2", "psnr" };
    for (int i = 0; i < 4; i++) {
        wk_metric *m = wk_metric_create(names[i], (wk_metric_opts){ 0 });
        feed(m, "estimate", 0, "truth", WK_F64, 13);
        expect_within(names[i], m, i == 3 ? 1e-7 : 1e-12); /* torchmetrics takes the logarithm in f32 */
        wk_metric_destroy(m);
    }
    wk_metric *m = wk_metric_create("auroc", (wk_metric_opts){ 0 });
    feed(m, "risk", 0, "binary", WK_I64, 11);
    expect("auroc", m);
    wk_metric_destroy(m);
    m = wk_metric_create("perplexity", (wk_metric_opts){ 0 });
    feed(m, "scores", 4, "target", WK_I64, 60);
    expect("perplexity", m);
    wk_metric_destroy(m);
    m = wk_metric_create("mean", (wk_metric_opts){ 0 });
    wk_scope scope = wk_scope_begin();
    wk_tensor *weight = part("estimate", WK_F64, 0, 0, 60);
    cr_expect_eq(wk_metric_update(m, part("truth", WK_F64, 0, 0, 60), wk_mul(weight, weight)), WK_OK);
    wk_scope_end(scope);
    expect("mean", m);
    wk_metric_destroy(m);
}

/* 10 log10(1 / mse): of numbers that are 0.1 off, 20 dB; of equal ones, infinite. */
Test(metrics, peak_signal_to_noise) {
    wk_metric *m = wk_metric_create("psnr", (wk_metric_opts){ 0 });
    double value = 0;
    wk_scope scope = wk_scope_begin();
    wk_tensor *half = wk_full(WK_F64, WK_DIMS(2, 3), 0.5), *more = wk_full(WK_F64, WK_DIMS(2, 3), 0.6);
    cr_assert_eq(wk_metric_update(m, more, half), WK_OK);
    cr_assert_eq(wk_metric_compute(m, NULL, &value, 1), WK_OK);
    cr_expect_float_eq(value, 20, 1e-9, "%g", value);
    wk_metric_reset(m);
    cr_assert_eq(wk_metric_update(m, half, half), WK_OK);
    cr_assert_eq(wk_metric_compute(m, NULL, &value, 1), WK_OK);
    cr_expect(isinf(value) && value > 0, "%g", value);
    wk_scope_end(scope);
    wk_metric_destroy(m);
}

Test(metrics, the_report_is_that_of_scikit_learn) {
    wk_metric *m = wk_metric_create("confusion_matrix", (wk_metric_opts){ .classes = 4 });
    double matrix[16];
    feed(m, "scores", 4, "target", WK_I64, 60);
    cr_assert_eq(wk_metric_compute(m, NULL, matrix, 16), WK_OK);
    char *text = wk_classification_report(matrix, 4, NULL);
    cr_expect_str_eq(text, json_string_value(json_object_get(json_object_get(golden, "expected"), "report")));
    wk_free(text);
    text = wk_classification_report(matrix, 4, (const char *const[]){ "été", "a name that is long", "b", "c" });
    cr_expect_str_eq(text, json_string_value(json_object_get(json_object_get(golden, "expected"), "report_named")));
    wk_free(text);
    wk_metric_destroy(m);
}

Test(metrics, losses_are_pandas_table) {
    json_t *tables = json_load_file(WICK_SOURCE_DIR "/tests/golden/losses.json", 0, NULL), *table;
    size_t i;
    cr_assert_gt(json_array_size(tables), 4);
    json_array_foreach(tables, i, table) {
        wk_loss_table t = { 0 };
        json_t *train = json_object_get(table, "train"), *valid = json_object_get(table, "valid");
        for (size_t k = 0; k < json_array_size(train); k++)
            cr_assert_eq(wk_loss_table_put(
                             &t, (wk_loss_row){ .epoch = (int64_t)k,
                                                .train_loss = strtod(json_string_value(json_array_get(train, k)), NULL),
                                                .valid_loss = strtod(json_string_value(json_array_get(valid, k)), NULL),
                                                .seconds = json_number_value(
                                                    json_array_get(json_object_get(table, "seconds"), k)) }),
                         WK_OK);
        char *text = wk_loss_table_text(&t);
        cr_expect_str_eq(text, json_string_value(json_object_get(table, "text")));
        wk_free(text);
        wk_loss_table_free(&t);
    }
    json_decref(tables);
}

Test(metrics, losses_are_smoothed_and_weighed) {
    wk_loss_table t = { 0 };
    wk_loss_table_add(&t, 2);
    wk_loss_table_add(&t, 1);
    wk_loss_table_add_valid(&t, (const double[]){ 1, 4 }, (const int64_t[]){ 3, 1 }, 2);
    cr_assert_eq(wk_loss_table_write(&t), WK_OK);
    cr_expect_float_eq(t.row[0].train_loss, (0.99 * 0.01 * 2 + 0.01) / (1 - 0.99 * 0.99), 1e-12);
    cr_expect_float_eq(t.row[0].valid_loss, 1.75, 1e-12);
    wk_loss_table_free(&t);
}

Test(metrics, what_is_refused) {
    cr_expect_null(wk_metric_create("acuracy", (wk_metric_opts){ .classes = 3 }));
    cr_expect_str_eq(wk_message(), "there is no metric \"acuracy\"; did you mean \"accuracy\"?");
    wk_clear_error();
    cr_expect_null(wk_metric_create("f1", (wk_metric_opts){ 0 }));
    wk_clear_error();
    wk_metric *m = wk_metric_create("accuracy", (wk_metric_opts){ .classes = 3 });
    wk_scope scope = wk_scope_begin();
    cr_expect_eq(wk_metric_update(m, wk_zeros(WK_F32, WK_DIMS(2, 3)), wk_full(WK_I64, WK_DIMS(2), 3)), WK_INVALID);
    cr_expect_not_null(strstr(wk_message(), "item 0 has target 3 and prediction 0, expected 0 to 2"), "%s",
                       wk_message());
    wk_clear_error();
    cr_expect_eq(wk_metric_update(m, wk_zeros(WK_F32, WK_DIMS(2, 4)), wk_zeros(WK_I64, WK_DIMS(2))), WK_SHAPE);
    wk_clear_error();
    wk_scope_end(scope);
    wk_metric_destroy(m);
}

Test(metrics, a_smoothed_loss_forgets_its_beginning) {
    wk_smoothed s = { .beta = 0.5 };
    cr_expect_float_eq(wk_smoothed_add(&s, 4), 4, 1e-15);
    cr_expect_float_eq(wk_smoothed_add(&s, 1), 2, 1e-15); /* (0.25 · 4 + 0.5 · 1) / 0.75 */
}

/* Columns of a run: on one rank and on two the same numbers, but for what the ranks' own batches round. */
Test(metrics, in_a_run_on_one_rank_and_two) {
    run_set_up("train_metrics", 160);
    run_write("seed: 7\nmodel: { name: mlp, args: { hidden: 16 } }\noptimizer: { name: SGD, args: { lr: 1e-30 } }\n"
              "wrapper: { name: base, args: { metrics: [ f1, recall_weighted, precision_micro ] } }\n"
              "trainer: { max_steps: 1 }\n");
    free(run_succeeds(NULL));
    char *one = run_text("metrics.csv"), *err = NULL;
    cr_expect_not_null(strstr(one, ",val_f1,val_recall_weighted,val_precision_micro\n"), "%s", one);
    cr_assert_eq(run_ranks(&err, WORDS("--overwrite")), 0, "%s", err);
    char *two = run_text("metrics.csv");
    double a[3], b[3];
    const char *row_one = strstr(one, "\n1,1,"), *row_two = strstr(two, "\n1,1,");
    cr_assert(row_one && row_two, "%s%s", one, two);
    for (int c = 0; c < 7; c++) row_one = strchr(row_one, ',') + 1, row_two = strchr(row_two, ',') + 1;
    cr_assert_eq(sscanf(row_one, "%lf,%lf,%lf", &a[0], &a[1], &a[2]), 3, "%s", one);
    cr_assert_eq(sscanf(row_two, "%lf,%lf,%lf", &b[0], &b[1], &b[2]), 3, "%s", two);
    for (int i = 0; i < 3; i++) cr_expect_float_eq(a[i], b[i], 1e-9, "%g %g", a[i], b[i]);
    free(err);
    free(one);
    free(two);
    run_refused("wrapper.args.metrics: there is no metric \"f2\"",
                WORDS("--overwrite", "-o", "wrapper.args.metrics=[f2]"));
    run_tear_down();
}

/* Its state is a list of scores, which the ranks put together. */
Test(metrics, area_under_the_curve_on_one_rank_and_two) {
    char table[600], text[2400];
    run_set_up("train_auroc", 0);
    (void)snprintf(table, sizeof table, "%s/table.csv", run_folder);
    FILE *f = fopen(table, "w");
    cr_assert_not_null(f);
    (void)fprintf(f, "a,b,ill\n");
    for (int i = 0; i < 80; i++) (void)fprintf(f, "%d,%d,%d\n", i * 37 % 80, i * 11 % 17, i * 37 % 80 + i % 29 > 50);
    (void)fclose(f);
    (void)snprintf(text, sizeof text,
                   "seed: 3\ndata: { name: csv, args: { file: %s, target: ill, val_part: 0.5, batch_size: 5 } }\n"
                   "model: { name: mlp, args: { in_dim: 2, hidden_list: [4], out_dim: 1 } }\n"
                   "wrapper: { name: base, args: { metrics: [auroc] } }\nloss: { name: bce_with_logits }\n"
                   "optimizer: { name: SGD, args: { lr: 1e-30 } }\ntrainer: { max_steps: 1 }\noutput: %s\n",
                   table, run_output);
    run_write_all(text);
    free(run_succeeds(NULL));
    const double one = csv_value(run_path("metrics.csv"), "val_auroc", false);
    char *err = NULL;
    cr_assert_eq(run_ranks(&err, WORDS("--overwrite")), 0, "%s", err);
    cr_expect(one > 0 && one < 1 && one != 0.5, "%g", one);
    cr_expect_float_eq(csv_value(run_path("metrics.csv"), "val_auroc", false), one, 1e-12, "%g", one);
    free(err);
    run_tear_down();
}
