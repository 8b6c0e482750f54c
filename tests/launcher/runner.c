/* The runner: JSON of each command, standard input, exit codes, events, describe, delete, and the C API. */
#include "launcher/harness.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(runner, .init = state_begin, .fini = state_end);

static json_t *json_of(const outcome *o) {
    json_error_t error;
    json_t *root = json_loads(o->out, 0, &error);
    cr_assert_not_null(root, "%s in %s%s", error.text, o->out, o->err);
    return root;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "(none)";
}

Test(runner, json_of_each_command) {
    outcome o = WICK("run", "utils.sh", "--json", "--wait", "--", "exit 3");
    cr_assert_eq(o.code, 1);
    json_t *root = json_of(&o);
    char *handle = wk_strdup(text_of(root, "handle"));
    cr_assert_eq(strncmp(handle, "local://wick/sh-", 16), 0);
    cr_assert_str_eq(text_of(json_object_get(root, "status"), "state"), "FAILED");
    json_decref(root);
    forget(&o);
    static const char *const verbs[] = { "status", "describe", "cancel", "delete" };
    for (size_t i = 0; i < WK_COUNT(verbs); i++) {
        o = WICK(verbs[i], handle, "--json");
        cr_assert_eq(o.code, 0, "%s: %s", verbs[i], o.err);
        root = json_of(&o);
        cr_assert(json_is_object(root));
        if (i == 1) cr_assert_str_eq(text_of(root, "name"), "sh");
        if (i == 2) cr_assert_str_eq(text_of(root, "state"), "FAILED");
        json_decref(root);
        forget(&o);
    }
    o = WICK("status", handle);
    cr_assert_eq(o.code, 1);
    forget(&o);
    o = WICK("list", "--json");
    root = json_of(&o);
    cr_assert_eq(json_array_size(root), 0);
    json_decref(root);
    forget(&o);
    wk_free(handle);
}

Test(runner, describe_shows_what_was_run_without_secrets) {
    outcome o = WICK("run", "utils.sh", "--env", "API_TOKEN=hush", "--wait", "--", "echo '${env:HOME}' $HOME");
    const char *handle = handle_of(&o);
    outcome d = WICK("describe", handle);
    cr_assert_eq(d.code, 0, "%s", d.err);
    assert_contains(d.out, "API_TOKEN: \"***\"");
    cr_assert_null(strstr(d.out, "hush"));
    assert_contains(d.out, "$${env:HOME}");
    forget(&d);
    d = WICK("describe", handle, "--native");
    assert_contains(d.out, "API_TOKEN='***'");
    assert_contains(d.out, "sh/0:\n  command: sh -c ");
    forget(&d);
    forget(&o);
}

Test(runner, delete_ends_and_forgets) {
    outcome o = WICK("run", "utils.sh", "--", "sleep 50");
    const char *handle = handle_of(&o);
    char folder[1024];
    (void)snprintf(folder, sizeof folder, "%s/apps/%s", state_dir(), strrchr(handle, '/') + 1);
    cr_assert_eq(access(folder, F_OK), 0);
    outcome d = WICK("delete", handle);
    cr_assert_eq(d.code, 0, "%s", d.err);
    cr_assert_neq(access(folder, F_OK), 0);
    forget(&d);
    d = WICK("delete", handle);
    cr_assert_eq(d.code, 1);
    forget(&d);
    forget(&o);
}

Test(runner, exit_code_of_the_first_that_failed) {
    outcome o = WICK("run", "utils.sh", "-j", "2", "--wait", "--propagate-exit-code", "--",
                     "if [ $RANK = 1 ]; then exit 42; fi; sleep 50");
    cr_assert_eq(o.code, 42);
    forget(&o);
    o = WICK("run", "utils.sh", "--wait", "--propagate-exit-code", "--", "kill -9 $$");
    cr_assert_eq(o.code, 128 + 9);
    forget(&o);
    o = WICK("run", "utils.sh", "--wait", "--propagate-exit-code", "--", "true");
    cr_assert_eq(o.code, 0);
    forget(&o);
}

static outcome with_stdin(const char *text, const char *more) {
    char command[2048];
    (void)snprintf(command, sizeof command, "%s run --stdin %s <%s", WICK_BINARY, more, write_file("in.json", text));
    return run_program((const char *const[]){ "sh", "-c", command, NULL });
}

Test(runner, stdin_json) {
    outcome o = with_stdin("{\"component_name\": \"utils.echo\", \"scheduler\": \"local\", \"scheduler_args\": "
                           "{\"grace\": 2.5}, \"wait\": true, \"log\": true, \"component_args\": {\"msg\": \"a,b c\", "
                           "\"num_replicas\": 2, \"env\": {\"A\": \"1\", \"B\": \"x=y\"}, \"image\": null}, "
                           "\"component_args_str\": [\"--\", \"--more\"]}",
                           "");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "echo/1 a,b c --more\n");
    forget(&o);
    o = with_stdin("{\"component_name\": \"utils.echo\", \"scheduler\": \"mpi\", \"scheduler_args\": {\"mca\": "
                   "\"a:b;c:d\", \"mpirun\": \"/bin/true\"}}",
                   "--dryrun");
    assert_contains(o.out, "--mca a b --mca c d ");
    forget(&o);
    static const char *const bad[][2] = {
        { "[]", "wick: --stdin: expected a JSON object\n" },
        { "{\"component_nam\": \"x\"}",
          "wick: --stdin: unknown key \"component_nam\"; did you mean \"component_name\"?\n" },
        { "{\"component_name\": \"x\"}", "wick: --stdin: \"scheduler\" is required\n" },
        { "{\"scheduler\": \"local\", \"wait\": 1}", "wick: --stdin: \"wait\" must be true or false\n" },
        { "{", "wick: --stdin:1:1: string or '}' expected near end of file\n" },
    };
    for (size_t i = 0; i < WK_COUNT(bad); i++) {
        o = with_stdin(bad[i][0], "");
        cr_expect_eq(o.code, 2);
        cr_expect_str_eq(o.err, bad[i][1]);
        forget(&o);
    }
    o = with_stdin("{}", "utils.echo");
    cr_assert_eq(o.code, 2);
    forget(&o);
}

Test(runner, events_are_lines_of_json) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/events", state_dir());
    (void)setenv("WICK_EVENTS", path, 1);
    outcome o = WICK("run", "utils.echo", "--wait");
    forget(&o);
    o = WICK("status", "local://wick/nobody-x");
    forget(&o);
    outcome c = run_program((const char *const[]){ "cat", path, NULL });
    json_t *seen[8];
    size_t count = 0;
    for (char *line = c.out, *end; *line && count < WK_COUNT(seen); line = end + 1) {
        end = line + strcspn(line, "\n");
        cr_assert_eq(*end, '\n');
        *end = '\0';
        cr_assert_not_null(seen[count++] = json_loads(line, 0, NULL));
    }
    cr_assert_eq(count, 4); /* dryrun, schedule, status of the end, status of nobody */
    cr_assert_str_eq(text_of(seen[0], "api"), "dryrun");
    cr_assert_str_eq(text_of(seen[1], "api"), "schedule");
    cr_assert_str_eq(text_of(seen[1], "scheduler"), "local");
    cr_assert_gt(json_integer_value(json_object_get(seen[1], "wall_time_usec")), 0);
    cr_assert_str_eq(text_of(seen[3], "exception_type"), "NOT_FOUND");
    cr_assert_gt(json_integer_value(json_object_get(json_object_get(seen[3], "exception_source_location"), "lineno")),
                 0);
    for (size_t i = 0; i < count; i++) json_decref(seen[i]);
    forget(&c);
}

/* A request can be looked at and kept before it is run; running it is what was looked at. */
Test(runner, api_dryrun_then_schedule) {
    wk_handle handle = { 0 };
    wk_app_state state = WK_APP_UNKNOWN;
    char *words[] = { "--msg", "by hand" };
    wk_appdef *app = wk_component_build("utils.echo", 2, words);
    wk_request *request = wk_app_dryrun(app, "local", NULL, &handle);
    cr_assert_not_null(request, "%s", wk_message());
    char *printed = wk_request_print(request);
    assert_contains(printed, handle.app_id);
    cr_assert_eq(wk_app_schedule(request, &handle), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_app_wait(&handle, 20, &state), WK_OK, "%s", wk_message());
    cr_assert_eq(state, WK_APP_SUCCEEDED);
    wk_appdef *again = wk_app_definition(&handle);
    cr_assert_str_eq(again->roles[0].args[0], "by hand");
    cr_assert_eq(wk_app_delete(&handle), WK_OK, "%s", wk_message());
    wk_appdef_free(again);
    wk_free(printed);
    wk_request_free(request);
    wk_appdef_free(app);
}

Test(runner, log_and_status_of_some) {
    const char *file = write_file("app.yaml", "version: 1\nname: a\nroles:\n"
                                              "  - {name: t, entrypoint: sh, num_replicas: 3, args: [-c, 'echo out "
                                              "$RANK; echo loss 0.$RANK; echo err $RANK >&2']}\n"
                                              "  - {name: u, entrypoint: echo, args: [other]}\n");
    char word[400];
    outcome o = WICK("run", file, "--wait");
    const char *handle = handle_of(&o);
    (void)snprintf(word, sizeof word, "%s/t/0,2", handle);
    outcome l = WICK("log", "--regex", "^loss 0[.][0-9]$", word);
    cr_assert_str_eq(l.out, "t/0 loss 0.0\nt/2 loss 0.2\n");
    forget(&l);
    l = WICK("log", "--streams", "stderr", word);
    cr_assert_str_eq(l.out, "t/0 err 0\nt/2 err 2\n");
    forget(&l);
    l = WICK("log", "--streams=stdout", "--regex=other", handle);
    cr_assert_str_eq(l.out, "u/0 other\n");
    forget(&l);
    l = WICK("log", "--streams", "out", handle);
    cr_assert_str_eq(l.err, "wick: log: --streams is stdout, stderr or combined, not \"out\"\n");
    forget(&l);
    l = WICK("log", "--regex", "(", handle);
    cr_assert_eq(l.code, 2);
    forget(&l);
    (void)snprintf(word, sizeof word, "%s/t/9", handle);
    l = WICK("log", word);
    cr_assert_eq(l.code, 1);
    cr_assert_str_eq(l.err, "wick: the app has no replica t/9\n");
    forget(&l);
    l = WICK("status", handle, "--roles", "u");
    assert_contains(l.out, " *u[0]:SUCCEEDED\n");
    cr_assert_null(strstr(l.out, "t[0]"));
    forget(&l);
    forget(&o);
}

Test(runner, ui_url, .init = state_begin, .fini = state_end) {
    outcome o =
        WICK("run",
             write_file("app.yaml", "version: 1\nname: u\nmetadata: {ui_url: \"https://board/?app=${app_id}\"}\n"
                                    "roles: [{name: r, entrypoint: \"true\"}]\n"),
             "--wait");
    char expected[300];
    (void)snprintf(expected, sizeof expected, "    UI URL: https://board/?app=%s\n", strrchr(handle_of(&o), '/') + 1);
    outcome status = WICK("status", o.out);
    assert_contains(status.out, expected);
    forget(&status);
    forget(&o);
    o = WICK("run", "utils.sh", "--wait", "--", "echo http://here:6006 >$WICK_REPLICA_DIR/ui_url");
    status = WICK("status", handle_of(&o), "--json");
    assert_contains(status.out, "\"url\": \"http://here:6006\"");
    forget(&status);
    forget(&o);
}
