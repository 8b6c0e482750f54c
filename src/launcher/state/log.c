/* log.c: replicas' logs as streams.
 *
 * A replica's stdout and stderr are files that its program writes itself, so nothing tears them and nothing is lost
 * with a dying relay.  A restart renames stdout.log to stdout.K.log; a stream reads all attempts in turn.
 */
#include "launcher/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

typedef struct file_stream {
    wk_log_stream stream;
    char *base; /* "…/trainer/0/stdout" */
    int fd, attempt;
    int read_attempt; /* of the byte read last, */
    int64_t offset;   /* which lies before this */
    char path[PATH_MAX];
} file_stream;

wk_status wk_log_read(wk_log_stream *stream, char *bytes, size_t size, size_t *got) {
    *got = 0;
    return stream->read(stream, bytes, size, got);
}

void wk_log_close(wk_log_stream *stream) {
    if (stream) stream->close(stream);
}

/* ---- files ---- */

static wk_status read_file(wk_log_stream *of, char *bytes, size_t size, size_t *got);
static void close_file(wk_log_stream *of);

wk_log_stream *wk__supervised_log_open(const char *app_id, const char *role, int replica, wk_log_kind kind) {
    char rest[256];
    (void)snprintf(rest, sizeof rest, "%s/%d/%s", role, replica, kind == WK_LOG_STDOUT ? "stdout" : "stderr");
    file_stream *stream = wk_alloc(sizeof *stream);
    if (!stream) return NULL;
    stream->stream = (wk_log_stream){ read_file, close_file };
    stream->fd = -1;
    if (!(stream->base = wk__app_path(app_id, rest))) {
        wk_free(stream);
        return NULL;
    }
    return &stream->stream;
}

/* True if this attempt is over: its log then bears its number. */
static bool is_past(file_stream *stream) {
    (void)snprintf(stream->path, sizeof stream->path, "%s.%d.log", stream->base, stream->attempt);
    return wk__exists(stream->path);
}

static bool open_attempt(file_stream *stream) {
    bool past = is_past(stream);
    if (!past) (void)snprintf(stream->path, sizeof stream->path, "%s.log", stream->base);
    stream->fd = open(stream->path, O_RDONLY | O_CLOEXEC);
    if (stream->fd >= 0 && !past && is_past(stream)) { /* renamed between the look and the opening */
        (void)close(stream->fd);
        stream->fd = open(stream->path, O_RDONLY | O_CLOEXEC);
    }
    return stream->fd >= 0;
}

static wk_status read_file(wk_log_stream *of, char *bytes, size_t size, size_t *got) {
    file_stream *stream = (file_stream *)of;
    while (stream->fd >= 0 || open_attempt(stream)) {
        bool past = is_past(stream); /* asked before reading, so that its last words are read */
        ssize_t n = read(stream->fd, bytes, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return wk_fail(WK_IO, "%s: %s", stream->path, strerror(errno));
        *got = (size_t)n;
        if (n > 0) {
            stream->offset = stream->read_attempt == stream->attempt ? stream->offset + n : n;
            stream->read_attempt = stream->attempt;
        }
        if (n > 0 || !past) return WK_OK;
        (void)close(stream->fd);
        stream->fd = -1;
        stream->attempt++;
    }
    return WK_OK;
}

void wk__log_where(const wk_log_stream *of, int *attempt, int64_t *offset) {
    bool file = of->read == read_file;
    *attempt = file ? ((const file_stream *)of)->read_attempt : 0;
    *offset = file ? ((const file_stream *)of)->offset : 0;
}

static void close_file(wk_log_stream *of) {
    file_stream *stream = (file_stream *)of;
    if (stream->fd >= 0) (void)close(stream->fd);
    wk_free(stream->base);
    wk_free(stream);
}
