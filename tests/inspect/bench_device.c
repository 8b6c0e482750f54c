/* `wick bench --device`: operations, steps and roofs of the emulated device; never its times. */
#include "support/program.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[400], json[500];

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("bench"));
    (void)snprintf(json, sizeof json, "%s/lines.json", folder);
    if (access(WICK_BUILD_DIR "/lib/wick_cudaemu.so", R_OK) != 0) cr_skip_test("built without the emulated device");
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(bench_device, .init = set_up, .fini = tear_down);

/* The file that the command writes. */
static json_t *bench(char *const words[]) {
    char *err = NULL, *argv[20] = { WICK_PROGRAM, "bench" };
    int n = 2;
    for (int i = 0; words[i]; i++) argv[n++] = words[i];
    int code = run_program(folder, argv, NULL, 120, &err);
    cr_assert_eq(code, 0, "%s", err);
    free(err);
    json_t *all = json_load_file(json, 0, NULL);
    cr_assert_not_null(all);
    return all;
}
#define BENCH(...) bench((char *const[]){ __VA_ARGS__, "--device", "cudaemu", "--json", json, NULL })

static void expect_device(const json_t *all) {
    const char *device = json_string_value(json_object_get(all, "device"));
    cr_assert_not_null(device);
    cr_expect_str_eq(device, "cudaemu:0: CUDA emulator, 9.0");
}

Test(bench_device, roofs_are_the_devices_own) {
    json_t *all = BENCH("roofs"), *roofs = json_object_get(all, "roofs"), *level = json_object_get(roofs, "bandwidth");
    expect_device(all);
    cr_assert_eq(json_array_size(level), 2, "the second-level cache and memory");
    for (size_t i = 0; i < 2; i++)
        cr_expect_gt(json_number_value(json_object_get(json_array_get(level, i), "bytes_per_second")), 0);
    cr_expect_gt(json_number_value(json_object_get(roofs, "f32_operations_per_second")), 0);
    cr_expect_gt(json_number_value(json_object_get(roofs, "bf16_operations_per_second")), 0);
    json_decref(all);
}

Test(bench_device, an_operation_is_timed_there) {
    json_t *all = BENCH("ops", "add", "--shape", "64x64,64x64", "--min-time", "0.001"),
           *lines = json_object_get(all, "lines");
    expect_device(all);
    cr_assert_eq(json_array_size(lines), 2, "forward and with gradient");
    const char *repeat = json_string_value(json_object_get(json_array_get(lines, 0), "repeat"));
    cr_expect(repeat && strstr(repeat, "--device cudaemu:0"), "%s", repeat);
    cr_expect_gt(json_number_value(json_object_get(json_array_get(lines, 0), "wick_ns")), 0);
    json_decref(all);
}

Test(bench_device, a_row_without_a_kernel_there_is_a_line_that_says_so) {
    json_t *all = BENCH("ops", "squareplus", "--sample", "usual", "--min-time", "0.001", "--plugin", WICK_OWN_OP);
    json_t *lines = json_object_get(all, "lines");
    cr_assert_geq(json_array_size(lines), 1);
    const char *note = json_string_value(json_object_get(json_array_get(lines, 0), "note"));
    cr_expect(note && strstr(note, "squareplus: f32 is not supported on cudaemu:0"), "%s", note);
    json_decref(all);
}

/* Numbers are drawn on the CPU: losses are those of the CPU. */
Test(bench_device, a_step_gives_the_losses_of_the_cpu) {
    double loss[2];
    for (int i = 0; i < 2; i++) {
        char *argv[] = { WICK_PROGRAM,          "bench", "step", "mlp", "--steps", "3", "--warmup", "0", "--device",
                         i ? "cudaemu" : "cpu", NULL };
        program p = start(folder, argv, NULL);
        cr_assert_eq(finish(&p, 120), 0);
        char *out = read_bytes(p.out, NULL);
        cr_assert_not_null(out);
        json_t *line = json_loads(out, 0, NULL);
        cr_assert_not_null(line, "%s", out);
        loss[i] = json_number_value(json_object_get(line, "loss_last"));
        json_decref(line);
        free(out);
    }
    cr_expect_gt(loss[0], 0);
    cr_expect_float_eq(loss[1], loss[0], 1e-5 * loss[0], "%.9g on the device, %.9g on the CPU", loss[1], loss[0]);
}
