/* `wick bench` as a person runs it: its lines, its JSON, its errors; never its times. */
#include "support/brief.h"
#include "support/program.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
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
    return run_program(folder, argv, NULL, 200, err);
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

/* The first line of a fresh run with these words; free the file with json_decref. */
static json_t *first_line(json_t **all) {
    *all = json_load_file(json, 0, NULL);
    cr_assert_not_null(*all);
    json_t *line = json_array_get(json_object_get(*all, "lines"), 0);
    cr_assert_not_null(line);
    return line;
}

Test(bench_command, one_sample_and_shapes_of_ones_own) {
    char *err = NULL;
    json_t *all;
    int code = BENCH(&err, "ops", "add", "--min-time", "0.001", "--sample", "row", "--json", json);
    cr_assert_eq(code, 0, "%s", err);
    cr_expect_str_eq(text_of(first_line(&all), "sample"), "row");
    json_decref(all);
    free(err);
    code = BENCH(&err, "ops", "add", "--min-time", "0.001", "--shape", "30x50,50", "--cold", "--json", json);
    cr_assert_eq(code, 0, "%s", err);
    json_t *line = first_line(&all);
    cr_expect_eq(json_number_value(json_object_get(line, "bytes")), 4.0 * (2 * 30 * 50 + 50));
    cr_expect_str_eq(text_of(all, "cache"), "cold");
    cr_expect_not_null(
        strstr(text_of(line, "repeat"), "wick bench ops add --sample 'huge' --mode forward --dtype f32"));
    json_decref(all);
    free(err);
}

Test(bench_command, says_what_the_machine_can_do_and_how_near_a_row_comes) {
    if (tests_are_brief()) cr_skip_test("measures the machine");
    char *err = NULL;
    int code = BENCH(&err, "ops", "matmul", "--min-time", "0.001", "--threads", "1", "--json", json);
    cr_assert_eq(code, 0, "%s", err);
    json_t *all, *line = first_line(&all), *roofs = json_object_get(all, "roofs");
    cr_expect_gt(json_number_value(json_object_get(roofs, "f32_operations_per_second")), 1e8);
    cr_expect_gt(json_number_value(json_object_get(roofs, "fork_join_seconds")), 0);
    json_t *levels = json_object_get(roofs, "bandwidth");
    cr_assert_gt(json_array_size(levels), 0);
    cr_expect_str_eq(text_of(json_array_get(levels, json_array_size(levels) - 1), "level"), "memory");
    cr_expect_gt(json_number_value(json_object_get(line, "percent_of_roof")), 0);
    json_decref(all);
    free(err);
    char *const argv[] = { WICK_PROGRAM, "bench", "roofs", "--threads", "1", NULL };
    program p = start(folder, argv, NULL);
    cr_assert_eq(finish(&p, 120), 0);
    char *out = read_bytes(p.out, NULL);
    cr_expect(out && strstr(out, "threads: 1\nroofs: ") && strstr(out, "fork and join"), "%s", out ? out : "");
    free(out);
}

Test(bench_command, checks_before_it_times) {
    char *err = NULL;
    int code = BENCH(&err, "ops", "gelu", "--mode", "check,bitwise", "--json", json);
    cr_assert_eq(code, 0, "%s", err);
    json_t *all, *line = first_line(&all), *lines = json_object_get(all, "lines");
    cr_expect_str_eq(text_of(line, "mode"), "check");
    cr_expect_not_null(strstr(text_of(line, "note"), "parts"), "%s", text_of(line, "note"));
    cr_expect_str_eq(text_of(json_array_get(lines, 1), "mode"), "bitwise");
    cr_expect_not_null(strstr(text_of(json_array_get(lines, 1), "note"), "the same bits in a second run"));
    cr_expect_null(json_object_get(line, "wick_ns"), "nothing was timed");
    json_decref(all);
    free(err);
}

/* An earlier file whose times are `factor` times those of now. */
static void write_earlier(const char *path, double factor) {
    json_t *all = json_load_file(json, 0, NULL), *lines = json_object_get(all, "lines"), *line, *round;
    size_t i, r;
    json_array_foreach(lines, i, line) {
        json_t *rounds = json_object_get(line, "wick_rounds_ns");
        json_array_foreach(rounds, r, round) {
            (void)json_array_set_new(rounds, r, json_real(factor * json_number_value(round)));
        }
        double ns = json_number_value(json_object_get(line, "wick_ns"));
        (void)json_object_set_new(line, "wick_ns", json_real(factor * ns));
    }
    (void)json_object_set_new(all, "processor", json_string("another"));
    cr_assert_eq(json_dump_file(all, path, 0), 0);
    json_decref(all);
}

Test(bench_command, compares_with_an_earlier_file) {
    char *err = NULL, earlier[520];
    (void)snprintf(earlier, sizeof earlier, "%s/earlier.json", folder);
    cr_assert_eq(BENCH(&err, "ops", "exp", "--min-time", "0.01", "--mode", "forward", "--json", json), 0, "%s", err);
    free(err);
    static const struct {
        double factor;
        const char *verdict, *summary;
    } cases[] = { { 1000, "faster", "1 faster, 0 slower" }, { 0.001, "slower", "0 faster, 1 slower" } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_earlier(earlier, cases[i].factor);
        char *const argv[] = { WICK_PROGRAM, "bench",   "ops",       "exp",   "--min-time", "0.01",
                               "--mode",     "forward", "--compare", earlier, NULL };
        program p = start(folder, argv, NULL);
        cr_assert_eq(finish(&p, 120), 0);
        char *out = read_bytes(p.out, NULL);
        cr_assert_not_null(out);
        cr_expect_not_null(strstr(out, cases[i].verdict), "%s", out);
        cr_expect_not_null(strstr(out, cases[i].summary), "%s", out);
        cr_expect_not_null(strstr(out, "0.0006"), "the least that seven rounds beside seven can give: %s", out);
        cr_expect_not_null(strstr(out, "warning: the earlier processor is \"another\""), "%s", out);
        free(out);
    }
    write_bytes(earlier, "{\"lines\": 3}", 12);
    cr_expect_eq(BENCH(&err, "ops", "exp", "--compare", earlier), 2);
    cr_expect_not_null(strstr(err, "there are no \"lines\"; expected a file of --json"), "%s", err);
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
        { { "ops", "add", "--peer", "onednn,mkl" }, 2, "--peer has \"mkl\", expected some of torch, onednn, openblas" },
        { { "ops", "add", "--device", "gpu" }, 2, "--device: there is no device \"gpu\"; expected cpu, cuda" },
        { { "roofs", "--device", "cuda:x" }, 2, "--device: there is no device \"cuda:x\"" },
        { { "ops", "add", "--mode", "grad,backwards" },
          2,
          "--mode has \"backwards\", expected some of check, bitwise" },
        { { "ops", "add", "--dtype", "f33" }, 2, "--dtype is \"f33\", expected a dtype as f32" },
        { { "ops", "add", "--threads", "0" }, 2, "--threads is \"0\", expected a number of at least 1" },
        { { "ops", "add", "--min-time", "-1" }, 2, "--min-time is \"-1\", expected seconds, more than 0" },
        { { "ops", "add", "--json" }, 2, "unknown option, or nothing stands behind --json" },
        { { "ops", "add", "--shape", "3y4" }, 2, "--shape is \"3y4\", expected shapes as 512x1024" },
        { { "ops", "add", "--shape", "1x1x1x1x1x1x1x1x1" }, 2, "of at most 8 axes" },
        { { "ops", "add", "--shape", "2,2,2" }, 1, "add: --shape has 3 shapes, the sample \"huge\" 2 operands" },
        { { "ops", "matmul", "--shape", "2x3,4x5" }, 1, "inner dimensions 3 and 4 differ" },
        { { "ops", "add", "--sample", "none" }, 1, "no row that \"add\" names has a sample \"none\"" },
        { { "ops", "add", "--compare", "nowhere.json" }, 2, "--compare nowhere.json: " },
        { { "ops", "add", "--max-noise", "x" }, 2, "--max-noise is \"x\", expected a number of percent" },
        { { "ops", "add", "mul" }, 2, "expected one pattern, also found mul" },
        { { "ops", "erf", "--dtype", "i64" }, 1, "no operation that \"erf\" names takes i64" },
        { { "opps" }, 2, "what can be done is ops, steps, step, overhead, roofs, comm, tune or plot, not opps" },
        { { "comm", "--ranks", "1" }, 2, "--ranks is \"1\", expected 2 to 256" },
        { { "comm", "--sizes", "4K,3" }, 2, "--sizes has \"3\", expected multiples of 4 bytes below 2G" },
        { { "comm", "--algorithms", "ring,tree" }, 2, "--algorithms is \"ring,tree\", expected some of shared" },
        { { "comm", "--threads", "2" }, 2, "comm: unknown option --threads" },
        { { "comm", "--json" }, 2, "comm: nothing stands behind --json" },
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
        int code = run_program(folder, shell, NULL, 200, &err);
        cr_expect_eq(code, cases[i].code, "%s: %d", command, code);
        cr_expect_not_null(strstr(err, cases[i].message), "%s: %s", command, err);
        free(err);
    }
}

/* ---- comm ---- */

static const char *const algorithms[] = { "shared", "hierarchical", "ring", "mpi" };

/* What Open MPI leaks is not ours to report; what it leaves in shared memory when it is killed goes with the folder. */
static program start_comm(char *const words[]) {
    static char backing[500];
    (void)snprintf(backing, sizeof backing, "OMPI_MCA_btl_vader_backing_directory=%s", folder);
    char *const environment[] = { "ASAN_OPTIONS=detect_leaks=0", backing, NULL };
    char *argv[20] = { WICK_PROGRAM, "bench", "comm" };
    int n = 3;
    for (int i = 0; words[i]; i++) argv[n++] = words[i];
    return start(folder, argv, environment);
}

Test(bench_command, comm_times_each_algorithm_and_writes_json) {
    program p = start_comm((char *const[]){ "--ranks", "4", "--sizes", "4K,300004", "--json", json, NULL });
    int code = finish(&p, 120);
    char *err = read_bytes(p.err, NULL);
    cr_assert_eq(code, 0, "%d: %s", code, err);
    json_t *all = json_load_file(json, 0, NULL), *lines = json_object_get(all, "lines");
    cr_expect_eq(json_integer_value(json_object_get(all, "ranks")), 4);
    cr_expect_neq(*text_of(all, "build"), '\0');
    cr_assert_eq(json_array_size(lines), 8, "two sizes, four algorithms");
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line) {
        double rate = json_number_value(json_object_get(line, "bytes_per_second"));
        double bus = json_number_value(json_object_get(line, "bus_bytes_per_second"));
        cr_expect_str_eq(text_of(line, "algorithm"), algorithms[i % 4]);
        cr_expect_eq(json_integer_value(json_object_get(line, "bytes")), i < 4 ? 4096 : 300004);
        cr_expect_gt(rate, 0);
        cr_expect_float_eq(bus / rate, 1.5, 1e-9);
        cr_expect_eq(json_array_size(json_object_get(line, "rounds_ns")), 7);
    }
    json_decref(all);
    free(err);
}

/* Started by an agent it is a rank: over TCP, where nobody has MPI_Allreduce. */
Test(bench_command, comm_times_ranks_of_an_agent) {
    char *argv[] = { WICK_PROGRAM, "agent",   "--nproc-per-node=2", WICK_PROGRAM, "bench",
                     "comm",       "--sizes", "4K,300004",          "--json",     json,
                     NULL };
    program p = start(folder, argv, (char *const[]){ "ASAN_OPTIONS=detect_leaks=0", "OMP_NUM_THREADS=1", NULL });
    int code = finish(&p, 120);
    char *err = read_bytes(p.err, NULL);
    cr_assert_eq(code, 0, "%d: %s", code, err);
    free(err);
    json_t *all = json_load_file(json, 0, NULL), *lines = json_object_get(all, "lines");
    cr_expect_str_eq(text_of(all, "transport"), "tcp");
    cr_expect_eq(json_integer_value(json_object_get(all, "ranks")), 2);
    cr_assert_eq(json_array_size(lines), 4, "two sizes, two algorithms");
    for (size_t i = 0; i < 4; i++)
        cr_expect_str_eq(text_of(json_array_get(lines, i), "algorithm"), i % 2 ? "ring" : "shared");
    json_decref(all);
}

/* Processes that have been told of `word`. */
static int processes_that_name(const char *word) {
    char path[64], words[4000];
    int count = 0;
    DIR *processes = opendir("/proc");
    for (struct dirent *one; processes && (one = readdir(processes));) {
        (void)snprintf(path, sizeof path, "/proc/%.20s/cmdline", one->d_name);
        FILE *file = fopen(path, "r");
        size_t size = file ? fread(words, 1, sizeof words, file) : 0;
        if (file) (void)fclose(file);
        count += size > 0 && memmem(words, size, word, strlen(word)) != NULL;
    }
    if (processes) (void)closedir(processes);
    return count;
}

Test(bench_command, comm_killed_leaves_no_rank) {
    program p =
        start_comm((char *const[]){ "--ranks", "2", "--sizes", "64M,64M,64M,64M,64M,64M", "--json", json, NULL });
    cr_assert(wait_for_text(p.out, "algorithm", 30), "it did not begin");
    cr_expect_eq(processes_that_name(json), 3, "mpirun and two ranks");
    (void)kill(p.pid, SIGKILL);
    cr_expect_eq(finish(&p, 10), 137);
    for (int i = 0; i < 100 && processes_that_name(json) > 0; i++) pause_seconds(0.1);
    cr_expect_eq(processes_that_name(json), 0);
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
        cr_expect_eq(run_program(folder, shell, NULL, 200, &err), 1);
        cr_expect_not_null(strstr(err, cases[i].message), "%s", err);
        free(err);
    }
}
