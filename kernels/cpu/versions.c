/* versions.c: which libraries this process computes with. */
#include "tensor/tuning.h"

#if WICK_LIBRARIES
#    include <cblas.h>
#    include <dnnl.h>
#    include <pthread.h>
#    include <stdio.h>

static char onednn[40], openblas[40];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* OpenBLAS tells its build: "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH …" */
static void ask(void) {
    const dnnl_version_t *v = dnnl_version();
    (void)snprintf(onednn, sizeof onednn, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    char name[16] = "", version[16] = "";
    (void)sscanf(openblas_get_config(), "%15s %15s", name, version);
    (void)snprintf(openblas, sizeof openblas, "%s %s", name, version);
}

const char *wk__onednn_version(void) {
    (void)pthread_once(&once, ask);
    return onednn;
}

const char *wk__openblas_version(void) {
    (void)pthread_once(&once, ask);
    return openblas;
}
#else
const char *wk__onednn_version(void) {
    return "";
}

const char *wk__openblas_version(void) {
    return "";
}
#endif
