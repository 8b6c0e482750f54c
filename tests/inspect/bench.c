/* `wick bench` as a person runs it: its lines, its JSON, its errors; never its times. */
#include "support/program.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static char folder[400], json[500];

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("bench"));
    (void)snprintf(json, sizeof json, "%s/lines.json", folder);
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(bench_command, .init = set_up, .fini = tear_down);

static int run_bench(char **err, char *const words[]) {
    char *argv[20] = { WICK_PROGRAM, "bench" };
    int n = 2;
    for (int i = 0; words[i]; i++) argv[n++] = words[i];
    return run_program(folder, argv, NULL, 60, err);
}
#define BENCH(err, ...) run_bench(err, (char *const[]){ __VA_ARGS__, NULL })

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

Test(bench_command, times_a_row_and_writes_json) {
    char *err = NULL;
    int code = BENCH(&err, "ops", "add", "--min-time", "0.001", "--threads", "1", "--json", json);
    cr_assert_eq(code, 0, "%s", err);
    json_t *all = json_load_file(json, 0, NULL), *lines = json_object_get(all, "lines");
    cr_assert_not_null(all);
    cr_expect_eq(json_integer_value(json_object_get(all, "threads")), 1);
    cr_expect_neq(*text_of(all, "processor"), '\0');
    cr_assert_eq(json_array_size(lines), 4, "two samples, forward and with gradient");
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line) {
        cr_expect_str_eq(text_of(line, "row"), "add");
        cr_expect_str_eq(text_of(line, "mode"), i % 2 ? "grad" : "forward");
        cr_expect_gt(json_number_value(json_object_get(line, "wick_ns")), 0);
        cr_expect_null(json_object_get(line, "ratio"), "there is no peer");
    }
    /* x, y and their sum, 512 × 1024 each, once */
    cr_expect_eq(json_number_value(json_object_get(json_array_get(lines, 0), "bytes")), 3.0 * 4 * 512 * 1024);
    json_decref(all);
    free(err);
}

Test(bench_command, a_pattern_and_a_mode_choose) {
    char *err = NULL;
    int code = BENCH(&err, "ops", "log_s*", "--min-time", "0.001", "--mode", "forward", "--json", json);
    cr_assert_eq(code, 0, "%s", err);
    json_t *all = json_load_file(json, 0, NULL), *lines = json_object_get(all, "lines");
    cr_assert_gt(json_array_size(lines), 0);
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line) {
        cr_expect_str_eq(text_of(line, "row"), "log_softmax");
        cr_expect_str_eq(text_of(line, "mode"), "forward");
    }
    json_decref(all);
    free(err);
}

Test(bench_command, tells_what_is_wrong) {
    static const struct {
        char *words[5];
        int code;
        const char *message;
    } cases[] = {
        { { "ops", "sofmax" }, 1, "did you mean \"softmax\"?" },
        { { "ops", "nothing*" }, 1, "no operation is called \"nothing*\"; `wick op --list` shows all" },
        { { "ops", "add", "--peer", "onednn" }, 2, "--peer is \"onednn\", expected torch" },
        { { "ops", "add", "--mode", "backwards" }, 2, "--mode is \"backwards\", expected forward, grad or both" },
        { { "ops", "add", "--dtype", "f33" }, 2, "--dtype is \"f33\", expected a dtype as f32" },
        { { "ops", "add", "--threads", "0" }, 2, "--threads is \"0\", expected a number of at least 1" },
        { { "ops", "add", "--min-time", "-1" }, 2, "--min-time is \"-1\", expected seconds, more than 0" },
        { { "ops", "add", "--cold" }, 2, "unknown option, or nothing stands behind --cold" },
        { { "ops", "add", "mul" }, 2, "expected one pattern, also found mul" },
        { { "ops", "erf", "--dtype", "i64" }, 1, "no operation that \"erf\" names takes i64" },
        { { "opps" }, 2, "what can be measured is ops, not opps" },
        /* this folder is not the root of Wick's sources */
        { { "ops", "add", "--peer", "torch" }, 1, "there is no benchmarks/peers/torch_ops.py here" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *err = NULL;
        char command[1200];
        int at = snprintf(command, sizeof command, "cd '%s' && exec '%s' bench", folder, WICK_PROGRAM);
        for (int k = 0; cases[i].words[k]; k++)
            at += snprintf(command + at, sizeof command - (size_t)at, " '%s'", cases[i].words[k]);
        char *const shell[] = { "sh", "-c", command, NULL };
        int code = run_program(folder, shell, NULL, 60, &err);
        cr_expect_eq(code, cases[i].code, "%s: %d", command, code);
        cr_expect_not_null(strstr(err, cases[i].message), "%s: %s", command, err);
        free(err);
    }
}

/* The Python named is there and has no PyTorch, or is not there. */
Test(bench_command, a_missing_peer_is_one_error) {
    static const struct {
        const char *python, *message;
    } cases[] = { { "/nowhere/python", "there is no Python at /nowhere/python; run benchmarks/peers/install" },
                  { "/bin/false", "ended without an answer" } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[1200], *err = NULL;
        (void)snprintf(command, sizeof command, "cd '%s' && WICK_PYTHON=%s exec '%s' bench ops add --peer torch",
                       WICK_SOURCE_DIR, cases[i].python, WICK_PROGRAM);
        char *const shell[] = { "sh", "-c", command, NULL };
        cr_expect_eq(run_program(folder, shell, NULL, 60, &err), 1);
        cr_expect_not_null(strstr(err, cases[i].message), "%s", err);
        free(err);
    }
}
