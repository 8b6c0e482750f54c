/* vocabulary.c: tokens by number and by spelling. */
#include "text.h"

/* wyhash's mixing of two words: fast on the few bytes of a token. */
static uint64_t mix(uint64_t a, uint64_t b) {
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t wk__hash_bytes(const char *bytes, size_t size) {
    uint64_t hash = UINT64_C(0x9E3779B97F4A7C15) ^ size;
    uint64_t word = 0;
    for (; size >= 8; bytes += 8, size -= 8) {
        memcpy(&word, bytes, 8);
        hash = mix(hash ^ word, UINT64_C(0xA0761D6478BD642F));
    }
    word = 0;
    for (size_t i = 0; i < size; i++) word |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    return mix(hash ^ word, UINT64_C(0xE7037ED1A0B428DB));
}

static uint32_t slot_of(const wk__vocabulary *v, const char *bytes, size_t size) {
    uint32_t slot = (uint32_t)wk__hash_bytes(bytes, size) & (v->slots - 1);
    for (; v->table[slot]; slot = (slot + 1) & (v->slots - 1)) {
        int32_t id = (int32_t)v->table[slot] - 1;
        if (wk__vocabulary_length(v, id) == size && memcmp(v->bytes + v->begin[id], bytes, size) == 0) break;
    }
    return slot;
}

int32_t wk__vocabulary_find(const wk__vocabulary *v, const char *bytes, size_t size) {
    return v->slots ? (int32_t)v->table[slot_of(v, bytes, size)] - 1 : -1;
}

wk_status wk__vocabulary_make(wk__vocabulary *v, const char *const *tokens, const uint32_t *sizes, uint32_t count) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++) total += tokens[i] ? (uint64_t)sizes[i] + 1 : 0;
    if (total > UINT32_MAX) return wk_fail(WK_FORMAT, "a vocabulary of %llu bytes", (unsigned long long)total);
    v->slots = 16;
    while (v->slots < count * 2) v->slots *= 2;
    v->size = count;
    v->bytes = wk_alloc(total);
    v->begin = wk_alloc(((size_t)count + 1) * sizeof *v->begin);
    v->table = wk_alloc(v->slots * sizeof *v->table);
    if (!v->bytes || !v->begin || !v->table) return wk_error_code();
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        v->begin[i] = v->begin[i + 1] = at;
        if (!tokens[i]) continue;
        memcpy(v->bytes + at, tokens[i], sizes[i]);
        at += sizes[i] + 1;
        v->begin[i + 1] = at;
        uint32_t slot = slot_of(v, tokens[i], sizes[i]);
        if (v->table[slot])
            return wk_fail(WK_FORMAT, "token \"%.*s\" is there twice, as %u and %u", (int)sizes[i], tokens[i],
                           v->table[slot] - 1, i);
        v->table[slot] = i + 1;
    }
    return WK_OK;
}

void wk__vocabulary_free(wk__vocabulary *v) {
    wk_free(v->bytes);
    wk_free(v->begin);
    wk_free(v->table);
    *v = (wk__vocabulary){ 0 };
}
