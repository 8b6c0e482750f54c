/* monitor.c: `wick monitor`, and the component that shows metrics with it. */
#include "launcher/harness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(monitor, .init = state_begin, .fini = state_end, .timeout = 60);

Test(monitor, the_program_ends_by_itself) {
    outcome o = WICK("monitor", "sh", "-c", "echo out; exit 5");
    cr_expect_eq(o.code, 5);
    cr_expect_str_eq(o.out, "out\n");
    forget(&o);
    o = WICK("monitor", "--", "sh", "-c", "kill -9 $$");
    cr_expect_eq(o.code, 128 + SIGKILL);
    forget(&o);
    o = WICK("monitor", "nosuchprogram");
    cr_expect_eq(o.code, 127);
    assert_contains(o.err, "nosuchprogram: No such file");
    forget(&o);
}

/* Options as TorchX spells them; what the program started ends with it. */
Test(monitor, a_file_ends_it) {
    char script[600];
    const char *stop = write_file("stop-later", "");
    (void)snprintf(script, sizeof script, "sleep 3301 & (sleep 0.3; mv '%s' '%s.now') & sleep 3302", stop, stop);
    char now[500];
    (void)snprintf(now, sizeof now, "%s.now", stop);
    outcome o = WICK("monitor", "--exit_on_file", now, "--poll_rate", "0.1", "--kill_timeout", "5", "sh", "-c", script);
    cr_expect_eq(o.code, 0, "%s", o.err);
    forget(&o);
    cr_expect(vanishes("sleep\t3301", 5) && vanishes("3302", 5), "something of it is left");
}

Test(monitor, time_is_up) {
    double begin = wk_now();
    outcome o = WICK("monitor", "--timeout", "0.3", "--poll-rate", "0.1", "--kill-timeout", "0.3", "sh", "-c",
                     "trap '' TERM; while :; do sleep 0.1; done");
    cr_expect_eq(o.code, 34);
    cr_expect_lt(wk_now() - begin, 20);
    assert_contains(o.err, "0.3 s are over");
    forget(&o);
    o = WICK("monitor", "--timeout", "0.2", "--start-on-file", "/nonexistent/file", "true");
    cr_expect_eq(o.code, 34);
    assert_contains(o.err, "/nonexistent/file did not appear in 0.2 s");
    forget(&o);
}

Test(monitor, a_signal_is_passed_on) {
    outcome o = run_program((const char *const[]){
        "sh", "-c", "\"$1\" monitor sleep 3303 & pid=$!; sleep 0.5; kill -TERM $pid; wait $pid; echo $?", "sh",
        WICK_BINARY, NULL });
    cr_expect_str_eq(o.out, "143\n", "%s", o.err);
    cr_expect(vanishes("3303", 5));
    forget(&o);
}

Test(monitor, wrong_usage) {
    static const char *const wrong[][4] = { { "--tiemout", "3", "true", "unknown option --tiemout" },
                                            { "--timeout", "soon", "true", "expected seconds behind --timeout" },
                                            { "--timeout", "-1", "true", "expected seconds behind --timeout" },
                                            { "--poll-rate", "1", "--", "a program is missing" } };
    for (size_t i = 0; i < WK_COUNT(wrong); i++) {
        outcome o = WICK("monitor", wrong[i][0], wrong[i][1], wrong[i][2]);
        cr_expect_eq(o.code, 2);
        assert_contains(o.err, wrong[i][3]);
        forget(&o);
    }
}

/* A tensorboard of the test's own stands in PATH: what matters is what it is told. */
Test(monitor, tensorboard_component) {
    char path[600], now[300];
    const char *program = write_file("tensorboard", "#!/bin/sh\necho \"$@\"\n");
    (void)snprintf(now, sizeof now, "%.*s", (int)(strrchr(program, '/') - program), program);
    outcome made = run_program((const char *const[]){ "chmod", "+x", program, NULL });
    cr_assert_eq(made.code, 0);
    forget(&made);
    (void)snprintf(path, sizeof path, "%s:%s", now, getenv("PATH"));
    (void)setenv("PATH", path, 1);
    outcome o = WICK("run", "metrics.tensorboard", "--logdir", "runs", "--port", "7007", "--wait", "--log");
    cr_expect_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "--host 127.0.0.1 --port 7007 --logdir runs");
    forget(&o);
}
