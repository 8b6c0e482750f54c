/* curl.h: libcurl's functions by name, once it is opened. */
#ifndef WICK_SRC_LAUNCHER_CURL_H
#define WICK_SRC_LAUNCHER_CURL_H

#include "launcher/net/http.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#undef curl_easy_setopt
#undef curl_easy_getinfo

#define WK__CURL_FUNCTIONS(X) \
    X(global_init)            \
    X(easy_init)              \
    X(easy_setopt)            \
    X(easy_getinfo)           \
    X(easy_perform)           \
    X(easy_cleanup)           \
    X(easy_strerror)          \
    X(slist_append)           \
    X(slist_free_all)         \
    X(multi_init) X(multi_add_handle) X(multi_remove_handle) X(multi_perform) X(multi_info_read) X(multi_cleanup)

typedef struct wk__curl {
#define X(name) __typeof__(&curl_##name) name;
    WK__CURL_FUNCTIONS(X)
#undef X
} wk__curl;

/* NULL with an error that says what to install. */
const wk__curl *wk__curl_open(void);
/* A handle for server and path, its request's headers in *headers; NULL with an error. */
CURL *wk__curl_prepare(const wk__curl *c, const wk__http_server *server, const char *path, const char *content_type,
                       struct curl_slist **headers);

#endif
