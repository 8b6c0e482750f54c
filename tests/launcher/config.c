/* .torchxconfig, wick.yaml, what goes before what, `configure`, and copies of workspaces. */
#include "launcher/harness.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(config, .init = state_begin, .fini = state_end);

/* Home and working directory are folders of the test; the files of TorchX apply. */
static void settle(void) {
    char path[PATH_MAX];
    static const char *const folders[] = { "home", "here", "tree", "tree/sub", "tree/cache" };
    for (size_t i = 0; i < WK_COUNT(folders); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", state_dir(), folders[i]);
        cr_assert_eq(mkdir(path, 0700), 0);
    }
    (void)snprintf(path, sizeof path, "%s/home", state_dir());
    (void)setenv("HOME", path, 1);
    (void)snprintf(path, sizeof path, "%s/here", state_dir());
    cr_assert_eq(chdir(path), 0);
    (void)unsetenv("TORCHXCONFIG");
    (void)unsetenv("WICK_CONFIG");
}

static void prints(const char *part, const char *const *argv) {
    outcome o = run_program(argv);
    cr_expect_eq(o.code, 0, "%s", o.err);
    cr_expect(strstr(o.out, part), "no %s in\n%s%s", part, o.out, o.err);
    forget(&o);
}
#define PRINTS(part, ...) prints(part, (const char *const[]){ WICK_BINARY, __VA_ARGS__, NULL })

static void says(const char *err, const char *const *argv) {
    outcome o = run_program(argv);
    cr_expect_eq(o.code, 2, "%d", o.code);
    cr_expect_str_eq(o.err, err);
    forget(&o);
}
#define SAYS(err, ...) says(err, (const char *const[]){ WICK_BINARY, __VA_ARGS__, NULL })

Test(config, what_goes_before_what) {
    settle();
    (void)write_file("here/.torchxconfig", "# ours\n[component:utils.echo]\nmsg = from cwd\nnum_replicas: 2\n"
                                           "[cli:run]\ncomponent = utils.echo\n");
    PRINTS("echo 'from cwd'", "run", "--dryrun");
    PRINTS("num_replicas: 2", "run", "--dryrun");
    (void)write_file("home/.torchxconfig", "[component:utils.echo]\nmsg = from home\n  and on\n");
    PRINTS("echo 'from home\nand on'", "run", "--dryrun"); /* home beats the project, as in TorchX */
    (void)write_file("one", "[component:utils.echo]\nmsg = from the variable\n");
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/one", state_dir());
    (void)setenv("TORCHXCONFIG", path, 1);
    PRINTS("echo 'from the variable'", "run", "utils.echo", "--dryrun");
    (void)write_file("here/wick.yaml", "version: 1\ncomponents: {utils.echo: {msg: from yaml, env: {A: 1}}}\n");
    PRINTS("echo 'from yaml'", "run", "utils.echo", "--dryrun");
    PRINTS("A=1", "run", "utils.echo", "--dryrun");
    PRINTS("echo 'from the line'", "run", "utils.echo", "--msg", "from the line", "--dryrun");
    (void)setenv("TORCHXCONFIG", "", 1);
    (void)setenv("WICK_CONFIG", "", 1);
    PRINTS("echo 'hello world'", "run", "utils.echo", "--dryrun");
}

Test(config, schedulers) {
    settle();
    (void)write_file("here/.torchxconfig",
                     "[cli:run]\nscheduler = mpi\n[mpi]\nmpirun = /bin/true\nbind = core\n"
                     "noSuch = x\nmca = a:b;c:d\nnp = None\nhostfile = #FIXME:(str) x\n[ray]\nx = 1\n");
    outcome o = WICK("run", "utils.echo", "--dryrun");
    assert_contains(o.out, "/bin/true --bind-to core ");
    assert_contains(o.out, "--mca a b --mca c d ");
    cr_assert_str_eq(o.err, "wick warning: .torchxconfig:6: mpi has no option \"noSuch\"; left out\n");
    forget(&o);
    PRINTS("--bind-to numa ", "run", "utils.echo", "--dryrun", "-cfg", "bind=numa");
    PRINTS("scheduler: local\n", "run", "utils.echo", "--dryrun", "-s", "local");
    (void)write_file("here/wick.yaml", "version: 1\nschedulers: {mpi: {bind: socket, mca: {x: \"1,2\"}}}\n");
    PRINTS("--bind-to socket ", "run", "utils.echo", "--dryrun");
    PRINTS("--mca x 1,2 ", "run", "utils.echo", "--dryrun");
}

Test(config, named_resources) {
    settle();
    (void)write_file("here/.torchxconfig", "[named_resources]\nmine = {\"cpu\": 3, \"gpu\": 2, \"memMB\": 100}\n");
    (void)write_file("here/wick.yaml", "version: 1\nnamed_resources: {ours: {h: gpu.small, cpu: 4}}\n");
    const char *app =
        write_file("here/app.yaml", "version: 1\nname: a\nroles: [{name: t, entrypoint: x, resource: mine_1}, "
                                    "{name: u, entrypoint: x, resource: ours}]\n");
    PRINTS("resource: mine_1", "run", app, "--dryrun");
}

Test(config, every_bad_file_has_its_sentence) {
    settle();
    static const char *const cases[][2] = {
        { "x = 1\n", "wick: .torchxconfig:1: a key before the first [section]\n" },
        { "[a]\nx\n", "wick: .torchxconfig:2: expected key = value, not \"x\"\n" },
        { "[a]\n= 1\n", "wick: .torchxconfig:2: a value without its key\n" },
        { "[a\n", "wick: .torchxconfig:1: a section without its ]\n" },
        { "[a]\nx=1\n\nx=2\n", "wick: .torchxconfig:4: duplicate key \"x\"\n" },
        { "[local]\ngrace = long\n", "wick: .torchxconfig:2: local: grace must be a number, not \"long\"\n" },
        { "[component:utils.echo]\nmsgs = a\n",
          "wick: configuration: utils.echo: unknown argument --msgs; did you mean --msg?\n" },
        { "[named_resources]\nx = {cpu: many}\n",
          "wick: .torchxconfig:2:1:7: cpu must be an integer from -1 to 2147483647, not \"many\"\n" },
    };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        (void)write_file("here/.torchxconfig", cases[i][0]);
        SAYS(cases[i][1], "run", "utils.echo", "--dryrun");
    }
    (void)write_file("here/.torchxconfig", "");
    (void)write_file("here/wick.yaml", "version: 1\nscheduler: {}\n");
    SAYS("wick: wick.yaml:2:1: unknown key \"scheduler\" in wick.yaml; did you mean \"schedulers\"?\n", "run",
         "utils.echo", "--dryrun");
    (void)setenv("WICK_CONFIG", "", 1);
    (void)setenv("TORCHXCONFIG", "/nonexistent", 1);
    SAYS("wick: /nonexistent (from TORCHXCONFIG): there is no such file\n", "run", "utils.echo", "--dryrun");
}

Test(config, trackers_parent_and_session) {
    settle();
    (void)write_file("here/.torchxconfig", "[torchx:tracker]\nmine = a.b\n[tracker:mine]\nconfig = /etc/x\n");
    outcome o = WICK("run", "utils.sh", "--parent_run_id", "p-1", "--wait", "--log", "--",
                     "echo $TORCHX_TRACKERS $TORCHX_TRACKER_MINE_CONFIG $TORCHX_PARENT_RUN_ID "
                     "${#TORCHX_INTERNAL_SESSION_ID} $TORCHX_JOB_ID");
    assert_contains(o.err, "sh/0 mine /etc/x p-1 36 local://wick/sh-");
    forget(&o);
}

Test(config, configure_and_runopts) {
    settle();
    outcome o = WICK("configure", "-s", "local", "-a", "--print");
    assert_contains(o.out, "[local]\nauto_set_cuda_visible_devices = true\ngrace = 5\n");
    forget(&o);
    o = WICK("configure", "-s", "mpi", "-a");
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    PRINTS("echo 'hello world'", "run", "utils.echo", "--dryrun"); /* what it wrote can be read */
    o = WICK("configure");
    cr_assert_eq(o.code, 2);
    cr_assert_str_eq(o.err, "wick: .torchxconfig exists already; --print shows what would be written\n");
    forget(&o);
    o = WICK("runopts", "local", "--json");
    assert_contains(o.out, "\"default\": \"5\"");
    forget(&o);
    o = WICK("runopts", "local");
    cr_assert_eq(
        strncmp(o.out,
                "local: processes on this machine\n    usage:\n        [auto_set_cuda_visible_devices=…],[grace=…]",
                60),
        0, "%s", o.out);
    assert_contains(o.out, "        grace=GRACE (float, 5)\n            seconds between");
    forget(&o);
}

Test(config, workspace_is_copied_once) {
    char tree[PATH_MAX];
    settle();
    (void)snprintf(tree, sizeof tree, "%s/tree", state_dir());
    (void)write_file("tree/a.txt", "one\n");
    (void)write_file("tree/sub/b.txt", "two\n");
    (void)write_file("tree/sub/c.log", "no\n");
    (void)write_file("tree/sub/keep.log", "yes\n");
    (void)write_file("tree/cache/d", "no\n");
    (void)write_file("tree/.torchxignore", "# comment\n*.log\n!sub/keep.log\ncache\n");
    outcome o =
        WICK("run", "utils.sh", "--workspace", tree, "--wait", "--", "find . -type f | sort; pwd; echo x > new");
    char *log = app_file(handle_of(&o), "sh/0/stdout.log");
    cr_assert_eq(strncmp(log, "./.torchxignore\n./a.txt\n./sub/b.txt\n./sub/keep.log\n/", 52), 0, "%s", log);
    assert_contains(log, "/workspaces/");
    wk_free(log);
    forget(&o);
    outcome dry = WICK("run", "utils.sh", "--workspace", tree, "--dryrun", "--", "x");
    char *at = strstr(dry.out, "directory: ");
    at = strstr(at + 1, "directory: ");
    assert_contains(at, "/workspaces/");
    at += strlen("directory: ");
    at[strcspn(at, "\n")] = '\0';
    cr_assert_eq(access(at, F_OK), 0, "the same content, the same copy");
    (void)write_file("tree/a.txt", "changed\n");
    outcome again = WICK("run", "utils.sh", "--workspace", tree, "--dryrun", "--", "x");
    cr_assert_null(strstr(again.out, at));
    forget(&again);
    forget(&dry);
    (void)write_file("here/.torchxconfig", "[cli:run]\nworkspace = /nonexistent\n");
    o = WICK("run", "utils.echo", "--dryrun");
    cr_assert_eq(o.code, 2);
    cr_assert_str_eq(o.err, "wick: workspace: /nonexistent: No such file or directory\n");
    forget(&o);
    PRINTS("hello world", "run", "utils.echo", "--workspace", "", "--dryrun");
}

Test(config, each_role_has_its_workspace) {
    char text[3000];
    settle();
    (void)write_file("tree/a.txt", "one\n");
    (void)snprintf(
        text, sizeof text,
        "version: 1\nname: a\nroles:\n  - {name: t, entrypoint: cat, args: [lib/a.txt], workspace: {%s/tree: "
        "lib}}\n  - {name: u, entrypoint: pwd}\n",
        state_dir());
    outcome o = WICK("run", write_file("here/app.yaml", text), "--wait", "--log");
    assert_contains(o.err, "t/0 one\n");
    assert_contains(o.err, "/here\n");
    forget(&o);
}
