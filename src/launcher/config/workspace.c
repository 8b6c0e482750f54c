/* workspace.c: a copy of the user's folder that the run cannot change under.
 *
 * The copy lies in <state>/workspaces under a name made of its content, so the same tree is copied once however often
 * it is run, and a dry run, which only reads, knows the name.  What `.wickignore` (else `.torchxignore`) matches stays
 * out: patterns of fnmatch on the path below the folder, the last that matches counts, `!` takes back, `#` is a
 * comment.
 */
#include "launcher/launcher.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct walker {
    uint64_t hash[2];
    char **patterns;
    size_t pattern_count;
    const char *target; /* NULL: hash only */
} walker;

static void mix(walker *w, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++) {
        w->hash[0] = (w->hash[0] ^ at[i]) * UINT64_C(0x100000001b3);
        w->hash[1] = (w->hash[1] + at[i]) * UINT64_C(0x9e3779b97f4a7c15);
        w->hash[1] ^= w->hash[1] >> 29;
    }
}

/* ---- ignored ---- */

static wk_status read_patterns(walker *w, const char *folder) {
    static const char *const names[] = { ".wickignore", ".torchxignore" };
    char *text = NULL;
    for (size_t i = 0; i < WK_COUNT(names) && !text; i++) {
        char *path = wk_format("%s/%s", folder, names[i]);
        text = path ? wk__read_file(path, 1 << 20, NULL) : NULL;
        wk_free(path);
    }
    if (!text) return wk_error_code();
    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        size_t size = strcspn(line, "\r\n");
        while (size && (line[size - 1] == ' ' || line[size - 1] == '/')) size--;
        if (*end) end++;
        if (!size || *line == '#') continue;
        char **more = wk_realloc(w->patterns, (w->pattern_count + 1) * sizeof *more);
        char *pattern = more ? wk_format("%.*s", (int)size, line) : NULL;
        if (more) w->patterns = more;
        if (pattern) w->patterns[w->pattern_count++] = pattern;
    }
    wk_free(text);
    return wk_error_code();
}

static void forget_patterns(walker *w) {
    for (size_t i = 0; i < w->pattern_count; i++) wk_free(w->patterns[i]);
    wk_free(w->patterns);
    w->patterns = NULL;
    w->pattern_count = 0;
}

/* What lies in an ignored folder is ignored with it, unless a pattern takes it back by itself. */
static bool is_ignored(const walker *w, const char *path, bool with_folder) {
    bool ignored = with_folder;
    for (size_t i = 0; i < w->pattern_count; i++) {
        bool back = w->patterns[i][0] == '!';
        if (fnmatch(w->patterns[i] + back, path, 0) == 0) ignored = !back;
    }
    return ignored;
}

static bool takes_back(const walker *w) {
    for (size_t i = 0; i < w->pattern_count; i++)
        if (w->patterns[i][0] == '!') return true;
    return false;
}

/* ---- one file ---- */

static wk_status io_error(const char *path) {
    return wk_fail(WK_IO, "workspace: %s: %s", path, strerror(errno));
}

static wk_status take_file(walker *w, const char *from, const char *to, mode_t mode) {
    char chunk[65536];
    wk_status status = WK_OK;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = in >= 0 && to ? open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (mode & 0777) | 0200) : -1;
    if (in < 0 || (to && out < 0)) status = io_error(in < 0 ? from : to);
    for (ssize_t got = 1; status == WK_OK && got > 0;) {
        got = read(in, chunk, sizeof chunk);
        if (got < 0) status = io_error(from);
        if (got > 0) mix(w, chunk, (size_t)got);
        if (got > 0 && to && write(out, chunk, (size_t)got) != got) status = io_error(to);
    }
    if (in >= 0) (void)close(in);
    if (out >= 0 && close(out) != 0 && status == WK_OK) status = io_error(to);
    return status;
}

static wk_status take_link(walker *w, const char *from, const char *to) {
    char target[4096];
    ssize_t size = readlink(from, target, sizeof target - 1);
    if (size < 0) return io_error(from);
    target[size] = '\0';
    mix(w, target, (size_t)size);
    return to && symlink(target, to) != 0 && errno != EEXIST ? io_error(to) : WK_OK;
}

/* ---- the tree ---- */

static wk_status take_folder(walker *w, const char *from, const char *below, const char *place, bool ignored);

static wk_status take_entry(walker *w, const char *from, const char *below, const char *place, bool ignored) {
    struct stat info;
    if (lstat(from, &info) != 0) return io_error(from);
    if (S_ISDIR(info.st_mode)) return ignored && !takes_back(w) ? WK_OK : take_folder(w, from, below, place, ignored);
    if (ignored || !(S_ISREG(info.st_mode) || S_ISLNK(info.st_mode))) return WK_OK;
    char *to = w->target ? wk_format("%s/%s", w->target, place) : NULL;
    if (w->target && !to) return wk_error_code();
    mix(w, place, strlen(place) + 1);
    mix(w, &(unsigned char){ (info.st_mode & 0100) != 0 }, 1);
    mix(w, &info.st_size, sizeof info.st_size);
    wk_status status = WK_OK;
    char *slash = to ? strrchr(to, '/') : NULL;
    if (slash) {
        *slash = '\0';
        status = wk__make_dirs(to);
        *slash = '/';
    }
    if (status == WK_OK) status = S_ISLNK(info.st_mode) ? take_link(w, from, to) : take_file(w, from, to, info.st_mode);
    wk_free(to);
    return status;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_dots(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static wk_status take_folder(walker *w, const char *from, const char *below, const char *place, bool ignored) {
    struct dirent **entries = NULL;
    wk_status status = WK_OK;
    int count = scandir(from, &entries, not_dots, by_name);
    if (count < 0) return io_error(from);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        char *path = wk_format("%s/%s", from, name);
        char *inside = wk_format("%s%s%s", below, *below ? "/" : "", name);
        char *to = wk_format("%s%s%s", place, *place ? "/" : "", name);
        if (!path || !inside || !to)
            status = wk_error_code();
        else if (status == WK_OK)
            status = take_entry(w, path, inside, to, is_ignored(w, inside, ignored));
        wk_free(path);
        wk_free(inside);
        wk_free(to);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static wk_status take_all(walker *w, const wk_pair *folders, size_t count) {
    w->hash[0] = UINT64_C(0xcbf29ce484222325);
    w->hash[1] = 1;
    for (size_t i = 0; i < count; i++) {
        wk_status status = read_patterns(w, folders[i].key);
        if (status == WK_OK) status = take_folder(w, folders[i].key, "", folders[i].value, false);
        forget_patterns(w);
        WK_TRY(status);
    }
    return WK_OK;
}

char *wk__workspace_path(const wk_pair *folders, size_t count) {
    walker w = { 0 };
    if (take_all(&w, folders, count) != WK_OK) return NULL;
    return wk_format("%s/workspaces/%016llx%016llx", wk__state_dir(), (unsigned long long)w.hash[0],
                     (unsigned long long)w.hash[1]);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    (void)remove(path);
    return 0;
}

wk_status wk__workspace_copy(const wk_pair *folders, size_t count, const char *path) {
    if (wk__exists(path)) return WK_OK;
    char *aside = wk_format("%s.%ld", path, (long)getpid());
    wk_status status = aside ? wk__make_dirs(aside) : wk_error_code();
    walker w = { .target = aside };
    if (status == WK_OK) status = take_all(&w, folders, count);
    /* Another process may have made the same copy meanwhile: then that one stands. */
    if (status == WK_OK && rename(aside, path) != 0 && !wk__exists(path)) status = io_error(path);
    if (aside && wk__exists(aside)) (void)nftw(aside, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    wk_free(aside);
    return status;
}
