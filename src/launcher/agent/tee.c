/* tee.c: what ranks write to their files, on the console too, whole lines with the rank before them.
 *
 * The ranks write the files themselves: nothing that they said is lost with the agent, and a slow console does not
 * hold them up.
 */
#include "launcher/agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 64 << 10 };

static void put(int descriptor, const wk_text *text) {
    for (size_t at = 0; at < text->size;) {
        ssize_t written = write(descriptor, text->data + at, text->size - at);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return; /* nobody reads any more: the files have it */
        at += (size_t)written;
    }
}

/* The lines of one chunk; how many bytes of it were used. */
static size_t put_lines(const wk__workers *w, size_t rank, int stream, const char *bytes, size_t size, bool last) {
    wk_text out = { 0 };
    size_t used = 0;
    while (used < size) {
        const char *newline = memchr(bytes + used, '\n', size - used);
        size_t length = newline ? (size_t)(newline - bytes) - used : size - used;
        if (!newline && !last && size < CHUNK) break;
        wk_text_printf(&out, "[%s%zu]:", w->options->role, rank);
        wk_text_add(&out, bytes + used, length);
        wk_text_puts(&out, "\n");
        used += length + (newline != NULL);
    }
    if (!out.failed) put(stream + 1, &out);
    wk_text_free(&out);
    return used;
}

static void follow(const wk__workers *w, wk__worker *worker, size_t rank, int stream, bool last) {
    char path[4096];
    static char bytes[CHUNK];
    (void)snprintf(path, sizeof path, "%s/%s.log", worker->folder, stream ? "stderr" : "stdout");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (;;) {
        ssize_t got = fd >= 0 ? pread(fd, bytes, sizeof bytes, worker->told[stream]) : 0;
        size_t used = got > 0 ? put_lines(w, rank, stream, bytes, (size_t)got, last && got < CHUNK) : 0;
        if (used == 0) break;
        worker->told[stream] += (off_t)used;
    }
    if (fd >= 0) (void)close(fd);
}

void wk__workers_tee(wk__workers *w, bool last) {
    for (size_t i = 0; i < w->count && w->options->tee; i++)
        for (int stream = 0; stream < 2; stream++)
            if (w->items[i].folder && w->options->tee >> stream & 1u) follow(w, &w->items[i], i, stream, last);
}
