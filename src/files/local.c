/* local.c: files of this machine.
 *
 * Writing makes a file beside the one that is meant, and renames it at the end.  A link is followed first, so that what
 * it points to changes and the link stays; and what is no regular file (a pipe, /dev/null) is written as it is, since
 * a rename would put a file in its place.
 */
#include "files/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct local_file {
    int descriptor;
    int64_t left;             /* to read; -1: to the end */
    char *target, *temporary; /* of one that is written; NULL: as it is */
} local_file;

/* what NULL: the system's words say it. */
static wk_status failed(const char *what) {
    const int number = errno;
    const char *hint = number == ENOSPC || number == EDQUOT ? " (what was there before is untouched)" : "";
    const wk_status code = number == ENOENT || number == ENOTDIR ? WK_NOT_FOUND : WK_IO;
    if (!what) return wk_fail(code, "%s", strerror(number));
    return wk_fail(code, "cannot %s: %s%s", what, strerror(number), hint);
}

/* Text of a URL as a path; an error for another machine's. */
static const char *path_of(const char *url) {
    const char *path = wk_url_path(url);
    if (path && *path && (path == url || *path == '/')) return path;
    return wk_fail_null(WK_INVALID, "expected file:///PATH, with three slashes, or a path alone");
}

static local_file *new_file(void) {
    local_file *f = wk_alloc(sizeof *f);
    if (f) f->descriptor = -1;
    return f;
}

static void close_file(void *file) {
    local_file *f = file;
    if (f->descriptor >= 0) (void)close(f->descriptor);
    if (f->temporary) (void)unlink(f->temporary);
    wk_free(f->temporary);
    wk_free(f->target);
    wk_free(f);
}

/* ---- read ---- */

static wk_status open_file(const char *url, int64_t begin, int64_t end, void **file) {
    const char *path = path_of(url);
    local_file *f = path ? new_file() : NULL;
    struct stat info;
    wk_status status = WK_OK;
    if (!f) return wk_error_code();
    f->left = end < 0 ? -1 : end - begin;
    f->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (f->descriptor < 0 || fstat(f->descriptor, &info) != 0)
        status = failed(NULL);
    else if (S_ISDIR(info.st_mode))
        status = wk_fail(WK_INVALID, "is a folder; expected a file");
    else if (begin && lseek(f->descriptor, begin, SEEK_SET) < 0)
        status = failed("skip bytes of it");
    if (status != WK_OK)
        close_file(f);
    else
        *file = f;
    return status;
}

static wk_status read_file(void *file, void *bytes, size_t size, size_t *got) {
    local_file *f = file;
    if (f->left >= 0 && (uint64_t)f->left < size) size = (size_t)f->left;
    ssize_t part;
    do part = read(f->descriptor, bytes, size);
    while (part < 0 && errno == EINTR);
    if (part < 0) return failed("read");
    if (f->left >= 0) f->left -= part;
    *got = (size_t)part;
    return WK_OK;
}

/* ---- write ---- */

static wk_status create_beside(local_file *f, const char *path, const struct stat *there) {
    static atomic_uint serial;
    char *whole = there ? realpath(path, NULL) : NULL;
    f->target = wk_strdup(whole ? whole : path);
    free(whole);
    f->temporary = f->target ? wk_format("%s.tmp.%ld.%u", f->target, (long)getpid(),
                                         atomic_fetch_add_explicit(&serial, 1, memory_order_relaxed))
                             : NULL;
    if (!f->temporary) return wk_error_code();
    f->descriptor = open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (f->descriptor < 0) {
        wk_status status = failed("create it");
        wk_free(f->temporary); /* one of that name that another left is not ours to remove */
        f->temporary = NULL;
        return status;
    }
    if (there) (void)fchmod(f->descriptor, there->st_mode & 0777);
    return WK_OK;
}

static wk_status create_file(const char *url, void **file) {
    const char *path = path_of(url);
    local_file *f = path ? new_file() : NULL;
    struct stat info;
    if (!f) return wk_error_code();
    const bool there = stat(path, &info) == 0;
    wk_status status = WK_OK;
    if (there && S_ISDIR(info.st_mode))
        status = wk_fail(WK_INVALID, "is a folder; expected the name of a file");
    else if (there && !S_ISREG(info.st_mode)) {
        f->descriptor = open(path, O_WRONLY | O_CLOEXEC);
        if (f->descriptor < 0) status = failed("open it to write");
    } else
        status = create_beside(f, path, there ? &info : NULL);
    if (status != WK_OK)
        close_file(f);
    else
        *file = f;
    return status;
}

static wk_status write_file(void *file, const void *bytes, size_t size) {
    const local_file *f = file;
    for (const char *at = bytes; size > 0;) {
        ssize_t part = write(f->descriptor, at, size);
        if (part < 0 && errno == EINTR) continue;
        if (part < 0) return failed("write");
        at += part;
        size -= (size_t)part;
    }
    return WK_OK;
}

static void sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? wk_format("%.*s", slash == path ? 1 : (int)(slash - path), path) : NULL;
    int descriptor = open(slash && folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        (void)fsync(descriptor); /* not every file system can; the data itself is safe by now */
        (void)close(descriptor);
    }
    wk_free(folder);
}

static wk_status commit_file(void *file) {
    local_file *f = file;
    if (f->temporary && fsync(f->descriptor) != 0) return failed("write");
    const int closed = close(f->descriptor);
    f->descriptor = -1;
    if (closed != 0) return failed("write");
    if (!f->temporary) return WK_OK;
    if (rename(f->temporary, f->target) != 0) return failed("put it in its place");
    wk_free(f->temporary);
    f->temporary = NULL;
    sync_folder(f->target);
    return WK_OK;
}

/* ---- names ---- */

static wk_file_info info_of(const struct stat *s) {
    return (wk_file_info){ .kind = S_ISDIR(s->st_mode) ? WK_FILE_FOLDER : WK_FILE_PLAIN,
                           .size = S_ISREG(s->st_mode) ? (int64_t)s->st_size : -1,
                           .modified = (double)s->st_mtim.tv_sec + 1e-9 * (double)s->st_mtim.tv_nsec };
}

static wk_status stat_file(const char *url, wk_file_info *info) {
    const char *path = path_of(url);
    struct stat s;
    if (!path) return wk_error_code();
    if (stat(path, &s) != 0) return failed(NULL);
    *info = info_of(&s);
    return WK_OK;
}

static wk_status list_folder(const char *url, wk_file_give give, void *context) {
    const char *path = path_of(url);
    DIR *folder = path ? opendir(path) : NULL;
    wk_status status = WK_OK;
    if (!path) return wk_error_code();
    if (!folder) return failed("list");
    for (const struct dirent *entry; status == WK_OK && (errno = 0, entry = readdir(folder)) != NULL;) {
        struct stat s;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        /* A link that leads nowhere is an entry all the same; one that is gone by now is none. */
        if (fstatat(dirfd(folder), entry->d_name, &s, 0) != 0
            && fstatat(dirfd(folder), entry->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        const wk_file_info info = info_of(&s);
        status = give(context, entry->d_name, &info);
    }
    if (status == WK_OK && errno) status = failed("list");
    (void)closedir(folder);
    return status;
}

static wk_status remove_file(const char *url) {
    const char *path = path_of(url);
    if (!path) return wk_error_code();
    return remove(path) == 0 ? WK_OK : failed("remove");
}

static wk_status make_folder(const char *url) {
    const char *path = path_of(url);
    char *copy = path ? wk_strdup(path) : NULL;
    wk_status status = copy ? WK_OK : wk_error_code();
    for (char *at = copy ? copy + 1 : NULL; at && status == WK_OK; at++) {
        if (*at != '/' && *at != '\0') continue;
        const char kept = *at;
        struct stat s;
        *at = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            status = failed("make the folder");
        else if (stat(copy, &s) == 0 && !S_ISDIR(s.st_mode))
            status = wk_fail(WK_IO, "cannot make the folder: a file is in its place");
        *at = kept;
        if (kept == '\0') break;
    }
    wk_free(copy);
    return status;
}

static const char *const schemes[] = { "file", NULL };

const wk_file_system wk__local_files = {
    .api_version = WK_FILES_API,
    .size = sizeof(wk_file_system),
    .schemes = schemes,
    .open = open_file,
    .read = read_file,
    .create = create_file,
    .write = write_file,
    .commit = commit_file,
    .close = close_file,
    .stat = stat_file,
    .list = list_folder,
    .remove = remove_file,
    .make_folder = make_folder,
};
