/* rotary.c: pairs rotated by position, a row of D elements at a time. */
#include "cpu/scratch.h"
#include "cpu/simd/rows.h"

/* Rows are computed in f32 or f64, in place. */
#define ROTATE(suffix, type)                                                                                          \
    static void rotate_##suffix(type *restrict y, const type *restrict x, const type *restrict c,                     \
                                const type *restrict s, int64_t pairs, int64_t length, bool interleaved, bool back) { \
        type sign = back ? -1 : 1;                                                                                    \
        if (interleaved) {                                                                                            \
            for (int64_t i = 0; i < pairs; i++) {                                                                     \
                type a = x[2 * i], b = x[2 * i + 1], sine = sign * s[i];                                              \
                y[2 * i] = a * c[i] - b * sine;                                                                       \
                y[2 * i + 1] = b * c[i] + a * sine;                                                                   \
            }                                                                                                         \
        } else {                                                                                                      \
            for (int64_t i = 0; i < pairs; i++) y[i] = x[i] * c[i] - x[pairs + i] * (sign * s[i]);                    \
            for (int64_t i = 0; i < pairs; i++) y[pairs + i] = x[pairs + i] * c[i] + x[i] * (sign * s[i]);            \
        }                                                                                                             \
        for (int64_t i = 2 * pairs; i < length; i++) y[i] = x[i];                                                     \
    }
ROTATE(f32, float)
ROTATE(f64, double)

/* A table over x's rows: leading axes that it lacks, or has once, are walked with stride 0. */
static wk_rows table_rows(const wk_tensor *table, const wk_tensor *x) {
    int64_t shape[WK_ROWS_RANK], stride[WK_ROWS_RANK];
    for (int i = 0; i < x->rank; i++) {
        int own = i - (x->rank - table->rank);
        bool is_row = i == x->rank - 1;
        shape[i] = is_row ? table->shape[own] : x->shape[i];
        stride[i] = own >= 0 && (is_row || table->shape[own] > 1) ? table->stride[own] : 0;
    }
    return wk_rows_make(table->data, table->dtype, shape, stride, x->rank, x->rank - 1);
}

static wk_status rotary(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_rotary_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    if (!x->count) return WK_OK;
    wk_rows from = wk_rows_of(x, x->rank - 1), to = wk_rows_of(call->out[0], x->rank - 1);
    wk_rows c = table_rows(call->in[1], x), s = table_rows(call->in[2], x);
    size_t real = x->dtype == WK_F64 ? 8 : 4;
    size_t each = ((size_t)(2 * from.length + 2 * c.length) * real + 63) / 64 * 64;
    int team = wk_cpu_team(ctx, x->count * (int64_t)real);
    char *rooms = wk__cpu_scratch(WK_SCRATCH_KERNEL, each * (size_t)team);
    if (!rooms) return WK_NO_MEMORY;
#pragma omp parallel for num_threads(team) schedule(static) if (team > 1)
    for (int64_t row = 0; row < from.count; row++) {
        char *room = rooms + each * (size_t)(team > 1 ? omp_get_thread_num() : 0);
        char *second = room + (size_t)from.length * real, *third = second + (size_t)from.length * real;
        const void *in = wk_rows_read(&from, row, room), *cosine = wk_rows_read(&c, row, third);
        const void *sine = wk_rows_read(&s, row, third + (size_t)c.length * real);
        void *out = wk_rows_target(&to, row, second);
        if (x->dtype == WK_F64)
            rotate_f64(out, in, cosine, sine, c.length, from.length, opts->interleaved, opts->back);
        else
            rotate_f32(out, in, cosine, sine, c.length, from.length, opts->interleaved, opts->back);
        wk_rows_store(&to, row, out);
    }
    return WK_OK;
}

WK_CPU_TABLE(rotary) = { { "rotary", WK_FLOATS, rotary }, { 0 } };
