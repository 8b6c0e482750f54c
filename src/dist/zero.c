/* zero.c: ZeRO, stage 1: each rank has the optimizer's state of a part of the parameters, steps that part, and gives
 * its new values to the others.
 *
 * Broadcasts of all parameters are queued at once and waited for at the end: the transport is never idle between two.
 */
#define WK_NO_CALL_SITES
#include "dist/group.h"
#include "optim/shard.h"
#include "tensor/tensor.h"

#include <stdlib.h>

struct wk_zero {
    wk_group *group;
    wk_optim *optim;
    int *owner; /* of each entry: a rank */
    wk_work **work;
    bool gathered;
};

/* ---- who has what ---- */

typedef struct place {
    int64_t size;
    int entry;
} place;

static int larger_first(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->size != y->size) return x->size > y->size ? -1 : 1;
    return x->entry - y->entry;
}

static wk_status share_out(const wk_zero *z) {
    const int count = wk__optim_count(z->optim), ranks = wk_group_size(z->group);
    place *places = wk_alloc(((size_t)count + 1) * sizeof *places);
    int64_t *load = wk_alloc((size_t)ranks * sizeof *load);
    wk_status status = places && load ? WK_OK : WK_NO_MEMORY;
    for (int i = 0; i < count && status == WK_OK; i++)
        places[i] = (place){ wk_count(wk__optim_parameter(z->optim, i)), i };
    if (status == WK_OK) qsort(places, (size_t)count, sizeof *places, larger_first);
    for (int i = 0; i < count && status == WK_OK; i++) {
        int least = 0;
        for (int r = 1; r < ranks; r++)
            if (load[r] < load[least]) least = r;
        load[least] += places[i].size;
        z->owner[places[i].entry] = least;
    }
    wk_free(load);
    wk_free(places);
    return status;
}

/* ---- steps ---- */

static wk_status exchange(void *context, wk_optim *optim) {
    wk_zero *z = context;
    const int count = wk__optim_count(optim);
    wk_status status = WK_OK;
    for (int i = 0; i < count && status == WK_OK; i++)
        status = wk_broadcast(z->group, wk__optim_parameter(optim, i), z->owner[i], &z->work[i]);
    for (int i = 0; i < count; i++) {
        const wk_status one = wk_work_wait(z->work[i]);
        z->work[i] = NULL;
        if (status == WK_OK) status = one;
    }
    return status;
}

/* ---- the state in one place ---- */

typedef struct sending {
    wk_group *group;
    int owner;
} sending;

static wk_status send(void *context, wk_tensor *state) {
    const sending *s = context;
    return wk_broadcast(s->group, state, s->owner, NULL);
}

wk_status wk_zero_gather(wk_zero *z, int root) {
    if (wk_failed()) return WK_PENDING;
    if (!z) return wk_fail(WK_INVALID, "wk_zero_gather: there is nothing to gather (NULL)");
    if (root < 0 || root >= wk_group_size(z->group))
        return wk_fail(WK_INVALID, "wk_zero_gather: root %d of %d ranks", root, wk_group_size(z->group));
    if (wk_group_rank(z->group) == root) {
        WK_TRY(wk__optim_complete(z->optim));
        z->gathered = true;
    }
    for (int i = 0; i < wk__optim_count(z->optim); i++) {
        sending s = { z->group, z->owner[i] };
        if (z->owner[i] != root) WK_TRY(wk__optim_each_state(z->optim, i, send, &s));
    }
    return WK_OK;
}

void wk_zero_gathered_release(wk_zero *z) {
    if (!z || !z->gathered) return;
    wk__optim_thin(z->optim);
    z->gathered = false;
}

/* ---- making ---- */

wk_zero *wk_zero_create(wk_group *group, wk_optim *optim) {
    if (wk_failed()) return NULL;
    if (!group || !optim) return wk_fail_null(WK_INVALID, "zero: a group and an optimizer are needed");
    const size_t count = (size_t)wk__optim_count(optim) + 1;
    wk_zero *z = wk_alloc(sizeof *z);
    if (!z) return NULL;
    *z = (wk_zero){ .group = group, .optim = optim };
    z->owner = wk_alloc(count * sizeof *z->owner);
    z->work = wk_alloc(count * sizeof *z->work);
    bool *elsewhere = wk_alloc(count * sizeof *elsewhere);
    wk_status status = z->owner && z->work && elsewhere ? share_out(z) : WK_NO_MEMORY;
    for (size_t i = 0; i + 1 < count && status == WK_OK; i++) elsewhere[i] = z->owner[i] != wk_group_rank(group);
    if (status == WK_OK) status = wk__optim_shard(optim, elsewhere, exchange, z);
    wk_free(elsewhere);
    if (status == WK_OK) return z;
    z->optim = NULL;
    wk_zero_destroy(z);
    return NULL;
}

void wk_zero_destroy(wk_zero *z) {
    if (!z) return;
    if (z->optim) wk__optim_unshard(z->optim);
    wk_free(z->work);
    wk_free(z->owner);
    wk_free(z);
}
