/* flash.cu: scaled dot-product attention on tensor cores, for heads of 64 and 128 halves.
 *
 * A block of four warps owns 64 rows, 16 a warp, and walks along the other side in tiles: forward and the gradient of q
 * own queries and walk along keys, the gradients of k and v own keys and walk along the queries of all heads that share
 * them, with scores made transposed.  So each of the three is the same two products: own rows by a tile's, whose result
 * lies in registers as the second product wants its left side; and that by a tile.  Tiles come in the background while
 * the tensor cores work on what is there; chunks of 16 bytes lie in shared memory at (chunk xor row % 8), so eight rows
 * of a fragment are in eight different banks.  Scores, softmax and sums are f32; weights and slopes are rounded to the
 * operands' type for the second product.  Each sum has one order.
 *
 * Traffic: own rows and results once, the other side once for each tile of own rows, ⌈T / 64⌉ times, out of the
 * second-level cache.  Roof: tensor cores, 4 D operations a score in forward, 14 D in backward, where scores and
 * weights' gradients are made twice so that no sum needs an atomic.
 * FlashAttention-2 (Dao 2023, arXiv 2307.08691) with its one order of loading in forward.
 */
#include "cuda/attention/scores.h"
#include "cuda/tensor_core.h"

enum { WARPS = 4, LANES = 32, THREADS = WARPS * LANES, OF_WARP = 16, OWN = WARPS * OF_WARP };
/* Rows of a tile: in backward, as many as leave registers for two results. */
template <int WIDTH> struct tile_rows { enum { FORWARD = 64, BACKWARD = WIDTH == 64 ? 64 : 32 }; };

/* ---- tiles in shared memory: rows of WIDTH halves ---- */

template <int WIDTH> __device__ __forceinline__ int place(int row, int chunk) {
    return row * WIDTH + (chunk ^ (row & 7)) * 8;
}

/* `ROWS` rows from `row` on, in the background; rows behind the end are 0. */
template <int WIDTH, int ROWS, class T>
__device__ __forceinline__ void fetch(T *tile, const wk_cuda_matrices &m, int64_t start, int64_t row, int64_t rows) {
    enum { CHUNKS = WIDTH / 8 };
    const T *from = static_cast<const T *>(m.data) + start;
    WK_UNROLL
    for (int at = threadIdx.x; at < ROWS * CHUNKS; at += THREADS) {
        const int i = at / CHUNKS, chunk = at % CHUNKS;
        const bool exists = row + i < rows;
        wk_copy_later(tile + place<WIDTH>(i, chunk), from + (exists ? (row + i) * m.row : 0) + chunk * 8, exists);
    }
}

/* ---- the two products ---- */

/* sums (16 x COLS) += own rows from `row` on times rows of the tile. */
template <int WIDTH, int COLS, class T>
__device__ __forceinline__ void multiply_rows(float (&sums)[COLS / 8][4], const T *own, int row, const T *tile) {
    const int lane = threadIdx.x % LANES;
    WK_UNROLL
    for (int k = 0; k < WIDTH / 16; k++) {
        uint32_t a[4];
        wk_load_matrices<false>(a, own + place<WIDTH>(row + lane % 16, 2 * k + lane / 16));
        WK_UNROLL
        for (int n = 0; n < COLS / 16; n++) {
            uint32_t b[4];
            wk_load_matrices<false>(b, tile + place<WIDTH>(16 * n + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
            wk_multiply_add<T>(sums[2 * n], a, b[0], b[1]);
            wk_multiply_add<T>(sums[2 * n + 1], a, b[2], b[3]);
        }
    }
}

/* sums (16 x WIDTH) += weights (16 x COLS) times the tile. */
template <int WIDTH, int COLS, class T>
__device__ __forceinline__ void add_weighted(float (&sums)[WIDTH / 8][4], const float (&weights)[COLS / 8][4],
                                             const T *tile) {
    const int lane = threadIdx.x % LANES;
    WK_UNROLL
    for (int k = 0; k < COLS / 16; k++) {
        const float(&left)[4] = weights[2 * k], (&right)[4] = weights[2 * k + 1];
        const uint32_t a[4] = { wk_pack<T>(left[0], left[1]), wk_pack<T>(left[2], left[3]),
                                wk_pack<T>(right[0], right[1]), wk_pack<T>(right[2], right[3]) };
        WK_UNROLL
        for (int n = 0; n < WIDTH / 16; n++) {
            uint32_t b[4];
            wk_load_matrices<true>(b, tile + place<WIDTH>(16 * k + lane % 16, 2 * n + lane / 16));
            wk_multiply_add<T>(sums[2 * n], a, b[0], b[1]);
            wk_multiply_add<T>(sums[2 * n + 1], a, b[2], b[3]);
        }
    }
}

/* A warp's 16 rows of the result, by way of its own rows of a tile that nobody reads any more. */
template <int WIDTH, class T>
__device__ __forceinline__ void store_rows(T *tile, const wk_cuda_matrices &m, int64_t start, int64_t first,
                                           int64_t rows, const float (&sums)[WIDTH / 8][4], const float (&factor)[2]) {
    enum { CHUNKS = WIDTH / 8 };
    const int lane = threadIdx.x % LANES, row = (int)threadIdx.x / LANES * OF_WARP;
    T *to = static_cast<T *>(m.data) + start;
    WK_UNROLL
    for (int n = 0; n < CHUNKS; n++) {
        WK_UNROLL
        for (int side = 0; side < 2; side++)
            reinterpret_cast<uint32_t *>(tile + place<WIDTH>(row + lane / 4 + 8 * side, n))[lane % 4] =
                wk_pack<T>(sums[n][2 * side] * factor[side], sums[n][2 * side + 1] * factor[side]);
    }
    __syncwarp();
    for (int at = lane; at < OF_WARP * CHUNKS; at += LANES) {
        const int i = at / CHUNKS, chunk = at % CHUNKS;
        if (first + row + i < rows)
            wk_store_vector(to + (first + row + i) * m.row + chunk * 8,
                            wk_load_vector<8>(tile + place<WIDTH>(row + i, chunk)));
    }
}

__device__ __forceinline__ float of_four_lanes(float value) {
    value += __shfl_xor_sync(0xFFFFFFFFu, value, 1);
    return value + __shfl_xor_sync(0xFFFFFFFFu, value, 2);
}

/* Whether nothing hides a score of these queries and keys. */
__device__ __forceinline__ bool is_free(const wk_cuda_attention &a, int64_t query, int queries, int64_t key, int keys) {
    return a.mask_kind == WK_CUDA_MASK_NONE && query + queries <= a.queries && key + keys <= a.keys
           && (!a.causal || key + keys - 1 <= query + a.offset);
}

/* `free`: it is known that nothing hides this score.  Kernels for PLAIN attention know of no mask and no dropout, which
 * leaves them registers. */
template <class T, bool PLAIN>
__device__ __forceinline__ float score_of(bool free, const wk_cuda_attention &a, const wk_head &h, int64_t i, int64_t j,
                                          float product) {
    if (free) return product * (float)a.scale;
    if (!PLAIN) return score<T>(a, h, i, j, product);
    return j < a.keys && (!a.causal || j <= i + a.offset) ? product * (float)a.scale : -INFINITY;
}
template <bool PLAIN>
__device__ __forceinline__ float kept(const wk_cuda_attention &a, const wk_head &h, int64_t i, int64_t j) {
    return PLAIN ? 1 : dropped<float>(a, h, i, j);
}

/* With `causal`, the blocks with most work begin first. */
__device__ __forceinline__ int64_t first_query(const wk_cuda_attention &a) {
    return (int64_t)(a.causal ? gridDim.x - 1 - blockIdx.x : blockIdx.x) * OWN;
}

/* ---- forward ---- */

/* Scores become weights under a new shift, and what was summed under the former one follows. */
template <class T, int WIDTH, int COLS, bool PLAIN>
__device__ __forceinline__ void soften(const wk_cuda_attention &a, const wk_head &h, int64_t query, int64_t col,
                                       float (&s)[COLS / 8][4], float (&most)[2], float (&total)[2],
                                       float (&sums)[WIDTH / 8][4]) {
    const int lane = threadIdx.x % LANES;
    const bool free = is_free(a, query, OF_WARP, col, COLS);
    WK_UNROLL
    for (int side = 0; side < 2; side++) {
        const int64_t i = query + lane / 4 + 8 * side, j = col + 2 * (lane % 4);
        float next = most[side], sum = 0;
        WK_UNROLL
        for (int n = 0; n < COLS / 8; n++) {
            WK_UNROLL
            for (int c = 0; c < 2; c++) {
                float &x = s[n][2 * side + c];
                x = score_of<T, PLAIN>(free, a, h, i, j + 8 * n + c, x);
                next = fmaxf(next, x);
            }
        }
        next = fmaxf(next, __shfl_xor_sync(0xFFFFFFFFu, next, 1));
        next = fmaxf(next, __shfl_xor_sync(0xFFFFFFFFu, next, 2));
        const float shift = next == -INFINITY ? 0 : next, factor = __expf(most[side] - shift);
        most[side] = next;
        WK_UNROLL
        for (int n = 0; n < COLS / 8; n++) {
            WK_UNROLL
            for (int c = 0; c < 2; c++) {
                float &x = s[n][2 * side + c];
                x = __expf(x - shift);
                sum += x;
                x *= kept<PLAIN>(a, h, i, j + 8 * n + c);
            }
        }
        total[side] = total[side] * factor + sum;
        WK_UNROLL
        for (int n = 0; n < WIDTH / 8; n++) sums[n][2 * side] *= factor, sums[n][2 * side + 1] *= factor;
    }
}

/* Block (tile of queries, batch × head). */
template <class T, int WIDTH, bool PLAIN>
__global__ void __launch_bounds__(THREADS, WIDTH == 64 && PLAIN ? 3 : 2) flash_forward(const wk_cuda_attention a) {
    enum { COLS = tile_rows<WIDTH>::FORWARD };
    WK_DYNAMIC_SHARED(T, q);
    T *k = q + OWN * WIDTH, *v = k + COLS * WIDTH;
    const int lane = threadIdx.x % LANES, row = (int)threadIdx.x / LANES * OF_WARP;
    const wk_head h = head_of_block(a);
    const int64_t first = first_query(a), end = keys_before(a, first + OWN),
                  k_start = start_of(a.k, h.batch, h.served), v_start = start_of(a.v, h.batch, h.served);
    float most[2] = { -INFINITY, -INFINITY }, total[2] = {}, sums[WIDTH / 8][4] = {};
    fetch<WIDTH, OWN>(q, a.q, start_of(a.q, h.batch, h.head), first, a.queries);
    if (end > 0) fetch<WIDTH, COLS>(k, a.k, k_start, 0, a.keys);
    wk_copies_close();
    for (int64_t col = 0; col < end; col += COLS) {
        float s[COLS / 8][4] = {};
        wk_copies_wait<0>();
        __syncthreads(); /* k is there, and nobody reads v any more */
        fetch<WIDTH, COLS>(v, a.v, v_start, col, a.keys);
        wk_copies_close();
        multiply_rows<WIDTH, COLS>(s, q, row, k);
        wk_copies_wait<0>();
        __syncthreads(); /* v is there, and nobody reads k any more */
        if (col + COLS < end) fetch<WIDTH, COLS>(k, a.k, k_start, col + COLS, a.keys);
        wk_copies_close();
        soften<T, WIDTH, COLS, PLAIN>(a, h, first + row, col, s, most, total, sums);
        add_weighted<WIDTH, COLS>(sums, s, v);
    }
    wk_copies_wait<0>();
    __syncthreads();
    float factor[2];
    WK_UNROLL
    for (int side = 0; side < 2; side++) {
        const int64_t i = first + row + lane / 4 + 8 * side;
        total[side] = of_four_lanes(total[side]);
        factor[side] = total[side] == 0 ? 0 : 1 / total[side];
        if (lane % 4 == 0 && i < a.queries)
            static_cast<float *>(a.lse)[blockIdx.y * a.queries + i] = most[side] + logf(total[side]);
    }
    store_rows<WIDTH>(q, a.y, start_of(a.y, h.batch, h.head), first, a.queries, sums, factor);
}

/* ---- backward ---- */

__device__ __forceinline__ float weight_of(float score, float lse) {
    return lse == -INFINITY ? 0 : __expf(score - lse);
}

/* dy yᵀ of a warp's 16 queries, two lanes a query; written for backward_keys and returned for rows g and g + 8. */
template <int WIDTH, class T>
__device__ __forceinline__ void take_delta(const wk_cuda_attention &a, const wk_head &h, int64_t query,
                                           float (&delta)[2]) {
    const int lane = threadIdx.x % LANES;
    const int64_t i = query + lane / 2;
    const T *y = static_cast<const T *>(a.y.data) + start_of(a.y, h.batch, h.head) + i * a.y.row,
            *dy = static_cast<const T *>(a.dy.data) + start_of(a.dy, h.batch, h.head) + i * a.dy.row;
    float sum = 0;
    for (int e = lane % 2 * 8; i < a.queries && e < WIDTH; e += 16) {
        const wk_vector<T, 8> left = wk_load_vector<8>(y + e), right = wk_load_vector<8>(dy + e);
        WK_UNROLL
        for (int c = 0; c < 8; c++) sum += wk_get(left.at[c]) * wk_get(right.at[c]);
    }
    sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
    if (lane % 2 == 0 && i < a.queries) static_cast<float *>(a.delta)[blockIdx.y * a.queries + i] = sum;
    WK_UNROLL
    for (int side = 0; side < 2; side++) delta[side] = __shfl_sync(0xFFFFFFFFu, sum, 2 * (lane / 4 + 8 * side));
}

/* A warp's queries by a tile's keys: the scores s become slopes. */
template <class T, bool PLAIN, int COLS>
__device__ __forceinline__ void slopes_of_keys(const wk_cuda_attention &a, const wk_head &h, int64_t query, int64_t col,
                                               float (&s)[COLS / 8][4], const float (&dweights)[COLS / 8][4],
                                               const float (&lse)[2], const float (&delta)[2]) {
    const int lane = threadIdx.x % LANES;
    const bool free = is_free(a, query, OF_WARP, col, COLS);
    WK_UNROLL
    for (int n = 0; n < COLS / 8; n++) {
        WK_UNROLL
        for (int e = 0; e < 4; e++) {
            const int64_t i = query + lane / 4 + e / 2 * 8, j = col + 8 * n + 2 * (lane % 4) + e % 2;
            const float p = weight_of(score_of<T, PLAIN>(free, a, h, i, j, s[n][e]), lse[e / 2]);
            s[n][e] = slope_of(a, p, kept<PLAIN>(a, h, i, j), dweights[n][e], delta[e / 2]).slope;
        }
    }
}

/* A warp's keys by a tile's queries: scores become weights, and the weights' gradients slopes. */
template <class T, bool PLAIN, int COLS>
__device__ __forceinline__ void slopes_of_queries(const wk_cuda_attention &a, const wk_head &h, int64_t query,
                                                  int64_t key, float (&weights)[COLS / 8][4],
                                                  float (&slopes)[COLS / 8][4]) {
    const int lane = threadIdx.x % LANES;
    const int64_t lines = (h.batch * a.heads + h.head) * a.queries;
    const bool free = is_free(a, query, COLS, key, OF_WARP);
    WK_UNROLL
    for (int n = 0; n < COLS / 8; n++) {
        WK_UNROLL
        for (int c = 0; c < 2; c++) {
            const int64_t i = query + 8 * n + 2 * (lane % 4) + c;
            const float lse = i < a.queries ? static_cast<const float *>(a.lse)[lines + i] : -INFINITY;
            const float delta = i < a.queries ? static_cast<const float *>(a.delta)[lines + i] : 0;
            WK_UNROLL
            for (int side = 0; side < 2; side++) {
                const int64_t j = key + lane / 4 + 8 * side;
                float &weight = weights[n][2 * side + c], &slope = slopes[n][2 * side + c];
                const float p = weight_of(score_of<T, PLAIN>(free, a, h, i, j, weight), lse);
                const wk_slope<float> both = slope_of(a, p, kept<PLAIN>(a, h, i, j), slope, delta);
                weight = both.weight, slope = both.slope;
            }
        }
    }
}

/* Block (tile of queries, batch × head): delta and dq. */
template <class T, int WIDTH, bool PLAIN>
__global__ void __launch_bounds__(THREADS, 2) flash_backward_queries(const wk_cuda_attention a) {
    enum { COLS = tile_rows<WIDTH>::BACKWARD, TILE = COLS * WIDTH };
    WK_DYNAMIC_SHARED(T, q);
    T *dy = q + OWN * WIDTH, *tiles = dy + OWN * WIDTH; /* k and v, twice */
    const int lane = threadIdx.x % LANES, row = (int)threadIdx.x / LANES * OF_WARP;
    const wk_head h = head_of_block(a);
    const int64_t first = first_query(a), query = first + row, end = keys_before(a, first + OWN),
                  k_start = start_of(a.k, h.batch, h.served), v_start = start_of(a.v, h.batch, h.served);
    float lse[2], delta[2], sums[WIDTH / 8][4] = {};
    fetch<WIDTH, OWN>(q, a.q, start_of(a.q, h.batch, h.head), first, a.queries);
    fetch<WIDTH, OWN>(dy, a.dy, start_of(a.dy, h.batch, h.head), first, a.queries);
    if (end > 0) {
        fetch<WIDTH, COLS>(tiles, a.k, k_start, 0, a.keys);
        fetch<WIDTH, COLS>(tiles + TILE, a.v, v_start, 0, a.keys);
    }
    wk_copies_close();
    take_delta<WIDTH, T>(a, h, query, delta);
    WK_UNROLL
    for (int side = 0; side < 2; side++) {
        const int64_t i = query + lane / 4 + 8 * side;
        lse[side] = i < a.queries ? static_cast<const float *>(a.lse)[blockIdx.y * a.queries + i] : -INFINITY;
    }
    for (int64_t col = 0, turn = 0; col < end; col += COLS, turn ^= 1) {
        T *k = tiles + turn * 2 * TILE, *v = k + TILE, *next = tiles + (turn ^ 1) * 2 * TILE;
        float s[COLS / 8][4] = {}, dweights[COLS / 8][4] = {};
        if (col + COLS < end) {
            fetch<WIDTH, COLS>(next, a.k, k_start, col + COLS, a.keys);
            fetch<WIDTH, COLS>(next + TILE, a.v, v_start, col + COLS, a.keys);
        }
        wk_copies_close();
        wk_copies_wait<1>();
        __syncthreads();
        multiply_rows<WIDTH, COLS>(s, q, row, k);
        multiply_rows<WIDTH, COLS>(dweights, dy, row, v);
        slopes_of_keys<T, PLAIN, COLS>(a, h, query, col, s, dweights, lse, delta);
        add_weighted<WIDTH, COLS>(sums, s, k);
        __syncthreads(); /* nobody reads these tiles any more */
    }
    wk_copies_wait<0>();
    __syncthreads();
    const float whole[2] = { 1, 1 };
    store_rows<WIDTH>(q, a.dq, start_of(a.dq, h.batch, h.head), first, a.queries, sums, whole);
}

/* Block (tile of keys, batch × head of k and v): dk and dv, from all queries that it serves. */
template <class T, int WIDTH, bool PLAIN>
__global__ void __launch_bounds__(THREADS, 2) flash_backward_keys(const wk_cuda_attention a) {
    enum { COLS = tile_rows<WIDTH>::BACKWARD, TILE = COLS * WIDTH };
    WK_DYNAMIC_SHARED(T, k);
    T *v = k + OWN * WIDTH, *tiles = v + OWN * WIDTH; /* q and dy, twice */
    const int row = (int)threadIdx.x / LANES * OF_WARP;
    const int64_t kv_heads = a.heads / a.group, first = (int64_t)blockIdx.x * OWN, key = first + row;
    wk_head h = { (int64_t)blockIdx.y / kv_heads, 0, (int64_t)blockIdx.y % kv_heads };
    const int64_t k_start = start_of(a.k, h.batch, h.served), v_start = start_of(a.v, h.batch, h.served);
    /* From the first query on that sees a key of this tile, of each head in turn. */
    const int64_t seen = a.causal && first - a.offset > 0 ? (first - a.offset) / COLS * COLS : 0,
                  of_head = seen < a.queries ? (a.queries - seen + COLS - 1) / COLS : 0, steps = of_head * a.group;
    float dk[WIDTH / 8][4] = {}, dv[WIDTH / 8][4] = {};
    const auto fetch_step = [&](T *to, int64_t step) {
        const int64_t head = h.served * a.group + step / of_head, from = seen + step % of_head * COLS;
        fetch<WIDTH, COLS>(to, a.q, start_of(a.q, h.batch, head), from, a.queries);
        fetch<WIDTH, COLS>(to + TILE, a.dy, start_of(a.dy, h.batch, head), from, a.queries);
    };
    fetch<WIDTH, OWN>(k, a.k, k_start, first, a.keys);
    fetch<WIDTH, OWN>(v, a.v, v_start, first, a.keys);
    if (steps > 0) fetch_step(tiles, 0);
    wk_copies_close();
    for (int64_t step = 0; step < steps; step++) {
        T *q = tiles + step % 2 * 2 * TILE, *dy = q + TILE;
        float weights[COLS / 8][4] = {}, slopes[COLS / 8][4] = {};
        if (step + 1 < steps) fetch_step(tiles + (step + 1) % 2 * 2 * TILE, step + 1);
        wk_copies_close();
        wk_copies_wait<1>();
        __syncthreads();
        multiply_rows<WIDTH, COLS>(weights, k, row, q);
        multiply_rows<WIDTH, COLS>(slopes, v, row, dy);
        const int64_t query = seen + step % of_head * COLS;
        h.head = h.served * a.group + step / of_head;
        slopes_of_queries<T, PLAIN, COLS>(a, h, query, key, weights, slopes);
        add_weighted<WIDTH, COLS>(dv, weights, dy);
        add_weighted<WIDTH, COLS>(dk, slopes, q);
        __syncthreads(); /* nobody reads these tiles any more */
    }
    wk_copies_wait<0>();
    __syncthreads();
    const float whole[2] = { 1, 1 };
    store_rows<WIDTH>(k, a.dk, start_of(a.dk, h.batch, h.served), first, a.keys, dk, whole);
    store_rows<WIDTH>(v, a.dv, start_of(a.dv, h.batch, h.served), first, a.keys, dv, whole);
}

/* ---- launches ---- */

static bool in_chunks(const wk_cuda_matrices &m) {
    return !m.data
           || ((uintptr_t)m.data % 16 == 0 && m.col == 1 && m.row % 8 == 0 && m.head % 8 == 0 && m.batch % 8 == 0);
}

extern "C" bool wk__cuda_flash_takes(const wk_cuda_attention *a, int dtype) {
    return (dtype == WK_BF16 || dtype == WK_F16) && (a->width == 64 || a->width == 128) && a->value_width == a->width
           && in_chunks(a->q) && in_chunks(a->k) && in_chunks(a->v) && in_chunks(a->y) && in_chunks(a->dy)
           && in_chunks(a->dq) && in_chunks(a->dk) && in_chunks(a->dv);
}

static unsigned tiles(int64_t count) {
    return (unsigned)((count + OWN - 1) / OWN);
}

/* More than 48 KiB of shared memory is to be asked for. */
static int allow(void (*kernel)(wk_cuda_attention), size_t bytes) {
    if (bytes <= 48 << 10) return 0;
    return (int)cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
}

template <class T, int WIDTH, bool PLAIN> static int run_forward(const wk_cuda_attention *a, void *stream) {
    const size_t bytes = (OWN + 2 * tile_rows<WIDTH>::FORWARD) * WIDTH * sizeof(T);
    const dim3 grid(tiles(a->queries), (unsigned)(a->batches * a->heads));
    return WK_LAUNCH((flash_forward<T, WIDTH, PLAIN>), grid, dim3(THREADS), bytes, stream, *a);
}

template <class T, int WIDTH, bool PLAIN> static int run_backward(const wk_cuda_attention *a, void *stream) {
    const size_t bytes = (2 * OWN + 4 * tile_rows<WIDTH>::BACKWARD) * WIDTH * sizeof(T);
    const dim3 queries(tiles(a->queries), (unsigned)(a->batches * a->heads)),
        keys(tiles(a->keys), (unsigned)(a->batches * a->heads / a->group)), block(THREADS);
    int error = allow(flash_backward_queries<T, WIDTH, PLAIN>, bytes);
    if (!error) error = allow(flash_backward_keys<T, WIDTH, PLAIN>, bytes);
    if (!error && queries.x)
        error = WK_LAUNCH((flash_backward_queries<T, WIDTH, PLAIN>), queries, block, bytes, stream, *a);
    if (!error && keys.x) error = WK_LAUNCH((flash_backward_keys<T, WIDTH, PLAIN>), keys, block, bytes, stream, *a);
    return error;
}

#define WK_OF_MASK(FUNCTION, T, WIDTH) \
    (a->mask_kind == WK_CUDA_MASK_NONE && a->dropout <= 0 ? FUNCTION<T, WIDTH, true> : FUNCTION<T, WIDTH, false>)
#define WK_OF_WIDTH(FUNCTION, T) (a->width == 64 ? WK_OF_MASK(FUNCTION, T, 64) : WK_OF_MASK(FUNCTION, T, 128))
#define WK_FLASH(FUNCTION) \
    (dtype == WK_BF16 ? WK_OF_WIDTH(FUNCTION, __nv_bfloat16) : WK_OF_WIDTH(FUNCTION, __half))(a, stream)

extern "C" int wk__cuda_flash_forward(const wk_cuda_attention *a, int dtype, void *stream) {
    return WK_FLASH(run_forward);
}

extern "C" int wk__cuda_flash_backward(const wk_cuda_attention *a, int dtype, void *stream) {
    return WK_FLASH(run_backward);
}
