/* ops_command.c: the command lines of `wick bench ops` and `wick bench roofs`. */
#include "bench/bench.h"

#include "base/base.h"
#include "wick/op.h"

#include <stdlib.h>
#include <string.h>

static wk_status read_dtype(const char *value, wk_dtype *into) {
    const char *names[WK_DTYPE_COUNT];
    for (int dtype = 0; dtype < WK_DTYPE_COUNT; dtype++) {
        names[dtype] = wk_dtype_name((wk_dtype)dtype);
        if (strcmp(names[dtype], value) != 0) continue;
        *into = (wk_dtype)dtype;
        return WK_OK;
    }
    const char *nearest = wk__nearest(value, names, WK_DTYPE_COUNT);
    return wk_fail(WK_CONFIG, "--dtype is \"%s\", expected a dtype as %s", value, nearest ? nearest : "f32");
}

static wk_status read_modes(wk__bench_opts *opts, const char *value) {
    memset(opts->modes, 0, sizeof opts->modes);
    for (const char *at = value;; at++) {
        size_t length = strcspn(at, ",");
        bool perf = length == 4 && (strncmp(at, "perf", 4) == 0 || strncmp(at, "both", 4) == 0), known = perf;
        for (int m = 0; m < WK__BENCH_MODES; m++)
            if (perf
                || (strlen(wk__bench_mode_names[m]) == length && strncmp(at, wk__bench_mode_names[m], length) == 0))
                opts->modes[m] = known = true;
        if (length == 7 && strncmp(at, "traffic", 7) == 0) opts->traffic = known = true;
        for (int c = 0; c < WK__BENCH_CHECKS; c++)
            if (strlen(wk__bench_check_names[c]) == length && strncmp(at, wk__bench_check_names[c], length) == 0)
                opts->verify[c] = known = true;
        if (!known)
            return wk_fail(WK_CONFIG,
                           "--mode has \"%.*s\", expected some of check, bitwise, traffic, forward, grad, "
                           "perf",
                           (int)length, at);
        at += length;
        if (!*at) return WK_OK;
    }
}

/* "torch,onednn": a process comes first, see wk__peer_prepare. */
static wk_status read_peers(wk__bench_opts *opts, const char *value) {
    bool asked[WK__BENCH_MOST_PEERS] = { false };
    opts->peers = value;
    opts->n_peers = 0;
    for (const char *at = value;; at++) {
        size_t length = strcspn(at, ",");
        int found = -1;
        for (int i = 0; i < WK__BENCH_MOST_PEERS; i++)
            if (strlen(wk__peer_names[i]) == length && strncmp(at, wk__peer_names[i], length) == 0) found = i;
        if (found < 0)
            return wk_fail(WK_CONFIG, "--peer has \"%.*s\", expected some of torch, onednn, openblas", (int)length, at);
        asked[found] = true;
        at += length;
        if (!*at) break;
    }
    for (int i = 0; i < WK__BENCH_MOST_PEERS; i++)
        if (asked[i]) opts->peer[opts->n_peers++] = wk__peer_names[i];
    return WK_OK;
}

/* "512x1024,1024": one shape an operand. */
static wk_status read_shapes(wk__bench_opts *opts, const char *value) {
    for (const char *at = value;; at++) {
        if (opts->shapes == WK__BENCH_MOST_IN)
            return wk_fail(WK_CONFIG, "--shape has more than %d shapes", WK__BENCH_MOST_IN);
        wk_dims *dims = &opts->shape[opts->shapes++];
        *dims = (wk_dims){ 0 };
        if (*at == '-') dims->rank = -1, at++;
        while (*at && *at != ',') {
            char *end;
            long long size = strtoll(at, &end, 10);
            bool good = end != at && size >= 0 && dims->rank >= 0 && dims->rank < WK_MAX_RANK && strchr(",x", *end);
            if (!good)
                return wk_fail(WK_CONFIG,
                               "--shape is \"%s\", expected shapes as 512x1024, of at most %d axes, with commas "
                               "between them",
                               value, WK_MAX_RANK);
            dims->size[dims->rank++] = size;
            at = *end == 'x' ? end + 1 : end;
        }
        if (!*at) return WK_OK;
    }
}

static wk_status read_ops_option(void *into, const char *option, const char *value, bool *known) {
    wk__bench_opts *opts = into;
    if (strcmp(option, "--dtype") == 0) return read_dtype(value, &opts->dtype);
    if (strcmp(option, "--mode") == 0) return read_modes(opts, value);
    if (strcmp(option, "--shape") == 0) return read_shapes(opts, value);
    if (strcmp(option, "--threads") == 0)
        return wk__bench_read_count(option, value, 1, WK__BENCH_MOST_THREADS, &opts->threads);
    if (strcmp(option, "--min-time") == 0)
        return wk__bench_read_number(option, value, 1e-9, "seconds, more than 0", &opts->min_time);
    if (strcmp(option, "--max-noise") == 0)
        return wk__bench_read_number(option, value, 0, "a number of percent", &opts->max_noise);
    if (strcmp(option, "--peer") == 0) return read_peers(opts, value);
    if (strcmp(option, "--device") == 0) return wk__bench_read_device(value, &opts->device);
    if (strcmp(option, "--json") == 0) {
        opts->json = value;
    } else if (strcmp(option, "--compare") == 0) {
        opts->compare = value;
        return wk__bench_check_earlier(value, "ops");
    } else if (strcmp(option, "--plugin") == 0) {
        opts->plugin = value;
        return wk_plugin_open(value);
    } else if (strcmp(option, "--sample") == 0) {
        opts->sample = value;
    } else {
        *known = false;
    }
    return WK_OK;
}

static wk_status read_ops_word(void *into, const char *word, bool *known) {
    wk__bench_opts *opts = into;
    bool is_cold = strcmp(word, "--cold") == 0;
    if (is_cold || strcmp(word, "--hot") == 0) {
        opts->cold = is_cold;
    } else if (*word == '-') {
        *known = false;
    } else {
        if (opts->pattern) return wk_fail(WK_CONFIG, "expected one pattern, also found %s", word);
        opts->pattern = word;
    }
    return WK_OK;
}

int wk__bench_ops_main(int argc, char **argv) {
    wk__bench_opts opts = { .dtype = WK_F32, .modes = { true, true }, .min_time = 0.1 };
    int code = wk__bench_parse(argc, argv, read_ops_word, read_ops_option, &opts);
    if (code) return code;
    if (!opts.pattern) opts.pattern = "*";
    if (opts.device && opts.cold) return wk__bench_exit(wk_fail(WK_CONFIG, "--cold is of the CPU's caches"));
    return wk__bench_exit(wk__bench_ops(&opts));
}

/* ---- roofs ---- */

typedef struct roofs_opts {
    int threads;
    wk_device device;
    const char *json;
} roofs_opts;

static wk_status print_roofs(const roofs_opts *opts) {
    wk__bench_machine machine;
    wk_set_threads(opts->threads);
    WK_TRY(wk__machine_measure(&machine, opts->device));
    (void)printf("threads: %d\n", machine.threads);
    if (opts->device) (void)printf("device: %s\n", machine.device);
    wk__roofs_print(&machine.roofs, stdout);
    return opts->json ? wk__bench_finish(wk__machine_object(&machine, "roofs"), NULL, opts->json) : WK_OK;
}

static wk_status read_roofs_option(void *into, const char *option, const char *value, bool *known) {
    roofs_opts *opts = into;
    if (strcmp(option, "--threads") == 0)
        return wk__bench_read_count(option, value, 1, WK__BENCH_MOST_THREADS, &opts->threads);
    if (strcmp(option, "--device") == 0) return wk__bench_read_device(value, &opts->device);
    *known = strcmp(option, "--json") == 0;
    if (*known) opts->json = value;
    return WK_OK;
}

int wk__bench_roofs_main(int argc, char **argv) {
    roofs_opts opts = { 0 };
    int code = wk__bench_parse(argc, argv, NULL, read_roofs_option, &opts);
    return code ? code : wk__bench_exit(print_roofs(&opts));
}
