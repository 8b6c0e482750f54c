/* step_numbers.h: what all elements of a parameter share in a step; C and CUDA read it. */
#ifndef WICK_KERNELS_STEP_NUMBERS_H
#define WICK_KERNELS_STEP_NUMBERS_H

#include <stdbool.h>

/* What a rule's loops read; each uses the names that fit it. */
typedef struct step_numbers {
    double factor, lr, decay, shrink; /* shrink: what a decoupled decay leaves of p */
    double beta1, beta2, one_less_beta1, one_less_beta2, eps;
    double step_size, correction, fresh;
    bool nesterov, first, rectify;
} step_numbers;

#endif
