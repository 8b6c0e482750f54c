/* memory.c: the one door to the heap.
 *
 * A block is preceded by a small header (its size and how far its start lies behind the raw block), so that wk_free
 * needs no size and the allocator's hook gets one.  Tests install a hook that fails the k-th request.
 */
#include "base.h"

#include <stdlib.h>
#ifdef __GLIBC__
#    include <malloc.h>
#endif
#include <string.h>

typedef struct header {
    size_t size;   /* of the raw block */
    size_t offset; /* from the raw block to the user's memory */
} header;

static void *system_allocate(void *context, size_t size, size_t alignment) {
    (void)context;
    void *memory = NULL;
    return posix_memalign(&memory, alignment, size) == 0 ? memory : NULL;
}

static void system_release(void *context, void *memory, size_t size) {
    (void)context, (void)size;
    free(memory);
}

static const wk_allocator system_allocator = { system_allocate, system_release, NULL };
static wk_allocator current = { system_allocate, system_release, NULL };

void wk_set_allocator(const wk_allocator *allocator) {
    current = allocator ? *allocator : system_allocator;
}

bool wk_allocator_is_replaced(void) {
    return current.allocate != system_allocate;
}

static void *take(size_t size, size_t alignment) {
    size_t offset = alignment < sizeof(header) ? sizeof(header) : alignment;
    if (size > SIZE_MAX / 2) {
        (void)wk_fail(WK_NO_MEMORY, "out of memory: a request of %zu bytes is larger than the address space", size);
        return NULL;
    }
    char *raw = current.allocate(current.context, size + offset, alignment);
    if (!raw) {
        (void)wk_fail(WK_NO_MEMORY, "out of memory: %zu bytes were asked for", size);
        return NULL;
    }
    header *h = (header *)(void *)(raw + offset) - 1;
    h->size = size + offset;
    h->offset = offset;
    return raw + offset;
}

/* Under the address sanitizer the C library's heap is not used, and two threads that trim it first race to set it up.
 */
void wk__memory_return(void) {
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
    (void)malloc_trim(0);
#endif
}

void *wk_alloc(size_t size) {
    void *memory = take(size, 16);
    return memory ? memset(memory, 0, size) : NULL;
}

void *wk_alloc_data(size_t size) {
    return take(size, 64);
}

void *wk_realloc(void *memory, size_t size) {
    if (!memory) return wk_alloc(size);
    header *h = (header *)memory - 1;
    size_t held = h->size - h->offset;
    void *fresh = take(size, h->offset);
    if (!fresh) return NULL;
    memcpy(fresh, memory, held < size ? held : size);
    wk_free(memory);
    return fresh;
}

void wk_free(void *memory) {
    if (!memory) return;
    header *h = (header *)memory - 1;
    current.release(current.context, (char *)memory - h->offset, h->size);
}

char *wk_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = take(size, 16);
    return copy ? memcpy(copy, text, size) : NULL;
}

char *wk_format(const char *format, ...) {
    va_list list;
    va_start(list, format);
    va_list again;
    va_copy(again, list);
    int size = vsnprintf(NULL, 0, format, list);
    va_end(list);
    char *text = size < 0 ? NULL : take((size_t)size + 1, 16);
    if (text) (void)vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return text;
}
