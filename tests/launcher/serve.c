/* serve.c: `wick serve-push` against a server with TorchServe's management API (torchserve.py), and against TorchServe.
 */
#include "launcher/harness.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char api[64], asked[PATH_MAX], archive[PATH_MAX];
static pid_t server;

static void serve_begin(void) {
    char port[PATH_MAX];
    state_begin();
    (void)setenv("NO_PROXY", "127.0.0.1", 1);
    (void)snprintf(port, sizeof port, "%s/port", state_dir());
    (void)snprintf(asked, sizeof asked, "%s/asked", state_dir());
    (void)snprintf(archive, sizeof archive, "%s/my model.mar", state_dir());
    server = fork();
    if (server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it outlives no test */
        (void)execlp("python3", "python3", "-B", WICK_SOURCE_DIR "/tests/launcher/torchserve.py", port, asked, NULL);
        _exit(127);
    }
    outcome made = run_program((const char *const[]){
        "python3", "-c",
        "import sys, zipfile\n"
        "with zipfile.ZipFile(sys.argv[1], 'w') as z:\n"
        "    z.writestr('MAR-INF/MANIFEST.json', '{\"runtime\": \"python\", \"model\": {\"modelName\":"
        " \"cnn\", \"modelVersion\": \"1.0\", \"handler\": \"handler.py\"}}')\n"
        "    z.writestr('handler.py', '')\n"
        "    z.writestr('weights', bytes(3000000))\n",
        archive, NULL });
    cr_assert_eq(made.code, 0, "%s", made.err);
    forget(&made);
    char number[16] = "";
    for (int i = 0; i < 200 && !*number; i++) {
        FILE *file = fopen(port, "r");
        if (file && !fgets(number, sizeof number, file)) *number = '\0';
        if (file) (void)fclose(file);
        if (!*number) pause_for(0.05);
    }
    cr_assert(*number, "the server did not start");
    (void)snprintf(api, sizeof api, "http://127.0.0.1:%s", number);
}

static void serve_end(void) {
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    state_end();
}

TestSuite(serve, .init = serve_begin, .fini = serve_end, .timeout = 60);

#define PUSH(...) WICK("serve-push", "--model-path", archive, "--management-api", api, "--port", "0", __VA_ARGS__)

Test(serve, registers_a_model) {
    outcome o = PUSH("--model-name", "a b&c", "--initial-workers", "2");
    cr_expect_eq(o.code, 0, "%s", o.err);
    assert_contains(o.out, "Model \\\"a b&c\\\" Version: 1.0 registered with 2 initial workers.");
    assert_contains(o.err, "my model.mar is offered at http://127.0.0.1:");
    forget(&o);
    o = PUSH("--model_name", "a b&c"); /* TorchX's spelling */
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "answered 409: ");
    assert_contains(o.err, "already registered for model a b&c");
    forget(&o);
}

Test(serve, component) {
    char port[16];
    (void)snprintf(port, sizeof port, "%d", 20000 + (int)getpid() % 20000);
    outcome o = WICK("run", "serve.torchserve", "--model_path", archive, "--management_api", api, "--params",
                     "model_name=second,batch_size=4", "--port", port, "--wait", "--log");
    cr_expect_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "Model \\\"second\\\" Version: 1.0 registered");
    forget(&o);
    o = run_program((const char *const[]){ "cat", asked, NULL });
    assert_contains(o.out, "&model_name=second&batch_size=4");
    forget(&o);
}

Test(serve, what_goes_wrong) {
    outcome o = WICK("serve-push", "--model-path", "/nonexistent.mar", "--management-api", api);
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "/nonexistent.mar: No such file");
    forget(&o);
    o = WICK("serve-push", "--model-path", write_file("text.mar", "no zip"), "--management-api", api, "--port", "0");
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "answered 400: ");
    assert_contains(o.err, "Invalid archive");
    forget(&o);
    o = WICK("serve-push", "--model-path", archive, "--management-api", "127.0.0.1:8081");
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "127.0.0.1:8081: expected http://HOST:PORT");
    forget(&o);
    o = WICK("serve-push", "--model-path", archive, "--management-api", "http://127.0.0.1:1", "--port", "0");
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "http://127.0.0.1:1: ");
    forget(&o);
    o = PUSH("--key-file", write_file("key_file.json", "{\"inference\": {\"key\": \"x\"}}"));
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "key_file.json: expected {\"management\": {\"key\": ");
    forget(&o);
    o = PUSH("--key-file", "/nonexistent.json");
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "/nonexistent.json: unable to open");
    forget(&o);
    o = PUSH("--params", "colour=red");
    cr_expect_eq(o.code, 2);
    assert_contains(o.err, "TorchServe has no parameter colour");
    forget(&o);
    o = PUSH("--timeout", "soon");
    cr_expect_eq(o.code, 2);
    forget(&o);
}

/* ---- TorchServe of PyPI ---- */

#define PUBLISHED WICK_SOURCE_DIR "/tests/launcher/published_torchserve"
#define INSTALLED WICK_BUILD_DIR "/torchserve"

/* A server in `folder` on `port` and the two ports behind it, in place of the one that these tests have else. */
static void start_published(const char *folder, const char *port) {
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    server = fork();
    if (server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (chdir(folder) || !freopen("log", "w", stdout) || dup2(STDOUT_FILENO, STDERR_FILENO) < 0) _exit(126);
        (void)execl(PUBLISHED, PUBLISHED, INSTALLED, port, NULL);
        _exit(127);
    }
    (void)snprintf(api, sizeof api, "http://127.0.0.1:%s", port);
}

static char key[PATH_MAX]; /* its key_file.json */

static outcome ask_server(const char *path) {
    char url[128];
    (void)snprintf(url, sizeof url, "%s%s", api, path);
    const char *script = "import json, sys, urllib.request\n"
                         "key = json.load(open(sys.argv[1]))['management']['key']\n"
                         "ask = urllib.request.Request(sys.argv[2], headers={'Authorization': 'Bearer ' + key})\n"
                         "print(urllib.request.urlopen(ask, timeout=10).read().decode())\n";
    return run_program((const char *const[]){ "python3", "-c", script, key, url, NULL });
}

/* A test that is skipped is not finished. */
static void skip_published(const char *why) {
    serve_end();
    (void)fprintf(stderr, "\n*** SKIPPED: TorchServe of PyPI: %s\n", why);
    cr_skip_test("no TorchServe");
}

Test(serve, the_published_torchserve, .timeout = 400) {
    if (tests_are_brief()) skip_published("left to the whole tests");
    outcome o = run_program((const char *const[]){ PUBLISHED, "--install", INSTALLED, NULL });
    if (o.code != 0) skip_published(o.err);
    forget(&o);
    char folder[PATH_MAX], port[16];
    (void)snprintf(folder, sizeof folder, "%s/torchserve", state_dir());
    (void)snprintf(key, sizeof key, "%s/torchserve/key_file.json", state_dir());
    cr_assert_eq(mkdir(folder, 0700), 0);
    (void)snprintf(port, sizeof port, "%d",
                   10000 + (int)getpid() % 3000 * 3); /* below those that the system hands out */
    start_published(folder, port);
    for (int i = 0; i < 300; i++) {
        o = ask_server("/models");
        if (o.code == 0) break;
        forget(&o);
        pause_for(0.2);
    }
    assert_contains(o.out, "\"models\": []");
    forget(&o);

    o = PUSH("--model-name", "a b&c");
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "answered 400: ");
    assert_contains(o.err, "InvalidKeyException");
    forget(&o);
    o = PUSH("--key-file", key, "--model-name", "a b&c", "--params", "batch_size=4,max_batch_delay=20");
    cr_expect_eq(o.code, 0, "%s", o.err);
    assert_contains(o.out, "Model \\\"a b&c\\\" Version: 1.0 registered with 0 initial workers.");
    forget(&o);
    o = ask_server("/models/a%20b%26c");
    assert_contains(o.out, "\"batchSize\": 4");
    assert_contains(o.out, "\"maxBatchDelay\": 20");
    forget(&o);
    o = PUSH("--key-file", key, "--model-name", "a b&c");
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "answered 409: ");
    assert_contains(o.err, "already registered for model a b&c");
    forget(&o);
    o = WICK("serve-push", "--model-path", write_file("text.mar", "no zip"), "--management-api", api, "--port", "0",
             "--key-file", key);
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "answered 400: ");
    assert_contains(o.err, "InvalidModelException");
    forget(&o);
    (void)snprintf(port, sizeof port, "%d", 20000 + (int)getpid() % 20000);
    o = WICK("run", "serve.torchserve", "--model_path", archive, "--management_api", api, "--key_file", key, "--port",
             port, "--wait", "--log");
    cr_expect_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "Model \\\"cnn\\\" Version: 1.0 registered");
    forget(&o);
}
