/* optimizer_numbers.h: each optimizer's numbers of a step, worked out in f64 and rounded once, for kernels of every
 * device: `prepare` makes them of the options and the step's number, `finish` moves what is kept for a parameter.
 */
#ifndef WICK_KERNELS_OPTIMIZER_NUMBERS_H
#define WICK_KERNELS_OPTIMIZER_NUMBERS_H

#include "cpu/simd/optim/step_numbers.h"

#include <math.h>

/* ---- prepare: h[] the rule's options, t the step's number from 1, number[] what is kept for the parameter ---- */

static void decouple(step_numbers *k, bool decoupled) {
    if (!decoupled) return;
    k->shrink = 1 - k->lr * k->decay;
    k->decay = 0;
}

static void sgd_prepare(step_numbers *k, const double *h, double t, const double *number) {
    (void)number;
    k->beta1 = h[0];
    k->fresh = 1 - h[1];
    k->nesterov = h[2] != 0;
    k->first = t == 1;
}

static void two_betas(step_numbers *k, const double *h) {
    k->beta1 = h[0];
    k->beta2 = h[1];
    k->one_less_beta1 = 1 - h[0];
    k->one_less_beta2 = 1 - h[1];
    k->eps = h[2];
}

static void adam_prepare(step_numbers *k, const double *h, double t, const double *number) {
    (void)number;
    two_betas(k, h);
    decouple(k, h[3] != 0);
    k->step_size = k->lr / (1 - pow(h[0], t));
    k->correction = sqrt(1 - pow(h[1], t));
}

static void adamax_prepare(step_numbers *k, const double *h, double t, const double *number) {
    (void)number;
    two_betas(k, h);
    k->step_size = k->lr / (1 - pow(h[0], t));
}

/* The momentum of step t; the product of all of them up to now is kept. */
static double nadam_mu(const double *h, double t) {
    return h[0] * (1 - 0.5 * pow(0.96, t * h[4]));
}
static void nadam_prepare(step_numbers *k, const double *h, double t, const double *number) {
    two_betas(k, h);
    decouple(k, h[3] != 0);
    double mu = nadam_mu(h, t), next = nadam_mu(h, t + 1), product = number[0] * mu;
    k->correction = 1 - pow(h[1], t);
    k->fresh = k->lr * (1 - mu) / (1 - product);
    k->step_size = k->lr * next / (1 - product * next);
}
static void nadam_finish(const double *h, double lr, double t, double *const number[]) {
    (void)lr;
    *number[0] *= nadam_mu(h, t);
}

static void radam_prepare(step_numbers *k, const double *h, double t, const double *number) {
    (void)number;
    two_betas(k, h);
    decouple(k, h[3] != 0);
    double bias = 1 - pow(h[1], t), limit = 2 / (1 - h[1]) - 1, rho = limit - 2 * t * pow(h[1], t) / bias;
    k->step_size = k->lr / (1 - pow(h[0], t));
    k->rectify = rho > 5;
    if (k->rectify)
        k->correction = sqrt(bias) * sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho));
}

static void adagrad_prepare(step_numbers *k, const double *h, double t, const double *number) {
    (void)number;
    k->eps = h[1];
    k->step_size = k->lr / (1 + (t - 1) * h[0]);
}

static void adadelta_prepare(step_numbers *k, const double *h, double t, const double *number) {
    (void)number, (void)t;
    k->beta2 = h[0];
    k->one_less_beta2 = 1 - h[0];
    k->eps = h[1];
}

static void rmsprop_prepare(step_numbers *k, const double *h, double t, const double *number) {
    (void)number, (void)t;
    k->beta2 = h[0];
    k->one_less_beta2 = 1 - h[0];
    k->eps = h[1];
    k->beta1 = h[2];
}

static void rprop_prepare(step_numbers *k, const double *h, double t, const double *number) {
    (void)number;
    k->beta1 = h[0];
    k->beta2 = h[1];
    k->eps = h[2];
    k->correction = h[3];
    k->first = t == 1;
}

/* Kept: eta and mu for the next step. */
static void asgd_prepare(step_numbers *k, const double *h, double t, const double *number) {
    k->step_size = t == 1 ? k->lr : number[0];
    k->fresh = t == 1 ? 1 : number[1];
    k->shrink = 1 - h[0] * k->step_size;
}
static void asgd_finish(const double *h, double lr, double t, double *const number[]) {
    *number[0] = lr / pow(1 + h[0] * lr * t, h[1]);
    *number[1] = 1 / fmax(1, t - h[2]);
}

static void lion_prepare(step_numbers *k, const double *h, double t, const double *number) {
    (void)number, (void)t;
    two_betas(k, h);
    decouple(k, true);
}

#endif
