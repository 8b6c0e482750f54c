/* record.c: the last words of a program, where the launcher looks for them.
 *
 * The file holds torch's nested form, {"message": {"message": …, "extraInfo": {"py_callstack": …, "timestamp": …}}},
 * which TorchX, torchrun and Wick all read.  It is made with O_EXCL: of several errors the first is the cause.
 *
 * In a signal handler nothing may be allocated, and stdio may be broken: the text is put together on the stack with
 * write alone.  glibc prints a backtrace only to a descriptor, so it goes through a pipe (its first 64 KB, which is
 * what a pipe holds) and is escaped on the way to the file.
 */
#include "app/app.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_FRAMES = 64, STACK_BYTES = 64 << 10 };

static const int deadly[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static char error_path[4096]; /* getenv in a handler might meet a setenv */

static void write_all(int fd, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return;
        bytes += put;
        size -= (size_t)put;
    }
}

static void say(int fd, const char *text) {
    write_all(fd, text, strlen(text));
}

/* Within quotes; other than ASCII becomes '?', for a symbol may hold anything. */
static void say_escaped(int fd, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        char c = bytes[i];
        if (c == '\n')
            say(fd, "\\n");
        else if (c == '"' || c == '\\') {
            say(fd, "\\");
            write_all(fd, &c, 1);
        } else {
            char plain = c >= 0x20 && c < 0x7f ? c : '?';
            write_all(fd, &plain, 1);
        }
    }
}

static void say_number(int fd, long number) {
    char digits[24];
    size_t at = sizeof digits;
    do digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    write_all(fd, digits + at, sizeof digits - at);
}

/* Up to `size` bytes of backtrace text. */
static size_t stack_text(char *text, size_t size) {
    void *frames[MOST_FRAMES];
    int ends[2];
    size_t used = 0;
    int count = backtrace(frames, MOST_FRAMES);
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return 0;
    /* The first two frames are this function and the handler. */
    if (count > 2) backtrace_symbols_fd(frames + 2, count - 2, ends[1]);
    (void)close(ends[1]);
    for (ssize_t got; used < size && (got = read(ends[0], text + used, size - used)) > 0;) used += (size_t)got;
    (void)close(ends[0]);
    return used;
}

static void on_signal(int number) {
    static char stack[STACK_BYTES];
    const char *name = sigabbrev_np(number);
    size_t size = stack_text(stack, sizeof stack);
    say(STDERR_FILENO, "wick: this program received SIG");
    say(STDERR_FILENO, name ? name : "?");
    say(STDERR_FILENO, " at\n");
    write_all(STDERR_FILENO, stack, size);
    int fd = *error_path ? open(error_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        say(fd, "{\"message\": {\"message\": \"Signal ");
        say_number(fd, number);
        say(fd, " (SIG");
        say(fd, name ? name : "?");
        say(fd, ") received\", \"extraInfo\": {\"py_callstack\": \"");
        say_escaped(fd, stack, size);
        say(fd, "\", \"timestamp\": \"");
        say_number(fd, (long)time(NULL));
        say(fd, "\"}}}");
        (void)close(fd);
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void note_path(void) {
    const char *path = getenv("TORCHELASTIC_ERROR_FILE");
    (void)snprintf(error_path, sizeof error_path, "%s", path ? path : "");
}

wk_status wk_record_signals(void) {
    void *frame = NULL;
    static char alternate[STACK_BYTES]; /* a stack that overflowed has no room for a handler */
    stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate };
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER | (int)SA_RESETHAND };
    note_path();
    (void)backtrace(&frame, 1); /* loads libgcc now: in the handler that would allocate */
    (void)sigemptyset(&action.sa_mask);
    if (sigaltstack(&stack, NULL) != 0) return wk_fail(WK_IO, "sigaltstack: %s", strerror(errno));
    for (size_t i = 0; i < WK_COUNT(deadly); i++)
        if (sigaction(deadly[i], &action, NULL) != 0) return wk_fail(WK_IO, "sigaction: %s", strerror(errno));
    return WK_OK;
}

/* What the program may have pending already must not stand in the way of telling it. */
static wk_status write_error(const char *path, const wk_text *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) return WK_OK;
    if (fd < 0) return wk_fail(WK_IO, "%s: %s", path, strerror(errno));
    write_all(fd, text->data, text->size);
    return close(fd) == 0 ? WK_OK : wk_fail(WK_IO, "%s: %s", path, strerror(errno));
}

wk_status wk_record_error(const char *message, int code) {
    const char *path = getenv("TORCHELASTIC_ERROR_FILE");
    if (!path || !*path) return WK_OK;
    wk__error aside = { 0 };
    wk_text text = { 0 };
    char *line = wk_format("%s", message && *message ? message : "failed without a message");
    wk__error *former = wk__error_bind(&aside);
    wk_text_puts(&text, "{\"message\": {\"message\": ");
    if (line) wk__json_put_text(&text, line);
    wk_text_puts(&text, ", ");
    if (code) wk_text_printf(&text, "\"errorCode\": %d, ", code);
    wk_text_printf(&text, "\"extraInfo\": {\"py_callstack\": \"\", \"timestamp\": \"%lld\"}}}", (long long)time(NULL));
    wk_status status = line && !text.failed ? write_error(path, &text) : WK_NO_MEMORY;
    (void)wk__error_bind(former);
    wk_text_free(&text);
    wk_free(line);
    return status == WK_OK || wk_failed() ? status : wk_fail(status, "%s", aside.message);
}

int wk_record(int (*main_function)(int argc, char **argv), int argc, char **argv) {
    if (wk_record_signals() != WK_OK) (void)wk_report(stderr);
    int code = main_function(argc, argv);
    if (code == 0) return 0;
    char words[64];
    (void)snprintf(words, sizeof words, "main returned %d", code);
    (void)wk_record_error(wk_failed() ? wk_message() : words, code);
    if (wk_failed()) (void)wk_report(stderr);
    return code;
}
