/* ring.h: a sum over all ranks by neighbours. */
#ifndef WICK_SRC_DIST_MPI_RING_H
#define WICK_SRC_DIST_MPI_RING_H

#include "dist/transport.h"

#include <mpi.h>

typedef struct wk_ring {
    MPI_Comm comm;
    int rank, ranks;
    wk_transfer transfer;
    int step; /* 0 … ranks - 2: parts are summed; ranks - 1 … 2 ranks - 3: sums are handed on */
    MPI_Request requests[2];
    void *arriving; /* room for one part */
    size_t arriving_size;
} wk_ring;

/* Large sums of f32 and f64, and all of f16 and bf16. */
bool wk__ring_takes(const wk_ring *ring, const wk_transfer *transfer);
wk_status wk__ring_begin(wk_ring *ring, const wk_transfer *transfer);
wk_status wk__ring_test(wk_ring *ring, bool *done);

wk_status wk__mpi_check(int code, const char *what);

#endif
