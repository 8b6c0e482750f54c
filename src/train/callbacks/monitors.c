/* monitors.c: callbacks that only look: learning rates; memory and processor time; how fast it goes; the graph.
 * Lightning's LearningRateMonitor, DeviceStatsMonitor, ThroughputMonitor and TensorBoardLogger(log_graph=True). */
#include "train/callbacks/callbacks.h"
#include "wick/op.h"

#include <string.h>
#include <sys/resource.h>

/* ---- LearningRateMonitor ---- */

const wk_arg wk__lr_monitor_args[] = {
    { "logging_interval", WK_ARG_TEXT, "step", "step or epoch" },
    { "log_momentum", WK_ARG_BOOL, "false", NULL },
    { NULL, WK_ARG_INT, NULL, NULL },
};

typedef struct lr_monitor {
    wk_callback base;
    bool per_epoch, momentum;
} lr_monitor;

/* "lr-SGD", "lr-SGD-1" for a second one of the class, "lr-SGD/pg2" for its second group. */
static wk_status log_one(wk_trainer *t, int i, const char *what, const char *option) {
    wk_optim *optimizer = wk_trainer_optimizer(t, i);
    const char *class_name = wk_optim_name(optimizer);
    int same = 0;
    for (int k = 0; k < i; k++) same += strcmp(wk_optim_name(wk_trainer_optimizer(t, k)), class_name) == 0;
    if (!wk_optim_has(optimizer, option)) return WK_OK;
    for (int group = 0; group < wk_optim_groups(optimizer); group++) {
        char name[60], number[16] = "", part[16] = "";
        if (same) (void)snprintf(number, sizeof number, "-%d", same);
        if (wk_optim_groups(optimizer) > 1) (void)snprintf(part, sizeof part, "/pg%d", group + 1);
        (void)snprintf(name, sizeof name, "%s-%.20s%s%s", what, class_name, number, part);
        WK_TRY(wk_trainer_log(t, name, wk_optim_get(optimizer, group, option), (wk_log_opts){ 0 }));
    }
    return WK_OK;
}

static wk_status log_all(const lr_monitor *m, wk_trainer *t) {
    for (int i = 0; i < wk_trainer_optimizers(t); i++) {
        const char *momentum = wk_optim_has(wk_trainer_optimizer(t, i), "momentum") ? "momentum" : "beta1";
        WK_TRY(log_one(t, i, "lr", "lr"));
        if (m->momentum) WK_TRY(log_one(t, i, "momentum", momentum));
    }
    return WK_OK;
}
static wk_status after_batch(wk_callback *self, wk_trainer *t) {
    const lr_monitor *m = (const lr_monitor *)self;
    return m->per_epoch ? WK_OK : log_all(m, t);
}
static wk_status after_epoch(wk_callback *self, wk_trainer *t) {
    const lr_monitor *m = (const lr_monitor *)self;
    return m->per_epoch ? log_all(m, t) : WK_OK;
}

static const wk_callback_class lr_class = { .name = "LearningRateMonitor",
                                            .size = sizeof(lr_monitor),
                                            .train_batch_end = after_batch,
                                            .train_epoch_end = after_epoch,
                                            .never_stops = true };

wk_callback *wk__lr_monitor_build(const wk_config *args) {
    static const char *const intervals[] = { "step", "epoch", NULL };
    lr_monitor *m = (lr_monitor *)wk_callback_create(&lr_class);
    if (!m) return NULL;
    m->per_epoch = wk_config_choice(args, "logging_interval", intervals, 0) == 1;
    m->momentum = wk_config_bool(args, "log_momentum", false);
    return &m->base;
}

/* ---- DeviceStatsMonitor ---- */

const wk_arg wk__device_stats_args[] = { { NULL, WK_ARG_INT, NULL, NULL } };

static double seconds(struct timeval t) {
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static wk_status log_stats(wk_callback *self, wk_trainer *t) {
    (void)self;
    struct rusage usage;
    const wk_memory memory = wk_memory_of(wk_trainer_model(t), wk_trainer_optimizer(t, 0));
    if (getrusage(RUSAGE_SELF, &usage) != 0) return WK_OK;
    const wk_logged values[] = {
        { "cpu_seconds", seconds(usage.ru_utime) + seconds(usage.ru_stime) },
        { "memory_peak_mib", (double)usage.ru_maxrss / 1024 },
        { "memory_steps_mib", (double)memory.steps / 1048576 },
        { "memory_cache_mib", (double)memory.cache / 1048576 },
    };
    for (size_t i = 0; i < WK_COUNT(values); i++)
        WK_TRY(wk_trainer_log(t, values[i].name, values[i].value, (wk_log_opts){ .is_passing = true }));
    return WK_OK;
}

static const wk_callback_class stats_class = {
    .name = "DeviceStatsMonitor", .size = sizeof(wk_callback), .train_batch_end = log_stats, .never_stops = true
};

wk_callback *wk__device_stats_build(const wk_config *args) {
    (void)args;
    return wk_callback_create(&stats_class);
}

/* ---- ThroughputMonitor ---- */

const wk_arg wk__throughput_args[] = {
    { "window_size", WK_ARG_INT, "100", "the last batches, over which it is the mean" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

enum { MOST_WINDOW = 4096 };
typedef struct throughput {
    wk_callback base;
    int64_t window, batches, items; /* since the beginning */
    double operations;              /* of the first batch, forward and backward */
    double paused, paused_at;       /* in validations: the clock stands still */
    bool is_counting;
    struct {
        double time;
        int64_t items;
    } at[MOST_WINDOW + 1]; /* after the last batches */
} throughput;

static double clock_of(const throughput *m) {
    return wk_now() - m->paused;
}

/* Batches are alike, so one is counted. */
static wk_status before_batch(wk_callback *self, wk_trainer *t) {
    throughput *m = (throughput *)self;
    (void)t;
    if (m->batches > 0 || m->is_counting) return WK_OK;
    m->is_counting = true;
    m->at[0].time = clock_of(m);
    wk_cost_begin();
    return WK_OK;
}

static wk_status log_throughput(wk_callback *self, wk_trainer *t) {
    throughput *m = (throughput *)self;
    if (m->is_counting) m->operations = wk_cost_end().operations;
    m->is_counting = false;
    m->batches++;
    m->items += wk_trainer_batch(t)->size;
    const int64_t slots = m->window + 1, covered = m->batches < m->window ? m->batches : m->window;
    m->at[m->batches % slots].time = clock_of(m);
    m->at[m->batches % slots].items = m->items;
    const int64_t before = (m->batches - covered) % slots;
    const double seconds = m->at[m->batches % slots].time - m->at[before].time,
                 items = (double)(m->items - m->at[before].items), ranks = wk_trainer_ranks(t);
    if (!(seconds > 0)) return WK_OK;
    const wk_logged values[] = {
        { "batches_per_second", (double)covered / seconds },
        { "items_per_second", items * ranks / seconds },
        { "flops_per_second", m->operations * (double)covered * ranks / seconds },
    };
    for (size_t i = 0; i < WK_COUNT(values); i++)
        WK_TRY(wk_trainer_log(t, values[i].name, values[i].value, (wk_log_opts){ .is_passing = true }));
    return WK_OK;
}

static wk_status pause_clock(wk_callback *self, wk_trainer *t) {
    (void)t;
    ((throughput *)self)->paused_at = wk_now();
    return WK_OK;
}
static wk_status go_on(wk_callback *self, wk_trainer *t) {
    (void)t;
    ((throughput *)self)->paused += wk_now() - ((throughput *)self)->paused_at;
    return WK_OK;
}

static const wk_callback_class throughput_class = { .name = "ThroughputMonitor",
                                                    .size = sizeof(throughput),
                                                    .train_batch_start = before_batch,
                                                    .train_batch_end = log_throughput,
                                                    .validation_start = pause_clock,
                                                    .validation_end = go_on,
                                                    .never_stops = true };

wk_callback *wk__throughput_build(const wk_config *args) {
    throughput *m = (throughput *)wk_callback_create(&throughput_class);
    if (m) m->window = wk_config_int(args, "window_size", 1, MOST_WINDOW, 100);
    return (wk_callback *)m;
}

/* ---- GraphLogger ---- */

const wk_arg wk__graph_logger_args[] = { { NULL, WK_ARG_INT, NULL, NULL } };

static wk_status log_graph(wk_callback *self, wk_trainer *t) {
    (void)self;
    const bool is_first = wk_trainer_step(t) == 0 && wk_trainer_batch_index(t) == 0;
    return is_first ? wk_trainer_log_graph(t, wk_trainer_loss(t)) : WK_OK;
}

static const wk_callback_class graph_class = {
    .name = "GraphLogger", .size = sizeof(wk_callback), .before_backward = log_graph, .never_stops = true
};

wk_callback *wk__graph_logger_build(const wk_config *args) {
    (void)args;
    return wk_callback_create(&graph_class);
}
