/* curl.h: what the requests to a cluster have in common. */
#ifndef WICK_SRC_LAUNCHER_CURL_H
#define WICK_SRC_LAUNCHER_CURL_H

#include "launcher/net/http.h"
#include "files/http/curl.h"

/* A handle for server and path, its request's headers in *headers; NULL with an error. */
CURL *wk__curl_prepare(const wk__curl *c, const wk__http_server *server, const char *path, const char *content_type,
                       struct curl_slist **headers);
/* wk__curl_open, or NULL with an error. */
const wk__curl *wk__curl_need(void);

#endif
