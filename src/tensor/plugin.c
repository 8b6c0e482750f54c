/* plugin.c: operations out of shared libraries. */
#include "tensor/tensor.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

enum { MOST_PLUGINS = 64 };
static const wk_plugin *loaded[MOST_PLUGINS];
static int count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_loaded(const wk_plugin *plugin) {
    for (int i = 0; i < count; i++)
        if (loaded[i] == plugin) return true;
    return false;
}

static wk_status load(const char *path, const wk_plugin *plugin) {
    if (!plugin) return wk_fail(WK_FORMAT, "%s: exports no wick_plugin", path);
    if (plugin->api_version != WK_PLUGIN_API)
        return wk_fail(WK_FORMAT, "%s: made for plug-in API %u, this is API %u: build it again", path,
                       (unsigned)plugin->api_version, (unsigned)WK_PLUGIN_API);
    if (!plugin->load) return wk_fail(WK_FORMAT, "%s: plug-in \"%s\" has no load function", path, plugin->name);
    if (is_loaded(plugin)) return WK_OK;
    if (count == MOST_PLUGINS) return wk_fail(WK_STATE, "%s: %d plug-ins are loaded already", path, MOST_PLUGINS);
    WK_TRY(plugin->load());
    loaded[count++] = plugin;
    return WK_OK;
}

wk_status wk_plugin_open(const char *path) {
    if (wk_failed()) return WK_PENDING;
    /* Rows point into the library: it is never unloaded. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) return wk_fail(WK_IO, "wk_plugin_open: %s", dlerror());
    (void)pthread_mutex_lock(&lock);
    wk_status status = load(path, dlsym(library, "wick_plugin"));
    (void)pthread_mutex_unlock(&lock);
    return status;
}
