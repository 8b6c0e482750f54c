/* curl.c: opening libcurl: it comes with TLS and a dozen libraries, and takes tens of milliseconds. */
#include "files/http/curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

static wk__curl functions;
static bool is_open;

static bool bind_all(void *library) {
#define X(name)                                                \
    *(void **)&functions.name = dlsym(library, "curl_" #name); \
    if (!functions.name) return false;
    WK__CURL_FUNCTIONS(X)
#undef X
    return true;
}

static void open_once(void) {
    static const char *const names[] = { "libcurl.so.4", "libcurl-gnutls.so.4" };
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !is_open; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        is_open = library && bind_all(library) && functions.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    }
}

const wk__curl *wk__curl_open(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, open_once);
    return is_open ? &functions : NULL;
}
