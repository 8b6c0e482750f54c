/* chance.c: splitmix64, so that a seed means the same program everywhere. */
#include "fuzz_ops/fuzz_ops.h"

chance chance_of(uint64_t seed, uint64_t number) {
    chance c = { seed * UINT64_C(0x2545F4914F6CDD1D) ^ number };
    (void)draw_bits(&c);
    c.state += number * UINT64_C(0xD1342543DE82EF95);
    return c;
}

uint64_t draw_bits(chance *c) {
    uint64_t z = c->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

int64_t draw_below(chance *c, int64_t count) {
    return (int64_t)(draw_bits(c) % (uint64_t)count);
}

double draw_unit(chance *c) {
    return (double)(draw_bits(c) >> 11) * 0x1p-53;
}

bool happens(chance *c, int percent) {
    return draw_below(c, 100) < percent;
}
