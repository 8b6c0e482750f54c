/* clock.c: a plug-in for runs that are measured: when each step ended, and numbers to log.
 *
 *   callbacks: [ { name: Clock, args: { file: times.txt, scalars: 50 } } ]
 */
#define _POSIX_C_SOURCE 200809L
#include <wick/op.h>
#include <wick/train.h>

#include <stdio.h>
#include <time.h>

enum { MOST_STEPS = 1 << 20 };

typedef struct clock_callback {
    wk_callback base;
    const char *file;
    int64_t scalars, steps;
    double time[MOST_STEPS];
} clock_callback;

static wk_status step_ended(wk_callback *self, wk_trainer *trainer) {
    clock_callback *me = (clock_callback *)self;
    struct timespec now;
    for (int64_t i = 0; i < me->scalars; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "number_%d", (int)i);
        wk_status status = wk_trainer_log(trainer, name, 1 / (double)(1 + me->steps + i), (wk_log_opts){ 0 });
        if (status != WK_OK) return status;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    if (me->steps < MOST_STEPS) me->time[me->steps++] = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    return WK_OK;
}

static wk_status write_times(wk_callback *self, wk_trainer *trainer) {
    const clock_callback *me = (const clock_callback *)self;
    FILE *file = wk_trainer_rank(trainer) == 0 ? fopen(me->file, "we") : NULL;
    for (int64_t i = 0; file && i < me->steps; i++) (void)fprintf(file, "%.9f\n", me->time[i]);
    return !file || fclose(file) == 0 ? WK_OK : WK_IO;
}

static const wk_callback_class clock_class = { .name = "Clock",
                                               .size = sizeof(clock_callback),
                                               .train_batch_end = step_ended,
                                               .fit_end = write_times,
                                               .never_stops = true };

static wk_callback *build(const wk_config *args) {
    clock_callback *me = (clock_callback *)wk_callback_create(&clock_class);
    if (!me) return NULL;
    me->file = wk_config_string(args, "file", NULL);
    me->scalars = wk_config_int(args, "scalars", 0, 60, 0);
    return &me->base;
}
static const wk_arg args[] = { { "file", WK_ARG_TEXT, NULL, "a line a step: when it ended, in seconds" },
                               { "scalars", WK_ARG_INT, "0", "numbers to log a step" },
                               { NULL, WK_ARG_INT, NULL, NULL } };
static const wk_callback_entry entry = { { "Clock", "times steps", args }, build };

static wk_status load(void) {
    return wk_register_callback(&entry);
}
WK_API extern const wk_plugin wick_plugin;
const wk_plugin wick_plugin = { WK_PLUGIN_API, "clock", load };
