/* convolution.c: what the op table's samples do not say of a convolution on a device: numbers that are none, operands
 * at odd addresses, channels last. */
#include "device/other.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static wk_tensor *numbers(wk_dims dims, uint32_t seed) {
    wk_tensor *x = wk_empty(WK_F32, dims);
    for (int64_t i = 0; x && i < wk_count(x); i++) {
        seed = seed * 1664525 + 1013904223;
        ((float *)wk_data(x))[i] = (float)(seed >> 24) / 128 - 1;
    }
    return x;
}

static const wk_conv_opts same_size = { .padding = { 1, 1 }, .activation = WK_ACTIVATION_RELU };

static void expect_close(wk_tensor *got, wk_tensor *wanted) {
    cr_assert(got && wanted, "%s", wk_message());
    const float *a = wk_data(wk_contiguous(wk_to_device(got, WK_CPU))), *b = wk_data(wk_contiguous(wanted));
    cr_assert(a && b, "%s", wk_message());
    for (int64_t i = 0; i < wk_count(wanted); i++)
        cr_assert(isnan(b[i]) ? isnan(a[i]) : fabsf(a[i] - b[i]) <= 1e-5f * (1 + fabsf(b[i])),
                  "element %lld: %g, on the CPU %g", (long long)i, (double)a[i], (double)b[i]);
}

TestSuite(device_convolution, .init = other_watch_refusals, .fini = other_expect_no_refusals);

/* ReLU of what is no number is no number: a network that diverges is seen to. */
Test(device_convolution, a_nan_goes_through_the_relu) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = numbers(WK_DIMS(1, 2, 6, 6), 1), *w = numbers(WK_DIMS(3, 2, 3, 3), 2), *b = numbers(WK_DIMS(3), 3);
    ((float *)wk_data(x))[20] = NAN;
    wk_tensor *wanted = wk_conv2d(x, w, b, same_size), *bare = wk_conv2d(x, w, NULL, same_size);
    cr_assert(wanted && isnan(((float *)wk_data(wk_contiguous(wanted)))[20]), "%s", wk_message());
    x = wk_to_device(x, other()), w = wk_to_device(w, other()), b = wk_to_device(b, other());
    expect_close(wk_conv2d(x, w, b, same_size), wanted);
    expect_close(wk_conv2d(x, w, NULL, same_size), bare);
    wk_scope_end(scope);
}

/* Views that begin at any element, then at none that is aligned: plans of one are not taken for the other. */
Test(device_convolution, operands_begin_anywhere) {
    wk_scope scope = wk_scope_begin();
    const int64_t count = 2 * 3 * 5 * 5;
    wk_tensor *all = numbers(WK_DIMS(count + 8), 4), *w = numbers(WK_DIMS(4, 3, 3, 3), 5);
    wk_tensor *all_there = wk_to_device(all, other()), *w_there = wk_to_device(w, other());
    for (int64_t first = 0; first < 8; first++) {
        const wk_dims dims = WK_DIMS(2, 3, 5, 5);
        wk_tensor *x = wk_reshape(wk_slice(all, 0, first, first + count, 1), dims);
        wk_tensor *there = wk_reshape(wk_slice(all_there, 0, first, first + count, 1), dims);
        expect_close(wk_conv2d(there, w_there, NULL, same_size), wk_conv2d(x, w, NULL, same_size));
    }
    wk_scope_end(scope);
}

Test(device_convolution, channels_last) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = numbers(WK_DIMS(2, 7, 6, 8), 6), *w = numbers(WK_DIMS(8, 3, 3, 8), 7), *b = numbers(WK_DIMS(8), 8);
    const wk_dims to_front = WK_DIMS(0, 3, 1, 2);
    wk_tensor *wanted = wk_conv2d(wk_permute(x, to_front), wk_permute(w, to_front), b, same_size);
    wk_tensor *x_there = wk_permute(wk_to_device(x, other()), to_front);
    wk_tensor *w_there = wk_permute(wk_to_device(w, other()), to_front);
    expect_close(wk_conv2d(x_there, w_there, wk_to_device(b, other()), same_size), wanted);
    wk_scope_end(scope);
}
