/* attention.cu: scaled dot-product attention in tiles, for any head up to 128 wide and every float type.  What tensor
 * cores can do goes to flash.cu.
 *
 * A block keeps OWN rows a warp in shared memory and walks along the other side in tiles of 32, one for each lane:
 * forward and the gradient of q own queries and walk along keys, the gradients of k and v own keys and walk along the
 * queries of all heads that share them.  A score is one lane's dot product, so the softmax of a row is a warp's
 * reduction; weights go through shared memory once, and then lanes stand for columns of the result.  Nothing of size
 * T × S leaves the chip, and each sum has one order.
 *
 * Traffic: q and y once, k and v once for each tile of queries, ⌈T / 16⌉ times; they stay in the second-level cache.
 * Roof: f32 arithmetic, 2 (D + E) operations a score in forward, 2 (3 D + 2 E) in backward, where scores are made twice.
 * Online softmax: Milakov & Gimelshein 2018; backward: Dao et al. 2022, algorithm 4.
 */
#include "cuda/attention/scores.h"
#include "cuda/together.h"

enum { WARPS = 4, LANES = 32, COLUMNS = WK_CUDA_ATTENTION_WIDTH / LANES }; /* a lane's columns of a result */
enum { OWN_FORWARD = 4, OWN_BACKWARD = 2, SHARED_BYTES = 48 << 10 };

/* ---- matrices ---- */

/* `count` rows from `row` on, each `stride` apart in shared memory; rows behind the end are 0. */
template <class T, class R>
__device__ void load(R *to, int stride, const wk_cuda_matrices &m, int64_t start, int64_t row, int count, int64_t rows,
                     int64_t columns) {
    const T *from = static_cast<const T *>(m.data) + start;
    for (int at = threadIdx.x; at < count * (int)columns; at += WARPS * LANES) {
        const int i = at / (int)columns, j = at % (int)columns;
        to[i * stride + j] = row + i < rows ? (R)wk_get(from[(row + i) * m.row + j * m.col]) : R(0);
    }
}

template <class R> __device__ R dot(const R *a, const R *b, int64_t count) {
    R sum = 0;
    for (int64_t d = 0; d < count; d++) sum += a[d] * b[d];
    return sum;
}

/* sums[c] += Σ weight[j] rows[j][lane + 32 c], over a tile of 32 rows. */
template <class R>
__device__ void add_rows(R sums[COLUMNS], const R *weight, const R *rows, int stride, int64_t columns, int lane) {
    for (int j = 0; j < LANES; j++) {
        const R factor = weight[j];
        WK_UNROLL
        for (int c = 0; c < COLUMNS; c++)
            if (lane + LANES * c < columns) sums[c] += factor * rows[j * stride + lane + LANES * c];
    }
}

template <class T, class R>
__device__ void store_row(const wk_cuda_matrices &m, int64_t start, int64_t row, int64_t columns, const R sums[COLUMNS],
                          R factor, int lane) {
    T *to = static_cast<T *>(m.data) + start + row * m.row;
    WK_UNROLL
    for (int c = 0; c < COLUMNS; c++)
        if (lane + LANES * c < columns) wk_put(to + (lane + LANES * c) * m.col, sums[c] * factor);
}

/* ---- forward ---- */

/* Block (tile of queries, batch × head). */
template <class T, class R> __global__ void forward(const wk_cuda_attention a) {
    enum { OWN = OWN_FORWARD, ROWS = OWN * WARPS };
    WK_DYNAMIC_SHARED(R, q);
    const int width = (int)a.width, value_width = (int)a.value_width, lane = threadIdx.x % LANES,
              warp = threadIdx.x / LANES;
    R *k = q + ROWS * width, *v = k + LANES * (width + 1), *weights = v + LANES * value_width + warp * OWN * LANES;
    const wk_head h = head_of_block(a);
    const int64_t first = (int64_t)blockIdx.x * ROWS, own = first + warp * OWN, end = keys_before(a, first + ROWS);
    R most[OWN], total[OWN], sums[OWN][COLUMNS] = {};
    WK_UNROLL
    for (int r = 0; r < OWN; r++) most[r] = -(R)INFINITY, total[r] = 0;
    load<T>(q, width, a.q, start_of(a.q, h.batch, h.head), first, ROWS, a.queries, width);
    for (int64_t col = 0; col < end; col += LANES) {
        __syncthreads();
        load<T>(k, width + 1, a.k, start_of(a.k, h.batch, h.served), col, LANES, a.keys, width);
        load<T>(v, value_width, a.v, start_of(a.v, h.batch, h.served), col, LANES, a.keys, value_width);
        __syncthreads();
        WK_UNROLL
        for (int r = 0; r < OWN; r++) {
            const R product = dot(q + (warp * OWN + r) * width, k + lane * (width + 1), width);
            const R s = score<T>(a, h, own + r, col + lane, product), now = wk_warp_together<true>(s);
            const R before = most[r], next = now > before ? now : before, shift = next == -(R)INFINITY ? R(0) : next;
            const R weight = exp(s - shift), factor = before == -(R)INFINITY ? R(0) : exp(before - shift);
            most[r] = next;
            total[r] = total[r] * factor + wk_warp_together<false>(weight);
            WK_UNROLL
            for (int c = 0; c < COLUMNS; c++) sums[r][c] *= factor;
            weights[r * LANES + lane] = weight * dropped<R>(a, h, own + r, col + lane);
        }
        __syncwarp();
        WK_UNROLL
        for (int r = 0; r < OWN; r++) add_rows(sums[r], weights + r * LANES, v, value_width, value_width, lane);
        __syncwarp();
    }
    WK_UNROLL
    for (int r = 0; r < OWN; r++) {
        if (own + r >= a.queries) continue;
        store_row<T>(a.y, start_of(a.y, h.batch, h.head), own + r, value_width, sums[r],
                     total[r] == 0 ? R(0) : 1 / total[r], lane);
        if (lane == 0) static_cast<R *>(a.lse)[blockIdx.y * a.queries + own + r] = most[r] + log(total[r]);
    }
}

/* ---- backward ---- */

template <class T, class R>
__device__ wk_slope<R> slope(const wk_cuda_attention &a, const wk_head &h, int64_t i, int64_t j, R product, R dweight,
                             R lse, R delta) {
    if (lse == -(R)INFINITY) return { R(0), R(0) };
    const R p = exp(score<T>(a, h, i, j, product) - lse);
    return slope_of(a, p, dropped<R>(a, h, i, j), dweight, delta);
}

/* Block (tile of queries, batch × head): delta and dq. */
template <class T, class R> __global__ void backward_queries(const wk_cuda_attention a) {
    enum { OWN = OWN_BACKWARD, ROWS = OWN * WARPS };
    WK_DYNAMIC_SHARED(R, q);
    const int width = (int)a.width, value_width = (int)a.value_width, lane = threadIdx.x % LANES,
              warp = threadIdx.x / LANES;
    R *dy = q + ROWS * width, *k = dy + ROWS * value_width, *v = k + LANES * (width + 1),
      *slopes = v + LANES * (value_width + 1) + warp * OWN * LANES;
    const wk_head h = head_of_block(a);
    const int64_t first = (int64_t)blockIdx.x * ROWS, own = first + warp * OWN, end = keys_before(a, first + ROWS);
    R lse[OWN], delta[OWN], sums[OWN][COLUMNS] = {};
    load<T>(q, width, a.q, start_of(a.q, h.batch, h.head), first, ROWS, a.queries, width);
    load<T>(dy, value_width, a.dy, start_of(a.dy, h.batch, h.head), first, ROWS, a.queries, value_width);
    __syncthreads();
    WK_UNROLL
    for (int r = 0; r < OWN; r++) {
        const int64_t i = own + r;
        const T *y = static_cast<const T *>(a.y.data) + start_of(a.y, h.batch, h.head) + i * a.y.row;
        R part = 0;
        for (int e = lane; i < a.queries && e < value_width; e += LANES)
            part += dy[(warp * OWN + r) * value_width + e] * (R)wk_get(y[e * a.y.col]);
        delta[r] = wk_warp_together<false>(part);
        lse[r] = i < a.queries ? static_cast<const R *>(a.lse)[blockIdx.y * a.queries + i] : -(R)INFINITY;
        if (lane == 0 && i < a.queries) static_cast<R *>(a.delta)[blockIdx.y * a.queries + i] = delta[r];
    }
    for (int64_t col = 0; col < end; col += LANES) {
        __syncthreads();
        load<T>(k, width + 1, a.k, start_of(a.k, h.batch, h.served), col, LANES, a.keys, width);
        load<T>(v, value_width + 1, a.v, start_of(a.v, h.batch, h.served), col, LANES, a.keys, value_width);
        __syncthreads();
        WK_UNROLL
        for (int r = 0; r < OWN; r++) {
            const R product = dot(q + (warp * OWN + r) * width, k + lane * (width + 1), width);
            const R dweight = dot(dy + (warp * OWN + r) * value_width, v + lane * (value_width + 1), value_width);
            slopes[r * LANES + lane] =
                slope<T>(a, h, own + r, col + lane, product, dweight, lse[r], delta[r]).slope;
        }
        __syncwarp();
        WK_UNROLL
        for (int r = 0; r < OWN; r++) add_rows(sums[r], slopes + r * LANES, k, width + 1, width, lane);
        __syncwarp();
    }
    WK_UNROLL
    for (int r = 0; r < OWN; r++)
        if (own + r < a.queries)
            store_row<T>(a.dq, start_of(a.dq, h.batch, h.head), own + r, width, sums[r], R(1), lane);
}

/* Block (tile of keys, batch × head of k and v): dk and dv, from all queries that it serves. */
template <class T, class R> __global__ void backward_keys(const wk_cuda_attention a) {
    enum { OWN = OWN_BACKWARD, ROWS = OWN * WARPS };
    WK_DYNAMIC_SHARED(R, k);
    const int width = (int)a.width, value_width = (int)a.value_width, lane = threadIdx.x % LANES,
              warp = threadIdx.x / LANES;
    R *v = k + ROWS * width, *q = v + ROWS * value_width, *dy = q + LANES * (width + 1),
      *slopes = dy + LANES * (value_width + 1) + warp * OWN * LANES, *weights = slopes + WARPS * OWN * LANES;
    const int64_t kv_heads = a.heads / a.group, first = (int64_t)blockIdx.x * ROWS, own = first + warp * OWN;
    wk_head h = { (int64_t)blockIdx.y / kv_heads, 0, (int64_t)blockIdx.y % kv_heads };
    R dk[OWN][COLUMNS] = {}, dv[OWN][COLUMNS] = {};
    load<T>(k, width, a.k, start_of(a.k, h.batch, h.served), first, ROWS, a.keys, width);
    load<T>(v, value_width, a.v, start_of(a.v, h.batch, h.served), first, ROWS, a.keys, value_width);
    /* The first query that sees a key of this tile. */
    const int64_t seen = a.causal && first - a.offset > 0 ? (first - a.offset) / LANES * LANES : 0;
    for (int64_t member = 0; member < a.group; member++) {
        h.head = h.served * a.group + member;
        const int64_t of_head = (h.batch * a.heads + h.head) * a.queries;
        for (int64_t row = seen; row < a.queries; row += LANES) {
            __syncthreads();
            load<T>(q, width + 1, a.q, start_of(a.q, h.batch, h.head), row, LANES, a.queries, width);
            load<T>(dy, value_width + 1, a.dy, start_of(a.dy, h.batch, h.head), row, LANES, a.queries, value_width);
            __syncthreads();
            const int64_t i = row + lane;
            const R lse = i < a.queries ? static_cast<const R *>(a.lse)[of_head + i] : -(R)INFINITY;
            const R delta = i < a.queries ? static_cast<const R *>(a.delta)[of_head + i] : R(0);
            WK_UNROLL
            for (int r = 0; r < OWN; r++) {
                const R product = dot(k + (warp * OWN + r) * width, q + lane * (width + 1), width);
                const R dweight = dot(v + (warp * OWN + r) * value_width, dy + lane * (value_width + 1), value_width);
                const wk_slope<R> s = slope<T>(a, h, i, own + r, product, dweight, lse, delta);
                slopes[r * LANES + lane] = s.slope;
                weights[r * LANES + lane] = s.weight;
            }
            __syncwarp();
            WK_UNROLL
            for (int r = 0; r < OWN; r++) {
                add_rows(dk[r], slopes + r * LANES, q, width + 1, width, lane);
                add_rows(dv[r], weights + r * LANES, dy, value_width + 1, value_width, lane);
            }
            __syncwarp();
        }
    }
    WK_UNROLL
    for (int r = 0; r < OWN; r++) {
        if (own + r >= a.keys) continue;
        store_row<T>(a.dk, start_of(a.dk, h.batch, h.served), own + r, width, dk[r], R(1), lane);
        store_row<T>(a.dv, start_of(a.dv, h.batch, h.served), own + r, value_width, dv[r], R(1), lane);
    }
}

/* ---- launches ---- */

static int64_t forward_elements(int64_t width, int64_t value_width) {
    const int64_t rows = OWN_FORWARD * WARPS;
    return rows * width + LANES * (width + 1 + value_width) + rows * LANES;
}
static int64_t backward_elements(int64_t width, int64_t value_width) {
    const int64_t rows = OWN_BACKWARD * WARPS;
    return rows * (width + value_width) + LANES * (width + value_width + 2) + 2 * rows * LANES;
}

extern "C" bool wk__cuda_attention_fits(int64_t width, int64_t value_width, size_t real) {
    if (width > WK_CUDA_ATTENTION_WIDTH || value_width > WK_CUDA_ATTENTION_WIDTH) return false;
    return forward_elements(width, value_width) * (int64_t)real <= SHARED_BYTES
           && backward_elements(width, value_width) * (int64_t)real <= SHARED_BYTES;
}

static unsigned tiles(int64_t count, int64_t rows) {
    return (unsigned)((count + rows - 1) / rows);
}

template <class T> static int run_forward(const wk_cuda_attention *a, void *stream) {
    using R = wk_real<T>;
    const size_t bytes = (size_t)forward_elements(a->width, a->value_width) * sizeof(R);
    const dim3 grid(tiles(a->queries, OWN_FORWARD * WARPS), (unsigned)(a->batches * a->heads));
    return WK_LAUNCH((forward<T, R>), grid, dim3(WARPS * LANES), bytes, stream, *a);
}

template <class T> static int run_backward(const wk_cuda_attention *a, void *stream) {
    using R = wk_real<T>;
    const size_t bytes = (size_t)backward_elements(a->width, a->value_width) * sizeof(R);
    const int64_t rows = OWN_BACKWARD * WARPS;
    const dim3 queries(tiles(a->queries, rows), (unsigned)(a->batches * a->heads)),
        keys(tiles(a->keys, rows), (unsigned)(a->batches * a->heads / a->group)), block(WARPS * LANES);
    int error = 0;
    if (queries.x) error = WK_LAUNCH((backward_queries<T, R>), queries, block, bytes, stream, *a);
    if (!error && keys.x) error = WK_LAUNCH((backward_keys<T, R>), keys, block, bytes, stream, *a);
    return error;
}

extern "C" int wk__cuda_attention_forward(const wk_cuda_attention *a, int dtype, void *stream) {
    if (wk__cuda_flash_takes(a, dtype)) return wk__cuda_flash_forward(a, dtype, stream);
    WK_FLOAT_CASES(dtype, run_forward, a, stream);
}

extern "C" int wk__cuda_attention_backward(const wk_cuda_attention *a, int dtype, void *stream) {
    if (wk__cuda_flash_takes(a, dtype)) return wk__cuda_flash_backward(a, dtype, stream);
    WK_FLOAT_CASES(dtype, run_backward, a, stream);
}
