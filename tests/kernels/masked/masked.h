/* masked.h: the processor that libwick_masked.so believes to run on. */
#ifndef WICK_TESTS_KERNELS_MASKED_H
#define WICK_TESTS_KERNELS_MASKED_H

#include <stdint.h>

typedef enum masked_set { MASKED_GENERIC, MASKED_V3, MASKED_V4, MASKED_AMX } masked_set;

/* `signature` is leaf 1's eax: 0x00a20f10 is a Zen 3.  `saved` is XCR0: 7 where the system saves AVX's registers alone,
 * 0xe7 with those of AVX-512, 0x600e7 with those of AMX.  Before the first operation. */
__attribute__((visibility("default"))) void mask_processor(const char *vendor, uint32_t signature, masked_set set,
                                                           uint64_t saved);

#endif
