/* group.c: process groups: a queue of collectives, those who drive it, and a watchdog.
 *
 * Whoever holds `driving` goes on with the first collective of the queue: the caller while it waits for one, and, where
 * it computes alone (a rank with one thread), also as it adds one and whenever it tells that it has a moment (as DDP
 * does at each gradient).  The group's thread is there for the rest of the time.  With as many ranks as cores it takes
 * its time from backward, and each of its looks costs a switch: on `cnn` with two ranks on two cores a step with
 * exchange took 2 % more processor time than one without where the caller drives, and 7 % more where the thread does
 * alone.
 */
#define WK_NO_CALL_SITES
#include "dist/board.h"
#include "dist/cards.h"
#include "dist/group.h"
#include "tensor/tensor.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

static const char *const kind_names[] = { "all_reduce", "broadcast", "all_gather", "reduce_scatter", "barrier" };

struct wk_work {
    wk_group *group;
    wk_transfer transfer;
    uint64_t sequence;
    int64_t bytes;
    bool is_under_way, by_caller;
    atomic_bool done;
    wk__error error; /* code WK_OK: it went well */
    double begun, ended;
    struct wk_work *next;
    wk_storage *held[2];
};

struct wk_group {
    const wk_transport *transport;
    void *state;
    wk__cards cards;
    int rank, ranks;
    pthread_t thread, watchdog;
    bool has_thread, has_watchdog;
    pthread_mutex_t driving; /* who holds it calls the transport; taken before `lock` */
    pthread_mutex_t lock;
    pthread_cond_t wake, finished, ending;
    wk_work *first, *last; /* queue; the first may be under way */
    atomic_int queued;
    uint64_t sequence;
    bool stopping, opened;
    wk__board *board;
    double timeout;
};

/* ---- driving ---- */

static struct timespec seconds_from_now(double seconds) {
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += (long)(fmod(seconds, 1) * 1e9);
    at.tv_sec += (time_t)seconds + at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

static wk_status step(wk_group *g, wk_work *work, bool *done) {
    if (!work->is_under_way) {
        work->is_under_way = true;
        work->begun = wk_now();
        wk__board_begin(g->board, work->sequence, kind_names[work->transfer.kind], work->bytes);
        if (!work->transfer.device) WK_TRY(g->transport->begin(g->state, &work->transfer));
    }
    if (!work->transfer.device) return g->transport->test(g->state, done);
    return wk__cards_step(&g->cards, g->transport, g->state, g->rank, g->ranks, &work->transfer, done);
}

static void end_first(wk_group *g, wk_work *work) {
    (void)pthread_mutex_lock(&g->lock);
    work->ended = wk_now();
    g->first = work->next;
    if (!g->first) g->last = NULL;
    (void)atomic_fetch_sub(&g->queued, 1);
    atomic_store(&work->done, true);
    (void)pthread_cond_broadcast(&g->finished);
    (void)pthread_mutex_unlock(&g->lock);
}

static wk_work *first_of(wk_group *g) {
    (void)pthread_mutex_lock(&g->lock);
    wk_work *work = g->first;
    (void)pthread_mutex_unlock(&g->lock);
    return work;
}

/* Go on as far as it goes without waiting.  The caller holds `driving`. */
static void drive(wk_group *g) {
    bool done = true;
    for (wk_work *work; done && (work = first_of(g));) {
        if (step(g, work, &done) != WK_OK) {
            wk_error_prefix("%s %llu failed", kind_names[work->transfer.kind], (unsigned long long)work->sequence);
            wk_group_abort(g, wk_message());
            work->error = *wk__error_slot(); /* alone in the group: for the one who waits */
            wk_clear_error();
            done = true;
        }
        if (done) end_first(g, work);
    }
}

/* A pending error is the caller's own, and must neither stop nor be taken for one of the transport. */
static bool try_to_drive(wk_group *g) {
    if (wk_failed() || pthread_mutex_trylock(&g->driving) != 0) return false;
    drive(g);
    (void)pthread_mutex_unlock(&g->driving);
    return true;
}

/* A team's other threads would stand still meanwhile. */
static bool caller_drives(void) {
    return wk_threads() == 1;
}

void wk__group_advance(wk_group *g) {
    if (atomic_load_explicit(&g->queued, memory_order_relaxed) > 0 && caller_drives()) (void)try_to_drive(g);
}

/* ---- the thread ---- */

/* How the thread looks after one collective. */
typedef struct watch {
    uint64_t sequence;
    int looks;
    double pause;
} watch;

/* Small transfers end within the first looks.  After that each look costs the computing thread a switch (about 5 µs
 * with what it does to the caches), so the pauses grow.  A caller who drives comes by between its layers: the thread is
 * there in case that it does not. */
static bool is_time_to_rest(watch *w, const wk_work *work) {
    if (w->sequence != work->sequence) *w = (watch){ work->sequence, 0, work->by_caller ? 2e-3 : 50e-6 };
    bool rests = w->looks++ >= (work->by_caller ? 0 : 20);
    if (rests && w->pause < 5e-3) w->pause *= 1.5;
    return rests;
}

static void *thread_main(void *argument) {
    wk_group *g = argument;
    watch w = { 0 };
    (void)prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
    (void)pthread_mutex_lock(&g->lock);
    while (!g->stopping || g->first) {
        if (!g->first) {
            (void)pthread_cond_wait(&g->wake, &g->lock);
            continue;
        }
        if (is_time_to_rest(&w, g->first)) {
            struct timespec until = seconds_from_now(w.pause);
            (void)pthread_cond_timedwait(&g->wake, &g->lock, &until);
        }
        (void)pthread_mutex_unlock(&g->lock);
        (void)try_to_drive(g);
        (void)pthread_mutex_lock(&g->lock);
    }
    (void)pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* ---- the watchdog ---- */

static void describe_hang(const wk_group *g, const wk_work *work, wk_text *text) {
    wk_text late = { 0 };
    wk_text_printf(text, "%s %llu (%.3g MB) did not end within %.0f s", kind_names[work->transfer.kind],
                   (unsigned long long)work->sequence, 1e-6 * (double)work->bytes, g->timeout);
    if (wk__board_laggards(g->board, work->sequence, &late))
        wk_text_printf(text, "; missing: %s", wk_text_get(&late));
    else
        wk_text_puts(text, "; every rank of this host has joined it and runs: look at the network or at another host");
    wk_text_free(&late);
}

/* Looks once a second.  A look counts for two seconds at most: a job that was stopped (Ctrl-Z) and continued is not
 * late. */
static void *watchdog_main(void *argument) {
    wk_group *g = argument;
    uint64_t sequence = 0;
    double waited = 0, looked = wk_now();
    (void)pthread_mutex_lock(&g->lock);
    while (!g->stopping) {
        wk__board_stir(g->board);
        struct timespec until = seconds_from_now(1);
        (void)pthread_cond_timedwait(&g->ending, &g->lock, &until);
        const wk_work *work = g->first;
        double now = wk_now(), passed = fmin(now - looked, 2);
        looked = now;
        if (!work || work->sequence != sequence)
            waited = 0;
        else
            waited += passed;
        sequence = work ? work->sequence : 0;
        if (g->stopping || waited < g->timeout) continue;
        wk_text text = { 0 };
        describe_hang(g, work, &text);
        (void)pthread_mutex_unlock(&g->lock);
        wk_group_abort(g, wk_text_get(&text));
        wk_text_free(&text);
        return NULL;
    }
    (void)pthread_mutex_unlock(&g->lock);
    return NULL;
}

void wk_group_abort(wk_group *g, const char *reason) {
    if (!g || g->ranks < 2) return;
    (void)fprintf(stderr, "wick: rank %d of %d ends the job: %s\n", g->rank, g->ranks, reason);
    (void)fflush(stderr);
    wk__cards_abort(&g->cards);
    g->transport->abort(g->state, 1, reason);
}

/* ---- life ---- */

static int64_t number_in(const char *variable) {
    const char *text = getenv(variable);
    return text ? strtoll(text, NULL, 10) : 0;
}

/* What started this process: mpirun, srun --mpi=pmix, another PMI, or who says where ranks meet; NULL with an error
 * pending where they cannot. */
static const char *choose(void) {
    const char *wish = getenv("WICK_TRANSPORT");
    bool is_pmix = getenv("PMIX_RANK") != NULL;
    if (wish && *wish) return wish;
    if (number_in("OMPI_COMM_WORLD_SIZE") > 1 || number_in("PMI_SIZE") > 1) return "mpi";
    if (is_pmix && (number_in("WORLD_SIZE") > 1 || number_in("SLURM_STEP_NUM_TASKS") > 1)) return "mpi";
    if (number_in("WORLD_SIZE") < 2 || getenv("OMPI_COMM_WORLD_SIZE") || is_pmix) return "self";
    if (getenv("RANK") && getenv("MASTER_ADDR") && getenv("MASTER_PORT")) return "tcp";
    return wk_fail_null(WK_UNSUPPORTED,
                        "process group: WORLD_SIZE is %lld, but these ranks were not started by MPI, and without RANK, "
                        "MASTER_ADDR and MASTER_PORT they cannot meet: use wick agent, wick run or mpirun",
                        (long long)number_in("WORLD_SIZE"));
}

static double timeout_wish(void) {
    const char *text = getenv("WICK_DIST_TIMEOUT");
    double seconds = text ? strtod(text, NULL) : 0;
    return seconds > 0 ? seconds : 60;
}

/* Signals are the program's business: its own threads take them. */
static bool start_threads(wk_group *g) {
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    g->has_thread = pthread_create(&g->thread, NULL, thread_main, g) == 0;
    g->has_watchdog = g->has_thread && g->ranks > 1 && pthread_create(&g->watchdog, NULL, watchdog_main, g) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return g->has_thread && (g->ranks == 1 || g->has_watchdog);
}

static wk_status open_group(wk_group *g) {
    WK_TRY(g->transport->open(&g->state, &g->rank, &g->ranks));
    g->opened = true;
    g->board = wk__board_open(g->rank, g->ranks);
    if (!start_threads(g)) return wk_fail(WK_NO_MEMORY, "process group: its threads could not be started");
    WK_TRY(wk_barrier(g));
    if (g->rank > 0) return WK_OK;
    wk__board_unlink(g->board);
    wk_log_write(WK_LOG_INFO, "process group: ranks %d, transport %s, algorithm of all_reduce %s", g->ranks,
                 g->transport->name, g->transport->algorithm(g->state));
    return WK_OK;
}

wk_group *wk_group_create(const char *transport) {
    if (wk_failed()) return NULL;
    if (!transport) transport = choose();
    const wk_transport *found = transport ? wk__transport_find(transport) : NULL;
    wk_group *g = found ? wk_alloc(sizeof *g) : NULL;
    if (!g) return NULL;
    g->transport = found;
    g->timeout = timeout_wish();
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&g->lock, NULL);
    (void)pthread_mutex_init(&g->driving, NULL);
    (void)pthread_cond_init(&g->wake, &monotonic);
    (void)pthread_cond_init(&g->finished, &monotonic);
    (void)pthread_cond_init(&g->ending, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (open_group(g) == WK_OK) return g;
    wk_group_destroy(g);
    return NULL;
}

void wk_group_destroy(wk_group *g) {
    if (!g) return;
    (void)pthread_mutex_lock(&g->lock);
    g->stopping = true;
    (void)pthread_cond_broadcast(&g->wake);
    (void)pthread_cond_broadcast(&g->ending);
    (void)pthread_mutex_unlock(&g->lock);
    if (g->has_thread) (void)pthread_join(g->thread, NULL);
    if (g->has_watchdog) (void)pthread_join(g->watchdog, NULL);
    wk__cards_leave(&g->cards);
    if (g->opened) g->transport->close(g->state);
    wk__board_close(g->board);
    (void)pthread_cond_destroy(&g->ending);
    (void)pthread_cond_destroy(&g->finished);
    (void)pthread_cond_destroy(&g->wake);
    (void)pthread_mutex_destroy(&g->lock);
    (void)pthread_mutex_destroy(&g->driving);
    wk_free(g);
}

int wk_group_rank(const wk_group *g) {
    return g ? g->rank : 0;
}
int wk_group_size(const wk_group *g) {
    return g ? g->ranks : 1;
}
const char *wk_group_transport(const wk_group *g) {
    return g ? g->transport->name : "self";
}
const char *wk_group_algorithm(const wk_group *g) {
    return g ? g->transport->algorithm(g->state) : "none";
}

/* The barrier is under the watchdog's eyes, what follows it is not. */
wk_status wk__group_share(wk_group *g, size_t bytes, wk_region *region) {
    *region = (wk_region){ 0 };
    WK_TRY(wk_barrier(g));
    (void)pthread_mutex_lock(&g->driving);
    wk_status status = g->transport->share(g->state, bytes, region);
    (void)pthread_mutex_unlock(&g->driving);
    return status;
}

/* ---- collectives ---- */

static void enqueue(wk_group *g, wk_work *work) {
    (void)pthread_mutex_lock(&g->lock);
    work->sequence = ++g->sequence;
    if (g->last)
        g->last->next = work;
    else
        g->first = work;
    g->last = work;
    (void)atomic_fetch_add(&g->queued, 1);
    (void)pthread_mutex_unlock(&g->lock);
}

static wk_status submit(wk_group *g, wk_transfer transfer, wk_tensor *a, wk_tensor *b, wk_work **handle) {
    if (wk_failed()) return WK_PENDING;
    wk_context *context = wk__context();
    if (context && a && a->device) WK_TRY(wk__step_flush(context)); /* another thread may be the one who sends it */
    wk_work *work = wk_alloc(sizeof *work);
    if (!work) return WK_NO_MEMORY;
    work->group = g;
    work->transfer = transfer;
    work->transfer.device = a ? a->device : 0;
    work->bytes = transfer.count * (int64_t)wk_dtype_size(transfer.dtype);
    work->by_caller = caller_drives();
    work->held[0] = a ? wk__storage_hold(a->storage) : NULL;
    work->held[1] = b ? wk__storage_hold(b->storage) : NULL;
    enqueue(g, work);
    if (!handle) return wk_work_wait(work);
    *handle = work;
    if (work->by_caller) wk__group_advance(g);
    if (!atomic_load(&work->done)) (void)pthread_cond_signal(&g->wake);
    return WK_OK;
}

static wk_status check_tensor(const wk_group *g, const wk_tensor *t, const char *who) {
    if (!g) return wk_fail(WK_INVALID, "%s: the group is NULL", who);
    if (!t) return wk_failed() ? WK_PENDING : wk_fail(WK_INVALID, "%s: the tensor is NULL", who);
    if (!wk_is_contiguous(t)) return wk_fail(WK_INVALID, "%s: the tensor must be row major", who);
    if (t->device && !wk__backend_of(t->device)->exchange)
        return wk_fail(WK_DEVICE, "%s: ranks cannot exchange memory of %s", who, wk_device_name(t->device));
    return wk__cards_check((wk__cards *)(uintptr_t)&g->cards, t->device, who);
}

static wk_status check_reduce(const wk_tensor *t, wk_reduce op, const char *who) {
    if (op == WK_REDUCE_MEAN && t->dtype != WK_F32 && t->dtype != WK_F64)
        return wk_fail(WK_DTYPE, "%s: the mean of %s", who, wk_dtype_name((wk_dtype)t->dtype));
    return WK_OK;
}

static void set_operation(const wk_group *g, wk_transfer *transfer, wk_reduce op) {
    transfer->op = op == WK_REDUCE_MEAN ? WK_REDUCE_SUM : op;
    transfer->scale = op == WK_REDUCE_MEAN ? 1.0 / g->ranks : 1;
}

wk_status wk__group_all_reduce_in(wk_group *g, const wk_region *region, wk_tensor *t, wk_reduce op, wk_work **work) {
    WK_TRY(check_tensor(g, t, "all_reduce"));
    WK_TRY(check_reduce(t, op, "all_reduce"));
    wk_transfer transfer = { .kind = WK_ALL_REDUCE,
                             .in = t->data,
                             .out = t->data,
                             .count = t->count,
                             .dtype = (wk_dtype)t->dtype,
                             .region = region };
    set_operation(g, &transfer, op);
    wk__storage_changed(t->storage, "wk_all_reduce");
    return submit(g, transfer, t, NULL, work);
}

wk_status wk_all_reduce(wk_group *g, wk_tensor *t, wk_reduce op, wk_work **work) {
    return wk__group_all_reduce_in(g, NULL, t, op, work);
}

wk_status wk_broadcast(wk_group *g, wk_tensor *t, int root, wk_work **work) {
    WK_TRY(check_tensor(g, t, "broadcast"));
    if (root < 0 || root >= g->ranks) return wk_fail(WK_INVALID, "broadcast: root %d of %d ranks", root, g->ranks);
    wk_transfer transfer = { .kind = WK_BROADCAST,
                             .in = t->data,
                             .out = t->data,
                             .count = t->count,
                             .dtype = (wk_dtype)t->dtype,
                             .root = root };
    wk__storage_changed(t->storage, "wk_broadcast");
    return submit(g, transfer, t, NULL, work);
}

static wk_status check_parts(const wk_group *g, const wk_tensor *part, const wk_tensor *whole, const char *who) {
    if (part->device != whole->device)
        return wk_fail(WK_DEVICE, "%s: a part on %s and a whole on %s", who, wk_device_name(part->device),
                       wk_device_name(whole->device));
    if (part->dtype == whole->dtype && whole->count == part->count * g->ranks) return WK_OK;
    char a[160], b[160];
    return wk_fail(WK_SHAPE, "%s: a part %s and a whole %s for %d ranks", who, wk_describe(part, a, sizeof a),
                   wk_describe(whole, b, sizeof b), g->ranks);
}

wk_status wk_all_gather(wk_group *g, wk_tensor *in, wk_tensor *out, wk_work **work) {
    WK_TRY(check_tensor(g, in, "all_gather"));
    WK_TRY(check_tensor(g, out, "all_gather"));
    WK_TRY(check_parts(g, in, out, "all_gather"));
    wk_transfer transfer = {
        .kind = WK_ALL_GATHER, .in = in->data, .out = out->data, .count = in->count, .dtype = (wk_dtype)in->dtype
    };
    wk__storage_changed(out->storage, "wk_all_gather");
    return submit(g, transfer, in, out, work);
}

wk_status wk_reduce_scatter(wk_group *g, wk_tensor *in, wk_tensor *out, wk_reduce op, wk_work **work) {
    WK_TRY(check_tensor(g, in, "reduce_scatter"));
    WK_TRY(check_tensor(g, out, "reduce_scatter"));
    WK_TRY(check_parts(g, out, in, "reduce_scatter"));
    WK_TRY(check_reduce(in, op, "reduce_scatter"));
    wk_transfer transfer = {
        .kind = WK_REDUCE_SCATTER, .in = in->data, .out = out->data, .count = out->count, .dtype = (wk_dtype)in->dtype
    };
    set_operation(g, &transfer, op);
    wk__storage_changed(out->storage, "wk_reduce_scatter");
    return submit(g, transfer, in, out, work);
}

wk_status wk_barrier(wk_group *g) {
    if (!g) return wk_fail(WK_INVALID, "barrier: the group is NULL");
    return submit(g, (wk_transfer){ .kind = WK_BARRIER }, NULL, NULL, NULL);
}

/* Another thread drives: until the collective has ended, or a little while. */
static void wait_for_driver(wk_group *g, const wk_work *work) {
    struct timespec until = seconds_from_now(50e-6);
    (void)pthread_mutex_lock(&g->lock);
    if (!atomic_load(&work->done)) (void)pthread_cond_timedwait(&g->finished, &g->lock, &until);
    (void)pthread_mutex_unlock(&g->lock);
}

wk_status wk_work_wait(wk_work *work) {
    if (!work) return WK_OK;
    wk_group *g = work->group;
    for (int looks = 0; !atomic_load(&work->done); looks++) {
        if (!try_to_drive(g)) wait_for_driver(g, work);
        if (looks >= 20) (void)sched_yield();
    }
    wk_status status = work->error.code;
    if (status != WK_OK) (void)wk_fail(status, "%s", work->error.message);
    wk__storage_drop(work->held[0]);
    wk__storage_drop(work->held[1]);
    wk_free(work);
    return status;
}

bool wk_work_done(const wk_work *work) {
    return !work || atomic_load(&((wk_work *)(uintptr_t)work)->done);
}

double wk_work_seconds(const wk_work *work) {
    return work && wk_work_done(work) ? work->ended - work->begun : 0;
}
