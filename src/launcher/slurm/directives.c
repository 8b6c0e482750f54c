/* directives.c: the #SBATCH lines of a role.
 *
 * Options are gathered as a mapping first, so that a role's `metadata: {slurm: {sbatch: {…}}}` can be laid over it:
 * another partition for one role, an option that wick does not know (`exclusive: ~` is --exclusive), or one less
 * (`__del__:mem: ~`).
 */
#include "launcher/slurm/slurm.h"

#include <stdlib.h>
#include <string.h>

/* A value within an #SBATCH line, where quotes and backslash mean what they mean to a shell, but a line is a line. */
static wk_status put_directive(wk_text *out, const char *name, const char *value) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%[]{}*&|()!";
    if (strpbrk(value, "\n\r")) return wk_fail(WK_CONFIG, "slurm: %s cannot hold a new line", name);
    wk_text_printf(out, " --%s=", name);
    if (strspn(value, plain) == strlen(value)) {
        wk_text_puts(out, value);
        return WK_OK;
    }
    wk_text_puts(out, "\"");
    for (; *value; value++) {
        if (strchr("\"\\", *value)) wk_text_puts(out, "\\");
        wk_text_add(out, value, 1);
    }
    wk_text_puts(out, "\"");
    return WK_OK;
}

typedef struct gatherer {
    wk__yaml doc; /* of one role's options */
    wk__yaml_node *map;
    const wk__slurm_options *options;
} gatherer;

static void add(gatherer *g, const char *name, const char *value) {
    wk__yaml_node *node = wk__yaml_new(&g->doc, WK__YAML_SCALAR, value ? value : "");
    if (node) node->quoted = value != NULL; /* a plain nothing is a flag */
    if (node) (void)wk__yaml_append(&g->doc, g->map, name, node);
}

static void add_number(gatherer *g, const char *name, int64_t value) {
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    add(g, name, text);
}

/* metadata: {replicas_per_node: 4} */
static int64_t replicas_per_node(const wk_role *role) {
    const wk__yaml_node *node = role->metadata ? wk__yaml_find(role->metadata, "replicas_per_node") : NULL;
    return node && node->kind == WK__YAML_SCALAR ? strtoll(node->text, NULL, 10) : 0;
}

/* Memory is of a node where it is known how many tasks that has, else of a processor. */
static void add_resources(gatherer *g, const wk_role *role) {
    const wk_resource *need = &role->resource;
    const wk__slurm_options *o = g->options;
    int64_t cpus = need->cpu > 0 ? need->cpu : 1;
    int64_t per_node = replicas_per_node(role);
    if (per_node > role->num_replicas) per_node = role->num_replicas;
    add_number(g, "ntasks", role->num_replicas);
    if (per_node > 0) {
        add_number(g, "nodes", (role->num_replicas + per_node - 1) / per_node);
        add_number(g, "ntasks-per-node", per_node);
    }
    add_number(g, "cpus-per-task", cpus);
    if (need->memory_mb > 0 && wk_cfg_bool(o->cfg, "mem")) {
        if (per_node > 0)
            add_number(g, "mem", need->memory_mb * per_node);
        else
            add_number(g, "mem-per-cpu", (need->memory_mb + cpus - 1) / cpus);
    }
    if (need->gpu <= 0) return;
    bool recent = o->major > 24 || (o->major == 24 && o->minor >= 11); /* where --gpus-per-task wants more options */
    if (recent && per_node > 0)
        add_number(g, "gpus-per-node", need->gpu * per_node);
    else
        add_number(g, "gpus-per-task", need->gpu);
}

static void add_options(gatherer *g, const wk_role *role) {
    static const char *const each[] = {
        "partition", "time", "constraint", "qos", "reservation", "nodelist", "exclude"
    };
    add(g, g->options->requeue ? "requeue" : "no-requeue", NULL);
    for (size_t k = 0; k < WK_COUNT(each); k++) {
        const char *value = wk_cfg_string(g->options->cfg, each[k]);
        if (value) add(g, each[k], value);
    }
    add_resources(g, role);
}

/* The part of a role's overlay that is for sbatch, or for srun; NULL: none. */
static wk_status overlay_for(wk__yaml *doc, const wk_role *role, const char *program, const wk__yaml_node **out) {
    static const char *const keys[] = { "sbatch", "srun" };
    const wk__yaml_node *all = NULL;
    *out = NULL;
    WK_TRY(wk__overlay_of(doc, role, "slurm", &all));
    if (!all) return WK_OK;
    WK_TRY(wk__yaml_map(doc, all, "metadata.slurm"));
    WK_TRY(wk__yaml_known(doc, all, "metadata.slurm", keys, WK_COUNT(keys)));
    *out = wk__yaml_find(all, program);
    return *out ? wk__yaml_map(doc, *out, NULL) : WK_OK;
}

static wk_status put_role(wk_text *out, gatherer *g, const wk_role *role) {
    const wk__yaml_node *overlay = NULL;
    if (!(g->map = wk__yaml_new(&g->doc, WK__YAML_MAPPING, NULL))) return wk_error_code();
    add_options(g, role);
    if (wk_failed()) return wk_error_code();
    WK_TRY(overlay_for(&g->doc, role, "sbatch", &overlay));
    if (overlay) WK_TRY(wk__overlay(&g->doc, g->map, overlay));
    wk_text_puts(out, "#SBATCH");
    for (const wk__yaml_node *option = g->map->first; option; option = option->next) {
        const char *value = NULL;
        if (wk__yaml_is_null(option)) {
            wk_text_printf(out, " --%s", option->key);
            continue;
        }
        WK_TRY(wk__yaml_string(&g->doc, option, NULL, &value));
        WK_TRY(put_directive(out, option->key, value));
    }
    wk_text_puts(out, "\n");
    return WK_OK;
}

wk_status wk__slurm_directives(wk_text *out, const wk_appdef *app, const wk__slurm_options *o) {
    wk_status status = WK_OK;
    for (size_t i = 0; i < app->role_count && status == WK_OK; i++) {
        gatherer g = { .doc = { .name = app->document->name }, .options = o };
        if (i) wk_text_puts(out, "#SBATCH hetjob\n");
        status = put_role(out, &g, &app->roles[i]);
        wk__arena_destroy(&g.doc.arena);
    }
    return status;
}

wk_status wk__slurm_step_options(wk_text *out, const wk_role *role) {
    wk__yaml scratch = { .name = "metadata.slurm" };
    const wk__yaml_node *overlay = NULL;
    wk_status status = overlay_for(&scratch, role, "srun", &overlay);
    for (const wk__yaml_node *o = overlay && status == WK_OK ? overlay->first : NULL; o; o = o->next) {
        wk_text_printf(out, " --%s", o->key);
        if (wk__yaml_is_null(o) || o->kind != WK__YAML_SCALAR) continue;
        wk_text_puts(out, "=");
        wk__slurm_quote(out, o->text, "\n");
    }
    wk__arena_destroy(&scratch.arena);
    return status;
}
