// race_off.cpp: no race detector; see race.h.
#include "race.h"

namespace cudaemu {
namespace race {

bool watching() {
    return false;
}
void begin_launch(const char *) {}
void end_block() {}
void end_launch() {}
void atomic_access(const void *, size_t) {}
void vector_access(const void *, size_t) {}
int traffic(wk_kernel_traffic *, int) {
    return -1;
}

} // namespace race
} // namespace cudaemu
