/* scatter.h: launcher of scatter.cu. */
#ifndef WICK_KERNELS_CUDA_LAYOUT_SCATTER_H
#define WICK_KERNELS_CUDA_LAYOUT_SCATTER_H

#include "walk.h"

typedef enum wk_cuda_scatter_kind {
    WK_CUDA_PUT,
    WK_CUDA_ADD,
    WK_CUDA_MULTIPLY,
    WK_CUDA_MOST,
    WK_CUDA_LEAST
} wk_cuda_scatter_kind;

/* Values joined with what is there.  The lines run along the axis that the index is for: line l and step k put the
 * value at source + k · source_step to out + index[k · index_step] · jump. */
typedef struct wk_cuda_scatter {
    int kind, dtype;
    wk_walk lines; /* (out, source, index), without the axis */
    int64_t length, source_step, index_step, jump, limit;
    void *out;
    const void *source;
    const int64_t *index;
} wk_cuda_scatter;

#ifdef __cplusplus
extern "C" {
#endif

int wk__cuda_scatter(const wk_cuda_scatter *scatter, void *stream);

#ifdef __cplusplus
}
#endif
#endif
