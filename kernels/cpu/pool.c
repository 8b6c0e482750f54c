/* pool.c: large blocks, all out of one range of addresses.
 *
 * What a step takes before it is planned has many sizes; lists by size would keep a block of each, and resnet18's first
 * steps held 1.8 times what lives at once.  Here a block that is given back joins its free neighbours, and the smallest
 * gap that fits serves the next request.  The range is reserved once and costs nothing until it is touched: 2 MiB at a
 * time where the system has huge pages, on the memory of the processor whose thread touches first.
 *
 * A block is a header and what the caller got; headers lie behind each other without gaps.  Blocks that do not fit, and
 * all of them where the caller has an allocator of its own, come from wk_alloc_data.
 */
#include "cpu/pool.h"

#include <pthread.h>
#ifdef __linux__
#    include <sys/mman.h>
#    include <unistd.h>
#endif

/* Bytes; a rest below LEAST_REST stays with its block.  Blocks are whole pages, so that what lies in them starts at the
 * same place of a page: where a result started 64 bytes further than its operand, each load had the low 12 bits of the
 * store before it and waited for it (fractions of 2 MiB, one thread: 53 µs instead of 42). */
enum { LINE = 64, BINS = 48, PAGE = 4096, LEAST_REST = 1 << 16 };

typedef struct block {
    size_t size;                /* with this header */
    struct block *before;       /* the neighbour below; NULL: this is the lowest */
    struct block *next, **link; /* of the free ones in its bin; link NULL: in use */
    bool is_empty;              /* free, and its pages went back to the system */
} block;
_Static_assert(sizeof(block) <= LINE, "a header fills a cache line");

static struct {
    pthread_mutex_t lock;
    bool asked;
    char *start, *top, *end; /* [start, top) has been cut into blocks; start NULL: there is no range */
    block *last;             /* the highest block; NULL: none */
    block *bins[BINS];       /* by the position of the size's highest bit; what was given back last comes first */
    size_t kept;             /* bytes of the free ones that are not empty */
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- the range ---- */

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) /* the sanitizer watches blocks of the heap only */
static void reserve(void) {
    const size_t least = (size_t)1 << 30, page = (size_t)sysconf(_SC_PAGESIZE);
    /* Gaps take addresses, not memory: four times what the machine has, or what a limit on addresses leaves. */
    for (size_t size = 4 * page * (size_t)sysconf(_SC_PHYS_PAGES); size >= least; size /= 2) {
        void *range = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (range == MAP_FAILED) continue;
        (void)madvise(range, size, MADV_HUGEPAGE);
        pool.start = pool.top = range;
        pool.end = pool.start + size;
        return;
    }
}

static void return_pages(char *from, const char *to) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), skip = (page - (uintptr_t)from % page) % page;
    if (from + skip + page <= to) (void)madvise(from + skip, ((size_t)(to - from) - skip) / page * page, MADV_DONTNEED);
}
#else
static void reserve(void) {}

static void return_pages(char *from, const char *to) {
    (void)from, (void)to;
}
#endif

/* ---- free blocks ---- */

static int bin_of(size_t size) {
    const int top = 63 - __builtin_clzll((unsigned long long)size);
    return top < BINS ? top : BINS - 1;
}

static void enlist(block *b) {
    block **bin = &pool.bins[bin_of(b->size)];
    b->next = *bin;
    if (*bin) (*bin)->link = &b->next;
    b->link = bin;
    *bin = b;
    if (!b->is_empty) pool.kept += b->size;
}

static void delist(block *b) {
    *b->link = b->next;
    if (b->next) b->next->link = b->link;
    b->link = NULL;
    if (!b->is_empty) pool.kept -= b->size;
}

static block *above(const block *b) {
    return b == pool.last ? NULL : (block *)(void *)((char *)b + b->size);
}

static block *best_fit(size_t size) {
    block *best = NULL;
    for (int bin = bin_of(size); bin < BINS && !best; bin++)
        for (block *b = pool.bins[bin]; b; b = b->next)
            if (b->size >= size && (!best || b->size < best->size)) best = b;
    return best;
}

/* Keep `size` of a block in use; the rest becomes a free one. */
static void split(block *b, size_t size) {
    if (b->size < size + LEAST_REST) return;
    block *rest = (block *)(void *)((char *)b + size), *former = above(b);
    *rest = (block){ .size = b->size - size, .before = b, .is_empty = b->is_empty };
    b->size = size;
    if (former)
        former->before = rest;
    else
        pool.last = rest;
    enlist(rest);
}

/* More of the range, behind the last block, or with it if that is free. */
static block *extend(size_t size) {
    block *b = pool.last && pool.last->link ? pool.last : NULL;
    char *at = b ? (char *)b : pool.top;
    if (!pool.start || size > (size_t)(pool.end - at)) return NULL;
    if (b)
        delist(b);
    else
        *(block *)(void *)at = (block){ .before = pool.last };
    b = (block *)(void *)at;
    b->size = size;
    pool.last = b;
    pool.top = at + size;
    return b;
}

static block *take(size_t size) {
    if (!pool.asked) reserve();
    pool.asked = true;
    block *b = best_fit(size);
    if (b) {
        delist(b);
        split(b, size);
    } else {
        b = extend(size);
    }
    if (b) b->is_empty = false;
    return b;
}

/* `b` and the block above become one. */
static void join(block *b) {
    const block *upper = above(b);
    block *next = above(upper);
    b->size += upper->size;
    b->is_empty = b->is_empty && upper->is_empty;
    if (next)
        next->before = b;
    else
        pool.last = b;
}

static void give(block *b) {
    block *next = above(b);
    if (next && next->link) {
        delist(next);
        join(b);
    }
    if (b->before && b->before->link) {
        b = b->before;
        delist(b);
        join(b);
    }
    enlist(b);
}

/* ---- for callers ---- */

void *wk__pool_take(size_t bytes) {
    block *b = NULL;
    if (bytes < SIZE_MAX / 2 && !wk_allocator_is_replaced()) {
        (void)pthread_mutex_lock(&pool.lock);
        b = take((bytes + LINE + PAGE - 1) / PAGE * PAGE);
        (void)pthread_mutex_unlock(&pool.lock);
    }
    return b ? (char *)b + LINE : wk_alloc_data(bytes);
}

void wk__pool_give(void *memory) {
    (void)pthread_mutex_lock(&pool.lock);
    const bool is_ours = pool.start && (char *)memory >= pool.start && (char *)memory < pool.end;
    if (is_ours) give((block *)(void *)((char *)memory - LINE));
    (void)pthread_mutex_unlock(&pool.lock);
    if (!is_ours) wk_free(memory);
}

void wk__pool_trim(void) {
    (void)pthread_mutex_lock(&pool.lock);
    if (pool.last && pool.last->link) {
        block *b = pool.last;
        delist(b);
        pool.last = b->before;
        return_pages((char *)b, pool.top);
        pool.top = (char *)b;
    }
    for (int bin = 0; bin < BINS; bin++)
        for (block *b = pool.bins[bin]; b; b = b->next) {
            return_pages((char *)b + LINE, (char *)b + b->size);
            b->is_empty = true;
        }
    pool.kept = 0;
    (void)pthread_mutex_unlock(&pool.lock);
}

size_t wk__pool_kept(void) {
    (void)pthread_mutex_lock(&pool.lock);
    const size_t kept = pool.kept;
    (void)pthread_mutex_unlock(&pool.lock);
    return kept;
}
