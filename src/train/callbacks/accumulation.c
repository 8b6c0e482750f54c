/* accumulation.c: how many batches a step takes, epoch by epoch: Lightning's GradientAccumulationScheduler.
 *
 *   { name: GradientAccumulationScheduler, args: { scheduling: { 0: 8, 4: 4 } } }
 *
 * How long the run and its schedules are follows from it, so it is read with the trainer's settings, and the callback
 * itself has nothing left to do.
 */
#include "train/callbacks/callbacks.h"

#include <stdlib.h>
#include <string.h>

const wk_arg wk__accumulation_args[] = {
    { "scheduling", WK_ARG_MAP, NULL, "{ epoch: batches }, epochs from 0 on; 1 before the first" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

static const wk_callback_class class_ = { .name = "GradientAccumulationScheduler", .size = sizeof(wk_callback) };

wk_callback *wk__accumulation_build(const wk_config *args) {
    (void)args;
    return wk_callback_create(&class_);
}

static wk_status read_window(const wk_config *args, const wk__yaml_node *one, wk__window *window) {
    char *end = NULL;
    window->epoch = strtoll(one->key, &end, 10);
    if (end == one->key || *end || window->epoch < 0)
        return wk__yaml_fail_key(args->document, one, "scheduling: \"%s\" is no epoch: expected { epoch: batches }",
                                 one->key);
    return wk__yaml_int(args->document, one, "scheduling", 1, 1 << 20, &window->batches);
}

static wk_status read_schedule(const wk_config *args, wk__params *p) {
    const wk__yaml_node *map = args->node ? wk__yaml_find(args->node, "scheduling") : NULL;
    if (!map) return WK_OK; /* that it lacks is told by the check of args */
    WK_TRY(wk__yaml_map(args->document, map, "scheduling"));
    if (p->window[0].batches > 1 || p->windows > 1)
        return wk__yaml_fail(args->document, map,
                             "GradientAccumulationScheduler stands alone: leave trainer.accumulate_grad_batches out");
    if (map->count >= WK__MOST_WINDOWS)
        return wk__yaml_fail(args->document, map, "scheduling has %zu epochs, expected at most %d", map->count,
                             WK__MOST_WINDOWS - 1);
    for (const wk__yaml_node *one = map->first; one; one = one->next)
        WK_TRY(read_window(args, one, &p->window[p->windows++]));
    return WK_OK;
}

wk_status wk__windows_read(wk__run_config *c) {
    for (int i = 0; i < c->callbacks; i++)
        if (strcmp(c->callback[i].name, class_.name) == 0) WK_TRY(read_schedule(&c->callback[i].args, &c->params));
    return WK_OK;
}

int64_t wk__accumulate(const wk__params *p, int64_t epoch) {
    const wk__window *found = &p->window[0];
    for (int i = 1; i < p->windows; i++)
        if (p->window[i].epoch <= epoch && p->window[i].epoch >= found->epoch) found = &p->window[i];
    return found->batches;
}

bool wk__accumulates(const wk__params *p) {
    for (int i = 0; i < p->windows; i++)
        if (p->window[i].batches > 1) return true;
    return false;
}
