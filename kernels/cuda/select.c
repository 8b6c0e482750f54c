/* select.c: the kernel of a row for a dtype. */
#include "cuda/select.h"

#include <string.h>

typedef struct table {
    const char *name;
    const wk_cuda_entry *entries;
} table;

static const table tables[] = {
#define TABLE(name) { #name, wk__cuda_##name },
    WK_CUDA_TABLES(TABLE)
#undef TABLE
};

static const wk_cuda_entry *find(const wk_cuda_entry *entry, const char *op, wk_dtype dtype) {
    for (; entry->op; entry++)
        if (strcmp(entry->op, op) == 0 && (entry->dtypes & WK_SET_OF(dtype))) return entry;
    return NULL;
}

wk_kernel wk__cuda_kernel(const char *op, wk_dtype dtype) {
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        const wk_cuda_entry *entry = find(tables[t].entries, op, dtype);
        if (entry) return entry->kernel;
    }
    return NULL;
}

bool wk__cuda_notes_numbers(const char *op, wk_dtype dtype) {
    static const wk_cuda_entry *const noting[] = {
#define TABLE(name) wk__cuda_##name,
        WK_CUDA_NOTING_TABLES(TABLE)
#undef TABLE
    };
    for (size_t t = 0; t < sizeof noting / sizeof noting[0]; t++)
        if (find(noting[t], op, dtype)) return true;
    return false;
}

const char *wk__cuda_kernel_table(const char *op, wk_dtype dtype) {
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        if (find(tables[t].entries, op, dtype)) return tables[t].name;
    return NULL;
}
