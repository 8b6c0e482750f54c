/* segment.h: memory of one host's ranks. */
#ifndef WICK_SRC_DIST_SEGMENT_H
#define WICK_SRC_DIST_SEGMENT_H

#include "wick/base.h"

#include <stddef.h>
#include <stdint.h>

/* Where it is, and how to know it again: another name space of processes has another file there, or none. */
typedef struct wk_segment_place {
    int64_t process, descriptor; /* process 0: nowhere */
    uint64_t device, inode;
} wk_segment_place;

/* The first rank makes zeroed memory, and keeps the descriptor that this gives (-1: it cannot) until all have opened
 * it; the others get `place` from it and find one of their own, or -1.  No error is left. */
WK_API int wk__segment_create(size_t bytes, wk_segment_place *place);
WK_API int wk__segment_find(const wk_segment_place *place);
/* The memory behind a descriptor, or NULL: give it back with munmap. */
WK_API void *wk__segment_map(int descriptor, size_t bytes, const wk_segment_place *place);

#endif
