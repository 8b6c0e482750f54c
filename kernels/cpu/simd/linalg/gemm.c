/* gemm.c: Wick's own matrix product, the fallback and the small-shape kernel.
 *
 * The usual three levels (Goto & van de Geijn 2008): blocks of KC steps of the summed axis are packed into panels, a
 * tile of C stays in registers while it walks along them.  Packing converts bf16 and f16 and removes strides, so there
 * is one inner loop for every layout and every narrow type.  It is written with vector extensions; the tile is that
 * of registers.h.
 *
 * On a Zen 4 server (peak 118 GFLOP/s a core) v4 runs 512³ at 110 GFLOP/s on one thread and 210 on two, where OpenBLAS
 * 0.3.21 has 107 and 210.  A product below WK_CPU_GRAIN of operands, or of fewer than 2^19 multiplications, stays on
 * the caller's thread.
 */
#include "cpu/simd/linalg/gemm.h"

#include "cpu/scratch.h"
#include "cpu/simd/half.h"
#include "cpu/simd/linalg/registers.h"

#include <omp.h>
#include <string.h>

#define KC 256  /* steps of K in a panel: a panel of A is 12 KB, of B 32 KB */
#define NC 4096 /* columns of B packed at a time */
#define MC 4092 /* rows of A packed at a time; a multiple of MR */

typedef float wk_quad __attribute__((vector_size(16), aligned(4), may_alias));

static size_t wk_gemm_size(wk_dtype dtype) {
    return dtype == WK_F64 ? 8 : dtype == WK_F32 ? 4 : 2;
}

/* The narrowest kernel's width, a multiple of `unit`, that holds `count`. */
static int64_t wk_gemm_width(int64_t count, int64_t unit, int64_t most) {
    int64_t width = (count + unit - 1) / unit * unit;
    return width < most ? width : most;
}

static void wk_gemm_wait(int64_t team) {
    if (team > 1) {
#pragma omp barrier
    }
}

#define REAL        float
#define WORD        int32_t
#define LANES       (VECTOR_BYTES / 4)
#define NAME(x)     x##_f32
#define REAL_DTYPE  WK_F32
#define REAL_IS_F32 1
#include "cpu/simd/linalg/gemm_body.h"
#undef REAL
#undef WORD
#undef LANES
#undef NAME
#undef REAL_DTYPE
#undef REAL_IS_F32

#define REAL        double
#define WORD        int64_t
#define LANES       (VECTOR_BYTES / 8)
#define NAME(x)     x##_f64
#define REAL_DTYPE  WK_F64
#define REAL_IS_F32 0
#include "cpu/simd/linalg/gemm_body.h"
#undef REAL
#undef WORD
#undef LANES
#undef NAME
#undef REAL_DTYPE
#undef REAL_IS_F32

static bool is_narrow(wk_dtype dtype) {
    return dtype == WK_BF16 || dtype == WK_F16;
}

/* bf16 and f16 results are summed in f32 first: the blocks of K would round in between. */
static size_t narrow_bytes(const wk_gemm *g) {
    return is_narrow(g->c_dtype) ? (size_t)((g->m < MC ? g->m : MC) * g->n * 4 + 63) / 64 * 64 : 0;
}

size_t WK_GEMM_BUFFER(const wk_gemm *g) {
    int64_t a_elements;
    wk_gemm rows = *g;
    if (rows.m > MC) rows.m = MC;
    if (g->c_dtype == WK_F64) return (size_t)pack_elements_f64(&rows, &a_elements) * 8;
    const size_t bytes = (size_t)pack_elements_f32(&rows, &a_elements) * 4 + narrow_bytes(g);
    const bool both = g->a.dtype == WK_BF16 && g->b.dtype == WK_BF16;
    if (!both || g->m * g->n * g->k == 0 || !wk_gemm_has_tiles()) return bytes;
    const size_t for_tiles = wk__amx_buffer(g);
    return for_tiles > bytes ? for_tiles : bytes;
}

size_t WK_GEMM_PACKED(const wk_gemm *g) {
    size_t panel = g->c_dtype == WK_F64 ? 2 * VECTOR_BYTES / 8 : 2 * VECTOR_BYTES / 4;
    size_t columns = ((size_t)g->n + panel - 1) / panel * panel;
    return columns * (size_t)g->k * (g->c_dtype == WK_F64 ? 8 : 4);
}

void WK_GEMM_PACK(const wk_gemm *g, void *packed) {
    if (g->c_dtype == WK_F64)
        pack_whole_f64(g, packed);
    else
        pack_whole_f32(g, packed);
}

static float load_any(const void *data, wk_dtype dtype, int64_t i) {
    uint16_t bits = ((const uint16_t *)data)[i];
    return dtype == WK_BF16 ? wk_load_bf16(bits) : wk_load_f16(bits);
}

static void finish_narrow(const wk_gemm *g, const float *sums /* (M, N) */) {
    for (int64_t i = 0; i < g->m; i++) {
        uint16_t *c = (uint16_t *)g->c + i * g->c_row;
        for (int64_t j = 0; j < g->n; j++) {
            float value = sums[i * g->n + j];
            if (g->bias) value += load_any(g->bias, g->c_dtype, j);
            if (g->relu && value < 0) value = 0;
            c[j] = g->c_dtype == WK_BF16 ? wk_store_bf16(value) : wk_store_f16(value);
        }
    }
}

/* Nothing to sum: activation(bias), or C unchanged. */
static void no_steps(const wk_gemm *g) {
    if (g->accumulate) return;
    for (int64_t i = 0; i < g->m; i++) {
        char *row = (char *)g->c + (size_t)(i * g->c_row) * wk_gemm_size(g->c_dtype);
        if (!g->bias) {
            memset(row, 0, (size_t)g->n * wk_gemm_size(g->c_dtype));
        } else if (g->c_dtype == WK_F64) {
            const double *bias = g->bias;
            for (int64_t j = 0; j < g->n; j++) ((double *)(void *)row)[j] = g->relu && bias[j] < 0 ? 0 : bias[j];
        } else if (g->c_dtype == WK_F32) {
            const float *bias = g->bias;
            for (int64_t j = 0; j < g->n; j++) ((float *)(void *)row)[j] = g->relu && bias[j] < 0 ? 0 : bias[j];
        } else {
            float zero = 0;
            wk_gemm one = *g;
            one.m = 1, one.c = row;
            for (int64_t j = 0; j < g->n; j++) {
                one.n = 1, one.c = row + 2 * j, one.bias = (const char *)g->bias + 2 * j;
                finish_narrow(&one, &zero);
            }
        }
    }
}

static void rows_of(const wk_gemm *g, char *buffer) {
    if (g->c_dtype == WK_F64) {
        product_f64(g, (double *)(void *)buffer, g->c, g->c_row);
    } else if (g->c_dtype == WK_F32) {
        product_f32(g, (float *)(void *)buffer, g->c, g->c_row);
    } else {
        wk_gemm plain = *g;
        plain.bias = NULL, plain.relu = false;
        float *sums = (float *)(void *)buffer;
        product_f32(&plain, (float *)(void *)(buffer + narrow_bytes(g)), sums, g->n);
        finish_narrow(g, sums);
    }
}

static bool by_tiles(const wk_gemm *g, wk_status *status) {
#if defined __AVX512F__ && defined __x86_64__
    if (!wk__amx_takes(g)) return false;
    const size_t bytes = wk__amx_buffer(g);
    if (g->buffer && g->buffer_bytes < bytes) return false;
    void *buffer = g->buffer ? g->buffer : wk__cpu_scratch(WK_SCRATCH_PACK, bytes);
    *status = buffer ? WK_OK : WK_NO_MEMORY;
    if (buffer) wk__amx_gemm(g, buffer);
    return true;
#else
    (void)g, (void)status;
    return false;
#endif
}

wk_status WK_GEMM(const wk_gemm *given) {
    wk_gemm g = *given;
    if (g.m == 0 || g.n == 0) return WK_OK;
    if (g.k == 0) return no_steps(&g), WK_OK;
    /* One column is one row of the transposed product, which needs no packing. */
    if (g.n == 1 && g.m > 1 && g.c_row == 1 && !g.bias && !g.packed) {
        wk_gemm_operand a = g.a;
        g.a = (wk_gemm_operand){ g.b.data, g.b.col, g.b.row, g.b.dtype };
        g.b = (wk_gemm_operand){ a.data, a.col, a.row, a.dtype };
        g.n = g.m, g.m = 1, g.c_row = g.n;
    }
    if (is_thin_f32(&g)) return thin_f32(&g), WK_OK;
    if (is_thin_f64(&g)) return thin_f64(&g), WK_OK;
    int64_t bytes = (g.m * g.k + g.k * g.n + g.m * g.n) * (int64_t)wk_gemm_size(g.c_dtype);
    if (bytes < WK_CPU_GRAIN || g.m * g.n * g.k < 1 << 19) g.threads = 1;
    wk_status status;
    if (by_tiles(&g, &status)) return status;
    if (g.accumulate && !g.addend) g.addend = g.c, g.addend_row = g.c_row;
    char *buffer = g.buffer;
    if (!buffer) buffer = wk__cpu_scratch(WK_SCRATCH_PACK, WK_GEMM_BUFFER(&g));
    if (!buffer) return WK_NO_MEMORY;
    for (int64_t i = 0; i < g.m; i += MC) {
        wk_gemm block = g;
        block.m = g.m - i < MC ? g.m - i : MC;
        block.a.data = (const char *)g.a.data + (size_t)(i * g.a.row) * wk_gemm_size(g.a.dtype);
        block.c = (char *)g.c + (size_t)(i * g.c_row) * wk_gemm_size(g.c_dtype);
        if (g.addend) block.addend = (const char *)g.addend + (size_t)(i * g.addend_row) * wk_gemm_size(g.c_dtype);
        rows_of(&block, buffer);
    }
    return WK_OK;
}
