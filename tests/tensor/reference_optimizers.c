/* reference_optimizers.c: optimizer steps and what is asked of lists of gradients, element by element in double. */
#include "tensor/reference.h"

#include "tensor/op_attrs.h"

#include <math.h>

/* One element: parameter, gradient, states in the order of the list; o: the rule's options, t: the step from 1. */
typedef struct element {
    double p, g, s[WK_STEP_STATES];
    const double *o, *number;
    double lr, decay, t;
    int64_t states;
} element;

static double sign(double x) {
    return (x > 0) - (x < 0);
}

static void coupled(element *e) {
    e->g += e->decay * e->p;
}
static void decay_by(element *e, bool decoupled) {
    if (decoupled)
        e->p *= 1 - e->lr * e->decay;
    else
        coupled(e);
}

static void moments(element *e) {
    e->s[0] += (e->g - e->s[0]) * (1 - e->o[0]);
    e->s[1] = e->o[1] * e->s[1] + (1 - e->o[1]) * e->g * e->g;
}
static double bias(const element *e, int which) {
    return 1 - pow(e->o[which], e->t);
}

static void sgd(element *e) {
    coupled(e);
    double d = e->g;
    if (e->states) {
        e->s[0] = e->t == 1 ? d : e->o[0] * e->s[0] + (1 - e->o[1]) * d;
        d = e->o[2] != 0 ? d + e->o[0] * e->s[0] : e->s[0];
    }
    e->p -= e->lr * d;
}
static void adam(element *e) {
    decay_by(e, e->o[3] != 0);
    moments(e);
    if (e->states & 4) e->s[2] = fmax(e->s[2], e->s[1]);
    double v = e->states & 4 ? e->s[2] : e->s[1];
    e->p -= e->lr / bias(e, 0) * e->s[0] / (sqrt(v) / sqrt(bias(e, 1)) + e->o[2]);
}
static void adamax(element *e) {
    coupled(e);
    e->s[0] += (e->g - e->s[0]) * (1 - e->o[0]);
    e->s[1] = fmax(e->o[1] * e->s[1], fabs(e->g) + e->o[2]);
    e->p -= e->lr / bias(e, 0) * e->s[0] / e->s[1];
}
static double mu(const element *e, double t) {
    return e->o[0] * (1 - 0.5 * pow(0.96, t * e->o[4]));
}
static void nadam(element *e) {
    decay_by(e, e->o[3] != 0);
    moments(e);
    double product = e->number[0] * mu(e, e->t), next = mu(e, e->t + 1);
    double root = sqrt(e->s[1] / bias(e, 1)) + e->o[2];
    e->p -= e->lr * (1 - mu(e, e->t)) / (1 - product) * e->g / root;
    e->p -= e->lr * next / (1 - product * next) * e->s[0] / root;
}
static void radam(element *e) {
    decay_by(e, e->o[3] != 0);
    moments(e);
    double limit = 2 / (1 - e->o[1]) - 1, rho = limit - 2 * e->t * pow(e->o[1], e->t) / bias(e, 1), adapted = 1;
    if (rho > 5)
        adapted = sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)) * sqrt(bias(e, 1))
                  / (sqrt(e->s[1]) + e->o[2]);
    e->p -= e->lr * e->s[0] / bias(e, 0) * adapted;
}
static void adagrad(element *e) {
    coupled(e);
    e->s[0] += e->g * e->g;
    e->p -= e->lr / (1 + (e->t - 1) * e->o[0]) * e->g / (sqrt(e->s[0]) + e->o[1]);
}
static void adadelta(element *e) {
    coupled(e);
    e->s[0] = e->o[0] * e->s[0] + (1 - e->o[0]) * e->g * e->g;
    double delta = sqrt(e->s[1] + e->o[1]) / sqrt(e->s[0] + e->o[1]) * e->g;
    e->s[1] = e->o[0] * e->s[1] + (1 - e->o[0]) * delta * delta;
    e->p -= e->lr * delta;
}
static void rmsprop(element *e) {
    coupled(e);
    e->s[0] = e->o[0] * e->s[0] + (1 - e->o[0]) * e->g * e->g;
    double spread = e->s[0];
    if (e->states & 4) {
        e->s[2] += (e->g - e->s[2]) * (1 - e->o[0]);
        spread -= e->s[2] * e->s[2];
    }
    double d = e->g / (sqrt(spread) + e->o[1]);
    if (e->states & 2) d = e->s[1] = e->o[2] * e->s[1] + d;
    e->p -= e->lr * d;
}
static void rprop(element *e) {
    double turn = sign(e->g * e->s[0]), step = e->t == 1 ? e->lr : e->s[1];
    e->s[1] = fmin(fmax(step * (turn > 0 ? e->o[1] : turn < 0 ? e->o[0] : 1), e->o[2]), e->o[3]);
    if (turn < 0) e->g = 0;
    e->s[0] = e->g;
    e->p -= sign(e->g) * e->s[1];
}
static void asgd(element *e) {
    double eta = e->t == 1 ? e->lr : e->number[0], share = e->t == 1 ? 1 : e->number[1];
    coupled(e);
    e->p = e->p * (1 - e->o[0] * eta) - eta * e->g;
    e->s[0] += (e->p - e->s[0]) * share;
}
static void lion(element *e) {
    double direction = sign(e->o[0] * e->s[0] + (1 - e->o[0]) * e->g);
    e->s[0] = e->o[1] * e->s[0] + (1 - e->o[1]) * e->g;
    e->p -= e->lr * (direction + e->decay * e->p);
}

/* ---- the list ---- */

static void step_one(ref_call *c, int64_t which, void (*rule)(element *e)) {
    const wk_step_attrs *a = c->attrs;
    const double *scalars = c->in[0]->v;
    ref_tensor **at = c->in + 1 + which, *p = at[0], *states[WK_STEP_STATES] = { NULL };
    const ref_tensor *g = at[a->count];
    const double factor = scalars[WK_STEP_FACTOR] * (a->clipped ? c->in[c->n_in - 1]->v[0] : 1);
    double number[WK_STEP_NUMBERS] = { 0 };
    for (int64_t k = 0; k < a->numbers; k++) number[k] = at[(3 + k) * a->count]->v[0];
    for (int64_t k = 0, list = 3 + a->numbers; k < WK_STEP_STATES; k++)
        if (a->states >> k & 1) states[k] = at[list++ * a->count];
    for (int64_t i = 0; i < p->count; i++) {
        element e = { .p = p->v[i], .g = g->v[i] * factor, .o = scalars + WK_STEP_OPTION };
        e.number = number;
        e.lr = scalars[WK_STEP_LR];
        e.decay = scalars[WK_STEP_DECAY];
        e.t = at[2 * a->count]->v[0] + 1;
        e.states = a->states;
        double terms = fabs(e.g) + e.decay * fabs(e.p);
        for (int k = 0; k < WK_STEP_STATES; k++)
            if (states[k]) e.s[k] = states[k]->v[i];
        double before[WK_STEP_STATES] = { e.s[0], e.s[1], e.s[2], e.s[3] }, old = e.p;
        rule(&e);
        p->v[i] = e.p;
        p->size[i] = fabs(old) + fabs(e.p - old) + e.lr * (1 + terms + fabs(e.s[0]));
        for (int k = 0; k < WK_STEP_STATES; k++)
            if (states[k]) states[k]->v[i] = e.s[k], states[k]->size[i] = fabs(before[k]) + terms + terms * terms;
    }
}

static void finish(ref_call *c, void (*rule)(element *e)) {
    const wk_step_attrs *a = c->attrs;
    const double *scalars = c->in[0]->v, lr = scalars[WK_STEP_LR], *o = scalars + WK_STEP_OPTION;
    for (int64_t i = 0; i < a->count; i++) {
        ref_tensor **at = c->in + 1 + i;
        double t = ++at[2 * a->count]->v[0];
        const element e = { .o = o };
        if (rule == nadam) at[3 * a->count]->v[0] *= mu(&e, t);
        if (rule != asgd) continue;
        at[3 * a->count]->v[0] = lr / pow(1 + o[0] * lr * t, o[1]);
        at[4 * a->count]->v[0] = 1 / fmax(1, t - o[2]);
    }
}

static void step_ref(ref_call *c, void (*rule)(element *e)) {
    const wk_step_attrs *a = c->attrs;
    if (c->in[0]->v[WK_STEP_FOUND_INF] != 0) return;
    for (int64_t i = 0; i < a->count; i++) step_one(c, i, rule);
    finish(c, rule);
}
#define STEP_REF(name, states, least, numbers) \
    static void name##_step_ref(ref_call *c) { \
        step_ref(c, name);                     \
    }
WK_STEP_ROWS(STEP_REF)

/* ---- gradients ---- */

static void global_norm_ref(ref_call *c) {
    const wk_norm_attrs *a = c->attrs;
    double p = a->p != 0 ? a->p : 2, sum = 0;
    for (int t = 0; t < c->n_in; t++) c->terms += c->in[t]->count;
    for (int t = 0; t < c->n_in; t++)
        for (int64_t i = 0; i < c->in[t]->count; i++) {
            double size = fabs(c->in[t]->v[i]);
            sum = isinf(p) ? fmax(sum, size) : sum + pow(size, p);
        }
    c->out[0].v[0] = isinf(p) ? sum : pow(sum, 1 / p);
    c->out[0].known = true;
}

static void any_nonfinite_ref(ref_call *c) {
    c->out[0].v[0] = 0;
    for (int t = 0; t < c->n_in; t++)
        for (int64_t i = 0; i < c->in[t]->count; i++)
            if (!isfinite(c->in[t]->v[i])) c->out[0].v[0] = 1;
    c->out[0].known = true;
}

static void adjust_list_ref(ref_call *c) {
    const double *limits = c->in[0]->v;
    for (int t = 1; t < c->n_in; t++)
        for (int64_t i = 0; i < c->in[t]->count; i++)
            c->in[t]->v[i] = fmin(fmax(c->in[t]->v[i] * limits[0], -limits[1]), limits[1]);
}

static void clip_factor_ref(ref_call *c) {
    const wk_clip_attrs *a = c->attrs;
    c->in[1]->v[0] = fmin(1, a->most / (c->in[0]->v[0] * a->scale + 1e-6));
    c->in[1]->size[0] = 1;
}

const ref_row reference_optimizers[] = {
#define ROW(name, states, least, numbers) { #name "_step", name##_step_ref, 12 },
    WK_STEP_ROWS(ROW){ "global_norm", global_norm_ref, 3 },
    { "any_nonfinite", any_nonfinite_ref, 0 },
    { "adjust_list", adjust_list_ref, 2 },
    { "clip_factor", clip_factor_ref, 3 },
    { NULL, NULL, 0 },
};
