/* arena.c: chunks of 64 KiB and up, chained; rewinding keeps them for the next step. */
#include "base.h"

struct wk__arena_chunk {
    wk__arena_chunk *following;
    size_t size;
};

enum { FIRST_CHUNK = 64 * 1024, HEAD = 16 };
_Static_assert(sizeof(wk__arena_chunk) <= HEAD, "the head of a chunk keeps 16-byte alignment");

static void enter(wk__arena *arena, wk__arena_chunk *chunk) {
    arena->current = chunk;
    arena->next = (char *)chunk + HEAD;
    arena->end = (char *)chunk + chunk->size;
}

void *wk__arena_slow(wk__arena *arena, size_t size) {
    wk__arena_chunk *chunk = arena->current ? arena->current->following : arena->first;
    while (chunk && chunk->size - HEAD < size) chunk = chunk->following;
    if (!chunk) {
        size_t wanted = arena->current ? arena->current->size * 2 : FIRST_CHUNK;
        if (wanted < size + HEAD) wanted = size + HEAD;
        chunk = wk_alloc_data(wanted);
        if (!chunk) return NULL;
        chunk->size = wanted;
        chunk->following = NULL;
        if (!arena->first)
            arena->first = chunk;
        else {
            wk__arena_chunk *last = arena->current ? arena->current : arena->first;
            while (last->following) last = last->following;
            last->following = chunk;
        }
    }
    enter(arena, chunk);
    char *memory = arena->next;
    arena->next += size;
    return memory;
}

wk__arena_mark wk__arena_here(const wk__arena *arena) {
    return (wk__arena_mark){ arena->current, arena->next };
}

void wk__arena_rewind(wk__arena *arena, wk__arena_mark mark) {
    if (mark.chunk) {
        enter(arena, mark.chunk);
        arena->next = mark.next;
    } else {
        arena->current = NULL;
        arena->next = arena->end = NULL;
    }
}

void wk__arena_destroy(wk__arena *arena) {
    for (wk__arena_chunk *chunk = arena->first, *following; chunk; chunk = following) {
        following = chunk->following;
        wk_free(chunk);
    }
    *arena = (wk__arena){ 0 };
}
