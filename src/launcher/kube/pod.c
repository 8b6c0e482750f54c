/* pod.c: the pods of a role: container, resources, mounts, and the user's changes over all of it. */
#include "launcher/kube/kube.h"

#include <stdlib.h>
#include <string.h>

static const char efa[] = "vpc.amazonaws.com/efa";

/* ---- resources ---- */

static void put_amount(wk__kube_maker *m, wk__yaml_node *map, const char *key, int64_t amount, const char *unit) {
    wk__kube_text(m, map, key, wk__arena_text(&m->doc->arena, "%lld%s", (long long)(amount > 0 ? amount : 0), unit));
}

/* -cfg efa_device_count goes before what the resource says; 0 takes the device away. */
static void put_devices(wk__kube_maker *m, wk__yaml_node *map, const wk_resource *need) {
    bool is_set = wk_cfg_is_set(m->cfg, "efa_device_count");
    int64_t count = wk_cfg_int(m->cfg, "efa_device_count");
    for (size_t i = 0; i < need->device_count; i++)
        if (!is_set || strcmp(need->devices[i].key, efa) != 0)
            wk__kube_text(m, map, need->devices[i].key, need->devices[i].value);
    if (is_set && count > 0) put_amount(m, map, efa, count, "");
}

/* What the system's own pods on each node need is left to them: requests are a little less than the limits. */
static void put_half(wk__kube_maker *m, wk__yaml_node *map, const wk_resource *need, int64_t millicpu, int64_t mb) {
    if (need->cpu > 0) put_amount(m, map, "cpu", need->cpu * 1000 - millicpu, "m");
    if (need->memory_mb > 0) put_amount(m, map, "memory", need->memory_mb - mb, "M");
    if (need->gpu > 0) put_amount(m, map, "nvidia.com/gpu", need->gpu, "");
    put_devices(m, map, need);
}

static void put_resources(wk__kube_maker *m, wk__yaml_node *container, const wk_resource *need) {
    bool efa_wished = wk_cfg_int(m->cfg, "efa_device_count") > 0;
    if (need->cpu <= 0 && need->memory_mb <= 0 && need->gpu <= 0 && !need->device_count && !efa_wished) return;
    wk__yaml_node *resources = wk__kube_map(m, container, "resources");
    put_half(m, wk__kube_map(m, resources, "limits"), need, 0, 0);
    put_half(m, wk__kube_map(m, resources, "requests"), need, wk_cfg_int(m->cfg, "reserved_millicpu"),
             wk_cfg_int(m->cfg, "reserved_memmb"));
}

/* ---- mounts ---- */

static void put_mount_points(wk__kube_maker *m, wk__yaml_node *container, const wk_role *role) {
    wk__yaml_node *list = wk__kube_list(m, container, "volumeMounts");
    wk__yaml_node *shm = wk__kube_map(m, list, NULL);
    wk__kube_text(m, shm, "name", "dshm");
    wk__kube_text(m, shm, "mountPath", "/dev/shm");
    for (size_t i = 0; i < role->mount_count; i++) {
        wk__yaml_node *item = wk__kube_map(m, list, NULL);
        wk__kube_text(m, item, "name", wk__arena_text(&m->doc->arena, "mount-%zu", i));
        wk__kube_text(m, item, "mountPath", role->mounts[i].dst);
        if (role->mounts[i].read_only || !strchr(role->mounts[i].permissions, 'w'))
            wk__kube_flag(m, item, "readOnly", true);
    }
}

/* Memory for /dev/shm, which is 64 MB in a container otherwise. */
static void put_volumes(wk__kube_maker *m, wk__yaml_node *spec, const wk_role *role) {
    wk__yaml_node *list = wk__kube_list(m, spec, "volumes");
    wk__yaml_node *shm = wk__kube_map(m, list, NULL);
    wk__kube_text(m, shm, "name", "dshm");
    wk__kube_text(m, wk__kube_map(m, shm, "emptyDir"), "medium", "Memory");
    for (size_t i = 0; i < role->mount_count; i++) {
        const wk_mount *mount = &role->mounts[i];
        wk__yaml_node *item = wk__kube_map(m, list, NULL);
        wk__kube_text(m, item, "name", wk__arena_text(&m->doc->arena, "mount-%zu", i));
        if (mount->type == WK_MOUNT_VOLUME)
            wk__kube_text(m, wk__kube_map(m, item, "persistentVolumeClaim"), "claimName", mount->src);
        else
            wk__kube_text(m, wk__kube_map(m, item, "hostPath"), "path", mount->src);
    }
}

/* ---- container ---- */

static wk_status put_command(wk__kube_maker *m, wk__yaml_node *container, size_t role, int replica) {
    const wk__program *p = &m->request->roles[role].programs[replica < 0 ? 0 : replica];
    const char **argv = NULL;
    size_t count = 0;
    WK_TRY(wk__carry(&m->doc->arena, p->argv, p->argc, m->marker, &argv, &count));
    wk__yaml_node *command = wk__kube_list(m, container, "command");
    for (size_t i = 0; i < count; i++) wk__kube_text(m, command, NULL, wk__kube_escape(m, argv[i]));
    return wk_error_code();
}

static void put_ports(wk__kube_maker *m, wk__yaml_node *container, const wk_role *role) {
    wk__yaml_node *ports = role->port_count ? wk__kube_list(m, container, "ports") : NULL;
    for (size_t i = 0; i < role->port_count; i++) {
        char name[WK__KUBE_NAME + 1];
        wk__yaml_node *item = wk__kube_map(m, ports, NULL);
        wk__kube_name(role->port_map[i].key, 15, name);
        wk__kube_text(m, item, "name", name);
        wk__kube_number(m, item, "containerPort", strtoll(role->port_map[i].value, NULL, 10));
    }
}

static wk_status put_container(wk__kube_maker *m, wk__yaml_node *spec, size_t index, int replica) {
    const wk_role *role = &m->app->roles[index];
    const char *image = *role->image ? role->image : wk_cfg_string(m->cfg, "image");
    char name[WK__KUBE_NAME + 1];
    bool privileged = false;
    if (!image)
        return wk_fail(WK_CONFIG, "kubernetes: role \"%s\" has no image (nor does -cfg image=… give one)", role->name);
    wk__yaml_node *c = wk__kube_map(m, wk__kube_list(m, spec, "containers"), NULL);
    wk__kube_role(role->name, index, name);
    wk__kube_text(m, c, "name", name);
    wk__kube_text(m, c, "image", image);
    WK_TRY(put_command(m, c, index, replica));
    wk__kube_env(m, wk__kube_list(m, c, "env"), index, replica);
    put_ports(m, c, role);
    put_resources(m, c, &role->resource);
    put_mount_points(m, c, role);
    for (size_t i = 0; i < role->mount_count; i++) privileged = privileged || role->mounts[i].type == WK_MOUNT_DEVICE;
    if (privileged) wk__kube_flag(m, wk__kube_map(m, c, "securityContext"), "privileged", true);
    wk__kube_text(m, c, "terminationMessagePolicy", "FallbackToLogsOnError");
    return wk_error_code();
}

/* ---- the whole ---- */

static void put_node(wk__kube_maker *m, wk__yaml_node *spec, const wk_role *role) {
    static const char type[] = "node.kubernetes.io/instance-type";
    for (size_t i = 0; i < role->resource.capability_count; i++)
        if (strcmp(role->resource.capabilities[i].key, type) == 0)
            wk__kube_text(m, wk__kube_map(m, spec, "nodeSelector"), type, role->resource.capabilities[i].value);
}

static wk_status put_overlay(wk__kube_maker *m, wk__yaml_node *template, const wk_role *role) {
    static const char *const keys[] = { "metadata", "spec" };
    const wk__yaml_node *overlay = NULL;
    WK_TRY(wk__overlay_of(m->doc, role, "kubernetes", &overlay));
    if (!overlay) return WK_OK;
    WK_TRY(wk__yaml_map(m->doc, overlay, "metadata.kubernetes"));
    WK_TRY(wk__yaml_known(m->doc, overlay, "metadata.kubernetes", keys, WK_COUNT(keys)));
    return wk__overlay(m->doc, template, overlay);
}

wk_status wk__kube_pod(wk__kube_maker *m, wk__yaml_node *template, size_t index, int replica) {
    const wk_role *role = &m->app->roles[index];
    const char *account = wk_cfg_string(m->cfg, "service_account");
    const char *priority = wk_cfg_string(m->cfg, "priority_class");
    wk__yaml_node *metadata = wk__kube_metadata(m, template, NULL, (int)index, replica);
    wk__kube_text(m, wk__kube_map(m, metadata, "annotations"), "sidecar.istio.io/inject", "false");
    wk__yaml_node *spec = wk__kube_map(m, template, "spec");
    WK_TRY(put_container(m, spec, index, replica));
    wk__kube_text(m, spec, "restartPolicy", "Never");
    wk__kube_number(m, spec, "terminationGracePeriodSeconds", (int64_t)wk_cfg_float(m->cfg, "grace"));
    if (m->kind == WK__KUBE_JOB) wk__kube_text(m, spec, "subdomain", m->name);
    if (account) wk__kube_text(m, spec, "serviceAccountName", account);
    if (priority && m->kind != WK__KUBE_VOLCANO) wk__kube_text(m, spec, "priorityClassName", priority);
    put_node(m, spec, role);
    put_volumes(m, spec, role);
    if (wk_failed()) return wk_error_code();
    return put_overlay(m, template, role);
}
