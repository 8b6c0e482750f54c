/* log.c: lines to standard error or to a sink; and the clocks they carry. */
#include "base.h"

#include <pthread.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

static const char *const level_names[] = { "debug", "info", "warning", "error", "off" };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct {
    wk_log_level least;
    wk_log_sink sink;
    void *context;
} log_state;

static void to_stderr(void *context, wk_log_level level, const char *line) {
    (void)context;
    (void)fprintf(stderr, "wick %s: %s\n", level_names[level], line);
}

static void read_environment(void) {
    log_state.least = WK_LOG_WARNING;
    log_state.sink = to_stderr;
    const char *wish = getenv("WICK_LOG");
    for (size_t i = 0; wish && i < WK_COUNT(level_names); i++)
        if (strcasecmp(wish, level_names[i]) == 0) log_state.least = (wk_log_level)i;
}

void wk_log_set(wk_log_level least, wk_log_sink sink, void *context) {
    (void)pthread_once(&once, read_environment);
    (void)pthread_mutex_lock(&lock);
    log_state.least = least;
    log_state.sink = sink ? sink : to_stderr;
    log_state.context = context;
    (void)pthread_mutex_unlock(&lock);
}

void wk_log_write(wk_log_level level, const char *format, ...) {
    (void)pthread_once(&once, read_environment);
    char line[2048];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(line, sizeof line, format, list);
    va_end(list);
    (void)pthread_mutex_lock(&lock);
    if (level >= log_state.least && level < WK_LOG_OFF) log_state.sink(log_state.context, level, line);
    (void)pthread_mutex_unlock(&lock);
}

static double seconds(clockid_t clock) {
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double wk_now(void) {
    return seconds(CLOCK_MONOTONIC);
}

double wk_wall_time(void) {
    return seconds(CLOCK_REALTIME);
}
