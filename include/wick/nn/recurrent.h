/* wick/nn/recurrent.h: recurrent networks as modules, under PyTorch's names; see wick/ops/recurrent.h. */
#ifndef WICK_NN_RECURRENT_H
#define WICK_NN_RECURRENT_H

#include "wick/nn/containers.h"
#include "wick/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_nn_recurrent_opts {
    int64_t layers; /* 0 means 1 */
    bool no_bias, batch_first, bidirectional;
    double dropout;     /* between layers, in training */
    int64_t projection; /* LSTM only: features of h; 0: as many as hidden */
    bool relu;          /* RNN only: instead of tanh */
} wk_nn_recurrent_opts;
/* weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 (weight_hr_l0), …_l0_reverse, …_l1, …; all uniform in
 * ± 1 / sqrt(hidden).
 *
 * wk_forward gives the states of all steps.  wk_forward_args takes also "h0" and "c0" (layers · directions, N, hidden)
 * and "lengths" (N), i64, and gives "output", "h_n" and (LSTM) "c_n".  x is (T, N, I), or (N, T, I) with batch_first,
 * or (T, I). */
WK_API wk_module *wk_nn_rnn(int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts);
WK_API wk_module *wk_nn_lstm(int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts);
WK_API wk_module *wk_nn_gru(int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts);

typedef struct wk_nn_states {
    wk_tensor *h, *c; /* NULL: zeros; c of LSTM only */
} wk_nn_states;
/* The same, typed.  lengths and last may be NULL. */
WK_API wk_tensor *wk_nn_run_sequence(wk_module *module, wk_tensor *x, wk_nn_states first, wk_tensor *lengths,
                                     wk_nn_states *last);
/* On sequences without padding: packed comes in and goes out; states are in the order before sorting. */
WK_API wk_status wk_nn_run_packed(wk_module *module, wk_packed x, wk_nn_states first, wk_packed *y, wk_nn_states *last);

/* One step: weight_ih, weight_hh, bias_ih, bias_hh.  Slots x (N, I) or (I), then "h" and (LSTMCell) "c", or zeros;
 * gives h, and c. */
WK_API wk_module *wk_nn_rnn_cell(int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts);
WK_API wk_module *wk_nn_lstm_cell(int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts);
WK_API wk_module *wk_nn_gru_cell(int64_t inputs, int64_t hidden, wk_nn_recurrent_opts opts);
WK_API wk_nn_states wk_nn_run_cell(wk_module *cell, wk_tensor *x, wk_nn_states before);

#ifdef __cplusplus
}
#endif
#endif
