/* golden_rows.c: the files of tests/golden/rows, opened once a process. */
#include "support/golden_rows.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FILES = 32 };
static wk_safetensors *files[MOST_FILES];
static int n_files = -1;

static void close_all(void) {
    for (int i = 0; i < n_files; i++) wk_safetensors_close(files[i]);
}

static void open_all(void) {
    if (n_files >= 0) return;
    n_files = 0;
    static const char folder[] = WICK_SOURCE_DIR "/tests/golden/rows";
    DIR *dir = opendir(folder);
    cr_assert_not_null(dir, "%s", folder);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[600];
        if (!strstr(entry->d_name, ".safetensors")) continue;
        cr_assert_lt(n_files, MOST_FILES);
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        files[n_files] = wk_safetensors_open(path);
        cr_assert_not_null(files[n_files], "%s", wk_message());
        n_files++;
    }
    (void)closedir(dir);
    (void)atexit(close_all);
}

wk_tensor *golden_rows_find(const char *row, const char *label, const char *class_, const char *what, int k) {
    char name[300];
    open_all();
    (void)snprintf(name, sizeof name, "%s/%s/%s/%s.%d", row, label, class_, what, k);
    for (int i = 0; i < n_files; i++)
        if (wk_safetensors_has(files[i], name)) return wk_safetensors_get(files[i], name);
    return NULL;
}

bool golden_rows_has(const char *row) {
    size_t length = strlen(row);
    open_all();
    for (int i = 0; i < n_files; i++)
        for (int k = 0; k < wk_safetensors_count(files[i]); k++) {
            const char *name = wk_safetensors_name(files[i], k);
            if (strncmp(name, row, length) == 0 && name[length] == '/') return true;
        }
    return false;
}
