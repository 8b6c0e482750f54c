/* tree.c: putting an object together. */
#include "launcher/kube/kube.h"

#include <string.h>

static wk__yaml_node *put(wk__kube_maker *m, wk__yaml_node *parent, const char *key, wk__yaml_kind kind,
                          const char *text) {
    wk__yaml_node *node = parent ? wk__yaml_new(m->doc, kind, text) : NULL;
    return node && wk__yaml_append(m->doc, parent, key, node) == WK_OK ? node : NULL;
}

wk__yaml_node *wk__kube_map(wk__kube_maker *m, wk__yaml_node *parent, const char *key) {
    return put(m, parent, key, WK__YAML_MAPPING, NULL);
}

wk__yaml_node *wk__kube_list(wk__kube_maker *m, wk__yaml_node *parent, const char *key) {
    return put(m, parent, key, WK__YAML_SEQUENCE, NULL);
}

void wk__kube_text(wk__kube_maker *m, wk__yaml_node *parent, const char *key, const char *text) {
    wk__yaml_node *node = put(m, parent, key, WK__YAML_SCALAR, text);
    if (node) node->quoted = true; /* written plain where YAML would read it as text anyway */
}

void wk__kube_number(wk__kube_maker *m, wk__yaml_node *parent, const char *key, int64_t number) {
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)number);
    (void)put(m, parent, key, WK__YAML_SCALAR, text);
}

void wk__kube_flag(wk__kube_maker *m, wk__yaml_node *parent, const char *key, bool flag) {
    (void)put(m, parent, key, WK__YAML_SCALAR, flag ? "true" : "false");
}

/* Kueue admits what bears the name of a queue. */
static void put_queue(wk__kube_maker *m, wk__yaml_node *labels) {
    const char *queue = wk_cfg_string(m->cfg, "queue");
    if (queue && m->kind != WK__KUBE_VOLCANO) wk__kube_text(m, labels, "kueue.x-k8s.io/queue-name", queue);
}

wk__yaml_node *wk__kube_metadata(wk__kube_maker *m, wk__yaml_node *parent, const char *name, int role, int replica) {
    char label[WK__KUBE_NAME + 1];
    wk__yaml_node *metadata = wk__kube_map(m, parent, "metadata");
    if (name) wk__kube_text(m, metadata, "name", name);
    if (name) wk__kube_text(m, metadata, "namespace", m->name_space);
    wk__yaml_node *labels = wk__kube_map(m, metadata, "labels");
    wk__kube_text(m, labels, "app.kubernetes.io/instance", m->name);
    wk__kube_text(m, labels, "app.kubernetes.io/managed-by", "wick");
    wk__kube_label(m->app->name, label);
    wk__kube_text(m, labels, "app.kubernetes.io/name", label);
    if (role >= 0) {
        char number[24];
        wk__kube_label(m->app->roles[role].name, label);
        wk__kube_text(m, labels, "app.kubernetes.io/component", label);
        (void)snprintf(number, sizeof number, "%d", role);
        wk__kube_text(m, labels, "wick/role", number);
        (void)snprintf(number, sizeof number, "%d", replica);
        if (replica >= 0) wk__kube_text(m, labels, "wick/replica", number);
    }
    if (name && role < 0 && strcmp(name, m->name) == 0 && m->kind != WK__KUBE_JOB) put_queue(m, labels);
    if (name && role >= 0 && m->kind == WK__KUBE_JOB) put_queue(m, labels);
    return metadata;
}
