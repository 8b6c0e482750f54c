#include "launcher/harness.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char directory[512];

const char *state_dir(void) {
    return directory;
}

void pause_for(double seconds) {
    struct timespec t = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
    (void)nanosleep(&t, NULL);
}

void state_begin(void) {
    (void)mkdir(WICK_BUILD_DIR "/test-state", 0700);
    (void)snprintf(directory, sizeof directory, "%s/test-state/%ld", WICK_BUILD_DIR, (long)getpid());
    (void)mkdir(directory, 0700);
    (void)setenv("WICK_STATE_DIR", directory, 1);
    (void)unsetenv("OMP_NUM_THREADS");
    (void)setenv("TORCHXCONFIG", "", 1); /* not that of whoever runs the tests */
    (void)setenv("WICK_CONFIG", "", 1);
    (void)unsetenv("WICK_COMPONENT_PATH");
    (void)unsetenv("WICK_EVENTS");
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    (void)remove(path);
    return 0;
}

void state_end_apps(void) {
    outcome all = WICK("list", "--json");
    for (char *at = all.out; (at = strstr(at, "\"handle\": \""));) {
        at += strlen("\"handle\": \"");
        char *end = strchr(at, '"');
        *end = '\0';
        outcome o = WICK("cancel", at);
        forget(&o);
        at = end + 1;
    }
    forget(&all);
}

void state_end_files(void) {
    cr_expect(vanishes(directory, 15), "processes are left: %d", count_processes(directory));
    (void)nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

#ifdef __SANITIZE_ADDRESS__
#    include <sanitizer/lsan_interface.h>
/* Criterion does not look at how a test's process exits, which is how the sanitizer would tell. */
static void expect_no_leak(void) {
    cr_expect_eq(__lsan_do_recoverable_leak_check(), 0, "memory is left; stderr tells whose");
}
#else
static void expect_no_leak(void) {}
#endif

void state_end(void) {
    state_end_apps();
    state_end_files();
    expect_no_leak();
}

static void append(wk_text *text, struct pollfd *p) {
    char chunk[4096];
    ssize_t got = read(p->fd, chunk, sizeof chunk);
    if (got > 0)
        wk_text_add(text, chunk, (size_t)got);
    else if (got == 0 || errno != EINTR) {
        (void)close(p->fd);
        p->fd = -1;
    }
}

outcome run_program(const char *const *argv) {
    int out[2];
    int err[2];
    int how = 0;
    wk_text texts[2] = { 0 };
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
    double start = wk_now();
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(err[1], STDERR_FILENO);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(126);
    }
    (void)close(out[1]);
    (void)close(err[1]);
    struct pollfd fds[2] = { { .fd = out[0], .events = POLLIN }, { .fd = err[0], .events = POLLIN } };
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        (void)poll(fds, 2, -1);
        for (int i = 0; i < 2; i++)
            if (fds[i].fd >= 0 && fds[i].revents) append(&texts[i], &fds[i]);
    }
    (void)waitpid(pid, &how, 0);
    for (int i = 0; i < 2; i++)
        if (!texts[i].data) wk_text_puts(&texts[i], "");
    return (outcome){ .code = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how),
                      .out = texts[0].data,
                      .err = texts[1].data,
                      .seconds = wk_now() - start };
}

void forget(outcome *o) {
    wk_free(o->out);
    wk_free(o->err);
    *o = (outcome){ 0 };
}

const char *handle_of(outcome *o) {
    cr_assert_eq(o->code, 0, "exit code %d: %s", o->code, o->err);
    o->out[strcspn(o->out, "\n")] = '\0';
    return o->out;
}

const char *state_of(const char *handle) {
    static char word[32];
    outcome o = WICK("status", handle);
    word[0] = '\0';
    const char *at = strstr(o.out, "State: ");
    if (at) (void)sscanf(at, "State: %31s", word);
    forget(&o);
    return word;
}

bool becomes(const char *handle, const char *state, double seconds) {
    for (double end = wk_now() + seconds; wk_now() < end;) {
        if (strcmp(state_of(handle), state) == 0) return true;
        pause_for(0.05);
    }
    return false;
}

const char *write_file(const char *name, const char *text) {
    static char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
    return path;
}

char *app_file(const char *handle, const char *rest) {
    char path[2048];
    wk_text text = { 0 };
    const char *id = strrchr(handle, '/') + 1;
    (void)snprintf(path, sizeof path, "%s/apps/%s/%s", directory, id, rest);
    FILE *file = fopen(path, "r");
    wk_text_puts(&text, "");
    for (int c; file && (c = fgetc(file)) != EOF;) {
        char letter = (char)c;
        wk_text_add(&text, &letter, 1);
    }
    if (file) (void)fclose(file);
    return text.data;
}

/* The command line with its NULs as spaces; "" for a zombie, whose file is empty. */
static void command_line(const char *pid, char *line, size_t size) {
    char path[300];
    (void)snprintf(path, sizeof path, "/proc/%s/cmdline", pid);
    FILE *file = fopen(path, "r");
    size_t got = file ? fread(line, 1, size - 1, file) : 0;
    if (file) (void)fclose(file);
    line[got] = '\0';
    for (size_t i = 0; i + 1 < got; i++)
        if (!line[i]) line[i] = ' ';
}

/* A command line without the folders of its program. */
static const char *without_folders(const char *line) {
    const char *end = line + strcspn(line, " ");
    while (end > line && end[-1] != '/') end--;
    return end;
}

static int scan(const char *command, const char *word, pid_t *found) {
    int count = 0;
    char line[8192];
    DIR *proc = opendir("/proc");
    for (struct dirent *e; (e = readdir(proc));) {
        if (!isdigit((unsigned char)e->d_name[0]) || atoi(e->d_name) == getpid()) continue;
        command_line(e->d_name, line, sizeof line);
        if (!strstr(line, word) || strncmp(without_folders(line), command, strlen(command)) != 0) continue;
        count++;
        *found = atoi(e->d_name);
    }
    (void)closedir(proc);
    return count;
}

int count_processes(const char *word) {
    pid_t found;
    return scan("", word, &found);
}

pid_t find_process(const char *command, const char *word) {
    pid_t found = 0;
    cr_assert_gt(scan(command, word, &found), 0, "no process runs %s ... %s", command, word);
    return found;
}

bool vanishes(const char *word, double seconds) {
    for (double end = wk_now() + seconds; wk_now() < end;) {
        if (count_processes(word) == 0) return true;
        pause_for(0.05);
    }
    return false;
}

void hostile_strings(const char **argv, wk_text *expected, bool plain) {
    static const char alphabet[] = "'\"\\$`(){}[]<>|&;*?!#~ \t\n\r,=:%-+a0\x01\x02\x7f\xff\xc3\xa9";
    static char strings[HOSTILE_COUNT][24];
    uint32_t seed = 1;
    for (int i = 0; i < HOSTILE_COUNT; i++) {
        seed = seed * 1664525 + 1013904223;
        size_t size = (seed >> 24) % (sizeof strings[0] - 1);
        strings[i][size] = '\0';
        for (size_t k = 0; k < size; k++) {
            seed = seed * 1664525 + 1013904223;
            const char c = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
            strings[i][k] = plain && (unsigned char)c >= 0x7f ? '$' : c;
        }
        argv[i] = strings[i];
        wk_text_add(expected, strings[i], size + 1);
    }
}

void assert_file_holds(const char *path, const wk_text *expected) {
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    char *got = wk_alloc(expected->size + 100);
    size_t size = fread(got, 1, expected->size + 100, file);
    (void)fclose(file);
    cr_expect_eq(size, expected->size, "%s: %zu bytes, expected %zu", path, size, expected->size);
    cr_expect_eq(memcmp(got, expected->data, size < expected->size ? size : expected->size), 0, "%s: other bytes",
                 path);
    wk_free(got);
}

#ifdef __SANITIZE_ADDRESS__
/* Each test is a process of its own, which Criterion tells by this variable; what Criterion itself keeps at the end of
 * a run (48 bytes) is not ours, and a suppression by its library would hide the tests' leaks too. */
WK_API int __lsan_is_turned_off(void); /* the sanitizer's library must see it */
int __lsan_is_turned_off(void) {
    return getenv("BXFI_MAP") == NULL;
}
#endif
