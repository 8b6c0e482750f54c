/* curl.h: libcurl's functions by name, once it is opened.  Of the plug-in wick_http.so and of the launcher, which asks
 * clusters: each has a copy of curl.c. */
#ifndef WICK_SRC_FILES_HTTP_CURL_H
#define WICK_SRC_FILES_HTTP_CURL_H

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
    X(multi_init)             \
    X(multi_add_handle) X(multi_remove_handle) X(multi_perform) X(multi_poll) X(multi_info_read) X(multi_cleanup)

typedef struct wk__curl {
#define X(name) __typeof__(&curl_##name) name;
    WK__CURL_FUNCTIONS(X)
#undef X
} wk__curl;

/* What is told to whoever has none. */
#define WK__CURL_MISSING "no libcurl.so.4 here; install it (libcurl4)"

/* NULL if this machine has no libcurl. */
const wk__curl *wk__curl_open(void);

#endif
