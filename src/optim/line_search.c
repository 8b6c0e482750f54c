/* line_search.c: a step that satisfies the strong Wolfe conditions (Nocedal & Wright 2006, algorithms 3.5 and 3.6), in
 * the form of torch.optim.LBFGS, from the Lua original on.
 *
 * Points own the gradient in one of four vectors; `swap` keeps them apart: what is copied there is a pointer here.
 */
#include "optim/lbfgs.h"

#include <math.h>
#include <string.h>

static const double C1 = 1e-4, C2 = 0.9;

typedef wk__lbfgs_point point;

/* The minimum of the cubic through two points with their slopes, within [low, high]. */
static double cubic_minimum(const point *a, const point *b, double low, double high) {
    double d1 = a->slope + b->slope - 3 * (a->f - b->f) / (a->t - b->t), square = d1 * d1 - a->slope * b->slope;
    if (!(square >= 0)) return (low + high) / 2;
    double d2 = sqrt(square), t;
    if (a->t <= b->t)
        t = b->t - (b->t - a->t) * ((b->slope + d2 - d1) / (b->slope - a->slope + 2 * d2));
    else
        t = a->t - (a->t - b->t) * ((a->slope + d2 - d1) / (a->slope - b->slope + 2 * d2));
    return fmin(fmax(t, low), high);
}

/* Values of `from` into `to`, whose vector takes the gradient. */
static void copy_point(const wk__lbfgs_run *r, point *to, const point *from) {
    void *g = to->g;
    memcpy(g, from->g, (size_t)r->l->n * wk_dtype_size(r->l->dtype));
    *to = *from;
    to->g = g;
}

typedef struct search {
    wk__lbfgs_run *r;
    point start, now, end[2]; /* end: the bracket */
    bool bracketed, done;
    int64_t iterations, most, evaluations;
    double largest_d;
} search;

static wk_status try(search *s, double t) {
    s->evaluations++;
    return wk__lbfgs_try(s->r, t, &s->now);
}

static bool is_too_high(const search *s) {
    return s->now.f > s->start.f + C1 * s->now.t * s->start.slope;
}
static bool is_flat(const search *s) {
    return fabs(s->now.slope) <= -C2 * s->start.slope;
}

/* Widen until a point satisfies the conditions or two points enclose one that does: end[0] is the point before. */
static wk_status bracket(search *s) {
    point *before = &s->end[0];
    while (s->iterations < s->most) {
        bool rises = is_too_high(s) || (s->iterations > 1 && s->now.f >= before->f);
        if (!rises && is_flat(s)) {
            copy_point(s->r, &s->end[0], &s->now);
            s->done = s->bracketed = true;
            return WK_OK;
        }
        if (rises || s->now.slope >= 0) {
            copy_point(s->r, &s->end[1], &s->now);
            s->bracketed = true;
            return WK_OK;
        }
        double t = cubic_minimum(before, &s->now, s->now.t + 0.01 * (s->now.t - before->t), s->now.t * 10);
        copy_point(s->r, before, &s->now);
        WK_TRY(try(s, t));
        s->iterations++;
    }
    return WK_OK;
}

/* Move a trial point that stands too near an end of the bracket. */
static double away_from_ends(double t, double low, double high, bool *stuck) {
    double margin = 0.1 * (high - low);
    if (!(fmin(high - t, t - low) < margin)) {
        *stuck = false;
        return t;
    }
    if (!*stuck && t < high && t > low) {
        *stuck = true;
        return t;
    }
    *stuck = false;
    return fabs(t - high) < fabs(t - low) ? high - margin : low + margin;
}

/* Shrink the bracket; gives which end is the lower one. */
static wk_status zoom(search *s, int *low_end) {
    bool stuck = false;
    int low = s->end[0].f <= s->end[1].f ? 0 : 1;
    while (!s->done && s->iterations < s->most) {
        point *end = s->end;
        double left = fmin(end[0].t, end[1].t), right = fmax(end[0].t, end[1].t);
        if ((right - left) * s->largest_d < wk_optional_or(s->r->l->opts.tolerance_change, 1e-9)) break;
        WK_TRY(try(s, away_from_ends(cubic_minimum(&end[0], &end[1], left, right), left, right, &stuck)));
        s->iterations++;
        if (is_too_high(s) || s->now.f >= end[low].f) {
            copy_point(s->r, &end[1 - low], &s->now);
            low = end[0].f <= end[1].f ? 0 : 1;
            continue;
        }
        if (is_flat(s))
            s->done = true;
        else if (s->now.slope * (end[1 - low].t - end[low].t) >= 0)
            copy_point(s->r, &end[1 - low], &end[low]);
        copy_point(s->r, &end[low], &s->now);
    }
    *low_end = low;
    return WK_OK;
}

static double largest_element(const wk__lbfgs_run *r) {
    double most = 0;
    for (int64_t i = 0; i < r->l->n; i++) {
        double size = fabs(wk__element_get(r->d, r->l->dtype, i));
        if (size > most) most = size;
    }
    return most;
}

wk_status wk__strong_wolfe(wk__lbfgs_run *r, wk__lbfgs_point *found, int64_t most, int64_t *evaluations) {
    search s = { .r = r, .most = most, .largest_d = largest_element(r) };
    s.start = (point){ .t = 0, .f = found->f, .slope = found->slope, .g = r->spare[0] };
    s.now.g = r->spare[1];
    s.end[0].g = r->spare[2];
    s.end[1].g = r->spare[3];
    memcpy(s.start.g, found->g, (size_t)r->l->n * wk_dtype_size(r->l->dtype));
    copy_point(r, &s.end[0], &s.start);
    int low = 0;
    wk_status status = try(&s, found->t);
    if (status == WK_OK) status = bracket(&s);
    if (status == WK_OK && !s.bracketed) { /* out of evaluations */
        copy_point(r, &s.end[0], &s.start);
        copy_point(r, &s.end[1], &s.now);
    }
    if (status == WK_OK && !s.done) status = zoom(&s, &low);
    *evaluations = s.evaluations;
    if (status == WK_OK) copy_point(r, found, &s.end[low]);
    return status;
}
