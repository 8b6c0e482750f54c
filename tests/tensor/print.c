/* print.c: tensors as text against what NumPy printed (tests/golden/print.py). */
#define WK_NO_CALL_SITES
#include "support/sample.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static char *whole_file(const char *path) {
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s", path);
    cr_assert_eq(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    rewind(file);
    char *text = malloc((size_t)size + 1);
    cr_assert_eq(fread(text, 1, (size_t)size, file), (size_t)size);
    text[size] = '\0';
    (void)fclose(file);
    return text;
}

static wk_dtype dtype_of(const char *name) {
    for (int d = 0; d < WK_DTYPE_COUNT; d++)
        if (strcmp(wk_dtype_name((wk_dtype)d), name) == 0) return (wk_dtype)d;
    cr_assert_fail("no dtype \"%s\"", name);
    return WK_F32;
}

/* "f32 2 3 4 : 0011…" to a tensor. */
static wk_tensor *read_case(char *line) {
    char *save = NULL, *word = strtok_r(line, " ", &save);
    wk_dtype dtype = dtype_of(word);
    wk_dims dims = { .rank = atoi(strtok_r(NULL, " ", &save)) };
    for (int i = 0; i < dims.rank; i++) dims.size[i] = atoll(strtok_r(NULL, " ", &save));
    cr_assert_str_eq(strtok_r(NULL, " ", &save), ":");
    const char *hex = strtok_r(NULL, " ", &save);
    wk_tensor *tensor = wk_empty(dtype, dims);
    unsigned char *bytes = wk_data(tensor);
    for (size_t i = 0; hex && hex[2 * i]; i++) {
        const char pair[3] = { hex[2 * i], hex[2 * i + 1], '\0' };
        bytes[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    return tensor;
}

static void expect_text(const wk_tensor *tensor, bool repr, const char *wanted, int number) {
    char *text = wk_tensor_format(tensor, (wk_format_opts){ .repr = repr });
    cr_assert(text, "%s", wk_message());
    cr_expect_str_eq(text, wanted, "case %d, %s:\n%s\n---- NumPy:\n%s", number, repr ? "repr" : "str", text, wanted);
    wk_free(text);
}

/* Cut the text up to the next line "----" off, and give it. */
static char *next_text(char **at) {
    char *text = *at, *end = strstr(text, "\n----\n");
    cr_assert(end);
    *end = '\0';
    *at = end + 6;
    return text;
}

Test(print, as_numpy_does) {
    char *file = whole_file(WICK_SOURCE_DIR "/tests/golden/print.txt"), *at = file;
    int cases = 0;
    for (; *at; cases++) {
        char *line = at;
        at = strchr(at, '\n');
        *at++ = '\0';
        wk_scope scope = wk_scope_begin();
        wk_tensor *tensor = read_case(line);
        expect_text(tensor, false, next_text(&at), cases);
        char *repr = next_text(&at);
        expect_text(tensor, true, repr, cases);
        if (wk_rank(tensor) == 2) /* however it lies in memory */
            expect_text(wk__sample_lay_out(tensor, WK__SAMPLE_GAPS), true, repr, cases);
        wk_scope_end(scope);
    }
    cr_expect_gt(cases, 200);
    free(file);
}

Test(print, settings_streams_and_mistakes) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_cast(wk_arange(20), WK_F32);
    char *text = wk_tensor_format(wk_scale(x, 1.0 / 3),
                                  (wk_format_opts){ .precision = WK_SET(2), .threshold = 10, .edge_items = 2 });
    cr_expect_str_eq(text, "[0.   0.33 ... 6.   6.33]");
    wk_free(text);
    text = wk_tensor_format(x, (wk_format_opts){ .line_width = 20 });
    cr_expect_str_eq(text, "[ 0.  1.  2.  3.\n  4.  5.  6.  7.\n  8.  9. 10. 11.\n 12. 13. 14. 15.\n 16. 17. 18. 19.]");
    wk_free(text);
    text = wk_tensor_format(wk_cast(wk_arange(3), WK_BF16), (wk_format_opts){ .repr = true });
    cr_expect_str_eq(text, "array([0., 1., 2.], dtype=bfloat16)");
    wk_free(text);
    FILE *stream = tmpfile();
    cr_assert_eq(wk_tensor_print(wk_arange(3), stream), WK_OK);
    char line[20] = "";
    rewind(stream);
    cr_expect(fgets(line, sizeof line, stream) && strcmp(line, "[0 1 2]\n") == 0, "%s", line);
    (void)fclose(stream);
    cr_expect_null(wk_tensor_format(NULL, (wk_format_opts){ .repr = false }));
    cr_expect_str_eq(wk_message(), "wk_tensor_format: the tensor is NULL");
    wk_clear_error();
    cr_expect_null(wk_tensor_format(x, (wk_format_opts){ .precision = WK_SET(-1) }));
    cr_expect_str_eq(wk_message(), "wk_tensor_format: precision -1, expected 0 to 20");
    wk_clear_error();
    wk_scope_end(scope);
}
