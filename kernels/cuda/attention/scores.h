/* scores.h: what attention's kernels have in common: where a head's matrices begin, and what becomes of one score. */
#ifndef WICK_KERNELS_CUDA_ATTENTION_SCORES_H
#define WICK_KERNELS_CUDA_ATTENTION_SCORES_H

#include "cuda/attention/attention.h"

#include "cuda/convert.h"
#include "cuda/random/philox.h"

/* Which matrices a block works on. */
struct wk_head {
    int64_t batch, head, served; /* served: the head of k and v */
};

/* Of a block that owns queries: its second axis is batch × head. */
__device__ __forceinline__ wk_head head_of_block(const wk_cuda_attention &a) {
    const int64_t head = (int64_t)blockIdx.y % a.heads;
    return { (int64_t)blockIdx.y / a.heads, head, head / a.group };
}

__device__ __forceinline__ int64_t start_of(const wk_cuda_matrices &m, int64_t batch, int64_t head) {
    return batch * m.batch + head * m.head;
}

/* Keys from here on take no part in queries before `query`. */
__device__ __forceinline__ int64_t keys_before(const wk_cuda_attention &a, int64_t query) {
    if (!a.causal) return a.keys;
    const int64_t end = query + a.offset;
    return end < 0 ? 0 : end < a.keys ? end : a.keys;
}

/* The score of query i and key j from q kᵀ; -∞ where it takes no part. */
template <class T, class R>
__device__ R score(const wk_cuda_attention &a, const wk_head &h, int64_t i, int64_t j, R product) {
    R s = product * (R)a.scale;
    if (i >= a.queries || j >= a.keys || (a.causal && j > i + a.offset)) return -(R)INFINITY;
    const int64_t at = start_of(a.mask, h.batch, h.head) + i * a.mask.row + j * a.mask.col;
    switch (a.mask_kind) {
    case WK_CUDA_MASK_NONE: return s;
    case WK_CUDA_MASK_BOOL: return static_cast<const uint8_t *>(a.mask.data)[at] ? s : -(R)INFINITY;
    case WK_CUDA_MASK_OF_Q: return s + (R)wk_get(static_cast<const T *>(a.mask.data)[at]);
    case WK_CUDA_MASK_OF_SUMS: return s + static_cast<const R *>(a.mask.data)[at];
    }
    return s;
}

/* 0 or 1 / (1 - p) for the weight of query i and key j. */
template <class R> __device__ R dropped(const wk_cuda_attention &a, const wk_head &h, int64_t i, int64_t j) {
    if (a.dropout <= 0) return 1;
    const uint64_t at = (uint64_t)(((h.batch * a.heads + h.head) * a.queries + i) * a.keys + j);
    uint32_t word[4];
    wk_philox_block(a.key, at >> 2, word);
    const uint32_t own = at & 2 ? (at & 1 ? word[3] : word[2]) : at & 1 ? word[1] : word[0];
    return own >= (uint32_t)(a.dropout * 0x1p32) ? (R)(1 / (1 - a.dropout)) : R(0);
}

/* A weight p with what is kept of it, and its score's gradient: p (dy vᵀ kept - delta) scale. */
template <class R> struct wk_slope { R weight, slope; };
template <class R> __device__ wk_slope<R> slope_of(const wk_cuda_attention &a, R p, R kept, R dweight, R delta) {
    return { p * kept, p * (dweight * kept - delta) * (R)a.scale };
}

#endif
