/* Tuning tables: what their text may say, which of them is heard, and what a process computes by them.
 *
 * The library of this program pretends to run on a Zen 3, whose shipped table is tests/kernels/masked/tables/zen3.txt.
 */
#include "kernels/masked/masked.h"

#include "base/base.h"
#include "support/program.h"
#include "tensor/tuning.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FAMILY(n) "AuthenticAMD", n, MASKED_V3, 7
#define ZEN3      FAMILY(0x00a20f10)
#define ZEN2      FAMILY(0x00830f10)
#define ZEN5      FAMILY(0x00b00f21)
#define HEAD      "wick tuning 1\nfamily: zen3\n"

static char folder[400], path[500], warned[4000];
static int warnings;

static void note_warning(void *context, wk_log_level level, const char *line) {
    (void)context, (void)level;
    (void)snprintf(warned, sizeof warned, "%s", line);
    warnings++;
}

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("tuning"));
    (void)snprintf(path, sizeof path, "%s/tuning.txt", folder);
    (void)setenv("WICK_TUNING", path, 1);
    (void)unsetenv("WICK_ISA");
    (void)unsetenv("WICK_WINOGRAD");
    wk_log_set(WK_LOG_WARNING, note_warning, NULL);
    mask_processor(ZEN3);
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(tuning, .init = set_up, .fini = tear_down);

static void write_table(const char *text) {
    write_bytes(path, text, strlen(text));
}

static wk__bucket product_bucket(int64_t m, int64_t n, int64_t k) {
    wk__bucket b = { .op = WK__TUNED_PRODUCT };
    const int64_t size[] = { 1, m, n, k };
    for (int i = 0; i < 4; i++) b.step[i] = wk__tuned_step_of(b.op, i, size[i]);
    return b;
}

static wk__bucket conv_bucket(int64_t n, int64_t channels, int64_t side) {
    wk__bucket b = { .op = WK__TUNED_CONV, .form = 1 };
    const int64_t size[] = { n, channels, channels, side };
    for (int i = 0; i < 4; i++) b.step[i] = wk__tuned_step_of(b.op, i, size[i]);
    return b;
}

/* ---- buckets ---- */

Test(tuning, every_size_falls_into_the_step_that_names_it) {
    static const wk__tuned_op ops[] = { WK__TUNED_PRODUCT, WK__TUNED_CONV, WK__TUNED_CONV_WEIGHT };
    for (int o = 0; o < 3; o++)
        for (int size = 0; size < wk__tuned_sizes(ops[o]); size++)
            for (int64_t value = 1; value < 6000; value++) {
                int step = wk__tuned_step_of(ops[o], size, value);
                wk__tuned_step s = wk__tuned_step_get(ops[o], size, step);
                cr_assert(value >= s.least && value <= s.most, "%s %lld: step %d, %lld to %lld",
                          wk__tuned_size_name(ops[o], size), (long long)value, step, (long long)s.least,
                          (long long)s.most);
                cr_assert(s.middle >= s.least && s.middle <= s.most);
            }
    cr_expect_eq(wk__tuned_step_of(WK__TUNED_PRODUCT, 1, INT64_MAX), 12);
    cr_expect_eq(wk__tuned_step_of(WK__TUNED_CONV, 3, INT64_MAX), 5);
    cr_expect_eq(wk__tuned_step_of(WK__TUNED_PRODUCT, 1, 0), 0);
}

/* ---- which table is heard ---- */

Test(tuning, without_tables_nothing_is_said) {
    mask_processor(ZEN5);
    wk__bucket b = product_bucket(64, 64, 64);
    cr_expect_eq(wk__tuning_of(&b, true), WK_BY_CHOICE);
    cr_expect(!wk__tuning()->shipped_loaded && !wk__tuning()->own_loaded);
    cr_expect_eq(warnings, 0, "%s", warned);
}

Test(tuning, the_shipped_table_of_the_family_is_loaded) {
    wk__bucket b = product_bucket(64, 64, 64), other = product_bucket(64, 64, 128);
    cr_expect_eq(wk__tuning_of(&b, true), WK_BY_OWN);
    cr_expect_eq(wk__tuning_of(&other, true), WK_BY_CHOICE);
    cr_expect(wk__tuning()->shipped_loaded && !wk__tuning()->own_loaded);
    cr_expect_str_eq(wk__tuning()->own, path);
    cr_expect_eq(warnings, 0, "%s", warned);
}

Test(tuning, ones_own_goes_before_the_shipped_one) {
    write_table(HEAD "product f32 nn batch=1 m=46-90 n=46-90 k=46-90: onednn\n"
                     "product f32 tt batch=2- m=1 n=2897- k=2: openblas # nothing but words\n"
                     "conv2d_backward_weight bf16 depthwise n=512- c=1 k=512- side=65- threads=2-: direct\nend\n");
    wk__bucket both = product_bucket(60, 80, 90), shipped = conv_bucket(4, 64, 32);
    cr_expect_eq(wk__tuning_of(&both, true), WK_BY_ONEDNN);
    cr_expect_eq(wk__tuning_of(&both, false), WK_BY_OWN);
    cr_expect_eq(wk__tuning_of(&shipped, true), WK_BY_DIRECT);
    wk__bucket last = { .op = WK__TUNED_PRODUCT, .form = 3, .step = { 1, 0, 12, 1 } };
    cr_expect_eq(wk__tuning_of(&last, true), WK_BY_OPENBLAS);
    last = (wk__bucket){ .op = WK__TUNED_CONV_WEIGHT, .dtype = 1, .form = 2, .step = { 5, 0, 5, 5, 1 } };
    cr_expect_eq(wk__tuning_of(&last, true), WK_BY_DIRECT);
    cr_expect(wk__tuning()->shipped_loaded && wk__tuning()->own_loaded);
    cr_expect_eq(warnings, 0, "%s", warned);
}

static void expect_own_from(const char *where) {
    (void)snprintf(path, sizeof path, "%s/wick/tuning.txt", where);
    char above[500];
    (void)snprintf(above, sizeof above, "%s/wick", where);
    (void)mkdir(where, 0700);
    cr_assert_eq(mkdir(above, 0700), 0);
    write_table(HEAD "end\n");
    cr_expect(wk__tuning()->own_loaded);
    cr_expect_str_eq(wk__tuning()->own, path);
}

Test(tuning, ones_own_lies_in_the_folder_for_configuration) {
    (void)unsetenv("WICK_TUNING");
    (void)setenv("XDG_CONFIG_HOME", folder, 1);
    expect_own_from(folder);
}

Test(tuning, ones_own_lies_in_dot_config_of_home) {
    char config[450];
    (void)snprintf(config, sizeof config, "%s/.config", folder);
    (void)unsetenv("WICK_TUNING");
    (void)unsetenv("XDG_CONFIG_HOME");
    (void)setenv("HOME", folder, 1);
    expect_own_from(config);
}

Test(tuning, an_empty_name_does_without_ones_own) {
    (void)setenv("WICK_TUNING", "", 1);
    (void)setenv("HOME", folder, 1);
    cr_expect_str_eq(wk__tuning()->own, "");
    cr_expect(!wk__tuning()->own_loaded);
}

/* ---- what is wrong with one ---- */

Test(tuning, a_corrupt_table_is_named_once_and_not_used) {
    write_table(HEAD "product f32 nn batch=1 m=46-90 n=46-90 k=46-90: onednn\n"
                     "product f32 nn batch=1 m=46-91 n=46-90 k=1: own\nend\n");
    wk__bucket b = product_bucket(64, 64, 64);
    for (int i = 0; i < 3; i++) cr_expect_eq(wk__tuning_of(&b, true), WK_BY_OWN, "the shipped one's");
    cr_expect_eq(warnings, 1);
    char expected[700];
    (void)snprintf(expected, sizeof expected,
                   "the tuning table %s, line 4: \"m=46-91\", expected m=46-90; it is not used", path);
    cr_expect_str_eq(warned, expected);
    cr_expect(!wk__tuning()->own_loaded);
}

Test(tuning, a_corrupt_shipped_table_is_named_too) {
    mask_processor(ZEN2);
    wk__bucket b = product_bucket(64, 64, 64);
    cr_expect_eq(wk__tuning_of(&b, true), WK_BY_CHOICE);
    cr_expect_eq(warnings, 1);
    cr_expect_not_null(strstr(warned, "/wick/tuning/zen2.txt, line 3: \"mkl\", expected own, openblas or onednn"), "%s",
                       warned);
}

Test(tuning, says_what_is_wrong_and_where) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "", "line 1: the file ends, expected \"end\"" },
        { "wick tuning 2\nend\n", "line 1: \"wick tuning 2\", expected \"wick tuning 1\"" },
        { "\x7f"
          "ELF\n",
          "line 1: \"\x7f"
          "ELF\", expected \"wick tuning 1\"" },
        { "wick tuning 1", "line 1: expected a line of at most 500 bytes, ended by a newline" },
        { "wick tuning 1\nend\n", "line 2: expected a line \"family: NAME\" above" },
        { "wick tuning 1\nfamily: zen4\nend\n",
          "line 2: it was measured on a processor of the family \"zen4\", expected \"zen3\"" },
        { HEAD, "line 3: the file ends, expected \"end\"" },
        { HEAD "end\nfamily: zen3\n", "line 4: \"family:\", expected nothing behind \"end\"" },
        { HEAD "colour: red\nend\n", "line 3: \"colour:\", expected family, processor" },
        { HEAD "conv4d f32\nend\n", "line 3: \"conv4d\", expected product, conv2d" },
        { HEAD "product f64 nn\nend\n", "line 3: \"f64\", expected f32 or bf16" },
        { HEAD "product f32 1x1 batch=1 m=1 n=1 k=1: own\nend\n", "line 3: \"1x1\", expected nn, nt, tn or tt" },
        { HEAD "conv2d f32 nn\nend\n", "line 3: \"nn\", expected 1x1, 3x3, depthwise or other" },
        { HEAD "product f32 nn batch=1 m=1 n=1 k=1 own\nend\n", "expected the sizes, then \": IMPLEMENTATION\"" },
        { HEAD "product f32 nn batch=1 m=1 k=1: own\nend\n", "line 3: \"k=1\", expected n=FROM-TO" },
        { HEAD "product f32 nn batch=1 m=1 n=1: own\nend\n", "line 3: \"\", expected k=FROM-TO" },
        { HEAD "product f32 nn batch=1 m=4 n=1 k=1: own\nend\n", "line 3: \"m=4\", expected m=3-5" },
        { HEAD "product f32 nn batch=1 m=1 n=1 k=1 j=1: own\nend\n", "line 3: \"j=1\", expected a colon" },
        { HEAD "product f32 nn batch=1 m=1 n=1 k=1: direct\nend\n", "\"direct\", expected own, openblas or onednn" },
        { HEAD "conv2d f32 1x1 n=1 c=1 k=1 side=1-4 threads=1: own\nend\n", "\"threads=1\", expected a colon" },
        { HEAD "conv2d f32 1x1 n=1 c=1 k=1 side=1-4: onednn\nend\n",
          "\"onednn\", expected own, direct, winograd or own-winograd" },
        { HEAD "product f32 nn batch=1 m=1 n=1 k=1: own own\nend\n", "line 3: expected nothing behind own" },
    };
    char problem[900];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_table(cases[i].text);
        cr_expect(!wk__tuning_check(path, problem, sizeof problem), "%s", cases[i].text);
        cr_expect_not_null(strstr(problem, cases[i].message), "%zu: %s", i, problem);
        cr_expect_not_null(strstr(problem, path), "%s", problem);
    }
    cr_expect(!wk__tuning_check(folder, problem, sizeof problem), "a folder is no table");
    cr_expect(!wk__tuning_check("/nowhere/at/all", problem, sizeof problem));
    cr_expect_not_null(strstr(problem, "cannot be opened"), "%s", problem);
}

Test(tuning, a_line_too_long_and_a_zero_byte_are_refused) {
    char text[900] = HEAD, problem[900];
    memset(text + strlen(HEAD), '#', 700);
    write_table(text);
    cr_expect(!wk__tuning_check(path, problem, sizeof problem));
    cr_expect_not_null(strstr(problem, "line 3: expected a line of at most 500 bytes"), "%s", problem);
    static const char zero[] = HEAD "# a\0b\nend\n";
    write_bytes(path, zero, sizeof zero - 1);
    cr_expect(!wk__tuning_check(path, problem, sizeof problem));
    cr_expect_not_null(strstr(problem, "line 3"), "%s", problem);
}

/* ---- what is computed by them ---- */

static wk_tensor *drawn(wk_dims dims) {
    wk_tensor *x = wk_empty(WK_F32, dims);
    float *value = wk_data(x);
    for (int64_t i = 0; i < wk_count(x); i++) value[i] = (float)(fmod(0.618033988749895 * (double)(i + 1), 1.0) - 0.5);
    return x;
}

static wk_tensor *convolve(wk_by by) {
    wk__forced forced = { .convolution = by };
    wk_tensor *x = drawn(WK_DIMS(4, 64, 28, 28)), *weight = drawn(WK_DIMS(64, 64, 3, 3));
    if (by) wk__cpu_force(&forced);
    wk_tensor *y = wk_conv2d(x, weight, NULL, (wk_conv_opts){ .padding = { 1, 1 } });
    wk__cpu_force(NULL);
    cr_assert_not_null(y, "%s", wk_message());
    if (by) cr_expect_eq(forced.asked, 1);
    return y;
}

static wk_tensor *multiply(wk_by by, int64_t size, int threads) {
    wk__forced forced = { .product = by };
    wk_tensor *a = drawn(WK_DIMS(size, size));
    wk_set_threads(threads);
    if (by) wk__cpu_force(&forced);
    wk_tensor *c = wk_matmul(a, a);
    wk__cpu_force(NULL);
    cr_assert_not_null(c, "%s", wk_message());
    if (by) cr_expect_eq(forced.last, by);
    return c;
}

static bool same_bits(const wk_tensor *a, const wk_tensor *b) {
    return memcmp(a->data, b->data, (size_t)a->count * sizeof(float)) == 0;
}

Test(tuning, a_convolution_is_computed_as_the_table_says) {
    if (!__builtin_cpu_supports("avx512f")) cr_skip_test("oneDNN has no Winograd here: a processor without AVX-512");
    wk_set_threads(1);
    wk_scope scope = wk_scope_begin();
    wk_tensor *chosen = convolve(WK_BY_CHOICE), *direct = convolve(WK_BY_DIRECT), *winograd = convolve(WK_BY_WINOGRAD);
    cr_expect(!same_bits(direct, winograd), "the two can be told apart");
    cr_expect(same_bits(chosen, direct), "the shipped table says direct");
    wk_scope_end(scope);
}

Test(tuning, without_tables_it_is_computed_as_the_rules_say) {
    mask_processor(ZEN5);
    wk_set_threads(1);
    wk_scope scope = wk_scope_begin();
    cr_expect(same_bits(convolve(WK_BY_CHOICE), convolve(WK_BY_OWN_WINOGRAD)), "the mask has no AVX-512");
    wk_scope_end(scope);
}

Test(tuning, the_switch_against_winograd_goes_before_tables) {
    (void)setenv("WICK_WINOGRAD", "0", 1);
    write_table(HEAD "conv2d f32 3x3 n=2-7 c=32-127 k=32-127 side=17-32: winograd\nend\n");
    wk_set_threads(1);
    wk__bucket b = conv_bucket(4, 64, 28);
    cr_assert_eq(wk__tuning_of(&b, true), WK_BY_WINOGRAD);
    wk_scope scope = wk_scope_begin();
    cr_expect(same_bits(convolve(WK_BY_CHOICE), convolve(WK_BY_DIRECT)));
    wk_scope_end(scope);
}

Test(tuning, a_table_that_says_winograd_is_heard) {
    write_table(HEAD "conv2d f32 3x3 n=2-7 c=32-127 k=32-127 side=17-32: winograd\nend\n");
    wk_set_threads(1);
    wk_scope scope = wk_scope_begin();
    cr_expect(same_bits(convolve(WK_BY_CHOICE), convolve(WK_BY_WINOGRAD)));
    wk_scope_end(scope);
}

/* A bucket reaches from one side of the bound to the other: 64³ is 2^18, 90³ is more than 2^19. */
Test(tuning, what_the_team_shares_never_goes_to_openblas) {
    write_table(HEAD "product f32 nn batch=1 m=46-90 n=46-90 k=46-90: openblas\nend\n");
    const wk_by team = WK_BY_OWN; /* the mask has no AVX-512 */
    wk_scope scope = wk_scope_begin();
    cr_expect(same_bits(multiply(WK_BY_CHOICE, 90, 2), multiply(team, 90, 2)));
    cr_expect(same_bits(multiply(WK_BY_CHOICE, 64, 2), multiply(WK_BY_OPENBLAS, 64, 2)));
    wk_scope_end(scope);
}

Test(tuning, products_have_the_same_bits_for_every_number_of_threads) {
    static const int64_t sizes[] = { 20, 64, 70, 90, 128, 300 };
    static const char *const by[] = { "own", "openblas", "onednn" };
    wk_text text = { 0 };
    wk_text_puts(&text, HEAD);
    for (int step = 0; step < 13; step++) {
        char m[40], n[40], k[40];
        wk__tuned_step_text(WK__TUNED_PRODUCT, 1, step, m, sizeof m);
        wk__tuned_step_text(WK__TUNED_PRODUCT, 2, step, n, sizeof n);
        wk__tuned_step_text(WK__TUNED_PRODUCT, 3, step, k, sizeof k);
        wk_text_printf(&text, "product f32 nn batch=1 %s %s %s: %s\n", m, n, k, by[step % 3]);
    }
    wk_text_puts(&text, "end\n");
    write_table(wk_text_get(&text));
    wk_text_free(&text);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *one = multiply(WK_BY_CHOICE, sizes[i], 1);
        for (int threads = 2; threads <= 4; threads++)
            cr_expect(same_bits(one, multiply(WK_BY_CHOICE, sizes[i], threads)), "%d: %d threads", (int)sizes[i],
                      threads);
        wk_scope_end(scope);
    }
    cr_expect(wk__tuning()->own_loaded, "%s", warned);
}

Test(tuning, what_an_implementation_does_not_take_is_counted) {
    wk__forced forced = { .product = WK_BY_OPENBLAS, .convolution = WK_BY_DIRECT };
    wk_scope scope = wk_scope_begin();
    wk_tensor *a = drawn(WK_DIMS(8, 8)), *half = wk_cast(a, WK_BF16);
    wk__cpu_force(&forced);
    cr_expect_not_null(wk_matmul(a, a));
    cr_expect_not_null(wk_matmul(half, half), "it is computed by another");
    cr_expect_not_null(wk_add(a, a));
    wk__cpu_force(NULL);
    cr_expect_not_null(wk_matmul(a, a));
    cr_expect_eq(forced.asked, 2);
    cr_expect_eq(forced.declined, 1);
    cr_expect_eq(forced.last, WK_BY_OPENBLAS);
    wk_scope_end(scope);
}
