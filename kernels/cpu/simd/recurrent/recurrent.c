/* recurrent.c: loops over time of rnn, lstm and gru, forward and backward.
 *
 * A step is one product of the states with w_hh, and a pass over the gates.  w_hh is packed once for all steps: with 20
 * sequences and 650 features packing costs three times the product itself.  The product writes straight into the
 * reserve and adds the inputs' share.  Sequences know nothing of each other, so where there are enough of them each
 * thread takes some through all steps and waits for nobody.  The gradient of w_hh is one product over all steps at the
 * end.
 */
#include "cpu/scratch.h"
#include "cpu/simd/linalg/gemm.h"
#include "cpu/simd/rows.h"
#include "cpu/simd/vector_math.h"

typedef struct sequence {
    wk_recurrent_kind kind;
    bool reverse, relu;
    int64_t steps, batch, hidden, gates, kept; /* kept: numbers of the reserve, in H */
    wk_rows xg, y, dy;                         /* rows are (step, sequence) */
    const void *weight, *bias, *h0, *c0;       /* dense in the compute type; NULL: zeros */
    const void *zeros;                         /* (H) */
    const int64_t *lengths;
    int64_t lengths_step;
    void *reserve;             /* (T, N, kept · H) */
    void *slopes, *own_slopes; /* (T, N, gates · H); own_slopes of gru */
    void *dh, *dc;             /* (N, H) */
    wk_gemm product;
    bool adds_xg;     /* xg lies as the product's result does, and is added by it */
    int64_t from, to; /* the sequences to walk through */
    char *rooms;      /* a row a thread */
    char *packs;      /* what its products need */
    size_t room, pack;
    int team;    /* threads of each step; 1: the steps are one thread's */
    int walkers; /* threads that take sequences of their own; 1: none do */
} sequence;
enum { LEAST_SHARE = 8 }; /* sequences: products of fewer rows run at half the speed */

/* The time of the k-th step. */
static int64_t step_of(const sequence *v, int64_t k) {
    return v->reverse ? v->steps - 1 - k : k;
}
static char *room_of(const sequence *v) {
    return v->rooms + v->room * (size_t)(v->team > 1 ? omp_get_thread_num() : 0);
}

#define REAL       float
#define REAL_DTYPE WK_F32
#define TANH(x)    wk_tanh_f32(x)
#define SIGMOID(x) wk_sigmoid_f32(x)
#define NAME(x)    x##_f32
#include "cpu/simd/recurrent/recurrent_body.h"
#undef REAL
#undef REAL_DTYPE
#undef TANH
#undef SIGMOID
#undef NAME
#define REAL       double
#define REAL_DTYPE WK_F64
#define TANH(x)    tanh(x)
#define SIGMOID(x) (1 / (1 + exp(-(x))))
#define NAME(x)    x##_f64
#include "cpu/simd/recurrent/recurrent_body.h"
#undef REAL
#undef REAL_DTYPE
#undef TANH
#undef SIGMOID
#undef NAME

/* ---- one call ---- */

static wk_status check_lengths(const wk_tensor *lengths, int64_t steps) {
    const int64_t *at = lengths ? lengths->data : NULL;
    for (int64_t n = 0; lengths && n < lengths->count; n++)
        if (at[n * lengths->stride[0]] < 0 || at[n * lengths->stride[0]] > steps)
            return wk_fail(WK_INVALID, "recurrent: length %lld at position %lld, expected 0 to %lld",
                           (long long)at[n * lengths->stride[0]], (long long)n, (long long)steps);
    return WK_OK;
}

/* Pieces of one block of scratch: first their sizes are added up, then, with memory, they are handed out. */
typedef struct pieces {
    char *memory;
    size_t used;
} pieces;
static void *take(pieces *p, size_t bytes) {
    char *at = p->memory ? p->memory + p->used : NULL;
    p->used += (bytes + 63) / 64 * 64;
    return at;
}
static const void *dense(pieces *p, const wk_tensor *t) {
    if (!t || wk_rows_is_dense(t)) return t ? t->data : NULL;
    void *room = take(p, (size_t)t->count * (t->dtype == WK_F64 ? 8 : 4));
    return room ? wk_rows_dense(t, room) : NULL;
}

static sequence sequence_of(wk_kernel_ctx *ctx, wk_recurrent_kind kind, const wk_recurrent_opts *opts,
                            wk_tensor *const *in /* xg, w_hh, h0, extra, lengths */) {
    static const int64_t gates[] = { 1, 4, 3 }, kept[] = { 1, 6, 5 };
    const wk_tensor *xg = in[0], *lengths = in[4];
    sequence v = { .kind = kind, .reverse = opts->reverse, .relu = opts->relu };
    v.steps = xg->shape[0], v.batch = xg->shape[1], v.hidden = in[1]->shape[1];
    v.gates = gates[kind], v.kept = kept[kind];
    v.xg = wk_rows_of(xg, 2);
    if (lengths) v.lengths = lengths->data, v.lengths_step = lengths->stride[0];
    v.product = (wk_gemm){ .accumulate = true, .threads = ctx->threads };
    v.product.c_dtype = xg->dtype == WK_F64 ? WK_F64 : WK_F32;
    v.to = v.batch;
    v.team = wk_cpu_team(ctx, 4 * v.batch * v.gates * v.hidden); /* gates cost more than their bytes */
    bool many = v.batch >= LEAST_SHARE * ctx->threads && v.steps * v.batch * v.gates * v.hidden * v.hidden >= 1 << 19;
    v.walkers = many ? ctx->threads : 1;
    return v;
}

/* Have `steps` done for all sequences. */
static void walk(const sequence *v, void (*steps)(const sequence *)) {
    if (v->walkers < 2) {
        steps(v);
        return;
    }
#pragma omp parallel num_threads(v->walkers)
    {
        const int64_t rank = omp_get_thread_num(), team = omp_get_num_threads(), fours = v->batch / 4;
        sequence mine = *v;
        mine.from = fours * rank / team * 4; /* tiles have a multiple of four rows */
        mine.to = rank + 1 == team ? v->batch : fours * (rank + 1) / team * 4;
        mine.rooms += v->room * (size_t)rank;
        mine.product.buffer = v->packs + v->pack * (size_t)rank;
        mine.product.threads = mine.team = 1;
        steps(&mine);
    }
}

/* Dense operands, rooms, and w_hh packed as B (k, n) of the steps' product. */
static void take_operands(sequence *v, pieces *p, wk_tensor *const *in, bool transposed) {
    size_t real = v->product.c_dtype == WK_F64 ? 8 : 4;
    v->weight = dense(p, in[1]), v->h0 = dense(p, in[2]);
    if (v->kind == WK_RECURRENT_LSTM) v->c0 = dense(p, in[3]);
    if (v->kind == WK_RECURRENT_GRU) v->bias = dense(p, in[3]);
    v->room = ((size_t)(v->gates * v->hidden) * real + 63) / 64 * 64;
    v->rooms = take(p, v->room * (size_t)(v->team > v->walkers ? v->team : v->walkers));
    void *zeros = take(p, (size_t)v->hidden * real);
    if (zeros) memset(zeros, 0, (size_t)v->hidden * real);
    v->zeros = zeros;
    if (v->batch <= 3) return; /* so few rows are multiplied without packing */
    wk_gemm g = v->product;
    g.k = transposed ? v->hidden : v->gates * v->hidden, g.n = transposed ? v->gates * v->hidden : v->hidden;
    g.b = (wk_gemm_operand){ v->weight, transposed ? 1 : v->hidden, transposed ? v->hidden : 1, v->product.c_dtype };
    g.m = v->batch;
    v->pack = (WK_GEMM_BUFFER(&g) + 63) / 64 * 64;
    v->packs = v->walkers > 1 ? take(p, v->pack * (size_t)v->walkers) : NULL;
    void *packed = take(p, WK_GEMM_PACKED(&g));
    if (!packed) return;
    WK_GEMM_PACK(&g, packed);
    v->product.packed = packed;
    v->adds_xg = v->kind != WK_RECURRENT_GRU && wk_rows_is_dense(in[0]);
}

static wk_status forward(wk_kernel_ctx *ctx, const wk_call *call, wk_recurrent_kind kind) {
    const wk_tensor *reserve = call->out[call->n_out - 1];
    sequence v = sequence_of(ctx, kind, call->attrs, call->in), measured = v;
    WK_TRY(check_lengths(call->in[4], v.steps));
    if (!v.batch) return WK_OK;
    v.y = wk_rows_of(call->out[0], 2), v.reserve = reserve->data;
    pieces size = { 0 };
    take_operands(&measured, &size, call->in, true);
    pieces p = { .memory = wk__cpu_scratch(WK_SCRATCH_KERNEL, size.used) };
    if (!p.memory) return WK_NO_MEMORY;
    take_operands(&v, &p, call->in, true);
    bool wide = reserve->dtype == WK_F64;
    walk(&v, wide ? forward_f64 : forward_f32);
    if (kind != WK_RECURRENT_LSTM) return WK_OK;
    wk_rows c_n = wk_rows_of(call->out[1], 1);
    for (int64_t n = 0; n < v.batch; n++) {
        const char *kept = (const char *)v.reserve;
        int64_t at = ((step_of(&v, v.steps - 1) * v.batch + n) * v.kept + 4) * v.hidden;
        wk_rows_move(&c_n, wk_rows_at(&c_n, n), (char *)(uintptr_t)(kept + at * (wide ? 8 : 4)), true);
    }
    return WK_OK;
}

/* Where to compute a result: in place, or in scratch from which wk_rows_put brings it. */
static void *place(pieces *p, const wk_tensor *t) {
    if (wk_rows_is_dense(t)) return t->data;
    return take(p, (size_t)t->count * (t->dtype == WK_F64 ? 8 : 4));
}

typedef struct results {
    void *dw, *dbias;
} results;

static results take_results(sequence *v, pieces *p, const wk_call *call) {
    size_t real = v->product.c_dtype == WK_F64 ? 8 : 4;
    v->slopes = place(p, call->out[0]);
    results r = { .dw = place(p, call->out[1]) };
    v->dh = place(p, call->out[2]);
    if (v->kind == WK_RECURRENT_LSTM) v->dc = place(p, call->out[3]);
    if (v->kind != WK_RECURRENT_GRU) return r;
    r.dbias = place(p, call->out[3]);
    v->own_slopes = take(p, (size_t)call->out[0]->count * real);
    return r;
}

static void put_results(const sequence *v, const results *r, const wk_call *call) {
    wk_rows_put(call->out[0], v->slopes);
    wk_rows_put(call->out[1], r->dw);
    wk_rows_put(call->out[2], v->dh);
    const void *extra = v->kind == WK_RECURRENT_GRU ? r->dbias : v->dc;
    if (extra) wk_rows_put(call->out[3], extra);
}

static void clear(const wk_tensor *t) {
    memset(t->data, 0, (size_t)t->count * wk_size_of(t->dtype));
}

/* (dy, dc_n, xg, w_hh, h0, extra, lengths, reserve) */
static wk_status backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_recurrent_grad_attrs *attrs = call->attrs;
    const wk_tensor *dc_n = call->in[1], *reserve = call->in[7];
    sequence v = sequence_of(ctx, (wk_recurrent_kind)attrs->kind, &attrs->opts, call->in + 2), measured = v;
    WK_TRY(check_lengths(call->in[6], v.steps));
    if (!(reserve->flags & WK_TENSOR_CONTIGUOUS)) return WK_UNSUPPORTED;
    for (int i = 0; i < 4; i++) clear(call->out[i]);
    if (!v.batch) return WK_OK;
    pieces size = { 0 };
    take_operands(&measured, &size, call->in + 2, false);
    (void)take_results(&measured, &size, call);
    pieces p = { .memory = wk__cpu_scratch(WK_SCRATCH_KERNEL, size.used) };
    if (!p.memory) return WK_NO_MEMORY;
    v.dy = wk_rows_of(call->in[0], 2), v.reserve = reserve->data;
    take_operands(&v, &p, call->in + 2, false);
    results r = take_results(&v, &p, call);
    bool wide = reserve->dtype == WK_F64;
    size_t states = (size_t)(v.batch * v.hidden) * (wide ? 8 : 4);
    memset(v.dh, 0, states);
    if (v.dc) memset(v.dc, 0, states);
    if (v.dc && dc_n && wk_rows_dense(dc_n, v.dc) != v.dc) memcpy(v.dc, dc_n->data, states);
    walk(&v, wide ? backward_f64 : backward_f32);
    if (wide)
        kept_gradients_f64(&v, r.dw, r.dbias);
    else
        kept_gradients_f32(&v, r.dw, r.dbias);
    put_results(&v, &r, call);
    return WK_OK;
}

static wk_status rnn(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward(ctx, call, WK_RECURRENT_RNN);
}
static wk_status lstm(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward(ctx, call, WK_RECURRENT_LSTM);
}
static wk_status gru(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward(ctx, call, WK_RECURRENT_GRU);
}

WK_CPU_TABLE(recurrent) = {
    { "rnn", WK_FLOATS, rnn },
    { "lstm", WK_FLOATS, lstm },
    { "gru", WK_FLOATS, gru },
    { "recurrent_backward", WK_FLOATS, backward },
    { 0 },
};
