// scheduler.h: one block of threads and the stacks that they run on.
#ifndef WICK_CUDAEMU_SCHEDULER_H
#define WICK_CUDAEMU_SCHEDULER_H

#include "execution.h"
#include "fiber.h"

#include <cstdint>
#include <vector>

namespace cudaemu {

// In which order the blocks of a grid, the warps of a block and the lanes of a warp run.
struct Order {
    enum Kind { forward, reverse, shuffled } kind;
    uint64_t seed;
};
Order order_from_environment();
// xorshift64: the next of a sequence that is never zero.
uint64_t next_random(uint64_t *state);

// Where some lanes of a warp wait for each other.
struct Gathering {
    Meeting kind;
    const char *name;
    unsigned mask, here;
};

// Lanes as bits, each in one of the first four sets.
struct Warp {
    unsigned exists, fresh, ready, meeting, at_barrier;
    unsigned order[32];
    Gathering gatherings[32];
    int gathering_count;
    uint32_t epoch; // how often all its lanes were ordered by __syncwarp
};

struct Thread {
    Fiber *fiber; // of one that waits
    uint3 index;
    unsigned source; // of its shuffle
    size_t bytes;
    alignas(16) unsigned char given[16], taken[16];
};

// What one thread of the host needs to run blocks.
class Scheduler {
  public:
    Scheduler();
    ~Scheduler();
    // Runs one block to its end; false after a fault, which was kept.
    bool run_block(const Launch &launch, uint3 block);

    int wait_at_barrier(const char *site, bool predicate);
    void wait_for_lanes(Meeting kind, const char *name, unsigned mask, unsigned source, void *value, size_t bytes);
    void *static_memory(const void *site, size_t bytes, size_t alignment);
    void *dynamic_memory();
    unsigned active_lanes() const;
    [[noreturn]] void give_up(const char *text);

    // for the race detector
    bool is_shared(const void *address) const;
    uint32_t barriers_passed() const { return epoch; }
    uint32_t meetings_of_warp() const { return warps[here.linear / 32].epoch; }

  private:
    struct Static {
        const void *site;
        char *at;
        size_t bytes;
    };
    void prepare(const Launch &launch, uint3 block);
    void shuffle_orders();
    static void body(void *scheduler);
    bool begin_fresh(bool in_this_warp_only);
    void leave();
    void switch_to(Fiber *fiber);
    bool find_ready(unsigned *thread);
    bool find_fresh(unsigned *thread);
    unsigned pick(const Warp &warp, unsigned lanes) const;
    void become(unsigned thread);
    bool release_barrier();
    void complete(Warp &warp, unsigned first, int gathering);
    const char *why_stuck(char *text, size_t size) const;
    char *take_memory(size_t bytes, size_t alignment);
    void check_red_zones();
    Fiber *idle_fiber();

    Order order;
    uint64_t random;
    const Launch *launch;
    unsigned thread_count, warp_count, done_count, arrived_count, true_count, last_true_count, current_warp;
    uint32_t epoch;
    const char *barrier_site;
    unsigned warp_order[32];
    Warp warps[32];
    Thread threads[1024];
    dim3 indexed_for; // the block size that threads[].index is of
    Fiber origin, *running;
    std::vector<Fiber *> idle, all;
    char *memory;
    size_t memory_used;
    std::vector<Static> statics;
    char *dynamic;
    bool ended, fault;
};

// Of this thread of the host.
Scheduler &scheduler();

} // namespace cudaemu

#endif
