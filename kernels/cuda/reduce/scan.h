/* scan.h: launcher of scan.cu. */
#ifndef WICK_KERNELS_CUDA_SCAN_H
#define WICK_KERNELS_CUDA_SCAN_H

#include "walk.h"

typedef enum wk_cuda_scan_kind {
    WK_CUDA_SUMS,     /* integers give i64 */
    WK_CUDA_PRODUCTS, /* likewise */
    WK_CUDA_LOG_SUMS,
    WK_CUDA_RUNNING_MOST, /* with places, i64: the last among equals; NaN stays */
    WK_CUDA_RUNNING_LEAST,
    WK_CUDA_RECURRENCE /* s[j] = b[j] + a[j] s[j - 1], of (a, b) */
} wk_cuda_scan_kind;

/* Lines of `length` elements: operand 0 is the result, then x, or a and b; or operand 2 the places. */
typedef struct wk_cuda_scan {
    int kind, dtype;
    wk_walk lines;
    int64_t length, step[3];
    void *out, *places;
    const void *in[2];
} wk_cuda_scan;

#ifdef __cplusplus
extern "C" {
#endif

int wk__cuda_scan(const wk_cuda_scan *scan, void *stream);

#ifdef __cplusplus
}
#endif
#endif
