/* `wick log`: nothing lost, no line torn, times, progress bars, readers that go away. */
#include "launcher/harness.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(logs, .init = state_begin, .fini = state_end);

static size_t count_lines(const char *text) {
    size_t lines = 0;
    for (; (text = strchr(text, '\n')); text++) lines++;
    return lines;
}

/* 200 replicas write 1,000 numbered lines each while they are followed: every line is there, whole, in its order. */
Test(logs, follow_200_replicas_of_1000_lines, .timeout = 300) {
    const int replicas = tests_are_brief() ? 20 : 200;
    char count[8];
    (void)snprintf(count, sizeof count, "%d", replicas);
    outcome o = WICK("run", "utils.sh", "-j", count, "--",
                     "i=0; while [ $i -lt 1000 ]; do echo \"line $i of $RANK\"; i=$((i+1)); done");
    const char *handle = handle_of(&o);
    outcome log = WICK("log", "-f", handle);
    cr_assert_eq(log.code, 0, "%s", log.err);
    static int next[200];
    for (const char *at = log.out; *at; at = strchr(at, '\n') + 1) {
        int replica = -1;
        int line = -1;
        int rank = -1;
        cr_assert_eq(sscanf(at, "sh/%d line %d of %d\n", &replica, &line, &rank), 3, "%.80s", at);
        cr_assert(replica == rank && rank >= 0 && rank < replicas);
        cr_assert_eq(line, next[rank]++, "%.80s", at);
    }
    for (int k = 0; k < replicas; k++) cr_assert_eq(next[k], 1000);
    cr_assert_eq(count_lines(log.out), replicas * 1000);
    forget(&log);
    log = WICK("log", handle); /* and again from the files */
    cr_assert_eq(count_lines(log.out), replicas * 1000);
    forget(&log);
    forget(&o);
}

/* A thousand replicas, all followed by one process from before they start: each says its line, in less than 10 s as the
 * launcher promises for two cores (the sanitizers' builds have longer), within 100 MiB. */
Test(logs, follow_1000_replicas, .timeout = 300) {
    const int replicas = tests_are_brief() ? 100 : 1000;
    char count[8];
    (void)snprintf(count, sizeof count, "%d", replicas);
    outcome o = WICK("run", "utils.sh", "-j", count, "--wait", "--log", "--", "echo $RANK");
    cr_assert_eq(o.code, 0, "%.400s", o.err);
    int there = 0;
    for (int k = 0; k < replicas; k++) {
        char line[48];
        (void)snprintf(line, sizeof line, "sh/%d %d\n", k, k);
        there += strstr(o.err, line) != NULL;
    }
    cr_expect_eq(there, replicas);
    forget(&o);
#ifndef __SANITIZE_ADDRESS__
    struct rusage usage;
    cr_assert_eq(getrusage(RUSAGE_CHILDREN, &usage), 0);
    cr_expect_lt(usage.ru_maxrss, 100 << 10, "%ld KiB", usage.ru_maxrss);
#endif
}

/* The files hold what was written and nothing else; times stand beside them, and the streams of all replicas come in
 * the order in which lines were written. */
Test(logs, times_and_order) {
    outcome o = WICK("run", "utils.sh", "-j", "2", "--wait", "--",
                     "sleep 0.$((1+RANK*5)); echo a$RANK; sleep 1; echo b$RANK >&2; sleep 1; printf c$RANK");
    const char *handle = handle_of(&o);
    char *file = app_file(handle, "sh/1/stdout.log");
    cr_expect_str_eq(file, "a1\nc1");
    wk_free(file);
    outcome log = WICK("log", "--timestamps", handle);
    static const char *const order[] = { "sh/0 a0\n", "sh/1 a1\n", "sh/0 b0\n", "sh/1 b1\n", "sh/0 c0\n", "sh/1 c1\n" };
    const char *at = log.out;
    char times[6][32];
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(sscanf(at, "%31s", times[i]), 1);
        cr_expect_eq(strlen(times[i]), strlen("2026-11-22T03:00:00.123Z"), "%s", times[i]);
        cr_expect_eq(strncmp(at + strlen(times[i]) + 1, order[i], strlen(order[i])), 0, "%d: %s", i, log.out);
        if (i) cr_expect_lt(strcmp(times[i - 1], times[i]), 0);
        at = strchr(at, '\n') + 1;
    }
    forget(&log);
    char word[64]; /* to the second below */
    (void)snprintf(word, sizeof word, "--since=%.19s", times[4]);
    log = WICK("log", word, handle);
    cr_expect_not_null(strstr(log.out, "sh/1 c1"));
    cr_expect_null(strstr(log.out, "sh/0 a0"));
    forget(&log);
    (void)snprintf(word, sizeof word, "--until=%.1f", wk_wall_time() + 5);
    log = WICK("log", word, "--since", "1h", handle);
    cr_expect_eq(count_lines(log.out), 6);
    forget(&log);
    log = WICK("log", "--until", "1h", handle);
    cr_expect_str_eq(log.out, "");
    forget(&log);
    log = WICK("log", "--since", "yesterday", handle);
    cr_expect_eq(log.code, 2);
    assert_contains(
        log.err,
        "wick: log: --since takes an age (30s, 10m, 2h, 1d), a time (2026-11-22T03:00:00Z, UTC) or seconds since 1970, "
        "not \"yesterday\"");
    forget(&log);
    forget(&o);
}

/* Each attempt has its times, and its last line does not run into the next one's first. */
Test(logs, attempts_stay_apart) {
    const char *file =
        write_file("app.yaml", "version: 1\nname: j\nroles:\n  - name: t\n    entrypoint: sh\n    max_retries: 1\n"
                               "    args: [-c, 'printf at$TORCHELASTIC_RESTART_COUNT; sleep 0.2; exit 1']\n");
    outcome o = WICK("run", file, "--wait");
    cr_expect_eq(o.code, 1);
    o.out[strcspn(o.out, "\n")] = '\0';
    outcome log = WICK("log", o.out);
    cr_expect_str_eq(log.out, "t/0 at0\nt/0 at1\n");
    forget(&log);
    log = WICK("log", "--timestamps", o.out);
    cr_expect_eq(count_lines(log.out), 2);
    cr_expect(isdigit((unsigned char)log.out[0]), "%s", log.out);
    assert_contains(log.out, "Z t/0 at1\n");
    forget(&log);
    forget(&o);
}

/* What carriage returns drew over itself is shown as it was last. */
Test(logs, progress_bars) {
    outcome o = WICK("run", "utils.sh", "--",
                     "i=0; while [ $i -lt 25 ]; do printf '\\r%d of 25' $i; sleep 0.1; i=$((i+1)); done; "
                     "printf '\\r25 of 25\\n'; printf 'dos\\r\\n'; printf 'x\\ry'");
    const char *handle = handle_of(&o);
    outcome log = WICK("log", "-f", handle);
    size_t lines = count_lines(log.out);
    cr_expect(lines >= 4 && lines <= 8, "%s", log.out); /* the bar about once a second, and three ends */
    cr_expect_null(strchr(log.out, '\r'));
    cr_expect_null(strstr(log.out, "sh/0 \n"));
    assert_contains(log.out, "sh/0 25 of 25\nsh/0 dos\n");
    assert_contains(log.out, "sh/0 y\n");
    forget(&log);
    log = WICK("log", handle);
    cr_expect_str_eq(log.out, "sh/0 25 of 25\nsh/0 dos\nsh/0 y\n");
    forget(&log);
    char *file = app_file(handle, "sh/0/stdout.log");
    assert_contains(file, "\r3 of 25\r4 of 25"); /* the file is the program's */
    wk_free(file);
    forget(&o);
}

/* `wick log -f | head`: the reader's going is the end, while the app runs on. */
Test(logs, a_reader_that_goes) {
    outcome o = WICK("run", "utils.sh", "-j", "2", "--", "while :; do echo again; sleep 0.01; done");
    const char *handle = handle_of(&o);
    char script[600];
    (void)snprintf(script, sizeof script, "%s log -f %s | head -n 3; echo ${PIPESTATUS[0]}", WICK_BINARY, handle);
    outcome log = run_program((const char *const[]){ "bash", "-c", script, NULL });
    cr_expect_lt(log.seconds, 25.0);
    cr_expect_eq(count_lines(log.out), 4, "%s", log.out);
    assert_contains(log.out, "again\n0\n");
    cr_expect_str_eq(log.err, "");
    cr_expect_str_eq(state_of(handle), "RUNNING");
    forget(&log);
    forget(&o);
}
