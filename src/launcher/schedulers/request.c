/* request.c: what a scheduler with a supervisor is asked to run: made by dryrun, kept in a file, printed.
 *
 * The request is complete: every replica's arguments and environment with its macros replaced.  It reaches the
 * supervisor and the wrappers as a file that only the user can read, not as arguments: a secret in an argument shows
 * in `ps`, and mpirun and ssh both rewrite what they pass on.  Fields are separated by NUL, the one byte that neither
 * an argument nor a variable can hold, so hostile strings arrive as they were.
 */
#include "launcher/launcher.h"
#include "wick/files.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BYTES = 1 << 28 };
#define FORMAT_LINE "wick request 4"

char *wk__arena_text(wk__arena *arena, const char *format, ...) {
    va_list list;
    va_list again;
    va_start(list, format);
    va_copy(again, list);
    int size = vsnprintf(NULL, 0, format, list);
    va_end(list);
    char *text = size < 0 ? NULL : wk__arena_take(arena, (size_t)size + 1);
    if (text) (void)vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return text;
}

void wk_request_free(wk_request *request) {
    if (!request) return;
    wk__arena_destroy(&request->arena);
    wk_free(request);
}

int wk__request_ranks(const wk_request *request) {
    int ranks = 0;
    for (size_t i = 0; i < request->role_count; i++) ranks += request->roles[i].replicas;
    return ranks;
}

/* ---- make ---- */

/* WICK_PORT_NAME=29500: the program learns the numbers that its role declared. */
static const char *port_variable(wk_request *r, const char *name) {
    char *variable = wk__arena_text(&r->arena, "WICK_PORT_%s", name);
    for (char *at = variable; at && *at; at++)
        *at = isalnum((unsigned char)*at) ? (char)toupper((unsigned char)*at) : '_';
    return variable;
}

static wk_status fill_program(wk_request *r, const wk_role *role, wk__program *program) {
    program->argc = role->arg_count + 1;
    program->env_count = role->port_count + role->env_count;
    program->argv = wk__arena_take(&r->arena, (program->argc + 1) * sizeof *program->argv);
    program->env = wk__arena_take(&r->arena, (program->env_count + 1) * sizeof *program->env);
    if (!program->argv || !program->env) return wk_error_code();
    bool itself = strcmp(role->entrypoint, "wick") == 0;
    program->argv[0] = itself && !r->contained ? r->wick : wk__arena_text(&r->arena, "%s", role->entrypoint);
    for (size_t i = 0; i < role->arg_count; i++) program->argv[i + 1] = wk__arena_text(&r->arena, "%s", role->args[i]);
    program->argv[program->argc] = NULL;
    wk_pair *env = program->env;
    for (size_t i = 0; i < role->port_count; i++, env++)
        *env = (wk_pair){ port_variable(r, role->port_map[i].key),
                          wk__arena_text(&r->arena, "%s", role->port_map[i].value) };
    for (size_t i = 0; i < role->env_count; i++, env++)
        *env = (wk_pair){ wk__arena_text(&r->arena, "%s", role->env[i].key),
                          wk__arena_text(&r->arena, "%s", role->env[i].value) };
    return wk_error_code();
}

/* Replica k of every role, with its macros replaced. */
static wk_status fill_replicas(wk_request *r, const wk_appdef *app, int k) {
    char replica_id[32];
    (void)snprintf(replica_id, sizeof replica_id, "%d", k);
    if (r->marker) (void)snprintf(replica_id, sizeof replica_id, "%s", r->marker);
    wk_macros macros = { .img_root = r->contained ? "" : r->directory,
                         .app_id = r->app_id,
                         .replica_id = replica_id,
                         .rank0_env = "MASTER_ADDR" };
    wk_appdef *copy = wk_macros_apply(&macros, app);
    if (!copy) return wk_error_code();
    wk_status status = WK_OK;
    for (size_t i = 0; i < app->role_count && status == WK_OK; i++)
        if (k < r->roles[i].replicas) status = fill_program(r, &copy->roles[i], &r->roles[i].programs[k]);
    wk_appdef_free(copy);
    return status;
}

static wk_status fill_workspace(wk_request *r, const wk_role *from, wk__request_role *role) {
    role->directory = "";
    if (!from->workspace_count) return WK_OK;
    wk_pair *folders = wk__arena_take(&r->arena, from->workspace_count * sizeof *folders);
    char *path = folders ? wk__workspace_path(from->workspace, from->workspace_count) : NULL;
    if (!path) return wk_error_code();
    role->directory = wk__arena_text(&r->arena, "%s", path);
    wk_free(path);
    for (size_t i = 0; i < from->workspace_count; i++)
        folders[i] = (wk_pair){ wk__arena_text(&r->arena, "%s", from->workspace[i].key),
                                wk__arena_text(&r->arena, "%s", from->workspace[i].value) };
    role->workspace = folders;
    role->workspace_count = from->workspace_count;
    return wk_error_code();
}

wk_status wk__request_copy_workspaces(const wk_request *r) {
    for (size_t i = 0; i < r->role_count; i++)
        if (r->roles[i].workspace_count)
            WK_TRY(wk__workspace_copy(r->roles[i].workspace, r->roles[i].workspace_count, r->roles[i].directory));
    return WK_OK;
}

static wk_status fill(wk_request *r, const wk_appdef *app, const char *scheduler, const char *app_id) {
    char path[4096];
    WK_TRY(wk__wick_path(path, sizeof path));
    r->wick = wk__arena_text(&r->arena, "%s", path);
    if (!getcwd(path, sizeof path)) return wk_fail(WK_IO, "the current directory: %s", strerror(errno));
    r->directory = wk__arena_text(&r->arena, "%s", path);
    r->scheduler = scheduler;
    r->app_id = wk__arena_text(&r->arena, "%s", app_id);
    r->app_name = wk__arena_text(&r->arena, "%s", app->name);
    r->master = "localhost";
    r->log_url = "";
    r->role_count = app->role_count;
    r->roles = wk__arena_take(&r->arena, app->role_count * sizeof *r->roles);
    if (!r->roles) return wk_error_code();
    int most = 0;
    int first = 0;
    for (size_t i = 0; i < app->role_count; i++) {
        wk__request_role *role = &r->roles[i];
        *role = (wk__request_role){ .name = wk__arena_text(&r->arena, "%s", app->roles[i].name),
                                    .replicas = (int)app->roles[i].num_replicas,
                                    .first_rank = first,
                                    .max_retries = (int)app->roles[i].max_retries };
        role->least = app->roles[i].min_replicas ? (int)app->roles[i].min_replicas : role->replicas;
        role->programs = wk__arena_take(&r->arena, (size_t)role->replicas * sizeof *role->programs);
        if (!role->programs) return wk_error_code();
        WK_TRY(fill_workspace(r, &app->roles[i], role));
        first += role->replicas;
        if (role->replicas > most) most = role->replicas;
    }
    for (int k = 0; k < most; k++) WK_TRY(fill_replicas(r, app, k));
    return wk_error_code();
}

static wk_request *make(const wk_appdef *app, const char *scheduler, const char *app_id, const char *marker,
                        bool contained) {
    wk_request *r = wk_alloc(sizeof *r);
    if (!r) return NULL;
    r->contained = contained;
    if (marker && !(r->marker = wk__arena_text(&r->arena, "%s", marker))) goto failed;
    if (fill(r, app, scheduler, app_id) != WK_OK) goto failed;
    /* Arguments given on a command line need not be UTF-8; YAML must.  The copy for people is then left out. */
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    char *yaml = wk_appdef_dump(app);
    (void)wk__error_bind(former);
    r->app_yaml = wk__arena_text(&r->arena, "%s", yaml ? yaml : "# some arguments are not UTF-8\n");
    wk_free(yaml);
    if (!r->app_yaml) goto failed;
    return r;
failed:
    wk_request_free(r);
    return NULL;
}

wk_request *wk__request_new(const wk_appdef *app, const char *scheduler, const char *app_id) {
    return wk__request_new_marked(app, scheduler, app_id, NULL);
}

wk_request *wk__request_new_marked(const wk_appdef *app, const char *scheduler, const char *app_id,
                                   const char *marker) {
    return make(app, scheduler, app_id, marker, false);
}

wk_request *wk__request_new_contained(const wk_appdef *app, const char *scheduler, const char *app_id,
                                      const char *marker) {
    return make(app, scheduler, app_id, marker, true);
}

wk_status wk__request_keep_logs(wk_request *r, const wk_cfg *cfg) {
    const char *folder = wk_cfg_string(cfg, "log_dir");
    if (!folder || !*folder) return WK_OK;
    if (strncmp(folder, "memory:", 7) == 0)
        return wk_fail(WK_CONFIG, "log_dir=%s: that is the memory of a process that ends; name a folder or a server",
                       folder);
    const char *path = wk_url_path(folder);
    char *whole = path && *path != '/' ? wk_format("%s/%s", r->directory, path) : wk_strdup(folder);
    char *url = whole && wk_url_check(whole) == WK_OK ? wk_url_join(whole, r->app_id) : NULL;
    if (url) r->log_url = wk__arena_text(&r->arena, "%s", url);
    wk_free(url);
    wk_free(whole);
    if (wk_failed()) wk_error_prefix("log_dir");
    return wk_error_code();
}

/* ---- file ---- */

static void put(wk_text *out, const char *text) {
    wk_text_add(out, text, strlen(text) + 1);
}

static void put_number(wk_text *out, double number) {
    char text[32];
    (void)snprintf(text, sizeof text, "%.17g", number);
    put(out, text);
}

wk_status wk__request_write(const wk_request *r, const char *path) {
    wk_text out = { 0 };
    const char *const texts[] = { FORMAT_LINE, r->scheduler, r->app_id,   r->app_name, r->directory,
                                  r->wick,     r->master,    r->app_yaml, r->log_url };
    for (size_t i = 0; i < WK_COUNT(texts); i++) put(&out, texts[i]);
    put_number(&out, r->grace);
    put_number(&out, r->bound);
    put_number(&out, (double)r->launcher_count);
    for (size_t i = 0; i < r->launcher_count; i++) put(&out, r->launcher[i]);
    put_number(&out, (double)r->role_count);
    for (size_t i = 0; i < r->role_count; i++) {
        const wk__request_role *role = &r->roles[i];
        put(&out, role->name);
        put(&out, role->directory);
        put_number(&out, role->replicas);
        put_number(&out, role->first_rank);
        put_number(&out, role->max_retries);
        put_number(&out, role->least);
        for (int k = 0; k < role->replicas; k++) {
            const wk__program *p = &role->programs[k];
            put_number(&out, (double)p->argc);
            for (size_t a = 0; a < p->argc; a++) put(&out, p->argv[a]);
            put_number(&out, (double)p->env_count);
            for (size_t e = 0; e < p->env_count; e++) {
                put(&out, p->env[e].key);
                put(&out, p->env[e].value);
            }
        }
    }
    wk_status status = out.failed ? wk_error_code() : wk__write_file(path, out.data, out.size);
    wk_text_free(&out);
    return status;
}

typedef struct cursor {
    const char *at, *end;
} cursor;

/* "" past the end: counts read 0, and the check at the end of reading sees the shortage. */
static const char *take(cursor *in) {
    if (in->at >= in->end) {
        in->end = NULL;
        return "";
    }
    const char *text = in->at;
    in->at += strlen(text) + 1;
    return text;
}

static size_t take_count(cursor *in) {
    double number = strtod(take(in), NULL);
    return number >= 0 && number <= MOST_BYTES ? (size_t)number : 0;
}

static wk_status read_program(wk_request *r, cursor *in, wk__program *p) {
    p->argc = take_count(in);
    p->argv = wk__arena_take(&r->arena, (p->argc + 1) * sizeof *p->argv);
    if (!p->argv) return wk_error_code();
    for (size_t a = 0; a < p->argc; a++) p->argv[a] = take(in);
    p->argv[p->argc] = NULL;
    p->env_count = take_count(in);
    p->env = wk__arena_take(&r->arena, (p->env_count + 1) * sizeof *p->env);
    if (!p->env) return wk_error_code();
    for (size_t e = 0; e < p->env_count; e++) {
        p->env[e].key = take(in);
        p->env[e].value = take(in);
    }
    return WK_OK;
}

static wk_status read_roles(wk_request *r, cursor *in) {
    r->role_count = take_count(in);
    r->roles = wk__arena_take(&r->arena, (r->role_count + 1) * sizeof *r->roles);
    if (!r->roles) return wk_error_code();
    for (size_t i = 0; i < r->role_count; i++) {
        wk__request_role *role = &r->roles[i];
        role->name = take(in);
        role->directory = take(in);
        role->replicas = (int)take_count(in);
        role->first_rank = (int)take_count(in);
        role->max_retries = (int)take_count(in);
        role->least = (int)take_count(in);
        role->programs = wk__arena_take(&r->arena, ((size_t)role->replicas + 1) * sizeof *role->programs);
        if (!role->programs) return wk_error_code();
        for (int k = 0; k < role->replicas; k++) WK_TRY(read_program(r, in, &role->programs[k]));
    }
    return WK_OK;
}

static wk_status read_fields(wk_request *r, cursor *in) {
    const char **const texts[] = { &r->scheduler, &r->app_id, &r->app_name, &r->directory,
                                   &r->wick,      &r->master, &r->app_yaml, &r->log_url };
    for (size_t i = 0; i < WK_COUNT(texts); i++) *texts[i] = take(in);
    r->grace = strtod(take(in), NULL);
    r->bound = take_count(in) != 0;
    r->launcher_count = take_count(in);
    r->launcher = wk__arena_take(&r->arena, (r->launcher_count + 1) * sizeof *r->launcher);
    if (!r->launcher) return wk_error_code();
    for (size_t i = 0; i < r->launcher_count; i++) r->launcher[i] = take(in);
    r->launcher[r->launcher_count] = NULL;
    return read_roles(r, in);
}

wk_request *wk__request_read(const char *path) {
    size_t size = 0;
    char *bytes = wk__read_file(path, MOST_BYTES, &size);
    if (!bytes) return wk_fail_null(WK_NOT_FOUND, "%s: no request there", path);
    wk_request *r = wk_alloc(sizeof *r);
    char *kept = r ? wk__arena_take(&r->arena, size + 1) : NULL;
    if (!kept) goto failed;
    memcpy(kept, bytes, size);
    kept[size] = '\0';
    cursor in = { kept, kept + size };
    if (strcmp(take(&in), FORMAT_LINE) != 0) {
        (void)wk_fail(WK_FORMAT, "%s: not a request of this version of wick", path);
        goto failed;
    }
    if (read_fields(r, &in) != WK_OK) goto failed;
    if (!in.end) {
        (void)wk_fail(WK_FORMAT, "%s: cut short", path);
        goto failed;
    }
    wk_free(bytes);
    return r;
failed:
    wk_free(bytes);
    wk_request_free(r);
    return NULL;
}

/* ---- print ---- */

/* A word as a shell would take it back. */
static void print_word(wk_text *out, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
    if (*word && strspn(word, plain) == strlen(word)) {
        wk_text_puts(out, word);
        return;
    }
    wk_text_puts(out, "'");
    for (; *word; word++) {
        if (*word == '\'')
            wk_text_puts(out, "'\\''");
        else
            wk_text_add(out, word, 1);
    }
    wk_text_puts(out, "'");
}

static void print_program(wk_text *out, const wk_request *r, const wk__request_role *role, int k) {
    const wk__program *p = &role->programs[k];
    wk_text_printf(out, "%s/%d:\n  command:", role->name, k);
    for (size_t a = 0; a < p->argc; a++) {
        wk_text_puts(out, " ");
        print_word(out, p->argv[a]);
    }
    if (*role->directory) wk_text_printf(out, "\n  directory: %s", role->directory);
    wk_text_puts(out, "\n  environment:\n");
    for (size_t e = 0; e < p->env_count; e++) {
        wk_text_printf(out, "    %s=", p->env[e].key);
        print_word(out, wk__is_secret(p->env[e].key) ? "***" : p->env[e].value);
        wk_text_puts(out, "\n");
    }
    wk_text_printf(out, "    RANK=%d\n    WORLD_SIZE=%d\n    ROLE_NAME=%s\n", k, role->replicas, role->name);
    if (r->launcher_count)
        wk_text_puts(out, "    # LOCAL_RANK, LOCAL_WORLD_SIZE, GROUP_RANK: where mpirun places it\n");
    else
        wk_text_printf(out, "    LOCAL_RANK=%d\n    LOCAL_WORLD_SIZE=%d\n    GROUP_RANK=0\n", k, role->replicas);
    wk_text_printf(out, "    MASTER_ADDR=%s\n    # MASTER_PORT: a free one, at each start\n", r->master);
}

char *wk_request_print(const wk_request *r) {
    wk_text out = { 0 };
    wk_text_puts(&out, "=== APPLICATION ===\n");
    wk_text_puts(&out, r->app_yaml);
    wk_text_printf(&out, "=== SCHEDULER REQUEST ===\nscheduler: %s\napp_id: %s\ndirectory: %s\n", r->scheduler,
                   r->app_id, r->directory);
    char *logs = *r->log_url ? wk_url_mask(r->log_url) : NULL;
    if (logs) wk_text_printf(&out, "logs are kept at: %s\n", logs);
    wk_free(logs);
    if (r->launcher_count) wk_text_puts(&out, "command:");
    for (size_t i = 0; i < r->launcher_count; i++) {
        wk_text_puts(&out, " ");
        print_word(&out, r->launcher[i]);
    }
    if (r->launcher_count) wk_text_puts(&out, "\n");
    if (r->script) wk_text_printf(&out, "%s:\n%s", r->contained ? "manifest" : "script", r->script);
    for (size_t i = 0; i < r->role_count && !r->script; i++)
        for (int k = 0; k < r->roles[i].replicas; k++) print_program(&out, r, &r->roles[i], k);
    if (out.failed) wk_text_free(&out);
    return out.data;
}
