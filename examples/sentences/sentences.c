/* sentences.c: how near sentences are to each other, by a published encoder.
 *
 *   sentences FOLDER [--numbers N] TEXT...
 *
 * FOLDER holds config.json, model.safetensors and a tokenizer, as sentence-transformers/all-MiniLM-L6-v2 does.  A
 * sentence is the mean of its tokens' states, of length 1; what is printed are the cosines of each with each, or, with
 * --numbers, the first N of each embedding.
 */
#include <wick/tasks.h>
#include <wick/wick.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* (n, width), rows of length 1 */
static wk_tensor *embed(wk_module *encoder, const wk_tokenizer *tokenizer, const char *const *texts, int n) {
    wk_tensor *tokens, *mask, *types;
    const wk_encode_opts opts = { .padding = WK_PAD_LONGEST,
                                  .truncation = WK_TRUNCATE_LONGEST_FIRST,
                                  .max_length = 256 };
    if (wk_tokenizer_batch(tokenizer, texts, NULL, n, opts, &tokens, &mask, &types) != WK_OK) return NULL;
    const wk_bert_inputs more = { .token_type_ids = types, .attention_mask = mask };
    wk_tensor *states = wk_bert_run(encoder, tokens, more, NULL); /* (n, length, width) */
    wk_tensor *weights = wk_reshape(wk_cast(mask, WK_F32), WK_DIMS(n, -1, 1));
    const wk_reduce_opts over_tokens = { .axes = WK_DIMS(1) };
    wk_tensor *mean = wk_div(wk_sum(wk_mul(states, weights), over_tokens), wk_sum(weights, over_tokens));
    return wk_div(mean, wk_sqrt(wk_sum(wk_mul(mean, mean), (wk_reduce_opts){ .axes = WK_DIMS(1), .keep_dims = true })));
}

static void print(wk_tensor *rows, int64_t columns) {
    for (int64_t i = 0; i < wk_size(rows, 0); i++)
        for (int64_t k = 0; k < columns; k++)
            (void)printf("%.6f%c", wk_at(rows, i * wk_size(rows, 1) + k), k + 1 < columns ? ' ' : '\n');
}

int main(int argc, char **argv) {
    const bool has_numbers = argc > 3 && strcmp(argv[2], "--numbers") == 0;
    const int first = has_numbers ? 4 : 2, n = argc - first;
    if (n < 1) return (void)fprintf(stderr, "usage: sentences FOLDER [--numbers N] TEXT...\n"), 2;
    wk_tokenizer *tokenizer = wk_tokenizer_open(argv[1]);
    wk_module *encoder = wk_pretrained_open(argv[1], (wk_pretrained_opts){ .labels = 0 });
    if (encoder) wk_module_train(encoder, false);
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_tensor *rows = encoder ? embed(encoder, tokenizer, (const char *const *)argv + first, n) : NULL;
    if (rows && has_numbers) {
        const long wanted = strtol(argv[3], NULL, 10);
        print(rows, wanted > 0 && wanted < wk_size(rows, 1) ? wanted : wk_size(rows, 1));
    } else if (rows && (rows = wk_matmul(rows, wk_transpose(rows, 0, 1)))) {
        print(rows, n);
    }
    wk_no_grad_end(was);
    wk_scope_end(scope);
    wk_module_destroy(encoder);
    wk_tokenizer_destroy(tokenizer);
    return wk_failed() ? (int)wk_report(stderr) : 0;
}
