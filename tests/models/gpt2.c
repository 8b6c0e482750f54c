/* gpt2.c: GPT-2 as a program uses it: stored weights, generation with and without kept keys and values, mixed
 * precision. */
#define WK_NO_CALL_SITES
#include "models/check.h"
#include "support/refused.h"

#include <math.h>
#include <string.h>

/* The model of the goldens, with common.fill's values. */
static wk_module *filled(void) {
    wk_module *m = wk_gpt2(
        (wk_gpt2_opts){ .layers = 2, .heads = 4, .width = 32, .vocabulary = 50, .context = 16, .dropout = WK_SET(0) });
    cr_assert_not_null(m, "%s", wk_message());
    model_fill(m);
    wk_module_train(m, false);
    return m;
}

Test(gpt2, loads_what_transformers_saves) {
    wk_scope scope = wk_scope_begin();
    wk_gpt2_opts opts = { .layers = 1, .heads = 2, .width = 8, .vocabulary = 11, .context = 6, .dropout = WK_SET(0) };
    wk_module *m = wk_gpt2(opts), *part = wk_gpt2(opts);
    wk_safetensors *file = golden_open("models/gpt2_file.safetensors"),
                   *results = golden_open("models/sequence.safetensors");
    wk_tensor *wanted = golden_get(results, "gpt2_file/y"), *x = model_tokens(11, WK_DIMS(1, 6));
    cr_assert_eq(wk_load_named(file, "", wk_parameters(m), "GPT-2"), WK_OK, "%s", wk_message());
    golden_expect_close(wk_forward(m, x), wanted, 1e-5, "logits");
    /* The bare transformer, out of a file with more. */
    wk_named_tensors bare = wk_parameters(wk_module_find(part, "transformer"));
    cr_assert_eq(wk_load_matching(file, "transformer.", bare, "GPT-2"), WK_OK, "%s", wk_message());
    golden_expect_equal(wk_forward(part, x), wk_forward(m, x), "logits of the part");
    cr_expect_neq(wk_load_named(file, "", bare, "GPT-2"), WK_OK);
    wk_clear_error();
    wk_safetensors_close(file), wk_safetensors_close(results);
    wk_module_destroy(m), wk_module_destroy(part);
    wk_scope_end(scope);
}

/* The head by chunks, its weight tied to the table: loss and gradients are those of whole logits. */
Test(gpt2, is_trained_by_the_loss_of_its_logits) {
    wk_scope scope = wk_scope_begin();
    wk_module *m = filled();
    wk_tensor *x = model_tokens(50, WK_DIMS(2, 11)), *next = model_tokens(50, WK_DIMS(2, 11)), *wanted[40];
    wk_named_tensors p = wk_parameters(m);
    wk_tensor *logits = wk_reshape(wk_forward(m, x), WK_DIMS(22, 50));
    wk_tensor *whole =
        wk_cross_entropy(logits, wk_reshape(next, WK_DIMS(22)), (wk_cross_entropy_opts){ .reduction = 0 });
    cr_assert_leq(p.count, 40);
    cr_assert_eq(wk_gradients(&whole, 1, NULL, p.tensor, p.count, wanted, (wk_grad_opts){ 0 }), WK_OK, "%s",
                 wk_message());
    wk_tensor *loss = wk_gpt2_loss(m, x, next, (wk_linear_cross_entropy_opts){ .chunk = 9 });
    golden_expect_close(loss, whole, 1e-6, "loss");
    cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
    for (int i = 0; i < p.count; i++) golden_expect_close(wk_gradient(p.tensor[i]), wanted[i], 1e-5, p.name[i]);
    wk_tensor *long_one = wk_zeros(WK_I64, WK_DIMS(1, 17));
    cr_expect_null(wk_gpt2_loss(m, long_one, long_one, (wk_linear_cross_entropy_opts){ .chunk = 0 }));
    wk_clear_error();
    wk_module_destroy(m);
    wk_scope_end(scope);
}

Test(gpt2, cached_logits_are_those_of_the_whole_sequence) {
    wk_scope scope = wk_scope_begin();
    wk_module *m = filled();
    wk_tensor *x = model_tokens(50, WK_DIMS(2, 11)), *whole = wk_forward(m, x);
    wk_gpt2_cache *cache = wk_gpt2_cache_create(m, 2, 0);
    const int64_t ends[] = { 1, 5, 6, 11 };
    for (int i = 0, at = 0; i < 4; at = (int)ends[i++])
        golden_expect_close(wk_gpt2_next(m, wk_slice(x, 1, at, ends[i], 1), cache), wk_select(whole, 1, ends[i] - 1),
                            1e-5, "logits");
    /* A call that fails leaves the cache as it was. */
    cr_expect_null(wk_gpt2_next(m, wk_full(WK_I64, WK_DIMS(2, 1), 50), cache));
    wk_clear_error();
    cr_expect_null(wk_gpt2_next(m, wk_zeros(WK_I64, WK_DIMS(2, 6)), cache));
    cr_expect(strstr(wk_message(), "GPT2LMHeadModel (layer \"\"): 6 tokens behind 11: the context holds 16"), "%s",
              wk_message());
    wk_clear_error();
    cr_expect_not_null(wk_gpt2_next(m, wk_zeros(WK_I64, WK_DIMS(2, 5)), cache), "%s", wk_message());
    wk_gpt2_cache_destroy(cache);
    wk_module_destroy(m);
    wk_scope_end(scope);
}

Test(gpt2, generates_the_likeliest_tokens) {
    wk_scope scope = wk_scope_begin();
    wk_module *m = filled();
    wk_safetensors *file = golden_open("models/sequence.safetensors");
    wk_tensor *prompt = model_tokens(50, WK_DIMS(2, 5)), *wanted = golden_get(file, "gpt2/greedy");
    golden_expect_equal(wk_gpt2_generate(m, prompt, 11, (wk_gpt2_generate_opts){ 0 }), wanted, "with a cache");
    golden_expect_equal(wk_gpt2_generate(m, prompt, 11, (wk_gpt2_generate_opts){ .recompute = true }), wanted,
                        "without a cache");
    wk_gpt2_generate_opts best = { .temperature = 2, .top_k = 1 };
    golden_expect_equal(wk_gpt2_generate(m, prompt, 11, best), wanted, "drawn from one");
    wk_safetensors_close(file);
    wk_module_destroy(m);
    wk_scope_end(scope);
}

/* Token by token, on packed weights, in f32 and with weights in bf16. */
Test(gpt2, frozen_it_generates_the_same) {
    for (int half = 0; half < 2; half++) {
        wk_scope scope = wk_scope_begin();
        wk_module *m = filled();
        wk_tensor *prompt = model_tokens(50, WK_DIMS(2, 5));
        wk_tensor *wanted = wk_gpt2_generate(m, prompt, 11, (wk_gpt2_generate_opts){ 0 });
        wk_tensor *logits = wk_detach(wk_forward(m, wanted)), *last = wk_select(logits, 1, 15);
        cr_assert_eq(wk_module_freeze(m, (wk_freeze_opts){ .dtype = half ? WK_BF16 : WK_F32 }), WK_OK, "%s",
                     wk_message());
        wk_tensor *tokens = wk_gpt2_generate(m, prompt, 11, (wk_gpt2_generate_opts){ 0 });
        cr_assert_not_null(tokens, "%s", wk_message());
        if (!half) golden_expect_equal(tokens, wanted, "frozen");
        wk_gpt2_cache *cache = wk_gpt2_cache_create(m, 2, 0);
        wk_tensor *next = wk_gpt2_next(m, wanted, cache);
        cr_assert_not_null(next, "%s", wk_message());
        golden_expect_close(wk_contiguous(wk_cast(next, WK_F32)), wk_contiguous(last), half ? 0.1 : 1e-5, "logits");
        wk_gpt2_cache_destroy(cache);
        wk_module_destroy(m);
        wk_scope_end(scope);
    }
}

Test(gpt2, drawn_tokens_do_not_depend_on_the_cache) {
    wk_scope scope = wk_scope_begin();
    wk_module *m = filled();
    wk_tensor *prompt = model_tokens(50, WK_DIMS(3, 2));
    const int64_t keys[][2] = { { 3, 1 }, { 3, 2 } };
    for (int k = 0; k < 6; k++) {
        wk_gpt2_generate_opts opts = { .temperature = 0.5 + 0.5 * k, .top_k = k % 3 * 7 };
        opts.key = wk_from_array(WK_I64, WK_DIMS(2), keys[k % 2]);
        wk_tensor *tokens = wk_gpt2_generate(m, prompt, 14, opts);
        cr_assert_not_null(tokens, "%s", wk_message());
        golden_expect_equal(wk_slice(tokens, 1, 0, 2, 1), prompt, "the prompt comes first");
        golden_expect_equal(wk_gpt2_generate(m, prompt, 14, opts), tokens, "the same key");
        opts.recompute = true;
        golden_expect_equal(wk_gpt2_generate(m, prompt, 14, opts), tokens, "without a cache");
    }
    wk_module_destroy(m);
    wk_scope_end(scope);
}

Test(gpt2, generates_in_other_dtypes) {
    wk_scope scope = wk_scope_begin();
    wk_module *m = filled();
    wk_tensor *prompt = model_tokens(50, WK_DIMS(2, 5));
    wk_tensor *wanted = wk_gpt2_generate(m, prompt, 11, (wk_gpt2_generate_opts){ 0 });
    cr_assert_eq(wk_module_to(m, WK_F64), WK_OK, "%s", wk_message());
    golden_expect_equal(wk_gpt2_generate(m, prompt, 11, (wk_gpt2_generate_opts){ 0 }), wanted, "f64");
    cr_assert_eq(wk_module_to(m, WK_BF16), WK_OK, "%s", wk_message());
    wk_gpt2_generate_opts drawn = { .temperature = 1, .top_k = 3 };
    cr_expect_not_null(wk_gpt2_generate(m, prompt, 11, drawn), "%s", wk_message());
    wk_module_destroy(m);
    wk_scope_end(scope);
}

/* How often each token follows, against softmax(logits / temperature) of the likeliest three. */
Test(gpt2, draws_by_the_probabilities) {
    enum { ROWS = 4000, TOP = 3 };
    wk_scope scope = wk_scope_begin();
    wk_module *m = filled();
    wk_tensor *one = model_tokens(50, WK_DIMS(1, 4)), *index;
    wk_tensor *logits = wk_select(wk_forward(m, one), 1, 3);
    wk_tensor *best = wk_topk(logits, &index, (wk_topk_opts){ .k = TOP });
    wk_tensor *p = wk_softmax(wk_scale(best, 1 / 1.5), (wk_axis_opts){ { 0 } });
    wk_manual_seed(7);
    wk_tensor *many = wk_gpt2_generate(m, wk_contiguous(wk_expand(one, WK_DIMS(ROWS, 4))), 1,
                                       (wk_gpt2_generate_opts){ .temperature = 1.5, .top_k = TOP });
    cr_assert_not_null(many, "%s", wk_message());
    int64_t left = ROWS;
    for (int k = 0; k < TOP; k++) {
        int64_t times = 0;
        for (int64_t row = 0; row < ROWS; row++) times += wk_at(many, row * 5 + 4) == wk_at(index, k);
        const double expected = ROWS * wk_at(p, k), spread = sqrt(expected * (1 - wk_at(p, k)));
        cr_expect(fabs((double)times - expected) < 5 * spread, "token %d: %lld times, expected %g", k, (long long)times,
                  expected);
        left -= times;
    }
    cr_expect_eq(left, 0, "%lld tokens are none of the likeliest three", (long long)left);
    wk_module_destroy(m);
    wk_scope_end(scope);
}

/* Relative distance of two results. */
static double distance(wk_tensor *a, wk_tensor *b) {
    double square = 0, norm = 0;
    for (int64_t i = 0; i < wk_count(a); i++) {
        square += (wk_at(a, i) - wk_at(b, i)) * (wk_at(a, i) - wk_at(b, i));
        norm += wk_at(b, i) * wk_at(b, i);
    }
    return sqrt(square / norm);
}

Test(gpt2, runs_in_mixed_precision) {
    wk_scope scope = wk_scope_begin();
    wk_module *m[] = { filled(), filled() };
    wk_tensor *y[2], *x = model_tokens(50, WK_DIMS(2, 11));
    for (int half = 0; half < 2; half++) {
        wk_autocast was = wk_autocast_begin(WK_BF16, half == 1);
        y[half] = wk_forward(m[half], x);
        wk_autocast_end(was);
        cr_assert_not_null(y[half], "%s", wk_message());
        cr_expect_eq(wk_dtype_get(y[half]), half ? WK_BF16 : WK_F32);
        y[half] = wk_cast(y[half], WK_F32);
        cr_assert_eq(wk_backward_from(y[half], model_wave(wk_dims_get(y[half])), (wk_backward_opts){ 0 }), WK_OK, "%s",
                     wk_message());
    }
    cr_expect_lt(distance(wk_detach(y[1]), wk_detach(y[0])), 2e-2);
    wk_named_tensors full = wk_parameters(m[0]), half = wk_parameters(m[1]);
    for (int i = 0; i < full.count; i++) {
        const double away = distance(wk_gradient(half.tensor[i]), wk_gradient(full.tensor[i]));
        /* PyTorch's own two differ by up to 4e-2 here. */
        cr_expect_lt(away, 6e-2, "%s: %g", full.name[i], away);
    }
    /* Generation too. */
    wk_autocast was = wk_autocast_begin(WK_BF16, true);
    cr_expect_not_null(wk_gpt2_generate(m[0], x, 3, (wk_gpt2_generate_opts){ .temperature = 1 }), "%s", wk_message());
    wk_autocast_end(was);
    wk_module_destroy(m[0]), wk_module_destroy(m[1]);
    wk_scope_end(scope);
}

Test(gpt2, what_is_refused) {
    wk_scope scope = wk_scope_begin();
    const wk_gpt2_generate_opts plain = { 0 };
    wk_module *m = filled(), *other = wk_nn_identity(), *twin = filled();
    wk_tensor *x = model_tokens(50, WK_DIMS(2, 5)), *outside = wk_full(WK_I64, WK_DIMS(1, 3), 50);
    wk_gpt2_cache *cache = wk_gpt2_cache_create(m, 2, 6);
    REFUSED_PLAINLY(wk_forward(m, wk_zeros(WK_F32, WK_DIMS(2, 5))), WK_SHAPE,
                    "GPT2LMHeadModel (layer \"\"): tokens (2, 5) f32, expected (N, T) i64");
    REFUSED_PLAINLY(wk_forward(m, wk_zeros(WK_I64, WK_DIMS(5))), WK_SHAPE,
                    "GPT2LMHeadModel (layer \"\"): tokens (5) i64, expected (N, T) i64");
    REFUSED_PLAINLY(wk_forward(m, wk_zeros(WK_I64, WK_DIMS(1, 17))), WK_SHAPE,
                    "GPT2LMHeadModel (layer \"\"): 17 tokens behind 0: the context holds 16");
    REFUSED_PLAINLY(
        wk_forward(m, outside), WK_INVALID,
        "embedding: index[0] is 50, expected 0 ≤ index < 50 (axis 0 of weight) (layer \"transformer.wte\")");
    REFUSED_PLAINLY(
        wk_gpt2_generate(m, outside, 1, plain), WK_INVALID,
        "embedding: index[0] is 50, expected 0 ≤ index < 50 (axis 0 of weight) (layer \"transformer.wte\")");
    REFUSED_PLAINLY(wk_gpt2_generate(m, x, 12, plain), WK_SHAPE,
                    "wk_gpt2_generate: 12 tokens behind 5: the context holds 16");
    REFUSED_PLAINLY(wk_gpt2_generate(m, x, 0, plain), WK_INVALID,
                    "wk_gpt2_generate: 0 tokens behind (2, 5), expected at least one behind at least one");
    REFUSED_PLAINLY(wk_gpt2_generate(m, wk_zeros(WK_I64, WK_DIMS(1, 0)), 1, plain), WK_INVALID,
                    "wk_gpt2_generate: 1 tokens behind (1, 0), expected at least one behind at least one");
    REFUSED_PLAINLY(wk_gpt2_generate(m, x, 1, (wk_gpt2_generate_opts){ .temperature = -1 }), WK_INVALID,
                    "wk_gpt2_generate: temperature is -1, expected 0, or 1e-6 and more");
    REFUSED_PLAINLY(wk_gpt2_generate(m, x, 1, (wk_gpt2_generate_opts){ .temperature = 1e-60 }), WK_INVALID,
                    "wk_gpt2_generate: temperature is 1e-60, expected 0, or 1e-6 and more");
    REFUSED_PLAINLY(wk_gpt2_generate(m, x, 1, (wk_gpt2_generate_opts){ .temperature = NAN }), WK_INVALID,
                    "wk_gpt2_generate: temperature is nan, expected 0, or 1e-6 and more");
    REFUSED_PLAINLY(wk_gpt2_generate(m, x, 1, (wk_gpt2_generate_opts){ .temperature = 1, .top_k = 51 }), WK_INVALID,
                    "wk_gpt2_generate: top_k is 51, expected 0 to the 50 of the vocabulary");
    REFUSED_PLAINLY(wk_gpt2_generate(m, x, 1, (wk_gpt2_generate_opts){ .temperature = 1, .key = x }), WK_SHAPE,
                    "uniform: key is (2, 5) i64, expected (2) i64, row major: a seed and a draw number");
    REFUSED_PLAINLY(wk_gpt2_generate(other, x, 1, plain), WK_INVALID,
                    "wk_gpt2_generate: module \"\" (Identity) is no GPT2LMHeadModel");
    REFUSED_PLAINLY(wk_gpt2_cache_create(m, 2, 17), WK_INVALID,
                    "wk_gpt2_cache_create: capacity is 17, expected 1 to the 16 of the context");
    REFUSED_PLAINLY(wk_gpt2_cache_create(m, 0, 1), WK_INVALID,
                    "wk_gpt2_cache_create: batch is 0, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_gpt2_next(m, wk_slice(x, 0, 0, 1, 1), cache), WK_SHAPE,
                    "wk_gpt2_next: tokens (1, 5) i64, expected (2, T), one or more");
    REFUSED_PLAINLY(wk_gpt2_next(m, wk_zeros(WK_I64, WK_DIMS(2, 7)), cache), WK_SHAPE,
                    "wk_gpt2_next: 7 tokens behind 0: the cache holds 6");
    REFUSED_PLAINLY(wk_gpt2_next(m, x, NULL), WK_INVALID, "wk_gpt2_next: the cache is NULL");
    REFUSED_PLAINLY(wk_gpt2_next(twin, x, cache), WK_INVALID, "wk_gpt2_next: the cache is another model's");
    wk_gpt2_cache_destroy(cache);
    wk_module_destroy(m), wk_module_destroy(other), wk_module_destroy(twin);
    wk_scope_end(scope);
}
