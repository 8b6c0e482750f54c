/* device.h: the one header that every .cu file includes.
 *
 * A kernel's source compiles twice and is not rewritten in between: by nvcc, and by a host C++ compiler with
 * WICK_CUDA_EMULATOR defined, against the emulator.  All names are CUDA's own but for what a host compiler cannot
 * parse:
 *
 *   WK_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...)
 *       kernel<<<...>>>(arguments) and what cudaGetLastError says, as int.  A kernel with commas in its template
 *       arguments stands in parentheses.
 *
 *   WK_SHARED(type, name, [N][M])
 *       a static shared array; WK_SHARED(type, name, ) is a single variable
 *
 *   WK_DYNAMIC_SHARED(type, name)
 *       type *name: the shared memory asked for at the launch
 *
 *   WK_UNROLL, WK_NO_UNROLL, WK_UNROLL_BY(count)
 *       of the loop that follows
 *
 * 128-bit accesses go through wk_load_vector and wk_store_vector, which the emulator checks for alignment.
 */
#ifndef WICK_KERNELS_CUDA_DEVICE_H
#define WICK_KERNELS_CUDA_DEVICE_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <stdint.h>

#ifdef WICK_CUDA_EMULATOR
#    define WK_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                                  \
        ((int)cudaemu::launch(#kernel, grid, block, (size_t)(shared_bytes), static_cast<cudaStream_t>(stream), kernel, \
                              __VA_ARGS__))
#    define WK_SHARED(type, name, dims)                      \
        using name##_shared = type dims;                     \
        static const char name##_site = 0;                   \
        name##_shared &name = *static_cast<name##_shared *>( \
            cudaemu::shared(&name##_site, sizeof(name##_shared), alignof(name##_shared)))
#    define WK_DYNAMIC_SHARED(type, name) type *name = static_cast<type *>(cudaemu::dynamic_shared())
#    define WK_UNROLL
#    define WK_NO_UNROLL
#    define WK_UNROLL_BY(count)
#    define WK_CHECK_ALIGNED(pointer, bytes) cudaemu::check_aligned(pointer, bytes)
#else
#    define WK_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                     \
        (kernel<<<grid, block, (size_t)(shared_bytes), static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__), \
         (int)cudaGetLastError())
#    define WK_SHARED(type, name, dims) __shared__ type name dims
#    define WK_DYNAMIC_SHARED(type, name)                           \
        extern __shared__ __align__(16) unsigned char wk_dynamic[]; \
        type *name = reinterpret_cast<type *>(wk_dynamic)
#    define WK_UNROLL                        _Pragma("unroll")
#    define WK_NO_UNROLL                     _Pragma("unroll 1")
#    define WK_PRAGMA(text)                  _Pragma(#    text)
#    define WK_UNROLL_BY(count)              WK_PRAGMA(unroll count)
#    define WK_CHECK_ALIGNED(pointer, bytes) ((void)0)
#endif

/* N elements that one instruction moves: sizeof(T) * N is at most 16. */
template <class T, int N> struct alignas(sizeof(T) * N) wk_vector { T at[N]; };
template <int N, class T> __device__ __forceinline__ wk_vector<T, N> wk_load_vector(const T *from) {
    WK_CHECK_ALIGNED(from, sizeof(wk_vector<T, N>));
    return *reinterpret_cast<const wk_vector<T, N> *>(from);
}
template <int N, class T> __device__ __forceinline__ void wk_store_vector(T *to, const wk_vector<T, N> &value) {
    WK_CHECK_ALIGNED(to, sizeof(wk_vector<T, N>));
    *reinterpret_cast<wk_vector<T, N> *>(to) = value;
}

#endif
