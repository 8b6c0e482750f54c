/* unigram.c: SentencePiece's model: of all ways to cut a word the one with the greatest sum of scores. */
#include "text.h"

typedef struct unigram {
    wk__model model;
    double *scores;
    double unknown_score;
    uint32_t longest; /* token, in bytes */
    bool byte_fallback;
    int32_t fallback[256];
} unigram;

typedef struct step { /* the best way to get here */
    double score;
    uint32_t begin;
    int32_t id; /* -1: there is none yet */
} step;

static wk_status open_unigram(wk__model *model, const json_t *value) {
    unigram *m = (unigram *)model;
    const json_t *vocab = json_object_get(value, "vocab");
    double least = 0;
    if (!json_is_array(vocab))
        return wk_fail(WK_FORMAT, "model Unigram: expected \"vocab\" as a list of [token, score]");
    if (!(m->scores = wk_alloc((model->vocabulary.size + 1) * sizeof *m->scores))) return wk_error_code();
    for (uint32_t i = 0; i < model->vocabulary.size; i++) {
        m->scores[i] = json_number_value(json_array_get(json_array_get(vocab, i), 1));
        if (i == 0 || m->scores[i] < least) least = m->scores[i];
        uint32_t size = wk__vocabulary_length(&model->vocabulary, (int32_t)i);
        if (size > m->longest) m->longest = size;
    }
    m->unknown_score = least - 10; /* SentencePiece's kUnkPenalty */
    m->byte_fallback = wk__json_flag(value, "byte_fallback", false);
    for (int i = 0; i < 256; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "<0x%02X>", (unsigned)i);
        m->fallback[i] = m->byte_fallback ? wk__model_find(model, name) : -1;
    }
    return WK_OK;
}

static void close_unigram(wk__model *model) {
    wk_free(((unigram *)model)->scores);
}

static void offer(step *at, uint32_t begin, double score, int32_t id) {
    if (at->id < 0 || score > at->score) *at = (step){ score, begin, id };
}

static wk_status search(const unigram *m, step *best, const char *word, uint32_t size) {
    for (uint32_t i = 0; i <= size; i++) best[i].id = -1;
    best[0] = (step){ 0 };
    for (uint32_t at = 0, one = 0; at < size; at += one) {
        bool alone = false;
        (void)wk__utf8(word + at, &one);
        for (uint32_t end = at + one; end <= size && end - at <= m->longest;) {
            int32_t id = wk__vocabulary_find(&m->model.vocabulary, word + at, end - at);
            if (id >= 0) offer(&best[end], at, best[at].score + m->scores[id], id);
            alone = alone || (id >= 0 && end == at + one);
            uint32_t next = 0;
            if (end == size) break;
            (void)wk__utf8(word + end, &next);
            end += next;
        }
        if (alone) continue;
        if (m->model.unknown < 0)
            return wk_fail(WK_NOT_FOUND, "model Unigram: \"%.*s\" is in no token, and there is no unk_id", (int)one,
                           word + at);
        offer(&best[at + one], at, best[at].score + m->unknown_score, m->model.unknown);
    }
    return WK_OK;
}

/* What no token holds: its bytes, where there are tokens for all of them, else one unknown. */
static bool put_unknown(const unigram *m, const char *word, uint32_t begin, uint32_t end, wk__tokens *out) {
    int32_t id = wk__vocabulary_find(&m->model.vocabulary, word + begin, end - begin);
    bool bytes = id < 0 && m->byte_fallback;
    for (uint32_t i = begin; i < end; i++) bytes = bytes && m->fallback[(unsigned char)word[i]] >= 0;
    if (!bytes) return wk__tokens_add(out, id < 0 ? m->model.unknown : id, end);
    for (uint32_t i = begin; i < end; i++)
        if (!wk__tokens_add(out, m->fallback[(unsigned char)word[i]], i + 1)) return false;
    return true;
}

static wk_status encode(const wk__model *model, wk__work *work, const char *word, uint32_t size, wk__tokens *out) {
    const unigram *m = (const unigram *)model;
    if (work->best_capacity <= size) {
        step *best = wk_realloc(work->best, ((size_t)size + 64) * sizeof *best);
        if (!best) return wk_error_code();
        work->best = best;
        work->best_capacity = size + 64;
    }
    step *best = work->best;
    WK_TRY(search(m, best, word, size));
    /* The way back, turned round: begin of the step that ends here becomes the end of the one that begins there. */
    uint32_t end = size;
    for (uint32_t at = size; at > 0;) {
        uint32_t begin = best[at].begin;
        best[at].begin = end;
        end = at;
        at = begin;
    }
    for (uint32_t begin = 0, at = end; begin < size;) {
        int32_t id = best[at].id;
        uint32_t next = best[at].begin;
        while (id == m->model.unknown && at < size && best[next].id == id) { /* unknown ones are one */
            at = next;
            next = best[at].begin;
        }
        bool added = id == m->model.unknown ? put_unknown(m, word, begin, at, out) : wk__tokens_add(out, id, at);
        if (!added) return wk_error_code();
        begin = at;
        at = next;
    }
    return WK_OK;
}

const wk__model_class wk__unigram = { "Unigram", sizeof(unigram), open_unigram, close_unigram, encode };
