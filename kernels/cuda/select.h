/* select.h: the tables of CUDA kernels.  A file of kernels/cuda that ends in a table is named here once. */
#ifndef WICK_KERNELS_CUDA_SELECT_H
#define WICK_KERNELS_CUDA_SELECT_H

#include "wick/op.h"

typedef struct wk_cuda_entry {
    const char *op;      /* NULL ends a table */
    wk_dtype_set dtypes; /* of the row's key tensor */
    wk_kernel kernel;
} wk_cuda_entry;

/* clang-format off */
#define WK_CUDA_TABLES(X) \
    X(attention) X(rotary) \
    X(conv) X(grid_sampling) X(pool) X(resize) \
    X(arrange) X(index) X(true_positions) X(windows_rows) \
    X(blas) X(cross_rows) X(matrices) \
    X(cross_entropy) \
    X(batch_norm) X(row_norm_rows) \
    X(optimizer_steps) X(tensor_list) \
    X(conversions) X(pointwise) \
    X(multinomial) X(random) \
    X(histograms) X(order) X(reductions) X(scans) X(softmax_rows) \
    X(fft_rows)
/* clang-format on */
/* Those whose rows read numbers on the host, and hand them to wk__cuda_note. */
#define WK_CUDA_NOTING_TABLES(X) X(attention) X(optimizer_steps) X(tensor_list) X(multinomial) X(random)
#define WK_CUDA_DECLARE(name)    extern const wk_cuda_entry wk__cuda_##name[];
WK_CUDA_TABLES(WK_CUDA_DECLARE)
#undef WK_CUDA_DECLARE

/* NULL: there is none. */
wk_kernel wk__cuda_kernel(const char *op, wk_dtype dtype);
/* Whether it stands in a noting table. */
bool wk__cuda_notes_numbers(const char *op, wk_dtype dtype);
/* The table that has it. */
const char *wk__cuda_kernel_table(const char *op, wk_dtype dtype);

#endif
