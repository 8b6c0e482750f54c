/* worker.h: what the scenarios of the tests' rank share. */
#ifndef WICK_TESTS_DIST_WORKER_H
#define WICK_TESTS_DIST_WORKER_H

#include "wick/device.h"
#include "wick/dist.h"
#include "wick/io.h"

#include <stdio.h>

enum { FEATURES = 20, CLASSES = 5, BATCH = 12 /* of one rank of two */ };

#define CHECK(condition)                                                                                             \
    do {                                                                                                             \
        if (!(condition)) {                                                                                          \
            (void)fprintf(stderr, "rank %d: %s:%d: %s (%s)\n", wk_group_rank(group), __FILE__, __LINE__, #condition, \
                          wk_message());                                                                             \
            return 3;                                                                                                \
        }                                                                                                            \
    } while (0)

/* Where the tensors lie: the CPU, or the device that WICK_TEST_DEVICE names. */
extern wk_device device;
wk_tensor *here(wk_tensor *t);
/* Items first, first + stride, … of a made-up problem. */
void make_batch(int step, int first, int stride, int n, wk_tensor **x, wk_tensor **y);
wk_module *make_net(void);
/* What the test compares: the weights, as FILE.RANK. */
wk_status keep(wk_module *net, const char *file, int rank);

/* options.c */
int compressed(wk_group *group, int compress);
int ignored(wk_group *group);
int join_ranks(wk_group *group, const char *file);
int synchronised(wk_group *group, const char *file);
int share_out(wk_group *group, const char *file);
int share_refused(wk_group *group);
/* order.c */
int reorder(wk_group *group, const char *file, bool keep_order);
int last_bucket(wk_group *group);
int disagree(wk_group *group);
/* power.c */
int compare_hooks(wk_group *group, const char *file);
int hooks_of_nothing(wk_group *group);

#endif
