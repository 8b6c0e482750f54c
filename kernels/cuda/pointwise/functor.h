/* functor.h: how the .cu files of this folder write a row: a struct whose call is the formula, once for all types.
 *
 * One kernel serves both layouts.  Dense rows move 128 bits of an operand an instruction and each byte once (roof:
 * memory bandwidth); other layouts compute each element's place from the walk, neighbouring threads writing
 * neighbouring elements.  An operand that is one number is read once a thread.
 */
#ifndef WICK_KERNELS_CUDA_POINTWISE_FUNCTOR_H
#define WICK_KERNELS_CUDA_POINTWISE_FUNCTOR_H

#include "cuda/elements.h"
#include "cuda/pointwise/map.h"

#include <math.h>
#include <type_traits>

struct wk_numbers {
    double number[6];
    int64_t whole[2];
};

/* What a functor derives from: many operations an element leave no registers for several of them at once. */
struct wk_light {
    static constexpr bool heavy = false;
};
struct wk_heavy {
    static constexpr bool heavy = true;
};

template <int N, class Op, class R>
__device__ __forceinline__ auto wk_apply(const Op &op, const wk_numbers &p, R a, R b, R c) {
    if constexpr (N == 1)
        return op(a, p);
    else if constexpr (N == 2)
        return op(a, b, p);
    else
        return op(a, b, c, p);
}

/* Truth values are stored as a byte; numbers as the operands are. */
template <class Out, class R> __device__ __forceinline__ void wk_put_result(Out *to, R value) {
    if constexpr (std::is_same<R, bool>::value)
        *to = value;
    else
        wk_put(to, value);
}

template <int N, class In, class Out, class Op>
static __global__ void __launch_bounds__(256)
    map(Out *out, const In *a, const In *b, const In *c, bool dense, wk_walk walk, wk_numbers p) {
    /* 16 integers of 64 bits would not stay in registers, nor would a pair of doubles around a division's call. */
    constexpr int W = sizeof(In) == 1 ? 8 : std::is_same<In, double>::value ? 1 : 16 / (int)sizeof(In);
    const Op op{};
    const int64_t threads = (int64_t)gridDim.x * blockDim.x, thread = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t vectors = dense && !Op::heavy ? walk.count / W : 0;
    const bool one_a = walk.stride[1][0] == 0, one_b = N < 2 || walk.stride[2][0] == 0,
               one_c = N < 3 || walk.stride[3][0] == 0;
    for (int64_t v = thread; v < vectors; v += threads) {
        wk_vector<In, W> x[3] = {};
        wk_vector<Out, W> y;
        if (!one_a) x[0] = wk_load_vector<W>(a + v * W);
        if (N > 1 && !one_b) x[1] = wk_load_vector<W>(b + v * W);
        if (N > 2 && !one_c) x[2] = wk_load_vector<W>(c + v * W);
        WK_UNROLL
        for (int k = 0; k < W; k++)
            wk_put_result(&y.at[k],
                          wk_apply<N>(op, p, wk_get(one_a ? *a : x[0].at[k]), wk_get(N < 2 || one_b ? *b : x[1].at[k]),
                                      wk_get(N < 3 || one_c ? *c : x[2].at[k])));
        wk_store_vector(out + v * W, y);
    }
    for (int64_t i = vectors * W + thread; i < walk.count; i += threads) {
        int64_t at[N + 1];
        wk_walk_offsets<N + 1>(walk, i, at);
        wk_put_result(out + at[0],
                      wk_apply<N>(op, p, wk_get(a[at[1]]), wk_get(b[at[N > 1 ? 2 : 1]]), wk_get(c[at[N > 2 ? 3 : 1]])));
    }
}

template <int N, class In, class Out, class Op> int wk_map_launch(const wk_cuda_map *m) {
    wk_numbers p;
    for (int i = 0; i < 6; i++) p.number[i] = m->number[i];
    for (int i = 0; i < 2; i++) p.whole[i] = m->whole[i];
    const In *a = static_cast<const In *>(m->in[0]), *b = N > 1 ? static_cast<const In *>(m->in[1]) : a,
             *c = N > 2 ? static_cast<const In *>(m->in[2]) : a;
    unsigned blocks = wk_blocks_for(m->dense ? m->walk.count * (int64_t)sizeof(In) / 16 + 1 : m->walk.count);
    return WK_LAUNCH((map<N, In, Out, Op>), blocks, 256, 0, m->stream, static_cast<Out *>(m->out), a, b, c, m->dense,
                     m->walk, p);
}

/* Sets of dtypes: `floats`, `numbers`, and with results that are truth values, or of integers and truth values. */
template <int N, class Op> struct wk_maps {
    template <class T> static int same(const wk_cuda_map *m) { return wk_map_launch<N, T, T, Op>(m); }
    template <class T> static int truth(const wk_cuda_map *m) { return wk_map_launch<N, T, uint8_t, Op>(m); }
    static int floats(const wk_cuda_map *m) {
        switch (m->dtype) {
            WK_CASES_OF_FLOATS(same, m);
        default: return (int)cudaErrorInvalidValue;
        }
    }
    static int integers(const wk_cuda_map *m) {
        switch (m->dtype) {
            WK_CASES_OF_INTEGERS(same, m);
        default: return (int)cudaErrorInvalidValue;
        }
    }
    static int numbers(const wk_cuda_map *m) {
        switch (m->dtype) {
            WK_CASES_OF_FLOATS(same, m);
            WK_CASES_OF_INTEGERS(same, m);
        default: return (int)cudaErrorInvalidValue;
        }
    }
    static int bits(const wk_cuda_map *m) { return m->dtype == WK_BOOL ? same<uint8_t>(m) : integers(m); }
    static int truths(const wk_cuda_map *m) {
        switch (m->dtype) {
            WK_CASES_OF_FLOATS(truth, m);
            WK_CASES_OF_INTEGERS(truth, m);
        case WK_BOOL: return truth<uint8_t>(m);
        default: return (int)cudaErrorInvalidValue;
        }
    }
};

/* Formulas of one, two and three operands; `real` is the type that is computed in, p holds the attributes.  WK_N… have
 * another one for integers, WK_T… give truth values. */
#define WK_FORMULA(parameters, type, result, expression)            \
    __device__ __forceinline__ result operator() parameters const { \
        using real = type;                                          \
        (void)p, (void)sizeof(real);                                \
        return (result)(expression);                                \
    }
#define WK_X(type)   (type x, const wk_numbers &p)
#define WK_AB(type)  (type a, type b, const wk_numbers &p)
#define WK_ABC(type) (type a, type b, type c, const wk_numbers &p)
#define WK_F(name, operands, expression)                         \
    struct name : wk_light {                                     \
        WK_FORMULA(operands(float), float, float, expression)    \
        WK_FORMULA(operands(double), double, double, expression) \
    };
#define WK_HEAVY(name, operands, expression)                     \
    struct name : wk_heavy {                                     \
        WK_FORMULA(operands(float), float, float, expression)    \
        WK_FORMULA(operands(double), double, double, expression) \
    };
#define WK_N(name, operands, of_floats, of_integers)                 \
    struct name : wk_light {                                         \
        WK_FORMULA(operands(float), float, float, of_floats)         \
        WK_FORMULA(operands(double), double, double, of_floats)      \
        WK_FORMULA(operands(int64_t), int64_t, int64_t, of_integers) \
    };
#define WK_T(name, operands, expression)                         \
    struct name : wk_light {                                     \
        WK_FORMULA(operands(float), float, bool, expression)     \
        WK_FORMULA(operands(double), double, bool, expression)   \
        WK_FORMULA(operands(int64_t), int64_t, bool, expression) \
    };
#define WK_I(name, operands, expression)                            \
    struct name : wk_light {                                        \
        WK_FORMULA(operands(int64_t), int64_t, int64_t, expression) \
    };

/* The launcher of a row: its functor, how many operands it has, its set of dtypes. */
#define WK_CUDA_LAUNCHER(name, row, inputs, set, fill)         \
    extern "C" int wk__cuda_map_##name(const wk_cuda_map *m) { \
        return wk_maps<inputs, name##_of>::set(m);             \
    }

#endif
