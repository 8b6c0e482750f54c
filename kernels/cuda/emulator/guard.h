// guard.h: memory of the device that the host cannot touch, as on a real one (WICK_CUDAEMU_GUARD=1).
//
// Without it the host that reads a tensor's data behind the runtime's back gets the right numbers, and the same code
// faults on a card.  With it all device memory lies in one stretch of addresses that is opened while an operation of
// the device runs and closed otherwise; who touches it then is told the address and dies of the signal.
#ifndef WICK_CUDAEMU_GUARD_H
#define WICK_CUDAEMU_GUARD_H

#include <cstddef>

namespace cudaemu {
namespace guard {

bool on();
// Whole pages of the stretch; nullptr: no room.
void *take(size_t bytes);
void give(void *memory, size_t bytes);

void open();
void close();
// While one lives, this process may touch the device's memory.
struct Open {
    Open() {
        if (on()) open();
    }
    ~Open() {
        if (on()) close();
    }
    Open(const Open &) = delete;
    Open &operator=(const Open &) = delete;
};

} // namespace guard
} // namespace cudaemu

#endif
