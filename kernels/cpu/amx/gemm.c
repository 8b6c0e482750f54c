/* gemm.c: C = A · B of bf16 by tiles.
 *
 * 32 × 32 results stay in four tiles while two tiles of A and two of B pass by: four products of 16 cycles for four
 * loads of 1 KB.  The operand with fewer rows (columns) is packed by the whole team and kept in the second-level cache;
 * of the other one each thread packs a few panels of 32 at a time, each of which stays in the first-level cache while
 * it meets every panel of the kept one.  So large operands, weights mostly, are read once from memory.  While tiles
 * multiply, the lines that are packed next are fetched, and the results before are stored: a product with weights that
 * no cache holds takes 0.55 ms instead of 0.87 so (256 × 3072 × 768, two threads).
 *
 *   kept     up to KEPT numbers, 1 MB of the 2 MB of second-level cache that these processors have
 *   panel    32 × up to 256, 16 KB of 48 KB of first-level cache; twice as long ones push each other out (tiles alone,
 *            one thread: 2,700 and 2,250 Gop/s)
 *   longer sums go on in arrays of f32, 4 KB for 32 × 32 results
 */
#include "cpu/amx/amx.h"

#include "cpu/amx/pack.h"

#include <immintrin.h>
#include <omp.h>

enum { SIDE = WK_AMX_SIDE, STEP = WK_AMX_STEP, PAIR = WK_AMX_PAIR, RESULTS = SIDE * SIDE };
enum { PANEL_DEPTH = 256, KEPT = 524288 /* numbers */, KEPT_ROWS = 256 };
enum { GROUP = 4 };          /* at most so many panels are packed at a time: their rows are read in longer runs */
enum { STREAMED = 4 << 20 }; /* bytes of results from which on they go past the caches */
enum { LINE = 64 };          /* bytes */

/* ---- the order of work ---- */

typedef struct plan {
    const wk_gemm *g;
    wk_amx_operand kept, passing;
    int64_t rows, depth; /* of `kept` and of the summed axis that are packed at a time, */
    int64_t block;       /* and of the latter in a panel of `passing` */
    int64_t group;       /* panels of `passing` that are packed at a time */
    int team;
    uint16_t *pack; /* kept, packed */
    char *own;      /* what each thread has for itself: panels and sums */
    size_t own_bytes;
    float *total; /* where sums wait between depths: C itself, or (M, N) of f32 where C is bf16 */
    int64_t total_row;
    bool streams; /* results are written past the caches */
} plan;

static int64_t min_of(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t round_up(int64_t x, int64_t unit) {
    return (x + unit - 1) / unit * unit;
}

/* The length of equal parts of `whole`, multiples of a step, none longer than `most`. */
static int64_t part_of(int64_t whole, int64_t most) {
    const int64_t parts = (whole + most - 1) / most;
    return round_up((whole + parts - 1) / parts, STEP);
}

static plan plan_of(const wk_gemm *g) {
    const wk_amx_operand a = { g->a.data, g->a.row, g->a.col, g->m, false },
                         b = { g->b.data, g->b.col, g->b.row, g->n, true };
    plan p = { .g = g, .team = g->threads < 1 ? 1 : g->threads };
    p.kept = g->m <= g->n ? a : b, p.passing = g->m <= g->n ? b : a;
    const int64_t rows = round_up(p.kept.count, SIDE);
    p.depth = part_of(g->k, rows <= KEPT_ROWS ? KEPT / KEPT_ROWS : KEPT / KEPT_ROWS / 2);
    p.rows = part_of(rows, KEPT / p.depth / SIDE * SIDE);
    p.block = part_of(p.depth < g->k ? p.depth : g->k, PANEL_DEPTH);
    const int64_t panels = (p.passing.count + SIDE - 1) / SIDE, each = panels / (2 * p.team);
    p.group = each < 1 ? 1 : min_of(GROUP, each); /* enough of them for the team */
    p.own_bytes = (size_t)(p.group * SIDE * p.block) * sizeof *p.pack
                  + (size_t)(p.rows / SIDE * p.group * RESULTS) * sizeof(float);
    return p;
}

static bool needs_totals(const plan *p) {
    return p->g->c_dtype == WK_BF16 && p->depth < p->g->k;
}

size_t wk__amx_buffer(const wk_gemm *g) {
    const plan p = plan_of(g);
    return (size_t)(p.rows * p.depth) * sizeof *p.pack + (size_t)p.team * p.own_bytes
           + (needs_totals(&p) ? (size_t)(g->m * g->n) * sizeof(float) : 0);
}

/* ---- results ---- */

/* 32 × 32 sums that are complete for this depth, and of them the rows that are still to be stored: a few in each step
 * of the next product, so that memory writes while tiles multiply. */
typedef struct results {
    const plan *p;
    const float *sums;   /* (32, 32) */
    const float *addend; /* what is added, (M, N); NULL: nothing */
    int64_t addend_row;
    int64_t row, end, column; /* rows [row, end) of the product, columns from `column` on */
    bool last;                /* bias and activation follow, into C; else into the totals */
} results;

static inline __m512 widened(const uint16_t *from, __mmask16 mask) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from)), 16));
}

static inline __m512 finished(const wk_gemm *g, __m512 x, int64_t column, __mmask16 mask) {
    if (g->bias && g->c_dtype == WK_BF16)
        x = _mm512_add_ps(x, widened((const uint16_t *)g->bias + column, mask));
    else if (g->bias)
        x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, (const float *)g->bias + column));
    /* Clears negatives only, so NaN stays NaN. */
    if (g->relu) x = _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), _mm512_setzero_ps());
    return x;
}

static inline void store_half_row(const results *r, int64_t row, int64_t column, __m512 x) {
    const wk_gemm *g = r->p->g;
    const __mmask16 mask = (__mmask16)wk_amx_mask(g->n - column);
    if (r->addend) x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, r->addend + row * r->addend_row + column));
    if (r->last) x = finished(g, x, column, mask);
    if (r->last && g->c_dtype == WK_BF16) {
        uint16_t *c = (uint16_t *)g->c + row * g->c_row + column;
        _mm256_mask_storeu_epi16(c, mask, (__m256i)_mm512_cvtneps_pbh(x));
        return;
    }
    float *c = r->p->total + row * r->p->total_row + column;
    if (r->p->streams && (uintptr_t)c % LINE == 0 && mask == 0xffff)
        _mm512_stream_ps(c, x); /* a whole line, which nobody reads soon: it need not be fetched before */
    else
        _mm512_mask_storeu_ps(c, mask, x);
}

static inline void store_rows(results *r, int64_t count) {
    for (; count > 0 && r->row < r->end; count--, r->row++, r->sums += SIDE) {
        store_half_row(r, r->row, r->column, _mm512_load_ps(r->sums));
        if (r->column + 16 < r->p->g->n) store_half_row(r, r->row, r->column + 16, _mm512_load_ps(r->sums + 16));
    }
}

/* ---- the passing operand ---- */

/* What of the kept operand is packed, and what of the summed axis. */
typedef struct part {
    int64_t from, rows, k0, depth;
    int64_t begin, end; /* of these rows, what the thread multiplies: whole panels */
} part;

/* A group of panels for one block of the summed axis: what one thread has packed at a time. */
typedef struct piece {
    int64_t from, panels; /* the rows (columns) of the operand, 32 a panel */
    int64_t k0, k;        /* the numbers along the summed axis */
    bool first, last;     /* block of the part's depth */
} piece;

static piece piece_at(const plan *p, const part *kept, int64_t index) {
    const int64_t blocks = (kept->depth + p->block - 1) / p->block, at = index % blocks * p->block;
    piece x = { .from = index / blocks * p->group * SIDE,
                .k0 = kept->k0 + at,
                .k = min_of(p->block, kept->depth - at) };
    x.panels = min_of(p->group, (p->passing.count - x.from + SIDE - 1) / SIDE);
    x.first = at == 0, x.last = at + x.k == kept->depth;
    return x;
}

/* Lines of memory that are packed soon, fetched into the second-level cache. */
typedef struct lines {
    const char *row;
    int64_t at, width, stride; /* within the row and its length, and to the next row, in bytes */
    int64_t left, each;        /* lines still to be fetched, and at a time */
} lines;

static lines lines_of(const wk_amx_operand *x, int64_t from, int64_t rows, int64_t k0, int64_t k, int64_t times) {
    enum { BYTES = sizeof *x->data };
    const int64_t count = min_of(rows, x->count - from);
    const bool along = x->along == 1;
    lines l = { .row = (const char *)(x->data + from * x->across + k0 * x->along) };
    if (count <= 0 || k <= 0) return l;
    l.width = (along ? k : count) * BYTES, l.stride = (along ? x->across : x->along) * BYTES;
    l.left = (l.width + LINE - 1) / LINE * (along ? count : k);
    l.each = (l.left + times - 1) / times;
    return l;
}

static inline void fetch_more(lines *l) {
    for (int64_t i = 0; i < l->each && l->left > 0; i++, l->left--) {
        _mm_prefetch(l->row + l->at, _MM_HINT_T1);
        l->at += LINE;
        if (l->at >= l->width) l->at = 0, l->row += l->stride;
    }
}

static void pack(const plan *p, const piece *x, uint16_t *to) {
    for (int64_t k = 0; k < x->k; k += STEP)
        for (int64_t i = 0; i < x->panels; i++)
            wk_amx_pack_step(to + i * SIDE * p->block + k * SIDE, &p->passing, x->from + i * SIDE, x->k0 + k, x->k - k);
}

/* Panels [begin, end) of the kept operand, in the order in which their numbers lie in memory. */
static void pack_kept(const plan *p, const part *kept, int64_t begin, int64_t end) {
    enum { AHEAD = 4 * STEP };
    const wk_amx_operand *x = &p->kept;
    const bool along = x->along == 1;
    for (int64_t k = 0; !along && k < kept->depth; k += STEP)
        for (int64_t i = begin; i < end; i++)
            wk_amx_pack_step(p->pack + i * SIDE * p->depth + k * SIDE, x, kept->from + i * SIDE, kept->k0 + k,
                             kept->depth - k);
    for (int64_t i = begin; along && i < end; i++)
        for (int64_t k = 0; k < kept->depth; k += STEP) {
            const int64_t from = kept->from + i * SIDE, later = k + AHEAD;
            lines l = lines_of(x, from, SIDE, kept->k0 + later, min_of(STEP, kept->depth - later), 1);
            fetch_more(&l);
            wk_amx_pack_step(p->pack + i * SIDE * p->depth + k * SIDE, x, from, kept->k0 + k, kept->depth - k);
        }
}

/* ---- tiles ---- */

static void configure(void) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } all_whole = { .palette = 1 };
    for (int i = 0; i < 8; i++) all_whole.row_bytes[i] = 64, all_whole.rows[i] = 16;
    _tile_loadconfig(&all_whole);
}

/* What goes on between the tiles' instructions. */
typedef struct beside {
    results done;
    lines next;
} beside;

/* sums (32, 32) = or += a panel of A times one of B, `steps` long. */
static void multiply(float *sums, const uint16_t *a, const uint16_t *b, int64_t steps, bool adds, beside *other) {
    enum { ROW = SIDE * sizeof(float), HALF = 16 * SIDE };
    const int64_t rows = (SIDE + steps - 1) / steps;
    if (adds) {
        _tile_loadd(0, sums, ROW);
        _tile_loadd(1, sums + 16, ROW);
        _tile_loadd(2, sums + HALF, ROW);
        _tile_loadd(3, sums + HALF + 16, ROW);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t i = 0; i < steps; i++, a += PAIR, b += PAIR) {
        _tile_loadd(4, a, 64);
        _tile_loadd(6, b, 64);
        _tile_loadd(5, a + WK_AMX_TILE, 64);
        _tile_loadd(7, b + WK_AMX_TILE, 64);
        fetch_more(&other->next);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
        store_rows(&other->done, rows);
    }
    _tile_stored(0, sums, ROW);
    _tile_stored(1, sums + 16, ROW);
    _tile_stored(2, sums + HALF, ROW);
    _tile_stored(3, sums + HALF + 16, ROW);
}

/* ---- a thread's share ---- */

static void wait_for(int64_t team) {
    if (team > 1) {
#pragma omp barrier
    }
}

/* A packed piece of the passing operand meets all panels of the kept one. */
static void one_piece(const plan *p, const part *kept, const piece *x, const uint16_t *packed, float *sums,
                      beside *other) {
    const int64_t steps = (x->k + STEP - 1) / STEP;
    const uint16_t *block = p->pack + (x->k0 - kept->k0) / STEP * PAIR;
    results *done = &other->done;
    for (int64_t j = 0; j < x->panels; j++)
        for (int64_t i = kept->begin; i < kept->end; i += SIDE, sums += RESULTS) {
            const uint16_t *one = block + i * p->depth, *two = packed + j * SIDE * p->block;
            multiply(sums, p->kept.is_b ? two : one, p->kept.is_b ? one : two, steps, !x->first, other);
            if (!x->last) continue;
            store_rows(done, SIDE); /* those before, if there were few steps */
            const int64_t in_kept = kept->from + i, in_passing = x->from + j * SIDE;
            done->sums = sums, done->row = p->kept.is_b ? in_passing : in_kept;
            done->end = min_of(done->row + SIDE, p->g->m), done->column = p->kept.is_b ? in_kept : in_passing;
        }
    if (x->last) store_rows(done, SIDE);
}

static void pieces(const plan *p, const part *kept, char *own, int64_t begin, int64_t end) {
    uint16_t *packed = (uint16_t *)(void *)own;
    float *sums = (float *)(void *)(packed + p->group * SIDE * p->block);
    const wk_gemm *g = p->g;
    beside other = { .done = { .p = p, .last = kept->k0 + kept->depth >= g->k } };
    if (kept->k0 > 0) other.done.addend = p->total, other.done.addend_row = p->total_row;
    if (kept->k0 == 0 && g->accumulate) other.done.addend = g->c, other.done.addend_row = g->c_row;
    for (int64_t i = begin; i < end; i++) {
        const piece x = piece_at(p, kept, i), next = piece_at(p, kept, i + 1);
        pack(p, &x, packed);
        const int64_t steps = x.panels * ((kept->end - kept->begin + SIDE - 1) / SIDE) * ((x.k + STEP - 1) / STEP);
        other.next = lines_of(&p->passing, next.from, i + 1 < end ? next.panels * SIDE : 0, next.k0, next.k, steps);
        one_piece(p, kept, &x, packed, sums, &other);
    }
}

/* Groups of the passing operand are shared by the team; where there are fewer of them, the kept one's panels too. */
static void share(const plan *p, int64_t rank, int64_t team) {
    const wk_gemm *g = p->g;
    const int64_t groups = (p->passing.count + p->group * SIDE - 1) / (p->group * SIDE), shares = min_of(team, groups),
                  mine = rank % shares;
    char *own = p->own + (size_t)rank * p->own_bytes;
    configure();
    for (int64_t from = 0; from < p->kept.count; from += p->rows)
        for (int64_t k0 = 0; k0 < g->k; k0 += p->depth) {
            part kept = { from, min_of(p->rows, p->kept.count - from), k0, min_of(p->depth, g->k - k0), 0, 0 };
            const int64_t panels = (kept.rows + SIDE - 1) / SIDE, blocks = (kept.depth + p->block - 1) / p->block,
                          parts = min_of(team / shares, panels), at = rank / shares;
            pack_kept(p, &kept, panels * rank / team, panels * (rank + 1) / team);
            wait_for(team);
            if (at < parts) {
                kept.begin = panels * at / parts * SIDE;
                kept.end = min_of(panels * (at + 1) / parts * SIDE, kept.rows);
                pieces(p, &kept, own, groups * mine / shares * blocks, groups * (mine + 1) / shares * blocks);
            }
            wait_for(team);
        }
    _tile_release();
    _mm_sfence(); /* streamed results are there for everybody when the team ends */
}

void wk__amx_gemm(const wk_gemm *g, void *buffer) {
    plan p = plan_of(g);
    p.pack = buffer;
    p.own = (char *)buffer + (size_t)(p.rows * p.depth) * sizeof *p.pack;
    const bool apart = needs_totals(&p);
    p.total = apart ? (float *)(void *)(p.own + (size_t)p.team * p.own_bytes) : g->c;
    p.total_row = apart ? g->n : g->c_row;
    p.streams = g->c_dtype == WK_F32 && !apart && p.depth >= g->k && g->m * g->n * (int64_t)sizeof(float) > STREAMED;
    if (p.team < 2) {
        share(&p, 0, 1);
        return;
    }
#pragma omp parallel num_threads(p.team)
    share(&p, omp_get_thread_num(), omp_get_num_threads());
}
