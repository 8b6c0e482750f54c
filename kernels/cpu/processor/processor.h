/* processor.h: what kind of processor this is. */
#ifndef WICK_KERNELS_CPU_PROCESSOR_H
#define WICK_KERNELS_CPU_PROCESSOR_H

#include <stdbool.h>
#include <stdint.h>

typedef struct wk_cpuid_answer {
    uint32_t eax, ebx, ecx, edx;
} wk_cpuid_answer;

/* The processor's answer; zeros for a leaf that it does not have, and on processors without the instruction.  These two
 * lie in a file of their own, which a test's library replaces (tests/kernels/masked). */
wk_cpuid_answer wk__cpuid(uint32_t leaf, uint32_t subleaf);
/* Which registers the system saves for a program (XCR0).  Only where CPUID says that one may ask. */
uint64_t wk__saved_registers(void);

typedef struct wk_processor {
    bool has_v3, has_v4; /* the instruction sets x86-64-v3 and -v4, with a system that saves their registers */
    bool has_amx;        /* v4 with products of bf16 in vectors and in tiles, whose registers the system saves */
    char family[40];     /* "zen4", "icelake-server"; unnamed ones "amd-25-17"; "" without CPUID */
} wk_processor;
void wk__processor_read(wk_processor *processor);

#endif
