/* plans.c: the hash table of plans. */
#include "cuda/plans.h"

#include <stdint.h>
#include <string.h>

static uint64_t hash(const unsigned char *key, size_t bytes) {
    uint64_t value = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++) value = (value ^ key[i]) * 1099511628211u;
    return value ^ value >> 32;
}

void **wk__cuda_plan_place(wk_cuda_plans *plans, const void *key, size_t bytes) {
    const uint64_t first = hash(key, bytes);
    for (uint64_t i = 0; i < WK_CUDA_PLANS; i++) {
        void **place = &plans->at[(first + i) % WK_CUDA_PLANS];
        if (!*place || memcmp(*place, key, bytes) == 0) return place;
    }
    return NULL;
}
