/* trek.c: what all travelers share, and where they go. */
#include "train/quik/quik.h"

#include "base/base.h"
#include "train/device.h"
#include "train/ranks.h"
#include "wick/device.h"
#include "wick/random.h"

wk_status wk_quik_traverse(wk_quik_function fn, wk_quik_args *args) {
    if (wk_failed()) return WK_PENDING;
    const int there = args->gpus > 0 ? wk_device_count("cuda", NULL, 0) : 0;
    const int cards = there < args->gpus ? there : args->gpus;
    const int wanted = args->ranks > 0 ? args->ranks : cards;
    if (!wk__is_rank() && args->nodes > 1)
        return wk_fail(WK_CONFIG,
                       "%d nodes are asked of one process, which starts ranks on this machine alone: use wick run "
                       "dist.mpi -j %dx%d, or mpirun with a hostfile",
                       args->nodes, args->nodes, wanted > 0 ? wanted : 1);
    if (!wk__is_rank() && wanted > 1) return wk__quik_spawn(wanted);
    return fn(args, cards > 0 ? (int)(wk__local_rank() % cards) : -1);
}

static wk_status find_device(int gpu, wk_device *device) {
    char name[24];
    *device = WK_CPU;
    if (gpu < 0) return WK_OK;
    (void)snprintf(name, sizeof name, "cuda:%d", gpu);
    return wk_device_parse(name, device);
}

wk_quik_trek *wk_quik_trek_create(const wk_quik_args *args, int gpu) {
    if (wk_failed()) return NULL;
    if (args->epochs < 1 || args->bs < 1 || args->num_workers < 0)
        return wk_fail_null(WK_INVALID,
                            "wk_quik_trek_create: epochs %lld, bs %lld, num_workers %d: expected at least 1, 1, 0",
                            (long long)args->epochs, (long long)args->bs, args->num_workers);
    wk_device device;
    if (find_device(gpu, &device) != WK_OK) return NULL;
    wk_quik_trek *t = wk_alloc(sizeof *t);
    if (!t) return NULL;
    t->args = *args;
    if (!(t->group = wk_group_create(NULL))) {
        wk_free(t);
        return NULL;
    }
    int rank = wk_group_rank(t->group), ranks = wk_group_size(t->group);
    t->world = (wk_quik_world){ .device = device,
                                .node_id = args->nr,
                                .total_nodes = args->nodes,
                                .gpu_id = gpu,
                                .total_gpus = args->gpus,
                                .rank_id = rank,
                                .world_size = ranks,
                                .is_ddp = ranks > 1,
                                .is_logger = rank == 0 };
    wk_manual_seed(42);
    return t;
}

void wk_quik_trek_destroy(wk_quik_trek *t) {
    if (!t) return;
    wk_loss_table_free(&t->metrics);
    wk_group_destroy(t->group);
    wk_free(t);
}

const wk_quik_world *wk_quik_world_of(const wk_quik_trek *t) {
    return &t->world;
}
const wk_quik_args *wk_quik_args_of(const wk_quik_trek *t) {
    return &t->args;
}
wk_loss_table *wk_quik_metrics(wk_quik_trek *t) {
    return &t->metrics;
}
