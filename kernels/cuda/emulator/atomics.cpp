// atomics.cpp: apart from the kernels, so that the race detector's build does not instrument them.
#include "execution.h"
#include "race.h"

namespace cudaemu {

template <class T> static T read(const T *address) {
    race::atomic_access(address, sizeof(T));
    return __atomic_load_n(address, __ATOMIC_RELAXED);
}

template <class T> static bool replace(T *address, T *seen, T wanted) {
    return __atomic_compare_exchange_n(address, seen, wanted, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

uint32_t atomic_read(const uint32_t *address) {
    check_aligned(address, sizeof *address);
    return read(address);
}
uint64_t atomic_read(const uint64_t *address) {
    check_aligned(address, sizeof *address);
    return read(address);
}
bool atomic_replace(uint32_t *address, uint32_t *seen, uint32_t wanted) {
    return replace(address, seen, wanted);
}
bool atomic_replace(uint64_t *address, uint64_t *seen, uint64_t wanted) {
    return replace(address, seen, wanted);
}
void fence() {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

} // namespace cudaemu
