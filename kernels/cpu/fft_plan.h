/* fft_plan.h: what a discrete Fourier transform of one length needs to know: its passes and roots of unity. */
#ifndef WICK_KERNELS_CPU_FFT_PLAN_H
#define WICK_KERNELS_CPU_FFT_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/* Complex numbers apart: re and im, (count) each, of the plan's type. */
typedef struct wk_fft_table {
    void *re, *im;
} wk_fft_table;

typedef struct wk_fft_pass {
    int64_t radix, rest;   /* the length that is left is radix · rest */
    wk_fft_table twiddles; /* (radix − 1, rest): exp(−2πi k p / (radix · rest)) for k from 1, p < rest */
    wk_fft_table roots;    /* (radix): exp(−2πi k / radix), for radices without a pass of their own; else NULL */
} wk_fft_pass;

enum { WK_FFT_PASSES = 31, WK_FFT_LONGEST = 1 << 30 };

/* A length is a product of small factors, one pass each (Stockham 1966), or is turned into a convolution with a chirp
 * of a length that is (Bluestein 1970). */
typedef struct wk_fft_plan {
    int64_t n;
    bool f64;
    int passes; /* 0 with an inner plan: Bluestein */
    wk_fft_pass pass[WK_FFT_PASSES];
    struct wk_fft_plan *inner; /* of the convolution, length ≥ 2 n − 1 */
    wk_fft_table chirp;        /* (n): exp(−πi k² / n) */
    wk_fft_table filter;       /* (inner->n): the transform of the conjugate chirp, by the length */
    wk_fft_table halves; /* (n + 1), or NULL: exp(−πi k / n), which join a real line of 2 n from its transform of n */
} wk_fft_plan;

/* A transform of `n` ≥ 1, kept for the calling thread until others replace it: valid until the next call on this
 * thread, for all threads of a team.  NULL with an error pending. */
const wk_fft_plan *wk__fft_plan(int64_t n, bool f64, bool halves);

#endif
