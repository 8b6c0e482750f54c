/* timer.c: stop after a time, of this and the runs before that it goes on from.  Lightning's Timer. */
#include "train/callbacks/callbacks.h"

const wk_arg wk__timer_args[] = {
    { "duration", WK_ARG_TEXT, NULL, "DD:HH:MM:SS" },
    { "interval", WK_ARG_TEXT, "step", "look after each step, or after each epoch" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

typedef struct timer {
    wk_callback base;
    double seconds, started, before;
    bool per_epoch;
} timer;

static double elapsed(const timer *s) {
    return s->before + (s->started > 0 ? wk_now() - s->started : 0);
}

static wk_status begin(wk_callback *self, wk_trainer *t) {
    (void)t;
    ((timer *)self)->started = wk_now();
    return WK_OK;
}

static wk_status look(wk_callback *self, wk_trainer *t) {
    const timer *s = (const timer *)self;
    char why[100];
    if (elapsed(s) < s->seconds) return WK_OK;
    (void)snprintf(why, sizeof why, "its time of %.0f s is over", s->seconds);
    wk_trainer_stop(t, why);
    return WK_OK;
}
static wk_status look_after_batch(wk_callback *self, wk_trainer *t) {
    return ((const timer *)self)->per_epoch ? WK_OK : look(self, t);
}

static const char *const names[] = { "elapsed" };
static char *state(wk_callback *self) {
    const double value = elapsed((const timer *)self);
    return wk__numbers_write(names, &value, 1);
}
static wk_status load_state(wk_callback *self, const char *text) {
    return wk__numbers_read(text, names, &((timer *)self)->before, 1);
}

static const wk_callback_class class_ = { .name = "Timer",
                                          .size = sizeof(timer),
                                          .fit_start = begin,
                                          .train_batch_end = look_after_batch,
                                          .train_epoch_end = look,
                                          .state = state,
                                          .load_state = load_state };

wk_callback *wk__timer_create(double seconds) {
    timer *s = (timer *)wk_callback_create(&class_);
    if (s) s->seconds = seconds;
    return (wk_callback *)s;
}

wk_callback *wk__timer_build(const wk_config *args) {
    static const char *const intervals[] = { "step", "epoch", NULL };
    timer *s = (timer *)wk__timer_create(wk__config_seconds(args, "duration"));
    if (s) s->per_epoch = wk_config_choice(args, "interval", intervals, 0) == 1;
    return (wk_callback *)s;
}
