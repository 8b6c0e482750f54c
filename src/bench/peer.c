/* peer.c: another library as a child process, asked over pipes.  (Those that Wick calls itself: library.c.)
 *
 * One request a line, fields separated by tabs; one answer a line:
 *
 *     (start)                                   hello NAME VERSION
 *     prepare ROW INPUTS RESULTS NAME=VALUE …   ready | missing
 *     time forward|grad SECONDS hot|cold        ns NUMBER
 *
 * and "error TEXT" instead of any of them.  Operands travel in safetensors files: "in.K" there, "out.K" and "grad.K"
 * back, for those results and gradients that both sides can be held against each other by.
 */
#define WK_NO_CALL_SITES
#include "bench/bench.h"

#include "base/base.h"
#include "wick/io.h"
#include "wick/ops.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRIPT  "benchmarks/peers/torch_ops.py"
#define INSTALL "benchmarks/peers/install"

extern char **environ;

const char *const wk__peer_names[WK__BENCH_MOST_PEERS] = { "torch", "onednn", "openblas" };

/* ---- the process ---- */

/* Start argv with pipes as its standard input and output (`to` NULL: no input). */
static wk_status start_program(char *const argv[], pid_t *pid, FILE **to, FILE **from) {
    int in[2] = { -1, -1 }, out[2] = { -1, -1 };
    if ((to && pipe2(in, O_CLOEXEC) != 0) || pipe2(out, O_CLOEXEC) != 0) return wk_fail(WK_IO, "no pipe for a peer");
    posix_spawn_file_actions_t actions;
    (void)posix_spawn_file_actions_init(&actions);
    if (to)
        (void)posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    else
        (void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    if (!to) (void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int code = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(out[1]);
    if (to) (void)close(in[0]);
    *from = fdopen(out[0], "r");
    if (to) *to = fdopen(in[1], "w");
    if (code == 0 && *from && (!to || *to)) return WK_OK;
    if (*from) (void)fclose(*from);
    if (to && *to) (void)fclose(*to);
    *from = NULL;
    if (to) *to = NULL;
    *pid = 0;
    return wk_fail(WK_IO, "cannot run %s: %s", argv[0], strerror(code));
}

void wk__first_line_of(char *const argv[], char *line, size_t size) {
    pid_t pid = 0;
    FILE *from = NULL;
    *line = '\0';
    if (start_program(argv, &pid, NULL, &from) != WK_OK || !from) {
        wk_clear_error();
        return;
    }
    if (!fgets(line, (int)size, from)) *line = '\0';
    line[strcspn(line, "\n")] = '\0';
    (void)fclose(from);
    (void)waitpid(pid, NULL, 0);
}

/* ---- questions and answers ---- */

/* The rest of the answer's line if it begins with `word`, in a buffer of the peer; NULL with an error pending. */
static char *answer(wk__peer *peer, const char *word, char *line, size_t size) {
    if (!fgets(line, (int)size, peer->from))
        return (void)wk_fail(WK_IO, "the peer %s ended without an answer", peer->name), NULL;
    line[strcspn(line, "\n")] = '\0';
    size_t length = strlen(word);
    if (strncmp(line, word, length) == 0 && (!line[length] || line[length] == '\t')) return line + length;
    if (strncmp(line, "error\t", 6) == 0) return (void)wk_fail(WK_IO, "the peer %s: %s", peer->name, line + 6), NULL;
    return (void)wk_fail(WK_FORMAT, "the peer %s answers \"%s\", expected \"%s\"", peer->name, line, word), NULL;
}

const char *wk__peer_python(const char *script) {
    const char *asked = getenv("WICK_PYTHON"), *python = asked && *asked ? asked : "build/peers/bin/python";
    if (access(script, R_OK) != 0)
        return wk_fail_null(WK_NOT_FOUND, "--peer torch: there is no %s here; run it at the root of Wick's sources",
                            script);
    if (strchr(python, '/') && access(python, X_OK) != 0)
        return wk_fail_null(
            WK_NOT_FOUND, "--peer torch: there is no Python at %s; run %s, or name one that has PyTorch in WICK_PYTHON",
            python, INSTALL);
    return python;
}

wk_status wk__peer_start(wk__peer *peer, const char *name, int threads, wk_device device) {
    char count[20], line[400];
    *peer = (wk__peer){ .is_library = strcmp(name, "torch") != 0 };
    if (peer->is_library && device) return wk_fail(WK_CONFIG, "--peer %s: a library of the CPU's", name);
    if (peer->is_library) return wk__library_start(peer, name);
    const char *python = wk__peer_python(SCRIPT);
    if (!python) return wk_error_code();
    (void)snprintf(peer->name, sizeof peer->name, "%s", name);
    const char *temporary = getenv("TMPDIR");
    const char *parent = temporary && *temporary ? temporary : P_tmpdir;
    int length = snprintf(peer->folder, sizeof peer->folder, "%s/wick-bench-XXXXXX", parent);
    if (length < 0 || (size_t)length >= sizeof peer->folder || !mkdtemp(peer->folder)) {
        *peer->folder = '\0';
        return wk_fail(WK_IO, "cannot make a folder in %s; TMPDIR names another place", parent);
    }
    (void)snprintf(count, sizeof count, "%d", threads);
    (void)signal(SIGPIPE, SIG_IGN);
    /* Wick keeps the memory of results that are gone; without these glibc gives the peer's back to the system and takes
     * it again, page by page, at every call. */
    (void)setenv("MALLOC_TRIM_THRESHOLD_", "1073741824", 0);
    (void)setenv("MALLOC_MMAP_THRESHOLD_", "33554432", 0);
    char *argv[] = { (char *)(uintptr_t)python, SCRIPT, count, (char *)(uintptr_t)wk_device_name(device), NULL };
    wk_status status = start_program(argv, &peer->pid, &peer->to, &peer->from);
    char *hello = status == WK_OK ? answer(peer, "hello", line, sizeof line) : NULL;
    if (!hello) {
        wk__peer_stop(peer);
        return wk_error_code();
    }
    (void)snprintf(peer->name, sizeof peer->name, "%s", hello + 1);
    return WK_OK;
}

void wk__peer_stop(wk__peer *peer) {
    if (peer->to) (void)fclose(peer->to);
    if (peer->from) (void)fclose(peer->from);
    if (peer->pid > 0) (void)waitpid(peer->pid, NULL, 0);
    static const char *const files[] = { "in.safetensors", "out.safetensors" };
    for (size_t i = 0; *peer->folder && i < WK_COUNT(files); i++) {
        char path[240];
        (void)snprintf(path, sizeof path, "%s/%s", peer->folder, files[i]);
        (void)unlink(path);
    }
    if (*peer->folder) (void)rmdir(peer->folder);
    *peer = (wk__peer){ 0 };
}

double wk__peer_time(wk__peer *peer, const wk__subject *subject, wk__bench_mode mode, double seconds, bool cold) {
    char line[400];
    if (peer->is_library) return wk__library_time(peer, subject, mode, seconds, cold);
    (void)fprintf(peer->to, "time\t%s\t%.6f\t%s\n", wk__bench_mode_names[mode], seconds, cold ? "cold" : "hot");
    (void)fflush(peer->to);
    const char *rest = answer(peer, "ns", line, sizeof line);
    return rest ? strtod(rest, NULL) : 0;
}

/* ---- preparing and holding against each other ---- */

static wk_status send_subject(wk__peer *peer, const wk__subject *s) {
    wk_tensor *tensor[WK__BENCH_MOST_IN];
    char names[WK__BENCH_MOST_IN][16], path[240];
    const char *name[WK__BENCH_MOST_IN];
    int count = 0;
    for (int i = 0; i < s->n_in; i++) {
        if (!s->in[i]) continue;
        (void)snprintf(names[count], sizeof names[0], "in.%d", i);
        name[count] = names[count];
        tensor[count++] = s->in[i];
    }
    (void)snprintf(path, sizeof path, "%s/in.safetensors", peer->folder);
    WK_TRY(wk_safetensors_save(path, (wk_named_tensors){ tensor, name, count }, NULL, 0));
    static const char zeros[512];
    (void)fprintf(peer->to, "prepare\t%s\t%d\t%s", s->row->name, s->n_in, peer->folder);
    for (int i = 0; i < s->row->n_attrs; i++) {
        char text[300];
        WK_TRY(wk_op_get_attr(s->row, s->attrs ? s->attrs : zeros, i, text, sizeof text));
        (void)fprintf(peer->to, "\t%s=%s", s->row->attrs[i].name, text);
    }
    (void)fputc('\n', peer->to);
    (void)fflush(peer->to);
    return WK_OK;
}

static bool is_there(void *context, int output) {
    char name[20];
    (void)snprintf(name, sizeof name, "out.%d", output);
    return wk_safetensors_has(context, name);
}

static wk_status check_against(wk__subject *s, wk_safetensors *file, char *note, size_t size) {
    char name[20];
    for (int i = 0; i < s->n_in; i++) {
        (void)snprintf(name, sizeof name, "grad.%d", i);
        s->wanted[i] = s->wanted[i] && wk_safetensors_has(file, name);
    }
    WK_TRY(wk__subject_want_grad(s, is_there, file));
    wk_tensor *out[WK__BENCH_MOST_OUT], *gradients[WK__BENCH_MOST_IN];
    WK_TRY(wk__subject_run(s, s->has_grad ? WK__BENCH_GRAD : WK__BENCH_FORWARD, out, gradients));
    double tolerance = wk__bench_tolerance(s->in, s->n_in);
    tolerance = fmax(tolerance, wk__bench_tolerance(out, s->n_out));
    for (int k = 0; k < s->n_out && !*note; k++) {
        (void)snprintf(name, sizeof name, "out.%d", k);
        if (wk_safetensors_has(file, name))
            wk__bench_hold_against(out[k], wk_safetensors_get(file, name), name, tolerance, note, size);
    }
    for (int i = 0; i < s->n_in && s->has_grad && !*note; i++) {
        (void)snprintf(name, sizeof name, "grad.%d", i);
        if (s->wanted[i])
            wk__bench_hold_against(gradients[i], wk_safetensors_get(file, name), name, tolerance, note, size);
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_status wk__peer_prepare(wk__peer *peer, wk__subject *subject, wk__bench_side *side) {
    char line[600], path[240];
    *side->note = '\0';
    if (peer->is_library) return wk__library_prepare(peer, subject, side);
    WK_TRY(send_subject(peer, subject));
    if (!fgets(line, sizeof line, peer->from))
        return wk_fail(WK_IO, "the peer %s ended without an answer (%s)", peer->name, subject->row->name);
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, "ready") != 0) {
        side->differs = strcmp(line, "missing") != 0;
        (void)snprintf(side->note, sizeof side->note, "%.190s", side->differs ? line : "the peer has no such function");
        return wk__subject_want_grad(subject, NULL, NULL);
    }
    (void)snprintf(path, sizeof path, "%s/out.safetensors", peer->folder);
    wk_scope scope = wk_scope_begin();
    wk_safetensors *file = wk_safetensors_open(path);
    wk_status status = file ? check_against(subject, file, side->note, sizeof side->note) : wk_error_code();
    side->differs = *side->note != '\0';
    wk_scope_end(scope);
    wk_safetensors_close(file);
    return status;
}
