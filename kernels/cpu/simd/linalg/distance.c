/* distance.c: distances of all pairs of rows, p = 1 and 2, and their gradient.
 *
 * From the differences, though |a|² + |b|² − 2 a·b would be a matrix product: that loses half of the digits of near
 * points, and the differences need only one more instruction each.  Forward, a vector holds one feature of several
 * rows of b, which are packed so; backward, several features of one row.
 */
#include "cpu/scratch.h"
#include "cpu/simd/layout/copy.h"
#include "cpu/simd/linalg/registers.h"

#include <math.h>

enum {
    ROWS = 4,       /* of a at a time */
    FEATURES = 128, /* packed at a time */
    TALL = 256,     /* rows of a that share a pack */
    NEAR = 256,     /* weights at a time */
    BATCH = 0,      /* axes of the operands: (B, M, D) */
    ROW = 1,
    LAST = 2
};

/* (B, M, D), (B, N, D) -> (B, M, N), row major. */
typedef struct pairing {
    const void *a, *b;
    void *y;
    int64_t batch, m, n, features;
    bool euclidean;
} pairing;

/* Backward: one of a and b, whose gradient is `out`, against the other. */
typedef struct pulls {
    void *out;
    const void *own, *other, *dy, *y;
    int64_t batch, rows, others, features;
    int64_t row, step; /* of dy and y: to the next own row, to the next other one */
    bool euclidean;
} pulls;

#define REAL        float
#define WORD        int32_t
#define NAME(x)     x##_f32
#define SQUARE_ROOT sqrtf
#include "cpu/simd/linalg/distance_body.h"
#undef REAL
#undef WORD
#undef NAME
#undef SQUARE_ROOT

#define REAL        double
#define WORD        int64_t
#define NAME(x)     x##_f64
#define SQUARE_ROOT sqrt
#include "cpu/simd/linalg/distance_body.h"

/* Operands row major: as they are, or copied.  false with WK_NO_MEMORY pending. */
static bool row_major(const wk_tensor *const *in, int n, const void **data) {
    size_t size = wk_size_of(in[0]->dtype), bytes = 0;
    for (int k = 0; k < n; k++)
        if (!(in[k]->flags & WK_TENSOR_CONTIGUOUS)) bytes += (size_t)in[k]->count * size;
    char *copy = bytes ? wk__cpu_scratch(WK_SCRATCH_KERNEL, bytes) : NULL;
    if (bytes && !copy) return false;
    for (int k = 0; k < n; k++) {
        data[k] = in[k]->data;
        if (in[k]->flags & WK_TENSOR_CONTIGUOUS || in[k]->count == 0) continue;
        wk_walk walk = { .operands = 1, .rank = in[k]->rank };
        int64_t step = 1;
        for (int i = in[k]->rank - 1; i >= 0; i--) {
            walk.shape[i] = in[k]->shape[i];
            walk.stride[0][i] = step;
            step *= in[k]->shape[i];
        }
        wk_walk_add(&walk, in[k]);
        wk__copy_strided(&walk, copy, in[k]->data, size, 1);
        data[k] = copy;
        copy += (size_t)in[k]->count * size;
    }
    return true;
}

static int team_for(const wk_kernel_ctx *ctx, const wk_tensor *y, int64_t features) {
    return wk_moving_team(ctx, y->count * (features + 1) * (int64_t)wk_size_of(y->dtype));
}

static wk_status pair_distances(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *a = call->in[0], *y = call->out[0];
    const void *data[2];
    if (!row_major((const wk_tensor *const *)call->in, 2, data)) return wk_error_code();
    const pairing p = { .a = data[0],
                        .b = data[1],
                        .y = y->data,
                        .batch = y->shape[BATCH],
                        .m = y->shape[ROW],
                        .n = y->shape[LAST],
                        .features = a->shape[LAST],
                        .euclidean = wk_optional_or(((const wk_cdist_opts *)call->attrs)->p, 2) == 2 };
    if (a->dtype == WK_F32)
        distances_f32(&p, team_for(ctx, y, p.features));
    else
        distances_f64(&p, team_for(ctx, y, p.features));
    return WK_OK;
}

/* (dy, a, b, y) -> da, db.  A distance does not care which of the two comes first, so db is da with a and b, and rows
 * and columns, exchanged. */
static wk_status pair_distances_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *a = call->in[1], *y = call->in[3];
    const void *data[4];
    if (!row_major((const wk_tensor *const *)call->in, 4, data)) return wk_error_code();
    for (int k = 0; k < 2; k++) {
        const pulls p = { .out = call->out[k]->data,
                          .own = data[1 + k],
                          .other = data[2 - k],
                          .dy = data[0],
                          .y = data[3],
                          .batch = a->shape[BATCH],
                          .rows = call->in[1 + k]->shape[ROW],
                          .others = call->in[2 - k]->shape[ROW],
                          .features = a->shape[LAST],
                          .row = k ? 1 : y->shape[LAST],
                          .step = k ? y->shape[LAST] : 1,
                          .euclidean = wk_optional_or(((const wk_cdist_opts *)call->attrs)->p, 2) == 2 };
        if (a->dtype == WK_F32)
            pull_all_f32(&p, team_for(ctx, y, p.features));
        else
            pull_all_f64(&p, team_for(ctx, y, p.features));
    }
    return WK_OK;
}

WK_CPU_TABLE(distance) = {
    { "pair_distances", WK_F32_F64, pair_distances },
    { "pair_distances_backward", WK_F32_F64, pair_distances_backward },
    { 0 },
};
