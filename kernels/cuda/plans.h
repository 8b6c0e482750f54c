/* plans.h: plans of libraries, kept by what they depend on.  Making one costs from tens of microseconds to a second,
 * finding one a hash; they are never given back, a program has a few hundred shapes. */
#ifndef WICK_KERNELS_CUDA_PLANS_H
#define WICK_KERNELS_CUDA_PLANS_H

#include <stddef.h>

enum { WK_CUDA_PLANS = 1024 };
typedef struct wk_cuda_plans {
    void *at[WK_CUDA_PLANS]; /* open addressing; each plan begins with its key */
} wk_cuda_plans;

/* Where the plan of a key is, else the free place for it (NULL there); NULL: there is no room any more.  Keys are
 * compared as bytes: all of one is written, also what is not used.  The caller holds a lock. */
void **wk__cuda_plan_place(wk_cuda_plans *plans, const void *key, size_t bytes);

#endif
