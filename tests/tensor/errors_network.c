/* errors_network.c: what a bad call of a normalisation, attention or a recurrent layer says. */
#include "support/refused.h"
#include "wick/ops.h"

#include <string.h>

static wk_tensor *f32(wk_dims dims) {
    return wk_zeros(WK_F32, dims);
}

SCOPED_SUITE(errors_network);

Test(errors_network, normalisation) {
    REFUSED(wk_layer_norm(f32(WK_DIMS(2, 5)), f32(WK_DIMS(4)), NULL, (wk_layer_norm_opts){ 0 }), WK_SHAPE,
            "layer_norm: weight has shape (4) f32, expected the last axes of x (2, 5) f32");
    REFUSED(wk_layer_norm(f32(WK_DIMS(5)), NULL, NULL, (wk_layer_norm_opts){ .axes = 2 }), WK_SHAPE,
            "layer_norm: x (5) f32, the last 2 axes asked for: expected 1 to 1");
    REFUSED(wk_rms_norm(f32(WK_DIMS(2, 5)), wk_zeros(WK_F64, WK_DIMS(5)), (wk_layer_norm_opts){ 0 }), WK_DTYPE,
            "rms_norm: weight is (5) f64: x (2, 5) f32 takes its own dtype, or f32 beside a half type");
    REFUSED(wk_group_norm(f32(WK_DIMS(2, 6, 3)), NULL, NULL, (wk_group_norm_opts){ .groups = 4 }), WK_INVALID,
            "group_norm: 4 groups do not divide the 6 channels of x (2, 6, 3) f32 evenly");
    REFUSED(wk_instance_norm(f32(WK_DIMS(2, 6, 1)), NULL, NULL, (wk_instance_norm_opts){ { 0 } }), WK_SHAPE,
            "instance_norm: x (2, 6, 1) f32: more than one value a channel is needed");
}

Test(errors_network, attention) {
    const wk_attention_opts plain = { 0 };
    wk_tensor *q = f32(WK_DIMS(2, 4, 3, 8)), *k = f32(WK_DIMS(2, 3, 5, 8));
    REFUSED(
        wk_scaled_dot_product_attention(q, k, k, NULL, NULL, plain), WK_SHAPE,
        "scaled_dot_product_attention: 4 heads of q (2, 4, 3, 8) f32 are no multiple of the 3 of k (2, 3, 5, 8) f32");
    REFUSED(
        wk_scaled_dot_product_attention(q, f32(WK_DIMS(2, 4, 5, 7)), f32(WK_DIMS(2, 4, 5, 8)), NULL, NULL, plain),
        WK_SHAPE,
        "scaled_dot_product_attention: q (2, 4, 3, 8) f32, k (2, 4, 5, 7) f32, v (2, 4, 5, 8) f32: expected (…, H, T, "
        "D), (…, G, S, D), (…, G, S, E)");
    REFUSED(
        wk_scaled_dot_product_attention(q, q, q, f32(WK_DIMS(3, 4)), NULL, plain), WK_SHAPE,
        "scaled_dot_product_attention: mask (3, 4) f32 does not broadcast to the scores of q (2, 4, 3, 8) f32 and k "
        "(2, 4, 3, 8) f32");
    REFUSED(wk_scaled_dot_product_attention(q, q, q, NULL, NULL, (wk_attention_opts){ .dropout = 0.5 }), WK_INVALID,
            "scaled_dot_product_attention: dropout needs a key");
    REFUSED(wk_rotary(q, f32(WK_DIMS(3, 5)), f32(WK_DIMS(3, 5)), (wk_rotary_opts){ 0 }), WK_SHAPE,
            "rotary: cosines (3, 5) f32 does not fit x (2, 4, 3, 8) f32: expected (T, R) for (…, T, D), 2 R ≤ D");
}

Test(errors_network, sequences) {
    wk_tensor *y, *h, *x = f32(WK_DIMS(4, 2, 3));
    wk_recurrent_weights w = { .w_ih = f32(WK_DIMS(9, 3)), .w_hh = f32(WK_DIMS(9, 3)) };
    cr_expect_neq(wk_gru(x, w, f32(WK_DIMS(3, 3)), NULL, (wk_recurrent_opts){ 0 }, &y, &h), WK_OK);
    expect_refused(WK_SHAPE, "gru: h0 has shape (3, 3) f32, expected (2, 3)", __FILE__);
    wk_tensor *lengths = wk_from_array(WK_I64, WK_DIMS(2), (int64_t[]){ 2, 5 });
    cr_expect_neq(wk_gru(x, w, NULL, lengths, (wk_recurrent_opts){ 0 }, &y, &h), WK_OK);
    expect_refused(WK_INVALID, "gru: recurrent: length 5 at position 1, expected 0 to 4", __FILE__);
    wk_packed packed;
    cr_expect_neq(wk_pack_padded_sequence(x, lengths, (wk_pack_opts){ 0 }, &packed), WK_OK);
    expect_refused(WK_INVALID, "pack_padded_sequence: length 5 at position 1, expected 1 to 4", __FILE__);
    lengths = wk_from_array(WK_I64, WK_DIMS(2), (int64_t[]){ 2, 4 });
    cr_expect_neq(wk_pack_padded_sequence(x, lengths, (wk_pack_opts){ .sorted = true }, &packed), WK_OK);
    expect_refused(WK_INVALID, "pack_padded_sequence: length 4 at position 1 follows 2: expected falling lengths",
                   __FILE__);
    w.w_hr = f32(WK_DIMS(2, 2));
    cr_expect_neq(wk_lstm(x, w, NULL, NULL, NULL, (wk_recurrent_opts){ 0 }, &y, &h, &h), WK_OK);
    expect_refused(WK_SHAPE,
                   "lstm_projected: xg (4, 2, 9) f32, w_hh (9, 3) f32, w_hr (2, 2) f32: expected (T, N, 4·H), (4·H, P) "
                   "and (P, H)",
                   __FILE__);
}
