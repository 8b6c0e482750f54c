/* classes.c: what is done with the classes of items: names, weights, splits. */
#include "data/dataset.h"
#include "wick/random.h"

#include <math.h>
#include <stdlib.h>

wk_status wk__class_names_keep(wk_dataset *d, const char *const *names) {
    if (!names) return WK_OK;
    const char **kept = wk_alloc((size_t)d->classes * sizeof *kept);
    if (!kept) return WK_NO_MEMORY;
    d->class_names = kept;
    for (int c = 0; c < d->classes; c++)
        if (!(kept[c] = wk_strdup(names[c]))) return WK_NO_MEMORY;
    return WK_OK;
}

void wk__class_names_free(wk_dataset *d) {
    for (int c = 0; d->class_names && c < d->classes; c++) wk_free((void *)(uintptr_t)d->class_names[c]);
    wk_free((void *)(uintptr_t)d->class_names);
}

/* ---- weights ---- */

void wk__dataset_forget_weights(wk_dataset *d) {
    wk_free((void *)(uintptr_t)d->weights);
    d->weights = NULL;
}

/* The class of every item, and how many each class has.  Free with wk_free. */
static int64_t *count_classes(const wk_dataset *d, int64_t *of_class /* (classes) */) {
    int64_t *label = wk_alloc((size_t)d->count * sizeof *label);
    for (int64_t i = 0; label && i < d->count; i++) {
        label[i] = wk_dataset_label(d, i);
        if (label[i] < 0 || label[i] >= d->classes) {
            if (!wk_failed())
                (void)wk_fail(WK_FORMAT, "dataset \"%s\": item %lld is of class %lld, expected 0 to %d",
                              d->class_->name, (long long)i, (long long)label[i], d->classes - 1);
            wk_free(label);
            return NULL;
        }
        of_class[label[i]]++;
    }
    return label;
}

wk_status wk_dataset_balance(wk_dataset *d, const double *of_class) {
    if (wk_failed()) return WK_PENDING;
    if (d->classes < 1) return wk_fail(WK_INVALID, "dataset \"%s\" has no classes to be balanced", d->class_->name);
    int64_t *count = wk_alloc((size_t)d->classes * sizeof *count), *label = count ? count_classes(d, count) : NULL;
    double *weights = label ? wk_alloc_data((size_t)d->count * sizeof *weights) : NULL, sum = 0;
    for (int64_t i = 0; weights && i < d->count; i++) {
        weights[i] = of_class ? of_class[label[i]] : 1 / (double)count[label[i]];
        sum += weights[i];
    }
    wk_free(label);
    wk_free(count);
    if (!weights) return wk_error_code();
    if (!(sum > 0 && isfinite(sum))) {
        wk_free(weights);
        return wk_fail(WK_INVALID, "the weights of the items sum up to %g, expected more than 0", sum);
    }
    wk__dataset_forget_weights(d);
    d->weights = weights;
    return WK_OK;
}

/* ---- splits ---- */

static int upwards(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* How many items each class gives: the share of its count rounded down, and one more in the order of what was lost by
 * that (then of class numbers), until the sum is that of all. */
static wk_status share_out(const int64_t *count, int classes, double part, int64_t all, int64_t *gives) {
    double *lost = wk_alloc((size_t)classes * sizeof *lost);
    int64_t left = all;
    if (!lost) return wk_error_code();
    for (int c = 0; c < classes; c++) {
        const double share = (double)count[c] * part;
        gives[c] = (int64_t)share;
        lost[c] = share - (double)gives[c];
        left -= gives[c];
    }
    while (left > 0) {
        int best = -1;
        for (int c = 0; c < classes; c++)
            if (gives[c] + 1 < count[c] && lost[c] >= 0 && (best < 0 || lost[c] > lost[best])) best = c;
        if (best < 0) break;
        gives[best]++;
        lost[best] = -1;
        left--;
    }
    wk_free(lost);
    return WK_OK;
}

/* Put those at the end of the order that a class gives, the first of it that come. */
static void pick(int64_t *order, int64_t count, const int64_t *label, int64_t *gives, int64_t *picked) {
    int64_t stays = 0, goes = 0;
    for (int64_t i = 0; i < count; i++) {
        if (gives[label[order[i]]] > 0) {
            gives[label[order[i]]]--;
            picked[goes++] = order[i];
        } else {
            order[stays++] = order[i];
        }
    }
    for (int64_t i = 0; i < goes; i++) order[stays + i] = picked[i];
}

static wk_status stratify_order(const wk_dataset *d, double part, int64_t *order, int64_t *kept) {
    int64_t *count = wk_alloc(2 * (size_t)d->classes * sizeof *count), *gives = count + d->classes;
    int64_t *label = count ? count_classes(d, count) : NULL;
    int64_t *picked = label ? wk_alloc_data((size_t)d->count * sizeof *picked) : NULL;
    wk_status status = picked ? share_out(count, d->classes, part, *kept, gives) : wk_error_code();
    if (status == WK_OK) {
        *kept = 0;
        for (int c = 0; c < d->classes; c++) *kept += gives[c];
        pick(order, d->count, label, gives, picked);
    }
    wk_free(picked);
    wk_free(label);
    wk_free(count);
    return status;
}

int64_t *wk_split_items(const wk_dataset *d, double part, bool stratify, uint64_t seed, int64_t *kept) {
    if (wk_failed()) return NULL;
    if (!(part >= 0 && part < 1))
        return wk_fail_null(WK_INVALID, "a part of %g of the items, expected 0 to less than 1", part);
    if (stratify && d->classes < 1)
        return wk_fail_null(WK_INVALID, "dataset \"%s\" has no classes: its split cannot be stratified",
                            d->class_->name);
    int64_t *order = wk_alloc((size_t)(d->count + 1) * sizeof *order);
    wk_generator *generator = order ? wk_alloc(sizeof *generator) : NULL;
    *kept = (int64_t)((double)d->count * part + 0.5);
    if (generator) {
        wk_generator_seed(generator, seed);
        wk_random_permutation(generator, order, d->count);
        if (!stratify || stratify_order(d, part, order, kept) == WK_OK) {
            qsort(order, (size_t)(d->count - *kept), sizeof *order, upwards);
            qsort(order + d->count - *kept, (size_t)*kept, sizeof *order, upwards);
        }
    }
    wk_free(generator);
    if (!wk_failed()) return order;
    wk_free(order);
    return NULL;
}
