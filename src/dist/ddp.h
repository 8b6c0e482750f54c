/* ddp.h: what the files of data-parallel training share: ddp.c sends, bucket.c lays out. */
#ifndef WICK_SRC_DIST_DDP_H
#define WICK_SRC_DIST_DDP_H

#include "autograd/tape.h"
#include "dist/group.h"
#include "tensor/tensor.h"
#include "wick/dist.h"
#include "wick/random.h"

typedef struct wk__bucket {
    wk_tensor *whole; /* flat: gradients, each padded; then `count` numbers that say which are used */
    int64_t used;     /* the first of those, in elements */
    wk_tensor *marks; /* (count), on the CPU: those numbers, where they lie or as they are sent to a device */
    wk_tensor *half;  /* what is sent in place of `whole`; NULL: `whole` itself is */
    int first, count; /* places, in the order in which gradients are sent */
    int ready;
    struct wk__power *power; /* PowerSGD's matrices of it (power.c); NULL: none yet */
    bool in_power;           /* its first sum is under way */
    wk_work *work;
} wk__bucket;

typedef struct wk__slot { /* a parameter */
    wk_ddp *ddp;
    wk_tensor *parameter;
    int place, bucket; /* where its gradient is sent */
    bool ready, used;
    wk_hook hook; /* on the parameter */
} wk__slot;

typedef struct wk__layout { /* one way to cut the gradients into buckets */
    wk__bucket *buckets;
    int count;
    wk_storage *memory;      /* of the buckets, in a region; NULL: each has memory of its own */
    const wk_region *region; /* the storage's own */
} wk__layout;

struct wk_ddp {
    wk_group *group;
    wk_module *module;
    wk_ddp_opts opts;
    wk_named_tensors all; /* parameters and buffers, but for those that are ignored */
    wk__slot *slots;      /* parameters in reverse order of registration */
    int count;
    int *order; /* (count) the slot at each place */
    wk__layout layout;
    int next_to_send;
    int *arrived; /* (count) slots in the order in which their gradients came, until the order is settled */
    int arrived_count;
    int64_t exchanges, steps; /* backwards with exchange, and steps of the optimizer, so far */
    wk_generator power_seeds;
    bool settled, no_sync, started;
    double exposed;
    wk__backward_hook hook;
};

/* Give every gradient its place in the buckets of d->order; values that are there move along. */
wk_status wk__layout_make(wk_ddp *d);
void wk__layout_free(wk__layout *layout);
/* From now on places follow the order in which gradients came to rank 0.  All ranks call it; nothing is under way.  It
 * stays unsettled where rank 0 had no batch. */
wk_status wk__layout_settle(wk_ddp *d, bool had_batch);

/* PowerSGD, in place of a bucket's exchange: begin the first sum (in_power stays false where nothing in it is worth
 * it), then when that has arrived the second, then when that has arrived take it. */
wk_status wk__power_send(wk_ddp *d, wk__bucket *bucket);
wk_status wk__power_turn(wk_ddp *d, wk__bucket *bucket);
wk_status wk__power_take(const wk_ddp *d, const wk__bucket *bucket);
void wk__power_free(struct wk__power *power);

#endif
