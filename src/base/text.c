/* text.c: growing text, the nearest name for "did you mean", and a hash. */
#include "base.h"

#include <string.h>

static bool reserve(wk_text *text, size_t more) {
    if (text->failed) return false;
    if (text->size + more + 1 <= text->capacity) return true;
    size_t capacity = text->capacity ? text->capacity * 2 : 128;
    while (capacity < text->size + more + 1) capacity *= 2;
    char *data = wk_realloc(text->data, capacity);
    if (!data) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void wk_text_add(wk_text *text, const char *bytes, size_t size) {
    if (!reserve(text, size)) return;
    memcpy(text->data + text->size, bytes, size);
    text->size += size;
    text->data[text->size] = '\0';
}

void wk_text_puts(wk_text *text, const char *string) {
    wk_text_add(text, string, strlen(string));
}

void wk_text_printf(wk_text *text, const char *format, ...) {
    va_list list;
    va_list again;
    va_start(list, format);
    va_copy(again, list);
    /* Most often there is room for it, and it is formatted once. */
    const size_t room = text->capacity - text->size;
    const int size = vsnprintf(room ? text->data + text->size : NULL, room, format, list);
    va_end(list);
    if (size >= 0 && reserve(text, (size_t)size)) {
        if ((size_t)size >= room) (void)vsnprintf(text->data + text->size, (size_t)size + 1, format, again);
        text->size += (size_t)size;
    }
    va_end(again);
}

void wk_text_free(wk_text *text) {
    wk_free(text->data);
    *text = (wk_text){ 0 };
}

enum { LONGEST = 64 };

/* Levenshtein distance with two rows; names longer than LONGEST are never near. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size) {
    size_t row[LONGEST + 1];
    for (size_t j = 0; j <= b_size; j++) row[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t above = row[j];
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[b_size];
}

const char *wk__nearest(const char *word, const char *const *names, size_t count) {
    size_t size = strlen(word);
    if (size == 0 || size > LONGEST) return NULL;
    const char *nearest = NULL;
    size_t least = size / 3 > 1 ? size / 3 : 1;
    for (size_t i = 0; i < count; i++) {
        size_t name_size = names[i] ? strlen(names[i]) : 0;
        if (name_size == 0 || name_size > LONGEST) continue;
        size_t d = distance(word, size, names[i], name_size);
        if (d < least || (d == least && !nearest)) {
            least = d;
            nearest = names[i];
        }
    }
    return nearest;
}

uint64_t wk__hash(uint64_t hash, const char *text) {
    if (hash == 0) hash = UINT64_C(14695981039346656037);
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash;
}
