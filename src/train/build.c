/* build.c: from a run's configuration to data, model, optimizers and the lengths of its loops. */
#include "train/run.h"

#include "train/agree.h"
#include "train/device.h"
#include "wick/step.h"

#include <string.h>

static bool same_dims(wk_dims a, wk_dims b) {
    bool same = a.rank == b.rank;
    for (int i = 0; same && i < a.rank; i++) same = a.size[i] == b.size[i];
    return same;
}

static wk_status check_data(const wk_trainer *t) {
    const wk_dataset *a = t->train_data, *b = t->val_data;
    if (!b || (same_dims(a->input_dims, b->input_dims) && a->input_dtype == b->input_dtype && a->classes == b->classes))
        return WK_OK;
    return wk_fail(WK_CONFIG,
                   "data \"%s\": the items to evaluate on are not of the shape, dtype and classes of those to train on",
                   t->config->data.name);
}

/* The model is drawn on the CPU: equal seeds, equal weights. */
static wk_status choose_device(wk_trainer *t) {
    char own[WK__DEVICE_NAME];
    if (wk_device_parse(wk__own_device(t->config->device, own), &t->device) == WK_OK)
        return wk_module_to_device(t->model, t->device);
    wk_error_prefix("device");
    return wk_error_code();
}

wk_dtype wk__float_type(const wk_trainer *t) {
    static const wk_dtype types[] = {
        [WK__PRECISION_F64] = WK_F64, [WK__PRECISION_F16] = WK_F16, [WK__PRECISION_BF16] = WK_BF16
    };
    return t->params->precision < WK__PRECISION_F64 ? WK_F32 : types[t->params->precision];
}

static wk_status build_model(wk_trainer *t) {
    const bool is_half = t->params->precision == WK__PRECISION_F16 || t->params->precision == WK__PRECISION_BF16;
    if (is_half && t->ranks > 1)
        return wk_fail(WK_CONFIG,
                       "trainer.precision: 16-true and bf16-true train on one rank; %d ranks exchange "
                       "gradients of f32 or f64: take 16-mixed or bf16-mixed",
                       t->ranks);
    wk_manual_seed(t->config->seed);
    t->wrapper = wk__make_wrapper(&t->config->wrapper, &t->config->root);
    if (!t->wrapper) return wk_error_code();
    t->model = t->wrapper->module;
    if (!t->model) return wk_fail(WK_CONFIG, "wrapper \"%s\" made no module", t->wrapper->class_->name);
    WK_TRY(choose_device(t));
    WK_TRY(wk__tune(t));
    if (t->wrapper->class_->steps_itself && (wk__accumulates(t->params) || t->params->skip_nan))
        return wk_fail(WK_CONFIG, "wrapper \"%s\" steps by itself: trainer.%s is not possible with it",
                       t->wrapper->class_->name, wk__accumulates(t->params) ? "accumulate_grad_batches" : "nan: skip");
    if (t->wrapper->class_->setup) WK_TRY(t->wrapper->class_->setup(t->wrapper, t));
    if (t->params->recompute && wk_module_recompute(t->model, true) == 0) {
        wk__spec model;
        WK_TRY(wk__spec_read(&t->config->root, "model", false, &model));
        return wk_fail(WK_CONFIG, "trainer.recompute: model \"%s\" has no blocks that could be run again",
                       model.name ? model.name : t->wrapper->class_->name);
    }
    return wk__float_type(t) == WK_F32 ? WK_OK : wk_module_to(t->model, wk__float_type(t));
}

/* ---- loops ---- */

/* Items are dealt out to the ranks, or each goes through all of them in an order of its own. */
static wk_loader *make_loader(const wk_trainer *t, const wk_dataset *dataset, bool shuffle, bool is_dealt) {
    const uint64_t seed = t->config->seed;
    wk_loader_opts opts = {
        .batch_size = t->batch_size,
        .sampler = { .rank = t->rank, .ranks = t->ranks, .shuffle = shuffle, .seed = seed },
        .workers = (int)t->config->workers,
        .device = t->device,
    };
    if (!is_dealt) opts.sampler = (wk_sampler_opts){ .ranks = 1, .shuffle = shuffle, .seed = seed + (uint64_t)t->rank };
    return wk_loader_create(dataset, opts);
}

static int64_t steps_of(const wk_trainer *t, int64_t epoch) {
    const int64_t window = wk__accumulate(t->params, epoch);
    return (t->batches + window - 1) / window;
}

/* dp: what the file calls a batch is that of all ranks together. */
static wk_status choose_batch_size(wk_trainer *t) {
    t->batch_size = t->config->batch_size;
    if (!t->params->split_batch || t->ranks < 2) return WK_OK;
    if (t->batch_size % t->ranks)
        return wk_fail(WK_CONFIG, "trainer.strategy dp: a batch of %lld cannot be split among %d ranks",
                       (long long)t->batch_size, t->ranks);
    t->batch_size /= t->ranks;
    return WK_OK;
}

static wk_status make_loaders(wk_trainer *t) {
    const wk__params *p = t->params;
    bool overfits = p->overfit.value > 0;
    WK_TRY(choose_batch_size(t));
    t->loader = make_loader(t, t->train_data, !overfits && wk_config_bool(&t->config->data.args, "shuffle", true),
                            !p->own_order);
    if (!t->loader) return wk_error_code();
    int64_t all = wk_loader_batches(t->loader);
    t->batches = wk__limit_of(overfits ? p->overfit : p->limit_train, all);
    t->steps_an_epoch = steps_of(t, 0);
    t->val_interval = p->val_check.is_fraction ? wk__limit_of(p->val_check, t->batches) : (int64_t)p->val_check.value;
    if (!p->val_check.is_fraction && t->val_interval > t->batches)
        return wk_fail(WK_CONFIG,
                       "trainer.val_check_interval is %lld batches, an epoch has %lld: give a part of it, as 0.5",
                       (long long)t->val_interval, (long long)t->batches);
    if (!t->val_data || !t->wrapper->class_->validation_step) return WK_OK;
    t->val_loader = make_loader(t, overfits ? t->train_data : t->val_data, false, true);
    if (!t->val_loader) return wk_error_code();
    t->val_batches = wk__limit_of(overfits ? p->overfit : p->limit_val, wk_loader_batches(t->val_loader));
    return WK_OK;
}

/* The steps of the whole run; those behind may have been taken by another number of ranks. */
static int64_t run_length(const wk_trainer *t) {
    const wk__standing *s = &t->standing;
    int64_t left = 0;
    for (int64_t epoch = s->epoch; epoch < t->params->max_epochs; epoch++) left += steps_of(t, epoch);
    if (left > 0) left -= s->batch / wk__accumulate(t->params, s->epoch);
    int64_t total = s->step + left;
    return t->params->max_steps && t->params->max_steps < total ? t->params->max_steps : total;
}

/* The epoch in which that many steps end. */
static int64_t last_epoch(const wk_trainer *t) {
    const wk__standing *s = &t->standing;
    int64_t steps = s->batch / wk__accumulate(t->params, s->epoch) + t->total_steps - s->step, epoch = s->epoch;
    if (t->batches == 0) return t->params->max_epochs;
    for (; steps > 0; epoch++) steps -= steps_of(t, epoch); /* counted from this epoch's start */
    return epoch;
}

/* ---- optimizers ---- */

/* An optimizer of some of the parameters, with the run's schedule. */
static wk_status add_optimizer(wk_trainer *t, const wk_config *config, const char *key, wk_named_tensors parameters) {
    const wk_config *run = &t->config->root;
    wk_built_schedule schedule = { 0 };
    wk__rate rate[WK__MOST_GROUPS] = { 0 };
    wk_optim *optimizer = wk__make_grouped(t, config, key, parameters, rate);
    if (!optimizer) return wk_error_code();
    const wk_schedule_site site = wk_trainer_schedule_site(t, optimizer);
    wk_status status = wk_config_has(run, "schedule") ? wk_make_schedule(run, "schedule", &site, &schedule) : WK_OK;
    if (status != WK_OK) {
        wk_optim_destroy(optimizer);
        return status;
    }
    WK_TRY(wk_trainer_add_optimizer(t, optimizer, schedule));
    memcpy(t->driven[t->optimizers - 1].rate, rate, sizeof rate);
    return WK_OK;
}

enum { MOST_PATHS = 64 };
/* others_too: paths that each hold some parameter. */
static int read_paths(const wk_config *args, const wk_named_tensors *all, const char *path[MOST_PATHS]) {
    const int paths = wk_config_strings(args, "others_too", path, MOST_PATHS);
    for (int k = 0; k < paths && !wk_failed(); k++) {
        int below = 0;
        for (int i = 0; i < all->count; i++) below += wk__is_below(all->name[i], path[k]);
        if (!below)
            (void)wk_config_fail(args, "others_too", "the model has no parameter below \"%s\"; its first is \"%s\"",
                                 path[k], all->count ? all->name[0] : "");
    }
    return paths;
}

/* Muon is for matrices: with `others` what is none has an optimizer of its own, and so have those of `others_too`. */
static wk_status matrices_and_others(wk_trainer *t, const wk_config *args) {
    const char *path[MOST_PATHS];
    wk_named_tensors all = wk_parameters(t->model);
    const int paths = read_paths(args, &all, path);
    if (wk_failed()) return wk_error_code();
    wk_tensor **tensor[2];
    const char **name[2];
    int count[2] = { 0, 0 };
    wk_status status = WK_OK;
    for (int k = 0; k < 2; k++) {
        tensor[k] = wk_alloc(((size_t)all.count + 1) * sizeof(wk_tensor *));
        name[k] = wk_alloc(((size_t)all.count + 1) * sizeof(char *));
        if (!tensor[k] || !name[k]) status = WK_NO_MEMORY;
    }
    for (int i = 0; i < all.count && status == WK_OK; i++) {
        bool is_other = wk_rank(all.tensor[i]) != 2;
        for (int p = 0; p < paths && !is_other; p++) is_other = wk__is_below(all.name[i], path[p]);
        const int k = is_other ? 1 : 0;
        tensor[k][count[k]] = all.tensor[i];
        name[k][count[k]++] = all.name[i];
    }
    for (int k = 0; k < 2 && status == WK_OK; k++) {
        const wk_named_tensors some = { tensor[k], name[k], count[k] };
        if (count[k])
            status = k ? add_optimizer(t, args, "others", some) : add_optimizer(t, &t->config->root, "optimizer", some);
    }
    for (int k = 0; k < 2; k++) {
        wk_free(tensor[k]);
        wk_free(name[k]);
    }
    return status;
}

/* What never learns needs no state. */
static wk_status learning_alone(wk_trainer *t) {
    wk_named_tensors all = wk_parameters(t->model);
    wk_tensor **tensor = wk_alloc(((size_t)all.count + 1) * sizeof(wk_tensor *));
    const char **name = wk_alloc(((size_t)all.count + 1) * sizeof(char *));
    int count = 0;
    for (int i = 0; i < all.count && tensor && name; i++) {
        if (!wk_requires_grad(all.tensor[i])) continue;
        tensor[count] = all.tensor[i];
        name[count++] = all.name[i];
    }
    wk_status status = tensor && name
                           ? add_optimizer(t, &t->config->root, "optimizer", (wk_named_tensors){ tensor, name, count })
                           : WK_NO_MEMORY;
    wk_free(name);
    wk_free(tensor);
    return status;
}

static wk_status default_optimizer(wk_trainer *t) {
    wk__spec spec;
    WK_TRY(wk__spec_read(&t->config->root, "optimizer", true, &spec));
    if (strcmp(spec.name, "Muon") == 0 && wk_config_has(&spec.args, "others"))
        return matrices_and_others(t, &spec.args);
    if (strcmp(spec.name, "LBFGS") == 0
        && (wk__accumulates(t->params) || t->params->clip > 0 || t->params->precision == WK__PRECISION_F16_MIXED))
        return wk_config_fail(&spec.section, "name",
                              "LBFGS runs a batch several times a step: accumulate_grad_batches, gradient_clip_val and "
                              "16-mixed are not possible with it");
    return wk__has_lora(t->config) || wk__has_freezing(t->config)
               ? learning_alone(t)
               : add_optimizer(t, &t->config->root, "optimizer", wk_parameters(t->model));
}

static void drop_optimizers(wk_trainer *t) {
    for (int i = 0; i < t->optimizers; i++) {
        wk_zero_destroy(t->driven[i].zero);
        wk_lr_destroy(t->driven[i].schedule.lr);
        wk_free(t->driven[i].schedule.context);
        wk_optim_destroy(t->driven[i].optimizer);
    }
    t->optimizers = 0;
}

static wk_status make_optimizers(wk_trainer *t) {
    t->total_steps = run_length(t);
    t->epochs = last_epoch(t);
    if (t->wrapper->class_->configure_optimizers && wk__has_lr_groups(t->config))
        return wk_fail(WK_CONFIG, "lr_groups, initial_denom_lr: wrapper \"%s\" makes its own optimizers",
                       t->wrapper->class_->name);
    WK_TRY(t->wrapper->class_->configure_optimizers
               ? t->wrapper->class_->configure_optimizers(t->wrapper, t, &t->config->root)
               : default_optimizer(t));
    if (t->optimizers == 0)
        return wk_fail(WK_CONFIG, "wrapper \"%s\" configured no optimizer", t->wrapper->class_->name);
    if (t->params->precision == WK__PRECISION_F16_MIXED) t->scaler = wk_grad_scaler_create((wk_grad_scaler_opts){ 0 });
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* The steps of the whole run, for schedules and the time left; the number of ranks may have changed on the way. */
wk_status wk__plan_steps(wk_trainer *t) {
    const wk__standing *s = &t->standing;
    t->total_steps = run_length(t);
    if (s->step > 0) wk__schedules_advance(t, s->step - 1, s->epoch); /* an evaluation may come before the next step */
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_status wk__build(wk_trainer *t) {
    WK_TRY(wk_make_data(&t->config->root, "data", &t->train_data, &t->val_data));
    WK_TRY(check_data(t));
    WK_TRY(build_model(t));
    return make_loaders(t);
}

/* What was built before stays until the end: who knows it may use it, and its kin are compared with it. */
static void set_data_aside(wk_trainer *t) {
    wk_loader_destroy(t->loader);
    wk_loader_destroy(t->val_loader);
    t->loader = t->val_loader = NULL;
    if (t->first_train) {
        wk_dataset_destroy(t->train_data);
        wk_dataset_destroy(t->val_data);
    } else {
        t->first_train = t->train_data;
        t->first_val = t->val_data;
    }
    t->train_data = t->val_data = NULL;
}

static wk_status rebuild_data(wk_trainer *t) {
    set_data_aside(t);
    WK_TRY(wk_make_data(&t->config->root, "data", &t->train_data, &t->val_data));
    WK_TRY(check_data(t));
    const wk_dataset *a = t->train_data, *b = t->first_train;
    if (!same_dims(a->input_dims, b->input_dims) || a->input_dtype != b->input_dtype || a->classes != b->classes
        || !t->val_data != !t->first_val)
        return wk_fail(
            WK_CONFIG,
            "data \"%s\", built anew after %lld epochs: its items are not of the shape, dtype and classes of "
            "those before",
            t->config->data.name, (long long)t->epoch);
    return make_loaders(t);
}

wk_status wk__reload(wk_trainer *t) {
    const int64_t every = t->params->reload_every;
    if (!every || t->standing.batch > 0 || t->epoch - t->loaded < every) return WK_OK;
    WK_TRY(wk__agree(t->group, rebuild_data(t)));
    WK_TRY(wk__same_data(t));
    t->loaded = t->epoch;
    wk_trainer_say(t, "the data is built anew: %lld training and %lld evaluation items",
                   (long long)t->train_data->count, (long long)(t->val_data ? t->val_data->count : 0));
    WK_TRY(wk__plan_steps(t));
    t->epochs = last_epoch(t);
    return WK_OK;
}

wk_status wk__build_optimizers(wk_trainer *t) {
    WK_TRY(make_optimizers(t));
    WK_TRY(wk__callbacks_make(t));
    return WK__HOOK(t, setup);
}

void wk__tear_down(wk_trainer *t) {
    wk__saver_destroy(t->saver);
    wk__callbacks_destroy(t);
    for (int i = 0; i < t->loggers; i++) wk_logger_destroy(t->logger[i]);
    wk_ddp_destroy(t->ddp);
    wk_loader_destroy(t->loader);
    wk_loader_destroy(t->val_loader);
    wk_step_forget(NULL); /* plans hold parameters */
    wk_grad_scaler_destroy(t->scaler);
    drop_optimizers(t);
    wk_wrapper_destroy(t->wrapper);
    wk__evaluation_free(&t->evaluation);
    wk_free(t->origin.path);
    json_decref(t->record);
    wk_dataset_destroy(t->train_data);
    wk_dataset_destroy(t->val_data);
    wk_dataset_destroy(t->first_train);
    wk_dataset_destroy(t->first_val);
    wk__folder_close(&t->folder);
}
