/* support.c: see support.h. */
#include "tasks/support.h"

#include "support/csv.h"
#include "train/config.h"

#include <criterion/criterion.h>
#include <unistd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WORDS = 40 };
char task_folder[400];

void task_set_up(void) {
    (void)snprintf(task_folder, sizeof task_folder, "%s", fresh_folder("tasks"));
    cr_assert_eq(chdir(task_folder), 0); /* whose sources some runs keep */
}
void task_tear_down(void) {
    remove_folder(task_folder);
}

const char *task_path(const char *name) {
    static char path[4][700];
    static int turn;
    turn = (turn + 1) % 4;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", task_folder, name);
    return path[turn];
}

int task_run(char **out, char **err, char *const words[]) {
    char *argv[MOST_WORDS] = { WICK_PROGRAM };
    char *alone[] = { "OMP_NUM_THREADS=1", NULL }; /* threads that wait for each other are slow beside other tests */
    for (int i = 0; words[i]; i++) argv[1 + i] = words[i];
    program p = start(task_folder, argv, alone);
    int code = finish(&p, 100);
    if (out) *out = read_bytes(p.out, NULL);
    if (err) *err = read_bytes(p.err, NULL);
    return code;
}

char *task_train(const char *file, char *const words[]) {
    char output[600], *argv[MOST_WORDS] = { "train", "-c", (char *)(uintptr_t)file, "-o", output }, *err = NULL;
    (void)snprintf(output, sizeof output, "output=%s/run", task_folder);
    for (int i = 0; words && words[i]; i++) argv[5 + i] = words[i];
    int code = task_run(NULL, &err, argv);
    cr_assert_eq(code, 0, "exit code %d:\n%s", code, err);
    return err;
}

void task_refused(int code, const char *expected, char *const words[]) {
    char *err = NULL;
    int got = task_run(NULL, &err, words);
    cr_expect_eq(got, code, "exit code %d:\n%s", got, err);
    char *found = strstr(err, expected);
    cr_expect_not_null(found, "expected \"%s\" in:\n%s", expected, err);
    if (found) cr_expect_null(strstr(found + 1, "\nwick"), "more than one message:\n%s", err);
    free(err);
}

double task_metric(const char *column, bool first) {
    return csv_value(task_path("run/metrics.csv"), column, first);
}

wk_status task_data(const char *name, const char *args, wk_dataset **train, wk_dataset **evaluation) {
    char yaml[1500], path[600];
    int size = snprintf(yaml, sizeof yaml,
                        "data: { name: %s, args: { %s } }\nmodel: { name: mlp }\n"
                        "optimizer: { name: SGD, args: { lr: 0.1 } }\n",
                        name, args);
    (void)snprintf(path, sizeof path, "%s", task_path("config.yaml"));
    write_bytes(path, yaml, (size_t)size);
    wk__run_config config;
    WK_TRY(wk__run_config_load(&config, path, NULL, 0));
    wk_status status = wk_make_data(&config.root, "data", train, evaluation);
    wk__run_config_free(&config);
    return status;
}
