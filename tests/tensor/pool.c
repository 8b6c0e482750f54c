/* pool.c: large blocks: none overlaps another, what is given back serves any size, pages return to the system. */
#include "support/allocator.h"
#include "support/brief.h"
#include "wick/base.h"
#include "wick/tensor.h"

#include "cpu/pool.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

#ifdef __SANITIZE_ADDRESS__
enum { POOLED = 0 }; /* every block is the heap's own there */
#else
enum { POOLED = 1 };
#endif

enum { HELD = 24 };
typedef struct held {
    uint64_t *data;
    size_t words;
    uint64_t mark;
} held;

static void fill(held *h, size_t bytes, uint64_t mark) {
    h->data = wk__pool_take(bytes);
    h->words = bytes / sizeof *h->data;
    h->mark = mark;
    cr_assert_not_null(h->data, "%s", wk_message());
    cr_assert_eq((uintptr_t)h->data % 64, 0u);
    for (size_t i = 0; i < h->words; i += 512) h->data[i] = mark;
    h->data[h->words - 1] = mark;
}

static void check_and_give(held *h) {
    for (size_t i = 0; i < h->words; i += 512) cr_assert_eq(h->data[i], h->mark, "another block lies here too");
    cr_assert_eq(h->data[h->words - 1], h->mark);
    wk__pool_give(h->data);
    h->data = NULL;
}

/* Sizes from 512 KiB to 4 MiB, taken and given back in an order of chance. */
static void *take_and_give(void *argument) {
    uint64_t state = *(uint64_t *)argument;
    held all[HELD] = { 0 };
    const uint64_t rounds = tests_are_brief() ? 300 : 2000;
    for (uint64_t round = 1; round <= rounds; round++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        held *h = &all[(state >> 33) % HELD];
        if (h->data) check_and_give(h);
        fill(h, WK_POOLED + (state >> 40) % (7 * WK_POOLED), state ^ round);
    }
    for (int i = 0; i < HELD; i++)
        if (all[i].data) check_and_give(&all[i]);
    return NULL;
}
Test(pool, blocks_do_not_overlap) {
    uint64_t seed = 1;
    take_and_give(&seed);
}
Test(pool, threads_share_it) {
    pthread_t threads[3];
    uint64_t seeds[3] = { 2, 3, 4 };
    for (int i = 0; i < 3; i++) cr_assert_eq(pthread_create(&threads[i], NULL, take_and_give, &seeds[i]), 0);
    for (int i = 0; i < 3; i++) cr_assert_eq(pthread_join(threads[i], NULL), 0);
}

Test(pool, neighbours_join) {
    if (!POOLED) return;
    char *blocks[8], *first;
    for (int i = 0; i < 8; i++) cr_assert_not_null(blocks[i] = wk__pool_take(MIB));
    char *fence = wk__pool_take(MIB);
    first = blocks[0];
    static const int order[] = { 1, 3, 2, 7, 5, 6, 0, 4 };
    for (int i = 0; i < 8; i++) wk__pool_give(blocks[order[i]]);
    char *all = wk__pool_take(8 * MIB);
    cr_expect_eq(all, first, "eight gaps of 1 MiB are one of 8");
    wk__pool_give(all);
    char *small = wk__pool_take(3 * MIB), *rest = wk__pool_take(5 * MIB);
    cr_expect_eq(small, first);
    cr_expect_eq(rest, small + 3 * MIB + 4096, "what is left of a gap serves the next request");
    wk__pool_give(small), wk__pool_give(rest), wk__pool_give(fence);
}

/* Results that start a line further than their operands make each load wait for the store before it. */
Test(pool, blocks_start_at_the_same_place_of_a_page) {
    if (!POOLED) return;
    char *a = wk__pool_take(MIB), *b = wk__pool_take(3 * MIB / 2 + 100), *c = wk__pool_take(MIB);
    cr_expect_eq((uintptr_t)a % 4096, (uintptr_t)b % 4096);
    cr_expect_eq((uintptr_t)a % 4096, (uintptr_t)c % 4096);
    wk__pool_give(a), wk__pool_give(b), wk__pool_give(c);
}

Test(pool, the_smallest_gap_that_fits) {
    if (!POOLED) return;
    char *wide = wk__pool_take(8 * MIB), *a = wk__pool_take(MIB), *narrow = wk__pool_take(3 * MIB),
         *b = wk__pool_take(MIB);
    wk__pool_give(narrow), wk__pool_give(wide);
    char *fits = wk__pool_take(2 * MIB);
    cr_expect_eq(fits, narrow);
    wk__pool_give(fits), wk__pool_give(a), wk__pool_give(b);
}

static size_t resident(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size = 0, pages = 0;
    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%lu %lu", &size, &pages), 2);
    (void)fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}
Test(pool, trimming_returns_pages) {
    if (!POOLED) return;
    size_t before = resident();
    char *low = wk__pool_take(64 * MIB), *kept = wk__pool_take(MIB), *high = wk__pool_take(64 * MIB);
    memset(low, 1, 64 * MIB), memset(kept, 2, MIB), memset(high, 3, 64 * MIB);
    cr_expect_geq(resident(), before + 129 * MIB);
    wk__pool_give(low), wk__pool_give(high);
    cr_expect_geq(wk__pool_kept(), 128 * MIB);
    wk__pool_trim();
    cr_expect_eq(wk__pool_kept(), 0);
    cr_expect_leq(resident(), before + 8 * MIB, "%zu MiB are still there", (resident() - before) / MIB);
    cr_expect_eq(kept[0], 2);
    cr_expect_eq(kept[MIB - 1], 2);
    low = wk__pool_take(32 * MIB);
    memset(low, 4, 32 * MIB);
    cr_expect_eq(kept[0], 2);
    cr_expect_eq(wk__pool_kept(), 0, "the rest of the gap is empty still");
    wk__pool_give(low), wk__pool_give(kept);
    cr_expect_geq(wk__pool_kept(), 33 * MIB, "joined with an empty one it counts whole");
}

Test(pool, what_cannot_be_had_is_an_error) {
    cr_expect_null(wk__pool_take(SIZE_MAX / 2 + 1));
    cr_expect_eq(wk_error_code(), WK_NO_MEMORY);
    wk_clear_error();
    wk__pool_give(NULL);
}

Test(pool, a_replaced_allocator_gives_large_blocks_too) {
    allocator_watch();
    long before = allocator_held();
    void *memory = wk__pool_take(2 * MIB);
    cr_expect_eq(allocator_held(), before + 1);
    wk__pool_give(memory);
    cr_expect_eq(allocator_held(), before);
}

/* The third size costs nothing that the first two did not. */
Test(pool, tensors_of_one_size_make_room_for_another) {
    if (!POOLED) return;
    size_t before = resident();
    for (int64_t size = 48; size <= 64; size += 4) {
        wk_scope scope = wk_scope_begin();
        for (int i = 0; i < 2; i++) cr_assert_not_null(wk_full(WK_F32, WK_DIMS(size << 18), 1));
        wk_scope_end(scope);
    }
    cr_expect_leq(resident(), before + 150 * MIB, "%zu MiB", (resident() - before) / MIB);
    wk_memory_trim();
    cr_expect_leq(resident(), before + 16 * MIB, "%zu MiB", (resident() - before) / MIB);
}
