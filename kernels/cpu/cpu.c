/* cpu.c: the backend "cpu".
 *
 * One device, ordinary memory, no streams: a call is finished when it returns.
 */
#include "cpu/pool.h"
#include "cpu/select.h"

#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int device_count(void) {
    return 1;
}

/* "model name : AMD EPYC …" of /proc/cpuinfo; where there is no such line (Arm), the name of the architecture. */
static void processor_name(char *name, size_t size) {
#ifdef __aarch64__
    (void)snprintf(name, size, "aarch64");
#else
    (void)snprintf(name, size, "processor");
#endif
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];
    while (file && fgets(line, sizeof line, file)) {
        char *value = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!value) continue;
        value += 1 + strspn(value + 1, " \t");
        value[strcspn(value, "\n")] = '\0';
        (void)snprintf(name, size, "%s", value);
        break;
    }
    if (file) (void)fclose(file);
}

static int allowed_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

static wk_status device_info(int device, wk_device_info *info) {
    if (device != 0) return wk_fail(WK_INVALID, "cpu: there is no device %d, only device 0", device);
    const char *isa;
    *info = (wk_device_info){ .threads = allowed_cores() };
    WK_TRY(wk__cpu_isa(&isa));
    processor_name(info->name, sizeof info->name);
    (void)snprintf(info->instruction_set, sizeof info->instruction_set, "%s", isa);
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    info->memory = pages > 0 && page > 0 ? (int64_t)pages * page : 0;
    return WK_OK;
}

static wk_status allocate(int device, size_t bytes, wk_stream *stream, void **memory) {
    (void)device, (void)stream;
    *memory = bytes < WK_POOLED ? wk_alloc_data(bytes) : wk__pool_take(bytes);
    return *memory ? WK_OK : WK_NO_MEMORY;
}

static void release(int device, void *memory, size_t bytes, wk_stream *stream) {
    (void)device, (void)stream;
    if (bytes < WK_POOLED)
        wk_free(memory);
    else
        wk__pool_give(memory);
}

static void trim(int device) {
    (void)device;
    wk__pool_trim();
}

/* Of small blocks, which contexts keep, and of what tensors use nothing is known here. */
static wk_status memory_use(int device, wk_memory_use *use) {
    (void)device;
    *use = (wk_memory_use){ .kept = (int64_t)wk__pool_kept() };
    return WK_OK;
}

static wk_status copy(int device, void *target, const void *source, size_t bytes, wk_copy_kind kind,
                      wk_stream *stream) {
    (void)device, (void)kind, (void)stream;
    if (bytes) memcpy(target, source, bytes);
    return WK_OK;
}

static void parallel(int threads, void (*part)(void *context, int rank, int team), void *context) {
#pragma omp parallel num_threads(threads) if (threads > 1)
    part(context, omp_get_thread_num(), omp_get_num_threads());
}

static const char *last_error(void) {
    return "";
}

const wk_backend *wk__cpu_backend(void) {
    static const wk_backend backend = {
        .api_version = WK_BACKEND_API,
        .size = sizeof(wk_backend),
        .name = "cpu",
        .device_count = device_count,
        .device_info = device_info,
        .allocate = allocate,
        .release = release,
        .pooled = WK_POOLED,
        .trim = trim,
        .memory_use = memory_use,
        .copy = copy,
        .parallel = parallel,
        .kernel = wk__cpu_kernel,
        .last_error = last_error,
    };
    return &backend;
}
