// race_off.cpp: no race detector; see race.h.
#include "race.h"

namespace cudaemu {
namespace race {

bool watching() {
    return false;
}
void begin_launch() {}
void atomic_access(const void *, size_t) {}

} // namespace race
} // namespace cudaemu
