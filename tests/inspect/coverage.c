/* coverage.c: docs/cuda-coverage.md says what runs, and `wick devices` what there is. */
#include "wick/base.h"
#include "wick/inspect.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *file_of(const char *path) {
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    char *text = calloc(1, 1 << 20);
    (void)fread(text, 1, (1 << 20) - 1, file);
    (void)fclose(file);
    return text;
}

Test(coverage, is_up_to_date) {
    char *now = wk_op_coverage(), *before = file_of(WICK_SOURCE_DIR "/docs/cuda-coverage.md");
    cr_assert_not_null(now, "%s", wk_message());
    cr_expect(strcmp(now, before) == 0,
              "docs/cuda-coverage.md is out of date: run `build/bin/wick op --coverage docs/cuda-coverage.md`");
    wk_free(now);
    free(before);
}
