/* refused.c: see refused.h. */
#include "support/refused.h"

#include <stdio.h>
#include <string.h>

void expect_refused(wk_status code, const char *wanted, const char *file) {
    char place[80] = "";
    if (file) (void)snprintf(place, sizeof place, "  [%s:", strrchr(file, '/') ? strrchr(file, '/') + 1 : file);
    const size_t length = strlen(wanted);
    cr_expect_eq(wk_error_code(), code, "%s: code %s, expected %s", wanted, wk_status_name(wk_error_code()),
                 wk_status_name(code));
    const bool begins = strncmp(wk_message(), wanted, length) == 0;
    const char *rest = begins ? wk_message() + length : "";
    cr_expect(begins && (file ? strncmp(rest, place, strlen(place)) == 0 : *rest == '\0'),
              "message  \"%s\"\n  expected \"%s%s\"", wk_message(), wanted, place);
    wk_clear_error();
}

static wk_scope scope;
void scoped_suite_open(void) {
    scope = wk_scope_begin();
}
void scoped_suite_close(void) {
    cr_expect_not(wk_failed(), "left pending: %s", wk_message());
    wk_scope_end(scope);
}
