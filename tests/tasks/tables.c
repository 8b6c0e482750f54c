/* tables.c: the example of a table, whole, and what a table may not be; the recipes of Fashion-MNIST, two steps each.
 */
#include "tasks/support.h"
#include "wick/train.h"
#include "train/config.h"

#include <stdlib.h>
#include <string.h>

TestSuite(tables, .init = task_set_up, .fini = task_tear_down);

#define HOUSES "data.args.file=" WICK_SOURCE_DIR "/examples/csv_regression/houses.csv"

Test(tables, prices_are_learned) {
    free(task_train(EXAMPLE("csv_regression"), WORDS("-o", HOUSES)));
    cr_expect_gt(task_metric("val_r2", false), 0.95, "%g", task_metric("val_r2", false));
    cr_expect_lt(task_metric("val_mae", false), 0.2, "%g of a deviation", task_metric("val_mae", false));
}

/* Both datasets of a table that is written, with more args. */
static wk_status read_table(const char *text, const char *args, wk_dataset **train, wk_dataset **evaluation) {
    char yaml[1500], path[600];
    write_bytes(task_path("t.csv"), text, strlen(text));
    int size = snprintf(yaml, sizeof yaml,
                        "data: { name: csv, args: { file: %s, %s } }\nmodel: { name: mlp }\n"
                        "optimizer: { name: SGD, args: { lr: 0.1 } }\n",
                        task_path("t.csv"), args);
    (void)snprintf(path, sizeof path, "%s", task_path("config.yaml"));
    write_bytes(path, yaml, (size_t)size);
    wk__run_config config;
    WK_TRY(wk__run_config_load(&config, path, NULL, 0));
    wk_status status = wk_make_data(&config.root, "data", train, evaluation);
    wk__run_config_free(&config);
    return status;
}

static void refused(const char *text, const char *args, const char *expected) {
    wk_dataset *train = NULL, *evaluation = NULL;
    cr_expect_neq(read_table(text, args, &train, &evaluation), WK_OK);
    cr_expect(strstr(wk_message(), expected), "%s", wk_message());
    wk_clear_error();
}

Test(tables, numbers_categories_and_what_is_missing) {
    static const char table[] = "a,b,y\n1,red,10\n3,blue,20\n,red,30\n5,blue,\n";
    wk_dataset *train = NULL, *evaluation = NULL;
    cr_assert_eq(read_table("a,b,y\n1,red,10\n3,blue,20\n,red,30\n",
                            "target: y, categories: [b], missing: mean, val_part: 0", &train, &evaluation),
                 WK_OK, "%s", wk_message());
    cr_assert_eq(train->count, 3);
    cr_assert_null(evaluation);
    float in[9], out[3]; /* a by mean 2 and deviation 1, blue, red */
    const float expected[9] = { -1, 0, 1, 1, 1, 0, 0, 0, 1 };
    cr_assert_eq(train->class_->fetch(train, (int64_t[]){ 0, 1, 2 }, 3, in, out), WK_OK);
    for (int i = 0; i < 9; i++) cr_expect_float_eq(in[i], expected[i], 1e-6, "%d: %g", i, in[i]);
    cr_expect_float_eq(out[2], 30, 1e-6);
    wk_dataset_destroy(train);

    cr_assert_eq(read_table(table,
                            "target: b, features: a, task: classes, missing: drop, normalise: false, val_part: 0.3",
                            &train, &evaluation),
                 WK_OK, "%s", wk_message());
    cr_expect_eq(train->count, 2);
    cr_expect_eq(evaluation->count, 1);
    cr_expect_eq(train->classes, 2);
    wk_dataset_destroy(train);
    wk_dataset_destroy(evaluation);

    refused(table, "target: y, categories: [b]", "t.csv:4: a value is missing; missing: drop leaves such rows out");
    refused(table, "target: y, categories: [b], missing: mean", "t.csv:5: the value to predict is missing");
    refused(table, "target: y, missing: drop",
            "t.csv:2: column \"b\": \"red\" is no number (a name? list the column under categories)");
    refused(table, "target: z", "no column \"z\" (there are: a, b, y)");
    refused(table, "target: y, categories: [c]", "no column \"c\"");
    refused(table, "target: [a, b, y]", "there are 0 columns to predict from and 3 to predict");
    refused("a,y\n1,2\n1\n", "target: y", "t.csv:3: 1 values, expected 2");
}
