/* seeds.c: the pieces that Unigram begins with: what stands in the words more than once.
 *
 * As `tokenizers` and SentencePiece do it, they are the inner nodes of the suffix tree of all words (each once,
 * whatever its count, a NUL behind it): texts that are met with different continuations.  A piece has few characters,
 * so suffixes are sorted by as many of them, and their tree is read off the lengths of what neighbours have in common.
 */
#include "train.h"

#include <math.h>
#include <stdlib.h>

typedef struct candidate {
    uint64_t score; /* how often, times its characters */
    uint32_t begin, size;
} candidate;

typedef struct seeker {
    int32_t *points; /* all words, a 0 behind each */
    uint32_t count, depth /* to which suffixes differ for us */;
    uint32_t *suffixes;
    candidate *found;
    uint32_t found_count, found_room;
} seeker;

/* ---- lists of pieces ---- */

bool wk__pieces_add(wk__piece_list *p, const char *bytes, uint32_t size, double score) {
    if (p->count == p->room) {
        const uint32_t room = p->room * 2 + 1024;
        uint32_t *begin = wk_realloc(p->begin, ((size_t)room + 1) * sizeof *begin);
        if (begin) p->begin = begin;
        double *scores = begin ? wk_realloc(p->scores, room * sizeof *scores) : NULL;
        if (!scores) return false;
        p->scores = scores;
        p->room = room;
    }
    p->begin[p->count] = (uint32_t)p->bytes.size;
    wk_text_add(&p->bytes, bytes, size);
    p->scores[p->count++] = score;
    p->begin[p->count] = (uint32_t)p->bytes.size;
    return !p->bytes.failed;
}

void wk__pieces_free(wk__piece_list *p) {
    wk_text_free(&p->bytes);
    wk_free(p->begin);
    wk_free(p->scores);
    *p = (wk__piece_list){ 0 };
}

static bool add_points(wk__piece_list *p, const int32_t *points, uint32_t count, double score) {
    char text[4 * WK__LONGEST_PIECE];
    uint32_t size = 0;
    for (uint32_t i = 0; i < count; i++) size += wk__utf8_put(points[i], text + size);
    return wk__pieces_add(p, text, size, score);
}

/* ---- the tree ---- */

/* How many characters two suffixes have in common, `depth` at most. */
static uint32_t common(const seeker *s, uint32_t a, uint32_t b) {
    uint32_t n = 0;
    while (n < s->depth && a + n < s->count && b + n < s->count && s->points[a + n] == s->points[b + n]) n++;
    return n;
}

static int compare_suffixes(const void *a, const void *b, void *context) {
    const seeker *s = context;
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b, n = common(s, x, y);
    if (n == s->depth) return x < y ? -1 : x > y;
    if (x + n == s->count || y + n == s->count) return x > y ? -1 : 1; /* the shorter one first */
    return s->points[x + n] < s->points[y + n] ? -1 : 1;
}

/* A node of `size` characters below which `often` suffixes lie. */
static bool take(seeker *s, uint32_t begin, uint32_t size, uint32_t often) {
    if (size < 2 || size >= s->depth) return true;
    for (uint32_t i = 0; i < size; i++)
        if (s->points[begin + i] == 0) return true;
    if (s->found_count == s->found_room) {
        const uint32_t room = s->found_room * 2 + 4096;
        candidate *found = wk_realloc(s->found, room * sizeof *found);
        if (!found) return false;
        s->found = found;
        s->found_room = room;
    }
    s->found[s->found_count++] = (candidate){ (uint64_t)often * size, begin, size };
    return true;
}

/* Intervals of suffixes that have as much in common as no wider one: a stack of those that are open. */
static wk_status walk(seeker *s) {
    typedef struct open {
        uint32_t size, first;
    } open;
    open *stack = wk_alloc(((size_t)s->depth + 2) * sizeof *stack);
    uint32_t height = 1; /* at the bottom what nothing has in common */
    bool fits = stack != NULL;
    if (stack) stack[0] = (open){ 0, 0 };
    for (uint32_t i = 1; fits && i <= s->count; i++) {
        const uint32_t size = i < s->count ? common(s, s->suffixes[i - 1], s->suffixes[i]) : 0;
        uint32_t first = i - 1;
        while (fits && stack[height - 1].size > size) {
            const open o = stack[--height];
            fits = take(s, s->suffixes[i - 1], o.size, i - o.first);
            first = o.first;
        }
        if (stack[height - 1].size < size) stack[height++] = (open){ size, first };
    }
    wk_free(stack);
    return fits ? WK_OK : wk_error_code();
}

/* The greater score first, of equal ones the greater text. */
static int compare_candidates(const void *a, const void *b, void *context) {
    const seeker *s = context;
    const candidate *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    for (uint32_t i = 0; i < x->size && i < y->size; i++)
        if (s->points[x->begin + i] != s->points[y->begin + i])
            return s->points[x->begin + i] > s->points[y->begin + i] ? -1 : 1;
    return x->size > y->size ? -1 : x->size < y->size;
}

/* ---- characters ---- */

typedef struct counted {
    int64_t count;
    int32_t point;
} counted;

static int by_point(const void *a, const void *b) {
    const int32_t x = ((const counted *)a)->point, y = ((const counted *)b)->point;
    return x < y ? -1 : x > y;
}

static int by_count(const void *a, const void *b) {
    const counted *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return -by_point(a, b);
}

static wk_status add_characters(const wk__met *words, wk__piece_list *out) {
    counted *all = wk_alloc((words->bytes.size + 1) * sizeof *all);
    uint32_t count = 0, kept = 0;
    if (!all) return wk_error_code();
    for (uint32_t i = 0; i < words->count; i++)
        for (uint32_t at = words->begin[i], size = 0; at < words->begin[i + 1]; at += size)
            all[count++] = (counted){ words->counts[i], wk__utf8(words->bytes.data + at, &size) };
    qsort(all, count, sizeof *all, by_point);
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].point == 0) continue; /* it stands between words */
        if (kept && all[kept - 1].point == all[i].point)
            all[kept - 1].count += all[i].count;
        else
            all[kept++] = all[i];
    }
    qsort(all, kept, sizeof *all, by_count);
    bool fits = true;
    for (uint32_t i = 0; i < kept && fits; i++) fits = add_points(out, &all[i].point, 1, (double)all[i].count);
    wk_free(all);
    return fits ? WK_OK : wk_error_code();
}

/* ---- the whole ---- */

static wk_status prepare(seeker *s, const wk__met *words) {
    const size_t room = words->bytes.size + words->count + 1;
    s->points = wk_alloc(room * sizeof *s->points);
    s->suffixes = wk_alloc(room * sizeof *s->suffixes);
    if (!s->points || !s->suffixes) return wk_error_code();
    for (uint32_t i = 0; i < words->count; i++) {
        for (uint32_t at = words->begin[i], size = 0; at < words->begin[i + 1]; at += size)
            s->points[s->count++] = wk__utf8(words->bytes.data + at, &size);
        s->points[s->count++] = 0;
    }
    for (uint32_t i = 0; i < s->count; i++) s->suffixes[i] = i;
    return WK_OK;
}

wk_status wk__seeds(const wk__met *words, uint32_t longest, uint32_t most, wk__piece_list *out) {
    seeker s = { .depth = longest + 1 };
    wk_status status = add_characters(words, out);
    if (status == WK_OK) status = prepare(&s, words);
    if (status == WK_OK) {
        qsort_r(s.suffixes, s.count, sizeof *s.suffixes, compare_suffixes, &s);
        status = walk(&s);
    }
    if (status == WK_OK && s.found) qsort_r(s.found, s.found_count, sizeof *s.found, compare_candidates, &s);
    for (uint32_t i = 0; i < s.found_count && status == WK_OK && out->count < most; i++)
        if (!add_points(out, s.points + s.found[i].begin, s.found[i].size, (double)s.found[i].score))
            status = wk_error_code();
    double sum = 0;
    for (uint32_t i = 0; i < out->count; i++) sum += out->scores[i];
    for (uint32_t i = 0; i < out->count; i++) out->scores[i] = log(out->scores[i]) - log(sum);
    wk_free(s.found);
    wk_free(s.suffixes);
    wk_free(s.points);
    return status;
}
