/* pack.h: operands of bf16 as tiles want them.
 *
 * A panel holds 32 rows of A, or 32 columns of B, step after step of 32 along the summed axis; a step is two tiles of
 * 1 KB.  A tile of A has 16 rows of 32 numbers; one of B has 16 rows of 16 pairs, a pair being two numbers of a column
 * that follow each other along the summed axis.  What lies beyond an operand's edge is zero in both.
 */
#ifndef WICK_KERNELS_CPU_AMX_PACK_H
#define WICK_KERNELS_CPU_AMX_PACK_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

enum { WK_AMX_SIDE = 32, WK_AMX_STEP = 32, WK_AMX_TILE = 512 /* numbers */, WK_AMX_PAIR = 2 * WK_AMX_TILE };

/* One operand: `across` is the stride of its rows (of B: columns), `along` that of the summed axis; one of them is 1.
 */
typedef struct wk_amx_operand {
    const uint16_t *data;
    int64_t across, along, count; /* count: of rows, or columns */
    bool is_b;
} wk_amx_operand;

static inline __mmask32 wk_amx_mask(int64_t left) {
    return left >= 32 ? 0xffffffffu : left > 0 ? (__mmask32)((1u << left) - 1) : 0;
}

/* 16 × 16 words of 32 bits, turned in place. */
static inline __attribute__((always_inline)) void wk_amx_turn(__m512i v[16]) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 16; i += 8)
        for (int k = 0; k < 4; k++) {
            t[i + k] = _mm512_shuffle_i32x4(v[i + k], v[i + k + 4], 0x88);
            t[i + k + 4] = _mm512_shuffle_i32x4(v[i + k], v[i + k + 4], 0xdd);
        }
    for (int k = 0; k < 8; k++) {
        v[k] = _mm512_shuffle_i32x4(t[k], t[k + 8], 0x88);
        v[k + 8] = _mm512_shuffle_i32x4(t[k], t[k + 8], 0xdd);
    }
}

/* The four layouts: one step of a panel, of the rows (columns) from `from` on and `k` ≤ 32 numbers along the summed
 * axis from k0 on. */

/* Of A, numbers along the summed axis lie together: they are a tile's row already. */
static inline void wk_amx_rows(uint16_t *to, const wk_amx_operand *x, int64_t from, int64_t k0, int64_t k) {
    const __mmask32 inside = wk_amx_mask(k);
    const uint16_t *row = x->data + from * x->across + k0;
    for (int i = 0; i < WK_AMX_SIDE; i++, row += x->across)
        _mm512_store_si512(to + 32 * i,
                           from + i < x->count ? _mm512_maskz_loadu_epi16(inside, row) : _mm512_setzero_si512());
}

/* The same of B: pairs are turned. */
static inline void wk_amx_turned_columns(uint16_t *to, const wk_amx_operand *x, int64_t from, int64_t k0, int64_t k) {
    const __mmask32 inside = wk_amx_mask(k);
    const uint16_t *column = x->data + from * x->across + k0;
    for (int half = 0; half < WK_AMX_SIDE; half += 16, to += WK_AMX_TILE) {
        __m512i v[16];
        for (int i = 0; i < 16; i++, column += x->across)
            v[i] = from + half + i < x->count ? _mm512_maskz_loadu_epi16(inside, column) : _mm512_setzero_si512();
        wk_amx_turn(v);
        for (int i = 0; i < 16; i++) _mm512_store_si512(to + 32 * i, v[i]);
    }
}

/* Of B, numbers of neighbouring columns lie together: two such rows are zipped. */
static inline void wk_amx_columns(uint16_t *to, const wk_amx_operand *x, int64_t from, int64_t k0, int64_t k) {
    const __mmask32 inside = wk_amx_mask(x->count - from);
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37,
                                         5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0),
                  high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    const uint16_t *row = x->data + from + k0 * x->along;
    for (int i = 0; i < WK_AMX_STEP; i += 2, row += 2 * x->along, to += 32) {
        const __m512i even = i < k ? _mm512_maskz_loadu_epi16(inside, row) : _mm512_setzero_si512();
        const __m512i odd = i + 1 < k ? _mm512_maskz_loadu_epi16(inside, row + x->along) : _mm512_setzero_si512();
        _mm512_store_si512(to, _mm512_permutex2var_epi16(even, low, odd));
        _mm512_store_si512(to + WK_AMX_TILE, _mm512_permutex2var_epi16(even, high, odd));
    }
}

/* The same of A: zipped into pairs, and those turned. */
static inline void wk_amx_turned_rows(uint16_t *to, const wk_amx_operand *x, int64_t from, int64_t k0, int64_t k) {
    for (int half = 0; half < WK_AMX_SIDE; half += 16, to += WK_AMX_TILE) {
        __m512i v[16];
        const __mmask16 inside = (__mmask16)wk_amx_mask(x->count - from - half);
        const uint16_t *row = x->data + from + half + k0 * x->along;
        for (int i = 0; i < 16; i++, row += 2 * x->along) {
            const __m256i none = _mm256_setzero_si256();
            const __m256i even = 2 * i < k ? _mm256_maskz_loadu_epi16(inside, row) : none;
            const __m256i odd = 2 * i + 1 < k ? _mm256_maskz_loadu_epi16(inside, row + x->along) : none;
            v[i] = _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
        }
        wk_amx_turn(v);
        for (int i = 0; i < 16; i++) _mm512_store_si512(to + 32 * i, v[i]);
    }
}

static inline void wk_amx_pack_step(uint16_t *to, const wk_amx_operand *x, int64_t from, int64_t k0, int64_t k) {
    if (x->along == 1)
        x->is_b ? wk_amx_turned_columns(to, x, from, k0, k) : wk_amx_rows(to, x, from, k0, k);
    else
        x->is_b ? wk_amx_columns(to, x, from, k0, k) : wk_amx_turned_rows(to, x, from, k0, k);
}

#endif
