/* other.h: the device that these tests run on: WICK_TEST_DEVICE, or the emulated one. */
#ifndef WICK_TESTS_DEVICE_OTHER_H
#define WICK_TESTS_DEVICE_OTHER_H

#include "wick/wick.h"

wk_device other(void);

#endif
