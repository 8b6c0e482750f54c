/* paths.h: samples beside those of the op table, for what kernels of a device do only from some size on. */
#ifndef WICK_TESTS_DEVICE_PATHS_H
#define WICK_TESTS_DEVICE_PATHS_H

#include "wick/op.h"

void device_paths(const wk_op_def *row, wk_sampler *sampler);

#endif
