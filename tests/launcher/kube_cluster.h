/* kube_cluster.h: a cluster for a test: kube/server.py behind TLS, and a kubeconfig for it. */
#ifndef WICK_TESTS_LAUNCHER_KUBE_CLUSTER_H
#define WICK_TESTS_LAUNCHER_KUBE_CLUSTER_H

#include "launcher/harness.h"

/* Fixtures: a state directory, the server, KUBECONFIG. */
void kube_begin(void);
void kube_end(void);
/* Skip the test, loudly, if python3 or openssl is not here. */
void kube_needed(void);
/* The server's folder (ca.crt, client.crt, client.key, requests, submitted) and its port. */
const char *kube_dir(void);
int kube_port(void);
/* A fault of the server's next answers: "{\"busy\": 2}". */
void kube_fault(const char *json);
/* How many requests there were whose line holds the word. */
int kube_requests(const char *word);
/* Write a kubeconfig whose user is this YAML mapping; its path, made $KUBECONFIG. */
const char *kube_config(const char *user);
/* The answer to GET path, as text; free with wk_free. */
char *kube_get(const char *path);

#endif
