/* choice.c: which implementation takes which shape, by measurement: what a tuning table says of its bucket
 * (docs/tuning.md), and where none says anything, the rules below.
 *
 * The choice of a product does not depend on the number of threads, and OpenBLAS, whose order of sums does, stays on
 * one thread: so `matmul` gives the same bits for every number of them.  What is large enough for the team never goes
 * to OpenBLAS therefore, whatever a table says; nor, on a processor without AVX-512, to oneDNN, which splits sums
 * between threads there (512³ and 2048 × 768 × 3072 on Zen 3, 1 and 2 threads: as fast as Wick's own, within noise).
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
 * bf16 with AMX (Xeon with AVX-512 and AMX, model hidden; two threads, weights not in the second-level cache; Gop/s):
 *
 *   M, N, K                        oneDNN 2.6.3  own            M, N, K                        oneDNN 2.6.3  own
 *   NN  256  3072   768               1606       2012           TN  768  3072   256               1305      2023
 *   NN  256   768  3072               1196       1405           TN  768  3072  1024               1379      2269
 *   NT  256   768  3072               1832       1842           NT  256 50257   768               1249      2164
 *   NN 1024  3072   768               1939       2167           TN 50257  768   256               1350      1970
 *   NT 1024   768  3072               1925       2068           NN  512   512   512               2065      1790
 *
 * (512, 1024) times a vector, one thread: oneDNN 308 µs, OpenBLAS (as PyTorch calls it) 43, own 47.
 *
 * So: OpenBLAS's kernels for small matrices up to 2^18 multiplications (it uses one thread there), oneDNN above, own
 * for f64, f16 and the layouts that neither takes, and with AMX for single bf16 products from 2^28 multiplications on.
 * dnnl_sgemm was better than the better of the two by more than 3 % only for TN 128 9216 64 (9 %).
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
 * oneDNN has Winograd for AVX-512 alone; elsewhere it is Wick's own (kernels/cpu/simd/image/winograd.c).  A step of
 * ResNet-18 with 128 images of 32 × 32, Zen 3, 2 threads: direct 4.8 s, own Winograd 1.9 s.
 *
 * Winograd's times contain the copies to and from its layout.  It transforms every filter, which a handful of tiles
 * does not pay back, and it computes whole tiles of 4 × 4 results, which small images waste.  It rounds about twice as
 * coarsely as a direct sum (3.6e-5 against 1.6e-5 at results of 5.6), Wick's own three to four times (6.9e-6 of the
 * largest result against 2.0e-6, weights' gradients finer: tests/tensor/winograd.c); WICK_WINOGRAD=0 does without.
 */
#include "cpu/choice.h"

#include "cpu/amx/amx.h"
#include "cpu/processor/processor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_PRODUCT = 1 << 18, TINY_PRODUCT = 1 << 12 };
enum { AMX_PRODUCT = 1 << 28 };
enum { OPENBLAS_ALONE = 1 << 18 }; /* up to here OpenBLAS uses one thread by itself */

/* ---- what a thread forces ---- */

static atomic_int forcing; /* how many threads do: the others look no further */
static _Thread_local wk__forced *forced;

void wk__cpu_force(wk__forced *wish) {
    (void)atomic_fetch_add(&forcing, (wish != NULL) - (forced != NULL));
    forced = wish;
}

static inline wk__forced *force_of_thread(void) {
    return atomic_load_explicit(&forcing, memory_order_relaxed) == 0 ? NULL : forced;
}

void wk__choice_declined(void) {
    wk__forced *force = force_of_thread();
    if (force) force->declined++;
}

int wk__openblas_threads(int64_t work, int threads) {
    if (work <= OPENBLAS_ALONE) return 0;
    const wk__forced *force = force_of_thread();
    return force && force->team ? threads : 1;
}

static wk_by noted(wk__forced *force, wk_by wish, wk_by by) {
    force->asked += wish != WK_BY_CHOICE;
    return force->last = by;
}

/* ---- what is known of the machine ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool winograd_allowed, has_avx512;

static void look_around(void) {
    wk_processor processor;
    const char *wish = getenv("WICK_WINOGRAD");
    winograd_allowed = !wish || strcmp(wish, "0") != 0;
    wk__processor_read(&processor);
    has_avx512 = processor.has_v4;
}

/* ---- products ---- */

/* Whether oneDNN's order of sums is the same for every number of threads. */
static bool onednn_repeats(wk_dtype dtype) {
    (void)pthread_once(&once, look_around);
    return has_avx512 || dtype != WK_F32;
}

static wk_by product_by_rule(wk_dtype dtype, const wk_product_shape *s) {
    int64_t work = s->m * s->n * s->k;
    if (dtype == WK_F32 && (s->n == 1 || s->k == 1)) return WK_BY_OWN;
    if (dtype == WK_F32 && s->count == 1 && work <= SMALL_PRODUCT) return WK_BY_OPENBLAS;
    if (dtype != WK_F32 && dtype != WK_BF16) return WK_BY_OWN;
    if (dtype == WK_BF16 && s->count == 1 && work >= AMX_PRODUCT && wk__amx_present()) return WK_BY_OWN;
    return s->count * work <= TINY_PRODUCT || !onednn_repeats(dtype) ? WK_BY_OWN : WK_BY_ONEDNN;
}

static wk_by product_by_table(wk_dtype dtype, const wk_product_shape *s, bool own) {
    wk__bucket bucket = wk__bucket_of_product(dtype, s);
    wk_by by = wk__tuning_of(&bucket, own);
    bool for_team = s->count * s->m * s->n * s->k >= WK_TEAM_PRODUCT;
    bool repeats = by == WK_BY_OPENBLAS ? false : by == WK_BY_ONEDNN ? onednn_repeats(dtype) : true;
    return for_team && !repeats ? WK_BY_CHOICE : by;
}

wk_by wk__choose_product(wk_dtype dtype, const wk_product_shape *shape) {
    wk__forced *force = force_of_thread();
    wk_by wish = force ? force->product : WK_BY_CHOICE;
    wk_by by = wish ? wish : product_by_table(dtype, shape, force == NULL);
    if (!by) by = product_by_rule(dtype, shape);
    return force ? noted(force, wish, by) : by;
}

/* ---- convolutions ---- */

/* Whether there is an implementation for this shape, and the image does not waste most of its tiles. */
static bool winograd_fits(wk_dtype dtype, const wk_convolution_shape *s) {
    (void)pthread_once(&once, look_around);
    if (!winograd_allowed || dtype != WK_F32) return false;
    if (s->axes != 2) return false;
    for (int i = 1; i < 3; i++)
        if (s->kernel[i] != 3 || s->stride[i] != 1 || s->dilation[i] != 1 || s->padding[i] > 1) return false;
    if (s->groups != 1 || s->c % 16 != 0 || s->k % 16 != 0) return false;
    if (s->n < 1 || s->c < 1 || s->k < 1 || s->out[1] < 1 || s->out[2] < 1) return false;
    int64_t tiles = ((s->out[1] + 3) / 4) * ((s->out[2] + 3) / 4);
    return 16 * tiles <= 2 * s->out[1] * s->out[2];
}

static bool winograd_pays(const wk_convolution_shape *s) {
    int64_t tiles = s->n * ((s->out[1] + 3) / 4) * ((s->out[2] + 3) / 4), pixels = s->n * s->out[1] * s->out[2];
    return tiles >= 32 && (double)pixels * (double)(s->c * s->k) * 9 > 2e7;
}

static wk_by convolution_by_rule(wk_dtype dtype, const wk_convolution_shape *s) {
    if (dtype == WK_F32 && winograd_fits(dtype, s) && winograd_pays(s))
        return has_avx512 && WICK_LIBRARIES ? WK_BY_WINOGRAD : WK_BY_OWN_WINOGRAD;
    if (dtype == WK_F32) return WK_BY_DIRECT;
    return dtype == WK_BF16 ? WK_BY_DIRECT : WK_BY_OWN;
}

/* Tables speak of images of two axes. */
static wk_by convolution_by_table(wk_dtype dtype, const wk_convolution_shape *s, wk_convolution_pass pass, int threads,
                                  bool own) {
    if (s->axes != 2) return WK_BY_CHOICE;
    wk__bucket bucket = wk__bucket_of_convolution(dtype, s, pass, threads);
    return wk__tuning_of(&bucket, own);
}

static wk_by convolution_by(const wk__forced *force, wk_dtype dtype, const wk_convolution_shape *shape,
                            wk_convolution_pass pass, int threads) {
    wk_by by = force ? force->convolution : WK_BY_CHOICE;
    if (!by) by = convolution_by_table(dtype, shape, pass, threads, force == NULL);
    if (!by) by = convolution_by_rule(dtype, shape);
    if ((by == WK_BY_WINOGRAD || by == WK_BY_OWN_WINOGRAD) && !winograd_fits(dtype, shape)) by = WK_BY_DIRECT;
    return by;
}

wk_by wk__choose_convolution(wk_dtype dtype, const wk_convolution_shape *shape, wk_convolution_pass pass, int threads) {
    wk__forced *force = force_of_thread();
    wk_by by = convolution_by(force, dtype, shape, pass, threads);
    return force ? noted(force, force->convolution, by) : by;
}

bool wk__is_own_winograd(wk_dtype dtype, const wk_convolution_shape *shape, wk_convolution_pass pass, int threads) {
    return dtype == WK_F32 && convolution_by(force_of_thread(), dtype, shape, pass, threads) == WK_BY_OWN_WINOGRAD;
}
