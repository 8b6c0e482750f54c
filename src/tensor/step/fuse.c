/* fuse.c: neighbours that compute element by element, run tile by tile.
 *
 * Launches of one entry (the parts of a composite row, a stretch of a backward) whose results have one shape pass over
 * memory together: each tile goes through all of them while it is in the cache.  They are the rows' own kernels, on
 * headers of the tile, and round as they do alone, so bits are the same.  A result that nobody else asks for has no
 * memory but a tile for each thread.  WICK_FUSION=0 does without.
 */
#include "tensor/registry.h"
#include "tensor/step/plan.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    TILE = 16384,       /* elements: of five f32 operands, a tile takes 320 KB of the second-level cache */
    LEAST = 64 * 1024,  /* elements: fewer are in the cache anyway */
    MOST_LAUNCHES = 16, /* of a group */
    MOST_OPERANDS = 64
};

/* An operand in the two axes that a group runs over. */
typedef struct fused_operand {
    const wk_tensor *from;
    int64_t row, column; /* strides in elements */
    ptrdiff_t inner;     /* where its tile lies in a thread's own memory; -1: it has memory of its own */
} fused_operand;

struct wk__fused {
    int end; /* the launch after the last one */
    int n_calls, n_operands;
    int64_t rows, columns, tile; /* rows of a tile */
    fused_operand *operands;     /* of all calls, inputs first */
    wk_kernel *kernels;
    wk_tensor *headers; /* (threads, n_operands) */
    wk_call *calls;     /* (threads, n_calls) on these headers */
    char *memory;       /* (threads, bytes): tiles */
    size_t bytes;
    int threads;
};

bool wk__fusion_is_off(void) {
    const char *wish = getenv("WICK_FUSION");
    return wish && strcmp(wish, "0") == 0;
}

int wk__fused_end(const wk__fused *f) {
    return f->end;
}

/* ---- which launches go together ---- */

typedef struct group {
    const wk_tensor *like; /* the first result */
    int launches[MOST_LAUNCHES], n_launches, n_operands;
    const wk_tensor *operands[MOST_OPERANDS];
    bool written[MOST_OPERANDS];
    int64_t stride[MOST_OPERANDS][WK_MAX_RANK]; /* along the axes of `like` */
} group;

static wk_kernel kernel_of(const wk_call *call) {
    return wk__kernel_for(call->op, call->device, wk__key_dtype(call));
}

static bool is_eligible(const wk__launch *l) {
    return l->runs && !l->call.device && !l->leaf && !l->into && !l->mutates && l->call.op->elementwise
           && kernel_of(&l->call);
}

static bool spread_over(const wk_tensor *like, const wk_tensor *t, int64_t stride[WK_MAX_RANK]) {
    if (t->rank > like->rank) return false;
    for (int axis = 0; axis < like->rank; axis++) {
        const int own = axis - (like->rank - t->rank);
        const int64_t size = own < 0 ? 1 : t->shape[own];
        if (size != 1 && size != like->shape[axis]) return false;
        stride[axis] = size == 1 ? 0 : t->stride[own];
    }
    return true;
}

/* The axes of `like`, outermost first. */
static int axes_by_stride(const wk_tensor *like, int order[WK_MAX_RANK]) {
    int count = 0;
    for (int axis = 0; axis < like->rank; axis++) {
        if (like->shape[axis] == 1) continue;
        int at = count++;
        for (; at > 0 && like->stride[order[at - 1]] < like->stride[axis]; at--) order[at] = order[at - 1];
        order[at] = axis;
    }
    return count;
}

/* The group's axes as one or two that every operand walks along in one stride; false where there are more. */
static bool flatten(const group *g, int64_t size[2], int64_t (*stride)[2] /* (n_operands) */) {
    int order[WK_MAX_RANK], count = axes_by_stride(g->like, order), merged = 0;
    for (int i = 0; i < count; i++) {
        const int axis = order[i];
        const int64_t length = g->like->shape[axis];
        bool joins = merged > 0;
        for (int k = 0; k < g->n_operands && joins; k++) joins = stride[k][merged - 1] == g->stride[k][axis] * length;
        if (!joins && merged == 2) return false;
        if (!joins) size[merged++] = 1;
        size[merged - 1] *= length;
        for (int k = 0; k < g->n_operands; k++) stride[k][merged - 1] = g->stride[k][axis];
    }
    if (merged == 2) return size[1] <= 4 * (int64_t)TILE;
    size[1] = 1;
    for (int k = 0; k < g->n_operands; k++) stride[k][1] = 1;
    return merged == 1;
}

static bool is_same_place(const group *g, int a, int b) {
    const wk__planned *p = (const wk__planned *)(const void *)g->operands[a],
                      *q = (const wk__planned *)(const void *)g->operands[b];
    for (int axis = 0; axis < g->like->rank; axis++)
        if (g->like->shape[axis] > 1 && g->stride[a][axis] != g->stride[b][axis]) return false;
    return p->offset == q->offset;
}

/* What is written in the group is read in it only element by element: its transpose is not there yet. */
static bool is_in_order(const group *g, int operand) {
    const wk__block *b = wk__block_of(g->operands[operand]);
    for (int k = 0; b && k < operand; k++) {
        if (wk__block_of(g->operands[k]) != b || !(g->written[k] || g->written[operand])) continue;
        if (!is_same_place(g, k, operand)) return false;
    }
    return true;
}

static bool add_operand(group *g, const wk_tensor *t, bool written) {
    const int k = g->n_operands;
    if (k == MOST_OPERANDS || !spread_over(g->like, t, g->stride[k])) return false;
    g->operands[k] = t;
    g->written[k] = written;
    if (!is_in_order(g, k)) return false;
    g->n_operands++;
    return true;
}

/* Add a launch; false (and nothing has changed) if it does not go with the others. */
static bool join(group *g, const wk__plan *plan, int launch) {
    const wk_call *call = &plan->launches[launch].call;
    const int former = g->n_operands;
    int64_t size[2], stride[MOST_OPERANDS][2];
    bool fits = g->n_launches < MOST_LAUNCHES && is_eligible(&plan->launches[launch]);
    if (fits && !g->n_launches) g->like = call->out[0];
    fits = fits && call->out[0]->count >= LEAST;
    for (int i = 0; i < call->n_in && fits; i++) fits = call->in[i] && add_operand(g, call->in[i], false);
    for (int i = 0; i < call->n_out && fits; i++)
        fits = call->out[i]->count == g->like->count && add_operand(g, call->out[i], true);
    if (fits && flatten(g, size, stride)) {
        g->launches[g->n_launches++] = launch;
        return true;
    }
    g->n_operands = former;
    return false;
}

/* ---- what lives only inside ---- */

/* All headers on its memory are the same one, dense. */
static bool is_one_header(const group *g, const wk__block *b, const int64_t (*stride)[2], const int64_t size[2]) {
    for (int k = 0; k < g->n_operands; k++) {
        if (wk__block_of(g->operands[k]) != b) continue;
        const wk__planned *p = (const wk__planned *)(const void *)g->operands[k];
        if (p->offset || stride[k][0] != size[1] || stride[k][1] != 1) return false;
    }
    return true;
}

static void find_inner(wk__fused *f, const group *g, const int64_t (*stride)[2], const int64_t size[2], int first) {
    for (int k = 0; k < g->n_operands; k++) {
        wk__block *b = wk__block_of(g->operands[k]);
        if (!b || b->inner || b->shown || b->birth < first || b->death > f->end) continue;
        if (!is_one_header(g, b, stride, size)) continue;
        b->inner = true;
        for (int other = k; other < g->n_operands; other++)
            if (wk__block_of(g->operands[other]) == b) f->operands[other].inner = (ptrdiff_t)f->bytes;
        size_t tile = (size_t)(f->tile * f->columns) * wk_dtype_size((wk_dtype)g->operands[k]->dtype);
        f->bytes += (tile + 63) / 64 * 64;
    }
    /* The others live through the whole group: its tiles run ahead of each other. */
    for (int k = 0; k < g->n_operands; k++) {
        wk__block *b = wk__block_of(g->operands[k]);
        if (!b || b->inner) continue;
        if (b->birth > first) b->birth = first;
        if (b->death < f->end) b->death = f->end;
    }
}

/* ---- the group as it will run ---- */

static void *take(wk__plan *plan, size_t count, size_t size) {
    void *memory = wk__arena_take(&plan->arena, count * size + 1);
    return memory ? memset(memory, 0, count * size) : NULL;
}

static void make_header(const wk__fused *f, const fused_operand *o, wk_tensor *header) {
    *header = *o->from;
    header->rank = f->columns > 1 ? 2 : 1;
    header->shape[1] = f->columns;
    header->stride[0] = o->inner >= 0 ? f->columns : o->row;
    header->stride[1] = o->column;
    bool dense = header->stride[0] == f->columns && (f->columns == 1 || o->column == 1);
    header->flags = dense ? WK_TENSOR_CONTIGUOUS : 0;
}

static bool make_calls(wk__plan *plan, wk__fused *f, const group *g) {
    wk_tensor **places = take(plan, (size_t)(f->threads * f->n_operands), sizeof *places);
    f->headers = take(plan, (size_t)(f->threads * f->n_operands), sizeof *f->headers);
    f->calls = take(plan, (size_t)(f->threads * f->n_calls), sizeof *f->calls);
    f->kernels = take(plan, (size_t)f->n_calls, sizeof *f->kernels);
    f->memory = wk__arena_take(&plan->arena, (size_t)f->threads * f->bytes + 64);
    if (!places || !f->headers || !f->calls || !f->kernels || !f->memory) return false;
    f->memory += (64 - (uintptr_t)f->memory % 64) % 64;
    for (int thread = 0; thread < f->threads; thread++) {
        int at = thread * f->n_operands;
        for (int k = 0; k < f->n_operands; k++) {
            make_header(f, &f->operands[k], &f->headers[at + k]);
            places[at + k] = &f->headers[at + k];
        }
        for (int c = 0; c < f->n_calls; c++) {
            const wk_call *call = &plan->launches[g->launches[c]].call;
            wk_tensor **in = places + at, **out = in + call->n_in;
            f->kernels[c] = kernel_of(call);
            f->calls[thread * f->n_calls + c] =
                (wk_call){ call->op, in, out, call->attrs, call->n_in, call->n_out, call->device };
            at += call->n_in + call->n_out;
        }
    }
    return true;
}

static bool make(wk__plan *plan, const group *g) {
    int64_t size[2], stride[MOST_OPERANDS][2];
    const int first = g->launches[0];
    wk__fused *f = take(plan, 1, sizeof *f);
    fused_operand *operands = take(plan, (size_t)g->n_operands, sizeof *operands);
    if (!f || !operands || !flatten(g, size, stride)) return false;
    *f = (wk__fused){ .end = g->launches[g->n_launches - 1] + 1, .n_calls = g->n_launches, .operands = operands };
    f->n_operands = g->n_operands, f->threads = plan->threads;
    f->rows = size[0], f->columns = size[1];
    f->tile = TILE / size[1] ? TILE / size[1] : 1;
    for (int k = 0; k < g->n_operands; k++)
        operands[k] = (fused_operand){ g->operands[k], stride[k][0], stride[k][1], -1 };
    find_inner(f, g, (const int64_t(*)[2])stride, size, first);
    if (!make_calls(plan, f, g)) return false;
    plan->launches[first].fused = f;
    plan->n_fused += g->n_launches;
    return true;
}

/* The group that begins at `first`; gives where to go on. */
static int fuse_from(wk__plan *plan, int first, int end, bool *made) {
    group g = { 0 };
    if (!join(&g, plan, first)) return first + 1;
    for (int i = first + 1; i < end; i++) {
        const wk__launch *l = &plan->launches[i];
        if (!l->runs && !l->leaf) continue; /* a view of something */
        if (!join(&g, plan, i)) break;
    }
    if (g.n_launches > 1) *made = make(plan, &g);
    return g.launches[g.n_launches - 1] + 1;
}

wk_status wk__plan_fuse(wk__plan *plan) {
    for (int e = 0; e < plan->n_entries; e++)
        for (int i = 0; i < plan->entries[e].n_out; i++) {
            const wk__planned *p = plan->entries[e].out[i].planned;
            if (p && p->block) p->block->shown = true;
        }
    bool made = true;
    for (int e = 0; e < plan->n_entries && made; e++)
        for (int i = plan->entries[e].first; i < plan->entries[e].end && made;)
            i = fuse_from(plan, i, plan->entries[e].end, &made);
    return made ? WK_OK : wk_error_code();
}

/* ---- running ---- */

typedef struct work {
    const wk__fused *fused;
    _Atomic bool failed;
} work;

/* Let a thread's headers stand for the tile that begins at row `at`. */
static void move_to(const wk__fused *f, wk_tensor *headers, int thread, int64_t at) {
    const int64_t rows = f->rows - at < f->tile ? f->rows - at : f->tile;
    for (int k = 0; k < f->n_operands; k++) {
        const fused_operand *o = &f->operands[k];
        wk_tensor *h = &headers[k];
        h->shape[0] = rows;
        h->count = rows * f->columns;
        h->data = o->inner >= 0 ? f->memory + (size_t)thread * f->bytes + o->inner
                                : (char *)o->from->data + at * o->row * (int64_t)wk_dtype_size((wk_dtype)h->dtype);
    }
}

static void run_share(void *context, int thread, int team) {
    work *w = context;
    const wk__fused *f = w->fused;
    wk_tensor *headers = f->headers + (ptrdiff_t)thread * f->n_operands;
    const wk_call *calls = f->calls + (ptrdiff_t)thread * f->n_calls;
    wk_kernel_ctx ctx = { .threads = 1 };
    const int64_t tiles = (f->rows + f->tile - 1) / f->tile;
    for (int64_t tile = tiles * thread / team; tile < tiles * (thread + 1) / team && !w->failed; tile++) {
        move_to(f, headers, thread, tile * f->tile);
        for (int c = 0; c < f->n_calls && !w->failed; c++)
            if (f->kernels[c](&ctx, &calls[c]) != WK_OK) w->failed = true;
    }
    if (w->failed) wk_clear_error(); /* this thread's; the caller's comes from run_again */
}

/* One after the other, with errors told as ever. */
static wk_status run_again(wk_context *context, const wk__fused *f) {
    for (int64_t at = 0; at < f->rows; at += f->tile) {
        move_to(f, f->headers, 0, at);
        for (int c = 0; c < f->n_calls; c++) WK_TRY(wk__run_kernel(context, &f->calls[c]));
    }
    return WK_OK;
}

/* The time of all of them, in equal parts. */
static void tell_observer(wk_context *context, const wk__launch *l, const wk__fused *f, double start) {
    const double part = (wk_now() - start) / f->n_calls;
    for (int c = 0; c < f->n_calls; l++) {
        if (!l->runs) continue;
        context->observer->ran(context->observer, context, &l->call, start + c * part, start + (c + 1) * part);
        c++;
    }
}

wk_status wk__fused_run(wk_context *context, const wk__launch *first) {
    const wk__fused *f = first->fused;
    const bool observed = WK_UNLIKELY(context->mode & WK__MODE_OBSERVED);
    const int64_t tiles = (f->rows + f->tile - 1) / f->tile;
    double start = observed ? wk_now() : 0;
    work w = { .fused = f };
    wk__backend_of(0)->parallel(tiles < f->threads ? (int)tiles : f->threads, run_share, &w);
    if (WK_UNLIKELY(w.failed)) return run_again(context, f);
    if (observed) tell_observer(context, first, f, start);
    return WK_OK;
}
