/* urls.c: libFuzzer over URLs: what is accepted stays below its root, what is joined is accepted again, and no password
 * is told. */
#include "base/base.h"
#include "wick/files.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void expect(bool holds) {
    if (!holds) abort();
}

/* A system that asks nobody, in the manner of http. */
static wk_status give_nothing(const char *url, wk_file_info *info) {
    *info = (wk_file_info){ .size = (int64_t)strlen(url) };
    return WK_OK;
}

static void register_once(void) {
    static const char *const schemes[] = { "fuzz", NULL };
    static const wk_file_system system = { .api_version = WK_FILES_API,
                                           .size = sizeof system,
                                           .schemes = schemes,
                                           .flags = WK_FILES_HOST,
                                           .stat = give_nothing };
    static bool done;
    if (!done) expect(wk_file_system_register(&system) == WK_OK);
    done = true;
}

/* SCHEME://TEXT, as a host's and as a path. */
static void try(const char *scheme, const char *text) {
    char *url = wk_format("%s%s", scheme, text);
    const bool good = wk_url_check(url) == WK_OK;
    expect(good != wk_failed());
    wk_clear_error();
    char *mask = wk_url_mask(url);
    char *beside = wk_url_beside(url, "x");
    expect(mask && beside);
    wk_free(mask);
    wk_free(beside);
    if (good) {
        char *joined = wk_url_join(url, "a b");
        expect(joined && wk_url_check(joined) == WK_OK);
        wk_free(joined);
    }
    wk_clear_error();
    wk_free(url);
}

static void try_memory(const char *text) {
    char *url = wk_format("memory://%s", text);
    if (wk_file_save(url, "x", 1) == WK_OK) {
        char *read = wk_file_load(url, 10, NULL);
        expect(read && strcmp(read, "x") == 0);
        wk_free(read);
        wk_file_list_free(wk_folder_list("memory://"));
        expect(wk_file_remove(url) == WK_OK);
    }
    wk_clear_error();
    wk_free(url);
}

static void try_secret(const char *text) {
    if (strpbrk(text, "/?#@")) return;
    char *url = wk_format("fuzz://u:<%s>@host/path", text);
    char *mask = wk_url_mask(url);
    expect(strcmp(mask, "fuzz://u:***@host/path") == 0);
    wk_free(mask);
    wk_free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    char *text = wk_alloc(size + 1);
    expect(text);
    memcpy(text, bytes, size);
    register_once();
    try("", text);
    try("fuzz://", text);
    try("fuzz://host/", text);
    try("memory://", text);
    try_memory(text);
    try_secret(text);
    wk_free(text);
    return 0;
}
