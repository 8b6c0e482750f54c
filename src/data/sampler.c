/* sampler.c: which items, in which order, on which rank: the partition of PyTorch's DistributedSampler. */
#include "base/base.h"
#include "wick/data.h"
#include "wick/random.h"

static bool check(wk_sampler_opts *opts) {
    if (opts->ranks == 0) opts->ranks = 1;
    if (opts->ranks < 0 || opts->rank < 0 || opts->rank >= opts->ranks) {
        (void)wk_fail(WK_INVALID, "sampler: rank %d of %d", opts->rank, opts->ranks);
        return false;
    }
    if (opts->count < opts->ranks) {
        (void)wk_fail(WK_INVALID, "sampler: %d ranks but only %lld items: use at most as many ranks as items",
                      opts->ranks, (long long)opts->count);
        return false;
    }
    return true;
}

int64_t wk_sampler_length(wk_sampler_opts opts) {
    if (!check(&opts)) return -1;
    return opts.drop_last ? opts.count / opts.ranks : (opts.count + opts.ranks - 1) / opts.ranks;
}

wk_status wk_sampler_fill(wk_sampler_opts opts, int64_t epoch, int64_t *indices) {
    if (!check(&opts)) return wk_error_code();
    int64_t length = wk_sampler_length(opts);
    if (!opts.shuffle) {
        for (int64_t i = 0; i < length; i++) indices[i] = (i * opts.ranks + opts.rank) % opts.count;
        return WK_OK;
    }
    int64_t *order = wk_alloc_data((size_t)opts.count * sizeof *order);
    wk_generator *generator = wk_alloc(sizeof *generator);
    if (order && generator) {
        wk_generator_seed(generator, opts.seed + (uint64_t)epoch);
        wk_random_permutation(generator, order, opts.count);
        for (int64_t i = 0; i < length; i++) indices[i] = order[(i * opts.ranks + opts.rank) % opts.count];
    }
    wk_free(order);
    wk_free(generator);
    return wk_failed() ? wk_error_code() : WK_OK;
}
