/* batch_size.c: the largest batch that memory holds, by trying: `wick train --find-batch-size`, with the two ways of
 * Lightning's BatchSizeFinder.  power doubles the size until a trial fails, and takes the last that did not; binsearch
 * then looks between the two.
 *
 * A trial is some steps of training, after which what the steps hold is counted.  Beyond the device's memory nothing is
 * tried: there the system would end the process, not the allocator a call.  So a size fails when what the trial before
 * it left says that it would not fit, when its own steps hold more than there is, or when memory runs out.
 *
 * The run is built for this alone, and nothing is written: the file's own run begins as if nobody had looked, or, with
 * the callback BatchSizeFinder, with what was found.
 */
#include "train/callbacks/callbacks.h"

#include "tensor/backend.h"
#include "train/batch_size.h"
#include "wick/step.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Steps that are not replayed have left what they held in the cache, which was empty before them. */
static wk_memory memory_of(wk_trainer *t) {
    wk_memory m = wk_memory_of(t->model, t->driven[0].optimizer);
    if (m.steps == 0) m.steps = m.cache;
    return m;
}

static wk_status steps_of(wk_trainer *t, wk_loader *loader, int64_t steps) {
    WK_TRY(wk_loader_start(loader, 0, 0));
    t->standing.batch = 0;
    for (int64_t i = 0; i < steps; i++) {
        wk_batch batch;
        double loss;
        bool counts;
        if (!wk_loader_next(loader, &batch)) {
            if (wk_failed()) return wk_error_code();
            WK_TRY(wk_loader_start(loader, i, 0));
            if (!wk_loader_next(loader, &batch)) return wk_failed() ? wk_error_code() : WK_END;
        }
        WK_TRY(wk__train_batch(t, &batch, &loss, &counts));
        t->standing.batch = (t->standing.batch + 1) % t->batches;
    }
    return WK_OK;
}

/* Whether batches of `size` fit; `most` is about how many would, by what this trial left. */
static wk_status try_size(wk_trainer *t, const wk__batch_size_opts *o, int64_t size, bool *fits, int64_t *most) {
    const wk_loader_opts opts = { .batch_size = size,
                                  .sampler = { .ranks = 1, .seed = t->config->seed },
                                  .drop_last = true,
                                  .workers = (int)t->config->workers };
    wk_step_forget(NULL); /* what smaller batches held */
    wk_memory_trim();
    wk_loader *loader = wk_loader_create(t->train_data, opts);
    wk_status status = loader ? steps_of(t, loader, o->steps) : wk_error_code();
    const wk_memory m = memory_of(t);
    *fits = status == WK_OK && m.parameters + m.gradients + m.optimizer + m.steps <= o->memory;
    *most = *fits ? wk_memory_largest_batch(m, size, o->memory) : 0;
    wk_loader_destroy(loader);
    if (status != WK_NO_MEMORY) return status;
    wk_clear_error();
    return WK_OK;
}

static wk_status search(wk_trainer *t, const wk__batch_size_opts *o, int64_t *found) {
    const int64_t items = t->train_data->count;
    int64_t good = 0, bad = 0, most = 0; /* bad 0: none failed yet */
    int64_t size = o->first < items ? o->first : items;
    for (int64_t trial = 0; trial < o->trials; trial++) {
        bool fits = most == 0 || size <= most;
        const bool is_tried = fits;
        int64_t now = 0;
        if (is_tried) WK_TRY(try_size(t, o, size, &fits, &now));
        (void)fprintf(o->told, "batch size %lld: %s\n", (long long)size,
                      fits       ? "fits"
                      : is_tried ? "does not fit"
                                 : "would not fit, by what the one before it holds");
        if (fits && now > 0) most = now;
        if (fits)
            good = size;
        else
            bad = size;
        if (bad == 0 && size == items) break;
        if (bad > 0 && !o->by_halves) break;
        if (bad > 0 && bad - good <= 1) break;
        size = bad > 0 ? good + (bad - good) / 2 : 2 * size < items ? 2 * size : items;
    }
    *found = good;
    if (good > 0) return WK_OK;
    return wk_fail(WK_NO_MEMORY, "not even batches of %lld fit into %.1f MiB", (long long)bad,
                   (double)o->memory / 1048576);
}

/* What the device has; of the CPU's the part of one rank. */
static wk_status find_memory(wk_trainer *t, wk__batch_size_opts *o) {
    wk_device_info info;
    if (o->memory > 0) return WK_OK;
    const int64_t ranks = t->device == WK_CPU && t->params->devices > 1 ? t->params->devices : 1;
    WK_TRY(t->device == WK_CPU ? wk__cpu_device_info(&info) : wk_device_describe(t->device, &info));
    o->memory = info.memory / ranks;
    if (o->memory > 0) return WK_OK;
    return wk_fail(WK_UNSUPPORTED, "%s does not say how much memory it has: give it with --memory",
                   wk_device_name(t->device));
}

wk_status wk__find_batch_size(const wk__run_config *config, wk_group *group, wk__batch_size_opts o, int64_t *found) {
    if (wk_group_size(group) > 1)
        return wk_fail(WK_INVALID, "--find-batch-size looks on one rank: start it without a launcher");
    wk_trainer *t = wk_alloc(sizeof *t);
    if (!t) return WK_NO_MEMORY;
    wk__params lenient = config->params;
    t->config = config;
    t->params = &lenient;
    t->group = group;
    t->ranks = 1;
    wk_status status = wk__build(t);
    if (status == WK_OK) lenient.skip_nan = !t->wrapper->class_->steps_itself;
    if (status == WK_OK) status = find_memory(t, &o);
    if (status == WK_OK) status = wk__build_optimizers(t);
    wk__callbacks_destroy(t); /* nobody looks on */
    if (status == WK_OK) status = search(t, &o, found);
    wk__tear_down(t);
    wk_free(t);
    return status;
}

/* ---- BatchSizeFinder ---- */

const wk_arg wk__batch_size_finder_args[] = {
    { "mode", WK_ARG_TEXT, "power", "power: double it until it fails; binsearch: look between the last two" },
    { "steps_per_trial", WK_ARG_INT, "3", NULL },
    { "init_val", WK_ARG_INT, "2", "the first size" },
    { "max_trials", WK_ARG_INT, "25", NULL },
    { "memory_mib", WK_ARG_NUMBER, "", "what the device has" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

static wk_status say(wk_callback *self, wk_trainer *t) {
    (void)self;
    if (!t->params->fast_dev_run) wk_trainer_say(t, "BatchSizeFinder: batches of %lld", (long long)t->batch_size);
    return WK_OK;
}

static const wk_callback_class finder_class = { .name = "BatchSizeFinder",
                                                .size = sizeof(wk_callback),
                                                .fit_start = say };

static wk__batch_size_opts finder_opts(const wk_config *args) {
    static const char *const modes[] = { "power", "binsearch", NULL };
    return (wk__batch_size_opts){ .by_halves = wk_config_choice(args, "mode", modes, 0) == 1,
                                  .memory = (int64_t)(wk_config_double(args, "memory_mib", 1, 1e9, 0) * 1048576),
                                  .first = wk_config_int(args, "init_val", 1, 1 << 20, 2),
                                  .steps = wk_config_int(args, "steps_per_trial", 3, 1 << 20, 3),
                                  .trials = wk_config_int(args, "max_trials", 1, 1 << 20, 25),
                                  .told = stderr };
}

wk_callback *wk__batch_size_finder_build(const wk_config *args) {
    (void)finder_opts(args); /* read when the run begins; here it is checked */
    return wk_failed() ? NULL : wk_callback_create(&finder_class);
}

/* A run that goes on keeps its size; 0: it has no checkpoint. */
static wk_status size_of_last(const wk__run_config *c, int64_t *size) {
    char *path = wk__checkpoint_path(c->output, "last");
    const bool exists = path && access(path, F_OK) == 0;
    wk_safetensors *file = exists ? wk_safetensors_open(path) : NULL;
    const char *text = file ? wk_safetensors_metadata(file, "batch_size") : NULL;
    *size = text ? strtoll(text, NULL, 10) : 0;
    wk_safetensors_close(file);
    wk_free(path);
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_status wk__batch_size_choose(wk__run_config *c, wk_group *group, bool resumes) {
    const wk__spec *spec = NULL;
    for (int i = 0; i < c->callbacks; i++)
        if (strcmp(c->callback[i].name, finder_class.name) == 0) spec = &c->callback[i];
    if (!spec || c->params.fast_dev_run) return WK_OK;
    int64_t size = 0;
    if (resumes) WK_TRY(size_of_last(c, &size));
    const wk__batch_size_opts opts = finder_opts(&spec->args);
    if (wk_failed()) return wk_error_code();
    if (size == 0 && wk_group_size(group) > 1)
        return wk_fail(WK_CONFIG, "BatchSizeFinder looks on one rank: give the batch size that `wick train "
                                  "--find-batch-size` prints");
    if (size == 0) WK_TRY(wk__find_batch_size(c, group, opts, &size));
    c->batch_size = size;
    return WK_OK;
}
