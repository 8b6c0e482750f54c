/* layers.c: the functions wk_rnn, wk_lstm and wk_gru: one product for the inputs of all steps, then the row. */
#define WK_NO_CALL_SITES
#include "tensor/ops/recurrent/recurrent.h"
#include "tensor/registry.h"

static wk_status check(const char *who, const wk_tensor *x, const wk_recurrent_weights *w) {
    if (!x || !w->w_ih || !w->w_hh || !w->b_ih != !w->b_hh)
        return wk_failed() ? wk_error_code()
                           : wk__bad_argument(who, WK_INVALID, "x, w_ih or w_hh is NULL, or one bias of two");
    char text[160];
    if (x->rank != 3)
        return wk__bad_argument(who, WK_SHAPE, "x %s, expected (T, N, I)", wk_describe(x, text, sizeof text));
    return WK_OK;
}

/* y at the last step that each sequence runs. */
static wk_tensor *last_of(wk_tensor *y, wk_tensor *lengths, bool reverse) {
    if (!y) return NULL;
    if (reverse) return wk_select(y, 0, 0);
    if (!lengths) return wk_select(y, 0, -1);
    wk_tensor *step = wk_sub(lengths, wk_full(WK_I64, WK_SCALAR, 1));
    return wk_index(y, (wk_tensor *[]){ step, wk_arange(y->shape[1]) }, 2);
}

static wk_status run(const char *who, wk_recurrent_kind kind, wk_tensor *x, wk_recurrent_weights w, wk_tensor *h0,
                     wk_tensor *c0, wk_tensor *lengths, wk_recurrent_opts opts, wk_tensor **y, wk_tensor **h_n,
                     wk_tensor **c_n) {
    *y = NULL;
    if (h_n) *h_n = NULL;
    if (c_n) *c_n = NULL;
    WK_TRY(check(who, x, &w));
    bool is_gru = kind == WK_RECURRENT_GRU;
    wk_tensor *bias = w.b_ih && !is_gru ? wk_add(w.b_ih, w.b_hh) : w.b_ih;
    wk_tensor *xg = wk_linear(x, w.w_ih, bias, (wk_linear_opts){ 0 }), *out[4];
    if (!xg) return wk_error_code();
    wk_tensor *const in[] = { xg, w.w_hh, h0, is_gru ? w.b_hh : c0, lengths, w.w_hr };
    const wk_op_def *row = wk__recurrent_row(kind, w.w_hr != NULL);
    WK_TRY(wk_op_run(row, in, row->n_in, out, &opts));
    *y = out[0];
    if (c_n) *c_n = out[1];
    if (h_n) *h_n = last_of(out[0], lengths, opts.reverse);
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_status wk_rnn(wk_tensor *x, wk_recurrent_weights weights, wk_tensor *h0, wk_tensor *lengths, wk_recurrent_opts opts,
                 wk_tensor **y, wk_tensor **h_n) {
    weights.w_hr = NULL;
    return run("rnn", WK_RECURRENT_RNN, x, weights, h0, NULL, lengths, opts, y, h_n, NULL);
}

wk_status wk_lstm(wk_tensor *x, wk_recurrent_weights weights, wk_tensor *h0, wk_tensor *c0, wk_tensor *lengths,
                  wk_recurrent_opts opts, wk_tensor **y, wk_tensor **h_n, wk_tensor **c_n) {
    return run("lstm", WK_RECURRENT_LSTM, x, weights, h0, c0, lengths, opts, y, h_n, c_n);
}

wk_status wk_gru(wk_tensor *x, wk_recurrent_weights weights, wk_tensor *h0, wk_tensor *lengths, wk_recurrent_opts opts,
                 wk_tensor **y, wk_tensor **h_n) {
    weights.w_hr = NULL;
    return run("gru", WK_RECURRENT_GRU, x, weights, h0, NULL, lengths, opts, y, h_n, NULL);
}
