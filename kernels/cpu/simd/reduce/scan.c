/* scan.c: running sums, products, extrema, logarithms of sums, and the linear recurrence that their gradients are.
 *
 * A line is a chain of dependent steps, so threads share lines.  f32 and the half types are carried in f64 and rounded
 * when they are written: the error does not grow along the line.  Backwards is the same with the steps negated.
 */
#include "cpu/simd/reduce/along.h"

#include <math.h>

static bool is_reverse(const wk_along *along) {
    return ((const wk_scan_opts *)along->params)->reverse;
}

/* Element j of operand k of a scan that may run backwards. */
#define START(k) (along->size[k] * along->step[k] * (is_reverse(along) ? along->length[k] - 1 : 0))
#define STEP(k)  (along->step[k] * (is_reverse(along) ? -1 : 1))

#define SCAN(name, type, out_type, carried, load, store, first, next)                  \
    static void name(const wk_along *along, char *const at[]) {                        \
        out_type *y = (out_type *)(void *)(at[0] + START(0));                          \
        const type *x = (const type *)(const void *)(at[1] + START(1));                \
        carried t = first;                                                             \
        for (int64_t j = 0, to = STEP(0), from = STEP(1); j < along->length[0]; j++) { \
            carried v = (carried)load(x[j * from]);                                    \
            t = next;                                                                  \
            y[j * to] = store;                                                         \
        }                                                                              \
    }
/* Neighbouring lines, a step of each at a time. */
#define SCAN_TILE(name, type, out_type, carried, load, store, first, next)            \
    static void name##_tile(const wk_along *along, char *const at[], int64_t lines) { \
        out_type *y = (out_type *)(void *)(at[0] + START(0));                         \
        const type *x = (const type *)(const void *)(at[1] + START(1));               \
        int64_t to = STEP(0), from = STEP(1), apart = along->row_step[1];             \
        carried tile[WK_TILE];                                                        \
        for (int64_t c = 0; c < lines; c++) tile[c] = first;                          \
        for (int64_t j = 0; j < along->length[0]; j++, y += to, x += from)            \
            for (int64_t c = 0; c < lines; c++) {                                     \
                carried v = (carried)load(x[c * apart]), t = tile[c];                 \
                t = next;                                                             \
                tile[c] = t;                                                          \
                y[c] = store;                                                         \
            }                                                                         \
    }
#define AS_IS(x)   (x)
#define IS_TRUE(x) ((x) != 0)
#define BOTH(...)     \
    SCAN(__VA_ARGS__) \
    SCAN_TILE(__VA_ARGS__)
#define SCANS_OF_FLOATS(name, first, next)                                                            \
    BOTH(name##_f32, float, float, double, AS_IS, (float)t, first, next)                              \
    BOTH(name##_f64, double, double, double, AS_IS, t, first, next)                                   \
    BOTH(name##_bf16, uint16_t, uint16_t, double, wk_load_bf16, wk_store_bf16((float)t), first, next) \
    BOTH(name##_f16, uint16_t, uint16_t, double, wk_load_f16, wk_store_f16((float)t), first, next)
#define SCANS_OF_INTEGERS(name, first, next)                                     \
    BOTH(name##_i64, int64_t, int64_t, uint64_t, AS_IS, (int64_t)t, first, next) \
    BOTH(name##_i32, int32_t, int64_t, uint64_t, AS_IS, (int64_t)t, first, next) \
    BOTH(name##_i16, int16_t, int64_t, uint64_t, AS_IS, (int64_t)t, first, next) \
    BOTH(name##_i8, int8_t, int64_t, uint64_t, AS_IS, (int64_t)t, first, next)   \
    BOTH(name##_u8, uint8_t, int64_t, uint64_t, AS_IS, (int64_t)t, first, next)  \
    BOTH(name##_bool, uint8_t, int64_t, uint64_t, IS_TRUE, (int64_t)t, first, next)
SCANS_OF_FLOATS(sums, 0, t + v)
SCANS_OF_INTEGERS(sums, 0, t + v)
SCANS_OF_FLOATS(products, 1, t *v)
SCANS_OF_INTEGERS(products, 1, t *v)

/* log(e^t + e^v); two equal infinities have no difference. */
static inline double log_add(double t, double v) {
    double larger = t > v || t != t ? t : v, smaller = t > v || t != t ? v : t;
    return larger == smaller ? larger + M_LN2 : isinf(larger) ? larger : larger + log1p(exp(smaller - larger));
}
SCANS_OF_FLOATS(log_sums, -(double)INFINITY, log_add(t, v))

typedef void (*line_kernel)(const wk_along *along, char *const at[]);
typedef void (*tile_kernel)(const wk_along *along, char *const at[], int64_t lines);
#define FLOATS_OF(name) [WK_F32] = name##_f32, [WK_F64] = name##_f64, [WK_BF16] = name##_bf16, [WK_F16] = name##_f16
#define INTEGERS_OF(name)                                                                                          \
    [WK_I64] = name##_i64, [WK_I32] = name##_i32, [WK_I16] = name##_i16, [WK_I8] = name##_i8, [WK_U8] = name##_u8, \
    [WK_BOOL] = name##_bool
static const line_kernel sums_of[WK_DTYPE_COUNT] = { FLOATS_OF(sums), INTEGERS_OF(sums) };
static const line_kernel products_of[WK_DTYPE_COUNT] = { FLOATS_OF(products), INTEGERS_OF(products) };
static const line_kernel log_sums_of[WK_DTYPE_COUNT] = { FLOATS_OF(log_sums) };

#define TILES_OF(name) \
    [WK_F32] = name##_f32_tile, [WK_F64] = name##_f64_tile, [WK_BF16] = name##_bf16_tile, [WK_F16] = name##_f16_tile
#define INTEGER_TILES_OF(name)                                                                                    \
    [WK_I64] = name##_i64_tile, [WK_I32] = name##_i32_tile, [WK_I16] = name##_i16_tile, [WK_I8] = name##_i8_tile, \
    [WK_U8] = name##_u8_tile, [WK_BOOL] = name##_bool_tile
static const tile_kernel sum_tiles_of[WK_DTYPE_COUNT] = { TILES_OF(sums), INTEGER_TILES_OF(sums) };
static const tile_kernel product_tiles_of[WK_DTYPE_COUNT] = { TILES_OF(products), INTEGER_TILES_OF(products) };
static const tile_kernel log_sum_tiles_of[WK_DTYPE_COUNT] = { TILES_OF(log_sums) };

/* y, or y and the index; x. */
static wk_status run(const wk_kernel_ctx *ctx, const wk_call *call, const line_kernel *lines, const tile_kernel *tiles,
                     wk_optional axis) {
    const wk_tensor *x = call->in[0];
    const wk_tensor *const one[] = { call->out[0], x }, *const two[] = { call->out[0],
                                                                         call->n_out > 1 ? call->out[1] : x, x };
    if (!x->count) return WK_OK;
    wk_along along = { .operands = call->n_out + 1, .line = lines[x->dtype], .params = call->attrs };
    along.tile = tiles[x->dtype];
    wk_along_run(&along, ctx, call->n_out > 1 ? two : one, x, wk_along_axis(x, axis), 2);
    return WK_OK;
}
static wk_status scan(const wk_kernel_ctx *ctx, const wk_call *call, const line_kernel *lines,
                      const tile_kernel *tiles) {
    return run(ctx, call, lines, tiles, ((const wk_scan_opts *)call->attrs)->axis);
}
static wk_status cumsum(wk_kernel_ctx *ctx, const wk_call *call) {
    return scan(ctx, call, sums_of, sum_tiles_of);
}
static wk_status cumprod(wk_kernel_ctx *ctx, const wk_call *call) {
    return scan(ctx, call, products_of, product_tiles_of);
}
static wk_status logcumsumexp(wk_kernel_ctx *ctx, const wk_call *call) {
    return scan(ctx, call, log_sums_of, log_sum_tiles_of);
}

/* ---- extrema: the last among equals; NaN stays once met ---- */

/* A run without a new extremum, as most are, is compared and filled by vectors (512 lines of 1024, one thread, AVX-512
 * in whole: 296 us, 642 step by step). */
enum { RUN = 32 };
#define RUNNING(name, type, value_type, load, operator)                                                                \
    static inline __attribute__((always_inline)) void name##_by(type *y, int64_t *index, const type *x, int64_t count, \
                                                                const int64_t *step) {                                 \
        type kept = x[0];                                                                                              \
        int64_t best = 0;                                                                                              \
        for (int64_t first = 0; first < count; first += RUN) {                                                         \
            int64_t end = first + RUN < count ? first + RUN : count;                                                   \
            value_type most = load(kept);                                                                              \
            int wins = 0;                                                                                              \
            for (int64_t j = first; j < end; j++) {                                                                    \
                value_type v = load(x[j * step[2]]);                                                                   \
                wins |= v != v || v operator most;                                                                     \
            }                                                                                                          \
            for (int64_t j = first; wins && j < end; j++) {                                                            \
                value_type v = load(x[j * step[2]]);                                                                   \
                if (v != v || v operator most) most = v, kept = x[j * step[2]], best = j;                              \
                y[j * step[0]] = kept, index[j * step[1]] = best;                                                      \
            }                                                                                                          \
            for (int64_t j = first; !wins && j < end; j++) y[j * step[0]] = kept;                                      \
            for (int64_t j = first; !wins && j < end; j++) index[j * step[1]] = best;                                  \
        }                                                                                                              \
    }                                                                                                                  \
    static void name(const wk_along *along, char *const at[]) {                                                        \
        const int64_t dense[] = { 1, 1, 1 }, *step = along->step;                                                      \
        type *y = (type *)(void *)at[0];                                                                               \
        int64_t *index = (int64_t *)(void *)at[1];                                                                     \
        const type *x = (const type *)(const void *)at[2];                                                             \
        if (step[0] == 1 && step[1] == 1 && step[2] == 1)                                                              \
            name##_by(y, index, x, along->length[0], dense);                                                           \
        else                                                                                                           \
            name##_by(y, index, x, along->length[0], step);                                                            \
    }
#define RUNNING_TILE(name, type, value_type, load, operator)                                  \
    static void name##_tile(const wk_along *along, char *const at[], int64_t lines) {         \
        type *y = (type *)(void *)at[0], kept[WK_TILE];                                       \
        int64_t *index = (int64_t *)(void *)at[1], best[WK_TILE];                             \
        const type *x = (const type *)(const void *)at[2];                                    \
        for (int64_t c = 0; c < lines; c++) kept[c] = x[c * along->row_step[2]], best[c] = 0; \
        for (int64_t j = 0; j < along->length[0]; j++)                                        \
            for (int64_t c = 0; c < lines; c++) {                                             \
                type raw = x[j * along->step[2] + c * along->row_step[2]];                    \
                value_type v = load(raw), most = load(kept[c]);                               \
                bool wins = v != v || (most == most && v operator most);                      \
                kept[c] = wins ? raw : kept[c];                                               \
                best[c] = wins ? j : best[c];                                                 \
                y[j * along->step[0] + c] = kept[c];                                          \
                index[j * along->step[1] + c * along->row_step[1]] = best[c];                 \
            }                                                                                 \
    }
#define RUNNING_BOTH(...) \
    RUNNING(__VA_ARGS__)  \
    RUNNING_TILE(__VA_ARGS__)
#define RUNNING_OF_ALL(name, operator)                                                           \
    RUNNING_BOTH(name##_f32, float, float, AS_IS, operator)                                      \
    RUNNING_BOTH(name##_f64, double, double, AS_IS, operator)                                    \
    RUNNING_BOTH(name##_bf16, uint16_t, float, wk_load_bf16, operator)                           \
    RUNNING_BOTH(name##_f16, uint16_t, float, wk_load_f16, operator)                             \
    RUNNING_BOTH(name##_i64, int64_t, int64_t, AS_IS, operator)                                  \
    RUNNING_BOTH(name##_i32, int32_t, int32_t, AS_IS, operator)                                  \
    RUNNING_BOTH(name##_i16, int16_t, int16_t, AS_IS, operator)                                  \
    RUNNING_BOTH(name##_i8, int8_t, int8_t, AS_IS, operator)                                     \
    RUNNING_BOTH(name##_u8, uint8_t, uint8_t, AS_IS, operator)                                   \
    RUNNING_BOTH(name##_bool, uint8_t, uint8_t, AS_IS, operator)                                 \
    static const line_kernel name##_of[WK_DTYPE_COUNT] = { FLOATS_OF(name), INTEGERS_OF(name) }; \
    static const tile_kernel name##_tiles_of[WK_DTYPE_COUNT] = { TILES_OF(name), INTEGER_TILES_OF(name) };
RUNNING_OF_ALL(largest, >=)
RUNNING_OF_ALL(least, <=)

static wk_status cummax(wk_kernel_ctx *ctx, const wk_call *call) {
    return run(ctx, call, largest_of, largest_tiles_of, ((const wk_axis_opts *)call->attrs)->axis);
}
static wk_status cummin(wk_kernel_ctx *ctx, const wk_call *call) {
    return run(ctx, call, least_of, least_tiles_of, ((const wk_axis_opts *)call->attrs)->axis);
}

/* ---- s[j] = b[j] + a[j] s[j - 1] ---- */

#define RECURRENCE(name, type, load, store)                                      \
    static void name(const wk_along *along, char *const at[]) {                  \
        type *s = (type *)(void *)(at[0] + START(0));                            \
        const type *a = (const type *)(const void *)(at[1] + START(1));          \
        const type *b = (const type *)(const void *)(at[2] + START(2));          \
        double t = 0;                                                            \
        for (int64_t j = 0; j < along->length[0]; j++) {                         \
            t = (double)load(b[j * STEP(2)]) + (double)load(a[j * STEP(1)]) * t; \
            s[j * STEP(0)] = store;                                              \
        }                                                                        \
    }
RECURRENCE(recurrence_f32, float, AS_IS, (float)t)
RECURRENCE(recurrence_f64, double, AS_IS, t)
RECURRENCE(recurrence_bf16, uint16_t, wk_load_bf16, wk_store_bf16((float)t))
RECURRENCE(recurrence_f16, uint16_t, wk_load_f16, wk_store_f16((float)t))
static const line_kernel recurrence_of[WK_DTYPE_COUNT] = { FLOATS_OF(recurrence) };

static wk_status linear_scan(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *a = call->in[0];
    const wk_tensor *const tensors[] = { call->out[0], a, call->in[1] };
    if (!a->count) return WK_OK;
    wk_along along = { .operands = 3, .line = recurrence_of[a->dtype], .params = call->attrs };
    wk_along_run(&along, ctx, tensors, a, wk_along_axis(a, ((const wk_scan_opts *)call->attrs)->axis), 2);
    return WK_OK;
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
WK_CPU_TABLE(scan) = {
    { "cumsum", ANY, cumsum },
    { "cumprod", ANY, cumprod },
    { "logcumsumexp", WK_FLOATS, logcumsumexp },
    { "cummax", ANY, cummax },
    { "cummin", ANY, cummin },
    { "linear_scan", WK_FLOATS, linear_scan },
    { 0 },
};
