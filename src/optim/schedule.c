/* schedule.c: learning rates as closed formulas of time, so that resuming needs no replay. */
#include "wick/optim.h"

#include <math.h>

double wk_schedule_lr(const wk_schedule *s, int64_t t) {
    if (t < 0) t = 0;
    switch (s->kind) {
    case WK_SCHEDULE_STEP:
        return s->base_lr * pow(wk_optional_or(s->gamma, 0.1), s->step_size > 0 ? (double)(t / s->step_size) : 0);
    case WK_SCHEDULE_COSINE: {
        if (t < s->warmup_steps) return s->base_lr * (double)(t + 1) / (double)s->warmup_steps;
        int64_t length = s->total_steps - s->warmup_steps;
        double done = length > 0 ? (double)(t - s->warmup_steps) / (double)length : 1;
        if (done > 1) done = 1;
        return s->min_lr + (s->base_lr - s->min_lr) * 0.5 * (1 + cos(3.141592653589793 * done));
    }
    default: return s->base_lr;
    }
}
