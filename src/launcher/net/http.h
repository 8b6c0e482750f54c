/* http.h: requests to a server, and answers that come bit by bit.
 *
 * libcurl does the work; it is opened when the first request is made, since loading it with its TLS costs what a whole
 * `wick status` may.  A machine without it loses only the schedulers that speak HTTP.
 */
#ifndef WICK_SRC_LAUNCHER_HTTP_H
#define WICK_SRC_LAUNCHER_HTTP_H

#include "launcher/launcher.h"

/* Whom to ask, and as whom.  NULL is "not said"; certificates and keys are PEM texts. */
typedef struct wk__http_server {
    const char *base; /* "https://10.0.0.1:6443", without a slash at the end */
    const char *authority /* CA certificates */, *certificate, *key;
    const char *token /* bearer */, *user, *password;
    const char *proxy, *server_name /* in its certificate, where it differs from the address */;
    bool insecure;  /* whoever answers is believed */
    double timeout; /* seconds for an answer; 0: 30 */
} wk__http_server;

typedef struct wk__http_answer {
    long status; /* 200, 404, … */
    wk_text body;
} wk__http_answer;

/* One request; body NULL: none.  What a server puts off (429 and 503, Retry-After) and a connection that breaks is
 * tried again, for a minute at most.  WK_OK for every status that the server gave.  Free the body with wk_text_free. */
wk_status wk__http_request(const wk__http_server *server, const char *method, const char *path,
                           const char *content_type, const char *body, wk__http_answer *answer);

/* A GET whose answer has no end that one could wait for. */
typedef struct wk__http_stream wk__http_stream;
wk__http_stream *wk__http_open(const wk__http_server *server, const char *path);
/* What has come; never waits.  ended: nothing more will; status 0 until the server has spoken. */
wk_status wk__http_read(wk__http_stream *stream, char *bytes, size_t size, size_t *got);
bool wk__http_ended(const wk__http_stream *stream);
long wk__http_status(const wk__http_stream *stream);
void wk__http_close(wk__http_stream *stream);

#endif
