/* mismatch.h: how the tensors of a file and those of a model differ, by name, to be told in one message. */
#ifndef WICK_SRC_IO_MISMATCH_H
#define WICK_SRC_IO_MISMATCH_H

#include "base/base.h"

typedef enum wk__mismatch_kind { WK__MISSING, WK__UNEXPECTED, WK__OTHER_SHAPE } wk__mismatch_kind;
/* Zero-initialised means none. */
typedef struct wk__mismatch {
    wk_text names[WK__OTHER_SHAPE + 1];
    int count[WK__OTHER_SHAPE + 1];
} wk__mismatch;

/* A tensor that is `missing` in the file, or `unexpected` there, or of another shape or dtype; `more` behind its name.
 */
WK_API void wk__mismatch_note(wk__mismatch *mismatch, wk__mismatch_kind kind, const char *name, const char *more);
/* "2 missing: a, b; 1 unexpected: c", the first names of each kind; NULL: none.  Free with wk_free. */
WK_API char *wk__mismatch_told(const wk__mismatch *mismatch);
WK_API void wk__mismatch_free(wk__mismatch *mismatch);

#endif
