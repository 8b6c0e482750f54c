/* kubeconfig.c: libFuzzer over the file that names clusters and users: it ends in a cluster to ask or in one message.
 */
#include "launcher/kube/kube.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    char path[64];
    int fd = memfd_create("kubeconfig", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size) abort();
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    wk__kube *kube = wk__kube_open(path, size % 2 ? "c" : NULL);
    if (!kube != wk_failed()) abort();
    wk__kube_close(kube);
    wk_clear_error();
    (void)close(fd);
    return 0;
}
