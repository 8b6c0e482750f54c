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
    "\n"
    "Times operations at the large samples of the op table: forward, and forward with backward.  PATTERN is a name, "
    "or\n"
    "several as a shell writes them (\"*pool*\").\n"
    "\n"
    "  --peer torch         PyTorch eager beside it, turn by turn, after both results were compared (at the root of\n"
    "                       Wick's sources; the Python is build/peers/bin/python or WICK_PYTHON)\n"
    "  --mode MODE          forward, grad (forward and backward) or both (the default)\n"
    "  --dtype NAME         dtype of the operands, f32 by default\n"
    "  --threads N          threads of both sides\n"
    "  --min-time S         seconds for each side of one line, 0.1 by default\n"
    "  --json FILE          the same as JSON\n"
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

static wk_status read_option(wk__bench_opts *opts, const char *option, const char *value, bool *known) {
    char *end = NULL;
    if (strcmp(option, "--dtype") == 0) return read_dtype(opts, value);
    if (strcmp(option, "--peer") == 0) {
        opts->peer = value;
        if (strcmp(value, "torch") != 0) return wk_fail(WK_CONFIG, "--peer is \"%s\", expected torch", value);
    } else if (strcmp(option, "--json") == 0) {
        opts->json = value;
    } else if (strcmp(option, "--mode") == 0) {
        bool both = strcmp(value, "both") == 0;
        opts->modes[WK__BENCH_FORWARD] = both || strcmp(value, "forward") == 0;
        opts->modes[WK__BENCH_GRAD] = both || strcmp(value, "grad") == 0;
        if (!opts->modes[WK__BENCH_FORWARD] && !opts->modes[WK__BENCH_GRAD])
            return wk_fail(WK_CONFIG, "--mode is \"%s\", expected forward, grad or both", value);
    } else if (strcmp(option, "--threads") == 0) {
        long threads = strtol(value, &end, 10);
        if (*end || threads < 1 || threads > 4096)
            return wk_fail(WK_CONFIG, "--threads is \"%s\", expected a number of at least 1", value);
        opts->threads = (int)threads;
    } else if (strcmp(option, "--min-time") == 0) {
        opts->min_time = strtod(value, &end);
        if (*end || !(opts->min_time > 0) || !isfinite(opts->min_time))
            return wk_fail(WK_CONFIG, "--min-time is \"%s\", expected seconds, more than 0", value);
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
        bool known = true;
        if (i + 1 == argc) return usage("unknown option, or nothing stands behind", argv[i]);
        if (read_option(opts, argv[i], argv[i + 1], &known) != WK_OK) return (void)wk_report(stderr), EXIT_USAGE;
        if (!known) return usage("unknown option", argv[i]);
        i++;
    }
    return 0;
}

int wk_bench_main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return (void)fputs(help, stdout), 0;
    if (argc < 2) return usage("expected what to measure: ops", "");
    if (strcmp(argv[1], "ops") != 0) return usage("what can be measured is ops, not", argv[1]);
    wk__bench_opts opts = { .dtype = WK_F32, .modes = { true, true }, .min_time = 0.1 };
    int code = parse(&opts, argc, argv);
    if (code) return code;
    if (!opts.pattern) opts.pattern = "*";
    if (wk__bench_ops(&opts) == WK_OK) return 0;
    (void)wk_report(stderr);
    return 1;
}
