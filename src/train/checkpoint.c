/* checkpoint.c: checkpoints: one safetensors file with "model.…", "optimizer.…" and "random.state", and the numbers
 * that say where the run stood as metadata.
 *
 * It holds nothing that depends on when or where it was written, so that a run that was killed and resumed ends with
 * the same bytes as one that was not.
 */
#include "train/run.h"

#include "io/safetensors.h"
#include "tensor/backend.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *instruction_set(void) {
    static wk_device_info info;
    if (!info.instruction_set[0]) (void)wk__cpu_device_info(&info);
    return info.instruction_set;
}

typedef struct named {
    wk_tensor **tensor;
    char **name;
    int count;
} named;

static void named_free(named *all) {
    for (int i = 0; all->name && i < all->count; i++) wk_free(all->name[i]);
    wk_free(all->name);
    wk_free(all->tensor);
}

static bool named_add(named *all, const char *prefix, wk_named_tensors list) {
    for (int i = 0; i < list.count; i++) {
        char *name = wk_format("%s%s", prefix, list.name[i]);
        if (!name) return false;
        all->name[all->count] = name;
        all->tensor[all->count++] = list.tensor[i];
    }
    return true;
}

/* Everything that a checkpoint holds; `random` NULL: the model alone. */
static wk_status collect(const wk__checkpoint_context *c, wk_tensor *random, named *all) {
    wk__section section[WK__MOST_SECTIONS];
    int sections = random ? wk__state_sections(c->trainer, section) : 0;
    wk_named_tensors model = wk_state(c->model);
    size_t most = (size_t)model.count + 1;
    for (int i = 0; i < sections; i++) most += (size_t)section[i].tensors.count;
    *all = (named){ wk_alloc(most * sizeof(wk_tensor *)), wk_alloc(most * sizeof(char *)), 0 };
    if (!all->tensor || !all->name || !named_add(all, "model.", model)) return wk_error_code();
    for (int i = 0; i < sections; i++)
        if (!named_add(all, section[i].prefix, section[i].tensors)) return wk_error_code();
    const char *const random_name = "random.state";
    wk_named_tensors one = { &random, &random_name, random != NULL };
    return named_add(all, "", one) ? WK_OK : wk_error_code();
}

/* The generator with rank 0's stream in it. */
static wk_tensor *random_tensor(const wk__standing *s) {
    wk_tensor *random = wk_kept_zeros(WK_U8, WK_DIMS((int64_t)sizeof(wk_generator)));
    if (!random) return NULL;
    wk_generator generator = *wk_default_generator();
    generator.seed = s->random_seed;
    generator.counter = s->random_counter;
    memcpy(wk_data(random), &generator, sizeof generator);
    return random;
}

static bool is_finite_here(wk_tensor *any) {
    const bool is_half = wk_dtype_get(any) == WK_F16 || wk_dtype_get(any) == WK_BF16;
    const wk_tensor *t = is_half ? wk_cast(any, WK_F32) : any;
    if (!t) return true;        /* what failed is pending */
    const void *data = t->data; /* only read: wk_data would let the weight be cast anew in each step */
    int64_t count = wk_count(t);
    if (wk_dtype_get(t) == WK_F32) {
        for (int64_t i = 0; i < count; i++)
            if (!isfinite(((const float *)data)[i])) return false;
    } else if (wk_dtype_get(t) == WK_F64) {
        for (int64_t i = 0; i < count; i++)
            if (!isfinite(((const double *)data)[i])) return false;
    }
    return true;
}

static bool is_finite(wk_tensor *t) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *here = wk_to_device(t, WK_CPU);
    bool finite = !here || is_finite_here(here); /* what failed is pending */
    wk_scope_end(scope);
    return finite;
}

static wk_status check_finite(wk_module *model, int64_t step) {
    wk_named_tensors all = wk_parameters(model);
    for (int i = 0; i < all.count; i++)
        if (!is_finite(all.tensor[i]))
            return wk_fail(
                WK_STATE,
                "parameter \"%s\" is not finite after step %" PRId64
                ", the checkpoint from before is kept: a smaller learning rate or gradient clipping may help",
                all.name[i], step);
    return WK_OK;
}

enum { NUMBERS = 13, NUMBER_SIZE = 32, MOST_METADATA = 21 + WK__MOST_SECTIONS };

/* Where a checkpoint goes: to a file now, or (path NULL) into memory. */
typedef struct goal {
    const char *path;
    wk__pages *pages;
} goal;

static wk_status write_all(const goal *to, const wk__checkpoint_context *c, wk_tensor *random,
                           const wk_metadata *metadata, int n_metadata) {
    named all = { 0 };
    wk_status status = collect(c, random, &all);
    wk_named_tensors list = { all.tensor, (const char *const *)all.name, all.count };
    if (status == WK_OK)
        status = to->path ? wk_safetensors_save(to->path, list, metadata, n_metadata)
                          : wk__safetensors_pack(list, metadata, n_metadata, to->pages);
    named_free(&all);
    return status;
}

/* The section `model` as YAML, by which a run can begin with this file (resume.c); *text NULL: there is none. */
static wk_status describe_model(const wk__checkpoint_context *c, char **text) {
    const wk__yaml_node *model = wk__yaml_find(c->config->root.node, "model");
    *text = model ? wk__yaml_dump(model) : NULL;
    return model && !*text ? wk_error_code() : WK_OK;
}

static wk_status write_model(const goal *to, const wk__checkpoint_context *c) {
    char *spec;
    WK_TRY(check_finite(c->model, 0));
    WK_TRY(describe_model(c, &spec));
    const wk_metadata metadata[] = {
        { "format", "pt" }, { "wick_version", wk_version() }, { "model", c->model_name }, { "model_spec", spec }
    };
    const wk_status status = write_all(to, c, NULL, metadata, spec ? 4 : 3);
    wk_free(spec);
    return status;
}

static wk_status write_run(const goal *to, const wk__checkpoint_context *c, const wk__standing *s) {
    WK_TRY(check_finite(c->model, s->step));
    char text[NUMBERS][NUMBER_SIZE];
    (void)snprintf(text[0], NUMBER_SIZE, "%" PRId64, s->epoch);
    (void)snprintf(text[1], NUMBER_SIZE, "%" PRId64, s->batch);
    (void)snprintf(text[2], NUMBER_SIZE, "%" PRId64, s->step);
    (void)snprintf(text[3], NUMBER_SIZE, "%.17g", s->loss_sum);
    (void)snprintf(text[4], NUMBER_SIZE, "%.17g", isnan(s->best_score) ? -1 : s->best_score);
    (void)snprintf(text[5], NUMBER_SIZE, "%d", c->ranks);
    (void)snprintf(text[6], NUMBER_SIZE, "%d", wk_threads());
    (void)snprintf(text[7], NUMBER_SIZE, "%" PRId64, c->batch_size);
    (void)snprintf(text[8], NUMBER_SIZE, "%.17g", s->window_loss);
    (void)snprintf(text[9], NUMBER_SIZE, "%" PRId64, s->window_steps);
    (void)snprintf(text[10], NUMBER_SIZE, "%d", !isnan(s->best_score));
    wk_metadata metadata[MOST_METADATA] = {
        { "format", "pt" },
        { "wick_version", wk_version() },
        { "model", c->model_name },
        { "optimizer", wk_optim_name(c->optimizer) },
        { "epoch", text[0] },
        { "batch", text[1] },
        { "step", text[2] },
        { "loss_sum", text[3] },
        { "best_accuracy", text[4] },
        { "ranks", text[5] },
        { "threads", text[6] },
        { "batch_size", text[7] },
        { "window_loss", text[8] },
        { "window_steps", text[9] },
        { "instruction_set", instruction_set() },
        { "has_best", text[10] },
    };
    int count = 16, notes = 0;
    if (s->schedule_step > 0) {
        (void)snprintf(text[11], NUMBER_SIZE, "%" PRId64, s->schedule_step);
        (void)snprintf(text[12], NUMBER_SIZE, "%" PRId64, s->schedule_epoch);
        metadata[count++] = (wk_metadata){ "schedule_step", text[11] };
        metadata[count++] = (wk_metadata){ "schedule_epoch", text[12] };
    }
    if (c->config->resets_optimizer || c->config->resets_lr) metadata[count++] = (wk_metadata){ "reset", "done" };
    wk__note note[WK__MOST_SECTIONS];
    char *spec = NULL;
    wk_status status = wk__state_notes(c->trainer, note, &notes);
    if (status == WK_OK) status = describe_model(c, &spec);
    if (spec) metadata[count++] = (wk_metadata){ "model_spec", spec };
    for (int i = 0; i < notes; i++) metadata[count++] = (wk_metadata){ note[i].key, note[i].text };
    wk_tensor *random = status == WK_OK ? random_tensor(s) : NULL;
    if (status == WK_OK && !random) status = wk_error_code();
    if (status == WK_OK) status = write_all(to, c, random, metadata, count);
    for (int i = 0; i < notes; i++) wk_free(note[i].text);
    wk_free(spec);
    wk_release(random);
    return status;
}

wk_status wk__checkpoint_save(const char *path, const wk__checkpoint_context *c, const wk__standing *s) {
    const goal to = { .path = path };
    return s ? write_run(&to, c, s) : write_model(&to, c);
}

wk_status wk__checkpoint_pack(const wk__checkpoint_context *c, const wk__standing *s, wk__pages *to) {
    const goal memory = { .pages = to };
    return s ? write_run(&memory, c, s) : write_model(&memory, c);
}

/* ---- loading ---- */

static wk_status number(wk_safetensors *file, const char *path, const char *key, double *value) {
    const char *text = wk_safetensors_metadata(file, key);
    char *end = NULL;
    if (text) *value = strtod(text, &end);
    if (!text || end == text || *end || !isfinite(*value))
        return wk_fail(WK_FORMAT, "%s: not a checkpoint of a run: its metadata has no number \"%s\"", path, key);
    return WK_OK;
}

static wk_status whole(wk_safetensors *file, const char *path, const char *key, int64_t *value) {
    double wide = 0;
    WK_TRY(number(file, path, key, &wide));
    if (!(wide >= 0 && wide < 9e15)) return wk_fail(WK_FORMAT, "%s: \"%s\" is %g in its metadata", path, key, wide);
    *value = (int64_t)wide;
    return WK_OK;
}

static void warn_if(wk_safetensors *file, const char *key, const char *now) {
    const char *then = wk_safetensors_metadata(file, key);
    if (then && strcmp(then, now) != 0)
        wk_log_write(WK_LOG_WARNING,
                     "the checkpoint was written with %s %s, this run has %s: it goes on, but bits may differ", key,
                     then, now);
}

/* Ranks take the items of an epoch's order in turn, so after any number of batches a beginning of it is done, whatever
 * the number of ranks: where that or the batch size has changed, go on at the batch that holds the first item not yet
 * seen. */
static wk_status convert_batch(wk_safetensors *file, const char *path, const wk__checkpoint_context *c,
                               wk__standing *s) {
    int64_t batch_size = 0, ranks = 0;
    WK_TRY(whole(file, path, "batch_size", &batch_size));
    WK_TRY(whole(file, path, "ranks", &ranks));
    if (batch_size < 1 || batch_size > 1 << 20 || ranks < 1 || ranks > 1 << 20)
        return wk_fail(WK_FORMAT, "%s: batches of %" PRId64 " on %" PRId64 " ranks in its metadata", path, batch_size,
                       ranks);
    int64_t then = batch_size * (c->own_order ? 1 : ranks), now = c->batch_size * (c->own_order ? 1 : c->ranks);
    const double wide = (double)s->batch * (double)then / (double)now; /* may be more than any whole number */
    int64_t batch = then == now ? s->batch : wide < (double)c->batches ? (int64_t)wide : c->batches;
    const int64_t window = wk__accumulate(&c->config->params, s->epoch);
    if (batch < c->batches) batch -= batch % window; /* gradients of one under way are in no file */
    if (batch > c->batches) batch = c->batches;      /* there is less data now */
    if (batch == s->batch) return WK_OK;
    s->loss_sum *= (double)batch / (double)s->batch; /* keeps the mean */
    s->batch = batch;
    return WK_OK;
}

static wk_status read_standing(wk_safetensors *file, const char *path, const wk__checkpoint_context *c,
                               wk__standing *s) {
    WK_TRY(whole(file, path, "epoch", &s->epoch));
    WK_TRY(whole(file, path, "batch", &s->batch));
    WK_TRY(whole(file, path, "step", &s->step));
    WK_TRY(whole(file, path, "window_steps", &s->window_steps));
    WK_TRY(number(file, path, "window_loss", &s->window_loss));
    WK_TRY(number(file, path, "loss_sum", &s->loss_sum));
    WK_TRY(number(file, path, "best_accuracy", &s->best_score));
    s->schedule_step = s->schedule_epoch = 0;
    if (wk_safetensors_metadata(file, "schedule_step")) {
        WK_TRY(whole(file, path, "schedule_step", &s->schedule_step));
        WK_TRY(whole(file, path, "schedule_epoch", &s->schedule_epoch));
    }
    const char *has_best = wk_safetensors_metadata(file, "has_best");
    if (has_best ? strcmp(has_best, "0") == 0 : s->best_score < 0) s->best_score = NAN;
    return convert_batch(file, path, c, s);
}

static void warn_of_changes(wk_safetensors *file, const wk__checkpoint_context *c) {
    char now[32];
    warn_if(file, "model", c->model_name);
    warn_if(file, "optimizer", wk_optim_name(c->optimizer));
    (void)snprintf(now, sizeof now, "%" PRId64, c->batch_size);
    warn_if(file, "batch_size", now);
    (void)snprintf(now, sizeof now, "%d", c->ranks);
    warn_if(file, "ranks", now);
    (void)snprintf(now, sizeof now, "%d", wk_threads());
    warn_if(file, "threads", now);
    warn_if(file, "instruction_set", instruction_set());
}

static wk_status take_random(wk_tensor *stored, const char *path, wk__standing *s) {
    wk_generator generator;
    memcpy(&generator, wk_data(stored), sizeof generator);
    if (generator.next < 0 || generator.next > 624)
        return wk_fail(WK_FORMAT, "%s: the random state in it is damaged", path);
    *wk_default_generator() = generator;
    s->random_seed = generator.seed;
    s->random_counter = generator.counter;
    return WK_OK;
}

/* Older checkpoints count steps once for all parameters: the count is given to each. */
static wk_status load_shared_step(wk_safetensors *file, wk_named_tensors state, bool check_only) {
    wk_tensor *shared = wk_kept_zeros(WK_I64, WK_SCALAR);
    wk_tensor **tensor = wk_alloc(((size_t)state.count + 1) * sizeof *tensor);
    const char **name = wk_alloc(((size_t)state.count + 1) * sizeof *name);
    wk_status status = shared && tensor && name ? WK_OK : wk_error_code();
    if (status == WK_OK) {
        wk_named_tensors list = { tensor, name, 1 };
        tensor[0] = shared;
        name[0] = "step";
        for (int i = 0; i < state.count; i++) {
            if (strncmp(state.name[i], "step.", 5) == 0) continue;
            tensor[list.count] = state.tensor[i];
            name[list.count++] = state.name[i];
        }
        status = check_only ? wk_check_named(file, "optimizer.", list, "the optimizer")
                            : wk_load_named(file, "optimizer.", list, "the optimizer");
    }
    for (int i = 0; i < state.count && status == WK_OK && !check_only; i++)
        if (strncmp(state.name[i], "step.", 5) == 0) status = wk_copy_into(state.tensor[i], shared);
    wk_free(name);
    wk_free(tensor);
    wk_release(shared);
    return status;
}

static bool has_prefix(wk_safetensors *file, const char *prefix) {
    size_t size = strlen(prefix);
    for (int i = 0; i < wk_safetensors_count(file); i++)
        if (strncmp(wk_safetensors_name(file, i), prefix, size) == 0) return true;
    return false;
}

static wk_status load_section(wk_safetensors *file, const wk__section *section, bool check_only) {
    const bool is_optimizer = strcmp(section->prefix, "optimizer.") == 0;
    if (section->optional && !has_prefix(file, section->prefix)) return WK_OK;
    if (is_optimizer && wk_safetensors_has(file, "optimizer.step"))
        return load_shared_step(file, section->tensors, check_only);
    const char *what = is_optimizer ? "the optimizer" : section->prefix;
    if (section->partial)
        return check_only ? wk_check_matching(file, section->prefix, section->tensors, what)
                          : wk_load_matching(file, section->prefix, section->tensors, what);
    return check_only ? wk_check_named(file, section->prefix, section->tensors, what)
                      : wk_load_named(file, section->prefix, section->tensors, what);
}

static wk_status load_sections(wk_safetensors *file, const wk__checkpoint_context *c, unsigned parts, bool check_only) {
    wk__section section[WK__MOST_SECTIONS];
    int count = wk__state_sections(c->trainer, section);
    for (int i = 0; i < count; i++) {
        const bool stays = c->resets_lr && strncmp(section[i].prefix, "schedule", 8) == 0;
        if ((section[i].part & parts) && !stays) WK_TRY(load_section(file, &section[i], check_only));
    }
    return WK_OK;
}

static const char *note_of(void *file, const char *key) {
    return wk_safetensors_metadata(file, key);
}

/* Check all parts before one is changed. */
static wk_status load_parts(wk_safetensors *file, const wk__checkpoint_context *c, unsigned parts) {
    WK_TRY(wk_check_named(file, "model.", wk_state(c->model), "the model"));
    WK_TRY(load_sections(file, c, parts, true));
    WK_TRY(wk_load_named(file, "model.", wk_state(c->model), "the model"));
    WK_TRY(load_sections(file, c, parts, false));
    return wk__state_loaded(c->trainer, parts, note_of, file);
}

static wk_status load_open(wk_safetensors *file, const char *path, const wk__checkpoint_context *c, unsigned parts,
                           wk__standing *s) {
    wk__standing read = { 0 };
    if (!(parts & WK__PART_STANDING)) return load_parts(file, c, parts);
    WK_TRY(read_standing(file, path, c, &read));
    if (c->rank == 0) warn_of_changes(file, c);
    wk_tensor *random = wk_kept_zeros(WK_U8, WK_DIMS((int64_t)sizeof(wk_generator)));
    const char *const state_name = "state";
    wk_named_tensors one = { &random, &state_name, 1 };
    wk_status status = random ? wk_load_named(file, "random.", one, "the random state") : wk_error_code();
    if (status == WK_OK) status = load_parts(file, c, parts);
    if (status == WK_OK) status = take_random(random, path, &read);
    if (status == WK_OK) *s = read;
    wk_release(random);
    return status;
}

wk_status wk__checkpoint_load(const char *path, const wk__checkpoint_context *c, unsigned parts, wk__standing *s) {
    wk_safetensors *file = wk_safetensors_open(path);
    if (!file) return wk_error_code();
    wk_status status = load_open(file, path, c, parts, s);
    wk_safetensors_close(file);
    return status;
}

wk_status wk__checkpoint_look(const char *path, const wk__checkpoint_context *c, wk__standing *s, bool *has_reset) {
    wk_safetensors *file = wk_safetensors_open(path);
    if (!file) return wk_error_code();
    wk_status status = read_standing(file, path, c, s);
    *has_reset = wk_safetensors_metadata(file, "reset") != NULL;
    wk_safetensors_close(file);
    return status;
}

/* Weights of a run with precision 64-true, 16-true or bf16-true are of that type, and the model then is. */
static wk_status take_type(wk_safetensors *file, const char *prefix, wk_module *model) {
    const wk_named_tensors all = wk_parameters(model);
    if (all.count == 0) return WK_OK;
    wk_scope scope = wk_scope_begin();
    char *name = wk_format("%s%s", prefix, all.name[0]);
    const wk_tensor *stored = name && wk_safetensors_has(file, name) ? wk_safetensors_get(file, name) : NULL;
    const wk_dtype type = stored ? wk_dtype_get(stored) : wk_dtype_get(all.tensor[0]);
    wk_free(name);
    wk_scope_end(scope);
    if (wk_failed()) return wk_error_code();
    return type != wk_dtype_get(all.tensor[0]) && wk_dtype_is_float(type) ? wk_module_to(model, type) : WK_OK;
}

wk_status wk__checkpoint_load_model(const char *path, wk_module *model) {
    wk_safetensors *file = wk_safetensors_open(path);
    if (!file) return wk_error_code();
    const char *prefix = has_prefix(file, "model.") ? "model." : "";
    wk_status status = take_type(file, prefix, model);
    if (status == WK_OK) status = wk_load_named(file, prefix, wk_state(model), "the model");
    wk_safetensors_close(file);
    return status;
}
