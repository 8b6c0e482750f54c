/* tokenizer.c: options, older files, errors, threads, training; and `wick tokenize` as a person runs it. */
#include "wick/text.h"

#include "support/allocator.h"
#include "support/program.h"
#include "support/refused.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN WICK_SOURCE_DIR "/tests/golden/text/"

static char folder[400];
static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("text"));
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(tokenizer_use, .init = set_up, .fini = tear_down);

static wk_tokenizer *open_golden(const char *name) {
    char path[300];
    (void)snprintf(path, sizeof path, GOLDEN "%s.json", name);
    wk_tokenizer *t = wk_tokenizer_open(path);
    cr_assert_not_null(t, "%s", wk_message());
    return t;
}

static const char *put(const char *name, const char *text) {
    static char path[500];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "w");
    cr_assert_not_null(out);
    (void)fputs(text, out);
    (void)fclose(out);
    return path;
}

/* "2 45 3" */
static const char *numbers(const wk_encoding *e) {
    static char text[1000];
    size_t at = 0;
    cr_assert_not_null(e, "%s", wk_message());
    text[0] = '\0';
    for (int32_t i = 0; i < e->count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%d%s", i ? " " : "", e->ids[i],
                               e->attention[i] ? "" : "_");
    return text;
}

static void expect_numbers(const wk_tokenizer *t, const char *text, const char *pair, wk_encode_opts opts,
                           const char *wanted) {
    wk_encoding *e = wk_tokenizer_encode(t, text, pair, opts);
    cr_expect_str_eq(numbers(e), wanted, "%s: %s, expected %s", text, numbers(e), wanted);
    wk_encoding_free(e);
}

/* A vocabulary of letters: numbers tell which. */
static const char letters[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\ne\n##x\nab\n";

/* ---- cutting and padding ---- */

Test(tokenizer_use, cuts_to_a_length) {
    wk_tokenizer *t = wk_tokenizer_open(put("vocab.txt", letters));
    cr_assert_not_null(t, "%s", wk_message());
    expect_numbers(t, "a b c d e", NULL, (wk_encode_opts){ .max_length = 5 }, "2 5 6 7 3");
    expect_numbers(t, "a b c d e", NULL, (wk_encode_opts){ .max_length = 5, .plain = true }, "5 6 7 8 9");
    expect_numbers(t, "a b c d e", NULL, (wk_encode_opts){ .max_length = 2 }, "2 3");
    expect_numbers(t, "a b", NULL, (wk_encode_opts){ .max_length = 2, .truncation = WK_TRUNCATE_ONLY_FIRST }, "2 3");
    expect_numbers(t, "a b c d e", "a b", (wk_encode_opts){ .max_length = 8 }, "2 5 6 7 3 5 6 3");
    expect_numbers(t, "a b", "a b c d e", (wk_encode_opts){ .max_length = 7 }, "2 5 6 3 5 6 3");
    expect_numbers(t, "a b", "a b c d e", (wk_encode_opts){ .max_length = 4 }, "2 3 5 3");
    expect_numbers(t, "a b c d", "a b", (wk_encode_opts){ .max_length = 7, .truncation = WK_TRUNCATE_ONLY_FIRST },
                   "2 5 6 3 5 6 3");
    expect_numbers(t, "a b", "a b c d", (wk_encode_opts){ .max_length = 7, .truncation = WK_TRUNCATE_ONLY_SECOND },
                   "2 5 6 3 5 6 3");
    expect_numbers(t, "a b c d e", NULL, (wk_encode_opts){ .max_length = 5, .truncation = WK_TRUNCATE_NEVER },
                   "2 5 6 7 8 9 3");
    REFUSED_PLAINLY(wk_tokenizer_encode(t, "a", NULL, (wk_encode_opts){ .max_length = 1 }), WK_INVALID,
                    "max_length is 1, and 2 tokens are put in alone");
    REFUSED_PLAINLY(wk_tokenizer_encode(t, "a b", "a b c",
                                        (wk_encode_opts){ .max_length = 4, .truncation = WK_TRUNCATE_ONLY_FIRST }),
                    WK_INVALID, "max_length 4: 4 tokens are too many, and the first text has 2");
    wk_tokenizer_destroy(t);
}

Test(tokenizer_use, pads_to_a_length) {
    wk_tokenizer *t = wk_tokenizer_open(put("vocab.txt", letters));
    expect_numbers(t, "a", NULL, (wk_encode_opts){ .max_length = 5, .padding = WK_PAD_MAX }, "2 5 3 0_ 0_");
    expect_numbers(t, "a b", NULL, (wk_encode_opts){ .max_length = 8, .padding = WK_PAD_MAX, .multiple_of = 8 },
                   "2 5 6 3 0_ 0_ 0_ 0_");
    wk_tokenizer_destroy(t);
}

Test(tokenizer_use, does_what_the_file_says_of_lengths) {
    wk_tokenizer *t = wk_tokenizer_open(
        put("f.json", "{\"version\": \"1.0\", \"truncation\": {\"direction\": \"Left\", \"max_length\": 3, "
                      "\"strategy\": \"LongestFirst\", \"stride\": 0},"
                      "\"padding\": {\"strategy\": {\"Fixed\": 5}, \"direction\": \"Left\", \"pad_to_multiple_of\": "
                      "null, \"pad_id\": 2, \"pad_type_id\": 1, \"pad_token\": \"p\"},"
                      "\"pre_tokenizer\": {\"type\": \"WhitespaceSplit\"},"
                      "\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": 0, \"b\": 1, \"p\": 2, \"?\": 3}, "
                      "\"unk_token\": \"?\"}}"));
    cr_assert_not_null(t, "%s", wk_message());
    expect_numbers(t, "a a b c", NULL, (wk_encode_opts){ 0 }, "2_ 2_ 0 1 3");
    expect_numbers(t, "b", NULL, (wk_encode_opts){ .padding = WK_PAD_NEVER }, "1");
    wk_tokenizer_destroy(t);
}

Test(tokenizer_use, batches_are_rectangles) {
    static const char *const texts[] = { "a b c", "", "ab" };
    static const int64_t wanted[] = { 2, 5, 6, 7, 3, 2, 3, 0, 0, 0, 2, 11, 3, 0, 0 };
    wk_tokenizer *t = wk_tokenizer_open(put("vocab.txt", letters));
    wk_scope scope = wk_scope_begin();
    wk_tensor *ids = NULL;
    wk_tensor *mask = NULL;
    wk_tensor *types = NULL;
    cr_assert_eq(wk_tokenizer_batch(t, texts, NULL, 3, (wk_encode_opts){ 0 }, &ids, &mask, &types), WK_OK, "%s",
                 wk_message());
    cr_expect_eq(wk_dims_get(ids).size[0], 3);
    cr_expect_eq(wk_dims_get(ids).size[1], 5);
    cr_expect_eq(memcmp(wk_data(ids), wanted, sizeof wanted), 0);
    for (int i = 0; i < 15; i++) cr_expect_eq(((int64_t *)wk_data(mask))[i], wanted[i] != 0);
    cr_expect_eq(((int64_t *)wk_data(types))[0], 0);
    wk_scope_end(scope);
    wk_tokenizer_destroy(t);
}

/* ---- older files ---- */

Test(tokenizer_use, reads_a_vocabulary_with_its_settings) {
    (void)put("vocab.txt", letters);
    (void)put("tokenizer_config.json", "{\"do_lower_case\": false, \"tokenize_chinese_chars\": true}");
    wk_tokenizer *t = wk_tokenizer_open(folder);
    cr_assert_not_null(t, "%s", wk_message());
    expect_numbers(t, "ax A [MASK]", NULL, (wk_encode_opts){ 0 }, "2 5 10 1 4 3");
    cr_expect_eq(wk_tokenizer_size(t), 12);
    cr_expect_eq(wk_tokenizer_id(t, "##x"), 10);
    cr_expect_eq(wk_tokenizer_id(t, "zz"), -1);
    cr_expect_str_eq(wk_tokenizer_token(t, 11), "ab");
    cr_expect_null(wk_tokenizer_token(t, 12));
    wk_tokenizer_destroy(t);
}

static const char pairs[] =
    "{\"h\": 0, \"e\": 1, \"l\": 2, \"o\": 3, \"\\u0120\": 4, \"he\": 5, \"ll\": 6, \"hell\": 7, \"<|endoftext|>\": 8}";

Test(tokenizer_use, reads_pairs_under_either_name) {
    static const char *const files[][2] = { { "vocab.json", "merges.txt" }, { "encoder.json", "vocab.bpe" } };
    for (int i = 0; i < 2; i++) {
        (void)put(files[i][0], pairs);
        (void)put(files[i][1], "#version: 0.2\nh e\nl l\nhe ll\n");
        wk_tokenizer *t = wk_tokenizer_open(folder);
        cr_assert_not_null(t, "%s", wk_message());
        expect_numbers(t, "hello hell<|endoftext|>", NULL, (wk_encode_opts){ 0 }, "7 3 4 7 8");
        char *text = wk_tokenizer_decode(t, (const int32_t[]){ 7, 3, 4, 7, 8 }, 5, true, NULL);
        cr_expect_str_eq(text, "hello hell");
        wk_free(text);
        wk_tokenizer_destroy(t);
    }
}

/* A line without spaces is one word: the queue of pairs must give what the search for short ones gives. */
Test(tokenizer_use, long_words_are_merged_as_short_ones) {
    (void)put("vocab.json", pairs);
    (void)put("merges.txt", "h e\nl l\nhe ll\n");
    wk_tokenizer *t = wk_tokenizer_open(folder);
    char text[5001];
    for (int i = 0; i < 5000; i++) text[i] = "hello"[i % 5];
    text[5000] = '\0';
    wk_encoding *e = wk_tokenizer_encode(t, text, NULL, (wk_encode_opts){ 0 });
    cr_assert_not_null(e, "%s", wk_message());
    cr_assert_eq(e->count, 2000);
    for (int32_t i = 0; i < e->count; i++) {
        cr_expect_eq(e->ids[i], i % 2 ? 3 : 7);
        cr_expect_eq(e->offsets[i].begin, (uint32_t)(i / 2 * 5 + (i % 2 ? 4 : 0)));
    }
    wk_encoding_free(e);
    wk_tokenizer_destroy(t);
}

/* ---- what is wrong ---- */

Test(tokenizer_use, says_what_is_wrong_with_a_file) {
    static const struct {
        const char *text, *message;
        wk_status code;
    } cases[] = {
        { "{\"model\": ", "line 1, column 10", WK_FORMAT },
        { "[]", "expected a mapping", WK_FORMAT },
        { "{\"version\": \"2.0\"}", "version \"2.0\", expected \"1.0\"", WK_UNSUPPORTED },
        { "{\"model\": {\"type\": \"Magic\", \"vocab\": {}}}",
          "model \"Magic\", expected WordPiece, BPE, Unigram or WordLevel", WK_UNSUPPORTED },
        { "{\"normalizer\": {\"type\": \"Magic\"}}", "normalizer \"Magic\"", WK_UNSUPPORTED },
        { "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"}}",
          "regular expression \"(\"", WK_FORMAT },
        { "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"String\": \"a\"}, \"behavior\": \"No\"}}",
          "behavior \"No\"", WK_FORMAT },
        { "{\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, {\"type\": "
          "\"Digits\"}]}}",
          "not the last", WK_UNSUPPORTED },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]}}", "merge 0: \"a\" and \"b\"",
          WK_FORMAT },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"a\"]}}", "merge 0 is not a pair",
          WK_FORMAT },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": -1}, \"merges\": []}}", "the number of \"a\"",
          WK_FORMAT },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1, \"b\": 1}, \"merges\": []}}", "both number 1",
          WK_FORMAT },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 99999999999}, \"merges\": []}}",
          "token number 99999999999", WK_FORMAT },
        { "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [], \"dropout\": 0.1}}", "dropout 0.1",
          WK_UNSUPPORTED },
        { "{\"model\": {\"type\": \"WordPiece\", \"vocab\": {\"a\": 0}, \"unk_token\": \"?\"}}",
          "unk_token \"?\" is not in", WK_FORMAT },
        { "{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0.0]], \"unk_id\": 3}}", "unk_id 3 of 1 tokens",
          WK_FORMAT },
        { "{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0], [\"a\", 0]], \"unk_id\": 0}}",
          "\"a\" is there twice", WK_FORMAT },
        { "{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": 0}}, \"post_processor\": {\"type\": "
          "\"BertProcessing\", \"sep\": [\"s\", 7], \"cls\": [\"c\", 0]}}",
          "there is no token 7", WK_FORMAT },
        { "{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": 0}}, \"added_tokens\": [{\"content\": \"x\"}]}",
          "added_tokens: entry 0", WK_FORMAT },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wk_tokenizer *t = wk_tokenizer_open(put("bad.json", cases[i].text));
        cr_expect_null(t, "case %zu", i);
        cr_expect_eq(wk_error_code(), cases[i].code, "case %zu: %s", i, wk_message());
        cr_expect(strstr(wk_message(), cases[i].message), "case %zu: %s", i, wk_message());
        cr_expect(strstr(wk_message(), "bad.json"), "case %zu: %s", i, wk_message());
        wk_clear_error();
    }
    (void)remove(put("bad.json", ""));
    char message[700];
    (void)snprintf(message, sizeof message,
                   "%s: holds no tokenizer.json, vocab.txt, vocab.json with merges.txt, or encoder.json "
                   "with vocab.bpe",
                   folder);
    REFUSED_PLAINLY(wk_tokenizer_open(folder), WK_NOT_FOUND, message);
    REFUSED_PLAINLY(wk_tokenizer_open("/nowhere/at/all"), WK_IO, "/nowhere/at/all: no such file or folder");
}

Test(tokenizer_use, says_where_a_text_is_malformed) {
    wk_tokenizer *t = open_golden("bert");
    REFUSED_PLAINLY(wk_tokenizer_encode(t, "ab\xff", NULL, (wk_encode_opts){ 0 }), WK_FORMAT,
                    "text: byte 0xff at position 2 is not UTF-8");
    REFUSED_PLAINLY(wk_tokenizer_encode(t, "\xc3", NULL, (wk_encode_opts){ 0 }), WK_FORMAT,
                    "text: byte 0xc3 at position 0 is not UTF-8");
    REFUSED_PLAINLY(wk_tokenizer_encode(t, "a\xed\xa0\x80", NULL, (wk_encode_opts){ 0 }), WK_FORMAT,
                    "text: byte 0xed at position 1 is not UTF-8");
    wk_tokenizer_destroy(t);
}

/* ---- threads, memory ---- */

static void *encode_often(void *context) {
    const wk_tokenizer *t = context;
    intptr_t wrong = 0;
    for (int i = 0; i < 300; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "Hello, world! the %d then there", i % 17);
        wk_encoding *e = wk_tokenizer_encode(t, text, NULL, (wk_encode_opts){ 0 });
        char *back = e ? wk_tokenizer_decode(t, e->ids, e->count, true, NULL) : NULL;
        wrong += !back || strcmp(back, text) != 0;
        wk_free(back);
        wk_encoding_free(e);
    }
    return (void *)wrong;
}

Test(tokenizer_use, threads_share_one) {
    pthread_t threads[4];
    wk_tokenizer *t = open_golden("gpt2");
    for (int i = 0; i < 4; i++) cr_assert_eq(pthread_create(&threads[i], NULL, encode_often, t), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong = NULL;
        (void)pthread_join(threads[i], &wrong);
        cr_expect_eq((intptr_t)wrong, 0);
    }
    wk_tokenizer_destroy(t);
}

Test(tokenizer_use, no_memory_is_an_error_and_nothing_is_lost) {
    static const char *const names[] = { "bert", "roberta", "unigram", "fallback" };
    allocator_watch();
    for (int i = 0; i < 4; i++) {
        for (long k = 1;; k++) {
            char path[300];
            (void)snprintf(path, sizeof path, GOLDEN "%s.json", names[i]);
            allocator_fail_at(k);
            wk_tokenizer *t = wk_tokenizer_open(path);
            wk_encoding *e =
                t ? wk_tokenizer_encode(t, "Hello e\xcc\x81 world, a\xf0\x9f\x91\x8d", "pair", (wk_encode_opts){ 0 })
                  : NULL;
            char *text = e ? wk_tokenizer_decode(t, e->ids, e->count, false, NULL) : NULL;
            bool failed = allocator_has_failed();
            allocator_fail_at(0);
            cr_assert_eq(text == NULL, failed, "%s, request %ld: %s", names[i], k, wk_message());
            if (failed) cr_assert_eq(wk_error_code(), WK_NO_MEMORY, "%s, request %ld: %s", names[i], k, wk_message());
            wk_clear_error();
            wk_free(text);
            wk_encoding_free(e);
            wk_tokenizer_destroy(t);
            cr_assert_eq(allocator_held(), 0, "%s, request %ld", names[i], k);
            if (!failed) break;
            if (k > 400) k += 37; /* the vocabulary's, one like the other */
        }
    }
}

/* ---- training ---- */

typedef struct lines {
    int left;
} lines;
static bool next_line(void *context, const char **text, size_t *size) {
    lines *l = context;
    *text = "low low low lower lowest newer newest wide\n";
    *size = strlen(*text);
    return l->left-- > 0;
}

Test(tokenizer_use, learns_pairs) {
    lines l = { 5 };
    wk_tokenizer *t =
        wk_tokenizer_train(next_line, &l, (wk_tokenizer_train_opts){ .kind = WK_TOKENIZER_BPE, .size = 262 });
    cr_assert_not_null(t, "%s", wk_message());
    cr_expect_eq(wk_tokenizer_size(t), 262);
    cr_expect_str_eq(wk_tokenizer_token(t, 256), "lo"); /* 25 times, as "ow" and "we" are fewer or of greater numbers */
    cr_expect_geq(wk_tokenizer_id(t, "low"), 256);
    wk_encoding *e = wk_tokenizer_encode(t, "low lower", NULL, (wk_encode_opts){ 0 });
    char *text = wk_tokenizer_decode(t, e->ids, e->count, true, NULL);
    cr_expect_str_eq(text, "low lower");
    wk_free(text);
    wk_encoding_free(e);
    wk_tokenizer_destroy(t);
}

Test(tokenizer_use, learns_pieces) {
    lines l = { 5 };
    static const char *const special[] = { "[UNK]", "[CLS]", "[SEP]", "<x>", NULL };
    wk_tokenizer *t = wk_tokenizer_train(
        next_line, &l, (wk_tokenizer_train_opts){ .kind = WK_TOKENIZER_WORDPIECE, .size = 40, .special = special });
    cr_assert_not_null(t, "%s", wk_message());
    wk_encoding *e = wk_tokenizer_encode(t, "Lower <x> LOW", NULL, (wk_encode_opts){ 0 });
    char *text = wk_tokenizer_decode(t, e->ids, e->count, true, NULL);
    cr_expect_str_eq(text, "lower low");
    cr_expect_eq(e->ids[0], 1);
    wk_free(text);
    wk_encoding_free(e);
    wk_tokenizer_destroy(t);
}

/* ---- the command ---- */

static char *printed, *err;
static int run(char *const words[]) {
    char *argv[12] = { WICK_PROGRAM, "tokenize" };
    size_t size;
    for (int n = 2, i = 0; words[i]; i++) argv[n++] = words[i];
    program p = start(folder, argv, NULL);
    int code = finish(&p, 30);
    free(printed);
    free(err);
    printed = read_bytes(p.out, &size);
    err = read_bytes(p.err, &size);
    return code;
}
#define TOKENIZE(...) run((char *const[]){ __VA_ARGS__, NULL })

Test(tokenizer_use, command) {
    char vocab[500];
    char saved[500];
    (void)snprintf(vocab, sizeof vocab, "%s", put("vocab.txt", letters));
    (void)snprintf(saved, sizeof saved, "%s/saved.json", folder);
    cr_assert_eq(TOKENIZE(vocab, "ab ax"), 0, "%s", err);
    cr_expect(
        strstr(printed, "11      ab               0-2\n5       a                3-4\n10      ##x              4-5\n"),
        "%s", printed);
    cr_assert_eq(TOKENIZE(vocab, "a", "b", "--ids"), 0, "%s", err);
    cr_expect_str_eq(printed, "2 5 3 6 3\n");
    cr_assert_eq(TOKENIZE(vocab, "--decode", "5", "10", "6"), 0, "%s", err);
    cr_expect_str_eq(printed, "ax b\n");
    cr_assert_eq(TOKENIZE(vocab, "--save", saved), 0, "%s", err);
    cr_assert_eq(TOKENIZE(saved, "--ids", "--plain", "ab"), 0, "%s", err);
    cr_expect_str_eq(printed, "11\n");
    cr_assert_eq(TOKENIZE("--train", "bpe", "--size", "300", "--save", saved, vocab), 0, "%s", err);
    cr_assert_eq(TOKENIZE(vocab, "--decode", "12"), 1);
    cr_expect(strstr(err, "\"12\", expected numbers from 0 to 11"), "%s", err);
    cr_assert_eq(TOKENIZE("--train", "magic", vocab), 2);
    cr_assert_eq(TOKENIZE("/nowhere"), 1);
    cr_expect(strstr(err, "/nowhere: no such file or folder"), "%s", err);
    free(printed);
    free(err);
}
