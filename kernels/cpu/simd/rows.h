/* rows.h: a tensor as rows of numbers in the compute type (f32; f64 for f64), whatever its strides and float type.
 *
 * The first `outer` axes count rows, the others make one.  A row that lies together and needs no conversion is used
 * where it is; others pass through the caller's buffer.
 */
#ifndef WICK_KERNELS_ROWS_H
#define WICK_KERNELS_ROWS_H

#include "cpu/simd/iterate.h"

enum { WK_ROWS_RANK = WK_MAX_RANK + 1 }; /* an axis may have been split in two */

typedef struct wk_rows {
    char *data;
    unsigned dtype;
    int outer, inner;
    int64_t shape[WK_ROWS_RANK], stride[WK_ROWS_RANK]; /* outer axes, then inner ones, joined where that is possible */
    int64_t count, length;                             /* rows, elements of each */
    bool direct;
} wk_rows;

static inline int wk_rows_join(int64_t *shape, int64_t *stride, int rank) {
    int last = -1;
    for (int i = 0; i < rank; i++) {
        if (shape[i] == 1) continue;
        if (last >= 0 && stride[last] == stride[i] * shape[i]) {
            shape[last] *= shape[i];
            stride[last] = stride[i];
            continue;
        }
        last++;
        shape[last] = shape[i], stride[last] = stride[i];
    }
    return last + 1;
}

static inline wk_rows wk_rows_make(void *data, unsigned dtype, const int64_t *shape, const int64_t *stride, int rank,
                                   int outer) {
    wk_rows rows = { .data = data, .dtype = dtype, .count = 1, .length = 1 };
    int64_t inner_shape[WK_ROWS_RANK], inner_stride[WK_ROWS_RANK];
    for (int i = 0; i < rank; i++) {
        if (i < outer) {
            rows.count *= shape[i];
            rows.shape[i] = shape[i], rows.stride[i] = stride[i];
        } else {
            rows.length *= shape[i];
            inner_shape[i - outer] = shape[i], inner_stride[i - outer] = stride[i];
        }
    }
    rows.outer = wk_rows_join(rows.shape, rows.stride, outer);
    rows.inner = wk_rows_join(inner_shape, inner_stride, rank - outer);
    for (int i = 0; i < rows.inner; i++)
        rows.shape[rows.outer + i] = inner_shape[i], rows.stride[rows.outer + i] = inner_stride[i];
    bool together = rows.inner == 0 || (rows.inner == 1 && rows.stride[rows.outer] == 1) || rows.length == 0;
    rows.direct = together && !wk_is_half(dtype);
    return rows;
}

static inline wk_rows wk_rows_of(const wk_tensor *t, int outer) {
    return wk_rows_make(t->data, t->dtype, t->shape, t->stride, t->rank, outer);
}

static inline char *wk_rows_at(const wk_rows *rows, int64_t row) {
    int64_t offset = 0;
    for (int i = rows->outer - 1; i >= 0; i--) {
        offset += row % rows->shape[i] * rows->stride[i];
        row /= rows->shape[i];
    }
    return rows->data + offset * (int64_t)wk_size_of(rows->dtype);
}

/* Elements between a row's places in memory and a dense buffer of the compute type. */
static inline void wk_rows_move(const wk_rows *rows, char *at, char *buffer, bool write) {
    size_t stored = wk_size_of(rows->dtype), real = rows->dtype == WK_F64 ? 8 : 4;
    int last = rows->outer + rows->inner - 1;
    int64_t run = rows->inner ? rows->shape[last] : 1, step = rows->inner ? rows->stride[last] : 1, index[WK_ROWS_RANK];
    for (int i = rows->outer; i < last; i++) index[i] = 0;
    for (int64_t done = 0; done < rows->length; done += run) {
        int64_t offset = 0;
        for (int i = rows->outer; i < last; i++) offset += index[i] * rows->stride[i];
        for (int64_t from = 0; from < run; from += WK_CHUNK) {
            int64_t n = run - from < WK_CHUNK ? run - from : WK_CHUNK;
            char *element = at + (offset + from * step) * (int64_t)stored;
            char *dense = buffer + (size_t)(done + from) * real;
            wk_staging staging;
            if (write) {
                memcpy(&staging, dense, (size_t)n * real);
                wk_stage_out(element, &staging, rows->dtype, step, n);
            } else {
                memcpy(dense, wk_stage_in(&staging, element, rows->dtype, step, n), (size_t)n * real);
            }
        }
        for (int i = last - 1; i >= rows->outer; i--) {
            if (++index[i] < rows->shape[i]) break;
            index[i] = 0;
        }
    }
}

/* The row's elements: in `buffer` (of `length` numbers of the compute type), or where they are. */
static inline void *wk_rows_read(const wk_rows *rows, int64_t row, void *buffer) {
    char *at = wk_rows_at(rows, row);
    if (rows->direct) return at;
    wk_rows_move(rows, at, buffer, false);
    return buffer;
}

/* Where to compute a row's elements; wk_rows_store brings them to their place. */
static inline void *wk_rows_target(const wk_rows *rows, int64_t row, void *buffer) {
    return rows->direct ? wk_rows_at(rows, row) : buffer;
}
static inline void wk_rows_store(const wk_rows *rows, int64_t row, void *from) {
    if (!rows->direct) wk_rows_move(rows, wk_rows_at(rows, row), from, true);
}

/* A whole tensor, dense in the compute type: where it is, or in `buffer`. */
static inline void *wk_rows_dense(const wk_tensor *t, void *buffer) {
    if ((t->flags & WK_TENSOR_CONTIGUOUS) && !wk_is_half(t->dtype)) return t->data;
    wk_rows rows = wk_rows_of(t, 0);
    if (rows.length) wk_rows_move(&rows, rows.data, buffer, false);
    return buffer;
}
/* The reverse. */
static inline void wk_rows_put(const wk_tensor *t, const void *from) {
    wk_rows rows = wk_rows_of(t, 0);
    if (rows.length && t->data != from) wk_rows_move(&rows, rows.data, (char *)(uintptr_t)from, true);
}
static inline bool wk_rows_is_dense(const wk_tensor *t) {
    return (t->flags & WK_TENSOR_CONTIGUOUS) && !wk_is_half(t->dtype);
}

#endif
