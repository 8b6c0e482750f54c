// scheduler.h: one block of threads and the stacks that they run on.
#ifndef WICK_CUDAEMU_SCHEDULER_H
#define WICK_CUDAEMU_SCHEDULER_H

#include "execution.h"
#include "fiber.h"
#include "shared.h"

#include <cstdint>
#include <vector>

namespace cudaemu {

// In which order the blocks of a grid, the warps of a block and the lanes of a warp run.
struct Order {
    enum Kind { forward, reverse, shuffled } kind;
    uint64_t seed;
};
// xorshift64: the next of a sequence that is never zero.
uint64_t next_random(uint64_t *state);

// Where some lanes of a warp wait for each other.
struct Gathering {
    Meeting kind;
    const char *name;
    unsigned mask, here;
};

// Sets of lanes, as bits.
struct Warp {
    unsigned exists, fresh, ready, at_barrier;
    unsigned char order[32];
    Gathering gatherings[32];
    int gathering_count;
};

struct Thread {
    Fiber *fiber; // of one that waits
    uint3 index;
    unsigned source; // of its shuffle
    uint32_t met;    // how often __syncwarp ordered it with others
    alignas(16) unsigned char given[16], taken[16];
    Copies copies;
};

// What one thread of the host needs to run blocks.
class Scheduler {
  public:
    Scheduler();
    ~Scheduler();
    // Of the blocks that follow.
    void begin(const Launch &launch, const Order &order);
    // Runs one block to its end; false after a fault, which was kept.
    bool run_block(uint3 block);

    int wait_at_barrier(const char *site, bool predicate);
    void wait_for_lanes(Meeting kind, const char *name, unsigned mask, unsigned source, void *value, size_t bytes);
    unsigned active_lanes() const;
    // Keeps the fault, with the kernel, the block and the thread, and leaves the block for good.
    [[noreturn]] void give_up(const char *text);

    SharedMemory memory;
    const Launch *launch = nullptr;
    uint32_t barriers = 0; // passed in this block
    Thread threads[1024];

  private:
    enum class Next { fresh, ready, none };
    void prepare(uint3 block);
    void number_threads();
    void shuffle_orders();
    static void body(void *scheduler);
    void serve(Fiber *self);
    void run_fresh(Fiber *self, unsigned warp);
    void leave();
    void go_to(Fiber *fiber);
    Next choose(unsigned *thread);
    unsigned pick(const Warp &warp, unsigned lanes) const;
    void become(unsigned thread);
    bool release_barrier();
    Gathering *gathering_of(Warp &warp, Meeting kind, const char *name, unsigned mask);
    void complete(Warp &warp, Gathering *gathering);
    void work_together(const Gathering &met, const Thread *lanes);
    void describe_stuck(char *text, size_t size) const;
    Fiber *idle_fiber();
    void reset_fibers();

    Order order{ Order::forward, 1 };
    unsigned thread_count = 0, warp_count = 0, done = 0, arrived = 0, agreed = 0, agreed_before = 0, place = 0;
    const char *barrier_site = nullptr;
    unsigned char warp_order[32];
    Warp warps[32];
    dim3 numbered_for{ 0, 0, 0 };
    Fiber origin{}, *running = nullptr;
    std::vector<Fiber *> idle, all;
    bool fault = false;
};

// Of this thread of the host; nullptr where there is no memory for one.
Scheduler *scheduler();

} // namespace cudaemu

#endif
