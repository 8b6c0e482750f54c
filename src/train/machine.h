/* machine.h: the machine that a run is on, in words. */
#ifndef WICK_SRC_TRAIN_MACHINE_H
#define WICK_SRC_TRAIN_MACHINE_H

#include <stddef.h>

/* "4 of 16 processors on 1 socket, 2 NUMA nodes": those that this process may use, and all.  Gives `text`, of at least
 * 100 bytes. */
const char *wk__processors_describe(char *text, size_t size);

#endif
