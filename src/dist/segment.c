/* segment.c: a memory file without a name, which the first rank makes and the others open through /proc.
 *
 * It needs no room in /dev/shm (64 MB in a container, unless asked for) and nothing is left of it however its ranks
 * end.
 */
#include "dist/segment.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int wk__segment_create(size_t bytes, wk_segment_place *place) {
    struct stat is;
    *place = (wk_segment_place){ 0 };
    int descriptor = memfd_create("wick", MFD_CLOEXEC);
    if (descriptor < 0) return -1;
    if (ftruncate(descriptor, (off_t)bytes) == 0 && fstat(descriptor, &is) == 0) {
        *place = (wk_segment_place){ getpid(), descriptor, (uint64_t)is.st_dev, (uint64_t)is.st_ino };
        return descriptor;
    }
    (void)close(descriptor);
    return -1;
}

int wk__segment_find(const wk_segment_place *place) {
    char path[64];
    if (!place->process) return -1;
    (void)snprintf(path, sizeof path, "/proc/%lld/fd/%lld", (long long)place->process, (long long)place->descriptor);
    return open(path, O_RDWR | O_CLOEXEC);
}

static bool is_at(int descriptor, const wk_segment_place *place) {
    struct stat is;
    return fstat(descriptor, &is) == 0 && (uint64_t)is.st_dev == place->device && (uint64_t)is.st_ino == place->inode;
}

void *wk__segment_map(int descriptor, size_t bytes, const wk_segment_place *place) {
    if (descriptor < 0 || !is_at(descriptor, place)) return NULL;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    return memory == MAP_FAILED ? NULL : memory;
}
