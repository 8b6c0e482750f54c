/* showing.c: what a person sees of a run: how often the bar is drawn, and the model's parts in a table.  Lightning's
 * ProgressBar and ModelSummary. */
#include "train/callbacks/callbacks.h"

#include <string.h>

/* ---- ProgressBar ---- */

const wk_arg wk__progress_bar_args[] = {
    { "refresh_rate", WK_ARG_INT, "1", "batches between two drawings, ten of which are drawn a second; 0: no bar" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

typedef struct progress_bar {
    wk_callback base;
    int64_t every;
} progress_bar;

static wk_status check_bar(wk_callback *self, wk_trainer *t) {
    (void)self;
    if (t->params->progress_bar) return WK_OK;
    return wk_fail(WK_CONFIG, "trainer.enable_progress_bar is false: leave one of the two out");
}

static wk_status set_bar(wk_callback *self, wk_trainer *t) {
    const progress_bar *bar = (const progress_bar *)self;
    t->progress.every = bar->every;
    if (bar->every == 0) t->progress.enabled = t->progress.is_terminal = false;
    return WK_OK;
}

static const wk_callback_class bar_class = {
    .name = "ProgressBar", .size = sizeof(progress_bar), .setup = check_bar, .fit_start = set_bar
};

wk_callback *wk__progress_bar_build(const wk_config *args) {
    progress_bar *bar = (progress_bar *)wk_callback_create(&bar_class);
    if (bar) bar->every = wk_config_int(args, "refresh_rate", 0, INT32_MAX, 1);
    return (wk_callback *)bar;
}

/* ---- ModelSummary ---- */

const wk_arg wk__model_summary_args[] = {
    { "max_depth", WK_ARG_INT, "1", "of parts within parts; 0: the numbers alone; -1: all" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

typedef struct model_summary {
    wk_callback base;
    int64_t max_depth;
} model_summary;

typedef struct table {
    wk_text text;
    int64_t max_depth;
} table;

static int depth_of(const char *path) {
    int depth = *path != '\0';
    for (; *path; path++) depth += *path == '.';
    return depth;
}

static void add_row(void *context, wk_module *module) {
    table *rows = context;
    const int depth = depth_of(module->path);
    if (depth == 0 || (rows->max_depth >= 0 && depth > rows->max_depth)) return;
    wk_text_printf(&rows->text, "\n  %-32s %-24s %14lld", module->path, module->class_->name,
                   (long long)wk_parameter_count(module));
}

static void add_numbers(wk_text *text, wk_module *model) {
    wk_named_tensors all = wk_parameters(model);
    long long learning = 0, count = 0, bytes = 0;
    for (int i = 0; i < all.count; i++) {
        const long long here = (long long)wk_count(all.tensor[i]);
        count += here;
        learning += wk_requires_grad(all.tensor[i]) ? here : 0;
        bytes += here * (long long)wk_dtype_size(wk_dtype_get(all.tensor[i]));
    }
    wk_text_printf(text, "\n  %lld parameters learn, %lld stand still; %lld in all, %.1f MiB", learning,
                   count - learning, count, (double)bytes / 1048576);
}

static wk_status summarise(wk_callback *self, wk_trainer *t) {
    table rows = { .max_depth = ((const model_summary *)self)->max_depth };
    if (wk_trainer_rank(t) != 0) return WK_OK;
    wk_text_printf(&rows.text, "  %-32s %-24s %14s", "part", "class", "parameters");
    wk_module_apply(wk_trainer_model(t), add_row, &rows);
    add_numbers(&rows.text, wk_trainer_model(t));
    if (!rows.text.failed) wk__folder_say(&t->folder, "%s", wk_text_get(&rows.text));
    wk_text_free(&rows.text);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static const wk_callback_class summary_class = { .name = "ModelSummary",
                                                 .size = sizeof(model_summary),
                                                 .fit_start = summarise };

wk_callback *wk__model_summary_build(const wk_config *args) {
    model_summary *summary = (model_summary *)wk_callback_create(&summary_class);
    if (summary) summary->max_depth = wk_config_int(args, "max_depth", -1, INT32_MAX, 1);
    return (wk_callback *)summary;
}
