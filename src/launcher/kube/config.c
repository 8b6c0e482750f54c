/* config.c: a kubeconfig: which server, and who we are to it.
 *
 * $KUBECONFIG may name several files: the first that says something is believed, as kubectl does.  Paths in a file are
 * relative to it, and whatever is given as a file may be given as base64 in place.
 */
#include "launcher/kube/kube.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char account[] = "/var/run/secrets/kubernetes.io/serviceaccount";

char *wk__kube_decode(wk__arena *arena, const char *text, const char *what) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = wk__arena_take(arena, strlen(text) / 4 * 3 + 4);
    size_t size = 0;
    unsigned bits = 0;
    int have = 0;
    if (!out) return NULL;
    for (; *text && *text != '='; text++) {
        const char *at = strchr(letters, *text);
        if (strchr("\r\n\t ", *text)) continue;
        if (!at) return wk_fail_null(WK_CONFIG, "kubeconfig: %s is no base64", what);
        bits = bits << 6 | (unsigned)(at - letters);
        have += 6;
        if (have < 8) continue;
        have -= 8;
        out[size++] = (char)(bits >> have & 0xFF);
    }
    out[size] = '\0';
    return out;
}

/* ---- one file ---- */

typedef struct section {
    const wk__yaml *file; /* the one that names it */
    const wk__yaml_node *node;
} section;

/* "contexts: [{name: NAME, context: {…}}]" of the first file that has that name. */
static section find_named(wk__yaml *const *files, size_t count, const char *list, const char *member,
                          const char *name) {
    for (size_t i = 0; i < count; i++) {
        const wk__yaml_node *all = files[i]->root ? wk__yaml_find(files[i]->root, list) : NULL;
        for (const wk__yaml_node *item = all ? all->first : NULL; item; item = item->next) {
            const wk__yaml_node *called = wk__yaml_find(item, "name");
            const wk__yaml_node *node = wk__yaml_find(item, member);
            if (called && called->text && strcmp(called->text, name) == 0 && node) return (section){ files[i], node };
        }
    }
    return (section){ 0 };
}

static const char *text_of(wk__kube *k, const section *s, const char *key) {
    const wk__yaml_node *node = s->node ? wk__yaml_find(s->node, key) : NULL;
    if (!node || node->kind != WK__YAML_SCALAR || wk__yaml_is_null(node) || !*node->text) return NULL;
    return wk__arena_text(&k->arena, "%s", node->text);
}

static const char *file_of(wk__kube *k, const char *beside, const char *path) {
    char whole[PATH_MAX];
    const char *slash = beside ? strrchr(beside, '/') : NULL;
    if (*path == '/' || !slash)
        (void)snprintf(whole, sizeof whole, "%s", path);
    else
        (void)snprintf(whole, sizeof whole, "%.*s/%s", (int)(slash - beside), beside, path);
    char *text = wk__read_file(whole, 1 << 20, NULL);
    if (!text) return wk_fail_null(WK_CONFIG, "kubeconfig: %s cannot be read", whole);
    const char *kept = wk__arena_text(&k->arena, "%s", text);
    wk_free(text);
    return kept;
}

/* KEY-data in place, or the file KEY. */
static const char *data_of(wk__kube *k, const section *s, const char *key) {
    char in_place[64];
    (void)snprintf(in_place, sizeof in_place, "%s-data", key);
    const char *data = text_of(k, s, in_place);
    if (data) return wk__kube_decode(&k->arena, data, in_place);
    const char *path = text_of(k, s, key);
    return path ? file_of(k, s->file->name, path) : NULL;
}

static bool flag_of(const section *s, const char *key) {
    const wk__yaml_node *node = s->node ? wk__yaml_find(s->node, key) : NULL;
    return node && node->kind == WK__YAML_SCALAR && strcmp(node->text, "true") == 0;
}

static wk_status read_cluster(wk__kube *k, const section *s, const char *context) {
    wk__http_server *to = &k->server;
    char *base = (char *)(uintptr_t)text_of(k, s, "server");
    if (!base) return wk_fail(WK_CONFIG, "kubeconfig: the cluster of context \"%s\" has no server", context);
    while (*base && base[strlen(base) - 1] == '/') base[strlen(base) - 1] = '\0';
    to->base = base;
    to->authority = data_of(k, s, "certificate-authority");
    to->insecure = flag_of(s, "insecure-skip-tls-verify");
    to->server_name = text_of(k, s, "tls-server-name");
    to->proxy = text_of(k, s, "proxy-url");
    return wk_error_code();
}

static wk_status read_user(wk__kube *k, const section *s) {
    wk__http_server *to = &k->server;
    if (!s->node) return WK_OK; /* anonymous */
    to->certificate = data_of(k, s, "client-certificate");
    to->key = data_of(k, s, "client-key");
    to->token = text_of(k, s, "token");
    to->user = text_of(k, s, "username");
    to->password = text_of(k, s, "password");
    const char *path = to->token ? NULL : text_of(k, s, "tokenFile");
    if (path) {
        char *token = (char *)(uintptr_t)file_of(k, s->file->name, path);
        if (token) token[strcspn(token, "\r\n")] = '\0';
        to->token = token;
    }
    const wk__yaml_node *exec = wk__yaml_find(s->node, "exec");
    if (wk__yaml_find(s->node, "auth-provider") && !to->token && !exec)
        return wk__yaml_fail(s->file, wk__yaml_find(s->node, "auth-provider"),
                             "auth-provider is gone from Kubernetes (1.26); use the exec plug-in of your provider");
    k->exec = exec;
    k->exec_file = s->file;
    return wk_error_code();
}

static wk_status read_files(wk__kube *k, wk__yaml *const *files, size_t count) {
    const char *context = k->context;
    for (size_t i = 0; i < count && !context; i++) {
        const section whole = { files[i], files[i]->root };
        context = text_of(k, &whole, "current-context");
    }
    if (!context) return wk_fail(WK_CONFIG, "kubeconfig: no current-context; -cfg context=NAME chooses one");
    section of = find_named(files, count, "contexts", "context", context);
    if (!of.node) return wk_fail(WK_CONFIG, "kubeconfig: no context \"%s\"", context);
    const char *cluster_name = text_of(k, &of, "cluster");
    const char *user_name = text_of(k, &of, "user");
    section cluster = find_named(files, count, "clusters", "cluster", cluster_name ? cluster_name : "");
    section user = find_named(files, count, "users", "user", user_name ? user_name : "");
    const char *name_space = text_of(k, &of, "namespace");
    if (!cluster.node)
        return wk_fail(WK_CONFIG, "kubeconfig: context \"%s\" names the cluster \"%s\", which is not there", context,
                       cluster_name ? cluster_name : "");
    k->name_space = name_space ? name_space : "default";
    WK_TRY(read_cluster(k, &cluster, context));
    return read_user(k, &user);
}

/* ---- which files ---- */

/* Inside a pod: its own account. */
static wk_status use_account(wk__kube *k, const char *looked_for) {
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    const char *port = getenv("KUBERNETES_SERVICE_PORT");
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/token", account);
    if (!host || !wk__exists(path))
        return wk_fail(WK_NOT_FOUND,
                       "no kubeconfig: neither %s nor a service account; KUBECONFIG=FILE or -cfg kubeconfig=FILE "
                       "names one",
                       looked_for);
    k->server.base = wk__arena_text(&k->arena, "https://%s:%s", host, port ? port : "443");
    k->server.token = file_of(k, NULL, path);
    (void)snprintf(path, sizeof path, "%s/ca.crt", account);
    k->server.authority = file_of(k, NULL, path);
    (void)snprintf(path, sizeof path, "%s/namespace", account);
    k->name_space = file_of(k, NULL, path);
    return wk_error_code();
}

static wk_status read_paths(wk__kube *k, const char *paths) {
    for (const char *at = paths; *at && k->file_count < WK_COUNT(k->files);) {
        size_t size = strcspn(at, ":");
        char path[PATH_MAX];
        (void)snprintf(path, sizeof path, "%.*s", (int)size, at);
        if (size && wk__exists(path)) {
            if (!(k->files[k->file_count] = wk__yaml_load(path))) return wk_error_code();
            k->file_count++;
        }
        at += size + (at[size] == ':');
    }
    return k->file_count ? read_files(k, k->files, k->file_count) : use_account(k, paths);
}

wk__kube *wk__kube_open(const char *kubeconfig, const char *context) {
    const char *variable = getenv("KUBECONFIG");
    const char *home = getenv("HOME");
    wk__kube *k = wk_alloc(sizeof *k);
    if (!k) return NULL;
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/.kube/config", home ? home : "");
    if (kubeconfig && *kubeconfig) k->kubeconfig = wk__arena_text(&k->arena, "%s", kubeconfig);
    if (context && *context) k->context = wk__arena_text(&k->arena, "%s", context);
    if (k->kubeconfig && !wk__exists(k->kubeconfig)) {
        (void)wk_fail(WK_NOT_FOUND, "kubeconfig: %s is not there", k->kubeconfig);
        goto failed;
    }
    if (read_paths(k, k->kubeconfig ? k->kubeconfig : variable && *variable ? variable : path) == WK_OK && !wk_failed())
        return k;
failed:
    wk__kube_close(k);
    return NULL;
}

void wk__kube_close(wk__kube *k) {
    if (!k) return;
    for (size_t i = 0; i < k->file_count; i++) wk__yaml_free(k->files[i]);
    wk__arena_destroy(&k->arena);
    wk_free(k);
}
