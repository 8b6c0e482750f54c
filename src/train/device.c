/* device.c: see device.h.  Whoever starts ranks tells each its number among those of its host. */
#include "train/device.h"

#include "wick/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

long wk__local_rank(void) {
    static const char *const variables[] = { "LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID" };
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *text = getenv(variables[i]);
        if (text && *text) return strtol(text, NULL, 10);
    }
    return 0;
}

const char *wk__own_device(const char *name, char text[WK__DEVICE_NAME]) {
    int count = strchr(name, ':') || strcmp(name, "cpu") == 0 ? 0 : wk_device_count(name, NULL, 0);
    if (count < 2) return name;
    (void)snprintf(text, WK__DEVICE_NAME, "%.16s:%d", name, (int)(wk__local_rank() % count));
    return text;
}
