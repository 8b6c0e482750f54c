/* loader.c: batches fetched ahead by worker threads.
 *
 * A ring of slots, each with the tensors of one batch.  Batch b always lives in slot b mod slots: workers take the next
 * number not yet begun whose slot is free, the consumer takes them in order.  So order and contents depend on nothing
 * but the sampler, and no memory is allocated after the start.
 */
#include "tensor/tensor.h"
#include "wick/data.h"

#include <pthread.h>
#include <string.h>

typedef enum slot_state { SLOT_FREE, SLOT_FETCHING, SLOT_READY } slot_state;

typedef struct slot {
    slot_state state;
    int64_t batch;
    int64_t *items;            /* of the batch, where there is no list of the whole epoch */
    wk_tensor *input, *target; /* of a full batch */
} slot;

struct wk_loader {
    const wk_dataset *dataset;
    wk_loader_opts opts;
    int64_t length, batches; /* items and batches an epoch */
    int64_t capacity;        /* items of a slot: batch_size, or all where there are fewer */
    int64_t *indices;        /* (length); NULL where the sampler can tell a batch alone */
    int slots, workers;
    slot *ring;
    pthread_t *thread;
    wk_tensor *short_input, *short_target; /* views for the last, shorter batch */
    pthread_mutex_t lock;
    pthread_cond_t work, ready;
    int64_t next_fetch, next_take, last_taken;
    int64_t epoch;
    bool running, stopping;
    wk__error failure; /* of a worker */
};

static int64_t batch_items(const wk_loader *l, int64_t batch) {
    int64_t left = l->length - batch * l->opts.batch_size;
    return left < l->opts.batch_size ? left : l->opts.batch_size;
}

/* ---- workers ---- */

/* The next batch to fetch, its slot marked; NULL when there is none now.  The lock is held. */
static slot *claim(wk_loader *l) {
    if (!l->running || l->failure.code != WK_OK || l->next_fetch >= l->batches) return NULL;
    slot *s = &l->ring[l->next_fetch % l->slots];
    if (s->state != SLOT_FREE) return NULL;
    s->state = SLOT_FETCHING;
    s->batch = l->next_fetch++;
    return s;
}

static wk_status fetch(const wk_loader *l, const slot *s, int64_t epoch) {
    const wk_moment moment = { l->opts.sampler.seed, epoch };
    const int64_t first = s->batch * l->opts.batch_size, n = batch_items(l, s->batch);
    if (!l->indices) WK_TRY(wk_sampler_range(l->opts.sampler, epoch, first, n, s->items));
    return wk_dataset_fetch(l->dataset, moment, l->indices ? l->indices + first : s->items, n, s->input->data,
                            s->target->data);
}

static void *worker_main(void *argument) {
    wk_loader *l = argument;
    (void)pthread_mutex_lock(&l->lock);
    while (!l->stopping) {
        slot *s = claim(l);
        if (!s) {
            (void)pthread_cond_wait(&l->work, &l->lock);
            continue;
        }
        const int64_t epoch = l->epoch;
        (void)pthread_mutex_unlock(&l->lock);
        wk_status status = fetch(l, s, epoch);
        (void)pthread_mutex_lock(&l->lock);
        if (status != WK_OK && l->failure.code == WK_OK) {
            l->failure = *wk__error_slot();
            if (l->failure.code == WK_OK) l->failure.code = status;
        }
        wk_clear_error();
        s->state = SLOT_READY;
        (void)pthread_cond_broadcast(&l->ready);
    }
    (void)pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Wait until no worker writes, and empty the ring.  The lock is held. */
static void quiesce(wk_loader *l) {
    l->running = false;
    for (int i = 0; i < l->slots; i++) {
        while (l->ring[i].state == SLOT_FETCHING) (void)pthread_cond_wait(&l->ready, &l->lock);
        l->ring[i].state = SLOT_FREE;
    }
}

/* ---- life ---- */

static wk_dims with_batch(wk_dims item, int64_t n) {
    wk_dims dims = { .rank = item.rank + 1, .size = { n } };
    memcpy(dims.size + 1, item.size, (size_t)item.rank * sizeof item.size[0]);
    return dims;
}

static wk_status make_ring(wk_loader *l) {
    const wk_dataset *d = l->dataset;
    const bool lists = l->opts.sampler.shuffle && l->opts.sampler.block == 0;
    l->ring = wk_alloc((size_t)l->slots * sizeof *l->ring);
    l->indices = lists ? wk_alloc_data((size_t)l->length * sizeof *l->indices) : NULL;
    l->thread = wk_alloc((size_t)l->workers * sizeof *l->thread);
    if (!l->ring || (lists && !l->indices) || !l->thread) return WK_NO_MEMORY;
    for (int i = 0; i < l->slots; i++) {
        if (!lists && !(l->ring[i].items = wk_alloc((size_t)l->capacity * sizeof *l->indices))) return WK_NO_MEMORY;
        l->ring[i].input = wk_pinned_zeros(l->opts.device, d->input_dtype, with_batch(d->input_dims, l->capacity));
        l->ring[i].target = wk_pinned_zeros(l->opts.device, d->target_dtype, with_batch(d->target_dims, l->capacity));
        if (!l->ring[i].input || !l->ring[i].target) return wk_error_code();
    }
    return WK_OK;
}

static wk_status start_workers(wk_loader *l) {
    int wanted = l->workers;
    for (l->workers = 0; l->workers < wanted; l->workers++)
        if (pthread_create(&l->thread[l->workers], NULL, worker_main, l) != 0)
            return wk_fail(WK_NO_MEMORY, "loader: thread %d of %d could not be started", l->workers + 1, wanted);
    return WK_OK;
}

wk_loader *wk_loader_create(const wk_dataset *dataset, wk_loader_opts opts) {
    if (wk_failed() || !dataset) return NULL;
    if (opts.batch_size == 0) opts.batch_size = 1;
    if (opts.batch_size < 0 || opts.workers < 0 || opts.prefetch < 0)
        return wk_fail_null(WK_INVALID, "loader: batch_size %lld, workers %d, prefetch %d: expected at least 0",
                            (long long)opts.batch_size, opts.workers, opts.prefetch);
    opts.sampler.count = dataset->count;
    if (opts.sampler.shuffle && !opts.sampler.weights) opts.sampler.weights = dataset->weights;
    if (opts.sampler.shuffle && !opts.sampler.weights && !opts.sampler.block) opts.sampler.block = dataset->block;
    int64_t length = wk_sampler_length(opts.sampler);
    if (length < 0) return NULL;
    wk_loader *l = wk_alloc(sizeof *l);
    if (!l) return NULL;
    l->dataset = dataset;
    l->opts = opts;
    l->length = length;
    l->capacity = opts.batch_size < length ? opts.batch_size : length;
    l->batches = opts.drop_last ? length / opts.batch_size : (length + opts.batch_size - 1) / opts.batch_size;
    l->workers = opts.workers ? opts.workers : 1;
    /* One more than wanted ahead: the batch in the consumer's hands occupies a slot. */
    l->slots = (opts.prefetch ? opts.prefetch : 2 * l->workers) + 1;
    l->last_taken = -1;
    (void)pthread_mutex_init(&l->lock, NULL);
    (void)pthread_cond_init(&l->work, NULL);
    (void)pthread_cond_init(&l->ready, NULL);
    wk_status status = make_ring(l);
    if (status != WK_OK) l->workers = 0; /* none to join */
    if (status != WK_OK || start_workers(l) != WK_OK) {
        wk_loader_destroy(l);
        return NULL;
    }
    return l;
}

void wk_loader_destroy(wk_loader *l) {
    if (!l) return;
    (void)pthread_mutex_lock(&l->lock);
    l->stopping = true;
    (void)pthread_cond_broadcast(&l->work);
    (void)pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->workers; i++) (void)pthread_join(l->thread[i], NULL);
    for (int i = 0; l->ring && i < l->slots; i++) {
        wk_release(l->ring[i].input);
        wk_release(l->ring[i].target);
        wk_free(l->ring[i].items);
    }
    wk_release(l->short_input);
    wk_release(l->short_target);
    (void)pthread_cond_destroy(&l->ready);
    (void)pthread_cond_destroy(&l->work);
    (void)pthread_mutex_destroy(&l->lock);
    wk_free(l->thread);
    wk_free(l->indices);
    wk_free(l->ring);
    wk_free(l);
}

int64_t wk_loader_batches(const wk_loader *l) {
    return l ? l->batches : 0;
}

wk_status wk_loader_start(wk_loader *l, int64_t epoch, int64_t first_batch) {
    if (wk_failed()) return WK_PENDING;
    if (first_batch < 0 || first_batch > l->batches)
        return wk_fail(WK_INVALID, "loader: batch %lld of an epoch of %lld", (long long)first_batch,
                       (long long)l->batches);
    (void)pthread_mutex_lock(&l->lock);
    quiesce(l);
    l->failure.code = WK_OK;
    wk_status status = l->indices ? wk_sampler_fill(l->opts.sampler, epoch, l->indices) : WK_OK;
    l->epoch = epoch;
    l->next_fetch = l->next_take = first_batch;
    l->last_taken = -1;
    l->running = status == WK_OK;
    (void)pthread_cond_broadcast(&l->work);
    (void)pthread_mutex_unlock(&l->lock);
    return status;
}

/* ---- the consumer ---- */

/* The first n items of a full batch, as tensors on the same memory. */
static bool shorten(wk_loader *l, const slot *s, int64_t n, wk_batch *batch) {
    wk_release(l->short_input);
    wk_release(l->short_target);
    l->short_input = wk__kept_on(s->input->storage, 0, l->dataset->input_dtype, with_batch(l->dataset->input_dims, n));
    l->short_target =
        wk__kept_on(s->target->storage, 0, l->dataset->target_dtype, with_batch(l->dataset->target_dims, n));
    batch->input = l->short_input;
    batch->target = l->short_target;
    return batch->input && batch->target;
}

bool wk_loader_next(wk_loader *l, wk_batch *batch) {
    *batch = (wk_batch){ 0 };
    if (!l || wk_failed()) return false;
    (void)pthread_mutex_lock(&l->lock);
    if (l->last_taken >= 0) {
        l->ring[l->last_taken % l->slots].state = SLOT_FREE;
        l->last_taken = -1;
        (void)pthread_cond_broadcast(&l->work);
    }
    slot *s = NULL;
    while (l->running && l->next_take < l->batches && l->failure.code == WK_OK) {
        slot *wanted = &l->ring[l->next_take % l->slots];
        if (wanted->state == SLOT_READY && wanted->batch == l->next_take) {
            s = wanted;
            l->last_taken = l->next_take++;
            break;
        }
        (void)pthread_cond_wait(&l->ready, &l->lock);
    }
    if (!s && l->failure.code != WK_OK) (void)wk_fail(l->failure.code, "loader: %s", l->failure.message);
    (void)pthread_mutex_unlock(&l->lock);
    if (!s) return false;
    int64_t n = batch_items(l, s->batch);
    batch->index = s->batch;
    batch->size = n;
    batch->input = s->input;
    batch->target = s->target;
    return n == l->capacity || shorten(l, s, n, batch);
}
