// scan.cu: running sums, products, extrema, logarithms of sums, and the linear recurrence that their gradients are.
//
// All are a chain of steps joined by an associative operation: a warp takes 32 elements of a line at a time, scans them
// by shuffles, and carries what it has to the next 32.  Where lines lie side by side and their elements do not, a block
// takes 32 lines: each warp goes through an eighth of them, and again with what the warps before it found.  Floats are
// carried in f64, so the error does not grow along the line.  x is read and the result written once; roof: memory bandwidth where there are lines enough, else the latency of
// a warp's five shuffles for 32 elements.
#include "cuda/elements.h"
#include "cuda/reduce/scan.h"
#include "cuda/together.h"

#include <math.h>

namespace {

constexpr unsigned ALL = 0xFFFFFFFFu;

// ---- operations: a state, how one begins, how a left and a right one are joined

template <class A> struct Sums {
    using State = A;
    static __device__ State first() { return 0; }
    static __device__ State join(State l, State r) { return (A)(l + r); }
};
template <> struct Sums<int64_t> {
    using State = int64_t;
    static __device__ State first() { return 0; }
    static __device__ State join(State l, State r) { return (int64_t)((uint64_t)l + (uint64_t)r); }
};
template <class A> struct Products {
    using State = A;
    static __device__ State first() { return 1; }
    static __device__ State join(State l, State r) { return l * r; }
};
template <> struct Products<int64_t> {
    using State = int64_t;
    static __device__ State first() { return 1; }
    static __device__ State join(State l, State r) { return (int64_t)((uint64_t)l * (uint64_t)r); }
};
// log(e^l + e^r); two equal infinities have no difference.
template <class A> struct LogSums {
    using State = double;
    static __device__ State first() { return -INFINITY; }
    static __device__ State join(State l, State r) {
        bool left = l > r || l != l;
        double larger = left ? l : r, smaller = left ? r : l;
        return larger == smaller ? larger + 0.69314718055994531
               : isinf(larger)   ? larger
                                 : larger + log1p(exp(smaller - larger));
    }
};

template <class S> __device__ S shuffle_up(S state, unsigned by) {
    return __shfl_up_sync(ALL, state, by);
}
template <class S> __device__ S shuffle_last(S state) {
    return __shfl_sync(ALL, state, 31);
}

// A value and where it stands; -1: none.
template <class A> struct Placed {
    A value;
    int64_t place;
};
template <class A> __device__ Placed<A> shuffle_up(Placed<A> s, unsigned by) {
    return { __shfl_up_sync(ALL, s.value, by), __shfl_up_sync(ALL, s.place, by) };
}
template <class A> __device__ Placed<A> shuffle_last(Placed<A> s) {
    return { __shfl_sync(ALL, s.value, 31), __shfl_sync(ALL, s.place, 31) };
}
template <class A, bool MOST> struct Running {
    using State = Placed<A>;
    static __device__ State first() { return { 0, -1 }; }
    static __device__ State join(State l, State r) {
        if (l.place < 0 || r.place < 0) return r.place < 0 ? l : r;
        bool nan = r.value != r.value, wins = MOST ? r.value >= l.value : r.value <= l.value;
        return nan || (l.value == l.value && wins) ? r : l;
    }
};

// s = b + a · (what was before)
struct Affine {
    double a, b;
};
__device__ Affine shuffle_up(Affine s, unsigned by) {
    return { __shfl_up_sync(ALL, s.a, by), __shfl_up_sync(ALL, s.b, by) };
}
__device__ Affine shuffle_last(Affine s) {
    return { __shfl_sync(ALL, s.a, 31), __shfl_sync(ALL, s.b, 31) };
}
struct Recurrence {
    using State = Affine;
    static __device__ State first() { return { 1, 0 }; }
    static __device__ State join(State l, State r) { return { l.a * r.a, r.b + r.a * l.b }; }
};

// ---- elements

template <class T, class A> __device__ void load(A *state, const wk_cuda_scan &, const T *x, const T *, int64_t) {
    *state = (A)wk_get(*x);
}
template <class T, class A>
__device__ void load(Placed<A> *state, const wk_cuda_scan &, const T *x, const T *, int64_t j) {
    *state = { wk_get(*x), j };
}
template <class T> __device__ void load(Affine *state, const wk_cuda_scan &, const T *a, const T *b, int64_t) {
    *state = { (double)wk_get(*a), (double)wk_get(*b) };
}
template <class Out, class A> __device__ void store(A state, Out *y, int64_t *) {
    wk_put(y, (wk_real<Out>)state);
}
template <class Out, class A> __device__ void store(Placed<A> state, Out *y, int64_t *place) {
    wk_put(y, state.value);
    *place = state.place;
}
template <class Out> __device__ void store(Affine state, Out *y, int64_t *) {
    wk_put(y, (wk_real<Out>)state.b);
}

template <class Op, class T, class Out> __global__ void __launch_bounds__(256) scan(wk_cuda_scan s) {
    using State = typename Op::State;
    const int64_t line = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
    if (line >= s.lines.count) return; // a whole warp
    int64_t at[3];
    wk_walk_offsets<3>(s.lines, line, at);
    const T *x = static_cast<const T *>(s.in[0]) + at[1], *b = static_cast<const T *>(s.in[1]);
    if (b) b += at[2];
    Out *y = static_cast<Out *>(s.out) + at[0];
    int64_t *places = s.places ? static_cast<int64_t *>(s.places) + at[2] : nullptr;
    State before = Op::first();
    for (int64_t base = 0; base < s.length; base += 32) {
        const int64_t j = base + lane;
        State state = Op::first();
        if (j < s.length) load(&state, s, x + j * s.step[1], b ? b + j * s.step[2] : nullptr, j);
        for (unsigned by = 1; by < 32; by *= 2) {
            State left = shuffle_up(state, by);
            if (lane >= by) state = Op::join(left, state);
        }
        state = Op::join(before, state);
        if (j < s.length) store(state, y + j * s.step[0], places ? places + j * s.step[2] : nullptr);
        before = shuffle_last(state);
    }
}

template <class Op, class T, class Out> __global__ void __launch_bounds__(256) scan_across(wk_cuda_scan s) {
    using State = typename Op::State;
    WK_SHARED(State, parts, [8][32]);
    const int64_t line = (int64_t)blockIdx.x * 32 + threadIdx.x % 32;
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int64_t part = (s.length + 7) / 8, begin = warp * part;
    const int64_t end = line < s.lines.count ? (begin + part < s.length ? begin + part : s.length) : begin;
    int64_t at[3];
    wk_walk_offsets<3>(s.lines, line < s.lines.count ? line : 0, at);
    const T *x = static_cast<const T *>(s.in[0]) + at[1], *b = static_cast<const T *>(s.in[1]);
    if (b) b += at[2];
    Out *y = static_cast<Out *>(s.out) + at[0];
    int64_t *places = s.places ? static_cast<int64_t *>(s.places) + at[2] : nullptr;
    State state = Op::first(), next;
    WK_NO_UNROLL
    for (int64_t j = begin; j < end; j++) {
        load(&next, s, x + j * s.step[1], b ? b + j * s.step[2] : nullptr, j);
        state = Op::join(state, next);
    }
    parts[warp][lane] = state;
    __syncthreads();
    state = Op::first();
    for (int w = 0; w < warp; w++) state = Op::join(state, parts[w][lane]);
    WK_NO_UNROLL
    for (int64_t j = begin; j < end; j++) {
        load(&next, s, x + j * s.step[1], b ? b + j * s.step[2] : nullptr, j);
        state = Op::join(state, next);
        store(state, y + j * s.step[0], places ? places + j * s.step[2] : nullptr);
    }
}

template <class Op, class T, class Out> int launch(const wk_cuda_scan &s, void *stream) {
    const bool across = s.step[1] != 1 && s.lines.stride[1][s.lines.rank - 1] == 1;
    const int64_t blocks = wk_blocks_of_lines(s.lines.count, across, 32);
    if (blocks > 0x7FFFFFFF) return (int)cudaErrorInvalidConfiguration;
    if (across) return WK_LAUNCH((scan_across<Op, T, Out>), (unsigned)blocks, 256, 0, stream, s);
    return WK_LAUNCH((scan<Op, T, Out>), (unsigned)blocks, 256, 0, stream, s);
}

template <class T> int sums(const wk_cuda_scan &s, void *stream) {
    return launch<Sums<double>, T, T>(s, stream);
}
template <class T> int products(const wk_cuda_scan &s, void *stream) {
    return launch<Products<double>, T, T>(s, stream);
}
template <class T> int log_sums(const wk_cuda_scan &s, void *stream) {
    return launch<LogSums<double>, T, T>(s, stream);
}
template <class T> int recurrence(const wk_cuda_scan &s, void *stream) {
    return launch<Recurrence, T, T>(s, stream);
}
template <class T> int whole_sums(const wk_cuda_scan &s, void *stream) {
    return launch<Sums<int64_t>, T, int64_t>(s, stream);
}
template <class T> int whole_products(const wk_cuda_scan &s, void *stream) {
    return launch<Products<int64_t>, T, int64_t>(s, stream);
}
template <class T> int most(const wk_cuda_scan &s, void *stream) {
    return launch<Running<wk_real<T>, true>, T, T>(s, stream);
}
template <class T> int least(const wk_cuda_scan &s, void *stream) {
    return launch<Running<wk_real<T>, false>, T, T>(s, stream);
}

#define OF(FLOATS, INTEGERS)                            \
    switch (s->dtype) {                                 \
        WK_CASES_OF_FLOATS(FLOATS, *s, stream);         \
        WK_CASES_OF_INTEGERS(INTEGERS, *s, stream);     \
    case WK_BOOL: return INTEGERS<uint8_t>(*s, stream); \
    default: return (int)cudaErrorInvalidValue;         \
    }
#define OF_FLOATS(FUNCTION)                       \
    switch (s->dtype) {                           \
        WK_CASES_OF_FLOATS(FUNCTION, *s, stream); \
    default: return (int)cudaErrorInvalidValue;   \
    }

} // namespace

extern "C" int wk__cuda_scan(const wk_cuda_scan *s, void *stream) {
    switch (s->kind) {
    case WK_CUDA_SUMS: OF(sums, whole_sums)
    case WK_CUDA_PRODUCTS: OF(products, whole_products)
    case WK_CUDA_LOG_SUMS: OF_FLOATS(log_sums)
    case WK_CUDA_RUNNING_MOST: OF(most, most)
    case WK_CUDA_RUNNING_LEAST: OF(least, least)
    default: OF_FLOATS(recurrence)
    }
}
