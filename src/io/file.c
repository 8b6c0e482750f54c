/* file.c: atomic writing: a temporary file in the same folder, fsync, rename, fsync of the folder.
 *
 * A reader sees the old file or the new one, after a crash too; when the disk is full the old one stays and the
 * temporary is gone.
 */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, LARGE = 1 << 20 };

static wk_status io_error(const char *what, const char *path) {
    int number = errno;
    const char *hint =
        number == ENOSPC || number == EDQUOT ? " (the disk is full; what was there before is untouched)" : "";
    return wk_fail(WK_IO, "%s: cannot %s: %s%s", path, what, strerror(number), hint);
}

wk_status wk__writer_open(wk__writer *w, const char *path) {
    *w = (wk__writer){ .path = wk_strdup(path), .temporary = wk_format("%s.tmp.%ld", path, (long)getpid()) };
    if (!w->path || !w->temporary) {
        wk__writer_abort(w);
        return WK_NO_MEMORY;
    }
    w->descriptor = open(w->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->descriptor < 0) {
        wk_status status = io_error("create a file", w->temporary);
        wk__writer_abort(w);
        return status;
    }
    w->is_open = true;
    return WK_OK;
}

wk_status wk__writer_add(wk__writer *w, const void *bytes, size_t size) {
    const char *at = bytes;
    while (size > 0) {
        ssize_t written = write(w->descriptor, at, size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return io_error("write", w->path);
        at += written;
        size -= (size_t)written;
    }
    return WK_OK;
}

/* Puts whole pages on the disk without a copy in the page cache, where the file system can; returns how many bytes.
 * 14 MB cost 1.5 ms of processor time so, 4 to 46 with the copy (ext4, Xeon with AMX): training has it instead.  An
 * error that lasts is met again by whoever writes the rest. */
static size_t add_past_cache(const wk__writer *w, const char *bytes, size_t size) {
    size_t whole = size / PAGE * PAGE, done = 0;
    int flags = size >= LARGE && (uintptr_t)bytes % PAGE == 0 ? fcntl(w->descriptor, F_GETFL) : -1;
    if (flags < 0 || fcntl(w->descriptor, F_SETFL, flags | O_DIRECT) != 0) return 0;
    while (done < whole) {
        ssize_t written = write(w->descriptor, bytes + done, whole - done);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) break;
        done += (size_t)written;
    }
    (void)fcntl(w->descriptor, F_SETFL, flags);
    return done;
}

static void sync_folder(const char *path) {
    char *folder = wk_strdup(path);
    if (!folder) return;
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    int descriptor = open(slash ? (*folder ? folder : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        (void)fsync(descriptor); /* not every file system can; the data itself is safe by now */
        (void)close(descriptor);
    }
    wk_free(folder);
}

wk_status wk__writer_commit(wk__writer *w) {
    if (fsync(w->descriptor) != 0) return io_error("write", w->path);
    int closed = close(w->descriptor);
    w->is_open = false;
    if (closed != 0) return io_error("close", w->path);
    if (rename(w->temporary, w->path) != 0) return io_error("replace", w->path);
    sync_folder(w->path);
    wk_free(w->temporary);
    w->temporary = NULL;
    wk__writer_abort(w);
    return WK_OK;
}

void wk__writer_abort(wk__writer *w) {
    if (w->is_open) (void)close(w->descriptor);
    if (w->temporary) (void)unlink(w->temporary);
    wk_free(w->temporary);
    wk_free(w->path);
    *w = (wk__writer){ 0 };
}

wk_status wk__write_file(const char *path, const void *bytes, size_t size) {
    wk__writer w;
    WK_TRY(wk__writer_open(&w, path));
    size_t done = add_past_cache(&w, bytes, size);
    wk_status status = wk__writer_add(&w, (const char *)bytes + done, size - done);
    if (status == WK_OK) status = wk__writer_commit(&w);
    wk__writer_abort(&w);
    return status;
}

wk_status wk__pages_make(wk__pages *p, size_t size) {
    if (p->room < size || !p->block) {
        wk__pages_free(p);
        p->block = wk_alloc_data(size + PAGE);
        if (!p->block) return WK_NO_MEMORY;
        p->bytes = (char *)p->block + (PAGE - (uintptr_t)p->block % PAGE) % PAGE;
        p->room = size;
    }
    p->size = size;
    return WK_OK;
}

void wk__pages_free(wk__pages *p) {
    wk_free(p->block);
    *p = (wk__pages){ 0 };
}

char *wk__read_file(const char *path, size_t most, size_t *size) {
    char *bytes = NULL;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (descriptor < 0 || fstat(descriptor, &info) != 0) {
        (void)io_error("read", path);
        goto done;
    }
    if (!S_ISREG(info.st_mode)) {
        (void)wk_fail(WK_IO, "%s: not a regular file", path);
        goto done;
    }
    if ((uint64_t)info.st_size > most) {
        (void)wk_fail(WK_FORMAT, "%s: %lld bytes, at most %zu are read", path, (long long)info.st_size, most);
        goto done;
    }
    size_t wanted = (size_t)info.st_size, got = 0;
    bytes = wk_alloc(wanted + 1);
    while (bytes && got < wanted) {
        ssize_t part = read(descriptor, bytes + got, wanted - got);
        if (part < 0 && errno == EINTR) continue;
        if (part < 0) {
            (void)io_error("read", path);
            wk_free(bytes);
            bytes = NULL;
        }
        if (part <= 0) break;
        got += (size_t)part;
    }
    *size = got;
done:
    if (descriptor >= 0) (void)close(descriptor);
    return bytes;
}

wk_status wk__make_folder(const char *path) {
    char *copy = wk_strdup(path);
    if (!copy) return WK_NO_MEMORY;
    wk_status status = WK_OK;
    for (char *at = copy + 1; status == WK_OK; at++) {
        if (*at != '/' && *at != '\0') continue;
        char kept = *at;
        *at = '\0';
        struct stat info;
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            status = io_error("make the folder", copy);
        else if (stat(copy, &info) == 0 && !S_ISDIR(info.st_mode))
            status = wk_fail(WK_IO, "%s: cannot make the folder: a file is in its place", copy);
        *at = kept;
        if (kept == '\0') break;
    }
    wk_free(copy);
    return status;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    (void)remove(path);
    return 0;
}

void wk__remove_folder(const char *path) {
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

wk_status wk__map_open(const char *path, wk__mapping *mapping, int *descriptor) {
    *mapping = (wk__mapping){ 0 };
    *descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (*descriptor < 0) return io_error("open", path);
    struct stat info;
    wk_status status = WK_OK;
    if (fstat(*descriptor, &info) != 0)
        status = io_error("look at", path);
    else if (!S_ISREG(info.st_mode))
        status = wk_fail(WK_IO, "%s: not a regular file", path);
    else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, *descriptor, 0);
        if (data == MAP_FAILED)
            status = io_error("map", path);
        else
            *mapping = (wk__mapping){ data, (size_t)info.st_size };
    }
    if (status == WK_OK) return WK_OK;
    (void)close(*descriptor);
    *descriptor = -1;
    return status;
}

wk_status wk__map(const char *path, wk__mapping *mapping) {
    int descriptor;
    WK_TRY(wk__map_open(path, mapping, &descriptor));
    (void)close(descriptor);
    return WK_OK;
}

void wk__unmap(wk__mapping *mapping) {
    if (mapping->data) (void)munmap(mapping->data, mapping->size);
    *mapping = (wk__mapping){ 0 };
}
