/* log.c: replicas' logs, as streams and as whole lines.
 *
 * A replica's stdout and stderr are files that its program writes itself, so nothing tears them and nothing is lost
 * with a dying relay.  Reading several at once is a matter of cutting at newlines: a line leaves in one write, with
 * its replica's name before it.  A restart renames stdout.log to stdout.K.log; a stream reads all attempts in turn.
 */
#include "launcher/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct wk_log_stream {
    char *base; /* "…/trainer/0/stdout" */
    int fd, attempt;
    char path[PATH_MAX];
};

wk_log_stream *wk__supervised_log_open(const char *app_id, const char *role, int replica, wk_log_kind kind) {
    char rest[256];
    (void)snprintf(rest, sizeof rest, "%s/%d/%s", role, replica, kind == WK_LOG_STDOUT ? "stdout" : "stderr");
    wk_log_stream *stream = wk_alloc(sizeof *stream);
    if (!stream) return NULL;
    stream->fd = -1;
    if (!(stream->base = wk__app_path(app_id, rest))) {
        wk_free(stream);
        return NULL;
    }
    return stream;
}

/* True if this attempt is over: its log then bears its number. */
static bool is_past(wk_log_stream *stream) {
    (void)snprintf(stream->path, sizeof stream->path, "%s.%d.log", stream->base, stream->attempt);
    return wk__exists(stream->path);
}

static bool open_attempt(wk_log_stream *stream) {
    bool past = is_past(stream);
    if (!past) (void)snprintf(stream->path, sizeof stream->path, "%s.log", stream->base);
    stream->fd = open(stream->path, O_RDONLY | O_CLOEXEC);
    if (stream->fd >= 0 && !past && is_past(stream)) { /* renamed between the look and the opening */
        (void)close(stream->fd);
        stream->fd = open(stream->path, O_RDONLY | O_CLOEXEC);
    }
    return stream->fd >= 0;
}

wk_status wk_log_read(wk_log_stream *stream, char *bytes, size_t size, size_t *got) {
    *got = 0;
    while (stream->fd >= 0 || open_attempt(stream)) {
        bool past = is_past(stream); /* asked before reading, so that its last words are read */
        ssize_t n = read(stream->fd, bytes, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return wk_fail(WK_IO, "%s: %s", stream->path, strerror(errno));
        *got = (size_t)n;
        if (n > 0 || !past) return WK_OK;
        (void)close(stream->fd);
        stream->fd = -1;
        stream->attempt++;
    }
    return WK_OK;
}

void wk_log_close(wk_log_stream *stream) {
    if (!stream) return;
    if (stream->fd >= 0) (void)close(stream->fd);
    wk_free(stream->base);
    wk_free(stream);
}

/* ---- printing ---- */

enum { LONGEST_LINE = 1 << 20 };

typedef struct source {
    char prefix[128];
    const regex_t *regex;
    wk_log_stream *stream;
    wk_text pending; /* a line not yet ended */
} source;

static wk_status write_all(int descriptor, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t put = write(descriptor, bytes, size);
        if (put < 0 && errno == EINTR) continue;
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

static wk_status put_line(const source *s, const char *line, size_t size, int descriptor) {
    if (s->regex && regexec(s->regex, line, 0, NULL, 0) != 0) return WK_OK;
    wk_text out = { 0 };
    wk_text_puts(&out, s->prefix);
    wk_text_puts(&out, " ");
    wk_text_add(&out, line, size);
    wk_text_puts(&out, "\n");
    wk_status status = out.failed ? wk_error_code() : write_all(descriptor, out.data, out.size);
    wk_text_free(&out);
    return status;
}

/* Print the whole lines that are there; true if there was anything. */
static wk_status drain(source *s, bool last, int descriptor, bool *moved) {
    char chunk[16384];
    size_t got = 0;
    int turns = 0;
    do {
        WK_TRY(wk_log_read(s->stream, chunk, sizeof chunk, &got));
        const char *at = chunk;
        const char *end = chunk + got;
        *moved = *moved || got > 0;
        for (const char *newline; at < end && (newline = memchr(at, '\n', (size_t)(end - at))); at = newline + 1) {
            wk_text_add(&s->pending, at, (size_t)(newline - at));
            WK_TRY(put_line(s, wk_text_get(&s->pending), s->pending.size, descriptor));
            s->pending.size = 0;
        }
        wk_text_add(&s->pending, at, (size_t)(end - at));
    } while (got > 0 && (last || ++turns < 64)); /* a busy writer must not keep the others waiting */
    if (s->pending.size > 0 && (last || s->pending.size > LONGEST_LINE)) {
        WK_TRY(put_line(s, s->pending.data, s->pending.size, descriptor));
        s->pending.size = 0;
    }
    return WK_OK;
}

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

/* The streams of every replica asked for. */
static source *open_sources(const wk_scheduler_ops *ops, const wk_handle *handle, const wk_app_status *app,
                            const wk__log_filter *filter, size_t *count) {
    size_t most = 0;
    size_t index = 0;
    *count = 0;
    for (size_t i = 0; i < app->role_count; i++) most += 2 * app->roles[i].replica_count;
    source *sources = wk_alloc((most + 1) * sizeof *sources);
    for (size_t i = 0; sources && i < app->role_count; i++) {
        if (filter->role && strcmp(filter->role, app->roles[i].role) != 0) continue;
        for (size_t k = 0; k < app->roles[i].replica_count; k++, index++)
            for (int kind = 0; kind < 2 && is_listed(filter->replicas, k); kind++) {
                if (kind == WK_LOG_STDOUT ? filter->only_err : filter->only_out) continue;
                source *s = &sources[*count];
                s->stream = ops->log_open(handle->app_id, app->roles[i].role, (int)k, (wk_log_kind)kind);
                if (!s->stream) break;
                s->regex = filter->regex;
                name_source(s, app->roles[i].role, k, index, filter->colour);
                (*count)++;
            }
    }
    if (sources && *count == 0 && !wk_failed()) (void)no_such(app, filter);
    return sources;
}

wk_status wk__log_print(const wk_handle *handle, const wk__log_filter *filter, bool follow, int descriptor,
                        volatile sig_atomic_t *interrupted) {
    size_t count = 0;
    wk_status status = WK_OK;
    const wk_scheduler_ops *ops = wk_scheduler(handle->scheduler);
    wk_app_status *app = ops ? ops->describe(handle->app_id) : NULL;
    source *sources = app ? open_sources(ops, handle, app, filter, &count) : NULL;
    if (!sources || count == 0) {
        status = wk_error_code();
        goto done;
    }
    double ask_at = 0;
    for (bool over = !follow; !(interrupted && *interrupted);) {
        bool last = over; /* asked before reading: what was written before the end is read after it */
        bool moved = false;
        for (size_t i = 0; i < count; i++) WK_TRY_DONE(drain(&sources[i], last, descriptor, &moved));
        if (last) break;
        if (wk_now() >= ask_at) { /* a scheduler that must be asked has its price */
            wk_app_state state = WK_APP_UNKNOWN;
            WK_TRY_DONE(wk__scheduler_state(ops, handle->app_id, &state));
            over = wk_app_state_is_terminal(state);
            ask_at = wk_now() + ops->poll_seconds;
        }
        if (!over && !moved) wk__sleep(0.1);
    }
done:
    for (size_t i = 0; i < count; i++) {
        wk_log_close(sources[i].stream);
        wk_text_free(&sources[i].pending);
    }
    wk_free(sources);
    wk_app_status_free(app);
    return status;
}
