/* profile.h: what the files of the profiler share. */
#ifndef WICK_SRC_PROFILE_H
#define WICK_SRC_PROFILE_H

#include "tensor/tensor.h"
#include "wick/profile.h"

/* One call. */
typedef struct wk__profile_event {
    uint32_t site;
    float seconds;
    double start; /* seconds after the profile's beginning */
} wk__profile_event;

struct wk_profile {
    wk__observer observer; /* first: the context knows this part alone */
    wk_context *context;   /* NULL: it has ended */
    double began, ended;
    wk_profile_row *site; /* strings of module are its own */
    uint32_t *slot;       /* of a hash table: 1 + the site's number; 0: free */
    int sites, slots;
    wk__profile_event *event;
    int64_t events, capacity, dropped;
    bool lost; /* memory ran out: what came later is missing */
};

enum { WK__PROFILE_MOST_EVENTS = 1000000 };
extern const char *const wk__profile_phase_names[]; /* "forward", "backward", "optimizer" */

#endif
