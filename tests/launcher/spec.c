/* What an AppDef says beyond names and programs: resources, mounts, workspaces, and where its values come from. */
#include "launcher/harness.h"
#include "io/yaml.h"
#include "launcher/launcher.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HEAD "version: 1\nname: a\nroles:\n  - name: t\n    entrypoint: echo\n"

static wk_appdef *parse(const char *text) {
    wk_appdef *app = wk_appdef_parse(text, strlen(text), "app.yaml");
    cr_assert_not_null(app, "%s", wk_message());
    return app;
}

static void refuses(const char *text, const char *message) {
    cr_expect_null(wk_appdef_parse(text, strlen(text), "app.yaml"), "accepted: %s", text);
    cr_expect_str_eq(wk_message(), message);
    wk_clear_error();
}

Test(resource, named_and_fractions) {
    wk_resource r;
    cr_assert_eq(wk_resource_named("gpu.small", &r), WK_OK);
    cr_assert_eq(r.cpu, 8);
    cr_assert_eq(r.gpu, 1);
    cr_assert_eq(r.memory_mb, 32768);
    cr_assert_eq(wk_resource_named("aws_p4d.24xlarge", &r), WK_OK);
    cr_assert_eq(r.memory_mb, 1152 * 983);
    cr_assert_str_eq(r.capabilities[0].value, "p4d.24xlarge");
    cr_assert_str_eq(r.devices[0].key, "vpc.amazonaws.com/efa");
    cr_assert_str_eq(r.devices[0].value, "4");
    cr_assert_eq(wk_resource_named("aws_p4d.24xlarge_2", &r), WK_OK);
    cr_assert_eq(r.gpu, 2);
    cr_assert_eq(r.cpu, 24);
    cr_assert_eq(r.memory_mb, 1152 * 983 / 4);
    cr_assert_str_eq(r.devices[0].value, "1");
    cr_assert_eq(wk_resource_named("NULL", &r), WK_OK);
    cr_assert_eq(r.cpu, -1);
    static const char *const none[] = { "aws_p4d.24xlarge_3", "aws_p4d.24xlarge_16", "cpu.small_1", "xyzzy" };
    for (size_t i = 0; i < WK_COUNT(none); i++) {
        cr_expect_eq(wk_resource_named(none[i], &r), WK_NOT_FOUND, "%s", none[i]);
        wk_clear_error();
    }
    cr_assert_eq(wk_resource_named("gpu.smal", &r), WK_NOT_FOUND);
    cr_assert_str_eq(wk_message(), "no resource is named \"gpu.smal\"; did you mean \"gpu.small\"?");
    wk_clear_error();
    wk_resource mine = { .cpu = 3, .gpu = 4, .memory_mb = 100 };
    cr_assert_eq(wk_resource_register("gpu.small", &mine), WK_OK);
    cr_assert_eq(wk_resource_named("gpu.small_4", &r), WK_OK);
    cr_assert_eq(r.cpu, 3);
}

Test(resource, in_an_appdef) {
    wk_appdef *app = parse(HEAD "    resource: aws_trn1.32xlarge\n");
    cr_assert_eq(app->roles[0].resource.device_count, 2);
    wk_appdef_free(app);
    app = parse(HEAD "    resource: {h: cpu.large, cpu: 7, capabilities: {a.n: 4, a.f: 0.5, a.b: yes, a.t: \"4\"}}\n");
    const wk_resource *r = &app->roles[0].resource;
    const char *value = NULL;
    cr_assert_eq(r->cpu, 7);
    cr_assert_eq(r->memory_mb, 8192);
    cr_assert_eq(wk_capability_get(r, "a", "n", WK_VALUE_INT, &value), WK_OK);
    cr_assert_str_eq(value, "4");
    cr_assert_eq(wk_capability_get(r, "a", "n", WK_VALUE_FLOAT, &value), WK_OK);
    cr_assert_eq(wk_capability_get(r, "a", "b", WK_VALUE_BOOL, &value), WK_OK);
    cr_assert_eq(wk_capability_get(r, "a", "t", WK_VALUE_INT, &value), WK_CONFIG);
    cr_assert_str_eq(wk_message(), "capability \"a.t\" must be an integer, not \"4\"");
    wk_clear_error();
    cr_assert_eq(wk_capability_get(r, "a", "b", WK_VALUE_INT, &value), WK_CONFIG);
    wk_clear_error();
    cr_assert_eq(wk_capability_get(r, "a", "zz", WK_VALUE_INT, &value), WK_NOT_FOUND);
    wk_clear_error();
    wk_appdef_free(app);
    refuses(HEAD "    resource: aws_p3.2xlarg\n",
            "app.yaml:6:15: no resource is named \"aws_p3.2xlarg\"; did you mean \"aws_p3.2xlarge\"?");
    refuses(HEAD "    resource: {devices: {efa: many}}\n",
            "app.yaml:6:31: efa must be an integer from 0 to 2147483647, not \"many\"");
}

Test(mount, grammar) {
    (void)setenv("HOME", "/home/me", 1);
    wk_appdef *app = parse(HEAD "    mounts: [type=bind, src=~/d, dst=/d, readonly, type=volume, source=v, target=/v,\n"
                                "      \"type=device,src=/dev/fuse,perm=rw\", {type: bind, src: /a, dst: /b}]\n");
    const wk_role *role = &app->roles[0];
    cr_assert_eq(role->mount_count, 4);
    cr_assert_str_eq(role->mounts[0].src, "/home/me/d");
    cr_assert(role->mounts[0].read_only);
    cr_assert_eq(role->mounts[1].type, WK_MOUNT_VOLUME);
    cr_assert_str_eq(role->mounts[1].dst, "/v");
    cr_assert_not(role->mounts[1].read_only);
    cr_assert_str_eq(role->mounts[2].dst, "/dev/fuse");
    cr_assert_str_eq(role->mounts[2].permissions, "rw");
    cr_assert_str_eq(role->mounts[3].dst, "/b");
    wk_appdef_free(app);
    refuses(HEAD "    mounts: [src=/a]\n",
            "app.yaml:6:14: a mount of role \"t\" must begin with type=bind, volume or device");
    refuses(HEAD "    mounts: [type=bind, src=/a]\n", "app.yaml:6:25: a mount of role \"t\" has no dst");
    refuses(HEAD "    mounts: [type=bindd]\n",
            "app.yaml:6:14: type must be bind, volume or device, not \"bindd\"; did you mean \"bind\"?");
    refuses(HEAD "    mounts: [type=bind, sorce=/a]\n",
            "app.yaml:6:25: unknown word \"sorce\" in a mount of role \"t\"; did you mean \"source\"?");
    refuses(HEAD "    mounts: [\"type=device,src=/x,perm=rwz\"]\n",
            "app.yaml:6:14: a mount of role \"t\": permissions are letters of \"rwm\", not \"rwz\"");
    refuses(HEAD "    mounts: [\"type=bind,src=/a,dst=/b,readonly=perhaps\"]\n",
            "app.yaml:6:14: readonly must be true or false, not \"perhaps\"");
}

Test(workspace, folders) {
    wk_appdef *app = parse(HEAD "    workspace: /src\n");
    cr_assert_eq(app->roles[0].workspace_count, 1);
    wk_appdef_free(app);
    app = parse(HEAD "    workspace: {/src: \"\", /lib: third/lib, /other: ~}\n");
    cr_assert_eq(app->roles[0].workspace_count, 3);
    cr_assert_str_eq(app->roles[0].workspace[1].value, "third/lib");
    cr_assert_str_eq(app->roles[0].workspace[2].value, "");
    wk_appdef_free(app);
    refuses(HEAD "    workspace: {/src: ../x}\n",
            "app.yaml:6:23: \"../x\" must be a folder below the copy: relative, without ..");
}

Test(compose, environment) {
    (void)setenv("WICK_TEST_N", "3", 1);
    (void)setenv("WICK_TEST_DOLLAR", "a$b", 1);
    (void)unsetenv("WICK_TEST_NONE");
    wk_appdef *app = parse("version: 1\nname: job-${env:WICK_TEST_DOLLAR}\nroles:\n  - name: t\n    entrypoint: x\n"
                           "    num_replicas: ${env:WICK_TEST_N}\n"
                           "    args: [\"${oc.env:WICK_TEST_DOLLAR}\", \"${env:WICK_TEST_NONE,or this}\", "
                           "\"$${env:X}\", \"${app_id}\"]\n");
    cr_assert_str_eq(app->name, "job-a$b");
    cr_assert_eq(app->roles[0].num_replicas, 3);
    static const wk_macros macros = { .app_id = "id" };
    wk_appdef *ready = wk_macros_apply(&macros, app);
    cr_assert_str_eq(ready->roles[0].args[0], "a$b");
    cr_assert_str_eq(ready->roles[0].args[1], "or this");
    cr_assert_str_eq(ready->roles[0].args[2], "${env:X}");
    cr_assert_str_eq(ready->roles[0].args[3], "id");
    wk_appdef_free(ready);
    wk_appdef_free(app);
    refuses(HEAD "    args: [\"${env:WICK_TEST_NONE}\"]\n",
            "app.yaml:6:12: the environment has no WICK_TEST_NONE; set it, or write ${env:WICK_TEST_NONE,otherwise}");
}

/* What is replaced is stored, and read again. */
Test(compose, no_variable_is_left_by_another) {
    (void)setenv("WICK_TEST_INNER", "${env:HOME}", 1);
    (void)unsetenv("WICK_TEST_NONE");
    static const char sentence[] =
        "no variable can stand within another, but \"${env:HOME}\" is left when it is replaced";
    char wanted[200];
    (void)snprintf(wanted, sizeof wanted, "app.yaml:6:16: %s", sentence);
    refuses(HEAD "    workspace: \"${env:WICK_TEST_NONE,${env:HOME}}\"\n", wanted);
    refuses(HEAD "    workspace: \"${env:WICK_TEST_INNER}\"\n", wanted);
    (void)snprintf(wanted, sizeof wanted, "app.yaml:6:12: %s", sentence);
    refuses(HEAD "    args: [\"${${env:WICK_TEST_NONE,env:HOME}}\"]\n", wanted);
    wk_appdef *app = parse(HEAD "    args: [\"${env:WICK_TEST_INNER}\"]\n");
    static const wk_macros macros = { .app_id = "id" };
    wk_appdef *ready = wk_macros_apply(&macros, app);
    cr_assert_str_eq(ready->roles[0].args[0], "${env:HOME}", "values of arguments arrive as they are");
    wk_appdef_free(ready);
    wk_appdef_free(app);
}

static const char *folder(const char *name) {
    static char path[600];
    (void)snprintf(path, sizeof path, "%s/%s", state_dir(), name);
    cr_assert_eq(mkdir(path, 0700), 0);
    return path;
}

TestSuite(defaults, .init = state_begin, .fini = state_end);

Test(defaults, groups_and_overrides) {
    (void)folder("size");
    (void)write_file("base.yaml", "version: 1\nroles:\n  - name: t\n    entrypoint: x\n    env: {A: base, B: base}\n"
                                  "  - {name: u, entrypoint: y}\n");
    (void)write_file("size/small.yaml", "roles: [{name: t, num_replicas: 2}]\n");
    (void)write_file("size/large.yaml", "roles: [{name: t, num_replicas: 8}]\n");
    const char *path = write_file("app.yaml", "defaults: [base, {size: small}]\nname: a\nroles:\n"
                                              "  - name: t\n    env: {B: own}\n    args: [q]\n");
    wk_appdef *app = wk_appdef_load(path);
    cr_assert_not_null(app, "%s", wk_message());
    cr_assert_eq(app->role_count, 2);
    cr_assert_eq(app->roles[0].num_replicas, 2);
    cr_assert_str_eq(app->roles[0].env[0].value, "base");
    cr_assert_str_eq(app->roles[0].env[1].value, "own");
    wk_appdef_free(app);
    const char *const changes[] = { "size=large", "roles.u.num_replicas=3", "name=b", "roles.0.args.0=z" };
    app = wk_appdef_compose(path, changes, WK_COUNT(changes));
    cr_assert_not_null(app, "%s", wk_message());
    cr_assert_eq(app->roles[0].num_replicas, 8);
    cr_assert_eq(app->roles[1].num_replicas, 3);
    cr_assert_str_eq(app->name, "b");
    cr_assert_str_eq(app->roles[0].args[0], "z");
    wk_appdef_free(app);
    outcome o = WICK("run", path, "-o", "roles.t.num_replicas=5", "--dryrun");
    assert_contains(o.out, "num_replicas: 5\n");
    forget(&o);
    const char *const bad[] = { "roles.u.num_replicas=0" };
    cr_assert_null(wk_appdef_compose(path, bad, 1));
    cr_assert_str_eq(wk_message(),
                     "roles.1.num_replicas=0: num_replicas must be an integer from 1 to 100000, not \"0\"");
    wk_clear_error();
}

Test(defaults, messages_name_the_file) {
    char expected[1200];
    (void)write_file("base.yaml", "version: 1\nname: a\nroles:\n  - name: t\n    num_replica: 3\n    entrypoint: x\n");
    const char *path = write_file("app.yaml", "defaults: [base]\n");
    cr_assert_null(wk_appdef_load(path));
    (void)snprintf(expected, sizeof expected,
                   "%s/base.yaml:5:18: unknown key \"num_replica\" in role \"t\"; did you mean \"num_replicas\"?",
                   state_dir());
    cr_assert_str_eq(wk_message(), expected);
    wk_clear_error();
    path = write_file("app.yaml", "defaults:\n  - nowhere\n");
    cr_assert_null(wk_appdef_load(path));
    (void)snprintf(expected, sizeof expected, "%s:2:5: %s/nowhere.yaml: No such file or directory", path, state_dir());
    cr_assert_str_eq(wk_message(), expected);
    wk_clear_error();
    path = write_file("circle.yaml", "defaults: [circle]\n");
    cr_assert_null(wk_appdef_load(path));
    assert_contains(wk_message(), "more than 8 deep: a circle?");
    wk_clear_error();
}

Test(defaults, saved_and_loaded_again) {
    (void)setenv("WICK_TEST_DOLLAR", "a$b", 1);
    char path[600];
    wk_appdef *app = parse("version: 1\nname: a\nmetadata: {k: [1, \"2\"]}\nroles:\n  - name: t\n    entrypoint: x\n"
                           "    args:\n      - \"\"\n      - \"it's\"\n      - |\n        two\n        lines\n"
                           "      - ${env:WICK_TEST_DOLLAR}\n"
                           "    env: {API_TOKEN: hush}\n    mounts: [type=bind, src=/a, dst=/b]\n"
                           "    resource: {h: gpu.small, cpu: 2}\n    workspace: {/a: b}\n    port_map: {p: 80}\n");
    (void)snprintf(path, sizeof path, "%s/saved.yaml", state_dir());
    cr_assert_eq(wk_appdef_save(app, path), WK_OK);
    struct stat info;
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0600);
    wk_appdef *again = wk_appdef_load(path);
    cr_assert_not_null(again, "%s", wk_message());
    cr_assert(wk__yaml_equal(app->document->root, again->document->root));
    cr_assert_str_eq(again->roles[0].env[0].value, "hush");
    cr_assert_eq(again->roles[0].resource.cpu, 2);
    wk_appdef_free(again);
    wk_appdef_free(app);
}

Test(defaults, a_program_learns_its_ports) {
    const char *path = write_file("app.yaml", "version: 1\nname: a\nroles: [{name: t, entrypoint: sh, port_map: "
                                              "{c10d-x: 29500}, args: [-c, 'echo port $WICK_PORT_C10D_X']}]\n");
    outcome o = WICK("run", path, "--wait", "--log");
    assert_contains(o.err, "t/0 port 29500\n");
    cr_assert_null(strstr(o.err, "ignores"));
    forget(&o);
}

static void overlay_gives(const char *base, const char *overlay, const char *expected) {
    wk__yaml *a = wk__yaml_parse(base, strlen(base), "base");
    wk__yaml *b = wk__yaml_parse(overlay, strlen(overlay), "overlay");
    wk__yaml *c = wk__yaml_parse(expected, strlen(expected), "expected");
    cr_assert(a && b && c, "%s", wk_message());
    cr_assert_eq(wk__overlay(a, a->root, b->root), WK_OK, "%s", wk_message());
    char *text = wk__yaml_dump(a->root);
    cr_expect(wk__yaml_equal(a->root, c->root), "%s", text);
    wk_free(text);
    wk__yaml_free(a);
    wk__yaml_free(b);
    wk__yaml_free(c);
}

Test(overlay, operators) {
    overlay_gives("{a: 1, b: {c: 2}, l: [1]}", "{a: 3, b: {d: 4}, l: [2], n: x}",
                  "{a: 3, b: {c: 2, d: 4}, l: [1, 2], n: x}");
    overlay_gives("{b: {c: 2}, l: [1]}", "{__put__:b: {d: 4}, __put__:l: [9]}", "{b: {d: 4}, l: [9]}");
    overlay_gives("{a: 1, b: 2, c: 3}", "{__del__:a: ~, __del__:c: ~, __del__:zz: ~}", "{b: 2}");
    overlay_gives("{v: [{name: x, p: 1}, {name: y}]}", "{\"__join__:v:name\": [{name: x, q: 2}, {name: z}]}",
                  "{v: [{name: x, p: 1, q: 2}, {name: y}, {name: z}]}");
    overlay_gives("{a: {b: 1}}", "{a: text}", "{a: text}");
    overlay_gives("{a: 1}", "{a: ~}", "{a: ~}"); /* nothing is a value; __del__ takes away */
    static const char bad[] = "{\"__join__:v\": []}";
    wk__yaml *base = wk__yaml_parse("{v: []}", 7, "base");
    wk__yaml *over = wk__yaml_parse(bad, strlen(bad), "over");
    cr_assert_eq(wk__overlay(base, base->root, over->root), WK_CONFIG);
    wk_clear_error();
    wk__yaml_free(base);
    wk__yaml_free(over);
}
