/* support.c: see support.h. */
#include "train/support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char run_folder[400], run_output[500], run_file[500];

void run_set_up(const char *name, int items) {
    (void)snprintf(run_folder, sizeof run_folder, "%s", fresh_folder(name));
    (void)snprintf(run_output, sizeof run_output, "%s/run", run_folder);
    (void)snprintf(run_file, sizeof run_file, "%s/config.yaml", run_folder);
    cr_assert_eq(chdir(run_folder), 0); /* whose sources some runs keep */
    if (items) make_idx_folder(run_folder, items);
}

void run_tear_down(void) {
    remove_folder(run_folder);
}

void run_write_all(const char *text) {
    write_bytes(run_file, text, strlen(text));
}

void run_write(const char *rest) {
    char text[4000];
    int size = snprintf(text, sizeof text, "data: { name: idx, args: { root: %s, batch_size: 16 } }\noutput: %s\n%s",
                        run_folder, run_output, rest);
    cr_assert(size > 0 && size < (int)sizeof text);
    run_write_all(text);
}

void run_write_with(const char *usual, const char *more) {
    char text[3500];
    const int size = snprintf(text, sizeof text, "%s%s", usual, more);
    cr_assert(size > 0 && size < (int)sizeof text);
    run_write(text);
}

bool run_has(const char *name) {
    return access(run_path(name), F_OK) == 0;
}

enum { MOST_WORDS = 40 };

int run_train(char **err, char *const words[]) {
    char *argv[MOST_WORDS] = { WICK_PROGRAM, "train", "-c", run_file };
    for (int i = 0; words && words[i]; i++) argv[4 + i] = words[i];
    return run_program(run_folder, argv, NULL, 200, err);
}

char *run_succeeds(char *const words[]) {
    char *err = NULL;
    int code = run_train(&err, words);
    cr_assert_eq(code, 0, "exit code %d:\n%s", code, err);
    return err;
}

void run_refused(const char *expected, char *const words[]) {
    char *err = NULL;
    int code = run_train(&err, words);
    cr_expect_eq(code, 1, "exit code %d:\n%s", code, err);
    char *found = strstr(err, expected);
    cr_expect_not_null(found, "expected \"%s\" in:\n%s", expected, err);
    if (found) cr_expect_null(strstr(found + 1, "wick: "), "more than one message:\n%s", err);
    free(err);
}

int run_ranks(char **err, char *const words[]) {
    char *argv[MOST_WORDS] = {
        "mpirun", "--oversubscribe", "--bind-to", "none", "--mca",      "pml",   "ob1", "--mca",
        "btl",    "self,vader",      "-n",        "2",    WICK_PROGRAM, "train", "-c",  run_file
    };
    char *environment[] = {
        "ASAN_OPTIONS=detect_leaks=0", "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
        "OMP_NUM_THREADS=1",           "WICK_DIST_TIMEOUT=20",     NULL
    };
    for (int i = 0; words && words[i]; i++) argv[16 + i] = words[i];
    program p = start(run_folder, argv, environment);
    int code = finish(&p, 60);
    *err = read_bytes(p.err, NULL);
    return code;
}

const char *run_path(const char *name) {
    static char path[2][700];
    static int turn;
    turn = !turn;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", run_output, name);
    return path[turn];
}

char *run_text(const char *name) {
    char *text = read_bytes(run_path(name), NULL);
    cr_assert_not_null(text, "%s is missing", name);
    return text;
}

void run_set_aside(const char *name) {
    char kept[600];
    (void)snprintf(kept, sizeof kept, "%s/%s", run_folder, name);
    cr_assert_eq(rename(run_output, kept), 0);
}

void run_same_checkpoint(const char *aside, const char *name) {
    char kept[800];
    (void)snprintf(kept, sizeof kept, "%s/%s/%s", run_folder, aside, name);
    cr_expect(same_bytes(kept, run_path(name)), "%s differs from that of %s", name, aside);
}
