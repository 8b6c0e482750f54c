/* wick/ops/spectral.h: discrete Fourier transforms.  See wick/ops.h.
 *
 * A complex tensor is a real one with a last axis of 2 more: real and imaginary part (as torch.view_as_real gives it).
 * Axes are those of the complex tensor, without the pairs; f32 and f64.  Any length is fast, powers of two and
 * products of 3 and 5 fastest; at most 2^30.
 */
#ifndef WICK_OPS_SPECTRAL_H
#define WICK_OPS_SPECTRAL_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum wk_fft_norm {
    WK_FFT_NORM_BACKWARD, /* the inverse divides by the number of elements */
    WK_FFT_NORM_FORWARD,  /* the transform does */
    WK_FFT_NORM_ORTHO     /* both divide by its root */
} wk_fft_norm;
typedef struct wk_fft_opts {
    wk_dims axes;  /* default: the last; WK_DIMS(-2, -1) for images */
    wk_dims sizes; /* of each axis: cut, or continued with zeros, first; default: as it is */
    int norm;      /* wk_fft_norm */
} wk_fft_opts;
/* (…, N, 2) → (…, N, 2): X[k] = Σ_j x[j] exp(−2πi j k / N), over several axes one after the other; the inverse with +.
 * torch.fft.fft, fftn, ifft, ifftn. */
WK_API wk_tensor *wk_fft(wk_tensor *x, wk_fft_opts opts);
WK_API wk_tensor *wk_ifft(wk_tensor *x, wk_fft_opts opts);
/* Of real x (…, N): the first N / 2 + 1 elements of the last of the axes, (…, N / 2 + 1, 2); the others are their
 * conjugates.  torch.fft.rfft, rfftn. */
WK_API wk_tensor *wk_rfft(wk_tensor *x, wk_fft_opts opts);
/* Back to a real tensor, of opts.sizes or, along the last of the axes, of 2 (M − 1) elements for M given.
 * torch.fft.irfft, irfftn. */
WK_API wk_tensor *wk_irfft(wk_tensor *x, wk_fft_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_fft(...)   (WK_HERE, wk_fft(__VA_ARGS__))
#    define wk_ifft(...)  (WK_HERE, wk_ifft(__VA_ARGS__))
#    define wk_rfft(...)  (WK_HERE, wk_rfft(__VA_ARGS__))
#    define wk_irfft(...) (WK_HERE, wk_irfft(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
