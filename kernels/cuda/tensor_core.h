/* tensor_core.h: the instructions of a warp that CUDA C++ has no plain name for: matrix products, fragments out of
 * shared memory, copies in the background.  On the device they are PTX of compute capability 8.0 (and run on all later
 * ones), under the emulator functions of emulator/tensor_core.h.
 *
 * All 32 lanes call each of them together, except the copies, which are a thread's own.  With g = lane / 4 and
 * t = lane % 4, what a lane holds (PTX ISA, "Matrix fragments for mma.m16n8k16"):
 *
 *   a (16 x 16)  a[0], a[1]: rows g and g + 8, columns 2 t and 2 t + 1; a[2], a[3]: the same, 8 columns on
 *   b (16 x 8)   b[0]: rows 2 t and 2 t + 1 of column g; b[1]: 8 rows on
 *   d (16 x 8)   d[0], d[1]: row g, columns 2 t and 2 t + 1; d[2], d[3]: row g + 8
 */
#ifndef WICK_KERNELS_CUDA_TENSOR_CORE_H
#define WICK_KERNELS_CUDA_TENSOR_CORE_H

#include "cuda/convert.h"

#ifdef WICK_CUDA_EMULATOR
#    include "cuda/emulator/tensor_core.h"
#else

/* d += a b; T: the halves of a and b, of which each register holds two. */
template <class T>
__device__ __forceinline__ void wk_multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
#    define WK_MULTIPLY_ADD(T, type)                                                                         \
        template <>                                                                                          \
        __device__ __forceinline__ void wk_multiply_add<T>(float(&d)[4], const uint32_t(&a)[4], uint32_t b0, \
                                                           uint32_t b1) {                                    \
            asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type ".f32 {%0, %1, %2, %3}, "    \
                         "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                                     \
                         : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                    \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                    \
        }
WK_MULTIPLY_ADD(__nv_bfloat16, "bf16")
WK_MULTIPLY_ADD(__half, "f16")
#    undef WK_MULTIPLY_ADD

/* Four 8 x 8 matrices of halves in shared memory.  Lane l names row l % 8 of matrix l / 8, 16 bytes and aligned to as
 * many; r[i] is columns 2 t and 2 t + 1 of row g of matrix i, or TRANSPOSED rows 2 t and 2 t + 1 of column g. */
template <bool TRANSPOSED> __device__ __forceinline__ void wk_load_matrices(uint32_t (&r)[4], const void *row) {
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    if (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(at)
                     : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(at)
                     : "memory");
}

/* 16 bytes from global to shared memory, both aligned to as many; zeros where they do not exist.  They are there for
 * the calling thread after wk_copies_wait, for others after a barrier behind that. */
__device__ __forceinline__ void wk_copy_later(void *to, const void *from, bool exists) {
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(exists ? 16 : 0) : "memory");
}
/* What was asked for since the last one is a batch. */
__device__ __forceinline__ void wk_copies_close() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* Until all batches of this thread but the newest LEFT are there. */
template <int LEFT> __device__ __forceinline__ void wk_copies_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

/* Two halves in a register, the first in its lower part. */
template <class T> __device__ __forceinline__ uint32_t wk_pack(float first, float second);
template <> __device__ __forceinline__ uint32_t wk_pack<__nv_bfloat16>(float first, float second) {
    uint32_t both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}
template <> __device__ __forceinline__ uint32_t wk_pack<__half>(float first, float second) {
    uint32_t both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}

#endif
#endif
