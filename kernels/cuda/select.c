/* select.c: the kernel of a row for a dtype. */
#include "cuda/select.h"

#include <string.h>

static const wk_cuda_entry *const tables[] = {
#define TABLE(name) wk__cuda_##name,
    WK_CUDA_TABLES(TABLE)
#undef TABLE
};

wk_kernel wk__cuda_kernel(const char *op, wk_dtype dtype) {
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (const wk_cuda_entry *entry = tables[t]; entry->op; entry++)
            if (strcmp(entry->op, op) == 0 && (entry->dtypes & WK_SET_OF(dtype))) return entry->kernel;
    return NULL;
}
