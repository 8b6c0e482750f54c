/* `wick op` as a person runs it. */
#define WK_NO_CALL_SITES
#include "support/golden.h"
#include "support/program.h"
#include "wick/autograd.h"
#include "wick/inspect.h"
#include "wick/op.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[400], x_path[500], g_path[500], y_path[500];

static void save(const char *path, int count, wk_tensor *const *tensors) {
    static const char *const names[] = { "a", "b", "c" };
    const wk_named_tensors all = { tensors, names, count };
    cr_assert_eq(wk_safetensors_save(path, all, NULL, 0), WK_OK, "%s", wk_message());
}

static wk_tensor *ramp(wk_dims dims, double scale) {
    wk_tensor *flat = wk_cast(wk_arange(dims.size[0] * dims.size[1]), WK_F32);
    return wk_reshape(wk_affine(flat, (wk_affine_opts){ scale, -1 }), dims);
}

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("op"));
    (void)snprintf(x_path, sizeof x_path, "%s/x.safetensors", folder);
    (void)snprintf(g_path, sizeof g_path, "%s/g.safetensors", folder);
    (void)snprintf(y_path, sizeof y_path, "%s/y.safetensors", folder);
    wk_scope scope = wk_scope_begin();
    save(x_path, 2, (wk_tensor *const[]){ ramp(WK_DIMS(3, 4), 0.25), ramp(WK_DIMS(1, 4), 0.5) });
    save(g_path, 1, (wk_tensor *const[]){ ramp(WK_DIMS(3, 4), 1) });
    wk_scope_end(scope);
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(op_command, .init = set_up, .fini = tear_down);

static int run_op(char **err, char *const words[]) {
    char *argv[20] = { WICK_PROGRAM, "op" };
    int n = 2;
    for (int i = 0; words[i]; i++) argv[n++] = words[i];
    return run_program(folder, argv, NULL, 30, err);
}
#define OP(err, ...) run_op(err, (char *const[]){ __VA_ARGS__, NULL })

Test(op_command, gives_what_the_library_gives) {
    char *err = NULL;
    cr_assert_eq(OP(&err, "mul", x_path, "-o", y_path, "--grad", g_path), 0, "%s", err);
    wk_scope scope = wk_scope_begin();
    wk_tensor *a = wk_require_grad(wk_keep(ramp(WK_DIMS(3, 4), 0.25)), true);
    wk_tensor *b = wk_require_grad(wk_keep(ramp(WK_DIMS(1, 4), 0.5)), true), *y = wk_mul(a, b);
    cr_assert_eq(wk_backward_from(y, ramp(WK_DIMS(3, 4), 1), (wk_backward_opts){ 0 }), WK_OK);
    wk_safetensors *file = wk_safetensors_open(y_path);
    cr_assert_not_null(file, "%s", wk_message());
    cr_expect_eq(wk_safetensors_count(file), 3);
    golden_expect_equal(wk_safetensors_get(file, "out.0"), y, "out.0");
    golden_expect_equal(wk_safetensors_get(file, "grad.0"), wk_gradient(a), "grad.0");
    golden_expect_equal(wk_safetensors_get(file, "grad.1"), wk_gradient(b), "grad.1");
    wk_safetensors_close(file);
    wk_release(a);
    wk_release(b);
    wk_scope_end(scope);
    free(err);
}

Test(op_command, takes_attributes_and_several_results) {
    char *err = NULL;
    cr_assert_eq(OP(&err, "split", g_path, "-o", y_path, "--attr", "axis=1", "--attr", "size=3"), 0, "%s", err);
    wk_scope scope = wk_scope_begin();
    wk_safetensors *file = wk_safetensors_open(y_path);
    cr_assert_not_null(file);
    cr_expect_eq(wk_size(wk_safetensors_get(file, "out.0"), 1), 3);
    cr_expect_eq(wk_size(wk_safetensors_get(file, "out.1"), 1), 1);
    wk_safetensors_close(file);
    wk_scope_end(scope);
    free(err);
}

static const struct {
    const char *words[8], *message;
} refusals[] = {
    { { "sofmax", "X" }, "wick: unknown operation \"sofmax\"; did you mean \"softmax\"?" },
    { { "gather_backward", "X" }, "wick: operation \"gather_backward\" serves gradients and optimizers" },
    { { "softmax", "X", "-o", "Y" }, "wick: softmax: 2 inputs in the files, expected 1" },
    { { "add", "X" }, "wick: op: expected -o OUTPUT" },
    { { "add", "X", "-o", "Y", "--attr", "axis=1" }, "wick: add: no attribute \"axis\"; expected none at all" },
    { { "sum", "X", "-o", "Y", "--attr", "axes=one" },
      "wick: sum: axes is \"one\", expected up to eight whole numbers" },
    { { "pad", "X", "-o", "Y", "--attr", "mode=mirror" },
      "wick: pad: mode is \"mirror\", expected constant|reflect|replicate|circular" },
    { { "add", "nowhere.safetensors", "-o", "Y" }, "nowhere.safetensors" },
    { { "eq", "X", "-o", "Y", "--grad", "G" }, "holds 1 gradients, but 0 results of eq have one" },
    { { "add", "X", "-o", "Y", "--threads", "none" }, "--threads is \"none\", expected a number of at least 1" },
    { { "add", "X", "-o" }, "wick: op: nothing stands behind -o" },
    { { "add", "X", "--loud", "1" }, "wick: op: unknown option --loud" },
};

Test(op_command, refuses_with_one_message) {
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        char *words[9] = { NULL }, *err = NULL;
        for (int k = 0; k < 8 && refusals[i].words[k]; k++) {
            const char *word = refusals[i].words[k];
            words[k] = strcmp(word, "X") == 0   ? x_path
                       : strcmp(word, "Y") == 0 ? y_path
                       : strcmp(word, "G") == 0 ? g_path
                                                : (char *)(uintptr_t)word;
        }
        int code = run_op(&err, words);
        cr_expect(code == 1 || code == 2, "%s: exit code %d", refusals[i].words[0], code);
        cr_expect(strstr(err, refusals[i].message), "expected \"%s\" in:\n%s", refusals[i].message, err);
        free(err);
    }
}

Test(op_command, lists_the_table) {
    char path[500], *text = NULL;
    size_t size = 0;
    (void)snprintf(path, sizeof path, "%s/table.json", folder);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(wk_op_table_print(file, true), WK_OK);
    cr_assert_eq(fclose(file), 0);
    text = read_bytes(path, &size);
    for (int id = 0; id < wk_op_count(); id++) {
        char name[100];
        (void)snprintf(name, sizeof name, "\"name\": \"%s\"", wk_op_get(id)->name);
        cr_expect(strstr(text, name), "%s is missing", wk_op_get(id)->name);
    }
    free(text);
}
