// copy.cu: elements put elsewhere, as they are: copies between layouts, choices by an index, edges around.
//
// Dense copies move 128 bits an instruction; where source and target run through memory along different axes, a tile
// of 32 x 32 goes through shared memory, so that both are touched line by line.  Other layouts go element by element,
// neighbouring threads writing neighbouring elements.  Every element is read and written once; roof: memory bandwidth.
#include "cuda/divide.h"
#include "cuda/elements.h"
#include "cuda/layout/copy.h"
#include "wick/ops.h"

namespace {

template <class T>
__global__ void __launch_bounds__(256) copy_row(T *__restrict__ out, const T *__restrict__ x, int64_t n) {
    constexpr int W = 16 / (int)sizeof(T);
    const int64_t threads = (int64_t)gridDim.x * blockDim.x, thread = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t vectors = n / W;
    for (int64_t v = thread; v < vectors; v += threads) wk_store_vector(out + v * W, wk_load_vector<W>(x + v * W));
    for (int64_t i = vectors * W + thread; i < n; i += threads) out[i] = x[i];
}

template <class T>
__global__ void __launch_bounds__(256) copy_strided(T *__restrict__ out, const T *__restrict__ x, wk_walk walk) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < walk.count; i += threads) {
        int64_t at[2];
        wk_walk_offsets<2>(walk, i, at);
        out[at[0]] = x[at[1]];
    }
}

// The last two axes of the walk: x runs along the first of them (rows), out along the second (columns).
constexpr int TILE = 32, ROWS = 8;
template <class T>
__global__ void __launch_bounds__(TILE *ROWS)
    transpose(T *__restrict__ out, const T *__restrict__ x, wk_walk outer, int64_t rows, int64_t columns,
              int64_t out_row, int64_t x_column) {
    WK_SHARED(T, tile, [TILE][TILE + 1]);
    for (int64_t batch = blockIdx.z; batch < outer.count; batch += gridDim.z) {
        int64_t at[2];
        wk_walk_offsets<2>(outer, batch, at);
        for (int64_t top = (int64_t)blockIdx.y * TILE; top < rows; top += (int64_t)gridDim.y * TILE) {
            const int64_t left = (int64_t)blockIdx.x * TILE;
            for (int k = (int)threadIdx.y; k < TILE; k += ROWS)
                if (left + k < columns && top + threadIdx.x < rows)
                    tile[k][threadIdx.x] = x[at[1] + (left + k) * x_column + top + threadIdx.x];
            __syncthreads();
            for (int k = (int)threadIdx.y; k < TILE; k += ROWS)
                if (top + k < rows && left + threadIdx.x < columns)
                    out[at[0] + (top + k) * out_row + left + threadIdx.x] = tile[threadIdx.x][k];
            __syncthreads();
        }
    }
}

template <class T>
__global__ void __launch_bounds__(256) gather(T *__restrict__ out, const int64_t *__restrict__ index,
                                              const T *__restrict__ x, wk_walk walk, int64_t jump, int64_t limit) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < walk.count; i += threads) {
        int64_t at[3];
        wk_walk_offsets<3>(walk, i, at);
        int64_t position = index[at[1]];
        // An index outside cannot be told to anybody here; what it would read is not there.
        out[at[0]] = position >= 0 && position < limit ? x[at[2] + position * jump] : T(0);
    }
}

__device__ __forceinline__ int64_t pad_source(int64_t i, int64_t size, int mode) {
    if (mode == WK_PAD_REPLICATE) return i < 0 ? 0 : i >= size ? size - 1 : i;
    if (mode == WK_PAD_CIRCULAR) return i < 0 ? i + size : i >= size ? i - size : i;
    return i < 0 ? -i : i >= size ? 2 * size - 2 - i : i;
}

template <class T>
__global__ void __launch_bounds__(256)
    pad_edges(T *__restrict__ out, const T *__restrict__ x, wk_walk walk, wk_cuda_edges edges) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < walk.count; i += threads) {
        int64_t rest = i, to = 0, from = 0;
        for (int d = walk.rank - 1; d >= 0; d--) {
            const int64_t at = wk_place(&rest, walk.shape[d]);
            to += at * walk.stride[0][d];
            from += pad_source(at - edges.before[d], edges.size[d], edges.mode) * walk.stride[1][d];
        }
        out[to] = x[from];
    }
}

// ---- launchers

// The last two axes run crosswise: x's unit stride is that of the one before the last, out's of the last.
bool is_crosswise(const wk_walk &walk) {
    int last = walk.rank - 1;
    return walk.rank >= 2 && walk.stride[0][last] == 1 && walk.stride[1][last - 1] == 1 && walk.stride[1][last] > 1
           && walk.shape[last] >= 8 && walk.shape[last - 1] >= 8;
}

template <class T> int launch_transpose(T *out, const T *x, const wk_walk &walk, void *stream) {
    int last = walk.rank - 1;
    wk_walk outer = walk;
    int64_t columns = walk.shape[last], rows = walk.shape[last - 1];
    outer.rank -= 2;
    outer.count /= rows * columns;
    int64_t across = (columns + TILE - 1) / TILE, down = (rows + TILE - 1) / TILE;
    if (across > 0x7FFFFFFF) return (int)cudaErrorInvalidConfiguration;
    dim3 grid((unsigned)across, (unsigned)(down < 65535 ? down : 65535),
              (unsigned)(outer.count < 65535 ? outer.count : 65535));
    return WK_LAUNCH((transpose<T>), grid, dim3(TILE, ROWS), 0, stream, out, x, outer, rows, columns,
                     walk.stride[0][last - 1], walk.stride[1][last]);
}

template <class T> int launch_copy(void *to, const void *from, const wk_walk &walk, void *stream) {
    T *out = static_cast<T *>(to);
    const T *x = static_cast<const T *>(from);
    bool aligned = (reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % 16 == 0;
    if (walk.rank == 1 && walk.stride[0][0] == 1 && walk.stride[1][0] == 1 && aligned)
        return WK_LAUNCH((copy_row<T>), wk_blocks_for(walk.count * (int64_t)sizeof(T) / 16 + 1), 256, 0, stream, out, x,
                         walk.count);
    if (is_crosswise(walk)) return launch_transpose(out, x, walk, stream);
    return WK_LAUNCH((copy_strided<T>), wk_blocks_for(walk.count), 256, 0, stream, out, x, walk);
}

template <class T>
int launch_gather(void *out, const int64_t *index, const void *x, const wk_walk &walk, int64_t jump, int64_t limit,
                  void *stream) {
    return WK_LAUNCH((gather<T>), wk_blocks_for(walk.count), 256, 0, stream, static_cast<T *>(out), index,
                     static_cast<const T *>(x), walk, jump, limit);
}

template <class T>
int launch_pad(void *out, const void *x, const wk_walk &walk, const wk_cuda_edges &edges, void *stream) {
    return WK_LAUNCH((pad_edges<T>), wk_blocks_for(walk.count), 256, 0, stream, static_cast<T *>(out),
                     static_cast<const T *>(x), walk, edges);
}

} // namespace

#define BY_SIZE(FUNCTION, ...)                       \
    switch (size) {                                  \
    case 1: return FUNCTION<uint8_t>(__VA_ARGS__);   \
    case 2: return FUNCTION<uint16_t>(__VA_ARGS__);  \
    case 4: return FUNCTION<uint32_t>(__VA_ARGS__);  \
    default: return FUNCTION<uint64_t>(__VA_ARGS__); \
    }

extern "C" uint64_t wk__cuda_element(int dtype, double value) {
    union {
        uint64_t bits;
        float f32;
        double f64;
        __nv_bfloat16 bf16;
        __half f16;
    } one = { 0 };
    switch (dtype) {
    case WK_F32: one.f32 = (float)value; break;
    case WK_F64: one.f64 = value; break;
    case WK_BF16: one.bf16 = __float2bfloat16_rn((float)value); break;
    case WK_F16: one.f16 = __float2half_rn((float)value); break;
    case WK_BOOL: one.bits = value != 0; break;
    default: one.bits = (uint64_t)(int64_t)value; break;
    }
    return one.bits;
}

extern "C" int wk__cuda_copy(void *out, const void *x, int size, const wk_walk *walk, void *stream) {
    BY_SIZE(launch_copy, out, x, *walk, stream)
}

extern "C" int wk__cuda_gather(void *out, const int64_t *index, const void *x, int size, const wk_walk *walk,
                               int64_t jump, int64_t limit, void *stream) {
    BY_SIZE(launch_gather, out, index, x, *walk, jump, limit, stream)
}

extern "C" int wk__cuda_pad_edges(void *out, const void *x, int size, const wk_walk *walk,
                                  const wk_cuda_edges *edges, void *stream) {
    BY_SIZE(launch_pad, out, x, *walk, *edges, stream)
}
