/* http.c: one request with patience, and streams.
 *
 * A server that is busy says so (429, 503) and when to come back; a connection breaks when a load balancer restarts.
 * Both are everyday matters of a cluster, so every request is tried again until a minute is over.  What is sent must
 * therefore bear being sent twice: objects are created under names of their own.
 */
#include "launcher/net/curl.h"

#include <stdlib.h>
#include <string.h>

static const double PATIENCE = 60;
enum { MOST_BYTES = 256 << 20 };

typedef struct reply {
    wk_text body;
    double retry_after; /* -1: not said */
} reply;

static size_t take_body(char *bytes, size_t one, size_t count, void *to) {
    reply *r = to;
    if (r->body.size + one * count > MOST_BYTES) return 0;
    wk_text_add(&r->body, bytes, one * count);
    return r->body.failed ? 0 : one * count;
}

static size_t take_header(char *bytes, size_t one, size_t count, void *to) {
    static const char name[] = "retry-after:";
    reply *r = to;
    size_t size = sizeof name - 1;
    if (one * count > size && strncasecmp(bytes, name, size) == 0) {
        char value[32];
        (void)snprintf(value, sizeof value, "%.*s", (int)(one * count - size), bytes + size);
        r->retry_after = strtod(value, NULL); /* a date reads 0 or less: then at once */
    }
    return one * count;
}

static CURLcode once(const wk__curl *c, CURL *handle, const char *method, const char *body, double timeout, reply *r) {
    *r = (reply){ .retry_after = -1 };
    wk_text_puts(&r->body, "");
    CURLcode code = c->easy_setopt(handle, CURLOPT_CUSTOMREQUEST, method);
    if (code == CURLE_OK && body) code = c->easy_setopt(handle, CURLOPT_POSTFIELDS, body);
    if (code == CURLE_OK)
        code = c->easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)(1000 * (timeout > 0 ? timeout : 30)));
    if (code == CURLE_OK) code = c->easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_body);
    if (code == CURLE_OK) code = c->easy_setopt(handle, CURLOPT_WRITEDATA, r);
    if (code == CURLE_OK) code = c->easy_setopt(handle, CURLOPT_HEADERFUNCTION, take_header);
    if (code == CURLE_OK) code = c->easy_setopt(handle, CURLOPT_HEADERDATA, r);
    return code == CURLE_OK ? c->easy_perform(handle) : code;
}

static bool is_passing(CURLcode code, long status) {
    if (code == CURLE_OK) return status == 429 || status == 503 || status == 504;
    return code == CURLE_COULDNT_CONNECT || code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR
           || code == CURLE_SEND_ERROR || code == CURLE_PARTIAL_FILE || code == CURLE_OPERATION_TIMEDOUT;
}

/* Whoever is not there at all is given up sooner than whoever is busy. */
static double patience(CURLcode code) {
    return code == CURLE_COULDNT_CONNECT ? 3 : PATIENCE;
}

static void free_lists(const wk__curl *c, CURL *handle, struct curl_slist *headers) {
    char *connect_to = NULL;
    (void)c->easy_getinfo(handle, CURLINFO_PRIVATE, &connect_to);
    c->easy_cleanup(handle);
    c->slist_free_all(headers);
    c->slist_free_all((struct curl_slist *)(void *)connect_to);
}

wk_status wk__http_request(const wk__http_server *server, const char *method, const char *path,
                           const char *content_type, const char *body, wk__http_answer *answer) {
    struct curl_slist *headers = NULL;
    const wk__curl *c = wk__curl_need();
    CURL *handle = c ? wk__curl_prepare(c, server, path, content_type, &headers) : NULL;
    *answer = (wk__http_answer){ 0 };
    if (!handle) return wk_error_code();
    double begin = wk_now();
    double pause = 0.1;
    CURLcode code;
    reply r;
    for (;;) {
        code = once(c, handle, method, body, server->timeout, &r);
        answer->status = 0;
        (void)c->easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &answer->status);
        double wait = r.retry_after >= 0 ? r.retry_after : pause;
        if (r.body.failed || !is_passing(code, answer->status) || wk_now() + wait - begin > patience(code)) break;
        wk_text_free(&r.body);
        wk__sleep(wait);
        pause *= 2;
    }
    answer->body = r.body;
    wk_status status = r.body.failed ? wk_error_code() : WK_OK;
    if (status == WK_OK && code != CURLE_OK) status = wk_fail(WK_IO, "%s: %s", server->base, c->easy_strerror(code));
    free_lists(c, handle, headers);
    if (status != WK_OK) wk_text_free(&answer->body);
    return status;
}

/* ---- streams ---- */

struct wk__http_stream {
    const wk__curl *curl;
    CURL *handle;
    CURLM *multi;
    struct curl_slist *headers;
    reply arrived;
    size_t taken; /* of what arrived */
    bool ended;
};

wk__http_stream *wk__http_open(const wk__http_server *server, const char *path) {
    const wk__curl *c = wk__curl_need();
    wk__http_stream *s = c ? wk_alloc(sizeof *s) : NULL;
    if (!s) return NULL;
    s->curl = c;
    s->handle = wk__curl_prepare(c, server, path, NULL, &s->headers);
    s->multi = s->handle ? c->multi_init() : NULL;
    if (s->multi && c->easy_setopt(s->handle, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK
        && c->easy_setopt(s->handle, CURLOPT_WRITEDATA, &s->arrived) == CURLE_OK
        && c->multi_add_handle(s->multi, s->handle) == CURLM_OK)
        return s;
    if (!wk_failed()) (void)wk_fail(WK_NO_MEMORY, "%s: no stream", server->base);
    wk__http_close(s);
    return NULL;
}

static void advance(wk__http_stream *s) {
    int running = 0;
    int left = 0;
    if (s->curl->multi_perform(s->multi, &running) != CURLM_OK || running == 0) s->ended = true;
    while (s->curl->multi_info_read(s->multi, &left)) s->ended = true;
}

wk_status wk__http_read(wk__http_stream *s, char *bytes, size_t size, size_t *got) {
    if (s->taken == s->arrived.body.size) {
        s->taken = s->arrived.body.size = 0;
        if (!s->ended) advance(s);
    }
    if (s->arrived.body.failed) return wk_error_code();
    size_t there = s->arrived.body.size - s->taken;
    *got = there < size ? there : size;
    if (*got) memcpy(bytes, s->arrived.body.data + s->taken, *got);
    s->taken += *got;
    return WK_OK;
}

bool wk__http_ended(const wk__http_stream *s) {
    return s->ended && s->taken == s->arrived.body.size;
}

long wk__http_status(const wk__http_stream *s) {
    long status = 0;
    (void)s->curl->easy_getinfo(s->handle, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

void wk__http_close(wk__http_stream *s) {
    if (!s) return;
    if (s->multi && s->handle) (void)s->curl->multi_remove_handle(s->multi, s->handle);
    if (s->handle) free_lists(s->curl, s->handle, s->headers);
    if (s->multi) (void)s->curl->multi_cleanup(s->multi);
    wk_text_free(&s->arrived.body);
    wk_free(s);
}
