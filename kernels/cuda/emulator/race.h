// race.h: what the emulator tells the race detector.  A build links race/race.cpp, or race_off.cpp, which does nothing.
#ifndef WICK_CUDAEMU_RACE_H
#define WICK_CUDAEMU_RACE_H

#include <cstddef>

namespace cudaemu {
namespace race {

bool watching(); // then blocks run one by one
void begin_launch();
void atomic_access(const void *address, size_t bytes);

} // namespace race
} // namespace cudaemu

#endif
