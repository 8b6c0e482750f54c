/* Which kernels run on which processor: the library of this program asks a made-up one.
 *
 * The instruction set is chosen once a process, and each test has its own.  Nothing richer is ever run than what the
 * real processor has: tests pretend less, or stop before a kernel runs. */
#include "kernels/masked/masked.h"

#include "tensor/backend.h"
#include "tensor/tuning.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ZEN3      "AuthenticAMD", 0x00a20f10
#define ZEN4      "AuthenticAMD", 0x00a10f11
#define SAVES_AVX 0x07
#define SAVES_ZMM 0xe7
#define SAVES_AMX 0x600e7
#define SAPPHIRE  "GenuineIntel", 0x000806f8

static void set_up(void) {
    (void)unsetenv("WICK_ISA");
    (void)unsetenv("WICK_AMX");
    (void)setenv("WICK_TUNING", "", 1);
}
TestSuite(processor, .init = set_up);

static const char *instruction_set(void) {
    static wk_device_info info;
    return wk__cpu_device_info(&info) == WK_OK ? info.instruction_set : "none";
}

/* The first operation of a process, or its error. */
static wk_status add(void) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *one = wk_full(WK_F32, WK_DIMS(4), 1), *two = wk_add(one, one);
    wk_status status = two ? (wk_at(two, 3) == 2 ? WK_OK : WK_INTERNAL) : wk_error_code();
    wk_scope_end(scope);
    return status;
}

Test(processor, one_with_all_of_it_takes_the_richest) {
    mask_processor(ZEN4, MASKED_V4, SAVES_ZMM);
    cr_expect_str_eq(instruction_set(), "v4");
}

Test(processor, one_without_avx512_takes_v3) {
    mask_processor(ZEN3, MASKED_V3, SAVES_AVX);
    cr_expect_str_eq(instruction_set(), "v3");
}

Test(processor, a_system_that_does_not_save_avx512_takes_v3) {
    mask_processor(ZEN4, MASKED_V4, SAVES_AVX);
    cr_expect_str_eq(instruction_set(), "v3");
}

Test(processor, a_plain_one_takes_generic_and_computes) {
    mask_processor(ZEN3, MASKED_GENERIC, SAVES_AVX);
    cr_expect_str_eq(instruction_set(), "generic");
    cr_expect_eq(add(), WK_OK, "%s", wk_message());
}

Test(processor, a_system_that_does_not_save_avx_takes_generic) {
    mask_processor(ZEN3, MASKED_V3, 3);
    cr_expect_str_eq(instruction_set(), "generic");
}

Test(processor, a_lower_set_can_be_asked_for) {
    (void)setenv("WICK_ISA", "generic", 1);
    mask_processor(ZEN3, MASKED_V3, SAVES_AVX);
    cr_expect_str_eq(instruction_set(), "generic");
    cr_expect_eq(add(), WK_OK, "%s", wk_message());
}

Test(processor, v4_is_refused_by_name_where_v3_is_the_best) {
    (void)setenv("WICK_ISA", "v4", 1);
    mask_processor(ZEN3, MASKED_V3, SAVES_AVX);
    cr_expect_eq(add(), WK_CONFIG);
    cr_expect_not_null(strstr(wk_message(), "WICK_ISA asks for \"v4\", which this processor does not have; its best is "
                                            "\"v3\""),
                       "%s", wk_message());
    wk_clear_error();
    wk_device_info info;
    cr_expect_eq(wk__cpu_device_info(&info), WK_CONFIG);
    wk_clear_error();
}

Test(processor, v3_is_refused_by_name_where_generic_is_the_best) {
    (void)setenv("WICK_ISA", "v3", 1);
    mask_processor(ZEN3, MASKED_GENERIC, SAVES_AVX);
    cr_expect_eq(add(), WK_CONFIG);
    cr_expect_not_null(strstr(wk_message(), "asks for \"v3\""), "%s", wk_message());
    cr_expect_not_null(strstr(wk_message(), "its best is \"generic\""), "%s", wk_message());
    wk_clear_error();
}

Test(processor, an_unknown_set_names_those_that_exist) {
    (void)setenv("WICK_ISA", "avx2", 1);
    mask_processor(ZEN3, MASKED_V3, SAVES_AVX);
    cr_expect_eq(add(), WK_CONFIG);
    cr_expect_not_null(strstr(wk_message(), "WICK_ISA is \"avx2\", expected one of the sets of this build: generic"),
                       "%s", wk_message());
    wk_clear_error();
}

/* ---- tiles ---- */

#if defined(__x86_64__)

/* Whether the system really gives this process tiles: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA). */
static bool has_tiles(void) {
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

/* Who makes a large product of bf16. */
static wk_by maker_of_a_large_product(void) {
    if (!WICK_LIBRARIES) cr_skip_test("a build without libraries has nobody else to make it");
    if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512bf16"))
        cr_skip_test("this processor could not run what is pretended: it has no AVX-512 with bf16");
    wk__forced forced = { .product = WK_BY_CHOICE };
    wk_scope scope = wk_scope_begin();
    wk_tensor *one = wk_full(WK_BF16, WK_DIMS(1024, 512), 1), *two = wk_full(WK_BF16, WK_DIMS(512, 512), 0.5);
    wk__cpu_force(&forced);
    wk_tensor *product = wk_matmul(one, two);
    wk__cpu_force(NULL);
    cr_assert_not_null(product, "%s", wk_message());
    cr_expect_eq(wk_at(product, 1024 * 512 - 1), 256);
    wk_scope_end(scope);
    return forced.last;
}

Test(processor, with_tiles_makes_large_products_itself) {
    mask_processor(SAPPHIRE, MASKED_AMX, SAVES_AMX);
    /* The system says no where the real one has none. */
    cr_expect_eq(maker_of_a_large_product(), has_tiles() ? WK_BY_OWN : WK_BY_ONEDNN);
}

Test(processor, whose_tiles_the_system_does_not_save_leaves_them_alone) {
    mask_processor(SAPPHIRE, MASKED_AMX, SAVES_ZMM);
    cr_expect_eq(maker_of_a_large_product(), WK_BY_ONEDNN);
}

Test(processor, without_tiles_leaves_them_alone) {
    mask_processor(SAPPHIRE, MASKED_V4, SAVES_AMX);
    cr_expect_eq(maker_of_a_large_product(), WK_BY_ONEDNN);
}

Test(processor, tiles_can_be_forbidden) {
    (void)setenv("WICK_AMX", "0", 1);
    mask_processor(SAPPHIRE, MASKED_AMX, SAVES_AMX);
    cr_expect_eq(maker_of_a_large_product(), WK_BY_ONEDNN);
}
#endif

/* ---- families ---- */

Test(processor, is_named_by_family) {
    mask_processor(ZEN4, MASKED_V4, SAVES_ZMM);
    cr_expect_str_eq(wk__tuning()->family, "zen4");
}

Test(processor, of_the_same_number_is_another_family_by_its_model) {
    mask_processor(ZEN3, MASKED_V3, SAVES_AVX);
    cr_expect_str_eq(wk__tuning()->family, "zen3");
}

Test(processor, of_intel_is_named_by_its_model) {
    mask_processor("GenuineIntel", 0x000806f8, MASKED_V4, SAVES_ZMM);
    cr_expect_str_eq(wk__tuning()->family, "sapphire-rapids");
}

Test(processor, without_a_name_is_called_by_its_numbers) {
    mask_processor("GenuineIntel", 0x00090672, MASKED_V3, SAVES_AVX);
    cr_expect_str_eq(wk__tuning()->family, "intel-6-151");
}
