#include "launcher/kube_cluster.h"

#include "launcher/kube/kube.h"

#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[PATH_MAX], reason[200];
static pid_t server;
static int port, hold = -1; /* the server ends when this end of its stdin closes: it outlives no test */

const char *kube_dir(void) {
    return directory;
}

int kube_port(void) {
    return port;
}

static void start(void) {
    int ends[2];
    char path[PATH_MAX + 16];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    server = fork();
    if (server == 0) {
        (void)dup2(ends[0], STDIN_FILENO);
        (void)execlp("python3", "python3", "-B", WICK_SOURCE_DIR "/tests/launcher/kube/server.py", directory,
                     (char *)NULL);
        _exit(127);
    }
    (void)close(ends[0]);
    hold = ends[1];
    (void)snprintf(path, sizeof path, "%s/port", directory);
    for (double end = wk_now() + 20; wk_now() < end && !port; pause_for(0.02)) {
        FILE *file = fopen(path, "r");
        if (file && fscanf(file, "%d", &port) != 1) port = 0;
        if (file) (void)fclose(file);
        if (waitpid(server, NULL, WNOHANG) == server) break;
    }
    if (!port) (void)snprintf(reason, sizeof reason, "its server does not come up");
}

void kube_begin(void) {
    state_begin();
    (void)snprintf(directory, sizeof directory, "%s/cluster", state_dir());
    (void)mkdir(directory, 0700);
    (void)setenv("NO_PROXY", "127.0.0.1", 1);
    outcome found = run_program((const char *const[]){ "sh", "-c", "command -v python3 openssl", NULL });
    if (found.code != 0) (void)snprintf(reason, sizeof reason, "python3 or openssl is not installed");
    forget(&found);
    if (!*reason) start();
    if (!*reason) (void)kube_config("{token: the-token-of-the-tests}");
}

void kube_needed(void) {
    if (!*reason) return;
    (void)fprintf(stderr, "\n*** SKIPPED: no cluster here: %s\n", reason);
    cr_skip_test("no cluster here: %s", reason);
}

void kube_end(void) {
    if (!*reason) state_end_apps();
    if (hold >= 0) (void)close(hold);
    if (server > 0) (void)waitpid(server, NULL, 0);
    state_end_files();
}

const char *kube_config(const char *user) {
    char text[4096];
    (void)snprintf(
        text, sizeof text,
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n"
        "clusters: [{name: c, cluster: {server: \"https://127.0.0.1:%d/\", certificate-authority: ca.crt}}]\n"
        "users:\n  - name: u\n    user: %s\n"
        "contexts: [{name: test, context: {cluster: c, user: u, namespace: tests}}]\n",
        port, user);
    const char *path = write_file("cluster/config", text);
    (void)setenv("KUBECONFIG", path, 1);
    return path;
}

static wk__kube *open_as_tester(void) {
    (void)kube_config("{token: the-token-of-the-tests}");
    wk__kube *k = wk__kube_open(NULL, NULL);
    cr_assert_not_null(k, "%s", wk_message());
    return k;
}

void kube_fault(const char *json) {
    wk__kube *k = open_as_tester();
    json_t *body = json_loads(json, 0, NULL);
    cr_assert_eq(wk__kube_call(k, "POST", "/faults", body, 0, NULL, NULL), WK_OK, "%s", wk_message());
    json_decref(body);
    wk__kube_close(k);
}

char *kube_get(const char *path) {
    wk__kube *k = open_as_tester();
    json_t *root = NULL;
    cr_assert_eq(wk__kube_call(k, "GET", path, NULL, 404, NULL, &root), WK_OK, "%s", wk_message());
    char *text = json_dumps(root, 0);
    char *copy = wk_strdup(text);
    free(text);
    json_decref(root);
    wk__kube_close(k);
    return copy;
}

int kube_requests(const char *word) {
    char path[PATH_MAX + 16];
    char line[4096];
    int count = 0;
    (void)snprintf(path, sizeof path, "%s/requests", directory);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) count += strstr(line, word) != NULL;
    if (file) (void)fclose(file);
    return count;
}
