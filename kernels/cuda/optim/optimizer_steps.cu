/* optimizer_steps.cu: one step over a list of parameters in one launch.
 *
 * The rules are those of the CPU (optimizer_body.h), applied to one element a time.  The list lies in the launch's
 * arguments; a block finds its tensor in it by halving.  Each number is read and written once (28 bytes a parameter for
 * Adam), neighbouring threads at neighbouring elements; roof: memory bandwidth.
 */
#include "cuda/optim/lists.h"

#include "cuda/convert.h"
#include "cuda/optim/blocks.h"

namespace {

#define PART          static __device__ __forceinline__
#define ALWAYS_INLINE static __device__ __forceinline__
#define restrict      __restrict__
#define T             float
#define NAME(x)       x##_f32
#define ROOT          sqrtf
#define ABS           fabsf
#include "cpu/simd/optim/optimizer_body.h"
#undef T
#undef NAME
#undef ROOT
#undef ABS
#define T       double
#define NAME(x) x##_f64
#define ROOT    sqrt
#define ABS     fabs
#include "cpu/simd/optim/optimizer_body.h"
#undef T
#undef NAME
#undef ROOT
#undef ABS
#undef restrict

/* A list of which the first N entries go with the launch. */
template <int N> struct Step {
    int n;
    step_numbers numbers[WK_CUDA_DISTINCT];
    const step_numbers *at;
    const double *clip;
    wk_cuda_step_entry entry[N];
};

__device__ __forceinline__ float narrow(const void *from, int64_t i, int dtype) {
    if (dtype == WK_F32) return static_cast<const float *>(from)[i];
    if (dtype == WK_BF16) return wk_get(static_cast<const __nv_bfloat16 *>(from)[i]);
    return wk_get(static_cast<const __half *>(from)[i]);
}

/* The elements of one block: Rule::apply(p, g, states, numbers) on one each. */
template <class Rule, class T>
__device__ __forceinline__ void apply_span(const wk_cuda_step_entry &e, const step_numbers &numbers, int64_t from) {
    const int64_t to = from + WK_CUDA_SPAN < e.count ? from + WK_CUDA_SPAN : e.count;
    for (int64_t i = from + threadIdx.x; i < to; i += blockDim.x) {
        T *states[WK_CUDA_STEP_STATES];
        WK_UNROLL
        for (int k = 0; k < WK_CUDA_STEP_STATES; k++)
            states[k] = e.state[k] ? static_cast<T *>(e.state[k]) + i : nullptr;
        T *p = static_cast<T *>(e.parameter) + i, g;
        if (sizeof(T) == 8)
            g = (T) static_cast<const double *>(e.gradient)[i];
        else
            g = (T)narrow(e.gradient, i, e.gradient_dtype);
        Rule::apply(p, &g, states, &numbers);
        if (!e.stored) continue;
        if (e.stored_dtype == WK_BF16)
            wk_put(static_cast<__nv_bfloat16 *>(e.stored) + i, (float)*p);
        else
            wk_put(static_cast<__half *>(e.stored) + i, (float)*p);
    }
}

template <class Rule, class T, int N> __global__ void step(const Step<N> s) {
    const wk_cuda_step_entry &e = s.entry[wk_entry_of_block(s, (int32_t)blockIdx.x)];
    step_numbers numbers = s.at ? s.at[e.numbers] : s.numbers[e.numbers];
    if (s.clip) numbers.factor *= *s.clip;
    apply_span<Rule, T>(e, numbers, (int64_t)((int32_t)blockIdx.x - e.first_block) * WK_CUDA_SPAN);
}

template <class Rule, class T, int N> int launch_list(const wk_cuda_step &all, void *stream) {
    Step<N> s;
    s.n = all.n;
    for (int i = 0; i < WK_CUDA_DISTINCT; i++) s.numbers[i] = all.numbers[i];
    s.at = all.at;
    s.clip = all.clip;
    for (int i = 0; i < all.n; i++) s.entry[i] = all.entry[i];
    return WK_LAUNCH((step<Rule, T, N>), (unsigned)all.blocks, 256, 0, stream, s);
}

template <class Rule> int launch(const wk_cuda_step &all, void *stream) {
    if (all.blocks == 0) return 0;
    const bool few = all.n <= WK_CUDA_FEW;
    if (all.wide)
        return few ? launch_list<Rule, double, WK_CUDA_FEW>(all, stream)
                   : launch_list<Rule, double, WK_CUDA_MANY>(all, stream);
    return few ? launch_list<Rule, float, WK_CUDA_FEW>(all, stream)
               : launch_list<Rule, float, WK_CUDA_MANY>(all, stream);
}

/* In the order of WK_STEP_ROWS (tensor/op_attrs.h). */
#define RULES(X) X(sgd) X(adam) X(adamax) X(nadam) X(radam) X(adagrad) X(adadelta) X(rmsprop) X(rprop) X(asgd) X(lion)
#define RULE(name)                                                                                                     \
    struct Rule_##name {                                                                                               \
        static __device__ __forceinline__ void apply(float *p, const float *g, float *const s[],                       \
                                                     const step_numbers *k) {                                          \
            name##_f32(p, g, s, 1, k);                                                                                 \
        }                                                                                                              \
        static __device__ __forceinline__ void apply(double *p, const double *g, double *const s[],                    \
                                                     const step_numbers *k) {                                          \
            name##_f64(p, g, s, 1, k);                                                                                 \
        }                                                                                                              \
    };
RULES(RULE)

} // namespace

extern "C" int wk__cuda_optimizer_step(int rule, const wk_cuda_step *all, void *stream) {
    static int (*const launches[])(const wk_cuda_step &, void *) = {
#define LAUNCH(name) launch<Rule_##name>,
        RULES(LAUNCH)
    };
    return launches[rule](*all, stream);
}
