// product.cu: matrix products of any layout, by tiles of 16 x 16 in shared memory.
//
// The twin of what cuBLASLt does, for what it does not take: strides on both axes, f64 with a bias, nothing to sum
// over. Each operand is read 1/16 of N (or M) times; roof: the bandwidth of shared memory, one load a multiply-add.
#include "cuda/divide.h"
#include "cuda/elements.h"
#include "cuda/linalg/product.h"

namespace {

constexpr int TILE = 16;

template <class T, class C>
__global__ void __launch_bounds__(TILE *TILE)
    product(C *__restrict__ c, const T *__restrict__ a, const T *__restrict__ b, const T *__restrict__ bias,
            wk_cuda_product p) {
    using R = wk_real<T>;
    WK_SHARED(R, left, [TILE][TILE + 1]);
    WK_SHARED(R, right, [TILE][TILE + 1]);
    const int x = (int)threadIdx.x, y = (int)threadIdx.y;
    const int64_t column = (int64_t)blockIdx.x * TILE + x, down = (p.m + TILE - 1) / TILE;
    /* A grid has 65535 blocks along these axes. */
    for (int64_t batch = blockIdx.z; batch < p.count; batch += gridDim.z) {
        const T *one = a, *other = b;
        int64_t rest = batch;
        for (int d = p.rank - 1; d >= 0; d--) {
            const int64_t at = wk_place(&rest, p.size[d]);
            one += at * p.a_batch[d];
            other += at * p.b_batch[d];
        }
        for (int64_t tile = blockIdx.y; tile < down; tile += gridDim.y) {
            const int64_t row = tile * TILE + y;
            R sum = 0;
            for (int64_t k = 0; k < p.k; k += TILE) {
                left[y][x] = row < p.m && k + x < p.k ? wk_get(one[row * p.a_row + (k + x) * p.a_col]) : 0;
                right[y][x] = k + y < p.k && column < p.n ? wk_get(other[(k + y) * p.b_row + column * p.b_col]) : 0;
                __syncthreads();
                WK_UNROLL_BY(8) /* sixteen doubles at once do not stay in registers */
                for (int i = 0; i < TILE; i++) sum += left[y][i] * right[i][x];
                __syncthreads();
            }
            if (row >= p.m || column >= p.n) continue;
            if (bias) sum += wk_get(bias[column * p.bias_step]);
            if (p.relu && sum < 0) sum = 0;
            wk_put(c + (batch * p.m + row) * p.n + column, sum);
        }
    }
}

template <class T, class C>
int launch_into(const wk_cuda_product *p, const void *a, const void *b, const void *bias, void *c, void *stream) {
    int64_t rows = (p->m + TILE - 1) / TILE, columns = (p->n + TILE - 1) / TILE;
    if (columns > 0x7FFFFFFF) return (int)cudaErrorInvalidConfiguration;
    dim3 grid((unsigned)columns, (unsigned)(rows < 65535 ? rows : 65535), (unsigned)(p->count < 65535 ? p->count : 65535));
    return WK_LAUNCH((product<T, C>), grid, dim3(TILE, TILE), 0, stream, static_cast<C *>(c), static_cast<const T *>(a),
                     static_cast<const T *>(b), static_cast<const T *>(bias), *p);
}

template <class T>
int launch(const wk_cuda_product *p, const void *a, const void *b, const void *bias, void *c, void *stream) {
    return launch_into<T, T>(p, a, b, bias, c, stream);
}

} // namespace

extern "C" int wk__cuda_product(const wk_cuda_product *product, int dtype, int result, const void *a, const void *b,
                                const void *bias, void *c, void *stream) {
    if (result == WK_F32 && dtype == WK_BF16)
        return launch_into<__nv_bfloat16, float>(product, a, b, bias, c, stream);
    if (result == WK_F32 && dtype == WK_F16) return launch_into<__half, float>(product, a, b, bias, c, stream);
    switch (dtype) {
        WK_CASES_OF_FLOATS(launch, product, a, b, bias, c, stream);
    default: return (int)cudaErrorInvalidValue;
    }
}
