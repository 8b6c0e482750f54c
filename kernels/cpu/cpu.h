/* cpu.h: how CPU kernels are written and found.
 *
 * Files in kernels/cpu/simd are compiled once per instruction set (WK_ISA = generic, v3, v4); their kernels are static,
 * and each exports one table named by WK_CPU_TABLE.  Files in kernels/cpu are compiled once (library calls) and export
 * a table under a plain name.  select.c joins the tables and picks, per operation, the library's entry or that of the
 * best set the processor has.  WICK_ISA=generic|v3|v4 asks for a lower one.
 */
#ifndef WICK_KERNELS_CPU_H
#define WICK_KERNELS_CPU_H

#include "tensor/backend.h"
#include "tensor/op_attrs.h"

typedef struct wk_cpu_entry {
    const char *op;      /* NULL ends a table */
    wk_dtype_set dtypes; /* of the row's key tensor */
    wk_kernel run;
} wk_cpu_entry;

#define WK_JOIN_OF(a, b) a##_##b
#define WK_JOIN(a, b)    WK_JOIN_OF(a, b)
#ifdef WK_ISA
#    define WK_CPU_TABLE(name) const wk_cpu_entry WK_JOIN(wk__cpu_##name, WK_ISA)[]
#endif

/* Every file of kernels/cpu/simd once.  Add the name here and the file is part of every instruction set. */
/* clang-format off */
#define WK_CPU_SIMD_TABLES(X)                                                                  \
    X(arithmetic) X(functions) X(special) X(activation) X(logic)                               \
    X(scan) X(order) X(counting) X(logsumexp)                                                  \
    X(pointwise) X(unary) X(cast) X(copy) X(reduce) X(argmax) X(softmax) X(cross_entropy)      \
    X(linear_cross_entropy)                                                                    \
    X(dropout) X(index) X(tensor_list) X(optimizer_steps) X(matmul) X(conv) X(pool)            \
    X(resize) X(grid_sample) X(batch_norm) X(arrange) X(scatter) X(random)                     \
    X(row_norm) X(attention) X(rotary) X(recurrent) X(fft) X(multinomial) X(cross) X(distance) \
    X(roofs)
/* clang-format on */
#define WK_CPU_DECLARE(name)                              \
    extern const wk_cpu_entry wk__cpu_##name##_generic[]; \
    extern const wk_cpu_entry wk__cpu_##name##_v3[];      \
    extern const wk_cpu_entry wk__cpu_##name##_v4[];
WK_CPU_SIMD_TABLES(WK_CPU_DECLARE)
#undef WK_CPU_DECLARE

/* Work below this many bytes stays on the caller's thread: waking the team costs more. */
enum { WK_CPU_GRAIN = 32 * 1024 };

/* How many threads to use for work that moves `bytes`: 1 below the grain. */
static inline int wk_cpu_team(const wk_kernel_ctx *ctx, int64_t bytes) {
    return bytes < WK_CPU_GRAIN || ctx->threads < 2 ? 1 : ctx->threads;
}

#endif
