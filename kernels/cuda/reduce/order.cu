/* order.cu: lines in order, and what follows from that: the k largest, medians, distinct values; counts and searches.
 *
 * An element becomes a key that orders as it does (NaN above everything, both zeros alike) and travels with its place,
 * so that all pairs differ, equal elements stay in the order of their places, and any way of sorting gives one result.
 * Tiles of up to 1024 pairs are sorted in shared memory by a bitonic network; longer lines are merged from them, each
 * element finding its rank in the neighbouring run by halving.
 * Traffic: 16 bytes a pair written and read once for the tiles, and once for each doubling above 1024.  Roof: shared
 * memory for short lines, memory bandwidth for long ones.
 */
#include "cuda/reduce/order.h"

#include "cuda/elements.h"

namespace {

enum { TILE = 1024, THREADS = 256 };

/* ---- keys ---- */

__device__ __forceinline__ uint64_t key_of(double x) {
    if (x != x) return UINT64_MAX;
    const double value = x == 0 ? 0 : x;
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}
__device__ __forceinline__ uint64_t key_of(float x) {
    return key_of((double)x);
}
__device__ __forceinline__ uint64_t key_of(int64_t x) {
    return (uint64_t)x ^ (uint64_t)1 << 63;
}

__device__ __forceinline__ bool is_before(const wk_cuda_pair &a, const wk_cuda_pair &b) {
    return a.key != b.key ? a.key < b.key : a.place < b.place;
}

/* Where element i of a line stands in operand `k`. */
template <int K> __device__ int64_t start_of(const wk_cuda_lines &of, int64_t line) {
    int64_t start[K + 1];
    wk_walk_offsets<K + 1>(of.lines, line, start);
    return start[K];
}

template <class T> __global__ void fill(const wk_cuda_lines of, bool reversed, wk_cuda_pair *pairs) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x, all = of.lines.count * of.length;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < all; at += threads) {
        const int64_t line = at / of.length, i = at - line * of.length;
        const int64_t start = of.lines.operands == 1 ? start_of<0>(of, line) : start_of<2>(of, line);
        const T x = static_cast<const T *>(of.x)[start + i * of.step[of.lines.operands == 1 ? 0 : 2]];
        const uint64_t key = key_of(wk_get(x));
        pairs[at] = { reversed ? ~key : key, (uint64_t)(of.flat ? at : i) };
    }
}

/* ---- sorting ---- */

/* Block (tile of a line): a bitonic network over `tile` pairs, a power of two; what lacks is above everything. */
__global__ void sort_tiles(wk_cuda_pair *pairs, int64_t length, int64_t tiles, int tile) {
    WK_DYNAMIC_SHARED(wk_cuda_pair, a);
    const int64_t line = (int64_t)blockIdx.x / tiles, first = (int64_t)blockIdx.x % tiles * tile;
    const int count = (int)(length - first < tile ? length - first : tile);
    wk_cuda_pair *from = pairs + line * length + first;
    for (int i = (int)threadIdx.x; i < tile; i += (int)blockDim.x)
        a[i] = i < count ? from[i] : wk_cuda_pair{ UINT64_MAX, UINT64_MAX };
    for (int run = 2; run <= tile; run *= 2)
        for (int step = run / 2; step; step /= 2) {
            __syncthreads();
            for (int t = (int)threadIdx.x; t < tile / 2; t += (int)blockDim.x) {
                const int i = 2 * step * (t / step) + t % step, j = i + step;
                const wk_cuda_pair low = a[i], high = a[j];
                if (is_before(high, low) == ((i & run) == 0)) a[i] = high, a[j] = low;
            }
        }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < count; i += (int)blockDim.x) from[i] = a[i];
}

/* Runs of `run` pairs, two by two. */
__global__ void merge(wk_cuda_pair *to, const wk_cuda_pair *from, int64_t lines, int64_t length, int64_t run) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < lines * length; at += threads) {
        const int64_t line = at / length, i = at - line * length, own = i / run * run;
        const int64_t first = own / (2 * run) * 2 * run, sibling = own == first ? own + run : first;
        const wk_cuda_pair *a = from + line * length, self = a[i];
        int64_t low = sibling, high = sibling + run < length ? sibling + run : length;
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            if (is_before(a[middle], self))
                low = middle + 1;
            else
                high = middle;
        }
        const int64_t before = sibling < length ? low - sibling : 0;
        to[line * length + first + (i - own) + before] = self;
    }
}

/* ---- results ---- */

__global__ void by_place(wk_cuda_pair *to, const wk_cuda_pair *sorted, int64_t lines, int64_t length, int64_t k) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < lines * k; at += threads) {
        const uint64_t place = sorted[at / k * length + at % k].place;
        to[at] = { place, place };
    }
}

/* The first pair of a line that is not below `key`. */
__device__ int64_t first_not_below(const wk_cuda_pair *line, int64_t length, uint64_t key) {
    int64_t low = 0, high = length;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (line[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

template <class T>
__global__ void give(const wk_cuda_lines of, const wk_cuda_pair *sorted, int64_t length, int64_t first, int64_t k,
                     bool nan, T *values, int64_t *places) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < of.lines.count * k; at += threads) {
        const int64_t line = at / k, j = at - line * k;
        const wk_cuda_pair *a = sorted + line * length;
        int64_t from = first + j, start[3];
        if (nan && a[length - 1].key == UINT64_MAX) from = first_not_below(a, length, UINT64_MAX);
        wk_walk_offsets<3>(of.lines, line, start);
        const int64_t place = (int64_t)a[from].place;
        values[start[0] + j * of.step[0]] = static_cast<const T *>(of.x)[start[2] + place * of.step[2]];
        places[start[1] + j * of.step[1]] = place;
    }
}

/* ---- distinct elements ---- */

/* One block: numbers the groups of equal keys (a NaN is a group of its own) in order. */
template <class T>
__global__ void number_groups(const wk_cuda_lines of, const wk_cuda_pair *sorted, int64_t n, int64_t most, bool floats,
                              int64_t *starts, T *values, int64_t *inverse, int64_t *number) {
    WK_SHARED(int, sums, [THREADS]);
    const int t = (int)threadIdx.x;
    int64_t before = 0; /* groups in former tiles */
    for (int64_t tile = 0; tile < n; tile += THREADS) {
        const int64_t i = tile + t;
        const bool begins = i < n
                            && (i == 0 || sorted[i - 1].key != sorted[i].key
                                || (floats && sorted[i].key == UINT64_MAX));
        sums[t] = begins;
        for (int step = 1; step < THREADS; step *= 2) {
            __syncthreads();
            const int other = t >= step ? sums[t - step] : 0;
            __syncthreads();
            sums[t] += other;
        }
        __syncthreads();
        const int64_t group = before + sums[t] - 1;
        const int total = sums[THREADS - 1];
        if (i < n) {
            const int64_t place = (int64_t)sorted[i].place;
            inverse[place] = group < most ? group : -1;
            if (begins) starts[group] = i;
            if (begins && group < most) values[group] = static_cast<const T *>(of.x)[start_of<0>(of, place)];
        }
        before += total;
        __syncthreads();
    }
    if (t == 0) *number = before;
}

template <class T>
__global__ void count_groups(const int64_t *starts, int64_t n, int64_t most, const int64_t *number, T *values,
                             int64_t *counts) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x, groups = *number;
    for (int64_t g = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; g < most; g += threads) {
        if (g >= groups) values[g] = T();
        counts[g] = g >= groups ? 0 : (g + 1 < groups ? starts[g + 1] : n) - starts[g];
    }
}

/* ---- counts and searches ---- */

/* Whole numbers are added in any order with one result. */
template <class T> __global__ void bincount(const T *x, int64_t n, int64_t step, unsigned long long *counts) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += threads)
        atomicAdd(counts + x[i * step], 1ULL);
}

/* NaN as a value is above all. */
template <class T>
__global__ void search(const wk_walk walk, int64_t length, int64_t step, bool right, int64_t *out, const T *values,
                       const T *rows) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; at < walk.count; at += threads) {
        int64_t start[3], low = 0, count = length;
        wk_walk_offsets<3>(walk, at, start);
        const auto value = wk_get(values[start[1]]);
        while (count > 0) {
            const int64_t half = count / 2;
            const auto here = wk_get(rows[start[2] + (low + half) * step]);
            const bool beyond = right ? !(here > value) : !(here >= value);
            low = beyond ? low + half + 1 : low;
            count = beyond ? count - half - 1 : half;
        }
        out[start[0]] = low;
    }
}

/* ---- launches ---- */

template <class T> int run_fill(const wk_cuda_lines *of, bool reversed, wk_cuda_pair *pairs, void *stream) {
    return WK_LAUNCH(fill<T>, wk_blocks_for(of->lines.count * of->length), 256, 0, stream, *of, reversed, pairs);
}

template <class T>
int run_give(const wk_cuda_lines *of, const wk_cuda_pair *sorted, int64_t length, int64_t first, int64_t k, bool nan,
             void *values, int64_t *places, void *stream) {
    return WK_LAUNCH(give<T>, wk_blocks_for(of->lines.count * k), 256, 0, stream, *of, sorted, length, first, k, nan,
                     static_cast<T *>(values), places);
}

template <class T>
int run_unique(const wk_cuda_lines *of, const wk_cuda_pair *sorted, int64_t n, int64_t most, int64_t *starts,
               void *values_, int64_t *inverse, int64_t *counts, int64_t *number, void *stream) {
    T *values = static_cast<T *>(values_);
    const bool floats = of->dtype == WK_F32 || of->dtype == WK_F64 || of->dtype == WK_BF16 || of->dtype == WK_F16;
    const int error = WK_LAUNCH(number_groups<T>, 1, THREADS, 0, stream, *of, sorted, n, most, floats, starts, values,
                                inverse, number);
    if (error || !most) return error;
    return WK_LAUNCH(count_groups<T>, wk_blocks_for(most), 256, 0, stream, starts, n, most, number, values, counts);
}

template <class T> int run_bincount(const void *x, int64_t n, int64_t step, int64_t *counts, void *stream) {
    return WK_LAUNCH(bincount<T>, wk_blocks_for(n), 256, 0, stream, static_cast<const T *>(x), n, step,
                     reinterpret_cast<unsigned long long *>(counts));
}

template <class T>
int run_search(const wk_walk *walk, int64_t length, int64_t step, bool right, int64_t *out, const void *values,
               const void *rows, void *stream) {
    return WK_LAUNCH(search<T>, wk_blocks_for(walk->count), 256, 0, stream, *walk, length, step, right, out,
                     static_cast<const T *>(values), static_cast<const T *>(rows));
}

} // namespace

#define WK_EVERY_TYPE(dtype, FUNCTION, ...)             \
    switch (dtype) {                                    \
        WK_CASES_OF_FLOATS(FUNCTION, __VA_ARGS__);      \
        WK_CASES_OF_INTEGERS(FUNCTION, __VA_ARGS__);    \
    case WK_BOOL: return FUNCTION<uint8_t>(__VA_ARGS__); \
    default: return 1;                                  \
    }

extern "C" int wk__cuda_order_fill(const wk_cuda_lines *of, bool reversed, wk_cuda_pair *pairs, void *stream) {
    WK_EVERY_TYPE(of->dtype, run_fill, of, reversed, pairs, stream)
}

extern "C" int wk__cuda_order_sort(wk_cuda_pair *pairs, wk_cuda_pair *other, int64_t lines, int64_t length,
                                  wk_cuda_pair **sorted, void *stream) {
    int tile = 2;
    while (tile < TILE && tile < length) tile *= 2;
    const int64_t tiles = (length + tile - 1) / tile;
    const int threads = tile / 2 < 32 ? 32 : tile / 2 > THREADS ? THREADS : tile / 2;
    int error = WK_LAUNCH(sort_tiles, (unsigned)(lines * tiles), threads, (size_t)tile * sizeof *pairs, stream, pairs,
                          length, tiles, tile);
    for (int64_t run = tile; !error && run < length; run *= 2) {
        error = WK_LAUNCH(merge, wk_blocks_for(lines * length), 256, 0, stream, other, pairs, lines, length, run);
        wk_cuda_pair *held = pairs;
        pairs = other;
        other = held;
    }
    *sorted = pairs;
    return error;
}

extern "C" int wk__cuda_order_by_place(wk_cuda_pair *to, const wk_cuda_pair *sorted, int64_t lines, int64_t length,
                                      int64_t k, void *stream) {
    return WK_LAUNCH(by_place, wk_blocks_for(lines * k), 256, 0, stream, to, sorted, lines, length, k);
}

extern "C" int wk__cuda_order_give(const wk_cuda_lines *of, const wk_cuda_pair *sorted, int64_t length, int64_t first,
                                  int64_t k, bool nan, void *values, int64_t *places, void *stream) {
    WK_EVERY_TYPE(of->dtype, run_give, of, sorted, length, first, k, nan, values, places, stream)
}

extern "C" int wk__cuda_order_unique(const wk_cuda_lines *of, const wk_cuda_pair *sorted, int64_t n, int64_t most,
                                    int64_t *starts, void *values, int64_t *inverse, int64_t *counts, int64_t *number,
                                    void *stream) {
    WK_EVERY_TYPE(of->dtype, run_unique, of, sorted, n, most, starts, values, inverse, counts, number, stream)
}

extern "C" int wk__cuda_bincount(const void *x, int dtype, int64_t n, int64_t step, int64_t *counts, void *stream) {
    switch (dtype) {
        WK_CASES_OF_INTEGERS(run_bincount, x, n, step, counts, stream);
    default: return 1;
    }
}

extern "C" int wk__cuda_searchsorted(const wk_walk *walk, int dtype, int64_t length, int64_t step, bool right,
                                    int64_t *out, const void *values, const void *rows, void *stream) {
    switch (dtype) {
        WK_CASES_OF_FLOATS(run_search, walk, length, step, right, out, values, rows, stream);
        WK_CASES_OF_INTEGERS(run_search, walk, length, step, right, out, values, rows, stream);
    default: return 1;
    }
}
