/* support.h: parameters and gradients of optim.safetensors, for the tests of this folder. */
#ifndef WICK_TESTS_OPTIM_SUPPORT_H
#define WICK_TESTS_OPTIM_SUPPORT_H

#include "support/golden.h"
#include "wick/optim.h"

enum { PARAMETERS = 3, STEPS = 50 };

/* Kept copies of the start values in a dtype, as leaves; release with free_parameters. */
void make_parameters(wk_safetensors *file, wk_dtype dtype, wk_tensor *p[PARAMETERS]);
void free_parameters(wk_tensor *p[PARAMETERS]);
wk_named_tensors first_parameters(wk_tensor **p, int count);
/* Give parameter i the gradient of a step, scaled: Σ p · g has the gradient g. */
void give_gradient(wk_safetensors *file, wk_tensor *p, int i, int step, double scale);

/* The call fails with this message, which is cleared. */
#define expect_message(call, text)                                  \
    do {                                                            \
        (void)(call);                                               \
        cr_expect_str_eq(wk_message(), (text), "%s", wk_message()); \
        wk_clear_error();                                           \
    } while (0)

#endif
