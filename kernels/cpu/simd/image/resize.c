/* resize.c: interpolation along one axis, and its transpose.
 *
 * A call begins with a table: for each result, which elements it is made of and with what weights.  The transposed
 * table is the same one sorted by element.  Where the axis is not the innermost one, whole rows are added (the compiler
 * vectorises that); along the innermost axis each line is gathered element by element.
 */
#include "cpu/scratch.h"
#include "cpu/simd/iterate.h"

#include <math.h>
#include <string.h>

enum { COLUMNS = 256 };

/* Result o is the sum of weight[t] · x[index[t]], t in [begin[o], begin[o + 1]). */
typedef struct table {
    int64_t results, entries;
    int64_t *begin; /* (results + 1) */
    int64_t *alike; /* (results) the first result behind this one that is another sum */
    int32_t *index; /* (entries) */
    double *weight; /* (entries) */
    float *weight_f32;
    int taps;  /* the same number for every result; 0: not so */
    bool mean; /* a result's elements stand in a row and weigh the same */
} table;

typedef struct resizing {
    const table *t;
    void *y;
    const void *x;
    int64_t y_axis, x_axis; /* strides along the axis */
    int64_t y_step, x_step; /* along the walk's row */
} resizing;

#define WEIGHT(t, at) (sizeof(REAL) == sizeof(double) ? (REAL)(t)->weight[at] : (REAL)(t)->weight_f32[at])
#define WK_BODY       "cpu/simd/image/resize_body.h"
#include "cpu/simd/each_float.h"

/* ---- the table ---- */

/* As PyTorch computes places: in f32 except for f64. */
static double rounded(double value, bool wide) {
    return wide ? value : (double)(float)value;
}
static double step_of(const wk_resize_axis_attrs *a, bool wide) {
    bool spread = a->align_corners && (a->mode == WK_INTERPOLATE_LINEAR || a->mode == WK_INTERPOLATE_CUBIC);
    if (spread) return a->to > 1 ? (double)(a->from - 1) / (double)(a->to - 1) : 0;
    return rounded(a->scale != 0 ? 1 / a->scale : (double)a->from / (double)a->to, wide);
}

static int64_t within(int64_t i, int64_t size) {
    return i < 0 ? 0 : i >= size ? size - 1 : i;
}

/* Keys 1981, a = -0.75 */
static double cubic_near(double t) {
    const double a = -0.75;
    return ((a + 2) * t - (a + 3)) * t * t + 1;
}
static double cubic_far(double t) {
    const double a = -0.75;
    return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
}

/* The entries of result o; their number. */
static int entries_of(const wk_resize_axis_attrs *a, double step, bool wide, int64_t o, int32_t *index,
                      double *weight) {
    double at = a->align_corners ? step * (double)o : step * ((double)o + 0.5) - 0.5;
    if (a->mode == WK_INTERPOLATE_NEAREST || a->mode == WK_INTERPOLATE_NEAREST_EXACT) {
        double place = (double)o + (a->mode == WK_INTERPOLATE_NEAREST ? 0 : 0.5);
        index[0] = (int32_t)within((int64_t)floor(rounded(place * step, wide)), a->from);
        weight[0] = 1;
        return 1;
    }
    if (a->mode == WK_INTERPOLATE_LINEAR) {
        if (at < 0) at = 0;
        int64_t first = within((int64_t)at, a->from);
        double part = fmin(fmax(at - (double)first, 0), 1);
        index[0] = (int32_t)first, index[1] = (int32_t)within(first + 1, a->from);
        weight[0] = 1 - part, weight[1] = part;
        return 2;
    }
    int64_t first = within((int64_t)floor(at), a->from); /* from the left end on, the part says the rest */
    if (at < 0) first = (int64_t)floor(at);
    double part = fmin(fmax(at - (double)first, 0), 1);
    weight[0] = cubic_far(part + 1), weight[1] = cubic_near(part);
    weight[2] = cubic_near(1 - part), weight[3] = cubic_far(2 - part);
    for (int k = 0; k < 4; k++) index[k] = (int32_t)within(first - 1 + k, a->from);
    return 4;
}

static int64_t area_begin(const wk_resize_axis_attrs *a, int64_t o) {
    return o * a->from / a->to;
}
static int64_t area_end(const wk_resize_axis_attrs *a, int64_t o) {
    return ((o + 1) * a->from + a->to - 1) / a->to;
}

static int64_t entries_at_most(const wk_resize_axis_attrs *a) {
    static const int taps[] = { 1, 2, 4, 0, 1 };
    return a->mode == WK_INTERPOLATE_AREA ? a->from + 2 * a->to : taps[a->mode] * a->to;
}

static void fill(table *t, const wk_resize_axis_attrs *a, bool wide) {
    double step = step_of(a, wide);
    int64_t at = 0;
    for (int64_t o = 0; o < a->to; o++) {
        t->begin[o] = at;
        if (a->mode != WK_INTERPOLATE_AREA) {
            at += entries_of(a, step, wide, o, t->index + at, t->weight + at);
            continue;
        }
        int64_t first = area_begin(a, o), end = area_end(a, o);
        for (int64_t i = first; i < end; i++) t->index[at] = (int32_t)i, t->weight[at++] = 1 / (double)(end - first);
    }
    t->begin[a->to] = t->entries = at;
    t->results = a->to;
    t->taps = a->mode == WK_INTERPOLATE_AREA ? 0 : (int)(a->to ? at / a->to : 0);
    t->mean = a->mode == WK_INTERPOLATE_AREA;
}

/* Sorted by element; equal ones stay in their order, so that sums have one. */
static void transpose(table *to, const table *from, int64_t elements) {
    memset(to->begin, 0, (size_t)(elements + 1) * sizeof *to->begin);
    for (int64_t t = 0; t < from->entries; t++) to->begin[from->index[t] + 1]++;
    for (int64_t i = 0; i < elements; i++) to->begin[i + 1] += to->begin[i];
    for (int64_t o = 0; o < from->results; o++)
        for (int64_t t = from->begin[o]; t < from->begin[o + 1]; t++) {
            int64_t at = to->begin[from->index[t]]++;
            to->index[at] = (int32_t)o, to->weight[at] = from->weight[t];
        }
    for (int64_t i = elements; i > 0; i--) to->begin[i] = to->begin[i - 1];
    to->begin[0] = 0;
    to->entries = from->entries, to->results = elements;
    bool pairs = true;
    for (int64_t i = 0; i < elements; i++) pairs = pairs && to->begin[i + 1] - to->begin[i] == 2;
    to->taps = pairs ? 2 : 0;
}

static bool is_same_sum(const table *t, int64_t a, int64_t b) {
    int64_t n = t->begin[a + 1] - t->begin[a];
    if (t->begin[b + 1] - t->begin[b] != n) return false;
    for (int64_t k = 0; k < n; k++) {
        int64_t p = t->begin[a] + k, q = t->begin[b] + k;
        if (t->index[p] != t->index[q] || t->weight[p] != t->weight[q]) return false;
    }
    return true;
}

/* The gradient of a wide window is one number for all its elements. */
static void find_alike(table *t) {
    for (int64_t o = t->results - 1; o >= 0; o--)
        t->alike[o] = o + 1 < t->results && is_same_sum(t, o, o + 1) ? t->alike[o + 1] : o + 1;
}

static char *carve(table *t, char *room, int64_t results, int64_t entries) {
    t->begin = (int64_t *)(void *)room, room += (results + 1) * 8;
    t->alike = (int64_t *)(void *)room, room += results * 8;
    t->weight = (double *)(void *)room, room += entries * 8;
    t->weight_f32 = (float *)(void *)room, room += (entries + entries % 2) * 4;
    t->index = (int32_t *)(void *)room, room += (entries + entries % 2) * 4;
    return room;
}

static const table *make_table(table both[2], const wk_resize_axis_attrs *a, bool wide) {
    int64_t entries = entries_at_most(a);
    size_t bytes = (size_t)(2 * entries + 2) * 16 + (size_t)(a->from + a->to + 1) * 16;
    char *room = wk__cpu_scratch(WK_SCRATCH_KERNEL, bytes);
    if (!room) return NULL;
    room = carve(&both[0], room, a->to, entries);
    (void)carve(&both[1], room, a->from, entries);
    fill(&both[0], a, wide);
    table *used = &both[0];
    if (a->transposed) transpose(&both[1], &both[0], a->from), used = &both[1];
    find_alike(used);
    for (int64_t t = 0; t < used->entries; t++) used->weight_f32[t] = (float)used->weight[t];
    return used;
}

static wk_status resize_axis(wk_kernel_ctx *ctx, const wk_call *call) {
    static const wk_walk_visit visits[] = {
        [WK_F32] = visit_f32, [WK_F64] = visit_f64, [WK_BF16] = visit_bf16, [WK_F16] = visit_f16
    };
    const wk_resize_axis_attrs *a = call->attrs;
    const wk_tensor *x = call->in[0], *y = call->out[0];
    if (y->count == 0) return WK_OK;
    if (a->from >= INT32_MAX || a->to >= INT32_MAX)
        return wk_bad_call(call, WK_UNSUPPORTED, "an axis of 2^31 elements");
    table both[2] = { { 0 } };
    const table *t = make_table(both, a, x->dtype == WK_F64);
    if (!t) return WK_NO_MEMORY;
    wk_walk walk = { .operands = 2, .rank = 0 };
    for (int i = 0; i < x->rank; i++) {
        if (i == a->axis) continue;
        walk.shape[walk.rank] = y->shape[i];
        walk.stride[0][walk.rank] = y->stride[i], walk.stride[1][walk.rank++] = x->stride[i];
    }
    wk_walk_simplify(&walk);
    int last = walk.rank - 1;
    const resizing r = { .t = t,
                         .y = y->data,
                         .x = x->data,
                         .y_axis = y->stride[a->axis],
                         .x_axis = x->stride[a->axis],
                         .y_step = walk.stride[0][last],
                         .x_step = walk.stride[1][last] };
    int64_t size = (int64_t)wk_size_of(x->dtype);
    wk_walk_split(&walk, wk_moving_team(ctx, 2 * (x->count + y->count) * size), 16, visits[x->dtype], &r);
    return WK_OK;
}

WK_CPU_TABLE(resize) = {
    { "resize_axis", WK_FLOATS, resize_axis },
    { 0 },
};
