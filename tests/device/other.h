/* other.h: the device that these tests run on: WICK_TEST_DEVICE, or the emulated one. */
#ifndef WICK_TESTS_DEVICE_OTHER_H
#define WICK_TESTS_DEVICE_OTHER_H

#include "wick/wick.h"

wk_device other(void);

/* What a library refuses is said in the log, and served by Wick's kernels: no test may need that.  For a suite's init
 * and fini. */
void other_watch_refusals(void);
void other_expect_no_refusals(void);

#endif
