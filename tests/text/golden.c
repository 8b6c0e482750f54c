/* golden.c: every tokenizer of tests/golden/text gives what Hugging Face's `tokenizers` gave. */
#include "wick/text.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN WICK_SOURCE_DIR "/tests/golden/text/"

static const char *const names[] = { "bert",   "gpt2",     "roberta", "unigram", "fallback", "expression", "accents",
                                     "digits", "previous", "next",    "runs",    "inverted", "learned" };
enum { NAMES = sizeof names / sizeof *names };

static wk_tokenizer *open_golden(const char *name) {
    char path[300];
    (void)snprintf(path, sizeof path, GOLDEN "%s.json", name);
    wk_tokenizer *t = wk_tokenizer_open(path);
    cr_assert_not_null(t, "%s", wk_message());
    return t;
}

static json_t *open_rows(const char *name) {
    char path[300];
    json_error_t error;
    (void)snprintf(path, sizeof path, GOLDEN "%s.rows.json", name);
    json_t *rows = json_load_file(path, JSON_ALLOW_NUL, &error);
    cr_assert_not_null(rows, "%s: %s", path, error.text);
    return rows;
}

static bool equals(const json_t *list, const int32_t *got, int32_t count) {
    if ((int32_t)json_array_size(list) != count) return false;
    for (int32_t i = 0; i < count; i++)
        if (json_integer_value(json_array_get(list, (size_t)i)) != got[i]) return false;
    return true;
}

static bool equal_spans(const json_t *list, const wk_span *got, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        const json_t *span = json_array_get(list, (size_t)i);
        if (json_integer_value(json_array_get(span, 0)) != got[i].begin) return false;
        if (json_integer_value(json_array_get(span, 1)) != got[i].end) return false;
    }
    return true;
}

static void check_decoded(const wk_tokenizer *t, const char *name, size_t i, const json_t *row, const wk_encoding *e) {
    const json_t *wanted = json_object_get(row, "decoded");
    size_t size = 0;
    if (!json_is_string(wanted)) return;
    char *text = wk_tokenizer_decode(t, e->ids, e->count, true, &size);
    cr_assert_not_null(text, "%s", wk_message());
    cr_expect(size == json_string_length(wanted) && memcmp(text, json_string_value(wanted), size) == 0,
              "%s, row %zu: decoded \"%s\", expected \"%s\"", name, i, text, json_string_value(wanted));
    wk_free(text);
}

static void check_row(const wk_tokenizer *t, const char *name, size_t i, const json_t *row) {
    const json_t *text = json_object_get(row, "text");
    const json_t *pair = json_object_get(row, "pair");
    const json_t *offsets = json_object_get(row, "offsets");
    wk_encoding *e =
        wk_tokenizer_encode_bytes(t, json_string_value(text), json_string_length(text), json_string_value(pair),
                                  json_string_length(pair), (wk_encode_opts){ 0 });
    cr_assert_not_null(e, "%s, row %zu: %s", name, i, wk_message());
    cr_expect(equals(json_object_get(row, "ids"), e->ids, e->count), "%s, row %zu: ids of \"%s\"", name, i,
              json_string_value(text));
    cr_expect(equals(json_object_get(row, "types"), e->type_ids, e->count), "%s, row %zu: types", name, i);
    cr_expect(equals(json_object_get(row, "words"), e->words, e->count), "%s, row %zu: words", name, i);
    for (int32_t k = 0; k < e->count; k++) {
        cr_expect_eq(e->special[k], json_integer_value(json_array_get(json_object_get(row, "special"), (size_t)k)));
        cr_expect_eq(e->attention[k], 1);
    }
    if (json_is_array(offsets)) cr_expect(equal_spans(offsets, e->offsets, e->count), "%s, row %zu: offsets", name, i);
    check_decoded(t, name, i, row, e);
    wk_encoding_free(e);
}

static void check_all(const wk_tokenizer *t, const char *name) {
    json_t *rows = open_rows(name);
    cr_assert_gt(json_array_size(rows), 100);
    for (size_t i = 0; i < json_array_size(rows); i++) check_row(t, name, i, json_array_get(rows, i));
    json_decref(rows);
}

Test(tokenizer, gives_what_tokenizers_gave) {
    for (int i = 0; i < NAMES; i++) {
        wk_tokenizer *t = open_golden(names[i]);
        check_all(t, names[i]);
        wk_tokenizer_destroy(t);
    }
}

/* A second time everything comes from the memory of words. */
Test(tokenizer, gives_the_same_again) {
    wk_tokenizer *t = open_golden("roberta");
    check_all(t, "roberta");
    check_all(t, "roberta");
    wk_tokenizer_destroy(t);
}

Test(tokenizer, is_the_same_when_it_was_saved) {
    char path[] = WICK_BUILD_DIR "/saved-tokenizer-XXXXXX";
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    for (int i = 0; i < NAMES; i++) {
        wk_tokenizer *t = open_golden(names[i]);
        cr_assert_eq(wk_tokenizer_save(t, path), WK_OK, "%s", wk_message());
        wk_tokenizer_destroy(t);
        t = wk_tokenizer_open(path);
        cr_assert_not_null(t, "%s", wk_message());
        check_all(t, names[i]);
        wk_tokenizer_destroy(t);
    }
    (void)remove(path);
}
