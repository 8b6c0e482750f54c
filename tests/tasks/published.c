/* published.c: the folder that a run leaves, opened by transformers of PyPI. */
#include "support/brief.h"
#include "tasks/support.h"
#include "wick/models.h"
#include "wick/tasks.h"
#include "wick/wick.h"

#include <stdlib.h>
#include <string.h>

TestSuite(published, .init = task_set_up, .fini = task_tear_down);

#define READ WICK_SOURCE_DIR "/tests/tasks/published/read"

static const char *const texts[] = { "the film was very good", "Dull!", "a wonderful, wonderful room" };
enum { TEXTS = sizeof texts / sizeof *texts };

/* A small classifier with a tokenizer that learnt from the example's table. */
static wk_module *make_folder(wk_tokenizer **tokenizer) {
    static const char *const labels[] = { "negative", "positive", NULL };
    cr_assert_eq(task_run(NULL, NULL,
                          WORDS("tokenize", "--train", "wordpiece", "--size", "200", "--save", "tokenizer.json",
                                WICK_SOURCE_DIR "/examples/text_classification/reviews.csv")),
                 0);
    wk_manual_seed(3);
    *tokenizer = wk_tokenizer_open("tokenizer.json");
    wk_module *m = wk_bert_for_sequence_classification(
        2, (wk_bert_opts){ .layers = 2, .heads = 4, .width = 32, .vocabulary = 200, .context = 32 });
    cr_assert(m && *tokenizer, "%s", wk_message());
    cr_assert_eq(wk_pretrained_save(m, *tokenizer, labels, "folder"), WK_OK, "%s", wk_message());
    return m;
}

static char *read_folder(void) {
    program p = start(task_folder,
                      WORDS(READ, WICK_BUILD_DIR, "folder", (char *)(uintptr_t)texts[0], (char *)(uintptr_t)texts[1],
                            (char *)(uintptr_t)texts[2]),
                      NULL);
    const int code = finish(&p, 100);
    char *out = read_bytes(p.out, NULL), *err = read_bytes(p.err, NULL);
    cr_assert_eq(code, 0, "%s%s", out, err);
    free(err);
    return out;
}

/* The numbers behind the n-th line that begins with a word are those of the tensor's only row. */
static void expect_line(const char *out, const char *word, int n, wk_tensor *row) {
    const char *at = out;
    for (int i = 0; at && i <= n; i++) at = strstr(i ? at + 1 : at, word);
    cr_assert_not_null(at, "no line %d of %s in %s", n, word, out);
    char *value = (char *)(uintptr_t)at + strlen(word);
    for (int64_t i = 0; i < wk_count(row); i++) {
        const double wanted = strtod(value, &value);
        cr_expect_float_eq(wk_at(row, i), wanted, 1e-5, "%s %d, number %d: %g, there %g", word, n, (int)i,
                           wk_at(row, i), wanted);
    }
    cr_expect_eq(*value, '\n', "%s has more numbers there: %s", word, out);
}

Test(published, transformers_opens_what_a_run_leaves, .timeout = 400) {
    static const char expected[] =
        "BertConfig {0: 'negative', 1: 'positive'} {'negative': 0, 'positive': 1}\n[CLS] [SEP] [PAD] [UNK] [MASK]\n";
    if (tests_are_brief()) cr_skip_test("fetches 100 MB");
    if (run_program(task_folder, WORDS(READ, "--install", WICK_BUILD_DIR), NULL, 300, NULL) != 0) {
        (void)fprintf(stderr, "\n*** SKIPPED: transformers of PyPI is not to be had\n");
        cr_skip_test("no transformers");
    }
    wk_tokenizer *t = NULL;
    wk_module *m = make_folder(&t);
    char *out = read_folder();
    cr_expect_eq(strncmp(out, expected, sizeof expected - 1), 0, "%s", out);
    const bool scores = strstr(out, "lacks [] does not know []\n") != NULL;
    if (!scores) {
        cr_expect_null(strstr(out, "lacks"), "%s", out);
        (void)fprintf(stderr,
                      "\n*** LEFT OUT: the weights, for there is no PyTorch (benchmarks/peers/install brings it)\n");
    }
    wk_scope scope = wk_scope_begin();
    wk_module_train(m, false);
    for (int i = 0; i < TEXTS; i++) {
        wk_tensor *ids, *mask;
        cr_assert_eq(wk_tokenizer_batch(t, &texts[i], NULL, 1, (wk_encode_opts){ 0 }, &ids, &mask, NULL), WK_OK);
        expect_line(out, "ids", i, ids);
        if (scores)
            expect_line(out, "scores", i, wk_bert_run(m, ids, (wk_bert_inputs){ .attention_mask = mask }, NULL));
    }
    wk_scope_end(scope);
    free(out);
    wk_module_destroy(m);
    wk_tokenizer_destroy(t);
}
