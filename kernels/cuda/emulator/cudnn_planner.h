// cudnn_planner.h: the real cuDNN beside the emulated one, planning for a device that is not there.
//
// WICK_CUDAEMU_CUDNN=FILE names a device's properties in cuDNN's JSON.  Every descriptor gets a twin in libcudnn.so.9,
// whose heuristics propose the engines, whose notes are read and whose plans are made (and compiled, with a
// libcuda.so.1 that loads nothing: tests/cuda/driver); the graph then runs interpreted, as without.  So a graph that a
// card would refuse is refused here.
#ifndef WICK_CUDAEMU_CUDNN_PLANNER_H
#define WICK_CUDAEMU_CUDNN_PLANNER_H

#include "cudnn.h"

namespace cudaemu {
namespace cudnn {
namespace planner {

// Whether it is asked for; ends the process with a line where the library or the file cannot be used.
bool on();

// The same calls of the twins; 0 at once where it is off.
int create(Descriptor &descriptor);
void destroy(Descriptor &descriptor);
int set(Descriptor &descriptor, int name, const Attribute &attribute);
int finish(Descriptor &descriptor);
// An attribute of numbers.
int get(Descriptor &descriptor, int name, int type, int64_t most, int64_t *count, void *values);
// One of descriptors, whose twins it fills.
int get(Descriptor &descriptor, int name, int64_t most, int64_t *count, void *const descriptors[]);

} // namespace planner
} // namespace cudnn
} // namespace cudaemu

#endif
