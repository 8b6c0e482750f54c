/* golden.c: files made by tests/golden/make.py. */
#define WK_NO_CALL_SITES
#include "support/golden.h"

#include "support/sample.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

wk_safetensors *golden_open(const char *name) {
    char path[500];
    (void)snprintf(path, sizeof path, "%s/tests/golden/%s", WICK_SOURCE_DIR, name);
    wk_safetensors *file = wk_safetensors_open(path);
    cr_assert_not_null(file, "%s", wk_message());
    return file;
}

wk_tensor *golden_find(wk_safetensors *file, const char *format, ...) {
    char name[200];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(name, sizeof name, format, list);
    va_end(list);
    return wk_safetensors_has(file, name) ? wk_safetensors_get(file, name) : NULL;
}

wk_tensor *golden_get(wk_safetensors *file, const char *format, ...) {
    char name[200];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(name, sizeof name, format, list);
    va_end(list);
    wk_tensor *tensor = wk_safetensors_get(file, name);
    cr_assert_not_null(tensor, "%s", wk_message());
    return tensor;
}

static bool same_form(wk_tensor *got, wk_tensor *wanted, const char *what) {
    char a[160], b[160];
    cr_assert_not_null(got, "%s: %s", what, wk_message());
    (void)wk_describe(got, a, sizeof a);
    (void)wk_describe(wanted, b, sizeof b);
    bool same = strcmp(a, b) == 0;
    cr_expect(same, "%s: %s, expected %s", what, a, b);
    return same;
}

void golden_expect_close(wk_tensor *got, wk_tensor *wanted, double tolerance, const char *what) {
    if (!same_form(got, wanted, what)) return;
    double *a = tensor_values(got), *b = tensor_values(wanted);
    for (int64_t i = 0; i < wk_count(got); i++) {
        if (fabs(a[i] - b[i]) <= tolerance * (1 + fabs(b[i]))) continue;
        cr_expect(false, "%s, element %lld: %.10g, expected %.10g ± %.1g", what, (long long)i, a[i], b[i],
                  tolerance * (1 + fabs(b[i])));
        break;
    }
    free(a);
    free(b);
}

void golden_expect_equal(wk_tensor *got, wk_tensor *wanted, const char *what) {
    if (same_form(got, wanted, what)) cr_expect(same_bits(got, wanted), "%s: other bits", what);
}
