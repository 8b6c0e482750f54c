/* memory.c: a tree of files within the process.
 *
 * A list of paths and their bytes: a tree of its own would serve nobody, for what is kept here is a few files.  A
 * folder is there once it was made or something lies below it.  Who reads keeps the bytes that were there when he
 * began.
 */
#include "files/files.h"

#include <pthread.h>
#include <string.h>

typedef struct content {
    size_t users;
    wk_text bytes;
} content;

typedef struct entry {
    struct entry *next;
    content *content; /* NULL: a folder */
    double modified;
    char path[]; /* "a/b": no slash at either end */
} entry;

static struct {
    pthread_mutex_t lock;
    entry *first;
} tree = { .lock = PTHREAD_MUTEX_INITIALIZER };

typedef struct memory_file {
    content *content; /* to read, or what is written */
    size_t at, end;
    char *path; /* to write to */
} memory_file;

/* "memory:///a/./b//" as "a/b"; free with wk_free.  The URL has been checked: `..` stays within. */
static char *path_of(const char *url) {
    const char *at = wk__url_root(url, false);
    wk_text path = { 0 };
    wk_text_puts(&path, "");
    while (*at) {
        at += strspn(at, "/");
        const size_t size = strcspn(at, "/");
        if (size == 2 && strncmp(at, "..", 2) == 0) {
            while (path.size && path.data[path.size - 1] != '/') path.size--;
            if (path.size) path.size--;
            path.data[path.size] = '\0';
        } else if (size && !(size == 1 && *at == '.')) {
            if (path.size) wk_text_puts(&path, "/");
            wk_text_add(&path, at, size);
        }
        at += size;
    }
    if (path.failed) wk_text_free(&path);
    return path.data;
}

/* ---- with the lock held ---- */

static entry **find(const char *path) {
    entry **at = &tree.first;
    while (*at && strcmp((*at)->path, path) != 0) at = &(*at)->next;
    return at;
}

/* What stands behind "path/" in the path of an entry that lies below it; NULL: it does not. */
static const char *below(const entry *e, const char *path) {
    const size_t size = strlen(path);
    if (size == 0) return e->path;
    return strncmp(e->path, path, size) == 0 && e->path[size] == '/' ? e->path + size + 1 : NULL;
}

static bool is_folder(const char *path) {
    const entry *e = *find(path);
    if (!*path || (e && !e->content)) return true;
    for (e = tree.first; e; e = e->next)
        if (below(e, path)) return true;
    return false;
}

static void release(content *c) {
    if (!c || --c->users) return;
    wk_text_free(&c->bytes);
    wk_free(c);
}

static wk_status put(const char *path, content *c) {
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        char *above = wk_format("%.*s", (int)(slash - path), path);
        const entry *e = above ? *find(above) : NULL;
        wk_free(above);
        if (e && e->content) return wk_fail(WK_IO, "a file is where one of its folders would be");
    }
    entry *e = *find(path);
    if (!e) {
        const size_t size = strlen(path) + 1;
        if (!(e = wk_alloc(sizeof *e + size))) return wk_error_code();
        memcpy(e->path, path, size);
        e->next = tree.first;
        tree.first = e;
    }
    release(e->content);
    e->content = c;
    if (c) c->users++;
    e->modified = wk_wall_time();
    return WK_OK;
}

static void lock(void) {
    (void)pthread_mutex_lock(&tree.lock);
}

static void unlock(void) {
    (void)pthread_mutex_unlock(&tree.lock);
}

/* ---- streams ---- */

static void close_file(void *file) {
    memory_file *f = file;
    lock();
    release(f->content);
    unlock();
    wk_free(f->path);
    wk_free(f);
}

static wk_status open_file(const char *url, int64_t begin, int64_t end, void **file) {
    char *path = path_of(url);
    memory_file *f = path ? wk_alloc(sizeof *f) : NULL;
    if (!f) {
        wk_free(path);
        return wk_error_code();
    }
    lock();
    const entry *e = *find(path);
    wk_status status = WK_OK;
    if (e && e->content) {
        f->content = e->content;
        f->content->users++;
        const size_t size = f->content->bytes.size;
        f->end = end >= 0 && (uint64_t)end < size ? (size_t)end : size;
        f->at = (uint64_t)begin < f->end ? (size_t)begin : f->end;
    } else
        status = is_folder(path) ? wk_fail(WK_INVALID, "is a folder; expected a file")
                                 : wk_fail(WK_NOT_FOUND, "there is no such file");
    unlock();
    wk_free(path);
    if (status != WK_OK)
        wk_free(f);
    else
        *file = f;
    return status;
}

static wk_status read_file(void *file, void *bytes, size_t size, size_t *got) {
    memory_file *f = file;
    *got = f->end - f->at < size ? f->end - f->at : size;
    if (*got) memcpy(bytes, f->content->bytes.data + f->at, *got);
    f->at += *got;
    return WK_OK;
}

static wk_status create_file(const char *url, void **file) {
    memory_file *f = wk_alloc(sizeof *f);
    if (!f) return wk_error_code();
    f->path = path_of(url);
    f->content = f->path ? wk_alloc(sizeof *f->content) : NULL;
    if (f->content) {
        f->content->users = 1;
        lock();
        const bool folder = is_folder(f->path);
        unlock();
        if (!folder) {
            *file = f;
            return WK_OK;
        }
        (void)wk_fail(WK_INVALID, "is a folder; expected the name of a file");
    }
    close_file(f);
    return wk_error_code();
}

static wk_status write_file(void *file, const void *bytes, size_t size) {
    memory_file *f = file;
    wk_text_add(&f->content->bytes, bytes, size);
    return f->content->bytes.failed ? wk_error_code() : WK_OK;
}

static wk_status commit_file(void *file) {
    const memory_file *f = file;
    lock();
    wk_status status = is_folder(f->path) ? wk_fail(WK_IO, "became a folder meanwhile") : put(f->path, f->content);
    unlock();
    return status;
}

/* ---- names ---- */

static wk_file_info info_of(const entry *e) {
    return (wk_file_info){ .kind = e->content ? WK_FILE_PLAIN : WK_FILE_FOLDER,
                           .size = e->content ? (int64_t)e->content->bytes.size : -1,
                           .modified = e->modified };
}

static wk_status stat_file(const char *url, wk_file_info *info) {
    char *path = path_of(url);
    if (!path) return wk_error_code();
    lock();
    const entry *e = *find(path);
    wk_status status = WK_OK;
    if (e)
        *info = info_of(e);
    else if (is_folder(path))
        *info = (wk_file_info){ .kind = WK_FILE_FOLDER, .size = -1 };
    else
        status = wk_fail(WK_NOT_FOUND, "there is no such file");
    unlock();
    wk_free(path);
    return status;
}

/* An entry deeper down tells of its folder, once: by the first of those in the list. */
static wk_status give_below(const char *path, const entry *e, wk_file_give give, void *context) {
    const char *rest = below(e, path);
    const char *slash = rest ? strchr(rest, '/') : NULL;
    if (!rest) return WK_OK;
    wk_file_info info = info_of(e);
    if (!slash) return give(context, rest, &info);
    info = (wk_file_info){ .kind = WK_FILE_FOLDER, .size = -1 };
    const size_t size = (size_t)(slash - rest);
    const entry *first = NULL;
    for (const entry *other = tree.first; other; other = other->next) {
        const char *name = below(other, path);
        if (!name || strncmp(name, rest, size) != 0) continue;
        if (name[size] == '\0') return WK_OK; /* the folder is an entry itself, and tells of itself */
        if (name[size] != '/') continue;
        first = first ? first : other;
    }
    if (first != e) return WK_OK;
    char *name = wk_format("%.*s", (int)size, rest);
    wk_status status = name ? give(context, name, &info) : wk_error_code();
    wk_free(name);
    return status;
}

static wk_status list_folder(const char *url, wk_file_give give, void *context) {
    char *path = path_of(url);
    if (!path) return wk_error_code();
    lock();
    wk_status status = is_folder(path) ? WK_OK : wk_fail(WK_NOT_FOUND, "there is no such folder");
    for (const entry *e = tree.first; e && status == WK_OK; e = e->next) status = give_below(path, e, give, context);
    unlock();
    wk_free(path);
    return status;
}

static wk_status remove_file(const char *url) {
    char *path = path_of(url);
    if (!path) return wk_error_code();
    lock();
    wk_status status = WK_OK;
    for (const entry *e = tree.first; e && status == WK_OK; e = e->next)
        if (below(e, path)) status = wk_fail(WK_IO, "the folder is not empty");
    entry **at = find(path);
    entry *e = *at;
    if (status == WK_OK && !e) status = wk_fail(WK_NOT_FOUND, "there is no such file");
    if (status == WK_OK) {
        *at = e->next;
        release(e->content);
        wk_free(e);
    }
    unlock();
    wk_free(path);
    return status;
}

static wk_status make_folder(const char *url) {
    char *path = path_of(url);
    if (!path) return wk_error_code();
    lock();
    const entry *e = *find(path);
    wk_status status = WK_OK;
    if (e && e->content)
        status = wk_fail(WK_IO, "cannot make the folder: a file is in its place");
    else if (*path && !e)
        status = put(path, NULL);
    unlock();
    wk_free(path);
    return status;
}

static const char *const schemes[] = { "memory", NULL };

const wk_file_system wk__memory_files = {
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
