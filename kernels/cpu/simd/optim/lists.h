/* lists.h: walking a list of tensors as if it were one long array.
 *
 * One parallel region for the list: a model has many small tensors, and a region each would cost more than the work.
 * The array is cut evenly over the team, so one large layer does not keep a thread alone.
 */
#ifndef WICK_KERNELS_LISTS_H
#define WICK_KERNELS_LISTS_H

#include "cpu/simd/iterate.h"

/* Elements [begin, begin + n) of tensor `which` of a list. */
typedef void (*wk_list_visit)(void *context, int64_t which, int64_t begin, int64_t n);

static inline int64_t wk_list_total(wk_tensor *const *list, int64_t count) {
    int64_t total = 0;
    for (int64_t i = 0; i < count; i++) total += list[i]->count;
    return total;
}

/* The part [begin, end) of the list seen as one array. */
static inline void wk_list_range(wk_tensor *const *list, int64_t count, int64_t begin, int64_t end, wk_list_visit visit,
                                 void *context) {
    for (int64_t i = 0, first = 0; i < count && first < end; first += list[i++]->count) {
        int64_t from = begin > first ? begin - first : 0,
                to = end - first < list[i]->count ? end - first : list[i]->count;
        if (from < to) visit(context, i, from, to - from);
    }
}

static inline void *wk_list_element(const wk_tensor *t, int64_t at) {
    return (char *)t->data + at * (int64_t)wk_size_of(t->dtype);
}

#endif
