/* progress.c: the progress bar. */
#include "train/progress.h"

#include "base/base.h"

#include <unistd.h>

enum { WIDTH = 16 };

void wk__progress_start(wk__progress *p, bool enabled) {
    *p = (wk__progress){ .enabled = enabled, .is_terminal = enabled && isatty(STDERR_FILENO) };
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
    (void)fprintf(stderr, "\r\033[Kepoch %lld/%lld  ", (long long)epoch, (long long)epochs);
    for (int i = 0; i < eighths / 8; i++) (void)fputs("█", stderr);
    (void)fputs(parts[eighths % 8], stderr);
    (void)fprintf(stderr, "%*s %3.0f%%  %.0f img/s  loss %.4f  eta %s", WIDTH - eighths / 8 - (eighths % 8 != 0), "",
                  100 * done, rate, loss, left);
    (void)fflush(stderr);
}

void wk__progress_clear(wk__progress *p) {
    if (p->is_terminal) (void)fputs("\r\033[K", stderr);
}
