/* tensor_list.cu: norms of, and changes in, a list of tensors in one launch.
 *
 * A block joins the numbers of WK_CUDA_SPAN elements of one tensor in f64 and writes one; a last block joins those in
 * their order.  So the result is a function of the list alone.  Each element is read once; roof: memory bandwidth.
 */
#include "cuda/optim/lists.h"

#include "cuda/convert.h"
#include "cuda/optim/blocks.h"

namespace {

enum { THREADS = 256 };

template <int N> struct List {
    int n;
    wk_cuda_list_entry entry[N];
};

__device__ __forceinline__ double element(const wk_cuda_list_entry &e, int64_t i) {
    switch (e.dtype) {
    case WK_F32: return static_cast<const float *>(e.data)[i];
    case WK_F64: return static_cast<const double *>(e.data)[i];
    case WK_BF16: return wk_get(static_cast<const __nv_bfloat16 *>(e.data)[i]);
    default: return wk_get(static_cast<const __half *>(e.data)[i]);
    }
}

/* x^p of x ≥ 0: pow takes local memory, for cases that do not come here. */
__device__ __forceinline__ double power(double x, double p) {
    return exp(p * log(x));
}

__device__ __forceinline__ double term(double x, int what, double p) {
    switch (what) {
    case WK_CUDA_SUM_SQUARES: return x * x;
    case WK_CUDA_SUM_POWERS: return power(fabs(x), p);
    case WK_CUDA_NONFINITE: return x - x == 0 ? 0 : 1;
    default: return fabs(x);
    }
}
__device__ __forceinline__ double joined(double a, double b, int what) {
    return what != WK_CUDA_MOST ? a + b : a > b || a != a ? a : b;
}

/* Of all threads' numbers, in thread 0. */
__device__ __forceinline__ double over_block(double own, int what) {
    WK_SHARED(double, all, [THREADS]);
    all[threadIdx.x] = own;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) all[threadIdx.x] = joined(all[threadIdx.x], all[threadIdx.x + half], what);
    }
    return all[0];
}

template <int N> __global__ void __launch_bounds__(THREADS) parts_of(const List<N> list, int what, double p, double *parts) {
    const wk_cuda_list_entry &e = list.entry[wk_entry_of_block(list, (int32_t)blockIdx.x)];
    const int64_t from = (int64_t)((int32_t)blockIdx.x - e.first_block) * WK_CUDA_SPAN;
    const int64_t to = from + WK_CUDA_SPAN < e.count ? from + WK_CUDA_SPAN : e.count;
    double own = 0;
    for (int64_t i = from + threadIdx.x; i < to; i += THREADS) own = joined(own, term(element(e, i), what, p), what);
    const double all = over_block(own, what);
    if (threadIdx.x == 0) parts[blockIdx.x] = all;
}

__global__ void __launch_bounds__(THREADS) join(const double *parts, int64_t count, int what, double p, double *result) {
    double own = 0;
    for (int64_t i = threadIdx.x; i < count; i += THREADS) own = joined(own, parts[i], what);
    const double all = over_block(own, what);
    if (threadIdx.x != 0) return;
    *result = what == WK_CUDA_SUM_SQUARES  ? sqrt(all)
              : what == WK_CUDA_SUM_POWERS ? power(all, 1 / p)
              : what == WK_CUDA_NONFINITE  ? (all != 0 ? 1.0 : 0.0)
                                           : all;
}

template <class T>
__device__ __forceinline__ void adjust_span(T *x, int64_t from, int64_t to, wk_real<T> factor, wk_real<T> limit) {
    for (int64_t i = from + threadIdx.x; i < to; i += THREADS) {
        const wk_real<T> a = wk_get(x[i]) * factor;
        wk_put(x + i, a > limit ? limit : a < -limit ? -limit : a);
    }
}

template <int N>
__global__ void __launch_bounds__(THREADS) adjust(const List<N> list, double factor, double limit, const double *at) {
    if (at) factor = at[0], limit = at[1];
    const wk_cuda_list_entry &e = list.entry[wk_entry_of_block(list, (int32_t)blockIdx.x)];
    const int64_t from = (int64_t)((int32_t)blockIdx.x - e.first_block) * WK_CUDA_SPAN;
    const int64_t to = from + WK_CUDA_SPAN < e.count ? from + WK_CUDA_SPAN : e.count;
    switch (e.dtype) {
    case WK_F32: adjust_span(static_cast<float *>(e.data), from, to, (float)factor, (float)limit); return;
    case WK_F64: adjust_span(static_cast<double *>(e.data), from, to, factor, limit); return;
    case WK_BF16: adjust_span(static_cast<__nv_bfloat16 *>(e.data), from, to, (float)factor, (float)limit); return;
    default: adjust_span(static_cast<__half *>(e.data), from, to, (float)factor, (float)limit);
    }
}

__global__ void clip(const double *norm, double most, double scale, double *factor) {
    const double wanted = most / (*norm * scale + 1e-6);
    *factor = wanted >= 1 ? 1 : wanted; /* NaN is not */
}

template <int N> List<N> first_of(const wk_cuda_list &all) {
    List<N> list;
    list.n = all.n;
    for (int i = 0; i < all.n; i++) list.entry[i] = all.entry[i];
    return list;
}

} // namespace

extern "C" int wk__cuda_list_parts(const wk_cuda_list *list, int what, double p, double *parts, void *stream) {
    if (list->blocks == 0) return 0;
    if (list->n <= WK_CUDA_FEW)
        return WK_LAUNCH(parts_of<WK_CUDA_FEW>, (unsigned)list->blocks, THREADS, 0, stream,
                         first_of<WK_CUDA_FEW>(*list), what, p, parts);
    return WK_LAUNCH(parts_of<WK_CUDA_MANY>, (unsigned)list->blocks, THREADS, 0, stream, first_of<WK_CUDA_MANY>(*list),
                     what, p, parts);
}

extern "C" int wk__cuda_list_join(const double *parts, int64_t count, int what, double p, double *result, void *stream) {
    return WK_LAUNCH(join, 1, THREADS, 0, stream, parts, count, what, p, result);
}

extern "C" int wk__cuda_clip_factor(const double *norm, double most, double scale, double *factor, void *stream) {
    return WK_LAUNCH(clip, 1, 1, 0, stream, norm, most, scale, factor);
}

extern "C" int wk__cuda_list_adjust(const wk_cuda_list *list, double factor, double limit, const double *at,
                                    void *stream) {
    if (list->blocks == 0) return 0;
    if (list->n <= WK_CUDA_FEW)
        return WK_LAUNCH(adjust<WK_CUDA_FEW>, (unsigned)list->blocks, THREADS, 0, stream, first_of<WK_CUDA_FEW>(*list),
                         factor, limit, at);
    return WK_LAUNCH(adjust<WK_CUDA_MANY>, (unsigned)list->blocks, THREADS, 0, stream, first_of<WK_CUDA_MANY>(*list),
                     factor, limit, at);
}
