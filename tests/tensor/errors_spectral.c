/* errors_spectral.c: what bad calls of Fourier transforms and of random operations say. */
#include "support/refused.h"
#include "wick/ops.h"

SCOPED_SUITE(errors_spectral);

static wk_tensor *f32(wk_dims dims) {
    return wk_zeros(WK_F32, dims);
}

Test(errors_spectral, transforms) {
    const wk_fft_opts plain = { .norm = 0 };
    REFUSED(wk_fft(f32(WK_DIMS(4, 3)), plain), WK_SHAPE, "fft: x is (4, 3) f32, expected complex numbers (…, 2)");
    REFUSED(wk_fft(f32(WK_DIMS(2)), plain), WK_SHAPE, "fft: 1 axes of a complex tensor of rank 0");
    REFUSED(wk_ifft(f32(WK_DIMS(4, 2)), (wk_fft_opts){ .axes = WK_DIMS(1) }), WK_INVALID,
            "ifft: axis 1 of a complex tensor of rank 1");
    REFUSED(wk_rfft(f32(WK_DIMS(4, 4)), (wk_fft_opts){ .axes = WK_DIMS(0, -2) }), WK_INVALID,
            "rfft: axis -2 of a complex tensor of rank 2 is named twice");
    REFUSED(wk_rfft(f32(WK_DIMS(4, 4)), (wk_fft_opts){ .axes = WK_DIMS(0, 1), .sizes = WK_DIMS(3) }), WK_INVALID,
            "rfft: 1 sizes for 2 axes");
    REFUSED(wk_rfft(f32(WK_DIMS(4)), (wk_fft_opts){ .sizes = WK_DIMS(-3) }), WK_INVALID,
            "rfft: size -3, expected at least 1");
    REFUSED(wk_irfft(f32(WK_DIMS(1, 2)), plain), WK_SHAPE, "irfft: axis 0 has 1 elements; name the size of the result");
    REFUSED(wk_fft(wk_zeros(WK_F16, WK_DIMS(4, 2)), plain), WK_DTYPE, "fft: input 0 is f16, expected f32, f64");
    REFUSED(wk_fft(f32(WK_DIMS(3, 0, 2)), plain), WK_SHAPE,
            "fft_axis: axis 1 has 0 elements, expected 1 to 1073741824 in fft");
}

Test(errors_spectral, draws) {
    wk_tensor *key = wk_zeros(WK_I64, WK_DIMS(2)), *p = wk_full(WK_F32, WK_DIMS(2, 3), 1);
    const wk_multinomial_opts four = { .count = 4 }, none = { .count = 0 }, again = { 4, true };
    REFUSED(wk_multinomial(p, key, none), WK_INVALID, "multinomial: count is 0, expected at least 1");
    REFUSED(wk_multinomial(wk_scalar(WK_F32, 1), key, four), WK_SHAPE,
            "multinomial: p is () f32, expected (…, K) with K from 1");
    REFUSED(wk_multinomial(p, key, four), WK_INVALID,
            "multinomial: 4 draws without replacement from 3 positive weights (line 0)");
    REFUSED(wk_multinomial(f32(WK_DIMS(3)), key, again), WK_INVALID, "multinomial: the weights of line 0 sum to 0");
    REFUSED(wk_multinomial(wk_neg(p), key, again), WK_INVALID,
            "multinomial: weight 0 of line 0 is -1, expected a finite number from 0");
    const wk_truncated_normal_opts turned = { WK_DIMS(3), WK_F32, .low = WK_SET(1), .high = WK_SET(-1) };
    REFUSED(wk_truncated_normal(key, turned), WK_INVALID,
            "truncated_normal: mean 0, deviation 1, low 1, high -1: expected deviation > 0, low < high");
}
