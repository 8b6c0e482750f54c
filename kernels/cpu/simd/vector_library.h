/* vector_library.h: elementary functions of f32 and f64 by the C library's vector half (glibc's libmvec).
 *
 * vector_math.h holds what Wick computes itself; this is the rest, and f64.  Each function has a form on arrays,
 * wk_NAME_f32s (out, x, n) and wk_NAME_f64s, that calls one vector function for whole registers and, padded, for the
 * rest: an element's bits do not depend on where it stands or how threads share the array.  out may be x.  The error is
 * that of libmvec, which states 4 ulp for every instruction set; found under AVX-512 (against 120 bits, 3,000 arguments
 * of each function and type up to 20 or 50): 2.7 at most, asin of f32.  asin of half a million f32 on one thread takes
 * 0.36 ns an element there.  Where there is no libmvec (WICK_MVEC not set) the forms call libm, element by element.
 */
#ifndef WICK_KERNELS_VECTOR_LIBRARY_H
#define WICK_KERNELS_VECTOR_LIBRARY_H

#include "cpu/simd/half.h"

#include <math.h>

#if WICK_MVEC
#    if defined __AVX512F__
#        define WK_VECTOR_BYTES 64
#        define WK_LANES_F32    16
#        define WK_LANES_F64    8
#    elif defined __AVX2__
#        define WK_VECTOR_BYTES 32
#        define WK_LANES_F32    8
#        define WK_LANES_F64    4
#    else
#        define WK_VECTOR_BYTES 16
#        define WK_LANES_F32    4
#        define WK_LANES_F64    2
#    endif
/* The names of the x86-64 vector function ABI: set, lanes, parameters, function. */
#    if defined __AVX512F__
#        define WK_MVEC_F32(v, name) _ZGVeN16##v##_##name##f
#        define WK_MVEC_F64(v, name) _ZGVeN8##v##_##name
#    elif defined __AVX2__
#        define WK_MVEC_F32(v, name) _ZGVdN8##v##_##name##f
#        define WK_MVEC_F64(v, name) _ZGVdN4##v##_##name
#    else
#        define WK_MVEC_F32(v, name) _ZGVbN4##v##_##name##f
#        define WK_MVEC_F64(v, name) _ZGVbN2##v##_##name
#    endif
typedef float wk_vector_f32 __attribute__((vector_size(WK_VECTOR_BYTES)));
typedef double wk_vector_f64 __attribute__((vector_size(WK_VECTOR_BYTES)));

#    define WK_ARRAY_1(form, type, vector, lanes, function)                        \
        vector function(vector);                                                   \
        static inline void form(type *out, const type *x, int64_t n) {             \
            vector v;                                                              \
            int64_t i = 0;                                                         \
            for (; i + lanes <= n; i += lanes) {                                   \
                memcpy(&v, x + i, sizeof v);                                       \
                v = function(v);                                                   \
                memcpy(out + i, &v, sizeof v);                                     \
            }                                                                      \
            if (i == n) return;                                                    \
            type rest[lanes];                                                      \
            for (int j = 0; j < lanes; j++) rest[j] = i + j < n ? x[i + j] : x[i]; \
            memcpy(&v, rest, sizeof v);                                            \
            v = function(v);                                                       \
            memcpy(rest, &v, sizeof v);                                            \
            for (int j = 0; i + j < n; j++) out[i + j] = rest[j];                  \
        }
#    define WK_ARRAY_2(form, type, vector, lanes, function)                           \
        vector function(vector, vector);                                              \
        static inline void form(type *out, const type *x, const type *y, int64_t n) { \
            vector v, w;                                                              \
            int64_t i = 0;                                                            \
            for (; i + lanes <= n; i += lanes) {                                      \
                memcpy(&v, x + i, sizeof v);                                          \
                memcpy(&w, y + i, sizeof w);                                          \
                v = function(v, w);                                                   \
                memcpy(out + i, &v, sizeof v);                                        \
            }                                                                         \
            if (i == n) return;                                                       \
            type rest[2][lanes];                                                      \
            for (int j = 0; j < lanes; j++) {                                         \
                rest[0][j] = i + j < n ? x[i + j] : x[i];                             \
                rest[1][j] = i + j < n ? y[i + j] : y[i];                             \
            }                                                                         \
            memcpy(&v, rest[0], sizeof v);                                            \
            memcpy(&w, rest[1], sizeof w);                                            \
            v = function(v, w);                                                       \
            memcpy(rest[0], &v, sizeof v);                                            \
            for (int j = 0; i + j < n; j++) out[i + j] = rest[0][j];                  \
        }
#    define WK_ARRAYS_1(name)                                                                  \
        WK_ARRAY_1(wk_##name##_f32s, float, wk_vector_f32, WK_LANES_F32, WK_MVEC_F32(v, name)) \
        WK_ARRAY_1(wk_##name##_f64s, double, wk_vector_f64, WK_LANES_F64, WK_MVEC_F64(v, name))
#    define WK_ARRAYS_2(name)                                                                   \
        WK_ARRAY_2(wk_##name##_f32s, float, wk_vector_f32, WK_LANES_F32, WK_MVEC_F32(vv, name)) \
        WK_ARRAY_2(wk_##name##_f64s, double, wk_vector_f64, WK_LANES_F64, WK_MVEC_F64(vv, name))
#else
#    define WK_ARRAY_1(form, type, function)                           \
        static inline void form(type *out, const type *x, int64_t n) { \
            for (int64_t i = 0; i < n; i++) out[i] = function(x[i]);   \
        }
#    define WK_ARRAY_2(form, type, function)                                          \
        static inline void form(type *out, const type *x, const type *y, int64_t n) { \
            for (int64_t i = 0; i < n; i++) out[i] = function(x[i], y[i]);            \
        }
#    define WK_ARRAYS_1(name) WK_ARRAY_1(wk_##name##_f32s, float, name##f) WK_ARRAY_1(wk_##name##_f64s, double, name)
#    define WK_ARRAYS_2(name) WK_ARRAY_2(wk_##name##_f32s, float, name##f) WK_ARRAY_2(wk_##name##_f64s, double, name)
#endif

WK_ARRAYS_1(exp)
WK_ARRAYS_1(exp2)
WK_ARRAYS_1(expm1)
WK_ARRAYS_1(log)
WK_ARRAYS_1(log2)
WK_ARRAYS_1(log10)
WK_ARRAYS_1(log1p)
WK_ARRAYS_1(sin)
WK_ARRAYS_1(cos)
WK_ARRAYS_1(tan)
WK_ARRAYS_1(asin)
WK_ARRAYS_1(acos)
WK_ARRAYS_1(atan)
WK_ARRAYS_1(sinh)
WK_ARRAYS_1(cosh)
WK_ARRAYS_1(tanh)
WK_ARRAYS_1(asinh)
WK_ARRAYS_1(acosh)
WK_ARRAYS_1(atanh)
WK_ARRAYS_1(erf)
WK_ARRAYS_1(erfc)
WK_ARRAYS_2(pow)
WK_ARRAYS_2(atan2)
WK_ARRAYS_2(hypot)

#endif
