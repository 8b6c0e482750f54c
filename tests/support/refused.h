/* refused.h: what a bad call says: code, message, and the place of the call. */
#ifndef WICK_TESTS_REFUSED_H
#define WICK_TESTS_REFUSED_H

#include "wick/tensor.h"

#include <criterion/criterion.h>

/* The call gives NULL, and the pending error is `code` with `message` and the place of the call in this file.  The
 * error is forgotten. */
#define REFUSED(call, code, message)             \
    do {                                         \
        cr_expect_null(call, "%s", message);     \
        expect_refused(code, message, __FILE__); \
    } while (0)
/* The same where no operation is at work, so that no place is told. */
#define REFUSED_PLAINLY(call, code, message) \
    do {                                     \
        cr_expect_null(call, "%s", message); \
        expect_refused(code, message, NULL); \
    } while (0)
void expect_refused(wk_status code, const char *wanted, const char *file);

/* A suite whose tests run in a scope each and leave no error pending. */
#define SCOPED_SUITE(name) TestSuite(name, .init = scoped_suite_open, .fini = scoped_suite_close)
void scoped_suite_open(void);
void scoped_suite_close(void);

#endif
