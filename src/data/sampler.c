/* sampler.c: which items, in which order, on which rank: the partition of PyTorch's DistributedSampler.
 *
 * An order is a list for the whole epoch (a permutation, or draws by weights), or a function of a place in it: the
 * plain order, and the one by blocks, whose permutations are ciphers (Feistel networks, walked until they end within
 * the range), so that an epoch of any length needs no memory.
 */
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
    if (opts->block < 0 || (opts->weights && (opts->block || !opts->shuffle))) {
        (void)wk_fail(WK_INVALID, "sampler: blocks of %lld, %s, %s: weights need a shuffled order without blocks",
                      (long long)opts->block, opts->weights ? "weights" : "no weights",
                      opts->shuffle ? "shuffled" : "not shuffled");
        return false;
    }
    return true;
}

int64_t wk_sampler_length(wk_sampler_opts opts) {
    if (!check(&opts)) return -1;
    return opts.drop_last ? opts.count / opts.ranks : (opts.count + opts.ranks - 1) / opts.ranks;
}

/* ---- permutations that are functions ---- */

typedef struct cipher {
    uint32_t key[2], number, epoch; /* number: which permutation of the epoch */
} cipher;

enum { ROUNDS = 4 };

/* The place of `at` in a permutation of [0, count), or the other way round. */
static int64_t permuted(const cipher *c, int64_t at, int64_t count, bool back) {
    int half = 1;
    while (half < 31 && (INT64_C(1) << (2 * half)) < count) half++;
    const uint32_t mask = (uint32_t)((UINT64_C(1) << half) - 1);
    uint32_t high = (uint32_t)((uint64_t)at >> half), low = (uint32_t)at & mask;
    do {
        for (int i = 0; i < ROUNDS; i++) {
            const uint32_t round = (uint32_t)(back ? ROUNDS - 1 - i : i);
            const uint32_t counter[4] = { back ? high : low, round, c->number, c->epoch };
            uint32_t word[4];
            wk_philox(counter, c->key, word);
            const uint32_t other = ((back ? low : high) ^ word[0]) & mask;
            if (back)
                low = high, high = other;
            else
                high = low, low = other;
        }
        at = (int64_t)((uint64_t)high << half | low);
    } while (at >= count);
    return at;
}

static int64_t in_blocks(const wk_sampler_opts *opts, int64_t epoch, int64_t place) {
    const int64_t size = opts->block, blocks = (opts->count + size - 1) / size,
                  last = opts->count - (blocks - 1) * size;
    cipher c = { { (uint32_t)opts->seed, (uint32_t)(opts->seed >> 32) }, UINT32_MAX, (uint32_t)epoch };
    /* Behind the last block, which may be shorter, places move up. */
    const int64_t before = permuted(&c, blocks - 1, blocks, true) * size;
    const int64_t as_if = place < before + last ? place : place + (size - last);
    const int64_t block = permuted(&c, as_if / size, blocks, false);
    c.number = (uint32_t)block;
    return block * size + permuted(&c, as_if % size, block == blocks - 1 ? last : size, false);
}

wk_status wk_sampler_range(wk_sampler_opts opts, int64_t epoch, int64_t first, int64_t n, int64_t *indices) {
    if (!check(&opts)) return wk_error_code();
    if (opts.shuffle && opts.block == 0)
        return wk_fail(WK_INVALID, "sampler: a part of an epoch can be told with `block` or without `shuffle` alone");
    for (int64_t i = 0; i < n; i++) {
        indices[i] = ((first + i) * opts.ranks + opts.rank) % opts.count;
        if (opts.shuffle) indices[i] = in_blocks(&opts, epoch, indices[i]);
    }
    return WK_OK;
}

/* ---- lists ---- */

/* torch.multinomial with replacement: a uniform number each, looked up in the running sums. */
static wk_status draw_weighted(const wk_sampler_opts *opts, wk_generator *generator, int64_t *order) {
    double *sums = wk_alloc_data((size_t)opts->count * sizeof *sums), sum = 0;
    if (!sums) return wk_error_code();
    for (int64_t i = 0; i < opts->count; i++) sums[i] = sum += opts->weights[i];
    for (int64_t i = 0; i < opts->count; i++) sums[i] /= sum;
    for (int64_t i = 0; i < opts->count; i++) {
        double at;
        wk_random_uniform_f64(generator, &at, 1, 0, 1);
        int64_t low = 0, high = opts->count - 1;
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            if (sums[middle] < at)
                low = middle + 1;
            else
                high = middle;
        }
        order[i] = low;
    }
    wk_free(sums);
    return WK_OK;
}

wk_status wk_sampler_fill(wk_sampler_opts opts, int64_t epoch, int64_t *indices) {
    if (!check(&opts)) return wk_error_code();
    int64_t length = wk_sampler_length(opts);
    if (!opts.shuffle || opts.block) return wk_sampler_range(opts, epoch, 0, length, indices);
    int64_t *order = wk_alloc_data((size_t)opts.count * sizeof *order);
    wk_generator *generator = wk_alloc(sizeof *generator);
    if (order && generator) {
        wk_generator_seed(generator, opts.seed + (uint64_t)epoch);
        if (!opts.weights)
            wk_random_permutation(generator, order, opts.count);
        else if (draw_weighted(&opts, generator, order) != WK_OK)
            length = 0;
        for (int64_t i = 0; i < length; i++) indices[i] = order[(i * opts.ranks + opts.rank) % opts.count];
    }
    wk_free(order);
    wk_free(generator);
    return wk_failed() ? wk_error_code() : WK_OK;
}
