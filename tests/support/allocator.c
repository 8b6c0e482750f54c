/* allocator.c: counts are atomic, for loaders and teams allocate too. */
#include "support/allocator.h"

#include "wick/base.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_long held, requests, countdown, bytes, peak;
static atomic_bool failed;
static atomic_size_t again; /* the size that failed: who gives back what is cached and asks once more fails again */

static void *allocate(void *context, size_t size, size_t alignment) {
    (void)context;
    void *memory = NULL;
    atomic_fetch_add(&requests, 1);
    if (atomic_load(&countdown) > 0 && atomic_fetch_sub(&countdown, 1) == 1) {
        atomic_store(&failed, true);
        atomic_store(&again, size);
        return NULL;
    }
    if (atomic_exchange(&again, 0) == size && size) return NULL;
    if (posix_memalign(&memory, alignment, size) != 0) return NULL;
    atomic_fetch_add(&held, 1);
    const long now = atomic_fetch_add(&bytes, (long)size) + (long)size;
    long most = atomic_load(&peak);
    while (now > most && !atomic_compare_exchange_weak(&peak, &most, now)) continue;
    return memory;
}

static void release(void *context, void *memory, size_t size) {
    (void)context;
    atomic_fetch_sub(&bytes, (long)size);
    atomic_fetch_sub(&held, 1);
    free(memory);
}

void allocator_watch(void) {
    wk_set_allocator(&(wk_allocator){ allocate, release, NULL });
}
void allocator_fail_at(long k) {
    atomic_store(&failed, false);
    atomic_store(&again, 0);
    atomic_store(&countdown, k);
}
bool allocator_has_failed(void) {
    return atomic_load(&failed);
}
long allocator_held(void) {
    return atomic_load(&held);
}
long allocator_peak(void) {
    return atomic_exchange(&peak, atomic_load(&bytes));
}
long allocator_requests(void) {
    return atomic_load(&requests);
}
