/* einsum.c: sums of products by Einstein's convention.
 *
 * Each operand is brought to the same order of letters (a missing one is an axis of size 1).  Two operands are then one
 * batched matrix product: letters of both that stay are batch axes, letters of both that go are summed, the others are
 * rows and columns.  A letter that only one operand has and that goes is summed before.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <ctype.h>
#include <string.h>

enum { LETTERS = 64, MOST_OPERANDS = 16, ELLIPSIS_FIRST = 52 }; /* a-z, A-Z, then up to 8 axes of "..." */

/* Letters of one operand, or of the result, in order. */
typedef struct term {
    uint8_t letter[WK_MAX_RANK + 1];
    int count;
} term;

typedef struct formula {
    term operand[MOST_OPERANDS], result;
    int operands;
    int64_t size[LETTERS]; /* 0: not seen */
} formula;

static int number_of(char c) {
    return c >= 'a' && c <= 'z' ? c - 'a' : c - 'A' + 26;
}

/* ---- reading ---- */

/* Reads up to a comma, an arrow or the end.  `axes`: how many "..." stands for. */
static wk_status read_term(const wk_call *call, const char **at, int axes, term *t) {
    const char *c = *at;
    for (; *c && *c != ',' && strncmp(c, "->", 2) != 0; c++) {
        if (*c == ' ') continue;
        int more = strncmp(c, "...", 3) == 0 ? axes : 1;
        if (t->count + more > WK_MAX_RANK)
            return wk_bad_call(call, WK_INVALID, "more than %d letters in a row", WK_MAX_RANK);
        if (strncmp(c, "...", 3) == 0) {
            for (int i = 0; i < axes; i++) t->letter[t->count++] = (uint8_t)(ELLIPSIS_FIRST + WK_MAX_RANK - axes + i);
            c += 2;
        } else if (isalpha((unsigned char)*c)) {
            t->letter[t->count++] = (uint8_t)number_of(*c);
        } else {
            return wk_bad_call(call, WK_INVALID, "\"%c\" in \"%s\", expected letters, commas, ... and ->", *c,
                               ((const wk_einsum_opts *)call->attrs)->equation);
        }
    }
    *at = c;
    return WK_OK;
}

static int letters_in(const char *at) {
    int count = 0;
    for (; *at && *at != ',' && strncmp(at, "->", 2) != 0; at++) count += isalpha((unsigned char)*at) != 0;
    return count;
}

static wk_status note_sizes(const wk_call *call, formula *e, int i) {
    const wk_tensor *x = call->in[i];
    const term *t = &e->operand[i];
    char text[160];
    if (t->count != x->rank)
        return wk_bad_call(call, WK_SHAPE, "operand %d is %s, the equation gives it %d axes", i,
                           wk_describe(x, text, sizeof text), t->count);
    for (int a = 0; a < x->rank; a++) {
        int64_t *size = &e->size[t->letter[a]];
        bool broadcasts = t->letter[a] >= ELLIPSIS_FIRST;
        if (*size == 0 || (broadcasts && *size == 1))
            *size = x->shape[a];
        else if (*size != x->shape[a] && !(broadcasts && x->shape[a] == 1))
            return wk_bad_call(call, WK_SHAPE, "axis %d of operand %d has size %lld, elsewhere its letter has %lld", a,
                               i, (long long)x->shape[a], (long long)*size);
    }
    return WK_OK;
}

/* The letters of "...", and those that stand once in alphabetical order. */
static void implied_result(formula *e) {
    int seen[LETTERS] = { 0 };
    for (int i = 0; i < e->operands; i++)
        for (int a = 0; a < e->operand[i].count; a++) seen[e->operand[i].letter[a]]++;
    static const char order[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int l = ELLIPSIS_FIRST; l < ELLIPSIS_FIRST + WK_MAX_RANK; l++)
        if (seen[l] && e->result.count < WK_MAX_RANK) e->result.letter[e->result.count++] = (uint8_t)l;
    for (const char *c = order; *c; c++)
        if (seen[number_of(*c)] == 1 && e->result.count < WK_MAX_RANK)
            e->result.letter[e->result.count++] = (uint8_t)number_of(*c);
}

static wk_status read_equation(const wk_call *call, formula *e) {
    const char *at = ((const wk_einsum_opts *)call->attrs)->equation;
    int most_axes = 0;
    if (call->n_in > MOST_OPERANDS)
        return wk_bad_call(call, WK_INVALID, "%d operands, at most %d", call->n_in, MOST_OPERANDS);
    for (int i = 0; i < call->n_in; i++) {
        if (i && *at++ != ',')
            return wk_bad_call(call, WK_INVALID, "%d operands, the equation names %d", call->n_in, i);
        int axes = call->in[i]->rank - letters_in(at);
        if (axes > most_axes && strstr(at, "...")) most_axes = axes;
        WK_TRY(read_term(call, &at, axes < 0 ? 0 : axes, &e->operand[i]));
        e->operands++;
        WK_TRY(note_sizes(call, e, i));
    }
    if (*at == ',') return wk_bad_call(call, WK_INVALID, "%d operands, the equation names more", call->n_in);
    if (!*at) {
        implied_result(e);
        return WK_OK;
    }
    at += 2;
    WK_TRY(read_term(call, &at, most_axes, &e->result));
    if (*at) return wk_bad_call(call, WK_INVALID, "\"%s\" behind the result", at);
    for (int a = 0; a < e->result.count; a++) {
        bool known = false, twice = false;
        for (int i = 0; i < e->operands; i++)
            for (int k = 0; k < e->operand[i].count; k++)
                known = known || e->operand[i].letter[k] == e->result.letter[a];
        for (int k = 0; k < a; k++) twice = twice || e->result.letter[k] == e->result.letter[a];
        if (!known || twice)
            return wk_bad_call(call, WK_INVALID, "a letter of the result stands %s", twice ? "twice" : "in no operand");
    }
    return WK_OK;
}

/* ---- bringing operands together ---- */

static int place_of(const term *t, int letter) {
    for (int a = 0; a < t->count; a++)
        if (t->letter[a] == letter) return a;
    return -1;
}

/* Letters that stand twice in one operand: the diagonal of their axes. */
static wk_tensor *without_repeats(wk_tensor *x, term *t) {
    for (int a = 0; a < t->count; a++)
        for (int b = a + 1; b < t->count && x; b++) {
            if (t->letter[a] != t->letter[b]) continue;
            uint8_t letter = t->letter[a];
            x = wk_diagonal(x, (wk_diagonal_opts){ .axis_a = WK_SET(a), .axis_b = WK_SET(b) });
            term rest = { .count = 0 };
            for (int k = 0; k < t->count; k++)
                if (k != a && k != b) rest.letter[rest.count++] = t->letter[k];
            rest.letter[rest.count++] = letter;
            *t = rest;
            return without_repeats(x, t);
        }
    return x;
}

/* Sum over letters that neither the result nor a later operand has. */
static wk_tensor *without_idle(wk_tensor *x, term *t, const bool needed[]) {
    wk_reduce_opts opts = { .axes = { 0 } };
    term rest = { .count = 0 };
    for (int a = 0; a < t->count; a++) {
        if (needed[t->letter[a]])
            rest.letter[rest.count++] = t->letter[a];
        else
            opts.axes.size[opts.axes.rank++] = a;
    }
    *t = rest;
    return opts.axes.rank ? wk_sum(x, opts) : x;
}

/* x's axes in the order of `order` (letters it lacks are left out), reshaped to groups: the product of each is given.
 */
static wk_tensor *arranged(wk_tensor *x, const term *t, const term groups[], int n, const int64_t size[]) {
    wk_dims axes = { 0 }, dims = { .rank = n };
    for (int g = 0; g < n; g++) {
        dims.size[g] = 1;
        for (int a = 0; a < groups[g].count; a++) {
            int place = place_of(t, groups[g].letter[a]);
            if (place >= 0) axes.size[axes.rank++] = place;
            dims.size[g] *= size[groups[g].letter[a]];
        }
    }
    return wk_reshape(wk_permute(x, axes), dims);
}

/* Axes of "..." of size 1 where another operand's is larger. */
static wk_tensor *grown(wk_tensor *x, const term *t, const int64_t size[], const term *other) {
    wk_dims dims = wk__dims(x);
    for (int a = 0; a < t->count; a++)
        if (place_of(other, t->letter[a]) >= 0) dims.size[a] = size[t->letter[a]];
    return wk_expand(x, dims);
}

/* One batched product of two operands; `t` becomes the letters of what comes out. */
static wk_tensor *joined(wk_tensor *a, term *t, wk_tensor *b, const term *u, const bool needed[],
                         const int64_t size[]) {
    term batch = { .count = 0 }, rows = { .count = 0 }, inner = { .count = 0 }, columns = { .count = 0 };
    for (int k = 0; k < t->count; k++) {
        int l = t->letter[k];
        term *to = place_of(u, l) < 0 ? &rows : needed[l] ? &batch : &inner;
        to->letter[to->count++] = (uint8_t)l;
    }
    for (int k = 0; k < u->count; k++)
        if (place_of(t, u->letter[k]) < 0) columns.letter[columns.count++] = u->letter[k];
    a = grown(a, t, size, u);
    b = grown(b, u, size, t);
    if (!a || !b || batch.count + rows.count + columns.count > WK_MAX_RANK)
        return wk_failed()
                   ? NULL
                   : ((void)wk__bad_argument("einsum", WK_SHAPE, "more than %d axes on the way", WK_MAX_RANK), NULL);
    wk_tensor *left = arranged(a, t, (const term[]){ batch, rows, inner }, 3, size);
    wk_tensor *right = arranged(b, u, (const term[]){ batch, inner, columns }, 3, size);
    wk_tensor *product = wk_matmul(left, right);
    wk_dims dims = { 0 };
    t->count = 0;
    for (const term *group = &batch; group; group = group == &batch ? &rows : group == &rows ? &columns : NULL)
        for (int k = 0; k < group->count; k++) {
            t->letter[t->count++] = group->letter[k];
            dims.size[dims.rank++] = size[group->letter[k]];
        }
    return wk_reshape(product, dims);
}

static wk_status einsum_parts(const wk_call *call, wk_tensor *out[]) {
    formula e = { .operands = 0 };
    WK_TRY(read_equation(call, &e));
    wk_tensor *x = NULL;
    term t = { .count = 0 };
    for (int i = 0; i < e.operands; i++) {
        bool needed[LETTERS] = { false };
        for (int a = 0; a < e.result.count; a++) needed[e.result.letter[a]] = true;
        for (int k = i + 1; k < e.operands; k++)
            for (int a = 0; a < e.operand[k].count; a++) needed[e.operand[k].letter[a]] = true;
        term u = e.operand[i];
        wk_tensor *operand = without_repeats(call->in[i], &u);
        bool shared[LETTERS];
        memcpy(shared, needed, sizeof shared);
        for (int a = 0; a < t.count; a++) shared[t.letter[a]] = true;
        operand = operand ? without_idle(operand, &u, shared) : NULL;
        if (!operand) return wk_error_code();
        if (i)
            x = joined(x, &t, operand, &u, needed, e.size);
        else
            x = operand, t = u;
        if (!x) return wk_error_code();
    }
    wk_dims order = { .rank = e.result.count };
    for (int a = 0; a < order.rank; a++) order.size[a] = place_of(&t, e.result.letter[a]);
    out[0] = wk_permute(x, order);
    return WK_OK;
}

static wk_cost einsum_cost(const wk_call *call) {
    formula e = { .operands = 0 };
    double operations = 2;
    if (read_equation(call, &e) == WK_OK)
        for (int l = 0; l < LETTERS; l++) operations *= e.size[l] ? (double)e.size[l] : 1;
    return (wk_cost){ operations, wk__operand_bytes(call) };
}
static void einsum_samples(wk_sampler *s) {
    const wk_einsum_opts product = { "ij,jk->ik" }, batch = { "bij,bjk->bki" }, implied = { "ba,cb" },
                         trace = { "ii->i" }, sum = { "ij->" }, ellipsis = { "...ij,...jk->...ik" },
                         three = { "ai,ij,bj->ab" }, outer = { "i,j->ji" }, attention = { "bqhd,bkhd->bhqk" },
                         idle = { "ijk,jl->il" };
    WK_CASE(s, "product", &product, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "batch", &batch, { .dims = WK_DIMS(2, 3, 4), .strided = true }, { .dims = WK_DIMS(2, 4, 2) });
    WK_CASE(s, "implied", &implied, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(2, 3) });
    WK_CASE(s, "diagonal", &trace, { .dims = WK_DIMS(4, 4) });
    WK_CASE(s, "sum", &sum, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "ellipsis", &ellipsis, { .dims = WK_DIMS(2, 1, 3, 4) }, { .dims = WK_DIMS(5, 4, 2) });
    WK_CASE(s, "three", &three, { .dims = WK_DIMS(2, 3) }, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(5, 4) });
    WK_CASE(s, "outer", &outer, { .dims = WK_DIMS(3) }, { .dims = WK_DIMS(4) });
    WK_CASE(s, "attention", &attention, { .dims = WK_DIMS(2, 3, 2, 2) }, { .dims = WK_DIMS(2, 4, 2, 2) });
    WK_CASE(s, "idle", &idle, { .dims = WK_DIMS(2, 3, 2) }, { .dims = WK_DIMS(3, 4) });
    WK_HUGE_CASE(s, "huge", &attention, { .dims = WK_DIMS(2, 256, 8, 64) }, { .dims = WK_DIMS(2, 256, 8, 64) });
}
static const wk_attr_def einsum_attrs[] = { { "equation", WK_ATTR_TEXT, offsetof(wk_einsum_opts, equation),
                                              WK_EINSUM_LENGTH, NULL, 0, "letters of the operands -> of the result" } };
static wk_op_def einsum_row = { .name = "einsum",
                                .doc = "sums of products by letters",
                                .n_in = WK_LIST,
                                .n_out = 1,
                                .composite = true,
                                .attrs = einsum_attrs,
                                .n_attrs = 1,
                                .attrs_size = sizeof(wk_einsum_opts),
                                .dtype = { .allowed = { WK_FLOATS }, .same = 1 },
                                .decompose = einsum_parts,
                                .cost = einsum_cost,
                                .samples = einsum_samples };
wk_tensor *wk_einsum(const char *equation, wk_tensor *const *operands, int count) {
    wk_einsum_opts opts = { "" };
    wk_tensor *out[1];
    if (wk_failed()) return NULL;
    if (!equation || strlen(equation) >= sizeof opts.equation || count < 1)
        return (void)wk__bad_argument("einsum", WK_INVALID,
                                      "%d operands, equation of %zu letters: expected at least one, and less than %d",
                                      count, equation ? strlen(equation) : 0, WK_EINSUM_LENGTH),
               NULL;
    memcpy(opts.equation, equation, strlen(equation) + 1);
    return wk_op_run(&einsum_row, operands, count, out, &opts) == WK_OK ? out[0] : NULL;
}

wk_op_def *const wk__rows_einsum[] = { &einsum_row, NULL };
