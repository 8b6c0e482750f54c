/* harness.h: each small kernel run on numbers of its own and held against the host's. */
#ifndef WICK_TESTS_CUDA_EMULATOR_HARNESS_H
#define WICK_TESTS_CUDA_EMULATOR_HARNESS_H

#include "kernels.h"

#include <stdbool.h>

/* What running a kernel said: an error, or how far it is from the host's result (NaN: infinitely). */
typedef struct outcome {
    int error; /* cudaError_t: of the launch, the copies, or the release of its memory */
    char message[768];
    double distance;
} outcome;

typedef void run_case(int fault, outcome *result);
run_case run_add, run_layer_norm, run_cross_entropy, run_matmul, run_compact, run_shuffles, run_products;

/* A kernel is right where there is no error and the distance is below this. */
static const double close_enough = 1e-4;

#endif
