/* loggers.c: where rows of metrics go, byte by byte. */
#include "train/support.h"
#include "train/loggers/text.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void set_up(void) {
    run_set_up("train_loggers", 96);
    run_write("seed: 7\nmodel: { name: mlp, args: { hidden: 8 } }\noptimizer: { name: SGD, args: { lr: 1e-5 } }\n"
              "trainer: { max_epochs: 2, log_every_n_steps: 6 }\nlogger: [ { name: csv }, { name: jsonl } ]\n");
}
TestSuite(loggers, .init = set_up, .fini = run_tear_down);

static int count_lines(const char *text, const char *end) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, end)); at += strlen(end)) count++;
    return count;
}

Test(loggers, csv_is_that_of_lightning) {
    free(run_succeeds(NULL));
    char *csv = run_text("default/version_0/metrics.csv");
    cr_expect_eq(strncmp(csv, "epoch,images_per_second,lr,step,train_loss,val_accuracy,val_loss\r\n", 66), 0, "%s",
                 csv);
    cr_expect_eq(count_lines(csv, "\r\n"), 5, "%s", csv);
    cr_expect_eq(count_lines(csv, "\n"), 5, "every line ends with both: %s", csv);
    cr_expect_not_null(strstr(csv, ",1e-05,6,"), "numbers are Python's: %s", csv);
    cr_expect_not_null(strstr(csv, "\r\n0,,1e-05,6,,"), "an empty cell: %s", csv);
    free(csv);
    char *hparams = run_text("default/version_0/hparams.yaml");
    cr_expect_not_null(strstr(hparams, "seed: 7"), "%s", hparams);
    free(hparams);
    free(run_succeeds(WORDS("--overwrite")));
    cr_expect_eq(access(run_path("default/version_1/metrics.csv"), R_OK), 0, "the next run is the next version");
}

/* New names (of the validation) have the file written anew, else rows are added to it. */
Test(loggers, rows_one_by_one_are_those_of_one_write) {
    free(run_succeeds(WORDS("-o", "trainer.log_every_n_steps=1", "-o",
                            "logger=[{name: csv, args: {name: each, flush_logs_every_n_steps: 1}}, "
                            "{name: csv, args: {name: once, flush_logs_every_n_steps: 1000}}]")));
    char *each = run_text("each/version_0/metrics.csv"), *once = run_text("once/version_0/metrics.csv");
    cr_expect_str_eq(each, once);
    cr_expect_gt(count_lines(each, "\r\n"), 12, "%s", each);
    free(each);
    free(once);
}

Test(loggers, rows_after_a_resume_are_those_of_one_run) {
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=3")));
    char *whole = run_text("default/version_0/metrics.csv"), *lines = run_text("metrics.jsonl");
    run_set_aside("whole");
    free(run_succeeds(WORDS("-o", "trainer.max_epochs=1")));
    FILE *torn = fopen(run_path("default/version_0/metrics.csv"), "ae");
    cr_assert(torn && fputs("0,,1e-", torn) > 0 && fclose(torn) == 0);
    free(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=3")));
    char *csv = run_text("default/version_0/metrics.csv"), *jsonl = run_text("metrics.jsonl");
    cr_expect_eq(count_lines(csv, "\r\n"), count_lines(whole, "\r\n"), "%s", csv);
    cr_expect_eq(count_lines(jsonl, "\n"), count_lines(lines, "\n"), "%s", jsonl);
    cr_expect_str_eq(strstr(csv, "\r\n2,,"), strstr(whole, "\r\n2,,"));
    cr_expect_eq(strncmp(jsonl, "{\"step\": 6, \"epoch\": 1, \"lr\": 1e-05, \"train_loss\": ", 51), 0, "%s", jsonl);
    free(whole);
    free(lines);
    free(csv);
    free(jsonl);
}

Test(loggers, numbers_as_python_writes_them) {
    static const struct {
        double value;
        const char *text;
    } cases[] = { { 0.1, "0.1" },
                  { 1, "1.0" },
                  { -2.5, "-2.5" },
                  { 1e-5, "1e-05" },
                  { 0.0001, "0.0001" },
                  { 1e16, "1e+16" },
                  { 123456789.125, "123456789.125" },
                  { 1e15, "1000000000000000.0" },
                  { 1.0 / 3, "0.3333333333333333" },
                  { NAN, "nan" },
                  { -INFINITY, "-inf" },
                  { 0, "0.0" },
                  { 100, "100.0" },
                  { 0.30000000000000004, "0.30000000000000004" },
                  { 1e22, "1e+22" },
                  { -1.5e-7, "-1.5e-07" },
                  { 1.2e-310, "1.2e-310" },
                  { 9.999999999999999e-06, "9.999999999999999e-06" },
                  { 99999.99999999999, "99999.99999999999" },
                  { 999999999999999.9, "999999999999999.9" },
                  { 9007199254740991, "9007199254740991.0" },
                  { 9007199254740993.0, "9007199254740992.0" },
                  { 0.5, "0.5" },
                  { 0x1p-16, "1.52587890625e-05" },
                  { 0.1 + 0.7, "0.7999999999999999" },
                  { 5e-324, "5e-324" } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[40];
        cr_expect_str_eq(wk__python_float(cases[i].value, text), cases[i].text);
    }
}

Test(loggers, tensorboard_has_the_values_as_hyperparameters) {
    char script[700];
    free(run_succeeds(WORDS("-o", "logger={name: tensorboard}")));
    (void)snprintf(script, sizeof script,
                   "grep -c -a -e '_hparams_/session_start_info' -e '_hparams_/session_end_info' -e optimizer.args.lr "
                   "-e hp_metric %s",
                   run_path("default/version_0/events.out.tfevents.*"));
    cr_expect_eq(run_program(run_folder, WORDS("bash", "-c", script), NULL, 20, NULL), 0);
    char *hparams = run_text("default/version_0/hparams.yaml");
    cr_expect_not_null(strstr(hparams, "seed: 7"));
    free(hparams);
}
