/* mpi.c: an MPIJob (kubeflow.org/v2beta1): workers that wait with an SSH server, and a launcher with mpirun.
 *
 * The image must have Open MPI and sshd, as the operator's own images do.  mpirun tells each process its rank by
 * variables of its own, so the program is started by a line of shell that gives them the names it knows.
 */
#include "launcher/kube/kube.h"
#include "launcher/slurm/slurm.h"

#include <stdlib.h>
#include <string.h>

static const char ranks[] = "export RANK=$OMPI_COMM_WORLD_RANK ROLE_RANK=$OMPI_COMM_WORLD_RANK "
                            "LOCAL_RANK=$OMPI_COMM_WORLD_LOCAL_RANK LOCAL_WORLD_SIZE=$OMPI_COMM_WORLD_LOCAL_SIZE "
                            "GROUP_RANK=$OMPI_COMM_WORLD_NODE_RANK; exec";

/* metadata: {replicas_per_node: 4} */
static int64_t slots(const wk_role *role) {
    const wk__yaml_node *node = role->metadata ? wk__yaml_find(role->metadata, "replicas_per_node") : NULL;
    int64_t number = node && node->kind == WK__YAML_SCALAR ? strtoll(node->text, NULL, 10) : 1;
    return number < 1 ? 1 : number > role->num_replicas ? role->num_replicas : number;
}

/* In place of a list that is there. */
static wk__yaml_node *renew(wk__kube_maker *m, wk__yaml_node *map, const char *key) {
    wk__yaml_node *list = map ? wk__yaml_find(map, key) : NULL;
    if (!list) return wk__kube_list(m, map, key);
    list->first = list->last = NULL;
    list->count = 0;
    return list;
}

/* The only container of a template. */
static wk__yaml_node *container_of(wk__yaml_node *template) {
    wk__yaml_node *spec = wk__yaml_find(template, "spec");
    wk__yaml_node *list = spec ? wk__yaml_find(spec, "containers") : NULL;
    return list ? list->first : NULL;
}

static wk_status put_mpirun(wk__kube_maker *m, wk__yaml_node *container) {
    const wk__program *p = &m->request->roles[0].programs[0];
    wk_text line = { 0 };
    wk__yaml_node *command = renew(m, container, "command");
    const wk__yaml_node *env = container ? wk__yaml_find(container, "env") : NULL;
    char count[24];
    (void)snprintf(count, sizeof count, "%lld", (long long)m->app->roles[0].num_replicas);
    const char *const head[] = { "mpirun", "--allow-run-as-root", "--bind-to", "none", "-n", count };
    for (size_t i = 0; i < WK_COUNT(head); i++) wk__kube_text(m, command, NULL, head[i]);
    for (const wk__yaml_node *item = env ? env->first : NULL; item; item = item->next) {
        wk__kube_text(m, command, NULL, "-x"); /* the value stays in the environment: it may be a secret */
        wk__kube_text(m, command, NULL, wk__yaml_find(item, "name")->text);
    }
    wk_text_puts(&line, ranks);
    for (size_t i = 0; i < p->argc; i++) {
        wk_text_puts(&line, " ");
        wk__slurm_quote(&line, p->argv[i], m->marker);
    }
    wk__kube_text(m, command, NULL, "sh");
    wk__kube_text(m, command, NULL, "-c");
    wk__kube_text(m, command, NULL, wk__kube_escape(m, wk_text_get(&line)));
    wk_status status = line.failed ? WK_NO_MEMORY : WK_OK;
    wk_text_free(&line);
    return status == WK_OK ? wk_error_code() : status;
}

static wk_status put_worker(wk__kube_maker *m, wk__yaml_node *container) {
    wk__yaml_node *command = renew(m, container, "command");
    wk__kube_text(m, command, NULL, "/usr/sbin/sshd");
    wk__kube_text(m, command, NULL, "-De");
    return wk_error_code();
}

wk_status wk__kube_mpijob(wk__kube_maker *m, wk__yaml_node *root) {
    const wk_role *role = &m->app->roles[0];
    int64_t per_node = slots(role);
    if (m->app->role_count != 1)
        return wk_fail(WK_CONFIG, "kubernetes: an MPIJob runs one role, not %zu; take kind=jobset", m->app->role_count);
    wk__yaml_node *spec = wk__kube_map(m, root, "spec");
    wk__kube_number(m, spec, "slotsPerWorker", per_node);
    wk__yaml_node *policy = wk__kube_map(m, spec, "runPolicy");
    wk__kube_text(m, policy, "cleanPodPolicy", "Running");
    wk__kube_number(m, policy, "backoffLimit", role->max_retries);
    if (wk_cfg_is_set(m->cfg, "ttl")) wk__kube_number(m, policy, "ttlSecondsAfterFinished", wk_cfg_int(m->cfg, "ttl"));
    wk__yaml_node *replicas = wk__kube_map(m, spec, "mpiReplicaSpecs");
    static const char *const names[] = { "Launcher", "Worker" };
    for (int i = 0; i < 2; i++) {
        wk__yaml_node *one = wk__kube_map(m, replicas, names[i]);
        wk__kube_number(m, one, "replicas", i ? (role->num_replicas + per_node - 1) / per_node : 1);
        wk__kube_text(m, one, "restartPolicy", "Never");
        wk__yaml_node *template = wk__kube_map(m, one, "template");
        WK_TRY(wk__kube_pod(m, template, 0, i ? -1 : 0));
        WK_TRY(i ? put_worker(m, container_of(template)) : put_mpirun(m, container_of(template)));
    }
    return wk_error_code();
}
