/* forms.c: Unicode's normal forms, with the place that each code point comes from (which utf8proc's own functions for
 * whole texts do not tell). */
#include "normal.h"

#include <utf8proc.h>

static bool add(wk__points *p, int32_t point, wk_span from) {
    if (p->count == p->capacity) {
        uint32_t capacity = p->capacity * 2 + 64;
        wk__point *at = wk_realloc(p->at, capacity * sizeof *at);
        if (!at) return false;
        p->at = at;
        p->capacity = capacity;
    }
    p->at[p->count++] = (wk__point){ point, from };
    return true;
}

static int class_of(int32_t point) {
    return point < 0x300 ? 0 : utf8proc_get_property(point)->combining_class;
}

/* Marks in the order of their classes, those of one class as they came. */
static void order(wk__points *p) {
    for (uint32_t i = 1; i < p->count; i++) {
        wk__point moved = p->at[i];
        int class_ = class_of(moved.point);
        uint32_t k = i;
        if (class_ == 0) continue;
        for (; k > 0 && class_of(p->at[k - 1].point) > class_; k--) p->at[k] = p->at[k - 1];
        p->at[k] = moved;
    }
}

wk_status wk__points_decompose(wk__points *p, const wk__line *line, bool compatible) {
    int32_t parts[32]; /* the longest is 18 */
    int boundary = 0;
    utf8proc_option_t options = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
    for (uint32_t i = 0, size = 0; i < line->size; i += size) {
        int32_t point = wk__utf8(line->bytes + i, &size);
        wk_span from = wk__line_from(line, i, i + size);
        utf8proc_ssize_t count = utf8proc_decompose_char(point, parts, WK_COUNT(parts), options, &boundary);
        if (count <= 0 || count > (utf8proc_ssize_t)WK_COUNT(parts)) parts[0] = point, count = 1;
        for (utf8proc_ssize_t k = 0; k < count; k++)
            if (!add(p, parts[k], from)) return wk_error_code();
    }
    order(p);
    return WK_OK;
}

/* The one character that two make, or -1. */
static int32_t pair(int32_t first, int32_t second) {
    int32_t both[2] = { first, second };
    return utf8proc_normalize_utf32(both, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE) == 1 ? both[0] : -1;
}

wk_status wk__points_compose(wk__points *p) {
    uint32_t out = 0;
    uint32_t starter = UINT32_MAX;
    int last = 0; /* the class of what stands before, behind the starter */
    for (uint32_t i = 0; i < p->count; i++) {
        wk__point now = p->at[i];
        int class_ = class_of(now.point);
        bool near = starter != UINT32_MAX && (out == starter + 1 || (last < class_ && last != 0));
        int32_t composed = near && now.point >= 0x300 ? pair(p->at[starter].point, now.point) : -1;
        if (composed >= 0) {
            p->at[starter].point = composed;
            continue;
        }
        if (class_ == 0) starter = out;
        last = class_;
        p->at[out++] = now;
    }
    p->count = out;
    return WK_OK;
}
