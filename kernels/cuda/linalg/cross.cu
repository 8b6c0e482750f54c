/* cross.cu: the vector product along the last axis; a thread makes one vector.  Traffic: three reads of each operand's
 * elements and three writes a vector, side by side in the cache.  Roof: memory bandwidth. */
#include "cuda/linalg/cross.h"

#include "cuda/elements.h"

namespace {

struct Steps {
    int64_t of[3];
};

template <class T>
__global__ void __launch_bounds__(256) cross(T *out, const T *a, const T *b, const wk_walk vectors, const Steps step) {
    using R = wk_real<T>;
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < vectors.count; i += threads) {
        int64_t at[3];
        R x[3], y[3];
        wk_walk_offsets<3>(vectors, i, at);
        WK_UNROLL
        for (int k = 0; k < 3; k++) {
            x[k] = wk_get(a[at[1] + k * step.of[1]]);
            y[k] = wk_get(b[at[2] + k * step.of[2]]);
        }
        WK_UNROLL
        for (int k = 0; k < 3; k++)
            wk_put(out + at[0] + k * step.of[0], x[(k + 1) % 3] * y[(k + 2) % 3] - x[(k + 2) % 3] * y[(k + 1) % 3]);
    }
}

template <class T>
int launch(void *out, const void *a, const void *b, const wk_walk &vectors, const Steps &step, void *stream) {
    return WK_LAUNCH(cross<T>, wk_blocks_for(vectors.count), 256, 0, stream, static_cast<T *>(out),
                     static_cast<const T *>(a), static_cast<const T *>(b), vectors, step);
}

} // namespace

extern "C" int wk__cuda_cross(void *out, const void *a, const void *b, const wk_walk *vectors, const int64_t step[3],
                              int dtype, void *stream) {
    const Steps steps = { { step[0], step[1], step[2] } };
    WK_FLOAT_CASES(dtype, launch, out, a, b, *vectors, steps, stream);
}
