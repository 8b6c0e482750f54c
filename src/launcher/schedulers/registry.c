/* registry.c: schedulers by name. */
#include "launcher/launcher.h"

#include <stddef.h>
#include <string.h>

enum { MOST = 16, BUILT_IN = 6 };
static const wk_scheduler_ops *schedulers[MOST] = { &wk__local,      &wk__mpi,    &wk__slurm,
                                                    &wk__kubernetes, &wk__podman, &wk__docker };
static size_t scheduler_count = BUILT_IN;

const wk_scheduler_ops *wk_scheduler(const char *name) {
    const char *names[MOST];
    wk_text known = { 0 };
    wk__plugins_open();
    for (size_t i = 0; i < scheduler_count; i++) {
        if (strcmp(schedulers[i]->name, name) == 0) {
            wk_text_free(&known);
            return schedulers[i];
        }
        names[i] = schedulers[i]->name;
        wk_text_printf(&known, "%s%s", i ? ", " : "", names[i]);
    }
    const char *nearest = wk__nearest(name, names, scheduler_count);
    if (nearest)
        (void)wk_fail(WK_NOT_FOUND, "no scheduler \"%.40s\"; did you mean \"%s\"?", name, nearest);
    else
        (void)wk_fail(WK_NOT_FOUND, "no scheduler \"%.40s\"; there are %s", name, wk_text_get(&known));
    wk_text_free(&known);
    return NULL;
}

wk_status wk__scheduler_add(const wk_scheduler_ops *ops, bool may_replace) {
    if (ops->api_version != WK_SCHEDULER_API || ops->size < offsetof(wk_scheduler_ops, forget))
        return wk_fail(WK_UNSUPPORTED, "scheduler \"%s\" is of interface version %u; this wick has %u", ops->name,
                       ops->api_version, WK_SCHEDULER_API);
    for (size_t i = 0; i < scheduler_count; i++) {
        if (strcmp(schedulers[i]->name, ops->name) != 0) continue;
        if (!may_replace || i >= BUILT_IN)
            return wk_fail(WK_EXISTS, "a scheduler \"%s\" is registered already", ops->name);
        schedulers[i] = ops;
        return WK_OK;
    }
    if (scheduler_count == MOST) return wk_fail(WK_STATE, "no room for more than %d schedulers", MOST);
    schedulers[scheduler_count++] = ops;
    return WK_OK;
}

wk_status wk_scheduler_register(const wk_scheduler_ops *ops) {
    return wk__scheduler_add(ops, false);
}

const wk_scheduler_ops *wk__scheduler_at(size_t index) {
    wk__plugins_open();
    return index < scheduler_count ? schedulers[index] : NULL;
}
