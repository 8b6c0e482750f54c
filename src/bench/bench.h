/* bench.h: what the files of `wick bench` share: options, the machine, one row's sample made ready to run, the peer,
 * the report. */
#ifndef WICK_SRC_BENCH_H
#define WICK_SRC_BENCH_H

#include "tensor/tuning.h"
#include "wick/device.h"
#include "wick/op.h"

#include <stdio.h>
#include <sys/types.h>

enum { WK__BENCH_MOST_IN = 16, WK__BENCH_MOST_OUT = 32 };
/* Each side of a line of `ops` is timed so many times, in turns; of one of `steps` at most so many. */
enum { WK__BENCH_ROUNDS = 7, WK__BENCH_MOST_ROUNDS = 25 };
enum { WK__BENCH_MOST_PEERS = 3 };

typedef enum wk__bench_mode { WK__BENCH_FORWARD, WK__BENCH_GRAD, WK__BENCH_MODES } wk__bench_mode;
extern const char *const wk__bench_mode_names[]; /* "forward", "grad" */

/* Before anything is timed. */
typedef enum wk__bench_check { WK__BENCH_PARTS, WK__BENCH_BITS, WK__BENCH_CHECKS } wk__bench_check;
extern const char *const wk__bench_check_names[]; /* "check", "bitwise" */

typedef struct wk__bench_opts {
    const char *pattern; /* names of rows, as a shell's pattern */
    const char *peers;   /* as they were asked for, "torch,onednn"; NULL: none */
    const char *peer[WK__BENCH_MOST_PEERS];
    int n_peers;
    const char *json;                 /* a file to write; NULL: none */
    const char *compare;              /* an earlier file of --json; NULL: none */
    const char *plugin;               /* that was opened, or NULL */
    const char *sample;               /* the label of the one to run; NULL: the large ones */
    wk_dims shape[WK__BENCH_MOST_IN]; /* instead of those of the first sample */
    int shapes;                       /* how many are given; a rank of -1: as it is */
    bool cold;                        /* operands come from memory at each call */
    bool verify[WK__BENCH_CHECKS];
    bool traffic; /* counted instead of timed, by the emulated device */
    int threads;  /* of both sides; 0: all */
    wk_device device;
    wk_dtype dtype;
    bool modes[WK__BENCH_MODES];
    double min_time;  /* seconds for each side of one line */
    double max_noise; /* spread of the rounds from which on they are run again; 0: never */
} wk__bench_opts;

/* ---- subject.c ---- */

/* A sample of a row: its inputs are drawn and kept. */
typedef struct wk__subject {
    const wk_op_def *row;
    const char *label;
    const void *attrs;
    wk_device device; /* where it runs */
    wk_tensor *in[WK__BENCH_MOST_IN];
    wk_tensor *given[WK__BENCH_MOST_OUT]; /* gradients of the results, kept; NULL where none is asked for */
    bool wanted[WK__BENCH_MOST_IN];       /* inputs whose gradient is asked for */
    int n_in, n_out;
    bool has_grad; /* some result has a gradient, and some input wants one */
} wk__subject;

/* Draw the inputs.  On failure the subject needs no end. */
wk_status wk__subject_begin(wk__subject *subject, wk_dtype dtype, const wk_sample_in *in, int n_in);
void wk__subject_end(wk__subject *subject);
/* Ask for gradients of the inputs for which `wanted` is set, of all results for which `uses` says so (NULL: all). */
wk_status wk__subject_want_grad(wk__subject *subject, bool (*uses)(void *context, int output), void *context);
/* Results, and in WK__BENCH_GRAD gradients (NULL where not wanted), as tensors of the current scope. */
wk_status wk__subject_run(const wk__subject *subject, wk__bench_mode mode, wk_tensor **out, wk_tensor **gradients);
/* Nanoseconds of a call in the fastest batch within `seconds` (cold: of the fastest call, each after the caches were
 * filled with something else); 0 with an error pending. */
double wk__subject_time(const wk__subject *subject, wk__bench_mode mode, double seconds, bool cold);
/* Bytes and floating-point operations of one call. */
wk_cost wk__subject_cost(const wk__subject *subject, wk__bench_mode mode);
typedef struct wk__roofs wk__roofs;
/* Seconds that one call cannot stay below: the sum of its kernels' limits. */
double wk__subject_limit(const wk__subject *subject, wk__bench_mode mode, const wk__roofs *roofs, wk_dtype dtype,
                         bool cold);

/* ---- verify.c ---- */

/* Hold the subject's results against its parts', or two runs' bits against each other's (another number of threads
 * too).  `note` says what was found; false if that is wrong. */
bool wk__subject_verify(const wk__subject *subject, wk__bench_check check, char *note, size_t size);
/* "" in `note` if both agree within `tolerance` of the largest element of `other`. */
void wk__bench_hold_against(wk_tensor *own, wk_tensor *other, const char *what, double tolerance, char *note,
                            size_t size);
/* How far two right results in such dtypes may lie apart. */
double wk__bench_tolerance(wk_tensor *const *tensors, int count);

/* ---- traffic.c ---- */

/* Print what each kernel of one call moved, and all of them beside what the cost rules say that none can do without;
 * that in `note` too. */
wk_status wk__subject_count_traffic(const wk__subject *subject, wk__bench_mode mode, char *note, size_t size);

/* ---- roofs.c ---- */

typedef struct wk__roof_level {
    const char *name; /* "L1", "L2", "L3", "memory" */
    double rate;      /* bytes a second */
} wk__roof_level;

/* What the machine does at best with so many threads, or a device. */
enum { WK__ROOF_LEAST = 14, WK__ROOF_MOST = 28, WK__ROOF_LEVELS = 4 };
struct wk__roofs {
    int threads;
    double rate[WK__ROOF_MOST + 1];        /* bytes a second where 2^i bytes are touched, from WK__ROOF_LEAST on */
    wk__roof_level level[WK__ROOF_LEVELS]; /* the first ones that have a name */
    double f32, f64, bf16;                 /* floating-point operations a second; bf16 0: as f32 */
    double fork_join;                      /* seconds to wake a team and wait for it; of a device to launch and wait */
};

wk_status wk__roofs_measure(wk__roofs *roofs, int threads);
/* The same of a device (device_roofs.c); the CPU's with as many threads as this program uses. */
wk_status wk__roofs_measure_device(wk__roofs *roofs, wk_device device);
/* Seconds that no kernel of this cost can stay below; cold: its operands come from memory. */
double wk__roofs_limit(const wk__roofs *roofs, wk_dtype dtype, wk_cost cost, bool cold);
void wk__roofs_print(const wk__roofs *roofs, FILE *to);

/* ---- machine.c ---- */

/* What something was measured with. */
typedef struct wk__bench_machine {
    char processor[120], build[120], revision[60], tuning[640];
    char device[120]; /* "cpu"; "cuda:0: NVIDIA H200, 9.0" */
    int cores, threads;
    wk__roofs roofs;
} wk__bench_machine;

/* All but the roofs. */
void wk__machine_describe(wk__bench_machine *machine);
/* With as many threads as this program uses; of a device, its own roofs. */
wk_status wk__machine_measure(wk__bench_machine *machine, wk_device device);
/* Three lines; `setting` ("dtype: f32") stands behind the number of threads. */
void wk__machine_print(const wk__bench_machine *machine, const char *setting);
/* {"kind": "ops", "processor": ..., "roofs": ..., "lines": []} */
struct json_t *wk__machine_object(const wk__bench_machine *machine, const char *kind);
/* Compare with, and save to, the files that are asked for (NULL: none).  Takes `all`. */
wk_status wk__bench_finish(struct json_t *all, const char *compare, const char *save);
struct json_t *wk__bench_numbers(const double *values, int count);
/* Of at least one value. */
double wk__bench_median(const double *values, int count);
/* Between the quartiles, in percent of the median. */
double wk__bench_noise(const double *values, int count);

/* ---- peer.c ---- */

/* What is timed beside Wick's own choice: a child process that runs the same operations in another library, or a
 * library that Wick itself calls, made to compute whatever it can. */
typedef struct wk__peer {
    bool is_library;
    wk__forced forced; /* of a library */
    pid_t pid;
    FILE *to, *from;
    char name[80];    /* "torch 2.9.1" */
    char folder[200]; /* where operands are exchanged */
} wk__peer;

/* One peer's part of a line. */
typedef struct wk__bench_side {
    const wk__peer *peer;
    char note[200];                  /* "" if it may be timed, else why not */
    bool differs;                    /* its results are others */
    double ns, ratio, p;             /* medians; its time over Wick's; the chance that neither is faster */
    double rounds[WK__BENCH_ROUNDS]; /* ns */
} wk__bench_side;

/* The names that --peer takes. */
extern const char *const wk__peer_names[WK__BENCH_MOST_PEERS];
wk_status wk__peer_start(wk__peer *peer, const char *name, int threads, wk_device device);
void wk__peer_stop(wk__peer *peer);
/* Give the subject to the peer and hold both results against each other.  A process comes before libraries: it sets
 * which gradients are asked for on all sides. */
wk_status wk__peer_prepare(wk__peer *peer, wk__subject *subject, wk__bench_side *side);
/* As wk__subject_time, for what was prepared last. */
double wk__peer_time(wk__peer *peer, const wk__subject *subject, wk__bench_mode mode, double seconds, bool cold);
/* The Python of a peer whose script this is, NULL with an error pending: the script must be there too. */
const char *wk__peer_python(const char *script);
/* The first line that a program prints, "" if it cannot be run. */
void wk__first_line_of(char *const argv[], char *line, size_t size);

/* ---- library.c ---- */

wk_status wk__library_start(wk__peer *peer, const char *name);
wk_status wk__library_prepare(wk__peer *peer, const wk__subject *subject, wk__bench_side *side);
double wk__library_time(wk__peer *peer, const wk__subject *subject, wk__bench_mode mode, double seconds, bool cold);

/* ---- report.c ---- */

typedef struct wk__bench_line {
    char row[64], sample[64], operands[160], note[200];
    const char *mode;
    double wick_ns; /* median */
    double rounds[WK__BENCH_ROUNDS];
    wk__bench_side side[WK__BENCH_MOST_PEERS];
    wk_cost cost;
    double limit; /* seconds, by the roofs */
} wk__bench_line;

typedef struct wk__bench_report {
    wk__bench_line *line;
    int count, capacity, n_peers;
    const wk__peer *peers;
    char dtype[8], cache[8]; /* "hot", "cold" */
    wk__bench_machine machine;
    const wk__bench_opts *opts;
} wk__bench_report;

wk_status wk__report_begin(wk__bench_report *report, const wk__bench_opts *opts, const wk__peer *peers, int n_peers);
wk_status wk__report_add(wk__bench_report *report, wk__bench_line line);
/* What lies below half of the peer's speed. */
void wk__report_summary(const wk__bench_report *report);
/* All of it as JSON; NULL without memory. */
struct json_t *wk__report_object(const wk__bench_report *report);
void wk__report_end(wk__bench_report *report);

/* ---- compare.c ---- */

/* The chance that rounds of one speed stand in an order as uneven as this, or more (two-sided). */
double wk__rank_test(const double *a, int n, const double *b, int m);
/* Whether the file is one of `wick bench KIND --json`, before time is spent. */
wk_status wk__bench_check_earlier(const char *path, const char *kind);
/* Print what was measured now (as it is saved) beside an earlier file of the same kind. */
wk_status wk__bench_compare(const struct json_t *now, const char *path);

/* ---- ops.c ---- */

/* `wick bench ops`. */
wk_status wk__bench_ops(const wk__bench_opts *opts);

/* ---- command.c ---- */

enum { WK__BENCH_MOST_THREADS = 4096 };

/* Read a word that stands alone, or an option with its value; `known` is true, and to be made false where it is none.
 */
typedef wk_status wk__bench_read_word(void *opts, const char *word, bool *known);
typedef wk_status wk__bench_read_option(void *opts, const char *option, const char *value, bool *known);
/* The words behind `bench SUBJECT` (NULL: there are none of these): 0, or the exit code where one makes no sense. */
int wk__bench_parse(int argc, char **argv, wk__bench_read_word *word, wk__bench_read_option *option, void *opts);
/* --device NAME */
wk_status wk__bench_read_device(const char *value, wk_device *device);
/* The exit code, after the pending error was reported. */
int wk__bench_exit(wk_status status);
wk_status wk__bench_read_number(const char *option, const char *value, double least, const char *expected,
                                double *number);
/* A whole number from `least`, 0 or 1, to `most`. */
wk_status wk__bench_read_count(const char *option, const char *value, int least, int most, int *count);

/* The subjects, each with the words of `wick bench`. */
int wk__bench_ops_main(int argc, char **argv);
int wk__bench_roofs_main(int argc, char **argv);
int wk__bench_steps_main(int argc, char **argv);
int wk__bench_step_main(int argc, char **argv);
int wk__bench_overhead_main(int argc, char **argv);
int wk__bench_tune_main(int argc, char **argv);
int wk__bench_plot_main(int argc, char **argv);
int wk__bench_comm_main(int argc, char **argv);

#endif
