/* fft.h: launchers of fft.cu. */
#ifndef WICK_KERNELS_CUDA_SPECTRAL_FFT_H
#define WICK_KERNELS_CUDA_SPECTRAL_FFT_H

#include "walk.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum wk_cuda_fft_kind { WK_CUDA_FFT_PAIRS, WK_CUDA_FFT_TO_HALF, WK_CUDA_FFT_FROM_HALF } wk_cuda_fft_kind;
enum { WK_CUDA_FFT_FACTORS = 40 };

/* Transforms of n numbers along an axis: of pairs to pairs, of real numbers to the first n / 2 + 1 pairs, and back. */
typedef struct wk_cuda_fft {
    int kind;
    bool inverse, f64;
    int factors, factor[WK_CUDA_FFT_FACTORS]; /* of n */
    int64_t n;
    double scale, inner; /* of results; of the numbers of a half line but the first and, of an even line, the last */
    wk_walk lines;       /* out, x */
    int64_t x_step, x_pair, out_step, out_pair;
    const void *x;
    void *out;
} wk_cuda_fft;

/* Bytes of scratch that wk__cuda_fft_run needs; 0: its lines fit into shared memory. */
size_t wk__cuda_fft_scratch(const wk_cuda_fft *f);
/* Returns a cudaError_t. */
int wk__cuda_fft_run(const wk_cuda_fft *f, void *scratch, void *stream);

#ifdef __cplusplus
}
#endif
#endif
