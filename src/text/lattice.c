/* lattice.c: all ways to cut a word into pieces: what they are worth together, and which are the best two.
 *
 * A node stands between two characters.  Forwards and backwards sums over the ways there (logarithms, so that nothing
 * underflows) give how often each piece is to be expected; the same walk with the greatest instead of the sum gives the
 * best cut, and with the greatest two the second best.
 */
#include "train.h"

#include <math.h>

typedef struct way { /* to get to a node */
    double score;
    uint32_t from;
    int32_t piece; /* -1: there is none */
    uint8_t rank;  /* of the way before it */
} way;

typedef struct edge {
    double score;
    uint32_t from, to;
    int32_t piece;
} edge;

struct wk__lattice {
    wk__vocabulary vocabulary;
    const wk__piece_list *pieces;
    double unknown;
    uint32_t longest; /* piece, in characters */
    way (*best)[2];   /* (bytes + 1) */
    double *before, *behind;
    int32_t *cut;
    edge *edges;
    uint32_t edge_count;
};

wk__lattice *wk__lattice_make(uint32_t longest_word, uint32_t longest_piece) {
    const size_t nodes = (size_t)longest_word + 2;
    wk__lattice *l = wk_alloc(sizeof *l);
    if (!l) return NULL;
    l->longest = longest_piece;
    l->best = wk_alloc(nodes * sizeof *l->best);
    l->before = wk_alloc(nodes * sizeof *l->before);
    l->behind = wk_alloc(nodes * sizeof *l->behind);
    l->cut = wk_alloc(nodes * sizeof *l->cut);
    l->edges = wk_alloc(nodes * ((size_t)longest_piece + 1) * sizeof *l->edges);
    if (l->best && l->before && l->behind && l->cut && l->edges) return l;
    wk__lattice_free(l);
    return NULL;
}

void wk__lattice_free(wk__lattice *l) {
    if (!l) return;
    wk__vocabulary_free(&l->vocabulary);
    wk_free(l->best);
    wk_free(l->before);
    wk_free(l->behind);
    wk_free(l->cut);
    wk_free(l->edges);
    wk_free(l);
}

wk_status wk__lattice_use(wk__lattice *l, const wk__piece_list *pieces) {
    const char **tokens = wk_alloc(((size_t)pieces->count + 1) * sizeof *tokens);
    uint32_t *sizes = wk_alloc(((size_t)pieces->count + 1) * sizeof *sizes);
    double least = 0;
    wk__vocabulary_free(&l->vocabulary);
    l->vocabulary = (wk__vocabulary){ 0 };
    l->pieces = pieces;
    for (uint32_t i = 1; tokens && sizes && i < pieces->count; i++) { /* 0 is spelled by nothing */
        tokens[i] = pieces->bytes.data + pieces->begin[i];
        sizes[i] = pieces->begin[i + 1] - pieces->begin[i];
        if (i == 1 || pieces->scores[i] < least) least = pieces->scores[i];
    }
    l->unknown = least - 10; /* SentencePiece's kUnkPenalty */
    wk_status status =
        tokens && sizes ? wk__vocabulary_make(&l->vocabulary, tokens, sizes, pieces->count) : wk_error_code();
    wk_free((void *)tokens);
    wk_free(sizes);
    return status;
}

/* All pieces of the word, from left to right and from short to long; a character that is none is unknown. */
static void find_edges(wk__lattice *l, const char *word, uint32_t size) {
    l->edge_count = 0;
    for (uint32_t at = 0, one = 0; at < size; at += one) {
        bool alone = false;
        (void)wk__utf8(word + at, &one);
        uint32_t end = at;
        for (uint32_t n = 0; n < l->longest && end < size; n++) {
            uint32_t next = 0;
            (void)wk__utf8(word + end, &next);
            end += next;
            const int32_t piece = wk__vocabulary_find(&l->vocabulary, word + at, end - at);
            if (piece < 0) continue;
            alone = alone || n == 0;
            l->edges[l->edge_count++] = (edge){ l->pieces->scores[piece], at, end, piece };
        }
        if (!alone) l->edges[l->edge_count++] = (edge){ l->unknown, at, at + one, 0 };
    }
}

static double log_sum(double a, double b) {
    if (a == -INFINITY) return b;
    const double most = a > b ? a : b, least = a > b ? b : a;
    return least < most - 50 ? most : most + log1p(exp(least - most));
}

void wk__lattice_expect(wk__lattice *l, const char *word, uint32_t size, double count, double *expected) {
    find_edges(l, word, size);
    for (uint32_t i = 0; i <= size; i++) l->before[i] = l->behind[i] = -INFINITY;
    l->before[0] = l->behind[size] = 0;
    for (uint32_t i = 0; i < l->edge_count; i++) {
        const edge *e = &l->edges[i];
        l->before[e->to] = log_sum(l->before[e->to], l->before[e->from] + e->score);
    }
    for (uint32_t i = l->edge_count; i-- > 0;) {
        const edge *e = &l->edges[i];
        l->behind[e->from] = log_sum(l->behind[e->from], l->behind[e->to] + e->score);
    }
    for (uint32_t i = 0; i < l->edge_count; i++) {
        const edge *e = &l->edges[i];
        expected[e->piece] += count * exp(l->before[e->from] + e->score + l->behind[e->to] - l->before[size]);
    }
}

/* Of equal ways the one that was met first. */
static void offer(way at[2], way w) {
    if (at[0].piece < 0 || w.score > at[0].score) {
        at[1] = at[0];
        at[0] = w;
    } else if (at[1].piece < 0 || w.score > at[1].score) {
        at[1] = w;
    }
}

uint32_t wk__lattice_cut(wk__lattice *l, const char *word, uint32_t size, bool second, const int32_t **pieces) {
    find_edges(l, word, size);
    for (uint32_t i = 0; i <= size; i++) l->best[i][0].piece = l->best[i][1].piece = -1;
    for (uint32_t i = 0; i < l->edge_count; i++) {
        const edge *e = &l->edges[i];
        for (uint8_t rank = 0; rank < 2; rank++) {
            if (e->from == 0 && rank == 1) continue; /* one way to the beginning */
            if (e->from > 0 && l->best[e->from][rank].piece < 0) continue;
            const double score = e->from > 0 ? l->best[e->from][rank].score : 0;
            offer(l->best[e->to], (way){ score + e->score, e->from, e->piece, rank });
        }
    }
    uint32_t count = 0;
    const way *w = &l->best[size][second];
    for (uint32_t at = size; at > 0 && w->piece >= 0;) {
        l->cut[count++] = w->piece;
        at = w->from;
        w = &l->best[at][w->rank];
    }
    *pieces = l->cut;
    return count;
}
