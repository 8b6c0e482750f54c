/* library.c: opening the plugins that lie beside Wick's own libraries, wick_NAME.so.
 *
 * Looked for in the folder that WICK_PLUGIN_PATH names, beside the library that this function is part of (a build's
 * lib), and in wick/ there (an installed tree).  They are never unloaded: what they hand out lives as long as the
 * process.
 */
#include "base/base.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static char *own_folder(void) {
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)&wk__plugin_library, &info) || !info.dli_fname) return NULL;
    char *path = wk_strdup(info.dli_fname);
    char *slash = path ? strrchr(path, '/') : NULL;
    if (slash)
        *slash = '\0';
    else if (path && path[0])
        path[0] = '.', path[1] = '\0';
    return path;
}

/* Reasons are kept of attempts that had the file: that it is not there says nothing. */
static void *try_open(const char *folder, const char *middle, const char *name, wk_text *reason) {
    char *path = wk_format("%s%s/wick_%s.so", folder, middle, name);
    void *handle = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) : NULL;
    if (!handle && path) {
        const char *why = dlerror();
        if (why && !strstr(why, "No such file"))
            wk_text_printf(reason, "%s%s", reason->size ? "; " : "", why);
        else if (why && strstr(why, "shared object file") && !strstr(why, path))
            wk_text_printf(reason, "%s%s", reason->size ? "; " : "", why);
    }
    wk_free(path);
    return handle;
}

void *wk__plugin_library(const char *name, wk_text *reason) {
    char *folder = own_folder();
    const char *wish = getenv("WICK_PLUGIN_PATH");
    void *handle = wish && *wish ? try_open(wish, "", name, reason) : NULL;
    if (!handle && folder) handle = try_open(folder, "", name, reason);
    if (!handle && folder) handle = try_open(folder, "/wick", name, reason);
    wk_free(folder);
    return handle;
}
