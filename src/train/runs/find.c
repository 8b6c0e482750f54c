/* find.c: the runs below a directory. */
#include "train/runs/run.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEPTH = 4, MOST = 10000 };

typedef struct search {
    wk__run_list *list;
    const char *metric, *mode;
    FILE *notes;
    int capacity;
} search;

static wk_status add(search *s, const char *path) {
    wk__run_list *l = s->list;
    if (l->count == MOST) return wk_fail(WK_INVALID, "more than %d runs", MOST);
    if (l->count == s->capacity) {
        int capacity = s->capacity ? 2 * s->capacity : 16;
        wk__run *runs = wk_realloc(l->run, (size_t)capacity * sizeof *runs);
        if (!runs) return WK_NO_MEMORY;
        l->run = runs;
        s->capacity = capacity;
    }
    wk_status status = wk__run_open(&l->run[l->count], path, s->metric, s->mode);
    l->count += status == WK_OK;
    if (status != WK_FORMAT && status != WK_CONFIG) return status;
    (void)fprintf(s->notes, "left out: %s\n", wk_message());
    wk_clear_error();
    return WK_OK;
}

static wk_status walk(search *s, const char *path, int depth) {
    if (wk__run_is(path)) return add(s, path);
    DIR *folder = depth < DEPTH ? opendir(path) : NULL;
    const struct dirent *entry;
    wk_status status = WK_OK;
    while (folder && status == WK_OK && (entry = readdir(folder)) != NULL) {
        struct stat about;
        if (entry->d_name[0] == '.') continue;
        char *below = wk_format("%s/%s", path, entry->d_name);
        /* Links are not followed: one to a folder above would never end. */
        if (below && lstat(below, &about) == 0 && S_ISDIR(about.st_mode)) status = walk(s, below, depth + 1);
        if (!below) status = WK_NO_MEMORY;
        wk_free(below);
    }
    if (folder) (void)closedir(folder);
    return status;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const wk__run *)a)->path, ((const wk__run *)b)->path);
}

wk_status wk__runs_find(wk__run_list *list, const char *root, const char *metric, const char *mode, FILE *notes) {
    search s = { .list = list, .metric = metric, .mode = mode, .notes = notes };
    struct stat about;
    *list = (wk__run_list){ 0 };
    if (stat(root, &about) != 0)
        return wk_fail(WK_NOT_FOUND, "%s: %s; expected a directory with those of runs in it", root, strerror(errno));
    wk_status status = walk(&s, root, 0);
    if (status != WK_OK)
        wk__runs_free(list);
    else if (list->count)
        qsort(list->run, (size_t)list->count, sizeof *list->run, by_path);
    return status;
}

void wk__runs_free(wk__run_list *list) {
    for (int i = 0; i < list->count; i++) wk__run_close(&list->run[i]);
    wk_free(list->run);
    *list = (wk__run_list){ 0 };
}
