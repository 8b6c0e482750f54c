// scheduler.cpp: how the threads of a block take turns.
//
// A fiber serves threads: it begins one after another for as long as they run to their end, so a kernel without
// barriers is a loop of plain calls on one stack.  A thread that waits keeps its fiber; whoever leaves the stage
// decides who is next (choose) and switches there directly.  A warp runs until all of its lanes wait or are done, then
// the next.  When nobody can go on, either the barrier is complete, or the block is done, or the kernel is wrong and
// the fault says why.
#include "scheduler.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

namespace cudaemu {

__thread Here here __attribute__((tls_model("initial-exec"))) = { { 0, 0, 0 }, { 0, 0, 0 }, {}, {}, 0, nullptr, false };

Scheduler *scheduler() {
    static thread_local std::unique_ptr<Scheduler> own;
    if (!own) own.reset(new (std::nothrow) Scheduler());
    return own && own->memory ? own.get() : nullptr;
}

uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

Scheduler::Scheduler() {
    idle.reserve(1025);
    all.reserve(1025);
}

Scheduler::~Scheduler() {
    for (Fiber *fiber : all) fiber_delete(fiber);
}

// ---- a block from its beginning to its end

void Scheduler::begin(const Launch &wanted, const Order &in_order) {
    launch = &wanted;
    order = in_order;
    here.scheduler = this;
    here.block_size = wanted.block;
    here.grid_size = wanted.grid;
    dim3 size = wanted.block;
    if (size.x != numbered_for.x || size.y != numbered_for.y || size.z != numbered_for.z) number_threads();
}

bool Scheduler::run_block(uint3 block) {
    prepare(block);
    Fiber *first = idle_fiber();
    if (!first) {
        keep_fault("no memory for the stack of a thread");
        return false;
    }
    running = &origin;
    here.inside = true;
    go_to(first);
    here.inside = false;
    if (fault) reset_fibers();
    size_t damaged = fault ? 0 : memory.find_damage();
    if (damaged) {
        char text[320];
        (void)std::snprintf(text, sizeof text,
                            "kernel %s block (%u,%u,%u): shared memory was written behind the end of a variable of %zu "
                            "bytes",
                            launch->name, block.x, block.y, block.z, damaged);
        keep_fault(text);
    }
    return !fault && !damaged;
}

void Scheduler::prepare(uint3 block) {
    here.block = block;
    for (unsigned w = 0; w < warp_count; w++) {
        Warp &warp = warps[w];
        unsigned lanes = thread_count - 32 * w;
        warp.exists = warp.fresh = lanes >= 32 ? 0xFFFFFFFFu : (1u << lanes) - 1;
        warp.ready = warp.at_barrier = 0;
        warp.gathering_count = 0;
    }
    for (unsigned t = 0; t < thread_count; t++) {
        threads[t].met = 0;
        threads[t].copies.waiting.clear();
        threads[t].copies.batch = 0;
    }
    done = arrived = agreed = agreed_before = place = 0;
    barriers = 0;
    fault = false;
    memory.begin(launch->shared);
    shuffle_orders();
}

void Scheduler::number_threads() {
    dim3 size = numbered_for = launch->block;
    thread_count = size.x * size.y * size.z;
    warp_count = (thread_count + 31) / 32;
    for (unsigned t = 0; t < thread_count; t++)
        threads[t].index = uint3{ t % size.x, t / size.x % size.y, t / (size.x * size.y) };
    for (unsigned i = 0; i < 32; i++) {
        warp_order[i] = (unsigned char)i;
        for (unsigned w = 0; w < 32; w++) warps[w].order[i] = (unsigned char)i;
    }
}

// A new order of warps and lanes, if it is one by chance.
void Scheduler::shuffle_orders() {
    if (order.kind != Order::shuffled) {
        for (unsigned i = 0; i < warp_count; i++)
            warp_order[i] = (unsigned char)(order.kind == Order::reverse ? warp_count - 1 - i : i);
        return;
    }
    for (unsigned i = 0; i < warp_count; i++) warp_order[i] = (unsigned char)i;
    for (unsigned i = warp_count; i > 1; i--) std::swap(warp_order[i - 1], warp_order[next_random(&order.seed) % i]);
    for (unsigned w = 0; w < warp_count; w++)
        for (unsigned i = 32; i > 1; i--)
            std::swap(warps[w].order[i - 1], warps[w].order[next_random(&order.seed) % i]);
}

// ---- fibers

Fiber *Scheduler::idle_fiber() {
    if (!idle.empty()) {
        Fiber *fiber = idle.back();
        idle.pop_back();
        return fiber;
    }
    Fiber *fiber = fiber_new(body, this);
    if (fiber) all.push_back(fiber);
    return fiber;
}

// After a fault, threads that will never go on hold fibers.
void Scheduler::reset_fibers() {
    for (Fiber *fiber : all) fiber_reset(fiber);
    idle = all;
}

void Scheduler::body(void *scheduler) {
    Scheduler *self = static_cast<Scheduler *>(scheduler);
    self->serve(self->running);
}

void Scheduler::go_to(Fiber *fiber) {
    Fiber *from = running;
    running = fiber;
    fiber_switch(from, fiber);
}

// Begins the warp's threads one by one, until one of them has waited and may go on.
void Scheduler::run_fresh(Fiber *self, unsigned number) {
    Warp &warp = warps[number];
    do {
        unsigned lane = pick(warp, warp.fresh), thread = number * 32 + lane;
        warp.fresh &= ~(1u << lane);
        threads[thread].fiber = self;
        become(thread);
        launch->call(launch->arguments);
        if (!threads[thread].copies.waiting.empty()) give_up("it ends without a wait for its last copies");
        done++;
    } while (warp.fresh && !warp.ready);
}

// The life of a fiber.
void Scheduler::serve(Fiber *self) {
    for (;;) {
        unsigned thread = 0;
        Next next = choose(&thread);
        if (next == Next::fresh) {
            run_fresh(self, thread / 32);
            continue;
        }
        if (next == Next::none && done < thread_count) {
            char text[256];
            describe_stuck(text, sizeof text);
            give_up(text);
        }
        idle.push_back(self);
        if (next == Next::ready) become(thread);
        go_to(next == Next::ready ? threads[thread].fiber : &origin);
    }
}

// Called by a thread that waits; returns when it may go on.
void Scheduler::leave() {
    unsigned self = here.linear, thread = 0;
    Next next = choose(&thread);
    if (next == Next::none) {
        char text[256];
        describe_stuck(text, sizeof text);
        give_up(text);
    }
    if (next == Next::ready) {
        become(thread);
        if (thread != self) go_to(threads[thread].fiber);
        return;
    }
    Fiber *fiber = idle_fiber(); // which will choose the same
    if (!fiber) give_up("no memory for the stack of a thread");
    go_to(fiber);
}

// ---- who is next

unsigned Scheduler::pick(const Warp &warp, unsigned lanes) const {
    if (order.kind == Order::forward) return (unsigned)__builtin_ctz(lanes);
    if (order.kind == Order::reverse) return 31u - (unsigned)__builtin_clz(lanes);
    unsigned i = 0;
    while (!(lanes >> warp.order[i] & 1u)) i++;
    return warp.order[i];
}

Scheduler::Next Scheduler::choose(unsigned *thread) {
    do {
        for (unsigned tried = 0; tried < warp_count; tried++) {
            Warp &warp = warps[warp_order[place]];
            if (unsigned lanes = warp.fresh | warp.ready) {
                unsigned lane = pick(warp, lanes);
                *thread = warp_order[place] * 32u + lane;
                return warp.fresh >> lane & 1u ? Next::fresh : Next::ready;
            }
            if (++place == warp_count) place = 0;
        }
    } while (release_barrier());
    return Next::none;
}

void Scheduler::become(unsigned thread) {
    warps[thread / 32].ready &= ~(1u << thread % 32);
    here.linear = thread;
    here.thread = threads[thread].index;
}

unsigned Scheduler::active_lanes() const {
    const Warp &warp = warps[here.linear / 32];
    unsigned waiting = warp.ready | warp.at_barrier | warp.fresh;
    for (int i = 0; i < warp.gathering_count; i++) waiting |= warp.gatherings[i].here;
    return waiting | 1u << here.linear % 32;
}

// ---- the barrier of the block

int Scheduler::wait_at_barrier(const char *site, bool predicate) {
    if (arrived == 0)
        barrier_site = site;
    else if (site != barrier_site && std::strcmp(site, barrier_site) != 0)
        fail("diverged barrier: this thread waits at %s, others of its block at %s", site, barrier_site);
    arrived++;
    agreed += predicate;
    warps[here.linear / 32].at_barrier |= 1u << here.linear % 32;
    leave();
    return (int)agreed_before;
}

bool Scheduler::release_barrier() {
    if (arrived == 0 || arrived < thread_count) return false;
    for (unsigned w = 0; w < warp_count; w++) {
        warps[w].ready |= warps[w].at_barrier;
        warps[w].at_barrier = 0;
    }
    agreed_before = agreed;
    arrived = agreed = place = 0;
    barriers++;
    shuffle_orders();
    return true;
}

// ---- faults

// Why nobody can go on although threads wait.
void Scheduler::describe_stuck(char *text, size_t size) const {
    for (unsigned w = 0; w < warp_count; w++) {
        if (warps[w].gathering_count == 0) continue;
        const Gathering &stuck = warps[w].gatherings[0];
        unsigned missing = stuck.mask & warps[w].exists & ~stuck.here;
        (void)std::snprintf(
            text, size,
            "%s with mask %08x: lanes %08x of the mask never come; they exited, or wait at a barrier or "
            "with another mask",
            stuck.name, stuck.mask, missing);
        return;
    }
    (void)std::snprintf(text, size, "diverged barrier: %u of %u threads wait at %s, the others have exited", arrived,
                        thread_count, barrier_site ? barrier_site : "none");
}

void Scheduler::give_up(const char *text) {
    char whole[640];
    (void)std::snprintf(whole, sizeof whole, "kernel %s block (%u,%u,%u) thread (%u,%u,%u): %s", launch->name,
                        here.block.x, here.block.y, here.block.z, here.thread.x, here.thread.y, here.thread.z, text);
    keep_fault(whole);
    fault = true;
    go_to(&origin);
    __builtin_unreachable();
}

// ---- what kernels call

void fail(const char *format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    (void)std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    here.scheduler->give_up(text);
}

int barrier(const char *site, bool predicate) {
    return here.scheduler->wait_at_barrier(site, predicate);
}

void meet(Meeting kind, const char *name, unsigned mask, unsigned source, void *value, size_t bytes) {
    here.scheduler->wait_for_lanes(kind, name, mask, source, value, bytes);
}

unsigned active_lanes() {
    return here.scheduler->active_lanes();
}

Copies &copies() {
    return here.scheduler->threads[here.linear].copies;
}

void *shared(const void *site, size_t bytes, size_t alignment) {
    void *at = here.scheduler->memory.of_site(site, bytes, alignment);
    if (!at) fail("a variable of %zu bytes goes beyond the shared memory of a block", bytes);
    return at;
}

void *dynamic_shared() {
    return here.scheduler->memory.dynamic();
}

} // namespace cudaemu
