/* log.c: what a replica printed, from the API.
 *
 * First what is there is read to its end, then the log is followed; a connection that breaks is opened again at the
 * last line's time.  Lines come with times for that reason, which are cut off.  A cluster keeps both streams of a
 * container as one, in the order in which they were written: it is stdout here, and stderr is empty.
 */
#include "launcher/kube/kube.h"

#include <string.h>

static const double LONGEST_WAIT = 15;
enum { LONGEST_LINE = 1 << 20 };

typedef struct kube_stream {
    wk_log_stream stream;
    wk__kube_app app;
    char *folder; /* of the replica's files */
    char container[WK__KUBE_NAME + 1], pod[256];
    wk__http_stream *http;
    bool whole;    /* what was there at first is read */
    bool silent;   /* stderr */
    bool finished; /* the container has ended and its log was read */
    char last[40]; /* time of the last line, with nine digits of a fraction */
    wk_text line, ready;
    size_t taken; /* of what is ready */
    double again_at;
} kube_stream;

static void read_name(const kube_stream *s, char *name, size_t size) {
    char *path = wk_format("%s/pod", s->folder);
    char *text = path ? wk__read_file(path, 1024, NULL) : NULL;
    (void)snprintf(name, size, "%s", text ? text : "");
    wk_free(text);
    wk_free(path);
}

static bool has_ended(const kube_stream *s) {
    wk__replica r;
    return wk__replica_read(s->folder, &r) && r.ended;
}

/* "2026-11-22T02:30:07.5Z": the fraction has as many digits as it needs; ours has nine, so that texts compare. */
static void normalise(const char *time, size_t size, char out[40]) {
    const char *dot = memchr(time, '.', size);
    size_t seconds = dot ? (size_t)(dot - time) : size ? size - 1 : 0;
    size_t digits = dot ? strspn(dot + 1, "0123456789") : 0;
    if (digits > 9) digits = 9;
    (void)snprintf(out, 40, "%.*s.%.*s%.*s", (int)(seconds > 20 ? 20 : seconds), time, (int)digits, dot ? dot + 1 : "",
                   (int)(9 - digits), "000000000");
}

/* A line with its time: what was seen before the connection broke is left out. */
static void take_line(kube_stream *s) {
    char when[40];
    const char *text = wk_text_get(&s->line);
    const char *blank = memchr(text, ' ', s->line.size);
    if (blank && text[0] >= '0' && text[0] <= '9') {
        normalise(text, (size_t)(blank - text), when);
        if (strcmp(when, s->last) <= 0) return;
        (void)snprintf(s->last, sizeof s->last, "%s", when);
        blank++;
    } else
        blank = text;
    wk_text_add(&s->ready, blank, s->line.size - (size_t)(blank - text));
    wk_text_puts(&s->ready, "\n");
}

static void take_bytes(kube_stream *s, const char *bytes, size_t size) {
    for (const char *at = bytes, *end = bytes + size; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        wk_text_add(&s->line, at, (size_t)((newline ? newline : end) - at));
        if (!newline && s->line.size < LONGEST_LINE) return;
        take_line(s);
        s->line.size = 0;
        at = newline ? newline + 1 : end;
    }
}

/* Begin, or go on after the last line. */
static wk_status connect_again(kube_stream *s) {
    char name[256];
    read_name(s, name, sizeof name);
    if (!*name) return WK_OK; /* no pod yet */
    if (strcmp(name, s->pod) != 0) {
        (void)snprintf(s->pod, sizeof s->pod, "%s", name);
        s->last[0] = '\0';
        s->whole = s->finished = false;
    }
    if (s->finished) return WK_OK;
    wk__kube *k = wk__kube_of(&s->app);
    char since[64] = "";
    if (*s->last) (void)snprintf(since, sizeof since, "&sinceTime=%.19sZ", s->last);
    char *path = k ? wk_format("/api/v1/namespaces/%s/pods/%s/log?container=%s&timestamps=true%s%s", s->app.name_space,
                               s->pod, s->container, s->whole ? "&follow=true" : "", since)
                   : NULL;
    s->line.size = 0;
    if (path) s->http = wk__http_open(&k->server, path);
    wk_free(path);
    return wk_error_code();
}

/* The answer is over: a container that waits to be started gives status 400. */
static void disconnect(kube_stream *s) {
    long status = wk__http_status(s->http);
    wk__http_close(s->http);
    s->http = NULL;
    s->again_at = wk_now() + (status == 200 && !s->whole ? 0 : 0.3);
    if (status == 200 && s->line.size) {
        take_line(s);
        s->line.size = 0;
    }
    if (status == 200 && s->whole && has_ended(s)) s->finished = true;
    if (status == 200) s->whole = true;
    if (status == 404) s->finished = true; /* the pod is gone, and its log with it */
}

/* Move what has come into `ready`. */
static wk_status pump(kube_stream *s) {
    char chunk[16384];
    size_t got = 0;
    if (!s->http && wk_now() >= s->again_at) WK_TRY(connect_again(s));
    while (s->http && s->ready.size < sizeof chunk) {
        WK_TRY(wk__http_read(s->http, chunk, sizeof chunk, &got));
        if (wk__http_status(s->http) == 200) take_bytes(s, chunk, got);
        if (wk__http_ended(s->http)) disconnect(s);
        if (got == 0) break;
    }
    return s->line.failed || s->ready.failed ? wk_error_code() : WK_OK;
}

/* Is there more that must be waited for?  What is there at the first look, and the rest of a container that ended. */
static bool is_due(kube_stream *s) {
    char name[256];
    if (s->finished) return false;
    read_name(s, name, sizeof name);
    return *name && (!s->whole || has_ended(s)) && (s->http || wk_now() >= s->again_at);
}

static wk_status read_pod(wk_log_stream *of, char *bytes, size_t size, size_t *got) {
    kube_stream *s = (kube_stream *)of;
    if (s->silent) return WK_OK;
    for (double begin = wk_now(); s->taken == s->ready.size;) {
        s->taken = s->ready.size = 0;
        WK_TRY(pump(s));
        if (s->ready.size || !is_due(s) || wk_now() - begin > LONGEST_WAIT) break;
        wk__sleep(0.005);
    }
    size_t there = s->ready.size - s->taken;
    *got = there < size ? there : size;
    if (*got) memcpy(bytes, s->ready.data + s->taken, *got);
    s->taken += *got;
    return WK_OK;
}

static void close_pod(wk_log_stream *of) {
    kube_stream *s = (kube_stream *)of;
    wk__http_close(s->http);
    wk_text_free(&s->line);
    wk_text_free(&s->ready);
    wk_free(s->folder);
    wk_free(s);
}

wk_log_stream *wk__kube_log_open(const char *app_id, const char *role, int replica, wk_log_kind kind) {
    char rest[256];
    kube_stream *s = wk_alloc(sizeof *s);
    if (!s) return NULL;
    s->stream = (wk_log_stream){ read_pod, close_pod };
    s->silent = kind == WK_LOG_STDERR;
    (void)snprintf(rest, sizeof rest, "%s/%d", role, replica);
    s->folder = wk__app_path(app_id, rest);
    char *path = wk__app_path(app_id, "request");
    wk_request *request = path && wk__kube_app_read(app_id, &s->app) ? wk__request_read(path) : NULL;
    for (size_t i = 0; request && i < request->role_count; i++)
        if (strcmp(request->roles[i].name, role) == 0) wk__kube_role(role, i, s->container);
    if (s->app.kind == WK__KUBE_MPIJOB && replica > 0) s->silent = true; /* the launcher's log has all of it */
    wk_request_free(request);
    wk_free(path);
    if (s->folder && !wk_failed()) return &s->stream;
    close_pod(&s->stream);
    return NULL;
}
