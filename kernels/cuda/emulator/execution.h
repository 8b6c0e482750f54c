// execution.h: a kernel's view of the emulated device, and the launch.
//
// One block at a time runs on a thread of the host.  The threads of the block run one after another on one stack; one
// that waits (at a barrier, in a shuffle) keeps its stack and the others go on with another (scheduler.cpp).
#ifndef WICK_CUDAEMU_EXECUTION_H
#define WICK_CUDAEMU_EXECUTION_H

#include "state.h"

#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__    __attribute__((noinline))
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__

namespace cudaemu {

class Scheduler;

// Of the thread of the device that runs on this thread of the host.
struct Here {
    uint3 thread, block;
    dim3 block_size, grid_size;
    unsigned linear; // threadIdx as one number: lane and warp are its parts
    Scheduler *scheduler;
    bool inside; // a kernel runs
};
// Read in every address computation, so: no dynamic initialisation, and at a fixed offset.
extern __thread Here here __attribute__((tls_model("initial-exec")));

// A kernel with its arguments: what a launch is made of.
struct Launch {
    const char *name;
    dim3 grid, block;
    size_t shared;
    void (*call)(const void *arguments);
    const void *arguments;
};
cudaError_t check(const Launch &launch, const void *kernel);
cudaError_t run(const Launch &launch);

template <class... P, class... A>
cudaError_t launch(const char *name, dim3 grid, dim3 block, size_t shared, cudaStream_t stream, void (*kernel)(P...),
                   A &&...arguments) {
    auto bound = [kernel, values = std::tuple<std::decay_t<P>...>(static_cast<P>(arguments)...)] {
        std::apply(kernel, values);
    };
    auto call = [](const void *all) { (*static_cast<const decltype(bound) *>(all))(); };
    Launch wanted{ name, grid, block, shared, call, nullptr };
    if (cudaError_t error = check(wanted, reinterpret_cast<const void *>(kernel))) return answer(error);
    return submit(stream, [wanted, bound] {
        Launch now = wanted;
        now.arguments = &bound;
        return run(now);
    });
}

// Ends the kernel with an error that names it, its block and its thread.
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Memory of the block.  Static variables are told apart by an address of their own.
void *shared(const void *site, size_t bytes, size_t alignment);
void *dynamic_shared();
namespace race {
void vector_access(const void *address, size_t bytes);
}
inline void require_aligned(const void *pointer, size_t bytes) {
    if (reinterpret_cast<size_t>(pointer) % bytes) fail("address %p is not aligned to %zu bytes", pointer, bytes);
}
// Of an address where the thread now reads or writes so many bytes at once.
inline void check_aligned(const void *pointer, size_t bytes) {
#ifdef WICK_CUDAEMU_COUNTING
    race::vector_access(pointer, bytes);
#endif
    require_aligned(pointer, bytes);
}

// __syncthreads, and with a vote: how many predicates were true.
int barrier(const char *site, bool predicate);

// What the lanes of a warp do together.  Each brings a value of at most 16 bytes and gets one.
enum class Meeting { sync, shuffle, ballot, match, add, minimum, maximum, all_bits, any_bit, odd_bits, work };
void meet(Meeting kind, const char *name, unsigned mask, unsigned source, void *value, size_t bytes);
unsigned active_lanes();
// Work of a whole warp: the lane that comes last does it on what all have brought, and then all go on.
struct Part {
    void *own;
    void (*work)(void *const parts[32]);
};
inline void meet_for(const char *name, void *own, void (*work)(void *const parts[32])) {
    Part part{ own, work };
    meet(Meeting::work, name, 0xFFFFFFFFu, 0, &part, sizeof part);
}

// Copies in the background that a thread has asked for, as long as they have not happened; from nullptr: zeros.
struct Copy {
    void *to;
    const void *from;
    unsigned batch;
};
struct Copies {
    std::vector<Copy> waiting;
    unsigned batch = 0; // that is open
};
Copies &copies();

// What atomics are made of: a value, and its replacement if it is still what was seen.  Blocks may run on several
// threads.
uint32_t atomic_read(const uint32_t *address);
uint64_t atomic_read(const uint64_t *address);
bool atomic_replace(uint32_t *address, uint32_t *seen, uint32_t wanted);
bool atomic_replace(uint64_t *address, uint64_t *seen, uint64_t wanted);
void fence();

} // namespace cudaemu

#define threadIdx (cudaemu::here.thread)
#define blockIdx  (cudaemu::here.block)
#define blockDim  (cudaemu::here.block_size)
#define gridDim   (cudaemu::here.grid_size)
#define warpSize  32

#endif
