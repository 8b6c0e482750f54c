/* times.c: when the lines of a log were written, while the log itself stays what the program wrote.
 *
 * Beside the logs lies a file `times` (of an earlier attempt K: `times.K`) with lines "1 4711 1795315331.330": stdout
 * had 4711 bytes at that time.  The wrapper looks 20 times a second while a program talks, less often while it is
 * silent, so a time is right to 0.05 s, or to 0.2 s for the first line after a silence.  That costs a program nothing.
 */
#include "launcher/launcher.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHORTEST 0.05
#define LONGEST  0.2

/* ---- write ---- */

struct wk__times {
    char *paths[2];
    int64_t known[2];
    double interval, next;
    int out;
};

wk__times *wk__times_open(const char *directory) {
    wk__times *t = wk_alloc(sizeof *t);
    char *path = t ? wk_format("%s/times", directory) : NULL;
    if (path) t->paths[0] = wk_format("%s/stdout.log", directory);
    if (path) t->paths[1] = wk_format("%s/stderr.log", directory);
    if (t) t->out = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (t) t->interval = SHORTEST;
    wk_free(path);
    return t;
}

double wk__times_note(wk__times *t) {
    bool moved = false;
    if (!t) return wk_now() + LONGEST;
    if (wk_now() < t->next) return t->next;
    for (int i = 0; i < 2; i++) {
        struct stat info;
        if (!t->paths[i] || stat(t->paths[i], &info) != 0 || info.st_size == t->known[i]) continue;
        moved = true;
        t->known[i] = info.st_size;
        if (t->out >= 0) (void)dprintf(t->out, "%d %lld %.3f\n", i + 1, (long long)info.st_size, wk_wall_time());
    }
    t->interval = moved ? SHORTEST : t->interval * 2 < LONGEST ? t->interval * 2 : LONGEST;
    return t->next = wk_now() + t->interval;
}

void wk__times_close(wk__times *t) {
    if (!t) return;
    t->next = 0;
    (void)wk__times_note(t);
    if (t->out >= 0) (void)close(t->out);
    wk_free(t->paths[0]);
    wk_free(t->paths[1]);
    wk_free(t);
}

/* ---- read ---- */

typedef struct mark {
    int64_t offset; /* bytes before it were there at */
    double time;
} mark;

struct wk__times_reader {
    char *directory;
    wk_log_kind kind;
    FILE *file;
    int attempt;
    mark *marks;
    size_t count, room, at;
};

wk__times_reader *wk__times_read(const char *directory, wk_log_kind kind) {
    wk__times_reader *r = wk_alloc(sizeof *r);
    if (!r) return NULL;
    *r = (wk__times_reader){ .directory = wk_strdup(directory), .kind = kind, .attempt = -1 };
    if (r->directory) return r;
    wk_free(r);
    return NULL;
}

static void open_attempt(wk__times_reader *r, int attempt) {
    char path[PATH_MAX];
    if (r->file) (void)fclose(r->file);
    (void)snprintf(path, sizeof path, "%s/times.%d", r->directory, attempt);
    r->file = fopen(path, "re");
    (void)snprintf(path, sizeof path, "%s/times", r->directory);
    if (!r->file) r->file = fopen(path, "re");
    r->attempt = attempt;
    r->count = r->at = 0;
}

/* The marks that came since; the last line may be half written. */
static void read_more(wk__times_reader *r) {
    char line[80];
    long begin = 0;
    clearerr(r->file);
    while ((begin = ftell(r->file)) >= 0 && fgets(line, sizeof line, r->file)) {
        int stream = 0;
        long long offset = 0;
        mark m = { 0 };
        if (!strchr(line, '\n')) {
            (void)fseek(r->file, begin, SEEK_SET);
            return;
        }
        if (sscanf(line, "%d %lld %lf", &stream, &offset, &m.time) != 3 || stream != (int)r->kind + 1) continue;
        if (r->count == r->room) {
            size_t room = r->room ? 2 * r->room : 64;
            mark *marks = wk_realloc(r->marks, room * sizeof *marks);
            if (!marks) return;
            r->marks = marks;
            r->room = room;
        }
        m.offset = offset;
        r->marks[r->count++] = m;
    }
}

/* Lines are asked for in their order, so the search goes on from where it ended. */
double wk__times_at(wk__times_reader *r, int attempt, int64_t offset) {
    if (attempt != r->attempt || !r->file) open_attempt(r, attempt);
    if (!r->file) return 0;
    if (r->count == 0 || r->marks[r->count - 1].offset <= offset) read_more(r);
    if (r->at > 0 && r->marks[r->at - 1].offset > offset) r->at = 0;
    while (r->at < r->count && r->marks[r->at].offset <= offset) r->at++;
    return r->at < r->count ? r->marks[r->at].time : 0;
}

void wk__times_reader_close(wk__times_reader *r) {
    if (!r) return;
    if (r->file) (void)fclose(r->file);
    wk_free(r->marks);
    wk_free(r->directory);
    wk_free(r);
}
