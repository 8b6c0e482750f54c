// count.cpp: what kernels move, counted access by access: the detector of races replaced by one of traffic.
//
// The kernels are compiled with -fsanitize=thread, which calls a function at every load and store; these are those
// functions.  What the lanes of a warp do at one place for the n-th time is one request, as the hardware would issue it:
// of global memory the 32-byte sectors that it touches are counted, of shared memory how often a bank must answer.  A
// 128-bit access (wk_load_vector) is one, however the compiler cut it.  Bytes that a launch moves are those of the
// distinct sectors it touches: the rest is for the caches.
#include "cuda/emulator/race.h"

#include "cuda/emulator/scheduler.h"
#include "tensor/backend.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace cudaemu {

bool device_allocation(const void *memory, uintptr_t *start, size_t *bytes);

namespace race {

namespace {

struct Access {
    const void *site;
    uint32_t turn; // of the thread at this place
    uint16_t warp, lane;
    uintptr_t address;
    uint16_t bytes;
    bool writes, shared;
};
bool before(const Access &a, const Access &b) {
    if (a.site != b.site) return a.site < b.site;
    if (a.warp != b.warp) return a.warp < b.warp;
    return a.turn != b.turn ? a.turn < b.turn : a.lane < b.lane;
}

struct Vector {
    uintptr_t from;
    size_t bytes;
    uint32_t barriers;  // that the block had passed: behind the next one other accesses are meant
    bool reads, writes; // was seen to
};

std::map<std::string, wk_kernel_traffic> kernels;
wk_kernel_traffic *now;
std::vector<Access> accesses;                                // of the block that runs
std::unordered_map<uint64_t, uint32_t> turns;                // of a thread at a place
std::unordered_map<unsigned, std::vector<Vector>> vectors; // that a thread has announced last
std::unordered_set<uintptr_t> read, written;                 // sectors of the launch
uintptr_t known_start;
size_t known_bytes;

// Of global memory, or shared; neither is a thread's own.
bool is_watched(const void *address, bool *shared) {
    if (!here.inside || !now) return false;
    *shared = here.scheduler->memory.holds(address);
    if (*shared || (uintptr_t)address - known_start < known_bytes) return true;
    return device_allocation(address, &known_start, &known_bytes);
}

void note(const void *address, size_t bytes, bool writes, const void *site) {
    bool shared;
    if (!is_watched(address, &shared)) return;
    for (Vector &v : vectors[here.linear]) {
        if ((uintptr_t)address - v.from >= v.bytes || v.barriers != here.scheduler->barriers) continue;
        bool &seen = writes ? v.writes : v.reads;
        if (seen) return; // another part of what was counted
        seen = true;
        address = reinterpret_cast<const void *>(v.from), bytes = v.bytes;
        break;
    }
    const uint64_t key = (uint64_t)(uintptr_t)site * 1024 + here.linear;
    accesses.push_back(Access{ site, turns[key]++, (uint16_t)(here.linear / 32), (uint16_t)(here.linear % 32),
                               (uintptr_t)address, (uint16_t)bytes, writes, shared });
}

// ---- requests

void count_global(const Access *first, const Access *end) {
    uintptr_t touched[64 * 2];
    size_t count = 0;
    for (const Access *a = first; a < end; a++)
        for (uintptr_t sector = a->address / 32; sector <= (a->address + a->bytes - 1) / 32 && count < 128; sector++)
            touched[count++] = sector;
    std::sort(touched, touched + count);
    count = (size_t)(std::unique(touched, touched + count) - touched);
    now->requests++;
    now->sectors += (int64_t)count;
    for (const Access *a = first; a < end; a++)
        if (std::none_of(first, a, [a](const Access &b) { return b.address == a->address; })) now->asked += a->bytes;
    (first->writes ? written : read).insert(touched, touched + count);
}

// Lanes whose bytes fit 128 at once go together; a bank answers one word of 4 bytes at a time.
void count_shared(const Access *first, const Access *end) {
    const int together = first->bytes <= 4 ? 32 : first->bytes <= 8 ? 16 : 8;
    now->shared_requests++;
    for (int from = 0; from < 32; from += together) {
        std::vector<uintptr_t> words;
        for (const Access *a = first; a < end; a++)
            if (a->lane >= from && a->lane < from + together)
                for (uintptr_t word = a->address / 4; word <= (a->address + a->bytes - 1) / 4; word++) words.push_back(word);
        std::sort(words.begin(), words.end());
        words.erase(std::unique(words.begin(), words.end()), words.end());
        int64_t of_bank[32] = {}, most = 0;
        for (uintptr_t word : words) most = std::max(most, ++of_bank[word % 32]);
        if (most > 1) now->conflicts += most - 1;
    }
}

} // namespace

bool watching() {
    return true;
}

void begin_launch(const char *name) {
    std::string text(name);
    if (text.size() > 2 && text.front() == '(' && text.back() == ')') text = text.substr(1, text.size() - 2);
    now = &kernels[text];
    if (!now->launches++) (void)std::snprintf(now->kernel, sizeof now->kernel, "%s", text.c_str());
    known_bytes = 0;
    read.clear();
    written.clear();
}

void end_block() {
    std::sort(accesses.begin(), accesses.end(), before);
    for (size_t i = 0, end; i < accesses.size(); i = end) {
        for (end = i + 1; end < accesses.size() && accesses[end].site == accesses[i].site
                          && accesses[end].warp == accesses[i].warp && accesses[end].turn == accesses[i].turn;)
            end++;
        if (accesses[i].shared)
            count_shared(&accesses[i], accesses.data() + end);
        else
            count_global(&accesses[i], accesses.data() + end);
    }
    accesses.clear();
    turns.clear();
    vectors.clear();
}

void end_launch() {
    now->read += 32 * (int64_t)read.size();
    now->written += 32 * (int64_t)written.size();
    now = nullptr;
}

void atomic_access(const void *address, size_t bytes) {
    note(address, bytes, true, __builtin_return_address(0));
}

void vector_access(const void *address, size_t bytes) {
    std::vector<Vector> &own = vectors[here.linear];
    if (own.size() >= 8) own.erase(own.begin());
    own.push_back(Vector{ (uintptr_t)address, bytes, here.scheduler->barriers, false, false });
}

int traffic(wk_kernel_traffic *rows, int most) {
    int count = 0;
    for (const auto &entry : kernels)
        if (count < most) rows[count++] = entry.second;
    kernels.clear();
    return count;
}

} // namespace race
} // namespace cudaemu

#define WHERE __builtin_return_address(0)
#define HOOK(size)                                                    \
    void __tsan_read##size(void *at) {                                \
        cudaemu::race::note(at, size, false, WHERE);                  \
    }                                                                 \
    void __tsan_write##size(void *at) {                               \
        cudaemu::race::note(at, size, true, WHERE);                   \
    }                                                                 \
    void __tsan_unaligned_read##size(void *at) {                      \
        cudaemu::race::note(at, size, false, WHERE);                  \
    }                                                                 \
    void __tsan_unaligned_write##size(void *at) {                     \
        cudaemu::race::note(at, size, true, WHERE);                   \
    }
extern "C" {
HOOK(1) HOOK(2) HOOK(4) HOOK(8) HOOK(16) void __tsan_read_range(void *at, size_t bytes) {
    cudaemu::race::note(at, bytes, false, WHERE);
}
void __tsan_write_range(void *at, size_t bytes) {
    cudaemu::race::note(at, bytes, true, WHERE);
}
void __tsan_init(void) {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void) {}
}
