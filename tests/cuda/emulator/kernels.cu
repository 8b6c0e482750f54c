// kernels.cu: see kernels.h.
#include "kernels.h"

#include "cuda/tensor_core.h"

// ---- one pass, 128 bits at a time

static __global__ void add(float *y, const float *a, const float *b, int n, int fault) {
    int shift = fault == MISALIGNED, i = (int)(blockIdx.x * blockDim.x + threadIdx.x) * 4 + shift;
    if (i + 4 <= n) {
        wk_vector<float, 4> left = wk_load_vector<4>(a + i), right = wk_load_vector<4>(b + i);
        for (int k = 0; k < 4; k++) left.at[k] += right.at[k];
        wk_store_vector(y + i, left);
        return;
    }
    int end = fault == TAIL_OFF_BY_ONE ? n + 1 : fault == TAIL_UNCHECKED ? i + 4 : n;
    for (; i < end; i++) y[i] = i < n ? a[i] + b[i] : 0;
}

extern "C" int launch_add(float *y, const float *a, const float *b, int n, int fault) {
    return WK_LAUNCH(add, dim3((unsigned)(n + 511) / 512), 128, 0, nullptr, y, a, b, n, fault);
}

// ---- a row a block

// The sum over the block, the same in every thread.
static __device__ float block_sum(float value, int fault) {
    WK_SHARED(float, part, [8]);
    unsigned lane = threadIdx.x & 31, warp = threadIdx.x / 32;
    for (int by = 16; by > 0; by /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, by);
    if (fault != WRITE_AFTER_READ) __syncthreads();
    if (lane == 0) part[warp + (fault == SHARED_WRITE_BEYOND && warp == 7)] = value;
    if (fault == DIVERGED_BARRIER && threadIdx.x < 128)
        __syncthreads();
    else if (fault != DROPPED_BARRIER)
        __syncthreads();
    float sum = 0;
    for (unsigned i = 0; i < 8u + (fault == SHARED_READ_BEYOND); i++) sum += part[i];
    return sum;
}

static __global__ void layer_norm(float *y, const float *x, int n, int fault) {
    if (fault == BARRIER_AFTER_EXIT && threadIdx.x >= 224) return;
    y += (int64_t)blockIdx.x * n;
    x += (int64_t)blockIdx.x * n;
    int step = (int)blockDim.x * (fault == WRONG_STRIDE ? 2 : 1);
    float sum = 0, squares = 0;
    for (int i = (int)threadIdx.x; i < n; i += step) sum += x[i];
    float mean = block_sum(sum, fault) / (float)n;
    for (int i = (int)threadIdx.x; i < n; i += step) squares += (x[i] - mean) * (x[i] - mean);
    float scale = rsqrtf(block_sum(squares, fault) / (float)n + 1e-5f);
    for (int i = (int)threadIdx.x; i < n; i += step) y[i] = (x[i] - mean) * scale;
}

extern "C" int launch_layer_norm(float *y, const float *x, int rows, int n, int fault) {
    return WK_LAUNCH(layer_norm, (unsigned)rows, 256, 0, nullptr, y, x, n, fault);
}

// ---- a row a warp

static __device__ float warp_max(float value) {
    for (int by = 16; by > 0; by /= 2) value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, by));
    return value;
}
static __device__ float warp_sum(float value) {
    for (int by = 16; by > 0; by /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, by);
    return value;
}

static __global__ void cross_entropy(float *loss, float *logits, const int *target, int rows, int n, int fault) {
    int row = (int)(blockIdx.x * 4 + threadIdx.y), lane = (int)threadIdx.x;
    if (row >= rows) return;
    float *x = logits + (int64_t)row * n;
    int end = fault == MISSING_MASK && row + 1 < rows ? (n + 31) / 32 * 32 : n;
    float largest = -INFINITY, sum = 0;
    for (int i = lane; i < end; i += 32) largest = fmaxf(largest, x[i]);
    largest = warp_max(largest);
    for (int i = lane; i < end; i += 32) sum += expf(x[i] - largest);
    sum = warp_sum(sum);
    if (lane == 0) loss[row] = logf(sum) + largest - x[target[row]];
    __syncwarp();
    for (int i = lane; i < n; i += 32) x[i] = expf(x[i] - largest) / sum - (i == target[row] ? 1.0f : 0.0f);
}

extern "C" int launch_cross_entropy(float *loss, float *logits, const int *target, int rows, int n, int fault) {
    return WK_LAUNCH(cross_entropy, (unsigned)(rows + 3) / 4, dim3(32, 4), 0, nullptr, loss, logits, target, rows, n,
                     fault);
}

// ---- tiles

template <int T> static __global__ void matmul(float *c, const float *a, const float *b, int n, int fault) {
    WK_SHARED(float, left, [T][T + 1]);
    WK_DYNAMIC_SHARED(float, right);
    int x = (int)threadIdx.x, y = (int)threadIdx.y;
    int64_t row = blockIdx.y * T + y, column = blockIdx.x * T + x;
    float sum = 0;
    for (int k = 0; k < n; k += T) {
        left[y][x] = a[row * n + k + x];
        right[y * T + x] = b[(k + y) * (int64_t)n + column];
        if (fault != DROPPED_BARRIER) __syncthreads();
        for (int i = 0; i < T; i++) sum += left[y][i] * right[i * T + x];
        if (fault != WRITE_AFTER_READ) __syncthreads();
    }
    c[row * n + column] = sum;
}

extern "C" int launch_matmul(float *c, const float *a, const float *b, int n, int fault) {
    dim3 grid((unsigned)n / 16, (unsigned)n / 16), block(16, 16);
    return WK_LAUNCH((matmul<16>), grid, block, 16 * 16 * sizeof(float), nullptr, c, a, b, n, fault);
}

// ---- votes and atomics

static __global__ void compact(int *y, int *count, const int *x, int n, int fault) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x), lane = (int)threadIdx.x & 31;
    if (fault == MASK_OF_THE_GONE && lane >= 16) return;
    bool keep = i < n && x[i] > 0;
    unsigned named = fault == MASK_WITHOUT_CALLER ? 0xFFFFu : 0xFFFFFFFFu;
    unsigned kept = __ballot_sync(named, keep);
    int first = 0, own = __popc(kept & ((1u << lane) - 1));
    if (lane == 0 && fault == BLOCKS_SHARE)
        first = *count, *count = first + __popc(kept);
    else if (lane == 0)
        first = atomicAdd(count, __popc(kept));
    first = __shfl_sync(0xFFFFFFFFu, first, 0);
    if (keep) y[first + own] = x[i];
}

extern "C" int launch_compact(int *y, int *count, const int *x, int n, int fault) {
    return WK_LAUNCH(compact, (unsigned)(n + 127) / 128, 128, 0, nullptr, y, count, x, n, fault);
}

static __global__ void shuffles(int *results, int fault) {
    int lane = (int)threadIdx.x, value = lane * 3 + 1;
    unsigned all = 0xFFFFFFFFu, own = lane < 16 ? 0xFFFFu : 0xFFFF0000u;
    results[0 * 32 + lane] = __shfl_sync(all, value, 5);
    results[1 * 32 + lane] = __shfl_up_sync(all, value, 3);
    results[2 * 32 + lane] = __shfl_down_sync(all, value, 3, 8);
    results[3 * 32 + lane] = __shfl_xor_sync(own, value, fault == SOURCE_OUT_OF_MASK ? 16 : 9);
    results[4 * 32 + lane] = (int)__match_any_sync(all, lane % 5);
    results[5 * 32 + lane] = (int)__reduce_add_sync(own, (unsigned)value);
    results[6 * 32 + lane] = __any_sync(own, lane == 20) * 2 + __all_sync(own, lane < 16);
    int sum = value; // of the lanes up to this one
    for (unsigned by = 1; by < 32; by *= 2) {
        int before = __shfl_up_sync(all, sum, by);
        if (lane >= (int)by) sum += before;
    }
    results[7 * 32 + lane] = sum;
}

extern "C" int launch_shuffles(int *results, int fault) {
    return WK_LAUNCH(shuffles, 1, 32, 0, nullptr, results, fault);
}

// ---- matrix instructions

using bf16 = __nv_bfloat16;
static __global__ void products(float *c, const bf16 *a, const bf16 *b, int n, int fault) {
    using chunk = wk_vector<bf16, 8>;
    WK_SHARED(chunk, left, [2][32][2]);
    WK_SHARED(chunk, right, [2][16][2]);
    const int thread = (int)threadIdx.x, lane = thread % 32, warp = thread / 32, row = (int)blockIdx.y * 32,
              column = (int)blockIdx.x * 16, shift = fault == MISALIGNED;
    float d[2][4] = {};
    const auto fetch = [&](int stage, int k) {
        const int i = thread / 2, part = thread % 2;
        wk_copy_later(&left[stage][i][part], a + (row + i) * n + k + part * 8 + shift, true);
        if (i < 16) wk_copy_later(&right[stage][i][part], b + (k + i) * n + column + part * 8, true);
    };
    fetch(0, 0);
    wk_copies_close();
    for (int k = 0; k < n; k += 16) {
        const int stage = k / 16 % 2;
        uint32_t of_left[4], of_right[4];
        if (k + 16 < n) fetch(1 - stage, k + 16);
        wk_copies_close();
        if (fault != COPY_NOT_AWAITED) wk_copies_wait<1>();
        if (fault != DROPPED_BARRIER) __syncthreads();
        if (fault == WARP_NOT_WHOLE && k + 16 == n && lane >= 16) return;
        wk_load_matrices<false>(of_left, &left[stage][warp * 16 + lane % 16][lane / 16]);
        wk_load_matrices<true>(of_right, &right[stage][lane % 16][lane / 16]);
        wk_multiply_add<bf16>(d[0], of_left, of_right[0], of_right[1]);
        wk_multiply_add<bf16>(d[1], of_left, of_right[2], of_right[3]);
        if (fault != WRITE_AFTER_READ) __syncthreads();
    }
    wk_copies_wait<0>();
    if (fault == COPY_LEFT_BEHIND) fetch(0, 0);
    for (int part = 0; part < 2; part++)
        for (int e = 0; e < 4; e++)
            c[(row + warp * 16 + lane / 4 + e / 2 * 8) * n + column + part * 8 + 2 * (lane % 4) + e % 2] = d[part][e];
}

extern "C" int launch_products(float *c, const void *a, const void *b, int n, int fault) {
    return WK_LAUNCH(products, dim3((unsigned)n / 16, (unsigned)n / 32), 64, 0, nullptr, c, static_cast<const bf16 *>(a),
                     static_cast<const bf16 *>(b), n, fault);
}

static __global__ void nothing(int *unused) {
    WK_DYNAMIC_SHARED(int, memory);
    if (unused) unused[0] = memory[0];
}

extern "C" int launch_nothing(unsigned grid, unsigned block, unsigned long shared) {
    return WK_LAUNCH(nothing, grid, block, shared, nullptr, (int *)nullptr);
}
