/* device.h: the device that a rank trains on. */
#ifndef WICK_SRC_TRAIN_DEVICE_H
#define WICK_SRC_TRAIN_DEVICE_H

enum { WK__DEVICE_NAME = 40 };

/* "cuda" is a device of its own for each rank of a host, "cuda:0" that one for all; where each rank sees one alone
 * (CUDA_VISIBLE_DEVICES) that is it.  The name itself, or one in `text`. */
const char *wk__own_device(const char *name, char text[WK__DEVICE_NAME]);
/* This process's number among the ranks of its host. */
long wk__local_rank(void);

#endif
