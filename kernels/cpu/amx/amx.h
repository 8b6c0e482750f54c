/* amx.h: matrix products of bf16 on the tile registers of Intel's AMX (Sapphire Rapids and later).
 *
 * Compiled once, with the flags of such a processor: nothing here may be called before wk__amx_takes has said yes.
 */
#ifndef WICK_KERNELS_CPU_AMX_H
#define WICK_KERNELS_CPU_AMX_H

#include "cpu/gemm.h"

/* Whether this process has tiles: the processor, the system's leave to use them, and WICK_AMX is not "0". */
bool wk__amx_present(void);
/* Whether the product is one for tiles, where there are any: bf16 operands with a unit stride each, and enough of it.
 */
bool wk__amx_takes(const wk_gemm *g);
size_t wk__amx_buffer(const wk_gemm *g);
/* `buffer`: wk__amx_buffer bytes, aligned to 64.  The bits of the result do not depend on the number of threads. */
void wk__amx_gemm(const wk_gemm *g, void *buffer);

#endif
