/* select.c: which instruction set this processor has, and which kernel serves an operation.
 *
 * Compiled without any -m flags, since it must run everywhere.  WICK_ISA=generic|v3|v4 asks for a set; one that the
 * processor lacks is refused by every call, with its name, instead of ending in an illegal instruction.
 *
 * Kernels come from two kinds of tables: those of the libraries (oneDNN, OpenBLAS), which are tried first, and Wick's
 * own of the chosen set.  A library kernel may decline a call by WK_UNSUPPORTED; then Wick's own must run.  A kernel is
 * a plain function, so the pair is held by one of a fixed number of trampolines.
 */
#include "cpu/select.h"

#include "cpu/processor/processor.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- instruction sets
 * -------------------------------------------------------------------------------------------------- */

/* From the plainest to the richest. */
#if defined(__x86_64__) && !defined(WICK_GENERIC_ONLY)
#    define INSTRUCTION_SETS(X) X(generic) X(v3) X(v4)
#else
#    define INSTRUCTION_SETS(X) X(generic)
#endif
#define NAME_OF_SET(isa) " " #isa
#define SET_NAMES        INSTRUCTION_SETS(NAME_OF_SET)

#define TABLES_OF(isa)      static const wk_cpu_entry *const tables_##isa[] = { WK_CPU_SIMD_TABLES(TABLE_##isa) NULL };
#define TABLE_generic(name) wk__cpu_##name##_generic,
#define TABLE_v3(name)      wk__cpu_##name##_v3,
#define TABLE_v4(name)      wk__cpu_##name##_v4,
INSTRUCTION_SETS(TABLES_OF)

typedef struct instruction_set {
    const char *name;
    const wk_cpu_entry *const *tables;
} instruction_set;

static const instruction_set sets[] = {
#define SET(isa) { #isa, tables_##isa },
    INSTRUCTION_SETS(SET)
#undef SET
};
enum { SETS = sizeof sets / sizeof sets[0] };

/* The richest set of this processor, as an index. */
static int best_set(void) {
    wk_processor processor;
    wk__processor_read(&processor);
    int best = processor.has_v4 ? 2 : processor.has_v3 ? 1 : 0;
    return best < SETS ? best : SETS - 1;
}

static struct {
    const instruction_set *set; /* NULL: what was asked for cannot be had */
    int best;
    char asked[32];
    bool known;
} choice;
static pthread_once_t chosen = PTHREAD_ONCE_INIT;

static void choose(void) {
    const char *asked = getenv("WICK_ISA");
    if (asked && !*asked) asked = NULL;
    if (asked) (void)snprintf(choice.asked, sizeof choice.asked, "%s", asked);
    choice.best = best_set();
    if (!asked) choice.set = &sets[choice.best];
    for (int i = 0; asked && i < SETS; i++) {
        if (strcmp(asked, sets[i].name) != 0) continue;
        choice.known = true;
        if (i <= choice.best) choice.set = &sets[i];
    }
}

static const instruction_set *chosen_set(void) {
    (void)pthread_once(&chosen, choose);
    return choice.set;
}

static wk_status refuse_set(void) {
    if (!choice.known)
        return wk_fail(WK_CONFIG, "WICK_ISA is \"%s\", expected one of the sets of this build:%s", choice.asked,
                       SET_NAMES);
    return wk_fail(WK_CONFIG,
                   "WICK_ISA asks for \"%s\", which this processor does not have; its best is \"%s\", which is taken "
                   "where WICK_ISA is not set",
                   choice.asked, sets[choice.best].name);
}

wk_status wk__cpu_isa(const char **name) {
    const instruction_set *set = chosen_set();
    if (!set) return refuse_set();
    *name = set->name;
    return WK_OK;
}

/* ---- library kernels
 * ----------------------------------------------------------------------------------------------------- */

/* Absent from builds without the libraries. */
#define LIBRARY_TABLES(X) X(matmul) X(conv) X(lapack)
#define DECLARE(name)     extern const wk_cpu_entry wk__cpu_library_##name[] __attribute__((weak));
LIBRARY_TABLES(DECLARE)
#undef DECLARE

static wk_kernel find(const wk_cpu_entry *table, const char *op, wk_dtype dtype) {
    for (; table && table->op; table++)
        if (strcmp(table->op, op) == 0 && (table->dtypes & WK_SET_OF(dtype))) return table->run;
    return NULL;
}

static wk_kernel find_library(const char *op, wk_dtype dtype) {
    wk_kernel found = NULL;
#define FIND(name) \
    if (!found) found = find(wk__cpu_library_##name, op, dtype);
    LIBRARY_TABLES(FIND)
#undef FIND
    return found;
}

/* ---- library first, then Wick's own
 * ---------------------------------------------------------------------------------------- */

/* clang-format off */
#define SLOTS(X)                                                                     \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)  \
    X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27)    \
    X(28) X(29) X(30) X(31)
/* clang-format on */

typedef struct slot {
    wk_kernel first, second;
} slot;
static slot slots[32];
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;

#define TRAMPOLINE(i)                                                          \
    static wk_status chain_##i(wk_kernel_ctx *ctx, const wk_call *call) {      \
        wk_status status = slots[i].first(ctx, call);                          \
        return status == WK_UNSUPPORTED ? slots[i].second(ctx, call) : status; \
    }
SLOTS(TRAMPOLINE)
static const wk_kernel trampolines[] = {
#define NAME(i) chain_##i,
    SLOTS(NAME)
#undef NAME
};

/* A kernel that tries `first`, then `second`.  Kernels serve several dtypes, so a pair is mostly there already; should
 * the slots run out, Wick's own kernel alone is right, if slower. */
static wk_kernel chain(wk_kernel first, wk_kernel second) {
    wk_kernel kernel = second;
    (void)pthread_mutex_lock(&slots_lock);
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        if (slots[i].first && (slots[i].first != first || slots[i].second != second)) continue;
        slots[i] = (slot){ first, second };
        kernel = trampolines[i];
        break;
    }
    (void)pthread_mutex_unlock(&slots_lock);
    return kernel;
}

static wk_status refused(wk_kernel_ctx *ctx, const wk_call *call) {
    (void)ctx, (void)call;
    return refuse_set();
}

wk_kernel wk__cpu_kernel(const char *op, wk_dtype dtype) {
    const instruction_set *set = chosen_set();
    if (!set) return refused;
    wk_kernel own = NULL, library = find_library(op, dtype);
    for (int i = 0; !own && set->tables[i]; i++) own = find(set->tables[i], op, dtype);
    if (library && own) return chain(library, own);
    return library ? library : own;
}
