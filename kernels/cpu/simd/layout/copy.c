/* copy.c: from any layout to any other, and one value everywhere.
 *
 * After wk_walk_simplify there are three cases.  Rows contiguous on both sides are memcpy.  Where the source is
 * contiguous along another axis than the target (NCHW to NHWC and back, a transposed matrix), tiles of one cache line's
 * width are transposed: a plain loop touches a new line for every element and uses a sixteenth of it, unless all lines
 * survive in the cache.  4-byte elements are turned 8 x 8 in registers (NHWC to NCHW of (64,64,12,12), one thread: 0.36
 * ms with the loop below, 0.07 ms in registers).  What is left is copied element by element.
 */
#include "cpu/simd/layout/copy.h"

typedef struct copy_plan {
    char *to;
    const char *from;
    int64_t size; /* bytes an element */
    int64_t to_step, from_step;
} copy_plan;

/* A row whose target stands a few bytes further in its page than the source does in its own: there the processor's own
 * string instruction, which memcpy uses for long rows, takes ten times as long (Zen 4; rows of `roll` are like that).
 */
typedef wk_line_of_bytes line;
static void copy_row(char *restrict to, const char *restrict from, size_t bytes) {
    uintptr_t ahead = ((uintptr_t)to - (uintptr_t)from) & 4095;
    size_t done = 0;
    if (bytes >= 1024 && ahead > 0 && ahead < 256)
        for (; done + 2 * sizeof(line) <= bytes; done += 2 * sizeof(line)) {
            line first = *(const line *)(const void *)(from + done);
            line second = *(const line *)(const void *)(from + done + sizeof first);
            *(line *)(void *)(to + done) = first;
            *(line *)(void *)(to + done + sizeof first) = second;
        }
    memcpy(to + done, from + done, bytes - done);
}

static void copy_rows(const void *context, const int64_t offset[], int64_t n) {
    const copy_plan *plan = context;
    copy_row(plan->to + offset[0] * plan->size, plan->from + offset[1] * plan->size, (size_t)(n * plan->size));
}

/* ---- many short rows ---- */

enum { SHORT_ROW = 512 }; /* bytes; up to here the call and the walk from row to row cost more than what is moved */

typedef struct short_rows {
    char *to;
    const char *from;
    int64_t size, bytes;        /* of an element, of a row */
    int64_t to_step, from_step; /* from row to row, in bytes */
} short_rows;

static void copy_short_rows(const void *context, const int64_t offset[], int64_t rows) {
    const short_rows s = *(const short_rows *)context;
    char *to = s.to + offset[0] * s.size;
    const char *from = s.from + offset[1] * s.size;
    for (int64_t row = 0; row < rows; row++) wk_copy_short(to + row * s.to_step, from + row * s.from_step, s.bytes);
}

/* The walk without its last axis, a row of which is a copy of many rows.  One thread, row by row and so: (8, 32, 56,
 * 56) into the middle of (8, 32, 59, 59), which is filled before, 222 and 166 µs; stack along a new last axis, 571 and
 * 287. */
static void copy_many_rows(const wk_walk *walk, const copy_plan *plan, int team) {
    wk_walk rows = *walk;
    const int last = walk->rank - 1;
    rows.rank = last;
    const short_rows s = { plan->to,
                           plan->from,
                           plan->size,
                           walk->shape[last] * plan->size,
                           walk->stride[0][last - 1] * plan->size,
                           walk->stride[1][last - 1] * plan->size };
    wk_walk_lines(&rows, team, copy_short_rows, &s);
}

/* ---- one element after the other ---- */

#define STRIDED_LOOP(type)                                                                \
    if (plan->to_step == -1 && plan->from_step == 1) { /* reversed, a vector at a time */ \
        type *restrict end = (type *)to - (n - 1);                                        \
        const type *restrict start = from;                                                \
        for (int64_t i = 0; i < n; i++) end[i] = start[n - 1 - i];                        \
    } else if (plan->to_step == 1 && plan->from_step == 0) { /* one element for all */    \
        type one = *(const type *)from;                                                   \
        for (int64_t i = 0; i < n; i++) ((type *)to)[i] = one;                            \
    } else                                                                                \
        for (int64_t i = 0; i < n; i++) ((type *)to)[i * plan->to_step] = ((const type *)from)[i * plan->from_step]
static void copy_elements(const void *context, const int64_t offset[], int64_t n) {
    const copy_plan *plan = context;
    void *to = plan->to + offset[0] * plan->size;
    const void *from = plan->from + offset[1] * plan->size;
    switch (plan->size) {
    case 1: STRIDED_LOOP(uint8_t); return;
    case 2: STRIDED_LOOP(uint16_t); return;
    case 4: STRIDED_LOOP(uint32_t); return;
    default: STRIDED_LOOP(uint64_t);
    }
}

/* to (rows, columns) with rows to_step apart  =  transpose of from (columns, rows) with columns from_step apart */
#define TRANSPOSE_LOOP(name, type)                                                                                   \
    static void name(void *restrict to_, const void *restrict from_, int64_t rows, int64_t columns, int64_t to_step, \
                     int64_t from_step) {                                                                            \
        type *restrict to = to_;                                                                                     \
        const type *restrict from = from_;                                                                           \
        for (int64_t r = 0; r < rows; r++)                                                                           \
            for (int64_t c = 0; c < columns; c++) to[r * to_step + c] = from[c * from_step + r];                     \
    }
TRANSPOSE_LOOP(transpose_b1, uint8_t)
TRANSPOSE_LOOP(transpose_b2, uint16_t)
TRANSPOSE_LOOP(transpose_b4_any, uint32_t)
TRANSPOSE_LOOP(transpose_b8, uint64_t)

#ifdef __AVX2__
typedef float lanes __attribute__((vector_size(32)));

/* Pairs of elements, then pairs of pairs, then halves. */
#    define LOW_1(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#    define HIGH_1(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#    define LOW_2(a, b)  __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#    define HIGH_2(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#    define LOW_4(a, b)  __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#    define HIGH_4(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
static inline void transpose_8x8(float *to, const float *from, int64_t to_step, int64_t from_step) {
    lanes x[8], y[8];
    for (int i = 0; i < 8; i++) memcpy(&x[i], from + i * from_step, sizeof x[i]);
    for (int i = 0; i < 8; i += 2) {
        y[i] = LOW_1(x[i], x[i + 1]);
        y[i + 1] = HIGH_1(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        x[i] = LOW_2(y[i], y[i + 2]);
        x[i + 1] = HIGH_2(y[i], y[i + 2]);
        x[i + 2] = LOW_2(y[i + 1], y[i + 3]);
        x[i + 3] = HIGH_2(y[i + 1], y[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        y[i] = LOW_4(x[i], x[i + 4]);
        y[i + 4] = HIGH_4(x[i], x[i + 4]);
    }
    for (int i = 0; i < 8; i++) memcpy(to + i * to_step, &y[i], sizeof y[i]);
}

static void transpose_b4(void *restrict to_, const void *restrict from_, int64_t rows, int64_t columns, int64_t to_step,
                         int64_t from_step) {
    float *restrict to = to_;
    const float *restrict from = from_;
    int64_t whole = rows & ~(int64_t)7, c = 0;
    for (; c + 8 <= columns; c += 8) {
        for (int64_t r = 0; r < whole; r += 8)
            transpose_8x8(to + r * to_step + c, from + c * from_step + r, to_step, from_step);
        if (whole < rows)
            transpose_b4_any(to + whole * to_step + c, from + c * from_step + whole, rows - whole, 8, to_step,
                             from_step);
    }
    if (c < columns) transpose_b4_any(to + c, from + c * from_step, rows, columns - c, to_step, from_step);
}
#else
#    define transpose_b4 transpose_b4_any
#endif

typedef void (*transpose)(void *restrict to, const void *restrict from, int64_t rows, int64_t columns, int64_t to_step,
                          int64_t from_step);

/* Tile `task` of a walk whose last two axes are (rows, columns) of the target: a cache line's width of rows, all
 * columns. */
static void copy_tile(const wk_walk *walk, const copy_plan *plan, transpose turn, int64_t width, int64_t task) {
    int row_axis = walk->rank - 2;
    const int64_t *to_stride = walk->stride[0], *from_stride = walk->stride[1];
    int64_t tiles = (walk->shape[row_axis] + width - 1) / width, row = task % tiles * width, rest = task / tiles;
    int64_t to = row * to_stride[row_axis], from = row, rows = walk->shape[row_axis] - row;
    for (int i = row_axis - 1; i >= 0; i--) {
        to += rest % walk->shape[i] * to_stride[i];
        from += rest % walk->shape[i] * from_stride[i];
        rest /= walk->shape[i];
    }
    turn(plan->to + to * plan->size, plan->from + from * plan->size, rows < width ? rows : width,
         walk->shape[row_axis + 1], to_stride[row_axis], from_stride[row_axis + 1]);
}

static void copy_transposed(const wk_walk *walk, const copy_plan *plan, int team) {
    static const transpose by_size[9] = {
        [1] = transpose_b1, [2] = transpose_b2, [4] = transpose_b4, [8] = transpose_b8
    };
    transpose turn = by_size[plan->size];
    int64_t width = 64 / plan->size, rows = walk->shape[walk->rank - 2];
    int64_t tasks = wk_walk_count(walk) / (rows * walk->shape[walk->rank - 1]) * ((rows + width - 1) / width);
    if (team == 1) {
        for (int64_t task = 0; task < tasks; task++) copy_tile(walk, plan, turn, width, task);
        return;
    }
#pragma omp parallel for schedule(static) num_threads(team)
    for (int64_t task = 0; task < tasks; task++) copy_tile(walk, plan, turn, width, task);
}

void wk__copy_strided(wk_walk *walk, void *to, const void *from, size_t size, int team) {
    wk_walk_simplify(walk);
    int last = walk->rank - 1, other = -1;
    copy_plan plan = { to, from, (int64_t)size, walk->stride[0][last], walk->stride[1][last] };
    if ((plan.to_step == 1 && plan.from_step == 1) || walk->shape[last] == 1) {
        if (walk->rank > 1 && walk->shape[last] * plan.size <= SHORT_ROW) {
            copy_many_rows(walk, &plan, team);
            return;
        }
        wk_walk_team(walk, team, copy_rows, &plan);
        return;
    }
    for (int i = 0; i < last; i++)
        if (walk->stride[1][i] == 1 && walk->shape[i] >= 4) other = i;
    if (other < 0 || plan.to_step != 1 || plan.from_step == 0) {
        wk_walk_team(walk, team, copy_elements, &plan);
        return;
    }
    for (; other < last - 1; other++) wk_walk_swap(walk, other, other + 1);
    copy_transposed(walk, &plan, team);
}

static wk_status copy(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    if (!out->count) return WK_OK;
    size_t size = wk_size_of(x->dtype);
    wk_walk walk = wk_walk_of(out);
    wk_walk_add(&walk, x);
    wk__copy_strided(&walk, out->data, x->data, size, wk_moving_team(ctx, 2 * out->count * (int64_t)size));
    return WK_OK;
}

/* ---- one value everywhere ---- */

typedef struct fill_plan {
    char *data;
    wk_staging pattern; /* the constant, WK_CHUNK bytes and more of it */
    int64_t bytes;
} fill_plan;

static void fill_range(const fill_plan *plan, int64_t begin, int64_t end) {
    const int64_t block = WK_CHUNK;
    for (int64_t at = begin; at < end; at += block)
        memcpy(plan->data + at, &plan->pattern, (size_t)(end - at < block ? end - at : block));
}

static void set_pattern(fill_plan *plan, wk_dtype dtype, double value) {
    union {
        float f32;
        double f64;
        int64_t i64;
        uint16_t half;
        char bytes[8];
    } one = { .i64 = 0 };
    size_t size = wk_size_of(dtype);
    switch (dtype) {
    case WK_F32: one.f32 = (float)value; break;
    case WK_F64: one.f64 = value; break;
    case WK_BF16: one.half = wk_store_bf16((float)value); break;
    case WK_F16: one.half = wk_store_f16((float)value); break;
    case WK_BOOL: one.i64 = value != 0; break;
    default: one.i64 = (int64_t)value; break; /* the low bytes come first */
    }
    for (size_t at = 0; at < WK_CHUNK; at += size) memcpy((char *)&plan->pattern + at, one.bytes, size);
}

/* Threads get whole cache lines. */
void wk__fill_dense(const wk_kernel_ctx *ctx, const wk_tensor *t, double value) {
    fill_plan plan = { .data = t->data, .bytes = t->count * (int64_t)wk_size_of(t->dtype) };
    int team = wk_moving_team(ctx, plan.bytes);
    if (value == 0 && team == 1) {
        if (plan.bytes) memset(t->data, 0, (size_t)plan.bytes);
        return;
    }
    set_pattern(&plan, (wk_dtype)t->dtype, value);
    if (team == 1) {
        fill_range(&plan, 0, plan.bytes);
        return;
    }
#pragma omp parallel num_threads(team)
    {
        int64_t begin, end;
        wk_share(plan.bytes, WK_CHUNK, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
        fill_range(&plan, begin, end);
    }
}

WK_CPU_TABLE(copy) = { { "copy", (wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)), copy }, { 0 } };
