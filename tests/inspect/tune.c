/* The libraries as peers, and `wick bench tune`: lines, files and errors; never times. */
#include "support/program.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[400], json[500], table[500];

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("tune"));
    (void)snprintf(json, sizeof json, "%s/lines.json", folder);
    (void)snprintf(table, sizeof table, "%s/config/tuning.txt", folder);
    (void)setenv("WICK_TUNING", "", 1);
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(libraries, .init = set_up, .fini = tear_down);
TestSuite(tune, .init = set_up, .fini = tear_down);

/* The exit code; *out (free it) holds what the program printed, on both streams. */
static int run_bench(char **out, char *const words[]) {
    char *argv[24] = { WICK_PROGRAM, "bench" };
    int n = 2;
    for (int i = 0; words[i]; i++) argv[n++] = words[i];
    program p = start(folder, argv, NULL);
    int code = finish(&p, 120);
    char *printed = read_bytes(p.out, NULL), *err = read_bytes(p.err, NULL);
    cr_assert(printed && err);
    *out = malloc(strlen(printed) + strlen(err) + 1);
    (void)strcpy(*out, printed);
    (void)strcat(*out, err);
    free(printed);
    free(err);
    return code;
}
#define BENCH(out, ...) run_bench(out, (char *const[]){ __VA_ARGS__, NULL })

/* A build without libraries says so: there is nothing to choose from. */
static bool is_without(char *const words[]) {
    char *out = NULL;
    bool without = run_bench(&out, words) == 1 && strstr(out, "this Wick is built without libraries") != NULL;
    free(out);
    return without;
}
#define NEEDS_LIBRARIES(...) \
    if (is_without((char *const[]){ __VA_ARGS__, NULL })) cr_skip_test("built without libraries")

/* ---- peers ---- */

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

Test(libraries, are_timed_beside_each_other) {
    NEEDS_LIBRARIES("ops", "add", "--peer", "onednn", "--min-time", "0.001");
    char *out = NULL;
    int code = BENCH(&out, "ops", "linear", "--peer", "openblas,onednn", "--sample", "plain", "--min-time", "0.001",
                     "--threads", "1", "--json", json);
    cr_assert_eq(code, 0, "%s", out);
    cr_expect_not_null(strstr(out, "peer: oneDNN "), "%s", out);
    cr_expect_not_null(strstr(out, ", OpenBLAS "), "%s", out);
    cr_expect_not_null(strstr(out, "lines compared with OpenBLAS"), "%s", out);
    json_t *all = json_load_file(json, 0, NULL), *lines = json_object_get(all, "lines"), *line;
    cr_assert_not_null(all);
    cr_expect_eq(json_array_size(json_object_get(all, "peers")), 2);
    cr_assert_eq(json_array_size(lines), 2, "forward and with gradient");
    size_t i;
    json_array_foreach(lines, i, line) {
        json_t *sides = json_object_get(line, "peers");
        cr_assert_eq(json_array_size(sides), 2);
        for (size_t k = 0; k < 2; k++) {
            json_t *side = json_array_get(sides, k);
            cr_expect_eq(strncmp(text_of(side, "peer"), k ? "OpenBLAS " : "oneDNN ", 7), 0, "%s",
                         text_of(side, "peer"));
            cr_expect_gt(json_number_value(json_object_get(side, "ns")), 0);
            cr_expect_gt(json_number_value(json_object_get(side, "ratio")), 0);
            cr_expect_eq(json_array_size(json_object_get(side, "rounds_ns")), 7);
            double p = json_number_value(json_object_get(side, "p"));
            cr_expect(p > 0 && p <= 1);
        }
    }
    json_decref(all);
    free(out);
}

Test(libraries, say_what_they_do_not_serve) {
    NEEDS_LIBRARIES("ops", "add", "--peer", "onednn", "--min-time", "0.001");
    static char *const cases[][2] = { { "exp", "onednn" }, { "conv2d", "openblas" } };
    for (size_t i = 0; i < 2; i++) {
        char *out = NULL;
        int code = BENCH(&out, "ops", cases[i][0], "--peer", cases[i][1], "--mode", "forward", "--min-time", "0.001",
                         "--json", json);
        cr_assert_eq(code, 0, "%s", out);
        cr_expect_not_null(strstr(out, ": does not serve this row"), "%s", out);
        json_t *all = json_load_file(json, 0, NULL), *line = json_array_get(json_object_get(all, "lines"), 0);
        json_t *side = json_array_get(json_object_get(line, "peers"), 0);
        cr_expect_str_eq(text_of(side, "note"), "does not serve this row");
        cr_expect_null(json_object_get(side, "ns"));
        json_decref(all);
        free(out);
    }
}

/* ---- tune ---- */

static char *tune(char *const words[]) {
    char *out = NULL, *argv[20] = { "tune", "--min-time", "0.00001", "-o", table };
    int n = 5;
    for (int i = 0; words[i]; i++) argv[n++] = words[i];
    int code = run_bench(&out, argv);
    cr_assert_eq(code, 0, "%s", out);
    free(out);
    char *text = read_bytes(table, NULL);
    cr_assert_not_null(text);
    return text;
}
#define TUNE(...) tune((char *const[]){ __VA_ARGS__, NULL })

Test(tune, writes_a_table_that_is_loaded) {
    NEEDS_LIBRARIES("tune", "product", "--shape", "8x8x8", "-o", table);
    char *out = NULL, *text = TUNE("product", "--shape", "4x64x8", "--dtype", "f32", "--threads", "1");
    cr_expect_eq(strncmp(text, "wick tuning 1\n# ", 16), 0, "%s", text);
    cr_expect_not_null(strstr(text, "\nlibraries: oneDNN "), "%s", text);
    cr_expect_not_null(strstr(text, "\nthreads: 1\n"), "%s", text);
    cr_expect_str_eq(text + strlen(text) - 5, "\nend\n");
    free(text);
    (void)setenv("WICK_TUNING", table, 1);
    cr_assert_eq(BENCH(&out, "ops", "add", "--sample", "row", "--min-time", "0.001"), 0, "%s", out);
    cr_expect_not_null(strstr(out, table), "the tables are named: %s", out);
    cr_expect_null(strstr(out, "warning"), "%s", out);
    free(out);
}

/* The family that the program found, in a line of its own. */
static void family_line(const char *text, char *line, size_t size) {
    const char *at = strstr(text, "\nfamily: ");
    cr_assert_not_null(at);
    (void)snprintf(line, size, "%.*s", (int)strcspn(at + 1, "\n") + 1, at + 1);
}

Test(tune, keeps_what_a_table_says_of_other_buckets) {
    NEEDS_LIBRARIES("tune", "product", "--shape", "8x8x8", "-o", table);
    char family[100], before[900];
    char *text = TUNE("product", "--shape", "4x64x8", "--dtype", "f32");
    family_line(text, family, sizeof family);
    free(text);
    /* bf16 has nothing else than these two; the one of 4 × 64 × 8 is measured anew, and what it says goes */
    (void)snprintf(before, sizeof before,
                   "wick tuning 1\n%s# mine\n"
                   "product bf16 nn batch=1 m=1449-2896 n=1449-2896 k=1449-2896: own # old = kept\n"
                   "product f32 tt batch=1 m=3-5 n=46-90 k=6-11: onednn\n"
                   "product f32 nt batch=1 m=3-5 n=46-90 k=6-11: own # 12345\nend\n",
                   family);
    write_bytes(table, before, strlen(before));
    text = TUNE("product", "--shape", "4x64x8", "--dtype", "f32");
    cr_expect_not_null(strstr(text, "k=1449-2896: own # old = kept\n"), "%s", text);
    cr_expect_not_null(strstr(text, "product f32 tt batch=1 m=3-5 n=46-90 k=6-11: onednn\n"), "%s", text);
    cr_expect_null(strstr(text, "12345"), "%s", text);
    cr_expect_null(strstr(text, "# mine"), "%s", text);
    free(text);
}

Test(tune, measures_convolutions_and_their_gradients) {
    NEEDS_LIBRARIES("tune", "product", "--shape", "8x8x8", "-o", table);
    char *out = NULL;
    cr_expect_eq(BENCH(&out, "tune", "conv2d*", "--shape", "1x16x16x8", "--dtype", "f32", "--threads", "1",
                       "--min-time", "0.00001", "-o", table),
                 0, "%s", out);
    cr_expect_not_null(strstr(out, "12 buckets measured"), "three passes, four kinds of filters: %s", out);
    free(out);
}

Test(tune, tells_what_is_wrong) {
    NEEDS_LIBRARIES("tune", "product", "--shape", "8x8x8", "-o", table);
    static const struct {
        char *words[6];
        int code;
        const char *message;
    } cases[] = {
        { { "matmul" },
          1,
          "nothing that is tuned is called \"matmul\"; there are product, conv2d, conv2d_backward_input" },
        { { "product", "conv2d" }, 2, "expected one pattern, also found conv2d" },
        { { "product", "--shape", "8x8" }, 2, "--shape is \"8x8\", expected MxNxK or BxMxNxK of a product" },
        { { "product", "--shape", "8x8x0" }, 2, "--shape is \"8x8x0\"" },
        { { "product", "--shape", "8x8x8x8x8" }, 2, "--shape is \"8x8x8x8x8\"" },
        { { "conv2d", "--shape", "8x8x8" }, 1, "--shape has 3 numbers, expected NxCxKxSIDE for conv2d" },
        { { "product", "--dtype", "f64" }, 2, "--dtype is \"f64\", expected f32 or bf16" },
        { { "product", "--threads", "0" }, 2, "--threads is \"0\"" },
        { { "product", "--what", "1" }, 2, "unknown option --what" },
        { { "product", "--shape", "8x8x8", "-o", "/dev/null/all" }, 1, "/dev/null" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out = NULL, *argv[20] = { "tune", "-o", table };
        int n = 3;
        for (int k = 0; cases[i].words[k]; k++) argv[n++] = cases[i].words[k];
        int code = run_bench(&out, argv);
        cr_expect_eq(code, cases[i].code, "%zu: %d: %s", i, code, out);
        cr_expect_not_null(strstr(out, cases[i].message), "%zu: %s", i, out);
        free(out);
    }
}

Test(tune, leaves_files_alone_that_are_no_tables) {
    NEEDS_LIBRARIES("tune", "product", "--shape", "8x8x8", "-o", table);
    static const char *const others[] = { "my notes\n", "wick tuning 1\nfamily: another\nend\n" };
    for (size_t i = 0; i < 2; i++) {
        char *out = NULL;
        write_bytes(table, others[i], strlen(others[i]));
        cr_expect_eq(BENCH(&out, "tune", "product", "--shape", "8x8x8", "-o", table), 1);
        cr_expect_not_null(strstr(out, "it is left as it is: -o names another file"), "%s", out);
        free(out);
        char *text = read_bytes(table, NULL);
        cr_expect_str_eq(text, others[i]);
        free(text);
    }
}

Test(tune, without_a_home_a_file_must_be_named) {
    NEEDS_LIBRARIES("tune", "product", "--shape", "8x8x8", "-o", table);
    char *out = NULL;
    cr_expect_eq(BENCH(&out, "tune", "product", "--shape", "8x8x8"), 1);
    cr_expect_not_null(strstr(out, "there is no place for a table"), "%s", out);
    free(out);
}
