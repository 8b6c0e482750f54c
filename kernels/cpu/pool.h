/* pool.h: large blocks of memory, those of WK_POOLED bytes and more. */
#ifndef WICK_KERNELS_CPU_POOL_H
#define WICK_KERNELS_CPU_POOL_H

#include "wick/base.h"

enum { WK_POOLED = 1 << 19 };

/* Uninitialised, aligned to 64 bytes; NULL with WK_NO_MEMORY pending.  Any thread may give a block back. */
WK_API void *wk__pool_take(size_t bytes);
WK_API void wk__pool_give(void *memory);
/* Pages that no block in use lies on go back to the system. */
WK_API void wk__pool_trim(void);
/* Bytes that were given back and are kept for the next request. */
WK_API size_t wk__pool_kept(void);

#endif
