/* cpuid.c: the two instructions that ask the processor.  Apart from what is made of the answers, so that a test can
 * give those of another processor. */
#include "cpu/processor/processor.h"

#if defined(__x86_64__)
#    include <cpuid.h>

wk_cpuid_answer wk__cpuid(uint32_t leaf, uint32_t subleaf) {
    wk_cpuid_answer a = { 0 };
    if (!__get_cpuid_count(leaf, subleaf, &a.eax, &a.ebx, &a.ecx, &a.edx)) return (wk_cpuid_answer){ 0 };
    return a;
}

uint64_t wk__saved_registers(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}
#else
wk_cpuid_answer wk__cpuid(uint32_t leaf, uint32_t subleaf) {
    (void)leaf, (void)subleaf;
    return (wk_cpuid_answer){ 0 };
}

uint64_t wk__saved_registers(void) {
    return 0;
}
#endif
