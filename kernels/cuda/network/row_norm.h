/* row_norm.h: launchers of row_norm.cu and dense_norm.cu. */
#ifndef WICK_KERNELS_CUDA_NETWORK_ROW_NORM_H
#define WICK_KERNELS_CUDA_NETWORK_ROW_NORM_H

#include "walk.h"

/* Rows of (channels, area) elements; row r has the weights of group r mod groups. */
typedef struct wk_cuda_row_norm {
    int dtype;
    bool centred;
    double eps;
    int64_t groups, channels, area;
    wk_walk rows;  /* (x, y or dx, dy), in row-major order */
    wk_walk inner; /* forward (x, y, weight, bias), backward (x, dx, weight, dy); in row-major order */
    int64_t weight_group, bias_group; /* steps to the next group's */
    const void *x, *dy, *weight, *bias;
    void *y;               /* or dx */
    void *mean, *rstd;     /* (rows) of f32, or f64 for f64; backward: NULL where they are not known */
    double *moments;       /* backward: (2, rows) */
    double *sums;          /* backward: (parts, 2, groups channels) */
    int64_t parts;         /* of the rows of a group, each with sums of its own */
    void *dweight, *dbias; /* (groups channels); NULL: not asked for */
    int gradient_dtype;    /* of these two */
} wk_cuda_row_norm;

#ifdef __cplusplus
extern "C" {
#endif

int wk__cuda_row_norm(const wk_cuda_row_norm *norm, void *stream);
int wk__cuda_row_norm_backward(const wk_cuda_row_norm *norm, void *stream);
/* One group of rows that lie densely one behind the other, of f32 or halves, at most WK_CUDA_DENSE_ROW elements in
 * whole vectors of 16 bytes; so do weight and bias.  `rows`, `inner` and `moments` are not looked at, but for the
 * number of rows. */
enum { WK_CUDA_DENSE_ROW = 8192 };
int wk__cuda_dense_norm(const wk_cuda_row_norm *norm, void *stream);
int wk__cuda_dense_norm_backward(const wk_cuda_row_norm *norm, void *stream);
/* What the parts have come to, added: the gradients of weight and bias. */
int wk__cuda_norm_join_parts(const wk_cuda_row_norm *norm, void *stream);

#ifdef __cplusplus
}
#endif
#endif
