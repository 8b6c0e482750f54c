// launch.cpp: the blocks of a grid, in the order asked for.
//
//   WICK_CUDAEMU_ORDER    forward (blocks are spread over threads of the host), reverse, or a number: shuffled, the
//   same
//                         number giving the same order
//   WICK_CUDAEMU_THREADS  threads of the host for one launch (those of OpenMP)
#include "race.h"
#include "tensor/backend.h"
#include "scheduler.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <omp.h>

namespace cudaemu {

// ---- limits

static std::mutex lock;
static std::map<const void *, size_t> shared_allowed; // of kernels that asked for more than 48 KiB

static size_t shared_limit_of(const void *kernel) {
    std::lock_guard<std::mutex> hold(lock);
    auto found = shared_allowed.find(kernel);
    return found == shared_allowed.end() ? static_limit : found->second;
}

cudaError_t check(const Launch &launch, const void *kernel) {
    dim3 grid = launch.grid, block = launch.block;
    bool grid_fits = grid.x && grid.y && grid.z && grid.x <= 0x7FFFFFFFu && grid.y <= 65535 && grid.z <= 65535;
    bool block_fits = block.x && block.y && block.z && block.x <= 1024 && block.y <= 1024 && block.z <= 64
                      && (uint64_t)block.x * block.y * block.z <= 1024;
    if (!grid_fits || !block_fits) return cudaErrorInvalidConfiguration;
    if (launch.shared > static_limit && launch.shared > shared_limit_of(kernel)) return cudaErrorInvalidValue;
    return cudaSuccess;
}

// ---- orders

static Order order_from_environment() {
    const char *text = std::getenv("WICK_CUDAEMU_ORDER");
    if (!text || !*text || std::strcmp(text, "forward") == 0) return Order{ Order::forward, 1 };
    if (std::strcmp(text, "reverse") == 0) return Order{ Order::reverse, 1 };
    return Order{ Order::shuffled, (std::strtoull(text, nullptr, 10) + 1) * 0x9E3779B97F4A7C15ull };
}

static uint3 block_at(dim3 grid, uint64_t number) {
    return uint3{ (unsigned)(number % grid.x), (unsigned)(number / grid.x % grid.y),
                  (unsigned)(number / ((uint64_t)grid.x * grid.y)) };
}

// ---- running

// Blocks from the last to the first, or each once by steps that have no factor in common with their number.
static cudaError_t run_in_order(const Launch &launch, uint64_t blocks, Order order) {
    Scheduler *worker = scheduler();
    if (!worker) return cudaErrorMemoryAllocation;
    worker->begin(launch, order);
    uint64_t step = 1, at = 0;
    if (order.kind == Order::reverse) step = blocks - 1, at = blocks - 1;
    if (order.kind == Order::shuffled) {
        auto common = [](uint64_t a, uint64_t b) {
            while (b) a %= b, std::swap(a, b);
            return a;
        };
        uint64_t random = order.seed;
        at = next_random(&random) % blocks;
        do step = next_random(&random) % blocks;
        while (common(step, blocks) != 1);
    }
    for (uint64_t i = 0; i < blocks; i++, at = (at + step) % blocks) {
        if (!worker->run_block(block_at(launch.grid, at))) return cudaErrorLaunchFailure;
        race::end_block();
    }
    return cudaSuccess;
}

// Waking the team costs more than this many threads of the device.
static constexpr uint64_t grain = 16384;

static int team_for(const Launch &launch, uint64_t blocks) {
    uint64_t work = blocks * launch.block.x * launch.block.y * launch.block.z;
    if (work < grain || blocks < 2) return 1;
    int most = (int)number_from("WICK_CUDAEMU_THREADS", (unsigned long long)omp_get_max_threads());
    return most < 1 ? 1 : (uint64_t)most > blocks ? (int)blocks : most;
}

static cudaError_t run_spread(const Launch &launch, uint64_t blocks) {
    int team = team_for(launch, blocks);
    uint64_t chunk = blocks / ((uint64_t)team * 8) + 1;
    std::atomic<uint64_t> next{ 0 };
    std::atomic<cudaError_t> error{ cudaSuccess };
    auto work = [&] {
        Scheduler *worker = scheduler();
        if (!worker)
            error = cudaErrorMemoryAllocation;
        else
            worker->begin(launch, Order{ Order::forward, 1 });
        while (error == cudaSuccess) {
            uint64_t from = next.fetch_add(chunk), to = from + chunk < blocks ? from + chunk : blocks;
            if (from >= blocks) return;
            for (uint64_t i = from; i < to && error == cudaSuccess; i++)
                if (!worker->run_block(block_at(launch.grid, i))) error = cudaErrorLaunchFailure;
        }
    };
    if (team == 1) {
        work();
    } else {
#pragma omp parallel num_threads(team)
        work();
    }
    return error;
}

cudaError_t run(const Launch &launch) {
    uint64_t blocks = (uint64_t)launch.grid.x * launch.grid.y * launch.grid.z;
    Order order = order_from_environment();
    if (order.kind == Order::forward && !race::watching()) return run_spread(launch, blocks);
    race::begin_launch(launch.name);
    const cudaError_t error = run_in_order(launch, blocks, order);
    race::end_launch();
    return error;
}

} // namespace cudaemu

extern "C" int wk__cudaemu_traffic(wk_kernel_traffic *rows, int most) {
    return cudaemu::race::traffic(rows, most);
}

extern "C" cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value) {
    using namespace cudaemu;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || (size_t)value > shared_limit)
        return answer(cudaErrorInvalidValue);
    std::lock_guard<std::mutex> hold(lock);
    shared_allowed[kernel] = (size_t)value;
    return cudaSuccess;
}
