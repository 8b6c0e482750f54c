// shared.h: the shared memory of the block that runs.
//
// Static variables get their place when a thread first reaches their declaration.  All of it begins as 0xFF, and a red
// zone behind each variable shows who writes past its end.
#ifndef WICK_CUDAEMU_SHARED_H
#define WICK_CUDAEMU_SHARED_H

#include <cstddef>
#include <vector>

namespace cudaemu {

constexpr size_t static_limit = 48 << 10, shared_limit = 227 << 10;

class SharedMemory {
  public:
    SharedMemory();
    ~SharedMemory();
    void begin(size_t dynamic_bytes);
    // nullptr: more than a block may have.
    void *of_site(const void *site, size_t bytes, size_t alignment);
    void *dynamic();
    // The size of a variable behind which something was written; 0: none.
    size_t find_damage() const;
    bool holds(const void *address) const;
    explicit operator bool() const { return arena != nullptr; }

  private:
    struct Variable {
        const void *site;
        char *at;
        size_t bytes;
    };
    char *take(const void *site, size_t bytes, size_t alignment);

    char *arena;
    size_t used, static_bytes, dynamic_bytes;
    std::vector<Variable> variables;
    void *dynamic_at;
};

} // namespace cudaemu

#endif
