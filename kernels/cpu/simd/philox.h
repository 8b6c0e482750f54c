/* philox.h: Philox 4x32-10, several blocks at a time.
 *
 * A round multiplies two of the four words by constants and keeps both halves of the 64-bit products.  Words are held
 * in lanes of 64 bits, because that is what the vector multiplication (vpmuludq: low half by low half) reads and
 * writes: what is left in the upper halves is never looked at, so a round is two products, two shifts and four
 * exclusive ors.  gcc 12 does not find this from a loop over uint32_t: dropout as a whole took 3.8 ns an element under
 * AVX-512 with one, and takes 0.53 with this.
 */
#ifndef WICK_KERNELS_PHILOX_H
#define WICK_KERNELS_PHILOX_H

#include "cpu/cpu.h"

#include <string.h>
#ifdef __x86_64__
#    include <immintrin.h>
#endif

/* As many lanes as a register has; wk_wide_product multiplies the lower halves. */
#if defined __AVX512F__
enum { WK_WIDE = 8 };
typedef uint64_t wk_wide __attribute__((vector_size(64)));
typedef uint32_t wk_narrowed __attribute__((vector_size(32)));
#    define wk_wide_product(a, b) ((wk_wide)_mm512_mul_epu32((__m512i)(a), (__m512i)(b)))
#    define wk_wide_lower(a, b)   __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#    define wk_wide_upper(a, b)   __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif defined __AVX2__
enum { WK_WIDE = 4 };
typedef uint64_t wk_wide __attribute__((vector_size(32)));
typedef uint32_t wk_narrowed __attribute__((vector_size(16)));
#    define wk_wide_product(a, b) ((wk_wide)_mm256_mul_epu32((__m256i)(a), (__m256i)(b)))
#    define wk_wide_lower(a, b)   __builtin_shufflevector(a, b, 0, 4, 1, 5)
#    define wk_wide_upper(a, b)   __builtin_shufflevector(a, b, 2, 6, 3, 7)
#else
enum { WK_WIDE = 2 };
typedef uint64_t wk_wide __attribute__((vector_size(16)));
typedef uint32_t wk_narrowed __attribute__((vector_size(8)));
#    ifdef __x86_64__
#        define wk_wide_product(a, b) ((wk_wide)_mm_mul_epu32((__m128i)(a), (__m128i)(b)))
#    else
#        define wk_wide_product(a, b) (((a)&0xffffffffu) * (b))
#    endif
#    define wk_wide_lower(a, b) __builtin_shufflevector(a, b, 0, 2)
#    define wk_wide_upper(a, b) __builtin_shufflevector(a, b, 1, 3)
#endif

typedef struct wk_philox {
    uint32_t seed[2];
    uint64_t draw; /* the counter's upper half */
} wk_philox;

/* The blocks of WK_WIDE counters: word w of each in the lower halves of word[w]. */
static inline void wk_philox_blocks(const wk_philox *key, const wk_wide *counter, wk_wide word[4]) {
    const wk_wide zero = { 0 }, first = zero + 0xD2511F53u, second = zero + 0xCD9E8D57u;
    wk_wide c0 = *counter, c1 = *counter >> 32, c2 = zero + key->draw, c3 = zero + (key->draw >> 32);
    uint32_t k0 = key->seed[0], k1 = key->seed[1];
    for (int round = 0; round < 10; round++) {
        wk_wide a = wk_wide_product(c0, first), b = wk_wide_product(c2, second);
        c0 = (b >> 32) ^ c1 ^ k0;
        c2 = (a >> 32) ^ c3 ^ k1;
        c1 = b;
        c3 = a;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

/* Words of `blocks` consecutive counters from `first` on, in order; blocks is a multiple of WK_WIDE. */
static inline void wk_philox_run(const wk_philox *key, uint64_t first, int blocks,
                                 uint32_t *restrict words /* (blocks, 4) */) {
    wk_wide counter;
    for (int l = 0; l < WK_WIDE; l++) counter[l] = first + (uint64_t)l;
    for (int done = 0; done < blocks; done += WK_WIDE, counter += WK_WIDE, words += 4 * WK_WIDE) {
        wk_wide word[4];
        wk_philox_blocks(key, &counter, word);
        wk_wide front = (word[0] & 0xffffffffu) | (word[1] << 32), back = (word[2] & 0xffffffffu) | (word[3] << 32);
        wk_wide lower = wk_wide_lower(front, back), upper = wk_wide_upper(front, back);
        memcpy(words, &lower, sizeof lower);
        memcpy(words + 2 * WK_WIDE, &upper, sizeof upper);
    }
}

#endif
