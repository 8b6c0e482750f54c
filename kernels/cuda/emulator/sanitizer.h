// sanitizer.h: what the address sanitizer is told of memory that the emulator hands out itself; nothing without it.
#ifndef WICK_CUDAEMU_SANITIZER_H
#define WICK_CUDAEMU_SANITIZER_H

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#    define WICK_CUDAEMU_ASAN 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define WICK_CUDAEMU_ASAN 1
#    endif
#endif
#ifdef WICK_CUDAEMU_ASAN
#    include <sanitizer/asan_interface.h>
#    include <sanitizer/common_interface_defs.h>
#endif

namespace cudaemu {

static inline void poison(const void *at, size_t bytes) {
#ifdef WICK_CUDAEMU_ASAN
    __asan_poison_memory_region(at, bytes);
#else
    (void)at, (void)bytes;
#endif
}

static inline void unpoison(const void *at, size_t bytes) {
#ifdef WICK_CUDAEMU_ASAN
    __asan_unpoison_memory_region(at, bytes);
#else
    (void)at, (void)bytes;
#endif
}

} // namespace cudaemu

#endif
