/* argmax.c: where the largest or least element of each line along an axis is; the first among equals, NaN before
 * everything.
 *
 * Two passes over a line: the largest value (vector code), then the first element that equals it.  One pass that
 * carries value and index would be a chain of dependent selections: 4 cycles an element instead of less than one.
 */
#include "cpu/simd/iterate.h"

/* Index of the largest of n elements, `step` apart.  x == x is false for NaN alone. */
#define LINE(name, type, load, value_type, operator)                                                      \
    static int64_t name(const void *x_, int64_t step, int64_t n) {                                        \
        const type *x = x_;                                                                               \
        value_type lane[16], best = load(x[0]);                                                           \
        int64_t i = 0;                                                                                    \
        for (int j = 0; j < 16; j++) lane[j] = best;                                                      \
        for (; i + 16 <= n && step == 1; i += 16)                                                         \
            for (int j = 0; j < 16; j++) {                                                                \
                value_type v = load(x[i + j]);                                                            \
                lane[j] = v operator lane[j] || v != v ? v : lane[j];                                     \
            }                                                                                             \
        for (; i < n; i++) {                                                                              \
            value_type v = load(x[i * step]);                                                             \
            best = v operator best || v != v ? v : best;                                                  \
        }                                                                                                 \
        for (int j = 0; j < 16; j++) best = lane[j] operator best || lane[j] != lane[j] ? lane[j] : best; \
        for (i = 0; i < n - 1; i++) {                                                                     \
            value_type v = load(x[i * step]);                                                             \
            if (v == best || v != v) break;                                                               \
        }                                                                                                 \
        return i;                                                                                         \
    }
#define AS_IS(x) (x)
#define LINES(name, operator)                                                                         \
    LINE(name##_f32, float, AS_IS, float, operator)                                                   \
    LINE(name##_f64, double, AS_IS, double, operator)                                                 \
    LINE(name##_bf16, uint16_t, wk_load_bf16, float, operator)                                        \
    LINE(name##_f16, uint16_t, wk_load_f16, float, operator)                                          \
    LINE(name##_i64, int64_t, AS_IS, int64_t, operator)                                               \
    LINE(name##_i32, int32_t, AS_IS, int32_t, operator)                                               \
    LINE(name##_i16, int16_t, AS_IS, int16_t, operator)                                               \
    LINE(name##_i8, int8_t, AS_IS, int8_t, operator)                                                  \
    LINE(name##_u8, uint8_t, AS_IS, uint8_t, operator)                                                \
    static const line_kernel name##_of[WK_DTYPE_COUNT] = {                                            \
        [WK_F32] = name##_f32, [WK_F64] = name##_f64, [WK_BF16] = name##_bf16, [WK_F16] = name##_f16, \
        [WK_I64] = name##_i64, [WK_I32] = name##_i32, [WK_I16] = name##_i16,   [WK_I8] = name##_i8,   \
        [WK_U8] = name##_u8,   [WK_BOOL] = name##_u8,                                                 \
    }
typedef int64_t (*line_kernel)(const void *x, int64_t step, int64_t n);
LINES(largest, >);
LINES(least, <);

typedef struct argmax_plan {
    int64_t *out;
    const char *x;
    int64_t size, length, step; /* bytes an element; the axis */
    int64_t out_step, x_step;   /* along the walk's rows */
    line_kernel line;
} argmax_plan;

static void argmax_visit(const void *context, const int64_t offset[], int64_t n) {
    const argmax_plan *plan = context;
    for (int64_t i = 0; i < n; i++)
        plan->out[offset[0] + i * plan->out_step] =
            plan->line(plan->x + (offset[1] + i * plan->x_step) * plan->size, plan->step, plan->length);
}

static wk_status run(const wk_kernel_ctx *ctx, const wk_call *call, const line_kernel *line_of) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    if (!out->count) return WK_OK;
    const wk_axis_opts *opts = call->attrs;
    int axis = (int)wk_optional_or(opts->axis, -1);
    if (axis < 0) axis += x->rank;
    wk_walk walk = { .operands = 2 };
    for (int i = 0; i < x->rank; i++) {
        if (i == axis) continue;
        walk.stride[0][walk.rank] = out->stride[walk.rank];
        walk.stride[1][walk.rank] = x->stride[i];
        walk.shape[walk.rank++] = x->shape[i];
    }
    wk_walk_simplify(&walk);
    argmax_plan plan = { out->data, x->data, (int64_t)wk_size_of(x->dtype), 1, 1, 0, 0, line_of[x->dtype] };
    if (x->rank) plan.length = x->shape[axis], plan.step = x->stride[axis];
    plan.out_step = walk.stride[0][walk.rank - 1];
    plan.x_step = walk.stride[1][walk.rank - 1];
    wk_walk_lines(&walk, wk_cpu_team(ctx, x->count * plan.size), argmax_visit, &plan);
    return WK_OK;
}

static wk_status argmax(wk_kernel_ctx *ctx, const wk_call *call) {
    return run(ctx, call, largest_of);
}
static wk_status argmin(wk_kernel_ctx *ctx, const wk_call *call) {
    return run(ctx, call, least_of);
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
WK_CPU_TABLE(argmax) = { { "argmax", ANY, argmax }, { "argmin", ANY, argmin }, { 0 } };
