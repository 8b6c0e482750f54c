/* tokens.c: data "tokens": a file of tokens' numbers, cut into windows as a text is (text_data.c).
 *
 * The file is mapped: windows are read where they lie, so it may be larger than memory.  Numbers are looked at when
 * they are fetched; one that is no token is an error with its place.
 */
#include "tasks/tasks.h"

#include "io/file.h"

#include <string.h>

typedef enum width { U16, U32, I32 } width;

/* Shared by the data to train on and to evaluate on. */
typedef struct shelf {
    int users;
    char *path;
    wk__mapping mapping;
    int64_t header, vocabulary;
    width width;
} shelf;

typedef struct token_windows {
    wk_dataset base;
    shelf *shelf;
    int64_t first, length, stride; /* first: the first token of this part */
} token_windows;

static void shelf_release(shelf *s) {
    if (!s || --s->users > 0) return;
    wk__unmap(&s->mapping);
    wk_free(s->path);
    wk_free(s);
}

static int64_t token_size(width of) {
    return of == U16 ? 2 : 4;
}

/* -1 with an error pending for what is no token. */
static int64_t token_at(const shelf *s, int64_t place) {
    const char *at = (const char *)s->mapping.data + s->header + place * token_size(s->width);
    int64_t token = -1;
    uint16_t narrow;
    uint32_t wide;
    if (s->width == U16) {
        memcpy(&narrow, at, sizeof narrow);
        token = narrow;
    } else {
        memcpy(&wide, at, sizeof wide);
        token = s->width == I32 ? (int32_t)wide : (int64_t)wide;
    }
    if (token >= 0 && token < s->vocabulary) return token;
    (void)wk_fail(WK_FORMAT, "%s: token %lld is %lld, expected 0 to %lld (another dtype, vocabulary or header?)",
                  s->path, (long long)place, (long long)token, (long long)s->vocabulary - 1);
    return -1;
}

static wk_status windows_fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    const token_windows *w = (const token_windows *)self;
    for (int64_t i = 0; i < n; i++) {
        int64_t *in = (int64_t *)input + i * w->length, *out = (int64_t *)target + i * w->length;
        const int64_t first = w->first + indices[i] * w->stride;
        for (int64_t k = 0; k <= w->length; k++) {
            const int64_t token = token_at(w->shelf, first + k);
            if (token < 0) return wk_error_code();
            if (k < w->length) in[k] = token;
            if (k > 0) out[k - 1] = token;
        }
    }
    return WK_OK;
}

static void windows_destroy(wk_dataset *self) {
    shelf_release(((token_windows *)self)->shelf);
}

static const wk_dataset_class windows_class = {
    .name = "tokens", .size = sizeof(token_windows), .fetch = windows_fetch, .destroy = windows_destroy
};

static wk_dataset *windows_of(shelf *s, const token_windows *like, int64_t first, int64_t count, int64_t stride) {
    token_windows *w = (token_windows *)wk_dataset_create(&windows_class);
    if (!w) return NULL;
    s->users++;
    w->shelf = s;
    w->first = first;
    w->length = like->length;
    w->stride = stride;
    w->base.count = (count - 1 - w->length) / stride + 1;
    w->base.block = like->base.block;
    w->base.input_dims = w->base.target_dims = WK_DIMS(w->length);
    w->base.input_dtype = w->base.target_dtype = WK_I64;
    w->base.classes = (int)s->vocabulary;
    return &w->base;
}

static wk_status open_shelf(const wk_config *args, shelf *s, int64_t *count) {
    static const char *const widths[] = { "u16", "u32", "i32", NULL };
    const char *file = wk_config_string(args, "file", "");
    s->width = (width)wk_config_choice(args, "dtype", widths, U16);
    s->header = wk_config_int(args, "header", 0, 1 << 20, 0);
    s->vocabulary = wk_config_int(args, "vocabulary", 1, INT32_MAX, 1);
    if (wk_failed() || !(s->path = wk_strdup(file))) return wk_error_code();
    WK_TRY(wk__map(file, &s->mapping));
    const int64_t bytes = (int64_t)s->mapping.size - s->header;
    if (bytes < 0 || bytes % token_size(s->width))
        return wk_fail(WK_FORMAT, "%s: %zu bytes are no header of %lld and whole tokens of %lld", file, s->mapping.size,
                       (long long)s->header, (long long)token_size(s->width));
    *count = bytes / token_size(s->width);
    return WK_OK;
}

static wk_status cut(const wk_config *args, shelf *s, wk_dataset **train, wk_dataset **evaluation) {
    int64_t count = 0;
    WK_TRY(open_shelf(args, s, &count));
    token_windows like = { .length = wk_config_int(args, "length", 1, 1 << 20, 128) };
    like.base.block = wk_config_int(args, "shuffle_block", 0, INT64_C(1) << 40, 0);
    const int64_t stride = wk_config_int(args, "stride", 1, 1 << 20, like.length);
    const double part = wk_config_double(args, "val_part", 0, 0.9, 0.1);
    const int64_t kept = (int64_t)((double)count * part), first = count - kept;
    if (wk_failed()) return wk_error_code();
    if (first <= like.length || (kept > 0 && kept <= like.length))
        return wk_config_fail(args, "length",
                              "there are %lld tokens, %lld of them kept for evaluation: windows of %lld and the token "
                              "behind do not fit into both",
                              (long long)count, (long long)kept, (long long)like.length);
    *train = windows_of(s, &like, 0, first, stride);
    if (*train && kept > 0) *evaluation = windows_of(s, &like, first, kept, like.length);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status build(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    shelf *s = wk_alloc(sizeof *s);
    if (!s) return wk_error_code();
    s->users = 1;
    wk_status status = cut(args, s, train, evaluation);
    shelf_release(s);
    return status;
}

static const wk_arg args[] = {
    { "file", WK_ARG_TEXT, NULL, "tokens' numbers, one behind the other, in this machine's order of bytes" },
    { "vocabulary", WK_ARG_INT, NULL, "they are below this" },
    { "dtype", WK_ARG_TEXT, "u16", "u16, u32, i32" },
    { "header", WK_ARG_INT, "0", "bytes before the first" },
    { "length", WK_ARG_INT, "128", "tokens of an item" },
    { "stride", WK_ARG_INT, "", "tokens from one training item to the next; length" },
    { "val_part", WK_ARG_NUMBER, "0.1", "of the tokens, from the end, to evaluate on" },
    { "shuffle_block", WK_ARG_INT, "0", "so many neighbours are shuffled together; 0: all" },
    { "batch_size", WK_ARG_INT, "64", "items a rank takes at a time" },
    { "workers", WK_ARG_INT, "1", "threads that fetch batches" },
    { "shuffle", WK_ARG_BOOL, "true", "train in another order in each epoch" },
    { NULL, WK_ARG_INT, NULL, NULL },
};
const wk_data_entry wk__tokens_data = { { "tokens", "a file of tokens' numbers, which stays where it is", args },
                                        build };
