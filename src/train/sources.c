/* sources.c: what a run was started from, beside what it made: src/ of its directory.
 *
 * Regular files below the working directory, replaced each time.  What is hidden, a cache, data, a build or a run is
 * left out by its name, as the LIIF-style trainers do; large files too, which are no sources.  Whatever is left out for
 * its size, or for too much of all, is said.
 */
#include "train/run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_OF_A_FILE = 1 << 20, MOST_OF_ALL = 64 << 20, MOST_LOOKED_AT = 20000, MOST_DEPTH = 32 };

typedef struct copier {
    dev_t device;
    ino_t run; /* the run's directory */
    int64_t files, bytes, large, looked_at;
    bool is_cut;
} copier;

static bool is_left_out(const char *name, bool is_folder) {
    static const char *const folders[] = { "load*", "save*", "runs*", "build*" };
    if (*name == '.' || fnmatch("__pycache__*", name, 0) == 0) return true;
    for (size_t i = 0; is_folder && i < WK_COUNT(folders); i++)
        if (fnmatch(folders[i], name, 0) == 0) return true;
    return false;
}

static bool copy_bytes(int from, int to, int64_t *bytes) {
    char part[1 << 16];
    for (ssize_t got; (got = read(from, part, sizeof part)) != 0;) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 || write(to, part, (size_t)got) != got) return false;
        *bytes += got;
    }
    return true;
}

static wk_status copy_file(copier *c, int from_folder, int to_folder, const char *name, mode_t mode) {
    int from = openat(from_folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0) return WK_OK; /* may not be read, or is gone */
    int to = openat(to_folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode & 0777) | 0200);
    bool done = to >= 0 && copy_bytes(from, to, &c->bytes);
    int error = errno;
    (void)close(from);
    if (to >= 0 && close(to) != 0 && done) done = false, error = errno;
    c->files += done;
    return done ? WK_OK : wk_fail(WK_IO, "%s: %s", name, strerror(error));
}

static wk_status copy_folder(copier *c, int from, int to, int depth);

static wk_status copy_below(copier *c, int from, int to, const char *name, int depth) {
    int inner = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), there = -1;
    if (inner < 0) return WK_OK;
    if (mkdirat(to, name, 0777) == 0) there = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (there < 0) {
        (void)close(inner);
        return wk_fail(WK_IO, "%s: %s", name, strerror(errno));
    }
    wk_status status = copy_folder(c, inner, there, depth + 1);
    (void)close(there);
    (void)unlinkat(to, name, AT_REMOVEDIR); /* if nothing came into it */
    return status;
}

static wk_status copy_entry(copier *c, int from, int to, const char *name, int depth) {
    struct stat info;
    if (fstatat(from, name, &info, AT_SYMLINK_NOFOLLOW) != 0 || is_left_out(name, S_ISDIR(info.st_mode))) return WK_OK;
    if (++c->looked_at > MOST_LOOKED_AT || c->bytes > MOST_OF_ALL || depth > MOST_DEPTH) {
        c->is_cut = true;
        return WK_OK;
    }
    if (S_ISDIR(info.st_mode)) {
        bool is_run = info.st_dev == c->device && info.st_ino == c->run;
        return is_run ? WK_OK : copy_below(c, from, to, name, depth);
    }
    if (!S_ISREG(info.st_mode)) return WK_OK;
    if (info.st_size <= MOST_OF_A_FILE) return copy_file(c, from, to, name, info.st_mode);
    c->large++;
    return WK_OK;
}

/* Takes `from` over. */
static wk_status copy_folder(copier *c, int from, int to, int depth) {
    wk_status status = WK_OK;
    DIR *folder = fdopendir(from);
    if (!folder) {
        (void)close(from);
        return WK_OK;
    }
    for (const struct dirent *e; status == WK_OK && !c->is_cut && (e = readdir(folder)) != NULL;)
        status = copy_entry(c, from, to, e->d_name, depth);
    (void)closedir(folder);
    return status;
}

static wk_status copy_all(copier *c, const char *to) {
    int here = -1, there = -1;
    wk__remove_folder(to);
    if (mkdir(to, 0777) == 0) there = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (there >= 0) here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    wk_status status =
        here >= 0 ? copy_folder(c, here, there, 0) : wk_fail(WK_IO, "cannot be written: %s", strerror(errno));
    if (there >= 0) (void)close(there);
    return status;
}

void wk__sources_copy(wk_trainer *t) {
    struct stat run;
    if (t->rank != 0 || !t->config->copies_sources) return;
    char *to = wk_format("%s/src", t->config->output);
    if (!to || stat(t->config->output, &run) != 0) {
        wk_free(to);
        return;
    }
    copier c = { .device = run.st_dev, .run = run.st_ino };
    if (copy_all(&c, to) != WK_OK) {
        wk__folder_say(&t->folder, "warning: src/ holds only a part of the working directory: %s", wk_message());
        wk_clear_error();
    } else {
        wk__folder_say(&t->folder, "src/: %lld files of the working directory, %.1f KiB", (long long)c.files,
                       (double)c.bytes / 1024);
        if (c.large) wk__folder_say(&t->folder, "src/: %lld files above 1 MiB are left out", (long long)c.large);
        if (c.is_cut)
            wk__folder_say(&t->folder,
                           "warning: src/ holds only a part of the working directory, which is more than %d MiB, %d "
                           "entries or %d levels",
                           MOST_OF_ALL >> 20, MOST_LOOKED_AT, MOST_DEPTH);
    }
    wk_free(to);
}
