/* load.c: the tables that a process chooses by: the shipped one of the processor's family, beside the library, and the
 * user's own, which goes before it.
 *
 * They are read once, when the first product or convolution is computed, and never change: a process gives the same
 * bits from beginning to end.  Nothing is taken from Wick's allocator, so that whoever counts allocations sees none.
 */
#include "cpu/processor/processor.h"
#include "cpu/tuning/tuning.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static wk_tuning_table shipped, users_own;
static wk__tuning_state state;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_bool loaded; /* a product of a microsecond asks this, and no function of another library */

static bool load_table(const char *path, wk_tuning_table *table) {
    char problem[900];
    if (!*path || access(path, F_OK) != 0) return false;
    bool good = wk_tuning_read(path, state.family, table, problem, sizeof problem);
    if (!good)
        wk_log_write(WK_LOG_WARNING, "the tuning table %s%s; it is not used", *problem ? problem : path,
                     *problem ? "" : " cannot be opened");
    return good;
}

/* FOLDER OF THE LIBRARY/wick/tuning/FAMILY.txt, where plugins lie too. */
static void find_shipped(char *path, size_t size) {
    Dl_info info;
    *path = '\0';
    if (!*state.family || !dladdr((void *)(uintptr_t)&wk__tuning, &info) || !info.dli_fname) return;
    const char *slash = strrchr(info.dli_fname, '/');
    int length = slash ? (int)(slash - info.dli_fname) : 1;
    int used = snprintf(path, size, "%.*s/wick/tuning/%s.txt", length, slash ? info.dli_fname : ".", state.family);
    if (used < 0 || (size_t)used >= size) *path = '\0';
}

static void find_own(char *path, size_t size) {
    const char *named = getenv("WICK_TUNING"), *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int used = 0;
    *path = '\0';
    if (named)
        used = snprintf(path, size, "%s", named);
    else if (config && *config)
        used = snprintf(path, size, "%s/wick/tuning.txt", config);
    else if (home && *home)
        used = snprintf(path, size, "%s/.config/wick/tuning.txt", home);
    if (used < 0 || (size_t)used >= size) *path = '\0';
}

static void load(void) {
    wk_processor processor;
    wk__processor_read(&processor);
    (void)snprintf(state.family, sizeof state.family, "%s", processor.family);
    find_shipped(state.shipped, sizeof state.shipped);
    find_own(state.own, sizeof state.own);
    state.shipped_loaded = load_table(state.shipped, &shipped);
    state.own_loaded = load_table(state.own, &users_own);
    atomic_store_explicit(&loaded, true, memory_order_release);
}

bool wk__tuning_check(const char *path, char *problem, size_t size) {
    wk_tuning_table *table = wk_alloc(sizeof *table);
    *problem = '\0';
    bool good = table && wk_tuning_read(path, wk__tuning()->family, table, problem, size);
    if (!good && !*problem) (void)snprintf(problem, size, "%s cannot be opened", path);
    wk_free(table);
    return good;
}

const wk__tuning_state *wk__tuning(void) {
    (void)pthread_once(&once, load);
    return &state;
}

static wk_by look_up(const wk_tuning_table *table, const wk__bucket *b, int cell) {
    return (wk_by)table->by[b->op][b->dtype][b->form][cell];
}

wk_by wk__tuning_of(const wk__bucket *bucket, bool own) {
    if (!atomic_load_explicit(&loaded, memory_order_acquire)) (void)pthread_once(&once, load);
    if (!shipped.any && !users_own.any) return WK_BY_CHOICE;
    int cell = wk_tuning_cell(bucket);
    wk_by by = own ? look_up(&users_own, bucket, cell) : WK_BY_CHOICE;
    return by ? by : look_up(&shipped, bucket, cell);
}
