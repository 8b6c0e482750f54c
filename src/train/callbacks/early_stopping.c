/* early_stopping.c: stop when a metric has got no better for some validations.  Lightning's EarlyStopping. */
#include "train/callbacks/callbacks.h"

#include <float.h>
#include <math.h>

const wk_arg wk__early_stopping_args[] = {
    { "monitor", WK_ARG_TEXT, NULL, "the metric, as val_loss" },
    { "min_delta", WK_ARG_NUMBER, "0", "a change of less is none" },
    { "patience", WK_ARG_INT, "3", "checks without improvement before it stops" },
    { "mode", WK_ARG_TEXT, "min", "min or max" },
    { "strict", WK_ARG_BOOL, "true", "a metric that is not there is an error" },
    { "check_finite", WK_ARG_BOOL, "true", "stop when the metric is not finite" },
    { "stopping_threshold", WK_ARG_NUMBER, "", "stop once it is as good as this" },
    { "divergence_threshold", WK_ARG_NUMBER, "", "stop once it is worse than this" },
    { "check_on_train_epoch_end", WK_ARG_BOOL, "false", "instead of after each validation" },
    { "verbose", WK_ARG_BOOL, "false", NULL },
    { NULL, WK_ARG_INT, NULL, NULL },
};

typedef struct early_stopping {
    wk_callback base;
    const char *monitor;
    bool max, strict, check_finite, at_epoch_end, verbose;
    double min_delta, patience;
    wk_optional stopping, divergence;
    double wait, best, stopped_epoch;
} early_stopping;

static bool is_better(const early_stopping *s, double a, double b) {
    return s->max ? a > b : a < b;
}

static void decide(early_stopping *s, wk_trainer *t, double now) {
    char why[190] = "";
    bool improved = is_better(s, s->max ? now - s->min_delta : now + s->min_delta, s->best);
    if (s->check_finite && !isfinite(now)) {
        (void)snprintf(why, sizeof why, "%s is %g", s->monitor, now);
    } else if (s->stopping.is_set && is_better(s, now, s->stopping.value)) {
        (void)snprintf(why, sizeof why, "%s is %g, as good as asked for (%g)", s->monitor, now, s->stopping.value);
    } else if (s->divergence.is_set && is_better(s, s->divergence.value, now)) {
        (void)snprintf(why, sizeof why, "%s is %g, worse than %g", s->monitor, now, s->divergence.value);
    } else if (improved) {
        if (s->verbose) wk_trainer_say(t, "EarlyStopping: %s improved from %g to %g", s->monitor, s->best, now);
        s->best = now;
        s->wait = 0;
    } else if (++s->wait >= s->patience) {
        (void)snprintf(why, sizeof why, "%s did not get better than %g in the last %g checks", s->monitor, s->best,
                       s->wait);
    }
    if (!*why) return;
    s->stopped_epoch = (double)wk_trainer_epoch(t);
    wk_trainer_stop(t, why);
}

static wk_status check(early_stopping *s, wk_trainer *t) {
    double now;
    if (wk_trainer_stage(t) == WK_STAGE_SANITY) return WK_OK;
    if (wk_trainer_metric(t, s->monitor, &now)) {
        decide(s, t, now);
        return WK_OK;
    }
    if (!s->strict) return WK_OK;
    return wk_fail(WK_CONFIG, "there is no metric \"%s\" to monitor; strict: false goes on without", s->monitor);
}

static wk_status validation_end(wk_callback *self, wk_trainer *t) {
    early_stopping *s = (early_stopping *)self;
    return s->at_epoch_end ? WK_OK : check(s, t);
}
static wk_status train_epoch_end(wk_callback *self, wk_trainer *t) {
    early_stopping *s = (early_stopping *)self;
    return s->at_epoch_end ? check(s, t) : WK_OK;
}

static const char *const names[] = { "wait", "best", "stopped_epoch" };
static char *state(wk_callback *self) {
    const early_stopping *s = (const early_stopping *)self;
    const double values[] = { s->wait, s->best, s->stopped_epoch };
    return wk__numbers_write(names, values, 3);
}
static wk_status load_state(wk_callback *self, const char *text) {
    early_stopping *s = (early_stopping *)self;
    double values[3];
    WK_TRY(wk__numbers_read(text, names, values, 3));
    s->wait = values[0], s->best = values[1], s->stopped_epoch = values[2];
    return WK_OK;
}

static const wk_callback_class class_ = { .name = "EarlyStopping",
                                          .size = sizeof(early_stopping),
                                          .validation_end = validation_end,
                                          .train_epoch_end = train_epoch_end,
                                          .state = state,
                                          .load_state = load_state,
                                          .never_stops = true };

wk_callback *wk__early_stopping_build(const wk_config *args) {
    static const char *const modes[] = { "min", "max", NULL };
    early_stopping *s = (early_stopping *)wk_callback_create(&class_);
    if (!s) return NULL;
    s->monitor = wk_config_string(args, "monitor", "");
    s->max = wk_config_choice(args, "mode", modes, 0) == 1;
    s->min_delta = fabs(wk_config_double(args, "min_delta", -DBL_MAX, DBL_MAX, 0));
    s->patience = (double)wk_config_int(args, "patience", 0, INT32_MAX, 3);
    s->strict = wk_config_bool(args, "strict", true);
    s->check_finite = wk_config_bool(args, "check_finite", true);
    s->at_epoch_end = wk_config_bool(args, "check_on_train_epoch_end", false);
    s->verbose = wk_config_bool(args, "verbose", false);
    s->stopping = (wk_optional){ wk_config_has(args, "stopping_threshold"),
                                 wk_config_double(args, "stopping_threshold", -DBL_MAX, DBL_MAX, 0) };
    s->divergence = (wk_optional){ wk_config_has(args, "divergence_threshold"),
                                   wk_config_double(args, "divergence_threshold", -DBL_MAX, DBL_MAX, 0) };
    s->best = s->max ? -INFINITY : INFINITY;
    return &s->base;
}
