/* sample.c: one token by its scores.  It is done in double on the host, in an order that scores alone decide (ties: the
 * smaller number first), so that equal scores and an equal u give the same token everywhere. */
#include "tasks/tasks.h"

#include <math.h>
#include <stdlib.h>

typedef struct candidate {
    double score;
    int32_t token;
} candidate;

static int by_score(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->token < y->token ? -1 : 1;
}

static int32_t likeliest(const float *scores, int64_t count) {
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (scores[i] > scores[best]) best = i;
    return (int32_t)best;
}

/* How many of the sorted ones take part, whose scores become probabilities that add up to *sum. */
static int64_t cut(candidate *all, int64_t count, wk__sample_opts o, double *sum) {
    const double best = all[0].score;
    double whole = 0;
    *sum = 0;
    if (o.top_k > 0 && o.top_k < count) count = o.top_k;
    for (int64_t i = 0; i < count; i++) {
        all[i].score = exp((all[i].score - best) / o.temperature);
        whole += all[i].score;
    }
    for (int64_t i = 0; i < count; i++) {
        *sum += all[i].score;
        if (o.top_p < 1 && *sum >= o.top_p * whole) return i + 1;
    }
    return count;
}

int32_t wk__sample(const float *scores, int64_t count, wk__sample_opts o, double u) {
    for (int64_t i = 0; i < count; i++)
        if (isnan(scores[i]))
            return (void)wk_fail(WK_STATE, "the model's score of token %lld is not a number", (long long)i), -1;
    if (o.temperature == 0 || count == 1) return likeliest(scores, count);
    candidate *all = wk_alloc((size_t)count * sizeof *all);
    if (!all) return -1;
    for (int64_t i = 0; i < count; i++) all[i] = (candidate){ scores[i], (int32_t)i };
    qsort(all, (size_t)count, sizeof *all, by_score);
    double sum, met = 0;
    const int64_t kept = cut(all, count, o, &sum);
    int64_t i = 0;
    for (; i + 1 < kept; i++)
        if ((met += all[i].score) > u * sum) break;
    const int32_t token = all[i].token;
    wk_free(all);
    return token;
}
