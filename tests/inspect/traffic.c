/* Traffic of kernels, as the emulated device counts it: figures that no change may worsen unseen.  Needs the plugin
 * that counts (cmake --build build --target wick_cudaemu_counting, as tools/check does). */
#include "support/program.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN WICK_BUILD_DIR "/lib/counting"
static char folder[400], json[500];

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("traffic"));
    (void)snprintf(json, sizeof json, "%s/lines.json", folder);
    if (access(PLUGIN "/wick_cudaemu.so", R_OK) != 0) cr_skip_test("the plugin that counts is not built");
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(traffic, .init = set_up, .fini = tear_down);

/* Bytes moved by the least that the row's cost says, percent of the sectors used, and bank conflicts a shared request.
 */
static void count(char *row, char *dtype, char *option, char *operands, char *mode, double figures[3]) {
    char *argv[] = { WICK_PROGRAM, "bench",  "ops",    row,  "--dtype", dtype, "--device", "cudaemu",
                     option,       operands, "--mode", mode, "--json",  json,  NULL };
    char *environment[] = { "WICK_PLUGIN_PATH=" PLUGIN, NULL };
    program p = start(folder, argv, environment);
    cr_assert_eq(finish(&p, 120), 0);
    json_t *all = json_load_file(json, 0, NULL);
    const char *note = json_string_value(json_object_get(json_array_get(json_object_get(all, "lines"), 0), "note"));
    cr_assert_not_null(note, "%s", row);
    cr_assert_eq(sscanf(note, "%*f MB in %*d launches, %lf x the least; sectors used %lf %%; bank conflicts %lf",
                        &figures[0], &figures[1], &figures[2]),
                 3, "%s", note);
    json_decref(all);
}

static const struct {
    char *row, *dtype, *option, *operands, *mode;
    double most, used, conflicts; /* bytes by the least; percent; each */
} kernels[] = {
    { "add", "f32", "--shape", "64x1024,64x1024", "traffic,forward", 1.01, 100, 0 },
    { "gelu", "f32", "--shape", "64x1024", "traffic,forward", 1.01, 100, 0 },
    { "softmax", "f32", "--shape", "64x1024", "traffic,forward", 1.01, 100, 0 },
    { "softmax", "f32", "--sample", "huge first", "traffic,forward", 1.01, 100, 0 },
    { "layer_norm", "f32", "--shape", "64x1024,1024,1024", "traffic,forward", 1.05, 99, 0 },
    { "layer_norm", "f32", "--shape", "512x1024,1024,1024", "traffic,grad", 1.25, 99, 0 },
    { "rms_norm", "f32", "--shape", "64x1024,1024", "traffic,forward", 1.05, 99, 0 },
    { "cross_entropy", "f32", "--shape", "64x1000,64", "traffic,forward", 1.05, 90, 0.01 },
    { "scaled_dot_product_attention", "bf16", "--shape", "1x2x128x64,1x2x128x64,1x2x128x64", "traffic,forward", 1.01,
      100, 0 },
    { "scaled_dot_product_attention", "bf16", "--shape", "1x1x128x128,1x1x128x128,1x1x128x128", "traffic,grad", 1.4, 95,
      0 },
};

Test(traffic, fused_kernels_move_little_more_than_they_must) {
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        double figures[3];
        count(kernels[i].row, kernels[i].dtype, kernels[i].option, kernels[i].operands, kernels[i].mode, figures);
        cr_expect_leq(figures[0], kernels[i].most, "%s moves %g x the least", kernels[i].row, figures[0]);
        cr_expect_geq(figures[1], kernels[i].used, "%s uses %g %% of its sectors", kernels[i].row, figures[1]);
        cr_expect_leq(figures[2], kernels[i].conflicts, "%s has %g conflicts a request", kernels[i].row, figures[2]);
    }
}

Test(traffic, a_plugin_that_does_not_count_says_what_to_build) {
    char *err = NULL;
    char *argv[] = { WICK_PROGRAM, "bench", "ops", "add", "--device", "cudaemu", "--mode", "traffic", NULL };
    cr_expect_eq(run_program(folder, argv, NULL, 200, &err), 1);
    cr_expect_not_null(strstr(err, "--target wick_cudaemu_counting"), "%s", err);
    free(err);
}
