/* cuda_runtime.h (emulator): the runtime API and, in C++, what a kernel sees: built-in variables, barriers, shuffles,
 * votes, atomics, and the functions of the device's mathematics. */
#ifndef WICK_CUDAEMU_RUNTIME_H
#define WICK_CUDAEMU_RUNTIME_H

#include "cuda_runtime_api.h"

#ifdef __cplusplus
#    include "cuda/emulator/execution.h"
#    include "cuda/emulator/intrinsics.h"
#endif

#endif
