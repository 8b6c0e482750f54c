/* brief.h: whether a test leaves out what runs the same code once more.  tools/check asks for it (WICK_TEST_BRIEF=1)
 * where the sanitizers see the tests that the release build has run whole; tools/check --full does not. */
#ifndef WICK_TESTS_SUPPORT_BRIEF_H
#define WICK_TESTS_SUPPORT_BRIEF_H

#include <stdbool.h>
#include <stdlib.h>

static inline bool tests_are_brief(void) {
    return getenv("WICK_TEST_BRIEF") != NULL;
}

#endif
