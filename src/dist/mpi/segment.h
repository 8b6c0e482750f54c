/* segment.h: memory of one host's ranks. */
#ifndef WICK_SRC_DIST_MPI_SEGMENT_H
#define WICK_SRC_DIST_MPI_SEGMENT_H

#include <mpi.h>
#include <stddef.h>

/* Zeroed memory that all ranks of `host` have mapped, or NULL on all of them (no error): give it back with munmap.  All
 * must call it. */
void *wk__segment_map(MPI_Comm host, size_t bytes);

#endif
