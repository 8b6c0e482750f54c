/* language.c: the examples of character models, shortened; what they learned is written out; sampling by itself. */
#include "tasks/support.h"
#include "tasks/tasks.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

TestSuite(language, .init = task_set_up, .fini = task_tear_down);

/* A text that is learned in a few steps; "é" is two bytes. */
static char *file_option(void) {
    static const char line[] = "the quick brown fox jumps over the café's lazy dog.\n";
    static char option[600];
    char text[60 * sizeof line] = "";
    for (int i = 0; i < 60; i++) (void)strcat(text, line);
    write_bytes(task_path("text.txt"), text, strlen(text));
    (void)snprintf(option, sizeof option, "data.args.file=%s", task_path("text.txt"));
    return option;
}

static char *const tiny[] = {
    "-o", "model.args.width=32",          "-o", "model.args.layers=2",    "-o", "model.args.context=16",
    "-o", "data.args.length=16",          "-o", "data.args.stride=4",     "-o", "data.args.batch_size=16",
    "-o", "schedule.args.warmup_steps=5", "-o", "optimizer.args.lr=0.03", "-o", "optimizer.args.others.args.lr=1e-2",
    "-o", "trainer.log_every_n_steps=10", "-o", "trainer.max_steps=35"
};

static json_t *tokens_of(char *const words[]) {
    char *out = NULL, *err = NULL;
    int code = task_run(&out, &err, words);
    cr_assert_eq(code, 0, "%s", err);
    json_t *root = json_loads(out, 0, NULL);
    cr_assert_not_null(root, "%s", out);
    free(out);
    free(err);
    return root;
}

#define GENERATE(...) WORDS("generate", run, "--prompt", "the quick", "--tokens", "40", __VA_ARGS__)

static void train_gpt(char *precision) {
    char *words[40] = { "-o", file_option(), "-o", precision };
    memcpy(words + 4, tiny, sizeof tiny);
    free(task_train(EXAMPLE("char_gpt"), words));
}

/* Its weights are of that type where it writes, too. */
Test(language, a_gpt_of_short_floats_writes_on) {
    train_gpt("trainer.precision=bf16-true");
    cr_expect_lt(task_metric("val_loss", false), 2.5, "%g of log(31) = 3.4 at first", task_metric("val_loss", false));
    char *run = (char *)(uintptr_t)task_path("run");
    json_t *written = tokens_of(GENERATE("--temperature", "0", "--json"));
    cr_expect_eq(json_array_size(json_object_get(written, "tokens")), 40);
    json_decref(written);
}

Test(language, a_gpt_learns_a_text_and_writes_on) {
    train_gpt("trainer.precision=32");
    cr_expect_lt(task_metric("val_loss", false), 1.0, "%g of log(31) = 3.4 at first", task_metric("val_loss", false));
    cr_expect_float_eq(task_metric("val_perplexity", false), exp(task_metric("val_loss", false)), 1e-3);
    char *run = (char *)(uintptr_t)task_path("run"),
         *checkpoint = (char *)(uintptr_t)task_path("run/checkpoints/best.safetensors");

    /* The likeliest, with keys and values kept and without, past the end of the context. */
    json_t *kept = tokens_of(GENERATE("--temperature", "0", "--json"));
    json_t *anew = tokens_of(WORDS("generate", checkpoint, "--prompt", "the quick", "--tokens", "40", "--temperature",
                                   "0", "--json", "--no-cache"));
    cr_expect_eq(json_array_size(json_object_get(kept, "tokens")), 40);
    cr_expect(json_equal(kept, anew));

    /* As a stream: the same text, behind the prompt. */
    char *out = NULL, *again = NULL, *other = NULL;
    cr_expect_eq(task_run(&out, NULL, GENERATE("--temperature", "0")), 0);
    cr_expect_eq(strncmp(out, "the quick", 9), 0, "%s", out);
    const char *text = json_string_value(json_object_get(kept, "text"));
    cr_expect_eq(strncmp(out + 9, text, strlen(text)), 0, "%s instead of %s", out, text);
    cr_expect_str_eq(out + 9 + strlen(text), "\n");
    free(out);
    json_decref(kept);
    json_decref(anew);

    cr_expect_eq(task_run(&out, NULL, GENERATE("--temperature", "3", "--seed", "5")), 0);
    cr_expect_eq(task_run(&again, NULL, GENERATE("--temperature", "3", "--seed", "5")), 0);
    cr_expect_eq(task_run(&other, NULL, GENERATE("--temperature", "3", "--seed", "6")), 0);
    cr_expect_str_eq(out, again);
    cr_expect_str_neq(out, other);
    free(out);
    free(again);
    free(other);

    task_refused(1, "--prompt: model WordLevel: \"#\" is not in the vocabulary",
                 WORDS("generate", run, "--prompt", "#"));
    task_refused(1, "nowhere: no such file or folder", WORDS("generate", "nowhere"));
    task_refused(1, "neither a run's directory (config.yaml) nor a model's folder", WORDS("generate", task_folder));
    task_refused(2, "--top-p: expected more than 0 to 1, got 0", WORDS("generate", run, "--top-p", "0"));
    task_refused(2, "cannot make sense of --top", WORDS("generate", run, "--top", "0"));
}

Test(language, an_lstm_learns_a_text_and_writes_on) {
    free(task_train(EXAMPLE("char_lstm"),
                    WORDS("-o", file_option(), "-o", "model.args.hidden=64", "-o", "data.args.length=16", "-o",
                          "data.args.stride=4", "-o", "optimizer.args.lr=1e-2", "-o", "trainer.log_every_n_steps=10",
                          "-o", "trainer.max_steps=60")));
    cr_expect_lt(task_metric("val_loss", false), 1.5, "%g", task_metric("val_loss", false));
    char *run = (char *)(uintptr_t)task_path("run");
    json_t *kept = tokens_of(GENERATE("--temperature", "0", "--json")),
           *anew = tokens_of(GENERATE("--temperature", "0", "--json", "--no-cache"));
    cr_expect(json_equal(kept, anew));
    json_decref(kept);
    json_decref(anew);
}

Test(language, what_does_not_fit_is_said_before_training) {
    char *file = file_option(), *config = EXAMPLE("char_gpt");
    task_refused(1, "the data has 31 tokens, the model's vocabulary 20: model.args.vocabulary=31",
                 WORDS("train", "-c", config, "-o", file, "-o", "model.args.vocabulary=20"));
    task_refused(1, "windows of 4000 and the token behind do not fit",
                 WORDS("train", "-c", config, "-o", file, "-o", "data.args.length=4000"));
    task_refused(1, "data \"text\", file nowhere.txt",
                 WORDS("train", "-c", config, "-o", "data.args.file=nowhere.txt"));
    task_refused(1, "wrapper \"language_model\" needs items of tokens",
                 WORDS("train", "-c", EXAMPLE("fashion_mnist"), "-o", "data.args.limit=8", "-o",
                       "wrapper={name: language_model}"));
}

/* ---- choosing a token ---- */

Test(sample, cuts_by_number_and_by_probability) {
    const float scores[] = { 1, 3, 2, 3, 0 }; /* e³, e³, e², e, 1 of 51.3: 0.392, 0.392, 0.144, 0.053, 0.019 */
    const wk__sample_opts all = { .temperature = 1, .top_p = 1 };
    cr_expect_eq(wk__sample(scores, 5, (wk__sample_opts){ .temperature = 0, .top_p = 1 }, 0.9), 1, "ties: the first");
    cr_expect_eq(wk__sample(scores, 5, all, 0.391), 1);
    cr_expect_eq(wk__sample(scores, 5, all, 0.393), 3);
    cr_expect_eq(wk__sample(scores, 5, all, 0.785), 2);
    cr_expect_eq(wk__sample(scores, 5, all, 0.982), 4);
    cr_expect_eq(wk__sample(scores, 5, all, 0.9999999), 4);
    cr_expect_eq(wk__sample(scores, 5, (wk__sample_opts){ 1, 2, 1 }, 0.9999999), 3);
    cr_expect_eq(wk__sample(scores, 5, (wk__sample_opts){ 1, 0, 0.3 }, 0.9999999), 1);
    cr_expect_eq(wk__sample(scores, 5, (wk__sample_opts){ 1, 0, 0.8 }, 0.9999999), 2);
    cr_expect_eq(wk__sample(scores, 5, (wk__sample_opts){ 1e-6, 0, 1 }, 0.6), 3, "one of the two likeliest");
    const float broken[] = { 1, NAN };
    cr_expect_eq(wk__sample(broken, 2, all, 0.5), -1);
    cr_expect(strstr(wk_message(), "the model's score of token 1 is not a number"), "%s", wk_message());
    wk_clear_error();
}

Test(characters, make_a_tokenizer) {
    static const char text[] = "b a\né";
    wk_tokenizer *t = wk_tokenizer_characters(text, strlen(text));
    cr_assert_not_null(t, "%s", wk_message());
    cr_expect_eq(wk_tokenizer_size(t), 5);
    wk_encoding *e = wk_tokenizer_encode(t, "éa\n b", NULL, (wk_encode_opts){ .plain = true });
    static const int32_t expected[] = { 4, 2, 0, 1, 3 };
    cr_assert_eq(e->count, 5);
    cr_expect_arr_eq(e->ids, expected, sizeof expected);
    char *back = wk_tokenizer_decode(t, e->ids, e->count, false, NULL);
    cr_expect_str_eq(back, "éa\n b");
    wk_free(back);
    wk_encoding_free(e);
    wk_tokenizer_destroy(t);
    cr_expect_null(wk_tokenizer_characters("", 0));
    wk_clear_error();
    cr_expect_null(wk_tokenizer_characters("a\0b", 3));
    cr_expect(strstr(wk_message(), "byte 1 is a NUL"), "%s", wk_message());
    wk_clear_error();
}
