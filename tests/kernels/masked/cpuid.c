/* cpuid.c: in the place of kernels/cpu/processor/cpuid.c, the answers of a processor that a test makes up. */
#include "kernels/masked/masked.h"

#include "cpu/processor/processor.h"

#include <string.h>

static wk_cpuid_answer zero, one, seven, seven_one, extended;
static uint64_t registers;

void mask_processor(const char *vendor, uint32_t signature, masked_set set, uint64_t saved) {
    const uint32_t v3_one = 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29,
                   v3_seven = 1u << 3 | 1u << 5 | 1u << 8,
                   v4_seven = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
    memcpy(&zero.ebx, vendor, 4), memcpy(&zero.edx, vendor + 4, 4), memcpy(&zero.ecx, vendor + 8, 4);
    one = (wk_cpuid_answer){ .eax = signature, .ecx = set >= MASKED_V3 ? v3_one : 0 };
    seven = (wk_cpuid_answer){ .ebx = (set >= MASKED_V3 ? v3_seven : 0) | (set >= MASKED_V4 ? v4_seven : 0) };
    if (set >= MASKED_AMX) seven.edx = 1u << 22 | 1u << 24, seven_one.eax = 1u << 5;
    extended = (wk_cpuid_answer){ .ecx = set >= MASKED_V3 ? 1u << 5 : 0 };
    registers = saved;
}

wk_cpuid_answer wk__cpuid(uint32_t leaf, uint32_t subleaf) {
    return leaf == 0             ? zero
           : leaf == 1           ? one
           : leaf == 7           ? (subleaf == 1 ? seven_one : seven)
           : leaf == 0x80000001u ? extended
                                 : (wk_cpuid_answer){ 0 };
}

uint64_t wk__saved_registers(void) {
    return registers;
}
