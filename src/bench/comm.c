/* comm.c: `wick bench comm`: all-reduce by size, each of Wick's algorithms beside Open MPI's own, turn by turn.
 *
 * Started alone it becomes mpirun, which starts it again as so many ranks: whoever ends the one program ends all.
 * Started by mpirun or by `wick agent` it is a rank, so one's own can place the ranks on hosts.  A rank has a group for
 * each algorithm.  Sums are held against what they must be before any is timed.
 */
#define WK_NO_CALL_SITES
#include "bench/bench.h"

#include "base/base.h"
#include "tensor/backend.h"
#include "wick/dist.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { MOST_SIZES = 32, MOST_ALGORITHMS = 4, MOST_RANKS = 256 };
static const double BATCH_SECONDS = 0.02; /* of one side in one round */

typedef struct comm_opts {
    int ranks;
    int64_t size[MOST_SIZES]; /* bytes */
    int sizes;
    const char *algorithm[MOST_ALGORITHMS]; /* none: all that can be */
    int algorithms;
    const char *json;
} comm_opts;

static const char *const names[MOST_ALGORITHMS] = { "shared", "hierarchical", "ring", "mpi" };

/* ---- options ---- */

/* "64K": bytes, in whole elements. */
static wk_status read_size(const char *word, size_t length, int64_t *bytes) {
    char *end;
    long long number = strtoll(word, &end, 10);
    int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 0;
    if (shift) end++;
    *bytes = number << shift;
    bool good = end == word + length && number > 0 && number <= INT32_MAX && *bytes <= INT32_MAX && *bytes % 4 == 0;
    return good ? WK_OK
                : wk_fail(WK_CONFIG, "--sizes has \"%.*s\", expected multiples of 4 bytes below 2G as 4K,64K,1M",
                          (int)length, word);
}

static wk_status read_sizes(comm_opts *opts, const char *value) {
    opts->sizes = 0;
    for (const char *at = value;; at++) {
        size_t length = strcspn(at, ",");
        if (opts->sizes == MOST_SIZES) return wk_fail(WK_CONFIG, "--sizes has more than %d", MOST_SIZES);
        WK_TRY(read_size(at, length, &opts->size[opts->sizes++]));
        at += length;
        if (!*at) return WK_OK;
    }
}

static wk_status read_algorithms(comm_opts *opts, const char *value) {
    opts->algorithms = 0;
    for (const char *at = value;; at++) {
        size_t length = strcspn(at, ",");
        const char *known = NULL;
        for (int i = 0; i < MOST_ALGORITHMS; i++)
            if (strlen(names[i]) == length && strncmp(names[i], at, length) == 0) known = names[i];
        if (!known || opts->algorithms == MOST_ALGORITHMS)
            return wk_fail(WK_CONFIG, "--algorithms is \"%s\", expected some of shared, hierarchical, ring, mpi",
                           value);
        opts->algorithm[opts->algorithms++] = known;
        at += length;
        if (!*at) return WK_OK;
    }
}

static wk_status read_option(comm_opts *opts, const char *option, const char *value) {
    char *end;
    if (strcmp(option, "--sizes") == 0) return read_sizes(opts, value);
    if (strcmp(option, "--algorithms") == 0) return read_algorithms(opts, value);
    if (strcmp(option, "--json") == 0) return opts->json = value, WK_OK;
    if (strcmp(option, "--ranks") != 0) return wk_fail(WK_CONFIG, "comm: unknown option %s", option);
    long ranks = strtol(value, &end, 10);
    if (*end || ranks < 2 || ranks > MOST_RANKS)
        return wk_fail(WK_CONFIG, "--ranks is \"%s\", expected 2 to %d", value, MOST_RANKS);
    opts->ranks = (int)ranks;
    return WK_OK;
}

static wk_status parse(comm_opts *opts, int argc, char **argv) {
    wk_device_info info = { 0 };
    (void)wk__cpu_device_info(&info);
    *opts = (comm_opts){ .ranks = info.threads < 2 ? 2 : info.threads < MOST_RANKS ? info.threads : MOST_RANKS };
    WK_TRY(read_sizes(opts, "4K,64K,1M,16M"));
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 == argc) return wk_fail(WK_CONFIG, "comm: nothing stands behind %s", argv[i]);
        WK_TRY(read_option(opts, argv[i], argv[i + 1]));
    }
    return WK_OK;
}

/* ---- starting the ranks ---- */

static bool is_rank(void) {
    return getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMIX_RANK") || (getenv("RANK") && getenv("WORLD_SIZE"));
}

/* Returns only on failure.  For the flags see src/launcher/schedulers/mpi.c. */
static wk_status become_mpirun(const comm_opts *opts, int argc, char **argv) {
    char self[4096], count[16];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) return wk_fail(WK_IO, "cannot find this program: %s", strerror(errno));
    self[length] = '\0';
    (void)snprintf(count, sizeof count, "%d", opts->ranks);
    const char *flags[] = {
        "mpirun", "--bind-to", "none", "--oversubscribe", "--mca", "mpi_yield_when_idle",       "1", "--mca", "pml",
        "ob1",    "--mca",     "btl",  "self,vader",      "--mca", "odls_base_sigkill_timeout", "1", "-n",    count,
        self,     "bench"
    };
    size_t flag_count = WK_COUNT(flags);
    char **all = wk_alloc((flag_count + (size_t)argc) * sizeof *all);
    if (!all) return WK_NO_MEMORY;
    for (size_t i = 0; i < flag_count; i++) all[i] = (char *)(uintptr_t)flags[i];
    for (int i = 1; i < argc; i++) all[flag_count + (size_t)i - 1] = argv[i];
    if (geteuid() == 0) { /* mpirun refuses root without both */
        (void)setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
        (void)setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    }
    (void)execvp(all[0], all);
    wk_free(all);
    return wk_fail(WK_NOT_FOUND, "cannot run mpirun: %s; tools/install-deps installs Open MPI", strerror(errno));
}

/* ---- groups ---- */

typedef struct contest {
    wk_group *first; /* as it is chosen without a wish; its end ends MPI, so it comes last */
    wk_group *group[MOST_ALGORITHMS];
    const char *name[MOST_ALGORITHMS];
    int count, rank, ranks;
} contest;

static wk_group *make_group(const char *name, bool pretends) {
    (void)setenv("WICK_COMM", name, 1);
    if (pretends) (void)setenv("WICK_COMM_HOSTS", "2", 1);
    wk_group *group = wk_group_create(NULL);
    if (pretends) (void)unsetenv("WICK_COMM_HOSTS");
    return group;
}

/* One host is taken for two where the hierarchy is asked for. */
static wk_status open_groups(contest *c, const comm_opts *opts) {
    (void)unsetenv("WICK_COMM");
    c->first = wk_group_create(NULL);
    if (!c->first) return wk_error_code();
    c->rank = wk_group_rank(c->first);
    c->ranks = wk_group_size(c->first);
    if (c->ranks < 2) return wk_fail(WK_CONFIG, "comm: one rank alone has nobody to sum with");
    const char *best = wk_group_algorithm(c->first);
    bool one_host = strcmp(best, "shared") == 0, has_mpi = strcmp(wk_group_transport(c->first), "mpi") == 0;
    for (int i = 0; i < MOST_ALGORITHMS && !opts->algorithms; i++) {
        if (strcmp(names[i], "mpi") == 0 && !has_mpi) continue;
        bool hierarchy = strcmp(names[i], "hierarchical") == 0, shares = strcmp(names[i], "shared") == 0;
        bool possible = hierarchy && one_host ? c->ranks >= 4 && c->ranks % 2 == 0 : strcmp(names[i], best) == 0;
        if (possible || !(hierarchy || shares)) c->name[c->count++] = names[i];
    }
    for (int i = 0; i < opts->algorithms; i++) c->name[c->count++] = opts->algorithm[i];
    for (int i = 0; i < c->count; i++) {
        c->group[i] = make_group(c->name[i], one_host && strcmp(c->name[i], "hierarchical") == 0);
        if (!c->group[i]) return wk_error_code();
    }
    return WK_OK;
}

static void close_groups(contest *c) {
    for (int i = c->count - 1; i >= 0; i--) wk_group_destroy(c->group[i]);
    wk_group_destroy(c->first);
}

/* ---- one size ---- */

typedef struct comm_line {
    int64_t bytes;
    const char *algorithm;
    double rounds[WK__BENCH_ROUNDS], median; /* seconds of a call */
    double algorithm_rate, bus_rate;         /* bytes a second */
} comm_line;

/* Whole numbers, whose sum has no rounding.  The tensor is zero afterwards: it can be summed for ever. */
static wk_status check_sum(const contest *c, int which, wk_tensor *t) {
    float *v = wk_data(t);
    int64_t count = wk_count(t);
    for (int64_t i = 0; i < count; i++) v[i] = (float)((i + 1) % 1021 * (c->rank + 1));
    WK_TRY(wk_all_reduce(c->group[which], t, WK_REDUCE_SUM, NULL));
    int64_t wrong = -1, ranks = c->ranks;
    for (int64_t i = 0; i < count && wrong < 0; i++)
        if (v[i] != (float)((i + 1) % 1021 * (ranks * (ranks + 1) / 2))) wrong = i;
    double found = wrong >= 0 ? (double)v[wrong] : 0;
    memset(v, 0, (size_t)count * sizeof *v);
    return wrong < 0 ? WK_OK
                     : wk_fail(WK_STATE, "%s: element %lld of %lld is %g on rank %d", c->name[which], (long long)wrong,
                               (long long)count, found, c->rank);
}

/* Seconds of a call, of the slowest rank. */
static wk_status time_calls(const contest *c, int which, wk_tensor *t, int64_t calls, double *seconds) {
    WK_TRY(wk_barrier(c->first));
    double start = wk_now();
    for (int64_t i = 0; i < calls; i++) WK_TRY(wk_all_reduce(c->group[which], t, WK_REDUCE_SUM, NULL));
    double each = (wk_now() - start) / (double)calls;
    wk_tensor *slowest = wk_from_array(WK_F64, WK_DIMS(1), &each);
    WK_TRY(wk_all_reduce(c->first, slowest, WK_REDUCE_MAX, NULL));
    *seconds = wk_item(slowest);
    return wk_error_code();
}

static void print_line(const comm_line *line) {
    (void)printf("%10lld  %-12s %12.2f %6.1f%% %8.2f %8.2f\n", (long long)line->bytes, line->algorithm,
                 1e6 * line->median, wk__bench_noise(line->rounds, WK__BENCH_ROUNDS), 1e-9 * line->algorithm_rate,
                 1e-9 * line->bus_rate);
    (void)fflush(stdout);
}

static wk_status measure(const contest *c, int64_t bytes, comm_line *lines) {
    wk_tensor *t = wk_zeros(WK_F32, WK_DIMS(bytes / 4));
    int64_t calls[MOST_ALGORITHMS];
    double seconds;
    if (!t) return wk_error_code();
    for (int i = 0; i < c->count; i++) {
        lines[i] = (comm_line){ .bytes = bytes, .algorithm = c->name[i] };
        WK_TRY(check_sum(c, i, t));
        WK_TRY(time_calls(c, i, t, 3, &seconds));
        calls[i] = (int64_t)fmin(fmax(BATCH_SECONDS / seconds, 1), 10000);
    }
    for (int round = 0; round < WK__BENCH_ROUNDS; round++)
        for (int i = 0; i < c->count; i++) WK_TRY(time_calls(c, i, t, calls[i], &lines[i].rounds[round]));
    for (int i = 0; i < c->count; i++) {
        comm_line *line = &lines[i];
        line->median = wk__bench_median(line->rounds, WK__BENCH_ROUNDS);
        line->algorithm_rate = (double)bytes / line->median;
        line->bus_rate = line->algorithm_rate * 2 * (c->ranks - 1) / c->ranks;
        if (c->rank == 0) print_line(line);
    }
    return WK_OK;
}

/* ---- all of it ---- */

static void print_header(const contest *c, wk__bench_machine *m) {
    wk__machine_describe(m);
    (void)printf("processor: %s, %d cores; ranks: %d; dtype: f32\nbuild: %s; revision: %s\n", m->processor, m->cores,
                 c->ranks, m->build, *m->revision ? m->revision : "unknown");
    (void)printf("transport: %s; rate: bytes over time; bus: 2 (ranks - 1) / ranks times that; mpi: MPI_Allreduce\n",
                 wk_group_transport(c->first));
    (void)printf("%10s  %-12s %12s %7s %8s %8s\n", "bytes", "algorithm", "us", "noise", "GB/s", "bus GB/s");
}

static wk_status save(const contest *c, const wk__bench_machine *m, const comm_line *lines, int count,
                      const char *path) {
    json_t *array = json_array();
    for (int i = 0; i < count; i++) {
        const comm_line *line = &lines[i];
        double ns[WK__BENCH_ROUNDS];
        for (int r = 0; r < WK__BENCH_ROUNDS; r++) ns[r] = 1e9 * line->rounds[r];
        (void)json_array_append_new(array,
                                    json_pack("{s:I, s:s, s:f, s:o, s:f, s:f}", "bytes", (json_int_t)line->bytes,
                                              "algorithm", line->algorithm, "ns", 1e9 * line->median, "rounds_ns",
                                              wk__bench_numbers(ns, WK__BENCH_ROUNDS), "bytes_per_second",
                                              line->algorithm_rate, "bus_bytes_per_second", line->bus_rate));
    }
    json_t *all = json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:s, s:o}", "kind", "comm", "transport",
                            wk_group_transport(c->first), "processor", m->processor, "cores", m->cores, "ranks",
                            c->ranks, "build", m->build, "revision", m->revision, "lines", array);
    bool written = all && json_dump_file(all, path, JSON_INDENT(1)) == 0;
    json_decref(all);
    return written ? WK_OK : wk_fail(WK_IO, "%s: cannot be written", path);
}

static wk_status run_rank(const comm_opts *opts) {
    static comm_line lines[MOST_SIZES * MOST_ALGORITHMS];
    contest c = { 0 };
    wk__bench_machine machine;
    wk_set_threads(1);
    wk_status status = open_groups(&c, opts);
    if (status == WK_OK && c.rank == 0) print_header(&c, &machine);
    for (int i = 0; i < opts->sizes && status == WK_OK; i++) {
        wk_scope scope = wk_scope_begin();
        status = measure(&c, opts->size[i], lines + (ptrdiff_t)i * c.count);
        wk_scope_end(scope);
    }
    if (status == WK_OK && c.rank == 0 && opts->json)
        status = save(&c, &machine, lines, opts->sizes * c.count, opts->json);
    if (status != WK_OK && c.first) wk_group_abort(c.first, wk_message());
    close_groups(&c);
    return status;
}

static wk_status run(int argc, char **argv) {
    comm_opts opts;
    WK_TRY(parse(&opts, argc, argv));
    if (!is_rank()) return become_mpirun(&opts, argc, argv);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* mpirun was killed */
    return run_rank(&opts);
}

int wk__bench_comm_main(int argc, char **argv) {
    enum { EXIT_USAGE = 2 };
    const wk_status status = run(argc, argv);
    const int code = wk__bench_exit(status);
    return status == WK_CONFIG ? EXIT_USAGE : code;
}
