/* command.c: the command lines of `wick bench steps`, `step` and `overhead`. */
#include "bench/steps/steps.h"

#include "base/base.h"

#include <string.h>

/* ---- steps ---- */

static wk_status read_dtype(const char *value, wk_dtype *dtype) {
    if (strcmp(value, "f32") != 0 && strcmp(value, "bf16") != 0)
        return wk_fail(WK_CONFIG, "--dtype is \"%s\", expected f32 or bf16", value);
    *dtype = *value == 'b' ? WK_BF16 : WK_F32;
    return WK_OK;
}

/* compile is PyTorch's too, so torch comes with it. */
static wk_status read_peers(const char *value, bool against[WK__STEPS_PEERS]) {
    static const char *const names[] = { "torch", "compile", "onnxruntime" };
    for (const char *at = value; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t length = strcspn(at, ","), i = 0;
        while (i < WK_COUNT(names) && (strlen(names[i]) != length || strncmp(at, names[i], length) != 0)) i++;
        if (i == WK_COUNT(names))
            return wk_fail(WK_CONFIG, "--peer is \"%s\", expected some of torch, compile, onnxruntime", value);
        against[i] = true;
    }
    if (against[WK__TORCH_COMPILED]) against[WK__TORCH] = true;
    return WK_OK;
}

static wk_status read_steps_option(void *into, const char *option, const char *value, bool *known) {
    wk__steps_opts *opts = into;
    if (strcmp(option, "--dtype") == 0) return read_dtype(value, &opts->dtype);
    if (strcmp(option, "--device") == 0) return wk__bench_read_device(value, &opts->device);
    if (strcmp(option, "--threads") == 0)
        return wk__bench_read_count(option, value, 1, WK__BENCH_MOST_THREADS, &opts->threads);
    if (strcmp(option, "--rounds") == 0)
        return wk__bench_read_count(option, value, 1, WK__BENCH_MOST_ROUNDS, &opts->rounds);
    if (strcmp(option, "--patience") == 0)
        return wk__bench_read_number(option, value, 1e-9, "seconds, more than 0", &opts->patience);
    if (strcmp(option, "--peer") == 0) {
        return read_peers(value, opts->against);
    } else if (strcmp(option, "--json") == 0) {
        opts->json = value;
    } else if (strcmp(option, "--compare") == 0) {
        opts->compare = value;
        return wk__bench_check_earlier(value, "steps");
    } else {
        *known = false;
    }
    return WK_OK;
}

static wk_status read_steps_word(void *into, const char *word, bool *known) {
    wk__steps_opts *opts = into;
    *known = *word != '-';
    if (!*known) return WK_OK;
    if (opts->workloads == WK__STEPS_MOST) return wk_fail(WK_CONFIG, "more than %d workloads", WK__STEPS_MOST);
    opts->workload[opts->workloads++] = word;
    return wk__bench_check_workload(word);
}

int wk__bench_steps_main(int argc, char **argv) {
    static const char *const usual[] = { "mlp", "cnn", "cnn-2ranks" };
    wk__steps_opts opts = { .dtype = WK_F32, .rounds = 5, .patience = 600 };
    int code = wk__bench_parse(argc, argv, read_steps_word, read_steps_option, &opts);
    if (code) return code;
    if (opts.workloads == 0) {
        memcpy(opts.workload, usual, sizeof usual);
        opts.workloads = (int)WK_COUNT(usual);
    }
    return wk__bench_exit(wk__bench_steps(&opts));
}

/* ---- step ---- */

static wk_status read_step_option(void *into, const char *option, const char *value, bool *known) {
    enum { MOST_STEPS = 1000000 };
    wk__worker_opts *opts = into;
    if (strcmp(option, "--dtype") == 0) return read_dtype(value, &opts->dtype);
    if (strcmp(option, "--device") == 0) return wk__bench_read_device(value, &opts->device);
    if (strcmp(option, "--threads") == 0)
        return wk__bench_read_count(option, value, 1, WK__BENCH_MOST_THREADS, &opts->threads);
    if (strcmp(option, "--steps") == 0) return wk__bench_read_count(option, value, 1, MOST_STEPS, &opts->steps);
    if (strcmp(option, "--warmup") == 0) return wk__bench_read_count(option, value, 0, MOST_STEPS, &opts->warmup);
    if (strcmp(option, "--zero") == 0) return wk__bench_read_count(option, value, 0, 1, &opts->zero);
    *known = false;
    return WK_OK;
}

static wk_status read_step_word(void *into, const char *word, bool *known) {
    wk__worker_opts *opts = into;
    *known = *word != '-';
    if (!*known) return WK_OK;
    opts->of = wk__workload_find(word);
    return opts->of ? WK_OK : wk_fail(WK_CONFIG, "there is no workload \"%s\", only %s", word, wk__workload_names());
}

int wk__bench_step_main(int argc, char **argv) {
    wk__worker_opts opts = { .dtype = WK_F32, .warmup = 3 };
    int code = wk__bench_parse(argc, argv, read_step_word, read_step_option, &opts);
    if (code) return code;
    return wk__bench_exit(opts.of ? wk__bench_step(&opts)
                                  : wk_fail(WK_CONFIG, "expected a workload: %s", wk__workload_names()));
}

/* ---- overhead ---- */

static wk_status read_overhead_option(void *into, const char *option, const char *value, bool *known) {
    *known = strcmp(option, "--peer") == 0;
    if (*known && strcmp(value, "torch") != 0) return wk_fail(WK_CONFIG, "--peer is \"%s\", expected torch", value);
    *(bool *)into = *known;
    return WK_OK;
}

int wk__bench_overhead_main(int argc, char **argv) {
    bool peer = false;
    int code = wk__bench_parse(argc, argv, NULL, read_overhead_option, &peer);
    return code ? code : wk__bench_exit(wk__bench_overhead(peer));
}
