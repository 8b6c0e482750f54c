/* shared.h: all-reduce between the ranks of one host, through memory that all of them have mapped.
 *
 * Nothing here knows how the ranks met: who makes the memory says where it is.
 */
#ifndef WICK_SRC_DIST_SHARED_H
#define WICK_SRC_DIST_SHARED_H

#include "dist/transport.h"

#include <stdatomic.h>

/* How far a rank is with a turn. */
typedef enum wk_shared_step {
    WK_SHARED_ARRIVED, /* the others may read its elements */
    WK_SHARED_SUMMED,  /* its part of the sum is made */
    WK_SHARED_TAKEN,   /* it will read nothing more of this turn */
    WK_SHARED_STEPS
} wk_shared_step;

/* Turns since the group began that a rank has got so far with.  Written by that rank alone. */
typedef struct wk_shared_progress {
    _Alignas(64) _Atomic uint64_t count[WK_SHARED_STEPS];
} wk_shared_progress;

/* What is done with a vector.  Each rank owns one part of it. */
typedef enum wk_shared_pass {
    WK_SHARED_ALL,    /* all ranks get the whole sum */
    WK_SHARED_SMALL,  /* the same, each rank making the whole sum by itself: one wait in the place of two */
    WK_SHARED_REDUCE, /* each rank gets the sum of its own part */
    WK_SHARED_SPREAD, /* all ranks get every owner's part */
} wk_shared_pass;

typedef struct wk_shared {
    int rank, ranks;              /* of this host */
    wk_shared_progress *progress; /* (ranks) */
    char *slots;                  /* (ranks, 2, slot_bytes) */
    const char **in;              /* (ranks): where each rank's elements are */
    char **out;                   /* (ranks) */
    uint64_t turn;                /* turns before this pass */
    wk_shared_pass pass;
    wk_transfer transfer;
    int64_t per_rank, per_turn;      /* elements of a part (the last ones may be shorter), and of it in one turn */
    uint64_t turns;                  /* of this pass */
    uint64_t count[WK_SHARED_STEPS]; /* turns of this pass that this rank has got so far with */
} wk_shared;

/* Bytes of memory for so many ranks, zeroed before the first of them opens it. */
WK_API size_t wk__shared_size(int ranks);
WK_API wk_status wk__shared_open(wk_shared *shared, void *memory, int rank, int ranks);
WK_API void wk__shared_close(wk_shared *shared);
/* Which of the first two suits the transfer. */
WK_API wk_shared_pass wk__shared_choose(const wk_transfer *transfer);
WK_API void wk__shared_begin(wk_shared *shared, const wk_transfer *transfer, wk_shared_pass pass);
/* Go on as far as the others allow; true: done. */
WK_API bool wk__shared_test(wk_shared *shared);
/* The elements of this rank's part of the transfer under way. */
WK_API void wk__shared_part(const wk_shared *shared, void **data, int64_t *count);

#endif
