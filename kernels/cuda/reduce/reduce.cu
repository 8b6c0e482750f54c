// reduce.cu: sums, products, counts and extrema over any axes of any layout.
//
// Accumulated in f64 (integers in i64), so that the error is that of one rounding whatever the number of elements, as
// on the CPU.  A result is the work of one thread where neighbouring results lie beside each other in memory, else of a
// warp or a block; few results with much behind each are cut into parts, which a second launch joins in their order.
// The cut depends on the shape only: results repeat bit for bit.  x is read once; roof: memory bandwidth.
#include "cuda/elements.h"
#include "cuda/reduce/reduce.h"

#include <math.h>
#include <type_traits>

namespace {

template <class T>
using total_of = typename std::conditional<std::is_same<wk_real<T>, int64_t>::value, int64_t, double>::type;

__device__ __forceinline__ double plus(double a, double b) {
    return a + b;
}
__device__ __forceinline__ int64_t plus(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
__device__ __forceinline__ double times(double a, double b) {
    return a * b;
}
__device__ __forceinline__ int64_t times(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a * (uint64_t)b);
}
template <class A> __device__ __forceinline__ A larger(A a, A b) {
    return a > b || a != a ? a : b;
}
template <class A> __device__ __forceinline__ A smaller(A a, A b) {
    return a < b || a != a ? a : b;
}
template <class A> __device__ __forceinline__ A size_of(A x) {
    return x < 0 ? -x : x;
}

// How totals of one kind begin, take an element, and are joined.
template <int KIND, class A> struct Totals {
    static constexpr bool is_max = KIND == WK_CUDA_MAX || KIND == WK_CUDA_LARGEST_SIZE;
    static constexpr bool is_min = KIND == WK_CUDA_MIN || KIND == WK_CUDA_LEAST_SIZE;
    static __device__ __forceinline__ A first() {
        if constexpr (std::is_same<A, double>::value)
            return is_max ? -INFINITY : is_min ? INFINITY : KIND == WK_CUDA_PRODUCT ? 1 : 0;
        else
            return is_max ? INT64_MIN : is_min ? INT64_MAX : KIND == WK_CUDA_PRODUCT ? 1 : 0;
    }
    static __device__ __forceinline__ A join(A a, A b) {
        return is_max ? larger(a, b) : is_min ? smaller(a, b) : KIND == WK_CUDA_PRODUCT ? times(a, b) : plus(a, b);
    }
    static __device__ __forceinline__ A take(A total, A x) {
        if (KIND == WK_CUDA_PRESENT) return x == x ? plus(total, x) : total;
        if (KIND == WK_CUDA_SQUARES) return plus(total, times(x, x));
        if (KIND == WK_CUDA_SIZES || KIND == WK_CUDA_LARGEST_SIZE || KIND == WK_CUDA_LEAST_SIZE)
            return join(total, size_of(x));
        return join(total, x);
    }
};

template <class A> __device__ __forceinline__ void store(const wk_cuda_reduction &r, int64_t at, A total) {
    double f = (double)total / r.divisor;
    switch (r.out_dtype) {
    case WK_F32: static_cast<float *>(r.out)[at] = (float)f; return;
    case WK_F64: static_cast<double *>(r.out)[at] = f; return;
    case WK_BF16: wk_put(static_cast<__nv_bfloat16 *>(r.out) + at, (float)f); return;
    case WK_F16: wk_put(static_cast<__half *>(r.out) + at, (float)f); return;
    case WK_I64: static_cast<int64_t *>(r.out)[at] = (int64_t)total; return;
    case WK_I32: static_cast<int32_t *>(r.out)[at] = (int32_t)total; return;
    case WK_I16: static_cast<int16_t *>(r.out)[at] = (int16_t)total; return;
    case WK_BOOL: static_cast<uint8_t *>(r.out)[at] = (double)total >= (double)r.least; return;
    default: static_cast<uint8_t *>(r.out)[at] = (uint8_t)(int64_t)total; return;
    }
}

// The total of the threads that share a result, in the first of them.
template <int KIND, class A> __device__ __forceinline__ A share(A total, int threads) {
    if (threads == 1) return total;
    for (int by = 16; by > 0; by /= 2)
        total = Totals<KIND, A>::join(total, (A)__shfl_down_sync(0xFFFFFFFFu, total, (unsigned)by));
    if (threads == 32) return total;
    WK_SHARED(A, warps, [8]);
    __syncthreads();
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = total;
    __syncthreads();
    for (int w = 1; w < 8 && threadIdx.x == 0; w++) total = Totals<KIND, A>::join(total, warps[w]);
    return total;
}

template <int KIND, class T> __global__ void __launch_bounds__(256) reduce(wk_cuda_reduction r) {
    using A = typename std::conditional<KIND == WK_CUDA_COUNT, int64_t, total_of<T>>::type;
    const T *x = static_cast<const T *>(r.x);
    const int64_t results = r.kept.count, length = (r.reduced.count + r.parts - 1) / r.parts;
    const int64_t groups = (int64_t)gridDim.x * blockDim.x / r.threads, lane = threadIdx.x % (unsigned)r.threads;
    // Every thread of a block goes round equally often: they meet in share().
    const int64_t first = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / r.threads;
    const int64_t rounds = (results * r.parts + groups - 1) / groups;
    for (int64_t round = 0; round < rounds; round++) {
        const int64_t group = first + round * groups;
        const bool works = group < results * r.parts;
        const int64_t result = works ? group % results : 0, part = works ? group / results : 0;
        int64_t at[2], end = works ? (part + 1) * length : 0;
        if (end > r.reduced.count) end = r.reduced.count;
        wk_walk_offsets<2>(r.kept, result, at);
        A total = Totals<KIND, A>::first();
        for (int64_t i = part * length + lane; i < end; i += r.threads) {
            int64_t offset;
            wk_walk_offsets<1>(r.reduced, i, &offset);
            const auto value = wk_get(x[at[1] + offset]);
            total = Totals<KIND, A>::take(total, KIND == WK_CUDA_COUNT ? (A)(value != 0) : (A)value);
        }
        total = share<KIND>(total, r.threads);
        if (!works || lane != 0) continue;
        if (r.parts > 1)
            static_cast<A *>(r.totals)[group] = total;
        else
            store(r, at[0], total);
    }
}

// Results of their parts, one thread each.
template <int KIND, class A> __global__ void __launch_bounds__(256) finish(wk_cuda_reduction r) {
    const A *totals = static_cast<const A *>(r.totals);
    const int64_t result = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (result >= r.kept.count) return;
    A total = totals[result];
    for (int64_t part = 1; part < r.parts; part++)
        total = Totals<KIND, A>::join(total, totals[part * r.kept.count + result]);
    int64_t at[2];
    wk_walk_offsets<2>(r.kept, result, at);
    store(r, at[0], total);
}

template <int KIND, class T> int launch(const wk_cuda_reduction &r, void *stream) {
    using A = typename std::conditional<KIND == WK_CUDA_COUNT, int64_t, total_of<T>>::type;
    const int64_t threads = r.kept.count * r.parts * r.threads;
    int error = WK_LAUNCH((reduce<KIND, T>), wk_blocks_for(threads), 256, 0, stream, r);
    if (error || r.parts == 1) return error;
    return WK_LAUNCH((finish<KIND, A>), (unsigned)((r.kept.count + 255) / 256), 256, 0, stream, r);
}

template <int KIND> struct of_kind {
    template <class T> static int of(const wk_cuda_reduction &r, void *stream) { return launch<KIND, T>(r, stream); }
    static int floats(const wk_cuda_reduction &r, void *stream) {
        switch (r.dtype) {
            WK_CASES_OF_FLOATS(of, r, stream);
        default: return (int)cudaErrorInvalidValue;
        }
    }
    static int any(const wk_cuda_reduction &r, void *stream) {
        switch (r.dtype) {
            WK_CASES_OF_INTEGERS(of, r, stream);
        case WK_BOOL: return of<uint8_t>(r, stream);
        default: return floats(r, stream);
        }
    }
};

} // namespace

extern "C" int wk__cuda_reduce(const wk_cuda_reduction *r, void *stream) {
    switch (r->kind) {
    case WK_CUDA_SUM: return of_kind<WK_CUDA_SUM>::any(*r, stream);
    case WK_CUDA_MAX: return of_kind<WK_CUDA_MAX>::any(*r, stream);
    case WK_CUDA_MIN: return of_kind<WK_CUDA_MIN>::any(*r, stream);
    case WK_CUDA_PRODUCT: return of_kind<WK_CUDA_PRODUCT>::any(*r, stream);
    case WK_CUDA_COUNT: return of_kind<WK_CUDA_COUNT>::any(*r, stream);
    case WK_CUDA_PRESENT: return of_kind<WK_CUDA_PRESENT>::floats(*r, stream);
    case WK_CUDA_SQUARES: return of_kind<WK_CUDA_SQUARES>::floats(*r, stream);
    case WK_CUDA_SIZES: return of_kind<WK_CUDA_SIZES>::floats(*r, stream);
    case WK_CUDA_LARGEST_SIZE: return of_kind<WK_CUDA_LARGEST_SIZE>::floats(*r, stream);
    default: return of_kind<WK_CUDA_LEAST_SIZE>::floats(*r, stream);
    }
}
