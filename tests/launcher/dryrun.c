#include "launcher/harness.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char two_roles[] =
    "version: 1\nname: job\nroles:\n"
    "  - name: trainer\n    entrypoint: wick\n    args: [train, \"it's ${replica_id}\", \"\"]\n"
    "    num_replicas: 2\n    env: {API_TOKEN: hush, N: \"${app_id}\"}\n"
    "  - name: eval\n    entrypoint: sh\n    args: [-c, \"echo $HOME\"]\n"
    "    resource: {memMB: 10}\n";

static wk_request *dryrun(const char *scheduler, const char *text, const char *cfg_text) {
    const wk_scheduler_ops *ops = wk_scheduler(scheduler);
    wk_appdef *app = wk_appdef_parse(text, strlen(text), "app.yaml");
    wk_cfg *cfg = app ? wk_cfg_parse(ops->name, ops->runopts, ops->runopt_count, cfg_text) : NULL;
    char *before = app ? wk_appdef_dump(app) : NULL;
    wk_request *request = cfg ? ops->dryrun(app, cfg, "job-1") : NULL;
    if (request) {
        char *after = wk_appdef_dump(app);
        cr_assert_str_eq(before, after, "dryrun changed the AppDef");
        wk_free(after);
    }
    wk_free(before);
    wk_cfg_free(cfg);
    wk_appdef_free(app);
    return request;
}

/* The text with @wick, @state and @here replaced by this machine's paths. */
static void fill(char *to, size_t size, const char *pattern) {
    char here[PATH_MAX];
    cr_assert_not_null(getcwd(here, sizeof here));
    const struct {
        const char *word, *value;
    } words[] = { { "@wick", WICK_BINARY }, { "@state", state_dir() }, { "@here", here } };
    size_t used = 0;
    while (*pattern && used + 1 < size) {
        const char *value = NULL;
        for (size_t i = 0; i < WK_COUNT(words) && !value; i++)
            if (strncmp(pattern, words[i].word, strlen(words[i].word)) == 0) {
                value = words[i].value;
                pattern += strlen(words[i].word);
            }
        if (value)
            used += (size_t)snprintf(to + used, size - used, "%s", value);
        else
            to[used++] = *pattern++;
    }
    to[used] = '\0';
}

Test(dryrun, golden_local, .init = state_begin, .fini = state_end) {
    char expected[4 * PATH_MAX];
    wk_request *request = dryrun("local", two_roles, NULL);
    cr_assert_not_null(request, "%s", wk_message());
    char *text = wk_request_print(request);
    const char *at = strstr(text, "=== SCHEDULER REQUEST ===\n");
    assert_contains(text, "API_TOKEN: \"***\"");
    cr_assert_null(strstr(text, "hush"));
    cr_assert_not_null(at);
    fill(expected, sizeof expected,
         "=== SCHEDULER REQUEST ===\nscheduler: local\napp_id: job-1\ndirectory: @here\n"
         "trainer/0:\n  command: @wick train 'it'\\''s 0' ''\n  environment:\n"
         "    API_TOKEN='***'\n    N=job-1\n    RANK=0\n    WORLD_SIZE=2\n    ROLE_NAME=trainer\n"
         "    LOCAL_RANK=0\n    LOCAL_WORLD_SIZE=2\n    GROUP_RANK=0\n    MASTER_ADDR=localhost\n"
         "    # MASTER_PORT: a free one, at each start\n"
         "trainer/1:\n  command: @wick train 'it'\\''s 1' ''\n  environment:\n"
         "    API_TOKEN='***'\n    N=job-1\n    RANK=1\n    WORLD_SIZE=2\n    ROLE_NAME=trainer\n"
         "    LOCAL_RANK=1\n    LOCAL_WORLD_SIZE=2\n    GROUP_RANK=0\n    MASTER_ADDR=localhost\n"
         "    # MASTER_PORT: a free one, at each start\n"
         "eval/0:\n  command: sh -c 'echo $HOME'\n  environment:\n"
         "    RANK=0\n    WORLD_SIZE=1\n    ROLE_NAME=eval\n"
         "    LOCAL_RANK=0\n    LOCAL_WORLD_SIZE=1\n    GROUP_RANK=0\n    MASTER_ADDR=localhost\n"
         "    # MASTER_PORT: a free one, at each start\n");
    cr_assert_str_eq(at, expected);
    wk_free(text);
    wk_request_free(request);
}

/* The line of mpirun, and nothing else of the request. */
static void mpi_command_is(const char *text, const char *cfg, const char *format) {
    char expected[4 * PATH_MAX];
    wk_request *request = dryrun("mpi", text, cfg);
    cr_assert_not_null(request, "%s", wk_message());
    char *printed = wk_request_print(request);
    char *at = strstr(printed, "\ncommand: ");
    cr_assert_not_null(at);
    at += strlen("\ncommand: ");
    at[strcspn(at, "\n")] = '\0';
    fill(expected, sizeof expected, format);
    cr_assert_str_eq(at, expected);
    wk_free(printed);
    wk_request_free(request);
}

Test(dryrun, a_hostfile_without_hosts_is_refused, .init = state_begin, .fini = state_end) {
    char cfg[PATH_MAX];
    (void)snprintf(cfg, sizeof cfg, "mpirun=/bin/true,hostfile=%s", write_file("hosts", "# nobody\n\n"));
    cr_assert_null(dryrun("mpi", two_roles, cfg));
    assert_contains(wk_message(), "mpi: no host in ");
    wk_clear_error();
}

Test(dryrun, golden_mpi, .init = state_begin, .fini = state_end) {
    mpi_command_is(two_roles, "mpirun=/bin/true,oversubscribe=no",
                   "/bin/true --bind-to none --mca pml ob1 --mca btl self,vader,tcp --mca odls_base_sigkill_timeout 1 "
                   "-n 2 @wick __rank @state/apps/job-1 trainer : -n 1 @wick __rank @state/apps/job-1 eval");
    const char *hosts = write_file("hosts", "# ours\n\nnode7 slots=2\nnode8\n");
    char cfg[PATH_MAX];
    char format[2 * PATH_MAX];
    (void)snprintf(cfg, sizeof cfg,
                   "mpirun=/bin/true,hostfile=%s,oversubscribe=on,bind=core,mca=\"pml:ucx;x:1,2\",args=--timeout;9",
                   hosts);
    (void)snprintf(format, sizeof format,
                   "/bin/true --bind-to core --oversubscribe --mca mpi_yield_when_idle 1 --mca btl self,vader,tcp "
                   "--mca odls_base_sigkill_timeout 1 --mca oob_tcp_keepalive_time 2 "
                   "--mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 3 --mca pml ucx --mca x 1,2 "
                   "--hostfile %s --timeout 9 "
                   "-n 2 @wick __rank @state/apps/job-1 trainer : -n 1 @wick __rank @state/apps/job-1 eval",
                   hosts);
    mpi_command_is(two_roles, cfg, format);
    wk_request *request = dryrun("mpi", two_roles, cfg);
    char *text = wk_request_print(request);
    assert_contains(text, "MASTER_ADDR=node7\n");
    wk_free(text);
    wk_request_free(request);
}

Test(dryrun, np_overrides_one_role, .init = state_begin, .fini = state_end) {
    static const char one[] = "version: 1\nname: j\nroles: [{name: t, entrypoint: \"true\"}]\n";
    mpi_command_is(one, "np=3,mpirun=/bin/true,oversubscribe=no",
                   "/bin/true --bind-to none --mca pml ob1 --mca btl self,vader,tcp --mca odls_base_sigkill_timeout 1 "
                   "-n 3 @wick __rank @state/apps/job-1 t");
    cr_assert_null(dryrun("mpi", two_roles, "np=3,mpirun=/bin/true"));
    cr_assert_str_eq(wk_message(), "mpi: np=3 is for an app of one role; this one has 2: set num_replicas");
}

Test(dryrun, missing_mpirun, .init = state_begin, .fini = state_end) {
    char *const path = wk_strdup(getenv("PATH"));
    (void)setenv("PATH", "/nonexistent", 1);
    outcome o = WICK("run", "utils.echo", "-s", "mpi");
    outcome l = WICK("run", "utils.echo", "-s", "local", "--dryrun");
    (void)setenv("PATH", path, 1);
    cr_assert_eq(o.code, 2);
    cr_assert_str_eq(o.err,
                     "wick: mpi: no program \"mpirun\"; install Open MPI with tools/install-deps, or run without "
                     "it: -s local\n");
    cr_assert_str_eq(o.out, "");
    cr_assert_eq(l.code, 0);
    forget(&o);
    forget(&l);
    wk_free(path);
}

Test(dryrun, changes_nothing_on_disk, .init = state_begin, .fini = state_end) {
    outcome o = WICK("run", "utils.echo", "--dryrun");
    cr_assert_eq(o.code, 0);
    assert_contains(o.out, "app_id: echo-dryrun\n");
    cr_assert_str_eq(o.err, "");
    forget(&o);
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/wick.sqlite", state_dir());
    cr_assert_neq(access(path, F_OK), 0);
}

Test(dryrun, ignored_keys_are_said_once, .init = state_begin, .fini = state_end) {
    const char *file = write_file(
        "app.yaml", "version: 1\nname: j\nroles:\n  - {name: a, entrypoint: x, resource: {memMB: 10, cpu: 1}}\n"
                    "  - {name: b, entrypoint: x, resource: {memMB: 10}, retry_policy: REPLICA}\n");
    outcome o = WICK("run", file, "--dryrun");
    cr_assert_str_eq(o.err,
                     "wick warning: local ignores resource.cpu\nwick warning: local ignores resource.memMB\n"
                     "wick warning: local restarts the whole app (retry_policy APPLICATION) in place of REPLICA\n");
    forget(&o);
}

static void says(outcome o, int code, const char *err) {
    cr_expect_eq(o.code, code, "%d: %s", o.code, o.err);
    cr_expect_str_eq(o.err, err);
    cr_expect_str_eq(o.out, "");
    forget(&o);
}

Test(door, wrong_usage_is_code_2, .init = state_begin, .fini = state_end) {
    says(WICK("rn"), 2, "wick: unknown command \"rn\"; did you mean \"run\"?\n");
    says(WICK("qqqqqqq"), 2, "wick: unknown command \"qqqqqqq\"; `wick --help` lists them\n");
    says(WICK("run", "utils.ech"), 2,
         "wick: \"utils.ech\" is neither a file nor a component; did you mean \"utils.echo\"?\n");
    says(WICK("run", "no.yaml"), 2, "wick: no.yaml: No such file or directory\n");
    says(WICK("run", "no.yaml", "--wiat"), 2, "wick: run: unknown option --wiat; did you mean --wait?\n");
    says(WICK("run", "utils.echo", "-s", "loca"), 2, "wick: no scheduler \"loca\"; did you mean \"local\"?\n");
    says(WICK("run", "utils.echo", "-cfg", "grac=1"), 2,
         "wick: local: unknown option \"grac\"; did you mean \"grace\"?\n");
    says(WICK("run", "utils.echo", "-s"), 2, "wick: run: -s needs a value\n");
    says(WICK("run", "utils.echo", "--log"), 2, "wick: run: --log goes with --wait; afterwards there is `wick log`\n");
    says(WICK("status", "x"), 2,
         "wick: \"x\" is no app handle; expected scheduler://session/app_id, as in local://wick/echo-x7k2qv9wz4cd "
         "(`wick "
         "list` shows them)\n");
    const char *file = write_file("app.yaml", "version: 1\nname: j\nroles:\n  - name: trainer\n    num_replica: 2\n");
    char expected[PATH_MAX];
    (void)snprintf(expected, sizeof expected,
                   "%s:5:5: unknown key \"num_replica\" in role \"trainer\"; did you mean \"num_replicas\"?\n", file);
    says(WICK("run", file), 2, expected);
    outcome o = WICK("status", "local://wick/nobody-x");
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "no app \"nobody-x\" is known");
    forget(&o);
}

Test(door, version_help_builtins) {
    outcome o = WICK("--version");
    cr_assert_eq(o.code, 0);
    cr_assert_str_eq(o.out, "wick 0.1.0\n");
    forget(&o);
    o = WICK("--help");
    cr_assert_eq(o.code, 0);
    assert_contains(o.out, "wick run examples/fashion_mnist/app.yaml");
    forget(&o);
    const char *const with_help[] = { "run",      "status",   "log",       "list",       "cancel",
                                      "builtins", "runopts",  "component", "configure",  "describe",
                                      "delete",   "pipeline", "top",       "completion", "man" };
    for (size_t i = 0; i < WK_COUNT(with_help); i++) {
        o = WICK(with_help[i], "--help");
        cr_expect_eq(o.code, 0);
        assert_contains(o.out, "example:");
        forget(&o);
    }
    o = WICK("builtins");
    assert_contains(o.out, "utils.echo");
    forget(&o);
}

#ifndef __SANITIZE_ADDRESS__ /* where libraries are loaded at once */
/* What a start costs is what is loaded: the launcher and its three libraries, no engine and nothing that it computes
 * with. (Times beside TorchX's: benchmarks/launcher/run.) */
static void starts_light(const char *const *argv) {
    static const char *const heavy[] = { "libwick.so", "libwickrun.so", "libopenblas", "libdnnl",
                                         "libmpi",     "libcurl",       "libgomp" };
    (void)setenv("LD_DEBUG", "files", 1);
    outcome o = run_program(argv);
    (void)unsetenv("LD_DEBUG");
    cr_expect_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "libwicklaunch.so");
    for (size_t i = 0; i < WK_COUNT(heavy); i++) cr_expect_null(strstr(o.err, heavy[i]), "%s is loaded", heavy[i]);
    forget(&o);
}
#    define STARTS_LIGHT(...) starts_light((const char *const[]){ WICK_BINARY, __VA_ARGS__, NULL })
#endif

Test(door, starts_without_the_engine, .init = state_begin, .fini = state_end) {
    outcome o = WICK("run", "utils.echo", "--wait");
    (void)handle_of(&o);
#ifndef __SANITIZE_ADDRESS__
    struct rusage usage;
    STARTS_LIGHT("--version");
    STARTS_LIGHT("run", "utils.echo", "--dryrun");
    STARTS_LIGHT("status", o.out);
    STARTS_LIGHT("list");
    cr_assert_eq(getrusage(RUSAGE_CHILDREN, &usage), 0);
    cr_expect_lt(usage.ru_maxrss, 20 << 10, "%ld KiB", usage.ru_maxrss);
#endif
    forget(&o);
    o = WICK("run", "utils.echo", "-j", "10000", "--dryrun");
    cr_expect_eq(o.code, 0, "%s", o.err);
    forget(&o);
}
