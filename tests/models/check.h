/* check.h: a model against its golden (tests/golden/models). */
#ifndef WICK_TESTS_MODELS_CHECK_H
#define WICK_TESTS_MODELS_CHECK_H

#include "support/golden.h"
#include "wick/models.h"

/* The inputs of tests/golden/models/common.py, scoped. */
wk_tensor *model_wave(wk_dims dims);
wk_tensor *model_noise(wk_dims dims);
wk_tensor *model_tokens(int64_t vocabulary, wk_dims dims);
/* The values of common.fill. */
void model_fill(wk_module *model);
/* Those of common.refill. */
void model_refill(wk_module *model);

/* Values instead of its own: by common.fill; by common.refill, after its own were compared. */
enum { MODEL_FILL = 1, MODEL_REFILL = 2 };
typedef struct model_case {
    const char *name;
    wk_module *(*make)(void);
    wk_tensor *(*input)(void);
    wk_tensor *(*run)(wk_module *model, wk_tensor *x); /* NULL: wk_forward */
    int fill;                                          /* MODEL_…: 0, its own */
    double tolerance;                                  /* 0: 1e-4, relative to the norm */
} model_case;
/* Same seed, same names, same values, same result and gradients; and the same bits when it runs again. */
void model_check(const char *file, const model_case *cases, int count);
/* The same, but gradients only in f64, where they and the result must agree within 1e-9: where f32 rounds a relu's
 * input to the other side of 0, gradients change by what it passed (a hundredth of their norm in deep networks). */
void model_check_exact(const char *file, const model_case *cases, int count);
/* The same bits from one thread and from three, but for gradients of convolutions' weights. */
void model_check_threads(const model_case *cases, int count);
/* Training steps in f32 and under bf16 autocast: captured, replayed, and the same bits as without. */
void model_check_replay(const model_case *cases, int count);
/* Frozen for inference: what evaluation gives, within 2e-5 of the largest number (bf16: a tenth), replayed. */
void model_check_frozen(const model_case *cases, int count);
/* Names in their order and initial values alone, for networks too large to run here. */
void model_check_digest(const char *file, const char *name, wk_module *(*make)(void));

#endif
