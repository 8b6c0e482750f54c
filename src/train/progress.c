/* progress.c: the progress bar. */
#include "train/progress.h"

#include "base/base.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 16 };

void wk__progress_start(wk__progress *p, bool enabled) {
    const char *terminal = getenv("TERM");
    bool is_dumb = !terminal || strcmp(terminal, "dumb") == 0;
    *p = (wk__progress){ .enabled = enabled, .is_terminal = enabled && isatty(STDERR_FILENO) && !is_dumb };
}

void wk__duration(double seconds, char *buffer) {
    unsigned s = seconds > 0 && seconds < 3.6e7 ? (unsigned)(seconds + 0.5) : 0;
    if (s >= 3600)
        (void)snprintf(buffer, 16, "%u:%02u:%02u", s / 3600 % 10000, s / 60 % 60, s % 60);
    else
        (void)snprintf(buffer, 16, "%u:%02u", s / 60, s % 60);
}

void wk__progress_step(wk__progress *p, int64_t epoch, int64_t epochs, int64_t batch, int64_t batches, double rate,
                       double loss, double eta) {
    static const char *const parts[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
    double now = wk_now();
    if (!p->is_terminal || (now - p->shown < 0.1 && batch < batches)) return;
    p->shown = now;
    double done = batches ? (double)batch / (double)batches : 1;
    int eighths = (int)(done * WIDTH * 8);
    char left[16];
    wk__duration(eta, left);
    /* Lines do not wrap meanwhile: a bar wider than its window would leave itself behind. */
    wk_text line = { 0 };
    wk_text_printf(&line, "\r\033[?7l\033[Kepoch %lld/%lld  ", (long long)epoch, (long long)epochs);
    for (int i = 0; i < eighths / 8; i++) wk_text_puts(&line, "█");
    wk_text_printf(&line, "%s%*s %3.0f%%  %.0f img/s  loss %.4f  eta %s\033[?7h", parts[eighths % 8],
                   WIDTH - eighths / 8 - (eighths % 8 != 0), "", 100 * done, rate, loss, left);
    (void)fputs(wk_text_get(&line), stderr);
    wk_text_free(&line);
}

void wk__progress_clear(wk__progress *p) {
    if (p->is_terminal) (void)fputs("\r\033[K", stderr);
}
