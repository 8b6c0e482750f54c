/* main.c: fuzz_ops: random programs of operations, each run twice, in a child process.
 *
 *   fuzz_ops [--seconds N] [--seed S] [--program K] [--keep-going]
 *
 * The child says in shared memory where it is, so that whatever ends it (a sanitizer, a signal, a call that does not
 * come back) the parent can name the program and the command that runs it again.
 */
#include "fuzz_ops/fuzz_ops.h"

#include "wick/base.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FOUND = 3 }; /* exit code of a child that printed a finding; sanitizers exit with 1 */
enum { MOST_BYTES = 64 << 20, MOST_HELD = 512 << 20, PATIENCE = 60 }; /* bytes of one request, of all; seconds */

typedef struct place {
    atomic_uint_fast64_t program, calls, refused, compared, backward, findings;
    char row[80];
} place;

typedef struct options {
    double seconds;
    uint64_t seed, program;
    bool one, keep_going;
} options;

static place *shared;
static const char *self;

/* ---- memory: absurd sizes are refused as a small machine would ---- */

static size_t held;

static void *allocate(void *context, size_t size, size_t alignment) {
    (void)context;
    void *memory = NULL;
    if (size > MOST_BYTES || held + size > MOST_HELD || posix_memalign(&memory, alignment, size) != 0) return NULL;
    held += size;
    return memory;
}

static void release(void *context, void *memory, size_t size) {
    (void)context;
    held -= size;
    free(memory);
}

/* ---- the child ---- */

static double now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void on_step(const char *row) {
    (void)snprintf(shared->row, sizeof shared->row, "%s", row);
}

static void compare_runs(const outcome *a, outcome *b) {
    for (int i = 0; i < a->steps || i < b->steps; i++) {
        if (i < a->steps && i < b->steps && a->bits[i] == b->bits[i] && strcmp(a->row[i], b->row[i]) == 0) continue;
        (void)snprintf(b->wrong, sizeof b->wrong, "%s gives other bits in a second run",
                       i < a->steps ? a->row[i] : b->row[i]);
        return;
    }
}

static void print_replay(const options *o, uint64_t program) {
    (void)fprintf(stderr, "replay: %s --seed %llu --program %llu\n", self, (unsigned long long)o->seed,
                  (unsigned long long)program);
}

/* false: a finding, which was printed. */
static bool run_one(const options *o, uint64_t number) {
    outcome first, second;
    atomic_store(&shared->program, number);
    run_program_of_ops(o->seed, number, o->one, on_step, &first);
    if (!first.wrong[0]) {
        run_program_of_ops(o->seed, number, false, on_step, &second);
        compare_runs(&first, &second);
        memcpy(first.wrong, second.wrong, sizeof first.wrong);
    }
    shared->calls += (uint64_t)first.calls;
    shared->refused += (uint64_t)first.refused;
    shared->compared += (uint64_t)first.compared;
    shared->backward += (uint64_t)first.backward;
    if (!first.wrong[0]) return true;
    (void)fprintf(stderr, "program %llu: %s\n", (unsigned long long)number, first.wrong);
    print_replay(o, number);
    shared->findings++;
    return false;
}

static int child(const options *o, uint64_t from, double until) {
    wk_set_allocator(&(wk_allocator){ allocate, release, NULL });
    if (o->one) return run_one(o, o->program) ? 0 : FOUND;
    for (uint64_t number = from; now() < until; number++)
        if (!run_one(o, number) && !o->keep_going) return FOUND;
    return 0;
}

/* ---- the parent ---- */

/* The child's status, or -1 if it did not come on for PATIENCE seconds. */
static int watch(pid_t pid) {
    uint64_t at = UINT64_MAX;
    double since = now();
    for (int status;;) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) return status;
        if (atomic_load(&shared->program) != at) at = atomic_load(&shared->program), since = now();
        if (now() - since > PATIENCE) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, &status, 0);
            return -1;
        }
        (void)nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    }
}

/* One child; the exit code. */
static int supervise(const options *o, uint64_t from, double until) {
    pid_t pid = fork();
    if (pid < 0) return perror("fuzz_ops: fork"), 1;
    if (pid == 0) exit(child(o, from, until));
    int status = watch(pid);
    if (status != -1 && WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == FOUND))
        return WEXITSTATUS(status) == 0 ? 0 : 1;
    uint64_t program = atomic_load(&shared->program);
    (void)fprintf(stderr, "program %llu: %s in %s\n", (unsigned long long)program,
                  status == -1 ? "does not come back" : "ended by a crash", shared->row);
    print_replay(o, program);
    return 2;
}

static bool read_number(const char *text, uint64_t *value) {
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return *text && !*end && !errno;
}

static bool read_options(int argc, char **argv, options *o) {
    for (int i = 1; i < argc; i++) {
        uint64_t value;
        if (strcmp(argv[i], "--keep-going") == 0) {
            o->keep_going = true;
            continue;
        }
        if (i + 1 == argc || !read_number(argv[i + 1], &value)) return false;
        if (strcmp(argv[i], "--seconds") == 0)
            o->seconds = (double)value;
        else if (strcmp(argv[i], "--seed") == 0)
            o->seed = value;
        else if (strcmp(argv[i], "--program") == 0)
            o->program = value, o->one = true;
        else
            return false;
        i++;
    }
    return true;
}

int main(int argc, char **argv) {
    options o = { .seconds = 10, .seed = (uint64_t)time(NULL) };
    self = argv[0];
    if (!read_options(argc, argv, &o))
        return (void)fprintf(stderr, "usage: %s [--seconds N] [--seed S] [--program K] [--keep-going]\n", self), 2;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return perror("fuzz_ops: mmap"), 1;
    (void)printf("fuzz_ops: seed %llu\n", (unsigned long long)o.seed);
    (void)fflush(stdout);
    double until = now() + o.seconds;
    int worst = 0;
    for (uint64_t from = 0;; from = atomic_load(&shared->program) + 1) {
        int code = supervise(&o, from, until);
        worst = code > worst ? code : worst;
        if (code == 2) shared->findings++;
        if (code != 2 || !o.keep_going || o.one) break;
    }
    (void)printf("fuzz_ops: %llu programs, %llu calls, %llu refused, %llu compared, %llu backward, %llu findings\n",
                 (unsigned long long)shared->program + 1, (unsigned long long)shared->calls,
                 (unsigned long long)shared->refused, (unsigned long long)shared->compared,
                 (unsigned long long)shared->backward, (unsigned long long)shared->findings);
    return shared->findings && !worst ? 1 : worst;
}
