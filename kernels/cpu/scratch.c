/* scratch.c: working memory of kernels, cached per thread.
 *
 * Packed panels, im2col tiles and layouts of oneDNN need megabytes for the length of one call.  Asking the heap each
 * time costs page faults (2,500 for a fresh 10 MB block, which take longer than the reorder that fills it), so
 * every thread keeps the largest block it has needed, per slot, until it ends.  Kernels ask on the thread that dispatch
 * called them on and hand slices to the team, so failures are recorded where the caller looks for them.
 */
#include "cpu/scratch.h"

#include "wick/base.h"

#include <pthread.h>

typedef struct block {
    void *memory;
    size_t bytes;
} block;

static _Thread_local block *blocks /* (WK_SCRATCH_SLOTS) */;
static pthread_key_t at_exit;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void release(void *held) {
    block *of_thread = held;
    for (int slot = 0; slot < WK_SCRATCH_SLOTS; slot++) wk_free(of_thread[slot].memory);
    wk_free(of_thread);
    blocks = NULL;
}

static void prepare(void) {
    (void)pthread_key_create(&at_exit, release);
}

void *wk__cpu_scratch(wk_scratch_slot slot, size_t bytes) {
    if (!blocks) {
        (void)pthread_once(&once, prepare);
        blocks = wk_alloc(WK_SCRATCH_SLOTS * sizeof(block));
        if (!blocks) return NULL;
        (void)pthread_setspecific(at_exit, blocks);
    }
    block *held = &blocks[slot];
    if (held->bytes >= bytes && held->memory) return held->memory;
    wk_free(held->memory);
    held->bytes = 0;
    held->memory = wk_alloc_data(bytes + bytes / 8);
    if (held->memory) held->bytes = bytes + bytes / 8;
    return held->memory;
}
