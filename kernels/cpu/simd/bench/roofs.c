/* roofs.c: what this processor can do at best: bytes moved and operations done in a second, and what waking a team
 * costs.
 *
 * Not operations of the table: `wick bench` calls them by name, with buffers of f32 as operands, and holds what rows
 * reach against them.  Each thread works on its own share of the buffers, `repeats` times, so that a share that fits
 * into a cache is read from there.
 */
#include "cpu/amx/amx.h"
#include "cpu/simd/iterate.h"

#include <string.h>
#if defined(__AVX512F__) && defined(__x86_64__)
#    include <immintrin.h>
#endif

/* Memory may have changed: what the next round reads and writes is not what the compiler saw in this one. */
#define FORGET() __asm__ volatile("" ::: "memory")

#if defined(__AVX512F__)
enum { VECTOR = 64 };
#elif defined(__AVX2__)
enum { VECTOR = 32 };
#else
enum { VECTOR = 16 };
#endif
typedef float vector_f32 __attribute__((vector_size(VECTOR)));
typedef double vector_f64 __attribute__((vector_size(VECTOR)));
typedef float unaligned __attribute__((vector_size(VECTOR), aligned(4), may_alias));

/* ---- bytes ---- */

typedef void (*share)(float *restrict to, const float *restrict from, int64_t n);

static void read_share(float *restrict to, const float *restrict from, int64_t n) {
    enum { WIDTH = VECTOR / 4, SUMS = 8 };
    vector_f32 sum[SUMS] = { { 0 } };
    for (int64_t i = 0; i + SUMS * WIDTH <= n; i += SUMS * WIDTH)
        for (int k = 0; k < SUMS; k++) sum[k] += *(const unaligned *)(const void *)(from + i + k * WIDTH);
    for (int k = 1; k < SUMS; k++) sum[0] += sum[k];
    to[0] = sum[0][0];
}
static void write_share(float *restrict to, const float *restrict from, int64_t n) {
    const float value = *from;
    for (int64_t i = 0; i < n; i++) to[i] = value;
}
static void copy_share(float *restrict to, const float *restrict from, int64_t n) {
    memcpy(to, from, (size_t)n * sizeof *to);
}

static wk_status move(const wk_kernel_ctx *ctx, const wk_call *call, share one) {
    const int64_t repeats = ((const wk_roof_attrs *)call->attrs)->repeats;
    float *to = call->out[0]->data;
    const float *from = call->in[0]->data;
#pragma omp parallel num_threads(ctx->threads)
    {
        int64_t begin, end;
        wk_share(call->in[0]->count, 1024, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
        for (int64_t r = 0; r < repeats && begin < end; r++) {
            one(to + begin, from + begin, end - begin);
            FORGET();
        }
    }
    return WK_OK;
}
static wk_status roof_read(wk_kernel_ctx *ctx, const wk_call *call) {
    return move(ctx, call, read_share);
}
static wk_status roof_write(wk_kernel_ctx *ctx, const wk_call *call) {
    return move(ctx, call, write_share);
}
static wk_status roof_copy(wk_kernel_ctx *ctx, const wk_call *call) {
    return move(ctx, call, copy_share);
}

/* ---- operations ---- */

/* Chains of multiply-adds in registers: more of them than begin while one is under way, and no more than fit. */
enum { CHAINS = 12 };
#define CHAIN_LOOP(name, vector, element)                                   \
    static void name(double *to, int64_t repeats) {                         \
        vector x[CHAINS], factor = (vector){ 0 } + (element)0.999;          \
        for (int k = 0; k < CHAINS; k++) x[k] = factor * (element)k;        \
        for (int64_t r = 0; r < repeats; r++)                               \
            for (int k = 0; k < CHAINS; k++) x[k] = x[k] * factor + factor; \
        for (int k = 1; k < CHAINS; k++) x[0] += x[k];                      \
        *to = (double)x[0][0];                                              \
    }
CHAIN_LOOP(chains_f32, vector_f32, float)
CHAIN_LOOP(chains_f64, vector_f64, double)

#if defined(__AVX512F__) && defined(__x86_64__)
/* Pairs of bf16 are multiplied and added to an f32. */
__attribute__((target("avx512bf16"))) static void chains_bf16(double *to, int64_t repeats) {
    const __m512bh half = (__m512bh)_mm512_set1_epi32(0x3f003f00); /* pairs of 0.5 */
    __m512 x[CHAINS];
    for (int k = 0; k < CHAINS; k++) x[k] = _mm512_set1_ps((float)k);
    for (int64_t r = 0; r < repeats; r++)
        for (int k = 0; k < CHAINS; k++) x[k] = _mm512_dpbf16_ps(x[k], half, half);
    for (int k = 1; k < CHAINS; k++) x[0] = _mm512_add_ps(x[0], x[k]);
    *to = (double)_mm512_cvtss_f32(x[0]);
}

/* AMX: 16 × 32 times 32 × 16 bf16 are added to 16 × 16 f32, in four tiles in turn. */
enum { TILE_SIDE = 16, TILE_DEPTH = 32, TILE_ROW = 64 /* bytes */, TILE_OPERATIONS = 4 * 2 * 16 * 16 * 32 };
__attribute__((target("amx-tile,amx-bf16"))) static void tiles_bf16(double *to, int64_t repeats) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = { .palette = 1 };
    uint16_t half[TILE_SIDE * TILE_DEPTH];
    float sums[TILE_SIDE * TILE_SIDE];
    for (int i = 0; i < 8; i++) config.row_bytes[i] = TILE_ROW, config.rows[i] = TILE_SIDE;
    for (int i = 0; i < TILE_SIDE * TILE_DEPTH; i++) half[i] = 0x3f00; /* 0.5 */
    _tile_loadconfig(&config);
    _tile_loadd(4, half, TILE_ROW);
    _tile_loadd(5, half, TILE_ROW);
    _tile_loadd(6, half, TILE_ROW);
    _tile_loadd(7, half, TILE_ROW);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t r = 0; r < repeats; r++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, TILE_ROW);
    _tile_release();
    *to = (double)sums[0];
}
#endif

/* out[0] (threads), f64: what the chains came to, so that they are not left out.  in[0], f64 scalar: becomes the number
 * of operations. */
static wk_status calculate(const wk_kernel_ctx *ctx, const wk_call *call, void (*loop)(double *to, int64_t repeats),
                           int64_t operations_a_repeat) {
    const int64_t repeats = ((const wk_roof_attrs *)call->attrs)->repeats;
    double *to = call->out[0]->data;
#pragma omp parallel num_threads(ctx->threads)
    loop(to + omp_get_thread_num(), repeats);
    *(double *)call->in[0]->data = (double)(repeats * operations_a_repeat * ctx->threads);
    return WK_OK;
}
static wk_status multiply_add_f32(wk_kernel_ctx *ctx, const wk_call *call) {
    return calculate(ctx, call, chains_f32, CHAINS * 2 * VECTOR / (int)sizeof(float));
}
static wk_status multiply_add_f64(wk_kernel_ctx *ctx, const wk_call *call) {
    return calculate(ctx, call, chains_f64, CHAINS * 2 * VECTOR / (int)sizeof(double));
}
static wk_status multiply_add_bf16(wk_kernel_ctx *ctx, const wk_call *call) {
#if defined(__AVX512F__) && defined(__x86_64__)
    if (wk__amx_present()) return calculate(ctx, call, tiles_bf16, TILE_OPERATIONS);
    if (__builtin_cpu_supports("avx512bf16")) return calculate(ctx, call, chains_bf16, CHAINS * 2 * VECTOR / 2);
#endif
    (void)ctx, (void)call;
    return WK_UNSUPPORTED;
}

/* ---- the team ---- */

static wk_status roof_fork_join(wk_kernel_ctx *ctx, const wk_call *call) {
    const int64_t repeats = ((const wk_roof_attrs *)call->attrs)->repeats;
    for (int64_t r = 0; r < repeats; r++) {
#pragma omp parallel num_threads(ctx->threads)
        FORGET();
    }
    return WK_OK;
}

WK_CPU_TABLE(roofs) = {
    { "roof_read", WK_SET_OF(WK_F32), roof_read },
    { "roof_write", WK_SET_OF(WK_F32), roof_write },
    { "roof_copy", WK_SET_OF(WK_F32), roof_copy },
    { "roof_multiply_add", WK_SET_OF(WK_F32), multiply_add_f32 },
    { "roof_multiply_add", WK_SET_OF(WK_F64), multiply_add_f64 },
    { "roof_multiply_add", WK_SET_OF(WK_BF16), multiply_add_bf16 },
    { "roof_fork_join", WK_SET_OF(WK_F32), roof_fork_join },
    { 0 },
};
