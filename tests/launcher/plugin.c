/* Schedulers from shared libraries: the example, run; and libraries that are none. */
#include "launcher/harness.h"

#include <stdlib.h>
#include <string.h>

TestSuite(plugin, .init = state_begin, .fini = state_end);

Test(plugin, the_example_runs) {
    (void)setenv("WICK_PLUGINS", WICK_OWN_SCHEDULER, 1);
    outcome o =
        WICK("run", "utils.sh", "-j", "3", "-s", "serial", "--wait", "--log", "--", "echo I am $RANK; sleep 0.1");
    cr_assert_eq(o.code, 0, "%s", o.err);
    const char *handle = handle_of(&o);
    cr_assert_eq(strncmp(handle, "serial://wick/sh-", 17), 0);
    assert_contains(o.err, "sh/2 I am 2\n");
    outcome status = WICK("status", handle);
    assert_contains(status.out, "State: SUCCEEDED\n");
    assert_contains(status.out, "  sh[2]:SUCCEEDED\n");
    forget(&status);
    status = WICK("list");
    assert_contains(status.out, handle);
    forget(&status);
    forget(&o);
    o = WICK("run", "utils.sh", "-j", "3", "-s", "serial", "--wait", "--propagate-exit-code", "--",
             "exit $((RANK * 4))");
    cr_assert_eq(o.code, 4);
    o.out[strcspn(o.out, "\n")] = '\0';
    status = WICK("status", o.out);
    assert_contains(status.out, "  sh[1]:FAILED (exitcode: 4)\n");
    forget(&status);
    status = WICK("delete", o.out);
    cr_assert_eq(status.code, 0, "%s", status.err);
    forget(&status);
    forget(&o);
    o = WICK("run", "utils.sh", "-j", "2", "-s", "serial", "--", "sleep 1");
    handle = handle_of(&o);
    status = WICK("cancel", handle);
    cr_assert_eq(status.code, 0, "%s", status.err);
    cr_assert_str_eq(state_of(handle), "CANCELLED");
    forget(&status);
    forget(&o);
    o = WICK("run", "utils.echo", "-s", "serail", "--dryrun");
    cr_assert_str_eq(o.err, "wick: no scheduler \"serail\"; did you mean \"serial\"?\n");
    forget(&o);
    o = WICK("runopts");
    assert_contains(o.out, "serial: replicas one after the other (an example)\n");
    forget(&o);
}

Test(plugin, what_is_none_is_left_out) {
    (void)setenv("WICK_PLUGINS", "/nonexistent.so:" WICK_BUILD_DIR "/lib/libwicklaunch.so", 1);
    outcome o = WICK("run", "utils.echo", "--dryrun");
    cr_assert_eq(o.code, 0);
    assert_contains(o.err, "wick warning: plug-in /nonexistent.so left out: ");
    assert_contains(o.err, "libwicklaunch.so left out: no wk_scheduler_plugin in it\n");
    forget(&o);
}

static wk_request *nothing(const wk_appdef *app, const wk_cfg *cfg, const char *app_id) {
    (void)app, (void)cfg, (void)app_id;
    return NULL;
}

Test(plugin, interface_versions) {
    static const wk_scheduler_ops old = {
        .api_version = WK_SCHEDULER_API + 1, .size = sizeof old, .name = "old", .dryrun = nothing
    };
    static const wk_scheduler_ops twice = {
        .api_version = WK_SCHEDULER_API, .size = sizeof twice, .name = "local", .dryrun = nothing
    };
    cr_assert_eq(wk_scheduler_register(&old), WK_UNSUPPORTED);
    cr_assert_str_eq(wk_message(), "scheduler \"old\" is of interface version 2; this wick has 1");
    wk_clear_error();
    cr_assert_eq(wk_scheduler_register(&twice), WK_EXISTS);
    wk_clear_error();
}
