// shared.cpp: see shared.h.
#include "shared.h"

#include "sanitizer.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>

namespace cudaemu {

// Room for the largest block and the red zones between a few hundred variables.
static constexpr size_t arena_bytes = 320 << 10;
static constexpr size_t red_zone = 64;
static constexpr unsigned char red = 0xFE; // huge or NaN in every float type, so that reading it shows too

SharedMemory::SharedMemory() : used(0), static_bytes(0), dynamic_bytes(0), dynamic_at(nullptr) {
    void *block = mmap(nullptr, arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    arena = block == MAP_FAILED ? nullptr : static_cast<char *>(block);
}

SharedMemory::~SharedMemory() {
    if (!arena) return;
    unpoison(arena, arena_bytes);
    munmap(arena, arena_bytes);
}

void SharedMemory::begin(size_t dynamic) {
    if (used) poison(arena, used + red_zone);
    used = static_bytes = 0;
    dynamic_bytes = dynamic;
    dynamic_at = nullptr;
    variables.clear();
}

char *SharedMemory::take(const void *site, size_t bytes, size_t alignment) {
    size_t offset = used ? used + red_zone : 0;
    offset = (offset + alignment - 1) / alignment * alignment;
    if (offset + bytes + red_zone > arena_bytes) return nullptr;
    used = offset + bytes;
    char *at = arena + offset;
    unpoison(at, bytes + red_zone);
    std::memset(at, 0xFF, bytes);
    std::memset(at + bytes, red, red_zone);
    poison(at + bytes, red_zone);
    variables.push_back(Variable{ site, at, bytes });
    return at;
}

void *SharedMemory::of_site(const void *site, size_t bytes, size_t alignment) {
    for (const Variable &variable : variables)
        if (variable.site == site) return variable.at;
    static_bytes += bytes;
    if (static_bytes > static_limit || static_bytes + dynamic_bytes > shared_limit) return nullptr;
    return take(site, bytes, std::max(alignment, (size_t)16));
}

void *SharedMemory::dynamic() {
    if (!dynamic_at) dynamic_at = take(nullptr, dynamic_bytes, 1024);
    return dynamic_at;
}

size_t SharedMemory::find_damage() const {
    for (const Variable &variable : variables) {
        const char *zone = variable.at + variable.bytes;
        unpoison(zone, red_zone);
        for (size_t i = 0; i < red_zone; i++)
            if ((unsigned char)zone[i] != red) return variable.bytes;
    }
    return 0;
}

bool SharedMemory::holds(const void *address) const {
    return (const char *)address >= arena && (const char *)address < arena + arena_bytes;
}

} // namespace cudaemu
