/* choice.c: which implementation takes which shape, by measurement. */
#include "cpu/choice.h"

wk_product_by wk__choose_product(wk_dtype dtype, int64_t count, int64_t m, int64_t n, int64_t k) {
    int64_t work = m * n * k;
    if (dtype == WK_F32) {
        if (count == 1 && work <= 1 << 18) return WK_PRODUCT_OPENBLAS;
        return work <= 1 << 12 ? WK_PRODUCT_OWN : WK_PRODUCT_ONEDNN;
    }
    if (dtype == WK_BF16) return work <= 1 << 12 ? WK_PRODUCT_OWN : WK_PRODUCT_ONEDNN;
    return WK_PRODUCT_OWN;
}

wk_convolution_by wk__choose_convolution(wk_dtype dtype, wk_convolution_pass pass, const wk_convolution_shape *s) {
    (void)pass;
    if (dtype != WK_F32 && dtype != WK_BF16) return WK_CONVOLUTION_OWN;
    bool plain = s->groups == 1 && s->kernel[0] == 3 && s->kernel[1] == 3 && s->stride[0] == 1 && s->stride[1] == 1
                 && s->dilation[0] == 1 && s->dilation[1] == 1;
    double work = (double)(s->n * s->p * s->q) * (double)(s->c * s->k * 9);
    if (dtype == WK_F32 && plain && s->c % 16 == 0 && s->k % 16 == 0 && work > 2e7) return WK_CONVOLUTION_WINOGRAD;
    return WK_CONVOLUTION_DIRECT;
}
