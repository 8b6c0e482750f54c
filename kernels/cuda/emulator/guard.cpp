// guard.cpp: see guard.h.
#include "guard.h"
#include "state.h"

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

namespace cudaemu {
namespace guard {

static constexpr size_t page = 4096, stretch = (size_t)1 << 38; // addresses, not memory

static std::mutex lock;
static char *base;
static size_t top;   // of what was ever given out
static int openings; // that live
static std::map<size_t, size_t> holes; // offset and size of what was given back

static size_t in_pages(size_t bytes) {
    return (bytes + page - 1) / page * page;
}

static void tell(int number, siginfo_t *info, void *) {
    const uintptr_t at = (uintptr_t)info->si_addr - (uintptr_t)base;
    if (at < stretch) {
        char text[160];
        const int length = std::snprintf(text, sizeof text,
                                         "cudaemu: the host touched memory of the device at %p; it must go through a copy\n",
                                         info->si_addr);
        (void)!write(STDERR_FILENO, text, (size_t)length);
    }
    struct sigaction usual = {};
    usual.sa_handler = SIG_DFL;
    sigaction(number, &usual, nullptr); // the access is repeated, and ends the program
}

static bool begin() {
    void *at = mmap(nullptr, stretch, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return false;
    base = static_cast<char *>(at);
    struct sigaction action = {};
    action.sa_sigaction = tell;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
    return true;
}

bool on() {
    static const bool asked = number_from("WICK_CUDAEMU_GUARD", 0) != 0;
    return asked;
}

void *take(size_t bytes) {
    std::lock_guard<std::mutex> hold(lock);
    bytes = in_pages(bytes);
    if (!base && !begin()) return nullptr;
    for (auto hole = holes.begin(); hole != holes.end(); ++hole) {
        if (hole->second < bytes) continue;
        const size_t offset = hole->first, left = hole->second - bytes;
        holes.erase(hole);
        if (left) holes[offset + bytes] = left;
        return base + offset;
    }
    if (top + bytes > stretch) return nullptr;
    char *at = base + top;
    if (openings) mprotect(at, bytes, PROT_READ | PROT_WRITE);
    top += bytes;
    return at;
}

void give(void *memory, size_t bytes) {
    std::lock_guard<std::mutex> hold(lock);
    bytes = in_pages(bytes);
    auto hole = holes.emplace((size_t)(static_cast<char *>(memory) - base), bytes).first;
    auto next = std::next(hole);
    if (next != holes.end() && hole->first + hole->second == next->first) hole->second += next->second, holes.erase(next);
    if (hole == holes.begin()) return;
    auto before = std::prev(hole);
    if (before->first + before->second == hole->first) before->second += hole->second, holes.erase(hole);
}

void open() {
    std::lock_guard<std::mutex> hold(lock);
    if (openings++ == 0 && top) mprotect(base, top, PROT_READ | PROT_WRITE);
}

void close() {
    std::lock_guard<std::mutex> hold(lock);
    if (--openings == 0 && top) mprotect(base, top, PROT_NONE);
}

} // namespace guard
} // namespace cudaemu
