/* tokenizer.c: the whole: opening, one text through all parts, batches. */
#include "text.h"

#include "io/file.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

struct wk__pool { /* what no thread works in at the moment */
    pthread_mutex_t lock;
    wk__work *free;
};

/* ---- opening ---- */

static wk_status make(wk_tokenizer *t) {
    const json_t *root = t->root;
    const char *version = wk__json_word(root, "version", "1.0");
    if (!json_is_object(root)) return wk_fail(WK_FORMAT, "expected a mapping, as tokenizer.json is");
    if (strcmp(version, "1.0") != 0) return wk_fail(WK_UNSUPPORTED, "version \"%s\", expected \"1.0\"", version);
    t->normaliser = wk__normaliser_make(json_object_get(root, "normalizer"));
    t->splitter = wk_failed() ? NULL : wk__splitter_make(json_object_get(root, "pre_tokenizer"));
    WK_TRY(wk_error_code());
    t->model = wk__model_make(json_object_get(root, "model"), wk__splitter_is_bytes(t->splitter));
    if (!t->model) return wk_error_code();
    WK_TRY(wk__added_make(&t->added, json_object_get(root, "added_tokens"), t->normaliser));
    t->size = (int32_t)t->model->vocabulary.size;
    for (uint32_t i = 0; i < t->added.count; i++)
        if (t->added.at[i].id >= t->size) t->size = t->added.at[i].id + 1;
    WK_TRY(wk__finisher_make(&t->finisher, root, t));
    t->decoder = wk__decoder_make(json_object_get(root, "decoder"));
    WK_TRY(wk_error_code());
    if (!(t->pool = wk_alloc(sizeof *t->pool))) return wk_error_code();
    (void)pthread_mutex_init(&t->pool->lock, NULL);
    return WK_OK;
}

wk_tokenizer *wk__tokenizer_make(json_t *root) {
    wk_tokenizer *t = wk_alloc(sizeof *t);
    if (!t) {
        json_decref(root);
        return NULL;
    }
    t->root = root;
    if (make(t) == WK_OK) return t;
    wk_tokenizer_destroy(t);
    return NULL;
}

void wk_tokenizer_destroy(wk_tokenizer *t) {
    if (!t) return;
    for (wk__work *work = t->pool ? t->pool->free : NULL; work;) {
        wk__work *next = work->next;
        wk__work_free(work);
        work = next;
    }
    if (t->pool) (void)pthread_mutex_destroy(&t->pool->lock);
    wk_free(t->pool);
    wk__decoder_free(t->decoder);
    wk__finisher_free(&t->finisher);
    wk__added_free(&t->added);
    wk__model_free(t->model);
    wk__splitter_free(t->splitter);
    wk__normaliser_free(t->normaliser);
    json_decref(t->root);
    wk_free(t);
}

static bool ends(const char *path, const char *with) {
    size_t size = strlen(path);
    return size >= strlen(with) && strcmp(path + size - strlen(with), with) == 0;
}

static wk_tokenizer *open_file(const char *path) {
    json_error_t error;
    if (ends(path, ".txt")) {
        json_t *older = wk__older_vocabulary(path, NULL);
        return older ? wk__tokenizer_make(older) : NULL;
    }
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!root && error.line <= 0) return wk_fail_null(WK_IO, "%s", error.text);
    if (!root) return wk_fail_null(WK_FORMAT, "line %d, column %d: %s", error.line, error.column, error.text);
    return wk__tokenizer_make(root);
}

static wk_tokenizer *open_folder(const char *path) {
    struct stat about;
    char *whole = wk_format("%s/tokenizer.json", path);
    if (!whole) return NULL;
    wk_tokenizer *t = NULL;
    if (stat(whole, &about) == 0) {
        t = open_file(whole);
    } else {
        json_t *root = wk__older_files(path);
        t = root ? wk__tokenizer_make(root) : NULL;
    }
    wk_free(whole);
    return t;
}

wk_tokenizer *wk_tokenizer_open(const char *path) {
    struct stat about;
    if (!path || wk_failed()) return wk_failed() ? NULL : wk_fail_null(WK_INVALID, "wk_tokenizer_open: no path");
    if (stat(path, &about) != 0) return wk_fail_null(WK_IO, "%s: no such file or folder", path);
    wk_tokenizer *t = S_ISDIR(about.st_mode) ? open_folder(path) : open_file(path);
    if (!t) wk_error_prefix("%s", path);
    return t;
}

wk_status wk_tokenizer_save(const wk_tokenizer *t, const char *path) {
    if (wk_failed()) return wk_error_code();
    char *text = json_dumps(t->root, JSON_INDENT(2));
    if (!text) return wk_fail(WK_NO_MEMORY, "%s: no memory for its text", path);
    wk_status status = wk__write_file(path, text, strlen(text));
    free(text);
    return status;
}

/* ---- tokens ---- */

int32_t wk_tokenizer_size(const wk_tokenizer *t) {
    return t->size;
}

int32_t wk_tokenizer_id(const wk_tokenizer *t, const char *token) {
    for (uint32_t i = t->added.count; i-- > 0;)
        if (strcmp(t->added.at[i].content, token) == 0) return t->added.at[i].id;
    return wk__model_find(t->model, token);
}

const char *wk_tokenizer_token(const wk_tokenizer *t, int32_t id) {
    const wk__added *a = wk__added_by_id(&t->added, id);
    return a ? a->pattern : wk__model_token(t->model, id);
}

/* ---- one text ---- */

typedef struct run { /* one text on its way */
    const wk_tokenizer *tokenizer;
    wk__work *work;
    wk__row *row;
    int32_t words; /* so far */
} run;

/* A part without added tokens, normalised. */
static wk_status encode_part(run *r, wk__line line, bool first) {
    const wk_tokenizer *t = r->tokenizer;
    const wk__spans *words = NULL;
    WK_TRY(wk__split(t->splitter, &line, first, &r->work->buffers[2], r->work->spans, &words));
    for (uint32_t i = 0; i < words->count; i++) {
        wk_span word = words->at[i];
        const wk__token *tokens = NULL;
        uint32_t count = 0;
        WK_TRY(wk__model_encode(t->model, r->work, line.bytes + word.begin, word.end - word.begin, &tokens, &count));
        uint32_t begin = word.begin;
        for (uint32_t k = 0; k < count; k++) {
            uint32_t end = word.begin + tokens[k].end;
            wk_span from = wk__line_from(&line, begin, end > begin ? end : begin + 1);
            if (!wk__row_add(r->row, tokens[k].id, r->words, from)) return wk_error_code();
            begin = end;
        }
        r->words++;
    }
    return WK_OK;
}

static wk_status put_added(run *r, const wk__added *added, const wk__line *line, wk_span found) {
    uint32_t size = 0;
    bool trims = r->tokenizer->finisher.trim; /* the spaces it took along do not count */
    while (trims && found.begin < found.end && wk__is_space(wk__utf8(line->bytes + found.begin, &size)))
        found.begin += size;
    wk_span from = found.begin < found.end ? wk__line_from(line, found.begin, found.end) : (wk_span){ 0 };
    return wk__row_add(r->row, added->id, r->words++, from) ? WK_OK : wk_error_code();
}

static wk__line part_of(const wk__line *line, uint32_t begin, uint32_t end) {
    return (wk__line){ .bytes = line->bytes + begin,
                       .from = line->from ? line->from + begin : NULL,
                       .size = end - begin,
                       .shift = line->shift + begin };
}

/* Cut out those that are looked for in the normalised text. */
static wk_status encode_normalised(run *r, const wk__line *line, bool first) {
    wk_span found;
    uint32_t at = 0;
    const wk__added *added = NULL;
    while ((added = wk__added_next(&r->tokenizer->added, true, line, at, &found))) {
        if (found.begin > at) WK_TRY(encode_part(r, part_of(line, at, found.begin), first && at == 0));
        WK_TRY(put_added(r, added, line, found));
        at = found.end;
    }
    return at < line->size ? encode_part(r, part_of(line, at, line->size), first && at == 0) : WK_OK;
}

static wk_status encode_raw(run *r, const wk__line *text, uint32_t begin, uint32_t end) {
    wk__line line;
    if (begin >= end) return WK_OK;
    WK_TRY(wk__normalise(r->tokenizer->normaliser, part_of(text, begin, end), r->work->buffers, &line));
    return encode_normalised(r, &line, begin == 0);
}

static wk_status encode_text(run *r, const char *text, size_t size) {
    wk_span found;
    uint32_t at = 0;
    const wk__added *added = NULL;
    if (size > UINT32_MAX / 2) return wk_fail(WK_INVALID, "text: %zu bytes, at most 2 GiB at once", size);
    WK_TRY(wk__utf8_check(text, size));
    wk__line line = { .bytes = text, .size = (uint32_t)size };
    while ((added = wk__added_next(&r->tokenizer->added, false, &line, at, &found))) {
        WK_TRY(encode_raw(r, &line, at, found.begin));
        WK_TRY(put_added(r, added, &line, found));
        at = found.end;
    }
    return encode_raw(r, &line, at, line.size);
}

/* ---- offsets of words that begin with a space ---- */

/* Spaces at the ends of a token's spelling do not count, as `trim_offsets` of the file says. */
static void trim(const wk_tokenizer *t, wk__row *row) {
    for (uint32_t i = 0; i < row->count; i++) {
        const wk__vocabulary *v = &t->model->vocabulary;
        int32_t id = row->ids[i];
        wk_span *from = &row->offsets[i];
        bool known = !wk__added_by_id(&t->added, id) && (uint32_t)id < v->size;
        const char *token = known ? v->bytes + v->begin[id] : "";
        uint32_t size = known ? wk__vocabulary_length(v, id) : 0;
        uint32_t left = 0;
        uint32_t right = 0;
        while (left < size && token[left] == ' ') left++;
        while (right < size && token[size - 1 - right] == ' ') right++;
        bool put = left == 1 && t->finisher.prefix && (i == 0 || from->begin == 0); /* the one that was put there */
        if (put && size == 1) from->end = from->begin;
        if (put) left = right = 0;
        from->begin = from->begin + left < from->end ? from->begin + left : from->end;
        if (right && from->end >= right) from->end = from->end - right > from->begin ? from->end - right : from->begin;
    }
}

/* ---- threads ---- */

static wk__work *take(const wk_tokenizer *t) {
    (void)pthread_mutex_lock(&t->pool->lock);
    wk__work *work = t->pool->free;
    if (work) t->pool->free = work->next;
    (void)pthread_mutex_unlock(&t->pool->lock);
    return work ? work : wk_alloc(sizeof *work);
}

static void give(const wk_tokenizer *t, wk__work *work) {
    (void)pthread_mutex_lock(&t->pool->lock);
    work->next = t->pool->free;
    t->pool->free = work;
    (void)pthread_mutex_unlock(&t->pool->lock);
}

static wk_status encode_row(const wk_tokenizer *t, wk__work *work, const char *text, size_t size, wk__row *row) {
    run r = { t, work, row, 0 };
    WK_TRY(encode_text(&r, text, size));
    if (t->finisher.trim) trim(t, row);
    return WK_OK;
}

wk_encoding *wk_tokenizer_encode_bytes(const wk_tokenizer *t, const char *text, size_t size, const char *pair,
                                       size_t pair_size, wk_encode_opts opts) {
    wk__row rows[2] = { 0 };
    wk_encoding *e = NULL;
    if (wk_failed()) return NULL;
    wk__work *work = take(t);
    if (!work) return NULL;
    wk_status status = encode_row(t, work, text, size, &rows[0]);
    if (status == WK_OK && pair) status = encode_row(t, work, pair, pair_size, &rows[1]);
    give(t, work);
    if (status == WK_OK) e = wk__finish(&t->finisher, &rows[0], pair ? &rows[1] : NULL, opts);
    wk__row_free(&rows[0]);
    wk__row_free(&rows[1]);
    if (e && opts.padding != WK_PAD_LONGEST
        && wk__pad(&t->finisher, e, wk__pad_length(&t->finisher, opts, e->count)) != WK_OK) {
        wk_encoding_free(e);
        return NULL;
    }
    return e;
}

wk_encoding *wk_tokenizer_encode(const wk_tokenizer *t, const char *text, const char *pair, wk_encode_opts opts) {
    return wk_tokenizer_encode_bytes(t, text, strlen(text), pair, pair ? strlen(pair) : 0, opts);
}

/* ---- batches ---- */

static wk_status to_tensors(wk_encoding *const *rows, int64_t n, wk_tensor **ids, wk_tensor **mask, wk_tensor **types) {
    int64_t length = n > 0 ? rows[0]->count : 0;
    wk_tensor **wanted[] = { ids, mask, types };
    int64_t *data[WK_COUNT(wanted)] = { 0 };
    for (size_t i = 0; i < WK_COUNT(wanted); i++) {
        if (!wanted[i]) continue;
        *wanted[i] = wk_empty(WK_I64, WK_DIMS(n, length));
        if (!*wanted[i]) return wk_error_code();
        data[i] = wk_data(*wanted[i]);
    }
    for (int64_t i = 0; i < n * length; i++) {
        const wk_encoding *e = rows[i / length];
        data[0][i] = e->ids[i % length];
        if (mask) data[1][i] = e->attention[i % length];
        if (types) data[2][i] = e->type_ids[i % length];
    }
    return WK_OK;
}

wk_status wk_tokenizer_batch(const wk_tokenizer *t, const char *const *texts, const char *const *pairs, int64_t n,
                             wk_encode_opts opts, wk_tensor **ids, wk_tensor **mask, wk_tensor **types) {
    wk_encode_opts each = opts;
    int32_t longest = 0;
    if (wk_failed()) return wk_error_code();
    wk_encoding **rows = wk_alloc((size_t)(n + 1) * sizeof *rows);
    if (!rows) return wk_error_code();
    each.padding = WK_PAD_NEVER;
    for (int64_t i = 0; i < n && !wk_failed(); i++) {
        rows[i] = wk_tokenizer_encode(t, texts[i], pairs ? pairs[i] : NULL, each);
        if (!rows[i]) wk_error_prefix("text %lld", (long long)i);
        if (rows[i] && rows[i]->count > longest) longest = rows[i]->count;
    }
    int32_t length = wk__pad_length(&t->finisher, opts, longest);
    if (length < longest) length = longest; /* a batch is a rectangle */
    for (int64_t i = 0; i < n && !wk_failed(); i++) (void)wk__pad(&t->finisher, rows[i], length);
    if (!wk_failed()) (void)to_tensors(rows, n, ids, mask, types);
    for (int64_t i = 0; i < n; i++) wk_encoding_free(rows[i]);
    wk_free(rows);
    return wk_error_code();
}

/* ---- back ---- */

char *wk_tokenizer_decode(const wk_tokenizer *t, const int32_t *ids, int64_t count, bool skip_special, size_t *size) {
    wk_text out = { 0 };
    size_t kept = 0;
    if (wk_failed()) return NULL;
    const char **tokens = wk_alloc(((size_t)count + 1) * sizeof *tokens);
    if (!tokens) return NULL;
    for (int64_t i = 0; i < count; i++) {
        const wk__added *a = wk__added_by_id(&t->added, ids[i]);
        const char *token = wk_tokenizer_token(t, ids[i]);
        if (token && !(skip_special && a && a->special)) tokens[kept++] = token;
    }
    (void)wk__decode(t->decoder, tokens, kept, &out);
    wk_free(tokens);
    if (size) *size = out.size;
    if (!wk_failed()) return out.data;
    wk_text_free(&out);
    return NULL;
}
