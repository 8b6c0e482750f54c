#include "base/base.h"
#include "io/yaml.h"
#include "wick/launcher.h"

#include <criterion/criterion.h>
#include <string.h>

#define HEAD "version: 1\nname: a\nroles:\n  - name: trainer\n    entrypoint: echo\n"

static void refuses(const char *text, const char *message) {
    wk_appdef *app = wk_appdef_parse(text, strlen(text), "app.yaml");
    cr_expect_null(app, "accepted: %s", text);
    cr_expect_str_eq(wk_message(), message);
    wk_appdef_free(app);
    wk_clear_error();
}

Test(appdef, all_fields) {
    static const char text[] = "version: 1\nname: full\nmetadata: {team: vision}\nroles:\n  - name: trainer\n"
                               "    image: docker.io/x\n    entrypoint: wick\n    args: [train, -c, 7, 1e-3]\n"
                               "    env: {A: 1, B: \"x y\"}\n    num_replicas: 4\n    min_replicas: 2\n"
                               "    max_retries: 3\n    retry_policy: ROLE\n"
                               "    resource: {cpu: 2, gpu: 1, memMB: 1024, capabilities: {a: b}, devices: {c: 1}}\n"
                               "    port_map: {c10d: 29500}\n    mounts: [{type: bind, src: /a, dst: /b}]\n"
                               "    metadata: {k: v}\n    workspace: {/src: \"\"}\n";
    wk_appdef *app = wk_appdef_parse(text, strlen(text), "app.yaml");
    cr_assert_not_null(app, "%s", wk_message());
    const wk_role *role = &app->roles[0];
    cr_assert_str_eq(app->name, "full");
    cr_assert_eq(role->arg_count, 4);
    cr_assert_str_eq(role->args[3], "1e-3");
    cr_assert_str_eq(role->env[1].value, "x y");
    cr_assert_eq(role->num_replicas, 4);
    cr_assert_eq(role->min_replicas, 2);
    cr_assert_eq(role->max_retries, 3);
    cr_assert_eq(role->retry_policy, WK_RETRY_ROLE);
    cr_assert_eq(role->resource.memory_mb, 1024);
    cr_assert_eq(role->resource.capability_count, 1);
    cr_assert_str_eq(role->port_map[0].value, "29500");
    cr_assert_eq(role->mount_count, 1);
    char *dump = wk_appdef_dump(app);
    wk_appdef *again = wk_appdef_parse(dump, strlen(dump), "dump.yaml");
    cr_assert_not_null(again, "%s", wk_message());
    cr_assert(wk__yaml_equal(app->document->root, again->document->root));
    wk_free(dump);
    wk_appdef_free(again);
    wk_appdef_free(app);
}

Test(appdef, every_bad_input_has_its_sentence) {
    refuses(HEAD "    num_replica: 2\n",
            "app.yaml:6:5: unknown key \"num_replica\" in role \"trainer\"; did you mean \"num_replicas\"?");
    refuses("version: 1\nname: a\nrolez: []\n",
            "app.yaml:3:1: unknown key \"rolez\" in the AppDef; did you mean \"roles\"?");
    refuses(HEAD "    qqqqq: 2\n",
            "app.yaml:6:5: unknown key \"qqqqq\" in role \"trainer\"; known are name, image, entrypoint, args, env, "
            "num_replicas, min_replicas, max_retries, retry_policy, resource, port_map, mounts, metadata, workspace");
    refuses(HEAD "  - name: trainer\n    entrypoint: x\n",
            "app.yaml:6:11: duplicate role \"trainer\"; each role needs its own name");
    refuses(HEAD "    num_replicas: 0\n", "app.yaml:6:19: num_replicas must be an integer from 1 to 100000, not \"0\"");
    refuses(HEAD "    num_replicas: -2\n",
            "app.yaml:6:19: num_replicas must be an integer from 1 to 100000, not \"-2\"");
    refuses(HEAD "    num_replicas: two\n",
            "app.yaml:6:19: num_replicas must be an integer from 1 to 100000, not \"two\"");
    refuses(HEAD "    num_replicas: 2\n    min_replicas: 3\n",
            "app.yaml:7:19: min_replicas must be an integer from 1 to 2, not \"3\"");
    refuses(HEAD "    max_retries: -1\n",
            "app.yaml:6:18: max_retries must be an integer from 0 to 2147483647, not \"-1\"");
    refuses("version: 1\nname: a\nroles:\n  - name: t\n",
            "app.yaml:4:5: role \"t\" has no entrypoint (the program to run)");
    refuses("version: 1\nname: a\nroles:\n  - entrypoint: x\n", "app.yaml:4:5: role 1 has no name");
    refuses("version: 1\nname: a\nroles:\n  - name: ../x\n    entrypoint: x\n",
            "app.yaml:4:11: \"../x\" is no name for a role: letters, digits, - _ . and at most 63 of them");
    refuses("version: 1\nname: a\n", "app.yaml:1:1: an AppDef needs at least one role under \"roles\"");
    refuses("version: 1\nname: a\nroles: []\n", "app.yaml:3:8: an AppDef needs at least one role under \"roles\"");
    refuses("version: 1\nname: a\nroles: {}\n", "app.yaml:3:8: roles must be a list, not a mapping");
    refuses("name: a\n", "app.yaml:1:1: no version; begin the file with \"version: 1\"");
    refuses("version: 2\nname: a\n", "app.yaml:1:10: version 2; this wick reads version 1");
    refuses("version: 1\n", "app.yaml:1:1: the AppDef has no name");
    refuses("[1]\n", "app.yaml:1:1: an AppDef must be a mapping, not a list");
    refuses("", "app.yaml: empty; an AppDef has version, name and roles");
    refuses(HEAD "    args: hello\n", "app.yaml:6:11: args must be a list, not \"hello\"");
    refuses(HEAD "    args: [{a: b}]\n", "app.yaml:6:12: an item of args must be text, not a mapping");
    refuses(HEAD "    args: [~]\n", "app.yaml:6:12: an item of args must be text, not empty");
    refuses(HEAD "    env: [A]\n", "app.yaml:6:10: env must be a mapping, not a list");
    refuses(HEAD "    env: {A: [1]}\n", "app.yaml:6:14: env.A must be text, not a list");
    refuses(HEAD "    env: {A=B: x}\n", "app.yaml:6:11: \"A=B\" is no name of an environment variable");
    refuses(HEAD "    port_map: {http: 99999}\n",
            "app.yaml:6:22: port_map.http must be an integer from 1 to 65535, not \"99999\"");
    refuses(HEAD "    retry_policy: APLICATION\n",
            "app.yaml:6:19: retry_policy must be APPLICATION, ROLE or REPLICA, not \"APLICATION\"; did you mean "
            "\"APPLICATION\"?");
    refuses(HEAD "    resource: {cpus: 1}\n",
            "app.yaml:6:16: unknown key \"cpus\" in resource of role \"trainer\"; did you mean \"cpu\"?");
    refuses(HEAD "    resource: {cpu: many}\n",
            "app.yaml:6:21: cpu must be an integer from -1 to 2147483647, not \"many\"");
    refuses(HEAD "    mounts: [{type: bnd, src: /a}]\n",
            "app.yaml:6:21: type must be bind, volume or device, not \"bnd\"; did you mean \"bind\"?");
    refuses(HEAD "    mounts: [{type: bind}]\n", "app.yaml:6:14: a mount of role \"trainer\" has no src");
}

Test(appdef, missing_file) {
    cr_assert_null(wk_appdef_load("/nonexistent/app.yaml"));
    cr_assert_str_eq(wk_message(), "/nonexistent/app.yaml: No such file or directory");
}

Test(macros, safe_substitute) {
    wk_macros macros = { .img_root = "/img", .app_id = "a-1", .replica_id = "3", .rank0_env = "MASTER_ADDR" };
    const char *const cases[][2] = {
        { "${img_root}/x", "/img/x" },
        { "${app_id}-${replica_id}", "a-1-3" },
        { "$$${${rank0_env}:=localhost}", "$${MASTER_ADDR:=localhost}" },
        { "${HOME} $x ${unknown}", "${HOME} $x ${unknown}" },
        { "$${app_id}", "${app_id}" },
        { "$", "$" },
        { "${", "${" },
        { "a$$b$$", "a$b$" },
        { "", "" },
    };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        char *text = wk_macros_substitute(&macros, cases[i][0]);
        cr_expect_str_eq(text, cases[i][1]);
        wk_free(text);
    }
}

Test(macros, args_env_and_metadata_only_on_a_copy) {
    static const char text[] = "version: 1\nname: \"${app_id}\"\nroles:\n  - name: t\n    entrypoint: \"${app_id}\"\n"
                               "    args: [\"${app_id}\", plain]\n    env: {\"${app_id}\": \"${replica_id}\"}\n"
                               "    metadata: {a: [{b: \"${img_root}\"}]}\n";
    wk_appdef *app = wk_appdef_parse(text, strlen(text), "app.yaml");
    cr_assert_not_null(app, "%s", wk_message());
    char *before = wk_appdef_dump(app);
    wk_macros macros = { .img_root = "/img", .app_id = "a-1", .replica_id = "3", .rank0_env = "R" };
    wk_appdef *copy = wk_macros_apply(&macros, app);
    cr_assert_not_null(copy, "%s", wk_message());
    cr_assert_str_eq(copy->name, "${app_id}");
    cr_assert_str_eq(copy->roles[0].entrypoint, "${app_id}");
    cr_assert_str_eq(copy->roles[0].args[0], "a-1");
    cr_assert_str_eq(copy->roles[0].env[0].key, "${app_id}");
    cr_assert_str_eq(copy->roles[0].env[0].value, "3");
    cr_assert_str_eq(copy->roles[0].metadata->first->first->first->text, "/img");
    char *after = wk_appdef_dump(app);
    cr_assert_str_eq(before, after);
    wk_free(before);
    wk_free(after);
    wk_appdef_free(copy);
    wk_appdef_free(app);
}

Test(handle, parse_and_format) {
    wk_handle handle;
    cr_assert_eq(wk_handle_parse("mpi://wick/echo-x1", &handle), WK_OK);
    cr_assert_str_eq(handle.scheduler, "mpi");
    cr_assert_str_eq(handle.session, "wick");
    cr_assert_str_eq(handle.app_id, "echo-x1");
    char *text = wk_handle_format(&handle);
    cr_assert_str_eq(text, "mpi://wick/echo-x1");
    wk_free(text);
    cr_assert_eq(wk_handle_parse("local:///x", &handle), WK_OK);
    cr_assert_str_eq(handle.session, "");
    const char *const bad[] = { "",
                                "echo-x1",
                                "mpi://",
                                "mpi://wick",
                                "mpi://wick/",
                                "://wick/x",
                                "mpi:/wick/x",
                                "local://wick/../x",
                                "local://wick/..",
                                "local://wick/a/b" };
    for (size_t i = 0; i < WK_COUNT(bad); i++) {
        cr_expect_eq(wk_handle_parse(bad[i], &handle), WK_CONFIG, "%s", bad[i]);
        wk_clear_error();
    }
}

Test(handle, unique_ids) {
    char ids[200][64];
    for (size_t i = 0; i < WK_COUNT(ids); i++) {
        cr_assert_eq(wk_make_unique("My_App v1.0/é", ids[i], sizeof ids[i]), WK_OK);
        cr_assert_eq(strncmp(ids[i], "my-app-v1-0-", 12), 0, "%s", ids[i]);
        cr_assert_eq(strspn(ids[i], "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(ids[i]));
        for (size_t j = 0; j < i; j++) cr_assert_str_neq(ids[i], ids[j]);
    }
}

Test(states, numbers_are_torchx) {
    cr_assert_str_eq(wk_app_state_name((wk_app_state)0), "UNSUBMITTED");
    cr_assert_str_eq(wk_app_state_name((wk_app_state)3), "RUNNING");
    cr_assert_str_eq(wk_app_state_name((wk_app_state)5), "FAILED");
    cr_assert_str_eq(wk_app_state_name((wk_app_state)7), "UNKNOWN");
    cr_assert_not(wk_app_state_is_terminal(WK_APP_RUNNING));
    cr_assert(wk_app_state_is_terminal(WK_APP_CANCELLED));
}

static const wk_runopt options[] = {
    { "name", WK_RUNOPT_STRING, "x", false, "" },  { "count", WK_RUNOPT_INT, NULL, false, "" },
    { "rate", WK_RUNOPT_FLOAT, "0.5", false, "" }, { "fast", WK_RUNOPT_BOOL, NULL, false, "" },
    { "tags", WK_RUNOPT_LIST, NULL, false, "" },   { "mca", WK_RUNOPT_DICT, NULL, false, "" },
};

static wk_cfg *parse(const char *text) {
    return wk_cfg_parse("test", options, WK_COUNT(options), text);
}

Test(cfg, grammar) {
    wk_cfg *cfg = parse("name=\"a,b=c\",tags=a;b;c,count=3,fast=yes,mca=k:v;x:1,2");
    cr_assert_not_null(cfg, "%s", wk_message());
    size_t count = 0;
    cr_assert_str_eq(wk_cfg_string(cfg, "name"), "a,b=c");
    cr_assert_eq(wk_cfg_int(cfg, "count"), 3);
    cr_assert(wk_cfg_bool(cfg, "fast"));
    cr_assert_eq(wk_cfg_float(cfg, "rate"), 0.5);
    cr_assert_not(wk_cfg_is_set(cfg, "rate"));
    const char *const *tags = wk_cfg_list(cfg, "tags", &count);
    cr_assert_eq(count, 3);
    cr_assert_str_eq(tags[2], "c");
    const wk_pair *mca = wk_cfg_dict(cfg, "mca", &count);
    cr_assert_eq(count, 2);
    cr_assert_str_eq(mca[1].key, "x");
    cr_assert_str_eq(mca[1].value, "1,2");
    wk_cfg_free(cfg);
    cfg = parse("tags=a,b,name=q,"); /* the last separator before the next key parts two options */
    cr_assert_not_null(cfg, "%s", wk_message());
    (void)wk_cfg_list(cfg, "tags", &count);
    cr_assert_eq(count, 2);
    cr_assert_str_eq(wk_cfg_string(cfg, "name"), "q");
    wk_cfg_free(cfg);
}

Test(cfg, refusals) {
    const char *const cases[][2] = {
        { "nam=x", "test: unknown option \"nam\"; did you mean \"name\"?" },
        { "zzzzz=x", "test: unknown option \"zzzzz\"; known are name, count, rate, fast, tags, mca" },
        { "count=three", "test: count must be an integer, not \"three\"" },
        { "fast=perhaps", "test: fast must be true or false, not \"perhaps\"" },
        { "rate=", "test: rate must be a number, not \"\"" },
        { "name", "-cfg: \"name\" is not of the form key=value,key2=a;b" },
        { "name=a,name=b", "test: option \"name\" is given twice" },
        { "mca=abc", "test: mca must be pairs (k:v;k2:v2), but \"abc\" has no colon" },
        { "name=a=b", "-cfg: \"name=a=b\": a value that holds = needs quotes: key=\"a=b\"" },
    };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        cr_expect_null(parse(cases[i][0]));
        cr_expect_str_eq(wk_message(), cases[i][1]);
        wk_clear_error();
    }
    static const wk_runopt needed[] = { { "queue", WK_RUNOPT_STRING, NULL, true, "where it waits" } };
    cr_assert_null(wk_cfg_parse("test", needed, 1, NULL));
    cr_assert_str_eq(wk_message(), "test: option \"queue\" is required (where it waits); give -cfg queue=…");
}
