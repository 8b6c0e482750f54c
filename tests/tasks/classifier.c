/* classifier.c: the example of text classification, whole; tables of texts. */
#include "tasks/support.h"
#include "tasks/table.h"
#include "wick/tasks.h"

#include <stdlib.h>
#include <string.h>

TestSuite(classifier, .init = task_set_up, .fini = task_tear_down);

#define REVIEWS WICK_SOURCE_DIR "/examples/text_classification/reviews.csv"

/* "KEY=PATH" */
static char *option(const char *key, const char *path) {
    static char text[4][800];
    static int turn;
    turn = (turn + 1) % 4;
    (void)snprintf(text[turn], sizeof text[turn], "%s=%s", key, path);
    return text[turn];
}

Test(classifier, a_small_bert_learns_and_leaves_a_folder) {
    char *tokenizer = (char *)(uintptr_t)task_path("tokenizer.json");
    cr_assert_eq(
        task_run(NULL, NULL, WORDS("tokenize", "--train", "wordpiece", "--size", "200", "--save", tokenizer, REVIEWS)),
        0);
    free(task_train(EXAMPLE("text_classification"),
                    WORDS("-o", option("data.args.file", REVIEWS), "-o", option("data.args.tokenizer", tokenizer))));
    cr_expect_gt(task_metric("val_accuracy", false), 0.9, "%g", task_metric("val_accuracy", false));
    wk_module *m = wk_pretrained_open(task_path("run/pretrained"), (wk_pretrained_opts){ .labels = 2 });
    wk_tokenizer *t = wk_tokenizer_open(task_path("run/pretrained"));
    cr_expect(m && t, "%s", wk_message());
    wk_module_destroy(m);
    wk_tokenizer_destroy(t);

    /* Fine-tuning what was published begins in the same way. */
    char *words[] = { "-o",          option("data.args.file", REVIEWS),
                      "-o",          "data.args.tokenizer=" GOLDEN("pretrained/bert"),
                      "-o",          "model.name=pretrained",
                      "-o",          "model.args={ labels: 2, path: " GOLDEN("pretrained/roberta") " }",
                      "-o",          "data.args.max_length=12",
                      "-o",          "trainer.max_steps=1",
                      "--overwrite", NULL };
    free(task_train(EXAMPLE("text_classification"), words));
}

Test(classifier, what_does_not_fit_is_said) {
    static const char table[] = "id,words,class\n1,\"good, \"\"very\"\"\",a\n2,bad,b\n3,worse,c\n";
    char *tokenizer = option("data.args.tokenizer", GOLDEN("pretrained/bert")),
         *config = EXAMPLE("text_classification");
    write_bytes(task_path("t.csv"), table, sizeof table - 1);
    char *file = option("data.args.file", task_path("t.csv"));
#define REFUSED(expected, ...) \
    task_refused(1, expected, WORDS("train", "-c", config, "-o", tokenizer, "-o", file, __VA_ARGS__))
    REFUSED("no column \"text\" (there are: id, words, class)", "-o", "data.args.label=class");
    REFUSED("t.csv:4: \"c\" in column \"class\" is none of the 2 classes", "-o", "data.args.label=class", "-o",
            "data.args.text=words", "-o", "data.args.labels=[a, b]");
    REFUSED("the data has 3 classes: model.args.labels=3", "-o", "data.args.label=class", "-o", "data.args.text=words");
    REFUSED("the tokenizer has 23 tokens, the model's vocabulary 20", "-o", "data.args.label=class", "-o",
            "data.args.text=words", "-o", "model.args.vocabulary=20");
#undef REFUSED
}

/* ---- tables ---- */

static wk_status read_as(wk__table *t, const char *name, const char *text, bool header) {
    write_bytes(task_path(name), text, strlen(text));
    static char path[700];
    (void)snprintf(path, sizeof path, "%s", task_path(name));
    return wk__table_read(t, path, header);
}

Test(classifier, tables_of_all_kinds) {
    wk__table t;
    cr_assert_eq(read_as(&t, "a.csv", "\xEF\xBB\xBFx,\"y \"\"z\"\"\"\r\n\r\n1,\"two\nlines\"\r\n,\r\n", true), WK_OK,
                 "%s", wk_message());
    cr_assert_eq(t.rows, 2);
    cr_assert_eq(t.columns, 2);
    cr_expect_str_eq(t.name[1], "y \"z\"");
    cr_expect_str_eq(wk__table_cell(&t, 0, 1), "two\nlines");
    cr_expect_str_eq(wk__table_cell(&t, 1, 0), "");
    cr_expect_eq(t.line[1], 5);
    wk__table_free(&t);
    cr_assert_eq(read_as(&t, "b.tsv", "1,5\t2\n3\t4", false), WK_OK, "%s", wk_message());
    cr_assert_eq(t.rows, 2);
    cr_expect_str_eq(wk__table_cell(&t, 0, wk__table_column(&t, "0")), "1,5");
    cr_expect_str_eq(wk__table_cell(&t, 1, 1), "4");
    wk__table_free(&t);
    cr_assert_eq(read_as(&t, "c.jsonl", "{\"a\": \"x\\ny\", \"b\": 2}\n\n{\"b\": null, \"a\": \"z\"}\n", true), WK_OK,
                 "%s", wk_message());
    cr_expect_str_eq(wk__table_cell(&t, 0, 0), "x\ny");
    cr_expect_str_eq(wk__table_cell(&t, 0, 1), "2");
    cr_expect_str_eq(wk__table_cell(&t, 1, 1), "");
    wk__table_free(&t);

    static const char *const bad[][3] = { { "d.csv", "a,b\n1\n", "d.csv:2: 1 values, expected 2" },
                                          { "d.csv", "a,b\n1,\"2\n3", "d.csv:2: a quote is opened and not closed" },
                                          { "d.csv", "a,b\n1,\"2\"3\n",
                                            "d.csv:2: there are characters behind a closing quote" },
                                          { "d.csv", "\n", "d.csv: the file is empty, expected a header" },
                                          { "d.csv", "a\n", "d.csv: there are no rows in it" },
                                          { "d.jsonl", "{\"a\": 1}\n[1]\n", "d.jsonl:2: expected an object" } };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(read_as(&t, bad[i][0], bad[i][1], true), WK_FORMAT);
        cr_expect(strstr(wk_message(), bad[i][2]), "%s", wk_message());
        wk_clear_error();
        wk__table_free(&t);
    }
}
