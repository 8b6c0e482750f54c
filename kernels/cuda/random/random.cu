/* random.cu: numbers drawn by Philox, each a function of key and logical position: the same as on the CPU, whatever the
 * layout and the grid.
 *
 * Element i takes word i % 4 of the block with counter i / 4; what needs 64 bits takes words 2 (i % 2) and the next of
 * block i / 2.  So a thread draws one block and makes of it the four (or two) elements that it serves.  Uniform numbers,
 * integers, masks and permutations have the CPU's bits; normal and exponential ones go through functions that round
 * otherwise.  Writes each element once; roof: memory bandwidth.
 */
#include "cuda/random/random.h"

#include "cuda/elements.h"
#include "cuda/random/philox.h"
#include "cuda/turn.h"

namespace {

struct Plan {
    wk_cuda_key key;
    double a, b;
    int64_t count;
};

__device__ __forceinline__ int64_t thread_number() {
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

/* Each makes the N values of a block: `below` is the largest number under b. */
struct Uniform {
    static __device__ __forceinline__ void make(const Plan &p, const uint32_t *word, float *value) {
        const float low = (float)p.a, range = (float)(p.b - p.a), below = nextafterf((float)p.b, -INFINITY);
        for (int k = 0; k < 4; k++) {
            value[k] = low + range * wk_unit_f32(word[k]);
            if (value[k] > below && range > 0) value[k] = below; /* rounding may reach b */
        }
    }
    static __device__ __forceinline__ void make(const Plan &p, const uint32_t *word, double *value) {
        const double range = p.b - p.a, below = nextafter(p.b, -(double)INFINITY);
        for (int k = 0; k < 2; k++) {
            value[k] = p.a + range * wk_unit_f64(word + 2 * k);
            if (value[k] > below && range > 0) value[k] = below;
        }
    }
};

/* Box and Muller: two uniform numbers make two normal ones; the first lies in (0, 1]. */
struct Normal {
    static __device__ __forceinline__ void make(const Plan &p, const uint32_t *word, float *value) {
        for (int k = 0; k < 4; k += 2) {
            const float radius = sqrtf(-2 * logf(wk_unit_f32(word[k]) + 0x1p-24f));
            float cosine, sine;
            wk_turn(wk_unit_f32(word[k + 1]), &cosine, &sine);
            value[k] = (float)p.a + (float)p.b * (radius * cosine);
            value[k + 1] = (float)p.a + (float)p.b * (radius * sine);
        }
    }
    static __device__ __forceinline__ void make(const Plan &p, const uint32_t *word, double *value) {
        const double radius = sqrt(-2 * log(wk_unit_f64(word) + 0x1p-53));
        double cosine, sine;
        wk_turn(wk_unit_f64(word + 2), &cosine, &sine);
        value[0] = p.a + p.b * radius * cosine;
        value[1] = p.a + p.b * radius * sine;
    }
};

struct Exponential {
    static __device__ __forceinline__ void make(const Plan &p, const uint32_t *word, float *value) {
        for (int k = 0; k < 4; k++) value[k] = -(float)(1 / p.a) * logf(wk_unit_f32(word[k]) + 0x1p-24f);
    }
    static __device__ __forceinline__ void make(const Plan &p, const uint32_t *word, double *value) {
        for (int k = 0; k < 2; k++) value[k] = -log(wk_unit_f64(word + 2 * k) + 0x1p-53) / p.a;
    }
};

template <class D, class T> __global__ void draw(const Plan p, T *out) {
    constexpr int N = sizeof(T) == 8 ? 2 : 4;
    const int64_t block = thread_number();
    if (block * N >= p.count) return;
    uint32_t word[4];
    wk_real<T> value[N];
    wk_philox_block(p.key, (uint64_t)block, word);
    D::make(p, word, value);
    for (int k = 0; k < N && block * N + k < p.count; k++) wk_put(out + block * N + k, value[k]);
}

__global__ void integers(const wk_cuda_key key, int64_t low, uint64_t range, int64_t *out, int64_t count) {
    const int64_t block = thread_number();
    if (block * 2 >= count) return;
    uint32_t word[4];
    wk_philox_block(key, (uint64_t)block, word);
    for (int k = 0; k < 2 && block * 2 + k < count; k++)
        out[block * 2 + k] = (int64_t)((uint64_t)low + wk_below(word + 2 * k, range));
}

template <class T> __global__ void coins(const wk_cuda_key key, T *out, const T *p, const wk_walk walk) {
    constexpr int N = sizeof(T) == 8 ? 2 : 4;
    const int64_t block = thread_number();
    if (block * N >= walk.count) return;
    uint32_t word[4];
    wk_philox_block(key, (uint64_t)block, word);
    for (int k = 0; k < N && block * N + k < walk.count; k++) {
        int64_t offset[2];
        wk_walk_offsets<2>(walk, block * N + k, offset);
        const wk_real<T> drawn = N == 2 ? (wk_real<T>)wk_unit_f64(word + 2 * (k & 1)) : (wk_real<T>)wk_unit_f32(word[k]);
        wk_put(out + offset[0], drawn < wk_get(p[offset[1]]) ? wk_real<T>(1) : wk_real<T>(0));
    }
}

template <class T>
__global__ void drop(const wk_cuda_key key, uint32_t threshold, wk_real<T> scale, T *out, const T *x,
                     const wk_walk walk) {
    const int64_t block = thread_number();
    if (block * 4 >= walk.count) return;
    uint32_t word[4];
    wk_philox_block(key, (uint64_t)block, word);
    for (int k = 0; k < 4 && block * 4 + k < walk.count; k++) {
        int64_t offset[2];
        wk_walk_offsets<2>(walk, block * 4 + k, offset);
        const wk_real<T> kept = wk_get(x[offset[1]]) * scale;
        wk_put(out + offset[0], word[k] >= threshold ? kept : wk_real<T>(0));
    }
}

/* Fisher and Yates: each exchange depends on those before, so one thread does them all.  The draw for position i is that
 * of element i. */
__global__ void shuffle(const wk_cuda_key key, int64_t *order, int64_t count) {
    uint32_t word[4];
    for (int64_t i = 0; i < count; i++) order[i] = i;
    for (int64_t i = 0; i + 1 < count; i++) {
        if (i % 2 == 0) wk_philox_block(key, (uint64_t)i / 2, word);
        const int64_t other = i + (int64_t)wk_below(word + 2 * (i % 2), (uint64_t)(count - i)), held = order[i];
        order[i] = order[other];
        order[other] = held;
    }
}

unsigned blocks_for(int64_t threads) {
    return (unsigned)((threads + 255) / 256);
}

template <class D, class T> int launch_draw(const Plan &p, void *out, void *stream) {
    constexpr int N = sizeof(T) == 8 ? 2 : 4;
    return WK_LAUNCH((draw<D, T>), blocks_for((p.count + N - 1) / N), 256, 0, stream, p, static_cast<T *>(out));
}
template <class T> int draw_of(int distribution, const Plan &p, void *out, void *stream) {
    if (distribution == WK_CUDA_UNIFORM) return launch_draw<Uniform, T>(p, out, stream);
    if (distribution == WK_CUDA_NORMAL) return launch_draw<Normal, T>(p, out, stream);
    return launch_draw<Exponential, T>(p, out, stream);
}

template <class T>
int coins_of(wk_cuda_key key, void *out, const void *p, const wk_walk &walk, void *stream) {
    constexpr int N = sizeof(T) == 8 ? 2 : 4;
    return WK_LAUNCH(coins<T>, blocks_for((walk.count + N - 1) / N), 256, 0, stream, key, static_cast<T *>(out),
                     static_cast<const T *>(p), walk);
}
template <class T>
int drop_of(wk_cuda_key key, double p, void *out, const void *x, const wk_walk &walk, void *stream) {
    return WK_LAUNCH(drop<T>, blocks_for((walk.count + 3) / 4), 256, 0, stream, key, (uint32_t)(p * 0x1p32),
                     (wk_real<T>)(1 / (1 - p)), static_cast<T *>(out), static_cast<const T *>(x), walk);
}

} // namespace

extern "C" int wk__cuda_draw(int distribution, wk_cuda_key key, double a, double b, int dtype, void *out, int64_t count,
                            void *stream) {
    const Plan p{ key, a, b, count };
    if (count == 0) return 0;
    WK_FLOAT_CASES(dtype, draw_of, distribution, p, out, stream)
}
extern "C" int wk__cuda_randint(wk_cuda_key key, int64_t low, uint64_t range, int64_t *out, int64_t count,
                               void *stream) {
    if (count == 0) return 0;
    return WK_LAUNCH(integers, blocks_for((count + 1) / 2), 256, 0, stream, key, low, range, out, count);
}
extern "C" int wk__cuda_bernoulli(wk_cuda_key key, int dtype, void *out, const void *p, const wk_walk *walk,
                                 void *stream) {
    if (walk->count == 0) return 0;
    WK_FLOAT_CASES(dtype, coins_of, key, out, p, *walk, stream)
}
extern "C" int wk__cuda_dropout(wk_cuda_key key, double p, int dtype, void *out, const void *x,
                               const wk_walk *walk, void *stream) {
    if (walk->count == 0) return 0;
    WK_FLOAT_CASES(dtype, drop_of, key, p, out, x, *walk, stream)
}
extern "C" int wk__cuda_permutation(wk_cuda_key key, int64_t *order, int64_t count, void *stream) {
    if (count == 0) return 0;
    return WK_LAUNCH(shuffle, 1, 1, 0, stream, key, order, count);
}
