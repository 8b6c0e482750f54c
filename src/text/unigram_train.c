/* unigram_train.c: learning a Unigram vocabulary (Kudo 2018, arXiv 1804.10959), as `tokenizers` does it.
 *
 * Many pieces to begin with (seeds.c); then, in turn, expectation and maximisation of their probabilities over all ways
 * to cut the words, with the sparse prior of a Dirichlet process (the digamma function), and a cut: pieces go whose
 * absence, with the next best cut in their place, costs the least likelihood.  Single characters stay.  Everything runs
 * in the order of the words, so equal texts give equal bits.
 */
#include "train.h"

#include <math.h>
#include <stdlib.h>

typedef struct trainer {
    const wk__met *words;
    uint32_t size, rounds, longest, most;
    double shrink;
    wk__piece_list pieces;
    wk__lattice *lattice;
} trainer;

/* ---- expectation, maximisation ---- */

static double digamma(double x) {
    double result = 0;
    for (; x < 7; x++) result -= 1 / x;
    x -= 0.5;
    const double x2 = 1 / (x * x), x4 = x2 * x2;
    return result + log(x) + x2 / 24 - 7.0 / 960 * x4 + 31.0 / 8064 * x4 * x2 - 127.0 / 30720 * x4 * x4;
}

static wk_status copy_piece(wk__piece_list *to, const wk__piece_list *from, uint32_t i, double score) {
    const uint32_t begin = from->begin[i];
    return wk__pieces_add(to, from->bytes.data + begin, from->begin[i + 1] - begin, score) ? WK_OK : wk_error_code();
}

static wk_status adopt(trainer *t, wk__piece_list *pieces, wk_status status) {
    if (status == WK_OK) {
        wk__pieces_free(&t->pieces);
        t->pieces = *pieces;
        return wk__lattice_use(t->lattice, &t->pieces);
    }
    wk__pieces_free(pieces);
    return status;
}

/* Pieces that are expected less than half a time go. */
static wk_status estimate(trainer *t) {
    const wk__piece_list *p = &t->pieces;
    double *expected = wk_alloc(((size_t)p->count + 1) * sizeof *expected), sum = 0;
    wk__piece_list kept = { 0 };
    if (!expected) return wk_error_code();
    for (uint32_t i = 0; i < t->words->count; i++) {
        const uint32_t begin = t->words->begin[i], size = t->words->begin[i + 1] - begin;
        wk__lattice_expect(t->lattice, t->words->bytes.data + begin, size, (double)t->words->counts[i], expected);
    }
    for (uint32_t i = 1; i < p->count; i++)
        if (expected[i] >= 0.5) sum += expected[i];
    const double all = digamma(sum);
    wk_status status = copy_piece(&kept, p, 0, 0); /* the unknown one */
    for (uint32_t i = 1; i < p->count && status == WK_OK; i++)
        if (expected[i] >= 0.5) status = copy_piece(&kept, p, i, digamma(expected[i]) - all);
    wk_free(expected);
    return adopt(t, &kept, status);
}

/* ---- pruning ---- */

typedef struct loss {
    double value;
    uint32_t piece;
} loss;

static int by_loss(const void *a, const void *b) {
    const loss *x = a, *y = b;
    if (x->value > y->value || x->value < y->value) return x->value > y->value ? -1 : 1;
    return x->piece < y->piece ? -1 : x->piece > y->piece;
}

typedef struct used { /* by the best cuts of all words */
    double *often;    /* (pieces): how often */
    double sum, words;
} used;

static wk_status count_used(const trainer *t, used *u) {
    const size_t room = (size_t)t->pieces.count + 1;
    u->often = wk_alloc(room * sizeof *u->often);
    if (!u->often) return wk_error_code();
    for (uint32_t i = 0; i < t->words->count; i++) {
        const int32_t *cut = NULL;
        const uint32_t begin = t->words->begin[i], size = t->words->begin[i + 1] - begin;
        const double count = (double)t->words->counts[i];
        const uint32_t n = wk__lattice_cut(t->lattice, t->words->bytes.data + begin, size, false, &cut);
        u->words += count;
        for (uint32_t k = 0; k < n; k++) u->often[cut[k]] += count;
        u->sum += count * n;
    }
    return WK_OK;
}

/* What is lost when the second best cut takes the piece's place.  False: it goes or stays whatever it costs (*stays).
 */
static bool loss_of(const trainer *t, const used *u, uint32_t piece, bool *stays, double *value) {
    const wk__piece_list *p = &t->pieces;
    const int32_t *cut = NULL;
    const char *bytes = p->bytes.data + p->begin[piece];
    const uint32_t size = p->begin[piece + 1] - p->begin[piece];
    const uint32_t best = wk__lattice_cut(t->lattice, bytes, size, false, &cut);
    const uint32_t n = wk__lattice_cut(t->lattice, bytes, size, true, &cut);
    const double often = u->often[piece];
    *stays = n == 0 || best == 1;
    if (often == 0 && !*stays) return false;
    *stays = true;
    if (n == 0 || best > 1) return false; /* there is nothing to take its place */
    *stays = false;
    if (often == 0) return false;
    const double instead = log(u->sum + often * (n - 1.0));
    double alternative = 0;
    for (uint32_t k = 0; k < n; k++) alternative += log(u->often[cut[k]] + often) - instead;
    *value = often / u->words * (log(often) - log(u->sum) - alternative);
    return true;
}

static wk_status prune(trainer *t, uint32_t wanted) {
    const wk__piece_list *p = &t->pieces;
    used u = { 0 };
    wk__piece_list kept = { 0 };
    loss *losses = wk_alloc(((size_t)p->count + 1) * sizeof *losses);
    uint32_t count = 0;
    wk_status status = losses ? count_used(t, &u) : wk_error_code();
    if (status == WK_OK) status = copy_piece(&kept, p, 0, 0);
    for (uint32_t i = 1; i < p->count && status == WK_OK; i++) {
        bool stays = false;
        losses[count].piece = i;
        if (loss_of(t, &u, i, &stays, &losses[count].value))
            count++;
        else if (stays)
            status = copy_piece(&kept, p, i, p->scores[i]);
    }
    if (losses) qsort(losses, count, sizeof *losses, by_loss);
    uint32_t left = (uint32_t)((double)p->count * t->shrink);
    if (left < wanted) left = wanted;
    for (uint32_t i = 0; i < count && status == WK_OK && kept.count < left; i++)
        status = copy_piece(&kept, p, losses[i].piece, p->scores[losses[i].piece]);
    wk_free(losses);
    wk_free(u.often);
    return adopt(t, &kept, status);
}

static wk_status learn(trainer *t) {
    const uint32_t wanted = (uint32_t)((uint64_t)t->size * 11 / 10);
    for (;;) {
        const uint32_t before = t->pieces.count;
        for (uint32_t i = 0; i < t->rounds; i++) WK_TRY(estimate(t));
        if (t->pieces.count <= wanted) return WK_OK;
        WK_TRY(prune(t, wanted));
        if (t->pieces.count >= before) return WK_OK; /* only what must stay is left */
    }
}

/* ---- the vocabulary ---- */

typedef struct scored {
    double score;
    uint32_t piece, order;
} scored;

static int by_score(const void *a, const void *b) {
    const scored *x = a, *y = b;
    if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static int compare_points(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* The characters of all words, each once, but NUL. */
static int32_t *characters(const wk__met *words, uint32_t *count) {
    uint32_t met = 0;
    int32_t *points = wk_alloc((words->bytes.size + 1) * sizeof *points);
    if (!points) return NULL;
    for (uint32_t at = 0, size = 0; at < words->bytes.size; at += size)
        points[met++] = wk__utf8(words->bytes.data + at, &size);
    qsort(points, met, sizeof *points, compare_points);
    *count = 0;
    for (uint32_t i = 0; i < met; i++)
        if (points[i] != 0 && (i == 0 || points[i] != points[i - 1])) points[(*count)++] = points[i];
    return points;
}

/* Characters that no piece spells have scores of their own, below all others. */
static wk_status finish(trainer *t, uint32_t room, const int32_t *points, uint32_t count, wk__piece_list *out) {
    const wk__piece_list *p = &t->pieces;
    wk__vocabulary all = { 0 };
    double least = 0, penalty = 0;
    wk__piece_list chosen = { 0 };
    wk_status status = WK_OK;
    const char **tokens = wk_alloc(((size_t)p->count + 1) * sizeof *tokens);
    uint32_t *sizes = wk_alloc(((size_t)p->count + 1) * sizeof *sizes);
    scored *order = wk_alloc(((size_t)p->count + count + 1) * sizeof *order);
    bool *taken = wk_alloc((size_t)p->count + 1);
    if (!tokens || !sizes || !order || !taken) status = wk_error_code();
    for (uint32_t i = 1; i < p->count && status == WK_OK; i++) {
        tokens[i] = p->bytes.data + p->begin[i];
        sizes[i] = p->begin[i + 1] - p->begin[i];
        if (p->scores[i] < least) least = p->scores[i];
    }
    if (status == WK_OK) status = wk__vocabulary_make(&all, tokens, sizes, p->count);
    for (uint32_t i = 0; i < count && status == WK_OK; i++) {
        char text[4];
        const uint32_t size = wk__utf8_put(points[i], text);
        const int32_t known = wk__vocabulary_find(&all, text, size);
        if (known >= 0) taken[known] = true;
        if (!wk__pieces_add(&chosen, text, size, known >= 0 ? p->scores[known] : least + penalty))
            status = wk_error_code();
        if (known < 0) penalty += 0.0001;
    }
    for (uint32_t i = 1; i < p->count && status == WK_OK && chosen.count < room; i++)
        if (!taken[i]) status = copy_piece(&chosen, p, i, p->scores[i]);
    for (uint32_t i = 0; i < chosen.count && status == WK_OK; i++) order[i] = (scored){ chosen.scores[i], i, i };
    if (status == WK_OK) qsort(order, chosen.count, sizeof *order, by_score);
    for (uint32_t i = 0; i < chosen.count && status == WK_OK; i++)
        status = copy_piece(out, &chosen, order[i].piece, order[i].score);
    wk__pieces_free(&chosen);
    wk__vocabulary_free(&all);
    wk_free((void *)tokens);
    wk_free(sizes);
    wk_free(order);
    wk_free(taken);
    return status;
}

static json_t *entry(const char *bytes, size_t size, double score) {
    return json_pack("[o, f]", json_stringn(bytes, size), score);
}

static json_t *as_json(const wk__piece_list *pieces, const char *const *special, const char *unknown) {
    json_t *vocab = json_array();
    size_t unknown_id = 0;
    bool fits = vocab != NULL, there = false;
    for (const char *const *s = special; s && *s; s++) there = there || strcmp(*s, unknown) == 0;
    if (fits && !there) fits = json_array_append_new(vocab, entry(unknown, strlen(unknown), 0)) == 0;
    for (const char *const *s = special; s && *s && fits; s++) {
        if (there && strcmp(*s, unknown) == 0) unknown_id = json_array_size(vocab);
        fits = json_array_append_new(vocab, entry(*s, strlen(*s), 0)) == 0;
    }
    for (uint32_t i = 0; i < pieces->count && fits; i++)
        fits = json_array_append_new(vocab, entry(pieces->bytes.data + pieces->begin[i],
                                                  pieces->begin[i + 1] - pieces->begin[i], pieces->scores[i]))
               == 0;
    json_t *model = fits ? json_pack("{s:s, s:I, s:O, s:b}", "type", "Unigram", "unk_id", (json_int_t)unknown_id,
                                     "vocab", vocab, "byte_fallback", 0)
                         : NULL;
    json_decref(vocab);
    if (!model) (void)wk_fail(WK_NO_MEMORY, "no memory for a vocabulary");
    return model;
}

/* ---- the whole ---- */

static uint32_t longest_word(const wk__met *words) {
    uint32_t longest = 0;
    for (uint32_t i = 0; i < words->count; i++)
        if (words->begin[i + 1] - words->begin[i] > longest) longest = words->begin[i + 1] - words->begin[i];
    return longest;
}

/* Seeds behind the unknown piece, which no text spells. */
static wk_status begin(trainer *t) {
    wk__piece_list seeds = { 0 }, all = { 0 };
    wk_status status = wk__seeds(t->words, t->longest, t->most, &seeds);
    if (status == WK_OK && !wk__pieces_add(&all, "", 0, 0)) status = wk_error_code();
    for (uint32_t i = 0; i < seeds.count && status == WK_OK; i++) status = copy_piece(&all, &seeds, i, seeds.scores[i]);
    wk__pieces_free(&seeds);
    const uint32_t word = longest_word(t->words), piece = 4 * t->longest; /* a piece is cut, too */
    if (status == WK_OK && !(t->lattice = wk__lattice_make(word > piece ? word : piece, t->longest)))
        status = wk_error_code();
    return adopt(t, &all, status);
}

json_t *wk__unigram_learn(const wk__met *words, wk_tokenizer_train_opts opts) {
    const char *unknown = opts.unknown ? opts.unknown : "<unk>";
    trainer t = { .words = words,
                  .size = (uint32_t)(opts.size ? opts.size : 8000),
                  .rounds = (uint32_t)(opts.n_sub_iterations ? opts.n_sub_iterations : 2),
                  .longest = (uint32_t)(opts.max_piece_length ? opts.max_piece_length : 16),
                  .most = (uint32_t)(opts.seed_size ? opts.seed_size : 1000000),
                  .shrink = opts.shrinking_factor != 0 ? opts.shrinking_factor : 0.75 };
    wk__piece_list out = { 0 };
    uint32_t count = 0, specials = 1;
    json_t *model = NULL;
    for (const char *const *s = opts.special; s && *s; s++) specials += strcmp(*s, unknown) != 0;
    int32_t *points = characters(words, &count);
    wk_status status = points ? WK_OK : wk_error_code();
    if (status == WK_OK && t.size < specials + count)
        status = wk_fail(WK_INVALID,
                         "wk_tokenizer_train: a vocabulary of %u has no room for the %u characters of the texts and %u "
                         "special tokens",
                         t.size, count, specials);
    if (status == WK_OK) status = begin(&t);
    if (status == WK_OK && words->count > 0) status = learn(&t);
    if (status == WK_OK) status = finish(&t, t.size - specials, points, count, &out);
    if (status == WK_OK) model = as_json(&out, opts.special, unknown);
    wk__pieces_free(&out);
    wk__pieces_free(&t.pieces);
    wk__lattice_free(t.lattice);
    wk_free(points);
    return model;
}
