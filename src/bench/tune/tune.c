/* tune.c: `wick bench tune`: which implementation computes which products and convolutions fastest on this machine, as
 * a table that every later process loads (docs/tuning.md).
 */
#define WK_NO_CALL_SITES
#include "bench/tune/tune.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

typedef struct tune_opts {
    const char *pattern, *path;
    int threads, dtype; /* dtype -1: both */
    double seconds;     /* for each timing */
    int64_t shape[WK__TUNED_SIZES];
    int sizes; /* how many of the shape were given; 0: all buckets */
} tune_opts;

typedef struct walk {
    const tune_opts *opts;
    int threads, buckets, lines;
    wk_text found, measured;
} walk;

/* ---- the buckets of one operation ---- */

/* Products: M x N x K, or B x M x N x K; convolutions: N x C x K x SIDE. */
static bool fix_shape(const walk *w, wk__tune_case *c) {
    int given = w->opts->sizes, first = 4 - given;
    for (int i = 0; i < given; i++) {
        c->size[first + i] = w->opts->shape[i];
        if (wk__tuned_step_of(c->bucket.op, first + i, w->opts->shape[i]) != c->bucket.step[first + i]) return false;
    }
    bool other_batch = given > 0 && first > 0 && c->bucket.op == WK__TUNED_PRODUCT && c->bucket.step[0] > 0;
    return !other_batch;
}

/* Sizes from steps; false: not to be measured. */
static bool set_sizes(const walk *w, wk__tune_case *c) {
    for (int i = 0; i < wk__tuned_sizes(c->bucket.op); i++)
        c->size[i] = wk__tuned_step_get(c->bucket.op, i, c->bucket.step[i]).middle;
    bool by_threads = c->bucket.op == WK__TUNED_CONV_WEIGHT;
    if (by_threads && c->bucket.step[4] && w->threads < 2) return false;
    c->threads = by_threads && !c->bucket.step[4] ? 1 : w->threads;
    return fix_shape(w, c) && wk__tune_exists(c) && (w->opts->sizes || wk__tune_is_worth(c));
}

static wk_status measure(walk *w, wk__tune_case *c) {
    char line[500], bucket[240];
    if (!set_sizes(w, c)) return WK_OK;
    WK_TRY(wk__tune_case_begin(c));
    wk_status status = wk__tune_contest(c, w->opts->seconds, line, sizeof line);
    wk__tune_case_end(c);
    WK_TRY(status);
    wk__tune_bucket_text(&c->bucket, bucket, sizeof bucket);
    wk_text_printf(&w->measured, "%s\n", bucket);
    w->buckets++;
    if (!*line) return WK_OK;
    wk_text_printf(&w->found, "%s\n", line);
    w->lines++;
    (void)printf("%s\n", line);
    (void)fflush(stdout);
    return WK_OK;
}

/* The next combination of steps; false after the last. */
static bool advance(wk__bucket *bucket) {
    for (int i = wk__tuned_sizes(bucket->op) - 1; i >= 0; i--) {
        if (++bucket->step[i] < wk__tuned_steps(bucket->op, i)) return true;
        bucket->step[i] = 0;
    }
    return false;
}

/* The pattern names operations, or one's forms: "conv2d", "conv2d/3x3".  Both operands turned is what no layer asks
 * for.
 */
static bool is_asked(const tune_opts *opts, wk__tuned_op op, int form) {
    char name[60];
    (void)snprintf(name, sizeof name, "%s/%s", wk__tuned_op_names[op], wk__tuned_form_name(op, form));
    bool rare = op == WK__TUNED_PRODUCT && form == 3;
    return fnmatch(opts->pattern, name, 0) == 0 || (!rare && fnmatch(opts->pattern, wk__tuned_op_names[op], 0) == 0);
}

static wk_status walk_form(walk *w, wk__tuned_op op, int dtype, int form) {
    wk__tune_case c = { .bucket = { .op = op, .dtype = dtype, .form = form } };
    do WK_TRY(measure(w, &c));
    while (advance(&c.bucket));
    return WK_OK;
}

static wk_status walk_op(walk *w, wk__tuned_op op) {
    for (int dtype = 0; dtype < WK__TUNED_DTYPES; dtype++) {
        if (w->opts->dtype >= 0 && w->opts->dtype != dtype) continue;
        for (int form = 0; form < WK__TUNED_FORMS; form++)
            if (is_asked(w->opts, op, form)) WK_TRY(walk_form(w, op, dtype, form));
    }
    return WK_OK;
}

/* ---- all of it ---- */

static wk_status check_op(const tune_opts *opts, wk__tuned_op op, bool *any) {
    bool asked = false, product = op == WK__TUNED_PRODUCT;
    for (int form = 0; form < WK__TUNED_FORMS; form++) asked = asked || is_asked(opts, op, form);
    *any = *any || asked;
    if (!asked || opts->sizes == 0 || opts->sizes == 4 || (opts->sizes == 3 && product)) return WK_OK;
    return wk_fail(WK_CONFIG, "--shape has %d numbers, expected %s for %s", opts->sizes,
                   product ? "MxNxK or BxMxNxK" : "NxCxKxSIDE", wk__tuned_op_names[op]);
}

static wk_status check(const tune_opts *opts) {
    bool any = false;
    for (int op = 0; op < WK__TUNED_OPS; op++) WK_TRY(check_op(opts, (wk__tuned_op)op, &any));
    if (!any)
        return wk_fail(WK_NOT_FOUND,
                       "nothing that is tuned is called \"%s\"; there are product, conv2d, conv2d_backward_input and "
                       "conv2d_backward_weight, each also as NAME/FORM",
                       opts->pattern);
    if (!*wk__onednn_version())
        return wk_fail(WK_UNSUPPORTED, "this Wick is built without libraries (WICK_LIBRARIES=OFF): there is no choice");
    return WK_OK;
}

static wk_status tune(const tune_opts *opts) {
    WK_TRY(check(opts));
    const char *path = opts->path ? opts->path : wk__tuning()->own;
    if (!*path) return wk_fail(WK_CONFIG, "there is no place for a table: HOME is not set; -o names a file");
    WK_TRY(wk__tune_check_file(path));
    wk_set_threads(opts->threads);
    walk w = { .opts = opts, .threads = wk_threads() };
    wk_status status = WK_OK;
    int kept = 0;
    for (int op = 0; op < WK__TUNED_OPS && status == WK_OK; op++) status = walk_op(&w, (wk__tuned_op)op);
    if (status == WK_OK && (w.found.failed || w.measured.failed))
        status = wk_fail(WK_NO_MEMORY, "no memory for what was measured");
    if (status == WK_OK)
        status = wk__tune_write(path, wk_text_get(&w.found), wk_text_get(&w.measured), w.threads, &kept);
    if (status == WK_OK)
        (void)printf("%d buckets measured, %d better computed by another than is chosen; %s has %d lines\n", w.buckets,
                     w.lines, path, w.lines + kept);
    wk_text_free(&w.found);
    wk_text_free(&w.measured);
    return status;
}

/* ---- words ---- */

static wk_status read_shape(tune_opts *opts, const char *value) {
    const char *at = value;
    for (opts->sizes = 0; opts->sizes < 4;) {
        char *end;
        long long size = strtoll(at, &end, 10);
        if (end == at || size < 1 || size > 1 << 20) break;
        opts->shape[opts->sizes++] = size;
        if (!*end && opts->sizes > 2) return WK_OK;
        if (*end != 'x') break;
        at = end + 1;
    }
    return wk_fail(WK_CONFIG, "--shape is \"%s\", expected MxNxK or BxMxNxK of a product, NxCxKxSIDE of a convolution",
                   value);
}

static wk_status read_dtype(tune_opts *opts, const char *value) {
    for (opts->dtype = 0; opts->dtype < WK__TUNED_DTYPES; opts->dtype++)
        if (strcmp(value, wk_dtype_name(wk__tuned_dtype(opts->dtype))) == 0) return WK_OK;
    return wk_fail(WK_CONFIG, "--dtype is \"%s\", expected f32 or bf16: for others there is no choice", value);
}

static wk_status read_option(void *into, const char *option, const char *value, bool *known) {
    tune_opts *opts = into;
    if (strcmp(option, "--threads") == 0)
        return wk__bench_read_count(option, value, 1, WK__BENCH_MOST_THREADS, &opts->threads);
    if (strcmp(option, "--min-time") == 0)
        return wk__bench_read_number(option, value, 1e-9, "seconds, more than 0", &opts->seconds);
    if (strcmp(option, "--shape") == 0) return read_shape(opts, value);
    if (strcmp(option, "--dtype") == 0) return read_dtype(opts, value);
    *known = strcmp(option, "-o") == 0;
    if (*known) opts->path = value;
    return WK_OK;
}

static wk_status read_word(void *into, const char *word, bool *known) {
    tune_opts *opts = into;
    *known = *word != '-';
    if (!*known) return WK_OK;
    if (opts->pattern) return wk_fail(WK_CONFIG, "expected one pattern, also found %s", word);
    opts->pattern = word;
    return WK_OK;
}

int wk__bench_tune_main(int argc, char **argv) {
    tune_opts opts = { .dtype = -1, .seconds = 2e-4 };
    int code = wk__bench_parse(argc, argv, read_word, read_option, &opts);
    if (code) return code;
    if (!opts.pattern) opts.pattern = "*";
    return wk__bench_exit(tune(&opts));
}
