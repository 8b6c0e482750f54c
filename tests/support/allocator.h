/* allocator.h: an allocator that counts what is held and fails the k-th request. */
#ifndef WICK_TESTS_ALLOCATOR_H
#define WICK_TESTS_ALLOCATOR_H

#include <stdbool.h>

/* Install it; stays for the process. */
void allocator_watch(void);
/* Fail the k-th request from now on, and only that one; 0: none. */
void allocator_fail_at(long k);
/* True if the request that was to fail has come. */
bool allocator_has_failed(void);
/* Blocks taken and not given back since allocator_watch. */
long allocator_held(void);
/* The most bytes that were held at once since the last call of this, or since allocator_watch; counts from now on anew.
 */
long allocator_peak(void);
/* Requests since allocator_watch. */
long allocator_requests(void);

#endif
