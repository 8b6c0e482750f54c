/* strategy.c: how ranks train together: `trainer.strategy`, a word or { name, args } with the words of PyTorch's
 * DistributedDataParallel, and `trainer.sync_batchnorm`.
 *
 * Some of those words ask for what is always so here: they are read, so that files of other trainers run as they are.
 */
#include "train/registry.h"

const wk_arg wk__strategy_args[] = {
    { "bucket_cap_mb", WK_ARG_INT, "25", "gradients are sent in parts of so many MiB" },
    { "rebuild_buckets", WK_ARG_BOOL, "true",
      "parts follow the order in which gradients come; false: the reverse order of the parameters" },
    { "comm_hook", WK_ARG_TEXT, "none",
      "what gradients are while they travel: none, fp16_compress, bf16_compress, powersgd; or post_local_sgd" },
    { "ddp_comm_hook", WK_ARG_TEXT, "none", "another name of comm_hook" },
    { "matrix_approximation_rank", WK_ARG_INT, "1", "powersgd: of the matrices that travel" },
    { "start_powerSGD_iter", WK_ARG_INT, "1000", "powersgd: from this step on" },
    { "min_compression_rate", WK_ARG_NUMBER, "2", "powersgd: gradients that become less by this much" },
    { "use_error_feedback", WK_ARG_BOOL, "true", "powersgd: what was left out is added to the next gradient" },
    { "warm_start", WK_ARG_BOOL, "true", "powersgd: begin with the last round's matrices" },
    { "orthogonalization_epsilon", WK_ARG_NUMBER, "0", "powersgd: added to norms of columns" },
    { "random_seed", WK_ARG_INT, "0", "powersgd: of the noise that it begins with" },
    { "start_localSGD_iter", WK_ARG_INT, "100", "post_local_sgd: gradients are averaged in so many steps" },
    { "model_averaging_period", WK_ARG_INT, "4", "post_local_sgd: from then on weights are, each so many steps" },
    { "ignored_parameters", WK_ARG_TEXT, "", "a regular expression: these are each rank's own" },
    { "broadcast_buffers", WK_ARG_BOOL, "true", "evaluate with rank 0's; false: each rank with its own" },
    { "shard_optimizer", WK_ARG_BOOL, "false", "ZeRO, stage 1: each rank has a part of the optimizer's state" },
    { "find_unused_parameters", WK_ARG_BOOL, "true", "always so: false changes nothing" },
    { "static_graph", WK_ARG_BOOL, "false", "changes nothing: used parameters are told with each step" },
    { "gradient_as_bucket_view", WK_ARG_BOOL, "true", "always so: false changes nothing" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

enum { DP = 4, SHARDED = 8 };
static const char *const names[] = { "auto",
                                     "ddp",
                                     "ddp_spawn",
                                     "ddp2",
                                     "dp",
                                     "single_device",
                                     "ddp_find_unused_parameters_true",
                                     "ddp_find_unused_parameters_false",
                                     "ddp_sharded",
                                     NULL };

enum { POST_LOCAL_SGD = 4 }; /* among the hooks */

static void read_power_sgd(const wk_config *args, wk_power_sgd_opts *o) {
    o->rank = (int)wk_config_int(args, "matrix_approximation_rank", 1, 1 << 16, 1);
    o->start_iter = wk_config_int(args, "start_powerSGD_iter", 1, INT32_MAX, 1000);
    o->min_compression_rate = wk_config_double(args, "min_compression_rate", 0, 1e9, 2);
    o->no_error_feedback = !wk_config_bool(args, "use_error_feedback", true);
    o->no_warm_start = !wk_config_bool(args, "warm_start", true);
    o->orthogonalization_epsilon = wk_config_double(args, "orthogonalization_epsilon", 0, 1, 0);
    o->random_seed = (uint64_t)wk_config_int(args, "random_seed", 0, INT32_MAX, 0);
}

static void read_args(const wk_config *args, wk__params *p) {
    static const char *const hooks[] = { "none", "fp16_compress", "bf16_compress", "powersgd", "post_local_sgd", NULL };
    static const int meanings[] = { WK_DDP_PLAIN, WK_DDP_FP16, WK_DDP_BF16, WK_DDP_POWER_SGD, WK_DDP_PLAIN };
    p->ddp.bucket_bytes = wk_config_int(args, "bucket_cap_mb", 1, 1 << 20, 25) << 20;
    p->ddp.keep_order = !wk_config_bool(args, "rebuild_buckets", true);
    const char *key = wk_config_has(args, "ddp_comm_hook") ? "ddp_comm_hook" : "comm_hook";
    if (*key == 'd' && wk_config_has(args, "comm_hook"))
        (void)wk_config_fail(args, key, "comm_hook and ddp_comm_hook are one thing: say it once");
    const int hook = wk_config_choice(args, key, hooks, 0);
    p->ddp.compress = meanings[hook];
    read_power_sgd(args, &p->ddp.power_sgd);
    const int64_t start = wk_config_int(args, "start_localSGD_iter", 1, INT32_MAX, 100);
    p->ddp.local_period = wk_config_int(args, "model_averaging_period", 1, INT32_MAX, 4);
    if (hook == POST_LOCAL_SGD) p->ddp.local_after = start;
    p->ddp.ignored = wk_config_string(args, "ignored_parameters", NULL);
    p->own_buffers = !wk_config_bool(args, "broadcast_buffers", true);
    p->shard_optimizer = p->shard_optimizer || wk_config_bool(args, "shard_optimizer", false);
    (void)wk_config_bool(args, "find_unused_parameters", true);
    (void)wk_config_bool(args, "static_graph", false);
    (void)wk_config_bool(args, "gradient_as_bucket_view", true);
}

void wk__strategy_read(const wk_config *trainer, wk__params *p) {
    const wk__yaml_node *node = trainer->node ? wk__yaml_find(trainer->node, "strategy") : NULL;
    wk__spec spec = { .args = { trainer->document, NULL } };
    const wk_config *where = trainer;
    const char *key = "strategy", *known[WK_COUNT(wk__strategy_args)];
    size_t count = 0;
    p->sync_batch_norm = wk_config_bool(trainer, "sync_batchnorm", false);
    for (; wk__strategy_args[count].name; count++) known[count] = wk__strategy_args[count].name;
    if (node && node->kind == WK__YAML_MAPPING) {
        if (wk__spec_of(trainer->document, node, "strategy", &spec) != WK_OK) return;
        if (spec.args.node
            && wk__yaml_known(trainer->document, spec.args.node, "strategy's args", known, count) != WK_OK)
            return;
        where = &spec.section;
        key = "name";
    }
    const int chosen = wk_config_choice(where, key, names, 0);
    p->split_batch = chosen == DP;
    p->shard_optimizer = chosen == SHARDED;
    read_args(&spec.args, p);
}
