/* shrink.c: a picture made smaller as Pillow's BICUBIC does it: Keys' cubic (a = -1/2), widened by the factor, so that
 * every pixel counts; one axis after the other, clamped to [0, 1] as pictures of bytes are.  In plain loops, because
 * threads of a loader run it.
 */
#include "tasks/tasks.h"

#include <math.h>

static double cubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/* The weights of in[first .. first + *count) in the pixel `at` of `out`. */
static int64_t window(int64_t in, int64_t out, int64_t at, double *weight, int64_t *count) {
    const double factor = (double)in / (double)out, wide = factor > 1 ? factor : 1, reach = 2 * wide,
                 centre = ((double)at + 0.5) * factor;
    double low = floor(centre - reach + 0.5), high = floor(centre + reach + 0.5), sum = 0;
    const int64_t first = low > 0 ? (int64_t)low : 0, last = high < (double)in ? (int64_t)high : in;
    for (int64_t i = first; i < last; i++) sum += weight[i - first] = cubic(((double)i - centre + 0.5) / wide);
    for (int64_t i = first; i < last; i++) weight[i - first] /= sum;
    *count = last - first;
    return first;
}

/* Lines of `in` elements, `step` apart, to lines of `out`: x (rows, in, step) → y (rows, out, step). */
static void along(const float *x, int64_t rows, int64_t in, int64_t step, int64_t out, float *y, double *weight) {
    for (int64_t k = 0; k < out; k++) {
        int64_t count, first = window(in, out, k, weight, &count);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t s = 0; s < step; s++) {
                const float *from = x + (r * in + first) * step + s;
                double sum = 0;
                for (int64_t i = 0; i < count; i++) sum += weight[i] * (double)from[i * step];
                y[(r * out + k) * step + s] = (float)fmin(fmax(sum, 0), 1);
            }
    }
}

wk_status wk__shrink(const float *picture, int64_t channels, const int64_t from[2], const int64_t to[2], float *out) {
    const int64_t longest = from[0] > from[1] ? from[0] : from[1];
    double *weight = wk_alloc((size_t)longest * sizeof *weight);
    float *half = wk_alloc((size_t)(channels * from[0] * to[1]) * sizeof *half);
    if (weight && half) {
        along(picture, channels * from[0], from[1], 1, to[1], half, weight);
        along(half, channels, from[0], to[1], to[0], out, weight);
    }
    wk_free(half);
    wk_free(weight);
    return wk_failed() ? wk_error_code() : WK_OK;
}
