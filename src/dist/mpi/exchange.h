/* exchange.h: one collective at a time between the ranks of a communicator, by messages. */
#ifndef WICK_SRC_DIST_MPI_EXCHANGE_H
#define WICK_SRC_DIST_MPI_EXCHANGE_H

#include "dist/mpi/ring.h"

typedef struct wk_exchange {
    MPI_Comm comm; /* its owner frees it */
    MPI_Request request;
    wk_transfer transfer; /* under way */
    bool in_ring;
    wk_ring ring;
} wk_exchange;

void wk__exchange_open(wk_exchange *exchange, MPI_Comm comm);
void wk__exchange_close(wk_exchange *exchange);
wk_status wk__exchange_begin(wk_exchange *exchange, const wk_transfer *transfer);
/* The same for an all-reduce, by Open MPI's MPI_Allreduce: it has ended when this returns. */
wk_status wk__exchange_blocking(wk_exchange *exchange, const wk_transfer *transfer);
wk_status wk__exchange_test(wk_exchange *exchange, bool *done);

#endif
