/* processor.c: from the answers of CPUID to what kernels are chosen by: instruction sets, and the family whose tuning
 * table fits.
 *
 * Bits as in Intel's Software Developer's Manual, volume 2A, CPUID, and AMD's Programmer's Manual, volume 3, appendix
 * E; what x86-64-v3 and -v4 contain as in the System V ABI for x86-64, table 3.1.
 */
#include "cpu/processor/processor.h"

#include <stdio.h>
#include <string.h>

#define BIT(n) (1u << (n))

/* ---- instruction sets ---- */

enum {
    FMA = BIT(12),
    MOVBE = BIT(22),
    OSXSAVE = BIT(27), /* XGETBV may be asked */
    AVX = BIT(28),
    F16C = BIT(29)
};                                                    /* leaf 1, ecx */
enum { LZCNT = BIT(5) };                              /* 0x80000001, ecx */
enum { BMI1 = BIT(3), AVX2 = BIT(5), BMI2 = BIT(8) }; /* leaf 7, ebx */
#define AVX512 (BIT(16) /* F */ | BIT(17) /* DQ */ | BIT(28) /* CD */ | BIT(30) /* BW */ | BIT(31) /* VL */)
enum { AMX = (int)(BIT(22) /* BF16 */ | BIT(24) /* TILE */) }; /* leaf 7, edx */
enum { AVX512_BF16 = BIT(5) };                                 /* leaf 7, subleaf 1, eax */
/* XMM and YMM; and mask registers, both halves of ZMM; and the tiles with their configuration */
enum { SAVES_AVX = 0x06, SAVES_AVX512 = 0xe6, SAVES_TILES = 0x60000 };

static bool has_all(uint32_t word, uint32_t bits) {
    return (word & bits) == bits;
}

static void read_instruction_sets(wk_processor *p) {
    uint32_t first = wk__cpuid(1, 0).ecx, extended = wk__cpuid(7, 0).ebx, more = wk__cpuid(0x80000001u, 0).ecx;
    uint64_t saved = has_all(first, OSXSAVE) ? wk__saved_registers() : 0;
    p->has_v3 = has_all(first, FMA | MOVBE | AVX | F16C) && has_all(extended, BMI1 | AVX2 | BMI2)
                && has_all(more, LZCNT) && (saved & SAVES_AVX) == SAVES_AVX;
    p->has_v4 = p->has_v3 && has_all(extended, AVX512) && (saved & SAVES_AVX512) == SAVES_AVX512;
    p->has_amx = p->has_v4 && has_all(wk__cpuid(7, 0).edx, AMX) && has_all(wk__cpuid(7, 1).eax, AVX512_BF16)
                 && (saved & SAVES_TILES) == SAVES_TILES;
}

/* ---- the family ---- */

/* Models from `first` to `last` of a vendor's family. */
static const struct {
    const char *vendor;
    uint32_t family, first, last;
    const char *name;
} families[] = {
    { "AuthenticAMD", 0x17, 0x30, 0xff, "zen2" },          { "AuthenticAMD", 0x17, 0x00, 0x2f, "zen" },
    { "AuthenticAMD", 0x19, 0x10, 0x1f, "zen4" },          { "AuthenticAMD", 0x19, 0x60, 0x7f, "zen4" },
    { "AuthenticAMD", 0x19, 0xa0, 0xaf, "zen4" },          { "AuthenticAMD", 0x19, 0x00, 0xff, "zen3" },
    { "AuthenticAMD", 0x1a, 0x00, 0xff, "zen5" },          { "GenuineIntel", 6, 0x3f, 0x3f, "haswell-server" },
    { "GenuineIntel", 6, 0x4f, 0x4f, "broadwell-server" }, { "GenuineIntel", 6, 0x55, 0x55, "skylake-server" },
    { "GenuineIntel", 6, 0x6a, 0x6c, "icelake-server" },   { "GenuineIntel", 6, 0x8f, 0x8f, "sapphire-rapids" },
    { "GenuineIntel", 6, 0xcf, 0xcf, "emerald-rapids" },   { "GenuineIntel", 6, 0xad, 0xae, "granite-rapids" },
};

static void read_family(wk_processor *p) {
    wk_cpuid_answer zero = wk__cpuid(0, 0);
    uint32_t signature = wk__cpuid(1, 0).eax, family = signature >> 8 & 15, model = signature >> 4 & 15;
    if (!zero.ebx) return;
    if (family == 6 || family == 15) model |= signature >> 12 & 0xf0;
    if (family == 15) family += signature >> 20 & 0xff;
    char vendor[13] = "";
    memcpy(vendor, &zero.ebx, 4), memcpy(vendor + 4, &zero.edx, 4), memcpy(vendor + 8, &zero.ecx, 4);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (strcmp(vendor, families[i].vendor) != 0 || family != families[i].family) continue;
        if (model < families[i].first || model > families[i].last) continue;
        (void)snprintf(p->family, sizeof p->family, "%s", families[i].name);
        return;
    }
    const char *maker = strcmp(vendor, "AuthenticAMD") == 0   ? "amd"
                        : strcmp(vendor, "GenuineIntel") == 0 ? "intel"
                                                              : "x86";
    (void)snprintf(p->family, sizeof p->family, "%s-%u-%u", maker, family, model);
}

void wk__processor_read(wk_processor *processor) {
    *processor = (wk_processor){ 0 };
    read_instruction_sets(processor);
    read_family(processor);
}
