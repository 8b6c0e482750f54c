/* attention.c: scaled dot-product attention in tiles of ROWS queries by COLS keys.
 *
 * Forward: tiles of queries are split over the team; each walks along the keys with a running maximum and sum.
 * Backward: a head of k and v, with all queries that it serves, is one thread's, so that dk and dv are summed in one
 * order whatever the team; five products a tile, where dividing the queries over the team would need seven (tiles of
 * the weights made twice).  Neither holds more of the scores than a tile (128 KB in f32, half a small second-level
 * cache). Products are Wick's own (gemm.h), which read any strides and half types.  Where those of bf16 are made on
 * tiles, weights and their gradients are rounded to bf16 for their products, as cards do it.
 */
#include "cpu/scratch.h"
#include "cpu/simd/linalg/gemm.h"
#include "cpu/simd/lines.h"
#include "cpu/simd/philox.h"
#include "cpu/simd/rows.h"
#include "cpu/simd/vector_math.h"

#include <math.h>

enum { ROWS = 128, COLS = WK_CHUNK };

/* A matrix for each head: strides of batch axes are resolved in head_of. */
typedef struct matrices {
    const char *data;
    unsigned dtype;
    int64_t row, col;
    wk_rows heads; /* rows are heads, to find where one begins */
} matrices;

typedef struct attention {
    matrices q, k, v, dy;
    wk_rows y, dy_rows, dq, dk, dv; /* by query, or by key */
    const char *mask;
    unsigned mask_dtype;
    int64_t mask_row, mask_col;
    wk_rows mask_heads;
    void *lse; /* (…, H, T) */
    int64_t all, heads, kv_heads, group, queries, keys, width, value_width;
    bool causal;
    int64_t offset;
    bool on_tiles; /* the products */
    double scale, dropout;
    wk_philox philox;
    uint32_t threshold;
} attention;

typedef struct head {
    int64_t index; /* of q, over batch and heads */
    const char *q, *k, *v, *y;
    int64_t mask; /* offset in elements */
} head;

/* What one thread works in. */
typedef struct tile {
    int64_t row, rows, col, cols;
    void *scores, *slopes; /* (ROWS, COLS) */
    void *low;             /* for tiles, the scores in bf16, and behind them the slopes; else NULL */
    void *sums;            /* (ROWS, width): y, or dq */
    void *own;             /* (S, D) and (S, E): dk, dv of one head */
    void *buffer;          /* of the products */
    size_t buffer_bytes;
} tile;

static head head_of(const attention *a, int64_t index) {
    int64_t served = index / a->heads * a->kv_heads + index % a->heads / a->group;
    head h = { .index = index };
    h.q = wk_rows_at(&a->q.heads, index);
    h.k = wk_rows_at(&a->k.heads, served), h.v = wk_rows_at(&a->v.heads, served);
    h.y = a->dy.data ? wk_rows_at(&a->dy.heads, index) : NULL;
    if (a->mask) h.mask = (wk_rows_at(&a->mask_heads, index) - a->mask) / (int64_t)wk_size_of(a->mask_dtype);
    return h;
}

static wk_gemm_operand operand(const matrices *m, const char *start, int64_t row, int64_t col) {
    return (wk_gemm_operand){ start + (row * m->row + col * m->col) * (int64_t)wk_size_of(m->dtype), m->row, m->col,
                              (wk_dtype)m->dtype };
}
static wk_gemm_operand turned(wk_gemm_operand m) {
    return (wk_gemm_operand){ m.data, m.col, m.row, m.dtype };
}
static void run(const tile *t, wk_gemm *g) {
    g->threads = 1, g->buffer = t->buffer, g->buffer_bytes = t->buffer_bytes;
    (void)WK_GEMM(g);
}

/* Scores, or slopes, of a tile as the products take them, from row `i` of `cols` made just now. */
static void lower(const tile *t, const float *row, bool slopes, int64_t i) {
    if (t->low) wk_narrow((uint16_t *)t->low + (i + (slopes ? ROWS : 0)) * COLS, row, t->cols, WK_BF16);
}
static wk_gemm_operand made(const tile *t, bool slopes, wk_dtype real) {
    if (t->low) return (wk_gemm_operand){ (uint16_t *)t->low + (slopes ? ROWS * COLS : 0), COLS, 1, WK_BF16 };
    return (wk_gemm_operand){ slopes ? t->slopes : t->scores, COLS, 1, real };
}

/* Keys from here on take no part in any of the tile's queries. */
static int64_t last_key(const attention *a, const tile *t) {
    if (!a->causal) return a->keys;
    int64_t end = t->row + t->rows + a->offset;
    return end < 0 ? 0 : end < a->keys ? end : a->keys;
}

#define REAL       float
#define REAL_DTYPE WK_F32
#define EXP(x)     wk_exp_of_negative(x)
#define MOST(x, n) wk_chunk_max_f32(x, n)
#define NAME(x)    x##_f32
#include "cpu/simd/attention/attention_body.h"
#undef REAL
#undef REAL_DTYPE
#undef EXP
#undef MOST
#undef NAME
#define REAL       double
#define REAL_DTYPE WK_F64
#define EXP(x)     exp(x)
#define MOST(x, n) wk_chunk_max_f64(x, n)
#define NAME(x)    x##_f64
#include "cpu/simd/attention/attention_body.h"
#undef REAL
#undef REAL_DTYPE
#undef EXP
#undef MOST
#undef NAME

/* ---- one call ---- */

static int64_t last(const wk_tensor *t, int axis) {
    return t->rank >= axis ? t->shape[t->rank - axis] : 1;
}

static matrices matrices_of(const wk_tensor *t) {
    return (matrices){ .data = t->data,
                       .dtype = t->dtype,
                       .row = t->stride[t->rank - 2],
                       .col = t->stride[t->rank - 1],
                       .heads = wk_rows_of(t, t->rank - 2) };
}

static void set_mask(attention *a, const wk_tensor *mask, const wk_tensor *q) {
    int64_t shape[WK_ROWS_RANK], stride[WK_ROWS_RANK];
    for (int i = 0; i < q->rank; i++) {
        int own = i - (q->rank - mask->rank);
        shape[i] = i == q->rank - 1 ? a->keys : q->shape[i];
        stride[i] = own >= 0 && mask->shape[own] > 1 ? mask->stride[own] : 0;
    }
    a->mask = mask->data, a->mask_dtype = mask->dtype;
    a->mask_row = stride[q->rank - 2], a->mask_col = stride[q->rank - 1];
    a->mask_heads = wk_rows_make(mask->data, mask->dtype, shape, stride, q->rank, q->rank - 2);
}

static attention attention_of(const wk_call *call, wk_tensor *const *in /* q, k, v, mask, key */) {
    const wk_attention_opts *opts = call->attrs;
    const wk_tensor *q = in[0], *k = in[1], *v = in[2], *key = in[4];
    attention a = { .q = matrices_of(q), .k = matrices_of(k), .v = matrices_of(v) };
    a.heads = last(q, 3), a.kv_heads = last(k, 3), a.group = a.kv_heads ? a.heads / a.kv_heads : 1;
    a.queries = last(q, 2), a.keys = last(k, 2), a.width = last(q, 1), a.value_width = last(v, 1);
    a.all = a.q.heads.count;
    a.causal = opts->causal, a.dropout = opts->dropout;
    /* Beyond these every query sees all keys, or none. */
    a.offset = opts->offset < -a.queries ? -a.queries : opts->offset > a.keys ? a.keys : opts->offset;
    a.scale = wk_optional_or(opts->scale, 1 / sqrt((double)a.width));
    a.on_tiles = wk_gemm_has_tiles() && q->dtype == WK_BF16 && k->dtype == WK_BF16 && v->dtype == WK_BF16;
    if (in[3]) set_mask(&a, in[3], q);
    if (a.dropout > 0) {
        const int64_t *seed = key->data, *draw = seed + key->stride[0];
        a.philox = (wk_philox){ { (uint32_t)(uint64_t)*seed, (uint32_t)((uint64_t)*seed >> 32) }, (uint64_t)*draw };
        a.threshold = (uint32_t)(a.dropout * 0x1p32);
    }
    return a;
}

static size_t round_up(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* The largest buffer that a product of these sizes in any order wants. */
static size_t product_buffer(const attention *a, wk_dtype real, int64_t rows) {
    int64_t wide = a->width > a->value_width ? a->width : a->value_width, cols = a->keys < COLS ? a->keys : COLS;
    const int64_t shapes[][3] = { { rows, cols, wide }, { rows, wide, cols }, { cols, wide, rows } };
    size_t most = 64;
    for (int i = 0; i < 3; i++) {
        wk_gemm g = { .m = shapes[i][0], .n = shapes[i][1], .k = shapes[i][2], .c_dtype = real };
        if (a->on_tiles) g.a.dtype = g.b.dtype = WK_BF16;
        size_t bytes = WK_GEMM_BUFFER(&g);
        if (bytes > most) most = bytes;
    }
    return round_up(most);
}

/* Working memory of `team` threads; each gets a slice. */
typedef struct workplaces {
    char *memory;
    size_t each, tile, low, sums, own, buffer;
} workplaces;

static wk_status prepare(workplaces *w, const attention *a, size_t real, int team, bool backward) {
    int64_t rows = a->queries < ROWS ? a->queries : ROWS, wide = a->width > a->value_width ? a->width : a->value_width;
    w->tile = round_up((size_t)(ROWS * COLS) * real);
    if (w->tile < round_up((size_t)(2 * wide) * real)) w->tile = round_up((size_t)(2 * wide) * real);
    w->sums = round_up((size_t)(rows * wide) * real);
    w->own = backward ? round_up((size_t)(a->keys * (a->width + a->value_width)) * real) : 0;
    w->low = a->on_tiles ? round_up((size_t)((backward ? 2 : 1) * ROWS * COLS) * sizeof(uint16_t)) : 0;
    w->buffer = product_buffer(a, real == 8 ? WK_F64 : WK_F32, rows);
    w->each = (backward ? 2 : 1) * w->tile + w->low + w->sums + w->own + w->buffer;
    w->memory = wk__cpu_scratch(WK_SCRATCH_KERNEL, w->each * (size_t)team);
    return w->memory ? WK_OK : WK_NO_MEMORY;
}

static tile workplace(const workplaces *w, int thread, bool backward) {
    char *at = w->memory + w->each * (size_t)thread;
    tile t = { .scores = at };
    at += w->tile;
    if (backward) t.slopes = at, at += w->tile;
    if (w->low) t.low = at, at += w->low;
    t.sums = at, at += w->sums;
    t.own = at, at += w->own;
    t.buffer = at, t.buffer_bytes = w->buffer;
    return t;
}

static int team_for(const wk_kernel_ctx *ctx, const attention *a) {
    int64_t work = a->all * a->queries * a->keys * (a->width + a->value_width);
    return work < 1 << 16 ? 1 : ctx->threads;
}

static wk_status forward(wk_kernel_ctx *ctx, const wk_call *call) {
    attention a = attention_of(call, call->in);
    const wk_tensor *y = call->out[0];
    bool wide = y->dtype == WK_F64;
    a.y = wk_rows_of(y, y->rank - 1), a.lse = call->out[1]->data;
    workplaces w;
    int team = team_for(ctx, &a);
    WK_TRY(prepare(&w, &a, wide ? 8 : 4, team, false));
    int64_t tiles = (a.queries + ROWS - 1) / ROWS, tasks = a.all * tiles;
#pragma omp parallel for num_threads(team) schedule(dynamic) if (team > 1)
    for (int64_t task = 0; task < tasks; task++) {
        tile t = workplace(&w, team > 1 ? omp_get_thread_num() : 0, false);
        head h = head_of(&a, task / tiles);
        t.row = task % tiles * ROWS;
        t.rows = a.queries - t.row < ROWS ? a.queries - t.row : ROWS;
        if (wide)
            forward_tile_f64(&a, &t, &h);
        else
            forward_tile_f32(&a, &t, &h);
    }
    return WK_OK;
}

/* (dy, q, k, v, mask, key, y, lse) */
static wk_status backward(wk_kernel_ctx *ctx, const wk_call *call) {
    attention a = attention_of(call, call->in + 1);
    const wk_tensor *dy = call->in[0], *y = call->in[6], *lse = call->in[7];
    bool wide = y->dtype == WK_F64;
    if (!(lse->flags & WK_TENSOR_CONTIGUOUS)) return WK_UNSUPPORTED;
    a.dy = matrices_of(dy), a.dy_rows = wk_rows_of(dy, dy->rank - 1);
    a.y = wk_rows_of(y, y->rank - 1), a.lse = lse->data;
    const wk_tensor *dq = call->out[0], *dk = call->out[1], *dv = call->out[2];
    a.dq = wk_rows_of(dq, dq->rank - 1), a.dk = wk_rows_of(dk, dk->rank - 1), a.dv = wk_rows_of(dv, dv->rank - 1);
    workplaces w;
    int team = team_for(ctx, &a);
    WK_TRY(prepare(&w, &a, wide ? 8 : 4, team, true));
    int64_t tasks = a.k.heads.count;
#pragma omp parallel for num_threads(team) schedule(dynamic) if (team > 1)
    for (int64_t task = 0; task < tasks; task++) {
        tile t = workplace(&w, team > 1 ? omp_get_thread_num() : 0, true);
        if (wide)
            backward_head_f64(&a, &t, task);
        else
            backward_head_f32(&a, &t, task);
    }
    return WK_OK;
}

WK_CPU_TABLE(attention) = {
    { "scaled_dot_product_attention", WK_FLOATS, forward },
    { "scaled_dot_product_attention_backward", WK_FLOATS, backward },
    { 0 },
};
