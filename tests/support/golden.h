/* golden.h: files of tests/golden, and closeness to what they hold. */
#ifndef WICK_TESTS_GOLDEN_H
#define WICK_TESTS_GOLDEN_H

#include "wick/io.h"

#include <criterion/criterion.h>

/* tests/golden/NAME; the test fails if it cannot be read. */
wk_safetensors *golden_open(const char *name);
/* A tensor by formatted name, scoped; NULL if there is none. */
wk_tensor *golden_find(wk_safetensors *file, const char *format, ...) WK_PRINTF(2, 3);
/* The same; the test fails if there is none. */
wk_tensor *golden_get(wk_safetensors *file, const char *format, ...) WK_PRINTF(2, 3);
/* |got − wanted| ≤ tolerance · (1 + |wanted|), same shape and dtype. */
void golden_expect_close(wk_tensor *got, wk_tensor *wanted, double tolerance, const char *what);
/* Bit for bit. */
void golden_expect_equal(wk_tensor *got, wk_tensor *wanted, const char *what);

#endif
