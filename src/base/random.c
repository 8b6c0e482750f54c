/* random.c: mt19937 with PyTorch's ways of drawing, and Philox 4x32-10.
 *
 * Sources: Matsumoto & Nishimura 1998 for mt19937; the draws match torch 2 (aten/src/ATen/core/DistributionsHelper.h
 * and native/cpu/DistributionTemplates.h describe them) and are pinned by golden values.
 */
#include "wick/random.h"

#include <math.h>

enum { WORDS = 624, SHIFT = 397 };

void wk_generator_seed(wk_generator *g, uint64_t seed) {
    *g = (wk_generator){ .next = WORDS, .seed = seed };
    g->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < WORDS; i++)
        g->state[i] = UINT32_C(1812433253) * (g->state[i - 1] ^ (g->state[i - 1] >> 30)) + i;
}

static void renew(wk_generator *g) {
    uint32_t *s = g->state;
    for (int i = 0; i < WORDS; i++) {
        uint32_t mixed = (s[i] & 0x80000000u) | (s[(i + 1) % WORDS] & 0x7fffffffu);
        s[i] = s[(i + SHIFT) % WORDS] ^ (mixed >> 1) ^ (mixed & 1 ? 0x9908b0dfu : 0);
    }
    g->next = 0;
}

uint32_t wk_random_u32(wk_generator *g) {
    if (g->next >= WORDS) renew(g);
    uint32_t y = g->state[g->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

uint64_t wk_random_u64(wk_generator *g) {
    uint64_t high = wk_random_u32(g);
    return high << 32 | wk_random_u32(g);
}

static float unit_f32(wk_generator *g) {
    return (float)(wk_random_u32(g) & 0xffffffu) * 0x1p-24f;
}

static double unit_f64(wk_generator *g) {
    return (double)(wk_random_u64(g) & ((UINT64_C(1) << 53) - 1)) * 0x1p-53;
}

/* Scaling rounds once: PyTorch's build contracts it, and initial weights are compared bit for bit. */
void wk_random_uniform_f32(wk_generator *g, float *values, int64_t count, double from, double to) {
    float low = (float)from, high = (float)to;
    for (int64_t i = 0; i < count; i++) values[i] = fmaf(unit_f32(g), high - low, low);
}

void wk_random_uniform_f64(wk_generator *g, double *values, int64_t count, double from, double to) {
    for (int64_t i = 0; i < count; i++) values[i] = fma(unit_f64(g), to - from, from);
}

static const double TWO_PI = 6.283185307179586;

static double one_normal(wk_generator *g) {
    if (g->has_normal) {
        g->has_normal = 0;
        return g->waiting_normal;
    }
    double angle = TWO_PI * unit_f64(g), radius = sqrt(-2 * log1p(-unit_f64(g)));
    g->waiting_normal = radius * sin(angle);
    g->has_normal = 1;
    return radius * cos(angle);
}

/* Box-Muller on sixteen uniform numbers: the first eight give radii, the last eight angles. */
static void sixteen_normals(float *v /* (16) */, float mean, float deviation) {
    for (int j = 0; j < 8; j++) {
        float radius = sqrtf(-2 * logf(1 - v[j])), angle = (float)TWO_PI * v[j + 8];
        v[j] = radius * cosf(angle) * deviation + mean;
        v[j + 8] = radius * sinf(angle) * deviation + mean;
    }
}

void wk_random_normal_f32(wk_generator *g, float *values, int64_t count, double mean, double deviation) {
    if (count < 16) {
        for (int64_t i = 0; i < count; i++) values[i] = (float)(one_normal(g) * deviation + mean);
        return;
    }
    for (int64_t i = 0; i < count; i++) values[i] = unit_f32(g);
    for (int64_t i = 0; i + 16 <= count; i += 16) sixteen_normals(values + i, (float)mean, (float)deviation);
    if (count % 16 == 0) return;
    float *last = values + count - 16;
    for (int i = 0; i < 16; i++) last[i] = unit_f32(g);
    sixteen_normals(last, (float)mean, (float)deviation);
}

static void sixteen_normals_f64(double *v /* (16) */, double mean, double deviation) {
    for (int j = 0; j < 8; j++) {
        double radius = sqrt(-2 * log(1 - v[j])), angle = TWO_PI * v[j + 8];
        v[j] = radius * cos(angle) * deviation + mean;
        v[j + 8] = radius * sin(angle) * deviation + mean;
    }
}

void wk_random_normal_f64(wk_generator *g, double *values, int64_t count, double mean, double deviation) {
    if (count < 16) {
        for (int64_t i = 0; i < count; i++) values[i] = one_normal(g) * deviation + mean;
        return;
    }
    for (int64_t i = 0; i < count; i++) values[i] = unit_f64(g);
    for (int64_t i = 0; i + 16 <= count; i += 16) sixteen_normals_f64(values + i, mean, deviation);
    if (count % 16 == 0) return;
    double *last = values + count - 16;
    for (int i = 0; i < 16; i++) last[i] = unit_f64(g);
    sixteen_normals_f64(last, mean, deviation);
}

void wk_random_permutation(wk_generator *g, int64_t *order, int64_t count) {
    for (int64_t i = 0; i < count; i++) order[i] = i;
    for (int64_t i = 0; i + 1 < count; i++) {
        int64_t other = i + (int64_t)(wk_random_u32(g) % (uint64_t)(count - i));
        int64_t kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

void wk_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c[4] = { counter[0], counter[1], counter[2], counter[3] }, k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = UINT64_C(0xD2511F53) * c[0], b = UINT64_C(0xCD9E8D57) * c[2];
        uint32_t n0 = (uint32_t)(b >> 32) ^ c[1] ^ k0, n2 = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[0] = n0;
        c[1] = (uint32_t)b;
        c[2] = n2;
        c[3] = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < 4; i++) out[i] = c[i];
}
