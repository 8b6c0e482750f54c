/* command.c: the command line of `wick bench`. */
#include "bench/bench.h"

#include "base/base.h"
#include "wick/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

static const char help[] =
    "usage: wick bench ops [PATTERN] [options]\n"
    "       wick bench roofs [--threads N]\n"
    "       wick bench comm [--ranks N] [--sizes 4K,64K,1M,16M] [--algorithms LIST] [--json FILE]\n"
    "\n"
    "ops times operations at the large samples of the op table: forward, and forward with backward.  PATTERN is a "
    "name,\n"
    "or several as a shell writes them (\"*pool*\").  roofs measures what the machine does at best.\n"
    "comm times all-reduce of f32 between ranks, each algorithm (shared, hierarchical, ring) beside Open MPI's own "
    "(mpi).\n"
    "\n"
    "  --peer torch         PyTorch eager beside it, turn by turn, after both results were compared (at the root of\n"
    "                       Wick's sources; the Python is build/peers/bin/python or WICK_PYTHON)\n"
    "  --mode MODES         some of check (held against the row's parts), bitwise (a second run), forward, grad "
    "(forward\n"
    "                       and backward), perf (both of these, the default), separated by commas\n"
    "  --sample LABEL       the one sample of this name, large or not\n"
    "  --shape A,B...       shapes of the operands as 512x1024, in the place of the sample's; - leaves one as it is\n"
    "  --dtype NAME         dtype of the operands, f32 by default\n"
    "  --threads N          threads of both sides\n"
    "  --hot, --cold        operands where the last call left them (the default), or in memory\n"
    "  --min-time S         seconds for each side of one line, 0.1 by default\n"
    "  --max-noise P        rounds that lie more than P percent apart are run again\n"
    "  --json FILE          the same as JSON\n"
    "  --compare FILE       beside an earlier --json, with a test of whether the difference is one\n"
    "\n"
    "example: wick bench ops 'softmax*' --peer torch --threads 1\n";

static int usage(const char *problem, const char *word) {
    (void)fprintf(stderr, "wick: bench: %s%s%s\n%s", problem, *word ? " " : "", word, help);
    return EXIT_USAGE;
}

static wk_status read_dtype(wk__bench_opts *opts, const char *value) {
    const char *names[WK_DTYPE_COUNT];
    for (int dtype = 0; dtype < WK_DTYPE_COUNT; dtype++) {
        names[dtype] = wk_dtype_name((wk_dtype)dtype);
        if (strcmp(names[dtype], value) != 0) continue;
        opts->dtype = (wk_dtype)dtype;
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
        for (int c = 0; c < WK__BENCH_CHECKS; c++)
            if (strlen(wk__bench_check_names[c]) == length && strncmp(at, wk__bench_check_names[c], length) == 0)
                opts->verify[c] = known = true;
        if (!known)
            return wk_fail(WK_CONFIG, "--mode has \"%.*s\", expected some of check, bitwise, forward, grad, perf",
                           (int)length, at);
        at += length;
        if (!*at) return WK_OK;
    }
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

static wk_status read_number(const char *option, const char *value, double least, const char *expected,
                             double *number) {
    char *end;
    *number = strtod(value, &end);
    if (end != value && !*end && *number >= least && isfinite(*number)) return WK_OK;
    return wk_fail(WK_CONFIG, "%s is \"%s\", expected %s", option, value, expected);
}

static wk_status read_option(wk__bench_opts *opts, const char *option, const char *value, bool *known) {
    double number;
    if (strcmp(option, "--dtype") == 0) return read_dtype(opts, value);
    if (strcmp(option, "--mode") == 0) return read_modes(opts, value);
    if (strcmp(option, "--shape") == 0) return read_shapes(opts, value);
    if (strcmp(option, "--min-time") == 0)
        return read_number(option, value, 1e-9, "seconds, more than 0", &opts->min_time);
    if (strcmp(option, "--max-noise") == 0)
        return read_number(option, value, 0, "a number of percent", &opts->max_noise);
    if (strcmp(option, "--threads") == 0) {
        WK_TRY(read_number(option, value, 1, "a number of at least 1", &number));
        if (number > 4096 || number != floor(number))
            return wk_fail(WK_CONFIG, "--threads is \"%s\", expected a whole number of at most 4096", value);
        opts->threads = (int)number;
    } else if (strcmp(option, "--peer") == 0) {
        opts->peer = value;
        if (strcmp(value, "torch") != 0) return wk_fail(WK_CONFIG, "--peer is \"%s\", expected torch", value);
    } else if (strcmp(option, "--json") == 0) {
        opts->json = value;
    } else if (strcmp(option, "--compare") == 0) {
        opts->compare = value;
        return wk__bench_check_earlier(value);
    } else if (strcmp(option, "--sample") == 0) {
        opts->sample = value;
    } else {
        *known = false;
    }
    return WK_OK;
}

/* 0, or the exit code. */
static int parse(wk__bench_opts *opts, int argc, char **argv) {
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (opts->pattern) return usage("expected one pattern, also found", argv[i]);
            opts->pattern = argv[i];
            continue;
        }
        bool known = true, is_cold = strcmp(argv[i], "--cold") == 0;
        if (is_cold || strcmp(argv[i], "--hot") == 0) {
            opts->cold = is_cold;
            continue;
        }
        if (i + 1 == argc) return usage("unknown option, or nothing stands behind", argv[i]);
        if (read_option(opts, argv[i], argv[i + 1], &known) != WK_OK) return (void)wk_report(stderr), EXIT_USAGE;
        if (!known) return usage("unknown option", argv[i]);
        i++;
    }
    return 0;
}

static wk_status print_roofs(const wk__bench_opts *opts) {
    wk__roofs roofs;
    wk_set_threads(opts->threads);
    WK_TRY(wk__roofs_measure(&roofs, wk_threads()));
    (void)printf("threads: %d\n", roofs.threads);
    wk__roofs_print(&roofs, stdout);
    return WK_OK;
}

int wk_bench_main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return (void)fputs(help, stdout), 0;
    if (argc < 2) return usage("expected what to measure: ops, roofs or comm", "");
    if (strcmp(argv[1], "comm") == 0) {
        if (wk__bench_comm(argc, argv) == WK_OK) return 0;
        int code = wk_error_code() == WK_CONFIG ? EXIT_USAGE : 1;
        return (void)wk_report(stderr), code;
    }
    bool roofs = strcmp(argv[1], "roofs") == 0;
    if (!roofs && strcmp(argv[1], "ops") != 0) return usage("what can be measured is ops, roofs or comm, not", argv[1]);
    wk__bench_opts opts = { .dtype = WK_F32, .modes = { true, true }, .min_time = 0.1 };
    int code = parse(&opts, argc, argv);
    if (code) return code;
    if (!opts.pattern) opts.pattern = "*";
    if ((roofs ? print_roofs(&opts) : wk__bench_ops(&opts)) == WK_OK) return 0;
    (void)wk_report(stderr);
    return 1;
}
