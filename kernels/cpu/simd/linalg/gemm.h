/* gemm.h: Wick's own matrix product, one per instruction set, for the kernels beside it. */
#ifndef WICK_KERNELS_CPU_SIMD_GEMM_H
#define WICK_KERNELS_CPU_SIMD_GEMM_H

#include "cpu/amx/amx.h"
#include "cpu/gemm.h"

#define WK_GEMM_BUFFER WK_JOIN(wk__gemm_buffer, WK_ISA)
#define WK_GEMM        WK_JOIN(wk__gemm, WK_ISA)
size_t WK_GEMM_BUFFER(const wk_gemm *g);
/* Whether products of bf16 are made on tiles, if large enough; AMX belongs to processors that have AVX-512. */
static inline bool wk_gemm_has_tiles(void) {
#if defined __AVX512F__ && defined __x86_64__
    return wk__amx_present();
#else
    return false;
#endif
}
wk_status WK_GEMM(const wk_gemm *g);
/* Pack the whole of B (k, n, b, c_dtype and threads are looked at) into wk__gemm_packed bytes, aligned to 64. */
#define WK_GEMM_PACKED WK_JOIN(wk__gemm_packed, WK_ISA)
#define WK_GEMM_PACK   WK_JOIN(wk__gemm_pack, WK_ISA)
size_t WK_GEMM_PACKED(const wk_gemm *g);
void WK_GEMM_PACK(const wk_gemm *g, void *packed);

#endif
