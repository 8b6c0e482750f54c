/* file.c: a tuning table's text (docs/tuning.md).
 *
 * The first line names the version; then come lines "KEY: VALUE", then one line a bucket, then "end", so that a file
 * that was cut off is known for one.  What stands behind # is for people.  A table is used whole or not at all: a line
 * that makes no sense may mean that its neighbours say something else than they seem to.
 */
#include "cpu/tuning/tuning.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct reading {
    const char *path, *family;
    wk_tuning_table *table;
    int line;
    bool named, ended; /* "family:" and "end" have come */
    char *problem;
    size_t size;
} reading;

static bool wrong(reading *r, const char *format, ...) WK_PRINTF(2, 3);
static bool wrong(reading *r, const char *format, ...) {
    va_list list;
    int used = snprintf(r->problem, r->size, "%s, line %d: ", r->path, r->line);
    va_start(list, format);
    if (used > 0 && (size_t)used < r->size) (void)vsnprintf(r->problem + used, r->size - (size_t)used, format, list);
    va_end(list);
    return false;
}

/* ---- words ---- */

/* Without strspn and strtoll, which cost an eighth of reading a table: it has thousands of lines, and a program waits.
 */
static inline bool is_blank(char letter) {
    return letter == ' ' || letter == '\t';
}

/* The next word, ended by a zero in place; "" at the end. */
static char *next_word(char **at) {
    while (is_blank(**at)) ++*at;
    char *word = *at;
    while (**at && !is_blank(**at)) ++*at;
    if (**at) *(*at)++ = '\0';
    return word;
}

static bool read_op(reading *r, const char *word, wk__tuned_op *op) {
    for (int i = 0; i < WK__TUNED_OPS; i++) {
        *op = (wk__tuned_op)i;
        if (strcmp(word, wk__tuned_op_names[i]) == 0) return true;
    }
    return wrong(r, "\"%s\", expected product, conv2d, conv2d_backward_input or conv2d_backward_weight", word);
}

static bool read_dtype(reading *r, const char *word, int *dtype) {
    for (*dtype = 0; *dtype < WK__TUNED_DTYPES; ++*dtype)
        if (strcmp(word, wk_dtype_name(wk__tuned_dtype(*dtype))) == 0) return true;
    return wrong(r, "\"%s\", expected f32 or bf16", word);
}

static bool read_form(reading *r, const char *word, wk__tuned_op op, int *form) {
    for (*form = 0; *form < WK__TUNED_FORMS; ++*form)
        if (strcmp(word, wk__tuned_form_name(op, *form)) == 0) return true;
    return wrong(r, "\"%s\", expected %s", word,
                 op == WK__TUNED_PRODUCT ? "nn, nt, tn or tt" : "1x1, 3x3, depthwise or other");
}

/* At most ten digits to a number; -1 where there are none. */
static int64_t read_number(const char **at) {
    int64_t number = 0;
    const char *first = *at;
    for (; **at >= '0' && **at <= '9' && *at - first < 10; ++*at) number = number * 10 + (**at - '0');
    return *at == first ? -1 : number;
}

/* "46-90", "2897-" or "1": exactly the bounds of a step. */
static bool read_bounds(const char *text, wk__tuned_op op, int size, int *step) {
    int64_t least = read_number(&text);
    *step = wk__tuned_step_of(op, size, least);
    wk__tuned_step s = wk__tuned_step_get(op, size, *step);
    if (least != s.least) return false;
    if (s.least == s.most) return !*text;
    if (*text++ != '-') return false;
    return (s.most == INT64_MAX || read_number(&text) == s.most) && !*text;
}

static bool read_step(reading *r, const char *word, wk__tuned_op op, int size, int *step) {
    const char *name = wk__tuned_size_name(op, size);
    size_t length = strlen(name);
    char expected[60];
    if (strncmp(word, name, length) != 0 || word[length] != '=')
        return wrong(r, "\"%s\", expected %s=FROM-TO", word, name);
    if (read_bounds(word + length + 1, op, size, step)) return true;
    wk__tuned_step_text(op, size, *step, expected, sizeof expected);
    return wrong(r, "\"%s\", expected %s", word, expected);
}

static bool read_by(reading *r, const char *word, wk__tuned_op op, wk_by *by) {
    static const wk_by product[] = { WK_BY_OWN, WK_BY_OPENBLAS, WK_BY_ONEDNN },
                       convolution[] = { WK_BY_OWN, WK_BY_DIRECT, WK_BY_WINOGRAD };
    for (int i = 0; i < 3; i++) {
        *by = op == WK__TUNED_PRODUCT ? product[i] : convolution[i];
        if (strcmp(word, wk__by_name(*by)) == 0) return true;
    }
    return wrong(r, "\"%s\", expected %s", word,
                 op == WK__TUNED_PRODUCT ? "own, openblas or onednn" : "own, direct, winograd or own-winograd");
}

/* ---- lines ---- */

/* Keys that are for people are only held to be such. */
static bool read_key(reading *r, const char *key, char *value) {
    static const char *const told[] = { "processor:", "libraries:", "wick:", "date:", "threads:" };
    if (strcmp(key, "family:") == 0) {
        const char *family = next_word(&value);
        r->named = true;
        return strcmp(family, r->family) == 0
               || wrong(r, "it was measured on a processor of the family \"%s\", expected \"%s\"", family, r->family);
    }
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
        if (strcmp(key, told[i]) == 0) return true;
    return wrong(r, "\"%s\", expected family, processor, libraries, wick, date or threads", key);
}

/* "product f32 nt batch=1 m=46-90 n=6-11 k=91-181: openblas" */
static bool read_bucket(reading *r, const char *op, char *at) {
    wk__bucket b = { 0 };
    wk_by by = WK_BY_CHOICE;
    if (!read_op(r, op, &b.op) || !read_dtype(r, next_word(&at), &b.dtype)
        || !read_form(r, next_word(&at), b.op, &b.form))
        return false;
    char *colon = strchr(at, ':');
    if (!colon) return wrong(r, "expected the sizes, then \": IMPLEMENTATION\"");
    *colon = '\0';
    for (int i = 0; i < wk__tuned_sizes(b.op); i++)
        if (!read_step(r, next_word(&at), b.op, i, &b.step[i])) return false;
    while (is_blank(*at)) at++;
    if (at < colon) return wrong(r, "\"%s\", expected a colon behind the sizes", at);
    at = colon + 1;
    if (!read_by(r, next_word(&at), b.op, &by)) return false;
    if (*next_word(&at)) return wrong(r, "expected nothing behind %s", wk__by_name(by));
    r->table->by[b.op][b.dtype][b.form][wk_tuning_cell(&b)] = (uint8_t)by;
    r->table->any = true;
    return true;
}

static bool read_line(reading *r, char *line) {
    char *newline = strchr(line, '\n');
    if (!newline) return wrong(r, "expected a line of at most 500 bytes, ended by a newline");
    *newline = '\0';
    if (r->line == 1)
        return strcmp(line, WK__TUNING_FIRST_LINE) == 0
               || wrong(r, "\"%.40s\", expected \"" WK__TUNING_FIRST_LINE "\"", line);
    line[strcspn(line, "#")] = '\0';
    char *word = next_word(&line);
    if (!*word) return true;
    if (r->ended) return wrong(r, "\"%.40s\", expected nothing behind \"end\"", word);
    r->ended = strcmp(word, "end") == 0;
    if (r->ended) return r->named || wrong(r, "expected a line \"family: NAME\" above");
    return word[strlen(word) - 1] == ':' ? read_key(r, word, line) : read_bucket(r, word, line);
}

bool wk_tuning_read(const char *path, const char *family, wk_tuning_table *table, char *problem, size_t size) {
    reading r = { .path = path, .family = family, .table = table, .problem = problem, .size = size };
    char line[502];
    *problem = '\0';
    memset(table, 0, sizeof *table);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool good = true;
    while (good && fgets(line, sizeof line, file)) {
        r.line++;
        good = read_line(&r, line);
    }
    if (good && ferror(file)) good = wrong(&r, "it cannot be read");
    if (good && !r.ended) r.line++, good = wrong(&r, "the file ends, expected \"end\"");
    (void)fclose(file);
    if (!good) memset(table, 0, sizeof *table);
    return good;
}
