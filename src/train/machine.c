/* machine.c: the machine that a run is on, in words, from what Linux says under /sys. */
#include "train/machine.h"

#include <dirent.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Entries "PREFIX<number>" of a folder. */
static int count_entries(const char *folder, const char *prefix) {
    DIR *open = opendir(folder);
    int count = 0;
    for (const struct dirent *e; open && (e = readdir(open));) {
        const char *rest = strncmp(e->d_name, prefix, strlen(prefix)) == 0 ? e->d_name + strlen(prefix) : "";
        count += *rest && strspn(rest, "0123456789") == strlen(rest);
    }
    if (open) (void)closedir(open);
    return count;
}

/* Sockets that the processors of this process are on; 0: unknown. */
static int count_sockets(const cpu_set_t *mine) {
    bool seen[64] = { false };
    int sockets = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        char path[100];
        int package = -1;
        if (!CPU_ISSET((size_t)cpu, mine)) continue;
        (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu);
        FILE *file = fopen(path, "re");
        if (file && fscanf(file, "%d", &package) != 1) package = -1;
        if (file) (void)fclose(file);
        if (package < 0 || package >= 64 || seen[package]) continue;
        seen[package] = true;
        sockets++;
    }
    return sockets;
}

const char *wk__processors_describe(char *text, size_t size) {
    cpu_set_t mine;
    const int all = count_entries("/sys/devices/system/cpu", "cpu"),
              nodes = count_entries("/sys/devices/system/node", "node");
    const bool known = sched_getaffinity(0, sizeof mine, &mine) == 0;
    const int usable = known ? CPU_COUNT(&mine) : all, sockets = known ? count_sockets(&mine) : 0;
    int used = snprintf(text, size, "%d of %d processors", usable, all > usable ? all : usable);
    if (sockets) used += snprintf(text + used, size - (size_t)used, " on %d socket%s", sockets, sockets > 1 ? "s" : "");
    if (nodes) (void)snprintf(text + used, size - (size_t)used, ", %d NUMA node%s", nodes, nodes > 1 ? "s" : "");
    return text;
}
