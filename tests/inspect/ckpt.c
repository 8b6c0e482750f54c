/* ckpt.c: `wick ckpt` as a person runs it. */
#include "support/program.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN WICK_SOURCE_DIR "/tests/golden/torch/"

static char folder[400], out[500], *printed, *err; /* of the last run */
static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("ckpt"));
}
static void tear_down(void) {
    free(printed);
    free(err);
    printed = err = NULL;
    remove_folder(folder);
}
TestSuite(ckpt_command, .init = set_up, .fini = tear_down);

static const char *in_folder(const char *name) {
    (void)snprintf(out, sizeof out, "%s/%s", folder, name);
    return out;
}

static int run_ckpt(char *const words[]) {
    char *argv[10] = { WICK_PROGRAM, "ckpt" };
    for (int n = 2, i = 0; words[i]; i++) argv[n++] = words[i];
    program p = start(folder, argv, NULL);
    const int code = finish(&p, 120);
    size_t size;
    free(printed);
    free(err);
    printed = read_bytes(p.out, &size);
    err = read_bytes(p.err, &size);
    return code;
}
#define CKPT(...)          run_ckpt((char *const[]){ __VA_ARGS__, NULL })
#define SAYS(text, wanted) cr_expect(strstr(text, wanted), "%s, and not %s", text, wanted)

Test(ckpt_command, lists) {
    cr_assert_eq(CKPT("ls", GOLDEN "state.pt"), 0, "%s", err);
    SAYS(printed, "layer.weight                                     f32   (2, 3)                         24");
    SAYS(printed, "3 tensors, 9 numbers");
    cr_assert_eq(CKPT("ls", GOLDEN "state.pt", "--json"), 0, "%s", err);
    json_t *all = json_loads(printed, 0, NULL);
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(all, 2), "dtype")), "i64");
    json_decref(all);
    cr_assert_eq(CKPT("show", GOLDEN "views.pt", "part"), 0, "%s", err);
    SAYS(printed, "least 6, greatest 16, mean 11");
}

Test(ckpt_command, converts_to_every_format_and_back) {
    static const char *const formats[] = { "a.safetensors", "a.npz", "a.pth" };
    for (int i = 0; i < 3; i++) {
        char to[600];
        (void)snprintf(to, sizeof to, "%s", in_folder(formats[i]));
        cr_assert_eq(CKPT("convert", GOLDEN "state.pt", to), 0, "%s", err);
        cr_expect_eq(CKPT("diff", GOLDEN "state.pt", to), 0, "%s", printed);
        SAYS(printed, "equal: 3 tensors");
    }
}

Test(ckpt_command, differences_and_means) {
    char to[600];
    cr_expect_eq(CKPT("diff", GOLDEN "state.pt", GOLDEN "list.pt"), 1);
    SAYS(printed, "layer.bias: only in ");
    SAYS(printed, "\n0: only in ");
    (void)snprintf(to, sizeof to, "%s", in_folder("mean.safetensors"));
    cr_assert_eq(CKPT("average", to, GOLDEN "state.pt", GOLDEN "state.pt", GOLDEN "protocol4.pt"), 0, "%s", err);
    cr_expect_eq(CKPT("diff", to, GOLDEN "state.pt"), 0, "%s", printed);
    cr_expect_eq(CKPT("average", to, GOLDEN "state.pt", GOLDEN "list.pt"), 1);
    SAYS(err, "2 tensors, the first file has 3");
}

Test(ckpt_command, wrong_usage_and_files) {
    cr_expect_eq(CKPT("lss", "x"), 2);
    SAYS(err, "did you mean \"ls\"");
    cr_expect_eq(CKPT("convert", "one"), 2);
    SAYS(err, "convert takes two files");
    cr_expect_eq(CKPT("ls", GOLDEN "code.pt"), 1);
    SAYS(err, "asks for posix.system");
    cr_expect_eq(CKPT("convert", GOLDEN "state.pt", "state.zip"), 1);
    SAYS(err, "expected a name that ends with .safetensors, .npz, .pt");
    cr_expect_eq(CKPT("diff", GOLDEN "state.pt", "nowhere.pt"), 2);
    SAYS(err, "nowhere.pt");
}
