/* labelled_texts.c: data "labelled_texts": a column of texts (or two, as pairs) and one of their classes.
 *
 * Texts become tokens once, when the run begins.  An item is (3, length) of i64: tokens, segments, and 1 where there is
 * a token; all items are as long as the longest, so that steps repeat.
 */
#include "tasks/table.h"
#include "tasks/tasks.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_CLASSES = 4096 };

/* Shared by the data to train on and to evaluate on. */
typedef struct corpus {
    int users;
    wk_tokenizer *tokenizer;
    int32_t pad, length;
    int64_t count;
    wk_encoding **text; /* (count) */
    int64_t *label;     /* (count) */
    char **names;       /* of the classes, ended by NULL */
    int64_t classes;
} corpus;

typedef struct texts {
    wk_dataset base;
    corpus *corpus;
    int64_t *item; /* (base.count) of the corpus */
} texts;

static void corpus_release(corpus *c) {
    if (!c || --c->users > 0) return;
    for (int64_t i = 0; c->text && i < c->count; i++) wk_encoding_free(c->text[i]);
    for (int64_t i = 0; c->names && i < c->classes; i++) wk_free(c->names[i]);
    wk_free(c->text);
    wk_free(c->label);
    wk_free(c->names);
    wk_tokenizer_destroy(c->tokenizer);
    wk_free(c);
}

static wk_status texts_fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    const texts *d = (const texts *)self;
    const corpus *c = d->corpus;
    int64_t *in = input, *out = target;
    for (int64_t i = 0; i < n; i++, in += 3 * (int64_t)c->length) {
        const int64_t item = d->item[indices[i]];
        const wk_encoding *e = c->text[item];
        out[i] = c->label[item];
        for (int32_t k = 0; k < c->length; k++) {
            const bool is_there = k < e->count;
            in[k] = is_there ? e->ids[k] : c->pad;
            in[c->length + k] = is_there ? e->type_ids[k] : 0;
            in[2 * c->length + k] = is_there;
        }
    }
    return WK_OK;
}
static void texts_destroy(wk_dataset *self) {
    corpus_release(((texts *)self)->corpus);
    wk_free(((texts *)self)->item);
}
static const wk_dataset_class texts_class = {
    .name = "labelled_texts", .size = sizeof(texts), .fetch = texts_fetch, .destroy = texts_destroy
};

static const corpus *corpus_of(const wk_dataset *data) {
    return data && data->class_ == &texts_class ? ((const texts *)data)->corpus : NULL;
}
const wk_tokenizer *wk__labelled_texts_tokenizer(const wk_dataset *data) {
    const corpus *c = corpus_of(data);
    return c ? c->tokenizer : NULL;
}
const char *const *wk__labelled_texts_labels(const wk_dataset *data) {
    const corpus *c = corpus_of(data);
    return c ? (const char *const *)c->names : NULL;
}

static wk_dataset *texts_of(corpus *c, const int64_t *items, int64_t count) {
    texts *d = (texts *)wk_dataset_create(&texts_class);
    if (!d) return NULL;
    c->users++;
    d->corpus = c;
    d->item = wk_alloc((size_t)(count + 1) * sizeof *d->item);
    if (d->item) memcpy(d->item, items, (size_t)count * sizeof *d->item);
    d->base.count = count;
    d->base.input_dims = WK_DIMS(3, c->length);
    d->base.target_dims = WK_SCALAR;
    d->base.input_dtype = d->base.target_dtype = WK_I64;
    d->base.classes = (int)c->classes;
    if (!wk_failed()) return &d->base;
    wk_dataset_destroy(&d->base);
    return NULL;
}

/* ---- classes: those that the file lists, or the words that occur, sorted ---- */

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static wk_status find_classes(corpus *c, const wk_config *args, const wk__table *t, int64_t column) {
    const char **word = wk_alloc((size_t)(t->rows + MOST_CLASSES) * sizeof *word);
    if (!word) return wk_error_code();
    int64_t count = wk_config_strings(args, "labels", word, MOST_CLASSES), kept = 0;
    if (count == 0) {
        for (int64_t i = 0; i < t->rows; i++) word[count++] = wk__table_cell(t, i, column);
        qsort(word, (size_t)count, sizeof *word, by_text);
        for (int64_t i = 0; i < count; i++)
            if (kept == 0 || strcmp(word[kept - 1], word[i]) != 0) word[kept++] = word[i];
        count = kept;
    }
    if (!wk_failed() && (count < 2 || count > MOST_CLASSES))
        (void)wk_fail(WK_CONFIG, "%s: column \"%s\" has %lld classes, expected 2 to %d", t->path, t->name[column],
                      (long long)count, MOST_CLASSES);
    c->names = wk_failed() ? NULL : wk_alloc((size_t)(count + 1) * sizeof *c->names);
    for (int64_t i = 0; c->names && i < count && (c->names[i] = wk_strdup(word[i])); i++) c->classes++;
    wk_free(word);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status label_of(const corpus *c, const wk__table *t, int64_t row, int64_t column, int64_t *label) {
    const char *word = wk__table_cell(t, row, column);
    for (*label = 0; *label < c->classes; ++*label)
        if (strcmp(c->names[*label], word) == 0) return WK_OK;
    return wk__table_fail(t, row, "\"%s\" in column \"%s\" is none of the %lld classes", word, t->name[column],
                          (long long)c->classes);
}

/* ---- reading ---- */

/* All rows of a table, behind those that are there. */
static wk_status add_rows(corpus *c, const wk_config *args, const wk__table *t) {
    const char *pair_name = wk_config_string(args, "pair", NULL);
    const wk_encode_opts opts = { .truncation = WK_TRUNCATE_LONGEST_FIRST,
                                  .padding = WK_PAD_NEVER,
                                  .max_length = (int32_t)wk_config_int(args, "max_length", 4, 1 << 16, 128) };
    const int64_t text = wk__table_column(t, wk_config_string(args, "text", "text")),
                  label = wk__table_column(t, wk_config_string(args, "label", "label")),
                  pair = pair_name ? wk__table_column(t, pair_name) : -1;
    if (wk_failed() || (!c->names && find_classes(c, args, t, label) != WK_OK)) return wk_error_code();
    const size_t all = (size_t)(c->count + t->rows);
    wk_encoding **grown = wk_realloc(c->text, all * sizeof *grown);
    if (grown) c->text = grown;
    int64_t *labels = grown ? wk_realloc(c->label, all * sizeof *labels) : NULL;
    if (!labels) return wk_error_code();
    c->label = labels;
    for (int64_t i = 0; i < t->rows; i++) {
        WK_TRY(label_of(c, t, i, label, &c->label[c->count]));
        wk_encoding *e = wk_tokenizer_encode(c->tokenizer, wk__table_cell(t, i, text),
                                             pair >= 0 ? wk__table_cell(t, i, pair) : NULL, opts);
        if (!e) {
            wk_error_prefix("%s:%lld", t->path, (long long)t->line[i]);
            return wk_error_code();
        }
        c->text[c->count++] = e;
        if (e->count > c->length) c->length = e->count;
    }
    return WK_OK;
}

static wk_status add_file(corpus *c, const wk_config *args, const char *path) {
    wk__table table;
    wk_status status = wk__table_read(&table, path, true);
    if (status == WK_OK) status = add_rows(c, args, &table);
    wk__table_free(&table);
    return status;
}

static wk_status open_tokenizer(corpus *c, const wk_config *args) {
    static const char *const pads[] = { "[PAD]", "<pad>" };
    c->tokenizer = wk_tokenizer_open(wk_config_string(args, "tokenizer", ""));
    for (size_t i = 0; c->tokenizer && i < WK_COUNT(pads); i++)
        if (wk_tokenizer_id(c->tokenizer, pads[i]) >= 0) c->pad = wk_tokenizer_id(c->tokenizer, pads[i]);
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* Items [0, first) to train on, and the others: of a file of their own, or drawn. */
static wk_status divide(corpus *c, const wk_config *args, int64_t first, wk_dataset **train, wk_dataset **evaluation) {
    const double part = wk_config_double(args, "val_part", 0, 0.9, 0.1);
    const uint64_t seed = (uint64_t)wk_config_int(args, "split_seed", 0, INT64_MAX, 0);
    int64_t kept = c->count - first;
    int64_t *order = wk_failed() ? NULL : wk__split_rows(c->count, kept ? 0 : part, seed, &first);
    if (!order) return wk_error_code();
    if (!kept) kept = first;
    *train = texts_of(c, order, c->count - kept);
    if (*train && kept) *evaluation = texts_of(c, order + c->count - kept, kept);
    wk_free(order);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status build(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    const char *file = wk_config_string(args, "file", ""), *val = wk_config_string(args, "val", NULL);
    corpus *c = wk_failed() ? NULL : wk_alloc(sizeof *c);
    if (!c) return wk_error_code();
    c->users = 1;
    wk_status status = open_tokenizer(c, args);
    if (status == WK_OK) status = add_file(c, args, file);
    const int64_t first = c->count;
    if (status == WK_OK && val) status = add_file(c, args, val);
    if (status == WK_OK) status = divide(c, args, first, train, evaluation);
    if (status != WK_OK) wk_error_prefix("data \"labelled_texts\"");
    corpus_release(c);
    return status;
}

static const wk_arg args[] = {
    { "file", WK_ARG_TEXT, NULL, "a table with a header: .csv, .tsv, or .jsonl (an object a line)" },
    { "val", WK_ARG_TEXT, "", "one to evaluate on" },
    { "val_part", WK_ARG_NUMBER, "0.1", "without it: the part of the rows that is kept for that" },
    { "split_seed", WK_ARG_INT, "0", "draws them" },
    { "tokenizer", WK_ARG_TEXT, NULL, "tokenizer.json, vocab.txt, or a folder with one" },
    { "text", WK_ARG_TEXT, "text", "the column of the texts" },
    { "pair", WK_ARG_TEXT, "", "and that of a second text for each" },
    { "label", WK_ARG_TEXT, "label", "that of the classes" },
    { "labels", WK_ARG_LIST, "", "the classes in their order; sorted as found" },
    { "max_length", WK_ARG_INT, "128", "tokens, with what is put in; longer texts are cut" },
    { "batch_size", WK_ARG_INT, "64", "items a rank takes at a time" },
    { "workers", WK_ARG_INT, "1", "threads that fetch batches" },
    { "shuffle", WK_ARG_BOOL, "true", "train in another order in each epoch" },
    { NULL, WK_ARG_INT, NULL, NULL },
};
const wk_data_entry wk__labelled_texts = { { "labelled_texts", "texts and their classes in a table", args }, build };
