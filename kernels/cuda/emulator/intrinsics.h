// intrinsics.h: what kernels call by CUDA's names: barriers, shuffles, votes, atomics, cached loads, mathematics.
//
// Only what Wick's kernels use.  Functions of reduced precision (__expf) are the full ones: what a kernel may rely on
// is their bound, not their bits.
#ifndef WICK_CUDAEMU_INTRINSICS_H
#define WICK_CUDAEMU_INTRINSICS_H

#include "execution.h"

#include <cmath>
#include <cstdint>
#include <cstring>

// CUDA has these in the global namespace, and so have kernels.
using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;

#define WK_CUDAEMU_TEXT_OF(x) #x
#define WK_CUDAEMU_TEXT(x)    WK_CUDAEMU_TEXT_OF(x)
#define WK_CUDAEMU_SITE       __FILE__ ":" WK_CUDAEMU_TEXT(__LINE__)

// ---- the block

#define __syncthreads()                ((void)cudaemu::barrier(WK_CUDAEMU_SITE, false))
#define __syncthreads_count(predicate) cudaemu::barrier(WK_CUDAEMU_SITE, (predicate) != 0)
#define __syncthreads_or(predicate)    (cudaemu::barrier(WK_CUDAEMU_SITE, (predicate) != 0) > 0)
#define __syncthreads_and(predicate)   (cudaemu::barrier(WK_CUDAEMU_SITE, (predicate) == 0) == 0)

// ---- the warp

static inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) {
    cudaemu::meet(cudaemu::Meeting::sync, "__syncwarp", mask, 0, nullptr, 0);
}

namespace cudaemu {
inline unsigned lane() {
    return here.linear & 31;
}

template <class T> T shuffle(const char *name, unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) <= 16, "a shuffle moves at most 16 bytes here");
    meet(Meeting::shuffle, name, mask, source, &value, sizeof value);
    return value;
}
template <class T> T together(Meeting kind, const char *name, unsigned mask, T value) {
    static_assert(sizeof(T) == 4, "votes and reductions are of 32 bits");
    meet(kind, name, mask, 0, &value, sizeof value);
    return value;
}
// Lanes of a part of `width` lanes see only each other; one that asks beyond its part gets its own value.
inline unsigned within(int from, int width) {
    int own = (int)lane();
    return (unsigned)(from < 0 || (from & -width) != (own & -width) ? own : from);
}
} // namespace cudaemu

template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    int part = (int)cudaemu::lane() & -width;
    return cudaemu::shuffle("__shfl_sync", mask, value, (unsigned)(part | (source & (width - 1))));
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int other, int width = 32) {
    int own = (int)cudaemu::lane(), source = own ^ other;
    bool beyond = (source & -width) > (own & -width);
    return cudaemu::shuffle("__shfl_xor_sync", mask, value, (unsigned)(beyond ? own : source));
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    return cudaemu::shuffle("__shfl_down_sync", mask, value, cudaemu::within((int)(cudaemu::lane() + by), width));
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    return cudaemu::shuffle("__shfl_up_sync", mask, value, cudaemu::within((int)cudaemu::lane() - (int)by, width));
}
static inline unsigned __ballot_sync(unsigned mask, int predicate) {
    return cudaemu::together(cudaemu::Meeting::ballot, "__ballot_sync", mask, predicate ? 1u : 0u);
}
static inline int __any_sync(unsigned mask, int predicate) {
    return cudaemu::together(cudaemu::Meeting::ballot, "__any_sync", mask, predicate ? 1u : 0u) != 0;
}
static inline int __all_sync(unsigned mask, int predicate) {
    return cudaemu::together(cudaemu::Meeting::ballot, "__all_sync", mask, predicate ? 0u : 1u) == 0;
}
template <class T> unsigned __match_any_sync(unsigned mask, T value) {
    return (unsigned)cudaemu::together(cudaemu::Meeting::match, "__match_any_sync", mask, value);
}
static inline unsigned __activemask() {
    return cudaemu::active_lanes();
}
#define WK_CUDAEMU_REDUCE(name, kind)                                         \
    static inline unsigned name(unsigned mask, unsigned value) {              \
        return cudaemu::together(cudaemu::Meeting::kind, #name, mask, value); \
    }
WK_CUDAEMU_REDUCE(__reduce_add_sync, add)
WK_CUDAEMU_REDUCE(__reduce_min_sync, minimum)
WK_CUDAEMU_REDUCE(__reduce_max_sync, maximum)
WK_CUDAEMU_REDUCE(__reduce_and_sync, all_bits)
WK_CUDAEMU_REDUCE(__reduce_or_sync, any_bit)
WK_CUDAEMU_REDUCE(__reduce_xor_sync, odd_bits)
#undef WK_CUDAEMU_REDUCE

static inline void __threadfence() {
    cudaemu::fence();
}
static inline void __threadfence_block() {}

// ---- atomics: blocks may run on several threads of the host

namespace cudaemu {
template <class T, class F> T update(T *address, F change) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "atomics are of 32 or 64 bits");
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    Bits *bits = reinterpret_cast<Bits *>(address), seen = atomic_read(bits);
    for (;;) {
        T old, made;
        std::memcpy(&old, &seen, sizeof old);
        made = change(old);
        Bits wanted;
        std::memcpy(&wanted, &made, sizeof made);
        if (atomic_replace(bits, &seen, wanted)) return old;
    }
}
template <class T> struct as_given { using type = T; };
} // namespace cudaemu
#define WK_CUDAEMU_ATOMIC(name, result)                                                \
    template <class T> T name(T *address, typename cudaemu::as_given<T>::type value) { \
        return cudaemu::update(address, [value](T old) { return (T)(result); });       \
    }
WK_CUDAEMU_ATOMIC(atomicAdd, old + value)
WK_CUDAEMU_ATOMIC(atomicSub, old - value)
WK_CUDAEMU_ATOMIC(atomicMin, value < old ? value : old)
WK_CUDAEMU_ATOMIC(atomicMax, value > old ? value : old)
WK_CUDAEMU_ATOMIC(atomicAnd, old &value)
WK_CUDAEMU_ATOMIC(atomicOr, old | value)
WK_CUDAEMU_ATOMIC(atomicXor, old ^ value)
WK_CUDAEMU_ATOMIC(atomicExch, value)
#undef WK_CUDAEMU_ATOMIC
template <class T>
T atomicCAS(T *address, typename cudaemu::as_given<T>::type expected, typename cudaemu::as_given<T>::type value) {
    return cudaemu::update(address, [=](T old) { return old == expected ? (T)value : old; });
}

// ---- loads and stores with a hint for the caches

#define WK_CUDAEMU_LOAD(name)                  \
    template <class T> T name(const T *from) { \
        return *from;                          \
    }
#define WK_CUDAEMU_STORE(name)                                                       \
    template <class T> void name(T *to, typename cudaemu::as_given<T>::type value) { \
        *to = value;                                                                 \
    }
WK_CUDAEMU_LOAD(__ldg)
WK_CUDAEMU_LOAD(__ldcg)
WK_CUDAEMU_LOAD(__ldcs)
WK_CUDAEMU_STORE(__stcg)
WK_CUDAEMU_STORE(__stcs)
#undef WK_CUDAEMU_LOAD
#undef WK_CUDAEMU_STORE

// ---- mathematics.  glibc declares some of the names, so these are macros.

#define __expf(x)    expf(x)
#define __logf(x)    logf(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x)    sinf(x)
#define __cosf(x)    cosf(x)
static inline float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}
static inline double rsqrt(double x) {
    return 1.0 / sqrt(x);
}
static inline float __fdividef(float a, float b) {
    return a / b;
}
static inline float __frcp_rn(float x) {
    return 1.0f / x;
}
static inline float __fmaf_rn(float a, float b, float c) {
    return fmaf(a, b, c);
}
// Rounded by itself: never joined with its neighbour to a multiply-add.
static inline __attribute__((noinline)) float __fmul_rn(float a, float b) {
    return a * b;
}
static inline __attribute__((noinline)) float __fadd_rn(float a, float b) {
    return a + b;
}
static inline __attribute__((noinline)) double __dmul_rn(double a, double b) {
    return a * b;
}
static inline __attribute__((noinline)) double __dadd_rn(double a, double b) {
    return a + b;
}
static inline double sinpi(double x) {
    return sin(3.14159265358979323846 * x);
}
static inline double cospi(double x) {
    return cos(3.14159265358979323846 * x);
}
static inline float normcdff(float x) {
    return 0.5f * erfcf(-x * 0.70710678118654752f);
}
static inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
static inline int __popcll(unsigned long long x) {
    return __builtin_popcountll(x);
}
static inline int __ffs(int x) {
    return __builtin_ffs(x);
}
static inline int __clz(int x) {
    return x ? __builtin_clz((unsigned)x) : 32;
}
static inline int __clzll(long long x) {
    return x ? __builtin_clzll((unsigned long long)x) : 64;
}
static inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int i = 0; i < 32; i++) reversed |= (x >> i & 1u) << (31 - i);
    return reversed;
}
static inline unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((unsigned long long)a * b >> 32);
}
#define WK_CUDAEMU_BITS(name, from, to)          \
    static inline to name(from value) {          \
        to bits;                                 \
        std::memcpy(&bits, &value, sizeof bits); \
        return bits;                             \
    }
WK_CUDAEMU_BITS(__float_as_uint, float, unsigned)
WK_CUDAEMU_BITS(__float_as_int, float, int)
WK_CUDAEMU_BITS(__uint_as_float, unsigned, float)
WK_CUDAEMU_BITS(__int_as_float, int, float)
WK_CUDAEMU_BITS(__double_as_longlong, double, long long)
WK_CUDAEMU_BITS(__longlong_as_double, long long, double)
#undef WK_CUDAEMU_BITS
template <class T> inline T min(T a, T b) {
    return b < a ? b : a;
}
template <class T> inline T max(T a, T b) {
    return a < b ? b : a;
}

#endif
