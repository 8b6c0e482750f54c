/* segment.c: a memory file without a name, which the first rank makes and the others open through /proc.
 *
 * It needs no room in /dev/shm (64 MB in a container, unless asked for) and nothing is left of it however its ranks
 * end.
 */
#include "dist/mpi/segment.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where it is, and how to know it again: another name space of processes has another file there, or none. */
typedef struct place {
    int64_t process, descriptor;
    uint64_t device, inode;
} place;

static bool is_at(int descriptor, const place *at) {
    struct stat is;
    return fstat(descriptor, &is) == 0 && (uint64_t)is.st_dev == at->device && (uint64_t)is.st_ino == at->inode;
}

static int create(size_t bytes, place *at) {
    struct stat is;
    int descriptor = memfd_create("wick", MFD_CLOEXEC);
    if (descriptor < 0) return -1;
    if (ftruncate(descriptor, (off_t)bytes) == 0 && fstat(descriptor, &is) == 0) {
        *at = (place){ getpid(), descriptor, (uint64_t)is.st_dev, (uint64_t)is.st_ino };
        return descriptor;
    }
    (void)close(descriptor);
    return -1;
}

static int find(const place *at) {
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%lld/fd/%lld", (long long)at->process, (long long)at->descriptor);
    return open(path, O_RDWR | O_CLOEXEC);
}

void *wk__segment_map(MPI_Comm host, size_t bytes) {
    int rank = 0, good;
    place at = { 0 };
    void *memory = MAP_FAILED;
    (void)MPI_Comm_rank(host, &rank);
    int descriptor = rank == 0 ? create(bytes, &at) : -1;
    if (MPI_Bcast(&at, sizeof at, MPI_BYTE, 0, host) != MPI_SUCCESS) at.process = 0;
    if (rank != 0 && at.process) descriptor = find(&at);
    if (descriptor >= 0 && is_at(descriptor, &at))
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    good = memory != MAP_FAILED;
    if (MPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, host) != MPI_SUCCESS) good = 0;
    if (descriptor >= 0) (void)close(descriptor); /* all have opened it, or nobody uses it */
    if (!good && memory != MAP_FAILED) (void)munmap(memory, bytes);
    return good ? memory : NULL;
}
