/* start.c: how a run begins: what it goes on from, its folder, the ranks' agreement, and what it says of itself at its
 * beginning and its end.
 *
 * Every decision that all ranks must share (may the run start, is it resumed) is agreed on before anything else
 * happens.
 */
#include "train/run.h"

#include "tensor/backend.h"
#include "train/agree.h"
#include "train/machine.h"
#include "train/record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool wk__has_epochs(const wk_trainer *t) {
    return t->standing.epoch < t->params->max_epochs
           && (!t->params->max_steps || t->standing.step < t->params->max_steps);
}
static bool has_checkpoint(const wk_trainer *t, const char *name) {
    char *path = wk__checkpoint_path(t->config->output, name);
    bool exists = path && access(path, F_OK) == 0;
    wk_free(path);
    return exists;
}

/* What the file resets, unless it is a launcher that goes on from a checkpoint of after that. */
static void decide_resets(wk_trainer *t, wk__start start, bool has_reset) {
    const bool is_due = start != WK__START_AGAIN || !has_reset;
    t->resets_optimizer = t->config->resets_optimizer && is_due;
    t->resets_lr = t->config->resets_lr && is_due;
}

static void begin_schedules(wk_trainer *t) {
    if (!t->resets_lr) return;
    t->standing.schedule_step = t->standing.step;
    t->standing.schedule_epoch = t->standing.epoch;
}

/* Whether a file lies in a folder, or below it. */
static bool is_below(const char *path, const char *folder) {
    char *file = realpath(path, NULL), *above = realpath(folder, NULL);
    const size_t size = above ? strlen(above) : 0;
    const bool is = file && above && strncmp(file, above, size) == 0 && file[size] == '/';
    free(file);
    free(above);
    return is;
}

/* What the run goes on from: its own last checkpoint, or that which its file names, in part where the file says so.
 * One of its own folder, taken with where it stands, is an earlier point of this run. */
static wk_status choose_origin(wk_trainer *t, wk__start start, bool *resumed) {
    const wk__run_config *c = t->config;
    wk__origin *from = &t->origin;
    *resumed = wk__resumes(start) && has_checkpoint(t, "last");
    if (*resumed) {
        *from = (wk__origin){ wk__checkpoint_path(c->output, "last"), WK__PART_ALL, true };
    } else if (c->resume) {
        *from = (wk__origin){ wk__resume_path(c->output, c->resume),
                              (c->resumes_steps ? WK__PART_STANDING : 0u)
                                  | (c->resumes_optimizer ? WK__PART_OPTIMIZER : 0u),
                              false };
        *resumed = from->path && start != WK__START_OVERWRITE && c->resumes_steps && is_below(from->path, c->output);
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* Where that stands: lengths of schedules depend on it. */
static wk_status look_at_origin(wk_trainer *t, wk__start start, bool *resumed) {
    WK_TRY(choose_origin(t, start, resumed));
    if (start == WK__START_NEW && !*resumed && (has_checkpoint(t, "last") || has_checkpoint(t, "best")))
        return wk_fail(
            WK_EXISTS,
            "%s holds a run already: pass --resume to go on with it, --overwrite to start anew, or -o output=DIRECTORY",
            t->config->output);
    if (!t->origin.path) return WK_OK;
    const bool stands = t->origin.parts & WK__PART_STANDING;
    const wk__checkpoint_context context = wk__context_of(t);
    bool has_reset = false;
    if (stands) WK_TRY(wk__checkpoint_look(t->origin.path, &context, &t->standing, &has_reset));
    decide_resets(t, start, has_reset);
    if (stands) begin_schedules(t);
    return WK_OK;
}

static wk_status load_origin(wk_trainer *t, bool resumed) {
    const unsigned parts = t->origin.parts & ~(t->resets_optimizer ? (unsigned)WK__PART_OPTIMIZER : 0u);
    wk__checkpoint_context context = wk__context_of(t);
    context.resets_lr = t->resets_lr;
    WK_TRY(wk__checkpoint_load(t->origin.path, &context, parts, &t->standing));
    if (parts & WK__PART_STANDING) begin_schedules(t);
    if (!resumed) t->standing.best_score = NAN; /* the best of this directory is yet to come */
    return WK__HOOK(t, load_checkpoint);
}

wk_status wk__same_data(const wk_trainer *t) {
    char data[100];
    (void)snprintf(data, sizeof data, "%lld %lld", (long long)t->train_data->count,
                   (long long)(t->val_data ? t->val_data->count : 0));
    return wk__same(t->group, wk__hash(0, data), "the number of items in the data", "");
}

/* All ranks train on the same data from the same standing. */
static wk_status check_ranks(const wk_trainer *t) {
    char standing[100];
    (void)snprintf(standing, sizeof standing, "%lld %lld %lld", (long long)t->standing.epoch,
                   (long long)t->standing.batch, (long long)t->standing.step);
    WK_TRY(wk__same_data(t));
    return wk__same(t->group, wk__hash(0, standing), "the last checkpoint",
                    ": the output directory must be on a file system that all ranks share");
}

/* Each rank draws its own masks: the same counter under a seed of its own. */
static void set_random(const wk_trainer *t) {
    wk_generator *generator = wk_default_generator();
    generator->seed = t->standing.random_seed + UINT64_C(0x9E3779B97F4A7C15) * (uint64_t)t->rank;
    generator->counter = t->standing.random_counter;
}

/* trainer.num_nodes says what whoever wrote the file took for granted. */
static wk_status check_hosts(const wk_trainer *t) {
    int hosts = 1;
    if (!t->params->hosts) return WK_OK;
    WK_TRY(wk__hosts(t->group, &hosts));
    if (t->params->hosts == hosts) return WK_OK;
    return wk__agree(t->group,
                     wk_fail(WK_CONFIG,
                             "trainer.num_nodes is %lld, and the %d rank%s of this run %s on %d host%s: start it with "
                             "mpirun or `wick run` on as many, or leave the key out",
                             (long long)t->params->hosts, t->ranks, t->ranks == 1 ? "" : "s",
                             t->ranks == 1 ? "is" : "are", hosts, hosts == 1 ? "" : "s"));
}

static wk_status find_start(wk_trainer *t, wk__start start, bool *resumed) {
    t->standing = (wk__standing){ .best_score = NAN, .random_seed = t->config->seed };
    WK_TRY(check_hosts(t));
    wk_status status = wk__build(t);
    if (status == WK_OK && t->rank == 0) status = wk__folder_lock(&t->folder, t->config->output);
    WK_TRY(wk__agree(t->group, status));
    WK_TRY(wk__agree(t->group, look_at_origin(t, start, resumed)));
    WK_TRY(wk__agree(t->group, wk__build_optimizers(t)));
    WK_TRY(wk__agree(t->group, wk__share_out(t)));
    if (t->origin.path) WK_TRY(wk__agree(t->group, load_origin(t, *resumed)));
    WK_TRY(check_ranks(t));
    t->loaded = t->standing.epoch;
    return wk__plan_steps(t);
}

static wk_status open_folder(wk_trainer *t, wk__start start, bool resumed) {
    int64_t from = resumed ? t->standing.step : -1;
    if (t->rank != 0) return WK_OK;
    if (start == WK__START_OVERWRITE) WK_TRY(wk__folder_clear(&t->folder));
    WK_TRY(wk__folder_open(&t->folder, t->config, from));
    for (; t->loggers < t->config->loggers; t->loggers++) {
        wk_logger *logger = wk__make_logger(&t->config->logger[t->loggers]);
        if (!logger) return wk_error_code();
        t->logger[t->loggers] = logger;
        wk_status status = logger->class_->start(logger, t->config->output, t->config->text, from);
        if (status != WK_OK) {
            t->loggers++; /* destroyed with the others */
            return status;
        }
    }
    const wk_wrapper_class *wrapper = t->wrapper->class_;
    return wrapper->files ? wrapper->files(t->wrapper, t) : WK_OK;
}

static void say_device(wk_trainer *t) {
    wk_device_info info;
    if (t->device != WK_CPU && wk_device_describe(t->device, &info) == WK_OK)
        wk__folder_say(&t->folder, "training on %s: %s, %.1f GiB", wk_device_name(t->device), info.name,
                       (double)info.memory / 1073741824);
}

static void say_model(wk_trainer *t) {
    const wk__checkpoint_context context = wk__context_of(t);
    wk__folder_say(&t->folder,
                   "model %s: %lld parameters; %lld training and %lld evaluation items; %d rank%s × %d thread%s",
                   context.model_name, (long long)wk_parameter_count(t->model), (long long)t->train_data->count,
                   (long long)(t->val_data ? t->val_data->count : 0), t->ranks, t->ranks == 1 ? "" : "s", wk_threads(),
                   wk_threads() == 1 ? "" : "s");
    char *summary = t->params->summary ? wk_module_summary(t->model) : NULL;
    if (summary) wk__folder_say(&t->folder, "%s", summary);
    wk_free(summary);
}

static void say_origin(wk_trainer *t) {
    static const char *const words[] = { ": its weights alone", ": its weights and optimizer, from the first epoch on",
                                         ": all but the optimizer", "" };
    wk__folder_say(&t->folder, "resume from %s%s", t->origin.path, words[t->origin.parts]);
}

static void say_start(wk_trainer *t, wk__start start, bool resumed) {
    /* Each rank's own log tells that it took part. */
    if (t->rank != 0) (void)fprintf(stderr, "rank %d of %d: training; rank 0 reports\n", t->rank, t->ranks);
    say_model(t);
    char machine[160];
    wk__folder_say(&t->folder, "each rank may use %s", wk__processors_describe(machine, sizeof machine));
    say_device(t);
    if (t->params->split_batch && t->ranks > 1)
        wk__folder_say(&t->folder, "strategy dp: the batch of %lld is split, %lld items a rank",
                       (long long)t->config->batch_size, (long long)t->batch_size);
    if (t->params->fast_dev_run) wk__folder_say(&t->folder, "fast_dev_run: a few batches, and nothing is saved");
    if (t->origin.path && !t->origin.is_last) say_origin(t);
    if (resumed && wk__has_epochs(t))
        wk__folder_say(&t->folder, "resumed after step %lld, in epoch %lld", (long long)t->standing.step,
                       (long long)t->standing.epoch + 1);
    if (t->origin.path && t->resets_optimizer) wk__folder_say(&t->folder, "reset_optimizer: its state begins anew");
    if (t->origin.path && t->resets_lr)
        wk__folder_say(&t->folder, "reset_lr: the learning rate is the file's, and its schedule begins anew");
    if (!t->origin.path && wk__resumes(start))
        wk__folder_say(&t->folder, "%s holds no checkpoint to resume from: starting anew", t->config->output);
}

wk_status wk__set_up(wk_trainer *t, wk__start start, bool *resumed) {
    WK_TRY(find_start(t, start, resumed));
    WK_TRY(wk__agree(t->group, open_folder(t, start, *resumed)));
    if (t->rank == 0) t->saver = wk__saver_create(t->config->saves_async);
    WK_TRY(wk__agree(t->group, t->rank != 0 || t->saver ? WK_OK : wk_error_code()));
    set_random(t);
    if (t->ranks > 1) {
        if (t->params->sync_batch_norm) (void)wk_sync_batch_norm(t->model, t->group);
        t->ddp = wk_ddp_create(t->group, t->model, t->params->ddp);
        WK_TRY(wk__agree(t->group, t->ddp ? WK_OK : wk_error_code()));
    }
    WK_TRY(wk__agree(t->group, wk__record_start(t, *resumed)));
    say_start(t, start, *resumed);
    wk__sources_copy(t);
    return WK_OK;
}

/* ---- the end ---- */

static double mib(int64_t bytes) {
    return (double)bytes / 1048576;
}

/* One rank's, and the batch that would fill this machine's. */
void wk__say_memory(wk_trainer *t) {
    const wk_memory m = wk_memory_of(t->model, t->driven[0].optimizer);
    wk_device_info device;
    wk__folder_say(&t->folder, "memory in MiB: parameters %.1f, gradients %.1f, optimizer %.1f, steps %.1f, cache %.1f",
                   mib(m.parameters), mib(m.gradients), mib(m.optimizer), mib(m.steps), mib(m.cache));
    if (wk__cpu_device_info(&device) != WK_OK) return;
    int64_t largest = wk_memory_largest_batch(m, t->batch_size, device.memory / t->ranks);
    if (largest > 0)
        wk__folder_say(&t->folder, "the %.1f GiB of this machine hold batches of about %lld items a rank",
                       mib(device.memory) / 1024, (long long)largest);
}

void wk__say_end(wk_trainer *t, bool had_work) {
    char duration[16], best[60] = "";
    double accuracy;
    wk__duration(wk_now() - t->started, duration);
    if (wk_trainer_metric(t, "val_accuracy", &accuracy))
        (void)snprintf(best, sizeof best, "best test accuracy %.4f; ", t->standing.best_score);
    if (had_work)
        wk__folder_say(&t->folder, "done in %s; %srun directory %s", duration, best, t->config->output);
    else
        wk__folder_say(&t->folder, "nothing is left to do: the run has ended before");
}
