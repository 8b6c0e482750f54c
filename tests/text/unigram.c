/* Learning a Unigram vocabulary: as likely as that of `tokenizers`, the same bits each time, and its options. */
#include "support/program.h"
#include "wick/text.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN WICK_SOURCE_DIR "/tests/golden/text/"

static char folder[400];
static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("unigram"));
}
static void tear_down(void) {
    wk_clear_error();
    remove_folder(folder);
}
TestSuite(unigram, .init = set_up, .fini = tear_down);

typedef struct lines {
    FILE *file;
    char *line;
    size_t room;
} lines;

/* A line is a text, with its end, as `wick tokenize --train` reads it. */
static bool next_line(void *context, const char **text, size_t *size) {
    lines *l = context;
    ssize_t got = getline(&l->line, &l->room, l->file);
    if (got < 0) return false;
    *text = l->line;
    *size = (size_t)got;
    return true;
}

static wk_tokenizer *learn(wk_tokenizer_train_opts opts) {
    lines l = { .file = fopen(GOLDEN "learn.txt", "r") };
    cr_assert_not_null(l.file);
    opts.kind = WK_TOKENIZER_UNIGRAM;
    wk_tokenizer *t = wk_tokenizer_train(next_line, &l, opts);
    (void)fclose(l.file);
    free(l.line);
    return t;
}

/* The pieces and scores that were saved. */
static json_t *saved_vocabulary(const wk_tokenizer *t) {
    char path[500];
    (void)snprintf(path, sizeof path, "%s/saved.json", folder);
    cr_assert_eq(wk_tokenizer_save(t, path), WK_OK, "%s", wk_message());
    json_t *root = json_load_file(path, 0, NULL);
    json_t *vocab = json_incref(json_object_get(json_object_get(root, "model"), "vocab"));
    json_decref(root);
    cr_assert(json_is_array(vocab));
    return vocab;
}

/* Of the best cuts of the texts that were not learned. */
static double held_score(const wk_tokenizer *t) {
    json_t *vocab = saved_vocabulary(t);
    lines l = { .file = fopen(GOLDEN "held.txt", "r") };
    const char *text;
    size_t size;
    double sum = 0;
    while (next_line(&l, &text, &size)) {
        wk_encoding *e = wk_tokenizer_encode_bytes(t, text, size - 1, NULL, 0, (wk_encode_opts){ 0 });
        cr_assert_not_null(e, "%s", wk_message());
        for (int32_t i = 0; i < e->count; i++)
            sum += json_number_value(json_array_get(json_array_get(vocab, (size_t)e->ids[i]), 1));
        wk_encoding_free(e);
    }
    (void)fclose(l.file);
    free(l.line);
    json_decref(vocab);
    return sum;
}

/* Within one percent of the likelihood that a vocabulary of the same size has which `tokenizers` learned. */
Test(unigram, is_as_likely_as_that_of_tokenizers) {
    json_t *golden = json_load_file(GOLDEN "learn.json", 0, NULL);
    cr_assert_not_null(golden);
    const double right = json_number_value(json_object_get(golden, "score"));
    const int32_t size = (int32_t)json_integer_value(json_object_get(golden, "size"));
    wk_tokenizer *t = learn((wk_tokenizer_train_opts){ .size = size });
    cr_assert_not_null(t, "%s", wk_message());
    cr_expect_eq(wk_tokenizer_size(t), size);
    const double found = held_score(t);
    cr_expect_lt(fabs(found / right - 1), 0.01, "%.2f, tokenizers had %.2f", found, right);
    /* What was put together of parts is found again. */
    cr_expect_geq(wk_tokenizer_id(t, "\xe2\x96\x81walk"), 0);
    cr_expect_geq(wk_tokenizer_id(t, "ing"), 0);
    wk_tokenizer_destroy(t);
    json_decref(golden);
}

/* A file that Wick learned is committed, with what `tokenizers` makes of it (golden.c); here the same bits again. */
Test(unigram, equal_texts_give_equal_bits) {
    char path[2][500];
    for (int i = 0; i < 2; i++) {
        wk_tokenizer *t = learn((wk_tokenizer_train_opts){ .size = 300 });
        (void)snprintf(path[i], sizeof path[i], "%s/%d.json", folder, i);
        cr_assert_eq(wk_tokenizer_save(t, path[i]), WK_OK, "%s", wk_message());
        wk_tokenizer_destroy(t);
    }
    cr_expect(same_bytes(path[0], path[1]));
}

Test(unigram, options) {
    static const char *const special[] = { "<pad>", "<x>", NULL };
    wk_tokenizer *t = learn((wk_tokenizer_train_opts){ .size = 120,
                                                       .special = special,
                                                       .unknown = "<x>",
                                                       .max_piece_length = 3,
                                                       .shrinking_factor = 0.5,
                                                       .n_sub_iterations = 1,
                                                       .seed_size = 400 });
    cr_assert_not_null(t, "%s", wk_message());
    cr_expect_eq(wk_tokenizer_size(t), 120);
    cr_expect_eq(wk_tokenizer_id(t, "<pad>"), 0);
    cr_expect_eq(wk_tokenizer_id(t, "<x>"), 1);
    for (int32_t id = 2; id < 120; id++) {
        int characters = 0;
        for (const char *at = wk_tokenizer_token(t, id); *at; at++) characters += ((unsigned char)*at & 0xC0) != 0x80;
        cr_expect_leq(characters, 3, "%s", wk_tokenizer_token(t, id));
    }
    wk_encoding *e = wk_tokenizer_encode(t, "\xe6\x97\xa5", NULL, (wk_encode_opts){ 0 }); /* was never met */
    cr_expect_eq(e->ids[e->count - 1], 1);
    wk_encoding_free(e);
    wk_tokenizer_destroy(t);
    t = learn((wk_tokenizer_train_opts){ .size = 120, .special = special, .unknown = "?!" }); /* comes first */
    cr_expect_eq(wk_tokenizer_id(t, "?!"), 0);
    cr_expect_eq(wk_tokenizer_id(t, "<pad>"), 1);
    wk_tokenizer_destroy(t);
}

Test(unigram, what_cannot_be_learned) {
    cr_expect_null(learn((wk_tokenizer_train_opts){ .size = 10 }));
    cr_expect_not_null(strstr(wk_message(), "a vocabulary of 10 has no room for the "), "%s", wk_message());
    wk_clear_error();
    cr_expect_null(learn((wk_tokenizer_train_opts){ .shrinking_factor = 1.5 }));
    cr_expect_not_null(strstr(wk_message(), "shrinking_factor is 1.5, expected more than 0 and less than 1"));
    wk_clear_error();
    cr_expect_null(learn((wk_tokenizer_train_opts){ .max_piece_length = 256 }));
    cr_expect_not_null(strstr(wk_message(), "pieces of at most 255 characters"));
}

static bool no_line(void *context, const char **text, size_t *size) {
    (void)context, (void)text, (void)size;
    return false;
}

/* Of no text nothing is learned: the unknown token alone. */
Test(unigram, of_nothing) {
    wk_tokenizer *t = wk_tokenizer_train(no_line, NULL, (wk_tokenizer_train_opts){ .kind = WK_TOKENIZER_UNIGRAM });
    cr_assert_not_null(t, "%s", wk_message());
    cr_expect_eq(wk_tokenizer_size(t), 1);
    wk_tokenizer_destroy(t);
}

Test(unigram, command) {
    char saved[500], *err = NULL;
    (void)snprintf(saved, sizeof saved, "%s/mine.json", folder);
    char *argv[] = { WICK_PROGRAM, "tokenize", "--train",
                     "unigram",    "--size",   "200",
                     "--save",     saved,      (char *)(uintptr_t)GOLDEN "learn.txt",
                     NULL };
    cr_assert_eq(run_program(folder, argv, NULL, 60, &err), 0, "%s", err);
    free(err);
    wk_tokenizer *t = wk_tokenizer_open(saved);
    cr_assert_not_null(t, "%s", wk_message());
    cr_expect_eq(wk_tokenizer_size(t), 200);
    wk_tokenizer_destroy(t);
}
