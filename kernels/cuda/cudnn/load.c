/* load.c: cuDNN, opened when a convolution first asks for it. */
#include "cuda/cudnn/api.h"

#include "wick/base.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const wk_cudnn *found;
static pthread_once_t looked = PTHREAD_ONCE_INIT;

#ifdef WICK_CUDA_EMULATOR

static const wk_cudnn *open_library(void) {
    return wk__cudnn_emulated();
}

#else

#    include <dlfcn.h>
#    include <stdio.h>

/* The numbers of api.h are held to NVIDIA's own header where the toolkit has it. */
#    if defined(__has_include)
#        if __has_include(<cudnn_graph.h>)
#            include <cudnn_graph.h>
#            define SAME(name, number) \
                _Static_assert((int)CUDNN_##name == (number), "cudnn_graph.h has another number");
WK_CUDNN_NUMBERS(SAME)
#        endif
#    endif

static char reason[300];

/* ISO C has no cast from an object to a function pointer. */
static void take(void *library, const char *name, void *function) {
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    if (!symbol) (void)snprintf(reason, sizeof reason, "libcudnn.so.9 has no %s", name);
}

static const wk_cudnn *open_library(void) {
    static wk_cudnn table;
    void *library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        (void)snprintf(reason, sizeof reason, "libcudnn.so.9 cannot be opened (%s)", dlerror());
    } else {
        take(library, "cudnnGetVersion", &table.version);
        take(library, "cudnnGetErrorString", &table.error_string);
        take(library, "cudnnGetLastErrorString", &table.last_error);
        take(library, "cudnnCreate", &table.create);
        take(library, "cudnnSetStream", &table.set_stream);
        take(library, "cudnnBackendCreateDescriptor", &table.create_descriptor);
        take(library, "cudnnBackendDestroyDescriptor", &table.destroy_descriptor);
        take(library, "cudnnBackendSetAttribute", &table.set_attribute);
        take(library, "cudnnBackendGetAttribute", &table.get_attribute);
        take(library, "cudnnBackendFinalize", &table.finalize);
        take(library, "cudnnBackendExecute", &table.execute);
    }
    if (!*reason) return &table;
    wk_log_write(WK_LOG_WARNING, "cuda: convolutions run without tensor cores, by Wick's own kernels: %s", reason);
    return NULL;
}

#endif

static void look(void) {
    const char *setting = getenv("WICK_CUDNN");
    if (!setting || strcmp(setting, "0") != 0) found = open_library();
}

const wk_cudnn *wk__cudnn(void) {
    (void)pthread_once(&looked, look);
    return found;
}
