/* cast.c: from any dtype to any.
 *
 * 90 pairs of types do not deserve 90 loops.  The frequent pairs have one each; the others go through 256 elements of
 * f64 (from floats) or i64 (from integers and bool), which hold every source exactly, so there is one rounding.
 * To integers: truncation, saturation, NaN to 0.  To bool: what is not 0 (NaN is not).
 */
#include "cpu/simd/iterate.h"

#include <math.h>

/* f64 to f32 keeping what a second rounding needs: towards zero, lowest bit set if anything was cut off (round to odd).
 */
static inline float float_sticky(double value) {
    float nearest = (float)value;
    if ((double)nearest == value || value != value) return nearest;
    uint32_t bits = wk_bits_of(nearest);
    if (fabs((double)nearest) > fabs(value)) bits -= 1;
    return wk_float_of(bits | 1u);
}

/* One element out of f64 and out of i64, by target; `low` and `high` are the bounds of the target as i64. */
#define TO_INTEGER_F64(v, type, low, high, high_plus_1) \
    ((v) >= (high_plus_1) ? (type)(high) : (v) <= (double)(low) ? (type)(low) : (v) == (v) ? (type)(v) : (type)0)
#define TO_INTEGER_I64(v, type, low, high) ((v) > (high) ? (type)(high) : (v) < (low) ? (type)(low) : (type)(v))

#define LOOP(name, in_type, out_type, expression)                                                 \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        (void)params;                                                                             \
        out_type *restrict out = out_;                                                            \
        const in_type *restrict first = in[0];                                                    \
        for (int64_t i = 0; i < n; i++) {                                                         \
            in_type x = first[i];                                                                 \
            out[i] = (out_type)(expression);                                                      \
        }                                                                                         \
    }

/* Sources, widened. */
LOOP(from_f32, float, double, x)
LOOP(from_f64, double, double, x)
LOOP(from_bf16, uint16_t, double, wk_load_bf16(x))
LOOP(from_f16, uint16_t, double, wk_load_f16(x))
LOOP(from_i64, int64_t, int64_t, x)
LOOP(from_i32, int32_t, int64_t, x)
LOOP(from_i16, int16_t, int64_t, x)
LOOP(from_i8, int8_t, int64_t, x)
LOOP(from_u8, uint8_t, int64_t, x)
LOOP(from_bool, uint8_t, int64_t, x != 0)
static const wk_row from_rows[WK_DTYPE_COUNT] = {
#define FROM(name, text, type, bytes, stored) [WK_##name] = from_##text,
    WK_DTYPE_MAP(FROM)
#undef FROM
};

/* Targets, from f64 and from i64. */
LOOP(float_to_f32, double, float, x)
LOOP(float_to_f64, double, double, x)
LOOP(float_to_bf16, double, uint16_t, wk_store_bf16(float_sticky(x)))
LOOP(float_to_f16, double, uint16_t, wk_store_f16(float_sticky(x)))
LOOP(float_to_i64, double, int64_t, TO_INTEGER_F64(x, int64_t, INT64_MIN, INT64_MAX, 0x1p63))
LOOP(float_to_i32, double, int32_t, TO_INTEGER_F64(x, int32_t, INT32_MIN, INT32_MAX, 0x1p31))
LOOP(float_to_i16, double, int16_t, TO_INTEGER_F64(x, int16_t, INT16_MIN, INT16_MAX, 0x1p15))
LOOP(float_to_i8, double, int8_t, TO_INTEGER_F64(x, int8_t, INT8_MIN, INT8_MAX, 0x1p7))
LOOP(float_to_u8, double, uint8_t, TO_INTEGER_F64(x, uint8_t, 0, UINT8_MAX, 0x1p8))
LOOP(float_to_bool, double, uint8_t, x != 0)
LOOP(integer_to_f32, int64_t, float, x)
LOOP(integer_to_f64, int64_t, double, x)
LOOP(integer_to_bf16, int64_t, uint16_t, wk_store_bf16((float)x))
LOOP(integer_to_f16, int64_t, uint16_t, wk_store_f16((float)x))
LOOP(integer_to_i64, int64_t, int64_t, x)
LOOP(integer_to_i32, int64_t, int32_t, TO_INTEGER_I64(x, int32_t, INT32_MIN, INT32_MAX))
LOOP(integer_to_i16, int64_t, int16_t, TO_INTEGER_I64(x, int16_t, INT16_MIN, INT16_MAX))
LOOP(integer_to_i8, int64_t, int8_t, TO_INTEGER_I64(x, int8_t, INT8_MIN, INT8_MAX))
LOOP(integer_to_u8, int64_t, uint8_t, TO_INTEGER_I64(x, uint8_t, 0, UINT8_MAX))
LOOP(integer_to_bool, int64_t, uint8_t, x != 0)
static const wk_row to_rows[2][WK_DTYPE_COUNT] = {
#define TO_FROM_FLOAT(name, text, type, bytes, stored)   [0][WK_##name] = float_to_##text,
#define TO_FROM_INTEGER(name, text, type, bytes, stored) [1][WK_##name] = integer_to_##text,
    WK_DTYPE_MAP(TO_FROM_FLOAT) WK_DTYPE_MAP(TO_FROM_INTEGER)
#undef TO_FROM_FLOAT
#undef TO_FROM_INTEGER
};

/* The frequent pairs in one step. */
LOOP(f32_to_f64, float, double, x)
LOOP(f64_to_f32, double, float, x)
LOOP(u8_to_f32, uint8_t, float, x)
LOOP(i64_to_f32, int64_t, float, x)
LOOP(i32_to_f32, int32_t, float, x)
LOOP(i32_to_i64, int32_t, int64_t, x)
LOOP(bool_to_f32, uint8_t, float, x != 0)
LOOP(f32_to_bool, float, uint8_t, x != 0)
LOOP(bool_to_i64, uint8_t, int64_t, x != 0)

static void bf16_to_f32(void *restrict out, const void *const *in, int64_t n, const void *params) {
    (void)params;
    wk_widen_bf16(out, in[0], n);
}
static void f16_to_f32(void *restrict out, const void *const *in, int64_t n, const void *params) {
    (void)params;
    wk_widen_f16(out, in[0], n);
}
static void f32_to_bf16(void *restrict out, const void *const *in, int64_t n, const void *params) {
    (void)params;
    wk_narrow_bf16(out, in[0], n);
}
static void f32_to_f16(void *restrict out, const void *const *in, int64_t n, const void *params) {
    (void)params;
    wk_narrow_f16(out, in[0], n);
}

static const wk_row direct_rows[WK_DTYPE_COUNT][WK_DTYPE_COUNT] = {
    [WK_F32] = { [WK_F64] = f32_to_f64, [WK_BF16] = f32_to_bf16, [WK_F16] = f32_to_f16, [WK_BOOL] = f32_to_bool },
    [WK_F64] = { [WK_F32] = f64_to_f32 },
    [WK_BF16] = { [WK_F32] = bf16_to_f32 },
    [WK_F16] = { [WK_F32] = f16_to_f32 },
    [WK_I64] = { [WK_F32] = i64_to_f32 },
    [WK_I32] = { [WK_F32] = i32_to_f32, [WK_I64] = i32_to_i64 },
    [WK_U8] = { [WK_F32] = u8_to_f32 },
    [WK_BOOL] = { [WK_F32] = bool_to_f32, [WK_I64] = bool_to_i64 },
};

typedef struct pair {
    wk_row direct, from, to; /* direct or the other two */
} pair;

static void convert(void *restrict out, const void *const *in, int64_t n, size_t in_size, size_t out_size,
                    const pair *rows) {
    if (rows->direct) {
        rows->direct(out, in, n, NULL);
        return;
    }
    wk_staging wide;
    const void *middle[] = { &wide };
    for (int64_t done = 0; done < n; done += WK_CHUNK) {
        int64_t part = n - done < WK_CHUNK ? n - done : WK_CHUNK;
        const void *from[] = { (const char *)in[0] + (size_t)done * in_size };
        rows->from(&wide, from, part, NULL);
        rows->to((char *)out + (size_t)done * out_size, middle, part, NULL);
    }
}

typedef struct cast_plan {
    pair rows;
    char *out;
    const char *in;
    size_t out_size, in_size;
    int64_t out_step, in_step;
} cast_plan;

static void cast_visit(const void *context, const int64_t offset[], int64_t n) {
    const cast_plan *plan = context;
    char *out = plan->out + offset[0] * (int64_t)plan->out_size;
    const char *in = plan->in + offset[1] * (int64_t)plan->in_size;
    if (plan->out_step == 1 && plan->in_step == 1) {
        convert(out, (const void *const[]){ in }, n, plan->in_size, plan->out_size, &plan->rows);
        return;
    }
    wk_staging source, target;
    for (int64_t done = 0; done < n; done += WK_CHUNK) {
        int64_t part = n - done < WK_CHUNK ? n - done : WK_CHUNK;
        wk_gather_row(&source, in + done * plan->in_step * (int64_t)plan->in_size, plan->in_size, plan->in_step, part);
        convert(&target, (const void *const[]){ &source }, part, plan->in_size, plan->out_size, &plan->rows);
        wk_scatter_row(out + done * plan->out_step * (int64_t)plan->out_size, &target, plan->out_size, plan->out_step,
                       part);
    }
}

static wk_status cast(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    if (!out->count) return WK_OK;
    pair rows = { direct_rows[x->dtype][out->dtype], from_rows[x->dtype],
                  to_rows[!(WK_FLOATS & WK_SET_OF(x->dtype))][out->dtype] };
    cast_plan plan = { rows, out->data, x->data, wk_size_of(out->dtype), wk_size_of(x->dtype), 1, 1 };
    wk_walk walk = wk_walk_of(out);
    wk_walk_add(&walk, x);
    wk_walk_simplify(&walk);
    if (walk.shape[walk.rank - 1] > 1) {
        plan.out_step = walk.stride[0][walk.rank - 1];
        plan.in_step = walk.stride[1][walk.rank - 1];
    }
    int64_t bytes = out->count * (int64_t)(plan.out_size + plan.in_size);
    wk_walk_team(&walk, wk_moving_team(ctx, bytes), cast_visit, &plan);
    return WK_OK;
}

WK_CPU_TABLE(cast) = { { "cast", (wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)), cast }, { 0 } };
