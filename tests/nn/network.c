/* network.c: modules of normalisation, attention and recurrent layers against torch.nn (tests/golden/nn_network.py). */
#define WK_NO_CALL_SITES
#include "support/golden.h"
#include "wick/nn.h"

#include <math.h>
#include <string.h>

static wk_tensor *wave(wk_dims dims) {
    wk_tensor *t = wk_empty(WK_F32, dims);
    for (int64_t i = 0; i < wk_count(t); i++) ((float *)wk_data(t))[i] = (float)sin((double)i * 0.7 + 0.2);
    return t;
}
static wk_tensor *flat(wk_tensor *t) {
    return wk_reshape(t, WK_DIMS(-1));
}

/* ---- what is made ---- */

static wk_module *layer_norm(void) {
    return wk_nn_layer_norm(WK_DIMS(3, 4), (wk_nn_norm_opts){ 0 });
}
static wk_module *rms_norm(void) {
    return wk_nn_rms_norm(WK_DIMS(4), (wk_nn_norm_opts){ 0 });
}
static wk_module *group_norm(void) {
    return wk_nn_group_norm(2, 4, (wk_nn_norm_opts){ 0 });
}
static wk_module *instance_norm1d(void) {
    return wk_nn_instance_norm1d(3, (wk_nn_instance_norm_opts){ 0 });
}
static wk_module *instance_norm2d(void) {
    return wk_nn_instance_norm2d(3, (wk_nn_instance_norm_opts){ .affine = true, .running_statistics = true });
}
static wk_module *instance_norm3d(void) {
    return wk_nn_instance_norm3d(2, (wk_nn_instance_norm_opts){ .affine = true });
}
static wk_module *batch_norm1d(void) {
    return wk_nn_batch_norm1d(4, (wk_nn_batch_norm_opts){ .cumulative = true });
}
static wk_module *batch_norm3d(void) {
    return wk_nn_batch_norm3d(3, (wk_nn_batch_norm_opts){ .eps = { 0 } });
}
static wk_module *response_norm(void) {
    return wk_nn_local_response_norm((wk_local_response_norm_opts){ .size = 3, .alpha = WK_SET(0.5) });
}
static wk_module *rnn(void) {
    return wk_nn_rnn(3, 4, (wk_nn_recurrent_opts){ .layers = 2, .relu = true });
}
static wk_module *lstm(void) {
    return wk_nn_lstm(3, 4, (wk_nn_recurrent_opts){ .layers = 2, .bidirectional = true });
}
static wk_module *lstm_projected(void) {
    return wk_nn_lstm(3, 4, (wk_nn_recurrent_opts){ .layers = 2, .projection = 2, .batch_first = true });
}
static wk_module *gru(void) {
    return wk_nn_gru(3, 4, (wk_nn_recurrent_opts){ .bidirectional = true });
}
static wk_module *gru_plain(void) {
    return wk_nn_gru(3, 4, (wk_nn_recurrent_opts){ .no_bias = true });
}
static wk_module *lstm_cell(void) {
    return wk_nn_lstm_cell(3, 4, (wk_nn_recurrent_opts){ 0 });
}
static wk_module *gru_cell(void) {
    return wk_nn_gru_cell(3, 4, (wk_nn_recurrent_opts){ 0 });
}
static wk_module *rnn_cell(void) {
    return wk_nn_rnn_cell(3, 4, (wk_nn_recurrent_opts){ 0 });
}
static wk_module *attention(void) {
    return wk_nn_multihead_attention(6, 2, (wk_nn_attention_opts){ 0 });
}
static wk_module *encoder(void) {
    return wk_nn_transformer_encoder(6, 2, 2, (wk_nn_transformer_opts){ .feedforward = 8, .dropout = WK_SET(0) }, NULL);
}
static wk_module *encoder_layer(void) {
    return wk_nn_transformer_encoder_layer(
        6, 3,
        (wk_nn_transformer_opts){
            .feedforward = 8, .dropout = WK_SET(0), .gelu = true, .norm_first = true, .batch_first = true });
}
static wk_module *decoder_layer(void) {
    return wk_nn_transformer_decoder_layer(6, 2, (wk_nn_transformer_opts){ .feedforward = 8, .dropout = WK_SET(0) });
}
static wk_module *parametrised(wk_module *m, wk_parametrise_opts opts) {
    cr_assert_eq(wk_module_parametrise(m, "weight", opts), WK_OK, "%s", wk_message());
    return m;
}
static wk_module *weight_norm(void) {
    return parametrised(wk_nn_linear(4, 3, (wk_layer_opts){ 0 }), (wk_parametrise_opts){ .kind = WK_WEIGHT_NORM });
}
static wk_module *weight_norm_conv(void) {
    return parametrised(wk_nn_conv2d(2, 3, 2, (wk_nn_conv2d_opts){ 0 }), (wk_parametrise_opts){ .axis = 1 });
}
static wk_module *spectral_norm(void) {
    return parametrised(wk_nn_linear(4, 3, (wk_layer_opts){ 0 }), (wk_parametrise_opts){ .kind = WK_SPECTRAL_NORM });
}
static wk_module *spectral_norm_conv(void) {
    return parametrised(wk_nn_conv2d(2, 3, 2, (wk_nn_conv2d_opts){ 0 }),
                        (wk_parametrise_opts){ .kind = WK_SPECTRAL_NORM });
}

/* ---- what is run ---- */

static wk_tensor *twice(wk_module *m, wk_tensor *x) {
    (void)wk_forward(m, x);
    return wk_forward(m, wk_affine(x, (wk_affine_opts){ 2, 1 }));
}
static wk_tensor *evaluated(wk_module *m, wk_tensor *x) {
    (void)wk_forward(m, x);
    wk_module_train(m, false);
    return wk_forward(m, x);
}
static wk_tensor *packed(wk_module *m, wk_tensor *x) {
    wk_packed in, out;
    wk_nn_states last;
    wk_tensor *padded;
    wk_tensor *lengths = wk_from_array(WK_I64, WK_DIMS(3), (int64_t[]){ 2, 4, 1 });
    cr_assert_eq(wk_pack_padded_sequence(x, lengths, (wk_pack_opts){ 0 }, &in), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_nn_run_packed(m, in, (wk_nn_states){ 0 }, &out, &last), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_pad_packed_sequence(out, false, 0, &padded, NULL), WK_OK, "%s", wk_message());
    if (!last.c) return padded;
    return wk_concat((wk_tensor *[]){ flat(padded), flat(last.h), flat(last.c) }, 3, 0);
}
static wk_tensor *stepped(wk_module *m, wk_tensor *x) {
    wk_nn_states s = wk_nn_run_cell(m, x, (wk_nn_states){ 0 });
    return wk_concat((wk_tensor *[]){ s.h, s.c }, 2, 1);
}
static wk_tensor *attended(wk_module *m, wk_tensor *x) {
    const bool padding[10] = { false, false, false, false, false, false, false, false, true, true };
    const bool mask[15] = { false, false, false, true,  true,  false, false, false,
                            false, true,  false, false, false, false, false };
    wk_tensor *memory = wk_scale(wave(WK_DIMS(5, 2, 6)), 0.5), *weights;
    wk_attend_opts opts = { .key_padding_mask = wk_from_array(WK_BOOL, WK_DIMS(2, 5), padding),
                            .attn_mask = wk_from_array(WK_BOOL, WK_DIMS(3, 5), mask) };
    wk_tensor *y = wk_nn_attend(m, x, memory, NULL, opts, &weights);
    wk_tensor *alone = wk_nn_attend(m, x, memory, NULL, opts, NULL);
    golden_expect_close(alone, wk_detach(y), 1e-6, "attention in tiles");
    return wk_concat((wk_tensor *[]){ flat(y), flat(weights) }, 2, 0);
}
static wk_tensor *causal(wk_module *m, wk_tensor *x) {
    return wk_nn_transform(m, x, NULL, (wk_transform_opts){ .mask = wk_causal_mask(wk_size(x, 0)) });
}
static wk_tensor *decoded(wk_module *m, wk_tensor *x) {
    return wk_nn_transform(m, x, wk_scale(wave(WK_DIMS(4, 2, 6)), 0.5), (wk_transform_opts){ 0 });
}

static const struct {
    const char *name;
    wk_module *(*make)(void);
    wk_dims dims;
    wk_tensor *(*run)(wk_module *m, wk_tensor *x);
} cases[] = {
    { "layer_norm", layer_norm, { 3, { 2, 3, 4 } }, wk_forward },
    { "rms_norm", rms_norm, { 3, { 2, 3, 4 } }, wk_forward },
    { "group_norm", group_norm, { 3, { 2, 4, 3 } }, wk_forward },
    { "instance_norm1d", instance_norm1d, { 2, { 3, 5 } }, wk_forward },
    { "instance_norm2d", instance_norm2d, { 4, { 2, 3, 2, 4 } }, evaluated },
    { "instance_norm3d", instance_norm3d, { 5, { 2, 2, 2, 2, 3 } }, wk_forward },
    { "batch_norm1d", batch_norm1d, { 2, { 5, 4 } }, twice },
    { "batch_norm3d", batch_norm3d, { 5, { 2, 3, 2, 2, 2 } }, evaluated },
    { "response_norm", response_norm, { 3, { 2, 5, 3 } }, wk_forward },
    { "rnn", rnn, { 3, { 4, 3, 3 } }, wk_forward },
    { "lstm", lstm, { 3, { 4, 3, 3 } }, packed },
    { "lstm_projected", lstm_projected, { 3, { 2, 4, 3 } }, wk_forward },
    { "gru", gru, { 3, { 4, 3, 3 } }, packed },
    { "gru_plain", gru_plain, { 2, { 4, 3 } }, wk_forward },
    { "lstm_cell", lstm_cell, { 2, { 2, 3 } }, stepped },
    { "gru_cell", gru_cell, { 2, { 2, 3 } }, wk_forward },
    { "rnn_cell", rnn_cell, { 1, { 3 } }, wk_forward },
    { "attention", attention, { 3, { 3, 2, 6 } }, attended },
    { "encoder", encoder, { 3, { 3, 2, 6 } }, causal },
    { "encoder_layer", encoder_layer, { 3, { 2, 3, 6 } }, wk_forward },
    { "decoder_layer", decoder_layer, { 3, { 3, 2, 6 } }, decoded },
    { "weight_norm", weight_norm, { 2, { 2, 4 } }, twice },
    { "weight_norm_conv", weight_norm_conv, { 4, { 1, 2, 3, 3 } }, wk_forward },
    { "spectral_norm", spectral_norm, { 2, { 2, 4 } }, twice },
    { "spectral_norm_conv", spectral_norm_conv, { 4, { 1, 2, 3, 3 } }, evaluated },
};

static void check_state(wk_safetensors *file, const char *name, wk_module *m) {
    wk_named_tensors all = wk_state(m);
    for (int i = 0; i < all.count; i++) {
        char what[160];
        (void)snprintf(what, sizeof what, "%s/state/%s", name, all.name[i]);
        bool drawn = !strstr(name, "_norm") || !strstr(what, "parametrizations"); /* norms are rounded otherwise */
        if (drawn)
            golden_expect_equal(all.tensor[i], golden_get(file, "%s", what), what);
        else
            golden_expect_close(all.tensor[i], golden_get(file, "%s", what), 1e-5, what);
    }
}

static void check_gradients(wk_safetensors *file, const char *name, wk_module *m, wk_tensor *x) {
    golden_expect_close(wk_gradient(x), golden_get(file, "%s/dx", name), 2e-5, name);
    wk_named_tensors all = wk_parameters(m);
    wk_tensor *sums = all.count ? golden_get(file, "%s/sums", name) : NULL;
    if (all.count) cr_assert_eq(wk_count(sums), all.count, "%s", name);
    for (int i = 0; i < all.count; i++) {
        double sum = 0;
        wk_tensor *g = wk_gradient(all.tensor[i]);
        for (int64_t k = 0; g && k < wk_count(g); k++) sum += wk_at(g, k) * sin((double)k * 1.3);
        cr_expect(fabs(sum - wk_at(sums, i)) <= 1e-4 * (1 + fabs(sum)), "%s: gradient of %s: %g, expected %g", name,
                  all.name[i], sum, wk_at(sums, i));
    }
}

Test(network, modules_as_pytorch) {
    wk_safetensors *file = golden_open("nn_network.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wk_scope scope = wk_scope_begin();
        const char *name = cases[i].name;
        wk_manual_seed(0);
        wk_module *m = cases[i].make();
        cr_assert_not_null(m, "%s: %s", name, wk_message());
        check_state(file, name, m);
        wk_tensor *x = wk_require_grad(wk_keep(wave(cases[i].dims)), true), *y = cases[i].run(m, x);
        cr_assert_not_null(y, "%s: %s", name, wk_message());
        golden_expect_close(wk_detach(flat(y)), golden_get(file, "%s/y", name), 2e-5, name);
        cr_assert_eq(wk_backward_from(y, wave(wk_dims_get(y)), (wk_backward_opts){ 0 }), WK_OK, "%s", wk_message());
        check_gradients(file, name, m, x);
        wk_named_tensors state = wk_state(m);
        for (int k = 0; k < state.count; k++) {
            wk_tensor *after = golden_find(file, "%s/after/%s", name, state.name[k]);
            if (after) golden_expect_close(state.tensor[k], after, 1e-5, state.name[k]);
        }
        wk_module_destroy(m);
        wk_release(x);
        wk_scope_end(scope);
    }
    wk_safetensors_close(file);
}

Test(network, embedding_starts_as_pytorch) {
    wk_safetensors *file = golden_open("nn_network.safetensors");
    wk_scope scope = wk_scope_begin();
    wk_manual_seed(0);
    wk_module *m = wk_nn_embedding(7, 5, (wk_nn_embedding_opts){ .padding_idx = WK_SET(-2) });
    golden_expect_close(wk_parameters(m).tensor[0], golden_get(file, "embedding"), 1e-6, "embedding");
    wk_module_destroy(m);
    wk_scope_end(scope);
    wk_safetensors_close(file);
}

/* Step by step with a cache gives what one causal pass gives. */
Test(network, cache_equals_the_whole_sequence) {
    wk_manual_seed(3);
    wk_module *m = wk_nn_multihead_attention(8, 2, (wk_nn_attention_opts){ .batch_first = true });
    wk_kv_cache *cache = wk_kv_cache_create(2, 2, 7, 4, WK_F32);
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wave(WK_DIMS(2, 7, 8)),
              *whole = wk_nn_attend(m, x, NULL, NULL, (wk_attend_opts){ .causal = true }, NULL);
    for (int64_t t = 0, n; t < 7; t += n) {
        n = t == 0 ? 3 : 1;
        wk_attend_opts opts = { .causal = true, .cache = cache };
        wk_tensor *y = wk_nn_attend(m, wk_slice(x, 1, t, t + n, 1), NULL, NULL, opts, NULL);
        cr_assert_not_null(y, "%s", wk_message());
        golden_expect_close(wk_detach(y), wk_detach(wk_slice(whole, 1, t, t + n, 1)), 1e-6, "step");
    }
    cr_expect_eq(wk_kv_cache_length(cache), 7);
    cr_expect_null(wk_nn_attend(m, wk_slice(x, 1, 0, 1, 1), NULL, NULL, (wk_attend_opts){ .cache = cache }, NULL));
    cr_expect_str_eq(wk_message(),
                     "the cache (2, 2, 7, 4) f32 holds 7 steps and does not take keys (2, 2, 1, 4) f32 and "
                     "values (2, 2, 1, 4) f32");
    wk_clear_error();
    wk_scope_end(scope);
    wk_kv_cache_destroy(cache);
    wk_module_destroy(m);
}

Test(network, cache_takes_and_gives_steps) {
    wk_kv_cache *cache = wk_kv_cache_create(1, 2, 3, 2, WK_F32);
    wk_scope scope = wk_scope_begin();
    wk_tensor *first = wave(WK_DIMS(1, 2, 2, 2)), *second = wk_cast(wk_scale(wave(WK_DIMS(1, 2, 1, 2)), 3), WK_F64);
    wk_tensor *keys = first, *values = wk_scale(first, 2);
    cr_assert_eq(wk_kv_cache_append(cache, &keys, &values), WK_OK, "%s", wk_message());
    golden_expect_equal(keys, first, "keys");
    keys = second, values = second;
    cr_assert_eq(wk_kv_cache_append(cache, &keys, &values), WK_OK, "%s", wk_message());
    golden_expect_equal(keys, wk_concat((wk_tensor *[]){ first, wk_cast(second, WK_F32) }, 2, 2), "all keys");
    golden_expect_equal(wk_slice(values, 2, 0, 2, 1), wk_scale(first, 2), "values of before");
    cr_assert_eq(wk_kv_cache_truncate(cache, 1), WK_OK);
    keys = wave(WK_DIMS(1, 2, 2, 2)), values = wave(WK_DIMS(1, 2, 1, 2));
    cr_expect_eq(wk_kv_cache_append(cache, &keys, &values), WK_SHAPE);
    cr_expect(
        strstr(wk_message(), "holds 1 steps and does not take keys (1, 2, 2, 2) f32 and values (1, 2, 1, 2) f32"));
    wk_clear_error();
    cr_expect_eq(wk_kv_cache_append(NULL, &keys, &values), WK_INVALID);
    wk_clear_error();
    wk_scope_end(scope);
    wk_kv_cache_destroy(cache);
}

Test(network, channels_are_dropped_whole) {
    wk_manual_seed(1);
    wk_module *m = wk_nn_dropout2d(0.5);
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = wk_forward(m, wk_full(WK_F32, WK_DIMS(8, 16, 3, 3), 1));
    int dropped = 0;
    for (int c = 0; c < 8 * 16; c++) {
        double first = wk_at(y, (int64_t)c * 9);
        dropped += first == 0;
        cr_expect(first == 0 || first == 2);
        for (int k = 1; k < 9; k++) cr_expect_eq(wk_at(y, (int64_t)c * 9 + k), first);
    }
    cr_expect(dropped > 40 && dropped < 88, "%d of 128 channels dropped", dropped);
    wk_module_train(m, false);
    wk_tensor *x = wave(WK_DIMS(2, 3, 4, 4));
    cr_expect_eq(wk_forward(m, x), x);
    wk_scope_end(scope);
    wk_module_destroy(m);
}

Test(network, alpha_dropout_keeps_mean_and_variance) {
    wk_manual_seed(1);
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_normal(wk_random_key(), (wk_normal_opts){ .dims = WK_DIMS(400, 500) });
    wk_tensor *y = wk_alpha_dropout(x, wk_random_key(), (wk_dropout_opts){ 0.3 });
    double mean = wk_item(wk_mean(y, (wk_reduce_opts){ 0 })),
           square = wk_item(wk_mean(wk_mul(y, y), (wk_reduce_opts){ 0 }));
    cr_expect(fabs(mean) < 0.02, "mean %g", mean);
    cr_expect(fabs(square - 1) < 0.02, "variance %g", square);
    wk_scope_end(scope);
}

Test(network, parametrisations_are_refused_by_name) {
    wk_module *m = wk_nn_lstm(3, 4, (wk_nn_recurrent_opts){ 0 }), *l = wk_nn_linear(3, 2, (wk_layer_opts){ 0 });
    cr_expect_eq(wk_module_parametrise(m, "weight_hh_l0", (wk_parametrise_opts){ 0 }), WK_INVALID);
    cr_expect_str_eq(wk_message(), "wk_module_parametrise: \"weight_hh_l0\" of module \"\" (LSTM): this class does not "
                                   "hold it as a field of its own");
    wk_clear_error();
    cr_expect_eq(wk_module_parametrise(l, "weight", (wk_parametrise_opts){ .axis = 2 }), WK_INVALID);
    wk_clear_error();
    cr_expect_eq(wk_module_parametrise(l, "weight", (wk_parametrise_opts){ 0 }), WK_OK);
    cr_expect_eq(wk_module_parametrise(l, "weight", (wk_parametrise_opts){ 0 }), WK_NOT_FOUND);
    wk_clear_error();
    cr_expect_eq(wk_module_parametrise(l, "bias", (wk_parametrise_opts){ .kind = WK_SPECTRAL_NORM }), WK_OK, "%s",
                 wk_message());
    wk_named_tensors all = wk_parameters(l);
    cr_assert_eq(all.count, 3);
    cr_expect_str_eq(all.name[0], "parametrizations.weight.original0");
    cr_expect_str_eq(all.name[2], "parametrizations.bias.original");
    wk_module_destroy(m);
    wk_module_destroy(l);
}

/* Statistics are joined from parts of the batch; which parts, the team does not decide. */
Test(network, batch_norm_gives_the_same_bits_with_any_number_of_threads) {
    wk_module *conv = wk_nn_conv2d(3, 24, 3, (wk_nn_conv2d_opts){ 0 }),
              *norm = wk_nn_batch_norm2d(24, (wk_nn_batch_norm_opts){ 0 });
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_require_grad(wk_keep(wk_forward(conv, wave(WK_DIMS(4, 3, 50, 40)))), true), *y[4], *dx[4];
    cr_assert_not(wk_is_contiguous(x), "channels last is what is summed in parts");
    for (int threads = 1; threads < 5; threads++) {
        wk_set_threads(threads);
        y[threads - 1] = wk_forward(norm, x);
        cr_assert_eq(wk_backward_from(y[threads - 1], wave(wk_dims_get(x)), (wk_backward_opts){ 0 }), WK_OK);
        dx[threads - 1] = wk_affine(wk_gradient(x), (wk_affine_opts){ 1, 0 });
        wk_clear_grad(x);
        golden_expect_equal(wk_detach(y[threads - 1]), wk_detach(y[0]), "batch_norm");
        golden_expect_equal(dx[threads - 1], dx[0], "its gradient");
    }
    wk_set_threads(0);
    wk_release(x);
    wk_scope_end(scope);
    wk_module_destroy(norm);
    wk_module_destroy(conv);
}
