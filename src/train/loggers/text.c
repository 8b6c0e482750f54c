/* text.c: see text.h. */
#include "train/loggers/text.h"

#include "base/base.h"
#include "io/file.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static long largest_version(const char *parent) {
    long largest = -1;
    DIR *folder = opendir(parent);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
        char *end;
        if (strncmp(entry->d_name, "version_", 8) != 0) continue;
        long version = strtol(entry->d_name + 8, &end, 10);
        if (!*end && end != entry->d_name + 8 && version > largest) largest = version;
    }
    if (folder) (void)closedir(folder);
    return largest;
}

char *wk__version_folder(const char *folder, const char *name, int64_t resumed_step) {
    char *parent = *name ? wk_format("%s/%s", folder, name) : wk_strdup(folder);
    if (!parent) return NULL;
    long version = largest_version(parent);
    if (resumed_step < 0 || version < 0) version++;
    char *path = wk_format("%s/version_%ld", parent, version);
    wk_free(parent);
    if (path && wk__make_folder(path) == WK_OK) return path;
    wk_free(path);
    return NULL;
}
