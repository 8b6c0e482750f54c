/* top.c: `wick top`: what runs, as it runs.
 *
 * Each round reads what is on disk and in /proc: states, the memory and processor time of each replica's processes, how
 * fast its logs grow, the last line it printed; GPUs are asked of nvidia-smi where there is one.  A terminal is
 * repainted in place; anything else gets one picture.
 */
#include "launcher/commands/flags.h"

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum { MOST_PROCESSES = 8192, MOST_SEEN = 4096 };

typedef struct process {
    pid_t pid, parent;
    double seconds; /* of processor time */
    double bytes;   /* resident */
} process;

typedef struct seen { /* of a replica, a round ago */
    char place[320];
    double seconds, log_bytes, at;
} seen;

typedef struct painter {
    process *processes; /* (process_count) */
    size_t process_count;
    seen *seen; /* (seen_count) */
    size_t seen_count;
    int width;
    bool colour;
    double interval;
    const wk_handle *only;
} painter;

static volatile sig_atomic_t ended;

static void on_end(int number) {
    (void)number;
    ended = 1;
}

/* ---- processes ---- */

static bool read_process(const char *name, process *p) {
    char path[300];
    unsigned long user = 0;
    unsigned long system = 0;
    long resident = 0;
    (void)snprintf(path, sizeof path, "/proc/%.20s/stat", name);
    char *text = wk__read_file(path, 4096, NULL);
    const char *at = text ? strrchr(text, ')') : NULL; /* the name may hold anything */
    int parent = 0;
    bool good =
        at
        && sscanf(at + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u %*u %ld",
                  &parent, &user, &system, &resident)
               == 4;
    wk_free(text);
    *p = (process){ .pid = (pid_t)strtol(name, NULL, 10),
                    .parent = parent,
                    .seconds = (double)(user + system) / (double)sysconf(_SC_CLK_TCK),
                    .bytes = (double)resident * (double)sysconf(_SC_PAGESIZE) };
    return good;
}

static void read_processes(painter *t) {
    DIR *proc = opendir("/proc");
    t->process_count = 0;
    for (struct dirent *e; proc && (e = readdir(proc)) && t->process_count < MOST_PROCESSES;)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && read_process(e->d_name, &t->processes[t->process_count]))
            t->process_count++;
    if (proc) (void)closedir(proc);
}

/* A process and all that descends from it. */
static void add_tree(const painter *t, pid_t pid, int depth, process *sum) {
    for (size_t i = 0; i < t->process_count && depth < 32; i++) {
        if (t->processes[i].pid == pid) {
            sum->seconds += t->processes[i].seconds;
            sum->bytes += t->processes[i].bytes;
        }
        if (t->processes[i].parent == pid) add_tree(t, t->processes[i].pid, depth + 1, sum);
    }
}

/* ---- one replica ---- */

static double size_of(const char *folder, const char *name) {
    struct stat info;
    char *path = wk_format("%s/%s", folder, name);
    double size = path && stat(path, &info) == 0 ? (double)info.st_size : 0;
    wk_free(path);
    return size;
}

static seen *remember(painter *t, const char *place) {
    for (size_t i = 0; i < t->seen_count; i++)
        if (strcmp(t->seen[i].place, place) == 0) return &t->seen[i];
    if (t->seen_count == MOST_SEEN) return NULL;
    seen *s = &t->seen[t->seen_count++];
    *s = (seen){ 0 };
    (void)snprintf(s->place, sizeof s->place, "%s", place);
    return s;
}

/* "1.5G" */
static void put_amount(char text[16], double amount) {
    static const char units[] = " KMGT";
    size_t unit = 0;
    while (amount >= 1000 && unit + 2 < sizeof units) amount /= 1024, unit++;
    (void)snprintf(text, 16, unit ? "%.1f%c" : "%.0f", amount, units[unit]);
}

/* What a terminal shows of a line: no control characters, cut to the width; bytes of UTF-8 stay whole. */
static void put_cut(wk_text *out, const char *line, int width) {
    for (int column = 0; *line && column < width; column++) {
        size_t size = 1;
        while (((unsigned char)line[size] & 0xC0) == 0x80) size++;
        if ((unsigned char)*line < 0x20 || *line == 0x7F)
            wk_text_puts(out, " ");
        else
            wk_text_add(out, line, size);
        line += size;
    }
}

static void put_last_line(wk_text *out, const wk_replica_status *r, int width) {
    char line[400] = "";
    char *path = wk_format("%s/stdout.log", r->directory);
    if (path) wk__last_line(path, line, sizeof line);
    put_cut(out, *line ? line : r->last_line, width);
    wk_free(path);
}

static void put_replica(wk_text *out, painter *t, const char *role, const wk_replica_status *r) {
    wk__replica status;
    process sum = { 0 };
    char name[40];
    char memory[16] = "-";
    char rate[16] = "-";
    char processor[16] = "-";
    bool alive = wk__replica_read(r->directory, &status) && !status.ended && status.pid > 0;
    if (alive) add_tree(t, status.pid, 0, &sum);
    double bytes = size_of(r->directory, "stdout.log") + size_of(r->directory, "stderr.log");
    seen *before = remember(t, r->directory);
    double now = wk_now();
    if (alive) put_amount(memory, sum.bytes);
    if (before && before->at > 0 && now > before->at) {
        put_amount(rate, (bytes - before->log_bytes) / (now - before->at));
        if (alive)
            (void)snprintf(processor, sizeof processor, "%.0f",
                           100 * (sum.seconds - before->seconds) / (now - before->at));
    }
    if (before) before->seconds = sum.seconds, before->log_bytes = bytes, before->at = now;
    (void)snprintf(name, sizeof name, "%.24s/%d", role, r->id);
    int used = 62;
    wk_text_printf(out, "  %-20s %-10s %5s %8s %8s  ", name, wk_app_state_name(r->state), processor, memory, rate);
    put_last_line(out, r, t->width > used ? t->width - used : 0);
    wk_text_puts(out, "\n");
}

/* ---- a picture ---- */

static void put_gpus(wk_text *out, const painter *t) {
    static const char *const argv[] = { "nvidia-smi", "--query-gpu=index,name,utilization.gpu,memory.used,memory.total",
                                        "--format=csv,noheader", NULL };
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    wk__command c;
    bool there = wk__command_run(argv, 5, &c) == WK_OK && c.code == 0;
    (void)wk__error_bind(former);
    for (char *line = there ? c.out.data : NULL, *next; line && *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next) *next++ = '\0';
        wk_text_puts(out, "gpu ");
        put_cut(out, line, t->width - 4);
        wk_text_puts(out, "\n");
    }
    wk__command_free(&c);
}

static void put_app(wk_text *out, painter *t, const wk_app_entry *entry) {
    wk_app_status *status = wk_app_describe(&entry->handle);
    char *name = wk_handle_format(&entry->handle);
    if (status && name) {
        const char *bold = t->colour ? "\033[1m" : "";
        wk_text_printf(out, "%s%s  %s  %.0f s%s", bold, name, wk_app_state_name(status->state),
                       wk_wall_time() - entry->created_at, t->colour ? "\033[0m" : "");
        if (*status->message) wk_text_puts(out, "  ");
        put_cut(out, status->message, t->width - (int)strlen(name) - 24);
        wk_text_puts(out, "\n");
        for (size_t i = 0; i < status->role_count; i++)
            for (size_t k = 0; k < status->roles[i].replica_count; k++)
                put_replica(out, t, status->roles[i].role, &status->roles[i].replicas[k]);
    }
    if (wk_failed()) wk_clear_error();
    wk_free(name);
    wk_app_status_free(status);
}

static bool is_shown(const painter *t, const wk_app_entry *e) {
    if (t->only) return strcmp(t->only->app_id, e->handle.app_id) == 0;
    return !wk_app_state_is_terminal(e->state);
}

static wk_status put_picture(wk_text *out, painter *t) {
    const wk_scheduler_ops *ops = NULL;
    size_t apps = 0;
    read_processes(t);
    put_gpus(out, t);
    wk_text_printf(out, "  %-20s %-10s %5s %8s %8s  %s\n", "REPLICA", "STATE", "CPU%", "MEMORY", "LOG B/s",
                   "LAST LINE");
    for (size_t i = 0; (ops = wk__scheduler_at(i)); i++) {
        wk_app_entry *entries = NULL;
        size_t count = 0;
        if (t->only && strcmp(ops->name, t->only->scheduler) != 0) continue;
        WK_TRY(ops->list(&entries, &count));
        for (size_t k = 0; k < count; k++)
            if (is_shown(t, &entries[k])) put_app(out, t, &entries[k]), apps++;
        wk_free(entries);
    }
    if (!apps) wk_text_puts(out, t->only ? "no such app\n" : "nothing runs\n");
    return out->failed ? WK_NO_MEMORY : WK_OK;
}

/* ---- the terminal ---- */

static int columns(void) {
    struct winsize size;
    const char *given = getenv("COLUMNS");
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return given && *given ? (int)strtol(given, NULL, 10) : 120;
}

/* True if somebody pressed q. */
static bool await_key(double seconds) {
    struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
    char key = 0;
    return poll(&in, 1, (int)(seconds * 1000)) > 0 && read(STDIN_FILENO, &key, 1) == 1 && (key == 'q' || key == 'Q');
}

static wk_status repaint(painter *t) {
    struct termios before;
    bool is_typed = tcgetattr(STDIN_FILENO, &before) == 0;
    struct termios raw = before;
    struct sigaction action = { .sa_handler = on_end };
    wk_status status = WK_OK;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    if (is_typed) (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    (void)fputs("\033[?1049h\033[?25l", stdout); /* the other screen, no cursor */
    while (!ended && status == WK_OK) {
        wk_text out = { 0 };
        t->width = columns();
        status = put_picture(&out, t);
        (void)printf("\033[H\033[J%s", wk_text_get(&out));
        (void)fflush(stdout);
        wk_text_free(&out);
        if (await_key(t->interval)) break;
    }
    (void)fputs("\033[?25h\033[?1049l", stdout);
    (void)fflush(stdout);
    if (is_typed) (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return status;
}

/* Two looks, so that there are rates. */
static wk_status once(painter *t) {
    wk_text out = { 0 };
    t->width = columns();
    wk_status status = put_picture(&out, t);
    out.size = 0;
    wk__sleep(t->interval < 0.5 ? t->interval : 0.5);
    if (status == WK_OK) status = put_picture(&out, t);
    if (status == WK_OK) (void)fputs(wk_text_get(&out), stdout);
    wk_text_free(&out);
    return status;
}

int wk_top_main(int argc, char **argv) {
    static const char usage[] =
        "usage: wick top [HANDLE] [--once] [--interval S]\n\n"
        "Apps that run and their replicas: state, processor, memory, how fast they log, last line.\n\n"
        "  --once        one picture, as for what is no terminal\n"
        "  --interval S  seconds between pictures (1); q ends it\n\n"
        "example:  wick top mpi://wick/trainer-x7k2qv9wz4cd\n";
    bool one = false;
    const char *interval = NULL;
    const char *word = NULL;
    wk_handle handle;
    painter t = { .colour = wk__has_colour(STDOUT_FILENO), .interval = 1 };
    const wk__flag flags[] = { { "--once", NULL, &one, NULL }, { "--interval", NULL, NULL, &interval } };
    int code = wk__flags_parse(argc, argv, usage, flags, WK_COUNT(flags), &word);
    if (code >= 0) return code;
    if (interval && (t.interval = strtod(interval, NULL)) < 0.05)
        return wk__usage_error("top: --interval is seconds, at least 0.05, not \"%s\"", interval);
    if (word && wk_handle_parse(word, &handle) != WK_OK) return wk__report_code();
    t.only = word ? &handle : NULL;
    t.processes = wk_alloc(MOST_PROCESSES * sizeof *t.processes);
    t.seen = wk_alloc(MOST_SEEN * sizeof *t.seen);
    wk_status status = !t.processes || !t.seen         ? wk_error_code()
                       : one || !isatty(STDOUT_FILENO) ? once(&t)
                                                       : repaint(&t);
    wk_free(t.processes);
    wk_free(t.seen);
    return status == WK_OK ? 0 : wk__report_code();
}
