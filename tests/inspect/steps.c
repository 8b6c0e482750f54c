/* `wick bench steps` and `wick bench plot` as a person runs them: lines, JSON, pictures, errors, and that no process
 * stays behind; never times. */
#include "support/brief.h"
#include "support/program.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[400], json[500], python[500];

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("steps"));
    (void)snprintf(json, sizeof json, "%s/lines.json", folder);
    (void)snprintf(python, sizeof python, "%s/python", folder);
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(bench_steps, .init = set_up, .fini = tear_down);
TestSuite(bench_plot, .init = set_up, .fini = tear_down);

/* `wick bench WORDS` in a place; its exit code, and what it printed (free both). */
static int bench_in(const char *place, const char *words, char **out, char **err) {
    char command[2400];
    (void)snprintf(command, sizeof command, "cd '%s' && WICK_PYTHON='%s' exec '%s' bench %s", place, python,
                   WICK_PROGRAM, words);
    char *const shell[] = { "sh", "-c", command, NULL };
    program p = start(folder, shell, NULL);
    int code = finish(&p, 200);
    *out = read_bytes(p.out, NULL);
    *err = read_bytes(p.err, NULL);
    return code;
}

static json_t *load(const char *path) {
    json_t *all = json_load_file(path, 0, NULL);
    cr_assert_not_null(all, "%s", path);
    return all;
}
static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}
static double number_of(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

/* A program in Python's place, which answers the question for PyTorch's version and else runs these lines of a shell.
 */
static void write_peer(const char *lines) {
    char script[2000];
    int size = snprintf(script, sizeof script,
                        "#!/bin/sh\ncase \"$2\" in *torch.__version__*) echo torch 0.0; exit;;"
                        " *onnxruntime.__version__*) echo onnxruntime 0.1; exit;; esac\n%s\n",
                        lines);
    write_bytes(python, script, (size_t)size);
    cr_assert_eq(chmod(python, 0700), 0);
}

/* ---- steps ---- */

Test(bench_steps, measures_a_workload_and_compares_it_with_itself) {
    if (tests_are_brief()) cr_skip_test("times a workload");
    char *out, *err, words[1200];
    (void)snprintf(words, sizeof words, "steps mlp --rounds 1 --threads 1 --json '%s'", json);
    cr_assert_eq(bench_in(folder, words, &out, &err), 0, "%s", err);
    cr_expect_not_null(strstr(out, "\nworkload "), "%s", out);
    cr_expect_not_null(strstr(out, "\nmlp "), "%s", out);
    cr_expect_not_null(strstr(out, "processor: "), "%s", out);
    free(out);
    free(err);
    json_t *all = load(json), *line = json_array_get(json_object_get(all, "lines"), 0);
    cr_expect_str_eq(text_of(all, "kind"), "steps");
    cr_expect_str_eq(text_of(line, "repeat"), "wick bench steps mlp --rounds 1 --threads 1");
    cr_expect_gt(number_of(line, "wick_ns"), 0);
    cr_expect_gt(number_of(line, "wick_start_s"), number_of(line, "wick_first_step_s"));
    cr_expect_gt(number_of(line, "wick_peak_bytes"), 1e6);
    cr_expect_gt(number_of(line, "percent_of_limit"), 0);
    cr_expect_null(json_object_get(line, "ratio"), "there is no peer");
    /* 64 × (784·128 + 128·10) multiply-adds forward; backward of the second layer two products, of the first one. */
    cr_expect_eq(number_of(json_object_get(line, "forward"), "operations"), 64.0 * 2 * (784 * 128 + 128 * 10));
    cr_expect_eq(number_of(json_object_get(line, "backward"), "operations"), 64.0 * 2 * (784 * 128 + 2 * 128 * 10));
    cr_expect_eq(number_of(json_object_get(line, "optimizer"), "bytes"), 12.0 * (785 * 128 + 129 * 10), "SGD");
    json_decref(all);
    (void)snprintf(words, sizeof words, "steps mlp --rounds 1 --threads 1 --compare '%s'", json);
    cr_assert_eq(bench_in(folder, words, &out, &err), 0, "%s", err);
    cr_expect_not_null(strstr(out, "  same\n"), "%s", out);
    cr_expect_not_null(strstr(out, "1 lines compared: 0 faster, 0 slower (p < 0.01), 1 the same; 0 are not"), "%s",
                       out);
    cr_expect_null(strstr(out, "warning:"), "%s", out);
    free(out);
    free(err);
}

/* The peer's process prints whatever comes to its mind, and a line with a step of a thousand seconds. */
Test(bench_steps, sets_the_peer_beside_it) {
    if (tests_are_brief()) cr_skip_test("times a workload");
    char *out, *err, words[1200];
    write_peer("echo a warning >&2; mode=${5}\n"
               "echo \"{\\\"peer\\\": \\\"torch 0.0 $mode\\\", \\\"step_s\\\": 1000, \\\"first_step_s\\\": 2,"
               " \\\"first_step_at\\\": 1e9, \\\"peak_mib\\\": 4096}\"");
    (void)snprintf(words, sizeof words, "steps mlp --rounds 1 --threads 1 --peer torch,compile --json '%s'", json);
    cr_assert_eq(bench_in(WICK_SOURCE_DIR, words, &out, &err), 0, "%s", err);
    cr_expect_not_null(strstr(out, "peer: torch 0.0; ratio: "), "%s", out);
    cr_expect_not_null(strstr(out, "  compiled "), "%s", out);
    cr_expect_not_null(strstr(out, "  first step 2.0 s\n"), "%s", out);
    json_t *all = load(json), *lines = json_object_get(all, "lines");
    cr_assert_eq(json_array_size(lines), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *line = json_array_get(lines, i);
        cr_expect_str_eq(text_of(line, "mode"), i ? "compile" : "eager");
        cr_expect_str_eq(text_of(line, "peer"), i ? "torch 0.0 compile" : "torch 0.0 eager");
        cr_expect_float_eq(number_of(line, "ratio") * number_of(line, "wick_ns"), 1e12, 1);
        double held = 8 * number_of(line, "parameters"); /* weights and gradients */
        cr_expect_float_eq(number_of(line, "memory_ratio"),
                           (4096.0 * 1024 * 1024 - held) / (number_of(line, "wick_peak_bytes") - held), 1e-6);
    }
    json_decref(all);
    free(out);
    free(err);
}

/* A frozen network, and ONNX Runtime as a line of its own where it infers. */
Test(bench_steps, sets_two_peers_beside_inference) {
    if (tests_are_brief()) cr_skip_test("times a workload");
    char *out, *err, words[1200];
    write_peer("case $1 in *onnx_runtime.py) name=onnxruntime;; *) name=torch;; esac\n"
               "echo \"{\\\"peer\\\": \\\"$name\\\", \\\"step_s\\\": 1000, \\\"first_step_s\\\": 2,"
               " \\\"first_step_at\\\": 1e9, \\\"peak_mib\\\": 4096}\"");
    (void)snprintf(words, sizeof words,
                   "steps mlp minilm-b1 --rounds 1 --threads 1 --peer torch,onnxruntime --json '%s'", json);
    cr_assert_eq(bench_in(WICK_SOURCE_DIR, words, &out, &err), 0, "%s", err);
    cr_expect_not_null(strstr(out, "peer: torch 0.0, onnxruntime 0.1; ratio: "), "%s", out);
    cr_expect_not_null(strstr(out, "\n  onnxruntime "), "%s", out);
    json_t *all = load(json), *lines = json_object_get(all, "lines");
    cr_assert_eq(json_array_size(lines), 3, "%s", out);
    const char *const modes[] = { "eager", "eager", "onnxruntime" }, *const peers[] = { "torch", "torch",
                                                                                        "onnxruntime" };
    for (size_t i = 0; i < 3; i++) {
        const json_t *line = json_array_get(lines, i);
        cr_expect_str_eq(text_of(line, "mode"), modes[i]);
        cr_expect_str_eq(text_of(line, "peer"), peers[i]);
        cr_expect_str_eq(text_of(line, "workload"), i ? "minilm-b1" : "mlp");
        cr_expect_gt(number_of(line, "percent_of_limit"), 0);
    }
    cr_expect_not_null(strstr(text_of(json_array_get(lines, 2), "repeat"), "--peer torch,onnxruntime"));
    json_decref(all);
    free(out);
    free(err);
}

/* Not where it is gone, nor where only its parent has not looked yet. */
static bool is_running(long pid) {
    char path[64], state = 'Z';
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *from = fopen(path, "r");
    if (from) (void)fscanf(from, "%*d (%*[^)]) %c", &state);
    if (from) (void)fclose(from);
    return state != 'Z';
}
/* A process that was killed may need a moment to go. */
static bool stays(long pid) {
    for (int i = 0; i < 1000 && is_running(pid); i++) (void)usleep(10000);
    return is_running(pid);
}

Test(bench_steps, a_peer_that_fails_ends_the_run_and_leaves_nothing) {
    if (tests_are_brief()) cr_skip_test("times a workload");
    char *out, *err, lines[1000], left[520];
    (void)snprintf(left, sizeof left, "%s/left", folder);
    (void)snprintf(lines, sizeof lines, "sleep 100 & echo $! >'%s'; echo no such thing; exit 3", left);
    write_peer(lines);
    cr_expect_eq(bench_in(WICK_SOURCE_DIR, "steps mlp --rounds 1 --threads 1 --peer torch", &out, &err), 1);
    cr_expect_not_null(strstr(err,
                              "wick: mlp, round 1 of 1, PyTorch contiguous eager: ended with code 3; its output ends "
                              "with:\nno such thing\n"),
                       "%s", err);
    char *pid = read_bytes(left, NULL);
    cr_assert_not_null(pid);
    cr_expect_not(stays(strtol(pid, NULL, 10)), "the process that the peer started");
    free(pid);
    free(out);
    free(err);
}

Test(bench_steps, a_process_that_hangs_is_ended) {
    char *out, *err;
    cr_expect_eq(bench_in(folder, "steps gpt2-t256 --rounds 1 --threads 1 --patience 0.05", &out, &err), 1);
    cr_expect_not_null(
        strstr(err, "wick: gpt2-t256, round 1 of 1, Wick: did not end within 0.05 s; its output ends with:"), "%s",
        err);
    free(out);
    free(err);
}

Test(bench_steps, tells_what_is_wrong) {
    static const struct {
        const char *words;
        int code;
        const char *message;
    } cases[] = {
        { "steps nlp", 2, "there is no workload \"nlp\", only mlp, cnn, resnet18, " },
        { "steps minilm-b1-2ranks", 2, "each also as NAME-bf16, those that train as NAME-2ranks" },
        { "steps mlp --peer onednn", 2, "--peer is \"onednn\", expected some of torch, compile, onnxruntime" },
        { "steps mlp --dtype f16", 2, "--dtype is \"f16\", expected f32 or bf16" },
        { "steps mlp --rounds 26", 2, "--rounds is \"26\", expected a whole number of at most 25" },
        { "steps mlp --compare nowhere.json", 2, "--compare nowhere.json: " },
        { "steps mlp --peer torch", 1, "there is no benchmarks/peers/pytorch.py here" },
        { "step", 1, "expected a workload: mlp, " },
        { "step cnn-2ranks", 2, "there is no workload \"cnn-2ranks\", only mlp, " },
        { "step mlp --steps 1.5", 2, "--steps is \"1.5\", expected a whole number" },
        { "step mlp --zero 1", 1, "--zero 1 shares out what ranks train: start a workload that trains under mpirun" },
        { "step mlp --zero 3", 2, "--zero is \"3\", expected a whole number of at most 1" },
        { "overhead now", 2, "cannot make sense of now" },
        { "overhead --peer onednn", 2, "--peer is \"onednn\", expected torch" },
        { "steps mlp --peer torch,", 2, "--peer is \"torch,\", expected some of torch, compile, onnxruntime" },
        { "plot", 1, "plot: expected files of" },
        { "plot nowhere.json", 1, "nowhere.json: line -1: unable to open" },
        { "plot lines.json -o picture.gif", 1, "-o is \"picture.gif\", expected NAME.svg or NAME.png" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out, *err;
        int code = bench_in(folder, cases[i].words, &out, &err);
        cr_expect_eq(code, cases[i].code, "%s: %d", cases[i].words, code);
        cr_expect_not_null(strstr(err, cases[i].message), "%s: %s", cases[i].words, err);
        free(out);
        free(err);
    }
}

Test(bench_steps, a_missing_python_is_one_error) {
    char *out, *err;
    cr_expect_eq(bench_in(WICK_SOURCE_DIR, "steps mlp --peer torch", &out, &err), 1);
    cr_expect_not_null(strstr(err, "python; run benchmarks/peers/install, or name one that has PyTorch in WICK_PYTHON"),
                       "%s", err);
    free(out);
    free(err);
    write_bytes(python, "#!/bin/sh\nexit 1\n", 17);
    cr_assert_eq(chmod(python, 0700), 0);
    cr_expect_eq(bench_in(WICK_SOURCE_DIR, "steps mlp --peer torch", &out, &err), 1);
    cr_expect_not_null(strstr(err, "python has no PyTorch; run benchmarks/peers/install"), "%s", err);
    free(out);
    free(err);
}

Test(bench_steps, overhead_is_three_figures) {
    char *out, *err;
    cr_assert_eq(bench_in(folder, "overhead", &out, &err), 0, "%s", err);
    json_t *line = json_loads(out, 0, NULL);
    cr_expect_gt(number_of(line, "add_nograd_ns"), 0);
    cr_expect_gt(number_of(line, "add_grad_ns"), 0);
    cr_expect_gt(number_of(line, "mlp_b1_ns"), 0);
    json_decref(line);
    free(out);
    free(err);
}

Test(bench_steps, overhead_beside_the_peer) {
    char *out, *err;
    write_peer(
        "echo '{\"peer\": \"torch 0.0, Python\", \"add_nograd_ns\": 1e6, \"add_grad_ns\": 1e6, \"mlp_b1_ns\": 1e9}'");
    cr_assert_eq(bench_in(WICK_SOURCE_DIR, "overhead --peer torch", &out, &err), 0, "%s", err);
    cr_expect_not_null(strstr(out, "\ntorch 0.0, Python, by Wick's time: x + y "), "%s", out);
    cr_expect_not_null(strstr(out, "\nlibtorch is not measured: there is no "), "%s", out);
    free(out);
    free(err);
}

/* ---- plot ---- */

static void check_png(const char *path) {
    size_t size;
    char *bytes = read_bytes(path, &size);
    cr_assert_not_null(bytes, "%s", path);
    const unsigned char *at = (const unsigned char *)bytes;
    cr_assert_gt(size, 5000);
    cr_expect_eq(memcmp(bytes, "\x89PNG\r\n\x1a\n", 8), 0);
    cr_expect_eq(at[18] << 8 | at[19], 2200, "pixels across");
    cr_expect_eq(at[22] << 8 | at[23], 1440, "pixels down");
    free(bytes);
}

/* Every element is closed by its own name, and the outermost is svg. */
static void check_svg(const char *path) {
    char *text = read_bytes(path, NULL), *open[64];
    int depth = 0, elements = 0;
    cr_assert_not_null(text, "%s", path);
    for (char *at = strchr(text, '<'); at; at = strchr(at, '<')) {
        char *end = strchr(at, '>');
        cr_assert_not_null(end, "an element that does not end");
        if (at[1] == '?') {
            at = end;
            continue;
        }
        bool closes = at[1] == '/', alone = end[-1] == '/';
        char *name = at + 1 + closes;
        at = end + 1;
        name[strcspn(name, " \n\t/>")] = '\0';
        if (closes) {
            cr_assert_gt(depth, 0);
            cr_assert_str_eq(open[--depth], name);
        } else {
            if (elements++ == 0) cr_expect_str_eq(name, "svg");
            cr_assert_lt(depth, 64);
            if (!alone) open[depth++] = name;
        }
    }
    cr_expect_eq(depth, 0, "%d elements are not closed", depth);
    cr_expect_gt(elements, 100);
    free(text);
}

static void check_pictures(const char *name) {
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s.png", folder, name);
    check_png(path);
    (void)snprintf(path, sizeof path, "%s/%s.svg", folder, name);
    check_svg(path);
}

Test(bench_plot, draws_operations_below_their_roofs) {
    char *out, *err;
    cr_assert_eq(bench_in(folder, "ops softmax --min-time 0.001 --json lines.json", &out, &err), 0, "%s", err);
    free(out);
    free(err);
    cr_assert_eq(bench_in(folder, "plot lines.json", &out, &err), 0, "%s", err);
    cr_expect_str_eq(out, "lines.svg\nlines.png\n");
    check_pictures("lines");
    free(out);
    free(err);
}

/* A file of steps, as they are `faster` times as fast. */
static void write_steps(const char *name, double faster) {
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    json_t *lines = json_pack("[{s:s, s:s, s:s, s:f, s:f}, {s:s, s:s, s:s, s:f, s:f}]", "workload", "mlp", "dtype",
                              "f32", "mode", "eager", "wick_ns", 2e5 / faster, "ratio", 3 * faster, "workload", "cnn",
                              "dtype", "f32", "mode", "eager", "wick_ns", 2e7 / faster, "ratio", 2.5 * faster);
    json_t *all = json_pack("{s:s, s:s, s:s, s:i, s:o}", "kind", "steps", "processor", "one", "revision", "abc",
                            "threads", 2, "lines", lines);
    cr_assert_eq(json_dump_file(all, path, 0), 0);
    json_decref(all);
}

Test(bench_plot, draws_the_history_of_steps) {
    char *out, *err;
    write_steps("a.json", 1);
    write_steps("b.json", 1.3);
    cr_assert_eq(bench_in(folder, "plot a.json b.json", &out, &err), 0, "%s", err);
    cr_expect_str_eq(out, "a.svg\na.png\n");
    check_pictures("a");
    free(out);
    free(err);
    cr_assert_eq(bench_in(folder, "plot a.json -o one.png", &out, &err), 0, "%s", err);
    cr_expect_str_eq(out, "one.png\n");
    free(out);
    free(err);
}

Test(bench_plot, refuses_what_it_cannot_draw) {
    static const struct {
        const char *content, *words, *message;
    } cases[] = {
        { "{\"lines\": [1]}", "plot x.json", "x.json: expected a file of `wick bench ops --json` or `steps --json`" },
        { "{\"kind\": \"ops\", \"lines\": []}", "plot x.json", "x.json: there are no lines in it to draw" },
        { "{\"kind\": \"ops\", \"lines\": [1]}", "plot a.json x.json", "a.json is of steps and x.json of ops" },
        { "{\"kind\": \"ops\", \"lines\": [1]}", "plot x.json x.json -o y.svg", "-o takes one file" },
        { "{\"kind\": \"ops\", \"lines\": [1]}", "plot x.json -o /nowhere/y.png", "/nowhere/y.png: " },
    };
    write_steps("a.json", 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out, *err, path[520];
        (void)snprintf(path, sizeof path, "%s/x.json", folder);
        write_bytes(path, cases[i].content, strlen(cases[i].content));
        cr_expect_eq(bench_in(folder, cases[i].words, &out, &err), 1, "%s", cases[i].words);
        cr_expect_not_null(strstr(err, cases[i].message), "%s: %s", cases[i].words, err);
        free(out);
        free(err);
    }
}
