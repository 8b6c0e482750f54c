/* command.c: the command line of `wick bench`: what its subjects have in common. */
#include "bench/bench.h"

#include "base/base.h"
#include "wick/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

/* In parts: a compiler need not take more than 4095 bytes at once. */
static const char *const help[] = {
    "usage: wick bench ops [PATTERN] [options]      single operations\n"
    "       wick bench steps [WORKLOAD...] [options]  whole steps of training and inference\n"
    "       wick bench step WORKLOAD [options]      one workload in this process, for a profiler\n"
    "       wick bench overhead [--peer torch]      host cost of x + y and of a small network\n"
    "       wick bench roofs [--threads N] [--device NAME] [--json FILE]  what the machine, or a device, does at best\n"
    "       wick bench comm [options]               all-reduce between ranks\n"
    "       wick bench tune [PATTERN] [options]     what computes products and convolutions fastest here, as a table\n"
    "       wick bench plot FILE... [-o NAME]       pictures of --json files\n"
    "\n"
    "ops times operations at the large samples of the op table: forward, and forward with backward.  PATTERN is a "
    "name,\n"
    "or several as a shell writes them (\"*pool*\").\n"
    "\n"
    "  --peer PEERS         beside it, turn by turn, after the results were compared; some of, with commas:\n"
    "                       torch     PyTorch eager (at the root of Wick's sources; the Python is "
    "build/peers/bin/python "
    "or\n"
    "                                 WICK_PYTHON)\n"
    "                       onednn    Wick with every product and convolution computed by oneDNN\n"
    "                       openblas  Wick with every product computed by OpenBLAS\n"
    "  --mode MODES         some of check (held against the row's parts), bitwise (a second run), traffic (bytes and\n"
    "                       requests of each kernel, counted by the emulated device instead of time), forward, grad "
    "(forward\n"
    "                       and backward), perf (both of these, the default), separated by commas\n"
    "  --sample LABEL       the one sample of this name, large or not\n"
    "  --shape A,B...       shapes of the operands as 512x1024, in the place of the sample's; - leaves one as it is\n"
    "  --dtype NAME         dtype of the operands, f32 by default\n"
    "  --device NAME        where they run: cpu (the default), cuda, cudaemu, …\n"
    "  --plugin FILE        a shared library with more operations\n"
    "  --threads N          threads of both sides\n"
    "  --hot, --cold        operands where the last call left them (the default), or in memory\n"
    "  --min-time S         seconds for each side of one line, 0.1 by default\n"
    "  --max-noise P        rounds that lie more than P percent apart are run again\n"
    "  --json FILE          the same as JSON\n"
    "  --compare FILE       beside an earlier --json, with a test of whether the difference is one\n"
    "\n"
    "steps runs each workload (mlp, cnn, resnet18, gpt2-t64, gpt2-t256, lstm, minilm-b1, minilm-b32; also as NAME-bf16 "
    "and\n"
    "NAME-2ranks; by default mlp, cnn and cnn-2ranks) in processes of its own, turn by turn with the peer's.\n"
    "\n"
    "  --peer PEERS         some of torch (PyTorch eager), compile (a further line for torch.compile), onnxruntime (a "
    "further\n"
    "                       line for inference in f32), separated by commas\n"
    "  --rounds N               how often each side runs, 5 by default\n"
    "  --dtype f32|bf16         bf16: autocast on both sides\n"
    "  --device NAME            where both sides run (one rank)\n"
    "  --threads N, --json FILE, --compare FILE as above\n"
    "  --patience S             seconds after which a process is given up, 600 by default\n"
    "\n"
    "overhead --peer torch measures PyTorch from Python, and from C++ where benchmarks/peers/install could build "
    "that.\n"
    "step takes --dtype, --threads, --device, --steps N (timed) and --warmup N; under mpirun also --zero 1, ZeRO's "
    "stage.\n",
    "tune times products and convolutions of each size by each implementation, and writes those that beat what would "
    "be\n"
    "chosen to a table that later processes load (docs/tuning.md).  PATTERN is product, conv2d, "
    "conv2d_backward_input,\n"
    "conv2d_backward_weight, or several as a shell writes them, or a form of one (conv2d/3x3); all by default, which "
    "takes\n"
    "minutes.\n"
    "\n"
    "  -o FILE              the table, by default your own: WICK_TUNING, or wick/tuning.txt of the folder for "
    "configuration\n"
    "  --shape AxBxC        the bucket of this shape alone: MxNxK or BxMxNxK of a product, NxCxKxSIDE of a "
    "convolution\n"
    "  --dtype f32|bf16, --threads N, --min-time S (of each timing, 0.0002 by default)\n"
    "\n"
    "comm times all-reduce of f32 between ranks on this machine, each algorithm (shared, hierarchical, ring) beside "
    "Open\n"
    "MPI's own (mpi): --ranks N, --sizes 4K,64K,1M,16M, --algorithms LIST, --json FILE.\n"
    "plot draws a roofline of files of ops, and the history of files of steps, given from the earliest to the latest, "
    "as\n"
    "SVG and PNG beside the first file; -o NAME.svg or NAME.png chooses one.\n"
    "\n"
    "example: wick bench ops 'softmax*' --peer torch --threads 1\n"
    "         wick bench steps cnn --peer torch --rounds 3 --json now.json --compare then.json\n"
    "         wick bench tune product --dtype f32\n"
    "         wick bench plot now.json\n"
};

static void put_help(FILE *file) {
    for (size_t i = 0; i < WK_COUNT(help); i++) (void)fputs(help[i], file);
}

static int usage(const char *problem, const char *word) {
    (void)fprintf(stderr, "wick: bench: %s%s%s\n", problem, *word ? " " : "", word);
    put_help(stderr);
    return EXIT_USAGE;
}

/* ---- words ---- */

wk_status wk__bench_read_number(const char *option, const char *value, double least, const char *expected,
                                double *number) {
    char *end;
    *number = strtod(value, &end);
    if (end != value && !*end && *number >= least && isfinite(*number)) return WK_OK;
    return wk_fail(WK_CONFIG, "%s is \"%s\", expected %s", option, value, expected);
}

wk_status wk__bench_read_count(const char *option, const char *value, int least, int most, int *count) {
    double number;
    WK_TRY(wk__bench_read_number(option, value, least, least ? "a number of at least 1" : "a number, not below 0",
                                 &number));
    if (number > most || number != floor(number))
        return wk_fail(WK_CONFIG, "%s is \"%s\", expected a whole number of at most %d", option, value, most);
    *count = (int)number;
    return WK_OK;
}

int wk__bench_parse(int argc, char **argv, wk__bench_read_word *word, wk__bench_read_option *option, void *opts) {
    for (int i = 2; i < argc; i++) {
        bool known = word != NULL;
        if (word && word(opts, argv[i], &known) != WK_OK) return (void)wk_report(stderr), EXIT_USAGE;
        if (known) continue;
        if (argv[i][0] != '-') return usage("cannot make sense of", argv[i]);
        if (i + 1 == argc) return usage("unknown option, or nothing stands behind", argv[i]);
        known = option != NULL;
        if (option && option(opts, argv[i], argv[i + 1], &known) != WK_OK) return (void)wk_report(stderr), EXIT_USAGE;
        if (!known) return usage("unknown option", argv[i]);
        i++;
    }
    return 0;
}

wk_status wk__bench_read_device(const char *value, wk_device *device) {
    if (wk_device_parse(value, device) == WK_OK) return WK_OK;
    wk_error_prefix("--device");
    return wk_error_code();
}

int wk__bench_exit(wk_status status) {
    if (status != WK_OK) (void)wk_report(stderr);
    return status == WK_OK ? 0 : 1;
}

/* ---- subjects ---- */

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} subjects[] = {
    { "ops", wk__bench_ops_main },   { "roofs", wk__bench_roofs_main },       { "steps", wk__bench_steps_main },
    { "step", wk__bench_step_main }, { "overhead", wk__bench_overhead_main }, { "comm", wk__bench_comm_main },
    { "tune", wk__bench_tune_main }, { "plot", wk__bench_plot_main },
};
#define SUBJECTS "ops, steps, step, overhead, roofs, comm, tune or plot"

int wk_bench_main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return put_help(stdout), 0;
    if (argc < 2) return usage("expected what to do: " SUBJECTS, "");
    for (size_t i = 0; i < WK_COUNT(subjects); i++)
        if (strcmp(argv[1], subjects[i].name) == 0) return subjects[i].run(argc, argv);
    return usage("what can be done is " SUBJECTS ", not", argv[1]);
}
