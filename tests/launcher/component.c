/* Components: the built-in ones, a user's from a file and from a folder, their help, and the linter. */
#include "launcher/harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static wk_appdef *build_words(const char *name, const char *const *words) {
    int count = 0;
    while (words[count]) count++;
    wk_appdef *app = wk_component_build(name, count, (char *const *)(uintptr_t)words);
    return app;
}
#define BUILD(name, ...) build_words(name, (const char *const[]){ __VA_ARGS__, NULL })

static wk_appdef *good(wk_appdef *app) {
    cr_assert_not_null(app, "%s", wk_message());
    return app;
}

#define SAYS(message, name, ...)                              \
    do {                                                      \
        cr_expect_null(BUILD(name, __VA_ARGS__), "accepted"); \
        cr_expect_str_eq(wk_message(), message);              \
        wk_clear_error();                                     \
    } while (0)

/* The arguments of a role, parted by |. */
static void args_are(const wk_appdef *app, const char *expected) {
    wk_text all = { 0 };
    wk_text_puts(&all, "");
    for (size_t i = 0; i < app->roles[0].arg_count; i++)
        wk_text_printf(&all, "%s%s", i ? "|" : "", app->roles[0].args[i]);
    cr_expect_str_eq(all.data, expected);
    wk_text_free(&all);
}

static const char *env_of(const wk_role *role, const char *name) {
    for (size_t i = 0; i < role->env_count; i++)
        if (strcmp(role->env[i].key, name) == 0) return role->env[i].value;
    return "(unset)";
}

Test(component, echo_sh_train) {
    wk_appdef *app = good(BUILD("utils.echo", "--msg=a b", "-j", "3", "--env", "A=1,2,B=x", "--", "more"));
    args_are(app, "a b|more");
    cr_assert_eq(app->roles[0].num_replicas, 3);
    cr_assert_str_eq(env_of(&app->roles[0], "A"), "1,2");
    cr_assert_str_eq(env_of(&app->roles[0], "B"), "x");
    wk_appdef_free(app);
    app = good(BUILD("train", "-c", "x.yaml", "-j", "2", "--", "-o", "lr=1"));
    cr_assert_str_eq(app->roles[0].entrypoint, "wick");
    args_are(app, "train|-c|x.yaml|-o|lr=1");
    wk_appdef_free(app);
    app = good(BUILD("utils.sh", "echo", "it's", "$HOME"));
    args_are(app, "-c|echo 'it'\"'\"'s' '$$HOME'");
    wk_appdef_free(app);
    app = good(BUILD("utils.sh", "--", "echo $RANK ${app_id}"));
    args_are(app, "-c|echo $$RANK ${app_id}");
    wk_appdef_free(app);
    app = good(BUILD("utils.sh", "--entrypoint", "bash", "--h", "gpu.small", "--cpu", "9", "--", "-x"));
    cr_assert_str_eq(app->roles[0].entrypoint, "bash");
    args_are(app, "-x");
    cr_assert_eq(app->roles[0].resource.cpu, 8); /* h wins */
    wk_appdef_free(app);
    app = good(BUILD("utils.sh", "--gpu", "2", "--mounts", "type=bind,src=/a,dst=/b", "x"));
    cr_assert_eq(app->roles[0].resource.gpu, 2);
    cr_assert_eq(app->roles[0].resource.cpu, -1);
    cr_assert_str_eq(app->roles[0].mounts[0].dst, "/b");
    wk_appdef_free(app);
}

Test(component, utils) {
    wk_appdef *app = good(BUILD("utils.python", "-m", "a.b", "--num_replicas", "2", "--", "x"));
    args_are(app, "-u|-m|a.b|x");
    cr_assert_str_eq(env_of(&app->roles[0], "HYDRA_MAIN_MODULE"), "a.b");
    wk_appdef_free(app);
    app = good(BUILD("utils.python", "--script", "t.py"));
    args_are(app, "-u|t.py");
    cr_assert_str_eq(app->name, "torchx_utils_python");
    cr_assert_str_eq(env_of(&app->roles[0], "HYDRA_MAIN_MODULE"), "(unset)");
    wk_appdef_free(app);
    SAYS("utils.python: give exactly one of --m, --c or --script; there are 0", "utils.python", "x");
    SAYS("utils.python: give exactly one of --m, --c or --script; there are 2", "utils.python", "-m", "a", "-c", "b");
    app = good(BUILD("utils.binary", "--entrypoint", "/bin/x", "--name", "n", "--", "a"));
    cr_assert_str_eq(app->roles[0].name, "n");
    wk_appdef_free(app);
    app = good(BUILD("utils.copy", "--src", "a", "--dst", "b"));
    cr_assert_str_eq(app->roles[0].entrypoint, "wick");
    args_are(app, "copy|--|a|b");
    wk_appdef_free(app);
    app = good(BUILD("utils.copy", "--src", "a", "--dst", "b", "--recursive", "true"));
    args_are(app, "copy|--recursive|--|a|b");
    wk_appdef_free(app);
    app = good(BUILD("utils.touch", "--file", "f"));
    args_are(app, "f");
    wk_appdef_free(app);
}

Test(component, ddp) {
    wk_appdef *app = good(BUILD("dist.ddp", "-j", "2x4", "--script", "src/my train.py", "--debug", "--", "--lr", "1"));
    const wk_role *role = &app->roles[0];
    cr_assert_str_eq(app->name, "my-train");
    cr_assert_str_eq(role->name, "my-train");
    cr_assert_str_eq(role->entrypoint, "python3");
    args_are(app, "-u|src/my train.py|--lr|1");
    cr_assert_eq(role->num_replicas, 8);
    cr_assert_eq(role->min_replicas, 8);
    cr_assert_str_eq(env_of(role, "NCCL_DESYNC_DEBUG"), "1");
    cr_assert_str_eq(env_of(role, "LOGLEVEL"), "WARNING");
    cr_assert_str_eq(env_of(role, "TORCHX_TRACKING_EXPERIMENT_NAME"), "default-experiment");
    wk_appdef_free(app);
    app = good(BUILD("dist.ddp", "-j", "2:4x8", "-m", "pkg.mod", "--name", "exp/", "--env", "LOGLEVEL=INFO"));
    role = &app->roles[0];
    cr_assert_eq(role->num_replicas, 32);
    cr_assert_eq(role->min_replicas, 16);
    cr_assert_str_eq(app->name, "mod");
    cr_assert_str_eq(env_of(role, "LOGLEVEL"), "INFO");
    cr_assert_str_eq(env_of(role, "NCCL_DESYNC_DEBUG"), "(unset)");
    cr_assert_str_eq(env_of(role, "TORCHX_TRACKING_EXPERIMENT_NAME"), "exp");
    args_are(app, "-u|-m|pkg.mod");
    wk_appdef_free(app);
    app = good(BUILD("dist.ddp", "-j", "4", "--script", "./train", "--name", "/run7"));
    cr_assert_str_eq(app->roles[0].entrypoint, "./train");
    cr_assert_eq(app->roles[0].num_replicas, 4);
    cr_assert_str_eq(app->name, "run7");
    args_are(app, "");
    wk_appdef_free(app);
    app = good(BUILD("dist.mpi", "-j", "2x3", "--", "./prog", "a"));
    cr_assert_str_eq(app->roles[0].entrypoint, "./prog");
    cr_assert_eq(app->roles[0].num_replicas, 6);
    args_are(app, "a");
    wk_appdef_free(app);
}

Test(component, job_grammar) {
    static const char *const bad[] = { "",    "x",     "2x",  "x2",    "2y4", "0",
                                       "2x0", "4:2x1", "2:4", "1x2x3", "-1",  "1000x1000" };
    for (size_t i = 0; i < WK_COUNT(bad); i++) {
        char expected[200];
        (void)snprintf(expected, sizeof expected,
                       "dist.ddp: --j must be [[min:]nodes x]procs, as in 4, 2x4 or 2:4x8, not \"%s\"", bad[i]);
        SAYS(expected, "dist.ddp", "-j", bad[i], "--script", "t.py");
    }
}

Test(component, spmd_counts_gpus_of_the_host) {
    wk_appdef *app = good(BUILD("dist.spmd", "-j", "2", "-h", "gpu.xlarge", "--script", "t.py"));
    cr_assert_eq(app->roles[0].num_replicas, 16);
    cr_assert_eq(app->roles[0].resource.gpu, 1);
    cr_assert_eq(app->roles[0].resource.cpu, 8);
    wk_appdef_free(app);
    SAYS("dist.spmd: --j 2 means 2 nodes with a process for each GPU, and cpu.small has none; say 2xPROCS", "dist.spmd",
         "-j", "2", "-h", "cpu.small", "--script", "t.py");
    SAYS("dist.spmd: --j: no resource is named \"gpu.smll\"; did you mean \"gpu.small\"?", "dist.spmd", "-j", "2", "-h",
         "gpu.smll", "--script", "t.py");
}

/* TorchX's command line, word for word, but for the variable that holds the host of rank 0. */
Test(component, torchrun_golden) {
    static const wk_macros macros = { .app_id = "job-1", .replica_id = "1", .rank0_env = "MASTER_ADDR" };
    wk_appdef *app = good(BUILD("dist.torchrun", "-j", "2x4", "--gpu", "4", "--script", "main.py", "--", "--a b", "c"));
    wk_appdef *ready = wk_macros_apply(&macros, app);
    args_are(ready, "-c|torchrun --rdzv_backend c10d --rdzv_endpoint ${MASTER_ADDR:=localhost}:29500 --rdzv_id 'job-1' "
                    "--nnodes 2 --nproc_per_node 4 --tee 3 --role '' main.py '--a b' c");
    cr_assert_eq(app->roles[0].num_replicas, 2);
    cr_assert_eq(app->roles[0].resource.gpu, 4);
    cr_assert_str_eq(app->roles[0].port_map[0].value, "29500");
    wk_appdef_free(ready);
    wk_appdef_free(app);
    app = good(BUILD("dist.torchrun", "-j", "1:3x2", "-m", "a.b", "--rdzv_backend", "static", "--rdzv_conf", "t=1",
                     "--max_restarts", "2"));
    ready = wk_macros_apply(&macros, app);
    args_are(ready,
             "-c|torchrun --rdzv_backend static --rdzv_conf t=1 --rdzv_endpoint ${MASTER_ADDR:=localhost}:29500 "
             "--rdzv_id 'job-1' --nnodes 1:3 --nproc_per_node 2 --max_restarts 2 --tee 3 --role '' --node_rank 1 "
             "-m a.b");
    cr_assert_eq(app->roles[0].min_replicas, 1);
    wk_appdef_free(ready);
    wk_appdef_free(app);
    app = good(BUILD("dist.torchrun", "-j", "4", "--script", "m.py"));
    ready = wk_macros_apply(&macros, app);
    assert_contains(ready->roles[0].args[1], "--rdzv_endpoint localhost:0 ");
    wk_appdef_free(ready);
    wk_appdef_free(app);
}

Test(component, refusals) {
    SAYS("utils.echo: unknown argument --mesg; did you mean --msg?", "utils.echo", "--mesg", "x");
    SAYS("utils.echo: --msg needs a value", "utils.echo", "--msg");
    SAYS("utils.echo: --msg is given twice", "utils.echo", "--msg", "a", "--msg", "b");
    SAYS("utils.touch: \"f\": it takes no arguments but --name value", "utils.touch", "f");
    SAYS("train: --config is required (the training configuration (YAML))", "train", "-j", "2");
    SAYS("utils.sh: no arguments; give the script, or a program and its arguments", "utils.sh", "-j", "2");
    SAYS("utils.sh: --num_replicas: num_replicas must be an integer from 1 to 100000, not \"0\"", "utils.sh", "-j", "0",
         "x");
    SAYS("utils.sh: --num_replicas must be an integer, not \"two\"", "utils.sh", "-j", "two", "x");
    SAYS("utils.sh: --env takes NAME=value,…, not \"A\"", "utils.sh", "--env", "A", "x");
    SAYS("utils.booth: --x1 must be a number, not \"q\"", "utils.booth", "--x1", "q", "--x2", "1");
    SAYS("no component \"utils.zzz\"; `wick builtins` lists them", "utils.zzz", "x");
}

TestSuite(own_component, .init = state_begin, .fini = state_end);

static const char mine[] =
    "version: 1\ncomponents:\n  greet:\n    doc: say hello\n    parameters:\n"
    "      who: {type: str, help: whom}\n      times: {type: int, default: 2, letter: t, help: how often}\n"
    "      loud: {type: bool, default: false, help: shout}\n      tags: {type: list, items: int, help: numbers}\n"
    "      rest: {type: varargs, help: more}\n"
    "    app:\n      name: greet\n      roles:\n        - name: greet\n          entrypoint: echo\n"
    "          args:\n            - {join: [hello, {when: loud, then: THE}, \"${who}\"], with: \"-\"}\n"
    "            - {when: loud and times != 3, then: [\"!\", \"!\"]}\n            - tags=${tags}\n            - "
    "${rest}\n"
    "          num_replicas: ${times}\n          metadata: {n: \"${tags}\"}\n";

Test(own_component, from_a_file) {
    char word[1100];
    (void)snprintf(word, sizeof word, "%s:greet", write_file("mine.yaml", mine));
    wk_appdef *app = good(BUILD(word, "--who", "$me", "--loud", "--tags", "1,2", "--", "x"));
    args_are(app, "hello-THE-$$me|!|!|tags=1 2|x");
    cr_assert_eq(app->roles[0].num_replicas, 2);
    wk_appdef_free(app);
    app = good(BUILD(word, "--who", "me", "--loud", "no", "-t", "3"));
    args_are(app, "hello-me|tags=");
    wk_appdef_free(app);
    outcome o = WICK("run", word, "--who", "you", "-t", "1", "--wait", "--log");
    assert_contains(o.err, "greet/0 hello-you tags=\n");
    forget(&o);
    o = WICK("run", word, "--", "--help");
    cr_assert_eq(o.code, 0, "%s", o.err);
    cr_assert_str_eq(o.out, "usage: wick run greet [--NAME VALUE ...] [--] [ARGUMENTS]\n\nsay hello\n\n"
                            "  --who str                    whom (required)\n"
                            "  -t, --times int              how often (default: 2)\n"
                            "  --loud bool                  shout (default: false)\n"
                            "  --tags list[int]             numbers\n"
                            "  rest ...                     more\n");
    forget(&o);
    word[strlen(word) - 1] = '\0';
    cr_assert_null(wk_component_build(word, 0, NULL));
    assert_contains(wk_message(), "has no component \"gree\"; did you mean \"greet\"?");
    wk_clear_error();
}

Test(own_component, from_a_folder_where_another_is_broken) {
    char folder[600];
    (void)snprintf(folder, sizeof folder, "%s/components", state_dir());
    cr_assert_eq(mkdir(folder, 0700), 0);
    (void)write_file("components/b.yaml", mine);
    (void)write_file("components/a.yaml", "version: 1\ncomponents: [");
    (void)setenv("WICK_COMPONENT_PATH", folder, 1);
    wk_log_set(WK_LOG_OFF, NULL, NULL);
    wk_appdef_free(good(BUILD("greet", "--who", "x")));
    outcome o = WICK("component", "list");
    assert_contains(o.out, "utils.echo     print a message, once a replica  (built in)\n");
    assert_contains(o.out, "greet          say hello  (");
    assert_contains(o.out, "a.yaml:3:1: ");
    forget(&o);
    o = WICK("component", "list", "--json");
    assert_contains(o.out, "\"name\": \"greet\"");
    forget(&o);
    o = WICK("run", "gret");
    assert_contains(o.err, "did you mean \"greet\"?");
    forget(&o);
    o = WICK("component", "test", "greet", "-s", "local", "--who", "me");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.out, "command: echo hello-me tags=\n");
    forget(&o);
    o = WICK("component", "show", "utils.touch");
    assert_contains(o.out, "utils.touch:\n");
    forget(&o);
}

Test(own_component, linter) {
    const char *path = write_file(
        "bad.yaml",
        "version: 1\ncomponents:\n  one:\n    parameters:\n      who: {type: str, help: whom}\n"
        "      n: {type: int, default: many, help: x}\n      left: {type: str, default: a}\n"
        "    app:\n      name: a\n      roles:\n        - name: t\n          entrypoint: x\n"
        "          args: [\"${whoo}\", \"${who.run}\", \"${who|loud}\", \"$${HOME}\", \"${app_id}\", \"${env:HOME}\"]\n"
        "          num_replicas: {when: nn == 1, then: \"${n}\"}\n"
        "  two:\n    doc: d\n    parameters: {a: {type: strr}}\n    app: {}\n"
        "  three:\n    doc: d\n    app: {name: a, roles: [{name: t, num_replica: 1}]}\n");
    outcome o = WICK("component", "validate", path);
    cr_assert_eq(o.code, 1);
    const char *const lines[] = {
        ":6:31: error: parameter \"n\": default must be an integer, not \"many\"\n",
        ":7:7: warning: parameter \"left\" has no help\n",
        ":3:3: warning: component \"one\" has no doc\n",
        ":13:18: error: \"whoo\" is neither a parameter nor a macro; did you mean \"who\"?\n",
        ":13:29: error: who.run: only a job and a run_name have fields\n",
        ":13:43: error: who|loud: the filters are shell, script, first, rest, stem and suffix\n",
        ":14:32: error: \"nn\" is neither a parameter nor a macro; did you mean \"n\"?\n",
        ":7:7: warning: parameter \"left\" is used nowhere\n",
        ":17:28: error: type must be str, int, float, bool, list, dict, varargs, job or run_name, not \"strr\"; did "
        "you "
        "mean \"str\"?\n",
        ":21:38: error: the AppDef it makes: unknown key \"num_replica\" in role \"t\"; did you mean "
        "\"num_replicas\"?\n",
    };
    for (size_t i = 0; i < WK_COUNT(lines); i++) {
        char expected[1400];
        (void)snprintf(expected, sizeof expected, "%s%s", path, lines[i]);
        cr_expect(strstr(o.out, expected), "no %s in\n%s", expected, o.out);
    }
    cr_expect_str_eq(o.err, "wick: 7 errors\n");
    forget(&o);
    path = write_file("mine.yaml", mine);
    o = WICK("component", "validate", path);
    cr_expect_eq(o.code, 0);
    cr_expect_str_eq(o.out, "");
    forget(&o);
    o = WICK("component", "validate", WICK_SOURCE_DIR "/src/launcher/component/builtin/utils.yaml",
             WICK_SOURCE_DIR "/src/launcher/component/builtin/dist.yaml",
             WICK_SOURCE_DIR "/src/launcher/component/builtin/train.yaml");
    cr_expect_str_eq(o.out, "");
    cr_expect_eq(o.code, 0);
    forget(&o);
}

Test(own_component, booth_writes_its_result) {
    char base[600];
    char file[700];
    (void)snprintf(base, sizeof base, "%s/booth", state_dir());
    outcome o =
        WICK("run", "utils.booth", "--x1", "1", "--x2", "2", "--trial_idx", "7", "--tracker_base", base, "--wait");
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    (void)snprintf(file, sizeof file, "%s/7", base);
    outcome c = run_program((const char *const[]){ "cat", file, NULL });
    cr_assert_str_eq(c.out, "{\n  \"booth_eval\": 5.0\n}");
    forget(&c);
}

Test(own_component, mpi_is_its_own_scheduler) {
    outcome o =
        WICK("run", "dist.mpi", "-j", "2", "--wait", "--log", "--", "sh", "-c", "echo $RANK of $OMPI_COMM_WORLD_SIZE");
    cr_assert_eq(o.code, 0, "%s", o.err);
    cr_assert_eq(strncmp(o.out, "mpi://", 6), 0);
    assert_contains(o.err, "mpi/1 1 of 2\n");
    forget(&o);
}

Test(own_component, help_of_a_built_in) {
    outcome o = WICK("run", "dist.ddp", "--", "--help");
    cr_assert_eq(o.code, 0);
    assert_contains(o.out,
                    "  -j, --j job                  [[min:]nodes x]processes a node, as in 4, 2x4 or 2:4x8 (default: "
                    "1x2)\n");
    assert_contains(o.out, "example:  wick run dist.ddp -j 2x4 --script train.py -- --epochs 3\n");
    forget(&o);
}
