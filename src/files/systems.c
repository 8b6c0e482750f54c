/* systems.c: which file system a URL belongs to.
 *
 * First what a program registered, then what is built in, then plug-ins, which are opened when a scheme is met that
 * nobody knows: those of WICK_PLUGINS, and for http and https Wick's own.  State lies here alone, behind exported
 * functions, since this floor stands in several libraries of one process.
 */
#include "files/files.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SYSTEMS = 32 };

static struct {
    pthread_mutex_t lock;
    const wk_file_system *systems[MOST_SYSTEMS]; /* the last one goes first */
    size_t count;
    bool plugins_open, http_open;
    wk_text http_reason;                                      /* why it cannot be used */
} known = { .lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP }; /* a plug-in may register more while it is opened */

static wk_status add(const wk_file_system *system) {
    if (system->api_version != WK_FILES_API || system->size < sizeof *system)
        return wk_fail(WK_INVALID, "a file system of interface %u (%u bytes); this is %u (%zu bytes): compile it anew",
                       system->api_version, system->size, WK_FILES_API, sizeof *system);
    if (!system->schemes || !system->schemes[0]) return wk_fail(WK_INVALID, "a file system without schemes");
    if (known.count == MOST_SYSTEMS)
        return wk_fail(WK_INVALID, "more than %d file systems; register one for several schemes", MOST_SYSTEMS);
    known.systems[known.count++] = system;
    return WK_OK;
}

wk_status wk_file_system_register(const wk_file_system *system) {
    (void)pthread_mutex_lock(&known.lock);
    wk_status status = add(system);
    (void)pthread_mutex_unlock(&known.lock);
    return status;
}

/* ---- plug-ins ---- */

static wk_status host_fail(wk_status code, const char *message) {
    return wk_fail(code, "%s", message);
}

static const wk_files_host host = {
    .api_version = WK_FILES_API, .size = sizeof host, .fail = host_fail, .go_on = wk__copy_goes_on
};

/* The error is kept aside: a plug-in that is of no use costs no more than a warning. */
static bool add_from(void *library, const char *path) {
    wk_files_plugin_function function = NULL;
    *(void **)&function = dlsym(library, "wk_files_plugin");
    if (!function) return false;
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    const wk_file_system *system = function(&host);
    const bool good = system && add(system) == WK_OK;
    (void)wk__error_bind(former);
    if (!good)
        wk_log_write(WK_LOG_WARNING, "plug-in %s left out: %s", path,
                     system || *aside.message ? aside.message : "it offers no file system");
    return true;
}

static void open_plugins(void) {
    const char *at = known.plugins_open ? NULL : getenv("WICK_PLUGINS");
    known.plugins_open = true;
    while (at && *at) {
        size_t size = strcspn(at, ":");
        char *path = size ? wk_format("%.*s", (int)size, at) : NULL;
        void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
        if (path && !library) wk_log_write(WK_LOG_WARNING, "plug-in %s left out: %s", path, dlerror());
        /* One with schedulers alone is not ours to speak of. */
        if (library && !add_from(library, path)) (void)dlclose(library);
        wk_free(path);
        at += size + (at[size] == ':');
    }
}

static void open_http(void) {
    if (known.http_open) return;
    known.http_open = true;
    void *library = wk__plugin_library("http", &known.http_reason);
    if (library && add_from(library, "wick_http.so")) return;
    if (!known.http_reason.size)
        wk_text_puts(&known.http_reason,
                     library ? "wick_http.so is no plug-in for files" : "wick_http.so is not there");
}

/* ---- look-up ---- */

static bool has(const wk_file_system *system, const char *scheme, size_t size) {
    for (const char *const *s = system->schemes; *s; s++)
        if (strncasecmp(*s, scheme, size) == 0 && (*s)[size] == '\0') return true;
    return false;
}

static const wk_file_system *find(const char *scheme, size_t size) {
    for (size_t i = known.count; i-- > 0;)
        if (has(known.systems[i], scheme, size)) return known.systems[i];
    if (has(&wk__local_files, scheme, size)) return &wk__local_files;
    return has(&wk__memory_files, scheme, size) ? &wk__memory_files : NULL;
}

static bool is_http(const char *scheme, size_t size) {
    return (size == 4 && strncasecmp(scheme, "http", 4) == 0) || (size == 5 && strncasecmp(scheme, "https", 5) == 0);
}

static const wk_file_system *unknown(const char *scheme, size_t size) {
    if (is_http(scheme, size))
        return wk_fail_null(WK_NOT_FOUND, "the plug-in for http cannot be used: %s", wk_text_get(&known.http_reason));
    const char *names[4 * MOST_SYSTEMS] = { "file", "memory", "http", "https" };
    size_t count = 4;
    wk_text list = { 0 };
    for (size_t i = 0; i < known.count; i++)
        for (const char *const *s = known.systems[i]->schemes; *s && count < WK_COUNT(names); s++)
            if (!is_http(*s, strlen(*s))) names[count++] = *s;
    for (size_t i = 0; i < count; i++) wk_text_printf(&list, "%s%s", i ? ", " : "", names[i]);
    char word[64];
    (void)snprintf(word, sizeof word, "%.*s", size < sizeof word ? (int)size : (int)sizeof word - 1, scheme);
    const char *near = wk__nearest(word, names, count);
    (void)wk_fail(WK_NOT_FOUND,
                  "the scheme \"%s\" is not known%s%s%s; known: %s; a plug-in named in WICK_PLUGINS adds others "
                  "(wick/files.h)",
                  word, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "", wk_text_get(&list));
    wk_text_free(&list);
    return NULL;
}

const wk_file_system *wk__file_system(const char *url) {
    const size_t size = wk__url_scheme(url);
    if (size == 0) return &wk__local_files;
    (void)pthread_mutex_lock(&known.lock);
    const wk_file_system *system = find(url, size);
    if (!system) {
        open_plugins();
        system = find(url, size);
    }
    if (!system && is_http(url, size)) {
        open_http();
        system = find(url, size);
    }
    if (!system) (void)unknown(url, size);
    (void)pthread_mutex_unlock(&known.lock);
    return system;
}
