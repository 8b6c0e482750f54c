// order.cu: lines in order, the first k of them, the k-th, the median.
//
// Elements become unsigned keys that order as they do (NaN above everything, both zeros alike; reversed order is the
// key's complement) and travel with the place they came from: all pairs differ, and equal elements stay in the order of
// their places.  A bitonic network sorts all lines at once, each filled up to a power of two: what is compared within
// 512 neighbours goes through shared memory, wider steps are a launch each.  Values are copied from x at the end, so
// they keep their bits.  Traffic: 32 bytes an element for every wide step; roof: memory bandwidth.
#include "cuda/elements.h"
#include "cuda/reduce/order.h"

#include <type_traits>

namespace {

constexpr int CHUNK = 512;

template <class T> __device__ __forceinline__ uint64_t key_of(T x) {
    using R = wk_real<T>;
    const R value = wk_get(x);
    if constexpr (std::is_same<R, int64_t>::value)
        return (uint64_t)value ^ (uint64_t)1 << 63;
    else {
        if (value != value) return ~(uint64_t)0;
        const uint64_t bits = (uint64_t)__double_as_longlong(value == 0 ? 0.0 : (double)value);
        return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
    }
}

template <class T> __global__ void __launch_bounds__(256) fill(wk_cuda_order o) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x, total = o.lines.count * o.room;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < total; i += threads) {
        const int64_t line = i / o.room, place = i % o.room;
        int64_t at[3];
        wk_walk_offsets<3>(o.lines, line, at);
        uint64_t key = ~(uint64_t)0;
        if (place < o.length) {
            key = key_of(static_cast<const T *>(o.x)[at[2] + place * o.step[2]]);
            if (o.reversed) key = ~key;
        }
        o.keys[i] = key;
        o.from[i] = place;
    }
}

// The k first are put in the order of their places: the place becomes the key.
__global__ void __launch_bounds__(256) rekey(wk_cuda_order o) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x, total = o.lines.count * o.room;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < total; i += threads)
        o.keys[i] = i % o.room < o.given ? (uint64_t)o.from[i] : ~(uint64_t)0;
}

__device__ __forceinline__ void exchange(uint64_t &key, uint64_t &other_key, int64_t &from, int64_t &other_from,
                                         bool ascending) {
    const bool before = key != other_key ? key < other_key : from < other_from;
    if (before == ascending) return;
    const uint64_t held_key = key;
    const int64_t held_from = from;
    key = other_key, from = other_from;
    other_key = held_key, other_from = held_from;
}

// One step: elements `apart` are compared, in runs of `run` that ascend and descend in turn.
__global__ void __launch_bounds__(256)
    wide_step(uint64_t *keys, int64_t *from, int64_t total, int64_t room, int64_t run, int64_t apart) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t pair = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; pair < total / 2; pair += threads) {
        const int64_t i = pair / apart * 2 * apart + pair % apart;
        exchange(keys[i], keys[i + apart], from[i], from[i + apart], (i & (room - 1) & run) == 0);
    }
}

// All steps within a chunk, of runs from `first` to `last`.
__global__ void __launch_bounds__(CHUNK / 2)
    narrow_steps(uint64_t *keys, int64_t *from, int64_t total, int64_t room, int64_t first, int64_t last) {
    WK_SHARED(uint64_t, key, [CHUNK]);
    WK_SHARED(int64_t, place, [CHUNK]);
    const int64_t base = (int64_t)blockIdx.x * CHUNK;
    const int thread = (int)threadIdx.x;
    for (int i = thread; i < CHUNK; i += CHUNK / 2) {
        key[i] = base + i < total ? keys[base + i] : 0;
        place[i] = base + i < total ? from[base + i] : 0;
    }
    for (int64_t run = first; run <= last; run *= 2)
        for (int apart = (int)(run / 2 < CHUNK / 2 ? run / 2 : CHUNK / 2); apart > 0; apart /= 2) {
            __syncthreads();
            const int i = thread / apart * 2 * apart + thread % apart;
            exchange(key[i], key[i + apart], place[i], place[i + apart], ((base + i) & (room - 1) & run) == 0);
        }
    __syncthreads();
    for (int i = thread; i < CHUNK; i += CHUNK / 2)
        if (base + i < total) keys[base + i] = key[i], from[base + i] = place[i];
}

template <class T> __global__ void __launch_bounds__(256) give(wk_cuda_order o) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x, total = o.lines.count * o.given;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < total; i += threads) {
        const int64_t line = i / o.given, j = i % o.given;
        int64_t at[3], wanted = o.first + j;
        wk_walk_offsets<3>(o.lines, line, at);
        const uint64_t *keys = o.keys + line * o.room;
        if (o.median && !std::is_same<wk_real<T>, int64_t>::value && keys[o.length - 1] == ~(uint64_t)0) {
            int64_t low = 0; // of the NaNs, which are last, the first
            for (int64_t high = o.length - 1; low < high;) {
                const int64_t middle = (low + high) / 2;
                if (keys[middle] == ~(uint64_t)0)
                    high = middle;
                else
                    low = middle + 1;
            }
            wanted = low;
        }
        const int64_t place = o.from[line * o.room + wanted];
        static_cast<T *>(o.values)[at[0] + j * o.step[0]] = static_cast<const T *>(o.x)[at[2] + place * o.step[2]];
        o.places[at[1] + j * o.step[1]] = place;
    }
}

int sort(const wk_cuda_order &o, void *stream) {
    const int64_t total = o.lines.count * o.room, chunks = (total + CHUNK - 1) / CHUNK;
    if (chunks > 0x7FFFFFFF) return (int)cudaErrorInvalidConfiguration;
    const int64_t within = o.room < CHUNK ? o.room : CHUNK;
    int error = WK_LAUNCH(narrow_steps, (unsigned)chunks, CHUNK / 2, 0, stream, o.keys, o.from, total, o.room,
                          (int64_t)2, within);
    for (int64_t run = 2 * CHUNK; run <= o.room && !error; run *= 2) {
        for (int64_t apart = run / 2; apart >= CHUNK && !error; apart /= 2)
            error = WK_LAUNCH(wide_step, wk_blocks_for(total / 2), 256, 0, stream, o.keys, o.from, total, o.room, run,
                              apart);
        if (!error)
            error = WK_LAUNCH(narrow_steps, (unsigned)chunks, CHUNK / 2, 0, stream, o.keys, o.from, total, o.room, run,
                              run);
    }
    return error;
}

template <class T> int launch(const wk_cuda_order &o, void *stream) {
    const unsigned blocks = wk_blocks_for(o.lines.count * o.room);
    int error = WK_LAUNCH((fill<T>), blocks, 256, 0, stream, o);
    if (!error) error = sort(o, stream);
    if (!error && o.by_place) error = WK_LAUNCH(rekey, blocks, 256, 0, stream, o);
    if (!error && o.by_place) error = sort(o, stream);
    return error ? error : WK_LAUNCH((give<T>), wk_blocks_for(o.lines.count * o.given), 256, 0, stream, o);
}

} // namespace

extern "C" int wk__cuda_order(const wk_cuda_order *o, void *stream) {
    switch (o->dtype) {
        WK_CASES_OF_FLOATS(launch, *o, stream);
        WK_CASES_OF_INTEGERS(launch, *o, stream);
    case WK_BOOL: return launch<uint8_t>(*o, stream);
    default: return (int)cudaErrorInvalidValue;
    }
}
