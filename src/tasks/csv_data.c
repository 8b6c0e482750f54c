/* csv_data.c: data "csv": a table of numbers and categories, to predict one or more of its columns.
 *
 * Categories become a column each (one-hot, sorted by name).  Means and deviations are those of the rows to train on,
 * so that nothing of the rows to evaluate on is known before.
 */
#include "tasks/csv.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_COLUMNS = 4096 };

/* ---- which columns ---- */

static bool is_among(const char *name, const char *const *names, int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

int wk__csv_by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool wk__csv_is_missing(const char *cell) {
    return !*cell || strcmp(cell, "NA") == 0 || strcmp(cell, "NaN") == 0 || strcmp(cell, "nan") == 0
           || strcmp(cell, "null") == 0;
}

/* The names that occur. */
static wk_status find_words(const wk__csv *p, wk__csv_column *c) {
    int64_t count = 0;
    c->word = wk_alloc((size_t)(p->table.rows + 1) * sizeof *c->word);
    if (!c->word) return wk_error_code();
    for (int64_t i = 0; i < p->table.rows; i++)
        if (!wk__csv_is_missing(wk__table_cell(&p->table, i, c->at)))
            c->word[count++] = wk__table_cell(&p->table, i, c->at);
    qsort(c->word, (size_t)count, sizeof *c->word, wk__csv_by_text);
    for (int64_t i = 0; i < count; i++)
        if (c->words == 0 || strcmp(c->word[c->words - 1], c->word[i]) != 0) c->word[c->words++] = c->word[i];
    return wk__csv_check_words(p, c);
}

wk_status wk__csv_check_words(const wk__csv *p, const wk__csv_column *c) {
    if (c->words >= 2 && c->words <= WK__CSV_MOST_CATEGORIES) return WK_OK;
    return wk_fail(WK_FORMAT, "%s: column \"%s\" has %lld categories, expected 2 to %d", p->table.path,
                   p->table.name[c->at], (long long)c->words, WK__CSV_MOST_CATEGORIES);
}

static wk_status add_column(wk__csv *p, const char *name, bool is_target, const char *const *categories, int count) {
    wk__csv_column *c = &p->columns[p->count];
    c->at = wk__table_column(&p->table, name);
    if (c->at < 0) return wk_error_code();
    p->count++;
    c->is_target = is_target;
    c->deviation = 1;
    c->names = is_target ? p->classifies : is_among(name, categories, count);
    return WK_OK;
}

wk_status wk__csv_columns(wk__csv *p) {
    const char **list = wk_alloc(3 * (size_t)MOST_COLUMNS * sizeof *list), **targets = list + MOST_COLUMNS,
               **categories = targets + MOST_COLUMNS;
    p->columns = list ? wk_alloc((size_t)(p->table.columns + 2 * MOST_COLUMNS) * sizeof *p->columns) : NULL;
    if (!p->columns) return wk_free(list), wk_error_code();
    int features = wk_config_strings(p->args, "features", list, MOST_COLUMNS);
    const int n_targets = wk_config_strings(p->args, "target", targets, MOST_COLUMNS),
              n_categories = wk_config_strings(p->args, "categories", categories, MOST_COLUMNS);
    wk_status status = wk_failed() ? wk_error_code() : WK_OK;
    for (int i = 0; i < n_categories && status == WK_OK; i++)
        if (wk__table_column(&p->table, categories[i]) < 0) status = wk_error_code();
    for (int64_t i = 0; i < p->table.columns && status == WK_OK && features == 0; i++)
        if (!is_among(p->table.name[i], targets, n_targets))
            status = add_column(p, p->table.name[i], false, categories, n_categories);
    for (int i = 0; i < features && status == WK_OK; i++)
        status = add_column(p, list[i], false, categories, n_categories);
    p->inputs = p->count;
    if (status == WK_OK && p->classifies && n_targets != 1)
        status = wk_config_fail(p->args, "target", "target has %d columns, expected one of classes", n_targets);
    for (int i = 0; i < n_targets && status == WK_OK; i++)
        status = add_column(p, targets[i], true, categories, n_categories);
    if (status == WK_OK && (p->inputs == 0 || p->inputs == p->count))
        status = wk_config_fail(p->args, "target", "there are %d columns to predict from and %d to predict", p->inputs,
                                p->count - p->inputs);
    wk_free(list);
    return status;
}

/* ---- cells ---- */

static bool lacks(const wk__csv *p, int64_t row, int first) {
    for (int i = first; i < p->count; i++)
        if (wk__csv_is_missing(wk__table_cell(&p->table, row, p->columns[i].at))) return true;
    return false;
}

/* A number; NAN for a missing one. */
wk_status wk__csv_number(const wk__csv *p, int64_t row, const wk__csv_column *c, double *value) {
    const char *cell = wk__table_cell(&p->table, row, c->at);
    char *end = NULL;
    *value = NAN;
    if (wk__csv_is_missing(cell)) return WK_OK;
    errno = 0;
    *value = strtod(cell, &end);
    while (*end == ' ') end++;
    if (end != cell && !*end && isfinite(*value)) return WK_OK;
    return wk__table_fail(&p->table, row,
                          "column \"%s\": \"%s\" is no number (a name? list the column under categories)",
                          p->table.name[c->at], cell);
}

int64_t wk__csv_word(const wk__csv *p, int64_t row, const wk__csv_column *c) {
    const char *cell = wk__table_cell(&p->table, row, c->at);
    const char **found = bsearch(&cell, c->word, (size_t)c->words, sizeof *c->word, wk__csv_by_text);
    return found ? found - c->word : -1;
}

/* ---- which rows, and their means ---- */

wk_status wk__csv_takes(const wk__csv *p, int64_t row, bool *taken) {
    /* What is to be predicted is never made up. */
    const bool gap = lacks(p, row, p->missing == WK__CSV_MEAN ? p->inputs : 0);
    *taken = !gap;
    if (!gap || p->missing == WK__CSV_DROP) return WK_OK;
    return wk__table_fail(&p->table, row,
                          p->missing == WK__CSV_MEAN
                              ? "the value to predict is missing; missing: drop leaves such rows out"
                              : "a value is missing; missing: drop leaves such rows out, mean fills in");
}

static wk_status choose_rows(wk__csv *p) {
    const wk__table *t = &p->table;
    const double part = wk_config_double(p->args, "val_part", 0, 0.9, 0.1);
    const uint64_t seed = (uint64_t)wk_config_int(p->args, "split_seed", 0, INT64_MAX, 0);
    int64_t *whole = wk_alloc((size_t)t->rows * sizeof *whole), count = 0;
    for (int64_t i = 0; whole && i < t->rows; i++) {
        bool taken;
        if (wk__csv_takes(p, i, &taken) != WK_OK) break;
        if (taken) whole[count++] = i;
    }
    p->row = wk_failed() ? NULL : wk__split_rows(count, part, seed, &p->kept);
    for (int64_t i = 0; p->row && i < count; i++) p->row[i] = whole[p->row[i]];
    p->train = count - p->kept;
    wk_free(whole);
    if (wk_failed()) return wk_error_code();
    if (p->train < 1) return wk_fail(WK_FORMAT, "%s: no row is left to train on", t->path);
    return WK_OK;
}

void wk__csv_scale(wk__csv_column *c, double squares, int64_t count, bool scales) {
    c->deviation = scales && squares > 0 ? sqrt(squares / (double)count) : 1;
}

static wk_status measure(const wk__csv *p, wk__csv_column *c, bool scales) {
    double sum = 0, squares = 0, value;
    int64_t count = 0;
    for (int64_t i = 0; i < p->train + p->kept; i++) { /* all are looked at: a cell that is no number is an error */
        WK_TRY(wk__csv_number(p, p->row[i], c, &value));
        if (i < p->train && !isnan(value)) sum += value, count++;
    }
    if (count == 0) return wk_fail(WK_FORMAT, "%s: column \"%s\" has no value", p->table.path, p->table.name[c->at]);
    const double mean = sum / (double)count;
    for (int64_t i = 0; i < p->train; i++) {
        WK_TRY(wk__csv_number(p, p->row[i], c, &value));
        if (!isnan(value)) squares += (value - mean) * (value - mean);
    }
    c->mean = mean;
    wk__csv_scale(c, squares, count, scales);
    return WK_OK;
}

static wk_status measure_all(wk__csv *p) {
    const bool inputs = wk_config_bool(p->args, "normalise", true),
               targets = wk_config_bool(p->args, "normalise_target", false);
    if (wk_failed()) return wk_error_code();
    for (int i = 0; i < p->count; i++) {
        wk__csv_column *c = &p->columns[i];
        if (!c->names) WK_TRY(measure(p, c, c->is_target ? targets : inputs));
    }
    return WK_OK;
}

/* ---- tensors ---- */

int64_t wk__csv_width(const wk__csv *p, int first, int end) {
    int64_t width = 0;
    for (int i = first; i < end; i++) width += p->columns[i].names ? p->columns[i].words : 1;
    return width;
}

wk_status wk__csv_write(const wk__csv *p, int64_t row, int first, int end, bool shifts, float *out) {
    for (int i = first; i < end; i++) {
        const wk__csv_column *c = &p->columns[i];
        double value;
        if (c->names) { /* zeros where it is missing */
            const int64_t at = wk__csv_word(p, row, c);
            if (at >= 0) out[at] = 1;
            out += c->words;
            continue;
        }
        WK_TRY(wk__csv_number(p, row, c, &value));
        *out++ = (float)(((isnan(value) ? c->mean : value) - (shifts ? c->mean : 0)) / c->deviation);
    }
    return WK_OK;
}

static wk_dataset *rows_of(const wk__csv *p, const int64_t *rows, int64_t count) {
    const bool shifts = wk_config_bool(p->args, "normalise", true),
               turns = wk_config_bool(p->args, "normalise_target", false);
    const int64_t in_width = wk__csv_width(p, 0, p->inputs), out_width = p->classifies ? 1 : p->count - p->inputs;
    wk_tensor *in = wk_kept_zeros(WK_F32, WK_DIMS(count, in_width));
    wk_tensor *out =
        wk_kept_zeros(p->classifies ? WK_I64 : WK_F32, p->classifies ? WK_DIMS(count) : WK_DIMS(count, out_width));
    for (int64_t i = 0; in && out && i < count && !wk_failed(); i++) {
        (void)wk__csv_write(p, rows[i], 0, p->inputs, shifts, (float *)wk_data(in) + i * in_width);
        if (p->classifies)
            ((int64_t *)wk_data(out))[i] = wk__csv_word(p, rows[i], &p->columns[p->inputs]);
        else
            (void)wk__csv_write(p, rows[i], p->inputs, p->count, turns, (float *)wk_data(out) + i * out_width);
    }
    wk_dataset *data = in && out ? wk_tensor_dataset(in, out) : NULL;
    if (data && p->classifies) data->classes = (int)p->columns[p->inputs].words;
    wk_release(in);
    wk_release(out);
    return data;
}

static wk_status make(wk__csv *p, wk_dataset **train, wk_dataset **evaluation) {
    static const char *const words[] = { "error", "mean", "drop", NULL }, *const tasks[] = { "regression", "classes",
                                                                                             NULL };
    p->missing = (wk__csv_missing)wk_config_choice(p->args, "missing", words, WK__CSV_REFUSE);
    p->classifies = wk_config_choice(p->args, "task", tasks, 0) == 1;
    const char *file = wk_config_string(p->args, "file", "");
    const bool header = wk_config_bool(p->args, "header", true);
    if (wk_failed()) return wk_error_code();
    if (wk_config_bool(p->args, "stream", false))
        return wk_failed() ? wk_error_code() : wk__csv_stream(p, file, header, train, evaluation);
    WK_TRY(wk__table_read(&p->table, file, header));
    WK_TRY(wk__csv_columns(p));
    for (int i = 0; i < p->count; i++)
        if (p->columns[i].names) WK_TRY(find_words(p, &p->columns[i]));

    WK_TRY(choose_rows(p));
    WK_TRY(measure_all(p));
    *train = rows_of(p, p->row, p->train);
    if (*train && p->kept) *evaluation = rows_of(p, p->row + p->train, p->kept);
    return wk_failed() ? wk_error_code() : WK_OK;
}

void wk__csv_free(wk__csv *p) {
    for (int i = 0; i < p->count; i++) wk_free(p->columns[i].word);
    wk_free(p->columns);
    wk_free(p->row);
    wk__table_free(&p->table);
}

static wk_status build(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    wk__csv p = { .args = args };
    wk_status status = make(&p, train, evaluation);
    if (status != WK_OK && status != WK_CONFIG) wk_error_prefix("data \"csv\"");
    wk__csv_free(&p);
    return status;
}

static const wk_arg args[] = {
    { "file", WK_ARG_TEXT, NULL, "a table: .csv, .tsv, or .jsonl (an object a line)" },
    { "header", WK_ARG_BOOL, "true", "the first line names the columns; else they are 0, 1, …" },
    { "target", WK_ARG_LIST, NULL, "the column to predict, or several" },
    { "features", WK_ARG_LIST, "", "those to predict from; all others" },
    { "categories", WK_ARG_LIST, "", "columns of names, which become one column a name" },
    { "task", WK_ARG_TEXT, "regression", "regression, classes" },
    { "missing", WK_ARG_TEXT, "error", "rows with an empty cell: error, mean (filled in), drop (left out)" },
    { "normalise", WK_ARG_BOOL, "true", "inputs: (value - mean) / deviation of the rows to train on" },
    { "normalise_target", WK_ARG_BOOL, "false", "and what is predicted" },
    { "val_part", WK_ARG_NUMBER, "0.1", "of the rows, to evaluate on" },
    { "split_seed", WK_ARG_INT, "0", "draws them" },
    { "stream", WK_ARG_BOOL, "false", "read rows from the file when they are asked for: files larger than memory" },
    { "shuffle_block", WK_ARG_INT, "8192", "with stream: so many neighbours are shuffled together" },
    { "batch_size", WK_ARG_INT, "64", "items a rank takes at a time" },
    { "workers", WK_ARG_INT, "1", "threads that fetch batches" },
    { "shuffle", WK_ARG_BOOL, "true", "train in another order in each epoch" },
    { NULL, WK_ARG_INT, NULL, NULL },
};
const wk_data_entry wk__csv_data = { { "csv", "numbers and categories of a table", args }, build };
