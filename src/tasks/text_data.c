/* text_data.c: data "text": a file as tokens, cut into windows, each with the same tokens one place on as its target.
 *
 * The end of the text is kept for evaluation.  All of it is turned into tokens at once, when the run begins: a word
 * that a window cuts is the same tokens as elsewhere.
 */
#include "tasks/tasks.h"

#include "io/file.h"

#include <string.h>

enum { MOST_BYTES = 1 << 30 };

/* Shared by the data to train on and to evaluate on. */
typedef struct corpus {
    int users;
    wk_tokenizer *tokenizer;
    wk_encoding *encoding;
} corpus;

typedef struct windows {
    wk_dataset base;
    corpus *corpus;
    const int32_t *token; /* the first of this part */
    int64_t length, stride;
} windows;

static void corpus_release(corpus *c) {
    if (!c || --c->users > 0) return;
    wk_encoding_free(c->encoding);
    wk_tokenizer_destroy(c->tokenizer);
    wk_free(c);
}

static wk_status windows_fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    const windows *w = (const windows *)self;
    int64_t *in = input, *out = target;
    for (int64_t i = 0; i < n; i++) {
        const int32_t *token = w->token + indices[i] * w->stride;
        for (int64_t k = 0; k < w->length; k++) *in++ = token[k], *out++ = token[k + 1];
    }
    return WK_OK;
}
static void windows_destroy(wk_dataset *self) {
    corpus_release(((windows *)self)->corpus);
}
static const wk_dataset_class windows_class = {
    .name = "text", .size = sizeof(windows), .fetch = windows_fetch, .destroy = windows_destroy
};

const wk_tokenizer *wk__text_data_tokenizer(const wk_dataset *data) {
    return data && data->class_ == &windows_class ? ((const windows *)data)->corpus->tokenizer : NULL;
}

static wk_dataset *windows_of(corpus *c, const int32_t *token, int64_t count, int64_t length, int64_t stride) {
    windows *w = (windows *)wk_dataset_create(&windows_class);
    if (!w) return NULL;
    c->users++;
    w->corpus = c, w->token = token, w->length = length, w->stride = stride;
    w->base.count = (count - 1 - length) / stride + 1;
    w->base.input_dims = w->base.target_dims = WK_DIMS(length);
    w->base.input_dtype = w->base.target_dtype = WK_I64;
    w->base.classes = wk_tokenizer_size(c->tokenizer);
    return &w->base;
}

static wk_status read_corpus(const wk_config *args, corpus *c) {
    const char *file = wk_config_string(args, "file", ""), *kind = wk_config_string(args, "tokenizer", "characters");
    size_t size = 0;
    char *text = wk_failed() ? NULL : wk__read_file(file, MOST_BYTES, &size);
    if (text)
        c->tokenizer = strcmp(kind, "characters") == 0 ? wk_tokenizer_characters(text, size) : wk_tokenizer_open(kind);
    if (c->tokenizer)
        c->encoding = wk_tokenizer_encode_bytes(
            c->tokenizer, text, size, NULL, 0,
            (wk_encode_opts){ .plain = true, .truncation = WK_TRUNCATE_NEVER, .padding = WK_PAD_NEVER });
    wk_free(text);
    if (c->encoding) return WK_OK;
    wk_error_prefix("data \"text\", file %s", file);
    return wk_error_code();
}

static wk_status cut(const wk_config *args, corpus *c, wk_dataset **train, wk_dataset **evaluation) {
    const int64_t length = wk_config_int(args, "length", 1, 1 << 20, 128),
                  stride = wk_config_int(args, "stride", 1, 1 << 20, length), count = c->encoding->count;
    const double part = wk_config_double(args, "val_part", 0, 0.9, 0.1);
    const int64_t kept = (int64_t)((double)count * part), first = count - kept;
    if (wk_failed()) return wk_error_code();
    if (first <= length || (kept > 0 && kept <= length))
        return wk_config_fail(
            args, "length",
            "the text has %lld tokens, %lld of them kept for evaluation: windows of %lld and the token "
            "behind do not fit into both; a longer text, a smaller length, or val_part: 0",
            (long long)count, (long long)kept, (long long)length);
    const int32_t *token = c->encoding->ids;
    *train = windows_of(c, token, first, length, stride);
    if (*train && kept > 0) *evaluation = windows_of(c, token + first, kept, length, length);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status build(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    corpus *c = wk_alloc(sizeof *c);
    if (!c) return wk_error_code();
    c->users = 1;
    wk_status status = read_corpus(args, c);
    if (status == WK_OK) status = cut(args, c, train, evaluation);
    corpus_release(c);
    return status;
}

static const wk_arg args[] = {
    { "file", WK_ARG_TEXT, NULL, "a text in UTF-8" },
    { "tokenizer", WK_ARG_TEXT, "characters", "the text's own characters; or a tokenizer.json, vocab.txt or folder" },
    { "length", WK_ARG_INT, "128", "tokens of an item" },
    { "stride", WK_ARG_INT, "", "tokens from one training item to the next; length" },
    { "val_part", WK_ARG_NUMBER, "0.1", "of the tokens, from the end, to evaluate on" },
    { "batch_size", WK_ARG_INT, "64", "items a rank takes at a time" },
    { "workers", WK_ARG_INT, "1", "threads that fetch batches" },
    { "shuffle", WK_ARG_BOOL, "true", "train in another order in each epoch" },
    { NULL, WK_ARG_INT, NULL, NULL },
};
const wk_data_entry wk__text_data = { { "text", "a text, to tell each next token", args }, build };
