/* wick/ops/recurrent.h: one layer of a recurrent network in one direction, over a whole sequence.  See wick/ops.h.
 *
 * T steps, N sequences, I features in, H out.  The part of each step that does not wait for the step before is one
 * matrix product over all steps; what is left is a loop over time inside one operation.
 *
 *   x        (T, N, I)
 *   weights  w_ih (R·H, I), w_hh (R·H, H), b_ih and b_hh (R·H) or NULL (both), with R = 1 for rnn, 3 for gru (gates
 *            r, z, n), 4 for lstm (i, f, g, o), PyTorch's order
 *   h0, c0   (N, H), NULL: zeros
 *   lengths  i64 (N), 1 to T each, or NULL: all T.  A sequence's later steps give zeros and change no state.
 *
 * Results: y (T, N, H); the last state h_n (N, H), and c_n of lstm.
 */
#ifndef WICK_OPS_RECURRENT_H
#define WICK_OPS_RECURRENT_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_recurrent_opts {
    bool reverse; /* from the last step (of each sequence) to the first */
    bool relu;    /* rnn only: instead of tanh */
} wk_recurrent_opts;
typedef struct wk_recurrent_weights {
    wk_tensor *w_ih, *w_hh, *b_ih, *b_hh;
    wk_tensor *w_hr; /* (P, H), lstm only: projects each h, which then has P features.  Sak et al. 2014 */
} wk_recurrent_weights;

/* h = tanh(x w_ihᵀ + b_ih + h w_hhᵀ + b_hh) */
WK_API wk_status wk_rnn(wk_tensor *x, wk_recurrent_weights weights, wk_tensor *h0, wk_tensor *lengths,
                        wk_recurrent_opts opts, wk_tensor **y, wk_tensor **h_n);
/* c = σ(f) c + σ(i) tanh(g);  h = σ(o) tanh(c).  Hochreiter & Schmidhuber 1997, Gers et al. 2000 */
WK_API wk_status wk_lstm(wk_tensor *x, wk_recurrent_weights weights, wk_tensor *h0, wk_tensor *c0, wk_tensor *lengths,
                         wk_recurrent_opts opts, wk_tensor **y, wk_tensor **h_n, wk_tensor **c_n);
/* n = tanh(x_n + r (h w_hnᵀ + b_hn));  h = (1 − z) n + z h.  Cho et al. 2014, PyTorch's variant */
WK_API wk_status wk_gru(wk_tensor *x, wk_recurrent_weights weights, wk_tensor *h0, wk_tensor *lengths,
                        wk_recurrent_opts opts, wk_tensor **y, wk_tensor **h_n);

/* Sequences of different lengths without their padding: the steps of all sequences, longest first, one after the
 * other: data (Σ lengths, …), batch_sizes i64 (T): how many sequences reach each step.  sorted i64 (N): which sequence
 * stands at each place; unsorted: its inverse; both NULL where they were sorted.  All but data lie on the CPU.
 * torch.nn.utils.rnn.PackedSequence */
typedef struct wk_packed {
    wk_tensor *data, *batch_sizes, *sorted, *unsorted;
} wk_packed;
typedef struct wk_pack_opts {
    bool batch_first; /* padded (N, T, …) instead of (T, N, …) */
    bool sorted;      /* lengths must fall; else they are sorted here */
} wk_pack_opts;
/* Errors: a length below 1 or above T; lengths that rise, where they must not. */
WK_API wk_status wk_pack_padded_sequence(wk_tensor *padded, wk_tensor *lengths, wk_pack_opts opts, wk_packed *packed);
/* The reverse: padded with `value`; lengths i64 (N) may be NULL. */
WK_API wk_status wk_pad_packed_sequence(wk_packed packed, bool batch_first, double value, wk_tensor **padded,
                                        wk_tensor **lengths);

#ifndef WK_NO_CALL_SITES
#    define wk_rnn(...)                  (WK_HERE, wk_rnn(__VA_ARGS__))
#    define wk_lstm(...)                 (WK_HERE, wk_lstm(__VA_ARGS__))
#    define wk_gru(...)                  (WK_HERE, wk_gru(__VA_ARGS__))
#    define wk_pack_padded_sequence(...) (WK_HERE, wk_pack_padded_sequence(__VA_ARGS__))
#    define wk_pad_packed_sequence(...)  (WK_HERE, wk_pad_packed_sequence(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
