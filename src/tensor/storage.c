/* storage.c: memory of tensors, through a cache of size classes.
 *
 * A steady step asks for the same sizes again and again, so freed blocks wait in lists (four classes to a doubling: at
 * most a quarter is wasted) and the system is left alone.  The cache belongs to the context that frees.  Large blocks
 * are left to the backend, which can make one size of another.
 */
#include "tensor/tensor.h"

/* Class of a size: 64, 128, … 512 in steps of 64, then four classes to each doubling. */
static unsigned class_of(size_t bytes) {
    if (bytes <= 512) return bytes == 0 ? 0 : (unsigned)((bytes - 1) / 64);
    unsigned top = 63u - (unsigned)__builtin_clzll((unsigned long long)(bytes - 1)); /* 2^top < bytes ≤ 2^(top+1) */
    unsigned quarter = (unsigned)((bytes - 1) >> (top - 2)) & 3u;
    return 8 + (top - 9) * 4 + quarter;
}

static size_t class_size(unsigned size_class) {
    if (size_class < 8) return 64 * (size_t)(size_class + 1);
    unsigned top = 9 + (size_class - 8) / 4, quarter = (size_class - 8) % 4;
    return ((size_t)1 << top) + ((size_t)(quarter + 1) << (top - 2));
}

/* Memory for a block; where there is none, what waits in the cache is given back first. */
static wk_status take(wk_context *context, int device, size_t bytes, void **data) {
    const wk_backend *backend = wk__backend_of(device);
    wk_status status = backend->allocate(wk__ordinal(device), bytes, NULL, data);
    if (status != WK_NO_MEMORY || context->cached_bytes == 0) return status;
    wk_clear_error();
    wk_memory_trim();
    return backend->allocate(wk__ordinal(device), bytes, NULL, data);
}

static wk_storage *create(wk_context *context, int device, size_t bytes, unsigned size_class) {
    const size_t pooled = wk__backend_of(device)->pooled;
    const bool is_pooled = device || (pooled && bytes >= pooled); /* a card's memory is all kept by its backend */
    wk_storage *storage = wk_alloc(sizeof *storage);
    if (!storage) return NULL;
    if (take(context, device, is_pooled ? bytes : class_size(size_class), &storage->data) != WK_OK) {
        wk_free(storage);
        return NULL;
    }
    storage->device = (uint8_t)device;
    storage->size_class = is_pooled ? WK__POOLED : (uint8_t)size_class;
    return storage;
}

wk_storage *wk__storage_create(wk_context *context, int device, size_t bytes) {
    if (bytes > ((size_t)1 << 46)) {
        (void)wk_fail(WK_NO_MEMORY, "out of memory: a tensor of %zu bytes was asked for", bytes);
        return NULL;
    }
    unsigned size_class = class_of(bytes);
    wk_storage *storage = device ? NULL : context->cache[size_class];
    if (WK_LIKELY(storage != NULL)) {
        context->cache[size_class] = storage->next_free;
        context->cached_bytes -= class_size(size_class);
    } else {
        storage = create(context, device, bytes, size_class);
        if (!storage) return NULL;
    }
    atomic_store_explicit(&storage->references, 1, memory_order_relaxed);
    atomic_store_explicit(&storage->exposed, false, memory_order_relaxed);
    storage->version = 0;
    storage->bytes = bytes;
    if (WK_UNLIKELY(context->mode & WK__MODE_CAPTURE)) wk__capture_storage(context, storage);
    return storage;
}

wk_storage *wk__storage_of_memory(void *data, size_t bytes, void (*deleter)(void *, void *), void *deleter_context) {
    wk_storage *storage = wk_alloc(sizeof *storage);
    if (!storage) return NULL;
    atomic_store_explicit(&storage->references, 1, memory_order_relaxed);
    storage->size_class = WK__NOT_CACHED;
    storage->data = data;
    storage->bytes = bytes;
    storage->deleter = deleter;
    storage->deleter_context = deleter_context;
    wk_context *context = wk__context_bound;
    if (context && WK_UNLIKELY(context->mode & WK__MODE_CAPTURE)) wk__capture_storage(context, storage);
    return storage;
}

wk_storage *wk__storage_slice(wk_storage *parent, size_t offset, size_t bytes) {
    wk_storage *slice = wk__storage_of_memory((char *)parent->data + offset, bytes, NULL, NULL);
    if (!slice) return NULL;
    slice->device = parent->device;
    slice->parent = wk__storage_hold(parent);
    return slice;
}

static void give_back(wk_storage *storage) {
    size_t bytes = storage->size_class == WK__POOLED ? storage->bytes : class_size(storage->size_class);
    wk__backend_of(storage->device)->release(wk__ordinal(storage->device), storage->data, bytes, NULL);
    wk_free(storage);
}

#ifdef WICK_DEBUG
#    include <string.h>
#endif

void wk__storage_drop(wk_storage *storage) {
    if (!storage || atomic_fetch_sub_explicit(&storage->references, 1, memory_order_acq_rel) != 1) return;
    if (WK_UNLIKELY(storage->constant)) wk__storage_thaw(storage);
    if (storage->size_class == WK__NOT_CACHED) {
        if (storage->deleter) storage->deleter(storage->deleter_context, storage->data);
        wk__storage_drop(storage->parent);
        wk_free(storage);
        return;
    }
    wk_context *context = wk__context_bound;
    if (!context) {
        give_back(storage);
        return;
    }
    if (WK_UNLIKELY(context->mode & WK__MODE_CAPTURE)) wk__capture_storage(context, storage);
#ifdef WICK_DEBUG
    if (storage->device == 0) memset(storage->data, 0xfb, storage->bytes); /* a NaN in every float type */
#endif
    if (storage->size_class == WK__POOLED) {
        give_back(storage);
        return;
    }
    storage->next_free = context->cache[storage->size_class];
    context->cache[storage->size_class] = storage;
    context->cached_bytes += class_size(storage->size_class);
}

void wk_memory_trim(void) {
    wk_context *context = wk__context();
    if (context && context->mode & WK__MODE_CAPTURE) wk__step_refuse(context, "memory was given back in its midst");
    for (int i = 0; context && i < WK__SIZE_CLASSES; i++) {
        for (wk_storage *storage = context->cache[i], *following; storage; storage = following) {
            following = storage->next_free;
            give_back(storage);
        }
        context->cache[i] = NULL;
    }
    if (context) context->cached_bytes = 0;
    for (int index = 0; index < WK__BACKENDS; index++) {
        const wk_backend *backend = wk__backend_at(index);
        for (int device = 0; backend && device < backend->device_count(); device++) backend->trim(device);
    }
    wk__memory_return();
}
