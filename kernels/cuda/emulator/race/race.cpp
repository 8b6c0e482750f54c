// race.cpp: finds accesses of two threads to one byte, at least one a write, that nothing puts in order.
//
// The kernels are compiled with -fsanitize=thread, which calls a function at every load and store; these are those
// functions, in place of the sanitizer's library.  For each byte of shared and of device memory the last write and the
// last reads by two threads are kept.  Within a block two accesses are in order if a barrier lies between them, and
// within a warp also if __syncwarp does (a shuffle moves values but orders no memory); blocks of one launch are never
// in order.  Two atomics do not race.
#include "cuda/emulator/race.h"

#include "cuda/emulator/scheduler.h"

#include <cstdio>
#include <dlfcn.h>
#include <memory>
#include <unordered_map>

namespace cudaemu {

bool device_allocation(const void *memory, uintptr_t *start, size_t *bytes);

namespace race {

struct Access {
    uint64_t block;  // number + 1; 0: none yet
    uint32_t launch; // number
    uint32_t thread, barriers, met;
    const void *where;
    bool atomic;
};
struct Byte {
    Access write, read, other_read; // the last reads, of two threads
};
static constexpr size_t page_bytes = 1024;
struct Page {
    Byte bytes[page_bytes];
};

static std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;
static uint32_t launches;
static uintptr_t known_start;
static size_t known_bytes;

bool watching() {
    return true;
}

// Launches on a stream are in order, so what an earlier one did is forgotten.
void begin_launch(const char *) {
    launches++;
    known_bytes = 0;
    if (pages.size() > 4096) pages.clear();
}

static Byte &byte_at(uintptr_t address) {
    static uintptr_t last_number;
    static Page *last;
    uintptr_t number = address / page_bytes;
    if (pages.empty()) last = nullptr;
    if (!last || number != last_number) {
        std::unique_ptr<Page> &page = pages[number];
        if (!page) page.reset(new Page());
        last = page.get();
        last_number = number;
    }
    return last->bytes[address % page_bytes];
}

static bool in_order(const Access &earlier, const Access &now) {
    if (earlier.block == 0 || earlier.launch != now.launch) return true;
    if (earlier.block != now.block) return false;
    if (earlier.thread == now.thread || earlier.barriers < now.barriers) return true;
    return earlier.thread / 32 == now.thread / 32 && earlier.met < now.met;
}

static bool races(const Access &earlier, const Access &now) {
    return !in_order(earlier, now) && !(earlier.atomic && now.atomic);
}

static void describe(char *text, size_t size, const void *where) {
    Dl_info info{};
    if (dladdr(where, &info) && info.dli_fbase)
        (void)std::snprintf(text, size, "%s+0x%zx", info.dli_fname,
                            (size_t)((const char *)where - (const char *)info.dli_fbase));
    else
        (void)std::snprintf(text, size, "%p", where);
}

[[noreturn]] static void report(const Access &earlier, bool wrote, const Access &now, bool writes, bool shared) {
    char place_before[128], place[128];
    describe(place_before, sizeof place_before, earlier.where);
    describe(place, sizeof place, now.where);
    fail("race on %s memory: %s at %s what block %llu thread %u %s at %s, and nothing orders the two",
         shared ? "shared" : "global", writes ? "writes" : "reads", place, (unsigned long long)earlier.block - 1,
         earlier.thread, wrote ? "wrote" : "read", place_before);
}

static void note_read(Byte &byte, const Access &now) {
    if (byte.read.block != now.block || byte.read.thread != now.thread || byte.read.launch != now.launch)
        byte.other_read = byte.read;
    byte.read = now;
}

static bool watched(const void *address) {
    if (!here.inside) return false;
    if (here.scheduler->memory.holds(address)) return true;
    if ((uintptr_t)address - known_start < known_bytes) return true;
    return device_allocation(address, &known_start, &known_bytes);
}

static void access(const void *address, size_t bytes, bool writes, bool atomic, const void *where) {
    if (!watched(address)) return;
    bool shared = here.scheduler->memory.holds(address);
    uint64_t block =
        here.block.x + (uint64_t)here.grid_size.x * (here.block.y + (uint64_t)here.grid_size.y * here.block.z);
    Access now{ block + 1, launches, here.linear, here.scheduler->barriers, here.scheduler->threads[here.linear].met,
                where,     atomic };
    for (size_t i = 0; i < bytes; i++) {
        Byte &byte = byte_at((uintptr_t)address + i);
        // Shared memory is each block's own.
        if (shared && byte.write.block != now.block) byte.write.block = 0;
        if (shared && byte.read.block != now.block) byte.read.block = 0;
        if (shared && byte.other_read.block != now.block) byte.other_read.block = 0;
        if (races(byte.write, now)) report(byte.write, true, now, writes, shared);
        if (writes && races(byte.read, now)) report(byte.read, false, now, true, shared);
        if (writes && races(byte.other_read, now)) report(byte.other_read, false, now, true, shared);
        if (writes)
            byte.write = now;
        else
            note_read(byte, now);
    }
}

void end_block() {}
void end_launch() {}
void vector_access(const void *, size_t) {}
int traffic(wk_kernel_traffic *, int) {
    return -1;
}

void atomic_access(const void *address, size_t bytes) {
    access(address, bytes, true, true, __builtin_return_address(0));
}

} // namespace race
} // namespace cudaemu

#define WHERE __builtin_return_address(0)
#define HOOK(size)                                            \
    void __tsan_read##size(void *at) {                        \
        cudaemu::race::access(at, size, false, false, WHERE); \
    }                                                         \
    void __tsan_write##size(void *at) {                       \
        cudaemu::race::access(at, size, true, false, WHERE);  \
    }                                                         \
    void __tsan_unaligned_read##size(void *at) {              \
        cudaemu::race::access(at, size, false, false, WHERE); \
    }                                                         \
    void __tsan_unaligned_write##size(void *at) {             \
        cudaemu::race::access(at, size, true, false, WHERE);  \
    }
extern "C" {
HOOK(1) HOOK(2) HOOK(4) HOOK(8) HOOK(16) void __tsan_read_range(void *at, size_t bytes) {
    cudaemu::race::access(at, bytes, false, false, WHERE);
}
void __tsan_write_range(void *at, size_t bytes) {
    cudaemu::race::access(at, bytes, true, false, WHERE);
}
void __tsan_init(void) {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void) {}
}
