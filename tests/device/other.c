/* other.c: the device of these tests, and what libraries refused meanwhile. */
#include "device/other.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

wk_device other(void) {
    const char *name = getenv("WICK_TEST_DEVICE");
    static wk_device device; /* also with an error pending */
    if (!device) cr_assert_eq(wk_device_parse(name && *name ? name : "cudaemu", &device), WK_OK, "%s", wk_message());
    return device;
}

static int refusals;

static void look_for_refusals(void *context, wk_log_level level, const char *line) {
    (void)context, (void)level;
    if (!strstr(line, "has no plan")) return;
    refusals++;
    (void)fprintf(stderr, "%s\n", line);
}

void other_watch_refusals(void) {
    refusals = 0;
    wk_log_set(WK_LOG_INFO, look_for_refusals, NULL);
}

void other_expect_no_refusals(void) {
    cr_expect_eq(refusals, 0, "a library refuses %d of the calls", refusals);
}
