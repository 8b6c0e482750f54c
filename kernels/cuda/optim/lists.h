/* lists.h: one launch over a list of tensors: its parts go in the launch's arguments, as many as fit. */
#ifndef WICK_KERNELS_CUDA_OPTIM_LISTS_H
#define WICK_KERNELS_CUDA_OPTIM_LISTS_H

#include "cpu/simd/optim/step_numbers.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* WK_CUDA_SPAN elements of one tensor are a block's work. */
enum { WK_CUDA_SPAN = 2048, WK_CUDA_FEW = 24, WK_CUDA_MANY = 300, WK_CUDA_STEP_STATES = 4, WK_CUDA_DISTINCT = 8 };

/* One parameter of an optimizer's step.  Types are wk_dtypes. */
typedef struct wk_cuda_step_entry {
    void *parameter, *state[WK_CUDA_STEP_STATES], *stored; /* stored: the half that `parameter` is master of, or NULL */
    const void *gradient;
    int64_t count;
    int32_t first_block;
    uint8_t gradient_dtype, stored_dtype, numbers; /* numbers: which of the step's */
} wk_cuda_step_entry;

typedef struct wk_cuda_step {
    int n, wide; /* wide: parameters and states are f64 */
    int32_t blocks;
    struct step_numbers numbers[WK_CUDA_DISTINCT];
    const struct step_numbers *at; /* on the device: read there instead, by a launch of a graph; or NULL */
    const double *clip;            /* on the device: gradients are multiplied by it, too; or NULL */
    wk_cuda_step_entry entry[WK_CUDA_MANY];
} wk_cuda_step;

/* Which rule: the place in WK_STEP_ROWS. */
int wk__cuda_optimizer_step(int rule, const wk_cuda_step *step, void *stream);

typedef struct wk_cuda_list_entry {
    void *data;
    int64_t count;
    int32_t first_block;
    uint8_t dtype;
} wk_cuda_list_entry;

typedef struct wk_cuda_list {
    int n;
    int32_t blocks;
    wk_cuda_list_entry entry[WK_CUDA_MANY];
} wk_cuda_list;

/* What is joined over all elements. */
enum { WK_CUDA_SUM_ABS, WK_CUDA_SUM_SQUARES, WK_CUDA_SUM_POWERS, WK_CUDA_MOST, WK_CUDA_NONFINITE };
/* One number a block into parts. */
int wk__cuda_list_parts(const wk_cuda_list *list, int what, double p, double *parts, void *stream);
/* The numbers of all blocks joined: roots of p-norms; 1 where something is not finite. */
int wk__cuda_list_join(const double *parts, int64_t count, int what, double p, double *result, void *stream);
/* factor = min(1, most / (norm · scale + 1e-6)) */
int wk__cuda_clip_factor(const double *norm, double most, double scale, double *factor, void *stream);
/* x = clamp(x · factor, −limit, limit).  Where `at` is not NULL both are read there, on the device. */
int wk__cuda_list_adjust(const wk_cuda_list *list, double factor, double limit, const double *at, void *stream);

#ifdef __cplusplus
}
#endif
#endif
