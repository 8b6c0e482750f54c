/* load.c: NCCL, opened when a group of ranks first exchanges memory of devices; one rank alone needs none. */
#include "cuda/cuda.h"
#include "cuda/exchange/nccl.h"

#ifdef WICK_CUDA_EMULATOR

const wk_nccl *wk__nccl(void) {
    return wk__nccl_emulated();
}

#else

#    include <dlfcn.h>
#    include <pthread.h>
#    include <string.h>

static wk_nccl table;
static char reason[300];
static pthread_once_t looked = PTHREAD_ONCE_INIT;

/* ISO C has no cast from an object to a function pointer. */
static void take(void *library, const char *name, void *function) {
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    if (!symbol) (void)snprintf(reason, sizeof reason, "libnccl.so.2 has no %s; 2.14 or later is needed", name);
}

static void look(void) {
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        (void)snprintf(reason, sizeof reason, "libnccl.so.2 cannot be opened (%s); the wheel nvidia-nccl-cu13 has it",
                       dlerror());
        return;
    }
    take(library, "ncclGetUniqueId", &table.get_unique_id);
    take(library, "ncclCommInitRankConfig", &table.comm_init_rank_config);
    take(library, "ncclCommGetAsyncError", &table.comm_get_async_error);
    take(library, "ncclCommFinalize", &table.comm_finalize);
    take(library, "ncclCommDestroy", &table.comm_destroy);
    take(library, "ncclCommAbort", &table.comm_abort);
    take(library, "ncclAllReduce", &table.all_reduce);
    take(library, "ncclBroadcast", &table.broadcast);
    take(library, "ncclAllGather", &table.all_gather);
    take(library, "ncclReduceScatter", &table.reduce_scatter);
    take(library, "ncclGetErrorString", &table.get_error_string);
    take(library, "ncclGetLastError", &table.get_last_error);
}

const wk_nccl *wk__nccl(void) {
    (void)pthread_once(&looked, look);
    if (!*reason) return &table;
    (void)wk_fail(WK_NOT_FOUND, "ranks cannot exchange memory of devices: %s", reason);
    return NULL;
}

#endif
