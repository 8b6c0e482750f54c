/* normal.h: what normal.c needs of its neighbours: decomposed texts (forms.c), SentencePiece's rules (charsmap.c). */
#ifndef WICK_SRC_TEXT_NORMAL_H
#define WICK_SRC_TEXT_NORMAL_H

#include "text.h"

typedef struct wk__point {
    int32_t point;
    wk_span from;
} wk__point;
typedef struct wk__points { /* free `at` */
    wk__point *at;
    uint32_t count, capacity;
} wk__points;
/* NFD, or with compatible NFKD. */
wk_status wk__points_decompose(wk__points *points, const wk__line *line, bool compatible);
/* Of decomposed points: NFC, NFKC. */
wk_status wk__points_compose(wk__points *points);

typedef struct wk__charsmap wk__charsmap;
/* Of base64. */
wk__charsmap *wk__charsmap_make(const char *text);
void wk__charsmap_free(wk__charsmap *map);
wk_status wk__charsmap_run(const wk__charsmap *map, const wk__line *in, wk__buffer *out);

#endif
