/* added.c: tokens that are cut out of a text before the model sees it: special ones, and words of one's own. */
#include "text.h"

static wk_status read_one(wk__added *a, const json_t *value, uint32_t i) {
    const json_t *id = json_object_get(value, "id");
    const char *content = wk__json_word(value, "content", NULL);
    if (!content || !json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > (1 << 24))
        return wk_fail(WK_FORMAT, "added_tokens: entry %u has no \"content\" or no \"id\" from 0 to %d", i, 1 << 24);
    a->id = (int32_t)json_integer_value(id);
    a->content = wk_strdup(content);
    a->size = (uint32_t)strlen(content);
    a->single_word = wk__json_flag(value, "single_word", false);
    a->lstrip = wk__json_flag(value, "lstrip", false);
    a->rstrip = wk__json_flag(value, "rstrip", false);
    a->special = wk__json_flag(value, "special", false);
    a->normalized = wk__json_flag(value, "normalized", !a->special);
    return wk_error_code();
}

static wk_status make_pattern(wk__added *a, const wk__normaliser *n) {
    wk__buffer buffers[2] = { 0 };
    wk__line line = { .bytes = a->content, .size = a->size };
    wk_status status = a->normalized ? wk__normalise(n, line, buffers, &line) : WK_OK;
    if (status == WK_OK && (a->pattern = wk_format("%.*s", (int)line.size, line.bytes))) a->pattern_size = line.size;
    wk__buffer_free(&buffers[0]);
    wk__buffer_free(&buffers[1]);
    return wk_error_code();
}

static int first_byte(const wk__added *a) {
    return a->pattern_size ? (unsigned char)a->pattern[0] : 256;
}

/* By first byte, then the longest first, then as they came. */
static int compare(const wk__added *list, uint32_t i, uint32_t k) {
    const wk__added *a = &list[i];
    const wk__added *b = &list[k];
    if (first_byte(a) != first_byte(b)) return first_byte(a) < first_byte(b) ? -1 : 1;
    if (a->pattern_size != b->pattern_size) return a->pattern_size > b->pattern_size ? -1 : 1;
    return i < k ? -1 : i > k;
}

static void sort(const wk__added_list *list, uint32_t *order, uint32_t count) {
    for (uint32_t gap = count / 2; gap > 0; gap /= 2) /* a few, or some hundreds */
        for (uint32_t i = gap; i < count; i++) {
            uint32_t moved = order[i];
            uint32_t k = i;
            for (; k >= gap && compare(list->at, moved, order[k - gap]) < 0; k -= gap) order[k] = order[k - gap];
            order[k] = moved;
        }
}

static wk_status make_order(wk__added_list *list, int normalized) {
    uint32_t count = 0;
    uint32_t *order = wk_alloc((list->count + 1) * sizeof *order);
    if (!order) return wk_error_code();
    for (uint32_t i = 0; i < list->count; i++)
        if (list->at[i].normalized == (bool)normalized && list->at[i].pattern_size > 0) order[count++] = i;
    sort(list, order, count);
    list->order[normalized] = order;
    for (uint32_t i = 0, byte = 0; byte < 257; byte++) {
        while (i < count && first_byte(&list->at[order[i]]) < (int)byte) i++;
        list->first[normalized][byte] = i;
    }
    return WK_OK;
}

wk_status wk__added_make(wk__added_list *list, const json_t *value, const wk__normaliser *n) {
    size_t count = json_array_size(value);
    if (value && !json_is_null(value) && !json_is_array(value))
        return wk_fail(WK_FORMAT, "added_tokens: expected a list");
    if (count > (1 << 24)) return wk_fail(WK_FORMAT, "added_tokens: %zu of them", count);
    if (!(list->at = wk_alloc((count + 1) * sizeof *list->at))) return wk_error_code();
    list->ascends = true;
    for (size_t i = 0; i < count; i++) {
        list->count++;
        WK_TRY(read_one(&list->at[i], json_array_get(value, i), (uint32_t)i));
        WK_TRY(make_pattern(&list->at[i], n));
        list->ascends = list->ascends && (i == 0 || list->at[i].id > list->at[i - 1].id);
    }
    WK_TRY(make_order(list, 0));
    return make_order(list, 1);
}

void wk__added_free(wk__added_list *list) {
    for (uint32_t i = 0; i < list->count; i++) {
        wk_free(list->at[i].content);
        wk_free(list->at[i].pattern);
    }
    wk_free(list->at);
    wk_free(list->order[0]);
    wk_free(list->order[1]);
    *list = (wk__added_list){ 0 };
}

const wk__added *wk__added_by_id(const wk__added_list *list, int32_t id) {
    uint32_t low = 0;
    uint32_t high = list->count;
    if (!list->ascends) { /* the last one counts */
        for (uint32_t i = list->count; i-- > 0;)
            if (list->at[i].id == id) return &list->at[i];
        return NULL;
    }
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (list->at[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list->count && list->at[low].id == id ? &list->at[low] : NULL;
}

/* The longest one whose pattern stands at `at`. */
static const wk__added *match(const wk__added_list *list, bool normalized, const wk__line *line, uint32_t at) {
    unsigned char byte = (unsigned char)line->bytes[at];
    for (uint32_t i = list->first[normalized][byte]; i < list->first[normalized][byte + 1]; i++) {
        const wk__added *a = &list->at[list->order[normalized][i]];
        if (a->pattern_size <= line->size - at && memcmp(line->bytes + at, a->pattern, a->pattern_size) == 0) return a;
    }
    return NULL;
}

static bool is_word_at(const wk__line *line, uint32_t at) {
    uint32_t size = 0;
    return at < line->size && wk__is_word(wk__utf8(line->bytes + at, &size));
}

static bool stands_alone(const wk__line *line, uint32_t begin, uint32_t end) {
    bool before = begin > 0 && is_word_at(line, wk__utf8_before(line->bytes, begin));
    return !before && !is_word_at(line, end);
}

const wk__added *wk__added_next(const wk__added_list *list, bool normalized, const wk__line *line, uint32_t at,
                                wk_span *found) {
    uint32_t size = 0;
    const uint32_t floor = at;
    if (list->first[normalized][256] == 0) return NULL;
    for (; at < line->size; at++) {
        const wk__added *a = match(list, normalized, line, at);
        if (!a) continue;
        *found = (wk_span){ at, at + a->pattern_size };
        if (a->single_word && !stands_alone(line, found->begin, found->end)) {
            at = found->end - 1; /* what was matched is passed over, whole */
            continue;
        }
        while (a->lstrip && found->begin > floor) {
            uint32_t last = wk__utf8_before(line->bytes, found->begin);
            if (!wk__is_space(wk__utf8(line->bytes + last, &size))) break;
            found->begin = last;
        }
        while (a->rstrip && found->end < line->size && wk__is_space(wk__utf8(line->bytes + found->end, &size)))
            found->end += size;
        return a;
    }
    return NULL;
}
