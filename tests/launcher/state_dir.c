/* The state directory: what lies there is run, and secrets go through it, so it is one user's. */
#include "launcher/harness.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void begin(void) {
    state_begin();
    char own[PATH_MAX];
    (void)snprintf(own, sizeof own, "%s/deep/down", state_dir());
    (void)setenv("WICK_STATE_DIR", own, 1);
    outcome o = WICK("run", "utils.echo", "--wait");
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
}

TestSuite(state_directory, .init = begin, .fini = state_end);

static unsigned mode_of(const char *name) {
    struct stat info;
    char *path = wk_format("%s%s", getenv("WICK_STATE_DIR"), name);
    cr_assert_eq(stat(path, &info), 0, "%s", path);
    wk_free(path);
    return info.st_mode & 0777u;
}

static void is_refused(const char *why) {
    static const char *const words[][2] = { { "list" },
                                            { "status", "local://wick/echo-x7k2qv9wz4cd" },
                                            { "run", "utils.echo" } };
    for (size_t i = 0; i < WK_COUNT(words); i++) {
        outcome o = WICK(words[i][0], words[i][1]);
        cr_expect_eq(o.code, 1, "%s", words[i][0]);
        assert_contains(o.err, why);
        forget(&o);
    }
}

Test(state_directory, others_read_nothing) {
    cr_expect_eq(mode_of(""), 0700);
    cr_expect_eq(mode_of("/apps"), 0700);
    cr_expect_eq(mode_of("/wick.sqlite"), 0600);
}

Test(state_directory, others_may_not_write) {
    cr_assert_eq(chmod(getenv("WICK_STATE_DIR"), 0770), 0);
    is_refused("others may write to this state directory (mode 770)");
    cr_assert_eq(chmod(getenv("WICK_STATE_DIR"), 0755), 0);
    outcome o = WICK("list");
    cr_expect_eq(o.code, 0, "%s", o.err);
    forget(&o);
}

Test(state_directory, of_another_user) {
    if (geteuid() == 0)
        cr_assert_eq(chown(getenv("WICK_STATE_DIR"), 12345, (gid_t)-1), 0);
    else
        (void)setenv("WICK_STATE_DIR", "/", 1);
    is_refused("belong to the user with id ");
    if (geteuid() == 0) cr_assert_eq(chown(getenv("WICK_STATE_DIR"), 0, (gid_t)-1), 0);
}
