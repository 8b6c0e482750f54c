/* tree.c: processes and their descendants.
 *
 * A process that calls setsid, or whose parent has died, escapes a process group but not a subreaper: its parent link
 * leads to the wrapper or the supervisor.  So "end the gang" walks parent links in /proc; that the walk races with
 * forks is met by repeating it until nothing is left.
 */
#include "launcher/launcher.h"

#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void wk__sleep(double seconds) {
    struct timespec time = { .tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };
    (void)nanosleep(&time, NULL);
}

typedef struct process {
    pid_t pid, parent;
    char state;
    uint64_t start;
} process;

/* Of /proc/PID/stat; the name in parentheses may hold anything, so fields count from the last one. */
static bool read_process(pid_t pid, process *out) {
    char path[48];
    char line[1024];
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    size_t got = fread(line, 1, sizeof line - 1, file);
    (void)fclose(file);
    line[got] = '\0';
    const char *close = strrchr(line, ')');
    long parent = 0;
    unsigned long long start = 0;
    char state = 0;
    if (!close
        || sscanf(close + 1, " %c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state,
                  &parent, &start)
               != 3)
        return false;
    *out = (process){ .pid = pid, .parent = (pid_t)parent, .state = state, .start = start };
    return true;
}

uint64_t wk__process_start(pid_t pid) {
    process p;
    return pid > 0 && read_process(pid, &p) && p.state != 'Z' && p.state != 'X' ? p.start : 0;
}

/* All processes; NULL when there is no memory, which callers meet by trying again. */
static process *read_all(size_t *count) {
    process *all = NULL;
    size_t room = 0;
    *count = 0;
    DIR *directory = opendir("/proc");
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (!isdigit((unsigned char)entry->d_name[0])) continue;
        if (*count == room) {
            room = room ? room * 2 : 256;
            process *more = wk_realloc(all, room * sizeof *all);
            if (!more) break;
            all = more;
        }
        if (read_process((pid_t)strtol(entry->d_name, NULL, 10), &all[*count])) (*count)++;
    }
    if (directory) (void)closedir(directory);
    return all;
}

/* Whoever has no child has no descendant, for those whose parent died became children of this process.  Asking so
 * spares the thousand wrappers of a large app a walk through all of /proc each. */
static bool has_children(void) {
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 || errno != ECHILD;
}

int wk__signal_descendants(int signal_number) {
    if (!has_children()) return 0;
    size_t count = 0;
    process *all = read_all(&count);
    bool *ours = wk_alloc(count + 1);
    int found = 0;
    pid_t self = getpid();
    for (bool grown = true; grown && ours;) { /* parents need not come before children: repeat until nothing is new */
        grown = false;
        for (size_t i = 0; i < count; i++) {
            if (ours[i]) continue;
            bool child = all[i].parent == self;
            for (size_t j = 0; j < count && !child; j++) child = ours[j] && all[j].pid == all[i].parent;
            if (child) grown = ours[i] = true;
        }
    }
    for (size_t i = 0; i < count && ours; i++)
        if (ours[i] && all[i].state != 'Z') {
            found++;
            if (signal_number) (void)kill(all[i].pid, signal_number);
        }
    wk_free(ours);
    wk_free(all);
    return found;
}

static void reap_all(void) {
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
}

void wk__end_descendants(double grace) {
    reap_all();
    if (wk__signal_descendants(SIGTERM) == 0) return;
    (void)wk__signal_descendants(SIGCONT);
    for (double end = wk_now() + grace; wk_now() < end;) {
        wk__sleep(0.02);
        reap_all();
        if (wk__signal_descendants(0) == 0) return;
    }
    /* One in uninterruptible sleep cannot be killed now: after a while it is left to the system. */
    for (int i = 0; i < 100 && wk__signal_descendants(SIGKILL) > 0; i++) {
        wk__sleep(0.02);
        reap_all();
    }
    reap_all();
}

const char *wk__signal_name(int signal_number) {
    static _Thread_local char name[16];
    const char *abbreviation = sigabbrev_np(signal_number);
    if (abbreviation)
        (void)snprintf(name, sizeof name, "SIG%s", abbreviation);
    else
        (void)snprintf(name, sizeof name, "signal %d", signal_number);
    return name;
}

/* A core counts once, by the first of its hardware threads, if we may run on any of them. */
int wk__core_count(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    cpu_set_t seen;
    CPU_ZERO(&seen);
    int cores = 0;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set)) continue;
        char path[96];
        size_t first = cpu;
        (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%zu/topology/thread_siblings_list", cpu);
        FILE *file = fopen(path, "re");
        if (file && fscanf(file, "%zu", &first) != 1) first = cpu;
        if (file) (void)fclose(file);
        if (first >= CPU_SETSIZE || CPU_ISSET(first, &seen)) continue;
        CPU_SET(first, &seen);
        cores++;
    }
    return cores > 0 ? cores : 1;
}

/* This program if it is wick; else ../bin/wick as seen from the library, which is where installing puts it. */
wk_status wk__wick_path(char *path, size_t size) {
    ssize_t got = readlink("/proc/self/exe", path, size - 1);
    path[got > 0 ? got : 0] = '\0';
    const char *slash = strrchr(path, '/');
    if (slash && strcmp(slash, "/wick") == 0) return WK_OK;
    Dl_info info;
    char library[4096];
    if (dladdr((void *)(uintptr_t)&wk__wick_path, &info) && info.dli_fname && realpath(info.dli_fname, library)) {
        char *end = strrchr(library, '/');
        if (end) *end = '\0';
        end = strrchr(library, '/');
        if (end) *end = '\0';
        int written = snprintf(path, size, "%s/bin/wick", library);
        if (written > 0 && (size_t)written < size && access(path, X_OK) == 0) return WK_OK;
    }
    return wk_fail(WK_NOT_FOUND,
                   "the program wick is needed to supervise an app, and it is neither this program nor %s", path);
}
