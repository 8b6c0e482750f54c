/* csv_stream.c: a table that stays in its file: rows are read when they are asked for.
 *
 * Held in memory are the places of pieces of rows, how many rows of each take part, the words of categories, means and
 * deviations; passes over the file gather them in the order in which a table in memory is summed up, so that items are
 * the same, bit for bit.  The rows to evaluate on are the last ones: a choice by chance would need a list of all.
 */
#include "tasks/csv.h"
#include "tasks/pieces.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Shared by the data to train on and to evaluate on. */
typedef struct stream {
    int users;
    wk__csv csv; /* its table is the pieces' head: of a piece under way there is a copy of all of this */
    wk__pieces pieces;
    int64_t *before; /* (pieces + 1): rows that take part before each piece */
    wk__arena words;
    bool shifts, turns; /* inputs are normalised, and targets */
} stream;

typedef struct stream_rows {
    wk_dataset base;
    stream *stream;
    int64_t first; /* the row that is item 0 */
} stream_rows;

static void stream_release(stream *s) {
    if (!s || --s->users > 0) return;
    s->csv.table = (wk__table){ 0 }; /* the pieces' */
    wk__csv_free(&s->csv);
    wk__pieces_close(&s->pieces);
    wk__arena_destroy(&s->words);
    wk_free(s->before);
    wk_free(s);
}

/* ---- passes over the file ---- */

typedef wk_status (*visit)(stream *s, const wk__csv *piece, int64_t row);

/* All rows that take part, or with `all` every row, up to `end` of them. */
static wk_status pass(stream *s, int64_t end, bool all, visit visit_row) {
    int64_t done = 0;
    for (int64_t i = 0; i < s->pieces.count && done < end; i++) {
        wk__csv piece = s->csv;
        wk_status status = wk__pieces_read(&s->pieces, i, &piece.table);
        for (int64_t row = 0; row < piece.table.rows && status == WK_OK && done < end; row++) {
            bool taken = true;
            if (!all) status = wk__csv_takes(&piece, row, &taken);
            if (status == WK_OK && taken) status = visit_row(s, &piece, row), done++;
        }
        wk__table_free(&piece.table);
        WK_TRY(status);
    }
    return WK_OK;
}

/* A name into its column's words, which are kept sorted. */
static wk_status add_word(stream *s, wk__csv_column *c, const char *cell) {
    int64_t low = 0, high = c->words;
    if (wk__csv_is_missing(cell)) return WK_OK;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (strcmp(c->word[middle], cell) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if ((low < c->words && strcmp(c->word[low], cell) == 0) || c->words > WK__CSV_MOST_CATEGORIES) return WK_OK;
    const size_t size = strlen(cell) + 1;
    char *copy = wk__arena_take(&s->words, size);
    if (!copy) return wk_error_code();
    memmove(c->word + low + 1, c->word + low, (size_t)(c->words - low) * sizeof *c->word);
    c->word[low] = memcpy(copy, cell, size);
    c->words++;
    return WK_OK;
}

static wk_status gather_words(stream *s, const wk__csv *piece, int64_t row) {
    for (int i = 0; i < s->csv.count; i++)
        if (s->csv.columns[i].names)
            WK_TRY(add_word(s, &s->csv.columns[i], wk__table_cell(&piece->table, row, s->csv.columns[i].at)));
    return WK_OK;
}

static wk_status find_words(stream *s) {
    bool any = false;
    for (int i = 0; i < s->csv.count; i++) {
        wk__csv_column *c = &s->csv.columns[i];
        if (!c->names) continue;
        any = true;
        c->word = wk_alloc((WK__CSV_MOST_CATEGORIES + 2) * sizeof *c->word);
        if (!c->word) return wk_error_code();
    }
    if (any) WK_TRY(pass(s, INT64_MAX, true, gather_words));
    for (int i = 0; i < s->csv.count; i++)
        if (s->csv.columns[i].names) WK_TRY(wk__csv_check_words(&s->csv, &s->csv.columns[i]));
    return WK_OK;
}

/* How many rows of each piece take part; a cell that is no number, or a gap that may not be, is an error here. */
static wk_status count_rows(stream *s) {
    s->before = wk_alloc((size_t)(s->pieces.count + 1) * sizeof *s->before);
    for (int64_t i = 0; s->before && i < s->pieces.count; i++) {
        wk__csv piece = s->csv;
        wk_status status = wk__pieces_read(&s->pieces, i, &piece.table);
        s->before[i + 1] = s->before[i];
        for (int64_t row = 0; row < piece.table.rows && status == WK_OK; row++) {
            bool taken;
            double value;
            status = wk__csv_takes(&piece, row, &taken);
            for (int k = 0; k < piece.count && status == WK_OK && taken; k++)
                if (!piece.columns[k].names) status = wk__csv_number(&piece, row, &piece.columns[k], &value);
            s->before[i + 1] += status == WK_OK && taken;
        }
        wk__table_free(&piece.table);
        WK_TRY(status);
    }
    return s->before ? WK_OK : wk_error_code();
}

/* While means are summed up a column's `deviation` holds how many values there are; then the sum of squares. */
static wk_status add_value(stream *s, const wk__csv *piece, int64_t row) {
    for (int i = 0; i < s->csv.count; i++) {
        wk__csv_column *c = &s->csv.columns[i];
        double value;
        if (c->names) continue;
        WK_TRY(wk__csv_number(piece, row, c, &value));
        if (!isnan(value)) c->mean += value, c->deviation++;
    }
    return WK_OK;
}

static wk_status add_square(stream *s, const wk__csv *piece, int64_t row) {
    for (int i = 0; i < s->csv.count; i++) {
        wk__csv_column *c = &s->csv.columns[i];
        double value;
        if (c->names) continue;
        WK_TRY(wk__csv_number(piece, row, c, &value));
        if (!isnan(value)) c->deviation += (value - c->mean) * (value - c->mean);
    }
    return WK_OK;
}

static wk_status measure(stream *s) {
    int64_t *count = wk_alloc((size_t)s->csv.count * sizeof *count);
    if (!count) return wk_error_code();
    for (int i = 0; i < s->csv.count; i++) s->csv.columns[i].mean = s->csv.columns[i].deviation = 0;
    wk_status status = pass(s, s->csv.train, false, add_value);
    for (int i = 0; i < s->csv.count && status == WK_OK; i++) {
        wk__csv_column *c = &s->csv.columns[i];
        count[i] = (int64_t)c->deviation;
        if (!c->names && count[i] == 0)
            status = wk_fail(WK_FORMAT, "%s: column \"%s\" has no value", s->pieces.path, s->csv.table.name[c->at]);
        if (count[i] > 0) c->mean /= (double)count[i];
        c->deviation = 0;
    }
    if (status == WK_OK) status = pass(s, s->csv.train, false, add_square);
    for (int i = 0; i < s->csv.count && status == WK_OK; i++)
        if (!s->csv.columns[i].names)
            wk__csv_scale(&s->csv.columns[i], s->csv.columns[i].deviation, count[i],
                          s->csv.columns[i].is_target ? s->turns : s->shifts);
    wk_free(count);
    return status;
}

/* ---- items ---- */

static int64_t piece_of(const stream *s, int64_t row) {
    int64_t low = 0, high = s->pieces.count - 1;
    while (low < high) {
        const int64_t middle = (low + high + 1) / 2;
        if (s->before[middle] <= row)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* The n-th row of a piece that takes part. */
static wk_status find_row(const wk__csv *piece, int64_t n, int64_t *row) {
    for (*row = 0; *row < piece->table.rows; ++*row) {
        bool taken;
        WK_TRY(wk__csv_takes(piece, *row, &taken));
        if (taken && n-- == 0) return WK_OK;
    }
    return wk_fail(WK_IO, "%s: it changed while it was read", piece->table.path);
}

static wk_status write_item(const stream *s, const wk__csv *piece, int64_t row, float *in, void *target, int64_t item) {
    const wk__csv *p = &s->csv;
    WK_TRY(wk__csv_write(piece, row, 0, p->inputs, s->shifts, in));
    if (p->classifies) {
        ((int64_t *)target)[item] = wk__csv_word(piece, row, &p->columns[p->inputs]);
        return WK_OK;
    }
    const int64_t width = p->count - p->inputs;
    return wk__csv_write(piece, row, p->inputs, p->count, s->turns, (float *)target + item * width);
}

static wk_status rows_fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    const stream_rows *r = (const stream_rows *)self;
    const stream *s = r->stream;
    const int64_t width = self->input_dims.size[0];
    wk__csv piece = s->csv;
    int64_t open = -1;
    wk_status status = WK_OK;
    memset(input, 0, (size_t)(n * width) * sizeof(float));
    for (int64_t i = 0; i < n && status == WK_OK; i++) {
        const int64_t row = r->first + indices[i], wanted = piece_of(s, row);
        int64_t at = 0;
        if (wanted != open) {
            if (open >= 0) wk__table_free(&piece.table);
            open = wanted;
            status = wk__pieces_read(&s->pieces, wanted, &piece.table);
        }
        if (status == WK_OK) status = find_row(&piece, row - s->before[wanted], &at);
        if (status == WK_OK) status = write_item(s, &piece, at, (float *)input + i * width, target, i);
    }
    if (open >= 0) wk__table_free(&piece.table);
    return status;
}

static void rows_destroy(wk_dataset *self) {
    stream_release(((stream_rows *)self)->stream);
}

static const wk_dataset_class rows_class = {
    .name = "csv", .size = sizeof(stream_rows), .fetch = rows_fetch, .destroy = rows_destroy
};

static wk_dataset *rows_of(stream *s, int64_t first, int64_t count, int64_t block) {
    const wk__csv *p = &s->csv;
    stream_rows *r = (stream_rows *)wk_dataset_create(&rows_class);
    if (!r) return NULL;
    s->users++;
    r->stream = s;
    r->first = first;
    r->base.count = count;
    r->base.block = block;
    r->base.input_dims = WK_DIMS(wk__csv_width(p, 0, p->inputs));
    r->base.input_dtype = WK_F32;
    if (!p->classifies) r->base.target_dims = WK_DIMS(p->count - p->inputs);
    r->base.target_dtype = p->classifies ? WK_I64 : WK_F32;
    if (p->classifies) r->base.classes = (int)p->columns[p->inputs].words;
    return &r->base;
}

static wk_status make(stream *s, const char *file, bool header, wk_dataset **train, wk_dataset **evaluation) {
    wk__csv *p = &s->csv;
    const double part = wk_config_double(p->args, "val_part", 0, 0.9, 0.1);
    const int64_t block = wk_config_int(p->args, "shuffle_block", 1, INT64_C(1) << 40, 8192);
    s->shifts = wk_config_bool(p->args, "normalise", true);
    s->turns = wk_config_bool(p->args, "normalise_target", false);
    if (wk_failed()) return wk_error_code();
    WK_TRY(wk__pieces_open(&s->pieces, file, header));
    p->table = s->pieces.head;
    WK_TRY(wk__csv_columns(p));
    WK_TRY(find_words(s));
    WK_TRY(count_rows(s));
    const int64_t count = s->before[s->pieces.count];
    p->kept = (int64_t)((double)count * part + 0.5);
    p->train = count - p->kept;
    if (p->train < 1) return wk_fail(WK_FORMAT, "%s: no row is left to train on", file);
    WK_TRY(measure(s));
    p->args = NULL; /* the file's, which may go before the data */
    *train = rows_of(s, 0, p->train, block);
    if (*train && p->kept) *evaluation = rows_of(s, p->train, p->kept, block);
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_status wk__csv_stream(wk__csv *p, const char *file, bool header, wk_dataset **train, wk_dataset **evaluation) {
    stream *s = wk_alloc(sizeof *s);
    if (!s) return wk_error_code();
    s->users = 1;
    s->csv = *p;
    s->pieces.descriptor = -1;
    *p = (wk__csv){ .args = p->args };
    wk_status status = make(s, file, header, train, evaluation);
    stream_release(s);
    return status;
}
