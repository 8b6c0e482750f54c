/* fill.cu: all elements equal.
 *
 * The value is an argument of the launch: no memory of the host has to live until the kernel runs.  Writes each byte
 * once, 16 at a time where the address allows; roof: memory bandwidth.
 */
#include "cuda/device.h"
#include "cuda/layout/fill.h"

namespace {

template <class T> __global__ void fill(T *__restrict__ target /* (count) */, T value, int64_t count) {
    constexpr int N = 16 / sizeof(T);
    const int64_t thread = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, threads = (int64_t)gridDim.x * blockDim.x;
    const bool aligned = reinterpret_cast<uintptr_t>(target) % 16 == 0;
    const int64_t vectors = aligned ? count / N : 0;
    wk_vector<T, N> all;
    WK_UNROLL
    for (int k = 0; k < N; k++) all.at[k] = value;
    for (int64_t i = thread; i < vectors; i += threads) wk_store_vector(target + i * N, all);
    for (int64_t i = vectors * N + thread; i < count; i += threads) target[i] = value;
}

template <class T> int launch(void *target, uint64_t bits, int64_t count, void *stream) {
    const int64_t work = (count * (int64_t)sizeof(T) + 15) / 16;
    const int64_t blocks = (work + 255) / 256;
    return WK_LAUNCH(fill<T>,
                     (unsigned)(blocks < 1      ? 1
                                : blocks > 2048 ? 2048
                                                : blocks),
                     256, 0, stream, static_cast<T *>(target), static_cast<T>(bits), count);
}

} // namespace

extern "C" int wk__cuda_fill(void *target, uint64_t bits, int size, int64_t count, void *stream) {
    if (count == 0) return 0;
    switch (size) {
    case 1: return launch<uint8_t>(target, bits, count, stream);
    case 2: return launch<uint16_t>(target, bits, count, stream);
    case 4: return launch<uint32_t>(target, bits, count, stream);
    default: return launch<uint64_t>(target, bits, count, stream);
    }
}
