/* model_checkpoint.c: the best checkpoints by a metric, the newest, and the last.  Lightning's ModelCheckpoint: its
 * options, names and rules; the files are safetensors, from which a run can go on.
 *
 * Rank 0 alone holds files, so it alone decides: metrics are reduced, nobody else has to know.
 */
#include "train/callbacks/callbacks.h"
#include "train/callbacks/names.h"

#include "io/file.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const wk_arg wk__model_checkpoint_args[] = {
    { "monitor", WK_ARG_TEXT, "", "the metric that says which is best; none: keep the newest" },
    { "mode", WK_ARG_TEXT, "min", "min or max" },
    { "save_top_k", WK_ARG_INT, "1", "how many to keep; -1: all, 0: none" },
    { "save_last", WK_ARG_TEXT, "false", "true: last.ckpt too; link: as a link to the newest" },
    { "dirpath", WK_ARG_TEXT, "", "OUTPUT/ckpt" },
    { "filename", WK_ARG_TEXT, "{epoch}-{step}", "as {epoch:02d}-{val_loss:.3f}" },
    { "auto_insert_metric_name", WK_ARG_BOOL, "true", "epoch=2, not 2" },
    { "every_n_epochs", WK_ARG_INT, "", "1, unless one of the next two is there" },
    { "every_n_train_steps", WK_ARG_INT, "", NULL },
    { "train_time_interval", WK_ARG_TEXT, "", "DD:HH:MM:SS" },
    { "save_on_train_epoch_end", WK_ARG_BOOL, "false", "whether or not there was a validation" },
    { "save_weights_only", WK_ARG_BOOL, "false", NULL },
    { "save_on_exception", WK_ARG_BOOL, "false", NULL },
    { "enable_version_counter", WK_ARG_BOOL, "true", "-v1 where a file is in the way; else it is replaced" },
    { "verbose", WK_ARG_BOOL, "false", NULL },
    { NULL, WK_ARG_INT, NULL, NULL },
};

enum { LAST_NO, LAST_FILE, LAST_LINK, MOST_KEPT = 256 };
typedef struct kept {
    char *path;
    double score;
} kept;
typedef struct model_checkpoint {
    wk_callback base;
    const char *monitor, *filename, *dirpath_given;
    char *dirpath, *last_path;
    bool max, named, at_epoch_end, weights_only, on_exception, versions, verbose;
    int last, n_kept;
    int64_t top_k, every_epochs, every_steps;
    double every_seconds, last_time;
    kept kept[MOST_KEPT]; /* with top_k -1 and no metric nothing is kept in mind but the newest */
    char *best_path;
    double best_score, current_score;
    int64_t saved_step; /* -1: none yet */
    bool waits, validated;
} model_checkpoint;

/* ---- files ---- */

static bool is_worse(const model_checkpoint *m, double a, double b) {
    return m->max ? a < b : a > b;
}

static wk_status remove_file(const model_checkpoint *m, wk_trainer *t, const char *path) {
    size_t size = strlen(m->dirpath);
    bool inside = strncmp(path, m->dirpath, size) == 0 && path[size] == '/';
    if (!inside || strcmp(path, m->last_path ? m->last_path : "") == 0) return WK_OK;
    return wk__saved(t, wk__saver_remove(t->saver, path));
}

static bool is_known(const model_checkpoint *m, const char *path) {
    for (int i = 0; i < m->n_kept; i++)
        if (strcmp(m->kept[i].path, path) == 0) return true;
    return strcmp(path, m->last_path ? m->last_path : "") == 0 || strcmp(path, m->best_path ? m->best_path : "") == 0;
}

/* A file of a step behind that from which this run goes on: of a process that was killed before its next `last`. */
static bool did_not_happen(const model_checkpoint *m, const wk_trainer *t, const char *path) {
    if (t->first_step == 0 || is_known(m, path)) return false;
    wk_safetensors *file = wk_safetensors_open(path);
    const char *step = file ? wk_safetensors_metadata(file, "step") : NULL;
    const bool later = step && strtoll(step, NULL, 10) > t->first_step;
    wk_safetensors_close(file);
    if (!file) wk_clear_error(); /* somebody's file of another kind */
    return later;
}

/* DIR/NAME.ckpt, with -v1, -v2, … where a file is in the way. */
static char *free_path(const model_checkpoint *m, const wk_trainer *t, const char *name) {
    char *path = wk_format("%s/%s.ckpt", m->dirpath, name);
    for (int version = 1; path && m->versions && wk__saver_has(t->saver, path) && !did_not_happen(m, t, path);
         version++) {
        wk_free(path);
        path = wk_format("%s/%s-v%d.ckpt", m->dirpath, name, version);
    }
    return path;
}

static void replace(char **field, const char *text) {
    char *copy = wk_strdup(text);
    wk_free(*field);
    *field = copy;
}

static wk_status write_list(const model_checkpoint *m, wk_trainer *t) {
    wk_text text = { 0 };
    for (int i = 0; i < m->n_kept; i++) wk_text_printf(&text, "\"%s\": %.17g\n", m->kept[i].path, m->kept[i].score);
    char *path = wk_format("%s/best_k_models.yaml", m->dirpath);
    wk_status status = path && !text.failed ? wk__saver_note(t->saver, path, wk_text_get(&text)) : WK_NO_MEMORY;
    wk_free(path);
    wk_text_free(&text);
    return wk__saved(t, status);
}

/* ---- what is kept ---- */

static int worst(const model_checkpoint *m) {
    int at = 0;
    for (int i = 1; i < m->n_kept; i++)
        if (is_worse(m, m->kept[i].score, m->kept[at].score)) at = i;
    return at;
}

static void note_best(model_checkpoint *m) {
    int best = -1;
    for (int i = 0; i < m->n_kept; i++)
        if (best < 0 || is_worse(m, m->kept[best].score, m->kept[i].score)) best = i;
    if (best < 0) return;
    m->best_score = m->kept[best].score;
    replace(&m->best_path, m->kept[best].path);
}

static wk_status forget(model_checkpoint *m, wk_trainer *t, int i, bool removes) {
    wk_status status = removes ? remove_file(m, t, m->kept[i].path) : WK_OK;
    wk_free(m->kept[i].path);
    m->kept[i] = m->kept[--m->n_kept];
    return status;
}

static char *name_now(const model_checkpoint *m, const wk_trainer *t) {
    return wk__checkpoint_name(m->filename, m->named, t);
}

static wk_status save_to(model_checkpoint *m, wk_trainer *t, const char *path) {
    WK_TRY(wk__saved(t, wk__make_folder(m->dirpath)));
    WK_TRY(wk_trainer_save(t, path, m->weights_only));
    m->saved_step = wk_trainer_step(t);
    m->last_time = wk_now();
    if (m->verbose) wk_trainer_say(t, "ModelCheckpoint: saved %s", path);
    return WK_OK;
}

/* One more file; the worst, or the one before, goes.  The new one is on disk before that. */
static wk_status save_top(model_checkpoint *m, wk_trainer *t, double score) {
    bool full = m->top_k > 0 && m->n_kept >= m->top_k;
    int goes = full ? (m->monitor ? worst(m) : 0) : -1;
    if (m->top_k == 0 || (full && m->monitor && !is_worse(m, m->kept[goes].score, score))) return WK_OK;
    char *name = name_now(m, t), *path = name ? free_path(m, t, name) : NULL;
    wk_status status = path ? save_to(m, t, path) : WK_NO_MEMORY;
    if (status == WK_OK) {
        if (goes < 0 && m->n_kept == MOST_KEPT) goes = 0, full = false; /* all stay: the list forgets its oldest */
        if (goes >= 0) status = forget(m, t, goes, full && strcmp(m->kept[goes].path, path) != 0);
        m->kept[m->n_kept++] = (kept){ path, score };
        path = NULL;
        note_best(m);
        if (status == WK_OK) status = write_list(m, t);
    }
    wk_free(path);
    wk_free(name);
    return status;
}

static wk_status link_last(const model_checkpoint *m, wk_trainer *t, const char *target) {
    const char *name = strrchr(target, '/');
    return wk__saved(t, wk__saver_link(t->saver, m->last_path, name ? name + 1 : target));
}

static wk_status save_last(model_checkpoint *m, wk_trainer *t, const char *newest) {
    if (m->last == LAST_NO) return WK_OK;
    if (!m->last_path && !(m->last_path = free_path(m, t, "last"))) return WK_NO_MEMORY;
    return m->last == LAST_LINK && newest ? link_last(m, t, newest) : save_to(m, t, m->last_path);
}

static wk_status save(model_checkpoint *m, wk_trainer *t) {
    if (wk_trainer_step(t) == m->saved_step || wk_trainer_rank(t) != 0) return WK_OK;
    double score = (double)wk_trainer_step(t);
    if (m->monitor && !wk_trainer_metric(t, m->monitor, &score))
        return wk_fail(WK_CONFIG, "there is no metric \"%s\" to monitor", m->monitor);
    if (isnan(score)) score = m->max ? -INFINITY : INFINITY;
    m->current_score = score;
    int64_t before = m->saved_step;
    WK_TRY(save_top(m, t, score));
    const char *newest = m->saved_step != before && m->n_kept ? m->kept[m->n_kept - 1].path : NULL;
    WK_TRY(save_last(m, t, newest));
    m->saved_step = wk_trainer_step(t);
    m->waits = false;
    return WK_OK;
}

/* ---- when ---- */

static bool epoch_is_due(const model_checkpoint *m, const wk_trainer *t) {
    return m->every_epochs > 0 && (wk_trainer_epoch(t) + 1) % m->every_epochs == 0;
}

static wk_status begin(wk_callback *self, wk_trainer *t) {
    model_checkpoint *m = (model_checkpoint *)self;
    m->last_time = wk_now();
    if (m->on_exception && !m->weights_only && wk__is_shared_out(t))
        return wk_fail(WK_CONFIG,
                       "save_on_exception needs save_weights_only where the optimizer is shared out: the ranks "
                       "that have its other parts are not there then");
    if (m->dirpath) return WK_OK;
    m->dirpath = m->dirpath_given ? wk_strdup(m->dirpath_given) : wk_format("%s/ckpt", wk_trainer_folder(t));
    return m->dirpath ? WK_OK : WK_NO_MEMORY;
}

static wk_status train_epoch_start(wk_callback *self, wk_trainer *t) {
    /* A run that goes on in the middle of an epoch has this from its checkpoint. */
    if (wk_trainer_batch_index(t) == 0) ((model_checkpoint *)self)->validated = false;
    return WK_OK;
}

static wk_status train_batch_end(wk_callback *self, wk_trainer *t) {
    model_checkpoint *m = (model_checkpoint *)self;
    double value;
    int64_t step = wk_trainer_step(t);
    bool due = m->every_steps > 0 && step > 0 && step % m->every_steps == 0 && step != m->saved_step;
    bool whole =
        t->standing.batch % wk__accumulate(t->params, t->standing.epoch) == 0 || t->standing.batch == t->batches;
    if (m->every_seconds > 0 && wk_now() - m->last_time >= m->every_seconds) due = true;
    if (!due || !whole) return WK_OK;
    if (!m->monitor || wk_trainer_metric(t, m->monitor, &value)) return save(m, t);
    m->waits = true; /* for the validation that logs the metric */
    return WK_OK;
}

static wk_status validation_end(wk_callback *self, wk_trainer *t) {
    model_checkpoint *m = (model_checkpoint *)self;
    if (wk_trainer_stage(t) == WK_STAGE_SANITY) return WK_OK;
    m->validated = true;
    bool between = wk_trainer_batch_index(t) < wk_trainer_batches(t);
    return between && !m->at_epoch_end && (m->waits || epoch_is_due(m, t)) ? save(m, t) : WK_OK;
}

static wk_status train_epoch_end(wk_callback *self, wk_trainer *t) {
    model_checkpoint *m = (model_checkpoint *)self;
    bool may = m->at_epoch_end || m->validated || !t->val_loader || t->val_batches == 0;
    return may && (m->waits || epoch_is_due(m, t)) ? save(m, t) : WK_OK;
}

static wk_status exception(wk_callback *self, wk_trainer *t) {
    model_checkpoint *m = (model_checkpoint *)self;
    if (!m->on_exception || wk_trainer_rank(t) != 0) return WK_OK;
    char *name = name_now(m, t), *whole = name ? wk_format("exception-%s", name) : NULL;
    char *path = whole ? free_path(m, t, whole) : NULL;
    wk_status status = path ? save_to(m, t, path) : WK_NO_MEMORY;
    wk_free(path);
    wk_free(whole);
    wk_free(name);
    return status;
}

/* ---- state: a line a fact ---- */

static char *state(wk_callback *self) {
    const model_checkpoint *m = (const model_checkpoint *)self;
    wk_text text = { 0 };
    wk_text_printf(&text, "monitor %s\ndirpath %s\nsaved_step %lld\ncurrent_score %.17g\nbest_model_score %.17g\n",
                   m->monitor ? m->monitor : "", m->dirpath, (long long)m->saved_step, m->current_score, m->best_score);
    wk_text_printf(&text, "waits %d\nvalidated %d\n", m->waits, m->validated);
    if (m->best_path) wk_text_printf(&text, "best_model_path %s\n", m->best_path);
    if (m->last_path) wk_text_printf(&text, "last_model_path %s\n", m->last_path);
    for (int i = 0; i < m->n_kept; i++) wk_text_printf(&text, "model %.17g %s\n", m->kept[i].score, m->kept[i].path);
    if (!text.failed) return text.data;
    wk_text_free(&text);
    return NULL;
}

static wk_status read_line(model_checkpoint *m, char *line, bool same_folder) {
    char *value = strchr(line, ' ');
    if (!value) return WK_OK;
    *value++ = '\0';
    if (strcmp(line, "waits") == 0) m->waits = *value == '1';
    if (strcmp(line, "validated") == 0) m->validated = *value == '1';
    if (strcmp(line, "best_model_path") == 0) replace(&m->best_path, value);
    if (strcmp(line, "best_model_score") == 0) m->best_score = strtod(value, NULL);
    if (!same_folder) return WK_OK; /* files elsewhere are not this run's to remove */
    if (strcmp(line, "saved_step") == 0) m->saved_step = strtoll(value, NULL, 10);
    if (strcmp(line, "current_score") == 0) m->current_score = strtod(value, NULL);
    if (strcmp(line, "last_model_path") == 0) replace(&m->last_path, value);
    char *path = NULL;
    double score = strcmp(line, "model") == 0 ? strtod(value, &path) : 0;
    if (!path || *path != ' ' || m->n_kept == MOST_KEPT) return WK_OK;
    m->kept[m->n_kept] = (kept){ wk_strdup(path + 1), score };
    return m->kept[m->n_kept++].path ? WK_OK : WK_NO_MEMORY;
}

static wk_status load_state(wk_callback *self, const char *text) {
    model_checkpoint *m = (model_checkpoint *)self;
    char *copy = wk_strdup(text), *folder = wk_format("\ndirpath %s\n", m->dirpath);
    if (!copy || !folder) return WK_NO_MEMORY;
    bool same = strstr(text, folder) != NULL;
    if (!same)
        wk_log_write(WK_LOG_WARNING,
                     "ModelCheckpoint: dirpath was another one before: of that only the best is kept in mind");
    wk_status status = WK_OK;
    for (char *line = copy, *end; line && *line && status == WK_OK; line = end) {
        if ((end = strchr(line, '\n')) != NULL) *end++ = '\0';
        status = read_line(m, line, same);
    }
    wk_free(folder);
    wk_free(copy);
    return status;
}

static void destroy(wk_callback *self) {
    model_checkpoint *m = (model_checkpoint *)self;
    for (int i = 0; i < m->n_kept; i++) wk_free(m->kept[i].path);
    wk_free(m->best_path);
    wk_free(m->last_path);
    wk_free(m->dirpath);
}

static const wk_callback_class class_ = { .name = "ModelCheckpoint",
                                          .size = sizeof(model_checkpoint),
                                          .setup = begin,
                                          .train_epoch_start = train_epoch_start,
                                          .train_batch_end = train_batch_end,
                                          .validation_end = validation_end,
                                          .train_epoch_end = train_epoch_end,
                                          .exception = exception,
                                          .state = state,
                                          .load_state = load_state,
                                          .destroy = destroy,
                                          .runs_last = true,
                                          .never_stops = true };

/* At most one of the three intervals. */
static void read_intervals(model_checkpoint *m, const wk_config *args) {
    m->every_steps = wk_config_int(args, "every_n_train_steps", 0, INT64_MAX, 0);
    m->every_seconds = wk__config_seconds(args, "train_time_interval");
    bool others = m->every_steps > 0 || m->every_seconds > 0;
    m->every_epochs = wk_config_int(args, "every_n_epochs", 0, INT32_MAX, others ? 0 : 1);
    if ((m->every_epochs > 0) + (m->every_steps > 0) + (m->every_seconds > 0) > 1)
        (void)wk_config_fail(args, "every_n_train_steps",
                             "only one of every_n_epochs, every_n_train_steps and train_time_interval can be set");
}

wk_callback *wk__model_checkpoint_build(const wk_config *args) {
    static const char *const modes[] = { "min", "max", NULL };
    model_checkpoint *m = (model_checkpoint *)wk_callback_create(&class_);
    if (!m) return NULL;
    m->monitor = wk_config_string(args, "monitor", NULL);
    m->max = wk_config_choice(args, "mode", modes, 0) == 1;
    m->top_k = wk_config_int(args, "save_top_k", -1, MOST_KEPT - 1, 1);
    m->dirpath_given = wk_config_string(args, "dirpath", NULL);
    m->filename = wk_config_string(args, "filename", "{epoch}-{step}");
    m->named = wk_config_bool(args, "auto_insert_metric_name", true);
    m->at_epoch_end = wk_config_bool(args, "save_on_train_epoch_end", false);
    m->weights_only = wk_config_bool(args, "save_weights_only", false);
    m->on_exception = wk_config_bool(args, "save_on_exception", false);
    m->versions = wk_config_bool(args, "enable_version_counter", true);
    m->verbose = wk_config_bool(args, "verbose", false);
    const char *last = wk_config_string(args, "save_last", "false");
    m->last = last && strcmp(last, "link") == 0 ? LAST_LINK : wk_config_bool(args, "save_last", false);
    m->saved_step = -1;
    m->best_score = m->current_score = m->max ? -INFINITY : INFINITY;
    read_intervals(m, args);
    if (!m->monitor && m->top_k > 1)
        (void)wk_config_fail(args, "save_top_k",
                             "save_top_k is %lld and there is no monitor: only -1, 0 and 1 make sense",
                             (long long)m->top_k);
    return &m->base;
}
