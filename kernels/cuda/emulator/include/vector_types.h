/* vector_types.h (emulator): CUDA's small vectors, with the alignment that the device asks of 128-bit accesses. */
#ifndef WICK_CUDAEMU_VECTOR_TYPES_H
#define WICK_CUDAEMU_VECTOR_TYPES_H

#define WK_CUDAEMU_ALIGN(n) __attribute__((aligned(n)))

/* clang-format off */
#define WK_CUDAEMU_VECTORS(X) \
    X(char, signed char, 1) X(uchar, unsigned char, 1) X(short, short, 2) X(ushort, unsigned short, 2) \
    X(int, int, 4) X(uint, unsigned int, 4) X(float, float, 4) \
    X(longlong, long long, 8) X(ulonglong, unsigned long long, 8) X(double, double, 8)
/* clang-format on */

#define WK_CUDAEMU_DEFINE(name, type, size)                                  \
    typedef struct name##1 {                                                 \
        type x;                                                              \
    }                                                                        \
    name##1;                                                                 \
    typedef struct WK_CUDAEMU_ALIGN(2 * size) name##2 {                      \
        type x, y;                                                           \
    }                                                                        \
    name##2;                                                                 \
    typedef struct name##3 {                                                 \
        type x, y, z;                                                        \
    }                                                                        \
    name##3;                                                                 \
    typedef struct WK_CUDAEMU_ALIGN(4 * size > 16 ? 16 : 4 * size) name##4 { \
        type x, y, z, w;                                                     \
    }                                                                        \
    name##4;
WK_CUDAEMU_VECTORS(WK_CUDAEMU_DEFINE)
#undef WK_CUDAEMU_DEFINE

typedef struct dim3 {
    unsigned int x, y, z;
#ifdef __cplusplus
    constexpr dim3(unsigned int width = 1, unsigned int height = 1, unsigned int depth = 1)
        : x(width), y(height), z(depth) {}
#endif
} dim3;

#ifdef __cplusplus
#    define WK_CUDAEMU_MAKE(name, type, size)                                  \
        static inline name##2 make_##name##2(type x, type y) {                 \
            return name##2 { x, y };                                           \
        }                                                                      \
        static inline name##3 make_##name##3(type x, type y, type z) {         \
            return name##3 { x, y, z };                                        \
        }                                                                      \
        static inline name##4 make_##name##4(type x, type y, type z, type w) { \
            return name##4 { x, y, z, w };                                     \
        }
WK_CUDAEMU_VECTORS(WK_CUDAEMU_MAKE)
#    undef WK_CUDAEMU_MAKE
#endif

#endif
