/* random.c: the two generators: Philox against the published vectors, mt19937 and its draws against PyTorch's. */
#define WK_NO_CALL_SITES
#include "support/golden.h"
#include "wick/random.h"

#include <stdlib.h>
#include <string.h>

/* kat_vectors of Random123 (Salmon et al. 2011): philox4x32, 10 rounds. */
Test(philox, known_answers) {
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } vectors[] = {
        { { 0 }, { 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint32_t out[4];
        wk_philox(vectors[i].counter, vectors[i].key, out);
        cr_expect_arr_eq(out, vectors[i].out, sizeof out, "vector %zu: %08x %08x %08x %08x", i, out[0], out[1], out[2],
                         out[3]);
    }
}

/* The first and the 10 000th number of the reference implementation for its default seed (also std::mt19937's
 * contract). */
Test(mt19937, known_answers) {
    wk_generator g;
    wk_generator_seed(&g, 5489);
    uint32_t value = wk_random_u32(&g);
    cr_expect_eq(value, 3499211612u);
    for (int i = 1; i < 10000; i++) value = wk_random_u32(&g);
    cr_expect_eq(value, 4123659995u);
}

static const uint64_t seeds[] = { 0, 1, 42, (UINT64_C(1) << 40) + 3 };

typedef void draw(wk_generator *g, void *values, int64_t count);
static void rand_f32(wk_generator *g, void *values, int64_t count) {
    wk_random_uniform_f32(g, values, count, 0, 1);
}
static void rand_f64(wk_generator *g, void *values, int64_t count) {
    wk_random_uniform_f64(g, values, count, 0, 1);
}
static void uniform(wk_generator *g, void *values, int64_t count) {
    wk_random_uniform_f32(g, values, count, -0.3, 0.7);
}
static void randn(wk_generator *g, void *values, int64_t count) {
    wk_random_normal_f32(g, values, count, 0, 1);
}
static void normal(wk_generator *g, void *values, int64_t count) {
    wk_random_normal_f32(g, values, count, 0.5, 2);
}
static void randperm(wk_generator *g, void *values, int64_t count) {
    wk_random_permutation(g, values, count);
}
/* One stream serves all kinds of draws, and the second normal of a pair waits across them. */
static void mixed(wk_generator *g, void *values, int64_t count) {
    float *v = values;
    int64_t order[5];
    cr_assert_eq(count, 16);
    rand_f32(g, v, 3);
    randn(g, v + 3, 3);
    randperm(g, order, 5);
    for (int i = 0; i < 5; i++) v[6 + i] = (float)order[i];
    randn(g, v + 11, 3);
    rand_f32(g, v + 14, 2);
}

Test(generator, draws_are_those_of_pytorch) {
    /* Tolerance 0: bit for bit.  Normals go through log and cos, whose last bits are the C library's. */
    static const struct {
        const char *name;
        draw *run;
        double tolerance;
    } kinds[] = { { "rand", rand_f32, 0 },        { "rand_f64", rand_f64, 0 }, { "uniform", uniform, 0 },
                  { "randn_small", randn, 1e-6 }, { "randn_16", randn, 1e-6 }, { "randn", randn, 1e-6 },
                  { "normal", normal, 1e-6 },     { "randperm", randperm, 0 }, { "mixed", mixed, 1e-6 } };
    wk_safetensors *file = golden_open("generator.safetensors");
    wk_scope scope = wk_scope_begin();
    for (size_t s = 0; s < sizeof seeds / sizeof seeds[0]; s++)
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            char what[80];
            (void)snprintf(what, sizeof what, "seed %llu, %s", (unsigned long long)seeds[s], kinds[k].name);
            wk_tensor *wanted = golden_get(file, "%llu/%s", (unsigned long long)seeds[s], kinds[k].name);
            wk_tensor *got = wk_zeros(wk_dtype_get(wanted), wk_dims_get(wanted));
            wk_generator g;
            wk_generator_seed(&g, seeds[s]);
            kinds[k].run(&g, wk_data(got), wk_count(got));
            if (kinds[k].tolerance > 0)
                golden_expect_close(got, wanted, kinds[k].tolerance, what);
            else
                golden_expect_equal(got, wanted, what);
        }
    wk_scope_end(scope);
    wk_safetensors_close(file);
}

Test(generator, seeding_resets_the_current_context) {
    wk_manual_seed(9);
    uint32_t first = wk_random_u32(wk_default_generator());
    wk_default_generator()->counter = 5;
    wk_manual_seed(9);
    cr_expect_eq(wk_random_u32(wk_default_generator()), first);
    cr_expect_eq(wk_default_generator()->counter, 0u);
    cr_expect_eq(wk_default_generator()->seed, 9u);
}
