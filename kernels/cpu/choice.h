/* choice.h: which implementation takes which shape. */
#ifndef WICK_KERNELS_CPU_CHOICE_H
#define WICK_KERNELS_CPU_CHOICE_H

#include "cpu/cpu.h"
#include "tensor/tuning.h"

typedef enum wk_convolution_pass { WK_FORWARD, WK_BACKWARD_INPUT, WK_BACKWARD_WEIGHT } wk_convolution_pass;

/* (M, K) · (K, N), `count` of them; turned: stored the other way round. */
typedef struct wk_product_shape {
    int64_t count, m, n, k;
    bool a_turned, b_turned;
} wk_product_shape;

typedef struct wk_convolution_shape {
    int64_t n, c, k;         /* images, channels of x, channels of y */
    int64_t size[3], out[3]; /* depth, height, width of x and of y; an image without depth has 1 of it */
    int64_t kernel[3], stride[3], padding[3], dilation[3], groups;
    int axes; /* 2 or 3 */
} wk_convolution_shape;

/* Products of so many multiplications are split over the team; below, it costs more than it gives. */
enum { WK_TEAM_PRODUCT = 1 << 19 };
/* WK_BY_OWN, WK_BY_OPENBLAS or WK_BY_ONEDNN: for every number of threads the same. */
wk_by wk__choose_product(wk_dtype dtype, const wk_product_shape *shape);
/* WK_BY_OWN, WK_BY_DIRECT, WK_BY_WINOGRAD or WK_BY_OWN_WINOGRAD. */
wk_by wk__choose_convolution(wk_dtype dtype, const wk_convolution_shape *shape, wk_convolution_pass pass, int threads);
/* Whether it is WK_BY_OWN_WINOGRAD, for whoever is called after that choice was made (and counted). */
bool wk__is_own_winograd(wk_dtype dtype, const wk_convolution_shape *shape, wk_convolution_pass pass, int threads);
/* The library that was chosen does not take the call. */
void wk__choice_declined(void);
/* How many of `threads` OpenBLAS may use; 0: it will use one by itself. */
int wk__openblas_threads(int64_t work, int threads);

wk__bucket wk__bucket_of_product(wk_dtype dtype, const wk_product_shape *shape);
wk__bucket wk__bucket_of_convolution(wk_dtype dtype, const wk_convolution_shape *shape, wk_convolution_pass pass,
                                     int threads);

#endif
