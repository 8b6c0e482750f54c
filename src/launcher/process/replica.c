/* replica.c: one replica's status file, and files that are replaced whole.
 *
 * The wrapper writes it, everyone else reads it, on the same machine or over a shared file system; so it is replaced
 * by rename, and lines are `key=value` that a person can read too.
 */
#include "launcher/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool wk__exists(const char *path) {
    return access(path, F_OK) == 0;
}

wk_status wk__write_file(const char *path, const char *bytes, size_t size) {
    wk_status status = WK_OK;
    char *aside = wk_format("%s.%ld.tmp", path, (long)getpid());
    if (!aside) return wk_error_code();
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0;
    for (size_t done = 0; good && done < size;) {
        ssize_t put = write(fd, bytes + done, size - done);
        if (put < 0 && errno == EINTR) continue;
        good = put > 0;
        if (good) done += (size_t)put;
    }
    int error = errno;
    if (fd >= 0 && close(fd) != 0 && good) {
        good = false;
        error = errno;
    }
    if (good && rename(aside, path) != 0) {
        good = false;
        error = errno;
    }
    if (!good) {
        status = wk_fail(WK_IO, "%s: %s", path, strerror(error));
        (void)unlink(aside);
    }
    wk_free(aside);
    return status;
}

char *wk__read_file(const char *path, size_t most, size_t *size) {
    wk_text text = { 0 };
    char chunk[4096];
    FILE *file = fopen(path, "re");
    if (!file) return NULL;
    wk_text_puts(&text, "");
    for (size_t got; text.size < most && (got = fread(chunk, 1, sizeof chunk, file)) > 0;)
        wk_text_add(&text, chunk, got);
    (void)fclose(file);
    if (size) *size = text.size;
    return text.data;
}

wk_status wk__replica_write(const char *directory, const wk__replica *r) {
    wk_text text = { 0 };
    char *path = wk_format("%s/status", directory);
    char error[sizeof r->error];
    (void)snprintf(error, sizeof error, "%s", r->error);
    for (char *at = error; *at; at++)
        if (*at == '\n') *at = ' ';
    wk_text_printf(&text, "attempt=%d\nended=%d\nstopped=%d\nexit_code=%d\nsignal=%d\nwrapper=%ld\npid=%ld\n",
                   r->attempt, r->ended, r->stopped, r->exit_code, r->signal, (long)r->wrapper, (long)r->pid);
    wk_text_printf(&text, "started_at=%.3f\nended_at=%.3f\nhost=%s\nerror=%s\n", r->started_at, r->ended_at, r->host,
                   error);
    wk_status status = path && !text.failed ? wk__write_file(path, text.data, text.size) : wk_error_code();
    wk_text_free(&text);
    wk_free(path);
    return status;
}

static void set_field(wk__replica *r, const char *key, const char *value) {
    const struct {
        const char *key;
        int *number;
    } numbers[] = { { "attempt", &r->attempt }, { "exit_code", &r->exit_code }, { "signal", &r->signal } };
    for (size_t i = 0; i < WK_COUNT(numbers); i++)
        if (strcmp(key, numbers[i].key) == 0) *numbers[i].number = (int)strtol(value, NULL, 10);
    if (strcmp(key, "ended") == 0)
        r->ended = *value == '1';
    else if (strcmp(key, "stopped") == 0)
        r->stopped = *value == '1';
    else if (strcmp(key, "wrapper") == 0)
        r->wrapper = (pid_t)strtol(value, NULL, 10);
    else if (strcmp(key, "pid") == 0)
        r->pid = (pid_t)strtol(value, NULL, 10);
    else if (strcmp(key, "started_at") == 0)
        r->started_at = strtod(value, NULL);
    else if (strcmp(key, "ended_at") == 0)
        r->ended_at = strtod(value, NULL);
    else if (strcmp(key, "host") == 0)
        (void)snprintf(r->host, sizeof r->host, "%s", value);
    else if (strcmp(key, "error") == 0)
        (void)snprintf(r->error, sizeof r->error, "%s", value);
}

bool wk__replica_read(const char *directory, wk__replica *r) {
    *r = (wk__replica){ 0 };
    char *path = wk_format("%s/status", directory);
    char *text = path ? wk__read_file(path, 1 << 16, NULL) : NULL;
    wk_free(path);
    if (!text) return false;
    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = '\0';
        char *equals = strchr(line, '=');
        if (!equals) continue;
        *equals = '\0';
        set_field(r, line, equals + 1);
    }
    wk_free(text);
    return true;
}
