/* login.c: exec plug-ins: a program that prints who we are (client.authentication.k8s.io).
 *
 * It is told the version it shall answer in, and answers with a token or a certificate.  Nothing of it is kept beyond
 * this process: such tokens live for minutes.
 */
#include "launcher/kube/kube.h"

#include <jansson.h>
#include <string.h>

static const char *member(const wk__yaml_node *map, const char *key) {
    const wk__yaml_node *node = map ? wk__yaml_find(map, key) : NULL;
    return node && node->kind == WK__YAML_SCALAR && !wk__yaml_is_null(node) ? node->text : NULL;
}

/* env: [{name: A, value: b}], and what the plug-in is told of its task. */
static wk_pair *environment(wk__kube *k, const wk__yaml_node *exec, const char *version, size_t *count) {
    const wk__yaml_node *list = wk__yaml_find(exec, "env");
    wk_pair *pairs = wk__arena_take(&k->arena, ((list ? list->count : 0) + 1) * sizeof *pairs);
    *count = 0;
    if (!pairs) return NULL;
    for (const wk__yaml_node *item = list ? list->first : NULL; item; item = item->next)
        if (member(item, "name") && member(item, "value"))
            pairs[(*count)++] = (wk_pair){ member(item, "name"), member(item, "value") };
    pairs[(*count)++] =
        (wk_pair){ "KUBERNETES_EXEC_INFO", wk__arena_text(&k->arena,
                                                          "{\"apiVersion\":\"%s\",\"kind\":\"ExecCredential\","
                                                          "\"spec\":{\"interactive\":false}}",
                                                          version) };
    return pairs;
}

static const char **arguments(wk__kube *k, const wk__yaml *file, const wk__yaml_node *exec, const char *command) {
    const wk__yaml_node *list = wk__yaml_find(exec, "args");
    const char **argv = wk__arena_take(&k->arena, ((list ? list->count : 0) + 2) * sizeof *argv);
    const char *slash = file->name ? strrchr(file->name, '/') : NULL;
    size_t count = 0;
    if (!argv) return NULL;
    /* a path is relative to the file, a bare name is one of PATH */
    argv[count++] = strchr(command, '/') && *command != '/' && slash
                        ? wk__arena_text(&k->arena, "%.*s/%s", (int)(slash - file->name), file->name, command)
                        : command;
    for (const wk__yaml_node *item = list ? list->first : NULL; item; item = item->next)
        argv[count++] = item->text ? item->text : "";
    argv[count] = NULL;
    return argv;
}

static wk_status take(wk__kube *k, const char *command, const char *text) {
    json_t *root = json_loads(text, 0, NULL);
    const json_t *status = json_object_get(root, "status");
    const char *token = json_string_value(json_object_get(status, "token"));
    const char *certificate = json_string_value(json_object_get(status, "clientCertificateData"));
    const char *key = json_string_value(json_object_get(status, "clientKeyData"));
    if (token) k->server.token = wk__arena_text(&k->arena, "%s", token);
    if (certificate) k->server.certificate = wk__arena_text(&k->arena, "%s", certificate);
    if (key) k->server.key = wk__arena_text(&k->arena, "%s", key);
    bool good = token || (certificate && key);
    json_decref(root);
    return good ? wk_error_code()
                : wk_fail(WK_CONFIG, "kubeconfig: exec plug-in %s printed neither a token nor a certificate", command);
}

wk_status wk__kube_login(wk__kube *k) {
    const wk__yaml *file = k->exec_file;
    const wk__yaml_node *exec = k->exec;
    const char *command = member(exec, "command");
    const char *version = member(exec, "apiVersion");
    const char *hint = member(exec, "installHint");
    size_t env_count = 0;
    if (!command) return wk__yaml_fail(file, exec, "exec has no command");
    if (!version) version = "client.authentication.k8s.io/v1";
    const char **argv = arguments(k, file, exec, command);
    const wk_pair *env = argv ? environment(k, exec, version, &env_count) : NULL;
    if (!env) return wk_error_code();
    wk__command c;
    wk_status status = wk__command_run_with(argv, env, env_count, 60, &c);
    if (status == WK_NOT_FOUND) {
        wk_clear_error();
        status =
            wk_fail(WK_CONFIG, "kubeconfig: no exec plug-in %s%s%.400s", command, hint ? "; " : "", hint ? hint : "");
    } else if (status == WK_OK && c.code != 0)
        status = wk_fail(WK_CONFIG, "kubeconfig: exec plug-in %s ended with exit code %d: %.*s", command, c.code,
                         (int)strcspn(c.err.data, "\n"), c.err.data);
    else if (status == WK_OK)
        status = take(k, command, c.out.data);
    k->logged_in = status == WK_OK;
    wk__command_free(&c);
    return status;
}
