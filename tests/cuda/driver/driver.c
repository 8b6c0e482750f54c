/* driver.c: a libcuda.so.1 that has every function and no device, for cuDNN to make plans where there is no driver.
 *
 * cuDNN compiles some of its kernels when a plan is made, and loads them to see that they load.  Here that succeeds and
 * nothing runs.  What has no body of its own below answers success (CUDA_SUCCESS is 0): others.h, made of the names in
 * cuda.h, calls OTHER for each of them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { NOT_FOUND = 500 };

#define OTHER(name)  \
    int name(void);  \
    int name(void) { \
        return 0;    \
    }
#include "others.h"

int cuDeviceGetCount(int *count);
int cuDriverGetVersion(int *version);
int cuGetErrorString(int error, const char **text);
int cuGetErrorName(int error, const char **text);
int cuLibraryLoadData(void **library, const void *code, void *options, void *values, unsigned count,
                      void *library_options, void *library_values, unsigned library_count);
int cuLibraryGetKernel(void **kernel, void *library, const char *name);
int cuLibraryGetKernelCount(unsigned *count, void *library);
int cuKernelGetFunction(void **function, void *kernel);
int cuGetExportTable(const void **table, const void *id);
int cuGetProcAddress(const char *name, void **function, int version, uint64_t flags);
int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *found);

int cuDeviceGetCount(int *count) {
    *count = 0;
    return 0;
}

int cuDriverGetVersion(int *version) {
    *version = 13000;
    return 0;
}

int cuGetErrorString(int error, const char **text) {
    (void)error;
    *text = "an error of the driver of tests/cuda/driver";
    return 0;
}

int cuGetErrorName(int error, const char **text) {
    return cuGetErrorString(error, text);
}

/* Something to point to, one for each. */
int cuLibraryLoadData(void **library, const void *code, void *options, void *values, unsigned count,
                      void *library_options, void *library_values, unsigned library_count) {
    static char places[4096];
    static unsigned next;
    (void)code, (void)options, (void)values, (void)count, (void)library_options, (void)library_values;
    (void)library_count;
    *library = &places[__atomic_fetch_add(&next, 8, __ATOMIC_RELAXED) % sizeof places];
    return 0;
}

int cuLibraryGetKernel(void **kernel, void *library, const char *name) {
    (void)name;
    *kernel = library;
    return 0;
}

int cuLibraryGetKernelCount(unsigned *count, void *library) {
    (void)library;
    *count = 1;
    return 0;
}

int cuKernelGetFunction(void **function, void *kernel) {
    *function = kernel;
    return 0;
}

int cuGetExportTable(const void **table, const void *id) {
    (void)id;
    *table = NULL;
    return NOT_FOUND;
}

int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *found) {
    char second[200];
    void *self = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    (void)version, (void)flags;
    (void)snprintf(second, sizeof second, "%s_v2", name);
    *function = self ? dlsym(self, second) : NULL;
    if (!*function && self) *function = dlsym(self, name);
    if (found) *found = *function ? 0 : 1;
    return *function ? 0 : NOT_FOUND;
}

int cuGetProcAddress(const char *name, void **function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(name, function, version, flags, NULL);
}
