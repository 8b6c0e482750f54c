/* check.h: a model against its golden (tests/golden/models). */
#ifndef WICK_TESTS_MODELS_CHECK_H
#define WICK_TESTS_MODELS_CHECK_H

#include "support/golden.h"
#include "wick/models.h"

/* The inputs of tests/golden/models/common.py, scoped. */
wk_tensor *model_wave(wk_dims dims);
wk_tensor *model_tokens(int64_t vocabulary, wk_dims dims);
/* The values of common.fill. */
void model_fill(wk_module *model);

typedef struct model_case {
    const char *name;
    wk_module *(*make)(void);
    wk_tensor *(*input)(void);
    wk_tensor *(*run)(wk_module *model, wk_tensor *x); /* NULL: wk_forward */
    bool fill;                                         /* values by common.fill instead of its own */
    double tolerance;                                  /* 0: 1e-4, relative to the norm */
} model_case;
/* Same seed, same names, same values, same result and gradients; and the same bits when it runs again. */
void model_check(const char *file, const model_case *cases, int count);

#endif
