/* registers.h: the tile of results that stays in registers, by instruction set: MR rows of two vectors.
 *
 *   v4       12 × 32 f32   24 of 32 registers      v3, generic   6 × 16, 6 × 8   12 of 16 registers
 */
#ifndef WICK_KERNELS_CPU_SIMD_REGISTERS_H
#define WICK_KERNELS_CPU_SIMD_REGISTERS_H

#if defined __AVX512F__
#    define VECTOR_BYTES 64
#    define MR           12
#elif defined __AVX2__
#    define VECTOR_BYTES 32
#    define MR           6
#elif defined __aarch64__
#    define VECTOR_BYTES 16
#    define MR           12
#else
#    define VECTOR_BYTES 16
#    define MR           6
#endif

#if defined __clang__
#    define UNROLLED _Pragma("clang loop unroll(full)")
#else
#    define UNROLLED _Pragma("GCC unroll 16")
#endif
/* Kernels exist for one, two and three thirds of the rows, so that what is left over at an edge wastes little. */
#define PART(thirds) ((thirds)*MR / 3)

#endif
