/* steps.c: `wick bench steps`: whole training and inference steps, beside PyTorch where that is asked for.
 *
 * Each measurement is a process of its own, so that memory and start are those of a user's program, and the two sides
 * take turns: a round's ratio is PyTorch's median step over Wick's, and what slows the machine down for a while slows
 * both.  PyTorch is the better of its two layouts in each round where the network convolves.
 */
#include "bench/steps/steps.h"

#include "base/base.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCRIPT      "benchmarks/peers/pytorch.py"
#define ONNX_SCRIPT "benchmarks/peers/onnx_runtime.py"
enum { RANKS = 2, MOST_WORDS = 40, WORD = 24 };
static const char *const layouts[] = { "contiguous", "channels_last" };

typedef struct work {
    const wk__steps_opts *opts;
    wk__bench_machine machine;
    wk__roofs one; /* of one thread, for ranks */
    char program[PATH_MAX];
    const char *python; /* NULL: no peer */
    char peer[80];
    json_t *lines;
} work;

/* ---- names ---- */

static bool cut_end(char *name, const char *end) {
    size_t length = strlen(name), cut = strlen(end);
    if (length <= cut || strcmp(name + length - cut, end) != 0) return false;
    name[length - cut] = '\0';
    return true;
}

/* NAME[-2ranks][-bf16]; dtype and threads are those asked for where the name says nothing. */
static bool read_name(const char *text, wk__steps_line *line) {
    char name[sizeof line->workload];
    if (strlen(text) >= sizeof name) return false;
    (void)snprintf(name, sizeof name, "%s", text);
    (void)snprintf(line->workload, sizeof line->workload, "%s", text);
    if (cut_end(name, "-bf16")) line->dtype = WK_BF16;
    line->ranks = cut_end(name, "-2ranks") ? RANKS : 1;
    if (line->ranks > 1) line->threads = 1;
    line->of = wk__workload_find(name);
    return line->of && (line->ranks == 1 || line->of->bytes->moved > 0);
}

wk_status wk__bench_check_workload(const char *name) {
    wk__steps_line line;
    if (read_name(name, &line)) return WK_OK;
    return wk_fail(WK_CONFIG,
                   "there is no workload \"%s\", only %s; each also as NAME-bf16, those that train as NAME-2ranks",
                   name, wk__workload_names());
}

/* ---- command lines ---- */

typedef struct command {
    char *word[MOST_WORDS], text[MOST_WORDS][WORD];
    int count;
} command;

static void add(command *c, const char *word) {
    c->word[c->count++] = (char *)(uintptr_t)word;
}
static void add_all(command *c, const char *const *words) {
    for (; *words; words++) add(c, *words);
}
static void add_number(command *c, const char *option, int number) {
    char *text = c->text[c->count];
    (void)snprintf(text, WORD, "%d", number);
    add(c, option);
    add(c, text);
}

static void add_setting(const work *w, command *c, const wk__steps_line *line) {
    add(c, line->of->name);
    add(c, "--dtype");
    add(c, wk_dtype_name(line->dtype));
    add_number(c, "--threads", line->threads);
    if (w->opts->device) {
        add(c, "--device");
        add(c, wk_device_name(w->opts->device));
    }
    add(c, NULL);
}

static void wick_command(const work *w, const wk__steps_line *line, command *c) {
    static const char *const mpirun[] = { "env",
                                          "OMPI_ALLOW_RUN_AS_ROOT=1",
                                          "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                                          "OMP_NUM_THREADS=1",
                                          "mpirun",
                                          "--oversubscribe",
                                          "--bind-to",
                                          "none",
                                          "--mca",
                                          "pml",
                                          "ob1",
                                          "--mca",
                                          "btl",
                                          "self,vader",
                                          NULL };
    if (line->ranks > 1) {
        add_all(c, mpirun);
        add_number(c, "-n", line->ranks);
    }
    add(c, w->program);
    add(c, "bench");
    add(c, "step");
    add_setting(w, c, line);
}

/* Without the limit on spinning that Wick sets for itself: the peer's own threads are to wait as its user has them. */
static void torch_command(const work *w, const wk__steps_line *line, const char *layout, command *c) {
    static const char *const plain[] = { "env", "-u", "GOMP_SPINCOUNT", NULL };
    static const char *const ranks[] = { "OMP_NUM_THREADS=1", NULL };
    static const char *const torchrun[] = { "-m", "torch.distributed.run", "--standalone", NULL };
    add_all(c, plain);
    if (line->ranks > 1) add_all(c, ranks);
    add(c, w->python);
    if (line->ranks > 1) {
        add_all(c, torchrun);
        add_number(c, "--nproc-per-node", line->ranks);
    }
    add(c, SCRIPT);
    add(c, "--layout");
    add(c, layout);
    add(c, "--mode");
    add(c, line->against == WK__TORCH_COMPILED ? "compile" : "eager");
    add_setting(w, c, line);
}

static void onnx_command(const work *w, const wk__steps_line *line, command *c) {
    static const char *const plain[] = { "env", "-u", "GOMP_SPINCOUNT", NULL };
    add_all(c, plain);
    add(c, w->python);
    add(c, ONNX_SCRIPT);
    add_setting(w, c, line);
}

/* ---- one round ---- */

static double number_of(const json_t *result, const char *key) {
    return json_number_value(json_object_get(result, key));
}

/* Takes the result of a process that began then. */
static void note(wk__steps_side *side, int round, json_t *result, double began) {
    const char *name = json_string_value(json_object_get(result, "peer"));
    (void)snprintf(side->name, sizeof side->name, "%s", name ? name : "");
    side->step[round] = number_of(result, "step_s");
    side->bare[round] = number_of(result, "step_no_exchange_s");
    side->exposed[round] = number_of(result, "exposed_s");
    side->start[round] = number_of(result, "first_step_at") - began;
    side->first[round] = number_of(result, "first_step_s");
    side->peak[round] = 1024 * 1024 * number_of(result, "peak_mib");
    json_decref(result);
}

static json_t *run_side(const work *w, const wk__steps_line *line, int round, const char *side, command *c,
                        double *began) {
    char who[160];
    (void)snprintf(who, sizeof who, "%s, round %d of %d, %s", line->workload, round + 1, line->rounds, side);
    (void)fprintf(stderr, "%s\n", who);
    json_t *result = wk__child_run(c->word, who, w->opts->patience, began);
    if (!result || number_of(result, "step_s") > 0) return result;
    json_decref(result);
    return wk_fail_null(WK_FORMAT, "%s: its result has no time of a step", who);
}

static wk_cost cost_of(const json_t *result, const char *phase) {
    const json_t *cost = json_object_get(result, phase);
    return (wk_cost){ number_of(cost, "operations"), number_of(cost, "bytes") };
}

static wk_status run_wick(work *w, wk__steps_line *line, int round) {
    double began;
    command c = { .count = 0 };
    wick_command(w, line, &c);
    json_t *result = run_side(w, line, round, "Wick", &c, &began);
    if (!result) return wk_error_code();
    line->parameters = (int64_t)number_of(result, "parameters");
    line->cost =
        (wk__step_cost){ cost_of(result, "forward"), cost_of(result, "backward"), cost_of(result, "optimizer") };
    bool known = line->cost.forward.operations > 0;
    line->limit = known ? wk__step_limit(&line->cost, line->ranks > 1 ? &w->one : &w->machine.roofs, line->dtype) : 0;
    note(&line->wick, round, result, began);
    return WK_OK;
}

/* In the better of its layouts; compiled, which takes tens of seconds a time, in the one that was better before. */
static wk_status run_torch(const work *w, wk__steps_line *line, int round, const char **layout) {
    double best = INFINITY;
    for (size_t i = 0; i < WK_COUNT(layouts); i++) {
        double began;
        char side[60];
        command c = { .count = 0 };
        const bool compiled = line->against == WK__TORCH_COMPILED;
        if (compiled ? layouts[i] != *layout : i > 0 && !line->of->convolves) continue;
        (void)snprintf(side, sizeof side, "PyTorch %s %s", layouts[i], compiled ? "compiled" : "eager");
        torch_command(w, line, layouts[i], &c);
        json_t *result = run_side(w, line, round, side, &c, &began);
        if (!result) return wk_error_code();
        if (number_of(result, "step_s") >= best) {
            json_decref(result);
            continue;
        }
        best = number_of(result, "step_s");
        *layout = layouts[i];
        note(&line->peer, round, result, began);
    }
    return WK_OK;
}

static wk_status run_onnx(const work *w, wk__steps_line *line, int round) {
    double began;
    command c = { .count = 0 };
    onnx_command(w, line, &c);
    json_t *result = run_side(w, line, round, "ONNX Runtime", &c, &began);
    if (!result) return wk_error_code();
    note(&line->peer, round, result, began);
    return WK_OK;
}

/* ---- all ---- */

/* "torch,compile"; "" for none */
static const char *peers_text(const wk__steps_opts *opts, char text[60]) {
    static const char *const names[] = { "torch", "compile", "onnxruntime" };
    int used = 0;
    text[0] = '\0';
    for (int i = 0; i < WK__STEPS_PEERS; i++)
        if (opts->against[i]) used += snprintf(text + used, 60 - (size_t)used, "%s%s", used ? "," : "", names[i]);
    return text;
}

/* What to type to measure this workload again. */
static void repeat_line(const work *w, const wk__steps_line *line, char *text, size_t size) {
    char peers[60];
    bool named = strstr(line->workload, "-bf16") != NULL;
    (void)snprintf(text, size, "wick bench steps %s%s --rounds %d --threads %d%s%s%s%s", line->workload,
                   line->dtype == WK_BF16 && !named ? " --dtype bf16" : "", line->rounds, w->machine.threads,
                   w->opts->device ? " --device " : "", w->opts->device ? wk_device_name(w->opts->device) : "",
                   w->python ? " --peer " : "", peers_text(w->opts, peers));
}

static void finish_line(const work *w, const wk__steps_line *line) {
    char repeat[200];
    repeat_line(w, line, repeat, sizeof repeat);
    (void)json_array_append_new(w->lines, wk__steps_object(line, repeat));
    wk__steps_print(line);
}

/* Inference in f32 is what that peer's script knows. */
static bool is_beside(const work *w, const wk__steps_line *line, wk__steps_peer peer) {
    bool infers = line->of->bytes->moved == 0 && line->dtype == WK_F32;
    return w->opts->against[peer] && (peer != WK__ONNX_RUNTIME || infers);
}

static wk_status run_round(work *w, wk__steps_line line[WK__STEPS_PEERS], int round) {
    const char *layout = layouts[0];
    WK_TRY(run_wick(w, &line[WK__TORCH], round));
    for (wk__steps_peer peer = WK__TORCH; peer <= WK__TORCH_COMPILED; peer++)
        if (is_beside(w, &line[peer], peer)) WK_TRY(run_torch(w, &line[peer], round, &layout));
    if (!is_beside(w, &line[WK__ONNX_RUNTIME], WK__ONNX_RUNTIME)) return WK_OK;
    return run_onnx(w, &line[WK__ONNX_RUNTIME], round);
}

static wk_status run_workload(work *w, const char *name) {
    wk__steps_line line[WK__STEPS_PEERS];
    for (wk__steps_peer peer = WK__TORCH; peer < WK__STEPS_PEERS; peer++) {
        line[peer] = (wk__steps_line){
            .dtype = w->opts->dtype, .threads = w->machine.threads, .rounds = w->opts->rounds, .against = peer
        };
        (void)read_name(name, &line[peer]);
    }
    const wk__steps_line *first = &line[WK__TORCH];
    for (int round = 0; round < first->rounds; round++) WK_TRY(run_round(w, line, round));
    finish_line(w, first);
    for (wk__steps_peer peer = WK__TORCH_COMPILED; peer < WK__STEPS_PEERS; peer++) {
        if (!is_beside(w, &line[peer], peer)) continue;
        line[peer].wick = first->wick;
        line[peer].parameters = first->parameters;
        line[peer].limit = first->limit;
        line[peer].cost = first->cost;
        finish_line(w, &line[peer]);
    }
    return WK_OK;
}

static wk_status find_module(const work *w, const char *module, const char *title, char *version, size_t size) {
    char code[120];
    (void)snprintf(code, sizeof code, "import %s; print('%s', %s.__version__)", module, module, module);
    char *ask[] = { (char *)(uintptr_t)w->python, "-c", code, NULL };
    wk__first_line_of(ask, version, size);
    if (*version) return WK_OK;
    return wk_fail(WK_NOT_FOUND,
                   "--peer: %s has no %s; run benchmarks/peers/install, or name one that has in WICK_PYTHON", w->python,
                   title);
}

static wk_status find_sides(work *w) {
    ssize_t length = readlink("/proc/self/exe", w->program, sizeof w->program - 1);
    if (length < 0) return wk_fail(WK_IO, "/proc/self/exe: cannot be read, so Wick's side cannot be started");
    const bool torch = w->opts->against[WK__TORCH], onnx = w->opts->against[WK__ONNX_RUNTIME];
    if (!torch && !onnx) return WK_OK;
    w->python = wk__peer_python(SCRIPT);
    if (!w->python) return wk_error_code();
    if (torch) WK_TRY(find_module(w, "torch", "PyTorch", w->peer, sizeof w->peer));
    size_t used = strlen(w->peer);
    if (used) (void)snprintf(w->peer + used, sizeof w->peer - used, onnx ? ", " : "");
    used = strlen(w->peer);
    return onnx ? find_module(w, "onnxruntime", "ONNX Runtime", w->peer + used, sizeof w->peer - used) : WK_OK;
}

static wk_status measure_machine(work *w) {
    bool ranks = false;
    WK_TRY(wk__machine_measure(&w->machine, w->opts->device));
    wk__machine_print(&w->machine, w->opts->dtype == WK_BF16 ? "dtype: bf16" : "dtype: f32 unless named");
    for (int i = 0; i < w->opts->workloads; i++) ranks = ranks || strstr(w->opts->workload[i], "-2ranks");
    if (!ranks) return WK_OK;
    WK_TRY(wk__roofs_measure(&w->one, 1));
    (void)printf("one thread, of each rank: ");
    wk__roofs_print(&w->one, stdout);
    return WK_OK;
}

wk_status wk__bench_steps(const wk__steps_opts *opts) {
    work w = { .opts = opts };
    wk_set_threads(opts->threads);
    for (int i = 0; i < opts->workloads && opts->device; i++)
        if (strstr(opts->workload[i], "-2ranks"))
            return wk_fail(WK_CONFIG, "%s: with --device one rank is measured", opts->workload[i]);
    WK_TRY(find_sides(&w));
    WK_TRY(measure_machine(&w));
    if (w.python) (void)printf("peer: %s; ratio: its time over Wick's, above 1 Wick is faster\n", w.peer);
    wk__steps_print_heading();
    json_t *all = wk__machine_object(&w.machine, "steps");
    w.lines = json_object_get(all, "lines");
    (void)json_object_set_new(all, "peer", json_string(w.peer));
    wk_status status = WK_OK;
    for (int i = 0; i < opts->workloads && status == WK_OK; i++) status = run_workload(&w, opts->workload[i]);
    if (status == WK_OK) return wk__bench_finish(all, opts->compare, opts->json);
    json_decref(all);
    return status;
}
