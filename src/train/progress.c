/* progress.c: the progress bar. */
#include "train/progress.h"

#include "base/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 16 };

void wk__progress_start(wk__progress *p, bool enabled) {
    const char *terminal = getenv("TERM");
    bool is_dumb = !terminal || strcmp(terminal, "dumb") == 0;
    *p = (wk__progress){ .enabled = enabled, .every = 1, .is_terminal = enabled && isatty(STDERR_FILENO) && !is_dumb };
}

void wk__duration(double seconds, char *buffer) {
    unsigned s = seconds > 0 && seconds < 3.6e7 ? (unsigned)(seconds + 0.5) : 0;
    if (s >= 3600)
        (void)snprintf(buffer, 16, "%u:%02u:%02u", s / 3600 % 10000, s / 60 % 60, s % 60);
    else
        (void)snprintf(buffer, 16, "%u:%02u", s / 60, s % 60);
}

/* tqdm's times: "00:20", "1:02:03". */
static void clock_of(double seconds, char *buffer /* (16) */) {
    const unsigned s = seconds > 0 && seconds < 3.6e7 ? (unsigned)seconds : 0;
    if (s >= 3600)
        (void)snprintf(buffer, 16, "%u:%02u:%02u", s / 3600 % 10000, s / 60 % 60, s % 60);
    else
        (void)snprintf(buffer, 16, "%02u:%02u", s / 60, s % 60);
}

void wk__progress_epoch(wk__progress *p, int64_t first_batch) {
    p->epoch_started = wk_now();
    p->first_batch = first_batch;
    p->shown = 0;
}

bool wk__progress_is_due(const wk__progress *p, int64_t batch, int64_t batches) {
    return p->is_terminal && (batch == batches || (batch % p->every == 0 && wk_now() - p->shown >= 0.1));
}

/* As tqdm draws it: part done, bar, batches of all, [elapsed<left, rate, numbers]. */
void wk__progress_step(wk__progress *p, int64_t epoch, int64_t epochs, int64_t batch, int64_t batches,
                       const char *numbers) {
    static const char *const parts[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
    const double done = batches ? (double)batch / (double)batches : 1, seconds = wk_now() - p->epoch_started,
                 rate = seconds > 0 ? (double)(batch - p->first_batch) / seconds : 0;
    const int eighths = (int)(done * WIDTH * 8);
    char elapsed[16], left[16];
    p->shown = wk_now();
    clock_of(seconds, elapsed);
    clock_of(rate > 0 ? (double)(batches - batch) / rate : 0, left);
    /* Lines do not wrap meanwhile: a bar wider than its window would leave itself behind. */
    wk_text line = { 0 };
    wk_text_printf(&line, "\r\033[?7l\033[Kepoch %lld/%lld: %3.0f%%|", (long long)epoch, (long long)epochs,
                   floor(100 * done));
    for (int i = 0; i < eighths / 8; i++) wk_text_puts(&line, "█");
    wk_text_printf(&line, "%s%*s| %lld/%lld [%s<%s, ", parts[eighths % 8], WIDTH - eighths / 8 - (eighths % 8 != 0), "",
                   (long long)batch, (long long)batches, elapsed, left);
    if (rate >= 1 || rate <= 0)
        wk_text_printf(&line, "%.2fit/s", rate);
    else
        wk_text_printf(&line, "%.2fs/it", 1 / rate);
    wk_text_printf(&line, "%s]\033[?7h", numbers);
    (void)fputs(wk_text_get(&line), stderr);
    wk_text_free(&line);
}

void wk__progress_clear(wk__progress *p) {
    if (p->is_terminal) (void)fputs("\r\033[K", stderr);
}
