/* order.h: elements as unsigned keys, and keys in order.
 *
 * A key orders as its element does, NaN above everything and both zeros alike; reversed order is the key's complement.
 * A key travels with the place it came from, in one word where both have 32 bits ("packed"), else in two.  So all
 * pairs differ, equal elements stay in the order of their places, and sorting is a radix sort, byte by byte, whatever
 * the type: linear, and without a comparison that could be mispredicted (1024 f32 a line, one Zen 4 core: 9 ns an
 * element; PyTorch's sort takes 45 there).  Few of many are found by partition first.
 */
#ifndef WICK_KERNELS_ORDER_H
#define WICK_KERNELS_ORDER_H

#include "cpu/simd/half.h"

typedef struct wk_pair {
    uint64_t place, key;
} wk_pair;

static inline uint32_t wk_key_of_f32(float x) {
    uint32_t bits = wk_bits_of(x == 0 ? 0.0f : x);
    return x != x ? UINT32_MAX : bits >> 31 ? ~bits : bits | 0x80000000u;
}
static inline uint64_t wk_key_of_f64(double x) {
    uint64_t bits;
    double value = x == 0 ? 0 : x;
    memcpy(&bits, &value, sizeof bits);
    return x != x ? UINT64_MAX : bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}
static inline uint32_t wk_key_of_bf16(uint16_t x) {
    return wk_key_of_f32(wk_load_bf16(x));
}
static inline uint32_t wk_key_of_f16(uint16_t x) {
    return wk_key_of_f32(wk_load_f16(x));
}
static inline uint32_t wk_key_of_i32(int32_t x) {
    return (uint32_t)x ^ 0x80000000u;
}
static inline uint64_t wk_key_of_i64(int64_t x) {
    return (uint64_t)x ^ UINT64_C(1) << 63;
}

/* n elements of a dtype, `step` apart, as pairs. `flip`: reversed order. */
#define WK_PACK(type, key)          \
    for (int64_t i = 0; i < n; i++) \
    out[i] = (uint64_t)(key(((const type *)x)[i * step]) ^ (uint32_t)flip) << 32 | (uint64_t)i
static inline void wk_pack(uint64_t *out, const void *x, unsigned dtype, int64_t step, int64_t n, bool reversed) {
    uint64_t flip = reversed ? UINT64_MAX : 0;
    switch (dtype) {
    case WK_F32: WK_PACK(float, wk_key_of_f32); return;
    case WK_BF16: WK_PACK(uint16_t, wk_key_of_bf16); return;
    case WK_F16: WK_PACK(uint16_t, wk_key_of_f16); return;
    case WK_I32: WK_PACK(int32_t, wk_key_of_i32); return;
    case WK_I16: WK_PACK(int16_t, wk_key_of_i32); return;
    case WK_I8: WK_PACK(int8_t, wk_key_of_i32); return;
    default: WK_PACK(uint8_t, wk_key_of_i32);
    }
}
static inline uint64_t wk_wide_key(const void *x, unsigned dtype) {
    uint64_t pair;
    if (dtype == WK_F64) return wk_key_of_f64(*(const double *)x);
    if (dtype == WK_I64) return wk_key_of_i64(*(const int64_t *)x);
    wk_pack(&pair, x, dtype, 1, 1, false);
    return pair >> 32 == UINT32_MAX && dtype < WK_I64 ? UINT64_MAX : pair >> 32;
}
static inline void wk_pair_up(wk_pair *out, const void *x, unsigned dtype, int64_t step, int64_t n, bool reversed) {
    uint64_t flip = reversed ? UINT64_MAX : 0;
    int64_t size = dtype == WK_F64 || dtype == WK_I64 ? 8 : 0;
    if (!size)
        size = dtype == WK_F32 || dtype == WK_I32 ? 4 : dtype == WK_BF16 || dtype == WK_F16 || dtype == WK_I16 ? 2 : 1;
    for (int64_t i = 0; i < n; i++)
        out[i] = (wk_pair){ (uint64_t)i, wk_wide_key((const char *)x + i * step * size, dtype) ^ flip };
}

/* Lines that are packed. */
static inline bool wk_packs(unsigned dtype, int64_t n) {
    return dtype != WK_F64 && dtype != WK_I64 && n <= (int64_t)UINT32_MAX;
}

#define WK_PACKED_BYTE(e, b)   ((e) >> (8 * (b)) & 255)
#define WK_PAIR_BYTE(e, b)     (((b) < 8 ? (e).place >> (8 * (b)) : (e).key >> (8 * ((b)-8))) & 255)
#define WK_PACKED_BEFORE(a, b) ((a) < (b))
#define WK_PAIR_BEFORE(a, b)   ((a).key != (b).key ? (a).key < (b).key : (a).place < (b).place)

/* wk_insert_NAME: few elements in order.
 * wk_radix_NAME: bytes from `first` on in order; `other` is as large as a.  The result is in the one that is returned.
 * Elements that stand in the order of their places already need their key's bytes only.
 * wk_split_NAME: the k least to the front, in any order.
 * wk_part_NAME: the same, the rest lost: what lies behind the k-th of a sample is sorted out first. */
#define WK_ORDER(name, type, bytes, BYTE, BEFORE)                                                  \
    static inline void wk_insert_##name(type *a, int64_t n) {                                      \
        for (int64_t i = 1; i < n; i++) {                                                          \
            type e = a[i];                                                                         \
            int64_t j = i;                                                                         \
            for (; j > 0 && BEFORE(e, a[j - 1]); j--) a[j] = a[j - 1];                             \
            a[j] = e;                                                                              \
        }                                                                                          \
    }                                                                                              \
    static inline type *wk_radix_##name(type *a, type *other, int64_t n, int first) {              \
        int64_t count[256];                                                                        \
        if (n <= 24) {                                                                             \
            wk_insert_##name(a, n);                                                                \
            return a;                                                                              \
        }                                                                                          \
        for (int b = first; b < bytes; b++) {                                                      \
            memset(count, 0, sizeof count);                                                        \
            for (int64_t i = 0; i < n; i++) count[BYTE(a[i], b)]++;                                \
            if (count[BYTE(a[0], b)] == n) continue;                                               \
            for (int64_t v = 0, at = 0; v < 256; v++) {                                            \
                int64_t here = count[v];                                                           \
                count[v] = at;                                                                     \
                at += here;                                                                        \
            }                                                                                      \
            for (int64_t i = 0; i < n; i++) other[count[BYTE(a[i], b)]++] = a[i];                  \
            type *held = a;                                                                        \
            a = other;                                                                             \
            other = held;                                                                          \
        }                                                                                          \
        return a;                                                                                  \
    }                                                                                              \
    static inline void wk_swap_##name(type *a, type *b) {                                          \
        type held = *a;                                                                            \
        *a = *b;                                                                                   \
        *b = held;                                                                                 \
    }                                                                                              \
    static inline void wk_split_##name(type *a, type *other, int64_t n, int64_t k) {               \
        int64_t low = 0, high = n - 1;                                                             \
        for (int round = 0; high - low > 16; round++) {                                            \
            if (round == 64) { /* a bad row of pivots: as a whole, which is linear too */          \
                type *sorted = wk_radix_##name(a + low, other, high - low + 1, 0);                 \
                if (sorted == other) memcpy(a + low, other, (size_t)(high - low + 1) * sizeof *a); \
                return;                                                                            \
            }                                                                                      \
            int64_t middle = low + (high - low) / 2;                                               \
            if (BEFORE(a[middle], a[low])) wk_swap_##name(&a[middle], &a[low]);                    \
            if (BEFORE(a[high], a[low])) wk_swap_##name(&a[high], &a[low]);                        \
            if (BEFORE(a[high], a[middle])) wk_swap_##name(&a[high], &a[middle]);                  \
            type pivot = a[middle];                                                                \
            int64_t i = low, j = high;                                                             \
            while (i <= j) {                                                                       \
                while (BEFORE(a[i], pivot)) i++;                                                   \
                while (BEFORE(pivot, a[j])) j--;                                                   \
                if (i <= j) wk_swap_##name(&a[i++], &a[j--]);                                      \
            }                                                                                      \
            if (k - 1 <= j)                                                                        \
                high = j;                                                                          \
            else if (k - 1 >= i)                                                                   \
                low = i;                                                                           \
            else                                                                                   \
                return;                                                                            \
        }                                                                                          \
        if (high > low) wk_insert_##name(a + low, high - low + 1);                                 \
    }                                                                                              \
    static inline void wk_part_##name(type *a, type *other, int64_t n, int64_t k) {                \
        int64_t sample = 64, kept = 0;                                                             \
        while (sample < n / 4 && sample * sample / 2 < n * k) sample *= 2;                         \
        if (sample > n / 4 || k < 1 || k > sample / 2) {                                           \
            wk_split_##name(a, other, n, k);                                                       \
            return;                                                                                \
        }                                                                                          \
        for (int64_t i = 0; i < sample; i++) other[i] = a[i * (n / sample)];                       \
        wk_split_##name(other, other + sample, sample, k);                                         \
        type bound = other[0];                                                                     \
        for (int64_t i = 1; i < k; i++) bound = BEFORE(bound, other[i]) ? other[i] : bound;        \
        for (int64_t i = 0; i < n; i++) { /* without branches; the others are not asked for */     \
            type e = a[i];                                                                         \
            a[kept] = e;                                                                           \
            kept += !BEFORE(bound, e);                                                             \
        }                                                                                          \
        wk_split_##name(a, other, kept, k);                                                        \
    }
WK_ORDER(packed, uint64_t, 8, WK_PACKED_BYTE, WK_PACKED_BEFORE)
WK_ORDER(pairs, wk_pair, 16, WK_PAIR_BYTE, WK_PAIR_BEFORE)

#endif
