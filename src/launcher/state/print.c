/* print.c: the logs of many replicas as one stream of whole lines.
 *
 * Lines are cut at newlines and leave with their replica's name before them, gathered into large writes, so a reader
 * of the pipe sees none torn.  While following, one inotify descriptor tells which replicas wrote; what it cannot tell
 * (a log on a network file system, a replica not yet started) is found by a look at all of them twice a second.  Each
 * source has memory only while it holds part of a line.
 *
 * A progress bar that draws itself with carriage returns is shown as it was last: once a second while it moves, and
 * at the end of its line.
 */
#include "launcher/launcher.h"
#include "wick/files.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 256 << 10, LONGEST_LINE = 1 << 20, GATHER = 128 << 10 };

typedef struct source {
    char prefix[128];
    wk_log_stream *stream;
    wk__times_reader *times;
    char *bytes; /* (room), what is there lies in [begin, end) */
    size_t begin, end, room, seen /* bytes that hold no newline */;
    size_t cut;     /* an attempt ends here: whatever comes after begins a line; SIZE_MAX: none */
    int64_t offset; /* of `begin` in its attempt's log */
    int attempt;
    int watch; /* of its folder */
    bool dirty, timeless;
    double shown_at; /* a bar */
} source;

typedef struct printer {
    source *sources;
    size_t count;
    const wk__log_filter *filter;
    int descriptor, inotify;
    char *kept; /* the URL of an app whose logs are read from there */
    wk_text out;
    bool warned;
} printer;

/* ---- out ---- */

static wk_status flush(printer *p) {
    const char *bytes = p->out.data;
    size_t size = p->out.size;
    p->out.size = 0;
    if (p->out.failed) return wk_error_code();
    while (size > 0) {
        ssize_t put = write(p->descriptor, bytes, size);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && errno == EAGAIN) { /* a terminal that others made non-blocking */
            struct pollfd wait = { .fd = p->descriptor, .events = POLLOUT };
            (void)poll(&wait, 1, -1);
            continue;
        }
        if (put < 0) return wk_fail(errno == EPIPE ? WK_END : WK_IO, "writing the log: %s", strerror(errno));
        bytes += put;
        size -= (size_t)put;
    }
    return WK_OK;
}

bool wk__has_colour(int descriptor) {
    const char *no = getenv("NO_COLOR");
    return isatty(descriptor) && !(no && *no);
}

static void put_time(wk_text *out, double time) {
    char text[40] = "-";
    time_t seconds = (time_t)time;
    struct tm broken;
    if (time > 0 && gmtime_r(&seconds, &broken)) (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &broken);
    if (time > 0)
        wk_text_printf(out, "%s.%03dZ ", text, (int)((time - (double)seconds) * 1000));
    else
        wk_text_puts(out, "-                        ");
}

static bool matches(const regex_t *regex, const char *line, size_t size) {
    regmatch_t range = { .rm_so = 0, .rm_eo = (regoff_t)size };
    return regexec(regex, line, 1, &range, REG_STARTEND) == 0;
}

/* Of what carriage returns wrote over each other the last that is not empty. */
static void last_state(const char **line, size_t *size) {
    const char *cr;
    while (*size && (*line)[*size - 1] == '\r') (*size)--;
    while ((cr = memrchr(*line, '\r', *size)) != NULL) {
        *size -= (size_t)(cr + 1 - *line);
        *line = cr + 1;
    }
}

static double time_of(const source *s) {
    return s->times ? wk__times_at(s->times, s->attempt, s->offset) : 0;
}

/* Does the time let the line through?  A line without one passes: better one too many. */
static bool in_time(printer *p, source *s, double time) {
    const wk__log_filter *f = p->filter;
    if (time == 0 && (f->since > 0 || f->until > 0) && !s->timeless) {
        s->timeless = true;
        if (!p->warned)
            (void)fprintf(stderr, "wick: log: no times are known of %s; its lines are shown whatever their age\n",
                          s->prefix);
        p->warned = true;
    }
    if (time == 0) return true;
    return time >= f->since && (f->until == 0 || time < f->until);
}

static wk_status put_line(printer *p, source *s, const char *line, size_t size, double time) {
    if (size && memchr(line, '\r', size)) last_state(&line, &size);
    if (!in_time(p, s, time)) return WK_OK;
    if (p->filter->regex && !matches(p->filter->regex, line, size)) return WK_OK;
    if (p->filter->times) put_time(&p->out, time);
    wk_text_puts(&p->out, s->prefix);
    wk_text_add(&p->out, " ", 1);
    wk_text_add(&p->out, line, size);
    wk_text_add(&p->out, "\n", 1);
    return p->out.failed ? wk_error_code() : p->out.size >= GATHER ? flush(p) : WK_OK;
}

/* ---- in ---- */

static wk_status make_room(source *s) {
    if (s->begin > 0) {
        memmove(s->bytes, s->bytes + s->begin, s->end - s->begin);
        if (s->cut != SIZE_MAX) s->cut -= s->begin;
        s->end -= s->begin;
        s->begin = 0;
    }
    if (s->room - s->end >= CHUNK / 4) return WK_OK;
    size_t room = s->end + CHUNK;
    char *bytes = wk_realloc(s->bytes, room);
    if (!bytes) return wk_error_code();
    s->bytes = bytes;
    s->room = room;
    return WK_OK;
}

static wk_status fill(source *s, size_t *got) {
    WK_TRY(make_room(s));
    WK_TRY(wk_log_read(s->stream, s->bytes + s->end, s->room - s->end, got));
    if (*got == 0) return WK_OK;
    int attempt = 0;
    int64_t behind = 0;
    wk__log_where(s->stream, &attempt, &behind);
    if (s->begin == s->end) {
        s->attempt = attempt;
        s->offset = behind - (int64_t)*got;
    } else if (attempt != s->attempt) {
        s->cut = s->end;
    }
    s->end += *got;
    return WK_OK;
}

static void release(source *s) {
    if (s->begin < s->end) return;
    wk_free(s->bytes);
    s->bytes = NULL;
    s->begin = s->end = s->room = s->seen = 0;
}

/* The next line, without its newline; with `last` also one that has none. */
static bool next_line(source *s, bool last, const char **line, size_t *size) {
    size_t end = s->cut == SIZE_MAX ? s->end : s->cut;
    size_t from = s->begin + s->seen;
    const char *newline = from < end ? memchr(s->bytes + from, '\n', end - from) : NULL;
    *line = s->bytes + s->begin;
    if (newline)
        *size = (size_t)(newline - *line);
    else if (end > s->begin && (last || s->cut != SIZE_MAX || end - s->begin > LONGEST_LINE))
        *size = end - s->begin;
    else {
        s->seen = end - s->begin;
        return false;
    }
    return true;
}

static void step_over(source *s, size_t size) {
    size_t end = s->cut == SIZE_MAX ? s->end : s->cut;
    size_t whole = s->begin + size < end && s->bytes[s->begin + size] == '\n' ? size + 1 : size;
    s->begin += whole;
    s->offset += (int64_t)whole;
    s->seen = 0;
    if (s->begin == s->cut) {
        s->cut = SIZE_MAX;
        int64_t behind = 0;
        wk__log_where(s->stream, &s->attempt, &behind);
        s->offset = behind - (int64_t)(s->end - s->begin);
    }
}

/* A bar that moves: its state of now, at most once a second. */
static wk_status show_bar(printer *p, source *s) {
    const char *line = s->bytes + s->begin;
    size_t size = s->end - s->begin;
    const char *cr = size > 1 && wk_now() - s->shown_at >= 1 ? memrchr(line, '\r', size) : NULL;
    if (!cr) return WK_OK;
    s->shown_at = wk_now();
    size = (size_t)(cr - line);
    if (size > 0) WK_TRY(put_line(p, s, line, size, time_of(s)));
    s->begin += size; /* the carriage return stays: what follows it draws over this */
    s->offset += (int64_t)size;
    s->seen = 0;
    return WK_OK;
}

static bool wants_times(const printer *p) {
    return p->filter->times || p->filter->since > 0 || p->filter->until > 0;
}

/* Print the whole lines that are there. */
static wk_status drain(printer *p, source *s, bool last, bool *moved) {
    size_t got = 0;
    int turns = 0;
    do {
        const char *line = NULL;
        size_t size = 0;
        WK_TRY(fill(s, &got));
        *moved = *moved || got > 0;
        while (next_line(s, last && got == 0, &line, &size)) {
            WK_TRY(put_line(p, s, line, size, wants_times(p) ? time_of(s) : 0));
            step_over(s, size);
        }
    } while (got > 0 && (last || ++turns < 16)); /* a busy writer must not keep the others waiting */
    s->dirty = got > 0;
    if (!last) WK_TRY(show_bar(p, s));
    release(s);
    return WK_OK;
}

/* ---- all that is there, in the order of time ---- */

typedef struct head { /* of a source: its next line */
    double time;
    size_t index;
} head;

static bool before(head a, head b) {
    return a.time < b.time || (a.time == b.time && a.index < b.index);
}

static void sift(head *heap, size_t count, size_t at) {
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && before(heap[child + 1], heap[child])) child++;
        if (!before(heap[child], heap[at])) return;
        head other = heap[child];
        heap[child] = heap[at];
        heap[at] = other;
    }
}

static wk_status find_line(source *s, bool *there, const char **line, size_t *size) {
    size_t got = 1;
    while (!(*there = next_line(s, got == 0, line, size)) && got > 0) WK_TRY(fill(s, &got));
    if (!*there) release(s);
    return WK_OK;
}

static wk_status print_in_order(printer *p) {
    wk_status status = WK_OK;
    size_t count = 0;
    const char *line = NULL;
    size_t size = 0;
    bool there = false;
    head *heap = wk_alloc((p->count + 1) * sizeof *heap);
    if (!heap) return wk_error_code();
    for (size_t i = 0; i < p->count; i++) {
        WK_TRY_DONE(find_line(&p->sources[i], &there, &line, &size));
        if (there) heap[count++] = (head){ time_of(&p->sources[i]), i };
    }
    for (size_t i = count; i-- > 0;) sift(heap, count, i);
    while (count > 0) {
        source *s = &p->sources[heap[0].index];
        WK_TRY_DONE(find_line(s, &there, &line, &size));
        WK_TRY_DONE(put_line(p, s, line, size, heap[0].time));
        step_over(s, size);
        WK_TRY_DONE(find_line(s, &there, &line, &size));
        if (there)
            heap[0].time = time_of(s);
        else
            heap[0] = heap[--count];
        sift(heap, count, 0);
    }
done:
    wk_free(heap);
    return status == WK_OK ? flush(p) : status;
}

/* ---- which sources ---- */

/* Is k one of "0,2"? */
static bool is_listed(const char *list, size_t k) {
    for (const char *at = list; at && *at;) {
        char *end = NULL;
        if (strtoull(at, &end, 10) == k && end != at) return true;
        at = end + strcspn(end, ",");
        at += *at == ',';
    }
    return !list;
}

/* A colour a replica, in turn, as TorchX's green is for all. */
static void name_source(source *s, const char *role, size_t k, size_t index, bool colour) {
    if (colour)
        (void)snprintf(s->prefix, sizeof s->prefix, "\033[3%zum%s/%zu\033[0m", 1 + (index + 1) % 6, role, k);
    else
        (void)snprintf(s->prefix, sizeof s->prefix, "%s/%zu", role, k);
}

static wk_status no_such(const wk_app_status *app, const wk__log_filter *filter) {
    const char *names[64];
    size_t count = 0;
    for (; count < app->role_count && count < WK_COUNT(names); count++) names[count] = app->roles[count].role;
    const char *near = filter->role ? wk__nearest(filter->role, names, count) : NULL;
    if (near && strcmp(near, filter->role) == 0)
        return wk_fail(WK_NOT_FOUND, "the app has no replica %s/%s", filter->role, filter->replicas);
    return wk_fail(WK_NOT_FOUND, "the app has no role \"%s\"%s%s%s", filter->role ? filter->role : "",
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static wk_status open_source(printer *p, source *s, const wk_scheduler_ops *ops, const char *app_id, const char *role,
                             size_t k, int kind) {
    char rest[256];
    s->cut = SIZE_MAX;
    s->watch = -1;
    s->dirty = true;
    s->stream = p->kept ? wk__kept_log_open(p->kept, role, (int)k, (wk_log_kind)kind)
                        : ops->log_open(app_id, role, (int)k, (wk_log_kind)kind);
    if (!s->stream) return wk_error_code();
    if (!wants_times(p) || p->kept) return WK_OK; /* times stay where the app ran */
    (void)snprintf(rest, sizeof rest, "%s/%zu", role, k);
    char *folder = wk__app_path(app_id, rest);
    s->times = folder ? wk__times_read(folder, (wk_log_kind)kind) : NULL;
    wk_free(folder);
    return s->times ? WK_OK : wk_error_code();
}

/* The folder is there once the replica is about to start. */
static void watch_source(printer *p, source *s, const char *app_id, const char *role, size_t k) {
    char rest[256];
    (void)snprintf(rest, sizeof rest, "%s/%zu", role, k);
    char *folder = p->inotify >= 0 ? wk__app_path(app_id, rest) : NULL;
    if (folder) s->watch = inotify_add_watch(p->inotify, folder, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
    wk_free(folder);
}

/* The streams of every replica asked for. */
static wk_status open_sources(printer *p, const wk_scheduler_ops *ops, const char *app_id, const wk_app_status *app,
                              bool follow) {
    const wk__log_filter *filter = p->filter;
    size_t most = 0;
    size_t index = 0;
    for (size_t i = 0; i < app->role_count; i++) most += 2 * app->roles[i].replica_count;
    p->sources = wk_alloc((most + 1) * sizeof *p->sources);
    for (size_t i = 0; p->sources && i < app->role_count; i++) {
        if (filter->role && strcmp(filter->role, app->roles[i].role) != 0) continue;
        for (size_t k = 0; k < app->roles[i].replica_count; k++, index++)
            for (int kind = 0; kind < 2 && is_listed(filter->replicas, k); kind++) {
                if (kind == WK_LOG_STDOUT ? filter->only_err : filter->only_out) continue;
                source *s = &p->sources[p->count];
                WK_TRY(open_source(p, s, ops, app_id, app->roles[i].role, k, kind));
                p->count++;
                name_source(s, app->roles[i].role, k, index, filter->colour);
                if (follow) watch_source(p, s, app_id, app->roles[i].role, k);
            }
    }
    if (!p->sources) return wk_error_code();
    return p->count ? WK_OK : no_such(app, filter);
}

static void close_sources(printer *p) {
    for (size_t i = 0; i < p->count; i++) {
        wk_log_close(p->sources[i].stream);
        wk__times_reader_close(p->sources[i].times);
        wk_free(p->sources[i].bytes);
    }
    wk_free(p->sources);
    wk_free(p->kept);
    wk_text_free(&p->out);
    if (p->inotify >= 0) (void)close(p->inotify);
}

/* ---- follow ---- */

static int by_watch(const void *a, const void *b) {
    int x = ((const source *)a)->watch;
    int y = ((const source *)b)->watch;
    return (x > y) - (x < y);
}

/* Wait for somebody to write, half a second at most; mark who did. */
static void await_writers(printer *p) {
    char events[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    struct pollfd wait = { .fd = p->inotify, .events = POLLIN };
    if (poll(&wait, 1, p->inotify >= 0 ? 500 : 100) <= 0 || !wait.revents) {
        for (size_t i = 0; i < p->count; i++) p->sources[i].dirty = true;
        return;
    }
    wk__sleep(0.01); /* a line or a hundred cost the same look */
    for (ssize_t got; (got = read(p->inotify, events, sizeof events)) > 0;)
        for (char *at = events; at < events + got;) {
            const struct inotify_event *e = (const struct inotify_event *)(const void *)at;
            source key = { .watch = e->wd };
            source *s = bsearch(&key, p->sources, p->count, sizeof key, by_watch);
            while (s && s > p->sources && s[-1].watch == e->wd) s--;
            for (; s && s < p->sources + p->count && s->watch == e->wd; s++) s->dirty = true;
            if (e->mask & IN_Q_OVERFLOW)
                for (size_t i = 0; i < p->count; i++) p->sources[i].dirty = true;
            at += sizeof *e + e->len;
        }
}

static wk_status follow_all(printer *p, const wk_scheduler_ops *ops, const char *app_id,
                            volatile sig_atomic_t *interrupted) {
    double ask_at = 0;
    qsort(p->sources, p->count, sizeof *p->sources, by_watch);
    for (bool over = false; !(interrupted && *interrupted);) {
        bool last = over; /* asked before reading: what was written before the end is read after it */
        bool moved = false;
        for (size_t i = 0; i < p->count; i++)
            if (p->sources[i].dirty || last) WK_TRY(drain(p, &p->sources[i], last, &moved));
        WK_TRY(flush(p));
        if (last) break;
        if (wk_now() >= ask_at) { /* a scheduler that must be asked has its price */
            wk_app_state state = WK_APP_UNKNOWN;
            WK_TRY(wk__scheduler_state(ops, app_id, &state));
            over = wk_app_state_is_terminal(state);
            ask_at = wk_now() + (ops->poll_seconds > 0.1 ? ops->poll_seconds : 0.1);
        }
        if (!over && !moved) await_writers(p);
    }
    return WK_OK;
}

static wk_status print_all(printer *p) {
    bool moved = false;
    if (p->filter->times) return print_in_order(p);
    for (size_t i = 0; i < p->count; i++) WK_TRY(drain(p, &p->sources[i], true, &moved));
    return flush(p);
}

/* A descriptor or two a log: as many as the system lets us have. */
static void allow_many_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

wk_status wk__log_print(const wk_handle *handle, const wk__log_filter *filter, bool follow, int descriptor,
                        volatile sig_atomic_t *interrupted) {
    printer p = { .filter = filter, .descriptor = descriptor, .inotify = -1 };
    const wk_scheduler_ops *ops = wk_scheduler(handle->scheduler);
    wk_app_status *app = NULL;
    if (ops && filter->log_dir) p.kept = wk_url_join(filter->log_dir, handle->app_id);
    if (ops) app = filter->log_dir ? p.kept ? wk__kept_describe(p.kept) : NULL : ops->describe(handle->app_id);
    allow_many_files();
    if (follow) p.inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    wk_status status = app ? open_sources(&p, ops, handle->app_id, app, follow) : wk_error_code();
    if (status == WK_OK) status = follow ? follow_all(&p, ops, handle->app_id, interrupted) : print_all(&p);
    close_sources(&p);
    wk_app_status_free(app);
    return status;
}
