/* argmax.c: where the largest or least element of each line along an axis is; the first among equals, NaN before
 * everything.
 *
 * Two passes over a line: the largest value (vector code), then the first element that equals it.  One pass that
 * carries value and index would be a chain of dependent selections: 4 cycles an element instead of less than one.
 * Lines that are neighbours in memory (an axis before the last) have a lane each, and one pass.
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
/* Indices of `lines` lines, neighbours in memory, side by side: element i of line j is x[i * step + j]. */
enum { SIDE_BY_SIDE = 64 };
#define NEIGHBOURS(name, type, load, value_type, operator)                                       \
    static void name(int64_t *out, const void *x_, int64_t step, int64_t n, int64_t lines) {     \
        value_type best[SIDE_BY_SIDE];                                                           \
        int32_t index[SIDE_BY_SIDE];                                                             \
        for (int64_t j = 0; j < lines; j++) best[j] = load(((const type *)x_)[j]), index[j] = 0; \
        for (int32_t i = 1; i < n; i++) {                                                        \
            const type *restrict x = (const type *)x_ + i * step;                                \
            for (int64_t j = 0; j < lines; j++) {                                                \
                value_type v = load(x[j]), held = best[j];                                       \
                bool better = (v operator held) | ((v != v) & (held == held));                   \
                best[j] = better ? v : held;                                                     \
                index[j] = better ? i : index[j];                                                \
            }                                                                                    \
        }                                                                                        \
        for (int64_t j = 0; j < lines; j++) out[j] = index[j];                                   \
    }
#define AS_IS(x) (x)
#define TYPES(X, name, operator)                            \
    X(name##_f32, float, AS_IS, float, operator)            \
    X(name##_f64, double, AS_IS, double, operator)          \
    X(name##_bf16, uint16_t, wk_load_bf16, float, operator) \
    X(name##_f16, uint16_t, wk_load_f16, float, operator)   \
    X(name##_i64, int64_t, AS_IS, int64_t, operator)        \
    X(name##_i32, int32_t, AS_IS, int32_t, operator)        \
    X(name##_i16, int16_t, AS_IS, int16_t, operator)        \
    X(name##_i8, int8_t, AS_IS, int8_t, operator)           \
    X(name##_u8, uint8_t, AS_IS, uint8_t, operator)
#define TABLE(name)                                                                                                    \
    {                                                                                                                  \
        [WK_F32] = name##_f32, [WK_F64] = name##_f64, [WK_BF16] = name##_bf16, [WK_F16] = name##_f16,                  \
        [WK_I64] = name##_i64, [WK_I32] = name##_i32, [WK_I16] = name##_i16, [WK_I8] = name##_i8, [WK_U8] = name##_u8, \
        [WK_BOOL] = name##_u8,                                                                                         \
    }
typedef int64_t (*line_kernel)(const void *x, int64_t step, int64_t n);
typedef void (*neighbours_kernel)(int64_t *out, const void *x, int64_t step, int64_t n, int64_t lines);
TYPES(LINE, largest, >)
TYPES(LINE, least, <)
TYPES(NEIGHBOURS, largest_beside, >)
TYPES(NEIGHBOURS, least_beside, <)
static const line_kernel largest_of[WK_DTYPE_COUNT] = TABLE(largest), least_of[WK_DTYPE_COUNT] = TABLE(least);
static const neighbours_kernel largest_beside_of[WK_DTYPE_COUNT] = TABLE(largest_beside),
                               least_beside_of[WK_DTYPE_COUNT] = TABLE(least_beside);

typedef struct argmax_plan {
    int64_t *out;
    const char *x;
    int64_t size, length, step; /* bytes an element; the axis */
    int64_t out_step, x_step;   /* along the walk's rows */
    line_kernel line;
    neighbours_kernel beside; /* NULL: the lines are not neighbours */
} argmax_plan;

static void argmax_visit(const void *context, const int64_t offset[], int64_t n) {
    const argmax_plan *plan = context;
    for (int64_t i = 0; i < n && plan->beside; i += SIDE_BY_SIDE)
        plan->beside(plan->out + offset[0] + i, plan->x + (offset[1] + i) * plan->size, plan->step, plan->length,
                     n - i < SIDE_BY_SIDE ? n - i : SIDE_BY_SIDE);
    for (int64_t i = 0; i < n && !plan->beside; i++)
        plan->out[offset[0] + i * plan->out_step] =
            plan->line(plan->x + (offset[1] + i * plan->x_step) * plan->size, plan->step, plan->length);
}

static wk_status run(const wk_kernel_ctx *ctx, const wk_call *call, bool most) {
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
    argmax_plan plan = { out->data, x->data, (int64_t)wk_size_of(x->dtype), 1, 1, 0, 0, NULL, NULL };
    plan.line = (most ? largest_of : least_of)[x->dtype];
    if (x->rank) plan.length = x->shape[axis], plan.step = x->stride[axis];
    plan.out_step = walk.stride[0][walk.rank - 1];
    plan.x_step = walk.stride[1][walk.rank - 1];
    if (plan.x_step == 1 && plan.out_step == 1 && plan.step != 1 && plan.length <= INT32_MAX)
        plan.beside = (most ? largest_beside_of : least_beside_of)[x->dtype];
    wk_walk_lines(&walk, wk_cpu_team(ctx, x->count * plan.size), argmax_visit, &plan);
    return WK_OK;
}

static wk_status argmax(wk_kernel_ctx *ctx, const wk_call *call) {
    return run(ctx, call, true);
}
static wk_status argmin(wk_kernel_ctx *ctx, const wk_call *call) {
    return run(ctx, call, false);
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
WK_CPU_TABLE(argmax) = { { "argmax", ANY, argmax }, { "argmin", ANY, argmin }, { 0 } };
