/* http.c: files of a server.
 *
 * Reading goes on after a broken connection, from the byte it has come to, and asks for the same version (If-Range): a
 * file that was replaced meanwhile is an error and never half of each.  What is written is kept aside until it is
 * whole, since a PUT says its length first and may have to be sent twice.
 */
#include "files/http/http.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const wk_files_host *host;

wk_status wk__http_fail(wk_status code, const char *format, ...) {
    char message[600];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(message, sizeof message, format, list);
    va_end(list);
    return host->fail(code, message);
}

bool wk__http_goes_on(void) {
    return host->go_on();
}

typedef struct http_file {
    wk__transfer *transfer; /* to read; NULL: nothing is there to be read */
    int64_t at, end;        /* the next byte; -1: to the last */
    char *version;          /* of what is read: what If-Range wants; NULL: the server tells none */
    char *url;              /* to write to */
    FILE *kept;
    int64_t size;
} http_file;

static void close_file(void *file) {
    http_file *f = file;
    wk__transfer_free(f->transfer);
    if (f->kept) (void)fclose(f->kept);
    free(f->version);
    free(f->url);
    free(f);
}

/* ---- read ---- */

/* The answer to "from byte `at` on" into a stream that stands there. */
static wk_status settle(http_file *f) {
    wk__transfer *t = f->transfer;
    const long status = wk__transfer_status(t);
    if (status == 416 && !t->version) { /* the file ends before it */
        wk__transfer_free(t);
        f->transfer = NULL;
        return WK_OK;
    }
    if (status == 206 && t->range_begin == f->at) return WK_OK;
    if (status == 206) return wk__http_fail(WK_FORMAT, "the server sent another part than it was asked for");
    if (status != 200) return wk__transfer_refused(t);
    if (t->version) return wk__http_fail(WK_IO, "the file was replaced while it was read; read it again");
    /* A server without ranges sends the whole. */
    for (int64_t skip = f->at; skip > 0;) {
        bool broken = false;
        const wk_status more = wk__transfer_more(t, &broken);
        if (more != WK_OK) return broken ? wk__http_fail(WK_IO, "the connection broke") : more;
        if (t->taken == t->size) break;
        const size_t there = t->size - t->taken;
        const size_t part = (uint64_t)skip < there ? (size_t)skip : there;
        t->taken += part;
        skip -= (int64_t)part;
    }
    return WK_OK;
}

static wk_status open_file(const char *url, int64_t begin, int64_t end, void **file) {
    http_file *f = calloc(1, sizeof *f);
    if (!f) return wk__http_fail(WK_NO_MEMORY, "out of memory");
    f->at = begin;
    f->end = end;
    wk_status status = WK_OK;
    if (end < 0 || end > begin) {
        f->transfer = wk__transfer_new("GET", url);
        if (!f->transfer) {
            free(f);
            return WK_IO;
        }
        f->transfer->from = begin;
        f->transfer->to = end;
        status = wk__transfer_send(f->transfer);
        if (status == WK_OK) status = settle(f);
    }
    const wk__transfer *t = f->transfer;
    /* A weak ETag ("W/…") names what looks alike and not the same bytes. */
    const char *version = !t ? NULL : t->etag && *t->etag == '"' ? t->etag : t->date;
    if (version) f->version = strdup(version);
    if (status != WK_OK)
        close_file(f);
    else
        *file = f;
    return status;
}

static wk_status resume(http_file *f) {
    wk__transfer *t = f->transfer;
    if (!f->version)
        return wk__http_fail(WK_IO,
                             "the connection broke after %lld bytes, and the server names no version (ETag, "
                             "Last-Modified) of the file to go on with; read it again",
                             (long long)f->at);
    t->from = f->at;
    t->to = f->end;
    if (!t->version && !(t->version = strdup(f->version))) return wk__http_fail(WK_NO_MEMORY, "out of memory");
    const wk_status status = wk__transfer_send(t);
    return status == WK_OK ? settle(f) : status;
}

static wk_status read_file(void *file, void *bytes, size_t size, size_t *got) {
    http_file *f = file;
    *got = 0;
    if (f->end >= 0 && (uint64_t)(f->end - f->at) < size) size = (size_t)(f->end - f->at);
    while (f->transfer && size > 0) {
        wk__transfer *t = f->transfer;
        bool broken = false;
        wk_status status = wk__transfer_more(t, &broken);
        if (broken) status = resume(f);
        if (status != WK_OK) return status;
        if (broken) continue;
        const size_t there = t->size - t->taken;
        *got = there < size ? there : size;
        if (*got) memcpy(bytes, t->bytes + t->taken, *got);
        t->taken += *got;
        f->at += (int64_t)*got;
        break;
    }
    return WK_OK;
}

/* ---- write ---- */

static FILE *nameless_file(void) {
    const char *folder = getenv("TMPDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/wick.XXXXXX", folder && *folder ? folder : "/tmp") < 0) return NULL;
    const int descriptor = mkostemp(path, 0x80000 /* O_CLOEXEC */);
    FILE *file = descriptor >= 0 ? fdopen(descriptor, "w+") : NULL;
    if (descriptor >= 0) (void)unlink(path);
    if (descriptor >= 0 && !file) (void)close(descriptor);
    free(path);
    return file;
}

static wk_status create_file(const char *url, void **file) {
    http_file *f = calloc(1, sizeof *f);
    if (f) f->url = strdup(url);
    if (f && f->url) f->kept = nameless_file();
    if (f && f->kept) {
        *file = f;
        return WK_OK;
    }
    const int number = errno;
    if (f) close_file(f);
    return wk__http_fail(WK_IO, "no temporary file for what is to be sent: %s (TMPDIR says where)", strerror(number));
}

static wk_status write_file(void *file, const void *bytes, size_t size) {
    http_file *f = file;
    if (fwrite(bytes, 1, size, f->kept) != size)
        return wk__http_fail(WK_IO, "what is to be sent cannot be kept aside: %s", strerror(errno));
    f->size += (int64_t)size;
    return WK_OK;
}

/* Send, and see that the server is content. */
static wk_status carry_out(wk__transfer *t) {
    wk_status status = wk__transfer_send(t);
    const long code = status == WK_OK ? wk__transfer_status(t) : 0;
    if (status == WK_OK && (code < 200 || code > 299)) status = wk__transfer_refused(t);
    return status;
}

static wk_status commit_file(void *file) {
    http_file *f = file;
    if (fflush(f->kept) != 0)
        return wk__http_fail(WK_IO, "what is to be sent cannot be kept aside: %s", strerror(errno));
    wk__transfer *t = wk__transfer_new("PUT", f->url);
    if (!t) return WK_IO;
    t->sent = f->kept;
    t->sent_size = f->size;
    const wk_status status = carry_out(t);
    wk__transfer_free(t);
    return status;
}

/* ---- names ---- */

static wk_status stat_file(const char *url, wk_file_info *info) {
    wk__transfer *t = wk__transfer_new("HEAD", url);
    if (!t) return WK_IO;
    const wk_status status = carry_out(t);
    if (status == WK_OK) {
        curl_off_t modified = -1;
        (void)t->curl->easy_getinfo(t->easy, CURLINFO_FILETIME_T, &modified);
        *info = (wk_file_info){ .kind = WK_FILE_PLAIN,
                                .size = wk__transfer_length(t),
                                .modified = modified > 0 ? (double)modified : 0 };
    }
    wk__transfer_free(t);
    return status;
}

static wk_status remove_file(const char *url) {
    wk__transfer *t = wk__transfer_new("DELETE", url);
    if (!t) return WK_IO;
    const wk_status status = carry_out(t);
    wk__transfer_free(t);
    return status;
}

static const char *const schemes[] = { "http", "https", NULL };

static const wk_file_system files = {
    .api_version = WK_FILES_API,
    .size = sizeof(wk_file_system),
    .schemes = schemes,
    .flags = WK_FILES_HOST,
    .open = open_file,
    .read = read_file,
    .create = create_file,
    .write = write_file,
    .commit = commit_file,
    .close = close_file,
    .stat = stat_file,
    .remove = remove_file,
};

WK_API const wk_file_system *wk_files_plugin(const wk_files_host *given);
WK_API const wk_file_system *wk_files_plugin(const wk_files_host *given) {
    if (given->api_version != WK_FILES_API || given->size < sizeof *given) return NULL;
    host = given;
    return &files;
}
