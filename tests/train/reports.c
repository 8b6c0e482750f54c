/* What a run leaves to be read: the record, the evaluation, the page, pictures and tables. */
#include "train/support.h"
#include "wick/train.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char names[] =
    "[zero, '<script>alert(1)</script>', 'a&b', '\"quoted\"', \"it's\", été, six, seven, eight, nine]";

static void set_up(void) {
    run_set_up("train_reports", 96);
}
TestSuite(reports, .init = set_up, .fini = run_tear_down);

static void write_file(const char *model, const char *rest) {
    char text[2000];
    (void)snprintf(text, sizeof text,
                   "seed: 7\ndata: { name: idx, args: { root: %s, batch_size: 16, class_names: %s } }\noutput: %s\n"
                   "model: { name: mlp, args: { hidden: %s } }\noptimizer: { name: SGD, args: { lr: 0.1 } }\n%s",
                   run_folder, names, run_output, model, rest);
    run_write_all(text);
}

static json_t *read_json(const char *name) {
    json_error_t error;
    json_t *root = json_load_file(run_path(name), 0, &error);
    cr_assert_not_null(root, "%s: %s", name, error.text);
    return root;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* What page.py prints of the report; it finds nothing to complain of. */
static char *read_page(void) {
    char path[700];
    (void)snprintf(path, sizeof path, "%s", run_path("report.html"));
    program p = start(run_folder, WORDS(WICK_SOURCE_DIR "/tests/train/page.py", path), NULL);
    int code = finish(&p, 30);
    char *out = read_bytes(p.out, NULL), *err = read_bytes(p.err, NULL);
    cr_assert_eq(code, 0, "%s%s", out, err);
    free(err);
    return out;
}

static int number_after(const char *text, const char *word) {
    char line[40];
    (void)snprintf(line, sizeof line, "%s ", word);
    const char *at = strncmp(text, line, strlen(line)) == 0 ? text : NULL;
    (void)snprintf(line, sizeof line, "\n%s ", word);
    if (!at) at = strstr(text, line);
    return at ? (int)strtol(at + strlen(line) - (at == text), NULL, 10) : -1;
}

static void check_record(void) {
    json_t *record = read_json("run.json");
    cr_expect_str_eq(text_of(record, "state"), "done");
    cr_expect_str_eq(text_of(record, "model"), "mlp");
    cr_expect_eq(json_integer_value(json_object_get(record, "epochs")), 2);
    cr_expect_eq(json_integer_value(json_object_get(record, "steps")), 12);
    cr_expect_eq(json_integer_value(json_object_get(record, "batch_size")), 16);
    cr_expect_gt(json_integer_value(json_object_get(record, "parameters")), 6000);
    cr_expect_geq(json_number_value(json_object_get(record, "ended")),
                  json_number_value(json_object_get(record, "started")));
    json_decref(record);
}

/* The matrix is of all items, its hits are the accuracy that was logged, and its report is classes.txt. */
static void check_evaluation(void) {
    json_t *all = read_json("evaluation.json"), *matrix = json_object_get(all, "matrix"), *classes;
    double counts[100], items = 0, hits = 0;
    const char *class_names[10];
    for (size_t i = 0; i < 100; i++) {
        counts[i] = json_number_value(json_array_get(json_array_get(matrix, i / 10), i % 10));
        items += counts[i];
        hits += i / 10 == i % 10 ? counts[i] : 0;
    }
    cr_expect_eq(items, 25);
    classes = json_object_get(all, "classes");
    for (size_t i = 0; i < 10; i++) class_names[i] = json_string_value(json_array_get(classes, i));
    cr_expect_str_eq(class_names[1], "<script>alert(1)</script>");
    char *csv = run_text("metrics.csv"), accuracy[40], *text = run_text("classes.txt");
    (void)snprintf(accuracy, sizeof accuracy, ",%.9g\n", hits / items);
    cr_expect_not_null(strstr(csv, accuracy), "no %s in %s", accuracy, csv);
    char *report = wk_classification_report(counts, 10, class_names);
    cr_expect_str_eq(text, report);
    wk_free(report);
    free(text);
    free(csv);
    cr_expect_eq(json_array_size(json_object_get(all, "samples")), 16);
    json_t *sample = json_array_get(json_object_get(all, "samples"), 3);
    cr_expect_eq(json_integer_value(json_object_get(sample, "item")), 3);
    cr_expect_eq(strncmp(text_of(sample, "image"), "iVBORw0KGgo", 11), 0, "a PNG in base64");
    json_decref(all);
}

static void check_page(void) {
    char *page = read_page();
    cr_expect_eq(number_after(page, "svg"), 5, "loss, accuracy, rate, throughput, the matrix: %s", page);
    cr_expect_eq(number_after(page, "img"), 16);
    static const char *const expected[] = { "\ndone\n",
                                            "\nLearning curves\n",
                                            "\nThroughput\n",
                                            "macro avg",
                                            "<script>alert(1)</script>",
                                            "\na&b\n",
                                            "\nété\n",
                                            "Linear(in_features",
                                            "\nEnvironment\n",
                                            "hidden: 8",
                                            "\nPredicted\n",
                                            "val_loss" };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        cr_expect_not_null(strstr(page, expected[i]), "the page lacks %s:\n%s", expected[i], page);
    free(page);
}

static void check_pictures(void) {
    static const char *const pictures[] = { "curves", "confusion" };
    for (size_t i = 0; i < 2; i++) {
        char name[40];
        size_t size;
        (void)snprintf(name, sizeof name, "%s.svg", pictures[i]);
        char *svg = run_text(name);
        cr_expect_not_null(strstr(svg, i ? ">Predicted</text>" : ">val_accuracy</text>"), "%s", svg);
        cr_expect(!i || strstr(svg, "&lt;script&gt;"));
        free(svg);
        (void)snprintf(name, sizeof name, "%s.png", pictures[i]);
        char *png = read_bytes(run_path(name), &size);
        cr_assert_not_null(png, "%s is missing", name);
        cr_expect_gt(size, 5000);
        cr_expect_eq(memcmp(png, "\x89PNG\r\n\x1a\n", 8), 0);
        free(png);
    }
}

/* The first of the browsers that is there; NULL: none. */
static char *find_browser(void) {
    static const char *const browsers[] = { "chromium-headless-shell", "chromium", "chromium-browser",
                                            "google-chrome" };
    for (size_t i = 0; i < sizeof browsers / sizeof *browsers; i++) {
        char seek[160];
        (void)snprintf(seek, sizeof seek, "command -v %s >/dev/null", browsers[i]);
        if (run_program(run_folder, WORDS("sh", "-c", seek), NULL, 10, NULL) == 0)
            return (char *)(uintptr_t)browsers[i];
    }
    return NULL;
}

Test(reports, a_run_explains_itself) {
    write_file("8", "trainer: { max_epochs: 2, log_every_n_steps: 3 }\ncallbacks: { name: Plots }\n");
    free(run_succeeds(NULL));
    check_record();
    check_evaluation();
    check_page();
    check_pictures();
    char *losses = run_text("losses.txt");
    cr_expect_eq(strncmp(losses, "   epoch  train_loss  valid_loss   time\n0      0    ", 51), 0, "%s", losses);
    cr_expect_not_null(strstr(losses, "\n1      1    "), "%s", losses);
    free(losses);
}

/* A browser's own account of the page: what it made of it. */
Test(reports, a_browser_opens_the_page) {
    char *browser = find_browser(), path[800], home[600];
    if (!browser) {
        (void)fprintf(stderr,
                      "\n*** SKIPPED: no Chromium is installed (tools/install-deps --check brings one on Debian)\n");
        cr_skip_test("no browser");
    }
    write_file("8", "trainer: { max_epochs: 2, log_every_n_steps: 3 }\n");
    free(run_succeeds(NULL));
    (void)snprintf(path, sizeof path, "file://%s", run_path("report.html"));
    (void)snprintf(home, sizeof home, "--user-data-dir=%s/browser", run_folder);
    program p = start(run_folder,
                      WORDS(browser, "--headless", "--no-sandbox", "--disable-gpu", home, "--dump-dom", path), NULL);
    const int code = finish(&p, 60);
    char *dom = read_bytes(p.out, NULL), *err = read_bytes(p.err, NULL);
    cr_expect_eq(code, 0, "%s", err);
    int drawn = 0;
    for (const char *at = dom; (at = strstr(at, "</svg>")); at++) drawn++;
    cr_expect_eq(drawn, 5, "%s%s", dom, err);
    cr_expect_not_null(strstr(dom, "&lt;script&gt;alert(1)&lt;/script&gt;<br>"), "%s", dom);
    free(dom);
    free(err);
}

Test(reports, ranks_count_together_and_a_resume_goes_on) {
    write_file(
        "8",
        "trainer: { max_epochs: 1, log_every_n_steps: 3 }\ncallbacks: { name: Plots, args: { formats: [svg] } }\n");
    char *err = NULL;
    cr_assert_eq(run_ranks(&err, NULL), 0, "%s", err);
    free(err);
    json_t *all = read_json("evaluation.json"), *record = read_json("run.json");
    double items = 0;
    for (size_t i = 0; i < 100; i++)
        items += json_number_value(json_array_get(json_array_get(json_object_get(all, "matrix"), i / 10), i % 10));
    cr_expect_eq(items, 25, "both ranks' items, none twice");
    cr_expect_eq(json_integer_value(json_object_get(json_array_get(json_object_get(all, "samples"), 3), "item")), 6);
    cr_expect_eq(json_integer_value(json_object_get(record, "ranks")), 2);
    double started = json_number_value(json_object_get(record, "started"));
    json_decref(record);
    json_decref(all);
    free(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=2")));
    record = read_json("run.json");
    cr_expect_eq(json_integer_value(json_object_get(record, "parts")), 2);
    cr_expect_eq(json_number_value(json_object_get(record, "started")), started);
    json_decref(record);
    char *losses = run_text("losses.txt");
    cr_expect_not_null(strstr(losses, "\n0      0    "), "the first part's row: %s", losses);
    cr_expect_not_null(strstr(losses, "\n1      1    "), "%s", losses);
    free(losses);
    cr_expect_neq(access(run_path("curves.png"), F_OK), 0, "svg alone was asked for");
}

Test(reports, what_failed_or_was_stopped_has_a_report_too) {
    write_file("8", "trainer: { max_epochs: 400 }\n");
    run_refused("the loss is ", WORDS("-o", "optimizer.args.lr=1e30", "-o", "trainer.max_epochs=3"));
    json_t *record = read_json("run.json");
    cr_expect_str_eq(text_of(record, "state"), "failed");
    cr_expect_not_null(strstr(text_of(record, "reason"), "the loss is "), "%s", text_of(record, "reason"));
    json_decref(record);
    char *page = read_page();
    cr_expect_not_null(strstr(page, "\nfailed\n"), "%s", page);
    free(page);
    program p = start(run_folder, WORDS(WICK_PROGRAM, "train", "-c", run_file, "--overwrite"), NULL);
    bool reached = wait_for_text(run_path("log.txt"), "epoch 1/400  train loss", 30);
    program ls = start(run_folder, WORDS(WICK_PROGRAM, "runs", "ls", run_output, "--state", "running"), NULL);
    cr_expect_eq(finish(&ls, 30), 0);
    char *out = read_bytes(ls.out, NULL);
    cr_expect_not_null(strstr(out, "run   running  mlp"), "%s", out);
    free(out);
    (void)kill(p.pid, SIGTERM);
    cr_expect_eq(finish(&p, 30), 128 + SIGTERM);
    cr_assert(reached);
    record = read_json("run.json");
    cr_expect_str_eq(text_of(record, "state"), "stopped");
    json_decref(record);
    page = read_page();
    cr_expect_not_null(strstr(page, "\nstopped\n"), "%s", page);
    free(page);
}

Test(reports, names_of_classes_are_checked) {
    write_file("8", "");
    run_refused("class_names has 2 names, expected one for each of the 10 classes",
                WORDS("-o", "data.args.class_names=[a, b]"));
    write_file("8", "callbacks: { name: Plots, args: { formats: [gif] } }\n");
    run_refused("formats has \"gif\", expected svg and png", NULL);
}
