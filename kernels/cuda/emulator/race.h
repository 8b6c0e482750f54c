// race.h: what the emulator tells who looks on: the race detector, or the counter of traffic.  A build links
// race/race.cpp, count/count.cpp, or race_off.cpp, which does nothing.
#ifndef WICK_CUDAEMU_RACE_H
#define WICK_CUDAEMU_RACE_H

#include <cstddef>

struct wk_kernel_traffic;

namespace cudaemu {
namespace race {

bool watching(); // then blocks run one by one
void begin_launch(const char *kernel);
void end_block();
void end_launch();
void atomic_access(const void *address, size_t bytes);
// A 128-bit access follows (told in the build that counts alone).
void vector_access(const void *address, size_t bytes);
// What each kernel has moved since this was last asked; -1: nobody counts.
int traffic(wk_kernel_traffic *rows, int most);

} // namespace race
} // namespace cudaemu

#endif
