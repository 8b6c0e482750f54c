/* What the scheduler `kubernetes` would submit, and how it reads what a cluster says: no server is asked here. */
#include "launcher/harness.h"
#include "launcher/kube/kube.h"

#include <ctype.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char app_text[] =
    "version: 1\nname: Two_Roles\nroles:\n"
    "  - name: train_er\n    image: reg/img:1\n    entrypoint: wick\n"
    "    args: [train, \"it's ${replica_id}\", \"$HOME $$(RANK) ${app_id}\", \"${img_root}\"]\n"
    "    num_replicas: 2\n    max_retries: 3\n"
    "    env: {API_TOKEN: hush, V: \"$(RANK) ${replica_id}\", IP: \"[FIELD_PATH]status.podIP\", MASTER_PORT: \"1\"}\n"
    "    resource: {cpu: 2, memMB: 3000, gpu: 4, devices: {vpc.amazonaws.com/efa: 2},\n"
    "               capabilities: {node.kubernetes.io/instance-type: p4}}\n"
    "    port_map: {a_very_long_port_name: 29500}\n"
    "    mounts: [{type: bind, src: /a, dst: /b, read_only: true}, {type: volume, src: claim, dst: /c},\n"
    "             {type: device, src: /dev/null}]\n"
    "    metadata: {kubernetes: {metadata: {labels: {team: x}}, spec: {tolerations: [{key: x, operator: Exists}]}}}\n"
    "  - {name: eval, image: reg/img:2, entrypoint: echo, args: [hi]}\n";
static const char one_text[] =
    "version: 1\nname: one\nroles:\n  - name: r\n    image: i\n    entrypoint: p\n    args: [\"a ${replica_id}'\"]\n"
    "    num_replicas: 3\n    min_replicas: 2\n    max_retries: 1\n    env: {A_KEY: s}\n"
    "    metadata: {replicas_per_node: 2}\n";

static wk_request *dryrun(const char *text, const char *cfg_text, const char *app_id) {
    const wk_scheduler_ops *ops = wk_scheduler("kubernetes");
    wk_appdef *app = wk_appdef_parse(text, strlen(text), "app.yaml");
    wk_cfg *cfg = app ? wk_cfg_parse(ops->name, ops->runopts, ops->runopt_count, cfg_text) : NULL;
    wk_request *request = cfg ? ops->dryrun(app, cfg, app_id) : NULL;
    wk_cfg_free(cfg);
    wk_appdef_free(app);
    return request;
}

static char *manifest(const char *text, const char *cfg_text) {
    wk_request *request = dryrun(text, cfg_text, "job-1");
    cr_assert_not_null(request, "%s", wk_message());
    char *printed = wk_request_print(request);
    const char *at = strstr(printed, "\nmanifest:\n");
    cr_assert_not_null(at);
    char *copy = wk_strdup(at + strlen("\nmanifest:\n"));
    cr_assert_null(strstr(printed, "hush"));
    wk_free(printed);
    wk_request_free(request);
    return copy;
}

/* A file of golden/, written anew with WICK_GOLDEN=write. */
static void equals_golden(const char *text, const char *name) {
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, WICK_SOURCE_DIR "/tests/launcher/golden/%s", name);
    const char *write = getenv("WICK_GOLDEN");
    FILE *file = fopen(path, write ? "w" : "r");
    cr_assert_not_null(file, "%s", path);
    if (write)
        (void)fputs(text, file);
    else {
        char *expected = wk_alloc(1 << 20);
        expected[fread(expected, 1, (1 << 20) - 1, file)] = '\0';
        cr_expect_str_eq(text, expected, "%s differs", name);
        wk_free(expected);
    }
    (void)fclose(file);
}

static void begin(void) {
    state_begin();
    (void)setenv("KUBECONFIG", "/nonexistent", 1);
}

TestSuite(kube_manifest, .init = begin, .fini = state_end);

Test(kube_manifest, golden_job) {
    char *text = manifest(app_text, "service_account=sa,priority_class=high,ttl=60,namespace=ml,queue=lq");
    equals_golden(text, "kubernetes_job.yaml");
    wk_free(text);
}

Test(kube_manifest, golden_of_other_kinds) {
    static const char *const kinds[] = { "jobset", "mpijob", "volcano" };
    for (size_t i = 0; i < WK_COUNT(kinds); i++) {
        char cfg[64];
        char name[64];
        (void)snprintf(cfg, sizeof cfg, "kind=%s,queue=q,efa_device_count=1", kinds[i]);
        (void)snprintf(name, sizeof name, "kubernetes_%s.yaml", kinds[i]);
        char *text = manifest(one_text, cfg);
        equals_golden(text, name);
        wk_free(text);
    }
}

Test(kube_manifest, options_change_it) {
    char *text = manifest(app_text, "efa_device_count=0,reserved_millicpu=2500,reserved_memmb=0");
    cr_assert_null(strstr(text, "amazonaws"));
    assert_contains(text, "cpu: \"0m\""); /* never less than nothing */
    assert_contains(text, "namespace: \"default\"");
    wk_free(text);
    text = manifest("version: 1\nname: a\nroles: [{name: r, entrypoint: x}]\n", "image=reg/mine");
    assert_contains(text, "image: \"reg/mine\"");
    cr_assert_null(strstr(text, "resources:"));
    wk_free(text);
}

static void refused(const char *text, const char *cfg, const char *message) {
    wk_request *request = dryrun(text, cfg, "job-1");
    cr_assert_null(request);
    cr_assert_str_eq(wk_message(), message);
    wk_clear_error();
}

Test(kube_manifest, refusals) {
    refused("version: 1\nname: a\nroles: [{name: r, entrypoint: x}]\n", NULL,
            "kubernetes: role \"r\" has no image (nor does -cfg image=… give one)");
    refused(one_text, "kind=volcano", "kubernetes: kind=volcano needs a queue: -cfg kind=volcano,queue=NAME");
    refused(one_text, "kind=jobsett",
            "kubernetes: kind is job, jobset, mpijob or volcano, not \"jobsett\"; did you mean \"jobset\"?");
    refused(app_text, "kind=mpijob", "kubernetes: an MPIJob runs one role, not 2; take kind=jobset");
    refused("version: 1\nname: a\nroles: [{name: r, image: i, entrypoint: x, env: {A_KEY: \"${replica_id}\"}}]\n", NULL,
            "kubernetes: role \"r\": the secret variable A_KEY cannot hold ${replica_id}: a Secret is the same for all "
            "pods");
    refused("version: 1\nname: a\nroles: [{name: r, image: i, entrypoint: x, env: {\"A B\": c}}]\n", NULL,
            "kubernetes: role \"r\": a variable cannot be named \"A B\" there");
    refused("version: 1\nname: a\nroles:\n  - {name: a_b, image: i, entrypoint: x}\n  - {name: a-b, image: i, "
            "entrypoint: x}\n",
            NULL, "kubernetes: roles \"a_b\" and \"a-b\" are both \"a-b\" there; rename one");
    refused("version: 1\nname: a\nroles: [{name: r, image: i, entrypoint: x, metadata: {kubernetes: {sepc: {}}}}]\n",
            NULL, "app.yaml:3:68: unknown key \"sepc\" in metadata.kubernetes; known are metadata, spec");
}

static bool is_dns_label(const char *name) {
    size_t size = strlen(name);
    if (size < 1 || size > 63 || !isalpha((unsigned char)name[0]) || !isalnum((unsigned char)name[size - 1]))
        return false;
    for (; *name; name++)
        if (!islower((unsigned char)*name) && !isdigit((unsigned char)*name) && *name != '-') return false;
    return true;
}

Test(kube_manifest, names_fit) {
    static const char letters[] = "abcXYZ019-_.é";
    char app[140];
    char role[100];
    char name[WK__KUBE_NAME + 1];
    char pod[160];
    uint32_t seed = 7;
    for (int turn = 0; turn < 3000; turn++) {
        char *const texts[] = { app, role };
        for (size_t t = 0; t < 2; t++) {
            seed = seed * 1664525 + 1013904223;
            size_t size = 1 + (seed >> 16) % (t ? 80 : 100);
            for (size_t i = 0; i < size; i++) {
                seed = seed * 1664525 + 1013904223;
                texts[t][i] = letters[(seed >> 16) % (sizeof letters - 1)];
            }
            texts[t][size] = '\0';
        }
        (void)snprintf(app + strlen(app), 20, "-k3q9x7w2v5t8r");
        int64_t replicas = 1 + (int64_t)(seed % 2000);
        wk__kube_role_name(app, role, (size_t)turn % 5, replicas, name);
        (void)snprintf(pod, sizeof pod, "%s-%lld", name, (long long)replicas - 1);
        cr_assert(is_dns_label(pod), "\"%s\" of \"%s\" and \"%s\"", pod, app, role);
        if (strlen(app) > 70) assert_contains(name, "v5t8r-"); /* what tells apps apart stays */
    }
    wk__kube_label("-a b_", name);
    cr_assert_str_eq(name, "xaxb");
}

Test(kube_manifest, names_of_pods_of_every_kind_fit) {
    static const char text[] =
        "version: 1\nname: a-very-long-name-of-an-app-that-goes-on-and-on-to-the-end\n"
        "roles:\n  - {name: a-role-with-quite-a-name, image: i, entrypoint: x, num_replicas: 12}\n";
    static const char *const kinds[] = { "jobset", "volcano", "mpijob" };
    static const char *const behind[] = { "-a-role-with-quite-a-name-0-11", "-a-role-with-quite-a-name-11-0",
                                          "-worker-11" };
    for (size_t i = 0; i < WK_COUNT(kinds); i++) {
        char cfg[64];
        char id[160];
        cr_assert_eq(wk_make_unique("a-very-long-name-of-an-app-that-goes-on-and-on-to-the-end", id, sizeof id), WK_OK);
        (void)snprintf(cfg, sizeof cfg, "kind=%s,queue=q", kinds[i]);
        wk_request *request = dryrun(text, cfg, id);
        cr_assert_not_null(request, "%s", wk_message());
        cr_expect_leq(strlen(request->cluster[1]) + strlen(behind[i]), 63u, "%s %s", request->cluster[1], kinds[i]);
        wk_request_free(request);
    }
}

/* ---- judging ---- */

static wk__kube_answer judge(wk__kube_kind kind, const char *text) {
    wk__kube_answer answer;
    json_t *objects = json_loads(text, 0, NULL);
    cr_assert_not_null(objects, "%s", text);
    wk__kube_judge(kind, objects, &answer);
    json_decref(objects);
    return answer;
}

Test(kube_state, objects) {
    static const struct {
        wk__kube_kind kind;
        const char *text;
        wk_app_state state;
        int restarts;
        const char *reason;
    } table[] = {
        { WK__KUBE_JOB, "{}", WK_APP_UNKNOWN, 0, "" },
        { WK__KUBE_JOB, "{\"a\": {}}", WK_APP_SUBMITTED, 0, "" },
        { WK__KUBE_JOB, "{\"a\": {\"status\": {\"conditions\": [{\"type\": \"Complete\", \"status\": \"True\"}]}}}",
          WK_APP_SUCCEEDED, 0, "" },
        { WK__KUBE_JOB,
          "{\"a\": {\"status\": {\"failed\": 3, \"conditions\": [{\"type\": \"Failed\", \"status\": \"True\", "
          "\"reason\": "
          "\"BackoffLimitExceeded\", \"message\": \"m\"}]}}, \"b\": {\"status\": {\"conditions\": [{\"type\": "
          "\"Complete\", \"status\": \"True\"}]}}}",
          WK_APP_FAILED, 2, "BackoffLimitExceeded: m" },
        { WK__KUBE_JOB,
          "{\"a\": {\"status\": {\"conditions\": [{\"type\": \"Complete\", \"status\": \"True\"}]}}, \"b\": {}}",
          WK_APP_SUBMITTED, 0, "" },
        { WK__KUBE_JOB, "{\"a\": {\"status\": {\"conditions\": [{\"type\": \"Failed\", \"status\": \"False\"}]}}}",
          WK_APP_SUBMITTED, 0, "" },
        { WK__KUBE_JOBSET,
          "{\"a\": {\"status\": {\"restarts\": 2, \"conditions\": [{\"type\": \"Completed\", \"status\": \"True\"}]}}}",
          WK_APP_SUCCEEDED, 2, "" },
        { WK__KUBE_JOBSET, "{\"a\": {\"status\": {\"conditions\": [{\"type\": \"Suspended\", \"status\": \"True\"}]}}}",
          WK_APP_PENDING, 0, "suspended" },
        { WK__KUBE_MPIJOB,
          "{\"a\": {\"status\": {\"conditions\": [{\"type\": \"Created\", \"status\": \"True\"}, {\"type\": "
          "\"Succeeded\", \"status\": \"True\"}]}}}",
          WK_APP_SUCCEEDED, 0, "" },
        { WK__KUBE_VOLCANO, "{\"a\": {\"status\": {\"state\": {\"phase\": \"Aborted\"}}}}", WK_APP_CANCELLED, 0, "" },
        { WK__KUBE_VOLCANO, "{\"a\": {\"status\": {\"retryCount\": 1, \"state\": {\"phase\": \"Terminated\"}}}}",
          WK_APP_FAILED, 1, "Volcano says Terminated" },
        { WK__KUBE_VOLCANO, "{\"a\": {\"status\": {\"state\": {\"phase\": \"new in 2030\"}}}}", WK_APP_SUBMITTED, 0,
          "" },
    };
    for (size_t i = 0; i < WK_COUNT(table); i++) {
        wk__kube_answer answer = judge(table[i].kind, table[i].text);
        cr_expect_eq(answer.state, table[i].state, "%s: %s", table[i].text, wk_app_state_name(answer.state));
        cr_expect_eq(answer.restarts, table[i].restarts, "%s", table[i].text);
        cr_expect_str_eq(answer.reason, table[i].reason);
    }
}

static wk__kube_pod_state judge_pod(const char *status) {
    wk__kube_pod_state state;
    char *text = wk_format("{\"metadata\": {\"labels\": {\"wick/role\": \"1\"}, \"annotations\": "
                           "{\"batch.kubernetes.io/job-completion-index\": \"4\"}, \"creationTimestamp\": "
                           "\"2026-11-22T02:30:07Z\"}, \"spec\": {\"nodeName\": \"n7\"}, \"status\": %s}",
                           status);
    json_t *pod = json_loads(text, 0, NULL);
    cr_assert_not_null(pod, "%s", text);
    wk__kube_judge_pod(pod, &state);
    state.message = NULL; /* it is the pod's */
    json_decref(pod);
    wk_free(text);
    cr_assert_eq(state.role, 1);
    cr_assert_eq(state.replica, 4);
    cr_assert_str_eq(state.told.host, "n7");
    cr_assert_float_eq(state.created, 1795314607, 0.5);
    return state;
}

Test(kube_state, pods) {
    wk__kube_pod_state s = judge_pod("{}");
    cr_assert(!s.started && !s.waiting && !s.told.ended);
    s = judge_pod("{\"containerStatuses\": [{\"state\": {\"waiting\": {\"reason\": \"ImagePullBackOff\", \"message\": "
                  "\"no such image\"}}}]}");
    cr_assert(s.waiting);
    cr_assert_str_eq(s.reason, "ImagePullBackOff: no such image");
    s = judge_pod(
        "{\"conditions\": [{\"type\": \"PodScheduled\", \"status\": \"False\", \"reason\": \"Unschedulable\", "
        "\"message\": \"0/3 nodes\"}]}");
    cr_assert_str_eq(s.reason, "Unschedulable: 0/3 nodes");
    s = judge_pod("{\"containerStatuses\": [{\"restartCount\": 2, \"state\": {\"terminated\": {\"exitCode\": 137, "
                  "\"reason\": \"OOMKilled\", \"startedAt\": \"2026-11-22T02:30:07Z\", \"finishedAt\": "
                  "\"2026-11-22T02:30:17Z\"}}}]}");
    cr_assert(s.told.ended && s.told.signal == 9 && s.told.exit_code == 0 && s.told.attempt == 2);
    cr_assert_str_eq(s.told.error, "out of memory (OOMKilled)");
    cr_assert_float_eq(s.told.ended_at - s.told.started_at, 10, 0.01);
    s = judge_pod("{\"phase\": \"Failed\", \"reason\": \"Evicted\", \"message\": \"disk\"}");
    cr_assert(s.told.ended && s.told.exit_code == 1);
    cr_assert_str_eq(s.told.error, "Evicted: disk");
}
