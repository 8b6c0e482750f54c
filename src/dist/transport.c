/* transport.c: the transport of one rank alone, finding the others' plugins, and giving regions back. */
#include "dist/transport.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>

/* ---- self ---- */

static wk_status self_open(void **state, int *rank, int *ranks) {
    *state = NULL;
    *rank = 0;
    *ranks = 1;
    return WK_OK;
}
static wk_status self_begin(void *state, const wk_transfer *t) {
    (void)state;
    if ((t->kind == WK_ALL_GATHER || t->kind == WK_REDUCE_SCATTER) && t->count)
        memcpy(t->out, t->in, (size_t)t->count * wk_dtype_size(t->dtype));
    return WK_OK;
}
static wk_status self_test(void *state, bool *done) {
    (void)state;
    *done = true;
    return WK_OK;
}
static void self_close(void *state) {
    (void)state;
}
static void self_abort(void *state, int code, const char *reason) {
    (void)state, (void)code, (void)reason;
}
static const char *self_algorithm(const void *state) {
    (void)state;
    return "none";
}
static wk_status self_share(void *state, size_t bytes, wk_region *region) {
    (void)state, (void)bytes, (void)region;
    return WK_OK;
}
static const wk_transport self_transport = { .api_version = WK_TRANSPORT_API,
                                             .size = sizeof(wk_transport),
                                             .name = "self",
                                             .open = self_open,
                                             .begin = self_begin,
                                             .test = self_test,
                                             .close = self_close,
                                             .abort = self_abort,
                                             .algorithm = self_algorithm,
                                             .share = self_share };

const wk_transport *wk__transport_self(void) {
    return &self_transport;
}

/* ---- regions ---- */

void wk__region_release(wk_region *region) {
    if (region->memory) (void)munmap(region->memory, region->bytes * (size_t)region->parts);
    *region = (wk_region){ 0 };
}

/* ---- plugins ---- */

const wk_transport *wk__transport_find(const char *name) {
    if (strcmp(name, "self") == 0) return &self_transport;
    if (strcmp(name, "tcp") == 0) return wk__transport_tcp();
    for (const char *at = name; *at; at++)
        if (!((*at >= 'a' && *at <= 'z') || *at == '_'))
            return wk_fail_null(WK_INVALID, "\"%s\" is no name of a transport", name);
    wk_text reason = { 0 };
    void *handle = wk__plugin_library(name, &reason);
    const wk_transport *found = NULL;
    if (!handle) {
        (void)wk_fail(WK_NOT_FOUND, "the transport \"%s\" cannot be opened: %s", name,
                      reason.size ? reason.data
                                  : "there is no such plugin; tools/install-deps installs Open MPI, then build again");
    } else {
        wk_transport_plugin_function entry = NULL;
        void *symbol = dlsym(handle, "wk_transport_plugin");
        memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from an object to a function pointer */
        found = entry ? entry() : NULL;
        if (!found || found->api_version != WK_TRANSPORT_API) {
            (void)wk_fail(
                WK_UNSUPPORTED,
                "wick_%s.so speaks version %u of the transport interface, this libwick speaks %d: build both together",
                name, found ? found->api_version : 0, WK_TRANSPORT_API);
            found = NULL;
        }
    }
    wk_text_free(&reason);
    return found;
}
