/* fill.h: launcher of layout/fill.cu. */
#ifndef WICK_KERNELS_CUDA_LAYOUT_FILL_H
#define WICK_KERNELS_CUDA_LAYOUT_FILL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `count` elements of `size` bytes (1, 2, 4 or 8) become the low bytes of `bits`. */
int wk__cuda_fill(void *target, uint64_t bits, int size, int64_t count, void *stream);

#ifdef __cplusplus
}
#endif
#endif
