/* packed.c: weights in the layouts that kernels like best.
 *
 * A library's product runs faster on a weight in blocks of its own choice, and packing one costs as much as a thin
 * product with it, so it pays only where a weight is used again and again unchanged.  Nobody can tell that from a call:
 * a frozen module says it of its weights.  Their storages then keep a copy for each layout that a kernel asks for (as
 * much memory again for each) until they go themselves.
 *
 * A copy remembers the version of the elements that it was made from, so a change in place costs another packing and
 * never a wrong result.  Threads share copies: finding one takes no lock, making one does.
 */
#include "tensor/tensor.h"

#include <pthread.h>

typedef struct wk__packed {
    struct wk__packed *next;
    uint64_t layout;
    ptrdiff_t offset; /* of the weight in its storage: several may lie in one */
    size_t bytes;
    void *data;
    _Atomic uint64_t made_of; /* 1 + the storage's version; 0 before it was filled */
} wk__packed_copy;

static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

void wk__storage_freeze(wk_storage *storage) {
    storage->constant = true;
}

void wk__storage_thaw(wk_storage *storage) {
    wk__packed_copy *copy = atomic_exchange(&storage->packed, NULL);
    for (wk__packed_copy *next; copy; copy = next) {
        next = copy->next;
        wk_free(copy->data);
        wk_free(copy);
    }
    storage->constant = false;
}

bool wk__is_constant(const wk_tensor *weight) {
    return weight->storage->constant;
}

static wk__packed_copy *find(wk_storage *storage, uint64_t layout, ptrdiff_t offset, size_t bytes) {
    wk__packed_copy *copy = atomic_load_explicit(&storage->packed, memory_order_acquire);
    while (copy && (copy->layout != layout || copy->offset != offset || copy->bytes != bytes)) copy = copy->next;
    return copy;
}

static wk__packed_copy *add(wk_storage *storage, uint64_t layout, ptrdiff_t offset, size_t bytes) {
    wk__packed_copy *copy = wk_alloc(sizeof *copy);
    if (!copy) return NULL;
    copy->data = wk_alloc_data(bytes ? bytes : 1);
    if (!copy->data) {
        wk_free(copy);
        return NULL;
    }
    copy->layout = layout, copy->offset = offset, copy->bytes = bytes;
    copy->next = atomic_load_explicit(&storage->packed, memory_order_relaxed);
    atomic_store_explicit(&storage->packed, copy, memory_order_release);
    return copy;
}

static bool is_fresh(wk__packed_copy *copy, const wk_storage *storage) {
    return atomic_load_explicit(&copy->made_of, memory_order_acquire) == (uint64_t)storage->version + 1;
}

const void *wk__packed(const wk_tensor *weight, uint64_t layout, size_t bytes, wk__pack pack, void *context) {
    wk_storage *storage = weight->storage;
    ptrdiff_t offset = (const char *)weight->data - (const char *)storage->data;
    wk__packed_copy *copy = find(storage, layout, offset, bytes);
    if (WK_LIKELY(copy && is_fresh(copy, storage))) return copy->data;
    (void)pthread_mutex_lock(&making);
    copy = find(storage, layout, offset, bytes);
    if (!copy) copy = add(storage, layout, offset, bytes);
    wk_status status = copy ? WK_OK : WK_NO_MEMORY;
    if (copy && !is_fresh(copy, storage)) {
        status = pack(context, copy->data);
        uint64_t made_of = status == WK_OK ? (uint64_t)storage->version + 1 : 0;
        atomic_store_explicit(&copy->made_of, made_of, memory_order_release);
    }
    (void)pthread_mutex_unlock(&making);
    return status == WK_OK ? copy->data : NULL;
}
