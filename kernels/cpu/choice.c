/* choice.c: which implementation takes which shape, by measurement.
 *
 * All figures: AMD EPYC 9004 (Zen 4, AVX-512), oneDNN 2.6.3, OpenBLAS 0.3.21 (OpenMP), f32, best of many, GFLOP/s.
 *
 *   product (M, N, K), A·B or A·Bᵀ or Aᵀ·B      OpenBLAS 1, 2 threads   oneDNN matmul 1, 2    own 1, 2
 *   NT   64   10   128                              93    93                62    73          42    42
 *   TN   10  128    64                             111   113                90    87          41    41
 *   NN   64  128    10                              97   104                86    91          69    68
 *   NT    1   64    64                              46    46                12    12          17    17
 *   NT   64  128   784                              93   159               110   212          96   151
 *   TN  128  784    64                             101   175               114   221         100   164
 *   NT   64  128  9216                              70   129               107   212          96   153
 *   TN  128 9216    64                              96   178                97   199          98   187
 *   NN   64 9216   128                              93   179               106   214          88   166
 *   NT  256  768   768                             106   209               114   229         109   209
 *   NN  512  512   512                             107   210               115   230         111   210
 *   f64  512 512   512                              53                       -                53
 *   bf16 512 512   512                               -                     227   423          71
 *
 * (512, 1024) times a vector, one thread: oneDNN 308 µs, OpenBLAS (as PyTorch calls it) 43, own 47.
 *
 * So: OpenBLAS's kernels for small matrices up to 2^18 multiplications (it uses one thread there), oneDNN above, own
 * for f64, f16 and the layouts that neither takes.  dnnl_sgemm was better than the better of the two by more than 3 %
 * only for TN 128 9216 64 (9 %).
 *
 *   convolution 3 × 3, 2 threads, ms        forward            backward input        backward weight
 *   (N, C, H, K)                        direct  Winograd     direct  Winograd       direct  Winograd
 *   64   32  26   64                     5.99     2.53        5.98     3.58          6.32     2.81
 *   64   16  28   16                     1.03     0.94        0.96     0.93          1.05     0.81
 *   16   32  28   32                     0.98     0.56        0.95     0.56          1.01     0.52
 *    8   64  14   64                     0.47     0.31        0.45     0.31          0.50     0.35
 *    2  128  16  128                     0.60     0.47        0.59     0.48          0.63     0.46
 *    1   64  56   64                     0.98     0.53        0.97     0.53          1.00     0.43
 *    1  512   7  512                     0.82     2.8         0.83     2.9           0.96     7.4
 *   64   16   5   16                     0.04     0.21        0.04     0.21          0.04     0.19
 *
 * Winograd's times contain the copies to and from its layout.  It transforms every filter, which a handful of tiles
 * does not pay back, and it computes whole tiles of 4 × 4 results, which small images waste.  It rounds about twice as
 * coarsely as a direct sum (3.6e-5 against 1.6e-5 at results of 5.6); WICK_WINOGRAD=0 does without it.
 */
#include "cpu/choice.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_PRODUCT = 1 << 18, TINY_PRODUCT = 1 << 12 };

wk_product_by wk__choose_product(wk_dtype dtype, int64_t count, int64_t m, int64_t n, int64_t k) {
    int64_t work = m * n * k;
    if (dtype == WK_F32 && (n == 1 || k == 1)) return WK_PRODUCT_OWN;
    if (dtype == WK_F32 && count == 1 && work <= SMALL_PRODUCT) return WK_PRODUCT_OPENBLAS;
    if (dtype == WK_F32 || dtype == WK_BF16) return count * work <= TINY_PRODUCT ? WK_PRODUCT_OWN : WK_PRODUCT_ONEDNN;
    return WK_PRODUCT_OWN;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool winograd_allowed;

static void read_environment(void) {
    const char *wish = getenv("WICK_WINOGRAD");
    winograd_allowed = !wish || strcmp(wish, "0") != 0;
}

static bool winograd_pays(const wk_convolution_shape *s) {
    (void)pthread_once(&once, read_environment);
    if (!winograd_allowed) return false;
    if (s->axes != 2) return false;
    for (int i = 1; i < 3; i++)
        if (s->kernel[i] != 3 || s->stride[i] != 1 || s->dilation[i] != 1 || s->padding[i] > 1) return false;
    if (s->groups != 1 || s->c % 16 != 0 || s->k % 16 != 0) return false;
    int64_t tiles = s->n * ((s->out[1] + 3) / 4) * ((s->out[2] + 3) / 4), pixels = s->n * s->out[1] * s->out[2];
    bool wasteful = 16 * tiles > 2 * pixels;
    return tiles >= 32 && !wasteful && (double)pixels * (double)(s->c * s->k) * 9 > 2e7;
}

wk_convolution_by wk__choose_convolution(wk_dtype dtype, const wk_convolution_shape *shape) {
    if (dtype == WK_F32) return winograd_pays(shape) ? WK_CONVOLUTION_WINOGRAD : WK_CONVOLUTION_DIRECT;
    return dtype == WK_BF16 ? WK_CONVOLUTION_DIRECT : WK_CONVOLUTION_OWN;
}
