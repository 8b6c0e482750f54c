/* reduce.c: sums, products, counts and extrema over any axes of any layout.
 *
 * Everything is accumulated in f64 (integers in i64).  For f32, bf16 and f16 that makes the error of a sum that of one
 * rounding, whatever the number of elements, and the result independent of the vector width except for f64 itself;
 * maxima are exact either way.  It costs little: 48 GB/s on one thread.
 *
 * The axes fall into kept and reduced ones.  If memory runs along a reduced axis, each output is a reduction of rows
 * ("row mode"); if it runs along a kept one (bias gradients, channels-last statistics), a tile of outputs is
 * accumulated side by side ("column mode").  Few outputs with much behind each are cut into blocks that depend on the
 * shape only, never on the number of threads, and the blocks' results are joined in order: results repeat bit for bit
 * on any team.
 */
#include "cpu/simd/reduce/reduce_rows.h"

enum { MAX_BLOCKS = 32, BLOCK_BYTES = 64 * 1024 };

typedef enum operation {
    SUM,
    MAX,
    MIN,
    PRODUCT,
    COUNT,        /* of what is not 0 */
    PRESENT,      /* sum of what is not NaN */
    SQUARES,      /* sum of squares */
    SIZES,        /* sum of absolute values */
    LARGEST_SIZE, /* of the absolute values */
    LEAST_SIZE,
    OPERATIONS
} operation;
#define BY_DTYPE(prefix)                                                                                      \
    {                                                                                                         \
        [WK_F32] = prefix##_f32, [WK_F64] = prefix##_f64, [WK_BF16] = prefix##_bf16, [WK_F16] = prefix##_f16, \
        [WK_I64] = prefix##_i64, [WK_I32] = prefix##_i32, [WK_I16] = prefix##_i16, [WK_I8] = prefix##_i8,     \
        [WK_U8] = prefix##_u8, [WK_BOOL] = prefix##_bool,                                                     \
    }
#define FLOATS_BY_DTYPE(prefix) \
    { [WK_F32] = prefix##_f32, [WK_F64] = prefix##_f64, [WK_BF16] = prefix##_bf16, [WK_F16] = prefix##_f16 }
#define BY_OPERATION(form)                                                                                           \
    {                                                                                                                \
        BY_DTYPE(sum_##form), BY_DTYPE(max_##form), BY_DTYPE(min_##form), BY_DTYPE(product_##form),                  \
            BY_DTYPE(count_##form), FLOATS_BY_DTYPE(present_##form), FLOATS_BY_DTYPE(squares_##form),                \
            FLOATS_BY_DTYPE(sizes_##form), FLOATS_BY_DTYPE(largest_size_##form), FLOATS_BY_DTYPE(least_size_##form), \
    }
static const row_reduction row_of[OPERATIONS][WK_DTYPE_COUNT] = BY_OPERATION(row);
static const column_reduction columns_of[OPERATIONS][WK_DTYPE_COUNT] = BY_OPERATION(columns);
/* Without SSE4.1 gcc 12 folds the integers' lanes through an MMX register and leaves the x87 stack unusable to whoever
 * comes next (OpenBLAS' dnrm2). */
#if defined __x86_64__ && !defined __SSE4_1__
static const short_reduction short_of[WK_DTYPE_COUNT] = { NULL };
#else
static const short_reduction short_of[WK_DTYPE_COUNT] = FLOATS_BY_DTYPE(short);
#endif
/* What joins the totals of two blocks. */
static const operation join_of[OPERATIONS] = {
    [SUM] = SUM,     [MAX] = MAX,     [MIN] = MIN,   [PRODUCT] = PRODUCT,  [COUNT] = SUM,
    [PRESENT] = SUM, [SQUARES] = SUM, [SIZES] = SUM, [LARGEST_SIZE] = MAX, [LEAST_SIZE] = MIN,
};

typedef struct reduction {
    wk_walk kept;    /* (out, x); in column mode without the tile's axis */
    wk_walk reduced; /* (x) */
    char *out;
    const char *x;
    operation what;
    double divisor; /* of a mean, else 1 */
    int64_t least;  /* a count of truth values that makes the result true */
    unsigned dtype, out_dtype;
    bool is_float;                          /* the totals are */
    int64_t columns, column_step, out_step; /* the tile's axis in column mode; 1, 0, 0 in row mode */
    int64_t tiles;                          /* along that axis */
    row_reduction row;
    column_reduction column; /* NULL in row mode */
} reduction;

/* What one piece of work accumulates: `count` totals of the elements at x + offset. */
typedef struct piece {
    const reduction *of;
    const char *x;
    int64_t count;
    wide *totals; /* (count) */
} piece;

static void reduce_visit(const void *context, const int64_t offset[], int64_t n) {
    const piece *p = context;
    const reduction *plan = p->of;
    const char *x = p->x + offset[0] * (int64_t)wk_size_of(plan->dtype);
    int64_t step = plan->reduced.stride[0][plan->reduced.rank - 1];
    if (plan->column)
        plan->column(p->totals, x, step, n, plan->column_step, p->count);
    else
        plan->row(p->totals, x, step, n);
}

static wide first_total(const reduction *plan) {
    double least = -(double)INFINITY, most = (double)INFINITY;
    switch (join_of[plan->what]) {
    case MAX: return plan->is_float ? (wide){ .f = least } : (wide){ .i = INT64_MIN };
    case MIN: return plan->is_float ? (wide){ .f = most } : (wide){ .i = INT64_MAX };
    case PRODUCT: return plan->is_float ? (wide){ .f = 1 } : (wide){ .i = 1 };
    default: return plan->is_float ? (wide){ .f = 0 } : (wide){ .i = 0 };
    }
}

static void join(const reduction *plan, wide *totals, const wide *more, int64_t count) {
    row_reduction row = row_of[join_of[plan->what]][plan->is_float ? WK_F64 : WK_I64];
    for (int64_t j = 0; j < count; j++) row(&totals[j], &more[j], 1, 1);
}

#define STORE(type, value)                               \
    for (int64_t j = 0; j < count; j++) {                \
        double f = totals[j].f;                          \
        int64_t i = totals[j].i;                         \
        (void)f, (void)i;                                \
        ((type *)(void *)out)[j * step] = (type)(value); \
    }                                                    \
    return
/* Outputs `step` elements apart. */
static void store(const reduction *plan, char *out, int64_t step, wide *totals, int64_t count) {
    if (plan->divisor != 1)
        for (int64_t j = 0; j < count; j++) totals[j].f /= plan->divisor;
    switch (plan->out_dtype) {
    case WK_F32: STORE(float, f);
    case WK_F64: STORE(double, f);
    case WK_BF16: STORE(uint16_t, wk_store_bf16((float)f));
    case WK_F16: STORE(uint16_t, wk_store_f16((float)f));
    case WK_I64: STORE(int64_t, i);
    case WK_I32: STORE(int32_t, i);
    case WK_I16: STORE(int16_t, i);
    case WK_BOOL: STORE(uint8_t, i >= plan->least);
    default: STORE(uint8_t, i);
    }
}

/* Where outputs group `group` (a row, or a tile of columns) starts, and how many outputs it holds. */
static int64_t locate(const reduction *plan, int64_t group, char **out, const char **x) {
    int64_t first = group % plan->tiles * TILE, rest = group / plan->tiles;
    int64_t to = first * plan->out_step, from = first * plan->column_step;
    for (int i = plan->kept.rank - 1; i >= 0; i--) {
        int64_t index = rest % plan->kept.shape[i];
        rest /= plan->kept.shape[i];
        to += index * plan->kept.stride[0][i];
        from += index * plan->kept.stride[1][i];
    }
    *out = plan->out + to * (int64_t)wk_size_of(plan->out_dtype);
    *x = plan->x + from * (int64_t)wk_size_of(plan->dtype);
    return plan->columns - first < TILE ? plan->columns - first : TILE;
}

/* Part `block` of `blocks` of a group, into totals (TILE). */
static void accumulate(const reduction *plan, const char *x, int64_t count, int block, int blocks, wide *totals) {
    for (int64_t j = 0; j < count; j++) totals[j] = first_total(plan);
    int64_t begin, end;
    wk_share(wk_walk_count(&plan->reduced), 1, block, blocks, &begin, &end);
    piece p = { plan, x, count, totals };
    wk_walk_range(&plan->reduced, begin, end, reduce_visit, &p);
}

static void reduce_group(const reduction *plan, int64_t group) {
    wide totals[TILE];
    char *out;
    const char *x;
    int64_t count = locate(plan, group, &out, &x);
    accumulate(plan, x, count, 0, 1, totals);
    store(plan, out, plan->out_step, totals, count);
}

/* Row mode with many outputs: along a walk instead of by number, for finding each of many short rows by division would
 * cost more than adding it up. */
static void reduce_rows(const void *context, const int64_t offset[], int64_t n) {
    const reduction *plan = context;
    int last = plan->kept.rank - 1;
    int64_t size = (int64_t)wk_size_of(plan->dtype), out_size = (int64_t)wk_size_of(plan->out_dtype);
    int64_t row_step = plan->kept.stride[1][last] * size, out_step = plan->kept.stride[0][last];
    int64_t step = plan->reduced.stride[0][0], length = plan->reduced.shape[0];
    const char *x = plan->x + offset[1] * size;
    char *out = plan->out + offset[0] * out_size;
    bool extrema = (plan->what == MAX || plan->what == MIN) && length <= SHORT && length >= 16;
    short_reduction shorts = extrema && plan->reduced.rank == 1 && step == 1 ? short_of[plan->dtype] : NULL;
    wide totals[TILE];
    for (int64_t done = 0; done < n; done += TILE) {
        int64_t count = n - done < TILE ? n - done : TILE;
        const wide first = first_total(plan);
        if (shorts) shorts(totals, x, row_step / size, length, count, plan->what == MAX), x += count * row_step;
        for (int64_t i = 0; i < count && !shorts; i++, x += row_step) {
            totals[i] = first;
            if (plan->reduced.rank == 1)
                plan->row(&totals[i], x, step, length);
            else
                accumulate(plan, x, 1, 0, 1, &totals[i]);
        }
        store(plan, out + done * out_step * out_size, out_step, totals, count);
    }
}

static void reduce_group_in_blocks(const reduction *plan, int64_t group, int blocks, int team) {
    wide totals[MAX_BLOCKS][TILE];
    char *out;
    const char *x;
    int64_t count = locate(plan, group, &out, &x);
    if (team == 1) {
        for (int b = 0; b < blocks; b++) accumulate(plan, x, count, b, blocks, totals[b]);
    } else {
#pragma omp parallel for schedule(static) num_threads(team)
        for (int b = 0; b < blocks; b++) accumulate(plan, x, count, b, blocks, totals[b]);
    }
    for (int b = 1; b < blocks; b++) join(plan, totals[0], totals[b], count);
    store(plan, out, plan->out_step, totals[0], count);
}

static void run(const reduction *plan, const wk_kernel_ctx *ctx) {
    int64_t groups = wk_walk_count(&plan->kept) * plan->tiles, size = (int64_t)wk_size_of(plan->dtype);
    int64_t behind = wk_walk_count(&plan->reduced) * (plan->columns < TILE ? plan->columns : TILE) * size;
    int team = wk_moving_team(ctx, groups * behind);
    if (groups < 16 && behind > 2 * BLOCK_BYTES) {
        int64_t blocks = behind / BLOCK_BYTES < MAX_BLOCKS ? behind / BLOCK_BYTES : MAX_BLOCKS;
        for (int64_t g = 0; g < groups; g++) reduce_group_in_blocks(plan, g, (int)blocks, team);
    } else if (!plan->column) {
        wk_walk_split(&plan->kept, team, 16, reduce_rows, plan);
    } else if (team == 1 || groups == 1) {
        for (int64_t g = 0; g < groups; g++) reduce_group(plan, g);
    } else {
#pragma omp parallel for schedule(static) num_threads(team)
        for (int64_t g = 0; g < groups; g++) reduce_group(plan, g);
    }
}

/* Column mode if some kept axis has a smaller stride than every reduced one; it becomes the tile's axis. */
static void choose_mode(reduction *plan) {
    int inner = -1;
    int64_t least = plan->reduced.stride[0][plan->reduced.rank - 1];
    if (wk_walk_count(&plan->reduced) == 1) least = INT64_MAX;
    for (int i = 0; i < plan->kept.rank; i++) {
        int64_t stride = plan->kept.stride[1][i];
        if (plan->kept.shape[i] > 1 && stride > 0 && stride < least) inner = i, least = stride;
    }
    plan->tiles = plan->columns = 1;
    if (inner < 0) return;
    plan->column = columns_of[plan->what][plan->dtype];
    plan->columns = plan->kept.shape[inner];
    plan->out_step = plan->kept.stride[0][inner];
    plan->column_step = least;
    plan->tiles = (plan->columns + TILE - 1) / TILE;
    plan->kept.shape[inner] = 1;
}

static wk_status reduce_to(const wk_kernel_ctx *ctx, const wk_call *call, operation what, bool mean, bool all) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    if (!out->count) return WK_OK;
    reduction plan = { .out = out->data,
                       .x = x->data,
                       .what = what,
                       .dtype = x->dtype,
                       .out_dtype = out->dtype,
                       .is_float = (WK_FLOATS & WK_SET_OF(x->dtype)) && what != COUNT,
                       .row = row_of[what][x->dtype] };
    plan.divisor = mean ? (double)x->count / (double)out->count : 1;
    plan.least = all ? x->count / out->count : 1;
    wk_split_axes(&plan.kept, &plan.reduced, x, out, call->attrs);
    choose_mode(&plan);
    run(&plan, ctx);
    return WK_OK;
}

static wk_status reduce(const wk_kernel_ctx *ctx, const wk_call *call, operation what) {
    return reduce_to(ctx, call, what, false, false);
}
static wk_status sum(wk_kernel_ctx *ctx, const wk_call *call) {
    return reduce(ctx, call, SUM);
}
static wk_status mean(wk_kernel_ctx *ctx, const wk_call *call) {
    return reduce_to(ctx, call, SUM, true, false);
}
static wk_status amax(wk_kernel_ctx *ctx, const wk_call *call) {
    return reduce(ctx, call, MAX);
}
static wk_status amin(wk_kernel_ctx *ctx, const wk_call *call) {
    return reduce(ctx, call, MIN);
}
static wk_status product(wk_kernel_ctx *ctx, const wk_call *call) {
    return reduce(ctx, call, PRODUCT);
}
static wk_status any(wk_kernel_ctx *ctx, const wk_call *call) {
    return reduce(ctx, call, COUNT);
}
static wk_status all(wk_kernel_ctx *ctx, const wk_call *call) {
    return reduce_to(ctx, call, COUNT, false, true);
}
static wk_status nansum(wk_kernel_ctx *ctx, const wk_call *call) {
    return reduce(ctx, call, PRESENT);
}
static wk_status magnitude(wk_kernel_ctx *ctx, const wk_call *call) {
    static const operation of[] = { SQUARES, SIZES, LARGEST_SIZE, LEAST_SIZE };
    return reduce(ctx, call, of[((const wk_magnitude_attrs *)call->attrs)->kind]);
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
WK_CPU_TABLE(reduce) = {
    { "sum", ANY, sum },
    { "sum_wide", WK_HALVES, sum },
    { "mean", WK_FLOATS, mean },
    { "amax", ANY, amax },
    { "amin", ANY, amin },
    { "prod", ANY, product },
    { "any", ANY, any },
    { "all", ANY, all },
    { "count_nonzero", ANY, any },
    { "nansum", WK_FLOATS, nansum },
    { "magnitude", WK_FLOATS, magnitude },
    { 0 },
};
