/* command.c: `podman run …` of a replica.
 *
 * Variables go by their names: the client takes the values from its own environment, which the wrapper sets, so no
 * secret stands in an argument.  Those that the client itself would heed (PATH, HOME, …) are the exception.
 */
#include "launcher/container/container.h"

#include <ctype.h>
#include <fnmatch.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

typedef struct words {
    wk__arena *arena;
    const char **list;
    size_t count, room;
} words;

static void push(words *w, const char *word) {
    if (w->count + 1 >= w->room) {
        size_t room = w->room ? 2 * w->room : 64;
        const char **list = wk__arena_take(w->arena, room * sizeof *list);
        if (!list) return;
        if (w->count) memcpy(list, w->list, w->count * sizeof *list);
        w->list = list;
        w->room = room;
    }
    w->list[w->count++] = word;
    w->list[w->count] = NULL;
}

static void push2(words *w, const char *option, const char *value) {
    push(w, option);
    push(w, value);
}

void wk__container_name(const char *app_id, const char *role, int replica, char name[64]) {
    size_t size = strlen(app_id);
    (void)snprintf(name, 64, "%s-%.24s-%d", app_id + (size > 28 ? size - 28 : 0), role, replica);
    for (char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && (at == name || !strchr("-_.", *at))) *at = at == name ? 'w' : '-';
}

/* ---- variables ---- */

/* Would the client of podman or docker act on it? */
static bool is_heeded(const char *name) {
    static const char *const whole[] = { "PATH", "HOME", "TMPDIR", "STORAGE_DRIVER", "NOTIFY_SOCKET" };
    static const char *const begins[] = { "LD_", "XDG_", "CONTAINER", "DOCKER_", "PODMAN_", "GODEBUG", "BUILDAH_" };
    for (size_t i = 0; i < WK_COUNT(whole); i++)
        if (strcmp(name, whole[i]) == 0) return true;
    for (size_t i = 0; i < WK_COUNT(begins); i++)
        if (strncmp(name, begins[i], strlen(begins[i])) == 0) return true;
    return false;
}

static bool is_utf8(const char *text) {
    json_t *whole = json_string(text);
    json_decref(whole);
    return whole != NULL;
}

/* The role's own variables; what the client must not see is given by value and taken from the wrapper. */
static wk_status push_env(words *w, const wk_request *r, const char *role, wk__program *p) {
    size_t kept = 0;
    for (size_t i = 0; i < p->env_count; i++) {
        const wk_pair *pair = &p->env[i];
        if (!is_utf8(pair->value))
            return wk_fail(WK_CONFIG, "%s: role \"%s\": the variable %s is no UTF-8, which a container's must be",
                           r->scheduler, role, pair->key);
        bool heeded = is_heeded(pair->key);
        if (heeded && wk__is_secret(pair->key))
            return wk_fail(WK_CONFIG, "%s: role \"%s\": the secret variable %s is one that %s reads itself",
                           r->scheduler, role, pair->key, r->scheduler);
        push2(w, "--env", heeded ? wk__arena_text(w->arena, "%s=%s", pair->key, pair->value) : pair->key);
        if (!heeded) p->env[kept++] = *pair;
    }
    p->env_count = kept;
    return wk_error_code();
}

static void push_common(words *w) {
    static const char *const names[] = { "RANK",
                                         "WORLD_SIZE",
                                         "LOCAL_RANK",
                                         "LOCAL_WORLD_SIZE",
                                         "GROUP_RANK",
                                         "ROLE_RANK",
                                         "ROLE_WORLD_SIZE",
                                         "ROLE_NAME",
                                         "MASTER_ADDR",
                                         "MASTER_PORT",
                                         "TORCHELASTIC_RESTART_COUNT",
                                         "TORCHELASTIC_MAX_RESTARTS",
                                         "TORCHELASTIC_RUN_ID",
                                         "TORCHELASTIC_ERROR_FILE",
                                         "TORCHX_JOB_ID",
                                         "WICK_APP_ID",
                                         "WICK_REPLICA_DIR",
                                         "OMP_NUM_THREADS" };
    for (size_t i = 0; i < WK_COUNT(names); i++) push2(w, "--env", names[i]);
}

/* -cfg copy_env=AWS_*;HF_*: names of our own environment. */
static void push_copied(words *w, const wk_cfg *cfg) {
    size_t count = 0;
    const char *const *globs = wk_cfg_list(cfg, "copy_env", &count);
    for (char **at = environ; *at; at++) {
        size_t size = strcspn(*at, "=");
        const char *name = wk__arena_text(w->arena, "%.*s", (int)size, *at);
        for (size_t i = 0; name && i < count; i++)
            if (fnmatch(globs[i], name, 0) == 0) {
                push2(w, "--env", name);
                break;
            }
    }
}

/* ---- what it may use ---- */

/* A part of --mount, which is read as a line of CSV. */
static const char *csv(wk__arena *arena, const char *key, const char *value) {
    if (!strpbrk(value, ",\"")) return wk__arena_text(arena, "%s=%s", key, value);
    wk_text out = { 0 };
    wk_text_printf(&out, "\"%s=", key);
    for (; *value; value++) {
        if (*value == '"') wk_text_puts(&out, "\"");
        wk_text_add(&out, value, 1);
    }
    wk_text_puts(&out, "\"");
    const char *kept = wk__arena_text(arena, "%s", wk_text_get(&out));
    wk_text_free(&out);
    return kept;
}

static void push_mounts(words *w, const wk_role *role) {
    for (size_t i = 0; i < role->mount_count; i++) {
        const wk_mount *m = &role->mounts[i];
        if (m->type == WK_MOUNT_DEVICE)
            push2(w, "--device", wk__arena_text(w->arena, "%s:%s:%s", m->src, m->dst, m->permissions));
        else
            push2(w, "--mount",
                  wk__arena_text(w->arena, "type=%s,%s,%s%s", m->type == WK_MOUNT_BIND ? "bind" : "volume",
                                 csv(w->arena, "src", m->src), csv(w->arena, "dst", m->dst),
                                 m->read_only ? ",readonly" : ""));
    }
}

/* GPUs follow each other from replica to replica; podman names them by CDI. */
static void push_gpus(words *w, const wk__container_maker *m, int64_t gpus, int64_t first) {
    wk_text list = { 0 };
    for (int64_t i = 0; i < gpus; i++) {
        wk_text_printf(&list, "%s%lld", i ? "," : "", (long long)(first + i));
        if (!m->docker) push2(w, "--device", wk__arena_text(w->arena, "nvidia.com/gpu=%lld", (long long)(first + i)));
    }
    if (m->docker && gpus > 0) push2(w, "--gpus", wk__arena_text(w->arena, "\"device=%s\"", wk_text_get(&list)));
    wk_text_free(&list);
}

/* Named devices that are files of the host. */
static void push_devices(words *w, const wk_resource *need) {
    static const struct {
        const char *name, *path;
    } known[] = { { "vpc.amazonaws.com/efa", "/dev/infiniband/uverbs" },
                  { "aws.amazon.com/neurondevice", "/dev/neuron" } };
    for (size_t i = 0; i < need->device_count; i++)
        for (size_t k = 0; k < WK_COUNT(known); k++)
            for (long n = 0;
                 strcmp(need->devices[i].key, known[k].name) == 0 && n < strtol(need->devices[i].value, NULL, 10); n++)
                push2(w, "--device", wk__arena_text(w->arena, "%s%ld", known[k].path, n));
}

static void push_resources(words *w, const wk__container_maker *m, const wk_role *role, int64_t first_gpu) {
    const wk_resource *need = &role->resource;
    if (need->cpu > 0) push2(w, "--cpus", wk__arena_text(w->arena, "%lld", (long long)need->cpu));
    if (need->memory_mb > 0) {
        const char *memory = wk__arena_text(w->arena, "%lldm", (long long)need->memory_mb);
        push2(w, "--memory", memory);
        push2(w, "--shm-size", memory);
    }
    push_gpus(w, m, need->gpu, first_gpu);
    push_devices(w, need);
    push_mounts(w, role);
}

/* ---- the whole ---- */

static void push_identity(words *w, const wk__container_maker *m, const wk_role *role, int k) {
    char name[64];
    const char *network = wk_cfg_string(m->cfg, "network");
    const char *restart = wk_cfg_string(m->cfg, "restart");
    wk__container_name(m->request->app_id, role->name, k, name);
    const char *kept = wk__arena_text(w->arena, "%s", name);
    push2(w, "--name", kept);
    push2(w, "--network", network);
    if (strcmp(network, "host") != 0) push2(w, "--hostname", kept);
    const wk_pair labels[] = { { "app-id", m->request->app_id },
                               { "role-name", role->name },
                               { "replica-id", wk__arena_text(w->arena, "%d", k) },
                               { "version", wk_version() } };
    for (size_t i = 0; i < WK_COUNT(labels); i++)
        push2(w, "--label", wk__arena_text(w->arena, "torchx.pytorch.org/%s=%s", labels[i].key, labels[i].value));
    if (restart)
        push2(w, "--restart", restart);
    else
        push(w, "--rm");
    if (wk_cfg_bool(m->cfg, "init")) push(w, "--init");
    if (wk_cfg_bool(m->cfg, "privileged")) push(w, "--privileged");
}

static wk_status make_command(wk__container_maker *m, size_t index, int k, int64_t first_gpu) {
    const wk_role *role = &m->app->roles[index];
    wk__program *p = &m->request->roles[index].programs[k];
    words w = { .arena = &m->request->arena };
    size_t count = 0;
    const char *const *more = wk_cfg_list(m->cfg, "args", &count);
    const wk_pair *env = NULL;
    size_t env_count = 0;
    char rest[256];
    (void)snprintf(rest, sizeof rest, "%s/%d", role->name, k);
    char *folder = wk__app_path(m->request->app_id, rest);
    const char *kept = folder ? wk__arena_text(w.arena, "%s", folder) : NULL;
    wk_free(folder);
    if (!kept) return wk_error_code();
    push2(&w, m->program, "run");
    push2(&w, "--cidfile", wk__arena_text(w.arena, "%s/container", kept)); /* the wrapper removes what is left */
    push_identity(&w, m, role, k);
    push2(&w, "--mount",
          wk__arena_text(w.arena, "type=bind,%s,%s", csv(w.arena, "src", kept), csv(w.arena, "dst", kept)));
    push_resources(&w, m, role, first_gpu);
    push_copied(&w, m->cfg);
    env = wk_cfg_dict(m->cfg, "env", &env_count);
    for (size_t i = 0; i < env_count; i++)
        push2(&w, "--env", wk__arena_text(w.arena, "%s=%s", env[i].key, env[i].value));
    push_common(&w);
    WK_TRY(push_env(&w, m->request, role->name, p));
    push2(&w, "--env", wk__arena_text(w.arena, "TORCHX_IMAGE=%s", m->images[index]));
    for (size_t i = 0; i < count; i++) push(&w, wk__arena_text(w.arena, "%s", more[i]));
    push2(&w, "--entrypoint", "");
    push(&w, m->images[index]);
    const char **inner = NULL;
    WK_TRY(wk__carry(w.arena, p->argv, p->argc, NULL, &inner, &count));
    for (size_t i = 0; i < count; i++) push(&w, inner[i]);
    p->argv = w.list;
    p->argc = w.count;
    return wk_error_code();
}

wk_status wk__container_commands(wk__container_maker *m) {
    int64_t gpu = 0;
    for (size_t i = 0; i < m->app->role_count; i++)
        for (int k = 0; k < m->request->roles[i].replicas; k++) {
            WK_TRY(make_command(m, i, k, gpu));
            if (m->app->roles[i].resource.gpu > 0) gpu += m->app->roles[i].resource.gpu;
        }
    return wk_error_code();
}
