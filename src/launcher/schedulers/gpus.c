/* gpus.c: which GPUs of this machine each replica has.
 *
 * Replicas whose role says `gpu: N` get N neighbours each, in the order of roles and replicas, as CUDA_VISIBLE_DEVICES:
 * the program then counts its own from 0.  What there is to share is what this process may see (CUDA_VISIBLE_DEVICES,
 * names and all) or what the driver lists.  If there are too few, nobody is given any: two programs on one GPU would be
 * worse than a warning.
 */
#include "launcher/launcher.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_GPUS = 1024 };

typedef struct pool {
    const char *names[MOST_GPUS];
    size_t count;
} pool;

static void from_list(wk__arena *arena, const char *list, pool *p) {
    for (const char *at = list; *at && p->count < MOST_GPUS;) {
        size_t size = strcspn(at, ",");
        if (size) p->names[p->count++] = wk__arena_text(arena, "%.*s", (int)size, at);
        at += size + (at[size] == ',');
    }
}

static void from_driver(wk__arena *arena, pool *p) {
    DIR *directory = opendir("/proc/driver/nvidia/gpus");
    for (struct dirent *e; directory && (e = readdir(directory)) && p->count < MOST_GPUS;)
        if (e->d_name[0] != '.') {
            p->names[p->count] = wk__arena_text(arena, "%zu", p->count);
            p->count++;
        }
    if (directory) (void)closedir(directory);
}

static bool has_variable(const wk__program *p, const char *name) {
    for (size_t i = 0; i < p->env_count; i++)
        if (strcmp(p->env[i].key, name) == 0) return true;
    return false;
}

static wk_status give(wk_request *r, wk__program *program, const char *const *names, size_t count) {
    wk_text list = { 0 };
    for (size_t i = 0; i < count; i++) wk_text_printf(&list, "%s%s", i ? "," : "", names[i]);
    wk_pair *env = wk__arena_take(&r->arena, (program->env_count + 2) * sizeof *env);
    if (env && !list.failed) {
        memcpy(env, program->env, program->env_count * sizeof *env);
        env[program->env_count++] = (wk_pair){ "CUDA_VISIBLE_DEVICES", wk__arena_text(&r->arena, "%s", list.data) };
        program->env = env;
    }
    wk_text_free(&list);
    return wk_error_code();
}

wk_status wk__request_split_gpus(wk_request *r, const wk_appdef *app) {
    size_t wanted = 0;
    size_t at = 0;
    pool p = { .count = 0 };
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    for (size_t i = 0; i < r->role_count; i++)
        if (app->roles[i].resource.gpu > 0) wanted += (size_t)app->roles[i].resource.gpu * (size_t)r->roles[i].replicas;
    if (wanted == 0) return WK_OK;
    if (visible)
        from_list(&r->arena, visible, &p);
    else
        from_driver(&r->arena, &p);
    if (wk_failed()) return wk_error_code();
    if (wanted > p.count) {
        wk_log_write(WK_LOG_WARNING,
                     "%s: %zu GPUs are asked for and this machine has %zu: CUDA_VISIBLE_DEVICES is left as it is",
                     r->scheduler, wanted, p.count);
        return WK_OK;
    }
    for (size_t i = 0; i < r->role_count; i++) {
        size_t each = app->roles[i].resource.gpu > 0 ? (size_t)app->roles[i].resource.gpu : 0;
        for (int k = 0; each && k < r->roles[i].replicas; k++, at += each)
            if (!has_variable(&r->roles[i].programs[k], "CUDA_VISIBLE_DEVICES"))
                WK_TRY(give(r, &r->roles[i].programs[k], p.names + at, each));
    }
    return WK_OK;
}
