/* cross_entropy.h: launchers of loss/cross_entropy.cu. */
#ifndef WICK_KERNELS_CUDA_LOSS_CROSS_ENTROPY_H
#define WICK_KERNELS_CUDA_LOSS_CROSS_ENTROPY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_cuda_cross_entropy {
    int64_t rows, classes;
    int64_t logits_row, logits_step, target_step; /* strides in elements */
    int64_t ignored;
    double smoothing, even; /* even: smoothing / classes */
    int reduction;          /* wk_reduction */
} wk_cuda_cross_entropy;

/* loss: (rows) for no reduction, else one number; lse (rows); scratch: rows + 1 doubles, for a reduction. */
int wk__cuda_cross_entropy_forward(const wk_cuda_cross_entropy *c, int dtype, const void *logits, const int64_t *target,
                                   void *loss, void *lse, double *scratch, void *stream);
/* dlogits (rows, classes) row major; dloss one number or, with a step, (rows); scratch: one double. */
int wk__cuda_cross_entropy_backward(const wk_cuda_cross_entropy *c, int dtype, const void *dloss, int64_t dloss_step,
                                    const void *logits, const int64_t *target, const void *lse, int64_t lse_step,
                                    void *dlogits, double *scratch, void *stream);

#ifdef __cplusplus
}
#endif
#endif
