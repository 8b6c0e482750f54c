/* tuning.c: libFuzzer over tuning tables: any bytes are a table, or end in a message that names a line. */
#include "tensor/tuning.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static int file = -1;
    static char path[40];
    char problem[900];
    if (file < 0) {
        file = memfd_create("table", 0);
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
        (void)setenv("WICK_TUNING", "", 1);
    }
    if (ftruncate(file, 0) != 0 || pwrite(file, bytes, size, 0) != (ssize_t)size) abort();
    if (!wk__tuning_check(path, problem, sizeof problem) && !strstr(problem, "line ")) abort();
    return 0;
}
